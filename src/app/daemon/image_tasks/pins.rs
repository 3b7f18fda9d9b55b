//! Pins: `pin`, `unpin`, `undelete`.

use crate::{
    adapters::{
        config,
        control::Reply,
        store::{ImageRow, StoreError},
    },
    app::daemon::context::DaemonContext,
    domain::{
        error::chain,
        event::Action,
        ids::ImageId,
        image::{DeletionState, Pin},
        time::show,
    },
};

/// Pins an image.
pub async fn pin(shared: &DaemonContext, image_id: &ImageId, pin: Pin) -> Reply {
    to_reply(keep(shared, image_id, pin, Action::Pin, |_| None).await)
}

/// Unpins an image.
pub async fn unpin(shared: &DaemonContext, image_id: &ImageId, who: &str) -> Reply {
    to_reply(
        async {
            match shared.store.reader().image(image_id).await? {
                None => no_image(shared, image_id).await,
                Some(_) if shared.store.unpin_image(image_id, who, shared.clock.now()).await? => Ok(Reply::Done),
                Some(_) => Ok(Reply::Failed { message: format!("{image_id} is not pinned") }),
            }
        }
        .await,
    )
}

/// Removes the mark and pins the image: without a pin the next pass would mark it again.
pub async fn undelete(shared: &DaemonContext, image_id: &ImageId, who: String) -> Reply {
    let pin = Pin { until: None, reason: "undeleted".to_owned(), who };
    let marked = |row: &ImageRow| match &row.image.deletion {
        DeletionState::Marked { .. } => None,
        DeletionState::Kept
        | DeletionState::Refused { .. }
        | DeletionState::Deleting { .. }
        | DeletionState::Deleted { .. } => {
            Some(format!("{image_id} is not marked for deletion; `imagebaked pin` keeps it from being"))
        }
    };
    to_reply(keep(shared, image_id, pin, Action::Undelete, marked).await)
}

/// Pins, unless there is an obstacle. Waits for a running pass, which may be deleting this image.
async fn keep(
    shared: &DaemonContext,
    image_id: &ImageId,
    pin: Pin,
    action: Action,
    obstacle: impl FnOnce(&ImageRow) -> Option<String>,
) -> Result<Reply, StoreError> {
    let now = shared.clock.now();
    if !pin.holds(now) {
        return Ok(Reply::Failed { message: "the pin would be over already".to_owned() });
    }
    let _one_at_a_time = shared.image_lock.lock().await;
    let Some(row) = shared.store.reader().image(image_id).await? else { return no_image(shared, image_id).await };
    match &row.image.deletion {
        DeletionState::Deleted { at } => {
            let message =
                format!("{image_id} is deleted since {}; that cannot be taken back", show(*at, shared.zone()));
            return Ok(Reply::Failed { message });
        }
        // An image that may be deleted cannot be promised.
        DeletionState::Deleting { sent_at, .. } => {
            let message = format!(
                "the deletion of {image_id} was sent at {}, and whether the cloud deleted it is not known yet; it is \
                 searched for, try again in a minute",
                show(*sent_at, shared.zone())
            );
            return Ok(Reply::Failed { message });
        }
        DeletionState::Kept | DeletionState::Refused { .. } | DeletionState::Marked { .. } => {}
    }
    if let Some(message) = obstacle(&row) {
        return Ok(Reply::Failed { message });
    }
    shared.store.pin_image(image_id, &pin, action, now).await?;
    Ok(Reply::Done)
}

pub(super) async fn no_image(shared: &DaemonContext, image_id: &ImageId) -> Result<Reply, StoreError> {
    let images = shared.store.reader().present_images(None).await?;
    let known = images.iter().map(|row| (row.image.image_id.as_str(), row.image.name.as_str()));
    Ok(Reply::NotFound { message: config::no_image(image_id.as_str(), known) })
}

pub(super) fn to_reply(reply: Result<Reply, StoreError>) -> Reply {
    reply.unwrap_or_else(|error| Reply::Failed { message: chain(&error) })
}
