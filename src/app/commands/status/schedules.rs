//! The row of each schedule in `status`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use unicode_width::UnicodeWidthStr as _;

use super::{
    super::{
        context::Context,
        output::{NONE, relative, short},
        table::{color_of, terminal_width, wrapped, wrapped_to},
    },
    shorten::{message, shorten_name},
};
use crate::domain::{
    schedule_rows::outcome::Outcome,
    status::{RowMark, ScheduleRow, SlotResult},
};

/// The letters of the results, and what they mean. A failure is seen without colours, too.
const LETTERS: [(char, &str); 8] = [
    ('+', "good"),
    ('F', "failed"),
    ('M', "missed"),
    ('S', "skipped"),
    ('V', "vetoed"),
    ('c', "cancelled"),
    ('>', "running"),
    ('.', "queued"),
];
const HEADER: [&str; 5] = ["", "SCHEDULE", "RESULTS", "GOOD IMAGE", "NEXT SLOT"];
/// A name is not shortened to less than this, except on a very narrow terminal.
const NAME: usize = 12;
/// In place of the next slot.
const PAUSED: &str = "paused";
/// Before how a schedule is paused.
const BELOW: &str = "      ";
/// Maximum number of lines for that.
const LINES_OF_PAUSE: usize = 2;

/// The rows with all that they have; what a schedule waits for stands below its row.
pub(super) fn table(context: &Context<'_>, schedules: &[ScheduleRow], now: DateTime<Utc>) -> String {
    let cells: Vec<[String; 5]> = schedules.iter().map(|row| cells(row, now)).collect();
    let widths = widths(&cells);
    // A terminal that is too narrow shows the name in a line of its own.
    let is_wide = terminal_width().is_none_or(|width| needed(&widths) <= width);
    let mut text = String::new();
    if is_wide {
        text.push_str(&format!("{}\n", line(&HEADER.map(str::to_owned), &widths, None)));
    }
    for (row, cells) in schedules.iter().zip(cells) {
        let colored = context.color.then(|| colored_strip(&row.results));
        if is_wide {
            text.push_str(&format!("{}\n", line(&cells, &widths, colored.as_deref())));
        } else {
            let [mark, name, strip, image, next] = cells;
            text.push_str(&format!("{mark:2} {name}\n     {}  {image}, next {next}\n", colored.unwrap_or(strip)));
        }
        let also_paused = row.paused.as_ref().filter(|paused| row.waits_for.as_ref() != Some(paused));
        for line in row.waits_for.iter().chain(also_paused) {
            text.push_str(&format!("{}\n", wrapped(&format!("     {line}"), 5)));
        }
    }
    text + &wrapped(&legend(&LETTERS), 2) + "\n"
}

/// Rows within a width.
pub(super) struct Lines {
    /// The heading.
    pub(super) header: String,
    /// The lines of each row: how a schedule is paused stands below it where its row has no room.
    pub(super) rows: Vec<Vec<String>>,
    /// What the letters in them mean.
    pub(super) legend: Vec<String>,
}

/// The rows within a width. Where it is short, the next slot is its distance, and then names lose their middle.
pub(super) fn lines(schedules: &[ScheduleRow], now: DateTime<Utc>, width: usize, color: bool) -> Lines {
    let mut cells: Vec<[String; 5]> = schedules.iter().map(|row| cells(row, now)).collect();
    if needed(&widths(&cells)) > width {
        for (cells, row) in cells.iter_mut().zip(schedules) {
            cells[4] = distance(row, now);
        }
    }
    let over = needed(&widths(&cells)).saturating_sub(width);
    let longest = widths(&cells)[1].saturating_sub(over).max(NAME);
    for cells in &mut cells {
        cells[1] = shorten_name(&cells[1], longest);
    }
    let widths = widths(&cells);
    let before: usize = widths[..4].iter().map(|width| width + 2).sum();
    let rows = schedules.iter().zip(cells).map(|(row, mut cells)| {
        // A paused schedule has no next slot, and perhaps room for how it is paused.
        let mut below = row.paused.as_ref().filter(|_| row.next.is_none());
        if let Some(pause) = below.take_if(|pause| pause.width() <= width.saturating_sub(before)) {
            cells[4].clone_from(pause);
        }
        let below = below.map(|pause| message(BELOW, pause, LINES_OF_PAUSE, width, None)).unwrap_or_default();
        let first = line(&cells, &widths, color.then(|| colored_strip(&row.results)).as_deref());
        std::iter::once(first).chain(below).collect()
    });
    let rows = rows.collect();
    let is_used =
        |letter: char| schedules.iter().flat_map(|row| &row.results).any(|result| self::letter(result) == letter);
    let used: Vec<(char, &str)> = LETTERS.into_iter().filter(|(letter, _)| is_used(*letter)).collect();
    let legend = if used.is_empty() { String::new() } else { wrapped_to(&legend(&used), 2, width) };
    Lines {
        header: line(&HEADER.map(str::to_owned), &widths, None),
        rows,
        legend: legend.lines().map(str::to_owned).collect(),
    }
}

fn legend(letters: &[(char, &str)]) -> String {
    let letters: Vec<String> = letters.iter().map(|(letter, word)| format!("{letter} {word}")).collect();
    format!("Results, the newest on the right: {}", letters.join(", "))
}

fn widths(cells: &[[String; 5]]) -> [usize; 5] {
    std::array::from_fn(|column| {
        let widths = cells.iter().map(|cells| cells[column].width());
        widths.max().unwrap_or_default().max(HEADER[column].len())
    })
}

fn needed(widths: &[usize; 5]) -> usize {
    widths.iter().sum::<usize>() + 2 * (widths.len() - 1)
}

/// How far the next slot is.
fn distance(row: &ScheduleRow, now: DateTime<Utc>) -> String {
    match (row.next.as_ref().and_then(|next| next.parse().ok()), &row.paused) {
        (Some(next), _) if row.due => format!("due {}", relative(next, now)),
        (Some(next), _) => relative(next, now),
        (None, Some(_)) => PAUSED.to_owned(),
        (None, None) => NONE.to_owned(),
    }
}

fn cells(row: &ScheduleRow, now: DateTime<Utc>) -> [String; 5] {
    let mark = match row.mark {
        RowMark::NoGoodImage | RowMark::Problem => "!!",
        RowMark::Warning => "!",
        RowMark::Paused | RowMark::Acknowledged | RowMark::NoImageYet | RowMark::Good => "",
    };
    let next = match (&row.next_local, &row.paused) {
        (Some(next), _) if row.due => format!("due since {next}"),
        (Some(next), _) => next.clone(),
        (None, Some(_)) => PAUSED.to_owned(),
        (None, None) => NONE.to_owned(),
    };
    [mark.to_owned(), row.schedule.clone(), strip(&row.results), image(row, now), next]
}

/// One line without its end; `strip` is its third cell in colour.
fn line(cells: &[String; 5], widths: &[usize; 5], strip: Option<&str>) -> String {
    let mut text = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        text.push_str(strip.filter(|_| column == 2).unwrap_or(cell));
        text.push_str(&" ".repeat(width.saturating_sub(cell.width()) + 2));
    }
    text.trim_end().to_owned()
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
    let Some(image) = &row.image else {
        return if row.no_image_yet < row.lines { "none" } else { "none yet" }.to_owned();
    };
    let since: Option<DateTime<Utc>> = image.since.parse().ok();
    // One from a time to come has no age: the clock is behind, or was ahead.
    let age = since.and_then(|since| (now - since).to_std().ok());
    let age = age.map(|age| format!(", {} old", short(Duration::from_secs(age.as_secs().max(1)))));
    let image = format!("v{}{}", image.version, age.unwrap_or_default());
    match row.lines {
        1 => image,
        lines => format!("{}/{lines}: {image}", row.lines_with_image),
    }
}

#[cfg(test)]
pub(super) use tests::row_for_tests;

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use super::*;
    use crate::domain::{
        health::{ProblemCode, Severity},
        status::GoodImage,
    };

    fn result(state: &str, reason_code: Option<&str>) -> SlotResult {
        let reason_code = reason_code.map(str::to_owned);
        SlotResult { bake: 1, slot: "2027-03-01T00:00:00Z".to_owned(), state: state.to_owned(), reason_code }
    }

    pub(in super::super) fn row_for_tests(name: &str) -> ScheduleRow {
        ScheduleRow {
            schedule: name.to_owned(),
            id: name.to_owned(),
            severity: Some(Severity::Problem),
            problems: vec![ProblemCode::BakeFailed],
            mark: RowMark::Problem,
            results: vec![result("succeeded", None), result("failed", None)],
            lines: 1,
            lines_with_image: 1,
            no_image_yet: 0,
            image: Some(GoodImage {
                line: name.to_owned(),
                image_id: "imgc-1".to_owned(),
                image_name: format!("{name}-1"),
                version: 12,
                since: "2027-03-01T00:00:00Z".to_owned(),
            }),
            next: Some("2027-03-01T19:00:00Z".to_owned()),
            next_local: Some("Tue 2027-03-02 03:00 +08:00".to_owned()),
            waits_for: None,
            due: false,
            paused: None,
        }
    }

    #[test]
    fn a_row_has_results_image_and_next_slot_and_below_it_what_it_waits_for() {
        let context = Context { config_path: Path::new("x"), environment: BTreeMap::new(), json: false, color: false };
        let mut row = ScheduleRow {
            results: vec![result("succeeded", None), result("skipped", Some("missed")), result("failed", None)],
            waits_for: Some("bake 7 queued: waits for a builder".to_owned()),
            ..row_for_tests("golden")
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
        (row.image, row.no_image_yet) = (None, 3);
        assert_eq!(image(&row, now), "none yet");
        row.no_image_yet = 2;
        assert_eq!(image(&row, now), "none", "a line of it had slots");
    }

    #[test]
    fn each_schedule_has_one_line_of_the_width() {
        let now = "2027-03-01T09:12:00Z".parse().unwrap();
        let good = row_for_tests("win11-golden-with-a-long-name-of-the-department");
        let paused = ScheduleRow {
            next: None,
            next_local: None,
            // Its open bake goes on.
            waits_for: Some("bake 7 building: CREATING".to_owned()),
            paused: Some("paused by ann until it is resumed: patch day of the whole department".to_owned()),
            ..row_for_tests("lab")
        };
        let rows = [good, paused];
        let Lines { header, rows: lines, legend } = lines(&rows, now, 80, false);
        assert!(header.starts_with("    SCHEDULE") && header.ends_with("NEXT SLOT"), "{header}");
        assert!(
            lines[0][0].starts_with("!!  win11-golden-with")
                && lines[0][0].ends_with("department  +F       v12, 9h 12m old  in 9h 48m"),
            "{lines:?}"
        );
        assert!(lines[1][0].ends_with("  paused"), "{lines:?}");
        assert_eq!(lines[1][1], "      paused by ann until it is resumed: patch day of the whole department");
        assert_eq!(legend, ["Results, the newest on the right: + good, F failed"]);
        for width in 60..160 {
            let Lines { header, rows: lines, legend } = self::lines(&rows, now, width, false);
            let all = lines.iter().flatten().chain([&header]).chain(&legend);
            assert!(all.clone().all(|line| line.width() <= width), "{width}: {lines:?}");
            let text: Vec<_> = all.map(|line| line.trim()).collect();
            assert!(
                text.join(" ").contains("paused by ann until it is resumed: patch day of the whole department"),
                "{text:?}"
            );
        }
        assert!(self::lines(&rows, now, 160, false).rows[0][0].contains("department  +F"), "whole where there is room");
    }
}
