//! Policies of the lines, from the configuration.

use std::collections::BTreeMap;

use crate::{
    adapters::config::Config,
    domain::{ids::LineId, image::Policy, schedule::Schedule},
};

/// Policies of all lines.
pub(super) fn all(config: &Config) -> BTreeMap<LineId, Policy> {
    of(config, |_| true)
}

/// Policies of the lines with rules or channels: ten thousand schedules without them cost nothing.
pub(super) fn with_rules(config: &Config) -> BTreeMap<LineId, Policy> {
    of(config, |schedule| schedule.keep.is_some() || !schedule.channels.is_empty() || schedule.max_image_age.is_some())
}

fn of(config: &Config, wanted: impl Fn(&Schedule) -> bool) -> BTreeMap<LineId, Policy> {
    let mut policies = BTreeMap::new();
    for schedule in config.schedules.iter().filter(|schedule| wanted(schedule)) {
        for instance in schedule.instances.as_slice() {
            policies.insert(
                schedule.line(instance),
                Policy {
                    schedule: schedule.name.clone(),
                    zone: schedule.timing.zone(),
                    keep: schedule.keep.clone(),
                    channels: schedule.channels.clone(),
                },
            );
        }
    }
    policies
}
