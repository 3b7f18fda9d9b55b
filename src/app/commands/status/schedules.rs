//! The row of each schedule in `status`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use unicode_width::UnicodeWidthStr as _;

use super::super::{
    context::Context,
    output::{NONE, short},
    table::{color_of, terminal_width, wrapped},
};
use crate::domain::{
    health::Severity,
    schedule_rows::outcome::Outcome,
    status::{ScheduleRow, SlotResult},
};

/// The letters of the results, and what they mean. A failure is seen without colours, too.
const LEGEND: &str = "Results, the newest on the right: + good, F failed, M missed, S skipped, V vetoed, c cancelled, > running, . queued";

/// The rows; what a schedule waits for stands below its row.
pub(super) fn table(context: &Context<'_>, schedules: &[ScheduleRow], now: DateTime<Utc>) -> String {
    let cells: Vec<[String; 5]> = schedules.iter().map(|row| cells(row, now)).collect();
    let header = ["", "SCHEDULE", "RESULTS", "GOOD IMAGE", "NEXT SLOT"];
    let width_of = |column: usize| {
        let widths = cells.iter().map(|cells| cells[column].width());
        widths.max().unwrap_or_default().max(header[column].len())
    };
    let widths: [usize; 5] = std::array::from_fn(width_of);
    // A terminal that is too narrow shows the name in a line of its own.
    let needed: usize = widths.iter().sum::<usize>() + 2 * (widths.len() - 1);
    let is_wide = terminal_width().is_none_or(|width| needed <= width);
    let mut text = String::new();
    if is_wide {
        text.push_str(&line(&header.map(str::to_owned), &widths, None));
    }
    for (row, cells) in schedules.iter().zip(cells) {
        let colored = context.color.then(|| colored_strip(&row.results));
        if is_wide {
            text.push_str(&line(&cells, &widths, colored.as_deref()));
        } else {
            let [mark, name, strip, image, next] = cells;
            text.push_str(&format!("{mark:2} {name}\n     {}  {image}, next {next}\n", colored.unwrap_or(strip)));
        }
        if let Some(waits_for) = &row.waits_for {
            text.push_str(&wrapped(&format!("     {waits_for}\n"), 5));
        }
    }
    text.push_str(&wrapped(LEGEND, 2));
    text.push('\n');
    text
}

fn cells(row: &ScheduleRow, now: DateTime<Utc>) -> [String; 5] {
    let mark = match row.severity {
        Some(Severity::Problem) => "!!",
        Some(Severity::Warning) => "!",
        None => "",
    };
    let next = row.next_local.as_deref().unwrap_or(NONE);
    [mark.to_owned(), row.schedule.clone(), strip(&row.results), image(row, now), next.to_owned()]
}

/// One line; `strip` is its third cell in colour.
fn line(cells: &[String; 5], widths: &[usize; 5], strip: Option<&str>) -> String {
    let mut text = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        text.push_str(strip.filter(|_| column == 2).unwrap_or(cell));
        text.push_str(&" ".repeat(width.saturating_sub(cell.width()) + 2));
    }
    format!("{}\n", text.trim_end())
}

/// One letter per slot, the newest last.
fn strip(results: &[SlotResult]) -> String {
    if results.is_empty() { NONE.to_owned() } else { results.iter().map(letter).collect() }
}

fn letter(result: &SlotResult) -> char {
    match Outcome::of(&result.state) {
        Outcome::Succeeded => '+',
        Outcome::Failed => 'F',
        Outcome::Skipped if result.reason_code.as_deref() == Some("missed") => 'M',
        Outcome::Skipped => 'S',
        Outcome::Vetoed => 'V',
        Outcome::Cancelled => 'c',
        Outcome::Queued => '.',
        Outcome::Running | Outcome::Unknown => '>',
    }
}

/// The same in colour.
fn colored_strip(results: &[SlotResult]) -> String {
    if results.is_empty() {
        return NONE.to_owned();
    }
    let colored = |result: &SlotResult| match color_of(&result.state) {
        Some(code) => format!("\u{1b}[{code}m{}\u{1b}[0m", letter(result)),
        None => letter(result).to_string(),
    };
    results.iter().map(colored).collect()
}

/// `v12, 9h 12m`; of several lines how many have one, and the oldest of the newest.
fn image(row: &ScheduleRow, now: DateTime<Utc>) -> String {
    let Some(image) = &row.image else { return "none yet".to_owned() };
    let since: Option<DateTime<Utc>> = image.since.parse().ok();
    let seconds = since.map(|since| (now - since).num_seconds().unsigned_abs()).unwrap_or_default();
    let image = format!("v{}, {} old", image.version, short(Duration::from_secs(seconds.max(1))));
    match row.lines {
        1 => image,
        lines => format!("{}/{lines}: {image}", row.lines_with_image),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use super::*;
    use crate::domain::status::GoodImage;

    fn result(state: &str, reason_code: Option<&str>) -> SlotResult {
        let reason_code = reason_code.map(str::to_owned);
        SlotResult { bake: 1, slot: "2027-03-01T00:00:00Z".to_owned(), state: state.to_owned(), reason_code }
    }

    #[test]
    fn a_row_has_results_image_and_next_slot_and_below_it_what_it_waits_for() {
        let context = Context { config_path: Path::new("x"), environment: BTreeMap::new(), json: false, color: false };
        let mut row = ScheduleRow {
            schedule: "golden".to_owned(),
            id: "golden".to_owned(),
            severity: Some(Severity::Problem),
            results: vec![result("succeeded", None), result("skipped", Some("missed")), result("failed", None)],
            lines: 1,
            lines_with_image: 1,
            image: Some(GoodImage {
                line: "golden".to_owned(),
                image_id: "imgc-1".to_owned(),
                image_name: "golden-1".to_owned(),
                version: 12,
                since: "2027-03-01T00:00:00Z".to_owned(),
            }),
            next: None,
            next_local: Some("Tue 2027-03-02 03:00 +08:00".to_owned()),
            waits_for: Some("bake 7 queued: waits for a builder".to_owned()),
        };
        let now = "2027-03-01T09:12:00Z".parse().unwrap();
        let text = table(&context, &[row.clone()], now);
        assert_eq!(
            text.lines().take(3).collect::<Vec<_>>(),
            [
                "    SCHEDULE  RESULTS  GOOD IMAGE       NEXT SLOT",
                "!!  golden    +MF      v12, 9h 12m old  Tue 2027-03-02 03:00 +08:00",
                "     bake 7 queued: waits for a builder"
            ]
        );
        row.lines = 3;
        assert_eq!(image(&row, now), "1/3: v12, 9h 12m old");
        assert_eq!(colored_strip(&row.results[2..]), "\u{1b}[31;1mF\u{1b}[0m");
    }
}
