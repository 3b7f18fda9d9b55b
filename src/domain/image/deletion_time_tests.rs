//! What previews announce of a deletion, compared with the passes of a simulated daemon on a clock that the test moves: an image
//! is deleted when that was announced, and never before.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::{
    DeletionState, LineImage, Pin, Policy,
    judge::{Action, Blocker, RetentionDecision, action, deleted_from, judge},
    passes::{Prompts, Timetable},
    retention::tests::{image, keep},
};
use crate::domain::{calendar::zone::Zone, ids::ImageId, schedule::Keep};

fn start() -> DateTime<Utc> {
    "2027-01-01T03:00:00Z".parse().unwrap()
}

/// A line, and the retention passes of its daemon.
#[derive(Debug)]
struct World {
    images: Vec<LineImage>,
    keep: Keep,
    now: DateTime<Utc>,
    interval: TimeDelta,
    timetable: Timetable,
    quota_refused: Option<DateTime<Utc>>,
    last_scan_was_whole: bool,
}

/// What a preview announces of an image.
#[derive(Debug)]
struct Announced {
    verdict: RetentionDecision,
    not_before: Option<DateTime<Utc>>,
}

impl World {
    fn bake(&mut self) {
        let version = self.images.last().map_or(1, |image| image.version + 1);
        self.images.push(image(version, self.now));
    }

    fn grace(&self) -> TimeDelta {
        TimeDelta::from_std(self.keep.grace).unwrap()
    }

    fn verdicts(&self) -> Vec<RetentionDecision> {
        let keep = Some(self.keep.clone());
        let policy = Policy { schedule: "golden".into(), zone: Zone::UTC, keep, channels: vec![] };
        let blocker = (!self.last_scan_was_whole).then(|| Blocker::NotSeen { why: "503".into() });
        judge(&self.images, Some(&policy), blocker.as_slice(), self.now)
    }

    fn next_pass(&self) -> DateTime<Utc> {
        let ends = self.images.iter().filter_map(|image| match image.deletion {
            DeletionState::Marked { delete_after, .. } => Some(delete_after),
            _ => None,
        });
        let grace_ends = ends.filter(|at| self.timetable.judged_at().is_none_or(|judged| *at > judged)).min();
        self.timetable.next(Prompts { grace_ends, quota_refused: self.quota_refused }, self.now)
    }

    fn announce(&self) -> BTreeMap<ImageId, Announced> {
        let next_pass = self.next_pass();
        let announced = |(image, verdict): (&LineImage, RetentionDecision)| {
            let not_before = deleted_from(&image.deletion, &verdict, self.grace(), next_pass);
            let action = action(image, &verdict, self.grace(), self.now, next_pass);
            if let Action::Mark { delete_after } = action {
                assert_eq!(Some(delete_after), not_before, "an action announces the same");
            }
            (image.image_id.clone(), Announced { verdict, not_before })
        };
        self.images.iter().zip(self.verdicts()).map(announced).collect()
    }

    /// A pass; returns the images that it deletes.
    fn pass(&mut self, is_whole: bool) -> Vec<ImageId> {
        self.last_scan_was_whole = is_whole;
        self.timetable.correct(self.now, self.interval);
        if self.timetable.quota_pass(self.quota_refused).is_some_and(|due| due <= self.now) {
            self.timetable.begins_for_quota(self.now);
        }
        let mut deleted = Vec::new();
        for (index, verdict) in self.verdicts().into_iter().enumerate() {
            let (grace, now) = (self.grace(), self.now);
            let image = &mut self.images[index];
            match action(image, &verdict, grace, now, now) {
                Action::Mark { delete_after } => {
                    image.deletion = DeletionState::Marked {
                        since: now,
                        delete_after,
                        rule: String::new(),
                        tries: 0,
                        last_error: None,
                    };
                }
                Action::Unmark => image.deletion = DeletionState::Kept,
                Action::Delete => deleted.push(image.image_id.clone()),
                _ => {}
            }
        }
        self.images.retain(|image| !deleted.contains(&image.image_id));
        self.timetable.passed(self.now, (is_whole, false), self.interval);
        deleted
    }

    /// Passes as they become due; returns each deletion with its instant.
    fn run_until(&mut self, end: DateTime<Utc>, is_whole: bool) -> BTreeMap<ImageId, DateTime<Utc>> {
        let mut deleted = BTreeMap::new();
        while self.next_pass() <= end {
            self.now = self.next_pass();
            let now = self.now;
            deleted.extend(self.pass(is_whole).into_iter().map(|id| (id, now)));
        }
        self.now = end;
        deleted
    }

    fn happen(&mut self, happening: &Happening) {
        let (now, count) = (self.now, self.images.len());
        match happening {
            Happening::Bake => self.bake(),
            Happening::QuotaRefused => self.quota_refused = Some(now),
            Happening::Rules(keep) => self.keep = keep.clone(),
            _ if count == 0 => {}
            Happening::Pin { which, minutes } => {
                let until = minutes.map(|minutes| now + TimeDelta::minutes(minutes));
                self.images[which % count].pin = Some(Pin { until, reason: "r".into(), who: "w".into() });
            }
            Happening::Unpin { which } => self.images[which % count].pin = None,
            Happening::Use { which, used } => {
                self.images[which % count].seen.used_by = if *used { vec!["ws-1".into()] } else { vec![] };
            }
            Happening::Veto { which } => self.images[which % count].veto = Some("no sound".into()),
        }
    }
}

#[derive(Debug, Clone)]
enum Happening {
    Bake,
    QuotaRefused,
    Rules(Keep),
    Pin { which: usize, minutes: Option<i64> },
    Unpin { which: usize },
    Use { which: usize, used: bool },
    Veto { which: usize },
}

fn rules() -> impl Strategy<Value = Keep> {
    (0u32..4, 0u32..4, 0u32..3, 1u32..4, 0u64..3_000).prop_map(|(last, daily, weekly, min, grace)| Keep {
        last: last + u32::from(daily == 0),
        daily,
        weekly,
        min,
        grace: Duration::from_mins(grace),
        ..keep()
    })
}

fn happening() -> impl Strategy<Value = Happening> {
    let which = || 0usize..64;
    prop_oneof![
        6 => Just(Happening::Bake),
        1 => Just(Happening::QuotaRefused),
        1 => rules().prop_map(Happening::Rules),
        1 => (which(), prop::option::of(1i64..3_000)).prop_map(|(which, minutes)| Happening::Pin { which, minutes }),
        1 => which().prop_map(|which| Happening::Unpin { which }),
        1 => (which(), any::<bool>()).prop_map(|(which, used)| Happening::Use { which, used }),
        1 => which().prop_map(|which| Happening::Veto { which }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn an_image_is_deleted_when_that_was_announced_and_never_before(
        steps in prop::collection::vec((happening(), 1i64..3_000, prop::bool::weighted(0.9)), 1..40),
        (rules, interval) in (rules(), 30i64..300),
    ) {
        let mut world = World {
            images: vec![],
            keep: rules,
            now: start(),
            interval: TimeDelta::minutes(interval),
            timetable: Timetable::default(),
            quota_refused: None,
            last_scan_was_whole: true,
        };
        for (happening, minutes, is_whole) in steps {
            world.happen(&happening);
            let (announced, was_whole) = (world.announce(), world.last_scan_was_whole);
            let pins: Vec<_> = world.images.iter().filter_map(|image| image.pin.clone()?.until).collect();
            // Passes after an incomplete scan are five minutes apart.
            let end = world.now + TimeDelta::minutes(if is_whole { minutes } else { minutes % 50 });
            // The end of a pin changes what the rules want.
            let is_quiet = is_whole && was_whole && !pins.iter().any(|until| *until > world.now && *until <= end);
            let deleted = world.run_until(end, is_whole);
            for (id, Announced { verdict, not_before }) in announced {
                let at = deleted.get(&id).copied();
                prop_assert!(not_before.is_none() || at.is_none() || at >= not_before, "{id}: {at:?} {not_before:?}");
                match verdict {
                    RetentionDecision::Stays { .. } if is_quiet => prop_assert_eq!(at, None, "{}", id),
                    RetentionDecision::Goes { .. } if is_quiet => {
                        prop_assert_eq!(at, not_before.filter(|at| *at <= end), "{}", id);
                    }
                    _ => {}
                }
            }
        }
    }
}
