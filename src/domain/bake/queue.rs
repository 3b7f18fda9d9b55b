//! What a bake in the queue waits for that lies outside of it: what keeps every bake from beginning, its instance, a builder.

use std::{borrow::Cow, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::reason::ReasonCode;
use crate::domain::{
    api::codes::AccountQuota,
    calendar::zone::Zone,
    clock::shifted,
    ids::{BakeId, InstanceId},
    time::{show, show_minute, shown_first},
};

/// How the words begin that follow a reason: when something is tried next.
pub const NEXT_TRY: &str = "; next try ";

/// In place of [`NEXT_TRY`] once that time has come, and the call is not answered yet.
pub const UNANSWERED: &str = "; call not answered since ";

/// The same where nothing shows that a call was made.
pub const DUE: &str = "; try due since ";

/// How the words about the end of a wait begin and end.
pub const UNTIL: &str = ", until ";
/// See [`UNTIL`].
pub const AT_MOST: &str = " at most";

/// Words about an instance that its bake has stopped; the time follows.
pub const AT_REST: &str = "; its instance is stopped since ";

/// When something is tried next, in the words that follow a reason.
fn next_try(next: DateTime<Utc>, zone: Zone) -> String {
    format!("{NEXT_TRY}{}", show(next, zone))
}

/// Until when it is tried, in the words that follow the next try; with its seconds where the minute alone would lie before
/// the next try.
fn last_try(until: DateTime<Utc>, next: Option<DateTime<Utc>>, zone: Zone) -> String {
    let is_close = next.is_some_and(|next| until - next < TimeDelta::minutes(1));
    let until = if is_close { show(until, zone) } else { show_minute(until, zone) };
    format!("{UNTIL}{until}{AT_MOST}")
}

/// The place of the words that name a try, if a reason has any.
pub fn try_at(reason: &str) -> Option<usize> {
    [NEXT_TRY, UNANSWERED, DUE].into_iter().filter_map(|words| reason.rfind(words)).max()
}

/// What follows the words that name a try in the tail of a reason.
pub fn try_of(tail: &str) -> Option<(&'static str, &str)> {
    [NEXT_TRY, UNANSWERED, DUE].into_iter().find_map(|words| Some((words, tail.strip_prefix(words)?)))
}

/// A try that is due is made within seconds.
const CALLED_WITHIN: TimeDelta = TimeDelta::seconds(10);

/// A reason as it is now. A next try that has passed is not called next: its call is not answered, or it is due where no call
/// can be.
pub fn as_of(reason: &str, now: DateTime<Utc>, is_called: bool) -> Cow<'_, str> {
    let place = reason.rfind(NEXT_TRY);
    let at = place.and_then(|place| shown_first(&reason[place + NEXT_TRY.len()..]));
    match (place, at) {
        (Some(place), Some((at, _))) if at <= shifted(now, -CALLED_WITHIN) => {
            let words = if is_called { UNANSWERED } else { DUE };
            Cow::Owned(format!("{}{words}{}", &reason[..place], &reason[place + NEXT_TRY.len()..]))
        }
        _ => Cow::Borrowed(reason),
    }
}

/// Both, as far as there are any.
pub fn tries(next: Option<DateTime<Utc>>, until: Option<DateTime<Utc>>, zone: Zone) -> String {
    let last = until.map(|until| last_try(until, next, zone));
    format!("{}{}", next.map(|next| next_try(next, zone)).unwrap_or_default(), last.unwrap_or_default())
}

/// The queue as the engine sees it. The history keeps it for those who show bakes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueState {
    /// What keeps every bake from beginning, if anything does.
    pub blocker: Option<Blocker>,
    /// `[daemon] max_builders`.
    pub builders: usize,
    /// `[daemon] max_builders_per_region`.
    pub builders_per_region: usize,
}

/// What keeps every bake from beginning anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocker {
    /// The code of a bake whose deadline it outlasts.
    pub code: ReasonCode,
    /// In words.
    pub why: String,
    /// When a bake tries whether it is over.
    pub next_try: Option<DateTime<Utc>>,
    /// The one bake that tries now, which may begin.
    pub trial: Option<BakeId>,
}

/// A quota of the account is used up: nothing is stopped or created until an image of ours has ended, or `retry.cap` has
/// passed. Then one bake tries, and the others wait for its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedAdmission {
    /// When the quota first refused a call.
    pub since: DateTime<Utc>,
    /// The quota that refused last.
    pub quota: AccountQuota,
    /// When it did.
    pub refused_at: DateTime<Utc>,
    /// The cloud's last rejection.
    pub message: String,
    /// The `retry.cap` of the bake that was refused last.
    #[serde(with = "humantime_serde")]
    pub cap: Duration,
    /// The earliest instant at which a bake tries.
    pub until: DateTime<Utc>,
    /// The bake that tries.
    pub trial: Option<BakeId>,
}

impl ClosedAdmission {
    /// What the other bakes wait for.
    pub fn blocker(&self) -> Blocker {
        let Self { message, trial, until, .. } = self;
        let why = match trial {
            Some(bake) => format!("waits for a quota of the account, bake {bake} tries whether it has room: {message}"),
            None => format!("waits for a quota of the account: {message}"),
        };
        let next_try = trial.is_none().then_some(*until);
        Blocker { code: ReasonCode::Quota, why, next_try, trial: *trial }
    }
}

/// A bake that has begun and is not over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtWork {
    /// Its number.
    pub bake: BakeId,
    /// Its schedule's name.
    pub schedule: String,
    /// Its instance.
    pub instance: InstanceId,
    /// Where that is.
    pub region: String,
    /// Whether it takes one of the builders.
    pub holds_builder: bool,
}

/// A bake that has begun nothing, or that may begin nothing now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedBake {
    /// Its number.
    pub bake: BakeId,
    /// Its instance.
    pub instance: InstanceId,
    /// Where that is.
    pub region: String,
    /// Its slot.
    pub slot: DateTime<Utc>,
    /// The slot and its share of the jitter.
    pub not_before: DateTime<Utc>,
    /// When it is given up.
    pub give_up_at: DateTime<Utc>,
    /// The zone of its schedule.
    pub zone: Zone,
    /// A bake of the same instance that is before it in the queue.
    pub behind: Option<BakeId>,
}

impl QueueState {
    /// What keeps this bake from beginning, as it does every other one but the one that tries.
    fn blocker_of(&self, bake: BakeId) -> Option<&Blocker> {
        self.blocker.as_ref().filter(|blocker| blocker.trial != Some(bake))
    }

    /// What keeps `bake` from beginning; `None` where nothing is known of but its turn.
    pub fn reason(&self, queued: &QueuedBake, at_work: &[AtWork]) -> Option<String> {
        let QueuedBake { bake, instance, region, slot, not_before, give_up_at, zone, behind } = queued;
        let mut next = (not_before > slot).then_some(*not_before);
        // The two reads of the history are not one: the bake itself may have begun between them, and waits for no other.
        let others = || at_work.iter().filter(|other| other.bake != *bake);
        let builders =
            |wanted: &dyn Fn(&AtWork) -> bool| others().filter(|other| other.holds_builder && wanted(other)).count();
        let why = if let Some(blocker) = self.blocker_of(*bake) {
            next = blocker.next_try.max(next);
            blocker.why.clone()
        } else if let Some(other) = others().find(|other| other.instance == *instance) {
            format!("waits for its instance: bake {} of {} is at work on it", other.bake, other.schedule)
        } else if let Some(other) = behind {
            format!("waits for its instance: bake {other} is before it in the queue")
        } else if builders(&|_| true) >= self.builders {
            format!("waits for a builder: all {} are at work", self.builders)
        } else if builders(&|other| other.region == *region) >= self.builders_per_region {
            format!("waits for a builder: all {} of {region} are at work", self.builders_per_region)
        } else if next.is_some() {
            "waits for its time".to_owned()
        } else {
            return None;
        };
        Some(format!("{why}{}", tries(next, Some(*give_up_at), *zone)))
    }

    /// Whether what keeps every bake from beginning lasts at least as long as the bake's own wait.
    pub fn outlasts_wait_of(&self, queued: &QueuedBake) -> bool {
        self.blocker_of(queued.bake)
            .is_some_and(|blocker| blocker.next_try.is_none_or(|next| next >= queued.not_before))
    }

    /// What keeps a bake that has begun, and whose next call would stop its instance or create its image: builder and
    /// instance are its own.
    pub fn reason_begun(&self, begun: &QueuedBake) -> Option<String> {
        let blocker = self.blocker_of(begun.bake)?;
        Some(format!("{}{}", blocker.why, tries(blocker.next_try, Some(begun.give_up_at), begun.zone)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot() -> DateTime<Utc> {
        "2026-11-26T03:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_try_that_is_over_is_not_called_next() {
        let reason = |words: &str| format!("polls: no{words}Thu 2026-11-26 11:00:05 +08:00, until 07:00 at most");
        let now = slot() + TimeDelta::seconds(5) + CALLED_WITHIN;
        let next = reason(NEXT_TRY);
        assert_eq!(as_of(&next, now - TimeDelta::milliseconds(1), true), next, "it has some seconds");
        assert_eq!(as_of(&next, now, true), reason(UNANSWERED));
        assert_eq!(as_of(&next, now, false), reason(DUE));
        assert_eq!(as_of("CREATING", now, true), "CREATING");
        for words in [NEXT_TRY, UNANSWERED, DUE] {
            let reason = reason(words);
            let tail = &reason[try_at(&reason).unwrap()..];
            assert_eq!(try_of(tail), Some((words, &tail[words.len()..])));
        }
    }

    fn queued() -> QueuedBake {
        QueuedBake {
            bake: BakeId(9),
            instance: "ecd-1".into(),
            region: "cn-hangzhou".to_owned(),
            slot: slot(),
            not_before: slot(),
            give_up_at: slot() + TimeDelta::hours(4),
            zone: Zone::UTC,
            behind: None,
        }
    }

    fn at_work(bake: i64, instance: &str, region: &str) -> AtWork {
        AtWork {
            bake: BakeId(bake),
            schedule: "golden".to_owned(),
            instance: instance.into(),
            region: region.to_owned(),
            holds_builder: true,
        }
    }

    fn closed(trial: Option<i64>) -> Blocker {
        let closed = ClosedAdmission {
            since: slot(),
            quota: AccountQuota::Builders,
            refused_at: slot(),
            message: "ExceedBuilderQuota: none is free".to_owned(),
            cap: Duration::from_mins(10),
            until: slot() + TimeDelta::minutes(10),
            trial: trial.map(BakeId),
        };
        closed.blocker()
    }

    #[test]
    fn a_bake_in_the_queue_names_what_it_waits_for_with_the_next_try_and_the_deadline() {
        let until = ", until Thu 2026-11-26 07:00 +00:00 at most";
        let here = at_work(3, "ecd-2", "cn-hangzhou");
        let resting = AtWork { holds_builder: false, ..at_work(4, "ecd-1", "cn-hangzhou") };
        let jittered = QueuedBake { not_before: slot() + TimeDelta::minutes(5), ..queued() };
        let behind = QueuedBake { behind: Some(BakeId(8)), ..queued() };
        let quota = "waits for a quota of the account";
        for (blocker, queued, at_work, wanted) in [
            (None, queued(), vec![], None),
            (
                None,
                jittered.clone(),
                vec![],
                Some("waits for its time; next try Thu 2026-11-26 03:05 +00:00".to_owned()),
            ),
            (
                None,
                queued(),
                vec![here.clone()],
                Some("waits for a builder: all 1 of cn-hangzhou are at work".to_owned()),
            ),
            (None, queued(), vec![at_work(3, "ecd-2", "cn-shanghai")], None),
            (
                None,
                queued(),
                vec![at_work(3, "ecd-2", "cn-shanghai"), here.clone()],
                Some("waits for a builder: all 2 are at work".to_owned()),
            ),
            (
                None,
                queued(),
                vec![resting],
                Some("waits for its instance: bake 4 of golden is at work on it".to_owned()),
            ),
            (None, queued(), vec![at_work(9, "ecd-1", "cn-hangzhou"), at_work(9, "ecd-1", "cn-hangzhou")], None),
            (None, behind, vec![], Some("waits for its instance: bake 8 is before it in the queue".to_owned())),
            (
                Some(closed(None)),
                jittered,
                vec![here],
                Some(format!("{quota}: ExceedBuilderQuota: none is free; next try Thu 2026-11-26 03:10 +00:00")),
            ),
            (
                Some(closed(Some(3))),
                queued(),
                vec![],
                Some(format!("{quota}, bake 3 tries whether it has room: ExceedBuilderQuota: none is free")),
            ),
            (Some(closed(Some(9))), queued(), vec![], None),
        ] {
            let state = QueueState { blocker, builders: 2, builders_per_region: 1 };
            assert_eq!(state.reason(&queued, &at_work), wanted.map(|wanted| format!("{wanted}{until}")));
        }
    }
}
