//! Times, numbers and tables of all commands.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

pub use super::table::{NONE, Rows};
pub use crate::domain::time::{show_brief as short, show_relative as relative};
use crate::domain::{calendar::zone::Zone, text::counted, time::show};

/// The zones of an answer: what belongs to a schedule is shown in the schedule's, all else in one.
#[derive(Debug)]
pub struct Zones {
    /// Of what belongs to no schedule: that of most schedules.
    pub main: Zone,
    /// Of the schedules, by name and id.
    pub schedules: HashMap<String, Zone>,
}

impl Zones {
    /// Shows an instant in the zone of a schedule.
    pub fn show(&self, at: DateTime<Utc>, schedule: &str) -> String {
        show(at, self.of(schedule))
    }

    /// The zone of a schedule.
    pub fn of(&self, schedule: &str) -> Zone {
        self.schedules.get(schedule).copied().unwrap_or(self.main)
    }

    /// The zone for the rest of an answer about these schedules: theirs, if they have one.
    pub fn common<'a>(&self, schedules: impl IntoIterator<Item = &'a str>) -> Zone {
        let mut zones = schedules.into_iter().map(|schedule| self.of(schedule));
        let first = zones.next().unwrap_or(self.main);
        if zones.all(|zone| zone == first) { first } else { self.main }
    }
}

/// `1 schedule`, `2 schedules`.
pub fn schedules(n: usize) -> String {
    counted(n, "schedule", "schedules")
}

/// `1,234,567`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `12.3 MiB`: one digit after the point, from KiB on.
pub fn bytes(n: u64) -> String {
    let mut tenths = n.saturating_mul(10);
    let mut unit = "bytes";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = larger;
    }
    if unit == "bytes" { format!("{n} bytes") } else { format!("{}.{} {unit}", tenths / 10, tenths % 10) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_zone_of_its_schedules_or_that_of_most() {
        let [main, other] = ["Asia/Shanghai", "Europe/Berlin"].map(|name| Zone::find(name).unwrap());
        let of = |name: &str, zone| (name.to_owned(), zone);
        let zones = Zones { main, schedules: [of("a", other), of("b", other), of("c", main)].into() };
        assert!(zones.common(["a", "b"]) == other && zones.common(["a", "c"]) == main && zones.common([]) == main);
        assert!(zones.of("a") == other && zones.of("unknown") == main);
    }

    #[test]
    fn numbers_can_be_read() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1023, 1024, 1_572_864].map(bytes), ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 MiB"]);
    }
}
