//! Create calls whose effect is not known.

use chrono::TimeDelta;

use super::fixture::{Fixture, POLL, WINDOW, is_create, is_poll, seen, settings, slot};
use crate::domain::{
    api::{
        call::{Call, ErrorClass, Response},
        identity::ImageStatus,
    },
    bake::{
        event::Effect,
        retry::later,
        settings::{BakeSettings, RetryPolicy},
    },
};

#[test]
fn an_unclear_create_is_searched_for_and_followed() {
    let mut bake = Fixture::unknown();
    assert!(is_poll(&bake.due()));
    bake.answer(Response::Found(Some(seen("imgc-1", ImageStatus::InProgress))));
    assert_eq!((bake.state(), bake.attempts()), ("building", 1));
    assert_eq!(bake.due(), Effect::Call(Call::DescribeImage("imgc-1".into())));
}

#[test]
fn an_unclear_create_whose_image_is_finished_succeeds() {
    let mut bake = Fixture::unknown();
    bake.due();
    assert_eq!(bake.answer(Response::Found(Some(seen("imgc-1", ImageStatus::Available)))), Effect::Done);
    let found = "found by name after the create call stayed unclear (Timeout: the cloud's words)";
    assert_eq!((bake.state(), bake.reason()), ("succeeded", format!("image made; {found}").as_str()));
}

#[test]
fn an_unclear_create_is_repeated_only_after_the_look_up_window() {
    let mut bake = Fixture::unknown();
    let sent = slot();
    let mut polls = 0;
    while bake.state() == "unknown" {
        assert!(is_poll(&bake.due()));
        bake.answer(Response::Found(None));
        polls += 1;
    }
    assert!(polls > 4, "{polls} polls");
    assert!(bake.now >= later(sent, WINDOW), "given up at {}", bake.now);
    assert!(bake.now < later(sent, WINDOW + POLL), "the last search came late, at {}", bake.now);
    assert!(is_poll(&bake.due()));
    assert!(is_create(&bake.answer(Response::Found(None))));
}

#[test]
fn an_unclear_last_attempt_is_searched_for_before_it_is_given_up() {
    let mut bake = Fixture::new(BakeSettings { retry: RetryPolicy { attempts: 1, ..settings().retry }, ..settings() });
    bake.admit();
    bake.refuse(ErrorClass::Unclear, "Timeout");
    while bake.state() == "unknown" {
        assert!(is_poll(&bake.due()));
        bake.answer(Response::Found(None));
    }
    assert!(bake.now >= later(slot(), WINDOW));
    let reason = "gave up after 1 attempt: Timeout: the cloud's words; no image appeared within 5m";
    assert_eq!((bake.state(), bake.reason()), ("failed", reason));
}

#[test]
fn an_unclear_create_that_cannot_be_searched_for_fails_after_the_build_deadline() {
    let mut bake = Fixture::unknown();
    while bake.state() == "unknown" {
        bake.due();
        bake.refuse(ErrorClass::Permanent, "NoPermission");
    }
    assert!(bake.now >= later(slot(), settings().build_deadline));
    assert_eq!(bake.state(), "failed");
    assert!(bake.reason().contains("could not be searched for"), "{}", bake.reason());
}

#[test]
fn a_crash_under_a_create_call_is_an_unclear_create() {
    let mut bake = Fixture::creating();
    bake.crash();
    assert!(matches!(bake.due(), Effect::Wait(_)));
    assert_eq!((bake.state(), bake.attempts()), ("unknown", 1));
    assert_eq!(
        bake.reason(),
        "searches for its image: the daemon stopped before the create call was answered; next try Mon 2026-03-02 \
         11:00:02 +08:00"
    );
    assert!(is_poll(&bake.due()));
}

#[test]
fn a_create_answered_with_something_else_is_unclear() {
    let mut bake = Fixture::creating();
    bake.answer(Response::Accepted);
    assert_eq!((bake.state(), bake.attempts()), ("unknown", 1));
}

#[test]
fn a_clock_set_back_does_not_prolong_the_search() {
    let mut bake = Fixture::creating();
    bake.now = slot() - TimeDelta::days(1);
    bake.refuse(ErrorClass::Unclear, "Timeout");
    let unclear = bake.now;
    while bake.state() == "unknown" {
        bake.due();
        bake.answer(Response::Found(None));
    }
    assert!(bake.now < later(unclear, WINDOW + POLL), "{}", bake.now);
}
