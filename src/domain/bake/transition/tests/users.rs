//! Connected users.

use std::time::Duration;

use chrono::TimeDelta;

use super::fixture::{Fixture, POLL, POLL_INSTANCE, STOP, in_use, is_create, made, powered, seen, settings, slot};
use crate::domain::{
    api::{
        call::{PowerState, Response},
        identity::ImageStatus,
    },
    bake::{
        event::{Effect, Event},
        retry::later,
        settings::{BakeSettings, IfConnected, StopInstance},
    },
};

#[test]
fn a_connected_user_is_waited_for_in_the_queue() {
    let mut bake = Fixture::stopping(StopInstance::Required);
    assert_eq!(bake.admit(), POLL_INSTANCE);
    let since = bake.now;
    assert_eq!(bake.answer(in_use()), bake.wait(POLL));
    assert_eq!(bake.state(), "queued");
    assert_eq!(
        bake.reason(),
        "waits for alice to leave, who is connected to the instance; next try Mon 2026-03-02 11:00:30 +08:00, until Mon \
         2026-03-02 12:00 +08:00 at most"
    );
    assert!(!bake.bake.state.holds_builder() && !bake.bake.state.holds_instance());

    for _ in 0..3 {
        bake.pass(Duration::from_mins(10));
        bake.crash();
        assert_eq!(bake.apply(Event::Admitted { version: 99 }), POLL_INSTANCE);
        assert_eq!(bake.state(), "preparing");
        bake.answer(in_use());
        assert_eq!(bake.bake.state.work().map(|work| work.version), Some(7), "versions are not burnt by waiting");
        assert_eq!(bake.bake.state.waiting().map(|waiting| waiting.since), Some(since));
    }
    bake.pass(Duration::from_mins(10));
    bake.admit();
    assert_eq!(bake.answer(powered(PowerState::Running)), STOP, "this poll is the one right before the stop");
    assert!(bake.restart_pending());
    bake.answer(Response::Accepted);
    bake.due();
    bake.answer(powered(PowerState::Stopped));
    bake.answer(Response::Found(None));
    bake.answer(Response::Created(made("imgc-1")));
    bake.due();
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available))));
    bake.answer(powered(PowerState::Running));
    assert_eq!(bake.reason(), "waited 40m for a connected user to leave; image made");
}

#[test]
fn a_user_who_stays_too_long_costs_the_slot() {
    let mut bake = Fixture::stopping(StopInstance::IfRunning);
    bake.admit();
    bake.answer(in_use());
    bake.pass(Duration::from_mins(59));
    bake.admit();
    let Effect::Wait(until) = bake.answer(in_use()) else { panic!("does not wait") };
    assert_eq!(until, later(bake.now, POLL));
    bake.now = later(slot(), Duration::from_hours(1));
    bake.admit();
    assert_eq!(bake.answer(in_use()), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("skipped", "somebody was connected to the instance for 1h"));
}

#[test]
fn the_deadline_bounds_the_wait() {
    let settings =
        BakeSettings { stop_instance: StopInstance::Required, connected_wait: Duration::from_hours(9), ..settings() };
    let mut bake = Fixture::new(settings);
    bake.admit();
    bake.answer(in_use());
    bake.pass(Duration::from_hours(3));
    assert_eq!(bake.due(), Effect::Done);
    let reason = "somebody was connected to the instance until the deadline (2h after the slot)";
    assert_eq!((bake.state(), bake.reason()), ("skipped", reason));
}

#[test]
fn a_wait_survives_a_clock_that_is_set_back() {
    let mut bake = Fixture::stopping(StopInstance::Required);
    bake.pass(Duration::from_mins(30));
    bake.admit();
    bake.answer(in_use());
    bake.now = slot() - TimeDelta::hours(5);
    bake.admit();
    assert_eq!(bake.answer(in_use()), bake.wait(POLL));
    bake.pass(POLL);
    bake.admit();
    bake.answer(powered(PowerState::Running));
    assert_eq!(bake.bake.state.work().map(|work| work.notes.len()), Some(1));
}

#[test]
fn if_connected_is_skip() {
    let mut bake = Fixture::new(BakeSettings {
        stop_instance: StopInstance::Required,
        if_connected: IfConnected::Skip,
        ..settings()
    });
    bake.admit();
    assert_eq!(bake.answer(in_use()), Effect::Done);
    let reason = "alice was connected to the instance, and if_connected is \"skip\"";
    assert_eq!((bake.state(), bake.reason()), ("skipped", reason));
}

#[test]
fn if_connected_is_proceed() {
    let mut bake = Fixture::new(BakeSettings {
        stop_instance: StopInstance::Required,
        if_connected: IfConnected::Proceed,
        ..settings()
    });
    bake.admit();
    assert_eq!(bake.answer(in_use()), STOP);
    bake.answer(Response::Accepted);
    bake.apply(Event::Cancelled { by: "ops".into() });
    bake.pass(POLL);
    bake.answer(powered(PowerState::Stopped));
    bake.answer(Response::Accepted);
    bake.answer(in_use());
    let reason = "alice was connected; stopped nevertheless, because if_connected is \"proceed\"; cancelled by ops";
    assert_eq!((bake.state(), bake.reason()), ("cancelled", reason), "who works on it shows that it runs");
}

#[test]
fn users_do_not_matter_to_an_instance_that_is_not_stopped() {
    let mut bake = Fixture::new(BakeSettings { if_connected: IfConnected::Skip, ..settings() });
    assert!(is_create(&bake.admit()));
}

#[test]
fn a_bake_that_waits_for_a_user_can_be_cancelled() {
    let mut bake = Fixture::stopping(StopInstance::Required);
    bake.admit();
    bake.answer(in_use());
    assert_eq!(bake.bake.state.cannot_be_cancelled(), None);
    assert_eq!(bake.apply(Event::Cancelled { by: "ops".into() }), Effect::Done);
    assert_eq!(bake.state(), "cancelled");
}
