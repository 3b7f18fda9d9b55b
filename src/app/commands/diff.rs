//! Text of a configuration change: for `plan --diff` before it applies, and for `reload`.

use std::path::Path;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::{
    context::Context,
    outcome::{CommandOutput, Result},
    output::{Rows, Zones},
    prune,
    table::{screen, terminal_width, wrapped_lines},
    terminal::{print_error, with_config},
};
use crate::{
    adapters::{
        config::{self, Config},
        store::{Reader, StoreError},
    },
    app::daemon,
    domain::{
        clock::{Clock, SystemClock},
        error::chain,
        image::change::{Change, Counts},
        plan::diff::{Diff, KeyChange},
        time::show,
    },
};

/// Entries of each list into a pipe.
const TABLE_LIMIT: usize = 100;

/// `plan --diff`: compares the configuration on disk with the same one with another main file.
pub async fn run(
    context: &Context<'_>,
    current: &Config,
    file: &Path,
    (from, until): (DateTime<Utc>, DateTime<Utc>),
    limit: Option<usize>,
) -> Result {
    let edited = config::load_in_place_of(context.config_path, file, &context.environment)
        .map_err(|problems| context.refused(&problems))?
        .config;
    let diff = edited.diff(current, from, until);
    let (images, in_cloud) = images_of(context, current, &edited).await.unzip();
    let in_cloud: Vec<String> = in_cloud.unwrap_or_default();
    if context.json {
        let report = json!({
            "from": from.to_rfc3339(),
            "until": until.to_rfc3339(),
            "old_config_hash": current.hash,
            "new_config_hash": edited.hash,
            "needs_restart": edited.needs_restart(current),
            "summary": diff.summary(),
            "diff": diff,
            "image_counts": images.as_ref().map(|images| images.counts),
            "images_going": images.as_ref().map(|images| &images.going),
            "images_staying": images.as_ref().map(|images| &images.staying),
            "in_cloud": in_cloud,
            "orphans": images.as_ref().map(|images| &images.orphans),
        });
        return Ok(CommandOutput::done(format!("{report}\n")));
    }
    // The file may be the edited one itself.
    let is_edited = edited.fingerprint != current.fingerprint && config::fingerprint(file) == edited.fingerprint;
    let old = if is_edited && config::fingerprint(context.config_path) != current.fingerprint {
        "the configuration in force".to_owned()
    } else {
        context.config_path.display().to_string()
    };
    let paths = (file.display(), old);
    if diff.is_empty() {
        return Ok(CommandOutput::done(format!("{} changes nothing of {}.\n", paths.0, paths.1)));
    }
    let zone = context.main_zone(current);
    let head =
        format!("{} in place of {}, slots from {} to {}:\n", paths.0, paths.1, show(from, zone), show(until, zone));
    let mut tail = String::new();
    let keys = edited.restart_keys(current);
    if !keys.is_empty() {
        tail.push_str(&format!("\nAt the next start of the daemon, not at a reload: {}.\n", keys.join(", ")));
    }
    tail.extend(in_cloud.iter().map(|sentence| format!("warning: {sentence}.\n")));
    let zones = context.zones(current);
    let whole = |shown: usize| {
        let images = images.as_ref().map(|change| self::images(&zones, context.color, change, shown));
        format!("{head}{}{}{tail}", render(context, &diff, shown), images.unwrap_or_default())
    };
    let text = match limit {
        Some(limit) => whole(limit),
        None => fitted(screen(), TABLE_LIMIT, whole, "--limit N shows more of each list\n"),
    };
    Ok(CommandOutput::done(text))
}

/// A text whose lists have as many entries as a terminal of so many lines has room for, with what to do for more of them;
/// `most` entries where there is no terminal.
pub(super) fn fitted(lines: Option<usize>, most: usize, text: impl Fn(usize) -> String, more: &str) -> String {
    let whole = text(most);
    let Some(lines) = lines else { return whole };
    let height = |text: &str| wrapped_lines(&with_config(text), terminal_width()).lines().count();
    if height(&whole) <= lines {
        return whole;
    }
    let shorter = || [12, 8, 6, 4, 3, 2].into_iter().filter(|shown| *shown < most);
    let fits = shorter().map(&text).find(|text| height(text) + height(more) <= lines);
    format!("{}{more}", fits.unwrap_or_else(|| text(1)))
}

/// The whole diff for people, at most `shown` entries of each list.
pub fn render(context: &Context<'_>, diff: &Diff, shown: usize) -> String {
    let mut text = format!("{}.\n", capital(&diff.summary()));
    let counts = &diff.counts;
    section(&mut text, diff.settings.iter().map(key), counts.settings, shown);
    section(&mut text, diff.added.iter().map(|one| format!("+ {}", one.name)), counts.added, shown);
    section(&mut text, diff.removed.iter().map(|one| format!("- {}", one.name)), counts.removed, shown);
    let changed = diff.changed.iter().map(|one| {
        let keys: Vec<_> = one.keys.iter().map(|change| format!("\n    {}", key(change))).collect();
        format!("~ {}{}", one.name, keys.concat())
    });
    section(&mut text, changed, counts.changed, shown);
    text.push_str(&slots(context, diff, shown));
    for (what, instances, count) in
        [("No longer covered", &diff.uncovered, counts.uncovered), ("Newly covered", &diff.covered, counts.covered)]
    {
        if let Some((first, rest)) = instances.split_first() {
            let rest: String = rest.iter().take(shown).map(|one| format!(", {one}")).collect();
            let more = count.saturating_sub(shown + 1);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            text.push_str(&format!("\n{what}: {first}{rest}{more}\n"));
        }
    }
    for lost in diff.lost_lines.iter().take(shown) {
        text.push_str(&format!(
            "\nwarning: {} looks like {} under a new name, and would begin a new line of images; add `id = \"{}\"` to \
             go on with the old one\n",
            lost.name, lost.id, lost.id
        ));
    }
    text
}

/// Effect of the change on the images of the history, and on how they are found; `None`, with a warning on standard error, if the history is
/// unreadable.
async fn images_of(context: &Context<'_>, current: &Config, edited: &Config) -> Option<(Change, Vec<String>)> {
    let read = async {
        let reader = match Reader::open(&context.state_dir(current).await).await {
            Ok(reader) => reader,
            Err(StoreError::Missing { .. }) => return Ok((Change::default(), Vec::new())),
            Err(error) => return Err(error),
        };
        let change = daemon::change_of_images(&reader, current, edited, SystemClock.now()).await;
        let in_cloud = daemon::identity_changes(&reader, current, edited).await;
        reader.close().await;
        Ok((change?, in_cloud?))
    };
    read.await
        .map_err(|error| {
            let error = chain(&error);
            print_error(&format!(
                "warning: the history cannot be read, so the effect of the edit on images is unknown: {error}"
            ));
        })
        .ok()
}

/// Images that the two configurations treat differently, at most `shown` of each kind.
pub fn images(zones: &Zones, color: bool, change: &Change, shown: usize) -> String {
    let Counts { going, staying, orphans } = change.counts;
    let mut text = String::new();
    let kinds = [
        ("are deleted by the new rules, and kept by the old ones", &change.going, going),
        ("are kept by the new rules, and deleted by the old ones", &change.staying, staying),
        ("lose their line, and stay until somebody deletes them", &change.orphans, orphans),
    ];
    for (what, images, count) in kinds {
        if images.is_empty() {
            continue;
        }
        text.push_str(&format!("\nImages that {what}: {count}\n"));
        text.push_str(&prune::table(zones, color, images.iter().take(shown)));
        if count > shown {
            text.push_str(&format!("… and {} more.\n", count - shown));
        }
    }
    text
}

fn slots(context: &Context<'_>, diff: &Diff, shown: usize) -> String {
    let mut all: Vec<(DateTime<Utc>, [String; 4])> = Vec::new();
    let mut add = |at, what: &str, schedule: &dyn ToString, instance: &dyn ToString, local: String| {
        all.push((at, [what.to_owned(), local, schedule.to_string(), instance.to_string()]));
    };
    for one in &diff.slots_moved {
        let was = one.from.with_timezone(&one.timezone);
        let text = format!("{} (was {})", show(one.to, one.timezone), was.format("%R"));
        add(one.to, "moved", &one.schedule, &one.instance_id, text);
    }
    for (what, slots) in [("added", &diff.slots_added), ("gone", &diff.slots_gone)] {
        for one in slots {
            add(one.slot, what, &one.schedule, &one.instance_id, show(one.slot, one.timezone));
        }
    }
    if all.is_empty() {
        return String::new();
    }
    all.sort();
    let mut rows = Rows::new(&["", "SLOT", "SCHEDULE", "INSTANCE"], context.color);
    for (_, cells) in all.iter().take(shown) {
        rows.row(cells.iter().cloned());
    }
    let mut text = format!("\n{}", rows.render());
    let counts = &diff.counts;
    let more = (counts.slots_added + counts.slots_gone + counts.slots_moved).saturating_sub(shown);
    if more > 0 {
        text.push_str(&format!("… and {more} more.\n"));
    }
    text
}

fn section(text: &mut String, lines: impl ExactSizeIterator<Item = String>, count: usize, shown: usize) {
    if lines.len() == 0 {
        return;
    }
    text.push('\n');
    for line in lines.take(shown) {
        text.push_str(&format!("  {line}\n"));
    }
    if count > shown {
        text.push_str(&format!("  … and {} more\n", count - shown));
    }
}

fn key(change: &KeyChange) -> String {
    format!("{}: {} → {}", change.key, change.old, change.new)
}

fn capital(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
