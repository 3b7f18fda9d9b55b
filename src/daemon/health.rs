//! Whether all is well, and if not, why: one plain sentence for each complaint, with what to do.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{EngineStatus, MaxAge, Shared, engine::START_TAKES, history_problems::history_problems, reload::Files};
use crate::{
    bake::State,
    status::Health,
    store::{FailedCheck, FailedCopies, ITSELF, Look, OwedStart, StoreError},
};

/// How long after its last turn an engine counts as stuck.
const STUCK: Duration = Duration::from_mins(2);
/// So many images of one kind are named.
const MOST_NAMED: u32 = 10;
/// A look that fails may be a passing fault; one that has failed for so long is not.
const LOOK_AGAIN: TimeDelta = TimeDelta::hours(1);

impl Shared {
    /// Every complaint that there is.
    pub(super) async fn health(
        &self,
        engine: &EngineStatus,
        files: Files,
        now: DateTime<Utc>,
    ) -> Result<Health, StoreError> {
        let mut reasons = Vec::new();
        if let Files::Refused { since } = files {
            reasons.push(format!(
                "the configuration on disk has problems and is not in force (since {}); see `imagebaked check`",
                since.format("%F %T UTC")
            ));
        }
        if let Some(error) = &engine.store_error {
            let since = engine.store_error_since.unwrap_or(now).format("%F %T UTC");
            reasons.push(format!("the ledger cannot be used since {since}: {error}"));
        }
        if let Some(hold) = &engine.hold {
            reasons.push(format!("every schedule is held since {}: {}", hold.since.format("%F %T UTC"), hold.message));
        }
        if let Some(skew) = self.cloud.clock_skew() {
            let (seconds, side) =
                (skew.num_seconds().unsigned_abs(), if skew > TimeDelta::zero() { "behind" } else { "ahead of" });
            let skew = humantime::format_duration(Duration::from_secs(seconds));
            reasons.push(format!(
                "this host's clock is {skew} {side} the cloud's; over 15 minutes every call is refused: check NTP"
            ));
        }
        for OwedStart { bake, instance, state, .. } in self.store.reader().owed_starts().await? {
            if let State::Starting { since, trouble, .. } = state
                && since.is_none_or(|since| now - since >= START_TAKES)
            {
                let trouble = trouble.as_deref().unwrap_or("no start has worked so far");
                reasons.push(format!(
                    "instance {instance} was stopped for bake {bake} and is not running again yet: {trouble}"
                ));
            }
        }
        for pause in engine.pauses.iter().filter(|pause| pause.who == ITSELF) {
            reasons.push(format!("schedule {} is paused: {}", pause.schedule_id, pause.reason));
        }
        if engine.last_look.is_some_and(|look| (now - look).to_std().is_ok_and(|age| age > STUCK)) {
            reasons.push("the engine has not looked at the clock for over two minutes".to_owned());
        }
        if let Some(Look { problem: Some(problem), troubled_since: Some(since), .. }) =
            self.store.reader().last_look().await?
            && now - since >= LOOK_AGAIN
        {
            reasons.push(format!(
                "the images in the cloud cannot be looked at as a whole since {}, so none is deleted: {problem}",
                since.format("%F %T UTC")
            ));
        }
        for FailedCheck { line, image_id, version, reason } in self.store.reader().failed_checks(MOST_NAMED).await? {
            reasons.push(format!(
                "the newest image of {line}, v{version} ({image_id}), did not pass its check and is vetoed: {reason}; \
                 `imagebaked unveto {image_id}` lets it be used all the same"
            ));
        }
        let failed = self.store.reader().failed_copies(MOST_NAMED).await?;
        for FailedCopies { bake, schedule, regions, reason } in failed {
            reasons.push(format!(
                "the image of bake {bake} of {schedule} was not copied to {}: {reason}; `imagebaked retry {bake} --stage \
                 distribute` tries again",
                regions.join(", ")
            ));
        }
        if !engine.max_ages.is_empty() {
            let lines: Vec<_> = engine.max_ages.iter().map(|max_age| &max_age.line).collect();
            let newest = self.store.reader().newest_good(&lines).await?;
            for MaxAge { line, schedule, max_age, known_since } in &engine.max_ages {
                let good = newest.get(line).map(|good| good.slot);
                let age = (now - good.unwrap_or(*known_since)).to_std().unwrap_or_default();
                if age <= *max_age {
                    continue;
                }
                let allowed = humantime::format_duration(*max_age);
                let age = humantime::format_duration(Duration::from_secs(age.as_secs() / 60 * 60));
                reasons.push(match good {
                    Some(_) => format!(
                        "{schedule} ({line}) is overdue: its newest good image is {age} old, {allowed} are allowed"
                    ),
                    None => format!(
                        "{schedule} ({line}) is overdue: it has had no good image for {age}, {allowed} are allowed"
                    ),
                });
            }
        }
        reasons.extend(history_problems(engine, now).into_iter().map(|problem| problem.message));
        Ok(Health { ok: reasons.is_empty(), reasons })
    }
}
