//! Hooks around a bake.

use std::time::Duration;

use super::fixture::{
    Fixture, POLL, POLL_INSTANCE, START, STOP, commands, hook_of, hooks, in_use, is_create, is_poll, made, ok, powered,
    program, ran, refused_until_restarted, runs_again, seen, slot, with_hooks,
};
use crate::domain::{
    api::{
        call::{ErrorClass, PowerState, Response},
        identity::ImageStatus,
    },
    bake::{
        event::{Effect, Event},
        settings::{BakeSettings, StopInstance},
        state::{BakeWork, End, Resume, State, Suspended},
    },
    hooks::{HookResult, Hooks, Moment},
};

#[test]
fn hooks_nest_around_a_stop() {
    let mut bake = Fixture::new(BakeSettings { stop_instance: StopInstance::Required, ..with_hooks(hooks()) });
    assert_eq!(bake.admit(), POLL_INSTANCE, "no hook runs before it is known that nobody is connected");
    assert_eq!(program(&bake.answer(powered(PowerState::Running))), "/b1");
    assert_eq!(bake.state(), "preparing");
    assert_eq!(program(&bake.answer(ok())), "/b2");
    assert_eq!(bake.answer(ok()), POLL_INSTANCE, "and again before the stop");
    assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
    bake.answer(Response::Accepted);
    bake.due();
    assert!(is_poll(&bake.answer(powered(PowerState::Stopped))));
    assert!(is_create(&bake.answer(Response::Found(None))));
    bake.answer(Response::Created(made("imgc-1")));
    bake.due();
    assert_eq!(bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available)))), POLL_INSTANCE);
    assert_eq!(bake.answer(powered(PowerState::Stopped)), START);
    bake.answer(Response::Accepted);
    bake.due();
    let last = bake.answer(powered(PowerState::Running));
    assert_eq!((program(&last), bake.state()), ("/a2", "finishing"), "what undoes goes backwards");
    assert!(!bake.bake.state.holds_builder() && bake.bake.state.holds_instance());
    assert_eq!((hook_of(&last).moment, hook_of(&last).number), (Moment::After, 2));
    assert_eq!(program(&bake.answer(ok())), "/a1");
    assert_eq!(bake.answer(ok()), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("succeeded", "image made"));
}

#[test]
fn a_user_who_comes_while_hooks_run_is_waited_for_and_before_does_not_run_again() {
    let mut bake = Fixture::new(BakeSettings { stop_instance: StopInstance::Required, ..with_hooks(hooks()) });
    bake.admit();
    bake.answer(powered(PowerState::Running));
    bake.answer(ok());
    bake.answer(ok());
    bake.answer(in_use());
    assert_eq!(bake.state(), "queued");
    bake.pass(POLL);
    bake.admit();
    assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
    let mut waits = bake;
    waits.bake.state = State::Queued {
        not_before: slot(),
        suspended: Some(Suspended {
            work: BakeWork { end_hooks_pending: true, version: 7, ..BakeWork::default() },
            resume: Resume::Instance,
        }),
    };
    let end = waits.apply(Event::Cancelled { by: "ops".into() });
    assert_eq!((program(&end), waits.state()), ("/a2", "finishing"), "the end hooks run");
}

#[test]
fn hooks_around_a_plain_bake_need_no_poll() {
    let mut bake = Fixture::new(with_hooks(Hooks { on_failure: Vec::new(), ..hooks() }));
    assert_eq!(program(&bake.admit()), "/b1");
    bake.answer(ok());
    assert!(is_create(&bake.answer(ok())));
    assert_eq!(program(&bake.refuse(ErrorClass::Permanent, "NoPermission")), "/a2");
}

#[test]
fn before_that_takes_long_makes_the_create_search_first() {
    let mut bake = Fixture::new(with_hooks(Hooks { before: commands(&["/b1"]), ..Hooks::default() }));
    bake.admit();
    bake.pass(Duration::from_mins(3));
    assert!(is_poll(&bake.answer(ok())));
}

#[test]
fn before_that_outlasts_the_deadline_ends_the_bake() {
    let mut bake = Fixture::new(with_hooks(hooks()));
    bake.admit();
    bake.answer(ok());
    bake.pass(Duration::from_hours(3));
    assert_eq!(program(&bake.answer(ok())), "/f2");
    assert!(bake.reason().starts_with("no image could be started before the deadline"), "{}", bake.reason());
}

#[test]
fn a_veto_skips_the_slot_and_runs_the_end_hooks() {
    let mut bake = Fixture::new(with_hooks(hooks()));
    bake.admit();
    let end = bake.answer(ran(HookResult::Exited(4)));
    assert_eq!(program(&end), "/a2", "a slot that is skipped did not fail");
    bake.answer(ok());
    assert_eq!(bake.answer(ok()), Effect::Done);
    assert_eq!((bake.state(), bake.reason()), ("skipped", "vetoed by /b1: its last words"));
}

#[test]
fn a_before_hook_that_cannot_decide_fails_the_bake() {
    for (result, permanent, words) in [
        (HookResult::TimedOut(Duration::from_mins(5)), false, "not done after 5m, ended"),
        (HookResult::NotStarted("no such file".into()), true, "cannot be started: no such file"),
        (HookResult::Killed(11), false, "killed by signal 11"),
    ] {
        let mut bake = Fixture::new(with_hooks(hooks()));
        bake.admit();
        bake.answer(ok());
        assert_eq!(program(&bake.answer(ran(result))), "/f2");
        assert_eq!(program(&bake.answer(ok())), "/f1");
        assert_eq!(program(&bake.answer(ok())), "/a2");
        bake.answer(ok());
        bake.answer(ok());
        assert_eq!(bake.reason(), format!("the hook /b2 of before failed: {words}"));
        let State::Ended { end: End::Failed { permanent: variables, .. }, .. } = bake.bake.state else {
            panic!("not failed")
        };
        assert_eq!(variables, permanent);
    }
}

#[test]
fn end_hooks_change_nothing_and_are_noted() {
    let mut bake = Fixture::new(with_hooks(Hooks { before: Vec::new(), ..hooks() }));
    assert!(is_create(&bake.admit()));
    bake.answer(Response::Created(made("imgc-1")));
    bake.due();
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::Available))));
    bake.answer(ran(HookResult::Exited(1)));
    assert_eq!(bake.answer(ran(HookResult::TimedOut(Duration::from_mins(5)))), Effect::Done);
    let reason = "image made; the hook /a2 of after failed: exit status 1; \
                  the hook /a1 of after failed: not done after 5m, ended";
    assert_eq!((bake.state(), bake.reason()), ("succeeded", reason));
}

#[test]
fn hooks_cut_off_by_a_crash_run_again() {
    let mut bake = Fixture::new(with_hooks(hooks()));
    bake.admit();
    bake.answer(ok());
    bake.crash();
    assert_eq!(program(&bake.due()), "/b2");
    bake.answer(ok());
    bake.refuse(ErrorClass::Permanent, "NoPermission");
    bake.answer(ok());
    bake.crash();
    assert_eq!(program(&bake.due()), "/f1");
}

#[test]
fn a_bake_cancelled_in_its_hooks_runs_the_end_hooks() {
    let mut bake = Fixture::new(with_hooks(hooks()));
    bake.admit();
    assert_eq!(program(&bake.apply(Event::Cancelled { by: "ops".into() })), "/a2", "it did not fail");
    assert!(bake.bake.state.cannot_be_cancelled().is_some());
}

#[test]
fn a_hook_gets_the_variables_of_its_bake_and_no_others() {
    let mut bake = Fixture::new(with_hooks(hooks()));
    let variables = |effect: &Effect| hook_of(effect).environment.clone();
    let mut wanted = vec![
        ("IMAGEBAKED_HOOK", "before"),
        ("IMAGEBAKED_BAKE_ID", "1"),
        ("IMAGEBAKED_SCHEDULE", "golden"),
        ("IMAGEBAKED_SCHEDULE_ID", "golden"),
        ("IMAGEBAKED_INSTANCE_ID", "ecd-1"),
        ("IMAGEBAKED_LINE", "golden"),
        ("IMAGEBAKED_SLOT", "2026-03-02T03:00:00Z"),
        ("IMAGEBAKED_VERSION", "7"),
        ("IMAGEBAKED_IMAGE_NAME", "golden-20260302-1100-v7"),
    ];
    let named = |wanted: &[(&'static str, &str)]| -> Vec<_> {
        wanted.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
    };
    assert_eq!(variables(&bake.admit()), named(&wanted));
    bake.answer(ok());
    bake.answer(ok());
    bake.answer(Response::Created(made("imgc-1")));
    bake.due();
    let last = bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::CreateFailed))));
    wanted[0].1 = "on_failure";
    let Some(reason) = bake.bake.state.reason() else { panic!("{:?}", bake.bake.state) };
    wanted.extend([("IMAGEBAKED_IMAGE_ID", "imgc-1"), ("IMAGEBAKED_STATE", "failed"), ("IMAGEBAKED_REASON", reason)]);
    assert_eq!(variables(&last), named(&wanted));
}

#[test]
fn hooks_run_around_each_stop() {
    let mut bake = Fixture::new(BakeSettings { stop_instance: StopInstance::Required, ..with_hooks(hooks()) });
    bake.admit();
    for turn in 0..2 {
        assert_eq!(program(&bake.answer(powered(PowerState::Running))), "/b1", "turn {turn}");
        assert_eq!(program(&bake.answer(ok())), "/b2");
        assert_eq!(bake.answer(ok()), POLL_INSTANCE);
        refused_until_restarted(&mut bake, "ExceedBuilderQuota");
        let first = if turn == 0 { "/a2" } else { "/f2" };
        assert_eq!(program(&runs_again(&mut bake)), first, "only the end is a failure");
        let rest = if turn == 0 { vec!["/a1"] } else { vec!["/f1", "/a2", "/a1"] };
        let mut effect = bake.answer(ok());
        for wanted in rest {
            assert_eq!(program(&effect), wanted);
            effect = bake.answer(ok());
        }
        assert_eq!(bake.state(), ["queued", "failed"][turn]);
        if turn == 0 {
            assert_eq!(bake.due(), POLL_INSTANCE);
        }
    }
}

#[test]
fn on_failure_runs_once_for_every_failed_bake_and_after_only_if_before_began() {
    // Failed in the queue, without a version.
    let mut bake = Fixture::new(with_hooks(hooks()));
    let failed = bake.apply(Event::NoVersion { why: "no version left".into() });
    assert_eq!(program(&failed), "/f2");
    let names: Vec<_> = hook_of(&failed).environment.iter().map(|(name, _)| *name).collect();
    assert!(names.contains(&"IMAGEBAKED_REASON") && !names.contains(&"IMAGEBAKED_VERSION"), "{names:?}");
    bake.crash();
    assert_eq!(program(&bake.due()), "/f2", "a hook that was interrupted runs again");
    assert_eq!(program(&bake.answer(ok())), "/f1");
    assert_eq!((bake.answer(ok()), bake.state()), (Effect::Done, "failed"));
    assert_eq!(bake.bake.state.work(), None);

    // Failed at its instance, before `before`.
    let mut bake = Fixture::new(BakeSettings { stop_instance: StopInstance::Required, ..with_hooks(hooks()) });
    bake.admit();
    assert_eq!(program(&bake.refuse(ErrorClass::Permanent, "NoPermission")), "/f2");
    assert_eq!(program(&bake.answer(ok())), "/f1");
    assert_eq!((bake.answer(ok()), bake.state()), (Effect::Done, "failed"));

    // Skipped and cancelled bakes have not failed.
    let mut bake = Fixture::new(with_hooks(hooks()));
    assert_eq!(bake.apply(Event::Cancelled { by: "ops".into() }), Effect::Done);
}
