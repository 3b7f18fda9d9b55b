//! A veto as people and programs see it: who refuses an image, since when and why.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::instants::instant;
use crate::domain::{calendar::zone::Zone, time::show};

/// Why nothing uses an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Veto {
    /// Since when.
    #[serde(serialize_with = "instant")]
    pub at: i64,
    /// Who vetoed it: a person, or the daemon after a failed check.
    pub who: String,
    /// Why.
    pub reason: String,
}

impl Veto {
    /// By whom, when and why.
    pub fn describe(&self, zone: Zone) -> String {
        let at = show(DateTime::<Utc>::from_timestamp_millis(self.at).unwrap_or_default(), zone);
        format!("by {} at {at}: {}", self.who, self.reason)
    }

    /// The reason of a bake whose image is vetoed, from that of its end.
    pub fn after(&self, reason: &str) -> String {
        format!("{reason}; vetoed by {}: {}", self.who, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_veto_says_who_when_and_why() {
        let veto = Veto { at: 0, who: "root".to_owned(), reason: "no sound".to_owned() };
        assert_eq!(veto.describe(Zone::UTC), "by root at Thu 1970-01-01 00:00 +00:00: no sound");
        assert_eq!(veto.after("image made"), "image made; vetoed by root: no sound");
    }
}
