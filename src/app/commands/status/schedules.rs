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

/// At least so many rows, however small the terminal is.
const LEAST: usize = 3;

/// The rows, and how many of them fit into `most` lines with the heading and the legend; what a schedule waits for stands
/// below its row.
pub(super) fn table(
    context: &Context<'_>,
    schedules: &[ScheduleRow],
    now: DateTime<Utc>,
    most: Option<usize>,
) -> (String, usize) {
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
    let legend = wrapped(LEGEND, 2);
    let mut used = text.lines().count() + legend.lines().count();
    let mut shown = 0;
    for (row, cells) in schedules.iter().zip(cells) {
        let mut lines = String::new();
        let colored = context.color.then(|| colored_strip(&row.results));
        if is_wide {
            lines.push_str(&line(&cells, &widths, colored.as_deref()));
        } else {
            let [mark, name, strip, image, next] = cells;
            lines.push_str(&format!("{mark:2} {name}\n     {}  {image}, next {next}\n", colored.unwrap_or(strip)));
        }
        if let Some(waits_for) = &row.waits_for {
            lines.push_str(&shortened(&wrapped(&format!("     {waits_for}"), 5), most));
            lines.push('\n');
        }
        used += lines.lines().count();
        // One line is for the number of the others.
        if shown >= LEAST && most.is_some_and(|most| used + usize::from(shown + 1 < schedules.len()) > most) {
            break;
        }
        text.push_str(&lines);
        shown += 1;
    }
    text.push_str(&legend);
    text.push('\n');
    (text, shown)
}

/// What a schedule waits for in two lines, where there is an end to them: `why` has the rest.
fn shortened(text: &str, most: Option<usize>) -> String {
    let lines: Vec<&str> = text.lines().collect();
    match lines.as_slice() {
        [first, second, _, ..] if most.is_some() => format!("{first}\n{second} …"),
        _ => text.to_owned(),
    }
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
            problems: Vec::new(),
            results: vec![result("succeeded", None), result("skipped", Some("missed")), result("failed", None)],
            lines: 1,
            lines_with_image: 1,
            no_image_yet: 0,
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
        let (text, _) = table(&context, &[row.clone()], now, None);
        assert_eq!(
            text.lines().take(3).collect::<Vec<_>>(),
            [
                "    SCHEDULE  RESULTS  GOOD IMAGE       NEXT SLOT",
                "!!  golden    +MF      v12, 9h 12m old  Tue 2027-03-02 03:00 +08:00",
                "     bake 7 queued: waits for a builder"
            ]
        );
        let many = vec![row.clone(); 9];
        assert_eq!(table(&context, &many, now, None).1, 9);
        assert_eq!(table(&context, &many, now, Some(14)).1, 5, "two lines each, the heading and the legend");
        assert_eq!(table(&context, &many, now, Some(0)).1, LEAST);
        assert_eq!(shortened("a\nb\nc", Some(9)), "a\nb …");
        assert_eq!(shortened("a\nb\nc", None), "a\nb\nc");
        row.lines = 3;
        assert_eq!(image(&row, now), "1/3: v12, 9h 12m old");
        assert_eq!(colored_strip(&row.results[2..]), "\u{1b}[31;1mF\u{1b}[0m");
    }
}
