//! Reload: applies an edited configuration as a whole, or keeps the old one and reports why.

use std::sync::{Arc, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    context::{DaemonContext, Refused, Tried},
    engine::EngineRequest,
    identity_change::{changed_owner, identity_changes},
    image_tasks, service_status,
};
use crate::{
    adapters::{
        config::{self, Config, FileStamps},
        control::Reply,
        store::StoreError,
        systemd, tzdata,
    },
    domain::{
        api::credential_review::{CredentialReview, KeyResult},
        error::chain,
        event::{Action, AuditLine},
        health::{Subject, SubjectKind},
        image::change::Change,
        schedule::Schedule,
        status::OnDisk,
    },
};

/// Period of compared slots for the report of changes.
const COMPARED: TimeDelta = TimeDelta::days(7);
/// Maximum number of changes, or problems, that a line of the audit lists; all are counted.
const MAX_AUDITED: usize = 20;
/// Maximum number of listed entries per kind of change; all are counted.
const MAX_LISTED: usize = 100;

/// Reads the configuration again. Changed keys that apply only at the start (paths, addresses, the cloud's endpoint)
/// are listed in the warnings. One reload at a time, so that the last read is in force.
pub async fn reload(shared: &DaemonContext, who: &str) -> Reply {
    let _turn = shared.reloading.lock().await;
    systemd::reloading();
    let before = shared.config().hash.clone();
    // Before the configuration, so that a bake does not find the new key first.
    let review = review_credentials(shared).await;
    let sentence = review.sentence();
    if let Some(sentence) = &sentence {
        tracing::info!(who, "{sentence}");
    }
    let mut reply = take_over(shared, who).await;
    if let Reply::Reloaded { credentials, .. } = &mut reply {
        *credentials = Some(Box::new(review));
    }
    match &reply {
        Reply::Reloaded { config_hash, schedules, diff, images, .. } => {
            let changed = [Some(diff.summary()), images.summary()].into_iter().flatten().collect::<Vec<_>>().join("; ");
            tracing::info!(who, config_hash, schedules, changed, "the configuration was read again: {changed}");
            let detail = if *config_hash == before {
                format!("configuration {config_hash}, as before: nothing changed")
            } else {
                let changes = diff.changes(MAX_AUDITED).join("; ");
                format!("configuration {config_hash} instead of {before}: {changes}")
            };
            let detail = sentence.map_or_else(|| detail.clone(), |sentence| format!("{detail}; {sentence}"));
            note(shared, who, Action::Reload, detail).await;
            note_left_out(shared, who).await;
        }
        Reply::BadConfig { problems } => {
            tracing::error!(who, "the configuration has problems, the old one stays in force:\n{problems}");
        }
        Reply::Failed { message } => {
            tracing::error!(who, reason = %message, "the configuration could not be applied");
        }
        _ => {}
    }
    systemd::ready(&service_status::line(shared).await);
    reply
}

/// Reads the credentials again, and ends a suspension if the cloud accepts them.
async fn review_credentials(shared: &DaemonContext) -> CredentialReview {
    let is_rejected = shared.engine.borrow().suspension.as_ref().is_some_and(|suspension| !suspension.is_clock);
    let review = shared.cloud.review_credentials(is_rejected).await;
    if review.result == KeyResult::Accepted && shared.orders.send(EngineRequest::CredentialsAccepted).await.is_err() {
        tracing::debug!("the engine has ended; a suspension of the credentials stays as it is");
    }
    review
}

/// Records in the audit which kinds of users the operator excludes, if images are deleted at all.
pub(super) async fn note_left_out(shared: &DaemonContext, who: &str) {
    let config = shared.config();
    let left_out = config.not_asked();
    if left_out.is_empty() || config.schedules.iter().all(|schedule| schedule.keep.is_none()) {
        return;
    }
    let kinds = left_out.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
    let detail = format!("{kinds} are not listed as users before an image is deleted");
    note(shared, who, Action::InUse, detail).await;
}

/// Reports at the start that the owner is another one than before, and keeps it for the next start.
pub(super) async fn note_changed_owner(shared: &DaemonContext, who: &str) {
    let config = shared.config();
    let reader = shared.store.reader();
    let kept = async {
        if let Some(sentence) = changed_owner(reader, &config).await? {
            tracing::warn!("{sentence}");
            note(shared, who, Action::Reload, sentence).await;
        }
        if reader.owner().await?.as_deref() != Some(config.daemon.owner.as_str()) {
            shared.store.keep_owner(&config.daemon.owner, shared.clock.now()).await?;
        }
        Ok::<(), StoreError>(())
    };
    if let Err(error) = kept.await {
        tracing::warn!(error = chain(&error), "it is not known whether the owner has changed");
    }
}

/// Records an action on the configuration in the audit; a failure is logged.
async fn note(shared: &DaemonContext, who: &str, action: Action, detail: String) {
    let subject = Subject::only(SubjectKind::Configuration);
    let line = AuditLine { at: shared.clock.now(), who, action, subject, detail };
    if let Err(error) = shared.store.note(&line).await {
        let (action, detail) = (action.as_str(), &line.detail);
        tracing::error!(who, error = chain(&error), "this is not in the audit: {action}: {detail}");
    }
}

async fn take_over(shared: &DaemonContext, who: &str) -> Reply {
    let (path, environment) = (shared.config_path.clone(), shared.environment.clone());
    // The file may be on a disk that does not respond: the other tasks of the daemon continue.
    let read = tokio::task::spawn_blocking(move || {
        tzdata::use_the_newer(&tzdata::directory(|name| environment.get(name).cloned()));
        config::load(&path, &environment).map_err(|problems| (problems, config::fingerprint(&path)))
    });
    let loaded = match read.await {
        Ok(Ok(loaded)) => loaded,
        Ok(Err((problems, fingerprint))) => {
            shared.refuse(fingerprint);
            let detail = format!("the former one stays in force: {}", problems.errors_in_one_line(MAX_AUDITED));
            note(shared, who, Action::ReloadRefused, detail).await;
            return Reply::BadConfig { problems: problems.render(false) };
        }
        Err(error) => return Reply::Failed { message: chain(&error) },
    };
    let mut warnings = if loaded.warnings.is_empty() { String::new() } else { loaded.warnings.render(false) };
    let old = shared.config();
    let restart_keys = loaded.config.restart_keys(&shared.started_with);
    let needs_restart = !restart_keys.is_empty();
    if needs_restart {
        let applies = applies(&restart_keys);
        warnings.push_str(&format!("warning: {applies} at the next start: systemctl restart imagebaked\n"));
    }
    match identity_changes(shared.store.reader(), &old, &loaded.config).await {
        Ok(sentences) => sentences.iter().for_each(|one| warnings.push_str(&format!("warning: {one}\n"))),
        Err(error) => tracing::warn!(error = chain(&error), "what the edit means for open bakes is not known"),
    }
    let config = loaded.config.keeping_owner(&shared.started_with.daemon.owner);
    let (config_hash, schedules) = (config.hash.clone(), config.schedules.len());
    let now = shared.clock.now();
    let until = now.checked_add_signed(COMPARED).unwrap_or(now);
    let zones = moved_by_zones(&old, &config, now);
    if let Some(change) = &zones {
        warnings.push_str(&format!("warning: {change}\n"));
    }
    let diff = Box::new(config.diff(&old, now, until).shortened(MAX_LISTED));
    let images = Box::new(meaning(shared, &old, &config, now).await.shortened(MAX_LISTED));
    match shared.order(|reply| EngineRequest::ApplyConfig { config: Box::new(config.clone()), reply }).await {
        Ok(()) => {
            // Commands search at the new path; at a path where nothing can be made, they find the state directory.
            if let Err(error) = shared.signposts.put(&config.daemon.control_socket) {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "no link leads from the new control_socket to the one in use"
                );
            }
            shared.replace_config(Arc::new(config));
            if let Some(change) = zones {
                note(shared, who, Action::Zones, change).await;
            }
            shared.activate();
            let mut on_disk = shared.on_disk();
            on_disk.refused = None;
            on_disk.restart_since = needs_restart.then(|| on_disk.restart_since.unwrap_or(now));
            drop(on_disk);
            Reply::Reloaded { config_hash, schedules, warnings, diff, images, credentials: None }
        }
        Err(error) => error.to_reply(),
    }
}

/// `cloud.region and daemon.listen apply`.
pub(super) fn applies(keys: &[String]) -> String {
    match keys {
        [] => "some keys of [cloud] and [daemon] apply".to_owned(),
        [only] => format!("{only} applies"),
        [before @ .., last] => format!("{} and {last} apply", before.join(", ")),
    }
}

/// The next slots that another release of the time zone rules moves, of otherwise unchanged schedules; `None` if the
/// release is the same.
fn moved_by_zones(old: &Config, new: &Config, now: DateTime<Utc>) -> Option<String> {
    if (new.zones.version(), new.zones.origin()) == (old.zones.version(), old.zones.origin()) {
        return None;
    }
    let next = |schedule: &Schedule| schedule.timing.next_after(now);
    let moved: Vec<String> = new
        .schedules
        .iter()
        .filter_map(|new| {
            let old = old.schedules.iter().find(|old| old.id == new.id && old.timing == new.timing)?;
            let (before, after) = (next(old)?, next(new)?);
            (before != after).then(|| format!("{} from {before} to {after}", new.name))
        })
        .collect();
    let slots = match moved.as_slice() {
        [] => "no next slot moves".to_owned(),
        moved => format!("next slots that move: {}", moved[..moved.len().min(MAX_LISTED)].join(", ")),
    };
    Some(format!("time zone rules are now of {}, before of {}; {slots}", new.zones, old.zones))
}

/// Effect of the edit on images. The edit does not fail if that is unknown.
async fn meaning(shared: &DaemonContext, old: &Config, new: &Config, now: DateTime<Utc>) -> Change {
    image_tasks::edit::change_of_images(shared.store.reader(), old, new, now).await.unwrap_or_else(|error| {
        tracing::warn!(error = chain(&error), "what the edit means for images is not known");
        Change::default()
    })
}

impl DaemonContext {
    fn on_disk(&self) -> MutexGuard<'_, Tried> {
        self.on_disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keys of the configuration in force that apply only at the next start.
    pub(super) fn restart_keys(&self) -> Vec<String> {
        self.config().restart_keys(&self.started_with)
    }

    /// Instant from which keys are in force only in the files.
    pub(super) fn restart_required_since(&self) -> Option<DateTime<Utc>> {
        self.on_disk().restart_since
    }

    /// Records a rejection; for the same files the first instant counts.
    fn refuse(&self, fingerprint: String) {
        let now = self.clock.now();
        let mut on_disk = self.on_disk();
        if on_disk.refused.as_ref().is_none_or(|refused| refused.fingerprint != fingerprint) {
            on_disk.refused = Some(Refused { since: now, fingerprint });
        }
    }

    /// State of the files. Reads them only if their stamps have changed.
    pub(super) fn compare_files(&self) -> Files {
        let stamps = FileStamps::of(&self.config_path);
        let known = self.on_disk().known.clone().filter(|(known, _)| *known == stamps);
        let fingerprint = known.map_or_else(|| config::fingerprint(&self.config_path), |(_, known)| known);
        let mut on_disk = self.on_disk();
        on_disk.known = Some((stamps, fingerprint.clone()));
        match &on_disk.refused {
            _ if fingerprint == self.config().fingerprint => Files::InForce,
            Some(refused) if refused.fingerprint == fingerprint => Files::Refused { since: refused.since },
            refused => Files::Edited { refused_since: refused.as_ref().map(|refused| refused.since) },
        }
    }
}

impl From<Files> for OnDisk {
    fn from(files: Files) -> Self {
        match files {
            Files::InForce => Self::InForce,
            Files::Edited { .. } => Self::Edited,
            Files::Refused { .. } => Self::Refused,
        }
    }
}

/// State of the files on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// They are the configuration in force.
    InForce,
    /// They were edited and not read again.
    Edited {
        /// Since when the files before them have had problems, which only a reload shows to be gone.
        refused_since: Option<DateTime<Utc>>,
    },
    /// They were read and have problems.
    Refused {
        /// Since when.
        since: DateTime<Utc>,
    },
}
