use crate::domain::calendar::zone::Zone;
use chrono::DateTime;

use super::*;
use crate::domain::{
    ids::{BakeId, ImageId},
    image::{
        ObservedState,
        judge::{Action, Blocker, RetentionDecision, Why},
        retention::tests::{image, keep},
    },
    schedule::{Channel, Keep},
};

fn stays(why: Why) -> RetentionDecision {
    RetentionDecision::Stays { why: vec![why] }
}

fn goes() -> RetentionDecision {
    RetentionDecision::Goes { rule: "keep = { last = 1, min = 1 }".into() }
}

fn judged(schedule: Option<&str>, verdict: RetentionDecision) -> Judged {
    Judged {
        image_id: ImageId::from("imgc-1"),
        image_name: "golden-v1".into(),
        line: "golden".into(),
        schedule: schedule.map(str::to_owned),
        version: 1,
        slot: DateTime::UNIX_EPOCH,
        action: Action::Keep,
        verdict,
        not_before: None,
        vetoed: false,
        held: None,
    }
}

fn policy(keep: Option<Keep>, channels: &[&str]) -> Policy {
    let channel = |name: &&str| Channel { name: (*name).to_owned(), after: None };
    Policy {
        schedule: "golden".into(),
        zone: Zone::find("Asia/Shanghai").unwrap(),
        keep,
        channels: channels.iter().map(channel).collect(),
    }
}

#[test]
fn an_image_is_listed_where_the_two_files_differ_about_it() {
    let golden = Some("golden");
    let blocker = || Why::Blocker { because: Blocker::NewestFailed { bake: BakeId(7) } };
    let blocked = || RetentionDecision::Blocked { rule: "keep = { last = 1, min = 1 }".into(), why: vec![blocker()] };
    let mut change = Change::default();
    for (before, after) in [
        (judged(golden, stays(Why::LastGood)), judged(golden, stays(Why::NoRules))),
        (judged(golden, goes()), judged(golden, goes())),
        // A blocker is temporary; the rules are not.
        (judged(golden, blocked()), judged(golden, blocked())),
    ] {
        change.add(&before, after);
    }
    assert_eq!((change.summary(), &change), (None, &Change::default()));

    change.add(&judged(golden, stays(Why::NoRules)), judged(golden, goes()));
    change.add(&judged(golden, stays(Why::NoRules)), judged(golden, blocked()));
    change.add(&judged(golden, goes()), judged(golden, stays(Why::NoRules)));
    // A line that comes back has rules again.
    change.add(&judged(None, stays(Why::NoRules)), judged(golden, goes()));
    change.add(&judged(golden, goes()), judged(None, stays(Why::NoRules)));
    assert_eq!(change.counts, Counts { going: 3, staying: 1, orphans: 1 });
    assert_eq!(change.summary().unwrap(), "3 images more to go, 1 to stay after all, 1 without a line");
    let cut = change.shortened(1);
    assert_eq!((cut.going.len(), cut.counts.going), (1, 3));
}

#[test]
fn only_some_edits_matter() {
    let ruled = |last| policy(Some(Keep { last, ..keep() }), &[]);
    assert!(!matters(Some(&ruled(2)), Some(&ruled(2))) && !matters(None, None));
    for (old, new) in [
        (Some(ruled(2)), Some(ruled(1))),
        (Some(ruled(2)), Some(policy(None, &[]))),
        (Some(ruled(2)), Some(Policy { zone: Zone::UTC, ..ruled(2) })),
        (Some(policy(None, &["stable"])), Some(policy(None, &[]))),
        (Some(ruled(2)), None),
        (None, Some(ruled(2))),
    ] {
        assert!(matters(old.as_ref(), new.as_ref()), "{old:?} {new:?}");
    }
}

#[test]
fn a_channel_that_leaves_the_file_holds_no_image() {
    let now = DateTime::UNIX_EPOCH;
    let left = |policy: Option<&Policy>| {
        let mut image = LineImage {
            seen: ObservedState::default(),
            channels: vec!["latest".into(), "stable".into(), "canary".into()],
            ..image(1, now)
        };
        drop_channels(&mut image, policy);
        image.channels
    };
    assert_eq!(left(Some(&policy(None, &["stable"]))), ["latest", "stable"]);
    assert_eq!(left(None).len(), 3);
}
