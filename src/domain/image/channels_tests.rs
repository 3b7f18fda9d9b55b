//! Channels: rule by rule, and under random events against the promises that they make.

use std::collections::BTreeMap;

use chrono::TimeZone;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;

fn start() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2027, 3, 1, 3, 0, 0).single().expect("a real instant")
}

fn day(n: i64) -> DateTime<Utc> {
    start() + TimeDelta::days(n)
}

fn id(version: u32) -> ImageId {
    ImageId::new(format!("imgc-{version}"))
}

/// An image that became good on the day of its version.
fn image(version: u32) -> Candidate {
    Candidate {
        image_id: id(version),
        version,
        available_at: day(version.into()),
        unfit: None,
        moves_in: true,
        check: None,
    }
}

fn stable() -> Vec<Channel> {
    vec![Channel { name: "stable".into(), after: Some(Duration::from_hours(72)) }]
}

fn by_word() -> Vec<Channel> {
    vec![Channel { name: "pilot".into(), after: None }]
}

fn line(versions: impl IntoIterator<Item = u32>) -> View {
    View { images: versions.into_iter().map(image).collect(), ..View::default() }
}

/// Lets everything move that moves by itself.
fn settled(view: &mut View, declared: &[Channel], now: DateTime<Utc>) -> Vec<Move> {
    let (moves, _) = settle(view, Some(declared), now);
    view.apply(&moves);
    assert_eq!(settle(view, Some(declared), now).0, [], "once is enough");
    moves
}

fn at(view: &View, channel: &str) -> Option<u32> {
    view.assigned(channel).and_then(|assigned| assigned.version)
}

#[test]
fn latest_is_the_newest_that_is_fit() {
    let mut view = line(1..=3);
    settled(&mut view, &[], day(3));
    assert_eq!(at(&view, LATEST), Some(3));
    view.veto(&id(3), "no sound");
    let moves = settled(&mut view, &[], day(3));
    assert_eq!((at(&view, LATEST), moves[0].is_loss), (Some(2), true));
    assert_eq!(moves[0].why, "v3 (imgc-3) is vetoed: no sound");
    view.images[2].unfit = None;
    settled(&mut view, &[], day(3));
    assert_eq!(at(&view, LATEST), Some(3), "a veto that is lifted is forgotten");
    view.images.clear();
    settled(&mut view, &[], day(3));
    assert_eq!(view.assigned(LATEST).map(|assigned| assigned.image_id.clone()), Some(None));
}

#[test]
fn an_image_soaks_before_it_is_promoted() {
    let mut view = line(1..=3);
    let (moves, next) = settle(&view, Some(&stable()), day(3));
    assert_eq!((moves.len(), next), (1, Some(day(4))));
    for (today, version) in [(4, 1), (5, 2), (6, 3), (90, 3)] {
        settled(&mut view, &stable(), day(today));
        assert_eq!(at(&view, "stable"), Some(version), "day {today}");
    }
}

#[test]
fn a_check_gates_promotion() {
    let mut view = line(1..=3);
    view.images[1].check = Some(Check::Due);
    view.images[2].check = Some(Check::Failed);
    settled(&mut view, &stable(), day(90));
    assert_eq!((at(&view, "stable"), at(&view, LATEST)), (Some(1), Some(3)));
    view.images[1].check = Some(Check::Passed);
    settled(&mut view, &stable(), day(90));
    assert_eq!(at(&view, "stable"), Some(2));
    let mut view = line(1..=3);
    view.images[2].check = Some(Check::Due);
    settled(&mut view, &[], day(90));
    assert_eq!(at(&view, LATEST), Some(2), "it may still fail");
    view.images[2].check = Some(Check::Passed);
    settled(&mut view, &[], day(90));
    assert_eq!(at(&view, LATEST), Some(3));
}

#[test]
fn what_is_rolled_back_stays_back_until_something_newer_has_soaked() {
    let mut view = line(1..=3);
    settled(&mut view, &stable(), day(5));
    settled(&mut view, &stable(), day(6));
    let (left, by) = rollback(&view, "golden", "stable", "broken").expect("there is one before");
    assert_eq!(left, id(3));
    view.veto(&left, "broken");
    view.apply(&[by]);
    settled(&mut view, &stable(), day(6));
    assert_eq!(at(&view, "stable"), Some(2));
    // Not even where the veto is lifted, and not to a version in between.
    view.images[2].unfit = None;
    settled(&mut view, &stable(), day(60));
    assert_eq!(at(&view, "stable"), Some(2));
    view.images.push(image(4));
    settled(&mut view, &stable(), day(60));
    assert_eq!(at(&view, "stable"), Some(4));
}

#[test]
fn what_was_lost_and_is_found_again_comes_back() {
    let mut view = line(1..=3);
    settled(&mut view, &stable(), day(6));
    view.images[2].unfit = Some("not in the cloud any more".into());
    settled(&mut view, &stable(), day(7));
    assert_eq!(at(&view, "stable"), Some(2));
    for image in &mut view.images[..2] {
        image.unfit = Some("not in the cloud any more".into());
    }
    settled(&mut view, &stable(), day(7));
    assert_eq!(at(&view, "stable"), None);
    view.images[1].unfit = None;
    settled(&mut view, &stable(), day(7));
    assert_eq!(at(&view, "stable"), Some(2));
    view.images[2].unfit = None;
    settled(&mut view, &stable(), day(7));
    assert_eq!(at(&view, "stable"), Some(3));
}

#[test]
fn a_person_may_promote_an_older_one_and_it_lasts() {
    let mut view = line(1..=3);
    settled(&mut view, &stable(), day(90));
    let by = promote(&view, &id(1), "stable", false, "the pilots ask for it").expect("it is fit");
    view.apply(&[by]);
    settled(&mut view, &stable(), day(90));
    assert_eq!(at(&view, "stable"), Some(1));
    view.images.push(image(4));
    settled(&mut view, &stable(), day(90));
    assert_eq!(at(&view, "stable"), Some(4));
}

#[test]
fn a_channel_without_after_moves_by_word_alone_and_goes_back_when_it_must() {
    let mut view = line(1..=3);
    settled(&mut view, &by_word(), day(90));
    assert_eq!(view.assigned("pilot"), None);
    for version in [1, 3] {
        let by = promote(&view, &id(version), "pilot", false, "try it").expect("it is fit");
        view.apply(&[by]);
    }
    settled(&mut view, &by_word(), day(90));
    assert_eq!(at(&view, "pilot"), Some(3));
    view.veto(&id(3), "broken");
    settled(&mut view, &by_word(), day(90));
    assert_eq!(at(&view, "pilot"), Some(1), "its former image, not the newest");
    view.veto(&id(1), "broken, too");
    settled(&mut view, &by_word(), day(90));
    assert_eq!(view.assigned("pilot").map(|assigned| assigned.image_id.clone()), Some(None));
}

#[test]
fn a_channel_that_left_the_file_is_dropped_and_a_line_that_left_it_keeps_all() {
    let mut view = line(1..=3);
    settled(&mut view, &stable(), day(90));
    let (moves, _) = settle(&view, None, day(90));
    assert_eq!(moves, []);
    view.veto(&id(3), "broken");
    let (moves, _) = settle(&view, None, day(90));
    assert_eq!(moves.len(), 2, "but nothing bad stays");
    let moves = settled(&mut view, &[], day(90));
    assert!(moves.iter().any(|by| by.channel == "stable" && by.to == ChannelTarget::Dropped), "{moves:?}");
    assert_eq!(view.assigned("stable"), None);
}

#[test]
fn a_person_gets_the_reason_of_a_refused_move() {
    let mut view = line(1..=3);
    view.images[0].unfit = Some("vetoed: broken".into());
    view.images[1].check = Some(Check::Failed);
    let message = |refused: Result<Move, Refused>| refused.expect_err("it must not be").to_string();
    assert_eq!(message(promote(&view, &id(1), "stable", true, "")), "image imgc-1 is vetoed: broken");
    assert_eq!(
        message(promote(&view, &id(2), "stable", false, "")),
        "the check of image imgc-2 failed; --force promotes it all the same"
    );
    assert!(promote(&view, &id(2), "stable", true, "").is_ok());
    assert_eq!(message(promote(&view, &id(9), "stable", true, "")), "image imgc-9 is deleted");
    let nothing = rollback(&view, "golden", "stable", "").expect_err("it is empty").to_string();
    assert_eq!(nothing, "channel `stable` of golden is empty: there is nothing to roll back from");
    settled(&mut view, &stable(), day(90));
    assert_eq!(message(promote(&view, &id(3), "stable", false, "")), "channel `stable` points to image imgc-3 already");
    assert!(matches!(rollback(&view, "golden", "stable", ""), Err(Refused::NoPrevious { .. })));
}

#[derive(Debug, Clone)]
enum Happening {
    Baked { checked: bool },
    DayPasses,
    Veto(usize),
    Unveto(usize),
    Vanish(usize),
    Return(usize),
    Shared(usize),
    Deleted(usize),
    CheckEnds(usize, bool),
    Promote(usize, usize),
    Rollback(usize),
}

fn happening() -> impl Strategy<Value = Happening> {
    let some = || 0usize..40;
    prop_oneof![
        4 => any::<bool>().prop_map(|checked| Happening::Baked { checked }),
        4 => Just(Happening::DayPasses),
        2 => some().prop_map(Happening::Veto),
        1 => some().prop_map(Happening::Unveto),
        1 => some().prop_map(Happening::Vanish),
        1 => some().prop_map(Happening::Return),
        1 => some().prop_map(Happening::Shared),
        1 => some().prop_map(Happening::Deleted),
        2 => (some(), any::<bool>()).prop_map(|(n, good)| Happening::CheckEnds(n, good)),
        1 => (some(), 0usize..2).prop_map(|(n, channel)| Happening::Promote(n, channel)),
        1 => (0usize..2).prop_map(Happening::Rollback),
    ]
}

const CHANNELS: [&str; 2] = ["stable", "pilot"];

proptest! {
    #![proptest_config(crate::domain::random_tests::cases(600))]

    /// No channel points to an unfit image; automatic moves go up, except after losses and people's
    /// words; the history replayed gives what stands.
    #[test]
    fn channels_keep_their_promises(happenings in proptest::collection::vec(happening(), 1..60)) {
        let declared: Vec<Channel> = stable().into_iter().chain(by_word()).collect();
        let mut view = View::default();
        let (mut today, mut version) = (0i64, 0u32);
        let mut history: Vec<(String, Option<ImageId>)> = Vec::new();
        for happening in happenings {
            let count = view.images.len().max(1);
            let mut by_person = Vec::new();
            match happening {
                Happening::Baked { checked } => {
                    version += 1;
                    let check = checked.then_some(Check::Due);
                    view.images.push(Candidate { available_at: day(today), check, ..image(version) });
                }
                Happening::DayPasses => today += 1,
                Happening::Veto(n) => {
                    if let Some(image_id) = view.images.get(n % count).map(|image| image.image_id.clone()) {
                        view.veto(&image_id, "broken");
                    }
                }
                Happening::Vanish(n) => {
                    if let Some(image) = view.images.get_mut(n % count).filter(|image| image.unfit.is_none()) {
                        image.unfit = Some("not in the cloud any more".into());
                    }
                }
                Happening::Unveto(n) | Happening::Return(n) => {
                    if let Some(image) = view.images.get_mut(n % count) {
                        image.unfit = None;
                    }
                }
                Happening::Shared(n) => {
                    if let Some(image) = view.images.get_mut(n % count) {
                        image.moves_in = !image.moves_in;
                    }
                }
                Happening::Deleted(n) => {
                    // Retention deletes no image of a channel; others may.
                    if n < view.images.len() {
                        view.images.remove(n);
                    }
                }
                Happening::CheckEnds(n, good) => {
                    if let Some(image) = view.images.get_mut(n % count).filter(|image| image.check.is_some()) {
                        image.check = Some(if good { Check::Passed } else { Check::Failed });
                        if !good {
                            image.unfit = Some("vetoed: its check failed".into());
                        }
                    }
                }
                Happening::Promote(n, channel) => {
                    if let Some(image_id) = view.images.get(n % count).map(|image| image.image_id.clone())
                        && let Ok(by) = promote(&view, &image_id, CHANNELS[channel], false, "word")
                    {
                        by_person.push(by);
                    }
                }
                Happening::Rollback(channel) => {
                    if let Ok((left, by)) = rollback(&view, "golden", CHANNELS[channel], "broken") {
                        view.veto(&left, "broken");
                        by_person.push(by);
                    }
                }
            }
            view.apply(&by_person);
            let before = view.clone();
            let (moves, next) = settle(&view, Some(&declared), day(today));
            prop_assert!(next.is_none_or(|next| next > day(today)));
            view.apply(&moves);
            prop_assert_eq!(settle(&view, Some(&declared), day(today)).0, vec![], "once is enough");

            for by in by_person.iter().chain(&moves) {
                let image = if let ChannelTarget::Image { image_id, .. } = &by.to { Some(image_id.clone()) } else { None };
                history.push((by.channel.clone(), image));
                prop_assert!(!by.why.is_empty());
            }
            for assigned in &view.assigned {
                if let Some(image_id) = &assigned.image_id {
                    let image = view.image(image_id);
                    prop_assert!(image.is_some_and(|image| image.unfit.is_none()), "{assigned:?} in {view:?}");
                }
            }
            let was = before.assigned(LATEST).and_then(|assigned| assigned.image_id.clone());
            let good = view.images.iter().filter(|image| image.unfit.is_none());
            let moves_in = |image: &Candidate| image.moves_in && image.check != Some(Check::Due);
            let good = good.filter(|image| moves_in(image) || was.as_ref() == Some(&image.image_id));
            let newest = good.map(|image| image.version).max();
            prop_assert_eq!(at(&view, LATEST), newest);
            for by in moves.iter().filter(|by| by.channel != LATEST) {
                let was = before.assigned(&by.channel);
                let lost = was.is_none_or(|was| was.image_id.is_none() || before.loss(was).is_some());
                if let ChannelTarget::Image { version, .. } = &by.to {
                    let goes_up = was.and_then(|was| was.version).is_none_or(|was| *version > was);
                    prop_assert!(lost || goes_up, "{by:?} from {was:?}");
                    if by.channel == "stable" {
                        let image = view.images.iter().find(|image| image.version == *version).expect("it is there");
                        prop_assert!(image.available_at + TimeDelta::days(3) <= day(today), "it has not soaked: {by:?}");
                        prop_assert!(image.moves_in && matches!(image.check, None | Some(Check::Passed)), "{by:?}");
                    }
                }
                prop_assert!(by.channel != "pilot" || lost, "by hand alone: {by:?}");
            }
        }
        let report: BTreeMap<String, Option<ImageId>> = history.into_iter().collect();
        let stands: BTreeMap<String, Option<ImageId>> =
            view.assigned.iter().map(|assigned| (assigned.channel.clone(), assigned.image_id.clone())).collect();
        prop_assert_eq!(report, stands);
    }
}
