//! max_downtime, and the second stop.

use std::time::Duration;

use chrono::TimeDelta;
use fastrand::Rng;

use super::fixture::{
    Fixture, POLL_INSTANCE, STOP, is_create, is_poll, pace, powered, refused_until_restarted, runs_again, seen,
    settings,
};
use crate::domain::{
    api::{
        call::{ErrorClass, PowerState, Response},
        identity::ImageStatus,
    },
    bake::{event::Effect, reason::ReasonCode, settings::StopInstance},
};

/// The instance runs when it is asked for; it is stopped, and started again once the image is AVAILABLE.
fn stops_and_makes_its_image(bake: &mut Fixture) {
    assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
    bake.stop_and_create();
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available))));
    runs_again(bake);
}

#[test]
fn a_stopped_instance_runs_again_after_max_downtime_and_is_stopped_once_more_at_most() {
    for code in ["ExceedBuilderQuota", "LimitExceeded", "ImageCreateByInstance.TaskExist"] {
        let mut bake = Fixture::stopping(StopInstance::Required);
        bake.admit();
        refused_until_restarted(&mut bake, code);
        assert!(bake.reason().contains(code), "{}", bake.reason());
        let effect = runs_again(&mut bake);
        assert_eq!((bake.state(), bake.restart_pending(), bake.attempts()), ("queued", false, 0));
        assert_eq!(effect, bake.wait(settings().max_downtime), "it runs for as long as it was stopped");
        assert!(bake.reason().contains(code) && bake.reason().contains("next try"), "{}", bake.reason());

        bake.crash();
        assert_eq!(bake.due(), POLL_INSTANCE);
        let mut good = Fixture { bake: bake.bake.clone(), pace: pace(), rng: Rng::with_seed(1), now: bake.now };
        refused_until_restarted(&mut bake, code);
        runs_again(&mut bake);
        assert_eq!(bake.state(), "failed", "{:?}", bake.bake.state);
        assert!(bake.reason().contains("2 times for 30m (max_downtime)"), "{}", bake.reason());

        stops_and_makes_its_image(&mut good);
        assert_eq!(good.state(), "succeeded");
        assert!(good.reason().contains("started again after 30m (max_downtime)"), "{}", good.reason());
    }
}

/// Only deleted images make room, and that takes longer than the instance has to be down.
#[test]
fn an_instance_is_started_at_once_where_the_image_quota_is_full() {
    let mut bake = Fixture::stopping(StopInstance::Required);
    bake.admit();
    let refused = |bake: &mut Fixture| {
        assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
        bake.answer(Response::Accepted);
        bake.due();
        bake.answer(powered(PowerState::Stopped));
        assert!(is_create(&bake.answer(Response::Found(None))));
        assert!(!bake.bake.only_restarts(bake.now, TimeDelta::zero()));
        assert_eq!(bake.refuse(ErrorClass::Busy, "QuotaExceeded.Image"), Effect::Wait(bake.now));
        assert!(bake.bake.only_restarts(bake.now, TimeDelta::zero()), "it begins nothing more while the quota is full");
        assert!(is_poll(&bake.due()), "an image of the slot may be there all the same");
        // The list cannot be read: it is asked again later, not at once.
        assert_ne!(bake.refuse(ErrorClass::Transient, "InternalError"), Effect::Wait(bake.now));
        assert!(is_poll(&bake.due()));
        assert!(is_create(&bake.answer(Response::Found(None))), "the quota is not what it waited for last");
        bake.refuse(ErrorClass::Busy, "QuotaExceeded.Image");
        assert!(is_poll(&bake.due()));
        bake.answer(Response::Found(None))
    };
    assert_eq!(refused(&mut bake), POLL_INSTANCE);
    let effect = runs_again(&mut bake);
    assert_eq!((bake.state(), effect), ("queued", bake.wait(settings().max_downtime)));
    let mut good = Fixture { bake: bake.bake.clone(), pace: pace(), rng: Rng::with_seed(1), now: bake.now };

    assert_eq!(good.due(), POLL_INSTANCE);
    stops_and_makes_its_image(&mut good);
    assert!(
        good.reason().contains("the instance was started again: the bake waited for the cloud: QuotaExceeded.Image")
    );

    assert_eq!(bake.due(), POLL_INSTANCE);
    refused(&mut bake);
    runs_again(&mut bake);
    assert_eq!((bake.state(), bake.code()), ("failed", Some(ReasonCode::Quota)));
    assert!(bake.reason().contains("while the instance was stopped, 2 times: it waited for"), "{}", bake.reason());
}

#[test]
fn nothing_is_started_while_an_image_may_be_in_the_making() {
    // The create call is unclear: max_downtime passes, and the image is searched for.
    let mut bake = Fixture::stopping(StopInstance::Required);
    bake.admit();
    bake.answer(powered(PowerState::Running));
    bake.answer(Response::Accepted);
    bake.due();
    bake.answer(powered(PowerState::Stopped));
    assert!(is_create(&bake.answer(Response::Found(None))));
    bake.refuse(ErrorClass::Busy, "ImageCreateByInstance.TaskExist");
    bake.due();
    assert!(is_create(&bake.answer(Response::Found(None))));
    bake.pass(Duration::from_hours(1));
    bake.refuse(ErrorClass::Unclear, "Timeout");
    assert_eq!(bake.state(), "unknown");
    assert!(is_poll(&bake.due()));

    // After TaskExist a search that finds the image follows it, however long the instance is stopped.
    let mut bake = Fixture::stopping(StopInstance::Required);
    bake.admit();
    bake.answer(powered(PowerState::Running));
    bake.answer(Response::Accepted);
    bake.due();
    bake.answer(powered(PowerState::Stopped));
    bake.answer(Response::Found(None));
    bake.refuse(ErrorClass::Busy, "ImageCreateByInstance.TaskExist");
    bake.pass(Duration::from_hours(1));
    assert!(is_poll(&bake.due()));
    bake.answer(Response::Found(Some(seen("imgc-1", ImageStatus::InProgress))));
    assert_eq!((bake.state(), bake.restart_pending()), ("building", true));
}
