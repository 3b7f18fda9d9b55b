//! The four promises, counted from the history and from the simulator's record.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::configuration::SLOTS;
use crate::adapters::store::BakeRow;

/// The list of a name in the simulator's record.
pub(super) fn of<'a>(world: &'a Value, name: &str) -> &'a [Value] {
    world[name].as_array().map_or(&[], Vec::as_slice)
}

pub(super) struct Claim {
    pub(super) holds: bool,
    pub(super) words: String,
}

pub(super) fn claims(rows: &[BakeRow], world: &Value) -> [Claim; 4] {
    [accounted(rows), once(world), kept(world), restarted(world)]
}

fn calls(world: &Value, action: &str) -> usize {
    of(world, "calls").iter().filter(|call| call["action"] == action).count()
}

fn tag<'a>(image: &'a Value, key: &str) -> &'a str {
    image["tags"][key].as_str().unwrap_or_default()
}

fn accounted(rows: &[BakeRow]) -> Claim {
    let ended = rows.iter().filter(|row| row.is_ended() && row.reason.is_some()).count();
    let good = rows.iter().filter(|row| row.state == "succeeded").count();
    let failed = rows.iter().filter(|row| row.state == "failed").count();
    Claim {
        holds: rows.len() == SLOTS && ended == SLOTS && good == SLOTS - 1 && failed == 1,
        words: format!(
            "{SLOTS} slots were due, {} have a row, {ended} ended with a reason: {good} good, {failed} failed",
            rows.len()
        ),
    }
}

fn once(world: &Value) -> Claim {
    let images = of(world, "images");
    let mut per_slot: HashMap<(&str, &str), usize> = HashMap::new();
    for image in images {
        *per_slot.entry((tag(image, "imagebaked:line"), tag(image, "imagebaked:slot"))).or_default() += 1;
    }
    let most = per_slot.values().copied().max().unwrap_or_default();
    Claim {
        holds: most == 1 && per_slot.len() == SLOTS - 1,
        words: format!(
            "{} create calls, two refused and one answer lost, made {} images for {} slots, never more than {most} for one",
            calls(world, "CreateImageByInstance"),
            images.len(),
            per_slot.len()
        ),
    }
}

fn kept(world: &Value) -> Claim {
    let images = of(world, "images");
    let is_there = |image: &&Value| image["status"] == "AVAILABLE";
    let lines: BTreeSet<&str> = images.iter().map(|image| tag(image, "imagebaked:line")).collect();
    let with_image: BTreeSet<&str> =
        images.iter().filter(is_there).map(|image| tag(image, "imagebaked:line")).collect();
    let deleted = images.iter().filter(|image| !is_there(image));
    let deleted: Vec<&str> = deleted.map(|image| tag(image, "imagebaked:line")).collect();
    Claim {
        holds: lines == with_image && deleted.len() == 2 && deleted.iter().all(|line| *line == "win11-golden"),
        words: format!(
            "{} images were deleted by the rules; each of the {} lines has a good one",
            deleted.len(),
            with_image.len()
        ),
    }
}

fn restarted(world: &Value) -> Claim {
    let cad = of(world, "instances").iter().find(|instance| instance["instance_id"] == "ws-sim0001");
    let status = cad.and_then(|instance| instance["status"].as_str()).unwrap_or("gone");
    let (stops, starts) = (calls(world, "StopWuyingServer"), calls(world, "StartWuyingServer"));
    Claim {
        holds: stops > 0 && starts > 0 && status.eq_ignore_ascii_case("running"),
        words: format!("ws-sim0001 was stopped for its image and started afterwards; it is {status}"),
    }
}
