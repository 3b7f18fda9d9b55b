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
    calls::{self, Finished},
    planner::{Planner, Upcoming},
};
use crate::{
    bake::{
        Bake, State,
        call::{Answer, Call, Class},
        reconcile::Comparison,
        state::{Effect, End, Event, Kept, Pace, step},
    },
    clock::Clock,
    cloud::CloudClient,
    config::{self, Config},
    health::lines::Line,
    ids::{BakeId, LineId, ScheduleId},
    line::report::Adopted,
    schedule::Schedule,
    store::{Attempt, DueBake, ITSELF, ManualBake, NewImage, OwedStart, Pause, Store, StoreError, Transition},
};

/// While the cloud refuses our credentials, one call in this time tries whether it still does.
const HOLD_PROBE: TimeDelta = TimeDelta::minutes(1);
/// After a failure of the database the engine looks again this much later: six lines of log a minute, no more.
const STORE_PAUSE: Duration = Duration::from_secs(10);
/// A clock that went back by less than this did not go back.
const STEP_BACK: TimeDelta = TimeDelta::minutes(1);
/// No begun bake waits longer than this for its next look, unless the clock was set back while the daemon was down.
const LONGEST_WAIT: TimeDelta = TimeDelta::minutes(70);
/// An instance that is not running so long after its start was owed is told of in the log and in `status`.
pub(super) const START_TAKES: TimeDelta = TimeDelta::minutes(5);
/// So long the log is spared after that.
const CRY_AGAIN: TimeDelta = TimeDelta::minutes(10);
/// The engine looks at least this often, whatever becomes of the metronome.
const OWN_PULSE: Duration = Duration::from_secs(2);
/// How many slots to come are shown.
const UPCOMING: usize = 10;

/// Everything that the engine works with.
#[derive(Debug)]
pub struct Engine {
    store: Arc<Store>,
    cloud: Arc<CloudClient>,
    clock: Arc<dyn Clock>,
    planner: Planner,
    pace: Pace,
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
    cried: HashMap<BakeId, DateTime<Utc>>,
    hold: Option<Hold>,
    /// Whether new bakes may begin; off while draining.
    admitting: bool,
    /// The next instant at which a turn can find something to do; `None`: look at the next pulse.
    quiet_until: Option<DateTime<Utc>>,
    last_turn: DateTime<Utc>,
    /// Whether what rarely changes has been published since it changed.
    shown: bool,
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
pub struct Hold {
    /// Since when.
    pub since: DateTime<Utc>,
    /// What the cloud said.
    pub message: String,
    next_probe: DateTime<Utc>,
}

/// What the engine shows of itself after each turn.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EngineStatus {
    /// How many pulses reached the engine.
    pub looks: u64,
    /// When the last one did.
    pub last_look: Option<DateTime<Utc>>,
    /// The same by a clock that nobody sets.
    pub last_tick: Option<Instant>,
    /// Counts turns that changed something; whoever waits for a change watches this.
    pub changes: u64,
    /// Credentials are refused.
    pub hold: Option<Hold>,
    /// The database cannot be used.
    pub store_error: Option<String>,
    /// Since when.
    pub store_error_since: Option<DateTime<Utc>>,
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
pub enum Order {
    /// Bake now; answers with the numbers of the bakes.
    Bake {
        /// Name or id.
        schedule: String,
        /// Who asks, for the audit.
        who: String,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Result<Vec<BakeId>, Declined>, StoreError>>,
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
        reply: oneshot::Sender<Result<Result<BakeId, Declined>, StoreError>>,
    },
    /// Call a bake off.
    Cancel {
        /// Which.
        bake: BakeId,
        /// Who asks, for the audit.
        who: String,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Result<(), Declined>, StoreError>>,
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
        reply: oneshot::Sender<Result<Result<(), Declined>, StoreError>>,
    },
    /// Bake the slots of a schedule again, from now on.
    Resume {
        /// Name or id.
        schedule: String,
        /// Who asks.
        who: String,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<Result<(), Declined>, StoreError>>,
    },
    /// Look now: the pulse.
    Look,
}

/// Why an order was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Declined {
    /// There is no such thing.
    NotFound(String),
    /// It cannot be done, and why.
    NotNow(String),
}

impl Engine {
    /// An engine for `config`; takes over what the ledger knows of its schedules.
    pub async fn new(
        config: &Config,
        store: Arc<Store>,
        cloud: Arc<CloudClient>,
        clock: Arc<dyn Clock>,
        rng: Rng,
    ) -> Result<(Self, watch::Receiver<EngineStatus>), StoreError> {
        let now = clock.now();
        store.hasten(now, now + LONGEST_WAIT).await?;
        let planner = Planner::adopt(&shared(config), &config.hash, &store, now).await?;
        let (publish, status) = watch::channel(EngineStatus::default());
        let mut engine = Self {
            store,
            cloud,
            clock,
            planner,
            pace: pace(config),
            limits: limits(config),
            config_hash: config.hash.clone(),
            folder: config.daemon.state_dir.as_path().into(),
            rng,
            in_flight: HashMap::new(),
            calls: JoinSet::new(),
            call_of: HashMap::new(),
            cried: HashMap::new(),
            hold: None,
            admitting: true,
            quiet_until: None,
            last_turn: now,
            shown: false,
            publish,
        };
        engine.show(None, false);
        Ok((engine, status))
    }

    /// Works until `stop`; then begins nothing new, waits at most `drain` for calls under way and commits their answers.
    pub async fn run(mut self, mut orders: mpsc::Receiver<Order>, stop: CancellationToken, drain: Duration) {
        // The metronome goes by the wall clock and falls silent while that has been set back; this one does not.
        let mut own_pulse = tokio::time::interval(OWN_PULSE);
        own_pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(finished) = self.calls.join_next_with_id() => self.take_answers(finished).await,
                order = orders.recv() => match order {
                    Some(order) => self.obey(order).await,
                    None => break,
                },
                _ = own_pulse.tick() => self.look().await,
            }
        }
        self.admitting = false;
        let waiting = self.in_flight.len();
        if waiting > 0 {
            tracing::info!(waiting, "stopping: waiting for calls under way");
        }
        let drained = tokio::time::timeout(drain, async {
            while let Some(finished) = self.calls.join_next_with_id().await {
                self.take_answers(finished).await;
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
        self.tell_what_is_left_stopped().await;
    }

    /// A pulse: looks, unless there can be nothing to see.
    async fn look(&mut self) {
        let now = self.clock.now();
        // Once a second: noted without waking those who wait for changes.
        self.publish.send_if_modified(|status| {
            status.looks += 1;
            status.last_look = Some(now);
            status.last_tick = Some(Instant::now());
            false
        });
        let quiet = self.quiet_until.is_some_and(|until| now < until) && now >= self.last_turn;
        if !quiet {
            self.turn().await;
        }
    }

    /// What changes what is shown is answered after the turn that shows it: who was told that a pause stands, and asks
    /// for the status next, must find it there.
    async fn obey(&mut self, order: Order) {
        match order {
            Order::Look => self.look().await,
            Order::Bake { schedule, who, reply } => {
                // A dropped receiver means that the person has gone; the bake stands all the same.
                let _ = reply.send(self.record_manual(&schedule, who).await);
                self.turn().await;
            }
            Order::Rebuild { found, who, reply } => {
                let _ = reply.send(self.store.rebuild(&found, &who, &self.config_hash, self.clock.now()).await);
                self.turn().await;
            }
            Order::AdoptImages { images, dry_run, who, reply } => {
                let _ = reply.send(self.store.adopt_images(images, dry_run, &who, self.clock.now()).await);
                self.turn().await;
            }
            Order::Retry { bake, who, reply } => {
                let _ = reply.send(self.retry(bake, who).await);
                self.turn().await;
            }
            Order::Cancel { bake, who, reply } => {
                let _ = reply.send(self.cancel(bake, &who).await);
                self.turn().await;
            }
            Order::Pause { schedule, until, reason, who, reply } => {
                let told = self.pause(&schedule, until, reason, who).await;
                self.turn().await;
                let _ = reply.send(told);
            }
            Order::Resume { schedule, who, reply } => {
                let told = self.resume(&schedule, &who).await;
                self.turn().await;
                let _ = reply.send(told);
            }
            Order::Adopt { config, reply } => {
                let told = self.adopt(&config).await;
                self.turn().await;
                let _ = reply.send(told);
            }
        }
    }

    fn no_schedule(&self, wanted: &str) -> Declined {
        Declined::NotFound(config::no_schedule(wanted, self.planner.schedule_words()))
    }

    async fn record_manual(
        &mut self,
        schedule: &str,
        who: String,
    ) -> Result<Result<Vec<BakeId>, Declined>, StoreError> {
        let now = self.clock.now();
        let Some(rows) = self.planner.manual(schedule, now) else { return Ok(Err(self.no_schedule(schedule))) };
        let asked: Vec<_> = rows.into_iter().map(|row| ManualBake { row, who: who.clone(), retry_of: None }).collect();
        self.store.record_manual(&asked, &self.config_hash, now).await.map(Ok)
    }

    async fn retry(&mut self, id: BakeId, who: String) -> Result<Result<BakeId, Declined>, StoreError> {
        let now = self.clock.now();
        let Some(row) = self.store.reader().bake(id).await? else { return Ok(Err(no_bake(id))) };
        if !row.is_ended() {
            return Ok(Err(Declined::NotNow(format!("bake {id} is still under way ({})", row.state))));
        }
        if row.state == "succeeded" {
            let word = format!("bake {id} succeeded; `imagebaked bake {}` makes another image", row.schedule);
            return Ok(Err(Declined::NotNow(word)));
        }
        let rows = self.planner.manual(&row.schedule_id, now).unwrap_or_default();
        let Some(row) = rows.into_iter().find(|new| new.instance_id.as_str() == row.instance_id) else {
            let word = format!("{} on {} is no longer in the configuration", row.schedule, row.instance_id);
            return Ok(Err(Declined::NotFound(word)));
        };
        let asked = ManualBake { row, who, retry_of: Some(id) };
        let ids = self.store.record_manual(&[asked], &self.config_hash, now).await?;
        Ok(ids.first().copied().ok_or_else(|| no_bake(id)))
    }

    async fn cancel(&mut self, id: BakeId, who: &str) -> Result<Result<(), Declined>, StoreError> {
        let now = self.clock.now();
        // One with a call under way is in memory as of its last commit, which is what the database says, too.
        let Some(bake) = self.store.bake(id).await? else { return Ok(Err(no_bake(id))) };
        if let Some(why) = bake.state.cannot_be_cancelled() {
            return Ok(Err(Declined::NotNow(format!("bake {id} cannot be cancelled: {why}"))));
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
    ) -> Result<Result<(), Declined>, StoreError> {
        let now = self.clock.now();
        let Some(schedule_id) = self.planner.find(schedule) else { return Ok(Err(self.no_schedule(schedule))) };
        if until.is_some_and(|until| until <= now) {
            return Ok(Err(Declined::NotNow("the pause would be over already".to_owned())));
        }
        // Slots up to this moment are not paused yet.
        self.planner.plan(&self.store, now).await?;
        self.store.pause(&Pause { schedule_id, since: now, until, reason, who }).await?;
        self.planner.set_pauses(self.store.reader().pauses().await?);
        self.shown = false;
        Ok(Ok(()))
    }

    async fn resume(&mut self, schedule: &str, who: &str) -> Result<Result<(), Declined>, StoreError> {
        let now = self.clock.now();
        let Some(schedule_id) = self.planner.find(schedule) else { return Ok(Err(self.no_schedule(schedule))) };
        if !self.planner.is_paused(&schedule_id, now) {
            let word = format!("{schedule} is not paused; `paused = true` in the file is resumed there");
            return Ok(Err(Declined::NotNow(word)));
        }
        // Slots up to this moment were paused.
        self.planner.plan(&self.store, now).await?;
        self.store.resume(&schedule_id, who, "resumed", now).await?;
        self.planner.set_pauses(self.store.reader().pauses().await?);
        self.shown = false;
        Ok(Ok(()))
    }

    /// Schedules that keep failing for good are paused, before they use up another night.
    async fn pause_the_hopeless(&mut self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let limit = self.limits.pause_after_failures;
        if limit == 0 {
            return Ok(());
        }
        for (schedule_id, failures) in self.store.too_many_failures(limit).await? {
            let reason = format!(
                "its bakes failed for good {failures} times in a row; mend the cause, then `imagebaked resume {schedule_id}`"
            );
            tracing::error!(schedule = %schedule_id, reason, "schedule {schedule_id} is paused: {reason}");
            self.planner.plan(&self.store, now).await?;
            let pause = Pause { schedule_id, since: now, until: None, reason, who: ITSELF.to_owned() };
            self.store.pause(&pause).await?;
            self.planner.set_pauses(self.store.reader().pauses().await?);
            self.shown = false;
        }
        Ok(())
    }

    async fn adopt(&mut self, config: &Config) -> Result<(), StoreError> {
        let now = self.clock.now();
        // Slots due until this moment belong to the rules that were in force.
        self.planner.plan(&self.store, now).await?;
        self.planner = Planner::adopt(&shared(config), &config.hash, &self.store, now).await?;
        self.pace = pace(config);
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
        let was_set_back = now < self.last_turn - STEP_BACK;
        if let Some(hold) = &mut self.hold {
            // A clock that was set back must not put the probe off.
            hold.next_probe = hold.next_probe.min(now + HOLD_PROBE);
        }
        self.last_turn = now;
        match self.try_turn(now, was_set_back).await {
            Ok(changed) => self.show(None, changed),
            Err(error) => self.store_failed(&error, now),
        }
    }

    async fn try_turn(&mut self, now: DateTime<Utc>, was_set_back: bool) -> Result<bool, StoreError> {
        if was_set_back {
            // What waits for an instant of the old clock would wait as long as the step.
            self.store.hasten(now, now).await?;
        }
        let mut changed = self.planner.plan(&self.store, now).await? > 0;
        loop {
            let due = self.store.due(now).await?;
            let mut steps = self.step_due(due, now);
            if self.admitting {
                let expired = self.store.overdue_queued(now).await?;
                for DueBake { bake, .. } in expired {
                    let held =
                        self.hold.as_ref().map(|hold| Event::Held { why: format!("credentials: {}", hold.message) });
                    steps.push(self.take(bake, held.unwrap_or(Event::Due), now));
                }
                steps.extend(self.admit(now).await?);
            }
            if steps.is_empty() {
                break;
            }
            changed = true;
            self.commit(steps, now).await?;
        }
        let next = [self.planner.next_at(), self.store.next_wake(now).await?, self.hold_ends()];
        self.quiet_until = next.into_iter().flatten().min();
        Ok(changed)
    }

    fn step_due(&mut self, due: Vec<DueBake>, now: DateTime<Utc>) -> Vec<Step> {
        let mut steps = Vec::new();
        for DueBake { bake, .. } in due {
            if self.in_flight.contains_key(&bake.id) {
                continue;
            }
            let begins_something = matches!(bake.state, State::Ready { .. } | State::Preparing { .. });
            if begins_something && (!self.admitting || !self.may_call(now)) {
                continue;
            }
            if matches!(bake.state, State::Finishing { .. }) && !self.admitting {
                continue;
            }
            steps.push(self.take(bake, Event::Due, now));
        }
        steps
    }

    async fn admit(&mut self, now: DateTime<Utc>) -> Result<Vec<Step>, StoreError> {
        let mut busy = self.store.busy_builders().await?;
        let mut free = self.limits.builders.saturating_sub(busy.values().sum());
        if self.hold.is_some() {
            free = free.min(1);
        }
        if free == 0 {
            return Ok(Vec::new());
        }
        let room = self.limits.builders_per_region;
        let full: Vec<&str> = busy.iter().filter(|(_, n)| **n >= room).map(|(region, _)| region.as_str()).collect();
        let queued = self.store.next_queued(now, free, &full).await?;
        // Asked only where something would be begun: the probe of a held daemon must not be spent on nothing.
        if queued.is_empty() || !self.may_call(now) {
            return Ok(Vec::new());
        }
        let mut given: HashMap<LineId, u32> = HashMap::new();
        let mut steps = Vec::new();
        for DueBake { bake, last_version } in queued {
            let in_region = busy.entry(bake.settings.instance_region.clone()).or_default();
            if *in_region >= room {
                // Filled up by this very turn; the next round asks without the region.
                continue;
            }
            *in_region += 1;
            // Two instances of one turn may share a line, if the ids are so chosen; versions must still differ.
            let version = given.get(&bake.line).copied().unwrap_or(last_version).saturating_add(1);
            // One that comes back from a wait has its version already.
            if bake.state.work().is_none() {
                given.insert(bake.line.clone(), version);
            }
            steps.push(self.take(bake, Event::Admitted { version }, now));
        }
        Ok(steps)
    }

    /// Whether a call that begins something may go out: always, but for one probe a minute while credentials are refused.
    fn may_call(&mut self, now: DateTime<Utc>) -> bool {
        match &mut self.hold {
            None => true,
            Some(hold) if now >= hold.next_probe => {
                hold.next_probe = now + HOLD_PROBE;
                true
            }
            Some(_) => false,
        }
    }

    fn hold_ends(&self) -> Option<DateTime<Utc>> {
        self.hold.as_ref().map(|hold| hold.next_probe)
    }

    fn take(&mut self, mut bake: Bake, event: Event, now: DateTime<Utc>) -> Step {
        let (state, effect) = step(&bake, event, now, &self.pace, &mut self.rng);
        let before = std::mem::replace(&mut bake.state, state);
        Step { bake, before, effect, attempt: None }
    }

    /// Commits, then lets the effects happen.
    async fn commit(&mut self, steps: Vec<Step>, now: DateTime<Utc>) -> Result<(), StoreError> {
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
        self.store.commit(&transitions, now).await?;
        for step in steps {
            step.log();
            if step.bake.state.is_ended() {
                self.cried.remove(&step.bake.id);
            }
            match step.effect {
                // A hook that would be cut off by the end of the daemon is left to the next start.
                Effect::Call(Call::RunHook(_)) if !self.admitting => {}
                Effect::Call(call) => self.send(step.bake, call),
                Effect::Wait(_) | Effect::Done => {}
            }
        }
        if failed {
            self.pause_the_hopeless(now).await?;
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
        let details = calls::Details { description, owner: self.pace.owner.clone(), lines };
        let folder = Arc::clone(&self.folder);
        let task = async move { calls::perform(&cloud, &*clock, call, &instance, &settings, details, &folder).await };
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
        if let Err(error) = self.commit(steps, now).await {
            // The answers are lost, but every intent is committed: those bakes are looked up like after a crash.
            self.store_failed(&error, now);
            return;
        }
        // The turn below may find nothing more to do, and who waits for a bake's end must hear of it all the same.
        self.show(None, true);
        self.turn().await;
    }

    fn answered(&mut self, joined: Result<(Id, Finished), tokio::task::JoinError>, now: DateTime<Utc>) -> Option<Step> {
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
        if !self.admitting && matches!(&finished.answer, Answer::Hook(outcome) if !outcome.is_ok()) {
            // Who stops the daemon may have stopped the hook with it: it is asked again at the next start.
            return None;
        }
        self.judge_credentials(&finished, now);
        let mut step = self.take(bake, Event::Answered(finished.answer.clone()), now);
        step.attempt = finished.attempt(&step.before, &step.bake.state);
        step.log_hook(&finished.answer);
        self.cry(&step.bake, &finished.answer, now);
        Some(step)
    }

    /// An instance that cannot be started again is nothing to be quiet about, and nothing to fill the log with either.
    fn cry(&mut self, bake: &Bake, answer: &Answer, now: DateTime<Utc>) {
        let State::Starting { since, trouble, .. } = &bake.state else { return };
        let is_late = since.is_none_or(|since| now - since >= START_TAKES);
        let said = self.cried.get(&bake.id).is_some_and(|at| now - *at < CRY_AGAIN && now >= *at);
        if said || !(is_late || matches!(answer, Answer::Refused(_))) {
            return;
        }
        self.cried.insert(bake.id, now);
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
    async fn tell_what_is_left_stopped(&self) {
        match self.store.reader().owed_starts().await {
            Ok(owed) => {
                for OwedStart { bake, schedule, instance, .. } in owed {
                    tracing::warn!(
                        bake = bake.0,
                        schedule,
                        instance = instance.as_str(),
                        "instance {instance} is stopped for bake {bake} of {schedule}; the next start of the daemon \
                         starts it again once its image is made"
                    );
                }
            }
            Err(error) => tracing::error!(error = crate::error::chain(&error), "what is left stopped cannot be told"),
        }
    }

    fn judge_credentials(&mut self, finished: &Finished, now: DateTime<Utc>) {
        match &finished.answer {
            Answer::Refused(refusal) if refusal.class == Class::Credential => {
                let message = format!("{refusal} ({})", refusal.advice);
                if self.hold.is_none() {
                    tracing::error!(reason = %message, "credentials rejected: every schedule is suspended until the cloud accepts them");
                }
                let since = self.hold.as_ref().map_or(now, |hold| hold.since);
                self.hold = Some(Hold { since, message, next_probe: now + HOLD_PROBE });
            }
            // Not every refusal comes after the signature was checked, and a hook has nothing to do with it.
            Answer::Refused(_) | Answer::Hook(_) => {}
            _ => {
                if let Some(hold) = self.hold.take() {
                    tracing::info!(since = %hold.since, "credentials accepted again: no schedule is suspended");
                }
            }
        }
    }

    fn store_failed(&mut self, error: &StoreError, now: DateTime<Utc>) {
        let text = crate::error::chain(error);
        tracing::error!(error = %text, "the ledger cannot be used; nothing new is begun until it can");
        self.quiet_until = TimeDelta::from_std(STORE_PAUSE).ok().map(|pause| now + pause);
        self.show(Some(text), true);
    }

    fn show(&mut self, store_error: Option<String>, changed: bool) {
        let last_turn = self.last_turn;
        self.publish.send_modify(|status| {
            status.store_error_since = store_error.as_ref().map(|_| status.store_error_since.unwrap_or(last_turn));
            status.store_error = store_error;
            status.changes += u64::from(changed);
            status.hold.clone_from(&self.hold);
            let renewed = status.config_hash != self.config_hash || !self.shown;
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
        self.shown = true;
    }
}

fn no_bake(id: BakeId) -> Declined {
    Declined::NotFound(format!("there is no bake {id}; see `imagebaked history`"))
}

/// A bake with its new state, before it is committed.
struct Step {
    bake: Bake,
    before: State,
    effect: Effect,
    attempt: Option<Attempt>,
}

impl Step {
    /// A hook that failed where that changes nothing is at least told.
    fn log_hook(&self, answer: &Answer) {
        let (State::Finishing { .. }, Answer::Hook(outcome)) = (&self.before, answer) else { return };
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
        // A wait for connected users is told once, however often it is looked at.
        if before.as_str() == state.as_str() || before.waiting().is_some() && state.waiting().is_some() {
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
            State::Queued { kept: Some(Kept { waiting, .. }), .. } => {
                let reason = waiting.why.as_str();
                tracing::info!(bake, schedule, instance, reason, "bake {bake} of {schedule} {reason}");
            }
            State::Ready { waits_for: Some(waits_for), .. } => {
                tracing::warn!(
                    bake,
                    schedule,
                    instance,
                    reason = waits_for,
                    "bake {bake} of {schedule} tries again later: {waits_for}"
                );
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

fn pace(config: &Config) -> Pace {
    Pace {
        poll_interval: config.cloud.poll_interval,
        lookup_window: config.cloud.lookup_window,
        owner: config.daemon.owner.clone(),
    }
}
