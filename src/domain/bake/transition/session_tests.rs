//! The session of a workstation: when it is asked for, and what follows from each answer.

use super::super::{
    ABSENT_AFTER,
    tests::{
        Fixture, POLL, POLL_INSTANCE, STOP, commands, error, is_create, is_poll, made, powered, program, settings,
    },
};
use crate::domain::{
    api::{
        call::{Call, ErrorClass, PowerState, Response},
        cause::Cause,
        identity::TakenName,
        instance_state::InstanceType,
    },
    bake::{
        event::{Effect, Event},
        reason::ReasonCode,
        settings::{BakeSettings, StopInstance},
        state::{BakeWork, Resume, State, Suspended},
    },
    hooks::Hooks,
};

const LIST: Effect = Effect::Call(Call::ListSessions);

fn workstation(stop_instance: StopInstance) -> BakeSettings {
    BakeSettings { instance_type: InstanceType::WuyingServer, stop_instance, ..settings() }
}

fn listed(ids: &[&str]) -> Response {
    Response::Sessions(Some(ids.iter().map(|id| (*id).to_owned()).collect()))
}

fn session(bake: &Fixture) -> Option<&str> {
    bake.bake.state.work().expect("it began").session.as_deref()
}

#[test]
fn the_only_session_is_stored_before_the_first_stop_and_the_intent() {
    for stop in [StopInstance::Never, StopInstance::IfRunning, StopInstance::Required] {
        let mut bake = Fixture::new(workstation(stop));
        assert_eq!(bake.admit(), LIST, "{stop:?}");
        assert_eq!(bake.reason(), "lists the sessions of its workstation");
        let mut effect = bake.answer(listed(&["p-1"]));
        assert_eq!(session(&bake), Some("p-1"), "{stop:?}");
        if stop != StopInstance::Never {
            assert_eq!(effect, POLL_INSTANCE);
            assert_eq!(bake.answer(powered(PowerState::Running)), STOP);
            bake.answer(Response::Accepted);
            bake.due();
            bake.answer(powered(PowerState::Stopped));
            effect = bake.answer(Response::Found(None));
        }
        assert!(is_create(&effect), "{effect:?}");
        bake.crash();
        assert_eq!(session(&bake), Some("p-1"));
        bake.answer(Response::Created(made("imgc-1")));
        assert_eq!((bake.state(), session(&bake)), ("building", Some("p-1")));
    }
}

/// Named, and nevertheless listed: a create call with a session that does not exist would come after a stop in vain.
fn named(stop_instance: StopInstance) -> BakeSettings {
    BakeSettings { sub_instance_id: Some("p-9".into()), ..workstation(stop_instance) }
}

#[test]
fn the_sessions_are_listed_once_also_where_one_is_named_and_never_of_a_desktop() {
    let mut desktop = Fixture::new(settings());
    assert!(is_create(&desktop.admit()));
    assert_eq!(session(&desktop), None);

    let mut bake = Fixture::new(named(StopInstance::Required));
    assert_eq!(bake.admit(), LIST);
    assert_eq!(bake.answer(listed(&["p-1", "p-9"])), POLL_INSTANCE);
    assert_eq!(session(&bake), Some("p-9"));
    // Back in the queue, and after a crash there.
    bake.answer(powered(PowerState::Transitioning("Updating".into())));
    assert_eq!(bake.state(), "queued");
    bake.crash();
    assert_eq!(bake.admit(), POLL_INSTANCE);

    let mut bake = Fixture::new(named(StopInstance::Never));
    assert_eq!(bake.admit(), LIST);
    assert!(is_create(&bake.answer(listed(&["p-9"]))));
}

#[test]
fn a_named_session_that_is_not_listed_fails_the_bake_before_a_stop_or_a_hook() {
    let hooks = Hooks { before: commands(&["/b1"]), after: commands(&["/a1"]), ..Hooks::default() };
    for (sessions, choice) in [(&["p-1"][..], "set it to p-1"), (&["p-1", "p-2"], "set it to one of p-1, p-2")] {
        for stop in [StopInstance::Never, StopInstance::IfRunning, StopInstance::Required] {
            let mut bake = Fixture::new(BakeSettings { hooks: hooks.clone(), ..named(stop) });
            assert_eq!(bake.admit(), LIST);
            assert_eq!(bake.answer(listed(sessions)), Effect::Done);
            assert_eq!((bake.state(), bake.code()), ("failed", Some(ReasonCode::Refused)));
            assert_eq!(bake.bake.state.cause(), Some(Cause::Operator));
            let reason = format!("ecd-1 has no session p-9, which sub_instance_id names: {choice}");
            assert_eq!(bake.reason(), reason);
        }
    }
}

#[test]
fn without_a_list_the_named_session_is_taken_and_this_is_said_once() {
    let error = |code: &str| Response::Refused(error(ErrorClass::Permanent, code));
    let because = "the session p-9 of sub_instance_id was taken unchecked, because ";
    for (answer, why) in [
        (error("NoPermission"), "its sessions could not be listed: NoPermission: the cloud's words"),
        (
            error("InvalidAction.NotFound"),
            "its sessions could not be listed: InvalidAction.NotFound: the cloud's words",
        ),
        (Response::SessionsNotListed, "the cloud does not list its sessions"),
    ] {
        let mut bake = Fixture::new(named(StopInstance::Required));
        assert_eq!(bake.admit(), LIST);
        assert_eq!(bake.answer(answer), POLL_INSTANCE, "{why}");
        assert_eq!(session(&bake), Some("p-9"));
        assert_eq!(bake.bake.state.work().unwrap().notes, [format!("{because}{why}")]);
        bake.answer(powered(PowerState::Transitioning("Updating".into())));
        assert_eq!(bake.admit(), POLL_INSTANCE, "asked once");
    }
    // The cloud has no such workstation.
    let mut bake = Fixture::new(named(StopInstance::Required));
    bake.admit();
    assert_eq!(bake.answer(error("Instance.NotFound")), Effect::Done);
    assert_eq!((bake.state(), bake.bake.state.cause()), ("failed", Some(Cause::Instance)));
}

/// Its hooks have begun, or its create call was sent: it goes on with the session of its settings.
#[test]
fn a_row_of_an_older_version_with_a_named_session_goes_on_as_it_began() {
    let mut work = BakeWork { version: 7, image_name: "golden".into(), ..BakeWork::default() };
    work.end_hooks_pending = true;
    let mut bake = Fixture::new(named(StopInstance::Required));
    let suspended = Suspended { work: work.clone(), resume: Resume::Instance };
    bake.bake.state = State::Queued { not_before: bake.now, suspended: Some(suspended) };
    assert_eq!(bake.admit(), POLL_INSTANCE);

    work.end_hooks_pending = false;
    work.evidence.first_sent = Some(bake.now);
    let suspended = Suspended { work, resume: Resume::Create };
    let mut bake = Fixture::new(named(StopInstance::Never));
    bake.bake.state = State::Queued { not_before: bake.now, suspended: Some(suspended) };
    assert_ne!(bake.admit(), LIST);
}

#[test]
fn of_several_sessions_none_is_chosen_and_nothing_is_stopped() {
    let mut bake = Fixture::new(workstation(StopInstance::Required));
    bake.admit();
    assert_eq!(bake.answer(listed(&["p-1", "p-2"])), Effect::Done);
    assert_eq!((bake.state(), bake.code()), ("failed", Some(ReasonCode::Refused)));
    assert_eq!(bake.bake.state.cause(), Some(Cause::Operator));
    assert_eq!(bake.reason(), "ecd-1 has 2 sessions and none is chosen: set sub_instance_id to one of p-1, p-2");

    let many: Vec<String> = (0..7).map(|n| format!("p-{n}")).collect();
    let mut bake = Fixture::new(workstation(StopInstance::Never));
    bake.admit();
    bake.answer(Response::Sessions(Some(many)));
    assert!(bake.reason().ends_with("one of p-0, p-1, p-2, p-3, p-4 and 2 more"), "{}", bake.reason());
}

#[test]
fn hooks_run_only_once_the_session_is_known() {
    let hooks = Hooks { before: commands(&["/b1"]), after: commands(&["/a1"]), ..Hooks::default() };
    let mut bake = Fixture::new(BakeSettings { hooks: hooks.clone(), ..workstation(StopInstance::Never) });
    assert_eq!(bake.admit(), LIST);
    assert_eq!(program(&bake.answer(listed(&["p-1"]))), "/b1");

    let mut bake = Fixture::new(BakeSettings { hooks, ..workstation(StopInstance::Required) });
    bake.admit();
    assert_eq!(bake.answer(listed(&["p-1", "p-2"])), Effect::Done, "no hook began, so none ends it");
}

#[test]
fn a_workstation_without_a_session_is_asked_several_times() {
    for (answer, named, code, reason) in [
        (listed(&[]), None, ReasonCode::Refused, "the cloud lists no session of ecd-1"),
        (
            listed(&[]),
            Some("p-9"),
            ReasonCode::Refused,
            "the cloud lists no session of ecd-1, and sub_instance_id names p-9",
        ),
        (
            Response::SessionsNotListed,
            None,
            ReasonCode::Refused,
            "the cloud does not list the sessions of ecd-1: set sub_instance_id",
        ),
        (Response::Sessions(None), None, ReasonCode::InstanceState, "the cloud does not know the instance ecd-1"),
        (
            Response::Sessions(None),
            Some("p-9"),
            ReasonCode::InstanceState,
            "the cloud does not know the instance ecd-1",
        ),
    ] {
        let settings = workstation(StopInstance::Required);
        let mut bake = Fixture::new(BakeSettings { sub_instance_id: named.map(Into::into), ..settings });
        bake.admit();
        for _ in 1..ABSENT_AFTER {
            assert_eq!(bake.answer(answer.clone()), bake.wait(POLL));
            assert_eq!(bake.state(), "queued", "it holds no builder");
            assert_eq!(bake.due(), LIST);
        }
        assert_eq!(bake.answer(answer), Effect::Done);
        assert_eq!((bake.state(), bake.code(), bake.reason()), ("failed", Some(code), reason));
    }
}

#[test]
fn a_list_that_is_refused_for_now_is_asked_again_and_for_good_ends_the_bake() {
    let mut bake = Fixture::new(workstation(StopInstance::Never));
    bake.admit();
    bake.refuse(ErrorClass::Transient, "ServiceUnavailable");
    assert_eq!(bake.state(), "queued");
    assert_eq!(bake.due(), LIST);
    assert_eq!(bake.refuse(ErrorClass::Permanent, "NoPermission"), Effect::Done);
    assert_eq!(
        (bake.state(), bake.reason()),
        ("failed", "its sessions could not be listed: NoPermission: the cloud's words")
    );
}

#[test]
fn a_restart_under_the_list_lists_again() {
    let mut bake = Fixture::new(workstation(StopInstance::Required));
    bake.admit();
    bake.crash();
    assert_eq!(bake.apply(Event::Due), LIST);
    assert_eq!(bake.answer(Response::NotSent), bake.wait(POLL));
    assert_eq!(bake.due(), LIST);
}

#[test]
fn a_session_that_is_listed_past_the_deadline_begins_nothing() {
    for stop in [StopInstance::Never, StopInstance::Required] {
        let mut bake = Fixture::new(workstation(stop));
        bake.now = bake.bake.give_up_at;
        bake.admit();
        bake.pass(POLL);
        assert_eq!(bake.answer(listed(&["p-1"])), Effect::Done, "{stop:?}");
    }
}

/// Rows of versions that sent create calls without a session.
#[test]
fn a_bake_that_asked_before_searches_before_it_asks_again() {
    let mut bake = Fixture::new(workstation(StopInstance::Never));
    let mut work = BakeWork { version: 7, image_name: "golden".into(), ..BakeWork::default() };
    work.evidence.first_sent = Some(bake.now);
    let suspended = Suspended { work, resume: Resume::Create };
    bake.bake.state = State::Queued { not_before: bake.now, suspended: Some(suspended) };
    assert_eq!(bake.due(), LIST);
    assert!(is_poll(&bake.answer(listed(&["p-1"]))));
    let nobodys = TakenName { by_own: Vec::new(), by_others: vec!["imgc-1".into()] };
    bake.answer(Response::NameTaken(nobodys));
    assert_eq!(session(&bake), Some("p-1"));
}
