//! Tables, times and colours, the same for all commands.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use comfy_table::{ContentArrangement, Table, presets::NOTHING};

/// A table without lines, as wide as the terminal; unlimited into a pipe, so that `grep` finds whole rows.
pub struct Rows {
    table: Table,
    color: bool,
}

impl Rows {
    pub fn new(header: &[&str], color: bool) -> Self {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(header.iter().copied());
        match terminal_size::terminal_size_of(std::io::stdout()) {
            Some((terminal_size::Width(width), _)) => {
                table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width.max(60));
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        Self { table, color }
    }

    pub fn row<S: ToString>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.table.add_row(cells.into_iter().map(|cell| cell.to_string()));
    }

    /// The lines, trimmed on the right, with a line break after each.
    pub fn render(mut self) -> String {
        for column in self.table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let mut text = String::new();
        for line in self.table.to_string().lines() {
            text.push_str(&paint_states(line.trim_end(), self.color));
            text.push('\n');
        }
        text
    }
}

/// Colours the first state word of a line that stands between spaces.
fn paint_states(line: &str, color: bool) -> String {
    if !color {
        return line.to_owned();
    }
    for (word, code) in [
        ("succeeded", "32"),
        ("failed", "31;1"),
        ("skipped", "33"),
        ("unknown", "35"),
        ("building", "36"),
        ("creating", "36"),
        ("stopping", "36"),
        ("starting", "36"),
        ("preparing", "36"),
        ("finishing", "36"),
        ("ready", "36"),
        ("queued", "2"),
    ] {
        let cell = format!("  {word} ");
        if let Some(at) = line.find(&cell) {
            let (before, after) = line.split_at(at);
            return format!("{before}  \u{1b}[{code}m{word}\u{1b}[0m{}", &after[word.len() + 2..]);
        }
    }
    line.to_owned()
}

/// `2027-03-01 03:00:00Z`.
pub fn utc(at: DateTime<Utc>) -> String {
    at.format("%F %TZ").to_string()
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

/// Text for an absent value.
pub const NONE: &str = "-";

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

    #[test]
    fn only_whole_cells_are_painted() {
        assert_eq!(paint_states("1  failed  x", true), "1  \u{1b}[31;1mfailed\u{1b}[0m  x");
        assert_eq!(paint_states("1  ended  it failed", true), "1  ended  it failed");
    }
}
