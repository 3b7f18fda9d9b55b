//! Deletion of one image: it is checked once more, its intent is committed, the call is sent. After an unclear response
//! the image is searched for, and nothing else happens to it before a search has a result.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{inventory_scan, users};
use crate::{
    adapters::{
        cloud::{
            CloudClient,
            actions::{DeleteImage, Image, ImageStatus, ListImage},
        },
        config::Config,
        store::{DeleteOutcome, Doomed, SentDeletion, StoreError},
    },
    app::daemon::context::DaemonContext,
    domain::{
        api::call::{ApiError, ErrorClass},
        ids::ImageId,
        image::passes::AFTER_PROBLEM,
    },
};

/// Time for which a lost delete call may still take effect: until then a listed image may yet be deleted.
const LATE_EFFECT: Duration = Duration::from_mins(1);
/// Maximum time between two searches for one image.
const LONGEST_SEARCH_GAP: TimeDelta = TimeDelta::minutes(15);

/// Result of a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Progress {
    /// Deleted.
    Deleted,
    /// Not deleted; tried again later or not at all.
    Waits {
        /// Users, if they are the reason.
        users: Vec<String>,
        /// Why.
        why: String,
    },
    /// Unclear: it is searched for.
    Sent,
}

/// Deletes one image.
pub(super) async fn delete(
    shared: &DaemonContext,
    config: &Config,
    image: &Doomed,
    tries: u32,
    rule: &str,
    who: &str,
) -> Result<Progress, StoreError> {
    let (store, cloud) = (&shared.store, &shared.cloud);
    let (line, id) = (image.line.as_str(), image.image_id.as_str());
    if let Err(blocker) = ask_once_more(shared, config, image).await? {
        let Progress::Waits { why, .. } = &blocker else { return Ok(blocker) };
        tracing::warn!(image = id, line, "image {id} of {line} is not deleted yet: {why}");
        return Ok(blocker);
    }
    let sent_at = shared.clock.now();
    if !store.begin_deletion(image, rule, who, sent_at).await? {
        let why = "something keeps it now, or no newer good image of its line is left".to_owned();
        return Ok(Progress::Waits { users: Vec::new(), why });
    }
    crate::adapters::failpoint::hit("send", "delete_image");
    let answer = cloud.delete_image(&DeleteImage { image_id: image.image_id.clone() }).await;
    crate::adapters::failpoint::hit("answer", "delete_image");
    let next = sent_at + pause(tries);
    let (outcome, message) = match answer {
        Ok(answer) if answer.value == Some(true) => {
            (DeleteOutcome::Deleted, format!("request {}", answer.request_id.unwrap_or_default()))
        }
        Ok(answer) if answer.value == Some(false) => {
            let why = answer.message.unwrap_or_else(|| "the cloud answered that it did not delete it".to_owned());
            (DeleteOutcome::Again { at: next, why: why.clone() }, why)
        }
        Ok(_) => {
            let why = "the cloud's answer does not show whether it is deleted".to_owned();
            (DeleteOutcome::Unclear { search_at: sent_at, why: why.clone() }, why)
        }
        Err(error) => (outcome_of(&error, sent_at, next), error.describe()),
    };
    store.end_deletion(image, &outcome, &message, who, shared.clock.now()).await?;
    match outcome {
        DeleteOutcome::Deleted => Ok(Progress::Deleted),
        DeleteOutcome::Refused { why } => Ok(Progress::Waits { users: Vec::new(), why }),
        DeleteOutcome::Again { why, .. } => Ok(Progress::Waits { users: Vec::new(), why }),
        DeleteOutcome::Unclear { .. } => {
            let sent = SentDeletion { image: image.clone(), tries: tries + 1, sent_at, next: sent_at };
            search_for(shared, config, &sent, who).await
        }
    }
}

/// Whether the image may be deleted right now: it is as it was judged, and unused.
async fn ask_once_more(
    shared: &DaemonContext,
    config: &Config,
    image: &Doomed,
) -> Result<Result<(), Progress>, StoreError> {
    let store = &shared.store;
    let waits = |users: Vec<String>, why: String| Ok(Err(Progress::Waits { users, why }));
    let again = shared.clock.now() + AFTER_PROBLEM;
    let rows = match rows_of(&shared.cloud, &image.image_id).await {
        Ok(rows) => rows,
        Err(error) => {
            let why = format!("it could not be checked once more: {}", error.describe());
            store.put_off_deletion(image, &why, again).await?;
            return waits(Vec::new(), why);
        }
    };
    let wanted = if image.of_failed { ImageStatus::CreateFailed } else { ImageStatus::Available };
    let owner = config.daemon.owner.as_str();
    let changed = if rows.is_empty() {
        Some("the cloud does not list it any more")
    } else if rows.iter().all(|row| inventory_scan::is_ours(row, owner) && row.status == wanted) {
        None
    } else {
        Some("it changed since it was judged: another status, or not ours by its tags")
    };
    if let Some(why) = changed {
        store.put_off_deletion(image, why, shared.clock.now()).await?;
        return waits(Vec::new(), why.to_owned());
    }
    match users::users_of(&shared.cloud, config, &image.image_id, &image.name, &rows).await {
        Ok(users) if users.is_empty() => Ok(Ok(())),
        Ok(users) => {
            let why = format!("in use by {}", users.join(", "));
            store.set_users(&image.image_id, &users).await?;
            store.put_off_deletion(image, &why, shared.clock.now()).await?;
            waits(users, why)
        }
        Err(error) => {
            let why = format!("the cloud does not show who uses it: {}", error.describe());
            store.put_off_deletion(image, &why, again).await?;
            waits(Vec::new(), why)
        }
    }
}

/// Searches for every image whose delete call was sent and whose search is due.
pub(super) async fn search(shared: &DaemonContext, config: &Config, who: &str) -> Result<(), StoreError> {
    let now = shared.clock.now();
    for sent in shared.store.reader().sent_deletions().await? {
        // A clock that was set back must not delay the search.
        if sent.next <= now || sent.sent_at > now {
            search_for(shared, config, &sent, who).await?;
        }
    }
    Ok(())
}

async fn search_for(
    shared: &DaemonContext,
    config: &Config,
    sent: &SentDeletion,
    who: &str,
) -> Result<Progress, StoreError> {
    let (store, image) = (&shared.store, &sent.image);
    let (line, id) = (image.line.as_str(), image.image_id.as_str());
    let found = rows_of(&shared.cloud, &image.image_id).await;
    let now = shared.clock.now();
    let settled_at = sent.sent_at + window(config.cloud.lookup_window);
    match found {
        Ok(rows) if rows.is_empty() => {
            let message = "a search after the delete call found it gone";
            store.end_deletion(image, &DeleteOutcome::Deleted, message, who, now).await?;
            Ok(Progress::Deleted)
        }
        Ok(_) if now >= settled_at || now < sent.sent_at => {
            let why = "a search after the delete call found it still there".to_owned();
            // Soon if it is still to be deleted; less often while calls keep getting lost.
            let at = sent.sent_at + TimeDelta::seconds(1i64 << sent.tries.min(16));
            let outcome = DeleteOutcome::Again { at, why: why.clone() };
            store.end_deletion(image, &outcome, &why, who, now).await?;
            Ok(Progress::Waits { users: Vec::new(), why })
        }
        Ok(_) => {
            let why = "it is still listed, but the delete call may still take effect";
            store.search_later(sent, next_search(sent.sent_at, now).min(settled_at), why).await?;
            Ok(Progress::Sent)
        }
        Err(error) => {
            let why = format!("it could not be searched for: {}", error.describe());
            tracing::warn!(image = id, line, "image {id} of {line} may be deleted: {why}");
            store.search_later(sent, next_search(sent.sent_at, now), &why).await?;
            Ok(Progress::Sent)
        }
    }
}

/// Rows of a complete list by id that belong to this image and are not deleted: it may be listed once per version.
async fn rows_of(cloud: &CloudClient, image_id: &ImageId) -> Result<Vec<Image>, ApiError> {
    let request = ListImage { image_id: Some(image_id.clone()), ..ListImage::default() };
    let rows = cloud.list_all_images(&request).await?;
    if let Some(other) = rows.iter().find(|row| row.image_id != *image_id) {
        return Err(ApiError {
            class: ErrorClass::Transient,
            code: None,
            message: format!("the cloud was asked for {image_id} and listed {}", other.image_id),
            advice: "Nothing is concluded from such an answer.".into(),
            http_status: None,
            request_id: None,
            retry_after: None,
        });
    }
    Ok(rows.into_iter().filter(|row| row.status != ImageStatus::Deleted).collect())
}

/// Effect of a rejected delete call on the image.
fn outcome_of(error: &ApiError, sent_at: DateTime<Utc>, next: DateTime<Utc>) -> DeleteOutcome {
    let why = error.describe();
    match (error.code.as_deref(), error.class) {
        // An earlier call may have worked, or the cloud may be wrong: a list by id decides.
        (Some("Image.NotExist"), _) | (_, ErrorClass::Unclear) => DeleteOutcome::Unclear { search_at: sent_at, why },
        // Users, credentials and limits change.
        (_, ErrorClass::Credential | ErrorClass::Busy | ErrorClass::Transient) => {
            DeleteOutcome::Again { at: next, why }
        }
        (_, ErrorClass::Permanent) => DeleteOutcome::Refused { why },
    }
}

/// Doubles from a minute to a day.
fn pause(tries: u32) -> TimeDelta {
    TimeDelta::minutes(1i64 << tries.min(11)).min(TimeDelta::days(1))
}

fn window(lookup_window: Duration) -> TimeDelta {
    TimeDelta::from_std(lookup_window.min(LATE_EFFECT)).unwrap_or(TimeDelta::zero())
}

/// The longer it is unclear, the less often it is searched for.
fn next_search(sent_at: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    now + ((now - sent_at) / 2).clamp(TimeDelta::seconds(1), LONGEST_SEARCH_GAP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_day() {
        let minutes: Vec<i64> = [0, 1, 5, 10, 11, 99].map(|tries| pause(tries).num_minutes()).to_vec();
        assert_eq!(minutes, [1, 2, 32, 1024, 1440, 1440]);
    }

    #[test]
    fn searches_grow_rarer_and_never_stop() {
        let sent = DateTime::UNIX_EPOCH;
        for (age, gap) in [(0, 1), (10, 5), (600, 300), (86_400, 900), (-5, 1)] {
            let now = sent + TimeDelta::seconds(age);
            assert_eq!(next_search(sent, now) - now, TimeDelta::seconds(gap), "{age}");
        }
    }
}
