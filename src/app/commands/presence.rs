//! Whether a daemon is at work on a history: known once per command, and used by all that show open bakes.

use crate::{
    adapters::{
        config::Config,
        control::{ControlError, Standstill, client::Located},
        store::Reader,
    },
    domain::{
        bake::unfollowed::Unfollowed,
        clock::{Clock as _, ON_TIME, SystemClock, later},
    },
};

/// What is known of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Presence {
    /// It answers.
    AtWork(Located),
    /// None is at work.
    Absent {
        /// In a few words.
        why: String,
        /// The command that helps, or shows more.
        command: String,
    },
    /// Nothing shows that none is: it may not be asked, or is of another version.
    Unknown,
}

impl From<Result<Option<Located>, ControlError>> for Presence {
    fn from(answer: Result<Option<Located>, ControlError>) -> Self {
        match answer {
            Ok(Some(daemon)) => Self::AtWork(daemon),
            Ok(None) => Self::Unknown,
            Err(error) => match error.absence() {
                Some(why) => Self::Absent { why, command: error.command() },
                None => Self::Unknown,
            },
        }
    }
}

impl Presence {
    /// The daemon that answers.
    pub(super) fn located(&self) -> Option<&Located> {
        match self {
            Self::AtWork(daemon) => Some(daemon),
            _ => None,
        }
    }

    /// Whether open bakes may be followed, as far as this shows.
    pub(super) fn may_follow(&self) -> bool {
        matches!(self, Self::AtWork(Located { standstill: None, .. }) | Self::Unknown)
    }

    /// What keeps a daemon that answers from slots that are due, with the command that helps.
    pub(super) fn slots_held(&self) -> Option<String> {
        let daemon = self.located()?;
        let held = daemon.standstill.as_ref().or(daemon.slots_held.as_ref())?;
        Some(format!("{} ({})", held.why, held.command))
    }

    /// Whether the daemon changes nothing in the cloud: the one at work, otherwise the one that this configuration would start.
    pub(super) fn only_observes(&self, config: &Config) -> bool {
        self.located().map_or(config.daemon.mode, |daemon| daemon.mode).is_observe()
    }

    /// What is said of open bakes of this history: `None` if a daemon follows them, or may.
    pub(super) fn unfollowed(&self, reader: &Reader) -> Option<Unfollowed> {
        let (why, command) = match self {
            Self::Absent { why, command } => (why, command),
            Self::AtWork(daemon) => return daemon.standstill.as_ref().map(held),
            Self::Unknown => return None,
        };
        let written = reader.last_write();
        // A time to come is no begin: the clock is behind, or was ahead.
        let is_to_come = written.is_some_and(|written| written > later(SystemClock.now(), ON_TIME));
        let since = written.filter(|_| !is_to_come);
        let note = if is_to_come { ", and this host's clock is behind the last write of the history" } else { "" };
        Some(Unfollowed { has_daemon: false, since, why: format!("{why}{note}"), command: command.clone() })
    }

    /// What is said of a slot that is due and has no row: `None` if nothing keeps a daemon from it.
    pub(super) fn unprocessed(&self, reader: &Reader) -> Option<Unfollowed> {
        let slots_held = self.located().and_then(|daemon| daemon.slots_held.as_ref());
        self.unfollowed(reader).or_else(|| slots_held.map(held))
    }
}

/// A daemon runs, and cannot go on.
fn held(standstill: &Standstill) -> Unfollowed {
    let Standstill { since, why, command } = standstill.clone();
    Unfollowed { has_daemon: true, since, why, command }
}

#[cfg(test)]
mod tests {
    use std::{io, path::PathBuf};

    use super::*;
    use crate::adapters::control::liveness::Silence;

    #[test]
    fn only_what_shows_an_absent_daemon_is_taken_for_one() {
        let socket = || PathBuf::from("/run/x");
        let of = |error: ControlError| Presence::from(Err(error));
        let unreachable = of(ControlError::Unreachable { socket: socket(), source: io::Error::other("refused") });
        assert!(matches!(unreachable, Presence::Absent { ref why, .. } if why == "none answers"), "{unreachable:?}");
        let stopped = of(ControlError::Silent { socket: socket(), silence: Silence::Stopped { pid: 7 } });
        assert!(
            matches!(stopped, Presence::Absent { ref why, ref command }
                     if why.contains("pid 7") && command == "kill -CONT 7"),
            "{stopped:?}"
        );
        assert_eq!(of(ControlError::Forbidden { socket: socket() }), Presence::Unknown);
        assert_eq!(Presence::from(Ok(None)), Presence::Unknown);
    }
}
