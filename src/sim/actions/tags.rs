//! The operations on the tags of images.

use serde_json::{Value, json};

use super::call::SimCall;
use crate::sim::{codes::SimFailure, params::Params, world::World};

/// The only kind of resource that the pages name for images.
const IMAGES: &str = "CenterImageId";
/// Maximum numbers of images and of tags in one call.
const MOST_IMAGES: usize = 50;
const MOST_TAGS: usize = 20;
/// Maximum number of keys in one call that removes tags, and the lengths of a key.
const MOST_KEYS: usize = 10;
const KEY: std::ops::RangeInclusive<usize> = 1..=128;

fn images(params: &Params) -> Result<Vec<&str>, SimFailure> {
    if params.require("ResourceType")? != IMAGES {
        return Err(SimFailure::invalid("ResourceType"));
    }
    params.require_list("ResourceIds", MOST_IMAGES)
}

/// Adds tags, or changes their values.
pub(super) fn tag_cloud_resources(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    let ids = images(call.params)?;
    let tags = call.params.tags("Tags", MOST_TAGS)?;
    if tags.is_empty() {
        return Err(SimFailure::missing("Tags"));
    }
    let failed: Vec<Value> = ids
        .into_iter()
        .filter_map(|id| Some(failed(id, &world.tag_image(id, MOST_TAGS, &tags, call.now).err()?)))
        .collect();
    Ok(json!({"FailedResources": failed}))
}

/// Removes tags by their keys.
pub(super) fn untag_cloud_resources(world: &mut World, call: &SimCall<'_>) -> Result<Value, SimFailure> {
    let ids = images(call.params)?;
    let keys = call.params.require_list("TagKeys", MOST_KEYS)?;
    if !keys.iter().all(|key| KEY.contains(&key.chars().count())) {
        return Err(SimFailure::invalid("TagKeys"));
    }
    let failed: Vec<Value> =
        ids.into_iter().filter_map(|id| Some(failed(id, &world.untag_image(id, &keys, call.now).err()?))).collect();
    Ok(json!({"FailedResources": failed}))
}

/// A row of `FailedResources`, with the elements that the SDK reads.
fn failed(id: &str, failure: &SimFailure) -> Value {
    json!({"ResourceId": id, "ResourceType": IMAGES, "Code": failure.code, "Message": failure.message})
}
