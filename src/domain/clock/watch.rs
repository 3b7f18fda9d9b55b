//! Clock watch: compares the host's clock with the time since boot, with the history, and with the Date of the cloud's
//! responses.
//!
//! A *step* is a jump of the wall clock; after a step, and at the start, it is unknown whether the clock is right until
//! the cloud has responded. *Skew* is the difference to the cloud's clock at the last response.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{
    Clock, STEP_BACK, earlier, later, shifted,
    show::{show_length, show_utc},
};

/// More than the network and whole seconds explain: above it the cloud's time determines ages.
pub const SKEW_NOTICED: TimeDelta = TimeDelta::minutes(1);
/// Above it no image is marked or deleted and no channel moves.
pub const SKEW_TOO_FAR: TimeDelta = TimeDelta::minutes(5);
/// HTTP dates have whole seconds.
const DATE_RESOLUTION: Duration = Duration::from_secs(1);
/// Minimum time between two requests for the cloud's time.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// Minimum time between two writes of the last comparison: the drift of the two clocks in between is far below
/// [`STEP_BACK`].
const KEEP_ANCHOR_AGAIN: Duration = Duration::from_hours(6);

/// How far the cloud's `date` is outside the time in which the response was made; zero inside. Positive if the cloud is
/// ahead.
pub fn skew(sent: DateTime<Utc>, received: DateTime<Utc>, date: DateTime<Utc>) -> TimeDelta {
    let date_ends = later(date, DATE_RESOLUTION);
    if date_ends < sent {
        date_ends - sent
    } else if date > received {
        date - received
    } else {
        TimeDelta::zero()
    }
}

/// Why ages cannot be determined now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClockBlocker {
    /// No response of the cloud has been compared with this host's clock since the start.
    NotCompared,
    /// The clock was set, and no response of the cloud has agreed with it since.
    Stepped {
        /// What it showed after that.
        to: DateTime<Utc>,
        /// How far it was set.
        by: TimeDelta,
    },
    /// The difference to the cloud's clock is too large.
    Skewed {
        /// The cloud's clock less ours.
        skew: TimeDelta,
    },
}

impl fmt::Display for ClockBlocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCompared => {
                f.write_str("this host's clock has not been compared with the cloud's since the daemon started")
            }
            Self::Stepped { to, by } => {
                let way = if *by < TimeDelta::zero() { "back" } else { "forward" };
                write!(
                    f,
                    "this host's clock was set {way} by {} to {}, and the cloud has not confirmed that time yet",
                    span(*by),
                    show_utc(*to)
                )
            }
            Self::Skewed { skew } => write!(f, "{}", Skew(*skew)),
        }
    }
}

/// The difference to the cloud's clock, in plain words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew(pub TimeDelta);

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.0 > TimeDelta::zero() { "behind" } else { "ahead of" };
        write!(f, "this host's clock is {} {side} the cloud's", span(self.0))
    }
}

/// Whole seconds in words, without a sign.
fn span(delta: TimeDelta) -> String {
    show_length(Duration::from_secs(delta.num_seconds().unsigned_abs()))
}

/// An observation about the clock, for the log and the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClockEvent {
    /// The wall clock jumped.
    Stepped {
        /// What it should have shown.
        from: DateTime<Utc>,
        /// What it showed.
        to: DateTime<Utc>,
        /// Whether the cloud had confirmed the clock before.
        confirmed: bool,
    },
    /// The history was written at a time that is later than now.
    HistoryAhead {
        /// Until when it was written.
        written_until: DateTime<Utc>,
        /// The clock when that was found.
        now: DateTime<Utc>,
    },
    /// The first response since the start, or since a step, that agrees with the clock.
    Confirmed,
    /// The clock differs from the cloud's, or not any more.
    Skewed {
        /// The cloud's clock minus this host's; zero once it is right again.
        skew: TimeDelta,
    },
}

impl ClockEvent {
    /// Beginning of its line in the audit if one such line is enough: every start finds the same history.
    pub fn once(&self) -> Option<String> {
        match self {
            Self::HistoryAhead { written_until, .. } => {
                Some(format!("the clock was ahead until {}", show_utc(*written_until)))
            }
            _ => None,
        }
    }
}

impl fmt::Display for ClockEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = |at: &DateTime<Utc>| show_utc(*at);
        match self {
            Self::Stepped { from, to, .. } => {
                let way = if to < from { "back" } else { "forward" };
                write!(f, "the clock was set {way} by {}, from {} to {}", span(*to - *from), utc(from), utc(to))
            }
            Self::HistoryAhead { written_until, now } => {
                write!(
                    f,
                    "the clock was ahead until {}: the history was written then, and it is ",
                    utc(written_until)
                )?;
                write!(f, "{} now", utc(now))
            }
            Self::Confirmed => f.write_str("the cloud confirms the clock"),
            Self::Skewed { skew } if skew.is_zero() => f.write_str("the clock agrees with the cloud's again"),
            Self::Skewed { skew } => write!(f, "{}; over 15 minutes every call is refused: check NTP", Skew(*skew)),
        }
    }
}

impl ClockAnchor {
    /// Whether to store this comparison in place of `earlier`: enough time has passed, or a clock does not show what `earlier` led
    /// to expect. It was set, or the time since boot has stood still, as in a virtual machine that was suspended: by `earlier`
    /// the next start would take the present for the future, and all rows since for those of a wrong clock.
    pub fn replaces(&self, earlier: &Self) -> bool {
        let passed = self.boottime.saturating_sub(earlier.boottime);
        let is_off = |was: DateTime<Utc>, is: DateTime<Utc>| (is - later(was, passed)).abs() > STEP_BACK;
        self.boot_id != earlier.boot_id
            || passed >= KEEP_ANCHOR_AGAIN
            || is_off(earlier.wall, self.wall)
            || is_off(earlier.cloud, self.cloud)
    }
}

/// Compares the clock with all other sources. Shared by the client, whose responses have the time, and by all users of
/// ages.
#[derive(Debug)]
pub struct ClockWatch {
    clock: Arc<dyn Clock>,
    /// Identifies the boot of the host.
    boot_id: Option<String>,
    seen: Mutex<Observed>,
}

#[derive(Debug)]
struct Observed {
    /// Wall clock and time since boot at their last comparison.
    anchor: (DateTime<Utc>, Duration),
    /// Not compared with the cloud yet: the start, or a step.
    unconfirmed: Option<ClockBlocker>,
    /// Whether a response of the cloud has agreed since the start, or since the last step.
    is_confirmed: bool,
    /// Result of the last response.
    compared: Option<Compared>,
    /// Last write of the history before the start, and the time since boot at which it was read. The true time is at
    /// least that much later than the write.
    history: Option<(DateTime<Utc>, Duration)>,
    /// Last request for the cloud's time.
    asked: Option<Duration>,
    events: Vec<ClockEvent>,
}

#[derive(Debug, Clone, Copy)]
struct Compared {
    /// The cloud's time when the answer came.
    cloud: DateTime<Utc>,
    /// The time since boot then.
    boottime: Duration,
    /// The cloud's clock less ours.
    skew: TimeDelta,
    /// Instant, by the cloud, from which the clock has had its current difference, or none.
    since: DateTime<Utc>,
}

/// Instant at which a call was sent.
#[derive(Debug, Clone, Copy)]
pub struct Sent(Duration);

/// The last comparison with the cloud, as stored in the history: within one boot of the host a restarted daemon
/// continues from it, and knows the time before the cloud's first response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockAnchor {
    /// Which boot the time since boot belongs to.
    boot_id: String,
    /// The time since boot.
    boottime: Duration,
    /// The wall clock then.
    wall: DateTime<Utc>,
    /// The cloud's clock then.
    cloud: DateTime<Utc>,
}

impl ClockWatch {
    /// Starts with an unconfirmed clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let anchor = (clock.now(), clock.boottime());
        Self {
            boot_id: clock.boot_id(),
            clock,
            seen: Mutex::new(Observed {
                anchor,
                unconfirmed: Some(ClockBlocker::NotCompared),
                is_confirmed: false,
                compared: None,
                history: None,
                asked: None,
                events: Vec::new(),
            }),
        }
    }

    /// Reads the clock, and records whether it was set since the last reading.
    pub fn observe(&self) {
        self.with(|_, _, _| ());
    }

    /// Records that a call is about to be sent.
    pub fn sent(&self) -> Sent {
        Sent(self.clock.boottime())
    }

    /// Uses the Date of a response of the cloud itself.
    pub fn answered(&self, sent: Sent, date: DateTime<Utc>) {
        self.with(|seen, now, boottime| {
            // By the time since boot, so that a clock that was set during the call has no effect.
            let skew = skew(earlier(now, boottime.saturating_sub(sent.0)), now, date);
            let before = seen.compared.map_or(TimeDelta::zero(), |compared| compared.skew);
            let cloud = shifted(now, skew);
            let changed = degree(skew) != degree(before);
            let since = seen.compared.filter(|_| !changed).map_or(cloud, |compared| compared.since);
            seen.compared = Some(Compared { cloud, boottime, skew, since });
            if changed {
                let is_far = skew.abs() > SKEW_NOTICED;
                seen.events.push(ClockEvent::Skewed { skew: if is_far { skew } else { TimeDelta::zero() } });
            }
            // Too large a difference is reported instead of the missing comparison: it is more specific.
            seen.unconfirmed = None;
            if skew.abs() <= SKEW_TOO_FAR && !std::mem::replace(&mut seen.is_confirmed, true) {
                seen.events.push(ClockEvent::Confirmed);
            }
            seen.anchor = (now, boottime);
        });
    }

    /// The last comparison with the cloud, for the next start of the daemon.
    pub fn anchor(&self) -> Option<ClockAnchor> {
        let boot_id = self.boot_id.clone()?;
        self.with(|seen, _, _| {
            let Compared { cloud, boottime, skew, .. } = seen.compared?;
            Some(ClockAnchor { boot_id, boottime, wall: shifted(cloud, -skew), cloud })
        })
    }

    /// Continues from the last comparison before the start, if the host has not been booted since. Detects a clock that
    /// was set meanwhile.
    pub fn resume(&self, anchor: &ClockAnchor) {
        if self.boot_id.as_ref() != Some(&anchor.boot_id) {
            return;
        }
        self.with(|seen, now, boottime| {
            if seen.compared.is_some() || boottime < anchor.boottime {
                return;
            }
            let skew = anchor.cloud - anchor.wall;
            seen.compared =
                Some(Compared { cloud: anchor.cloud, boottime: anchor.boottime, skew, since: anchor.cloud });
            let expected = later(anchor.wall, boottime.saturating_sub(anchor.boottime));
            if (now - expected).abs() > STEP_BACK {
                seen.events.push(ClockEvent::Stepped { from: expected, to: now, confirmed: true });
                seen.unconfirmed = Some(ClockBlocker::Stepped { to: now, by: now - expected });
            }
        });
    }

    /// Uses the last write of the history: later than now is a step that happened while the daemon was down.
    pub fn history_written(&self, at: DateTime<Utc>) {
        self.with(|seen, now, boottime| {
            seen.history = Some((at, boottime));
            if now < shifted(at, -STEP_BACK) {
                seen.events.push(ClockEvent::HistoryAhead { written_until: at, now });
                seen.unconfirmed = Some(ClockBlocker::Stepped { to: now, by: now - at });
                seen.is_confirmed = false;
            }
        });
    }

    /// The instant for ages, or why none is available now.
    ///
    /// # Errors
    ///
    /// [`ClockBlocker`] until the cloud has confirmed the clock.
    pub fn agreed(&self) -> Result<DateTime<Utc>, ClockBlocker> {
        self.with(|seen, now, boottime| {
            if let Some(blocker) = &seen.unconfirmed {
                return Err(blocker.clone());
            }
            match seen.compared {
                Some(Compared { skew, .. }) if skew.abs() > SKEW_TOO_FAR => Err(ClockBlocker::Skewed { skew }),
                Some(compared) => Ok(compared.judge(now, boottime)),
                None => Err(ClockBlocker::NotCompared),
            }
        })
    }

    /// The cloud's time, from its last response and the time since: setting the clock does not change it. The host's
    /// clock where the two are close, and before the first response.
    pub fn cloud_now(&self) -> DateTime<Utc> {
        self.with(|seen, now, boottime| seen.compared.map_or(now, |compared| compared.judge(now, boottime)))
    }

    /// Whether the cloud's time is known: from a response since the start, or from one since the host was booted.
    pub fn is_compared(&self) -> bool {
        self.with(|seen, _, _| seen.compared.is_some())
    }

    /// Passed time by the wall clock that nothing confirms. Zero once the cloud's time is known, and without a history:
    /// a host that was booted with a clock that is ahead must not end anything by its age.
    pub fn unproven(&self) -> TimeDelta {
        self.with(|seen, now, boottime| match (seen.compared, seen.history) {
            (None, Some((written, since))) => {
                let proven = later(written, boottime.saturating_sub(since));
                (now - proven).max(TimeDelta::zero())
            }
            _ => TimeDelta::zero(),
        })
    }

    /// Difference to the cloud's clock at its last response, if it is significant. Unknown after a step.
    pub fn skew(&self) -> Option<TimeDelta> {
        self.skewed().map(|(skew, _)| skew)
    }

    /// The same, with its start by the cloud's time.
    pub fn skewed(&self) -> Option<(TimeDelta, DateTime<Utc>)> {
        self.with(|seen, _, _| {
            let stepped = matches!(seen.unconfirmed, Some(ClockBlocker::Stepped { .. }));
            let Compared { skew, since, .. } = seen.compared?;
            (skew.abs() > SKEW_NOTICED && !stepped).then_some((skew, since))
        })
    }

    /// Whether to request the cloud's time now; counts as a request.
    pub fn may_ask(&self) -> bool {
        self.with(|seen, _, boottime| {
            let again = seen.asked.is_none_or(|at| boottime.saturating_sub(at) >= ASK_AGAIN);
            let may = again && (seen.unconfirmed.is_some() || seen.is_contradicted());
            if may {
                seen.asked = Some(boottime);
            }
            may
        })
    }

    /// Whether the clock was set, or differs from the cloud's, and no response has confirmed it.
    pub fn is_unconfirmed(&self) -> bool {
        self.with(|seen, _, _| matches!(seen.unconfirmed, Some(ClockBlocker::Stepped { .. })) || seen.is_contradicted())
    }

    /// Observations since the last call of this function.
    pub fn take_events(&self) -> Vec<ClockEvent> {
        self.with(|seen, _, _| std::mem::take(&mut seen.events))
    }

    /// Every use reads the clock first, so that a step right before it is detected.
    fn with<T>(&self, use_it: impl FnOnce(&mut Observed, DateTime<Utc>, Duration) -> T) -> T {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (now, boottime) = (self.clock.now(), self.clock.boottime());
        let (wall, since) = seen.anchor;
        let expected = later(wall, boottime.saturating_sub(since));
        if (now - expected).abs() > STEP_BACK {
            let confirmed = std::mem::replace(&mut seen.is_confirmed, false);
            seen.events.push(ClockEvent::Stepped { from: expected, to: now, confirmed });
            seen.unconfirmed = Some(ClockBlocker::Stepped { to: now, by: now - expected });
            seen.anchor = (now, boottime);
        }
        use_it(&mut seen, now, boottime)
    }
}

/// Severity of a difference.
fn degree(skew: TimeDelta) -> u8 {
    u8::from(skew.abs() > SKEW_NOTICED) + u8::from(skew.abs() > SKEW_TOO_FAR)
}

impl Observed {
    fn is_contradicted(&self) -> bool {
        self.compared.is_some_and(|compared| compared.skew.abs() > SKEW_TOO_FAR)
    }
}

impl Compared {
    /// `now` by the cloud: the clock itself if the two are close, which is exact to less than a second.
    fn judge(&self, now: DateTime<Utc>, boottime: Duration) -> DateTime<Utc> {
        let cloud = later(self.cloud, boottime.saturating_sub(self.boottime));
        if (cloud - now).abs() <= SKEW_NOTICED { now } else { cloud }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::ManualClock;

    fn watch() -> (ManualClock, ClockWatch) {
        let clock = ManualClock::at("2026-11-26T03:00:00Z".parse().unwrap());
        (clock.clone(), ClockWatch::new(Arc::new(clock)))
    }

    fn ask(watch: &ClockWatch, date: DateTime<Utc>) {
        watch.answered(watch.sent(), date);
    }

    #[test]
    fn skew_is_the_distance_from_the_interval() {
        let at = |seconds: i64| DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        for (date, expected) in [(0, 0), (29, 0), (30, 0), (31, 1), (-1, 0), (-2, -1), (-61, -60), (400, 370)] {
            assert_eq!(skew(at(0), at(30), at(date)).num_seconds(), expected, "{date}");
        }
    }

    #[test]
    fn nothing_is_agreed_before_the_first_answer() {
        let (clock, watch) = watch();
        assert_eq!(watch.agreed(), Err(ClockBlocker::NotCompared));
        assert!(watch.may_ask() && !watch.may_ask(), "asked once, and not at once again");
        ask(&watch, clock.now());
        assert_eq!(watch.agreed(), Ok(clock.now()));
        assert_eq!(watch.take_events(), [ClockEvent::Confirmed]);
        assert!(!watch.may_ask());
    }

    #[test]
    fn ages_go_by_the_cloud_above_a_minute_and_by_nothing_above_five() {
        for (minutes, is_agreed) in [(0, true), (1, true), (2, true), (5, true), (6, false), (576_000, false)] {
            for sign in [1, -1] {
                let (clock, watch) = watch();
                let cloud = clock.now() + TimeDelta::minutes(sign * minutes);
                ask(&watch, cloud);
                assert_eq!(watch.agreed().is_ok(), is_agreed, "{minutes}");
                if let Ok(now) = watch.agreed() {
                    assert!((now - if minutes > 1 { cloud } else { clock.now() }).abs() <= TimeDelta::seconds(1));
                }
                assert_eq!(watch.skew().is_some(), minutes > 1, "{minutes}");
            }
        }
    }

    #[test]
    fn a_step_is_noticed_by_whoever_asks_first_and_ends_with_the_next_answer_that_agrees() {
        for by in [TimeDelta::days(400), TimeDelta::hours(-3), TimeDelta::seconds(61), TimeDelta::days(-20_000)] {
            let (clock, watch) = watch();
            ask(&watch, clock.now());
            watch.take_events();
            clock.advance(TimeDelta::hours(9));
            assert!(watch.agreed().is_ok(), "time that passes is no step");
            let truth = clock.now();
            clock.step(truth + by);
            assert!(matches!(watch.agreed(), Err(ClockBlocker::Stepped { .. })), "{by}");
            assert!((watch.cloud_now() - truth).abs() <= TimeDelta::seconds(1), "the cloud's time goes on");
            assert!(matches!(watch.take_events().as_slice(), [ClockEvent::Stepped { .. }]));
            // The cloud's own answer shows that the clock is wrong; then it is put right, which is a step, too.
            ask(&watch, truth);
            if by.abs() > SKEW_TOO_FAR {
                assert!(matches!(watch.agreed(), Err(ClockBlocker::Skewed { .. })), "{by}");
                assert_eq!(watch.skew().map(|skew| (skew + by).num_seconds().abs() <= 1), Some(true));
            }
            clock.step(truth);
            assert!(watch.agreed().is_err());
            ask(&watch, truth);
            assert_eq!(watch.agreed(), Ok(truth));
        }
    }

    #[test]
    fn a_clock_that_is_set_while_a_call_is_running_does_not_agree() {
        let (clock, watch) = watch();
        let (sent, date) = (watch.sent(), clock.now());
        clock.step(clock.now() + TimeDelta::days(400));
        watch.answered(sent, date);
        assert!(watch.agreed().is_err());
    }

    #[test]
    fn a_slow_answer_is_no_skew() {
        let (clock, watch) = watch();
        let (sent, date) = (watch.sent(), clock.now());
        clock.advance(TimeDelta::minutes(30));
        watch.answered(sent, date);
        assert_eq!((watch.agreed(), watch.skew()), (Ok(clock.now()), None));
    }

    #[test]
    fn a_restart_within_one_boot_goes_on_from_the_last_comparison() {
        for by in [0, 59, 61, -61, 40_000_000, -40_000_000].map(TimeDelta::seconds) {
            let (clock, before) = watch();
            assert_eq!(before.anchor(), None);
            ask(&before, clock.now());
            let anchor = before.anchor().unwrap();
            clock.advance(TimeDelta::hours(9));
            let truth = clock.now();
            clock.step(truth + by);
            let after = ClockWatch::new(Arc::new(clock.clone()));
            assert!(!after.is_compared());
            after.resume(&anchor);
            assert!(after.is_compared());
            assert!(after.agreed().is_err(), "nothing is deleted by what is remembered");
            let is_step = by.abs() > STEP_BACK;
            assert_eq!(after.is_unconfirmed(), is_step, "{by}");
            assert_eq!(after.take_events().len(), usize::from(is_step));
            assert!((after.cloud_now() - truth).abs() <= TimeDelta::minutes(1), "{by}");
            let elsewhere = ClockAnchor { boot_id: "another".into(), ..anchor };
            let other = ClockWatch::new(Arc::new(clock));
            other.resume(&elsewhere);
            assert!(!other.is_compared(), "the time since another boot cannot be compared");
        }
    }

    #[test]
    fn what_passes_before_the_first_answer_is_proven_by_the_time_since_boot_alone() {
        let (clock, watch) = watch();
        assert_eq!(watch.unproven(), TimeDelta::zero(), "without a history there is nothing to go by");
        watch.history_written(clock.now() - TimeDelta::hours(5));
        assert_eq!(watch.unproven(), TimeDelta::hours(5));
        clock.advance(TimeDelta::hours(1));
        assert_eq!(watch.unproven(), TimeDelta::hours(5), "an hour did pass");
        ask(&watch, clock.now());
        assert_eq!(watch.unproven(), TimeDelta::zero());
    }

    #[test]
    fn a_history_of_the_future_is_a_step() {
        let (clock, watch) = watch();
        watch.history_written(clock.now() + TimeDelta::seconds(59));
        assert_eq!(watch.take_events(), []);
        watch.history_written(clock.now() + TimeDelta::days(400));
        let events = watch.take_events();
        assert!(
            events[0].to_string().starts_with("the clock was ahead until Fri 2027-12-31 03:00 +00:00"),
            "{events:?}"
        );
        ask(&watch, clock.now());
        assert!(watch.agreed().is_ok());
    }
}
