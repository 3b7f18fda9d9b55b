//! Whose a key is that does not say so itself: asked of the token service, once for each key.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::domain::clock::Clock;

/// Time until the question is repeated that was refused, or not answered. Nothing depends on it but what people see.
const ASK_AGAIN: Duration = Duration::from_hours(1);

/// The owner of the last key.
pub(super) struct KeyOwner {
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    key_id: String,
    arn: Option<String>,
    /// Time since boot at which it was asked last.
    asked: Option<Duration>,
}

impl fmt::Debug for KeyOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyOwner").finish_non_exhaustive()
    }
}

impl KeyOwner {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, known: Mutex::default() }
    }

    /// `acs:ram::…`, if this key was asked for and answered.
    pub(super) fn arn(&self, key_id: &str) -> Option<String> {
        let known = self.known();
        known.arn.clone().filter(|_| known.key_id == key_id)
    }

    /// Whether to ask for the owner of this key now; if so, it counts as asked.
    pub(super) fn take(&self, key_id: &str) -> bool {
        let (mut known, now) = (self.known(), self.clock.boottime());
        let since = known.asked.map(|asked| now.saturating_sub(asked));
        let is_due = known.key_id != key_id || known.arn.is_none() && since.is_none_or(|since| since >= ASK_AGAIN);
        if is_due {
            *known = Known { key_id: key_id.to_owned(), arn: None, asked: Some(now) };
        }
        is_due
    }

    /// What refused the question, or left it without an answer, is over: an owner that is not known is asked for again.
    pub(super) fn ask_again(&self) {
        self.known().asked = None;
    }

    /// Records the answer. One for a key that was replaced meanwhile is left out.
    pub(super) fn answered(&self, key_id: &str, arn: String) {
        let mut known = self.known();
        if known.key_id == key_id {
            known.arn = Some(arn);
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::clock::ManualClock;

    #[test]
    fn each_key_is_asked_for_once_and_after_an_hour_if_there_was_no_answer() {
        let clock = ManualClock::at("2026-11-27T18:00:00Z".parse().unwrap());
        let owner = KeyOwner::new(Arc::new(clock.clone()));
        assert!(owner.take("a") && !owner.take("a"));
        clock.advance(TimeDelta::minutes(59));
        assert!(!owner.take("a"));
        clock.advance(TimeDelta::minutes(1));
        assert!(owner.take("a"), "nobody answered");
        assert!(!owner.take("a"));
        owner.ask_again();
        assert!(owner.take("a"), "the cloud accepts the key again");
        owner.answered("a", "acs:ram::1:user/a".to_owned());
        owner.ask_again();
        clock.advance(TimeDelta::days(9));
        assert!(!owner.take("a"));
        assert_eq!((owner.arn("a").as_deref(), owner.arn("b")), (Some("acs:ram::1:user/a"), None));
        assert!(owner.take("b"));
        owner.answered("a", "late".to_owned());
        assert_eq!((owner.arn("a"), owner.arn("b")), (None, None));
    }
}
