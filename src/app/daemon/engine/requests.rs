//! Requests of commands and other tasks, handled between two turns.

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

use super::{
    Engine,
    comparison::{HistoryAge, NotCompared},
    limits, pace, shared,
};
use crate::{
    adapters::{
        config::{self, Config},
        control::{BakeSelection, Reply},
        store::{BakeRow, Filter, ITSELF, ManualBake, NewImage, StoreError},
    },
    app::daemon::planner::{NotSelected, Planner},
    domain::{
        bake::{
            State,
            event::{Event, PollPolicy},
        },
        error::chain,
        event::{Action, AuditLine},
        health::{Subject, SubjectKind},
        ids::BakeId,
        image::{reconcile::Comparison, report::Adopted},
        pause::Pause,
    },
};

/// So many open bakes are named to whoever names a wrong one.
const NAMED: u32 = 5;

/// Requests of commands and other tasks.
#[derive(Debug)]
pub enum EngineRequest {
    /// Bake now; returns the numbers of the bakes.
    Bake {
        /// What.
        selection: BakeSelection,
        /// Requester, for the audit.
        who: String,
        /// Receiver of the response.
        reply: oneshot::Sender<Result<Vec<BakeId>, RequestError>>,
    },
    /// Apply this configuration; running bakes end with their former settings.
    ApplyConfig {
        /// The configuration.
        config: Box<Config>,
        /// Receiver of the response.
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    /// Apply a comparison with the cloud. Between two turns, so that no version is assigned meanwhile.
    Rebuild {
        /// The comparison.
        found: Comparison,
        /// Requester, for the audit.
        who: String,
        /// Receiver of the response.
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    /// Adopt images. Between two turns, so that no version is assigned meanwhile.
    AdoptImages {
        /// The images and their line.
        images: Vec<NewImage>,
        /// Report the result without a change.
        dry_run: bool,
        /// Requester, for the audit.
        who: String,
        /// Receiver of the response.
        reply: oneshot::Sender<Result<Vec<Adopted>, RequestError>>,
    },
    /// Repeat a bake that ended without an image.
    Retry {
        /// Number of the bake.
        bake: BakeId,
        /// Requester, for the audit.
        who: String,
        /// Receiver of the response.
        reply: oneshot::Sender<Result<BakeId, RequestError>>,
    },
    /// Cancel a bake.
    Cancel {
        /// Number of the bake.
        bake: BakeId,
        /// Requester, for the audit.
        who: String,
        /// Receiver of the response.
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    /// Pause a schedule.
    Pause {
        /// Name or id of the schedule.
        schedule: String,
        /// End; `None`: until it is resumed.
        until: Option<DateTime<Utc>>,
        /// The person's reason.
        reason: String,
        /// The person, for the audit.
        who: String,
        /// Receiver of the response.
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    /// Resume a schedule.
    Resume {
        /// Name or id of the schedule.
        schedule: String,
        /// The person, for the audit.
        who: String,
        /// Receiver of the response.
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    /// Result of the comparison with the cloud at the start.
    Compared {
        /// What it showed, or why it failed; it is repeated then.
        outcome: Result<HistoryAge, NotCompared>,
    },
    /// The cloud accepted credentials that were read again.
    CredentialsAccepted,
    /// Images were deleted: their quota may have room.
    ImagesDeleted,
    /// Process what is due; sent at the start.
    Tick,
}

impl From<NotSelected> for RequestError {
    fn from(error: NotSelected) -> Self {
        match error {
            NotSelected::Unknown(message) => Self::NotFound(message),
            NotSelected::Ambiguous(message) => Self::Conflict(message),
            error @ NotSelected::TooMany { .. } => Self::Conflict(error.to_string()),
        }
    }
}

/// Why a request failed, or its result is unknown.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Unknown schedule or bake.
    #[error("{0}")]
    NotFound(String),
    /// The state of the object does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// The history cannot be used.
    #[error(transparent)]
    History(#[from] StoreError),
    /// The engine has ended and did not accept the request.
    #[error("the daemon is stopping; nothing was done")]
    Stopping,
    /// The engine accepted the request and ended before its response.
    #[error(
        "the daemon took the request and ended before it confirmed it; see `imagebaked history` and `imagebaked audit`"
    )]
    Unconfirmed,
}

impl RequestError {
    /// Reply to the command.
    pub fn to_reply(&self) -> Reply {
        let message = chain(self);
        match self {
            Self::NotFound(_) => Reply::NotFound { message },
            Self::Conflict(_) | Self::History(_) => Reply::Failed { message },
            Self::Stopping => Reply::Stopping,
            Self::Unconfirmed => Reply::Unconfirmed { message },
        }
    }
}

impl Engine {
    /// A request that changes the published status is answered after the turn that publishes it, so that a later status
    /// shows the change.
    pub(super) async fn handle(&mut self, order: EngineRequest) {
        if let Some(error) = self.store.replaced().filter(|_| !matches!(order, EngineRequest::Tick)) {
            self.lose_history(&error, self.clock.now());
            return order.refuse(error);
        }
        match order {
            EngineRequest::Tick => self.tick().await,
            EngineRequest::ImagesDeleted => {
                self.images_deleted(self.clock.now());
                self.turn().await;
            }
            EngineRequest::CredentialsAccepted => {
                self.credentials_accepted();
                self.turn().await;
            }
            EngineRequest::Compared { outcome } => {
                self.take_comparison(outcome);
                self.turn().await;
            }
            EngineRequest::Bake { selection, who, reply } => {
                // Answered after the turn, so that the client can ask why a bake does not begin. A dropped receiver means that
                // the client has gone; the bake remains.
                let outcome = self.record_manual(&selection, who).await;
                self.turn().await;
                let _ = reply.send(outcome);
            }
            EngineRequest::Rebuild { found, who, reply } => {
                let rebuilt = self.store.rebuild(&found, &who, &self.config_hash, self.clock.now()).await;
                let _ = reply.send(rebuilt.map_err(RequestError::from));
                self.turn().await;
            }
            EngineRequest::AdoptImages { images, dry_run, who, reply } => {
                let adopted = self.store.adopt_images(images, dry_run, &who, self.clock.now()).await;
                let _ = reply.send(adopted.map_err(RequestError::from));
                self.turn().await;
            }
            EngineRequest::Retry { bake, who, reply } => {
                let outcome = self.retry(bake, who).await;
                self.turn().await;
                let _ = reply.send(outcome);
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
            EngineRequest::ApplyConfig { config, reply } => {
                let outcome = self.apply_config(&config).await.map_err(RequestError::from);
                self.turn().await;
                let _ = reply.send(outcome);
            }
        }
    }

    pub(super) fn no_schedule(&self, wanted: &str) -> RequestError {
        RequestError::NotFound(config::no_schedule(wanted, self.planner.schedule_words()))
    }

    /// Nobody asks in vain for what observe mode does not do.
    fn refuse_to_observe(&self) -> Result<(), RequestError> {
        if self.cloud.mode().is_observe() {
            let word = "the daemon only observes: nothing is baked until [daemon] mode is \"act\" and it is restarted";
            return Err(RequestError::Conflict(word.to_owned()));
        }
        Ok(())
    }

    pub(super) async fn record_manual(
        &mut self,
        selection: &BakeSelection,
        who: String,
    ) -> Result<Vec<BakeId>, RequestError> {
        self.refuse_to_observe()?;
        let now = self.clock.now();
        let rows = self.planner.manual(selection, now)?;
        let asked: Vec<_> = rows.into_iter().map(|row| ManualBake { row, who: who.clone(), retry_of: None }).collect();
        Ok(self.store.record_manual(&asked, &self.config_hash, now).await?)
    }

    pub(super) async fn retry(&mut self, id: BakeId, who: String) -> Result<BakeId, RequestError> {
        let now = self.clock.now();
        let Some(row) = self.store.reader().bake(id).await? else { return Err(no_bake(id)) };
        if !row.is_ended() {
            return Err(RequestError::Conflict(format!("bake {id} is still running ({})", row.state)));
        }
        self.refuse_to_observe()?;
        if row.state == "succeeded" {
            let word = format!("bake {id} succeeded; `imagebaked bake {}` makes another image", row.schedule);
            return Err(RequestError::Conflict(word));
        }
        let selection = BakeSelection {
            schedules: vec![row.schedule_id.clone()],
            instances: vec![row.instance_id.as_str().into()],
            all: false,
        };
        let Some(row) = self.planner.manual(&selection, now).ok().and_then(|rows| rows.into_iter().next()) else {
            let word = format!("{} on {} is no longer in the configuration", row.schedule, row.instance_id);
            return Err(RequestError::NotFound(word));
        };
        let asked = ManualBake { row, who, retry_of: Some(id) };
        let ids = self.store.record_manual(&[asked], &self.config_hash, now).await?;
        ids.first().copied().ok_or_else(|| no_bake(id))
    }

    pub(super) async fn cancel(&mut self, id: BakeId, who: &str) -> Result<(), RequestError> {
        let now = self.clock.now();
        // A bake with a call in flight is in memory as of its last commit, like in the database.
        let Some(bake) = self.store.bake(id).await? else {
            let open = self.open_bakes(None).await?;
            return Err(RequestError::NotFound(format!("there is no bake {id}; {}", which_open(&open))));
        };
        if let Some(why) = bake.state.cannot_be_cancelled() {
            let mut message = format!("bake {id} cannot be cancelled: {why}");
            if bake.state.is_ended() {
                let open = self.open_bakes(Some(bake.schedule_id.to_string())).await?;
                message.push_str(&format!("; of {}, {}", bake.schedule, which_open(&open)));
            }
            return Err(RequestError::Conflict(message));
        }
        // A later response is ignored. A hook is killed: the end hooks follow.
        if let Some((bake, call)) = self.in_flight.remove(&id) {
            self.call_of.remove(&call.id());
            if matches!(bake.state, State::Preparing { .. }) {
                call.abort();
            }
        }
        let subject = Subject::new(SubjectKind::Bake, id.to_string());
        let detail = format!("bake {id} of {}", bake.schedule);
        self.store.note(&AuditLine { at: now, who, action: Action::Cancel, subject, detail }).await?;
        let step = self.take(bake, Event::Cancelled { by: who.to_owned() }, now);
        Ok(self.commit(vec![step], now).await?)
    }

    /// The newest open bakes, of one schedule or of all.
    async fn open_bakes(&self, schedule: Option<String>) -> Result<Vec<BakeRow>, RequestError> {
        let states = ["queued"].iter().chain(&State::RUNNING_WORDS).map(|&word| word.to_owned()).collect();
        let filter = Filter { schedule, states, limit: NAMED + 1, ..Filter::default() };
        Ok(self.store.reader().history(&filter).await?)
    }

    pub(super) async fn pause(
        &mut self,
        schedule: &str,
        until: Option<DateTime<Utc>>,
        reason: String,
        who: String,
    ) -> Result<(), RequestError> {
        let now = self.clock.now();
        let Some(schedule_id) = self.planner.find(schedule) else { return Err(self.no_schedule(schedule)) };
        if until.is_some_and(|until| until <= now) {
            return Err(RequestError::Conflict("the pause would be over already".to_owned()));
        }
        // Slots up to now are not paused yet.
        self.plan(now).await?;
        let zone = self.planner.zone_of(&schedule_id);
        self.store.pause(&Pause { schedule_id, since: now, until, reason, who }, zone).await?;
        self.planner.set_pauses(self.store.reader().pauses().await?);
        self.status_published = false;
        Ok(())
    }

    pub(super) async fn resume(&mut self, schedule: &str, who: &str) -> Result<(), RequestError> {
        let now = self.clock.now();
        let Some(schedule_id) = self.planner.find(schedule) else { return Err(self.no_schedule(schedule)) };
        if !self.planner.is_paused(&schedule_id, now) {
            let word =
                format!("{schedule} is not paused by a command; a pause in the file (`paused = true`) is ended there");
            return Err(RequestError::Conflict(word));
        }
        // Slots up to now were paused.
        self.plan(now).await?;
        self.store.resume(&schedule_id, who, "resumed", now).await?;
        self.planner.set_pauses(self.store.reader().pauses().await?);
        self.status_published = false;
        Ok(())
    }

    /// Pauses schedules with repeated permanent failures.
    pub(super) async fn auto_pause_failing_schedules(&mut self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let limit = self.limits.pause_after_failures;
        if limit == 0 {
            return Ok(());
        }
        for (schedule_id, failures) in self.store.too_many_failures(limit).await? {
            let reason = format!(
                "its bakes failed permanently {failures} times in a row; fix the cause, then `imagebaked resume {schedule_id}`"
            );
            self.plan(now).await?;
            let zone = self.planner.zone_of(&schedule_id);
            let pause = Pause { schedule_id, since: now, until: None, reason, who: ITSELF.to_owned() };
            self.store.pause(&pause, zone).await?;
            self.planner.set_pauses(self.store.reader().pauses().await?);
            self.status_published = false;
        }
        Ok(())
    }

    /// Resumes a schedule that was paused for its failures and has had a good image since, usually by hand.
    pub(super) async fn resume_recovered_schedules(&mut self, now: DateTime<Utc>) -> Result<(), StoreError> {
        for schedule_id in self.store.recovered_schedules().await? {
            // Slots up to now were paused.
            self.plan(now).await?;
            self.store.resume(&schedule_id, ITSELF, "a bake of it succeeded", now).await?;
            self.planner.set_pauses(self.store.reader().pauses().await?);
            self.status_published = false;
        }
        Ok(())
    }

    pub(super) async fn apply_config(&mut self, config: &Config) -> Result<(), StoreError> {
        let now = self.clock.now();
        // Slots due until now belong to the former rules.
        self.plan(now).await?;
        self.planner =
            Planner::adopt(&shared(config), &config.hash, &self.store, self.cloud.mode(), self.bake_time(now)).await?;
        if self.cloud.clocks().agreed().is_ok() {
            self.planner.clock_confirmed();
        }
        let PollPolicy { search_until, gmt_offset, .. } = self.pace;
        self.pace = PollPolicy { search_until, gmt_offset, ..pace(config) };
        self.limits = limits(config);
        self.config_hash.clone_from(&config.hash);
        if let Some(suspension) = &mut self.suspension {
            // The credentials may have been fixed: the next probe is sent at once.
            suspension.next_probe = now;
        }
        Ok(())
    }
}

impl EngineRequest {
    /// Error for a history that cannot be used.
    fn refuse(self, error: StoreError) {
        let error = RequestError::History(error);
        match self {
            Self::Bake { reply, .. } => drop(reply.send(Err(error))),
            Self::Retry { reply, .. } => drop(reply.send(Err(error))),
            Self::AdoptImages { reply, .. } => drop(reply.send(Err(error))),
            Self::ApplyConfig { reply, .. }
            | Self::Rebuild { reply, .. }
            | Self::Cancel { reply, .. }
            | Self::Pause { reply, .. }
            | Self::Resume { reply, .. } => drop(reply.send(Err(error))),
            Self::Compared { .. } | Self::CredentialsAccepted | Self::ImagesDeleted | Self::Tick => {}
        }
    }
}

/// Which bakes can be meant instead.
fn which_open(open: &[BakeRow]) -> String {
    let named: Vec<String> = open
        .iter()
        .take(NAMED as usize)
        .map(|row| format!("{} ({}, {}, on {})", row.id, row.schedule, row.state, row.instance_id))
        .collect();
    match open.len() {
        0 => "no bake is open".to_owned(),
        1 => format!("bake {} is open", named.concat()),
        n if n > named.len() => format!("bakes {} and others are open", named.join(", ")),
        _ => format!("bakes {} are open", named.join(", ")),
    }
}

fn no_bake(id: BakeId) -> RequestError {
    RequestError::NotFound(format!("there is no bake {id}; see `imagebaked history`"))
}
