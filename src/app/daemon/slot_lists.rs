//! Shared lists for searches of one slot: a thousand bakes of one slot that search at once need one list of the images
//! with the tags of that slot.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::OnceCell;

use crate::{
    adapters::cloud::{CloudClient, actions::ListImage},
    domain::api::{
        call::ApiError,
        identity::{Identity, RemoteImage, TAG_OWNER, TAG_SLOT},
    },
};

use super::remote_images::remote_image;

/// Time that a list waits for further searches. A later search needs another list.
const GATHERING: Duration = Duration::from_millis(20);

type Listed = Arc<OnceCell<Arc<[RemoteImage]>>>;

/// Lists that have not started, by owner and slot.
#[derive(Debug, Default)]
pub struct SlotLists {
    gathering: Mutex<HashMap<(String, String), Listed>>,
}

impl SlotLists {
    /// All images with the owner and slot of `identity`, from a list that starts after this call.
    pub async fn list(&self, cloud: &CloudClient, identity: &Identity) -> Result<Arc<[RemoteImage]>, ApiError> {
        let key = (identity.owner.clone(), identity.slot_text());
        let listed = Arc::clone(self.lock().entry(key.clone()).or_default());
        // An error concerns the first search only; the next waiting one repeats the list.
        let images = listed.get_or_try_init(|| async {
            tokio::time::sleep(GATHERING).await;
            self.leave(&key, &listed);
            let (owner, slot) = key.clone();
            let tags = [(TAG_OWNER.to_owned(), owner), (TAG_SLOT.to_owned(), slot)].into();
            let images = cloud.list_all_images(&ListImage { tags, ..ListImage::default() }).await?;
            Ok(images.iter().map(remote_image).collect())
        });
        images.await.cloned()
    }

    /// A started list accepts no further search.
    fn leave(&self, key: &(String, String), listed: &Listed) {
        let mut gathering = self.lock();
        if gathering.get(key).is_some_and(|current| Arc::ptr_eq(current, listed)) {
            gathering.remove(key);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Listed>> {
        self.gathering.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
