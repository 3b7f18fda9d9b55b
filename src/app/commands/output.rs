//! Tables, times and colours of all commands.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets::NOTHING};

use crate::domain::{
    calendar::zone::Zone,
    text::{LONGEST_TEXT, clean},
    time::show,
};

/// A table without lines, as wide as the terminal; unlimited into a pipe, so that `grep` finds whole rows.
#[derive(Debug, Clone)]
pub struct Rows {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Columns that a narrow terminal omits, in this order.
    spared: Vec<&'static str>,
    color: bool,
}

/// Minimum width of the last column, which wraps.
const LAST: usize = 24;
/// Between two columns.
const GAP: u16 = 2;

impl Rows {
    pub fn new(header: &[&str], color: bool) -> Self {
        let header = header.iter().copied().map(str::to_owned).collect();
        Self { header, rows: Vec::new(), spared: Vec::new(), color }
    }

    /// On a narrow terminal these columns are omitted, one after the other.
    pub fn sparing(self, spared: &[&'static str]) -> Self {
        Self { spared: spared.to_vec(), ..self }
    }

    pub fn row<S: ToString>(&mut self, cells: impl IntoIterator<Item = S>) {
        let cell = |cell: S| clean(&cell.to_string(), LONGEST_TEXT).into_owned();
        self.rows.push(cells.into_iter().map(cell).collect());
    }

    /// The lines, trimmed on the right, with a line break after each.
    pub fn render(self) -> String {
        let width = terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| width.0.max(60));
        self.render_to(width)
    }

    fn render_to(mut self, width: Option<u16>) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        if let Some(width) = width {
            self.fit(usize::from(width));
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        table.set_header(&self.header);
        table.add_rows(&self.rows);
        let last = self.header.len().saturating_sub(1);
        let fits = width.is_some_and(|width| self.needs() <= usize::from(width));
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((0, GAP));
            if fits && index < last {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        let mut text = String::new();
        for line in table.to_string().lines() {
            text.push_str(&paint_states(line.trim_end(), self.color));
            text.push('\n');
        }
        text
    }

    /// Omits columns until the rest fits.
    fn fit(&mut self, width: usize) {
        for spared in std::mem::take(&mut self.spared) {
            if self.needs() <= width {
                return;
            }
            if let Some(index) = self.header.iter().position(|name| name == spared) {
                self.header.remove(index);
                for row in &mut self.rows {
                    row.remove(index);
                }
            }
        }
    }

    /// Width of all columns without wrapping, except for the last.
    fn needs(&self) -> usize {
        let last = self.header.len().saturating_sub(1);
        let column = |index: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(index)).chain(self.header.get(index));
            let widest = cells.map(|cell| cell.chars().count()).max().unwrap_or_default();
            if index == last { widest.min(LAST) } else { widest + usize::from(GAP) }
        };
        (0..self.header.len()).map(column).sum()
    }
}

/// Colours the first state of a line that stands between spaces.
fn paint_states(line: &str, color: bool) -> String {
    if !color {
        return line.to_owned();
    }
    for (word, code) in [
        ("succeeded", "32"),
        ("failed", "31;1"),
        ("skipped", "33"),
        ("cancelled", "2"),
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
    fn a_narrow_terminal_goes_without_what_can_be_spared_and_breaks_no_word_but_in_the_last_column() {
        let mut rows = Rows::new(&["BAKE", "WHEN", "STATE", "REASON"], false).sparing(&["WHEN"]);
        rows.row(["1", "3h 12m ago, which is long", "succeeded", "one two three four five six seven eight nine ten"]);
        let whole = rows.clone().render_to(Some(72));
        assert!(whole.contains("3h 12m ago, which is long") && whole.contains("succeeded"), "{whole}");
        let narrow = rows.clone().render_to(Some(60));
        assert!(!narrow.contains("WHEN") && narrow.contains("  succeeded  "), "{narrow}");
        assert!(narrow.lines().all(|line| line.chars().count() <= 60), "{narrow}");
        assert_eq!(rows.render_to(None).lines().count(), 2, "a pipe has whole rows");
    }

    #[test]
    fn only_whole_cells_are_painted() {
        assert_eq!(paint_states("1  failed  x", true), "1  \u{1b}[31;1mfailed\u{1b}[0m  x");
        assert_eq!(paint_states("1  ended  it failed", true), "1  ended  it failed");
    }
}
