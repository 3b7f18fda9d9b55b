//! Looks at ledger and cloud side by side, and saves a new ledger from giving out versions that images already have.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use chrono::{DateTime, Utc};

use crate::{
    bake::{
        call::{Class, Refusal},
        identity::SeenImage,
        reconcile::{Comparison, Ledger, Tagged, compare, highest_versions},
    },
    cloud::{CloudClient, actions::ListImage},
    config::Config,
    error::chain,
    store::{Reader, Store, StoreError},
};

use super::calls::{owned_images, seen};

/// How long an empty ledger waits for the cloud to tell its versions. Slots that come due meanwhile are still on time.
const VERSIONS_WAIT: Duration = Duration::from_secs(12);
/// Between two tries.
const VERSIONS_PAUSE: Duration = Duration::from_secs(2);

/// Why the two could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The ledger.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The cloud.
    #[error("the cloud does not list its images ({})", .0.advice)]
    Cloud(#[from] Refusal),
}

/// Compares the ledger with all images that carry our owner tag, and with those that its rows know.
pub async fn look(
    cloud: &CloudClient,
    ledger: &Reader,
    config: &Config,
    now: DateTime<Utc>,
) -> Result<Comparison, ReconcileError> {
    let owner = config.daemon.owner.as_str();
    // The cloud first: the row of an image made between the two looks is in the ledger, and its image is asked for below.
    let mut images = owned(cloud, owner).await?;
    let slots: Vec<_> =
        images.iter().filter_map(|image| Tagged::read(image, owner)).map(|tagged| tagged.slot).collect();
    let rows = ledger.recorded(&slots).await?;
    let versions = ledger.versions().await?;
    // An image may have lost its tags, or carry those of a former owner; only then is it asked for by its id.
    let listed: BTreeSet<_> = images.iter().map(|image| image.image_id.clone()).collect();
    for row in rows.iter().filter(|row| row.state == "succeeded") {
        let Some(image_id) = row.image_id.clone().filter(|image_id| !listed.contains(image_id)) else { continue };
        let request = ListImage { image_id: Some(image_id.clone()), ..ListImage::default() };
        let page = cloud.list_images(&request).await?.value;
        images.extend(page.images.iter().filter(|image| image.image_id == image_id).map(seen));
    }
    let ledger = Ledger { owner, rows: &rows, versions: &versions, schedules: &config.schedules, now };
    Ok(compare(ledger, &images))
}

async fn owned(cloud: &CloudClient, owner: &str) -> Result<Vec<SeenImage>, Refusal> {
    Ok(owned_images(cloud, owner).await?.iter().map(seen).collect())
}

/// A ledger that has never given out a version may be the successor of one that was lost: its lines go on after the
/// highest version that is on an image. Waits for the cloud a bounded time, for a cloud that does not answer makes no
/// images either; then versions begin at 1, with a warning.
pub async fn go_on_after_images(
    store: &Store,
    cloud: &CloudClient,
    owner: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    if !store.reader().versions().await?.is_empty() {
        return Ok(());
    }
    let listing = async {
        loop {
            match owned(cloud, owner).await {
                Err(refusal) if matches!(refusal.class, Class::Transient | Class::Busy | Class::Unclear) => {
                    tracing::debug!(
                        error = &refusal as &dyn std::error::Error,
                        "asked again for the versions of images"
                    );
                    tokio::time::sleep(refusal.server_delay().unwrap_or(VERSIONS_PAUSE)).await;
                }
                listed => return listed,
            }
        }
    };
    let reason = match tokio::time::timeout(VERSIONS_WAIT, listing).await {
        Ok(Ok(images)) => {
            let versions = highest_versions(owner, &images, &HashMap::new(), now);
            if !versions.is_empty() {
                store.raise_versions(&versions).await?;
                let (images, lines) = (images.len(), versions.len());
                tracing::warn!(
                    images,
                    lines,
                    "the ledger is empty, but the cloud has {images} images of ours: versions of {lines} lines go on after \
                     them; `imagebaked reconcile --apply` brings back their rows"
                );
            }
            return Ok(());
        }
        Ok(Err(refusal)) => chain(&refusal),
        Err(_) => "it does not answer".to_owned(),
    };
    tracing::warn!(
        reason,
        "the ledger is empty and the cloud does not tell which versions its images have, so versions begin at 1; if a \
         ledger was lost, run `imagebaked reconcile --apply`"
    );
    Ok(())
}
