//! Standing problems: found at every status and at every tick, compared with the stored ones, and committed with their
//! events. All outputs show the result of the last comparison.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::{context::DaemonContext, engine::EngineStatus, health::Found, reload::Files, standing::Standing};
use crate::{
    adapters::{control::Reply, store::StoreError},
    domain::{
        error::chain,
        health::{
            Acknowledgement, Health, Problem, ProblemCode, ReportedProblem,
            standing::{self, compare},
        },
        time::{rfc3339_seconds, show},
    },
};

/// Minimum time between two comparisons of the tick.
const SHORTEST_PAUSE: Duration = Duration::from_secs(2);
/// Maximum time after that without a change: problems begin and end with time alone.
const LONGEST_PAUSE: Duration = Duration::from_secs(13);

/// Result of a comparison.
#[derive(Debug)]
pub(super) struct Judgement {
    /// The verdict.
    pub health: Health,
    /// Lines without a finished slot, and so without an image.
    pub no_image_yet: u64,
}

impl DaemonContext {
    /// Finds all problems and commits what has changed. While the history cannot be written, the changes are committed
    /// later.
    pub(super) async fn judge(
        &self,
        engine: &EngineStatus,
        files: Files,
        now: DateTime<Utc>,
    ) -> Result<Judgement, StoreError> {
        let mut standing = self.standing.lock().await;
        let Found { problems, no_image_yet } = self.find_problems(engine, files, now).await?;
        let reported = self.compare_problems(&mut standing, problems, now).await?;
        Ok(Judgement { health: Health::of_reported(reported), no_image_yet })
    }

    /// The same, with the facts of now.
    async fn judge_now(&self) -> Result<Judgement, StoreError> {
        let engine = self.engine.borrow().clone();
        self.judge(&engine, self.compare_files(), self.clock.now()).await
    }

    async fn compare_problems(
        &self,
        standing: &mut Standing,
        found: Vec<Problem>,
        now: DateTime<Utc>,
    ) -> Result<Vec<ReportedProblem>, StoreError> {
        let known = match standing.committed.take() {
            Some(known) => known,
            None => self.store.reader().standing_problems().await?,
        };
        let (reported, changes) = compare(&known, found, standing.compared_at, now);
        let committed = if changes.is_empty() { Ok(()) } else { self.store.commit_problems(&changes, now).await };
        match committed {
            Ok(()) => {
                standing.committed = Some(reported.clone());
                standing.compared_at = Some(now);
            }
            Err(error) => {
                standing.committed = Some(known);
                tracing::debug!(error = chain(&error), "changes of problems are not in the history yet");
            }
        }
        Ok(reported)
    }

    /// Acknowledges a standing problem, or ends its acknowledgement if `reason` is `None`.
    pub(super) async fn acknowledge(
        &self,
        code: ProblemCode,
        subject: Option<&str>,
        reason: Option<(String, Option<DateTime<Utc>>)>,
        who: String,
    ) -> Reply {
        let now = self.clock.now();
        if reason.as_ref().is_some_and(|(_, until)| until.is_some_and(|until| until <= now)) {
            return Reply::Failed { message: "that time has passed already; `--until` takes a later one".to_owned() };
        }
        // What is asked about may have begun just now.
        if let Err(error) = self.judge_now().await {
            return Reply::Failed { message: chain(&error) };
        }
        let mut standing = self.standing.lock().await;
        let known = standing.committed.as_deref_mut().unwrap_or_default();
        let problem = match standing::find(known, code, subject) {
            Ok(found) => found.problem.clone(),
            Err(not_meant) => return Reply::NotFound { message: not_meant.to_string() },
        };
        let made = reason.map(|(reason, until)| Acknowledgement {
            by: who.clone(),
            at: rfc3339_seconds(now),
            until: until.map(rfc3339_seconds),
            reason,
        });
        if let Err(error) = self.store.acknowledge_problem(&problem, made.as_ref(), &who, now).await {
            return Reply::Failed { message: chain(&error) };
        }
        let of = format!("{} of {}", code.as_str(), problem.subject);
        let sentence = match &made {
            None => format!("{of} counts again: {}.", problem.message),
            Some(Acknowledgement { until: None, .. }) => {
                format!("{of} is acknowledged until it ends or its severity rises: {}.", problem.message)
            }
            Some(Acknowledgement { until: Some(until), .. }) => {
                let until = until.parse().map_or_else(|_| until.clone(), |at| show(at, self.zone()));
                format!(
                    "{of} is acknowledged until {until}, or until it ends or its severity rises: {}.",
                    problem.message
                )
            }
        };
        let same = |one: &&mut ReportedProblem| one.problem.code == code && one.problem.subject == problem.subject;
        if let Some(one) = known.iter_mut().find(same) {
            one.acknowledged = made;
        }
        Reply::CommandOutput { sentences: vec![sentence] }
    }
}

/// Compares after changes and from time to time, until `stop`.
pub async fn run(shared: Arc<DaemonContext>, stop: CancellationToken) {
    let mut seen = shared.changes();
    loop {
        if let Err(error) = shared.judge_now().await {
            tracing::debug!(error = chain(&error), "problems cannot be found while the history cannot be read");
        }
        let changed = async {
            tokio::time::sleep(SHORTEST_PAUSE).await;
            shared.changed_within(seen, LONGEST_PAUSE).await
        };
        let Some(count) = stop.run_until_cancelled(changed).await.flatten() else { return };
        seen = count;
    }
}
