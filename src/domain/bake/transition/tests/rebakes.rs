//! Images that failed and are created again.

use chrono::TimeDelta;

use super::fixture::{Fixture, made, seen, settings};
use crate::domain::{
    api::{
        call::{Call, Response},
        identity::{ImageStatus, RemoteImage},
    },
    bake::{
        event::{Effect, Event},
        reason::ReasonCode,
        settings::{BakeSettings, RetryPolicy},
    },
};

fn rebaking(rebakes: u32) -> Fixture {
    let mut bake = Fixture::new(BakeSettings { retry: RetryPolicy { rebakes, ..settings().retry }, ..settings() });
    bake.admit();
    bake.answer(Response::Created(made("imgc-1")));
    bake.due();
    bake
}

#[test]
fn an_image_that_failed_is_created_again_with_the_next_version() {
    let mut bake = rebaking(1);
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::CreateFailed))));
    assert_eq!((bake.state(), bake.bake.state.needs_version()), ("ready", true));
    assert!(bake.reason().contains("CREATE_FAILED for image imgc-1"), "{}", bake.reason());
    bake.crash();
    let effect = bake.apply(Event::Renumbered { version: 8 });
    let Effect::Call(Call::FindImage(identity)) = &effect else { panic!("{effect:?}") };
    let failed = seen("imgc-1", ImageStatus::CreateFailed);
    assert_eq!((identity.version, identity.matches(&failed)), (8, false), "the failed image is found no more");
    let create = bake.answer(Response::Found(None));
    let Effect::Call(Call::CreateImage(identity)) = &create else { panic!("{create:?}") };
    assert_eq!(identity.image_name, "golden-20260302-1100-v8");
    bake.answer(Response::Created(made("imgc-2")));
    bake.due();
    let second = RemoteImage { name: "golden-20260302-1100-v8".into(), ..seen("imgc-2", ImageStatus::Available) };
    assert_eq!(bake.answer(Response::Image(Some(second))), Effect::Done);
    assert_eq!(bake.state(), "succeeded");
    assert!(bake.reason().contains("CREATE_FAILED for image imgc-1"), "{}", bake.reason());
}

#[test]
fn it_is_created_again_as_often_as_rebakes_allows_and_not_past_the_deadline() {
    let mut bake = rebaking(1);
    bake.answer(Response::Image(Some(seen("imgc-1", ImageStatus::CreateFailed))));
    bake.apply(Event::Renumbered { version: 8 });
    bake.answer(Response::Found(None));
    bake.answer(Response::Created(made("imgc-2")));
    bake.due();
    let second = RemoteImage { name: "golden-20260302-1100-v8".into(), ..seen("imgc-2", ImageStatus::CreateFailed) };
    assert_eq!(
        (bake.answer(Response::Image(Some(second))), bake.code()),
        (Effect::Done, Some(ReasonCode::CreatedFailed))
    );
    assert_eq!(
        bake.reason(),
        "the cloud reported CREATE_FAILED for image imgc-1, and another one was asked for; the cloud reports CREATE_FAILED for \
         image imgc-2, too, and gives no reason, and no other one is asked for",
        "in the order of time, with the end at the end"
    );

    let mut late = rebaking(1);
    late.now = late.bake.give_up_at + TimeDelta::seconds(1);
    late.answer(Response::Image(Some(seen("imgc-1", ImageStatus::CreateFailed))));
    assert_eq!((late.state(), late.code()), ("failed", Some(ReasonCode::CreatedFailed)));
}
