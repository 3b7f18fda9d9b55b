//! Environment variables of a hook: ids and results of the bake go in, names and values come out.

use super::{
    Bake,
    state::{BakeWork, End},
};
use crate::domain::{hooks::Moment, time::rfc3339_seconds};

/// Variables for a hook of `bake`. Credentials are never among them.
pub fn environment(bake: &Bake, work: &BakeWork, end: Option<&End>, moment: Moment) -> Vec<(&'static str, String)> {
    let mut variables = vec![
        ("IMAGEBAKED_HOOK", moment.as_str().to_owned()),
        ("IMAGEBAKED_BAKE_ID", bake.id.to_string()),
        ("IMAGEBAKED_SCHEDULE", bake.schedule.to_string()),
        ("IMAGEBAKED_SCHEDULE_ID", bake.schedule_id.to_string()),
        ("IMAGEBAKED_INSTANCE_ID", bake.instance_id.to_string()),
        ("IMAGEBAKED_LINE", bake.line.to_string()),
        ("IMAGEBAKED_SLOT", rfc3339_seconds(bake.slot)),
    ];
    if work.has_begun() {
        variables.push(("IMAGEBAKED_VERSION", work.version.to_string()));
        variables.push(("IMAGEBAKED_IMAGE_NAME", work.image_name.clone()));
    }
    if let Some(end) = end {
        variables.extend(end.image().map(|image| ("IMAGEBAKED_IMAGE_ID", image.image_id.to_string())));
        variables.push(("IMAGEBAKED_STATE", end.as_str().to_owned()));
        variables.push(("IMAGEBAKED_REASON", end.reason().to_owned()));
    }
    variables
}
