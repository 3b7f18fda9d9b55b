//! One list for all searches of a slot: a thousand bakes of one slot that search at once ask the cloud once for the images with
//! the tags of that slot.

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

/// So long a list waits for others who want it. Whoever comes later needs one that begins later.
const GATHERING: Duration = Duration::from_millis(20);

type Listed = Arc<OnceCell<Arc<[RemoteImage]>>>;

/// Lists that have not begun yet, by owner and slot.
#[derive(Debug, Default)]
pub struct SlotLists {
    gathering: Mutex<HashMap<(String, String), Listed>>,
}

impl SlotLists {
    /// All images with the owner and the slot of `identity`, from a list that begins after this call.
    pub async fn list(&self, cloud: &CloudClient, identity: &Identity) -> Result<Arc<[RemoteImage]>, ApiError> {
        let key = (identity.owner.clone(), identity.slot_text());
        let listed = Arc::clone(self.lock().entry(key.clone()).or_default());
        // A refusal is for the one who asked; the next of those who wait asks again.
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

    /// Nobody joins a list that has begun.
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
