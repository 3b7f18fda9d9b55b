//! The bakes of the show while they run: in place on a terminal, line by line elsewhere.

use std::{collections::HashMap, io::IsTerminal as _, path::Path, time::Duration};

use super::{
    super::{
        outcome::Result,
        output::NONE,
        table::Rows,
        terminal::{control, print_text},
    },
    configuration::SLOTS,
};
use crate::{
    adapters::store::{BakeRow, Filter, Reader},
    domain::clock::{Clock as _, SystemClock},
};

/// Maximum duration of each part of the show.
pub(super) const BOUND: Duration = Duration::from_mins(1);
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(150);

/// The history, once the daemon has made it.
pub(super) async fn reader(state_dir: &Path) -> Result<Reader> {
    let give_up = tokio::time::Instant::now() + BOUND;
    loop {
        match Reader::open(state_dir).await {
            Ok(reader) => return Ok(reader),
            Err(error) if tokio::time::Instant::now() > give_up => return Err(error.into()),
            Err(_) => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

/// Shows the bakes as they change, until every slot has ended.
pub(super) async fn watch(reader: &Reader, color: bool) -> Result<Vec<BakeRow>> {
    let live = std::io::stdout().is_terminal();
    let give_up = tokio::time::Instant::now() + BOUND;
    let mut shown = 0;
    let mut reported: HashMap<i64, String> = HashMap::new();
    loop {
        let mut rows = reader.history(&Filter { limit: 50, ..Filter::default() }).await?;
        rows.reverse();
        if live {
            shown = redraw(&rows, shown, color);
        } else {
            for row in &rows {
                let line = line(row);
                if reported.get(&row.id) != Some(&line) {
                    print_text(&format!("{} {line}\n", SystemClock.now().format("%T")));
                    reported.insert(row.id, line);
                }
            }
        }
        let over = rows.len() >= SLOTS && rows.iter().all(BakeRow::is_ended);
        if over || tokio::time::Instant::now() > give_up {
            return Ok(rows);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

fn line(row: &BakeRow) -> String {
    format!("bake {} {:<13} {:<12} {}", row.id, row.schedule, row.instance_id, row.state)
}

/// Draws the table over the last one; returns its height.
fn redraw(rows: &[BakeRow], shown: usize, color: bool) -> usize {
    let mut table = Rows::new(&["BAKE", "SCHEDULE", "INSTANCE", "STATE", "V", "IMAGE"], color);
    for row in rows {
        let version = row.version.map_or_else(|| NONE.to_owned(), |version| version.to_string());
        let image = row.image_id.as_deref().unwrap_or(NONE);
        table.row([&row.id.to_string(), &row.schedule, &row.instance_id, &row.state, &version, image]);
    }
    let text = table.render();
    if shown > 0 {
        control(&format!("\u{1b}[{shown}A"));
    }
    control("\u{1b}[J");
    print_text(&text);
    text.lines().count()
}
