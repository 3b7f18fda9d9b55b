use std::time::Duration;

use crate::domain::calendar::zone::Zone;
use proptest::prelude::*;

use super::*;
use crate::domain::image::{
    DeletionState, Policy,
    judge::{Action, action, judge},
    retention::tests::{image, keep},
};

fn start() -> DateTime<Utc> {
    "2027-01-01T03:00:00Z".parse().unwrap()
}

/// A line as the history has it, with what the brake remembers of it.
#[derive(Debug, Clone)]
struct Line {
    images: Vec<(LineImage, Option<MarkKind>, bool, bool)>,
    deleted: Vec<Departed>,
    rules: Option<Keep>,
    keep: Keep,
    now: DateTime<Utc>,
    made: u32,
    /// How many images a channel is behind the newest one.
    channel_behind: Option<usize>,
    /// Which images the channel left, and when.
    left: Vec<(u32, DateTime<Utc>)>,
}

impl Line {
    fn new(keep: Keep) -> Self {
        let (channel_behind, left) = (None, vec![]);
        Self { images: vec![], deleted: vec![], rules: None, keep, now: start(), made: 0, channel_behind, left }
    }

    fn make(&mut self, of_slot: bool) {
        self.made += 1;
        let image = image(self.made, self.now);
        self.images.push((image, None, true, of_slot));
    }

    /// Moves the channel to the image that is so many behind the newest one.
    fn move_channel(&mut self) {
        let Some(behind) = self.channel_behind else { return };
        let target = self.images.iter().rev().nth(behind).map(|(image, ..)| image.version);
        for (image, ..) in &mut self.images {
            let (was, is) = (!image.channels.is_empty(), Some(image.version) == target);
            if was && !is {
                self.left.push((image.version, self.now));
            }
            image.channels = if is { vec!["stable".to_owned()] } else { vec![] };
        }
    }

    fn left_since(&self, version: u32, since: DateTime<Utc>) -> bool {
        self.left.iter().any(|(left, at)| *left == version && *at > since)
    }

    /// A pass as the daemon makes one: how many images it deleted, and whether the brake held some.
    fn pass(&mut self, confirm: bool) -> (usize, bool) {
        let policy = Policy {
            schedule: "golden".into(),
            zone: Zone::find("Asia/Shanghai").unwrap(),
            keep: Some(self.keep.clone()),
            channels: vec![],
        };
        let images: Vec<LineImage> = self.images.iter().map(|(image, ..)| image.clone()).collect();
        let grace = TimeDelta::from_std(self.keep.grace).unwrap();
        let verdicts = judge(&images, Some(&policy), &[], self.now);
        let actions: Vec<Action> = images
            .iter()
            .zip(&verdicts)
            .map(|(image, verdict)| action(image, verdict, grace, self.now, self.now))
            .collect();
        let candidates: Vec<Candidate<'_>> = self
            .images
            .iter()
            .zip(verdicts.iter().zip(&actions))
            .map(|((image, marked, is_new, of_slot), (verdict, action))| Candidate {
                image,
                marked: *marked,
                is_new: *is_new,
                of_slot: *of_slot,
                left_by_channel: self.left_since(image.version, self.now - WINDOW - WINDOW),
                goes: verdict.goes(),
                is_due: *action == Action::Delete,
            })
            .collect();
        let kinds = kinds(&candidates, &self.keep, self.rules.as_ref() == Some(&self.keep), self.now);
        let of_late = |one: &&Departed| one.deleted_at > self.now - WINDOW;
        let departed: Vec<Departed> = self.deleted.iter().filter(of_late).copied().collect();
        let load = LineLoad::of(&candidates, &kinds, &departed, self.now);
        let line = "golden".into();
        let held = !brakes([(&line, &load)], None, 1_000).is_empty() && !confirm;
        let mut deleted = 0;
        let mut left = Vec::new();
        for (index, (mut image, mut marked, _, of_slot)) in std::mem::take(&mut self.images).into_iter().enumerate() {
            let kind = kinds[index];
            match actions[index] {
                Action::Delete if !held => {
                    deleted += 1;
                    if matches!(kind, MarkKind::Counted | MarkKind::Left) && !confirm {
                        let (available_at, deleted_at) = (image.available_at, self.now);
                        let left_by_channel = self.left_since(image.version, self.now - WINDOW - WINDOW);
                        self.deleted.push(Departed { available_at, deleted_at, left_by_channel });
                    }
                    continue;
                }
                Action::Mark { delete_after } => {
                    marked = Some(kind);
                    image.deletion = mark(self.now, delete_after);
                }
                Action::Delete if marked.is_none() => {
                    marked = Some(kind);
                    image.deletion = mark(self.now, self.now);
                }
                Action::Unmark => {
                    marked = None;
                    image.deletion = DeletionState::Kept;
                }
                _ => {}
            }
            left.push((image, marked, false, of_slot));
        }
        self.images = left;
        self.rules = Some(self.keep.clone());
        (deleted, held)
    }
}

fn mark(since: DateTime<Utc>, delete_after: DateTime<Utc>) -> DeletionState {
    DeletionState::Marked { since, delete_after, rule: String::new(), tries: 0, last_error: None }
}

fn rules() -> impl Strategy<Value = Keep> {
    let few = || 0u32..4;
    let counts = (few(), few(), few(), few(), few(), few());
    (counts, prop::option::of(1u64..200), 1u32..3, 0u64..50).prop_map(
        |((last, hourly, daily, weekly, monthly, yearly), within, min, grace)| Keep {
            last: last + u32::from(within.is_none() && hourly + daily + weekly + monthly + yearly == 0),
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
            within: within.map(Duration::from_hours),
            min,
            grace: Duration::from_hours(grace),
            ..keep()
        },
    )
}

/// An image of a slot that has not come is as old as it is seen, not as new as its slot.
#[test]
fn a_slot_of_the_future_is_not_the_newest() {
    let mut line = Line::new(Keep { last: 1, ..keep() });
    for _ in 0..3 {
        line.make(true);
        line.now += TimeDelta::days(1);
    }
    line.images[0].0.slot = line.now + TimeDelta::days(400);
    let candidate = |(image, marked, is_new, of_slot): &(LineImage, Option<MarkKind>, bool, bool), is_last| {
        let image = image.clone();
        (image, *marked, *is_new && is_last, *of_slot, !is_last)
    };
    let parts: Vec<_> = line.images.iter().enumerate().map(|(n, part)| candidate(part, n == 2)).collect();
    let candidates: Vec<Candidate<'_>> = parts
        .iter()
        .map(|(image, marked, is_new, of_slot, goes)| Candidate {
            image,
            marked: *marked,
            is_new: *is_new,
            of_slot: *of_slot,
            left_by_channel: false,
            goes: *goes,
            is_due: *goes,
        })
        .collect();
    let (ordinary, counted) = (MarkKind::Ordinary, MarkKind::Counted);
    let kinds = kinds(&candidates, &line.keep, true, line.now);
    assert_eq!(kinds, [ordinary, counted, ordinary], "the oldest is replaced");
}

proptest! {
    #![proptest_config(crate::domain::random_tests::cases(64))]

    /// Whatever the rules are, and however often the line is baked between two passes.
    #[test]
    fn ordinary_nights_never_meet_it(
        keep in rules(),
        every in 1i64..30,
        a_pass_after in 1usize..6,
        nights in 20usize..120,
        channel_behind in prop::option::of(0usize..4),
    ) {
        let mut line = Line { channel_behind, ..Line::new(keep) };
        line.pass(false);
        for night in 0..nights {
            line.now += TimeDelta::hours(every);
            line.make(true);
            // What is judged late is at most a day old, as a pass comes every hour.
            let is_judged = night % a_pass_after == 0 || every > 4;
            if is_judged {
                prop_assert!(!line.pass(false).1, "night {night}: {line:?}");
            }
            // A channel moves later than the image is made, after its `after`.
            line.move_channel();
            if is_judged {
                prop_assert!(!line.pass(false).1, "night {night}: {line:?}");
            }
        }
    }

    /// An edit that wants less than half of the images, in one go or image by image, with any grace.
    #[test]
    fn a_wipe_always_meets_it(count in 5usize..40, left in 1u32..20, steps in 1u32..40, grace in 0u64..3, gap in 0i64..15) {
        prop_assume!(2 * (left as usize) < count && count - left as usize >= 3);
        let most = u32::try_from(count).unwrap();
        let mut line = Line::new(Keep { last: most, grace: Duration::from_hours(grace), ..keep() });
        for _ in 0..count {
            line.make(true);
            line.now += TimeDelta::hours(24);
            line.pass(false);
        }
        let (mut deleted, mut met) = (0, false);
        for step in 1..=steps {
            let wanted = most - (most - left) * step / steps;
            line.keep.last = wanted.max(left);
            for _ in 0..2 {
                let (gone, held) = line.pass(false);
                deleted += gone;
                met |= held;
                line.now += TimeDelta::minutes(gap);
            }
        }
        line.now += TimeDelta::hours(i64::try_from(grace).unwrap());
        let (gone, held) = line.pass(false);
        prop_assert!(met || held);
        prop_assert!(2 * (deleted + gone) <= count, "{} of {count}", deleted + gone);
        // A person's word goes through with it, once.
        let before = line.images.len();
        prop_assert_eq!(before - line.pass(true).0, left as usize);
        prop_assert!(!line.pass(false).1);
    }
}

/// As `a_wipe_always_meets_it`, but the images go one by one, and a channel has left each for the next one.
fn walk(made_every: i64, count: usize, channel_behind: usize, rest: &[bool]) -> (usize, bool) {
    let keep_all = Keep { last: 99, grace: Duration::ZERO, ..keep() };
    let mut line = Line { channel_behind: Some(channel_behind), ..Line::new(keep_all) };
    line.pass(false);
    for _ in 0..count {
        line.make(true);
        line.pass(false);
        line.now += TimeDelta::minutes(made_every);
    }
    // What was kept by age alone goes one by one; the rules are the same in each pass.
    let expiring = |line: &Line, wanted: usize| {
        let age = line.now - line.images[line.images.len() - wanted].0.date(line.now);
        Keep { last: 1, within: age.to_std().ok(), grace: Duration::ZERO, ..keep() }
    };
    let (mut deleted, mut held) = (0, false);
    for (n, bakes) in (1..count).rev().zip(rest.iter().cycle()) {
        line.keep = expiring(&line, n.min(line.images.len()));
        line.rules = Some(line.keep.clone());
        if *bakes {
            line.make(true);
        }
        line.now += TimeDelta::seconds(1);
        line.channel_behind = Some(channel_behind.min(n));
        line.move_channel();
        let (gone, is_held) = line.pass(false);
        deleted += gone;
        held |= is_held;
        line.now += TimeDelta::seconds(30);
    }
    (deleted, held)
}

/// Images that were all made within a day, which a channel passes over.
#[test]
fn many_small_steps_after_a_channel_meet_it() {
    for behind in [0, 1, 3] {
        let (deleted, held) = walk(10, 20, behind, &[false]);
        assert!(held && deleted <= 10, "{behind} behind: {deleted} of 20 deleted, held: {held}");
    }
}

/// A bake every ten minutes, of which three are kept, with a channel that follows an hour later, whenever passes come.
#[test]
fn a_frequent_schedule_never_meets_it() {
    for (last, channel_behind, passes_every, grace) in [
        (3, None, 1, 0),
        (3, Some(6), 1, 0),
        (3, Some(6), 6, 0),
        (1, Some(6), 36, 0),
        (3, Some(2), 1, 1),
        (1, Some(5), 5, 30),
    ] {
        let keep = Keep { last, grace: Duration::from_hours(grace), ..keep() };
        let mut line = Line { channel_behind, ..Line::new(keep) };
        for bake in 0..600 {
            line.make(true);
            line.move_channel();
            if bake % passes_every == 0 {
                assert!(!line.pass(false).1, "last {last}, channel {channel_behind:?}, bake {bake}: {line:?}");
            }
            line.now += TimeDelta::minutes(10);
        }
        assert!(line.images.len() <= 600 / 2, "{} of 600 are left", line.images.len());
    }
}

/// Where no new images come, what is held is held until a person confirms it, or a day has passed without a deletion and half of
/// them may go again: never for ever.
#[test]
fn what_counts_is_the_most_of_the_last_day() {
    let candidates: Vec<LineImage> = (1..=6).map(|version| image(version, start())).collect();
    let candidate = |image, is_due: bool| Candidate {
        image,
        marked: is_due.then_some(MarkKind::Left),
        is_new: false,
        of_slot: true,
        left_by_channel: is_due,
        goes: is_due,
        is_due,
    };
    let going: Vec<Candidate<'_>> = candidates.iter().enumerate().map(|(n, image)| candidate(image, n == 0)).collect();
    let mut kinds = [MarkKind::Ordinary; 6];
    kinds[0] = MarkKind::Left;
    let now = start() + TimeDelta::days(9);
    let gone =
        |hours| Departed { available_at: start(), deleted_at: now - TimeDelta::hours(hours), left_by_channel: true };
    let load = |departed: &[Departed]| LineLoad::of(&going, &kinds, departed, now);
    let (line, none) = (LineId::from("golden"), vec![]);
    let held = |departed: &[Departed]| brakes([(&line, &load(departed))], None, 1);
    assert_eq!(held(&[]), none);
    assert_eq!((load(&[gone(1); 4]).most, load(&[gone(1); 4]).lost), (10, 5));
    assert_eq!(held(&[gone(1); 4]), none, "half of ten");
    assert_eq!(held(&[gone(1); 5]), [Brake::Line { line: line.clone(), going: 1, deleted: 5, of: 11 }]);
    // As many came as went: the line never had more.
    let replaced: Vec<Departed> =
        (0..5).map(|hours| Departed { available_at: now - TimeDelta::hours(20), ..gone(hours + 1) }).collect();
    assert_eq!(load(&replaced).most, 11, "they were there at once");
    let one_by_one: Vec<Departed> = (0..5)
        .map(|hours| Departed {
            available_at: now - TimeDelta::minutes(60 * hours + 50),
            deleted_at: now - TimeDelta::minutes(60 * hours + 10),
            left_by_channel: true,
        })
        .collect();
    assert_eq!((load(&one_by_one).most, held(&one_by_one)), (7, none));
}

#[test]
fn it_takes_three_and_more_than_half() {
    let line = LineId::from("golden");
    let held = |good, going, deleted| {
        let (most, lost) = (good + deleted, going + deleted);
        let load = LineLoad { good, going, counted: going, deleted, left: 0, most, lost };
        brakes([(&line, &load)], None, 100)
    };
    assert_eq!(held(3, 2, 0), []);
    assert_eq!(held(6, 3, 0), []);
    assert_eq!(held(5, 3, 0), [Brake::Line { line: line.clone(), going: 3, deleted: 0, of: 5 }]);
    // Two were deleted already of six, two more are too many.
    assert_eq!(held(4, 1, 2), []);
    assert_eq!(held(4, 2, 2), [Brake::Line { line: line.clone(), going: 2, deleted: 2, of: 6 }]);
    assert_eq!(held(1, 0, 9), [], "nothing goes");
}

#[test]
fn all_lines_together_have_a_limit() {
    let lines: Vec<LineId> = (0..3).map(|n| LineId::from(format!("line-{n}"))).collect();
    let lost = |counted, deleted| (90 + deleted, counted + deleted);
    let load = |counted, deleted| {
        let (most, lost) = lost(counted, deleted);
        LineLoad { good: 90, going: 3, counted, deleted, left: 0, most, lost }
    };
    let loads = |counted, deleted| lines.iter().map(|line| (line, load(counted, deleted))).collect::<Vec<_>>();
    let held = |loads: &[(&LineId, LineLoad)], limit| brakes(loads.iter().map(|(line, load)| (*line, load)), limit, 3);
    let all = |going, deleted, limit, configured| Brake::All {
        going,
        deleted,
        limit,
        configured,
        lines: lines.clone(),
        more_lines: 0,
    };
    assert_eq!(held(&loads(2, 0), None), []);
    assert_eq!(held(&loads(3, 0), None), [all(9, 0, 6, false)]);
    assert_eq!(held(&loads(1, 2), None), [all(3, 6, 6, false)]);
    // Ordinary deletions count against the operator's own limit only.
    assert_eq!(held(&loads(0, 0), None), []);
    assert_eq!(held(&loads(0, 0), Some(8)), [all(9, 0, 8, true)]);
    assert_eq!(held(&loads(0, 0), Some(9)), []);
}

#[test]
fn bakes_by_hand_replace_two_images_between_two_passes() {
    let line = |by_hand: usize| {
        let mut line = Line::new(Keep { last: 1, grace: Duration::ZERO, ..keep() });
        line.pass(false);
        (0..by_hand).for_each(|_| line.make(false));
        line.pass(false)
    };
    assert_eq!(line(2), (1, false));
    assert_eq!(line(5), (0, true));
    // One by one they are as good as nights.
    let mut line = Line::new(Keep { last: 1, grace: Duration::ZERO, ..keep() });
    line.pass(false);
    for n in 0..9 {
        line.make(false);
        assert_eq!(line.pass(false), (usize::from(n > 0), false));
    }
}

#[test]
fn a_limit_says_what_it_counts() {
    let line = LineId::from("golden");
    let said = |brake: &Brake| brake.to_string();
    assert_eq!(
        said(&Brake::Line { line: line.clone(), going: 3, deleted: 0, of: 5 }),
        "retention would delete 3 of 5 good images of golden, more than half; none of them is deleted"
    );
    assert_eq!(
        said(&Brake::Line { line: line.clone(), going: 2, deleted: 2, of: 7 }),
        "retention would delete 2 of 5 good images of golden, and deleted 2 in the last 24 hours: together 4 of 7, \
         more than half; none of them is deleted"
    );
    let all = |going, deleted, limit, configured, more_lines| {
        said(&Brake::All { going, deleted, limit, configured, lines: vec![line.clone()], more_lines })
    };
    assert_eq!(
        all(1, 2, 2, false, 0),
        "retention would delete 1 image that no new one replaces, of golden, after 2 in the last 24 hours: \
         more than 2, twice the number of lines with rules; none is deleted"
    );
    assert_eq!(
        all(9, 0, 8, true, 4),
        "retention would delete 9 images, of golden and 4 more: more than max_deletions (8); none is deleted"
    );
    // What an earlier version recorded is read.
    let former: Brake = serde_json::from_str(r#"{"scope":"all","going":9,"deleted":0,"limit":8}"#).unwrap();
    assert_eq!(former.to_string(), "retention would delete 9 images: more than max_deletions (8); none is deleted");
}

#[test]
fn vetoed_images_never_reach_the_brake() {
    let mut line = Line::new(Keep { last: 1, grace: Duration::ZERO, ..keep() });
    line.pass(false);
    for _ in 0..6 {
        line.make(true);
        let newest = line.images.last_mut().unwrap();
        newest.0.veto = Some("no sound".into());
        line.now += TimeDelta::minutes(10);
    }
    line.make(true);
    let (deleted, held) = line.pass(false);
    assert!(!held && deleted > 0, "{deleted} deleted");
}

#[test]
fn a_channel_that_follows_an_hour_later_never_meets_it() {
    let mut line = Line { channel_behind: Some(0), ..Line::new(Keep { last: 1, grace: Duration::ZERO, ..keep() }) };
    for _ in 0..12 {
        line.make(true);
        assert!(!line.pass(false).1, "{line:?}");
        line.now += TimeDelta::hours(1);
        line.move_channel();
        let (deleted, held) = line.pass(false);
        assert!(!held, "{line:?}");
        assert_eq!(deleted, usize::from(line.made > 1));
        line.now += TimeDelta::hours(1);
    }
}

#[test]
fn an_edit_counts_also_where_a_channel_has_just_left_the_images() {
    let keep_all = Keep { last: 9, grace: Duration::from_secs(1), ..keep() };
    let mut line = Line { channel_behind: Some(0), ..Line::new(keep_all) };
    for _ in 0..6 {
        line.make(true);
        line.move_channel();
        line.pass(false);
        line.now += TimeDelta::minutes(1);
    }
    line.keep.last = 2;
    // Marked by one pass, due in the next one.
    assert!(!line.pass(false).1);
    line.now += TimeDelta::seconds(2);
    assert_eq!(line.pass(false), (0, true), "{line:?}");
}
