//! An open bake that no daemon follows: its row is as old as the daemon's last write, whatever state it names.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::{
    calendar::zone::Zone,
    time::{rfc3339_seconds, show},
};

/// Why no daemon is at work on a history, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfollowed {
    /// The last write of the history; `None` if the file system does not say it.
    pub since: Option<DateTime<Utc>>,
    /// In a few words.
    pub why: String,
    /// The command that helps, or shows more.
    pub command: String,
}

/// The same for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnfollowedDocument {
    since: Option<String>,
    why: String,
    command: String,
}

/// What a row shows in place of a state that may be over: `was building`.
pub fn last_known(state: &str) -> String {
    format!("was {state}")
}

impl Unfollowed {
    /// `no daemon follows it since Thu …: none answers (systemctl status imagebaked)`.
    pub fn describe(&self, it: &str, zone: Zone) -> String {
        let since = self.since.map_or_else(|| "now".to_owned(), |since| format!("since {}", show(since, zone)));
        format!("no daemon follows {it} {since}: {} ({})", self.why, self.command)
    }

    /// The same as a sentence.
    pub fn sentence(&self, it: &str, zone: Zone) -> String {
        let text = self.describe(it, zone);
        format!("N{}.", &text[1..])
    }

    /// For programs.
    pub fn document(&self) -> UnfollowedDocument {
        UnfollowedDocument {
            since: self.since.map(rfc3339_seconds),
            why: self.why.clone(),
            command: self.command.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_names_the_time_the_reason_and_the_command() {
        let mut unfollowed = Unfollowed {
            since: "2026-11-26T03:00:00Z".parse().ok(),
            why: "none answers".to_owned(),
            command: "systemctl status imagebaked".to_owned(),
        };
        assert_eq!(
            unfollowed.sentence("it", Zone::UTC),
            "No daemon follows it since Thu 2026-11-26 03:00 +00:00: none answers (systemctl status imagebaked)."
        );
        unfollowed.since = None;
        assert!(unfollowed.describe("bake 7", Zone::UTC).starts_with("no daemon follows bake 7 now: none"));
    }
}
