//! Whether the cloud accepts the key in use, as the signed calls of all tasks show.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::request::Product;
use crate::domain::{
    api::call::{ApiError, ErrorClass},
    clock::{Clock, earlier},
};

/// Place of a call among all calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn(u64);

/// What is known of the key.
pub struct KeyWatch {
    clock: Arc<dyn Clock>,
    known: Mutex<Known>,
}

struct Known {
    turns: u64,
    /// The last call that was accepted.
    accepted: Option<Turn>,
    /// When one was, by the time since boot.
    accepted_at: Option<Duration>,
    /// Calls up to this one do not end a rejection.
    rejected: Option<Turn>,
    /// A call was rejected: its turn and its product. The next check decides.
    suspect: Option<(Turn, Product)>,
    is_checking: bool,
    /// Time since boot of the last accepted call, or of the last check.
    heard: Duration,
    /// Result of a check that nobody has taken.
    rejection: Option<ApiError>,
}

impl fmt::Debug for KeyWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyWatch").finish_non_exhaustive()
    }
}

impl KeyWatch {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let known = Known {
            turns: 0,
            accepted: None,
            accepted_at: None,
            rejected: None,
            suspect: None,
            is_checking: false,
            heard: clock.boottime(),
            rejection: None,
        };
        Self { clock, known: Mutex::new(known) }
    }

    /// A call is about to be made.
    pub(super) fn turn(&self) -> Turn {
        let mut known = self.known();
        known.turns += 1;
        Turn(known.turns)
    }

    /// Records the result of a call.
    pub(super) fn note<T>(&self, product: &Product, turn: Turn, outcome: &Result<T, ApiError>) {
        let mut known = self.known();
        match outcome {
            Ok(_) => known.accept(turn, self.clock.boottime()),
            // A later call was accepted: the key was renewed meanwhile.
            Err(error) if error.class == ErrorClass::Credential && known.accepted.is_none_or(|last| last < turn) => {
                known.suspect = Some((turn, product.clone()));
            }
            Err(_) => {}
        }
    }

    /// What a check that is due asks for, and counts as begun then: a call was rejected, or none was accepted for this long.
    pub(super) fn take_check(&self, after: Duration) -> Option<Product> {
        let (mut known, now) = (self.known(), self.clock.boottime());
        let is_due = known.suspect.is_some() || now.saturating_sub(known.heard) >= after;
        if known.is_checking || !is_due {
            return None;
        }
        (known.is_checking, known.heard) = (true, now);
        let product = known.suspect.take().map(|(_, product)| product);
        // The token service refuses for reasons of its own.
        Some(product.filter(|product| *product != Product::Sts).unwrap_or(Product::AppStreaming))
    }

    /// Records the result of a check. An error of another class than that of credentials decides nothing.
    pub(super) fn checked<T>(&self, outcome: Result<T, ApiError>) {
        let mut known = self.known();
        (known.is_checking, known.suspect) = (false, None);
        known.rejection = outcome.err().filter(|error| error.class == ErrorClass::Credential);
    }

    /// The rejection that a check has found.
    pub fn take_rejection(&self) -> Option<ApiError> {
        self.known().rejection.take()
    }

    /// The key counts as rejected: only calls from now on end that.
    pub fn reject(&self) {
        let mut known = self.known();
        (known.rejected, known.suspect, known.rejection) = (Some(Turn(known.turns)), None, None);
    }

    /// When the cloud last accepted a call; `None` while the key counts as rejected, and before the first one.
    pub fn accepted_at(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (known, boottime) = (self.known(), self.clock.boottime());
        let at = known.accepted_at.filter(|_| known.accepted > known.rejected)?;
        Some(earlier(now, boottime.saturating_sub(at)))
    }

    /// Whether the cloud accepted a call that was made after the rejection.
    pub fn is_accepted_again(&self) -> bool {
        let known = self.known();
        known.rejected.is_some() && known.accepted > known.rejected
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn accept(&mut self, turn: Turn, now: Duration) {
        self.accepted = self.accepted.max(Some(turn));
        (self.accepted_at, self.heard) = (Some(now), self.heard.max(now));
        self.suspect.take_if(|(suspect, _)| *suspect < turn);
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::domain::clock::ManualClock;

    fn refused(class: ErrorClass) -> Result<(), ApiError> {
        Err(ApiError {
            class,
            code: Some("InvalidAccessKeyId.NotFound".to_owned()),
            message: "no".to_owned(),
            advice: "".into(),
            http_status: None,
            request_id: Some("request".to_owned()),
            retry_after: None,
        })
    }

    fn watch() -> (ManualClock, KeyWatch) {
        let clock = ManualClock::at("2026-11-26T03:00:00Z".parse().unwrap());
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        (clock, KeyWatch::new(shared))
    }

    const IDLE: Duration = Duration::from_mins(5);
    const IMAGES: Product = Product::AppStreaming;

    #[test]
    fn a_rejected_call_of_any_task_is_checked_at_once_and_an_idle_key_after_five_minutes() {
        let (clock, watch) = watch();
        assert_eq!(watch.take_check(IDLE), None);
        let desktops = Product::Desktops { region: "cn-shanghai".to_owned() };
        watch.note(&desktops, watch.turn(), &refused(ErrorClass::Credential));
        assert_eq!(watch.take_check(IDLE), Some(desktops), "the host that refused is asked");
        assert_eq!(watch.take_check(Duration::ZERO), None, "one check at a time");
        watch.checked(refused(ErrorClass::Credential));
        assert!(watch.take_rejection().is_some() && watch.take_rejection().is_none());

        clock.advance(TimeDelta::seconds(299));
        assert_eq!(watch.take_check(IDLE), None);
        clock.advance(TimeDelta::seconds(1));
        assert_eq!(watch.take_check(IDLE), Some(IMAGES), "nothing was heard for five minutes");
        watch.checked(Ok(()));
        clock.advance(TimeDelta::minutes(4));
        watch.note(&IMAGES, watch.turn(), &Ok(()));
        clock.advance(TimeDelta::minutes(4));
        assert_eq!(watch.take_check(IDLE), None, "another call was accepted meanwhile");
    }

    #[test]
    fn an_accepted_call_ends_a_suspicion_and_a_rejection_that_are_older() {
        let (_, watch) = watch();
        let (first, second) = (watch.turn(), watch.turn());
        watch.note(&IMAGES, first, &refused(ErrorClass::Credential));
        watch.note(&IMAGES, second, &Ok(()));
        assert_eq!(watch.take_check(IDLE), None, "the key was renewed, and the call repeated");
        let third = watch.turn();
        watch.reject();
        watch.note(&IMAGES, third, &Ok(()));
        assert!(!watch.is_accepted_again(), "that call is older than the rejection");
        watch.note(&IMAGES, watch.turn(), &Ok(()));
        assert!(watch.is_accepted_again());
    }

    #[test]
    fn an_outage_decides_nothing() {
        let (_, watch) = watch();
        watch.note(&IMAGES, watch.turn(), &refused(ErrorClass::Transient));
        assert_eq!(watch.take_check(IDLE), None);
        assert_eq!(watch.take_check(Duration::ZERO), Some(IMAGES));
        watch.checked(refused(ErrorClass::Transient));
        assert!(watch.take_rejection().is_none() && !watch.is_accepted_again());
    }
}
