//! Times of the command line that limit what is shown, or end what begins now.

use chrono::{DateTime, Utc};

use super::outcome::{Exit, Failure, Result};
use crate::domain::{
    calendar::zone::Zone,
    time::{AskedTime, Edge, Facing, show},
};

/// `--since` and `--until` of what has happened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) since: Option<DateTime<Utc>>,
    pub(super) until: Option<DateTime<Utc>>,
    zone: Zone,
    now: DateTime<Utc>,
}

impl Span {
    /// Fails if no time lies between the two.
    pub(super) fn of(
        since: Option<AskedTime>,
        until: Option<AskedTime>,
        (zone, now): (Zone, DateTime<Utc>),
    ) -> Result<Self> {
        let since = since.map(|asked| asked.instant(zone, now, Facing::Past, Edge::Start));
        let until = until.map(|asked| asked.instant(zone, now, Facing::Past, Edge::End));
        if let (Some(since), Some(until)) = (since, until)
            && since > until
        {
            let message = format!("--since ({}) lies after --until ({})", show(since, zone), show(until, zone));
            return Err(Failure::new(Exit::Usage, message));
        }
        Ok(Self { since, until, zone, now })
    }

    /// `No matching bake.`, and why there can be none.
    pub(super) fn none(self, what: &str) -> String {
        match self.since.filter(|since| *since > self.now) {
            Some(since) => format!("No matching {what}: --since ({}) is still to come.\n", show(since, self.zone)),
            None => format!("No matching {what}.\n"),
        }
    }
}

/// Cuts a list that was read with one more than its limit; returns whether there are more.
pub(super) fn cut<T>(rows: &mut Vec<T>, limit: u32) -> bool {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    has_more
}

/// `--until` of what begins now; fails if it has passed.
pub(super) fn end_to_come(
    until: Option<AskedTime>,
    (zone, now): (Zone, DateTime<Utc>),
) -> Result<Option<DateTime<Utc>>> {
    let until = until.map(|asked| asked.instant(zone, now, Facing::Future, Edge::End));
    match until.filter(|until| *until <= now) {
        None => Ok(until),
        Some(passed) => {
            let passed = show(passed, zone);
            let hint = "give a later time (`tomorrow 07:00`) or a length (`36h`)";
            Err(Failure::new(Exit::Usage, format!("--until ({passed}) has passed already; {hint}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2027-03-01T12:00:00Z".parse().unwrap()
    }

    fn asked(text: &str) -> AskedTime {
        text.parse().unwrap()
    }

    #[test]
    fn a_span_has_its_times_in_order() {
        let span = |since, until| Span::of(Some(asked(since)), Some(asked(until)), (Zone::UTC, now()));
        assert!(span("yesterday", "today").is_ok());
        assert!(span("2d", "1d").is_ok());
        let failure = span("1d", "2d").unwrap_err();
        assert_eq!((failure.exit, failure.message.contains("lies after --until")), (Exit::Usage, true));
        assert_eq!(span("2027-02-01", "today").unwrap().none("bake"), "No matching bake.\n");
        let to_come = Span::of(Some(asked("2027-04-01")), None, (Zone::UTC, now())).unwrap();
        assert_eq!(to_come.none("bake"), "No matching bake: --since (Thu 2027-04-01 00:00 +00:00) is still to come.\n");
    }

    #[test]
    fn what_begins_now_ends_later() {
        let end = |until| end_to_come(Some(asked(until)), (Zone::UTC, now()));
        assert_eq!(end("36h").unwrap(), Some("2027-03-03T00:00:00Z".parse().unwrap()));
        for passed in ["yesterday", "2020-01-01", "0s"] {
            assert_eq!(end(passed).unwrap_err().exit, Exit::Usage, "{passed}");
        }
        assert_eq!(end_to_come(None, (Zone::UTC, now())).unwrap(), None);
    }
}
