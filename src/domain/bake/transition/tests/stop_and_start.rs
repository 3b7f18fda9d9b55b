//! The stop of the instance, and its start whatever happens in between.

use super::{
    super::{ABSENT_AFTER, SETTLED_AFTER},
    fixture::{
        Fixture, POLL, POLL_INSTANCE, START, STOP, between, is_create, is_poll, made, powered, seen, settings,
        stopped_and_creating,
    },
};
use crate::domain::{
    api::{
        call::{Call, ErrorClass, PowerState, Response},
        identity::{ImageStatus, RemoteImage, TAG_LINE},
    },
    bake::{
        event::{Effect, Event},
        reason::ReasonCode,
        retry::later,
        settings::StopInstance,
        state::State,
    },
};

/// An image of another line on the instance that is being made.
fn in_progress(id: &str) -> RemoteImage {
    let mut image = seen(id, ImageStatus::InProgress);
    image.tags.insert(TAG_LINE.into(), "silver".into());
    image
}

#[test]
fn an_instance_is_not_started_under_an_image_of_another_line() {
    let mut bake = stopped_and_creating();
    bake.answer(Response::Created(made("imgc-1")));
    bake.due();
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available))));
    for _ in 0..3 {
        let search = bake.apply(Event::Answered(powered(PowerState::Stopped)));
        assert_eq!(search, Effect::Call(Call::FindImagesInProgress));
        assert_ne!(bake.answer(Response::InProgress(vec![in_progress("imgc-2")])), START);
        let State::Starting { last_error: Some(error), .. } = &bake.bake.state else { panic!("{:?}", bake.bake.state) };
        assert!(error.contains("imgc-2") && error.contains("silver"), "{error}");
        assert_eq!(bake.due(), POLL_INSTANCE);
    }
    // A rejected search shows nothing either.
    bake.apply(Event::Answered(powered(PowerState::Stopped)));
    assert_ne!(bake.refuse(ErrorClass::Transient, "ServiceUnavailable"), START);
    bake.due();
    // Its own image, given up on, is no reason to leave it stopped.
    bake.apply(Event::Answered(powered(PowerState::Stopped)));
    assert_eq!(bake.answer(Response::InProgress(vec![in_progress("imgc-1")])), START);
}

#[test]
fn nobodys_image_keeps_an_instance_stopped_for_longer_than_build_deadline() {
    let mut bake = stopped_and_creating();
    bake.answer(Response::Created(made("imgc-1")));
    bake.due();
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available))));
    let begun = bake.now;
    let started = loop {
        match bake.apply(Event::Answered(powered(PowerState::Stopped))) {
            Effect::Call(Call::FindImagesInProgress) => {
                bake.answer(Response::InProgress(vec![in_progress("imgc-2")]));
                bake.due();
            }
            effect => break effect,
        }
    };
    assert_eq!(started, START);
    let waited = (bake.now - begun).to_std().unwrap();
    assert!(waited >= settings().build_deadline && waited < settings().build_deadline * 2, "{waited:?}");
}

#[test]
fn a_running_instance_is_stopped_first_and_started_last() {
    let mut bake = Fixture::stopping(StopInstance::Required);
    assert_eq!(bake.admit(), POLL_INSTANCE);
    assert!(!bake.restart_pending());
    assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
    assert!(bake.restart_pending(), "the debt is in the state that is committed before the stop");
    assert_eq!(bake.answer(Response::Accepted), bake.wait(POLL));
    assert_eq!(bake.due(), POLL_INSTANCE);
    assert_eq!(bake.answer(between()), bake.wait(POLL));
    bake.due();
    assert!(is_poll(&bake.answer(powered(PowerState::Stopped))));
    assert!(is_create(&bake.answer(Response::Found(None))));
    bake.answer(Response::Created(made("imgc-1")));
    bake.due();
    let effect = bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available))));
    assert_eq!((bake.state(), effect), ("starting", POLL_INSTANCE));
    assert_eq!(bake.answer(powered(PowerState::Stopped)), START);
    assert_eq!(bake.answer(Response::Accepted), bake.wait(POLL));
    bake.due();
    assert_eq!(bake.answer(powered(PowerState::Running)), Effect::Done);
    assert_eq!((bake.state(), bake.restart_pending()), ("succeeded", false));
}

#[test]
fn a_found_stopped_instance_stays_stopped() {
    let mut bake = Fixture::stopping(StopInstance::Required);
    bake.admit();
    assert!(is_poll(&bake.answer(powered(PowerState::Stopped))));
    bake.answer(Response::Found(None));
    bake.answer(Response::Created(made("imgc-1")));
    bake.due();
    assert_eq!(bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available)))), Effect::Done);
    assert_eq!(bake.state(), "succeeded");
}

#[test]
fn an_instance_in_transition_is_waited_for_and_not_started() {
    let mut bake = Fixture::stopping(StopInstance::IfRunning);
    bake.admit();
    assert!(matches!(bake.answer(between()), Effect::Wait(_)));
    assert_eq!(bake.state(), "queued", "neither a builder nor the instance is held");
    assert!(bake.reason().starts_with("waits for the instance, which is Stopping; next try "), "{}", bake.reason());
    assert_eq!(bake.due(), POLL_INSTANCE);
    assert!(is_poll(&bake.answer(powered(PowerState::Stopped))));
    assert!(!bake.restart_pending());
}

#[test]
fn a_lost_stop_is_repeated_after_five_polls() {
    let mut bake = Fixture::stopping(StopInstance::Required);
    bake.admit();
    assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
    bake.refuse(ErrorClass::Unclear, "Timeout");
    let effects: Vec<_> = (0..5)
        .map(|_| {
            bake.due();
            bake.answer(powered(PowerState::Running))
        })
        .collect();
    assert_eq!(effects.iter().filter(|effect| **effect == STOP).count(), 1, "{effects:?}");
    assert_eq!(effects.last(), Some(&STOP));
}

#[test]
fn a_required_stop_that_is_refused_fails() {
    let mut bake = Fixture::stopping(StopInstance::Required);
    bake.admit();
    bake.answer(powered(PowerState::Running));
    assert_eq!(bake.refuse(ErrorClass::Permanent, "NoPermission"), POLL_INSTANCE);
    for _ in 0..SETTLED_AFTER {
        assert!(
            matches!(bake.answer(powered(PowerState::Running)), Effect::Wait(_)),
            "an earlier stop may still take effect"
        );
        assert_eq!(bake.due(), POLL_INSTANCE);
    }
    assert_eq!(bake.answer(powered(PowerState::Running)), Effect::Done);
    assert_eq!(bake.state(), "failed");
    assert_eq!(bake.reason(), "the instance could not be stopped: NoPermission: the cloud's words");
}

#[test]
fn an_instance_stopped_after_the_bake_was_cancelled_is_started() {
    let mut bake = Fixture::stopping(StopInstance::Required);
    bake.admit();
    assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
    bake.answer(Response::Accepted);
    assert_eq!(bake.apply(Event::Cancelled { by: "uid 7".into() }), POLL_INSTANCE);
    assert!(matches!(bake.answer(powered(PowerState::Running)), Effect::Wait(_)));
    bake.due();
    assert_eq!(bake.answer(powered(PowerState::Stopped)), START);
    bake.answer(Response::Accepted);
    bake.due();
    assert_eq!(bake.answer(powered(PowerState::Running)), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("cancelled", "cancelled by uid 7"));
}

#[test]
fn what_waits_can_be_cancelled_and_what_the_cloud_works_on_cannot() {
    let by = || Event::Cancelled { by: "uid 7".into() };
    let mut bake = Fixture::new(settings());
    assert_eq!(bake.apply(by()), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("cancelled", "cancelled by uid 7 before it started"));

    let mut bake = Fixture::new(settings());
    bake.admit();
    assert!(bake.bake.state.cannot_be_cancelled().is_some());
    bake.apply(by());
    assert_eq!(bake.state(), "creating");
}

#[test]
fn if_running_a_refused_stop_bakes_the_running_instance() {
    let mut bake = Fixture::stopping(StopInstance::IfRunning);
    bake.admit();
    bake.answer(powered(PowerState::Running));
    assert!(is_poll(&bake.refuse(ErrorClass::Permanent, "NoPermission")));
    assert!(is_create(&bake.answer(Response::Found(None))));
}

#[test]
fn a_stop_that_may_have_been_acted_on_is_polled_again() {
    for (class, code) in
        [(ErrorClass::Transient, "InternalError"), (ErrorClass::Transient, "Timeout"), (ErrorClass::Unclear, "Timeout")]
    {
        let mut bake = Fixture::stopping(StopInstance::Required);
        bake.admit();
        bake.answer(powered(PowerState::Running));
        assert_eq!(bake.refuse(class, code), bake.wait(POLL));
        assert_eq!((bake.state(), bake.restart_pending()), ("stopping", true), "{code}");
        assert_eq!(bake.due(), POLL_INSTANCE);
    }
}

#[test]
fn a_first_stop_that_cannot_have_been_acted_on_is_no_debt() {
    for (class, code) in [
        (ErrorClass::Busy, "IncorrectDesktopStatus"),
        (ErrorClass::Credential, "InvalidAccessKeyId.NotFound"),
        (ErrorClass::Transient, "ConnectFailed"),
        (ErrorClass::Transient, "Throttling.User"),
    ] {
        let mut bake = Fixture::stopping(StopInstance::Required);
        bake.admit();
        assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
        assert!(matches!(bake.refuse(class, code), Effect::Wait(_)));
        assert_eq!((bake.state(), bake.restart_pending()), ("queued", false), "{code}");
        assert!(bake.reason().contains(&format!(": {code}: the cloud's words; next try ")), "{}", bake.reason());
        assert_eq!(bake.due(), POLL_INSTANCE);
        assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
        // What one stop did is not known once its answer is lost, whatever the next one comes to.
        bake.crash();
        bake.due();
        bake.refuse(class, code);
        assert_eq!((bake.state(), bake.restart_pending()), ("stopping", true), "{code}");
    }
}

#[test]
fn an_instance_counts_as_missing_after_several_answers_some_polls_apart() {
    let mut bake = Fixture::stopping(StopInstance::IfRunning);
    bake.admit();
    let first = bake.now;
    for _ in 1..ABSENT_AFTER {
        assert_eq!(bake.answer(Response::Instance(None)), bake.wait(POLL));
        assert_eq!(bake.state(), "queued");
        assert_eq!(bake.due(), POLL_INSTANCE);
    }
    assert_eq!(bake.answer(Response::Instance(None)), Effect::Done);
    assert!(bake.now >= later(first, POLL * 4));
    assert_eq!((bake.state(), bake.reason()), ("failed", "the cloud does not know the instance ecd-1"));
    assert_eq!(bake.code(), Some(ReasonCode::InstanceState));

    // Neither what is refused nor an instance that comes back counts.
    let mut bake = Fixture::stopping(StopInstance::IfRunning);
    bake.admit();
    for answer in
        [Response::Instance(None), powered(PowerState::Transitioning("Migrating".into()))].into_iter().cycle().take(40)
    {
        assert!(matches!(bake.answer(answer), Effect::Wait(_)));
        bake.due();
    }
}

#[test]
fn a_conflict_at_the_stop_passes_and_spends_no_attempt() {
    for code in [
        "IncorrectDesktopStatus",
        "IncorrectInstanceStatus",
        "OperationConflict",
        "OperationDenied.ImageCopying",
        "ResourceBusy",
        "DesktopStatusNotSupport",
    ] {
        for stop_instance in [StopInstance::IfRunning, StopInstance::Required] {
            let mut bake = Fixture::stopping(stop_instance);
            bake.admit();
            for _ in 0..5 {
                assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
                bake.refuse(ErrorClass::Busy, code);
                assert_eq!((bake.state(), bake.attempts(), bake.restart_pending()), ("queued", 0, false), "{code}");
                assert!(bake.reason().starts_with(&format!("waits for the cloud: {code}: ")), "{}", bake.reason());
                assert_eq!(bake.due(), POLL_INSTANCE);
            }
            // The conflict is over: the machine is stopped, and its image is made of the stopped machine.
            assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
            bake.answer(Response::Accepted);
            bake.due();
            bake.answer(powered(PowerState::Stopped));
            assert!(is_create(&bake.answer(Response::Found(None))), "{code}");
            assert_eq!(bake.bake.state.work().map(|work| work.notes.len()), Some(0));

            let mut bake = Fixture::stopping(stop_instance);
            bake.admit();
            while !bake.bake.state.is_ended() {
                bake.answer(powered(PowerState::Running));
                bake.refuse(ErrorClass::Busy, code);
                bake.due();
            }
            assert!(bake.now > bake.bake.give_up_at, "{code} is waited for until the deadline");
        }
    }
}

#[test]
fn an_image_of_a_machine_that_could_not_be_stopped_has_a_note() {
    let mut bake = Fixture::stopping(StopInstance::IfRunning);
    bake.admit();
    assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
    bake.refuse(ErrorClass::Permanent, "NoPermission");
    assert!(is_create(&bake.answer(Response::Found(None))));
    bake.answer(Response::Created(made("imgc-1")));
    bake.due();
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available))));
    bake.answer(powered(PowerState::Running));
    while !bake.bake.state.is_ended() {
        bake.due();
        bake.answer(powered(PowerState::Running));
    }
    let wanted = "imaged without a stop, which the cloud refused: NoPermission: the cloud's words; image made";
    assert_eq!((bake.state(), bake.reason()), ("succeeded", wanted));
}
