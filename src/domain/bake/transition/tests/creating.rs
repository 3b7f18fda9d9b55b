//! The create call and its answers.

use std::time::Duration;

use super::fixture::{Fixture, POLL, error, is_create, is_poll, made, seen, settings, slot};
use crate::domain::{
    api::{
        call::{ApiError, Call, ErrorClass, Response},
        identity::ImageStatus,
    },
    bake::{event::Effect, reason::ReasonCode, retry::later},
    ids::ImageId,
};

#[test]
fn a_plain_night_makes_one_image() {
    let mut bake = Fixture::new(settings());
    let Effect::Call(Call::CreateImage(identity)) = bake.admit() else { panic!("no create call") };
    assert_eq!((identity.owner.as_str(), identity.version, identity.slot), ("ops", 7, slot()));
    assert_eq!(bake.state(), "creating");

    assert_eq!(bake.answer(Response::Created(made("imgc-1"))), bake.wait(POLL));
    assert_eq!(bake.due(), Effect::Call(Call::DescribeImage("imgc-1".into())));
    assert_eq!(bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::InProgress)))), bake.wait(POLL));
    bake.due();
    assert_eq!(bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available)))), Effect::Done);
    assert_eq!((bake.state(), bake.reason(), bake.attempts()), ("succeeded", "image made", 1));
    assert_eq!(bake.bake.state.image(), Some(&made("imgc-1")));
}

#[test]
fn a_create_within_a_minute_of_its_slot_does_not_search_first() {
    let mut bake = Fixture::new(settings());
    bake.pass(Duration::from_mins(1));
    assert!(is_create(&bake.admit()));
}

#[test]
fn a_late_create_searches_first() {
    let mut bake = Fixture::new(settings());
    bake.pass(Duration::from_secs(61));
    assert!(is_poll(&bake.admit()));
    assert_eq!(bake.state(), "ready");
    assert!(is_create(&bake.answer(Response::Found(None))));
}

#[test]
fn a_late_create_that_finds_its_image_follows_it() {
    let mut bake = Fixture::new(settings());
    bake.pass(Duration::from_mins(2));
    bake.admit();
    bake.answer(Response::Found(Some(seen("imgc-9", ImageStatus::InProgress))));
    assert_eq!((bake.state(), bake.attempts()), ("building", 0));
    bake.due();
    bake.answer(Response::Image(Some(seen("imgc-9", ImageStatus::Available))));
    assert_eq!(bake.reason(), "image made; found in the cloud before the create call was made");
}

#[test]
fn a_throttled_create_is_tried_again_after_the_servers_delay() {
    let mut bake = Fixture::creating();
    let asked = Duration::from_secs(90);
    let throttled = ApiError { retry_after: Some(asked), ..error(ErrorClass::Transient, "Throttling.User") };
    let Effect::Wait(until) = bake.answer(Response::Refused(throttled)) else { panic!("does not wait") };
    assert!(until >= later(bake.now, asked) && until <= later(bake.now, asked * 2), "{until}");
    assert_eq!((bake.state(), bake.attempts()), ("queued", 0));
    assert!(
        bake.reason().starts_with("waits for the cloud: Throttling.User: the cloud's words; next try Mon 2026-03-02 ")
    );
    assert!(bake.reason().ends_with(", until Mon 2026-03-02 13:00 +08:00 at most"), "{}", bake.reason());
    assert!(is_create(&bake.due()), "nothing happened, so there is nothing to search for");
}

#[test]
fn a_servers_delay_of_a_day_is_not_believed() {
    let mut bake = Fixture::creating();
    let day = Duration::from_hours(24);
    let throttled = ApiError { retry_after: Some(day), ..error(ErrorClass::Transient, "Throttling.User") };
    let Effect::Wait(until) = bake.answer(Response::Refused(throttled)) else { panic!("does not wait") };
    assert!(until <= later(bake.now, Duration::from_hours(2)), "{until}");
}

#[test]
fn a_create_that_keeps_failing_is_given_up_after_its_attempts() {
    let mut bake = Fixture::creating();
    for _ in 0..2 {
        bake.refuse(ErrorClass::Transient, "ServiceUnavailable");
        assert!(is_create(&bake.due()));
    }
    assert_eq!(bake.refuse(ErrorClass::Transient, "ServiceUnavailable"), Effect::Done);
    assert_eq!(bake.state(), "failed");
    assert_eq!(bake.reason(), "gave up after 3 attempts: ServiceUnavailable: the cloud's words");
}

#[test]
fn a_permanent_error_fails_at_once_with_the_advice() {
    let mut bake = Fixture::creating();
    let forbidden = ApiError { advice: "grant the permission".into(), ..error(ErrorClass::Permanent, "NoPermission") };
    assert_eq!(bake.answer(Response::Refused(forbidden)), Effect::Done);
    assert_eq!((bake.state(), bake.attempts()), ("failed", 1));
    assert_eq!(bake.reason(), "NoPermission: the cloud's words (grant the permission)");
}

#[test]
fn task_exist_waits_and_then_searches_before_the_next_create() {
    let mut bake = Fixture::creating();
    for _ in 0..20 {
        let effect = bake.refuse(ErrorClass::Busy, "ImageCreateByInstance.TaskExist");
        assert!(matches!(effect, Effect::Wait(_)));
        assert_eq!((bake.state(), bake.attempts()), ("queued", 0), "waiting uses no attempts");
        assert!(is_poll(&bake.due()), "the task may be ours");
        assert!(is_create(&bake.answer(Response::Found(None))));
    }
}

#[test]
fn refused_credentials_wait_like_a_poll_and_use_no_attempts() {
    let mut bake = Fixture::creating();
    for _ in 0..20 {
        let Effect::Wait(until) = bake.refuse(ErrorClass::Credential, "InvalidAccessKeyId.NotFound") else {
            panic!("does not wait")
        };
        assert!(until >= later(bake.now, bake.pace.poll_interval / 2), "{until}");
        assert_eq!(bake.attempts(), 0);
        assert!(is_create(&bake.due()));
    }
}

#[test]
fn a_search_before_the_create_that_is_refused_for_good_fails() {
    let mut bake = Fixture::new(settings());
    bake.pass(Duration::from_mins(2));
    bake.admit();
    assert_eq!(bake.refuse(ErrorClass::Permanent, "NoPermission"), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("failed", "NoPermission: the cloud's words"));
}

#[test]
fn a_create_that_did_not_go_out_is_made_again_and_uses_no_attempt() {
    let mut bake = Fixture::creating();
    assert_eq!(bake.answer(Response::NotSent), bake.wait(Duration::ZERO));
    assert_eq!((bake.state(), bake.attempts()), ("ready", 0));
    assert!(is_create(&bake.due()));
}

#[test]
fn a_create_whose_turn_comes_after_the_deadline_is_given_up() {
    let mut bake = Fixture::creating();
    bake.pass(Duration::from_hours(3));
    assert_eq!(bake.answer(Response::NotSent), Effect::Done);
    assert_eq!(bake.bake.state.reason_code(), Some(ReasonCode::Deadline));
}

#[test]
fn an_unclear_create_is_searched_for_no_sooner_than_the_proxy_asks() {
    let mut bake = Fixture::creating();
    let asked = Duration::from_mins(2);
    let limited = ApiError { retry_after: Some(asked), ..error(ErrorClass::Unclear, "AnswerNotJson") };
    assert_eq!(bake.answer(Response::Refused(limited)), bake.wait(asked));
}

#[test]
fn refused_polls_of_an_image_do_not_end_it() {
    let mut bake = Fixture::building();
    for class in
        [ErrorClass::Transient, ErrorClass::Busy, ErrorClass::Credential, ErrorClass::Permanent, ErrorClass::Unclear]
    {
        bake.due();
        bake.refuse(class, "Whatever");
        assert_eq!(bake.state(), "building");
    }
    bake.due();
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available))));
    assert_eq!(bake.state(), "succeeded");
}

#[test]
fn stuck_after_the_build_deadline() {
    let mut bake = Fixture::building();
    while bake.state() == "building" {
        bake.due();
        bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::InProgress))));
    }
    assert_eq!(bake.now, later(slot(), settings().build_deadline));
    assert_eq!(bake.reason(), "stuck: the image is still CREATING after 6h, no longer followed");
}

#[test]
fn the_deadline_of_the_create_does_not_touch_an_image_being_made() {
    let mut bake = Fixture::building();
    bake.pass(settings().deadline * 2);
    assert_eq!(bake.due(), Effect::Call(Call::DescribeImage(ImageId::new("imgc-1"))));
}
