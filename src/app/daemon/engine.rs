//! The one task that moves bakes: it plans what is due, steps what wants to be looked at, commits, and only then lets
//! calls go out.
//!
//! A turn reads the database and the clock and nothing else, so it does not matter what woke it (the pulse, an answer, a
//! person), how often, or whether the process was another one a moment ago. Calls run beside it; their answers come
//! back as events. All steps of a turn are one transaction.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{AbortHandle, Id, JoinSet},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

use super::{
    calls::{self, Caller, Finished},
    clocks,
    planner::{Planner, Upcoming},
    slot_lists::SlotLists,
};
use crate::{
    adapters::{
        cloud::{CloudClient, Gate},
        config::{self, Config},
        store::{Attempt, DueBake, ITSELF, ManualBake, NewImage, Pause, PendingRestart, Store, StoreError, Transition},
    },
    domain::{
        api::{
            call::{Call, ErrorClass, PowerState, Response},
            gmt_offset::GmtOffset,
            instance_state,
        },
        bake::{
            Bake, State,
            event::{Effect, Event, PollPolicy},
            identity::identity,
            reason::ReasonCode,
            retry,
            state::{End, Resume, Suspended},
            transition::step,
        },
        clock::{
            Clock, STEP_BACK, later, shifted,
            watch::{ClockAnchor, ClockEvent},
        },
        health::lines::Line,
        ids::{BakeId, ImageId, LineId, ScheduleId},
        image::{reconcile::Comparison, report::Adopted},
        schedule::Schedule,
    },
};

/// While the cloud refuses our credentials, one call in this time tries whether it still does.
const SUSPENSION_PROBE: TimeDelta = TimeDelta::minutes(1);
/// After a failure of the database the engine looks again this much later: six lines of log a minute, no more.
const STORE_PAUSE: Duration = Duration::from_secs(10);
/// No begun bake waits longer than this for its next look, unless the clock was set back while the daemon was down.
const LONGEST_WAIT: TimeDelta = TimeDelta::minutes(70);
/// An instance that is not running so long after its start was owed is told of in the log and in `status`.
pub(super) const START_TAKES: TimeDelta = TimeDelta::minutes(5);
/// So long the log is spared after that.
const REPEAT_WARNING_AFTER: TimeDelta = TimeDelta::minutes(10);
/// The engine looks at least this often, whatever becomes of the metronome.
const OWN_TICK: Duration = Duration::from_secs(2);
/// Unknown states of instances that are reported; a cloud that makes up a new one each time must not fill the memory.
const MOST_UNKNOWN_STATES: usize = 100;
/// So many instants that came due while nothing could be planned are planned one by one, each in a transaction of its own;
/// what comes after them is taken as late.
const MOST_PLANNED_LATE: usize = 1000;
/// How many slots to come are shown.
const UPCOMING: usize = 10;

/// Everything that the engine works with.
#[derive(Debug)]
pub struct Engine {
    store: Arc<Store>,
    cloud: Arc<CloudClient>,
    clock: Arc<dyn Clock>,
    planner: Planner,
    pace: PollPolicy,
    limits: Limits,
    config_hash: String,
    /// Where hooks run.
    folder: Arc<Path>,
    rng: Rng,
    /// Bakes with a call under way, as of their last commit, and what ends the call.
    in_flight: HashMap<BakeId, (Bake, AbortHandle)>,
    calls: JoinSet<Finished>,
    call_of: HashMap<Id, BakeId>,
    /// When it was last said aloud that an instance is not running again.
    last_warned: HashMap<BakeId, DateTime<Utc>>,
    hold: Option<Suspension>,
    /// Whether new bakes may begin; off while draining.
    admitting: bool,
    /// Cancelled while draining: calls that wait for the rate limit and would begin something do not go out.
    closing: CancellationToken,
    /// When the cloud accepted the create calls whose images are followed, by its own clock: they teach the zone of
    /// `GmtCreate`. Lost at a restart; the next image teaches it, too.
    accepted: HashMap<BakeId, (ImageId, DateTime<Utc>)>,
    /// What searches of one slot share.
    slot_lists: Arc<SlotLists>,
    /// What images have taught since the last commit.
    taught: Option<GmtOffset>,
    /// The next instant at which a turn can find something to do; `None`: look at the next pulse.
    idle_until: Option<DateTime<Utc>>,
    last_turn: DateTime<Utc>,
    /// Since when the history cannot be written.
    store_error_since: Option<DateTime<Utc>>,
    /// What keeps anything from being begun until history and cloud have been compared.
    uncompared: Option<Uncompared>,
    /// Until it was compared nothing was planned: what came due since then is planned as if it came due one by one.
    planned_late_from: Option<DateTime<Utc>>,
    /// The history's files have lost their names: what was begun is ended, nothing else is.
    lost: Option<LostHistory>,
    /// What became known of the clock and is not in the audit yet.
    clock_events: Vec<ClockEvent>,
    /// The comparison of the clocks that the history has.
    anchor: Option<ClockAnchor>,
    /// Set for good once the history turned out to be another one than the engine worked with: nothing is sent any more.
    history_went_back: bool,
    /// Unknown states of instances that the log has reported.
    unknown_states: HashSet<String>,
    /// Whether what rarely changes has been published since it changed.
    status_published: bool,
    publish: watch::Sender<EngineStatus>,
}

/// How much at once, and how often in vain.
#[derive(Debug, Clone, Copy)]
struct Limits {
    builders: usize,
    builders_per_region: usize,
    pause_after_failures: u32,
}

/// Why nothing new is begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspension {
    /// Since when.
    pub since: DateTime<Utc>,
    /// What the cloud said.
    pub message: String,
    /// Whether it refuses the time of this host, and not the credentials.
    pub is_clock: bool,
    next_probe: DateTime<Utc>,
}

impl Suspension {
    /// In one line, for the log, `status` and the page.
    pub fn headline(&self) -> String {
        let cause = if self.is_clock { "this host's clock is refused by the cloud" } else { "credentials rejected" };
        format!("{cause}, every schedule is suspended: {}", self.message)
    }
}

/// What the engine shows of itself after each turn.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EngineStatus {
    /// How many ticks reached the engine, and how many batches of answers.
    pub looks: u64,
    /// When the last one did.
    pub last_look: Option<DateTime<Utc>>,
    /// The same by a clock that nobody sets.
    pub last_tick: Option<Instant>,
    /// Counts turns that changed something; whoever waits for a change watches this.
    pub changes: u64,
    /// Credentials are refused.
    pub hold: Option<Suspension>,
    /// The database cannot be used.
    pub store_error: Option<String>,
    /// Since when.
    pub store_error_since: Option<DateTime<Utc>>,
    /// History and cloud have to be compared before anything is begun.
    pub uncompared: Option<Uncompared>,
    /// The history's files have lost their names.
    pub lost_history: Option<LostHistory>,
    /// The configuration in force.
    pub config_hash: String,
    /// Slots to come.
    pub upcoming: Vec<Upcoming>,
    /// Schedules in force.
    pub schedules: usize,
    /// The lines of all schedules in force.
    pub lines: Arc<[PlannedLine]>,
    /// Schedules that are paused, but not in the file.
    pub pauses: Vec<Pause>,
}

/// A history that was restored, imported or is empty, before it was compared with the cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uncompared {
    /// Since when.
    pub since: DateTime<Utc>,
    /// Why it could not be compared so far.
    pub why: Option<String>,
}

/// A history whose files were removed, moved or replaced under the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostHistory {
    /// Since when it is known.
    pub since: DateTime<Utc>,
    /// What became of them.
    pub message: String,
}

/// A line of a schedule in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedLine {
    /// The schedule's stable id.
    pub schedule_id: ScheduleId,
    /// Whether the schedule is paused in the file.
    pub paused_in_file: bool,
    /// What its image is judged by.
    pub line: Line,
}

/// What others may ask of the engine.
#[derive(Debug)]
pub enum EngineRequest {
    /// Bake now; answers with the numbers of the bakes.
    Bake {
        /// Name or id.
        schedule: String,
        /// Who asks, for the audit.
        who: String,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Result<Vec<BakeId>, RequestError>, StoreError>>,
    },
    /// Work by this configuration from now on; running bakes end under the settings they began with.
    Adopt {
        /// The configuration.
        config: Box<Config>,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<(), StoreError>>,
    },
    /// Take over what the cloud's images say. Between two turns, so that no version is given out meanwhile.
    Rebuild {
        /// What was found.
        found: Comparison,
        /// Who asks, for the audit.
        who: String,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<(), StoreError>>,
    },
    /// Give images to a line. Between two turns, so that no version is given out meanwhile.
    AdoptImages {
        /// Which, and to which line.
        images: Vec<NewImage>,
        /// Only say what would become of them.
        dry_run: bool,
        /// Who asks, for the audit.
        who: String,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Vec<Adopted>, StoreError>>,
    },
    /// Bake again what a bake that ended did not bring.
    Retry {
        /// Which.
        bake: BakeId,
        /// Who asks, for the audit.
        who: String,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Result<BakeId, RequestError>, StoreError>>,
    },
    /// Call a bake off.
    Cancel {
        /// Which.
        bake: BakeId,
        /// Who asks, for the audit.
        who: String,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Result<(), RequestError>, StoreError>>,
    },
    /// Skip the slots of a schedule from now on.
    Pause {
        /// Name or id.
        schedule: String,
        /// Until when; `None`: until it is resumed.
        until: Option<DateTime<Utc>>,
        /// Why.
        reason: String,
        /// Who asks.
        who: String,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Result<(), RequestError>, StoreError>>,
    },
    /// Bake the slots of a schedule again, from now on.
    Resume {
        /// Name or id.
        schedule: String,
        /// Who asks.
        who: String,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Result<(), RequestError>, StoreError>>,
    },
    /// What the comparison with the cloud came to that a restored or empty history needs before anything is begun.
    Compared {
        /// Why it could not be made; it is tried again.
        outcome: Result<(), NotCompared>,
    },
    /// Look now: the pulse.
    Look,
}

/// Why history and cloud could not be compared.
#[derive(Debug)]
pub struct NotCompared {
    /// In words.
    pub why: String,
    /// The cloud's refusal, where it was one of the credentials.
    pub credentials: Option<String>,
}

/// Why an order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestError {
    /// There is no such thing.
    NotFound(String),
    /// It cannot be done, and why.
    Conflict(String),
}

impl Engine {
    /// An engine for `config`; takes over what the history knows of its schedules.
    pub async fn new(
        config: &Config,
        store: Arc<Store>,
        cloud: Arc<CloudClient>,
        clock: Arc<dyn Clock>,
        rng: Rng,
    ) -> Result<(Self, watch::Receiver<EngineStatus>), StoreError> {
        let now = clock.now();
        if let Some(written) = store.newest_write().await? {
            cloud.clocks().history_written(written);
        }
        let anchor = store.reader().clock_anchor().await?;
        if let Some(anchor) = &anchor {
            cloud.clocks().resume(anchor);
        }
        store.clamp_wakeups_after_clock_step(now, shifted(now, LONGEST_WAIT)).await?;
        let planner = Planner::adopt(&shared(config), &config.hash, &store, cloud.bake_time()).await?;
        let uncompared = store.lineage().must_be_compared().then_some(Uncompared { since: now, why: None });
        let pace = PollPolicy {
            search_until: store.lineage().searches_first().then(|| retry::later(now, config.cloud.lookup_window)),
            gmt_offset: store.reader().gmt_offset().await?,
            ..pace(config)
        };
        let (publish, status) = watch::channel(EngineStatus::default());
        let mut engine = Self {
            store,
            cloud,
            clock,
            planner,
            pace,
            limits: limits(config),
            config_hash: config.hash.clone(),
            folder: config.daemon.state_dir.as_path().into(),
            rng,
            in_flight: HashMap::new(),
            calls: JoinSet::new(),
            call_of: HashMap::new(),
            last_warned: HashMap::new(),
            hold: None,
            admitting: true,
            closing: CancellationToken::new(),
            accepted: HashMap::new(),
            slot_lists: Arc::default(),
            taught: None,
            idle_until: None,
            last_turn: now,
            store_error_since: None,
            uncompared,
            planned_late_from: None,
            lost: None,
            clock_events: Vec::new(),
            anchor,
            history_went_back: false,
            unknown_states: HashSet::new(),
            status_published: false,
            publish,
        };
        engine.publish_status(None, false);
        Ok((engine, status))
    }

    /// Works until `stop`; then begins nothing new, waits at most `drain` for calls under way and commits their answers.
    /// Fails where the history went back under it: calls under way are dropped, and the next start finds out about them.
    pub async fn run(
        mut self,
        mut orders: mpsc::Receiver<EngineRequest>,
        stop: CancellationToken,
        drain: Duration,
    ) -> Result<(), StoreError> {
        // The metronome goes by the wall clock and falls silent while that has been set back; this one does not.
        let mut own_tick = tokio::time::interval(OWN_TICK);
        own_tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.history_went_back && !self.is_wound_down().await {
            // Not in a fixed order: answers that keep coming must not starve the orders and the ticks.
            tokio::select! {
                () = stop.cancelled() => break,
                Some(finished) = self.calls.join_next_with_id() => self.take_answers(finished).await,
                order = orders.recv() => match order {
                    Some(order) => self.handle(order).await,
                    None => break,
                },
                _ = own_tick.tick() => self.tick().await,
            }
        }
        self.admitting = false;
        self.closing.cancel();
        if self.history_went_back {
            self.calls.shutdown().await;
            return Err(StoreError::WentBack);
        }
        if self.lost.is_some() && !stop.is_cancelled() {
            // Nothing is left that a call could be under way for.
            self.calls.shutdown().await;
            return Err(self.store.replaced().unwrap_or(StoreError::WentBack));
        }
        let waiting = self.in_flight.len();
        if waiting > 0 {
            tracing::info!(waiting, "stopping: waiting for calls under way");
        }
        let drained = tokio::time::timeout(drain, async {
            while !self.history_went_back {
                tokio::select! {
                    finished = self.calls.join_next_with_id() => match finished {
                        Some(finished) => self.take_answers(finished).await,
                        None => break,
                    },
                    // The watchdog goes on counting.
                    _ = own_tick.tick() => self.note_progress(),
                }
            }
        });
        if drained.await.is_err() {
            tracing::warn!(
                waiting = self.in_flight.len(),
                "stopping before every call was answered; the next start finds out what became of them"
            );
        }
        // Hooks are killed by this, and run again at the next start.
        self.calls.shutdown().await;
        self.warn_of_instances_left_stopped().await;
        if self.history_went_back { Err(StoreError::WentBack) } else { Ok(()) }
    }

    /// A pulse: looks, unless there can be nothing to see.
    async fn tick(&mut self) {
        self.watch_clock().await;
        let now = self.clock.now();
        self.note_progress();
        if let Some(error) = self.store.replaced() {
            self.lose_history(&error, now);
        }
        let quiet = self.idle_until.is_some_and(|until| now < until) && now >= self.last_turn;
        // Somebody else could not write: whether anybody can is not left to the next bake to find out.
        let unnoticed = self.store.is_suspect() && self.store_error_since.is_none();
        if !quiet || unnoticed {
            self.turn().await;
        }
    }

    /// For the watchdog and for health, without waking those who wait for changes.
    fn note_progress(&self) {
        let now = self.clock.now();
        self.publish.send_if_modified(|status| {
            status.looks += 1;
            status.last_look = Some(now);
            status.last_tick = Some(Instant::now());
            false
        });
    }

    /// What changes what is shown is answered after the turn that shows it: who was told that a pause stands, and asks
    /// for the status next, must find it there.
    async fn handle(&mut self, order: EngineRequest) {
        if let Some(error) = self.store.replaced().filter(|_| !matches!(order, EngineRequest::Look)) {
            self.lose_history(&error, self.clock.now());
            return order.refuse(error);
        }
        match order {
            EngineRequest::Look => self.tick().await,
            EngineRequest::Compared { outcome } => {
                self.take_comparison(outcome);
                self.turn().await;
            }
            EngineRequest::Bake { schedule, who, reply } => {
                // A dropped receiver means that the person has gone; the bake stands all the same.
                let _ = reply.send(self.record_manual(&schedule, who).await);
                self.turn().await;
            }
            EngineRequest::Rebuild { found, who, reply } => {
                let _ = reply.send(self.store.rebuild(&found, &who, &self.config_hash, self.clock.now()).await);
                self.turn().await;
            }
            EngineRequest::AdoptImages { images, dry_run, who, reply } => {
                let _ = reply.send(self.store.adopt_images(images, dry_run, &who, self.clock.now()).await);
                self.turn().await;
            }
            EngineRequest::Retry { bake, who, reply } => {
                let _ = reply.send(self.retry(bake, who).await);
                self.turn().await;
            }
            EngineRequest::Cancel { bake, who, reply } => {
                let _ = reply.send(self.cancel(bake, &who).await);
                self.turn().await;
            }
            EngineRequest::Pause { schedule, until, reason, who, reply } => {
                let outcome = self.pause(&schedule, until, reason, who).await;
                self.turn().await;
                let _ = reply.send(outcome);
            }
            EngineRequest::Resume { schedule, who, reply } => {
                let outcome = self.resume(&schedule, &who).await;
                self.turn().await;
                let _ = reply.send(outcome);
            }
            EngineRequest::Adopt { config, reply } => {
                let outcome = self.adopt(&config).await;
                self.turn().await;
                let _ = reply.send(outcome);
            }
        }
    }

    /// Takes note of what has become known of the clock, and asks the cloud for its time while that is in doubt.
    async fn watch_clock(&mut self) {
        let clocks = self.cloud.clocks();
        for event in clocks.take_events() {
            clocks::log(&event);
            match event {
                ClockEvent::Stepped { from, to, confirmed } => {
                    if let Some(hold) = self.hold.as_mut().filter(|hold| hold.is_clock) {
                        // It may have been set right.
                        hold.next_probe = to;
                    }
                    if !confirmed {
                        self.planner.clock_corrected(to - from, to);
                    }
                    // Should the cloud confirm it, slots from here on came on time.
                    self.planned_late_from = self.planned_late_from.or(Some(to)).filter(|from| *from <= to);
                }
                ClockEvent::Confirmed => self.planner.clock_confirmed(),
                _ => {}
            }
            self.idle_until = None;
            self.clock_events.push(event);
        }
        if clocks.is_in_doubt() {
            let cloud = Arc::clone(&self.cloud);
            // Nobody waits for the answer: it is compared with the clock as every other.
            tokio::spawn(async move { cloud.ask_for_the_time().await });
        }
        if let Err(error) = self.record_clock_events().await {
            self.store_failed(&error, self.clock.now());
        }
        if let Err(error) = self.keep_clock_anchor().await {
            self.store_failed(&error, self.clock.now());
        }
    }

    /// For the next start, which knows the time by it before the cloud has answered.
    async fn keep_clock_anchor(&mut self) -> Result<(), StoreError> {
        let Some(anchor) = self.cloud.clocks().anchor() else { return Ok(()) };
        if self.lost.is_none() && self.anchor.as_ref().is_none_or(|kept| anchor.replaces(kept)) {
            self.store.keep_clock_anchor(&anchor, self.clock.now()).await?;
            self.anchor = Some(anchor);
        }
        Ok(())
    }

    /// What cannot be written now is written at the next look.
    async fn record_clock_events(&mut self) -> Result<(), StoreError> {
        while let Some(event) = self.clock_events.first() {
            let now = self.clock.now();
            if clocks::is_audited(event) {
                self.store.note_clock(now, &event.to_string(), event.once().as_deref()).await?;
            }
            // Only the cloud's word says that what lies ahead was written by a wrong clock.
            if matches!(event, ClockEvent::Confirmed) && self.cloud.clocks().agreed().is_ok() {
                let latest = shifted(now, STEP_BACK);
                let ended = self.store.end_queued_ahead(latest, now).await?;
                if ended > 0 {
                    tracing::warn!(
                        bakes = ended,
                        "{ended} bakes in the queue end: the clock was ahead when they were written"
                    );
                    self.publish_status(None, true);
                }
                self.store.clamp_images_ahead(now, shifted(now, LONGEST_WAIT)).await?;
            }
            self.clock_events.remove(0);
        }
        Ok(())
    }

    /// The time that bakes go by: the cloud's where this host's clock is ahead of it, so that a clock that was set forward ends
    /// no wait and no deadline.
    fn bake_time(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.cloud.clocks().cloud_now().min(now)
    }

    fn no_schedule(&self, wanted: &str) -> RequestError {
        RequestError::NotFound(config::no_schedule(wanted, self.planner.schedule_words()))
    }

    async fn record_manual(
        &mut self,
        schedule: &str,
        who: String,
    ) -> Result<Result<Vec<BakeId>, RequestError>, StoreError> {
        let now = self.clock.now();
        let Some(rows) = self.planner.manual(schedule, now) else { return Ok(Err(self.no_schedule(schedule))) };
        let asked: Vec<_> = rows.into_iter().map(|row| ManualBake { row, who: who.clone(), retry_of: None }).collect();
        self.store.record_manual(&asked, &self.config_hash, now).await.map(Ok)
    }

    async fn retry(&mut self, id: BakeId, who: String) -> Result<Result<BakeId, RequestError>, StoreError> {
        let now = self.clock.now();
        let Some(row) = self.store.reader().bake(id).await? else { return Ok(Err(no_bake(id))) };
        if !row.is_ended() {
            return Ok(Err(RequestError::Conflict(format!("bake {id} is still under way ({})", row.state))));
        }
        if row.state == "succeeded" {
            let word = format!("bake {id} succeeded; `imagebaked bake {}` makes another image", row.schedule);
            return Ok(Err(RequestError::Conflict(word)));
        }
        let rows = self.planner.manual(&row.schedule_id, now).unwrap_or_default();
        let Some(row) = rows.into_iter().find(|new| new.instance_id.as_str() == row.instance_id) else {
            let word = format!("{} on {} is no longer in the configuration", row.schedule, row.instance_id);
            return Ok(Err(RequestError::NotFound(word)));
        };
        let asked = ManualBake { row, who, retry_of: Some(id) };
        let ids = self.store.record_manual(&[asked], &self.config_hash, now).await?;
        Ok(ids.first().copied().ok_or_else(|| no_bake(id)))
    }

    async fn cancel(&mut self, id: BakeId, who: &str) -> Result<Result<(), RequestError>, StoreError> {
        let now = self.clock.now();
        // One with a call under way is in memory as of its last commit, which is what the database says, too.
        let Some(bake) = self.store.bake(id).await? else { return Ok(Err(no_bake(id))) };
        if let Some(why) = bake.state.cannot_be_cancelled() {
            return Ok(Err(RequestError::Conflict(format!("bake {id} cannot be cancelled: {why}"))));
        }
        // Its answer, when it comes, finds nobody waiting. A hook is ended: those that undo it come next.
        if let Some((bake, call)) = self.in_flight.remove(&id) {
            self.call_of.remove(&call.id());
            if matches!(bake.state, State::Preparing { .. }) {
                call.abort();
            }
        }
        self.store.note(now, who, "cancel", &format!("bake {id} of {}", bake.schedule)).await?;
        let step = self.take(bake, Event::Cancelled { by: who.to_owned() }, now);
        self.commit(vec![step], now).await.map(Ok)
    }

    async fn pause(
        &mut self,
        schedule: &str,
        until: Option<DateTime<Utc>>,
        reason: String,
        who: String,
    ) -> Result<Result<(), RequestError>, StoreError> {
        let now = self.clock.now();
        let Some(schedule_id) = self.planner.find(schedule) else { return Ok(Err(self.no_schedule(schedule))) };
        if until.is_some_and(|until| until <= now) {
            return Ok(Err(RequestError::Conflict("the pause would be over already".to_owned())));
        }
        // Slots up to this moment are not paused yet.
        self.plan(now).await?;
        self.store.pause(&Pause { schedule_id, since: now, until, reason, who }).await?;
        self.planner.set_pauses(self.store.reader().pauses().await?);
        self.status_published = false;
        Ok(Ok(()))
    }

    async fn resume(&mut self, schedule: &str, who: &str) -> Result<Result<(), RequestError>, StoreError> {
        let now = self.clock.now();
        let Some(schedule_id) = self.planner.find(schedule) else { return Ok(Err(self.no_schedule(schedule))) };
        if !self.planner.is_paused(&schedule_id, now) {
            let word = format!("{schedule} is not paused; `paused = true` in the file is resumed there");
            return Ok(Err(RequestError::Conflict(word)));
        }
        // Slots up to this moment were paused.
        self.plan(now).await?;
        self.store.resume(&schedule_id, who, "resumed", now).await?;
        self.planner.set_pauses(self.store.reader().pauses().await?);
        self.status_published = false;
        Ok(Ok(()))
    }

    /// Schedules that keep failing for good are paused, before they use up another night.
    async fn auto_pause_failing_schedules(&mut self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let limit = self.limits.pause_after_failures;
        if limit == 0 {
            return Ok(());
        }
        for (schedule_id, failures) in self.store.too_many_failures(limit).await? {
            let reason = format!(
                "its bakes failed for good {failures} times in a row; mend the cause, then `imagebaked resume {schedule_id}`"
            );
            tracing::error!(schedule = %schedule_id, reason, "schedule {schedule_id} is paused: {reason}");
            self.plan(now).await?;
            let pause = Pause { schedule_id, since: now, until: None, reason, who: ITSELF.to_owned() };
            self.store.pause(&pause).await?;
            self.planner.set_pauses(self.store.reader().pauses().await?);
            self.status_published = false;
        }
        Ok(())
    }

    async fn adopt(&mut self, config: &Config) -> Result<(), StoreError> {
        let now = self.clock.now();
        // Slots due until this moment belong to the rules that were in force.
        self.plan(now).await?;
        self.planner = Planner::adopt(&shared(config), &config.hash, &self.store, self.bake_time(now)).await?;
        if self.cloud.clocks().agreed().is_ok() {
            self.planner.clock_confirmed();
        }
        let PollPolicy { search_until, gmt_offset, .. } = self.pace;
        self.pace = PollPolicy { search_until, gmt_offset, ..pace(config) };
        self.limits = limits(config);
        self.config_hash.clone_from(&config.hash);
        if let Some(hold) = &mut self.hold {
            // Who has mended the credentials need not wait for the next probe.
            hold.next_probe = now;
        }
        Ok(())
    }

    /// One look at clock and database: everything that can be done now is begun.
    pub async fn turn(&mut self) {
        let now = self.clock.now();
        let was_set_back = now < shifted(self.last_turn, -STEP_BACK);
        if let Some(hold) = &mut self.hold {
            // A clock that was set back must not put the probe off.
            hold.next_probe = hold.next_probe.min(shifted(now, SUSPENSION_PROBE));
        }
        self.last_turn = now;
        if self.lost.is_none()
            && self.store.is_suspect()
            && let Err(error) = self.store.probe().await
        {
            return self.store_failed(&error, now);
        }
        match self.try_turn(now, was_set_back).await {
            Ok(changed) => {
                if let Some(since) = self.store_error_since.take() {
                    tracing::info!(%since, "the history can be used again");
                }
                self.publish_status(None, changed);
            }
            Err(error) => self.store_failed(&error, now),
        }
    }

    async fn try_turn(&mut self, now: DateTime<Utc>, was_set_back: bool) -> Result<bool, StoreError> {
        if was_set_back {
            // What waits for an instant of the old clock would wait as long as the step.
            self.store.clamp_wakeups_after_clock_step(now, now).await?;
        }
        let mut changed = self.plan(now).await? > 0;
        let mut turn = Turn::default();
        loop {
            let bake_time = self.bake_time(now);
            let due = self.store.due(bake_time).await?;
            self.step_due(due, now, &mut turn);
            if self.admitting && self.lost.is_none() {
                let unproven = self.cloud.clocks().unproven();
                let expired = self.store.overdue_queued(shifted(bake_time, -unproven)).await?;
                for DueBake { bake, .. } in expired {
                    let event = self.what_holds().unwrap_or(Event::Due);
                    self.step_in(&mut turn, bake, event, now);
                }
                if self.uncompared.is_none() {
                    self.admit(now, &mut turn).await?;
                }
            }
            let steps = turn.take_steps();
            if steps.is_empty() {
                break;
            }
            changed = true;
            self.commit(steps, now).await?;
        }
        let bake_time = self.bake_time(now);
        let next = [self.planner.next_at(), self.store.next_wake(bake_time).await?, self.suspension_ends()];
        // A second step of a bake waits for the next tick; where the two clocks differ, every tick is one to work at.
        self.idle_until = next.into_iter().flatten().min().filter(|_| bake_time == now && !turn.is_cut_short);
        Ok(changed)
    }

    fn step_due(&mut self, due: Vec<DueBake>, now: DateTime<Utc>, turn: &mut Turn) {
        let cloud_now = self.cloud.clocks().cloud_now();
        for DueBake { bake, last_version } in due {
            if self.in_flight.contains_key(&bake.id) {
                continue;
            }
            if self.lost.is_some() && bake.state.cannot_be_cancelled().is_none() {
                let by = "the daemon: the history was replaced".to_owned();
                self.step_in(turn, bake, Event::Cancelled { by }, now);
                continue;
            }
            if self.uncompared.is_some() && matches!(bake.state, State::Stopping { .. }) {
                continue;
            }
            if cloud_now < bake.earliest() && self.step_early(&bake, now, turn) {
                continue;
            }
            let begins_something = matches!(bake.state, State::Ready { .. } | State::Preparing { .. });
            if begins_something && (!self.admitting || self.uncompared.is_some() || !self.may_call(now)) {
                continue;
            }
            if matches!(bake.state, State::Finishing { .. }) && !self.admitting {
                continue;
            }
            let event = if bake.state.needs_version() {
                turn.next_version(&bake.line, last_version, |version| Event::Renumbered { version })
            } else {
                Event::Due
            };
            self.step_in(turn, bake, event, now);
        }
    }

    /// A bake that was begun while the clock was ahead, before its slot: it ends, unless a create call was sent for it. Then
    /// an image may come of it, and the row waits for its slot. Whether that is all for this turn.
    fn step_early(&mut self, bake: &Bake, now: DateTime<Utc>, turn: &mut Turn) -> bool {
        match &bake.state {
            State::Preparing { work, .. } | State::Stopping { work, .. } | State::Ready { work, .. }
                if work.evidence.first_sent.is_none() =>
            {
                self.step_in(turn, bake.clone(), Event::ClockAhead, now);
                true
            }
            State::Ready { work, reconcile_before_create: false, .. } => {
                if !work.restart_pending {
                    let reason = "waits for its slot: the clock was ahead when it was begun".to_owned();
                    let kept = Suspended { work: work.clone(), resume: Resume::FindImage, reason };
                    turn.put_back(bake.clone(), State::Queued { not_before: bake.slot, kept: Some(kept) });
                }
                true
            }
            _ => false,
        }
    }

    async fn admit(&mut self, now: DateTime<Utc>, turn: &mut Turn) -> Result<(), StoreError> {
        let mut busy = self.store.busy_builders().await?;
        let mut free = self.limits.builders.saturating_sub(busy.values().sum());
        if self.hold.is_some() {
            free = free.min(1);
        }
        if free == 0 {
            return Ok(());
        }
        let room = self.limits.builders_per_region;
        let full: Vec<&str> = busy.iter().filter(|(_, n)| **n >= room).map(|(region, _)| region.as_str()).collect();
        let queued = self.store.next_queued(self.bake_time(now), free, &full).await?;
        // Asked only where something would be begun: the probe of a held daemon must not be spent on nothing.
        if queued.iter().all(|due| turn.has_stepped(due.bake.id)) || !self.may_call(now) {
            return Ok(());
        }
        for DueBake { bake, last_version } in queued {
            if turn.has_stepped(bake.id) {
                continue;
            }
            let in_region = busy.entry(bake.settings.instance_region.clone()).or_default();
            if *in_region >= room {
                // Filled up by this very turn; the next round asks without the region.
                continue;
            }
            *in_region += 1;
            // One that comes back from a wait has its version already.
            let event = match bake.state.work() {
                Some(work) => Event::Admitted { version: work.version },
                None => turn.next_version(&bake.line, last_version, |version| Event::Admitted { version }),
            };
            self.step_in(turn, bake, event, now);
        }
        Ok(())
    }

    /// One step of `bake`, unless it took one in this turn already, or a call of its own is under way.
    fn step_in(&mut self, turn: &mut Turn, bake: Bake, event: Event, now: DateTime<Utc>) {
        if self.in_flight.contains_key(&bake.id) {
            return;
        }
        if turn.stepped.insert(bake.id) {
            let step = self.take(bake, event, now);
            turn.steps.push(step);
        } else {
            turn.is_cut_short = true;
        }
    }

    /// Whether a call that begins something may go out: always, but for one probe a minute while credentials are refused.
    fn may_call(&mut self, now: DateTime<Utc>) -> bool {
        match &mut self.hold {
            None => true,
            Some(hold) if now >= hold.next_probe => {
                hold.next_probe = shifted(now, SUSPENSION_PROBE);
                true
            }
            Some(_) => false,
        }
    }

    fn suspension_ends(&self) -> Option<DateTime<Utc>> {
        self.hold.as_ref().map(|hold| hold.next_probe)
    }

    fn take(&mut self, mut bake: Bake, event: Event, now: DateTime<Utc>) -> PendingCommit {
        let now = self.bake_time(now);
        self.pace.clock_skew = self.cloud.clocks().cloud_now() - now;
        self.pace.unproven = self.cloud.clocks().unproven();
        let (state, effect) = step(&bake, event, now, &self.pace, &mut self.rng);
        let before = std::mem::replace(&mut bake.state, state);
        PendingCommit { bake, before, effect, attempt: None }
    }

    /// Commits, then lets the effects happen.
    async fn commit(&mut self, steps: Vec<PendingCommit>, now: DateTime<Utc>) -> Result<(), StoreError> {
        let failed = steps
            .iter()
            .any(|step| matches!(step.bake.state, State::Ended { end: End::Failed { permanent: true, .. }, .. }));
        let transitions: Vec<_> = steps
            .iter()
            .map(|step| Transition {
                bake: step.bake.id,
                line: step.bake.line.clone(),
                state: step.bake.state.clone(),
                attempt: step.attempt.clone(),
            })
            .collect();
        let cloud_now = self.cloud.clocks().cloud_now();
        let committed = self.store.commit_seen(&transitions, cloud_now, now).await;
        self.history_went_back |= matches!(committed, Err(StoreError::WentBack));
        committed?;
        for step in steps {
            step.log();
            if step.bake.state.is_ended() {
                self.last_warned.remove(&step.bake.id);
                self.accepted.remove(&step.bake.id);
            }
            match step.effect {
                // A hook that would be cut off by the end of the daemon is left to the next start.
                Effect::Call(Call::RunHook(_)) if !self.admitting => {}
                Effect::Call(call) => self.send(step.bake, call),
                Effect::Wait(_) | Effect::Done => {}
            }
        }
        if failed {
            self.auto_pause_failing_schedules(now).await?;
        }
        Ok(())
    }

    fn send(&mut self, bake: Bake, call: Call) {
        let id = bake.id;
        let (cloud, clock) = (Arc::clone(&self.cloud), Arc::clone(&self.clock));
        let (instance, settings) = (bake.instance_id.clone(), Arc::clone(&bake.settings));
        let lines = match call {
            Call::FindImagesInProgress => self.planner.lines_on(&instance),
            _ => Vec::new(),
        };
        let description = calls::description(&bake);
        let owner = self.pace.owner.clone();
        let folder = Arc::clone(&self.folder);
        let slot_lists = Arc::clone(&self.slot_lists);
        let gate = Gate { from: bake.earliest(), until: bake.give_up_at, closing: self.closing.clone() };
        let task = async move {
            let (cloud, instance, settings, folder) = (&*cloud, &instance, &*settings, &*folder);
            let owner = &*owner;
            let slot_lists = &*slot_lists;
            Caller { cloud, instance, settings, description, owner, lines, folder, gate, slot_lists }
                .perform(call, &*clock)
                .await
        };
        let handle = self.calls.spawn(task);
        self.call_of.insert(handle.id(), id);
        self.in_flight.insert(id, (bake, handle));
    }

    /// Takes this answer and all others that are there by now, as one transaction.
    async fn take_answers(&mut self, first: Result<(Id, Finished), tokio::task::JoinError>) {
        let now = self.clock.now();
        let mut steps = Vec::new();
        let mut next = Some(first);
        while let Some(joined) = next {
            steps.extend(self.answered(joined, now));
            next = self.calls.try_join_next_with_id();
        }
        // On a slow disk answers may take all the time there is; the engine works all the same.
        self.note_progress();
        if let Err(error) = self.commit(steps, now).await {
            // The answers are lost, but every intent is committed: those bakes are looked up like after a crash.
            self.store_failed(&error, now);
            return;
        }
        self.keep_what_was_taught(now).await;
        // The turn below may find nothing more to do, and who waits for a bake's end must hear of it all the same.
        self.publish_status(None, true);
        self.turn().await;
    }

    fn answered(
        &mut self,
        joined: Result<(Id, Finished), tokio::task::JoinError>,
        now: DateTime<Utc>,
    ) -> Option<PendingCommit> {
        let (id, finished) = match joined {
            Ok((id, finished)) => (id, finished),
            Err(error) => {
                // A panic or an abort: what the call did is not known. Left to the database, where its intent stands.
                let id = self.call_of.remove(&error.id())?;
                self.in_flight.remove(&id);
                tracing::error!(bake = %id, error = &error as &dyn std::error::Error, "a call ended without an answer");
                return None;
            }
        };
        let (bake, _) = self.in_flight.remove(&self.call_of.remove(&id)?)?;
        if !self.admitting && matches!(&finished.answer, Response::Hook(outcome) if !outcome.is_ok()) {
            // Who stops the daemon may have stopped the hook with it: it is asked again at the next start.
            return None;
        }
        self.judge_credentials(&finished, now);
        self.learn(&bake, &finished);
        let mut step = self.take(bake, Event::Answered(finished.answer.clone()), now);
        step.attempt = finished.attempt(&step.before, &step.bake.state);
        step.log_hook(&finished.answer);
        self.report_unknown_state(&step.bake, &finished.answer);
        self.warn_not_running(&step.bake, &finished.answer, now);
        Some(step)
    }

    /// What the list shows of an image of ours, and when the cloud accepted it, teach the zone of `GmtCreate`.
    fn learn(&mut self, bake: &Bake, finished: &Finished) {
        match (&finished.answer, finished.server_date) {
            (Response::Created(image), Some(at)) => {
                self.accepted.insert(bake.id, (image.image_id.clone(), at));
            }
            (Response::Image(Some(image)), _) => {
                let (Some((image_id, at)), Some(work)) = (self.accepted.get(&bake.id), bake.state.work()) else {
                    return;
                };
                let is_ours = *image_id == image.image_id && !identity(bake, work, &self.pace).contradicts(image);
                if let Some(shown) = image.made_at.filter(|_| is_ours) {
                    self.taught = GmtOffset::learn(shown, *at).or(self.taught);
                    self.accepted.remove(&bake.id);
                }
            }
            _ => {}
        }
    }

    async fn keep_what_was_taught(&mut self, now: DateTime<Utc>) {
        let Some(observed) = self.taught.take() else { return };
        let known = GmtOffset::agree(self.pace.gmt_offset, observed);
        if known == self.pace.gmt_offset {
            return;
        }
        // It can be learned again: a history that cannot be written is reported by those who must write it.
        if let Err(error) = self.store.keep_gmt_offset(known, now).await {
            tracing::debug!(error = crate::domain::error::chain(&error), "the zone of GmtCreate could not be kept");
        }
        match known.map(GmtOffset::minutes) {
            Some(minutes) => {
                tracing::info!(
                    minutes,
                    "the zone of GmtCreate is {minutes} minutes ahead of UTC, as an image of ours shows"
                );
            }
            None => {
                tracing::warn!("the zone of GmtCreate is not known any more: two images of ours contradict each other");
            }
        }
        self.pace.gmt_offset = known;
    }

    /// A state that is not in the table is waited for like any that passes; once, the log asks for somebody to look.
    fn report_unknown_state(&mut self, bake: &Bake, answer: &Response) {
        let Response::Instance(Some(PowerState::Transitioning(state))) = answer else { return };
        if instance_state::find(state, bake.settings.instance_type).is_some()
            || self.unknown_states.len() >= MOST_UNKNOWN_STATES
            || !self.unknown_states.insert(state.to_ascii_lowercase())
        {
            return;
        }
        let (schedule, instance) = (bake.schedule.as_str(), bake.instance_id.as_str());
        tracing::warn!(
            schedule,
            instance,
            state,
            "unknown instance state {state} of {instance}: bakes wait for it to change; this is reported once"
        );
    }

    /// An instance that cannot be started again is nothing to be quiet about, and nothing to fill the log with either.
    fn warn_not_running(&mut self, bake: &Bake, answer: &Response, now: DateTime<Utc>) {
        let State::Starting { since, last_error: trouble, .. } = &bake.state else { return };
        let is_late = since.is_none_or(|since| now - since >= START_TAKES);
        let said = self.last_warned.get(&bake.id).is_some_and(|at| now - *at < REPEAT_WARNING_AFTER && now >= *at);
        if said || !(is_late || matches!(answer, Response::Refused(_))) {
            return;
        }
        self.last_warned.insert(bake.id, now);
        let (id, instance, schedule) = (bake.id.0, bake.instance_id.as_str(), bake.schedule.as_str());
        let reason = trouble.as_deref().unwrap_or("no start has worked so far");
        tracing::error!(
            bake = id,
            schedule,
            instance,
            reason,
            "instance {instance} was stopped for bake {id} of {schedule} and is not running again yet: {reason}"
        );
    }

    /// Says which instances stay stopped while no daemon runs.
    async fn warn_of_instances_left_stopped(&self) {
        match self.store.reader().pending_restarts().await {
            Ok(owed) => {
                for PendingRestart { bake, schedule, instance, .. } in owed {
                    tracing::warn!(
                        bake = bake.0,
                        schedule,
                        instance = instance.as_str(),
                        "instance {instance} is stopped for bake {bake} of {schedule}; the next start of the daemon \
                         starts it again once its image is made"
                    );
                }
            }
            Err(error) => {
                tracing::error!(error = crate::domain::error::chain(&error), "what is left stopped cannot be told");
            }
        }
    }

    fn judge_credentials(&mut self, finished: &Finished, now: DateTime<Utc>) {
        match &finished.answer {
            Response::Refused(api_error) if api_error.class == ErrorClass::Credential => {
                self.suspend(format!("{api_error} ({})", api_error.advice), api_error.is_clock(), now);
            }
            // Not every refusal comes after the signature was checked, and a hook has nothing to do with it.
            Response::Refused(_) | Response::Hook(_) => {}
            _ => {
                if let Some(hold) = self.hold.take() {
                    let what = if hold.is_clock { "clock" } else { "credentials" };
                    tracing::info!(since = %hold.since, "{what} accepted again: no schedule is suspended");
                }
            }
        }
    }

    /// Nothing new is begun until the cloud accepts the credentials, or the time of this host; one call a minute asks.
    fn suspend(&mut self, message: String, is_clock: bool, now: DateTime<Utc>) {
        let before = self.hold.take().filter(|hold| hold.is_clock == is_clock);
        let since = before.as_ref().map_or(now, |hold| hold.since);
        let hold = Suspension { since, message, is_clock, next_probe: shifted(now, SUSPENSION_PROBE) };
        if before.is_none() {
            tracing::error!(reason = %hold.message, "{}", hold.headline());
        }
        self.hold = Some(hold);
    }

    fn store_failed(&mut self, error: &StoreError, now: DateTime<Utc>) {
        self.history_went_back |= matches!(error, StoreError::WentBack);
        if matches!(error, StoreError::Replaced { .. }) {
            return self.lose_history(error, now);
        }
        self.store_error_since.get_or_insert(now);
        let text = crate::domain::error::chain(error);
        tracing::error!(error = %text, "the history cannot be used; nothing new is begun until it can");
        self.idle_until = Some(later(now, STORE_PAUSE));
        self.publish_status(Some(text), true);
    }

    fn publish_status(&mut self, store_error: Option<String>, changed: bool) {
        self.publish.send_modify(|status| {
            status.store_error = store_error;
            status.store_error_since = self.store_error_since;
            status.uncompared.clone_from(&self.uncompared);
            status.lost_history.clone_from(&self.lost);
            status.changes += u64::from(changed);
            status.hold.clone_from(&self.hold);
            let renewed = status.config_hash != self.config_hash || !self.status_published;
            if renewed {
                status.pauses = self.planner.pauses_at(self.last_turn).cloned().collect();
                status.config_hash.clone_from(&self.config_hash);
                let ids: HashSet<_> = self.planner.planned().map(|planned| &planned.schedule.id).collect();
                status.schedules = ids.len();
                status.lines = self
                    .planner
                    .planned()
                    .map(|planned| PlannedLine {
                        schedule_id: planned.schedule.id.clone(),
                        paused_in_file: planned.schedule.paused,
                        line: Line {
                            id: planned.line.clone(),
                            schedule: planned.schedule.name.clone(),
                            zone: planned.schedule.timing.zone(),
                            max_image_age: planned.schedule.max_image_age,
                            known_since: planned.known_since,
                        },
                    })
                    .collect();
            }
            if changed || renewed || status.upcoming.is_empty() {
                status.upcoming = self.planner.upcoming(UPCOMING, self.last_turn);
            }
        });
        self.status_published = true;
    }
}

/// A history that is not to be worked with as it is.
impl Engine {
    /// Plans what is due, but nothing before history and cloud were compared: slots whose images the cloud has are then
    /// known by their rows.
    async fn plan(&mut self, now: DateTime<Utc>) -> Result<usize, StoreError> {
        if self.uncompared.is_some() || self.lost.is_some() {
            return Ok(0);
        }
        // A clock that is ahead of the cloud's makes no rows for slots that have not come.
        let now = self.bake_time(now);
        let mut rows = 0;
        if let Some(from) = self.planned_late_from.filter(|from| *from <= now) {
            // What came due meanwhile came on time; what was due before was missed.
            rows += self.planner.plan(&self.store, from).await?;
            for _ in 0..MOST_PLANNED_LATE {
                let Some(at) = self.planner.next_at().filter(|at| *at <= now) else { break };
                rows += self.planner.plan(&self.store, at).await?;
            }
            self.planned_late_from = None;
        }
        Ok(rows + self.planner.plan(&self.store, now).await?)
    }

    /// What bakes in the queue wait for, if that is not a builder.
    fn what_holds(&self) -> Option<Event> {
        if let Some(hold) = &self.hold {
            let code = if hold.is_clock { ReasonCode::Outage } else { ReasonCode::Credentials };
            return Some(Event::Held { code, why: hold.headline() });
        }
        let Uncompared { why, .. } = self.uncompared.as_ref()?;
        let why = why.as_deref().unwrap_or("the cloud has not listed all images");
        let why = format!("the history is empty or was restored, and could not be compared with the cloud: {why}");
        Some(Event::Held { code: ReasonCode::Outage, why })
    }

    fn take_comparison(&mut self, outcome: Result<(), NotCompared>) {
        let now = self.clock.now();
        let Some(uncompared) = &mut self.uncompared else { return };
        match outcome {
            Ok(()) => {
                self.planned_late_from = Some(uncompared.since.min(self.cloud.bake_time()));
                self.uncompared = None;
                // What the cloud was asked for last may not be on its lists yet.
                self.pace.search_until = Some(retry::later(now, self.pace.lookup_window));
                // The cloud has answered.
                self.hold = None;
            }
            Err(NotCompared { why, credentials }) => {
                if uncompared.why.as_ref() != Some(&why) {
                    tracing::warn!(
                        reason = %why,
                        "history and cloud cannot be compared; nothing is stopped or created until they are"
                    );
                }
                uncompared.why = Some(why);
                if let Some(message) = credentials {
                    self.suspend(message, false, now);
                }
            }
        }
    }

    /// The files have lost their names. What is written from now on is gone with the process, so nothing is begun; but an
    /// image that is being made is followed to its end, and an instance that was stopped is started again.
    fn lose_history(&mut self, error: &StoreError, now: DateTime<Utc>) {
        if self.lost.is_some() {
            return;
        }
        let message = crate::domain::error::chain(error);
        tracing::error!(error = %message, "{message}; nothing new is begun, and the daemon ends once what was begun is over");
        self.store.detach();
        self.lost = Some(LostHistory { since: now, message });
        self.idle_until = None;
        self.publish_status(None, true);
    }

    /// Whether the history is lost and nothing is left that was begun under it, or nothing more can be done about that.
    async fn is_wound_down(&self) -> bool {
        if self.lost.is_none() {
            return false;
        }
        if self.store_error_since.is_some() {
            return true;
        }
        match self.store.due(DateTime::<Utc>::MAX_UTC).await {
            Ok(begun) => begun.is_empty() && self.in_flight.is_empty(),
            Err(_) => true,
        }
    }
}

impl EngineRequest {
    /// Answers that the history cannot be used.
    fn refuse(self, error: StoreError) {
        match self {
            Self::Bake { reply, .. } => drop(reply.send(Err(error))),
            Self::Retry { reply, .. } => drop(reply.send(Err(error))),
            Self::Adopt { reply, .. } | Self::Rebuild { reply, .. } => drop(reply.send(Err(error))),
            Self::AdoptImages { reply, .. } => drop(reply.send(Err(error))),
            Self::Cancel { reply, .. } | Self::Pause { reply, .. } | Self::Resume { reply, .. } => {
                drop(reply.send(Err(error)));
            }
            Self::Compared { .. } | Self::Look => {}
        }
    }
}

fn no_bake(id: BakeId) -> RequestError {
    RequestError::NotFound(format!("there is no bake {id}; see `imagebaked history`"))
}

/// The steps of one turn. A bake takes one of them at most: the reads of a turn lie before its commits, and a second step
/// would begin from a row that the first has changed.
#[derive(Default)]
struct Turn {
    stepped: HashSet<BakeId>,
    /// Not committed yet.
    steps: Vec<PendingCommit>,
    /// The last versions given out in this turn: two bakes of it may share a line, and their versions must differ.
    versions: HashMap<LineId, u32>,
    /// Whether a bake would have taken a second step.
    is_cut_short: bool,
}

impl Turn {
    fn has_stepped(&self, bake: BakeId) -> bool {
        self.stepped.contains(&bake)
    }

    /// The event that gives a bake the next version of its line.
    fn next_version(&mut self, line: &LineId, last_in_history: u32, event: impl FnOnce(u32) -> Event) -> Event {
        let last = self.versions.get(line).copied().unwrap_or_default().max(last_in_history);
        match last.checked_add(1) {
            Some(version) => {
                self.versions.insert(line.clone(), version);
                event(version)
            }
            None => Event::NoVersion { why: format!("line {line} has no version left, its last one is {last}") },
        }
    }

    /// Sends a bake back to the queue.
    fn put_back(&mut self, mut bake: Bake, queued: State) {
        if self.stepped.insert(bake.id) {
            let before = std::mem::replace(&mut bake.state, queued);
            self.steps.push(PendingCommit { bake, before, effect: Effect::Done, attempt: None });
        }
    }

    fn take_steps(&mut self) -> Vec<PendingCommit> {
        std::mem::take(&mut self.steps)
    }
}

/// A bake with its new state, before it is committed.
struct PendingCommit {
    bake: Bake,
    before: State,
    effect: Effect,
    attempt: Option<Attempt>,
}

impl PendingCommit {
    /// A hook that failed where that changes nothing is at least told.
    fn log_hook(&self, answer: &Response) {
        let (State::Finishing { .. }, Response::Hook(outcome)) = (&self.before, answer) else { return };
        if !outcome.is_ok() {
            let (bake, schedule, instance) =
                (self.bake.id.0, self.bake.schedule.as_str(), self.bake.instance_id.as_str());
            let (reason, output) = (self.bake.state.reason().unwrap_or_default(), outcome.output.as_str());
            tracing::error!(bake, schedule, instance, reason, output, "a hook of bake {bake} of {schedule} failed");
        }
    }

    /// One line for each change of state, readable alone, with the keys as fields.
    fn log(&self) {
        let (before, state) = (&self.before, &self.bake.state);
        // A wait is reported once, however often it is looked at.
        let why = |state: &State| state.waiting().map(|waiting| waiting.why.clone());
        if before.as_str() == state.as_str() || why(before).is_some() && why(before) == why(state) {
            return;
        }
        let bake = self.bake.id.0;
        let (schedule, instance) = (self.bake.schedule.as_str(), self.bake.instance_id.as_str());
        let reason = state.reason().unwrap_or_default();
        match state {
            State::Ended { end: End::Failed { .. }, .. } => {
                tracing::error!(bake, schedule, instance, reason, "bake {bake} of {schedule} failed: {reason}");
            }
            State::Ended { end: End::Succeeded { image, .. }, .. } => {
                let (image_id, name) = (image.image_id.as_str(), state.work().map_or("", |work| &work.image_name));
                tracing::info!(
                    bake,
                    schedule,
                    instance,
                    image_id,
                    "bake {bake} of {schedule} succeeded: {name} is {image_id}"
                );
            }
            State::Ended { end: End::Cancelled { .. }, .. } => {
                tracing::info!(bake, schedule, instance, reason, "bake {bake} of {schedule} cancelled: {reason}");
            }
            State::Ended { .. } => {
                tracing::warn!(bake, schedule, instance, reason, "bake {bake} of {schedule} skipped: {reason}");
            }
            State::Unknown { .. } => {
                tracing::warn!(
                    bake,
                    schedule,
                    instance,
                    reason,
                    "bake {bake} of {schedule}: looking for its image: {reason}"
                );
            }
            State::Queued { kept: Some(_), .. } => {
                tracing::warn!(bake, schedule, instance, reason, "bake {bake} of {schedule} {reason}");
            }
            State::Ready { blocked_on: Some(waits_for), .. } => {
                tracing::warn!(bake, schedule, instance, reason = waits_for, "bake {bake} of {schedule} {waits_for}");
            }
            _ => {
                let (from, to) = (before.as_str(), state.as_str());
                tracing::info!(bake, schedule, instance, from, to, "bake {bake} of {schedule}: {from} -> {to}");
            }
        }
    }
}

fn shared(config: &Config) -> Vec<Arc<Schedule>> {
    config.schedules.clone()
}

fn limits(config: &Config) -> Limits {
    Limits {
        builders: config.daemon.max_builders as usize,
        builders_per_region: config.daemon.max_builders_per_region as usize,
        pause_after_failures: config.daemon.pause_after_failures,
    }
}

fn pace(config: &Config) -> PollPolicy {
    PollPolicy {
        poll_interval: config.cloud.poll_interval,
        lookup_window: config.cloud.lookup_window,
        owner: config.daemon.owner.clone(),
        search_until: None,
        gmt_offset: None,
        clock_skew: TimeDelta::zero(),
        unproven: TimeDelta::zero(),
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "engine_history_tests.rs"]
mod history_tests;
