//! States of the instance that a bake waits for, or that end it.

use std::time::Duration;

use super::{
    super::ABSENT_AFTER,
    fixture::{Fixture, POLL, POLL_INSTANCE, START, hooks, powered, settings, stopped_and_creating, with_hooks},
};
use crate::domain::{
    api::call::{ErrorClass, PowerState, Response},
    bake::{
        event::Effect,
        reason::ReasonCode,
        settings::{BakeSettings, IfConnected, StopInstance},
    },
    hooks::Hooks,
};

#[test]
fn a_final_state_ends_the_bake_before_any_hook_and_stop() {
    for word in ["Expired", "Deleted", "Deleting", "Locked"] {
        for hooks in [Hooks::default(), hooks()] {
            for if_connected in [IfConnected::Wait, IfConnected::Skip, IfConnected::Proceed] {
                let settings = BakeSettings {
                    stop_instance: StopInstance::IfRunning,
                    if_connected,
                    hooks: hooks.clone(),
                    ..settings()
                };
                let mut bake = Fixture::new(settings);
                assert_eq!(bake.admit(), POLL_INSTANCE);
                assert_eq!(bake.answer(powered(PowerState::Final(word.into()))), Effect::Done);
                assert_eq!((bake.state(), bake.code()), ("skipped", Some(ReasonCode::InstanceState)));
                assert!(bake.reason().contains(word), "{}", bake.reason());
            }
        }
    }
}

#[test]
fn a_passing_state_is_waited_for_in_the_queue_until_the_deadline() {
    for word in ["Hibernated", "Migrating", "Rebuilding", "Updating", "Auditing"] {
        let mut bake = Fixture::new(BakeSettings { stop_instance: StopInstance::Required, ..with_hooks(hooks()) });
        bake.admit();
        let mut gaps = Vec::new();
        while bake.now <= bake.bake.give_up_at {
            let Effect::Wait(next) = bake.answer(powered(PowerState::Transitioning(word.into()))) else {
                panic!("does not wait")
            };
            gaps.push((next - bake.now).to_std().expect("later"));
            assert!(!bake.bake.state.holds_builder() && !bake.bake.state.holds_instance());
            assert_eq!(bake.bake.state.work().map(|work| work.version), Some(7));
            assert!(bake.reason().contains(&format!("waits for the instance, which is {word}; next try")));
            bake.due();
        }
        assert!(gaps.iter().all(|gap| *gap <= Duration::from_mins(10)), "{gaps:?}");
        assert!(gaps[..7].iter().all(|gap| *gap <= POLL * 11 / 10), "{gaps:?}");
        assert_eq!((bake.state(), bake.code()), ("skipped", Some(ReasonCode::InstanceState)));
        assert!(bake.reason().contains(word), "{}", bake.reason());
    }
}

#[test]
fn an_instance_that_cannot_be_started_for_its_state_is_not_forgotten() {
    for word in ["Expired", "Locked", "Deleting"] {
        let mut bake = stopped_and_creating();
        bake.refuse(ErrorClass::Permanent, "NoPermission");
        for _ in 0..50 {
            assert!(matches!(bake.answer(powered(PowerState::Final(word.into()))), Effect::Wait(_)));
            bake.due();
        }
        assert_eq!(bake.answer(powered(PowerState::Stopped)), START, "renewed, it is started");
    }
    let mut bake = stopped_and_creating();
    bake.refuse(ErrorClass::Permanent, "NoPermission");
    for _ in 1..ABSENT_AFTER {
        bake.answer(powered(PowerState::Final("Deleted".into())));
        bake.due();
    }
    assert_eq!(bake.answer(Response::Instance(None)), Effect::Done);
}
