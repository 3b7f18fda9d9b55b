//! Verification task: runs the `verify` hooks, a few images at a time.
//!
//! The result is stored when a check ends, so that one that the end of the daemon interrupts is repeated.

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream::FuturesUnordered};

use super::task_driver::{ImageTask, TaskRun};
use crate::{
    adapters::{
        failpoint, hooks,
        store::{Attempt, CheckResult, DueCheck, StoreError},
    },
    app::daemon::context::DaemonContext,
    domain::{
        bake::{Bake, State, hook_environment::environment},
        hooks::{HookOutcome, HookResult, Moment},
        ids::ImageId,
        time::show_utc,
    },
};

/// Number of concurrent checks.
const AT_ONCE: usize = 2;
/// Maximum number of attempts of a check that cannot run.
const MOST_TRIES: u32 = 3;
/// Interval of polling for further checks while some run.
const TICK_INTERVAL: Duration = Duration::from_secs(1);

/// Runs the `verify` hooks that are due.
#[derive(Debug)]
pub(super) struct VerifyTask;

impl ImageTask for VerifyTask {
    fn name(&self) -> &'static str {
        "verify"
    }

    fn complaint(&self) -> &'static str {
        "images are not checked"
    }

    fn run_once<'a>(&'a mut self, shared: &'a DaemonContext, _: DateTime<Utc>) -> TaskRun<'a> {
        Box::pin(check_due(shared))
    }
}

/// Runs checks until none is due.
async fn check_due(shared: &DaemonContext) -> Result<Option<DateTime<Utc>>, StoreError> {
    let mut at_work = FuturesUnordered::new();
    let mut images: HashSet<ImageId> = HashSet::new();
    loop {
        if at_work.len() < AT_ONCE {
            let mut due = shared.store.due_checks(shared.clock.now()).await?;
            due.retain(|check| !images.contains(&check.image_id));
            for check in due.into_iter().take(AT_ONCE - at_work.len()) {
                images.insert(check.image_id.clone());
                at_work.push(async move { one(shared, &check).await.map(|()| check.image_id) });
            }
        }
        if at_work.is_empty() {
            return shared.store.next_check().await;
        }
        if let Ok(Some(done)) = tokio::time::timeout(TICK_INTERVAL, at_work.next()).await {
            images.remove(&done?);
        }
    }
}

/// Checks one image and stores the result.
async fn one(shared: &DaemonContext, check: &DueCheck) -> Result<(), StoreError> {
    let bake = match check.bake {
        Some(bake) => shared.store.bake(bake).await?,
        None => None,
    };
    let (outcome, attempts) = match &bake {
        Some(bake) => hooks_of(shared, bake).await,
        None => (Err("the bake that it belongs to is not in the history".to_owned()), Vec::new()),
    };
    let now = shared.clock.now();
    let result = match outcome {
        Ok(VerifyResult::Good) => CheckResult::Passed,
        Ok(VerifyResult::Bad(why)) => CheckResult::Failed { why: format!("its check failed: {why}") },
        Ok(VerifyResult::Mishap(_)) if check.tries < MOST_TRIES => {
            CheckResult::Again { at: now + pause(shared, check.tries) }
        }
        Ok(VerifyResult::Mishap(why)) => {
            CheckResult::Failed { why: format!("its check could not be made in {} tries: {why}", check.tries + 1) }
        }
        Err(why) => CheckResult::Failed { why: format!("its check could not be made: {why}") },
    };
    shared.store.end_check(check, &result, &attempts, now).await?;
    shared.activate();
    let (image, line, version) = (check.image_id.as_str(), check.line.as_str(), check.version);
    match &result {
        // Both are events.
        CheckResult::Passed | CheckResult::Failed { .. } => {}
        CheckResult::Again { at } => {
            let last = attempts.last().and_then(|attempt| attempt.message.as_deref()).unwrap_or_default();
            let at = show_utc(*at);
            tracing::warn!(image, line, "v{version} of {line}, {image}, could not be checked; again at {at}: {last}");
        }
    }
    Ok(())
}

/// Result of the hooks for an image.
enum VerifyResult {
    Good,
    Bad(String),
    Mishap(String),
}

/// Runs the hooks first to last, up to the first that rejects the image.
async fn hooks_of(shared: &DaemonContext, bake: &Bake) -> (Result<VerifyResult, String>, Vec<Attempt>) {
    let State::Ended { work: Some(work), end } = &bake.state else {
        return (Err("the bake that it belongs to has not ended".to_owned()), Vec::new());
    };
    let config = shared.config();
    let mut attempts = Vec::new();
    for (index, command) in bake.settings.hooks.verify.iter().enumerate() {
        let variables = environment(bake, work, Some(end), Moment::Verify);
        // A variable cannot contain NUL; external texts may.
        let variables = variables.into_iter().map(|(name, value)| (name, value.replace('\0', " ")));
        let started_at = shared.clock.now();
        failpoint::hit("send", "verify");
        let (folder, limit) = (&config.daemon.state_dir, bake.settings.hooks.timeout);
        let outcome = hooks::run(command, variables, folder, limit, shared.cloud.secrets()).await;
        failpoint::hit("answer", "verify");
        attempts.push(Attempt {
            stage: "hook",
            call: format!("hook {} {}", Moment::Verify.as_str(), index + 1).into(),
            started_at,
            finished_at: shared.clock.now(),
            outcome: word(&outcome),
            code: None,
            http_status: None,
            request_id: None,
            message: Some(message(command.program(), &outcome)),
            success: None,
            answer: None,
        });
        if outcome.is_veto() {
            return (Ok(VerifyResult::Bad(outcome.last_word())), attempts);
        }
        if !outcome.is_ok() {
            return (Ok(VerifyResult::Mishap(outcome.last_word())), attempts);
        }
    }
    (Ok(VerifyResult::Good), attempts)
}

fn word(outcome: &HookOutcome) -> &'static str {
    match outcome.result {
        HookResult::Exited(0) => "ok",
        HookResult::Exited(_) => "veto",
        HookResult::TimedOut(_) => "timeout",
        HookResult::Killed(_) | HookResult::NotStarted(_) => "failed",
    }
}

fn message(program: &str, outcome: &HookOutcome) -> String {
    let wrote = if outcome.output.is_empty() { String::new() } else { format!("; it wrote:\n{}", outcome.output) };
    format!("{program}: {}{wrote}", outcome.result)
}

/// Two polls long at first, four times as long each time.
fn pause(shared: &DaemonContext, tries: u32) -> TimeDelta {
    let first = shared.config().cloud.poll_interval.saturating_mul(2);
    TimeDelta::from_std(first.saturating_mul(4u32.saturating_pow(tries.min(8)))).unwrap_or(TimeDelta::hours(1))
}
