//! Identity of a bake's image: the name and tags that are searched for, and the values of the name template.

use super::{Bake, event::PollPolicy, naming::Values, state::BakeWork};
use crate::domain::api::identity::Identity;

/// Name, tags and evidence by which the image of `bake` is recognised.
pub fn identity(bake: &Bake, work: &BakeWork, pace: &PollPolicy) -> Identity {
    Identity {
        owner: work.owner.as_ref().unwrap_or(&pace.owner).clone(),
        schedule_id: bake.schedule_id.clone(),
        line: bake.line.clone(),
        slot: bake.slot,
        version: work.version,
        image_name: work.image_name.clone(),
        evidence: work.evidence.clone(),
        gmt_offset: pace.gmt_offset,
    }
}

/// Template values of `bake` at `version`.
pub fn values(bake: &Bake, version: u32) -> Values<'_> {
    Values {
        name: bake.schedule.as_str(),
        id: bake.schedule_id.as_str(),
        instance_id: bake.instance_id.as_str(),
        slot: bake.slot,
        zone: bake.settings.timezone,
        version,
    }
}
