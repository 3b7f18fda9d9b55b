//! Events out of turn, and what the history keeps.

use super::fixture::{Fixture, POLL, hooks, made, settings, slot, with_hooks};
use crate::domain::{
    api::call::Response,
    bake::{
        reason::ReasonCode,
        settings::BakeSettings,
        state::{End, State},
        waiting::WaitReason,
    },
};

#[test]
fn an_event_that_does_not_belong_changes_nothing() {
    let mut queued = Fixture::new(settings());
    queued.answer(Response::Created(made("imgc-1")));
    assert_eq!(queued.bake.state, State::Queued { not_before: slot(), suspended: None });

    let mut building = Fixture::building();
    let before = building.bake.state.clone();
    assert_eq!(building.admit(), building.wait(POLL));
    assert_eq!(building.bake.state, before);
}

/// Rows of earlier releases must stay readable: a change here needs a migration.
#[test]
fn the_history_spelling_of_a_state_is_fixed() {
    let bake = Fixture::unknown();
    let mut text: serde_json::Value = serde_json::to_value(&bake.bake.state).expect("a state is JSON");
    text["next"].take();
    text["work"]["image_name"].take();
    let expected = serde_json::json!({
        "state": "unknown",
        "work": {
            "version": 7, "image_name": null, "attempts": 1, "restart_pending": false,
            "owner": "ops", "evidence": { "first_sent": "2026-03-02T03:00:00Z" },
        },
        "since": "2026-03-02T03:00:00Z",
        "polls": 0,
        "next": null,
        "why": "Timeout: the cloud's words",
    });
    assert_eq!(text, expected);
    // Rows of releases that knew no evidence.
    text["next"] = "2026-03-02T03:00:02Z".into();
    text["work"]["image_name"] = "golden-v7".into();
    text["work"].as_object_mut().expect("an object").retain(|key, _| key != "evidence" && key != "owner");
    serde_json::from_value::<State>(text).expect("a state can be read back");

    let ended = State::Ended { work: None, end: End::Skipped { code: ReasonCode::Paused, reason: "paused".into() } };
    let text = serde_json::to_string(&ended).expect("a state is JSON");
    assert_eq!(text, r#"{"state":"ended","work":null,"end":{"end":"skipped","code":"paused","reason":"paused"}}"#);
}

#[test]
fn states_and_settings_of_older_versions_can_be_read() {
    let queued: State =
        serde_json::from_str(r#"{"state":"queued","not_before":"2026-03-02T03:00:00Z"}"#).expect("read");
    assert_eq!(queued, State::Queued { not_before: slot(), suspended: None });
    let waits = r#"{"state":"queued","not_before":"2026-03-02T03:00:00Z","kept":{"work":{"version":7,"image_name":"x",
        "attempts":0,"owes_start":false},"waiting":{"since":"2026-03-02T03:00:00Z","why":"waits for alice to leave"}}}"#;
    let waits: State = serde_json::from_str(waits).expect("read");
    assert_eq!(waits.reason(), Some("waits for alice to leave"));
    let waiting = waits.waiting().expect("it waits");
    assert_eq!((waiting.since, waiting.on), (slot(), WaitReason::Users));
    let starting = r#"{"state":"starting","work":{"version":7,"image_name":"x","attempts":1,"owes_start":true},
        "end":{"end":"skipped","reason":"no"},"tries":3,"next":"2026-03-02T03:00:00Z"}"#;
    assert!(serde_json::from_str::<State>(starting).expect("read").work().is_some_and(|work| work.restart_pending));

    let mut json = serde_json::to_value(settings()).expect("JSON");
    for key in ["if_connected", "connected_wait"] {
        assert!(json.as_object_mut().expect("an object").remove(key).is_some());
    }
    assert_eq!(serde_json::from_value::<BakeSettings>(json).expect("read"), settings());
    let with_hooks = with_hooks(hooks());
    let json = serde_json::to_string(&with_hooks).expect("JSON");
    assert_eq!(serde_json::from_str::<BakeSettings>(&json).expect("read"), with_hooks);
}
