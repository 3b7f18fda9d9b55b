//! Whether the host's clock can be believed: compared with the time since boot, with the history, and with the Date of
//! the cloud's answers.
//!
//! Two things are kept apart. A *step* is a jump of the wall clock; after one, and at the start, it is unknown whether the
//! clock is right until the cloud has answered. *Skew* is how far the clock is from the cloud's, as of the last answer.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{Clock, STEP_BACK, earlier, later, shifted};

/// More than the network and whole seconds explain: from here on ages are judged by the cloud's time.
pub const SKEW_NOTICED: TimeDelta = TimeDelta::minutes(1);
/// From here on nothing is marked, deleted or moved to a channel.
pub const SKEW_TOO_FAR: TimeDelta = TimeDelta::minutes(5);
/// HTTP dates show whole seconds.
const DATE_RESOLUTION: Duration = Duration::from_secs(1);
/// The cloud is asked for its time at most this often.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// The last comparison is kept anew this often: what the two clocks drift apart in between is far below [`STEP_BACK`].
const KEEP_ANCHOR_AGAIN: Duration = Duration::from_hours(6);

/// How far the cloud's `date` is from the time in which the answer was made, which is zero inside. Positive where the
/// cloud is ahead.
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

/// Why ages cannot be judged now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClockBlocker {
    /// No answer of the cloud has been compared with this host's clock since the start.
    NotCompared,
    /// The clock was set, and no answer of the cloud has agreed with it since.
    Stepped {
        /// What it showed after that.
        to: DateTime<Utc>,
        /// How far it was set.
        by: TimeDelta,
    },
    /// It is too far from the cloud's.
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
                    to.format("%F %T UTC")
                )
            }
            Self::Skewed { skew } => write!(f, "{}", Skew(*skew)),
        }
    }
}

/// How far the clock is off, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew(pub TimeDelta);

impl fmt::Display for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = if self.0 > TimeDelta::zero() { "behind" } else { "ahead of" };
        write!(f, "this host's clock is {} {side} the cloud's", span(self.0))
    }
}

/// Whole seconds in words, without a sign.
fn span(delta: TimeDelta) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(delta.num_seconds().unsigned_abs()))
}

/// What became known of the clock; for the log and the audit.
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
    /// The first answer since the start, or since a step, that agrees with the clock.
    Confirmed,
    /// The clock is far from the cloud's, or not any more.
    Skewed {
        /// The cloud's clock less ours; zero where it is right again.
        skew: TimeDelta,
    },
}

impl ClockEvent {
    /// How its line in the audit begins, where one such line is enough: every start finds the same history.
    pub fn once(&self) -> Option<String> {
        match self {
            Self::HistoryAhead { written_until, .. } => {
                Some(format!("the clock was ahead until {}", written_until.format("%F %T UTC")))
            }
            _ => None,
        }
    }
}

impl fmt::Display for ClockEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = |at: &DateTime<Utc>| at.format("%F %T UTC").to_string();
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
    /// Whether so much time has passed since `earlier` that it is worth keeping in its stead.
    pub fn replaces(&self, earlier: &Self) -> bool {
        self.boot_id != earlier.boot_id || self.boottime.saturating_sub(earlier.boottime) >= KEEP_ANCHOR_AGAIN
    }
}

/// Compares the clock with everything that there is. Shared by the client, whose answers carry the time, and by all who
/// judge ages.
#[derive(Debug)]
pub struct ClockWatch {
    clock: Arc<dyn Clock>,
    /// Which boot of the host this is.
    boot_id: Option<String>,
    seen: Mutex<Observed>,
}

#[derive(Debug)]
struct Observed {
    /// The wall clock and the time since boot when they were last set against each other.
    anchor: (DateTime<Utc>, Duration),
    /// What has not been compared with the cloud yet: the start, or a step.
    unconfirmed: Option<ClockBlocker>,
    /// Whether an answer of the cloud has agreed since the start, or since the last step.
    is_confirmed: bool,
    /// What the last answer showed.
    compared: Option<Compared>,
    /// When the history was last written before the start, and the time since boot when that was read. The true time is at
    /// least this much later than the write.
    history: Option<(DateTime<Utc>, Duration)>,
    /// When the cloud was last asked for its time.
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
    /// Since when, by the cloud, the clock has been as far off as it is, or right.
    since: DateTime<Utc>,
}

/// When a call was sent.
#[derive(Debug, Clone, Copy)]
pub struct Sent(Duration);

/// The last comparison with the cloud, as the history keeps it: within one boot of the host a restarted daemon goes on from
/// it, and so knows the time before the cloud's first answer.
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
    /// Begins with a clock that nobody has confirmed.
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

    /// Reads the clock, and notes whether it was set since the last reading.
    pub fn observe(&self) {
        self.with(|_, _, _| ());
    }

    /// Notes that a call is about to be sent.
    pub fn sent(&self) -> Sent {
        Sent(self.clock.boottime())
    }

    /// Takes the Date of an answer of the cloud itself.
    pub fn answered(&self, sent: Sent, date: DateTime<Utc>) {
        self.with(|seen, now, boottime| {
            // By the time since boot, so that a clock that was set while the call was under way widens nothing.
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
            // Too far is a blocker of its own, which is more specific than the one before.
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

    /// Goes on from the last comparison before the start, if the host has not been booted since. A clock that was set
    /// meanwhile is noticed.
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

    /// Takes note of when the history was last written: later than now is a step that happened while the daemon was down.
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

    /// The instant by which ages are judged, or why none can be judged now.
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

    /// The cloud's time, from its last answer and the time since: no setting of the clock moves it. The clock
    /// where they are close, and before the first answer.
    pub fn cloud_now(&self) -> DateTime<Utc> {
        self.with(|seen, now, boottime| seen.compared.map_or(now, |compared| compared.judge(now, boottime)))
    }

    /// Whether the cloud's time is known at all: from an answer since the start, or from one since the host was booted.
    pub fn is_compared(&self) -> bool {
        self.with(|seen, _, _| seen.compared.is_some())
    }

    /// How much of the time that has passed by the wall clock nothing confirms. Zero once the cloud's time is known, and where
    /// there is no history: a host that was booted with a clock that is ahead must end nothing by its age.
    pub fn unproven(&self) -> TimeDelta {
        self.with(|seen, now, boottime| match (seen.compared, seen.history) {
            (None, Some((written, since))) => {
                let proven = later(written, boottime.saturating_sub(since));
                (now - proven).max(TimeDelta::zero())
            }
            _ => TimeDelta::zero(),
        })
    }

    /// How far the cloud's clock was from ours at its last answer, if that is noticed at all. Unknown after a step.
    pub fn skew(&self) -> Option<TimeDelta> {
        self.skewed().map(|(skew, _)| skew)
    }

    /// The same, with since when by the cloud's time.
    pub fn skewed(&self) -> Option<(TimeDelta, DateTime<Utc>)> {
        self.with(|seen, _, _| {
            let stepped = matches!(seen.unconfirmed, Some(ClockBlocker::Stepped { .. }));
            let Compared { skew, since, .. } = seen.compared?;
            (skew.abs() > SKEW_NOTICED && !stepped).then_some((skew, since))
        })
    }

    /// Whether the cloud is to be asked for its time now; the asking counts from here.
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

    /// Whether the clock was set, or is far from the cloud's, and nothing has settled it yet.
    pub fn is_unconfirmed(&self) -> bool {
        self.with(|seen, _, _| matches!(seen.unconfirmed, Some(ClockBlocker::Stepped { .. })) || seen.is_contradicted())
    }

    /// What has become known since it was last asked.
    pub fn take_events(&self) -> Vec<ClockEvent> {
        self.with(|seen, _, _| std::mem::take(&mut seen.events))
    }

    /// Every use reads the clock first: a step right before it is not overlooked.
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

/// How bad a skew is.
fn degree(skew: TimeDelta) -> u8 {
    u8::from(skew.abs() > SKEW_NOTICED) + u8::from(skew.abs() > SKEW_TOO_FAR)
}

impl Observed {
    fn is_contradicted(&self) -> bool {
        self.compared.is_some_and(|compared| compared.skew.abs() > SKEW_TOO_FAR)
    }
}

impl Compared {
    /// `now` by the cloud: the clock itself where the two are close, which is exact to less than a second.
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
    fn a_clock_that_is_set_while_a_call_is_under_way_does_not_agree() {
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
        assert!(events[0].to_string().starts_with("the clock was ahead until 2027-12-31 03:00:00 UTC"), "{events:?}");
        ask(&watch, clock.now());
        assert!(watch.agreed().is_ok());
    }
}
