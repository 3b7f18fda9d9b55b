//! The region and the image of an instance, as lists show them.

use crate::sim::world::{SimulatedInstance, World};

/// Whether something is listed in that region.
pub(super) fn is_in(region: Option<&String>, asked: &str) -> bool {
    region.is_none_or(|region| region == asked)
}

/// The image of an instance without one of its own: every instance is made from some image.
const SYSTEM_IMAGE: (&str, &str) = ("desktopimage-windows-11-64-asp", "Windows 11");

/// The image of an instance, as a list of this service shows it.
pub(super) fn image_of(
    world: &World,
    instance: &SimulatedInstance,
    of_desktop_service: bool,
) -> (String, Option<String>) {
    match instance.image_id.as_deref() {
        Some(id) => world.shown_image(id, instance.image_name.as_deref(), of_desktop_service),
        None => (SYSTEM_IMAGE.0.to_owned(), Some(SYSTEM_IMAGE.1.to_owned())),
    }
}
