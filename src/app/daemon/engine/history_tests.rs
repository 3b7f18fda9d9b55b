use std::collections::BTreeMap;

use super::*;
use crate::{
    adapters::{config, store::EventFilter},
    app::daemon::calls,
    domain::clock::ManualClock,
};

/// An engine with a clock that is moved by hand, and nothing at the other end of its endpoint.
async fn engine(folder: &Path, clock: &ManualClock) -> (Engine, watch::Receiver<EngineStatus>) {
    let path = folder.join("imagebaked.toml");
    let text = "[cloud]\nendpoint = \"http://127.0.0.1:1\"\n\
                [[schedule]]\nname = \"a\"\ninstance_id = \"ecd-1\"\ncron = \"@daily\"\n";
    std::fs::write(&path, text).unwrap();
    let config = config::load(&path, &BTreeMap::new()).unwrap_or_else(|wrong| panic!("{}", wrong.render(false))).config;
    let store = Arc::new(Store::open(&folder.join("state")).await.unwrap());
    let clock: Arc<dyn Clock> = Arc::new(clock.clone());
    let cloud = Arc::new(calls::client(&config, &BTreeMap::new(), &clock).unwrap());
    Engine::new(&config, store, cloud, clock, Rng::with_seed(1)).await.unwrap()
}

#[tokio::test]
async fn a_history_that_cannot_be_used_is_tried_again_after_a_pause_and_its_problem_keeps_its_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let begun: DateTime<Utc> = "2027-01-01T12:00:00Z".parse().unwrap();
    let clock = ManualClock::at(begun);
    let (mut engine, status) = engine(folder.path(), &clock).await;
    engine.take_comparison(Ok(HistoryAge::Older));
    engine.tick().await;
    assert_eq!(status.borrow().store_error, None);

    let path = folder.path().join("state").join(crate::adapters::store::DATABASE_FILE);
    let rename = async |from: &str, to: &str| crate::adapters::store::rename_table(&path, from, to).await;
    rename("bakes", "hidden").await;
    clock.advance(TimeDelta::days(1));
    let since = clock.now();
    engine.tick().await;
    let report = status.borrow().clone();
    assert!(report.store_error.is_some_and(|error| error.contains("no such table")));
    rename("hidden", "bakes").await;
    let pause = TimeDelta::from_std(STORE_PAUSE).unwrap();
    assert_eq!(pause, TimeDelta::seconds(10), "six lines of log a minute");
    while clock.now() + TimeDelta::seconds(1) < since + pause {
        clock.advance(TimeDelta::seconds(1));
        engine.tick().await;
        let report = status.borrow().clone();
        assert!(report.store_error.is_some(), "it is not tried yet");
        assert_eq!(report.store_error_since, Some(since));
    }
    clock.set(since + pause);
    engine.tick().await;
    assert_eq!((status.borrow().store_error.clone(), status.borrow().store_error_since), (None, None));
    // What could not be recorded while it lasted is recorded now.
    let filter = EventFilter { limit: 2, ..EventFilter::default() };
    let events = engine.store.reader().events(&filter).await.unwrap();
    let kinds: Vec<_> = events.iter().map(|event| (event.kind.as_str(), event.since)).collect();
    let since = Some(since.timestamp_millis());
    assert_eq!(kinds, [("problem_started", since), ("problem_ended", since)], "{events:?}");
    assert!(engine.store.reader().standing_problems().await.unwrap().is_empty());
}

#[tokio::test]
async fn slots_of_the_wait_for_the_cloud_are_on_time_and_those_before_it_were_missed() {
    let folder = tempfile::tempdir().unwrap();
    let begun: DateTime<Utc> = "2027-01-01T12:00:00Z".parse().unwrap();
    let clock = ManualClock::at(begun);
    let (mut engine, status) = engine(folder.path(), &clock).await;
    assert!(status.borrow().uncompared.is_some(), "it is empty");
    clock.advance(TimeDelta::days(2));
    engine.tick().await;
    let rows = async |engine: &Engine| {
        let filter = crate::adapters::store::Filter { limit: 9, ..crate::adapters::store::Filter::default() };
        let rows = engine.store.reader().history(&filter).await.unwrap();
        rows.iter().map(|row| (row.trigger.clone(), row.slot_count)).collect::<Vec<_>>()
    };
    assert!(rows(&engine).await.is_empty(), "nothing is planned before");
    engine.take_comparison(Err(NotCompared { why: "it does not answer".into(), is_outage: true, rejection: None }));
    engine.tick().await;
    assert!(rows(&engine).await.is_empty());
    engine.take_comparison(Ok(HistoryAge::Older));
    engine.plan(clock.now()).await.unwrap();
    assert_eq!(rows(&engine).await, [("slot".to_owned(), 1), ("slot".to_owned(), 1)]);
}
