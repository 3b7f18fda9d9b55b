//! The hash of the effective configuration.

use std::{
    collections::{HashMap, hash_map},
    sync::Arc,
    time::Duration,
};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::settings::{CloudSettings, DaemonSettings};
use crate::domain::{
    catch_up::CatchUp,
    ids::InstanceId,
    schedule::{Channel, Instances, Keep, Overlap, Schedule},
};

/// Hashed properties of a schedule besides its settings.
#[derive(Serialize)]
struct Identity<'a> {
    id: &'a str,
    name: &'a str,
    instances: &'a [InstanceId],
    many: bool,
    cron: Vec<&'a str>,
    jitter: Duration,
    rules: (CatchUp, Duration, Overlap, bool),
    max_image_age: Option<Duration>,
    keep: Option<&'a Keep>,
    channels: &'a [Channel],
    settings: usize,
}

/// Twelve hex digits that change with any effective value.
///
/// # Errors
///
/// A value cannot be written as JSON.
pub(super) fn hash(
    cloud: &CloudSettings,
    daemon: &DaemonSettings,
    schedules: &[Arc<Schedule>],
) -> serde_json::Result<String> {
    let mut hasher = Sha256::new();
    serde_json::to_writer(&mut hasher, &(cloud, daemon))?;
    // Shared settings are hashed once; later schedules refer to them by number.
    let mut numbers = HashMap::new();
    for schedule in schedules {
        let next = numbers.len();
        let number = match numbers.entry(Arc::as_ptr(&schedule.settings)) {
            hash_map::Entry::Occupied(known) => *known.get(),
            hash_map::Entry::Vacant(new) => {
                serde_json::to_writer(&mut hasher, &*schedule.settings)?;
                *new.insert(next)
            }
        };
        let identity = Identity {
            id: schedule.id.as_str(),
            name: schedule.name.as_str(),
            instances: schedule.instances.as_slice(),
            many: matches!(schedule.instances, Instances::Many(_)),
            cron: schedule.timing.expressions().collect(),
            jitter: schedule.timing.jitter(),
            rules: (schedule.catch_up, schedule.catch_up_window, schedule.overlap, schedule.paused),
            max_image_age: schedule.max_image_age,
            keep: schedule.keep.as_ref(),
            channels: &schedule.channels,
            settings: number,
        };
        serde_json::to_writer(&mut hasher, &identity)?;
    }
    let mut hash = hex::encode(hasher.finalize());
    hash.truncate(12);
    Ok(hash)
}
