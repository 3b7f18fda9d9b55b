//! The rules of time zones, compared with an independent reading of the same release: `tests/data/zones.txt`, which
//! `tests/data/zones.py` writes.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use chrono::{DateTime, Utc};
use imagebaked::domain::calendar::{
    Timing,
    zone::{self, Zone},
};
use sha2::{Digest, Sha256};

const READING: &str = include_str!("data/zones.txt");
const DAY: i64 = 86_400;
/// The first instant of 2038.
const END: i64 = 2_145_916_800;

/// `instant:offset` for 1970 and each change of the offset until 2037.
fn changes(zone: Zone) -> String {
    let mut text = String::new();
    let mut before = zone.offset_at(0);
    writeln!(text, "0:{before}").unwrap();
    for day in (DAY..=END).step_by(86_400) {
        let after = zone.offset_at(day);
        if after != before {
            let (mut low, mut high) = (day - DAY, day);
            while high - low > 1 {
                let middle = i64::midpoint(low, high);
                if zone.offset_at(middle) == after { high = middle } else { low = middle }
            }
            writeln!(text, "{high}:{after}").unwrap();
            before = after;
        }
    }
    text
}

#[test]
fn every_zone_agrees_with_an_independent_reading_of_the_release() {
    let mut lines = READING.lines();
    assert_eq!(lines.next().unwrap(), format!("# {}", zone::Release::built_in().version()));
    let reading: BTreeMap<&str, &str> = lines.map(|line| line.split_once(' ').unwrap()).collect();
    assert!(reading.len() > 500);
    // Europe/Dublin and similar zones differ in which half of the year is daylight saving time, not in their offsets.
    let differ: Vec<_> = reading
        .iter()
        .filter(|(name, hash)| {
            let Some(zone) = Zone::find(name) else { return true };
            hex::encode(Sha256::digest(changes(zone))) != **hash
        })
        .map(|(name, _)| *name)
        .collect();
    assert_eq!(differ, Vec::<&str>::new());
    let unread: Vec<_> = zone::names().filter(|name| !reading.contains_key(name)).collect();
    assert_eq!(unread, Vec::<&str>::new());
}

#[test]
fn havana_is_on_the_time_of_the_newest_release() {
    let havana = Timing::parse(&["0 3 * * *"], Zone::find("America/Havana").unwrap(), Duration::ZERO, "x").unwrap();
    let eve: DateTime<Utc> = "2026-11-25T12:00:00Z".parse().unwrap();
    assert_eq!(havana.next_after(eve).unwrap().to_rfc3339(), "2026-11-26T07:00:00+00:00");
}
