//! Names that images of others have, and the version that follows.

use std::time::Duration;

use chrono::TimeDelta;

use super::fixture::{Fixture, WINDOW, is_create, is_poll, named, seen, settings, slot};
use crate::domain::{
    api::{
        call::{Call, ErrorClass, Response},
        identity::{ImageStatus, RemoteImage, TakenName},
    },
    bake::{
        event::{Effect, Event},
        reason::ReasonCode,
        retry::later,
    },
    ids::ImageId,
};

fn taken(others: &[&str], own: &[&str]) -> Response {
    let ids = |ids: &[&str]| ids.iter().map(|id| ImageId::from(*id)).collect();
    Response::NameTaken(TakenName { by_others: ids(others), by_own: ids(own) })
}

#[test]
fn a_name_that_does_not_show_the_slot_is_searched_for_before_the_first_create() {
    for (name, searches) in [
        ("golden-v{version}", true),
        ("golden-{slot:%Y%m%d}-v{version}", true),
        ("golden-{slot:%Y%m%d-%H%M}-v{version}", false),
        ("golden-{slot}", false),
    ] {
        let mut bake = named(name);
        assert_eq!(is_poll(&bake.admit()), searches, "{name}");
        if searches {
            let Effect::Call(Call::CreateImage(identity)) = bake.answer(Response::Found(None)) else {
                panic!("no call")
            };
            assert_eq!(identity.evidence.baseline, Some(Vec::new()), "no other image has the name");
            assert_eq!(identity.evidence.first_sent, Some(slot()));
        }
    }
}

#[test]
fn without_a_known_zone_or_after_a_crash_every_first_create_searches() {
    let mut bake = Fixture::new(settings());
    bake.pace.gmt_offset = None;
    assert!(is_poll(&bake.admit()));

    let mut bake = Fixture::new(settings());
    bake.pace.search_until = Some(later(slot(), WINDOW));
    assert!(is_poll(&bake.admit()));
    assert!(is_create(&bake.answer(Response::Found(None))));
    // Its repetition, too, while it is not known what the daemon did before.
    bake.refuse(ErrorClass::Transient, "Throttling.User");
    assert!(is_poll(&bake.due()));
    assert!(is_create(&bake.answer(Response::Found(None))));
    bake.pass(WINDOW);
    bake.refuse(ErrorClass::Transient, "Throttling.User");
    assert!(is_create(&bake.due()));
}

#[test]
fn a_taken_name_gets_the_next_version() {
    let mut bake = named("golden-v{version}");
    bake.admit();
    assert_eq!(bake.answer(taken(&["imgc-byhand"], &[])), bake.wait(Duration::ZERO));
    assert!(bake.bake.state.needs_version());
    assert_eq!(bake.reason(), "the name golden-v7 is taken by imgc-byhand");
    // Without its new version it waits.
    assert!(matches!(bake.due(), Effect::Wait(_)));
    let Effect::Call(Call::FindImage(identity)) = bake.apply(Event::Renumbered { version: 9 }) else {
        panic!("no search")
    };
    assert_eq!((identity.version, identity.image_name.as_str()), (9, "golden-v9"));
    assert!(is_create(&bake.answer(Response::Found(None))));
    assert!(!bake.bake.state.needs_version());
}

#[test]
fn a_taken_name_without_a_version_in_it_fails_and_nothing_is_followed() {
    let mut bake = named("golden-{slot}");
    bake.pace.search_until = Some(later(slot(), WINDOW));
    bake.admit();
    assert_eq!(bake.answer(taken(&["imgc-byhand"], &[])), Effect::Done);
    assert_eq!((bake.state(), bake.bake.state.reason_code()), ("failed", Some(ReasonCode::NameTaken)));
    assert!(bake.reason().starts_with("the name golden-20260302-110000 is taken by imgc-byhand"), "{}", bake.reason());
    assert_eq!(bake.bake.state.image(), None);

    // An image of ours shows by its tags that it is of another slot.
    let mut bake = named("golden-{slot}");
    bake.pace.search_until = Some(later(slot(), WINDOW));
    bake.admit();
    let Effect::Call(Call::CreateImage(identity)) = bake.answer(taken(&[], &["imgc-fold"])) else { panic!("no call") };
    assert_eq!(identity.evidence.baseline, Some(vec!["imgc-fold".into()]));
}

#[test]
fn a_name_that_is_taken_while_a_create_is_unclear_is_not_given_again() {
    let mut bake = Fixture::unknown();
    while bake.state() == "unknown" {
        assert!(is_poll(&bake.due()));
        bake.answer(taken(&["imgc-shared"], &[]));
    }
    assert!(is_poll(&bake.due()), "the image is searched for once more");
    bake.answer(taken(&["imgc-shared"], &[]));
    assert!(bake.bake.state.needs_version());
    assert!(is_poll(&bake.apply(Event::Renumbered { version: 8 })));
    assert!(is_create(&bake.answer(Response::Found(None))));
    assert_eq!(bake.attempts(), 1);
}

#[test]
fn a_list_after_creates_that_were_all_refused_counts_as_taken_before_the_first() {
    for (class, code) in [
        (ErrorClass::Busy, "TaskExist"),
        (ErrorClass::Transient, "Throttling.User"),
        (ErrorClass::Credential, "InvalidAccessKeyId.NotFound"),
    ] {
        let mut bake = Fixture::creating();
        bake.pace.search_until = Some(later(slot(), WINDOW * 9));
        bake.refuse(class, code);
        let Effect::Call(Call::FindImage(identity)) = bake.due() else { panic!("no search after {code}") };
        assert!(identity.evidence.nothing_made(), "{code}");
        let Effect::Call(Call::CreateImage(identity)) = bake.answer(Response::Found(None)) else { panic!("no call") };
        assert_eq!(identity.evidence.baseline, Some(Vec::new()), "{code}");
        assert_eq!(identity.evidence.first_sent, Some(bake.now), "the first call that counts is this one");
        // Later rejections do not clear an unclear call.
        bake.refuse(ErrorClass::Unclear, "Timeout");
        let sent = bake.now;
        while bake.state() == "unknown" {
            let Effect::Call(Call::FindImage(identity)) = bake.due() else { panic!("no search") };
            assert!(!identity.evidence.nothing_made(), "{code}");
            bake.answer(Response::Found(None));
        }
        bake.due();
        assert!(is_create(&bake.answer(Response::Found(None))));
        bake.refuse(class, code);
        let Effect::Call(Call::FindImage(identity)) = bake.due() else { panic!("no search") };
        assert!(!identity.evidence.nothing_made(), "{code}");
        let dated = identity.evidence.first_sent;
        assert_eq!(dated, Some(sent), "the call that may have made something");
    }
}

#[test]
fn a_daemon_that_ends_during_a_create_leaves_it_unclear() {
    let mut bake = Fixture::creating();
    bake.apply(Event::Due);
    assert!(!bake.bake.state.work().unwrap().evidence.nothing_made());
    let mut bake = Fixture::building();
    bake.due();
    assert!(!bake.bake.state.work().unwrap().evidence.nothing_made());
}

#[test]
fn an_image_under_a_name_that_was_given_up_is_found_and_followed() {
    let mut bake = Fixture::unknown();
    let (name, sent) = (bake.bake.state.work().unwrap().image_name.clone(), slot());
    while bake.state() == "unknown" {
        bake.due();
        bake.answer(taken(&["imgc-shared"], &[]));
    }
    bake.due();
    bake.answer(taken(&["imgc-shared"], &[]));
    let Effect::Call(Call::FindImage(identity)) = bake.apply(Event::Renumbered { version: 8 }) else {
        panic!("no search")
    };
    let [earlier] = identity.evidence.earlier.as_slice() else { panic!("{identity:?}") };
    assert_eq!((earlier.image_name.as_str(), earlier.version, earlier.first_sent), (name.as_str(), 7, sent));
    let image = RemoteImage { name: name.clone(), tags: [].into(), ..seen("imgc-late", ImageStatus::InProgress) };
    bake.answer(Response::Found(Some(image.clone())));
    let work = bake.bake.state.work().unwrap().clone();
    assert_eq!((work.version, work.image_name.as_str(), work.evidence.first_sent), (7, name.as_str(), Some(sent)));
    // Nor does the name of the image speak against it.
    bake.due();
    bake.answer(Response::Image(Some(RemoteImage { status: ImageStatus::Available, ..image })));
    assert_eq!(bake.state(), "succeeded");

    // Where nothing can have been made, there is nothing to search for.
    let mut bake = named("golden-v{version}");
    bake.admit();
    bake.answer(Response::Found(None));
    bake.refuse(ErrorClass::Busy, "TaskExist");
    bake.due();
    bake.answer(taken(&["imgc-byhand"], &[]));
    let Effect::Call(Call::FindImage(identity)) = bake.apply(Event::Renumbered { version: 9 }) else {
        panic!("no search")
    };
    assert_eq!(identity.evidence.earlier, []);
}

#[test]
fn a_line_without_versions_left_refuses_the_bake() {
    let why = || "line golden has no version left, its last one is 4294967295".to_owned();
    let mut bake = Fixture::new(settings());
    assert_eq!(bake.apply(Event::NoVersion { why: why() }), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("failed", why().as_str()));

    let mut bake = named("golden-v{version}");
    bake.admit();
    bake.answer(taken(&["imgc-byhand"], &[]));
    assert_eq!(bake.apply(Event::NoVersion { why: why() }), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("failed", why().as_str()));
}

#[test]
fn the_first_create_is_dated_by_the_cloud_s_clock() {
    let mut bake = Fixture::new(settings());
    bake.pace.clock_skew = TimeDelta::hours(-3);
    let Effect::Call(Call::CreateImage(identity)) = bake.admit() else { panic!("no call") };
    assert_eq!(identity.evidence.first_sent, Some(slot() - TimeDelta::hours(3)));
}
