//! An open bake with which nothing goes on: its row is as old as the daemon's last write, whatever state it names.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::{
    calendar::zone::Zone,
    time::{rfc3339_seconds, show},
};

/// Why nothing proceeds of a history, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfollowed {
    /// Whether a daemon runs, which cannot go on; otherwise none is at work.
    pub has_daemon: bool,
    /// Without a daemon the last write of the history; `None` if nothing says it.
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
    /// `no daemon follows it since Thu …: none answers (systemctl status imagebaked)`, or that the daemon cannot go on with it.
    pub fn describe(&self, it: &str, zone: Zone) -> String {
        let since = self.since.map_or_else(|| "now".to_owned(), |since| format!("since {}", show(since, zone)));
        let what = if self.has_daemon { "the daemon cannot go on with" } else { "no daemon follows" };
        format!("{what} {it} {since}: {} ({})", self.why, self.command)
    }

    /// The same as a sentence.
    pub fn sentence(&self, it: &str, zone: Zone) -> String {
        let text = self.describe(it, zone);
        let mut letters = text.chars();
        letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
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
            has_daemon: false,
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
        unfollowed.has_daemon = true;
        assert!(unfollowed.sentence("bake 7", Zone::UTC).starts_with("The daemon cannot go on with bake 7 now: none"));
    }
}
