//! Checks what a scene left, from outside: the simulator has every image that was ever made, the scene has every slot that came
//! due. The daemon's output counts only where it is itself checked.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

/// How old a use must be before a deletion of its image counts as wrong: a delete call may have been sent before it.
const ON_ITS_WAY: TimeDelta = TimeDelta::seconds(3);

/// A slot that comes while the clock is wrong, or this long before, may be processed by that clock.
const BY_A_WRONG_CLOCK: TimeDelta = TimeDelta::seconds(4);

/// Which promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A due slot without a row, or whose row did not end with a reason code.
    SlotLost,
    /// A slot without an image although the cloud could make one.
    SlotFailed,
    /// Two rows or two good images of one slot.
    SlotDoubled,
    /// A good image is gone that should stay, or an image that is not ours.
    ImageDeleted,
    /// History and cloud contradict each other.
    Untrue,
    /// An instance does not run.
    InstanceOff,
    /// `status` reports a problem that does not exist any more, or the daemon died.
    Unhealthy,
}

/// One broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub kind: Kind,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.what)
    }
}

/// The slots of one instance of one schedule, as the scene planned them.
#[derive(Debug, Clone)]
pub struct Planned {
    pub schedule: String,
    pub instance: String,
    pub line: String,
    pub slots: Vec<DateTime<Utc>>,
    /// `keep.last`.
    pub keep: Option<usize>,
    /// Reason codes with which a slot may end without an image.
    pub excused: BTreeSet<&'static str>,
}

/// A time during which an image may not be deleted.
#[derive(Debug, Clone)]
pub struct Protected {
    pub image: String,
    pub from: DateTime<Utc>,
    pub until: Option<DateTime<Utc>>,
}

/// Everything that is checked.
#[derive(Debug, Default)]
pub struct Evidence {
    pub planned: Vec<Planned>,
    pub began_at: DateTime<Utc>,
    pub ended_at: DateTime<Utc>,
    /// `GET /_sim/state`.
    pub world: Value,
    /// `history --json`.
    pub rows: Vec<Value>,
    /// Images that were made by hand under the names of slots.
    pub by_hand: BTreeSet<String>,
    /// Images in use, and since when.
    pub used: Vec<Protected>,
    pub pinned: Vec<Protected>,
    /// The times at which the daemon's clock was wrong.
    pub wrong_clock: Vec<(DateTime<Utc>, DateTime<Utc>)>,
}

/// An image of the simulator's state.
struct Image<'a> {
    id: &'a str,
    status: &'a str,
    owner: Option<&'a str>,
    line: &'a str,
    slot: &'a str,
    version: i64,
    available_from: Option<DateTime<Utc>>,
    deleted_at: Option<DateTime<Utc>>,
}

impl<'a> Image<'a> {
    fn read(value: &'a Value) -> Self {
        let tag = |key: &str| value["tags"][format!("imagebaked:{key}")].as_str();
        Self {
            id: value["image_id"].as_str().unwrap_or_default(),
            status: value["status"].as_str().unwrap_or_default(),
            owner: tag("owner"),
            line: tag("line").unwrap_or_default(),
            slot: tag("slot").unwrap_or_default(),
            version: tag("version").and_then(|text| text.parse().ok()).unwrap_or_default(),
            available_from: instant(&value["available_from"]),
            deleted_at: instant(&value["deleted_at"]),
        }
    }

    fn was_good_at(&self, at: DateTime<Utc>) -> bool {
        self.available_from.is_some_and(|from| from <= at) && self.deleted_at.is_none_or(|deleted| deleted > at)
    }

    fn ever_good(&self, now: DateTime<Utc>) -> bool {
        self.available_from.is_some_and(|from| from <= self.deleted_at.unwrap_or(now))
    }
}

pub fn instant(value: &Value) -> Option<DateTime<Utc>> {
    value.as_str().and_then(|text| text.parse().ok())
}

/// Whether a row is still open. A row of a future slot, written while the clock was ahead, does not count.
pub fn is_unfinished(row: &Value, now: DateTime<Utc>) -> bool {
    let waits = row["state"] == "queued" && instant(&row["slot"]).is_some_and(|slot| slot > now);
    row["finished_at"].is_null() && !waits
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_default()
}

impl Protected {
    fn holds_at(&self, at: DateTime<Utc>, slack: TimeDelta) -> bool {
        self.from + slack <= at && self.until.is_none_or(|until| at < until)
    }
}

impl Evidence {
    /// Every broken promise; empty where all are kept.
    pub fn judge(&self) -> Vec<Violation> {
        let images: Vec<Image<'_>> = self.world["images"].as_array().into_iter().flatten().map(Image::read).collect();
        let mut found = Vec::new();
        self.judge_slots(&mut found);
        self.judge_rows(&images, &mut found);
        self.judge_doubles(&images, &mut found);
        self.judge_deletions(&images, &mut found);
        self.judge_instances(&mut found);
        found
    }

    /// Promise 1.
    fn judge_slots(&self, found: &mut Vec<Violation>) {
        for planned in &self.planned {
            for slot in &planned.slots {
                let name = format!("{} {} {slot}", planned.schedule, planned.instance);
                let rows: Vec<&Value> = self.rows.iter().filter(|row| covers_slot(row, planned, *slot)).collect();
                let row = match rows[..] {
                    [] => {
                        found.push(Violation { kind: Kind::SlotLost, what: format!("{name} has no row") });
                        continue;
                    }
                    [row] => row,
                    _ => {
                        found.push(Violation {
                            kind: Kind::SlotDoubled,
                            what: format!("{name} has {} rows", rows.len()),
                        });
                        continue;
                    }
                };
                let (state, reason, code) = (text(row, "state"), text(row, "reason"), row["reason_code"].as_str());
                if row["finished_at"].is_null() {
                    found.push(Violation {
                        kind: Kind::SlotLost,
                        what: format!("{name}, bake {}, has not ended: {state}: {reason}", row["id"]),
                    });
                } else if state != "succeeded" {
                    match code {
                        None => found.push(Violation {
                            kind: Kind::SlotLost,
                            what: format!("{name}, bake {}, ended {state} without a reason code: {reason}", row["id"]),
                        }),
                        Some(code) if !planned.excused.contains(code) && !self.is_missed_by_clock(code, *slot) => found
                            .push(Violation {
                                kind: Kind::SlotFailed,
                                what: format!("{name}, bake {}, ended {state}, {code}: {reason}", row["id"]),
                            }),
                        Some(_) => {}
                    }
                }
            }
        }
    }

    /// Whether a slot is missed because the clock was wrong when it came.
    fn is_missed_by_clock(&self, code: &str, slot: DateTime<Utc>) -> bool {
        ["missed", "superseded", "clock_ahead"].contains(&code)
            && self.wrong_clock.iter().any(|(from, until)| slot <= *until && *from <= slot + BY_A_WRONG_CLOCK)
    }

    /// Rows against images.
    fn judge_rows(&self, images: &[Image<'_>], found: &mut Vec<Violation>) {
        let mut untrue = |what: String| found.push(Violation { kind: Kind::Untrue, what });
        for row in &self.rows {
            let (line, state, id) = (text(row, "line"), text(row, "state"), &row["id"]);
            let Some(slot) = instant(&row["slot"]) else { continue };
            let image = images.iter().find(|image| image.id == text(row, "image_id"));
            // A manual bake is of the time that the clock showed.
            if slot < self.began_at && row["trigger"] != "manual" {
                untrue(format!("bake {id} of {line} covers {slot}, before its schedule was known"));
            }
            if is_unfinished(row, self.ended_at) {
                untrue(format!(
                    "bake {id} of {line}, slot {slot}, is open although all is idle: {state}: {}",
                    text(row, "reason")
                ));
            }
            if self.by_hand.contains(text(row, "image_id")) {
                untrue(format!("bake {id} of {line} took image {} of other hands", text(row, "image_id")));
            }
            let made = |image: &&Image<'_>| {
                image.line == line && instant(&Value::from(image.slot)) == Some(slot) && image.ever_good(self.ended_at)
            };
            if state == "succeeded" {
                match image {
                    None => untrue(format!("bake {id} of {line} succeeded without an image: {}", row["image_id"])),
                    Some(image) if !made(&image) => {
                        untrue(format!(
                            "bake {id} of {line}, slot {slot}, succeeded with {}, {}",
                            image.id, image.status
                        ));
                    }
                    Some(_) => {}
                }
            } else if let Some(image) = images.iter().find(made) {
                untrue(format!("bake {id} of {line} ended {state}, and there is its good image {}", image.id));
            }
        }
        for image in images.iter().filter(|image| image.owner.is_some() && image.ever_good(self.ended_at)) {
            if instant(&Value::from(image.slot)).is_none_or(|slot| slot > self.ended_at) {
                untrue(format!(
                    "image {} of {} is of the slot {}, which has not come yet",
                    image.id, image.line, image.slot
                ));
            }
            if !self
                .rows
                .iter()
                .any(|row| text(row, "line") == image.line && instant(&row["slot"]) == instant(&image.slot.into()))
            {
                untrue(format!("image {} of {}, slot {}, is in no row", image.id, image.line, image.slot));
            }
        }
    }

    /// Promise 2.
    fn judge_doubles(&self, images: &[Image<'_>], found: &mut Vec<Violation>) {
        let mut made: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for image in images.iter().filter(|image| image.owner.is_some() && image.ever_good(self.ended_at)) {
            made.entry((image.line, image.slot)).or_default().push(image.id);
        }
        for ((line, slot), ids) in made.iter().filter(|(_, ids)| ids.len() > 1) {
            found.push(Violation {
                kind: Kind::SlotDoubled,
                what: format!("{line} {slot} has the images {}", ids.join(", ")),
            });
        }
    }

    /// Promise 3.
    fn judge_deletions(&self, images: &[Image<'_>], found: &mut Vec<Violation>) {
        let mut gone = |what: String| found.push(Violation { kind: Kind::ImageDeleted, what });
        for image in images {
            if self.by_hand.contains(image.id) && image.status != "AVAILABLE" {
                gone(format!("{}, made by hand, is {}", image.id, image.status));
            }
            let Some(at) = image.deleted_at else { continue };
            if image.owner.is_none() {
                gone(format!("{}, not ours, was deleted at {at}", image.id));
                continue;
            }
            let keep = self.planned.iter().find(|planned| planned.line == image.line).and_then(|planned| planned.keep);
            let Some(keep) = keep else {
                gone(format!("{} of {}, which has no `keep`, was deleted at {at}", image.id, image.line));
                continue;
            };
            if image.ever_good(at) {
                let left: Vec<&Image<'_>> = images
                    .iter()
                    .filter(|other| other.id != image.id && other.line == image.line && other.was_good_at(at))
                    .collect();
                if !left.iter().any(|other| other.version > image.version) {
                    gone(format!(
                        "{} v{}, the last good one of {}, was deleted at {at}",
                        image.id, image.version, image.line
                    ));
                } else if left.len() < keep {
                    gone(format!(
                        "{} of {} was deleted at {at} and left {} of {keep}",
                        image.id,
                        image.line,
                        left.len()
                    ));
                }
            }
        }
        for call in self.world["calls"].as_array().into_iter().flatten().filter(|call| call["action"] == "DeleteImage")
        {
            let (Some(at), image) = (instant(&call["at"]), text(call, "image_id")) else { continue };
            if self.used.iter().any(|used| used.image == image && used.holds_at(at, ON_ITS_WAY)) {
                gone(format!("the cloud was asked at {at} to delete {image}, which is in use"));
            }
            if self.pinned.iter().any(|pin| pin.image == image && pin.holds_at(at, TimeDelta::zero())) {
                gone(format!("the cloud was asked at {at} to delete {image}, which is pinned"));
            }
        }
        for planned in &self.planned {
            let newest = images
                .iter()
                .filter(|image| image.line == planned.line && image.owner.is_some())
                .filter(|image| image.available_from.is_some_and(|from| from <= self.ended_at))
                .max_by_key(|image| image.version);
            if let Some(newest) = newest.filter(|newest| newest.status != "AVAILABLE") {
                gone(format!("{}, the newest of {}, is {}", newest.id, planned.line, newest.status));
            }
        }
    }

    /// Promise 4.
    fn judge_instances(&self, found: &mut Vec<Violation>) {
        for instance in self.world["instances"].as_array().into_iter().flatten() {
            let (id, status) = (text(instance, "instance_id"), text(instance, "status"));
            if self.planned.iter().any(|planned| planned.instance == id) && !status.eq_ignore_ascii_case("running") {
                found.push(Violation { kind: Kind::InstanceOff, what: format!("{id} is {status}") });
            }
        }
    }
}

/// Whether a row is the row of a slot, alone or together with others.
fn covers_slot(row: &Value, planned: &Planned, slot: DateTime<Utc>) -> bool {
    if text(row, "schedule") != planned.schedule || text(row, "instance_id") != planned.instance {
        return false;
    }
    let (first, last) = (instant(&row["first_slot"]), instant(&row["slot"]));
    match row["slot_count"].as_u64() {
        Some(2..) => first.is_some_and(|first| first <= slot) && last.is_some_and(|last| slot <= last),
        _ => last == Some(slot),
    }
}

/// The broken promises of a good world after one change.
#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    fn image(id: &str, version: i64) -> Value {
        json!({
            "image_id": id, "status": "AVAILABLE", "available_from": at(version * 10 + 1), "deleted_at": null,
            "tags": {
                "imagebaked:owner": "imagebaked", "imagebaked:line": "kept",
                "imagebaked:slot": at(version * 10).to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
                "imagebaked:version": version.to_string(),
            },
        })
    }

    fn row(id: i64) -> Value {
        json!({
            "id": id, "schedule": "kept", "instance_id": "ecd-kept", "line": "kept", "slot": at(id * 10), "slot_count": 1,
            "first_slot": at(id * 10), "state": "succeeded", "image_id": format!("imgc-{id}"), "finished_at": at(id * 10 + 2),
        })
    }

    /// Three slots of a line that keeps two images: the oldest has been deleted.
    fn good() -> Evidence {
        let mut images: Vec<Value> = (1..=3).map(|version| image(&format!("imgc-{version}"), version)).collect();
        images[0]["status"] = json!("DELETE");
        images[0]["deleted_at"] = json!(at(33));
        images.push(json!({"image_id": "imgc-hand", "status": "AVAILABLE", "tags": {}, "available_from": at(5)}));
        Evidence {
            planned: vec![Planned {
                schedule: "kept".to_owned(),
                instance: "ecd-kept".to_owned(),
                line: "kept".to_owned(),
                slots: (1..=3).map(|n| at(n * 10)).collect(),
                keep: Some(2),
                excused: BTreeSet::from(["overlap"]),
            }],
            began_at: at(0),
            ended_at: at(60),
            world: json!({
                "images": images,
                "instances": [{"instance_id": "ecd-kept", "status": "Running"}, {"instance_id": "ecd-other", "status": "Stopped"}],
                "calls": [{"action": "DeleteImage", "at": at(33), "image_id": "imgc-1"}],
            }),
            rows: (1..=3).map(row).collect(),
            by_hand: BTreeSet::from(["imgc-hand".to_owned()]),
            used: vec![Protected { image: "imgc-1".to_owned(), from: at(12), until: Some(at(20)) }],
            pinned: Vec::new(),
            wrong_clock: Vec::new(),
        }
    }

    /// The kinds that are found after this change.
    fn found(change: impl FnOnce(&mut Evidence)) -> BTreeSet<Kind> {
        let mut evidence = good();
        change(&mut evidence);
        evidence.judge().into_iter().map(|violation| violation.kind).collect()
    }

    #[test]
    fn a_good_world_has_no_violation() {
        assert_eq!(good().judge(), []);
    }

    #[test]
    fn every_kind_of_loss_is_found() {
        let only = |kind| BTreeSet::from([kind]);
        assert!(found(|e| drop(e.rows.remove(1))).contains(&Kind::SlotLost));
        assert!(found(|e| e.rows[1]["finished_at"] = json!(null)).contains(&Kind::SlotLost));
        assert!(found(|e| e.rows.push(row(2))).contains(&Kind::SlotDoubled));
        let failed = |code: Value| {
            move |e: &mut Evidence| {
                e.rows[1]["state"] = json!("failed");
                e.rows[1]["reason_code"] = code;
                e.world["images"][1]["available_from"] = json!(null);
                e.world["images"][1]["status"] = json!("CREATE_FAILED");
                e.world["images"][0]["status"] = json!("AVAILABLE");
                e.world["images"][0]["deleted_at"] = json!(null);
            }
        };
        assert_eq!(found(failed(json!(null))), only(Kind::SlotLost));
        assert_eq!(found(failed(json!("refused"))), only(Kind::SlotFailed));
        assert_eq!(found(failed(json!("overlap"))), BTreeSet::new());
        let missed = |from: i64, until: i64| {
            found(|e| {
                failed(json!("missed"))(e);
                e.wrong_clock = vec![(at(from), at(until))];
            })
        };
        assert_eq!(missed(19, 21), BTreeSet::new(), "the clock was wrong when it came");
        assert_eq!(missed(10, 19), only(Kind::SlotFailed), "the clock had been set right");
        // One row that covers two slots, and one for three of two.
        let coalesce = |from: i64| {
            move |e: &mut Evidence| {
                failed(json!("overlap"))(e);
                e.rows.remove(0);
                e.rows[0]["slot_count"] = json!(2);
                e.rows[0]["first_slot"] = json!(at(from));
                e.world["images"][0]["available_from"] = json!(null);
            }
        };
        assert_eq!(found(coalesce(10)), BTreeSet::new());
        assert_eq!(found(coalesce(20)), only(Kind::SlotLost));
    }

    #[test]
    fn a_second_image_of_a_slot_is_found() {
        let double = found(|e| {
            let mut second = image("imgc-9", 3);
            second["tags"]["imagebaked:version"] = json!("4");
            e.world["images"].as_array_mut().unwrap().push(second);
        });
        assert!(double.contains(&Kind::SlotDoubled));
    }

    #[test]
    fn every_wrong_deletion_is_found() {
        let only = BTreeSet::from([Kind::ImageDeleted]);
        let delete = |n: usize, second: i64| {
            move |e: &mut Evidence| {
                e.world["images"][n]["status"] = json!("DELETE");
                e.world["images"][n]["deleted_at"] = json!(at(second));
            }
        };
        assert_eq!(found(delete(2, 40)), only, "the newest");
        assert_eq!(found(delete(0, 15)), only, "it was the last good one then");
        assert_eq!(found(delete(1, 40)), only, "two should have been left");
        assert_eq!(found(delete(3, 40)), only, "made by hand");
        assert_eq!(found(|e| e.planned[0].keep = None), only, "no rule asked for it");
        assert_eq!(found(|e| e.used[0].until = None), only, "in use");
        let pin = Protected { image: "imgc-1".to_owned(), from: at(32), until: None };
        assert_eq!(found(|e| e.pinned.push(pin)), only, "pinned");
    }

    #[test]
    fn history_and_cloud_that_contradict_each_other_are_found() {
        assert!(found(|e| e.rows[2]["image_id"] = json!("imgc-2")).contains(&Kind::Untrue));
        assert!(found(|e| e.rows[2]["image_id"] = json!("imgc-hand")).contains(&Kind::Untrue));
        let failed = found(|e| {
            e.rows[2]["state"] = json!("skipped");
            e.rows[2]["reason_code"] = json!("overlap");
        });
        assert_eq!(failed, BTreeSet::from([Kind::Untrue]), "its image is there");
        assert_eq!(found(|e| e.ended_at = at(25)), BTreeSet::from([Kind::Untrue]), "an image of the future");
        assert_eq!(found(|e| e.began_at = at(15)), BTreeSet::from([Kind::Untrue]), "a row from before");
    }

    #[test]
    fn an_instance_that_is_left_off_is_found() {
        assert_eq!(
            found(|e| e.world["instances"][0]["status"] = json!("STOPPED")),
            BTreeSet::from([Kind::InstanceOff])
        );
    }
}
