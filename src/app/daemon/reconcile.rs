//! Compares history and cloud. A history that may be out of date is compared before it is used.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::{
    adapters::{
        cloud::{CloudClient, actions::ListImage},
        config::Config,
        store::{Lineage, Reader, StoreError},
    },
    domain::{
        api::{
            call::{ApiError, ErrorClass},
            identity::RemoteImage,
        },
        error::chain,
        image::{
            reconcile::{Comparison, Difference, NOT_IN_TAGS, Recorded, RecordedHistory, Tagged, compare},
            start_check::StartCheck,
        },
        text::counted,
    },
};

use super::{
    context::DaemonContext,
    engine::{EngineRequest, HistoryAge, NotCompared},
    life,
    remote_images::{owned_images, remote_image},
};

/// First pause between two attempts; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Maximum pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Maximum time to wait for an image that is being made.
const LONGEST_BUILD: Duration = Duration::from_hours(24);

/// Why the comparison failed.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The history.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The cloud.
    #[error("the cloud does not list its images ({})", .0.advice)]
    Cloud(#[from] ApiError),
}

/// Compares the history with all images that carry the owner's tag, and with those of its rows.
pub async fn compare_history(
    cloud: &CloudClient,
    history: &Reader,
    config: &Config,
    now: DateTime<Utc>,
) -> Result<Comparison, ReconcileError> {
    let owner = config.daemon.owner.as_str();
    // The cloud first: an image made between the two reads then has a row, and is requested by id below.
    let mut images = owned(cloud, owner).await?;
    let rows = recorded(history, owner, &images).await?;
    // An image may have lost its tags, or carry those of a former owner; only then it is requested by its id.
    let listed: BTreeSet<_> = images.iter().map(|image| image.image_id.clone()).collect();
    for row in rows.iter().filter(|row| row.state == "succeeded") {
        let Some(image_id) = row.image_id.clone().filter(|image_id| !listed.contains(image_id)) else { continue };
        let request = ListImage { image_id: Some(image_id.clone()), ..ListImage::default() };
        let page = cloud.list_images(&request).await?.value;
        images.extend(page.images.iter().filter(|image| image.image_id == image_id).map(remote_image));
    }
    compared(history, config, &rows, &images, latest(cloud, now)).await
}

/// The later one of this host's time and the cloud's: tags of the last hour are not in the future of a clock that is behind.
fn latest(cloud: &CloudClient, now: DateTime<Utc>) -> DateTime<Utc> {
    now.max(cloud.clocks().cloud_now())
}

/// The same, from the list of the owner's images only: images of old rows are not verified, which might take thousands
/// of calls.
async fn compare_with_list(shared: &DaemonContext) -> Result<Comparison, ReconcileError> {
    let config = shared.config();
    let images = owned(&shared.cloud, &config.daemon.owner).await?;
    let rows = recorded(shared.store.reader(), &config.daemon.owner, &images).await?;
    let now = latest(&shared.cloud, shared.clock.now());
    compared(shared.store.reader(), &config, &rows, &images, now).await
}

/// Rows that a comparison with these images needs.
async fn recorded(history: &Reader, owner: &str, images: &[RemoteImage]) -> Result<Vec<Recorded>, ReconcileError> {
    let slots: Vec<_> =
        images.iter().filter_map(|image| Tagged::read(image, owner)).map(|tagged| tagged.slot).collect();
    Ok(history.recorded(&slots).await?)
}

async fn compared(
    history: &Reader,
    config: &Config,
    rows: &[Recorded],
    images: &[RemoteImage],
    now: DateTime<Utc>,
) -> Result<Comparison, ReconcileError> {
    let versions = history.versions().await?;
    let listed = history.listed_images(now).await?;
    let (owner, schedules) = (config.daemon.owner.as_str(), config.schedules.as_slice());
    Ok(compare(RecordedHistory { owner, rows, listed: &listed, versions: &versions, schedules, now }, images))
}

async fn owned(cloud: &CloudClient, owner: &str) -> Result<Vec<RemoteImage>, ApiError> {
    Ok(owned_images(cloud, owner).await?.iter().map(remote_image).collect())
}

/// Compares the history with the cloud at the start. One that was restored, imported or is empty is compared as a whole before
/// anything is stopped or created, however long that takes. Any other may have been put back together with its marks: no bake
/// begins before the list of the cloud's images shows that it is not older. After a start that does not follow an orderly end
/// the history is complete once `lookup_window` has passed: until then the cloud may not list the result of the last calls.
pub async fn settle(shared: Arc<DaemonContext>, stop: CancellationToken) {
    let lineage = shared.store.lineage();
    match lineage {
        Lineage::Continued => {}
        Lineage::Interrupted => {
            tracing::warn!("the history was not closed in order; creates search for their image first for a while");
        }
        Lineage::Restored => tokio::select! {
            () = stop.cancelled() => return,
            () = begin_restored(&shared) => {}
        },
        Lineage::Empty => {
            tracing::info!("the first comparison of a new history with the cloud is not finished: it is made first");
        }
    }
    let settled = async {
        let begun = tokio::time::Instant::now();
        if lineage.must_be_compared() {
            bring_up_to_date(&shared).await;
        } else if !shared.cloud.mode().is_observe() {
            check_at_start(&shared).await;
        }
        if lineage == Lineage::Continued {
            return;
        }
        tokio::time::sleep_until(begun + shared.config().cloud.lookup_window).await;
        while let Err(error) = shared.store.settle().await {
            tracing::debug!(error = chain(&error), "it is not noted yet that the history is settled");
            tokio::time::sleep(LONGEST_PAUSE).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = settled => tracing::debug!("the history is settled"),
    }
}

/// Says what a restored history does not have, and takes its marks back, before it is compared with the cloud: until then no
/// image is deleted.
async fn begin_restored(shared: &DaemonContext) {
    let since = shared.store.reader().restored().await.unwrap_or_else(|error| {
        tracing::warn!(error = chain(&error), "it is not known what the restored history lacks");
        None
    });
    life::record(shared, life::history_changed(since.as_deref())).await;
    begin_marks_anew(shared).await;
}

async fn begin_marks_anew(shared: &DaemonContext) {
    let mut pause = FIRST_PAUSE;
    while let Err(error) = shared.store.begin_marks_anew(shared.clock.now()).await {
        tracing::warn!(
            error = chain(&error),
            "old marks of the restored history stand; nothing is deleted before they are gone"
        );
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Checks a history that seems to be the former one, and takes over what it lacks if it is older than the cloud. A cloud that
/// answers, but gives no list, holds bakes for `lookup_window` at most: nothing else says that the history is older.
async fn check_at_start(shared: &DaemonContext) {
    let mut pause = FIRST_PAUSE;
    let mut answered_since = None;
    loop {
        let ended = shared.cloud.outages().ended();
        let error = match check(shared).await {
            Ok(check) if check.is_older() => {
                let shown = check.describe();
                begin_marks_anew(shared).await;
                return bring_up_to_date_as(shared, Some(&shown)).await;
            }
            Ok(check) => {
                let age = if check.has_open_image { HistoryAge::Older } else { HistoryAge::Current };
                let _ = shared.orders.send(EngineRequest::Compared { outcome: Ok(age) }).await;
                return;
            }
            Err(error) => error,
        };
        if error.is_outage || error.rejection.is_some() {
            (answered_since, pause) = (None, LONGEST_PAUSE);
        } else {
            let since = *answered_since.get_or_insert_with(tokio::time::Instant::now);
            if since.elapsed() >= shared.config().cloud.lookup_window {
                tracing::warn!(
                    reason = %error.why,
                    "it is not known whether the history is older than the cloud; bakes begin, and search for their image first"
                );
                let outcome = Ok(HistoryAge::Older);
                let _ = shared.orders.send(EngineRequest::Compared { outcome }).await;
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE).min(shared.config().cloud.lookup_window);
        }
        let was_rejected = error.rejection.is_some();
        if shared.orders.send(EngineRequest::Compared { outcome: Err(error) }).await.is_err() {
            return;
        }
        wait(shared, pause, ended, was_rejected).await;
    }
}

/// What the list of the owner's images shows of the history. Its old rows are not read.
async fn check(shared: &DaemonContext) -> Result<StartCheck, NotCompared> {
    let checked = async {
        let config = shared.config();
        let images = owned(&shared.cloud, &config.daemon.owner).await?;
        let reader = shared.store.reader();
        let (versions, listed) = (reader.versions().await?, HashSet::new());
        let open = reader.open_bakes().await?.into_iter().map(|bake| (bake.line, bake.slot)).collect();
        let (owner, schedules) = (config.daemon.owner.as_str(), config.schedules.as_slice());
        let now = latest(&shared.cloud, shared.clock.now());
        let history = RecordedHistory { owner, rows: &[], listed: &listed, versions: &versions, schedules, now };
        Ok(StartCheck::of(history, &open, &images))
    };
    checked.await.map_err(|error| not_compared(shared, &error))
}

/// Applies the comparison and lets the engine start; repeats it until no image without a row is being made.
async fn bring_up_to_date(shared: &DaemonContext) {
    bring_up_to_date_as(shared, None).await;
}

/// The same of a history that is older than the cloud, as `shown` by its images.
async fn bring_up_to_date_as(shared: &DaemonContext, shown: Option<&str>) {
    let mut pause = FIRST_PAUSE;
    let mut is_open = false;
    let until = tokio::time::Instant::now() + LONGEST_BUILD;
    loop {
        let ended = shared.cloud.outages().ended();
        let outcome = take_over(shared).await;
        let was_rejected = matches!(&outcome, Err(NotCompared { rejection: Some(_), .. }));
        let being_made = matches!(outcome, Ok(TakenOver { being_made: true, .. }));
        pause = match &outcome {
            Ok(_) => FIRST_PAUSE.max(shared.config().cloud.poll_interval),
            Err(_) => (pause * 2).min(LONGEST_PAUSE),
        };
        // Once the engine has started, its own searches find the rest.
        if !is_open {
            is_open = outcome.is_ok();
            if let (Some(shown), Ok(taken)) = (shown, &outcome) {
                life::record(shared, life::history_is_older(shown, taken.rows)).await;
            }
            let outcome = outcome.map(|_| HistoryAge::Older);
            if shared.orders.send(EngineRequest::Compared { outcome }).await.is_err() {
                return;
            }
        }
        if is_open && (!being_made || tokio::time::Instant::now() >= until) {
            return;
        }
        wait(shared, pause, ended, was_rejected).await;
    }
}

/// Waits for `pause`, or until a person who has fixed the cause sends a request, or the cloud answers again, or accepts the
/// key that it rejected.
async fn wait(shared: &DaemonContext, pause: Duration, ended: u64, was_rejected: bool) {
    let mut activations = shared.activations.subscribe();
    let reported = async {
        tokio::time::sleep(FIRST_PAUSE).await;
        tokio::select! {
            _ = activations.changed() => {}
            () = answers_again(shared, ended, was_rejected) => {}
        }
    };
    let _ = tokio::time::timeout(pause, reported).await;
}

/// Returns once an outage has ended, or the cloud accepts the key that it rejected.
async fn answers_again(shared: &DaemonContext, ended: u64, was_rejected: bool) {
    let is_accepted = || was_rejected && shared.engine.borrow().suspension.is_none();
    while shared.cloud.outages().ended() == ended && !is_accepted() {
        tokio::time::sleep(FIRST_PAUSE).await;
    }
}

fn not_compared(shared: &DaemonContext, error: &ReconcileError) -> NotCompared {
    let is_outage = !shared.cloud.outages().outages().is_empty();
    let rejection = match error {
        ReconcileError::Cloud(api_error) if api_error.class == ErrorClass::Credential => Some(api_error.clone()),
        _ => None,
    };
    NotCompared { why: chain(error), is_outage, rejection }
}

/// What a comparison added.
struct TakenOver {
    /// Rows and images.
    rows: usize,
    /// Whether images without a row are still being made.
    being_made: bool,
}

/// Carries out `reconcile --apply`.
async fn take_over(shared: &DaemonContext) -> Result<TakenOver, NotCompared> {
    let not = |why| NotCompared { why, is_outage: false, rejection: None };
    let found = compare_with_list(shared).await.map_err(|error| not_compared(shared, &error))?;
    let (rows, lines) = (found.rows.len() + found.returned.len(), found.versions.len());
    let taken = TakenOver { rows, being_made: found.images_being_made() };
    if found.differences.iter().any(Difference::is_repairable) {
        let who = "imagebaked, at its start".to_owned();
        let rebuilt = shared.order(|reply| EngineRequest::Rebuild { found, who, reply }).await;
        rebuilt.map_err(|error| not(chain(&error)))?;
        // Checks of the images are due.
        shared.activate();
        tracing::warn!(
            rows,
            lines,
            "the cloud has images of ours that the history did not know: {} added, versions of {} go on after them; \
             {NOT_IN_TAGS}",
            counted(rows, "row was", "rows were"),
            counted(lines, "line", "lines")
        );
    }
    Ok(taken)
}
