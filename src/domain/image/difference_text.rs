//! A difference between history and cloud as a sentence.

use std::fmt;

use super::reconcile::Difference;
use crate::domain::{ids::ImageId, time::rfc3339};

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unrecorded { image_id, image_name, status, slot, obstacle, .. } => {
                write!(f, "{image_id} ({image_name}, {status}) carries our tags, but has no row")?;
                if let Some(slot) = slot {
                    write!(f, "; its slot is {}", rfc3339(*slot))?;
                }
                match obstacle {
                    Some(obstacle) => write!(f, "; it gets no row: {obstacle}"),
                    None => Ok(()),
                }
            }
            Self::Returned { bake, state, image_id, image_name, line, slot } => write!(
                f,
                "{image_id} ({image_name}) is AVAILABLE, but in no list: bake {bake} of its slot {} ended {state}; it \
                 belongs to line {line}",
                rfc3339(*slot)
            ),
            Self::Vanished { bake, image_id } => {
                write!(f, "bake {bake} succeeded, but its image {image_id} is not in the cloud any more")
            }
            Self::Doubled { line, slot, images, bake } => {
                let images: Vec<&str> = images.iter().map(ImageId::as_str).collect();
                write!(
                    f,
                    "{} images of line {line} for the slot {}: {}",
                    images.len(),
                    rfc3339(*slot),
                    images.join(", ")
                )?;
                match bake {
                    Some(bake) => write!(f, "; its row is bake {bake}"),
                    None => Ok(()),
                }
            }
            Self::Unknown { bake } => write!(f, "bake {bake} is unknown: its image is still being searched for"),
            Self::VersionBehind { line, history, cloud, in_file } => {
                let absent = if *in_file { "" } else { ", which no schedule of the file has," };
                write!(
                    f,
                    "line {line}{absent} has an image of version {cloud}, but the history has given out {history} so far"
                )
            }
        }
    }
}
