use std::time::Duration;

use crate::domain::calendar::zone::Zone;
use proptest::prelude::*;

use super::*;
use crate::domain::{
    ids::ImageId,
    image::{
        Pin,
        retention::{self, tests::keep},
    },
    schedule::Keep,
};

fn start() -> DateTime<Utc> {
    "2027-01-01T03:00:00Z".parse().unwrap()
}

fn policy(keep: Keep) -> Policy {
    Policy { schedule: "golden".into(), zone: Zone::find("Asia/Shanghai").unwrap(), keep: Some(keep), channels: vec![] }
}

/// A good image of ours, made on that day.
fn image(day: i64) -> LineImage {
    let slot = start() + TimeDelta::days(day);
    LineImage {
        image_id: ImageId::new(format!("imgc-{day}")),
        name: format!("golden-v{day}"),
        ..retention::tests::image(u32::try_from(day).unwrap() + 1, slot)
    }
}

fn goes(images: &[LineImage], keep: &Keep, blockers: &[Blocker]) -> Vec<bool> {
    let now = start() + TimeDelta::days(400);
    judge(images, Some(&policy(keep.clone())), blockers, now).iter().map(RetentionDecision::goes).collect()
}

#[test]
fn a_vetoed_image_is_not_the_last_good_one() {
    let now = start() + TimeDelta::days(400);
    let mut images: Vec<LineImage> = (1..=3).map(image).collect();
    images[2].veto = Some("no sound".into());
    let why = |images: &[LineImage]| -> Vec<bool> {
        judge(images, None, &[], now).iter().map(|verdict| verdict.why().contains(&Why::LastGood)).collect()
    };
    assert_eq!(why(&images), [false, true, false]);
    images[1].veto = Some("no sound either".into());
    images[0].veto = Some("nor here".into());
    assert_eq!(why(&images), [false; 3], "there is none");
}

/// Its check may fail: what it is to replace must last until then.
#[test]
fn an_image_whose_check_is_not_over_is_not_the_last_good_one() {
    let mut images: Vec<LineImage> = (1..=3).map(image).collect();
    images[2].unchecked = true;
    let rules = Keep { last: 1, ..keep() };
    assert_eq!(goes(&images, &rules, &[]), [true, false, false]);
    images[2].unchecked = false;
    assert_eq!(goes(&images, &rules, &[]), [true, true, false]);
    for image in &mut images {
        image.unchecked = true;
    }
    assert_eq!(goes(&images, &rules, &[]), [true, true, false], "there is no better one");
}

#[test]
fn the_floor_counts_good_images_that_are_there() {
    let rules = Keep { last: 1, min: 3, ..keep() };
    let mut images: Vec<_> = (0..5).map(image).collect();
    assert_eq!(goes(&images, &rules, &[]), [true, true, false, false, false]);
    // One is gone, one failed: the floor reaches further back.
    images[3].seen.missing_since = Some(start());
    images[2].seen.available = false;
    assert_eq!(goes(&images, &rules, &[]), [false; 5]);
    // A pinned one counts: it is there, and good.
    let mut images: Vec<_> = (0..5).map(image).collect();
    images[0].pin = Some(Pin { until: None, reason: "r".into(), who: "w".into() });
    assert_eq!(goes(&images, &rules, &[]), [false, true, true, false, false]);
}

#[test]
fn without_rules_or_with_a_blocker_nothing_goes() {
    let images: Vec<_> = (0..9).map(image).collect();
    let rules = Keep { last: 1, ..keep() };
    assert_eq!(goes(&images, &rules, &[]).iter().filter(|goes| **goes).count(), 8);
    for blocker in [Blocker::NewestFailed { bake: BakeId(7) }, Blocker::NotSeen { why: "403".into() }] {
        assert_eq!(goes(&images, &rules, &[blocker]), [false; 9]);
    }
    for policy in [None, Some(Policy { keep: None, ..policy(rules) })] {
        assert!(judge(&images, policy.as_ref(), &[], start()).iter().all(|verdict| !verdict.goes()));
    }
}

#[test]
fn a_pin_holds_until_it_ends() {
    let rules = Keep { last: 1, ..keep() };
    let now = start() + TimeDelta::days(10);
    let judged = |until| {
        let mut images = [image(0), image(1)];
        images[0].pin = Some(Pin { until, reason: "r".into(), who: "w".into() });
        judge(&images, Some(&policy(rules.clone())), &[], now)[0].goes()
    };
    assert!(!judged(None) && !judged(Some(now + TimeDelta::seconds(1))));
    assert!(judged(Some(now)) && judged(Some(now - TimeDelta::days(1))));
}

#[test]
fn each_image_has_the_rules_that_keep_it_and_their_count_a_veto_or_not() {
    let now = start() + TimeDelta::days(10);
    let mut images: Vec<_> = (0..10).map(image).collect();
    images[8].veto = Some("no sound".into());
    let rules = Keep { last: 2, daily: 3, weekly: 3, within: Some(Duration::from_hours(24)), min: 7, ..keep() };
    let verdicts = judge(&images, Some(&policy(rules)), &[], now);
    let reasons: Vec<String> = verdicts
        .iter()
        .map(|verdict| verdict.why().iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        .collect();
    assert_eq!(
        reasons,
        [
            "weekly = 3, the oldest",
            "",
            "weekly, week 53 of 2026",
            "",
            "",
            "min = 7",
            "min = 7",
            "daily, 2027-01-08",
            "the 2nd of last = 2; daily, 2027-01-09; within 1d of the newest",
            "newest good image; the 1st of last = 2; daily, 2027-01-10; weekly, week 1 of 2027; within 1d of the newest",
        ]
    );
}

#[test]
fn reasons_are_shown_in_the_zone_of_the_schedule() {
    let until = Some(start() + TimeDelta::days(1));
    let why = Why::Pinned { until, reason: "release".into(), who: "ana".into() };
    let shanghai = Zone::find("Asia/Shanghai").unwrap();
    assert_eq!(why.describe(shanghai), "pinned by ana until Sat 2027-01-02 11:00 +08:00: release");
    assert_eq!(why.to_string(), "pinned by ana until Sat 2027-01-02 03:00 +00:00: release");
    let forever = Why::Pinned { until: None, reason: "release".into(), who: String::new() };
    assert_eq!(forever.describe(shanghai), "pinned: release");
}

#[test]
fn a_mark_is_taken_back_by_rules_and_persons_alone() {
    let now = start() + TimeDelta::days(10);
    let marked = |days: i64| DeletionState::Marked {
        since: now,
        delete_after: now + TimeDelta::days(days),
        rule: String::new(),
        tries: 0,
        last_error: None,
    };
    let after = |change: fn(&mut LineImage), blockers: &[Blocker], last: u32, days: i64| {
        let mut images = [image(0), image(1)];
        images[0].deletion = marked(days);
        change(&mut images[0]);
        let rules = policy(Keep { last, ..keep() });
        let verdicts = judge(&images, Some(&rules), blockers, now);
        action(&images[0], &verdicts[0], TimeDelta::days(1), now, now)
    };
    let blocked = Action::Blocked { delete_after: now + TimeDelta::days(1) };
    let blockers: [fn(&mut LineImage); 6] = [
        |image| image.seen.used_by = vec!["ecd-1".into()],
        |image| image.channels = vec!["stable".into()],
        |image| image.copied_to = vec!["cn-beijing".into()],
        |image| image.seen.available = false,
        |image| image.seen.ours = false,
        |image| image.seen.missing_since = Some(start()),
    ];
    for block in blockers {
        assert_eq!(after(block, &[], 1, 1), blocked);
    }
    for blocker in [Blocker::NewestFailed { bake: BakeId(7) }, Blocker::NotSeen { why: "503".into() }] {
        assert_eq!(after(|_| {}, &[blocker], 1, 1), blocked);
    }
    // The old grace counts.
    assert_eq!(after(|_| {}, &[], 1, 1), Action::Wait { delete_after: now + TimeDelta::days(1) });
    assert_eq!(after(|_| {}, &[], 1, 0), Action::Delete);
    let pin = |image: &mut LineImage| image.pin = Some(Pin { until: None, reason: "r".into(), who: "w".into() });
    assert_eq!(after(pin, &[], 1, 0), Action::Unmark);
    assert_eq!(after(|_| {}, &[], 2, 0), Action::Unmark);
    // What was sent is searched for, whatever the rules are.
    let sent = |image: &mut LineImage| {
        image.deletion = DeletionState::Deleting { rule: String::new(), tries: 1, sent_at: start(), next: start() };
    };
    assert_eq!(after(sent, &[], 1, 0), Action::Search);
    assert_eq!(after(sent, &[], 2, 0), Action::Search);
}

/// An image that a clock made which was `ahead`: its slot is of the future, and perhaps also when it was seen AVAILABLE.
fn of_the_future(version: u32, made: DateTime<Utc>, ahead: TimeDelta, dated_by_cloud: bool) -> LineImage {
    let slot = made + ahead;
    LineImage {
        image_id: ImageId::new(format!("imgc-future-{version}")),
        version,
        slot,
        available_at: if dated_by_cloud { made } else { slot },
        ..image(0)
    }
}

#[test]
fn an_image_of_the_future_is_not_the_newest_for_as_long() {
    let rules = Keep { last: 1, within: Some(Duration::from_hours(72)), ..keep() };
    let now = start() + TimeDelta::days(400);
    let judged = |images: &[LineImage]| -> Vec<bool> {
        judge(images, Some(&policy(rules.clone())), &[], now).iter().map(RetentionDecision::goes).collect()
    };
    for dated_by_cloud in [true, false] {
        // Three of the true time, then one of the future: it pushes nothing out.
        let future = of_the_future(401, now, TimeDelta::days(400), dated_by_cloud);
        let images = [image(398), image(399), future.clone()].map(|mut image| {
            image.version = image.version.min(401);
            image
        });
        assert_eq!(judged(&images), [false; 3]);
        // The next one of the true time is newer than it, by its version.
        let next = LineImage { version: 402, slot: now, available_at: now, ..image(400) };
        assert_eq!(judged(&[future.clone(), next.clone()]), [false; 2], "within 72h of one another");
        let much_later = now + TimeDelta::days(30);
        let next = LineImage { slot: much_later, available_at: much_later, ..next };
        let verdicts = judge(&[future, next], Some(&policy(Keep { last: 1, ..keep() })), &[], much_later);
        assert_eq!(verdicts.iter().map(RetentionDecision::goes).collect::<Vec<_>>(), [true, false]);
    }
}

proptest! {
    /// Whatever images of the future there are, those of the true time that the rules want without them stay.
    #[test]
    fn images_of_the_future_push_out_none_of_the_true_time(
        days in prop::collection::btree_set(0_i64..390, 1..20),
        futures in prop::collection::vec((0_i64..390, 1_i64..20_000, any::<bool>()), 0..8),
        (last, daily, weekly, within, min) in (0_u32..4, 0_u32..4, 0_u32..3, 0_u64..400, 1_u32..4),
    ) {
        let within = (within > 0).then(|| Duration::from_hours(within));
        let rules = Keep { last, daily, weekly, within, min, ..keep() };
        let mut images: Vec<LineImage> = days.iter().map(|day| image(*day)).collect();
        for image in &mut images {
            image.version *= 10;
        }
        let without = goes(&images, &rules, &[]);
        for (number, (day, hours, dated_by_cloud)) in futures.iter().enumerate() {
            let version = u32::try_from((day + 1) * 10).unwrap() + 1 + u32::try_from(number).unwrap();
            let made = start() + TimeDelta::days(*day);
            images.push(of_the_future(version, made, TimeDelta::hours(*hours + 24 * 400), *dated_by_cloud));
        }
        let with = goes(&images, &rules, &[]);
        for (index, goes) in without.iter().enumerate() {
            prop_assert!(*goes || !with[index], "{}", images[index].name);
        }
    }
}

/// One line of a simulated account, as the history has it, and the truth in the cloud.
#[derive(Debug, Clone)]
struct Line {
    history: Vec<LineImage>,
    /// Images that are really there and good, by their place in `history`.
    there: Vec<bool>,
    newest_failed: bool,
    keep: Keep,
    now: DateTime<Utc>,
    days: i64,
}

/// What happens to it.
#[derive(Debug, Clone)]
enum Happening {
    Bake { good: bool },
    Pin { which: usize, days: Option<i64> },
    Unpin { which: usize },
    Use { which: usize, used: bool },
    Channel { which: usize, on: bool },
    LoseTags { which: usize },
    Vanish { which: usize },
    Clock { hours: i64 },
    Rules(Keep),
    Pass { whole: bool, refused: bool },
}

fn happening() -> impl Strategy<Value = Happening> {
    let which = || 0usize..64;
    prop_oneof![
        6 => prop::bool::weighted(0.8).prop_map(|good| Happening::Bake { good }),
        1 => (which(), prop::option::of(0i64..5)).prop_map(|(which, days)| Happening::Pin { which, days }),
        1 => which().prop_map(|which| Happening::Unpin { which }),
        1 => (which(), any::<bool>()).prop_map(|(which, used)| Happening::Use { which, used }),
        1 => (which(), any::<bool>()).prop_map(|(which, on)| Happening::Channel { which, on }),
        1 => which().prop_map(|which| Happening::LoseTags { which }),
        1 => which().prop_map(|which| Happening::Vanish { which }),
        1 => (-50i64..200).prop_map(|hours| Happening::Clock { hours }),
        1 => (0u32..4, 0u32..4, 1u32..4, 0u64..50).prop_map(|(last, daily, min, grace)| Happening::Rules(Keep {
            last: last + u32::from(daily == 0), daily, min, grace: Duration::from_hours(grace), ..keep()
        })),
        6 => (prop::bool::weighted(0.9), prop::bool::weighted(0.1))
            .prop_map(|(whole, refused)| Happening::Pass { whole, refused }),
    ]
}

impl Line {
    fn good(&self) -> usize {
        self.there.iter().filter(|there| **there).count()
    }

    fn some(&mut self, which: usize) -> Option<&mut LineImage> {
        let count = self.history.len();
        (count > 0).then(|| &mut self.history[which % count])
    }

    /// A complete scan.
    fn scan(&mut self) {
        for (image, there) in self.history.iter_mut().zip(&self.there) {
            image.seen.missing_since = if *there { None } else { image.seen.missing_since.or(Some(self.now)) };
        }
    }

    fn pass(&mut self, whole: bool, refused: bool) {
        let mut blockers = Vec::new();
        if self.newest_failed {
            blockers.push(Blocker::NewestFailed { bake: BakeId(1) });
        }
        if whole {
            self.scan();
        } else {
            blockers.push(Blocker::NotSeen { why: "r".into() });
        }
        let policy = policy(self.keep.clone());
        let grace = TimeDelta::from_std(self.keep.grace).unwrap();
        let alive: Vec<usize> = (0..self.history.len())
            .filter(|i| !matches!(self.history[*i].deletion, DeletionState::Deleted { .. }))
            .collect();
        let images: Vec<_> = alive.iter().map(|i| self.history[*i].clone()).collect();
        let verdicts = judge(&images, Some(&policy), &blockers, self.now);
        // What is rehearsed is what is done.
        assert_eq!(verdicts, judge(&images, Some(&policy), &blockers, self.now));
        let ours = |line: &Self| (0..line.there.len()).filter(|i| line.there[*i] && line.history[*i].seen.ours).count();
        let before = ours(self);
        for ((&index, image), verdict) in alive.iter().zip(&images).zip(&verdicts) {
            let action = action(image, verdict, grace, self.now, self.now);
            let row = &mut self.history[index];
            match &action {
                Action::Keep | Action::Wait { .. } | Action::NeedsConfirmation => {}
                Action::Blocked { .. } => assert!(matches!(row.deletion, DeletionState::Marked { .. })),
                Action::Mark { delete_after } => {
                    row.deletion = DeletionState::Marked {
                        since: self.now,
                        delete_after: *delete_after,
                        rule: String::new(),
                        tries: 0,
                        last_error: None,
                    };
                }
                Action::Unmark => row.deletion = DeletionState::Kept,
                Action::Search => {
                    row.deletion = if self.there[index] {
                        DeletionState::Marked {
                            since: self.now,
                            delete_after: self.now,
                            rule: String::new(),
                            tries: 1,
                            last_error: Some(String::new()),
                        }
                    } else {
                        DeletionState::Deleted { at: self.now }
                    };
                }
                Action::Delete => {
                    assert!(whole && !self.newest_failed, "in blocker");
                    assert!(held(image, self.now).is_empty(), "held: {image:?}");
                    assert!(self.there[index]);
                    if let DeletionState::Marked { delete_after, .. } = image.deletion {
                        assert!(self.now >= delete_after, "the grace was cut short");
                    } else {
                        assert!(grace.is_zero() || matches!(image.deletion, DeletionState::Deleting { .. }));
                    }
                    if refused {
                        row.deletion = DeletionState::Refused { why: String::new() };
                    } else {
                        row.deletion = DeletionState::Deleted { at: self.now };
                        self.there[index] = false;
                    }
                }
            }
        }
        let after = ours(self);
        assert!(after >= before.min(self.keep.min as usize), "{before} good images, {after} left: {self:?}");
        // The newest good image is never touched.
        let newest =
            (0..self.history.len()).filter(|i| self.history[*i].seen.ours).max_by_key(|i| self.history[*i].slot);
        if let Some(newest) = newest {
            assert!(
                !matches!(self.history[newest].deletion, DeletionState::Deleted { .. })
                    || !self.there[newest] && before == after
            );
        }
    }

    fn happen(&mut self, happening: &Happening) {
        let now = self.now;
        match happening {
            Happening::Bake { good } => {
                self.days += 1;
                self.now += TimeDelta::days(1);
                self.newest_failed = !good;
                if *good {
                    self.history.push(image(self.days));
                    self.there.push(true);
                }
            }
            Happening::Pin { which, days } => {
                let until = days.map(|days| now + TimeDelta::days(days));
                if let Some(image) = self.some(*which) {
                    image.pin = Some(Pin { until, reason: "r".into(), who: "w".into() });
                }
            }
            Happening::Unpin { which } => drop(self.some(*which).and_then(|image| image.pin.take())),
            Happening::Use { which, used } => {
                if let Some(image) = self.some(*which) {
                    image.seen.used_by = if *used { vec!["ws-1".into()] } else { vec![] };
                }
            }
            Happening::Channel { which, on } => {
                if let Some(image) = self.some(*which) {
                    image.channels = if *on { vec!["stable".into()] } else { vec![] };
                }
            }
            Happening::LoseTags { which } => {
                if let Some(image) = self.some(*which) {
                    image.seen.ours = false;
                }
            }
            Happening::Vanish { which } => {
                let count = self.there.len();
                if count > 0 {
                    self.there[which % count] = false;
                }
            }
            Happening::Clock { hours } => self.now += TimeDelta::hours(*hours),
            Happening::Rules(keep) => self.keep = keep.clone(),
            Happening::Pass { whole, refused } => self.pass(*whole, *refused),
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_floor_holds(happenings in prop::collection::vec(happening(), 1..120)) {
        let mut line = Line {
            history: vec![],
            there: vec![],
            newest_failed: false,
            keep: Keep { last: 2, ..keep() },
            now: start(),
            days: 0,
        };
        for happening in &happenings {
            let before = line.good();
            line.happen(happening);
            let may_lose = matches!(happening, Happening::Pass { .. } | Happening::Vanish { .. });
            prop_assert!(may_lose || line.good() >= before);
        }
    }
}
