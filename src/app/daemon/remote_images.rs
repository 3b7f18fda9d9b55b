//! Lists images of the cloud and converts them to the domain's type.

use crate::{
    adapters::cloud::{
        CloudClient,
        actions::{Image, ListImage},
    },
    domain::api::{
        call::{ApiError, ErrorClass},
        gmt_offset,
        identity::{ImageStatus, RemoteImage, TAG_OWNER},
    },
};

/// All images that carry the owner's tag.
pub(super) async fn owned_images(cloud: &CloudClient, owner: &str) -> Result<Vec<Image>, ApiError> {
    let filter = ListImage { tags: [(TAG_OWNER.to_owned(), owner.to_owned())].into(), ..ListImage::default() };
    match cloud.list_all_images(&filter).await {
        // The credentials may have been replaced since they were read.
        Err(error) if error.class == ErrorClass::Credential => {
            cloud.renew_after(&error).await?;
            cloud.list_all_images(&filter).await
        }
        listed => listed,
    }
}

/// Converts a listed image.
pub(super) fn remote_image(image: &Image) -> RemoteImage {
    RemoteImage {
        image_id: image.image_id.clone(),
        version_id: image.version_id.clone(),
        name: image.image_name.clone().unwrap_or_default(),
        status: ImageStatus::parse(image.status.as_str()),
        tags: image.tags.clone(),
        kind: image.image_type.clone(),
        made_at: image.gmt_create.as_deref().and_then(gmt_offset::parse),
    }
}
