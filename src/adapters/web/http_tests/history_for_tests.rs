//! A history with a bake of each kind.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    adapters::store::{Attempt, ChannelOrder, NewRow, Store, Transition, row_for_tests::queued_row},
    domain::{
        api::call::MadeImage,
        bake::{
            BakeSettings, State, Trigger,
            reason::ReasonCode,
            settings,
            state::{BakeWork, End},
        },
        ids::{BakeId, LineId},
        schedule::Channel,
    },
};

pub(super) const HOSTILE: &str = "<img src=x onerror=alert(1)>\"'&";

pub(super) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub(super) fn now() -> DateTime<Utc> {
    at("2027-03-02T19:04:10Z")
}

pub(super) fn settings() -> Arc<BakeSettings> {
    Arc::new(BakeSettings {
        auto_clean_userdata: Some(true),
        tags: [("team".to_owned(), HOSTILE.to_owned())].into(),
        image_name: "{name}-{slot:%Y%m%d-%H%M}-v{version}".into(),
        regions: vec!["cn-shanghai".into(), "cn-beijing".into()],
        ..settings::example()
    })
}

pub(super) fn row(schedule: &str, instance: &str, slot: DateTime<Utc>) -> NewRow {
    queued_row(schedule, instance, slot, settings())
}

pub(super) fn image(n: u32) -> MadeImage {
    MadeImage {
        image_id: format!("imgc-07if81c4ktj9shi{n:02}").as_str().into(),
        version_id: Some("iv-1".into()),
        task_id: Some(format!("tid-0bz5{n}")),
    }
}

pub(super) fn work(schedule: &str, version: u32) -> BakeWork {
    BakeWork { version, image_name: format!("{schedule}-20270303-0300-v{version}"), attempts: 1, ..BakeWork::default() }
}

/// Bakes 1 to 7, one of each kind that a page must be able to show; 7 bears hostile names.
pub(super) async fn fill(store: &Store) {
    let ended = |reason: &str| State::Ended {
        work: None,
        end: End::Skipped { code: ReasonCode::Paused, reason: reason.into() },
    };
    let hour = |hours| at("2027-03-02T19:00:00Z") - TimeDelta::hours(hours);
    let rows = [
        row("win11-golden", "ecd-7w78ozhjcwa3u", hour(20)),
        row("cad-station", "ws-0bz55ixxtb4p2g", hour(9)),
        row("office-cn", "ecd-9ekw2la5v0hgd", hour(2)),
        row("finance", "ecd-4jx0qqkx1d2aa", hour(1)),
        row("win11-golden", "ecd-7w78ozhjcwa3u", hour(0)),
        NewRow {
            slot_count: 48,
            first_slot: hour(60),
            settings: None,
            state: ended("48 slots were missed while the daemon did not run; catch_up is skip"),
            ..row("hourly-dev", "ecd-2hourlyhourly", hour(13))
        },
        NewRow { trigger: Trigger::CaughtUp, ..row(HOSTILE, HOSTILE, hour(30)) },
    ];
    for row in rows {
        // A range is recorded when the daemon is back, a slot when it comes.
        let recorded = row.slot + TimeDelta::milliseconds(40);
        store.record_slots(&[row], &[], "5f0c2a9be1d4", recorded).await.unwrap();
    }
    let step = async |bake, schedule: &str, at, state: State, attempt| {
        let reason = state.reason().map(str::to_owned);
        let step =
            Transition { bake: BakeId(bake), line: LineId::from(schedule), state, reason, attempt, events: Vec::new() };
        store.commit(&[step], at).await.unwrap();
    };
    let refused = Attempt {
        stage: "create",
        call: "CreateImageByInstance".into(),
        started_at: hour(9),
        finished_at: hour(9) + TimeDelta::milliseconds(412),
        outcome: "permanent",
        code: Some("ImageQuotaExceeded".into()),
        http_status: Some(403),
        request_id: Some("1CBAFFAB-B697-4049-A9B1-67E1FC5F****".into()),
        message: Some("The image quota is used up: delete images or ask for more.".into()),
        success: None,
        answer: None,
    };
    let succeeded = End::Succeeded { image: image(1), reason: "the image is AVAILABLE".into() };
    let state = State::Ended { work: Some(work("win11-golden", 41)), end: succeeded };
    step(1, "win11-golden", hour(20) + TimeDelta::minutes(37), state, None).await;
    let reason = "the image quota is used up: delete images or ask for more".into();
    let state = State::Ended {
        work: Some(work("cad-station", 7)),
        end: End::Failed { image: None, permanent: false, code: ReasonCode::Refused, cause: None, reason },
    };
    step(2, "cad-station", hour(9) + TimeDelta::seconds(2), state, Some(refused)).await;
    let state = State::Unknown {
        work: work("office-cn", 112),
        since: hour(2),
        polls: 4,
        next: now() + TimeDelta::seconds(25),
        why: "the answer to the create call was lost; searching for its image".into(),
    };
    step(3, "office-cn", now(), state, None).await;
    let state = State::Building {
        work: work("finance", 3),
        image: image(2),
        since: hour(1),
        seen_at: now(),
        consecutive_errors: 0,
        next: now() + TimeDelta::seconds(48),
        status: "CREATING".into(),
        searching: false,
        found: None,
    };
    step(4, "finance", now(), state, None).await;
    let hostile = BakeWork { image_name: HOSTILE.into(), ..work("x", 1) };
    let state = State::Ended {
        work: Some(hostile),
        end: End::Failed {
            image: None,
            permanent: false,
            code: ReasonCode::Refused,
            cause: None,
            reason: HOSTILE.into(),
        },
    };
    step(7, "x", hour(29), state, None).await;
}

/// Bake 5 makes version 42, while a person holds `stable` at 41.
pub(super) async fn newer_image_than_stable(store: &Store) {
    let line = LineId::from("win11-golden");
    let stable = [Channel { name: "stable".into(), after: None }];
    let promote = ChannelOrder::Promote {
        image: image(1).image_id,
        channel: "stable".into(),
        force: false,
        reason: "it is good".into(),
    };
    store.order_channels(&line, Some(&stable), &promote, "ann", now()).await.unwrap().unwrap();
    let state = State::Ended {
        work: Some(work("win11-golden", 42)),
        end: End::Succeeded { image: image(3), reason: "the image is AVAILABLE".into() },
    };
    let bake = BakeId(5);
    let step = Transition { bake, line: line.clone(), state, reason: None, attempt: None, events: Vec::new() };
    store.commit(&[step], now()).await.unwrap();
    store.settle_channels(&[line], |_| Some(&stable), now()).await.unwrap();
}
