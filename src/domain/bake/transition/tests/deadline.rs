//! Deadlines, and not_after.

use std::time::Duration;

use chrono::TimeDelta;

use super::fixture::{
    Fixture, POLL, POLL_INSTANCE, START, STOP, between, hooks, is_poll, ok, powered, program, seen, settings, slot,
};
use crate::domain::{
    api::{
        call::{ErrorClass, PowerState, Response},
        identity::ImageStatus,
    },
    bake::{
        Trigger,
        event::{Effect, Event},
        reason::ReasonCode,
        retry::later,
        settings::{BakeSettings, StopInstance},
    },
    hooks::Hooks,
};

#[test]
fn the_deadline_while_admission_is_closed_names_the_cause() {
    let held =
        || Event::AdmissionClosed { code: ReasonCode::Credentials, why: "credentials: the key is disabled".into() };
    let mut bake = Fixture::new(settings());
    bake.apply(held());
    assert_eq!(bake.state(), "queued", "not past its deadline yet");
    bake.pass(settings().deadline + Duration::from_secs(1));
    assert_eq!(bake.apply(held()), Effect::Done);
    assert_eq!(bake.state(), "skipped");
    assert_eq!(bake.reason(), "the deadline passed before it could begin: credentials: the key is disabled");
}

#[test]
fn the_deadline_while_queued_is_a_skip_with_its_reason() {
    let mut bake = Fixture::new(settings());
    bake.pass(settings().deadline);
    assert_eq!(bake.due(), Effect::Wait(slot()), "not past it yet");
    bake.pass(Duration::from_secs(1));
    assert_eq!(bake.due(), Effect::Done);
    let reason = "waited past its deadline (2h after the slot) for its instance or a builder";
    assert_eq!((bake.state(), bake.reason()), ("skipped", reason));
    assert_eq!(bake.bake.state.work(), None, "no version is used up");
}

#[test]
fn the_deadline_while_waiting_for_the_cloud_names_what_it_waited_for() {
    let mut bake = Fixture::creating();
    bake.refuse(ErrorClass::Busy, "ExceedBuilderQuota");
    bake.pass(settings().deadline + Duration::from_secs(1));
    assert!(is_poll(&bake.due()));
    assert_eq!(bake.answer(Response::Found(None)), Effect::Done);
    let what = "it waited for the cloud: ExceedBuilderQuota: the cloud's words";
    let reason = format!("no image could be started before the deadline (2h after the slot): {what}");
    assert_eq!((bake.state(), bake.reason()), ("failed", reason.as_str()));
}

#[test]
fn a_task_that_was_ours_is_found_past_the_deadline() {
    let mut bake = Fixture::creating();
    bake.refuse(ErrorClass::Busy, "ImageCreateByInstance.TaskExist");
    bake.pass(settings().deadline + Duration::from_secs(1));
    assert!(is_poll(&bake.due()));
    bake.answer(Response::Found(Some(seen("imgc-1", ImageStatus::InProgress))));
    assert_eq!(bake.state(), "building");
}

#[test]
fn the_search_past_the_deadline_is_the_last_one() {
    for class in [ErrorClass::Transient, ErrorClass::Busy, ErrorClass::Credential, ErrorClass::Unclear] {
        let mut bake = Fixture::creating();
        bake.refuse(ErrorClass::Busy, "ImageCreateByInstance.TaskExist");
        bake.pass(settings().deadline + Duration::from_secs(1));
        bake.due();
        assert_eq!(bake.refuse(class, "Whatever"), Effect::Done);
        assert_eq!(bake.state(), "failed");
    }
}

#[test]
fn a_throttled_create_past_the_deadline_is_given_up() {
    let mut bake = Fixture::creating();
    bake.refuse(ErrorClass::Transient, "Throttling.User");
    bake.pass(settings().deadline + Duration::from_secs(1));
    assert_eq!(bake.due(), Effect::Done);
    assert_eq!(bake.state(), "failed");
}

#[test]
fn the_deadline_while_stopping_starts_the_instance_again() {
    let mut bake = Fixture::stopping(StopInstance::Required);
    bake.admit();
    bake.answer(powered(PowerState::Running));
    bake.answer(Response::Accepted);
    while bake.state() == "stopping" {
        if bake.due() == POLL_INSTANCE && bake.state() == "stopping" {
            bake.answer(between());
        }
    }
    assert!(bake.now <= later(slot(), settings().deadline + POLL));
    assert_eq!((bake.state(), bake.answer(powered(PowerState::Stopped))), ("starting", START));
}

#[test]
fn the_deadline_passes_during_the_search_before_the_create() {
    let mut bake = Fixture::new(settings());
    bake.pass(settings().deadline);
    assert!(is_poll(&bake.admit()));
    bake.pass(Duration::from_secs(1));
    assert_eq!(bake.answer(Response::Found(None)), Effect::Done);
    assert_eq!(bake.state(), "failed");
}

#[test]
fn a_deadline_of_its_own_counts_and_nothing_is_begun_after_it() {
    let caught_up = |stop_instance, hooks: Hooks| {
        let mut bake = Fixture::new(BakeSettings { stop_instance, hooks, ..settings() });
        // Found a day late, and queued then.
        bake.now = later(slot(), Duration::from_hours(24));
        bake.bake.trigger = Trigger::CaughtUp;
        bake.bake.give_up_at = later(bake.now, settings().deadline);
        bake
    };
    for hooks in [Hooks::default(), hooks()] {
        let mut bake = caught_up(StopInstance::Required, hooks.clone());
        assert_eq!(bake.admit(), POLL_INSTANCE);
        assert_eq!(bake.bake.state.wake_at(), Some(bake.now));

        // Past it, neither a hook nor a stop.
        let mut late = caught_up(StopInstance::Required, hooks.clone());
        late.pass(settings().deadline + Duration::from_secs(1));
        assert_eq!(late.admit(), Effect::Done);
        assert_eq!((late.state(), late.code()), ("skipped", Some(ReasonCode::Deadline)));
        assert_eq!(late.reason(), "waited past its deadline (2h after it was caught up) for its instance or a builder");

        bake.pass(settings().deadline + Duration::from_secs(1));
        let mut effect = bake.answer(powered(PowerState::Running));
        for wanted in if hooks.is_empty() { vec![] } else { vec!["/f2", "/f1"] } {
            assert_eq!(program(&effect), wanted, "it failed, and before did not begin");
            effect = bake.answer(ok());
        }
        assert_eq!(effect, Effect::Done, "the deadline has passed during the search");
        assert_eq!((bake.state(), bake.restart_pending()), ("failed", false));
    }
    let mut plain = caught_up(StopInstance::Never, Hooks::default());
    assert!(is_poll(&plain.admit()), "baked as any late one");
}

fn until_noon(stop_instance: StopInstance) -> Fixture {
    // The slot is at 11:00 in Shanghai.
    let not_after = chrono::NaiveTime::from_hms_opt(12, 0, 0);
    Fixture::new(BakeSettings { not_after, stop_instance, ..settings() })
}

#[test]
fn nothing_begins_after_not_after() {
    let noon = slot() + TimeDelta::hours(1);
    let after = noon + TimeDelta::seconds(1);

    let mut queued = until_noon(StopInstance::Never);
    queued.now = noon;
    queued.admit();
    assert_eq!(queued.state(), "ready", "at noon it may begin");
    let mut queued = until_noon(StopInstance::Never);
    queued.now = after;
    assert_eq!((queued.admit(), queued.state()), (Effect::Done, "skipped"));
    assert_eq!(queued.code(), Some(ReasonCode::Deadline));
    assert!(queued.reason().contains("not_after, 12:00 Asia/Shanghai"), "{}", queued.reason());

    // A stop that was decided too late is not sent, and one that was sent is followed by the start.
    let mut late = until_noon(StopInstance::Required);
    assert_eq!(late.admit(), POLL_INSTANCE);
    late.now = after;
    assert_eq!((late.answer(powered(PowerState::Running)), late.state()), (Effect::Done, "skipped"));
    let mut stopped = until_noon(StopInstance::Required);
    stopped.admit();
    assert_eq!(stopped.answer(powered(PowerState::Running)), STOP);
    stopped.answer(Response::Accepted);
    stopped.now = after;
    assert_eq!((stopped.due(), stopped.state()), (POLL_INSTANCE, "starting"));
    stopped.answer(powered(PowerState::Stopped));
    stopped.answer(Response::Accepted);
    stopped.answer(powered(PowerState::Running));
    assert_eq!((stopped.state(), stopped.code()), ("skipped", Some(ReasonCode::Deadline)));
}

#[test]
fn what_it_waited_for_till_not_after_is_in_the_reason() {
    let mut bake = until_noon(StopInstance::Required);
    bake.admit();
    while bake.answer(powered(PowerState::Transitioning("Migrating".into()))) != Effect::Done
        && !bake.bake.state.is_ended()
    {
        bake.due();
    }
    assert_eq!((bake.state(), bake.code()), ("skipped", Some(ReasonCode::Deadline)));
    assert!(bake.reason().contains("Migrating"), "{}", bake.reason());

    let mut held = until_noon(StopInstance::Never);
    held.now = slot() + TimeDelta::minutes(61);
    held.apply(Event::AdmissionClosed { code: ReasonCode::Outage, why: "the cloud cannot be reached".into() });
    assert_eq!((held.state(), held.code()), ("skipped", Some(ReasonCode::Deadline)));
}
