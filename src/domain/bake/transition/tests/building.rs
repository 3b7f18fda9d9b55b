//! The image in the making.

use std::time::Duration;

use super::fixture::{Fixture, POLL, WINDOW, is_poll, made, seen, settings};
use crate::domain::{
    api::{
        call::{Call, ErrorClass, Response},
        identity::{ImageStatus, RemoteImage},
    },
    bake::{event::Effect, reason::ReasonCode, retry::later, state::State},
};

#[test]
fn create_failed_is_the_end() {
    let mut bake = Fixture::building();
    bake.due();
    assert_eq!(bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::CreateFailed)))), Effect::Done);
    assert_eq!((bake.state(), bake.attempts()), ("failed", 1));
    assert!(bake.reason().contains("CREATE_FAILED"), "{}", bake.reason());
    assert_eq!(bake.bake.state.image(), Some(&made("imgc-1")), "the image is named, so that it can be looked up");
}

#[test]
fn an_unknown_status_is_tolerated_and_reported() {
    let mut bake = Fixture::building();
    bake.due();
    assert_eq!(bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::parse("Auditing"))))), bake.wait(POLL));
    assert_eq!((bake.state(), bake.reason()), ("building", "Auditing"));
}

#[test]
fn a_new_image_may_be_listed_late() {
    let mut bake = Fixture::building();
    bake.due();
    assert_eq!(bake.answer(Response::Image(None)), bake.wait(POLL));
    bake.due();
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available))));
    assert_eq!(bake.state(), "succeeded");
}

#[test]
fn an_image_that_is_not_listed_any_more_has_vanished() {
    let mut bake = Fixture::building();
    bake.pass(Duration::from_hours(1));
    bake.due();
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::InProgress))));
    let last_seen = bake.now;
    while !is_poll(&bake.due()) {
        bake.answer(Response::Image(None));
    }
    assert!(bake.now >= later(last_seen, WINDOW));
    assert_eq!(bake.answer(Response::Found(None)), Effect::Done);
    assert_eq!(
        (bake.state(), bake.reason()),
        ("failed", "the image vanished: it has not been listed for 5m, and no other image of its slot is listed")
    );
}

/// The create call was answered with the id of an image that is not listed, and the slot's image is searched for.
fn misled() -> Fixture {
    let mut bake = Fixture::building();
    while !matches!(bake.bake.state, State::Building { searching: true, .. }) {
        bake.due();
        bake.answer(Response::Image(None));
    }
    assert!(is_poll(&bake.due()));
    bake
}

#[test]
fn an_image_whose_cloud_does_not_answer_names_the_outage_and_the_next_try_while_it_lasts() {
    let mut bake = Fixture::building();
    bake.due();
    bake.refuse(ErrorClass::Transient, "ConnectFailed");
    let since = bake.now;
    bake.pass(Duration::from_mins(1));
    bake.due();
    bake.refuse(ErrorClass::Unclear, "Timeout");
    let local = |at| crate::domain::time::show(at, settings().timezone);
    let next = bake.bake.state.wake_at().unwrap();
    let reason = format!(
        "CREATING; the cloud does not answer since {}: Timeout: the cloud's words; next try {}",
        local(since),
        local(next)
    );
    assert_eq!((bake.state(), bake.reason()), ("building", reason.as_str()));
    bake.pass(Duration::from_mins(10));
    bake.due();
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::InProgress))));
    assert_eq!((bake.state(), bake.reason()), ("building", "CREATING"));
}

#[test]
fn an_image_that_is_not_listed_is_searched_for_and_the_real_one_followed() {
    let mut bake = misled();
    bake.answer(Response::Found(Some(seen("imgc-2", ImageStatus::InProgress))));
    assert_eq!(
        (bake.state(), bake.bake.state.image().map(|image| image.image_id.as_str())),
        ("building", Some("imgc-2"))
    );
    assert_eq!(bake.due(), Effect::Call(Call::DescribeImage("imgc-2".into())));
    bake.answer(Response::Image(Some(seen("imgc-2", ImageStatus::Available))));
    let reason = "image made; found by name and tags after imgc-1 was not listed";
    assert_eq!((bake.state(), bake.reason()), ("succeeded", reason));
}

#[test]
fn a_search_for_a_vanished_image_outlives_a_restart_and_errors() {
    let mut bake = misled();
    bake.crash();
    assert!(is_poll(&bake.due()));
    for class in [ErrorClass::Transient, ErrorClass::Permanent, ErrorClass::Credential] {
        bake.refuse(class, "Whatever");
        assert!(is_poll(&bake.due()), "{class:?}");
    }
    // By name it is listed: it has not vanished.
    bake.answer(Response::Found(Some(seen("imgc-1", ImageStatus::InProgress))));
    assert_eq!(bake.due(), Effect::Call(Call::DescribeImage("imgc-1".into())));

    let mut bake = misled();
    bake.pass(Duration::from_hours(7));
    bake.refuse(ErrorClass::Transient, "Whatever");
    assert_eq!(bake.state(), "failed");
    assert_eq!(bake.bake.state.reason_code(), Some(ReasonCode::Vanished));
}

#[test]
fn an_answer_that_names_an_image_of_others_is_not_believed() {
    let others = [
        RemoteImage { name: "another".into(), ..seen("imgc-1", ImageStatus::Available) },
        RemoteImage { kind: Some("Shared".into()), ..seen("imgc-1", ImageStatus::Available) },
        RemoteImage { name: "another".into(), ..seen("imgc-1", ImageStatus::CreateFailed) },
        RemoteImage { name: "another".into(), ..seen("imgc-1", ImageStatus::Deleted) },
    ];
    for image in others {
        let mut bake = Fixture::building();
        while !is_poll(&bake.due()) {
            bake.answer(Response::Image(Some(image.clone())));
            assert_eq!(bake.state(), "building", "{image:?}");
        }
        bake.answer(Response::Found(Some(seen("imgc-2", ImageStatus::Available))));
        assert_eq!(bake.bake.state.image().map(|image| image.image_id.as_str()), Some("imgc-2"));
    }
}

#[test]
fn a_deleted_image_is_searched_for_at_once() {
    let mut bake = Fixture::building();
    bake.due();
    assert!(is_poll(&bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Deleted))))));
    bake.answer(Response::Found(None));
    assert_eq!((bake.state(), bake.reason()), ("failed", "the image was deleted while it was being made"));
}
