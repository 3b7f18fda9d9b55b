//! The maintenance around a stop: what each answer leads to. What no path may ever do is in `transition_model.rs`.

use std::time::Duration;

use super::super::tests::{
    Fixture, POLL, POLL_INSTANCE, START, STOP, commands, in_use, is_create, powered, program, seen, settings,
};
use crate::domain::{
    api::{
        call::{Call, ErrorClass, PowerState, Response},
        identity::ImageStatus,
    },
    bake::{
        event::{Effect, Event},
        reason::ReasonCode,
        settings::{BakeSettings, IfConnected, StopInstance},
    },
    hooks::Hooks,
};

const ASK: Effect = Effect::Call(Call::DescribeMaintenance);
const ENTER: Effect = Effect::Call(Call::EnterMaintenance);
const LEAVE: Effect = Effect::Call(Call::LeaveMaintenance);
const NOT_YET: Response = Response::Maintenance(Some(false));
const IN_IT: Response = Response::Maintenance(Some(true));

fn kept(stop_instance: StopInstance) -> BakeSettings {
    BakeSettings { maintenance: true, stop_instance, ..settings() }
}

fn running() -> Response {
    powered(PowerState::Running)
}

fn pending(bake: &Fixture) -> bool {
    bake.bake.state.work().is_some_and(|work| work.maintenance.is_pending())
}

/// Admitted, with the call in flight that begins the maintenance.
fn entering(settings: BakeSettings) -> Fixture {
    let mut bake = Fixture::new(settings);
    assert_eq!(bake.admit(), POLL_INSTANCE);
    assert_eq!(bake.answer(running()), ASK);
    assert_eq!(bake.answer(NOT_YET), ENTER);
    assert!(pending(&bake), "the end is pending before the call is sent");
    bake
}

/// In maintenance and polled; the stop is in flight.
fn stopping() -> Fixture {
    let mut bake = entering(kept(StopInstance::Required));
    assert_eq!(bake.answer(Response::Accepted), POLL_INSTANCE);
    assert_eq!(bake.answer(running()), STOP);
    bake
}

/// Its image is AVAILABLE, and the desktop is to be started; the answer to the last poll was Stopped.
fn made_and_stopped() -> (Fixture, Effect) {
    let mut bake = stopping();
    bake.stop_and_create();
    assert_eq!(bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available)))), POLL_INSTANCE);
    let effect = bake.answer(powered(PowerState::Stopped));
    (bake, effect)
}

#[test]
fn it_begins_before_the_stop_and_ends_before_the_start() {
    let (mut bake, effect) = made_and_stopped();
    assert_eq!(effect, LEAVE);
    assert_eq!(bake.answer(Response::Accepted), START);
    bake.answer(Response::Accepted);
    bake.due();
    assert_eq!(bake.answer(running()), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("succeeded", "image made"));
}

#[test]
fn a_desktop_in_maintenance_stays_in_it() {
    let mut bake = Fixture::new(kept(StopInstance::Required));
    bake.admit();
    bake.answer(running());
    assert_eq!(bake.answer(IN_IT), POLL_INSTANCE);
    assert_eq!(bake.answer(running()), STOP);
    assert!(!pending(&bake));
    bake.answer(Response::Accepted);
    bake.apply(Event::Cancelled { by: "ops".into() });
    bake.answer(powered(PowerState::Stopped));
    bake.answer(Response::Accepted);
    bake.due();
    assert_eq!(bake.answer(running()), Effect::Done);
    assert!(bake.reason().contains("was in maintenance, and stays in it"), "{}", bake.reason());
}

#[test]
fn without_the_right_it_is_noted_and_the_bake_goes_on() {
    for class in [ErrorClass::Permanent, ErrorClass::Busy] {
        let mut bake = entering(kept(StopInstance::Required));
        assert_eq!(bake.refuse(class, "Forbidden.RAM"), POLL_INSTANCE, "{class:?}");
        assert!(!pending(&bake));
        assert_eq!(bake.answer(running()), STOP, "it is not asked again");
        bake.apply(Event::Cancelled { by: "ops".into() });
        assert!(
            bake.reason().contains("without maintenance, which the cloud refused: Forbidden.RAM"),
            "{}",
            bake.reason()
        );
    }
}

#[test]
fn a_begin_that_did_nothing_is_tried_again_and_an_unclear_one_is_ended() {
    let mut bake = entering(kept(StopInstance::Required));
    bake.refuse(ErrorClass::Transient, "ConnectFailed");
    assert_eq!((bake.state(), pending(&bake)), ("queued", false));
    bake.due();
    assert_eq!(bake.answer(running()), ASK);

    let mut bake = entering(kept(StopInstance::Required));
    assert_eq!(bake.refuse(ErrorClass::Unclear, "Timeout"), bake.wait(POLL), "it may yet begin");
    assert!(pending(&bake));
    assert_eq!(bake.due(), POLL_INSTANCE);
    assert_eq!(bake.answer(running()), ASK, "nothing is stopped before it is certain");
    assert_eq!(bake.answer(IN_IT), POLL_INSTANCE);
    assert_eq!(bake.answer(running()), STOP);
    assert!(pending(&bake));
}

#[test]
fn a_begin_that_is_not_listed_is_sent_again_and_ended_whatever_its_answer_is() {
    for again in [Ok(Response::Accepted), Err(ErrorClass::Permanent), Err(ErrorClass::Busy)] {
        let mut bake = entering(kept(StopInstance::Required));
        bake.crash();
        assert_eq!(bake.due(), POLL_INSTANCE);
        assert_eq!(bake.answer(running()), ASK);
        assert_eq!(bake.answer(NOT_YET), ENTER);
        let effect = match again {
            Ok(answer) => bake.answer(answer),
            Err(class) => bake.refuse(class, "IncorrectDesktopStatus"),
        };
        assert_eq!((effect, pending(&bake)), (POLL_INSTANCE, true), "the first one may have begun it");
        assert_eq!(bake.answer(running()), STOP);
    }
    // Also one that is lost again, or is not sent.
    for answer in [None, Some(Response::NotSent)] {
        let mut bake = entering(kept(StopInstance::Required));
        bake.refuse(ErrorClass::Unclear, "Timeout");
        bake.due();
        bake.answer(running());
        assert_eq!(bake.answer(NOT_YET), ENTER);
        match answer {
            Some(answer) => drop(bake.answer(answer)),
            None => bake.crash(),
        }
        assert!(pending(&bake));
        bake.due();
        assert_eq!(bake.answer(running()), ASK);
    }
}

#[test]
fn a_crash_under_the_begin_leaves_its_end_pending() {
    let mut bake = entering(kept(StopInstance::Required));
    bake.crash();
    assert_eq!(bake.due(), POLL_INSTANCE);
    assert!(pending(&bake));
    bake.now = bake.bake.give_up_at;
    bake.pass(POLL);
    assert_eq!(bake.answer(running()), LEAVE);
    assert_eq!(bake.state(), "starting");
    bake.crash();
    assert_eq!(bake.due(), LEAVE, "the answer is lost, so it is sent again");
    assert_eq!(bake.answer(Response::Accepted), Effect::Done);
}

#[test]
fn a_user_who_came_in_between_is_waited_for_outside_of_it() {
    let hooks = Hooks { before: commands(&["/b1"]), after: commands(&["/a1"]), ..Hooks::default() };
    let mut bake = entering(BakeSettings { hooks: Hooks::default(), ..kept(StopInstance::Required) });
    bake.answer(Response::Accepted);
    assert_eq!(bake.answer(in_use()), LEAVE);
    assert!(!bake.bake.state.holds_builder());
    assert!(bake.reason().starts_with("waits for alice to leave"), "{}", bake.reason());
    assert!(bake.reason().contains("; ends the maintenance of its instance"), "{}", bake.reason());
    assert!(matches!(bake.answer(Response::Accepted), Effect::Wait(_)));
    assert_eq!(bake.state(), "queued");
    assert!(bake.reason().starts_with("waits for alice to leave"), "{}", bake.reason());
    assert_eq!(bake.due(), POLL_INSTANCE);
    assert_eq!(bake.answer(running()), ASK, "it begins again");

    // Hooks of the end do not run for a wait, nor `before` a second time.
    let mut bake = Fixture::new(BakeSettings { hooks, ..kept(StopInstance::Required) });
    bake.admit();
    assert_eq!(program(&bake.answer(running())), "/b1");
    assert_eq!(bake.answer(super::super::tests::ok()), POLL_INSTANCE);
    bake.answer(running());
    bake.answer(NOT_YET);
    bake.answer(Response::Accepted);
    assert_eq!(bake.answer(in_use()), LEAVE);
    assert!(matches!(bake.answer(Response::Accepted), Effect::Wait(_)));
    assert_eq!((bake.state(), bake.due()), ("queued", POLL_INSTANCE));
    assert_eq!(bake.answer(running()), ASK);
}

#[test]
fn it_ends_at_max_downtime_and_begins_again_with_the_second_stop() {
    let mut bake = stopping();
    bake.answer(Response::Accepted);
    bake.due();
    bake.answer(powered(PowerState::Stopped));
    bake.answer(Response::Found(None));
    let mut effect = bake.refuse(ErrorClass::Busy, "ImageCreateByInstance.TaskExist");
    while bake.state() == "ready" || bake.state() == "creating" {
        effect = match effect {
            Effect::Call(Call::FindImage(_)) => bake.answer(Response::Found(None)),
            Effect::Call(Call::CreateImage(_)) => bake.refuse(ErrorClass::Busy, "ImageCreateByInstance.TaskExist"),
            _ => bake.due(),
        };
    }
    assert_eq!((bake.state(), effect), ("starting", POLL_INSTANCE));
    assert_eq!(bake.answer(powered(PowerState::Stopped)), LEAVE);
    assert_eq!(bake.answer(Response::Accepted), START);
    bake.answer(Response::Accepted);
    bake.due();
    assert!(matches!(bake.answer(running()), Effect::Wait(_)));
    assert_eq!((bake.state(), pending(&bake)), ("queued", false));
    bake.due();
    assert_eq!(bake.answer(running()), ASK);
}

#[test]
fn a_start_does_not_wait_for_an_end_that_is_refused_and_the_end_is_repeated() {
    let (mut bake, effect) = made_and_stopped();
    assert_eq!(effect, LEAVE);
    assert_eq!(bake.refuse(ErrorClass::Permanent, "IncorrectDesktopStatus"), START);
    bake.answer(Response::Accepted);
    bake.due();
    assert_eq!(bake.answer(running()), ASK, "perhaps it is over");
    assert_eq!(bake.state(), "starting");
    assert_eq!(bake.answer(IN_IT), LEAVE);
    let mut last = bake.now;
    for n in 0..20 {
        assert!(matches!(bake.refuse(ErrorClass::Permanent, "Forbidden.RAM"), Effect::Wait(_)));
        assert_eq!(bake.due(), ASK);
        assert!(bake.now > last && bake.now <= last + Duration::from_mins(20), "try {n}");
        last = bake.now;
        assert_eq!(bake.answer(IN_IT), LEAVE);
    }
    assert!(bake.reason().contains("ends the maintenance of its instance"), "{}", bake.reason());
    assert!(!bake.bake.state.holds_builder() && bake.bake.state.holds_instance());
    assert_eq!(bake.answer(Response::Accepted), Effect::Done);
    assert_eq!(bake.state(), "succeeded");
}

#[test]
fn an_end_that_is_refused_is_repeated_before_each_start() {
    let (mut bake, effect) = made_and_stopped();
    assert_eq!(effect, LEAVE);
    assert_eq!(bake.refuse(ErrorClass::Busy, "OperationConflict"), START);
    for n in 0..20 {
        // A desktop in maintenance cannot be started.
        bake.refuse(ErrorClass::Busy, "IncorrectDesktopStatus");
        assert_eq!(bake.due(), POLL_INSTANCE, "try {n}");
        assert_eq!(bake.answer(powered(PowerState::Stopped)), LEAVE, "try {n}");
        assert_eq!(bake.refuse(ErrorClass::Busy, "OperationConflict"), START, "try {n}");
    }
    bake.refuse(ErrorClass::Busy, "IncorrectDesktopStatus");
    bake.due();
    assert_eq!(bake.answer(powered(PowerState::Stopped)), LEAVE);
    assert_eq!(bake.answer(Response::Accepted), START);
    bake.answer(Response::Accepted);
    bake.due();
    assert_eq!(bake.answer(running()), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("succeeded", "image made"));
}

#[test]
fn an_end_that_is_refused_several_times_is_over_where_the_list_shows_that() {
    let (mut bake, _) = made_and_stopped();
    bake.refuse(ErrorClass::Permanent, "IncorrectDesktopStatus");
    bake.answer(Response::Accepted);
    bake.due();
    let mut effect = bake.answer(running());
    let mut calls = 0;
    while effect != Effect::Done {
        calls += 1;
        assert!(calls < 20, "it never ends");
        effect = match effect {
            ASK => bake.answer(NOT_YET),
            LEAVE => bake.refuse(ErrorClass::Permanent, "IncorrectDesktopStatus"),
            _ => bake.due(),
        };
    }
    assert_eq!(bake.state(), "succeeded");
    assert!(bake.reason().contains("the end of its maintenance was refused"), "{}", bake.reason());
}

#[test]
fn nobody_is_kept_out_while_admission_is_closed() {
    let mut bake = entering(kept(StopInstance::Required));
    bake.refuse(ErrorClass::Unclear, "Timeout");
    assert!(bake.bake.state.only_keeps_users_out() && bake.bake.state.begins_something());
    let closed = Event::AdmissionClosed { code: ReasonCode::Quota, why: "ExceedBuilderQuota".into() };
    assert_eq!(bake.apply(closed.clone()), LEAVE);
    bake.answer(Response::Accepted);
    assert_eq!(bake.state(), "queued");
    assert!(bake.reason().starts_with("waits for the cloud: ExceedBuilderQuota"), "{}", bake.reason());

    let mut bake = stopping();
    assert!(!bake.bake.state.only_keeps_users_out());
    let before = bake.bake.state.clone();
    bake.apply(closed);
    assert_eq!(bake.bake.state, before, "what is stopped goes on");
}

#[test]
fn a_cancelled_begin_is_ended_only_after_it_may_have_come() {
    let mut bake = entering(kept(StopInstance::Required));
    assert_eq!(bake.apply(Event::Cancelled { by: "ops".into() }), bake.wait(POLL));
    assert_eq!(bake.due(), LEAVE);
    assert_eq!(bake.answer(Response::Accepted), Effect::Done);
    assert_eq!(bake.state(), "cancelled");
}

#[test]
fn only_a_desktop_that_is_stopped_is_put_into_maintenance() {
    let mut bake = Fixture::new(kept(StopInstance::Required));
    bake.admit();
    assert!(matches!(bake.answer(powered(PowerState::Stopped)), Effect::Call(Call::FindImage(_))));
    assert!(is_create(&Fixture::new(kept(StopInstance::Never)).admit()));
    let proceed = BakeSettings { if_connected: IfConnected::Proceed, ..kept(StopInstance::Required) };
    let mut bake = Fixture::new(proceed);
    bake.admit();
    assert_eq!(bake.answer(in_use()), ASK);
    let mut bake = Fixture::new(kept(StopInstance::Required));
    bake.admit();
    bake.answer(running());
    assert!(matches!(bake.answer(Response::Maintenance(None)), Effect::Wait(_)));
    assert_eq!(bake.state(), "queued");
}
