//! Times as arguments.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// An instant, or a time ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeArgument {
    /// RFC 3339.
    At(DateTime<Utc>),
    /// So long before now; for what lies ahead, so long from now.
    Ago(Duration),
}

impl std::str::FromStr for TimeArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(at) = text.parse::<DateTime<Utc>>() {
            return Ok(Self::At(at));
        }
        humantime::parse_duration(text).map(Self::Ago).map_err(|_| {
            "give an instant like 2027-03-01T03:00:00Z, or a length of time like 90m, 36h or 7d".to_owned()
        })
    }
}

impl TimeArgument {
    /// The instant meant where it lies ahead, seen from `now`.
    pub fn ahead(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::At(at) => at,
            Self::Ago(length) => chrono::TimeDelta::from_std(length)
                .ok()
                .and_then(|length| now.checked_add_signed(length))
                .unwrap_or(DateTime::<Utc>::MAX_UTC),
        }
    }

    /// The instant meant, seen from `now`.
    pub fn instant(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => chrono::TimeDelta::from_std(ago)
                .ok()
                .and_then(|ago| now.checked_sub_signed(ago))
                .unwrap_or(DateTime::UNIX_EPOCH),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_an_instant_or_a_time_ago() {
        let now: DateTime<Utc> = "2027-03-01T12:00:00Z".parse().unwrap();
        assert_eq!("36h".parse::<TimeArgument>().unwrap().instant(now).to_rfc3339(), "2027-02-28T00:00:00+00:00");
        assert_eq!(
            "2027-03-01T03:00:00+08:00".parse::<TimeArgument>().unwrap().instant(now).to_rfc3339(),
            "2027-02-28T19:00:00+00:00"
        );
        for wrong in ["yesterday", "5x"] {
            let message = wrong.parse::<TimeArgument>().unwrap_err();
            assert!(message.contains("2027-03-01T03:00:00Z") && message.contains("36h or 7d"), "{message}");
        }
    }
}
