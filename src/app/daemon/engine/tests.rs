//! The engine held between two commits: a clock that is moved by hand, a history that the test writes, and a cloud that
//! nobody answers for.

use std::collections::BTreeMap;

use proptest::{prop_assert, prop_assert_eq, proptest};

use super::{steps::Turn, *};
use crate::{
    adapters::{
        cloud::request::Product,
        config,
        store::{BakeRow, Filter, NewRow},
    },
    app::daemon::calls,
    domain::{
        api::call::{ApiError, Call, ErrorClass, MadeImage, PowerState, Response},
        bake::{
            State, Trigger,
            event::{Effect, Event},
            reason::ReasonCode,
            state::{BakeWork, End, Resume, Suspended},
            waiting::{Wait, WaitReason},
        },
        clock::ManualClock,
        hooks::{HookOutcome, HookResult},
    },
};

const MINUTE: TimeDelta = TimeDelta::minutes(1);

struct Held {
    _folder: tempfile::TempDir,
    config: Config,
    store: Arc<Store>,
    clock: ManualClock,
    engine: Engine,
}

fn start() -> DateTime<Utc> {
    "2026-11-26T03:00:00Z".parse().unwrap()
}

impl Held {
    /// `keys` are those of the one schedule, `golden` on `ecd-1`, which has no slot in these tests.
    async fn new(keys: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let text = format!(
            "[cloud]\nendpoint = \"http://127.0.0.1:1\"\necd_endpoint = \"http://127.0.0.1:1\"\n[daemon]\nstate_dir = \"{}\"\n\
             max_builders = 3\n[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"0 3 1 1 *\"\n{keys}\n",
            state.display()
        );
        let path = folder.path().join("imagebaked.toml");
        std::fs::write(&path, text).unwrap();
        let loaded = config::load(&path, &BTreeMap::new());
        let config = loaded.unwrap_or_else(|wrong| panic!("{}", wrong.render(false))).config;
        let store = Arc::new(Store::open(&state).await.unwrap());
        let clock = ManualClock::at(start());
        let engine = engine(&config, &store, &clock).await;
        Self { _folder: folder, config, store, clock, engine }
    }

    /// Another process on the same history.
    async fn restart(&mut self) {
        self.engine = engine(&self.config, &self.store, &self.clock).await;
    }

    /// A row for each state, on instances of their own; the number of the first is 1.
    async fn record(&self, states: impl IntoIterator<Item = (Trigger, DateTime<Utc>, State)>) {
        let settings = &self.config.schedules[0].settings;
        let row = |(n, (trigger, slot, state)): (usize, (Trigger, DateTime<Utc>, State))| NewRow {
            schedule_id: "golden".into(),
            schedule: "golden".into(),
            instance_id: format!("ecd-{n}").into(),
            line: format!("golden.{n}").into(),
            slot,
            first_slot: slot,
            slot_count: 1,
            trigger,
            settings: Some(Arc::clone(settings)),
            state,
        };
        let rows: Vec<_> = states.into_iter().enumerate().map(row).collect();
        self.store.record_slots(&rows, &[], "hash", self.clock.now()).await.unwrap();
    }

    async fn rows(&self) -> Vec<BakeRow> {
        let mut rows = self.store.reader().history(&Filter { limit: 1000, ..Filter::default() }).await.unwrap();
        rows.sort_by_key(|row| row.id);
        rows
    }

    async fn state(&self, bake: i64) -> State {
        self.store.bake(BakeId(bake)).await.unwrap().unwrap().state
    }
}

async fn engine(config: &Config, store: &Arc<Store>, clock: &ManualClock) -> Engine {
    let environment = ["ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET"];
    let environment = environment.map(|name| (name.to_owned(), "key".to_owned())).into();
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let cloud = Arc::new(calls::client(config, &environment, &shared).unwrap());
    let mut engine = Engine::new(config, Arc::clone(store), cloud, shared, Rng::with_seed(1)).await.unwrap().0;
    // As if the empty history had been compared with the cloud.
    engine.uncompared = None;
    engine
}

fn queued(not_before: DateTime<Utc>) -> State {
    State::Queued { not_before, suspended: None }
}

fn work() -> BakeWork {
    BakeWork { version: 7, image_name: "golden-v7".into(), ..BakeWork::default() }
}

fn good() -> End {
    let image = MadeImage { image_id: "imgc-1".into(), version_id: None, task_id: None };
    End::Succeeded { image, reason: "image made".into() }
}

#[tokio::test]
async fn who_cancels_a_wrong_bake_gets_the_open_ones() {
    let mut held = Held::new("").await;
    let refused = async |held: &mut Held, bake| match held.engine.cancel(BakeId(bake), "ann").await {
        Err(RequestError::Conflict(message) | RequestError::NotFound(message)) => message,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&mut held, 9).await, "there is no bake 9; no bake is open");
    let later = start() + TimeDelta::hours(1);
    let over = State::Ended { work: Some(work()), end: good() };
    held.record([(Trigger::Slot, start(), over), (Trigger::Slot, start(), queued(later))]).await;
    let one = "bake 1 cannot be cancelled: it has ended; of golden, bake 2 (golden, queued, on ecd-1) is open";
    assert_eq!(refused(&mut held, 1).await, one);
    held.record([(Trigger::Manual, start() + MINUTE, queued(later))]).await;
    let two = "bakes 3 (golden, queued, on ecd-0), 2 (golden, queued, on ecd-1) are open";
    assert_eq!(refused(&mut held, 1).await, format!("bake 1 cannot be cancelled: it has ended; of golden, {two}"));
    assert_eq!(refused(&mut held, 9).await, format!("there is no bake 9; {two}"));
}

// One step a turn

#[tokio::test]
async fn a_bake_past_its_deadline_is_ended_and_not_begun_again() {
    let mut held = Held::new("deadline = '1h'\nstop_instance = 'required'").await;
    let slot = start() - TimeDelta::hours(2);
    held.record([(Trigger::Slot, slot, queued(slot))]).await;
    held.engine.turn().await;
    let rows = held.rows().await;
    assert_eq!((rows[0].state.as_str(), rows[0].version, rows[0].attempts), ("skipped", None, 0), "{rows:?}");
    assert_eq!(rows[0].reason_code.as_deref(), Some("deadline"));
    assert!(held.engine.in_flight.is_empty(), "nothing is sent for it");
    assert_eq!(held.state(1).await.reason_code(), Some(ReasonCode::Deadline), "row and state agree");
}

#[tokio::test]
async fn a_slot_caught_up_after_its_deadline_is_baked_with_a_deadline_of_its_own() {
    let mut held = Held::new("deadline = '1h'").await;
    let slot = start() - TimeDelta::hours(20);
    held.record([(Trigger::CaughtUp, slot, queued(slot)), (Trigger::CaughtUp, slot, queued(slot))]).await;
    held.engine.turn().await;
    assert_eq!(held.engine.in_flight.len(), 2);
    let deadline = held.store.bake(BakeId(1)).await.unwrap().unwrap().give_up_at;
    assert_eq!(deadline, start() + TimeDelta::hours(1));

    // Neither another process nor other settings move it.
    held.clock.advance(TimeDelta::minutes(59));
    held.restart().await;
    assert_eq!(held.store.bake(BakeId(1)).await.unwrap().unwrap().give_up_at, deadline);
}

#[tokio::test]
async fn a_second_step_of_a_bake_waits_for_another_turn() {
    let mut held = Held::new("").await;
    held.record([(Trigger::Slot, start(), queued(start()))]).await;
    let bake = held.store.bake(BakeId(1)).await.unwrap().unwrap();
    let mut turn = Turn::default();
    held.engine.step_in(&mut turn, bake.clone(), Event::Cancelled { by: "ops".into() }, start());
    held.engine.step_in(&mut turn, bake, Event::Admitted { version: 7 }, start());
    let steps = turn.take_steps();
    assert_eq!(steps.len(), 1);
    assert!(steps[0].bake.state.is_ended() && turn.is_cut_short, "the second one began from an older read");
}

proptest! {
    #![proptest_config(crate::domain::random_tests::cases(40))]

    /// Whatever is due at once: each bake takes one step, those past their deadline end for good, and no more are begun
    /// than there are builders.
    #[test]
    fn whatever_is_due_takes_one_step(
        rows in proptest::collection::vec((-180i64..60, -180i64..60, proptest::arbitrary::any::<bool>(), proptest::arbitrary::any::<bool>()), 1..12),
        turns in 1usize..4,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut held = Held::new("deadline = '1h'").await;
            let states = rows.iter().map(|&(slot, wake, caught_up, begun)| {
                let trigger = if caught_up { Trigger::CaughtUp } else { Trigger::Slot };
                let (slot, wake) = (start() + MINUTE * i32::try_from(slot).unwrap(), start() + MINUTE * i32::try_from(wake).unwrap());
                let ready = State::Ready { work: work(), reconcile_before_create: false, next: wake, blocked_on: None };
                (trigger, slot, if begun { ready } else { queued(wake) })
            });
            held.record(states.collect::<Vec<_>>()).await;
            let mut ended: BTreeMap<i64, BakeRow> = BTreeMap::new();
            for _ in 0..turns {
                held.engine.turn().await;
                for row in held.rows().await {
                    let progress = held.state(row.id).await;
                    prop_assert_eq!(progress.as_str(), &row.state, "row and state agree");
                    prop_assert!(!progress.is_ended() || !held.engine.in_flight.contains_key(&BakeId(row.id)));
                    if let Some(before) = ended.get(&row.id) {
                        prop_assert_eq!(before, &row, "an ended row stays as it is");
                    }
                    if row.finished_at.is_some() {
                        ended.insert(row.id, row);
                    }
                }
            }
            prop_assert!(!held.engine.history_went_back);
            let begun = rows.iter().filter(|row| row.3).count();
            prop_assert!(held.engine.in_flight.len() <= begun.max(3) + 3);
            for (id, row) in &ended {
                let (slot, wake, caught_up, begun) = rows[usize::try_from(*id - 1).unwrap()];
                let late = slot.max(if caught_up { 0 } else { slot }) < -60 && (!begun || wake <= 0);
                let is_early = begun && slot > 1;
                prop_assert!(late || is_early, "{:?} ended before its deadline", row);
            }
            Ok(())
        })?;
    }
}

// Another history

#[tokio::test]
async fn a_history_that_went_back_ends_the_engine_and_nothing_is_sent() {
    for sql in ["DELETE FROM bakes", "UPDATE bakes SET finished_at = 1, state = 'skipped', wake_at = NULL"] {
        let mut held = Held::new("").await;
        held.record([(Trigger::Slot, start(), queued(start()))]).await;
        let bake = held.store.bake(BakeId(1)).await.unwrap().unwrap();
        held.store.execute(sql).await;
        let step = held.engine.take(bake, Event::Admitted { version: 7 }, start());
        assert!(matches!(step.effect, Effect::Call(Call::CreateImage(_) | Call::FindImage(_))));
        let error = held.engine.commit(vec![step], start()).await.unwrap_err();
        assert!(matches!(error, StoreError::WentBack), "{error}");
        assert!(held.engine.in_flight.is_empty());
        let (_orders, received) = mpsc::channel(1);
        let run = held.engine.run(received, CancellationToken::new(), Duration::from_mins(10));
        assert!(matches!(run.await, Err(StoreError::WentBack)));
    }
}

// A start of the daemon

#[tokio::test]
async fn a_start_wakes_at_once_what_waits_for_longer_than_anything_waits() {
    let mut held = Held::new("").await;
    let ready = |minutes| {
        let next = start() + MINUTE * minutes;
        (Trigger::Slot, start(), State::Ready { work: work(), reconcile_before_create: true, next, blocked_on: None })
    };
    held.record([ready(1), ready(69), ready(70), ready(71), ready(700)]).await;
    held.restart().await;
    let wake_at: Vec<_> =
        held.rows().await.iter().map(|row| (row.wake_at.unwrap() - start().timestamp_millis()) / 60_000).collect();
    // An hour is the most that the cloud may ask for, and ten minutes the longest pause of ours.
    assert_eq!(wake_at, [1, 69, 70, 0, 0], "minutes from now");
}

// A clock that is ahead

#[tokio::test]
async fn a_bake_of_a_slot_that_has_not_come_ends_before_its_create_call() {
    let mut held = Held::new("stop_instance = 'required'").await;
    let slot = start() + MINUTE * 2;
    let stopped = || BakeWork { restart_pending: true, ..work() };
    let mut asked = work();
    asked.evidence.first_sent = Some(start());
    let states = [
        queued(start()),
        State::Preparing { work: work(), hook: None, next: start() },
        State::Stopping { work: work(), polls: 0, sent: false, first_stop: false, next: start() },
        State::Stopping { work: stopped(), polls: 2, sent: true, first_stop: false, next: start() },
        State::Ready { work: work(), reconcile_before_create: true, next: start(), blocked_on: None },
        State::Ready { work: stopped(), reconcile_before_create: false, next: start(), blocked_on: None },
        State::Ready { work: asked, reconcile_before_create: false, next: start(), blocked_on: None },
    ];
    held.record(states.map(|state| (Trigger::Slot, slot, state))).await;
    held.engine.turn().await;
    let words: Vec<_> = held.rows().await.into_iter().map(|row| row.state).collect();
    assert_eq!(words, ["queued", "skipped", "skipped", "starting", "skipped", "starting", "queued"]);
    for bake in [2, 3, 5] {
        assert_eq!(held.state(bake).await.reason_code(), Some(ReasonCode::ClockAhead));
    }
    for bake in [4, 6] {
        let State::Starting { end: Some(end), .. } = held.state(bake).await else { panic!() };
        assert_eq!(end.reason_code(), Some(ReasonCode::ClockAhead), "its instance runs again first");
    }
    // A clock that is off by less than a minute makes no difference.
    held.record([(
        Trigger::Slot,
        start() + MINUTE,
        State::Ready { work: work(), reconcile_before_create: true, next: start(), blocked_on: None },
    )])
    .await;
    held.engine.turn().await;
    assert_eq!(held.state(8).await.as_str(), "ready");
}

#[tokio::test]
async fn nothing_ends_by_a_deadline_that_only_an_unconfirmed_clock_has_seen_pass() {
    let mut held = Held::new("deadline = '1h'").await;
    held.record([(Trigger::Slot, start(), queued(start())), (Trigger::Slot, start(), queued(start()))]).await;
    // Off, and booted again with a clock that is days ahead.
    held.clock.step(start() + TimeDelta::days(3));
    held.restart().await;
    held.engine.turn().await;
    assert!(held.rows().await.iter().all(|row| row.state != "skipped"), "{:?}", held.rows().await);
    held.clock.advance(TimeDelta::minutes(59));
    held.engine.turn().await;
    assert!(held.rows().await.iter().all(|row| row.finished_at.is_none()));
    // So long after the history was last written it is over, whatever the clock.
    held.clock.advance(TimeDelta::minutes(2));
    held.engine.turn().await;
    assert!(held.rows().await.iter().any(|row| row.reason_code.as_deref() == Some("deadline")));
}

#[tokio::test]
async fn a_clock_that_is_set_forward_plans_nothing_until_the_cloud_confirms_it() {
    let mut held = Held::new("catch_up = 'skip'").await;
    let clocks = |held: &Held| -> DateTime<Utc> { held.engine.cloud.clocks().cloud_now() };
    let answer = |held: &Held, date| held.engine.cloud.clocks().answered(held.engine.cloud.clocks().sent(), date);
    answer(&held, start());
    let slot: DateTime<Utc> = "2027-01-01T03:00:00Z".parse().unwrap();
    held.clock.step(slot);
    held.engine.tick().await;
    assert_eq!(held.rows().await.len(), 0, "by the cloud's time it is {}", clocks(&held));
    // The cloud confirms it: the slot has come on time.
    held.clock.advance(TimeDelta::minutes(10));
    answer(&held, held.clock.now());
    held.engine.tick().await;
    let rows = held.rows().await;
    assert_eq!((rows.len(), rows[0].slot(), rows[0].finished_at), (1, slot, None), "{rows:?}");

    // Another start knows it, and takes no row of today for one of the future.
    held.restart().await;
    assert_eq!(clocks(&held), held.clock.now());
    held.engine.tick().await;
    answer(&held, held.clock.now());
    held.engine.tick().await;
    let after: Vec<_> = held.rows().await.into_iter().map(|row| (row.id, row.slot_count)).collect();
    assert_eq!(after, [(1, 1)]);
}

// A stop of the daemon

#[tokio::test]
async fn no_hook_of_the_end_is_begun_while_draining_and_each_runs_after_the_next_start() {
    let mut held = Held::new("hooks = { after = ['/bin/true'] }").await;
    let pending = || BakeWork { end_hooks_pending: true, ..work() };
    let finishing = State::Finishing { work: pending(), end: Some(good()), done: 0, next: start() };
    let starting = State::Starting {
        work: BakeWork { restart_pending: true, ..pending() },
        end: Some(good()),
        tries: 0,
        stop_unconfirmed: false,
        start_sent: false,
        refused_since: None,
        since: None,
        last_error: None,
        next: start() + TimeDelta::hours(1),
    };
    held.record([(Trigger::Slot, start(), finishing.clone()), (Trigger::Slot, start(), starting)]).await;
    held.engine.admitting = false;
    held.clock.advance(MINUTE);
    held.engine.turn().await;
    assert!(held.engine.in_flight.is_empty(), "it would be cut off");
    assert_eq!(held.state(1).await, finishing, "and is still pending");

    // Nor by the answer that comes while draining.
    let bake = held.store.bake(BakeId(2)).await.unwrap().unwrap();
    let step = held.engine.take(bake, Event::Answered(Response::Instance(Some(PowerState::Running))), start());
    assert!(matches!(step.effect, Effect::Call(Call::RunHook(_))));
    held.engine.commit(vec![step], start()).await.unwrap();
    assert_eq!(held.state(2).await.as_str(), "finishing");
    assert!(held.engine.in_flight.is_empty());

    held.restart().await;
    held.engine.turn().await;
    assert_eq!(held.engine.in_flight.len(), 2, "both run now");
}

// A long stop

#[tokio::test]
async fn a_long_drain_counts_as_progress() {
    let mut held = Held::new("").await;
    let status = held.engine.publish.subscribe();
    held.engine.calls.spawn(std::future::pending());
    let (_orders, received) = mpsc::channel(1);
    let stop = CancellationToken::new();
    stop.cancel();
    held.engine.run(received, stop, TICK * 2).await.unwrap();
    assert!(status.borrow().ticks >= 2, "the watchdog would end it");
}

// A start that takes long

#[tokio::test]
async fn a_start_that_takes_longer_than_five_minutes_is_reported_of() {
    let mut held = Held::new("").await;
    let since = start();
    let state = State::Starting {
        work: BakeWork { restart_pending: true, ..work() },
        end: Some(good()),
        tries: 3,
        stop_unconfirmed: false,
        start_sent: false,
        refused_since: None,
        since: Some(since),
        last_error: None,
        next: start(),
    };
    held.record([(Trigger::Slot, start(), state)]).await;
    let bake = held.store.bake(BakeId(1)).await.unwrap().unwrap();
    let on_its_way = Response::Instance(Some(PowerState::Transitioning("Starting".into())));
    for (seconds, warned) in [(0, false), (299, false), (300, true)] {
        held.engine.warn_not_running(&bake, &on_its_way, since + TimeDelta::seconds(seconds));
        assert_eq!(held.engine.last_warned.contains_key(&bake.id), warned, "{seconds} s");
    }
    // A rejection ends the wait at once.
    held.engine.last_warned.clear();
    let api_error = ApiError {
        class: ErrorClass::Busy,
        code: Some("OperationDenied.NoStock".into()),
        message: "no stock".into(),
        advice: "".into(),
        http_status: Some(400),
        request_id: None,
        retry_after: None,
    };
    held.engine.warn_not_running(&bake, &Response::Refused(api_error), since);
    assert!(held.engine.last_warned.contains_key(&bake.id));
}

// Quotas

/// What the cloud refuses a create call with when the account has no builder left.
fn no_builder() -> Response {
    no_room("ExceedBuilderQuota")
}

fn no_room(code: &str) -> Response {
    Response::Refused(ApiError {
        class: ErrorClass::Busy,
        code: Some(code.to_owned()),
        message: "there is no room".to_owned(),
        advice: "".into(),
        http_status: Some(400),
        request_id: None,
        retry_after: None,
    })
}

#[tokio::test]
async fn a_quota_closes_admission_until_the_cap_has_passed_and_one_bake_tries() {
    let mut held = Held::new("deadline = '4h'\nretry.cap = '10m'").await;
    let ready = || State::Ready { work: work(), reconcile_before_create: false, next: start(), blocked_on: None };
    held.record([
        (Trigger::Slot, start(), ready()),
        (Trigger::Slot, start(), ready()),
        (Trigger::Slot, start(), queued(start())),
    ])
    .await;
    let refused = held.store.bake(BakeId(1)).await.unwrap().unwrap();
    held.engine.close_on_quota(&refused, &no_builder(), start());
    held.engine.turn().await;
    assert!(held.engine.in_flight.is_empty(), "nothing begins while admission is closed: {:?}", held.engine.in_flight);
    assert_eq!(held.rows().await[2].state, "queued");
    let waits_for = held.engine.blocker().unwrap().why;
    assert!(waits_for.starts_with("waits for a quota of the account: ExceedBuilderQuota"), "{waits_for}");

    held.clock.advance(MINUTE * 10);
    held.engine.turn().await;
    assert_eq!(held.engine.in_flight.keys().copied().collect::<Vec<_>>(), [BakeId(1)], "one bake tries");
    assert_eq!(held.rows().await[2].state, "queued");

    // The cloud takes its create call: the others go on.
    let mut building = held.store.bake(BakeId(1)).await.unwrap().unwrap();
    building.state = State::Creating { work: work(), sent_at: held.clock.now() };
    let before = building.state.clone();
    let image = MadeImage { image_id: "imgc-1".into(), version_id: None, task_id: None };
    building.state =
        held.engine.take(building.clone(), Event::Answered(Response::Created(image)), held.clock.now()).bake.state;
    held.engine.update_admission(&before, &building, held.clock.now());
    assert_eq!(held.engine.closed, None);
    held.engine.turn().await;
    assert_eq!(held.engine.in_flight.len(), 3);
}

#[tokio::test]
async fn deleted_images_let_one_bake_try_where_their_quota_was_full() {
    for (code, tries) in [("QuotaExceeded.Image", 1), ("ExceedBuilderQuota", 0)] {
        let mut held = Held::new("deadline = '4h'\nretry.cap = '1h'").await;
        held.record([(Trigger::Slot, start(), queued(start())), (Trigger::Slot, start(), queued(start()))]).await;
        let refused = held.store.bake(BakeId(1)).await.unwrap().unwrap();
        held.engine.close_on_quota(&refused, &no_room(code), start());
        assert_eq!(held.engine.image_quota_refused(), Some(start()).filter(|_| tries == 1));
        held.engine.turn().await;
        assert!(held.engine.in_flight.is_empty());
        held.engine.handle(EngineRequest::ImagesDeleted).await;
        assert_eq!(held.engine.in_flight.len(), tries, "{code}");
    }
}

/// A stopped instance must not be queued for a trial: there may be many before it.
#[tokio::test]
async fn closed_admission_keeps_no_instance_stopped_for_longer_than_max_downtime() {
    let mut held = Held::new("deadline = '4h'\nretry.cap = '1h'\nmax_downtime = '10m'").await;
    let waiting = Wait { since: start(), why: "waits for a quota".into(), on: WaitReason::Quota, times: 1 };
    let mut work = BakeWork { restart_pending: true, waiting: Some(waiting), ..work() };
    work.downtime.stopped_since = Some(start());
    let ready = || State::Ready { work: work.clone(), reconcile_before_create: true, next: start(), blocked_on: None };
    held.record([(Trigger::Slot, start(), ready())]).await;
    let bake = held.store.bake(BakeId(1)).await.unwrap().unwrap();
    held.engine.close_on_quota(&bake, &no_builder(), start());
    held.clock.advance(MINUTE * 9);
    held.engine.turn().await;
    assert!(held.engine.in_flight.is_empty(), "it waits for the quota");
    held.clock.advance(MINUTE);
    held.engine.turn().await;
    assert_eq!(held.engine.in_flight.len(), 1, "its image is searched for, then the instance is started");
    let now = held.clock.now();
    assert!(!held.engine.is_closed_to(&bake, &Response::Found(None), now));
    assert!(held.engine.is_closed_to(&bake, &Response::Found(None), start()));
}

#[tokio::test]
async fn the_end_of_an_image_lets_one_bake_try_before_the_cap_has_passed() {
    let mut held = Held::new("deadline = '4h'\nretry.cap = '1h'").await;
    held.record([(Trigger::Slot, start(), queued(start())), (Trigger::Slot, start(), queued(start()))]).await;
    let refused = held.store.bake(BakeId(1)).await.unwrap().unwrap();
    held.engine.close_on_quota(&refused, &no_builder(), start());
    held.engine.turn().await;
    assert!(held.engine.in_flight.is_empty());
    let image = MadeImage { image_id: "imgc-1".into(), version_id: None, task_id: None };
    let before = State::Building {
        work: work(),
        image,
        since: start(),
        next: start(),
        seen_at: start(),
        consecutive_errors: 0,
        status: "CREATING".to_owned(),
        found: None,
        searching: false,
    };
    let ended = Bake { state: State::Ended { work: Some(work()), end: good() }, ..refused };
    held.engine.update_admission(&before, &ended, start());
    held.engine.turn().await;
    assert_eq!(held.engine.in_flight.len(), 1, "one bake tries, the other waits for its answer");
    // It is refused again: nobody tries before the cap has passed.
    let trial = *held.engine.in_flight.keys().next().unwrap();
    let trial = held.store.bake(trial).await.unwrap().unwrap();
    held.engine.in_flight.clear();
    held.engine.close_on_quota(&trial, &no_builder(), start());
    held.engine.turn().await;
    assert!(held.engine.in_flight.is_empty());
}

// Outages

/// What the client notes of a call.
fn note(engine: &Engine, outcome: Result<(), ApiError>) {
    let outages = engine.cloud.outages();
    outages.note(&Product::AppStreaming, "cloud", outages.sent(), &outcome);
}

fn not_connected() -> ApiError {
    ApiError {
        class: ErrorClass::Transient,
        code: Some("ConnectFailed".to_owned()),
        message: "cannot connect".to_owned(),
        advice: "".into(),
        http_status: None,
        request_id: None,
        retry_after: None,
    }
}

#[tokio::test]
async fn the_first_answer_after_an_outage_wakes_what_waits_for_the_cloud_and_nothing_else() {
    let mut held = Held::new("deadline = '4h'").await;
    held.engine.turn().await;
    let later = start() + MINUTE * 9;
    let work = |on| BakeWork {
        waiting: Some(Wait { since: start(), why: "waits for the cloud: no".to_owned(), on, times: 9 }),
        ..work()
    };
    let building = |on| State::Building {
        work: work(on),
        image: MadeImage { image_id: "imgc-1".into(), version_id: None, task_id: None },
        since: start(),
        next: later,
        seen_at: start(),
        consecutive_errors: 9,
        status: "CREATING".to_owned(),
        found: None,
        searching: false,
    };
    let kept =
        |on| State::Queued { not_before: later, suspended: Some(Suspended { work: work(on), resume: Resume::Create }) };
    held.record([
        (Trigger::Slot, start(), building(WaitReason::Outage)),
        (Trigger::Slot, start(), kept(WaitReason::Outage)),
        (Trigger::Slot, start(), building(WaitReason::Throttled)),
        (Trigger::Slot, start(), kept(WaitReason::Busy)),
    ])
    .await;
    note(&held.engine, Err(not_connected()));
    held.clock.advance(MINUTE);
    held.engine.tick().await;
    assert!(held.engine.in_flight.is_empty(), "the cloud does not answer: {:?}", held.engine.in_flight);

    note(&held.engine, Ok(()));
    held.engine.tick().await;
    held.clock.advance(TimeDelta::seconds(2));
    held.engine.tick().await;
    let mut called: Vec<BakeId> = held.engine.in_flight.keys().copied().collect();
    called.sort_unstable();
    assert_eq!(called, [BakeId(1), BakeId(2)], "within two seconds");
}

// Quotas and restarts

#[tokio::test]
async fn a_restart_does_not_open_admission_that_a_quota_has_closed() {
    let mut held = Held::new("deadline = '4h'\nretry.cap = '10m'").await;
    held.record([(Trigger::Slot, start(), queued(start())), (Trigger::Slot, start(), queued(start()))]).await;
    let refused = held.store.bake(BakeId(1)).await.unwrap().unwrap();
    held.engine.close_on_quota(&refused, &no_builder(), start());
    held.engine.turn().await;
    let shown = held.rows().await[0].reason.clone().unwrap();
    assert!(shown.starts_with("waits for a quota of the account: ExceedBuilderQuota: "), "{shown}");
    let bounds = "; next try Thu 2026-11-26 03:10 +00:00, until Thu 2026-11-26 07:00 +00:00 at most";
    assert!(shown.ends_with(bounds), "{shown}");

    held.clock.advance(MINUTE * 9);
    held.restart().await;
    held.engine.turn().await;
    assert!(held.engine.in_flight.is_empty(), "nothing begins before the cap has passed");
    held.clock.advance(MINUTE);
    held.engine.turn().await;
    assert_eq!(held.engine.in_flight.len(), 1, "one bake tries");
}

#[tokio::test]
async fn a_bake_whose_before_hook_ran_while_admission_closed_stops_and_creates_nothing() {
    for keys in ["stop_instance = 'required'", "stop_instance = 'never'"] {
        let hooks = "hooks = { before = ['/bin/true'] }\ndeadline = '4h'\nretry.cap = '10m'";
        let mut held = Held::new(&format!("{keys}\n{hooks}")).await;
        let hook = State::Preparing { work: work(), hook: Some(0), next: start() };
        held.record([(Trigger::Slot, start(), hook), (Trigger::Slot, start(), queued(start()))]).await;
        let bake = held.store.bake(BakeId(1)).await.unwrap().unwrap();
        let other = held.store.bake(BakeId(2)).await.unwrap().unwrap();
        held.engine.close_on_quota(&other, &no_builder(), start());
        let done = Response::Hook(HookOutcome { result: HookResult::Exited(0), output: String::new() });
        let step = held.engine.take(bake, Event::Answered(done), start());
        assert!(matches!(step.effect, Effect::Wait(_)), "{keys}: {:?}", step.effect);
        held.engine.commit(vec![step], start()).await.unwrap();
        held.engine.turn().await;
        assert!(held.engine.in_flight.is_empty(), "{keys}: {:?}", held.engine.in_flight);
        let row = held.rows().await[0].clone();
        let reason = row.reason.unwrap_or_default();
        assert!(reason.starts_with("waits for a quota of the account"), "{keys}: {} {reason}", row.state);
    }
}
