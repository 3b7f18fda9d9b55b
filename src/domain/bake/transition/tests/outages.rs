//! A cloud that does not answer.

use std::time::Duration;

use chrono::TimeDelta;

use super::{
    super::ABSENT_AFTER,
    fixture::{
        Fixture, POLL_INSTANCE, START, STOP, error, is_create, is_poll, made, powered, seen, settings, slot,
        stopped_and_creating,
    },
};
use crate::domain::{
    api::{
        call::{ApiError, ErrorClass, PowerState, Response},
        identity::ImageStatus,
    },
    bake::{
        event::Effect,
        reason::ReasonCode,
        retry::{self, later},
        settings::StopInstance,
    },
};

/// What keeps a call from the cloud, or the cloud's answer from us, and is no word of the cloud itself.
const OUTAGES: [(ErrorClass, &str); 4] = [
    (ErrorClass::Transient, "ConnectFailed"),
    (ErrorClass::Transient, "AnswerNotJson"),
    (ErrorClass::Transient, "AnswerNotFromApi"),
    (ErrorClass::Transient, "Throttling.User"),
];

#[test]
fn no_outage_ends_a_bake_by_count_and_its_pauses_grow_up_to_the_cap() {
    for (class, code) in OUTAGES {
        let mut bake = Fixture::creating();
        let mut pauses = Vec::new();
        let before_the_deadline = later(bake.bake.give_up_at, Duration::ZERO) - TimeDelta::minutes(15);
        while bake.now < before_the_deadline {
            let Effect::Wait(next) = bake.refuse(class, code) else { panic!("does not wait") };
            pauses.push((next - bake.now).to_std().expect("later"));
            assert_eq!((bake.state(), bake.attempts()), ("queued", 0), "{code}");
            assert!(is_create(&bake.due()));
        }
        let cap = settings().retry.cap;
        assert!(pauses.iter().all(|pause| *pause <= cap), "{pauses:?}");
        assert!(pauses.iter().any(|pause| *pause > cap / 2), "{pauses:?}");
        bake.answer(Response::Created(made("imgc-1")));
        assert_eq!((bake.state(), bake.attempts()), ("building", 1));
        assert_eq!(bake.bake.state.work().and_then(|work| work.waiting.clone()), None);
    }
}

#[test]
fn an_outage_until_the_deadline_is_the_reason_of_the_end() {
    for (stop, failed) in [(StopInstance::Never, "failed"), (StopInstance::Required, "failed")] {
        let mut bake = Fixture::stopping(stop);
        bake.admit();
        while !bake.bake.state.is_ended() {
            assert!(!bake.bake.state.holds_builder() || bake.now <= bake.bake.give_up_at);
            bake.refuse(ErrorClass::Transient, "ConnectFailed");
            if bake.now > bake.bake.give_up_at {
                break;
            }
            bake.due();
        }
        bake.pass(Duration::from_secs(1));
        assert_eq!((bake.state(), bake.code()), (failed, Some(ReasonCode::Outage)));
        let reason = "no image could be started before the deadline (2h after the slot): it waited for the cloud: ConnectFailed: \
                      the cloud's words";
        assert_eq!(bake.reason(), reason);
    }
}

#[test]
fn the_code_of_the_end_is_that_of_what_was_waited_for() {
    for (class, code, reason_code) in [
        (ErrorClass::Busy, "ExceedBuilderQuota", ReasonCode::Quota),
        (ErrorClass::Busy, "QuotaExceed.Image", ReasonCode::Quota),
        (ErrorClass::Busy, "ImageCreateByInstance.TaskExist", ReasonCode::Deadline),
        (ErrorClass::Busy, "IncorrectDesktopStatus", ReasonCode::Deadline),
        (ErrorClass::Credential, "InvalidAccessKeyId.NotFound", ReasonCode::Credentials),
        (ErrorClass::Transient, "Throttling.User", ReasonCode::Deadline),
        (ErrorClass::Transient, "InternalError", ReasonCode::Outage),
        (ErrorClass::Transient, "ConnectFailed", ReasonCode::Outage),
    ] {
        let mut bake = Fixture::creating();
        bake.refuse(class, code);
        bake.pass(settings().deadline + Duration::from_secs(1));
        if is_poll(&bake.due()) {
            bake.answer(Response::Found(None));
        }
        assert_eq!((bake.state(), bake.code()), ("failed", Some(reason_code)), "{code}");
        assert!(bake.reason().contains(code), "{}", bake.reason());
    }
}

#[test]
fn an_unclear_create_spends_an_attempt_unless_it_was_no_answer_of_the_cloud() {
    for (code, attempts) in
        [("Timeout", 1), ("ConnectionLost", 1), ("InternalError", 1), ("AnswerNotJson", 0), ("AnswerNotFromApi", 0)]
    {
        let mut bake = Fixture::creating();
        bake.refuse(ErrorClass::Unclear, code);
        assert_eq!((bake.state(), bake.attempts()), ("unknown", attempts), "{code}");
    }
}

#[test]
fn with_a_stopped_instance_an_outage_is_waited_for_in_place() {
    let mut bake = stopped_and_creating();
    for _ in 0..20 {
        assert!(matches!(bake.refuse(ErrorClass::Transient, "ConnectFailed"), Effect::Wait(_)));
        assert_eq!((bake.state(), bake.attempts()), ("ready", 0));
        assert!(bake.reason().contains("ConnectFailed") && bake.reason().contains("; next try "), "{}", bake.reason());
        if bake.bake.state.wake_at() > Some(bake.bake.give_up_at) {
            break;
        }
        assert!(is_create(&bake.due()));
    }
}

#[test]
fn an_outage_while_it_starts_does_not_make_the_instance_missing() {
    let mut bake = stopped_and_creating();
    bake.refuse(ErrorClass::Permanent, "NoPermission");
    for _ in 0..20 {
        bake.refuse(ErrorClass::Transient, "ConnectFailed");
        bake.due();
    }
    assert!(matches!(bake.answer(Response::Instance(None)), Effect::Wait(_)), "one empty listing proves nothing");
    bake.due();
    assert_eq!(bake.answer(powered(PowerState::Stopped)), START);
}

#[test]
fn an_outage_of_days_is_no_verdict_on_an_image() {
    let mut bake = Fixture::building();
    for code in ["ConnectFailed", "Timeout", "ConnectionLost", "AnswerNotJson"].into_iter().cycle().take(1000) {
        bake.due();
        assert!(matches!(bake.refuse(ErrorClass::Transient, code), Effect::Wait(_)));
        assert_eq!(bake.state(), "building");
    }
    assert!(bake.now > later(slot(), settings().build_deadline * 4));
    bake.due();
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available))));
    assert_eq!(bake.state(), "succeeded", "it was made meanwhile");
}

#[test]
fn the_server_s_delay_wins_wherever_something_is_waited_for() {
    let asked = Duration::from_mins(17);
    let refused =
        || Response::Refused(ApiError { retry_after: Some(asked), ..error(ErrorClass::Transient, "Throttling") });
    let stopping = || {
        let mut bake = Fixture::stopping(StopInstance::Required);
        bake.admit();
        bake
    };
    let mut stopped = stopping();
    stopped.answer(powered(PowerState::Running));
    stopped.answer(Response::Accepted);
    let mut starting = stopped_and_creating();
    starting.refuse(ErrorClass::Permanent, "NoPermission");
    for mut bake in [Fixture::creating(), Fixture::unknown(), Fixture::building(), stopping(), stopped, starting] {
        let state = bake.state();
        assert!(matches!(bake.answer(refused()), Effect::Wait(next) if next >= later(bake.now, asked)), "{state}");
    }
}

#[test]
fn a_crash_after_the_stop_was_committed_still_starts() {
    let mut bake = Fixture::stopping(StopInstance::Required);
    bake.admit();
    assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
    bake.crash();
    bake.pass(settings().deadline * 2);
    assert_eq!(bake.due(), POLL_INSTANCE);
    assert_eq!((bake.state(), bake.answer(powered(PowerState::Stopped))), ("starting", START));
}

#[test]
fn a_failed_create_starts_what_was_stopped() {
    let mut bake = stopped_and_creating();
    assert_eq!(bake.refuse(ErrorClass::Permanent, "NoPermission"), POLL_INSTANCE);
    assert_eq!(bake.answer(powered(PowerState::Stopped)), START);
    bake.answer(Response::Accepted);
    bake.due();
    assert_eq!(bake.answer(powered(PowerState::Running)), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("failed", "NoPermission: the cloud's words"));
}

#[test]
fn an_unclear_create_keeps_the_instance_stopped_until_it_is_clear() {
    let mut bake = stopped_and_creating();
    bake.refuse(ErrorClass::Unclear, "Timeout");
    while bake.state() == "unknown" {
        assert!(is_poll(&bake.due()));
        bake.answer(Response::Found(None));
        assert!(bake.restart_pending());
    }
}

#[test]
fn a_start_is_tried_for_ever_at_most_ten_minutes_apart() {
    let mut bake = stopped_and_creating();
    bake.refuse(ErrorClass::Permanent, "NoPermission");
    let mut starts = 0;
    for _ in 0..200 {
        if bake.answer(powered(PowerState::Stopped)) == START {
            starts += 1;
            bake.refuse(ErrorClass::Permanent, "OperationDenied");
        }
        assert_eq!(bake.state(), "starting");
        assert!(bake.bake.state.wake_at() <= Some(later(bake.now, retry::LONGEST_GAP)));
        assert_eq!(bake.due(), POLL_INSTANCE);
    }
    assert!(starts >= 100, "{starts} starts");
}

#[test]
fn an_instance_that_is_gone_is_not_started() {
    let mut bake = stopped_and_creating();
    bake.refuse(ErrorClass::Permanent, "NoPermission");
    for _ in 1..ABSENT_AFTER {
        assert!(matches!(bake.answer(Response::Instance(None)), Effect::Wait(_)), "one empty listing proves nothing");
        assert_eq!(bake.due(), POLL_INSTANCE);
    }
    assert_eq!(bake.answer(Response::Instance(None)), Effect::Done);
    assert_eq!(bake.state(), "failed");
    assert!(bake.reason().ends_with("; the instance is gone, it could not be started again"), "{}", bake.reason());
}

#[test]
fn while_it_starts_an_instance_is_taken_but_no_builder() {
    let mut bake = stopped_and_creating();
    assert!(bake.bake.state.holds_builder() && bake.bake.state.holds_instance());
    bake.refuse(ErrorClass::Permanent, "NoPermission");
    assert!(!bake.bake.state.holds_builder() && bake.bake.state.holds_instance());
}
