//! `imagebaked check`: is the configuration right, and what will it do?

use std::collections::HashSet;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;

use super::{
    Context, Exit, Said,
    forecast::{Ledger, outlasting},
    output::{Rows, relative, schedules, utc},
};
use crate::{
    cli::CheckArgs,
    clock::{Clock, SystemClock},
    config::{self, Config},
    ids::InstanceId,
    schedule::Schedule,
};

pub async fn run(context: &Context<'_>, args: &CheckArgs) -> Said {
    let path = args.file.as_deref().unwrap_or(context.config_path);
    let now = SystemClock.now();
    match config::load(path, &context.environment) {
        Ok(loaded) => {
            let next = next_slots(&loaded.config, now, args.next);
            // A file can be checked anywhere: where no ledger can be read there is nothing to expect.
            let ledger = Ledger::read(&loaded.config.daemon.state_dir).await.unwrap_or_default();
            let expected = outlasting(&loaded.config, &ledger, now);
            if context.json {
                let next: Vec<_> = next
                    .iter()
                    .map(|(slot, schedule, instance)| {
                        json!({
                            "schedule": schedule.name,
                            "slot": slot.to_rfc3339_opts(SecondsFormat::Secs, true),
                            "local": slot.with_timezone(&schedule.timing.zone()).to_rfc3339(),
                            "instance_id": instance,
                        })
                    })
                    .collect();
                let report = json!({
                    "ok": true,
                    "problems": loaded.warnings.to_json(),
                    "schedules": loaded.config.schedules.len(),
                    "config_hash": loaded.config.hash,
                    "next": next,
                    "warnings": expected,
                });
                return Said::done(format!("{report}\n"));
            }
            let mut text = String::new();
            if !loaded.warnings.is_empty() {
                text.push_str(&loaded.warnings.render(context.color));
                text.push('\n');
            }
            text.push_str(&summary(&loaded.config, path));
            if !next.is_empty() {
                text.push_str("\nNext slots:\n");
                let mut rows = Rows::new(&["SLOT", "LOCAL", "WHEN", "SCHEDULE", "INSTANCE"], context.color);
                for (slot, schedule, instance) in next {
                    let local = slot.with_timezone(&schedule.timing.zone()).format("%a %F %R %Z").to_string();
                    rows.row([utc(slot), local, relative(slot, now), schedule.name.to_string(), instance.to_string()]);
                }
                text.push_str(&rows.render());
            }
            for warning in expected {
                text.push_str(&format!("\nwarning: {warning}\n"));
            }
            Said::done(text)
        }
        Err(problems) => {
            let text = if context.json {
                format!("{}\n", json!({ "ok": false, "problems": problems.to_json() }))
            } else {
                problems.render(context.color)
            };
            Said { text, exit: Exit::Usage }
        }
    }
}

fn summary(config: &Config, path: &std::path::Path) -> String {
    let instances: HashSet<_> = config.schedules.iter().flat_map(|schedule| schedule.instances.as_slice()).collect();
    let paused = config.schedules.iter().filter(|schedule| schedule.paused).count();
    let more = match config.files.len() {
        0 | 1 => String::new(),
        n => format!(" and {} more", n - 1),
    };
    let paused = if paused == 0 { String::new() } else { format!(", {paused} of them paused") };
    format!(
        "{}{more}: all right. {}{paused}, {} {}. Configuration {}.\n",
        path.display(),
        schedules(config.schedules.len()),
        instances.len(),
        if instances.len() == 1 { "instance" } else { "instances" },
        config.hash,
    )
}

/// The next `n` slots of all schedules that are not paused.
fn next_slots(config: &Config, now: DateTime<Utc>, n: usize) -> Vec<(DateTime<Utc>, &Schedule, &InstanceId)> {
    let mut next: Vec<(DateTime<Utc>, usize, &Schedule)> = config
        .schedules
        .iter()
        .enumerate()
        .filter(|(_, schedule)| !schedule.paused)
        .filter_map(|(index, schedule)| Some((schedule.timing.next_after(now)?, index, &**schedule)))
        .collect();
    next.sort_unstable_by_key(|(slot, index, _)| (*slot, *index));
    next.into_iter()
        .flat_map(|(slot, _, schedule)| schedule.instances.as_slice().iter().map(move |one| (slot, schedule, one)))
        .take(n)
        .collect()
}
