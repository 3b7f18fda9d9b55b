//! Times, numbers and tables of all commands.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

pub use super::table::{NONE, Rows};
use crate::domain::{calendar::zone::Zone, time::show};

/// Zones of the schedules, by name and id; that of the host for all else.
#[derive(Debug)]
pub struct Zones {
    /// Of what belongs to no schedule.
    pub host: Zone,
    /// Of the schedules that do not have the host's.
    pub schedules: HashMap<String, Zone>,
}

impl Zones {
    /// Shows an instant in the zone of a schedule.
    pub fn show(&self, at: DateTime<Utc>, schedule: &str) -> String {
        show(at, self.schedules.get(schedule).copied().unwrap_or(self.host))
    }
}

/// `in 3h 12m`, `5m ago`, `now`: two units at most.
pub fn relative(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let distance = at - now;
    if distance.abs() < TimeDelta::seconds(1) {
        "now".to_owned()
    } else if distance > TimeDelta::zero() {
        format!("in {}", short(distance.to_std().unwrap_or_default()))
    } else {
        format!("{} ago", short((-distance).to_std().unwrap_or_default()))
    }
}

/// `3h 12m`: two units at most.
pub fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes, rest) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if seconds == 0 => format!("{}ms", duration.as_millis()),
        (0, 0, 0) => format!("{rest}s"),
        (0, 0, _) => format!("{minutes}m {rest}s"),
        (0, _, _) => format!("{hours}h {minutes}m"),
        (_, _, _) => format!("{days}d {hours}h"),
    }
}

/// `1 schedule`, `2 schedules`.
pub fn schedules(n: usize) -> String {
    if n == 1 { "1 schedule".to_owned() } else { format!("{n} schedules") }
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
    fn relative_times_have_two_units() {
        let now: DateTime<Utc> = "2027-03-01T00:00:00Z".parse().unwrap();
        assert_eq!(relative(now + TimeDelta::seconds(11_520), now), "in 3h 12m");
        assert_eq!(relative(now - TimeDelta::seconds(61), now), "1m 1s ago");
        assert_eq!(relative(now + TimeDelta::days(2) + TimeDelta::hours(5), now), "in 2d 5h");
        assert_eq!(relative(now, now), "now");
    }

    #[test]
    fn numbers_can_be_read() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 1023, 1024, 1_572_864].map(bytes), ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 MiB"]);
    }
}
