//! `imagebaked status`: how the daemon is. Without it, what the ledger knows, and exit code 4.

use std::fmt::Write as _;

use super::{
    Context, Exit, Failure, Result, Said,
    output::{NONE, Rows, relative, schedules},
    refused,
};
use crate::{
    clock::{Clock, SystemClock},
    control::{Reply, Request},
    status::{self, LastDay, Running, Status},
    store::{OwedStart, Reader},
};

pub async fn run(context: &Context<'_>) -> Result {
    let config = context.whereabouts()?;
    match context.ask(&config, Request::Status).await {
        Ok(Reply::Status(status)) => {
            let exit = if status.health.ok { Exit::Done } else { Exit::Unhealthy };
            let text =
                if context.json { format!("{}\n", serde_json::to_string(&status)?) } else { text(context, &status) };
            Ok(Said { text, exit })
        }
        Ok(Reply::Failed { message }) => Err(Failure::new(Exit::Unhealthy, message)),
        Ok(other) => Err(refused(other)),
        Err(failure) if failure.exit == Exit::Unreachable => {
            if let Ok(reader) = Reader::open(&config.daemon.state_dir).await {
                let known = status::from_ledger(&reader, SystemClock.now()).await;
                let stopped = reader.owed_starts().await;
                reader.close().await;
                if let (Ok((running, queued, last_day)), Ok(stopped), false) = (known, stopped, context.json) {
                    super::say("The daemon is not reachable; this is what the ledger knows.\n\n");
                    super::say(&work(context, &running, queued, last_day));
                    for OwedStart { bake, schedule, instance, .. } in stopped {
                        super::say(&format!(
                            "Instance {instance} was stopped for bake {bake} of {schedule}; it is started again only once \
                             the daemon runs.\n"
                        ));
                    }
                }
            }
            Err(failure)
        }
        Err(failure) => Err(failure),
    }
}

fn text(context: &Context<'_>, status: &Status) -> String {
    let now = SystemClock.now();
    let mut text = String::new();
    if status.health.ok {
        text.push_str("All is well.\n");
    } else {
        text.push_str("Not well:\n");
        for reason in &status.health.reasons {
            let _ = writeln!(text, "  - {reason}");
        }
    }
    let daemon = &status.daemon;
    let since = daemon.started_at.parse().map(|at| relative(at, now)).unwrap_or_default();
    let _ = writeln!(
        text,
        "\nimagebaked {}, pid {}, started {since}; {}, configuration {}",
        daemon.version,
        daemon.pid,
        schedules(daemon.schedules),
        daemon.config_hash
    );
    let _ = writeln!(text, "  read from    {}", daemon.config_files.join(", "));
    let credentials = daemon.credentials.as_deref().unwrap_or("not needed yet");
    let expiry = daemon.credentials_expire_at.as_ref().map(|at| format!(", until {at}")).unwrap_or_default();
    let _ = writeln!(text, "  credentials  {credentials}{expiry}");
    text.push('\n');
    text.push_str(&work(context, &status.running, status.queued, status.last_day));
    if !status.paused.is_empty() {
        text.push_str("\nPaused\n");
        let mut rows = Rows::new(&["SCHEDULE", "SINCE", "UNTIL", "BY", "WHY"], context.color);
        for pause in &status.paused {
            let until = pause.until.as_deref().unwrap_or("resumed");
            rows.row([&pause.schedule, &pause.since, until, &pause.who, &pause.reason]);
        }
        text.push_str(&rows.render());
    }
    if !status.next.is_empty() {
        text.push_str("\nNext slots\n");
        let mut rows = Rows::new(&["SLOT", "LOCAL", "WHEN", "SCHEDULE", "INSTANCE"], context.color);
        for next in &status.next {
            let when = next.slot.parse().map(|at| relative(at, now)).unwrap_or_default();
            rows.row([&next.slot, &next.local, &when, &next.schedule, &next.instance_id]);
        }
        text.push_str(&rows.render());
    }
    text
}

fn work(context: &Context<'_>, running: &[Running], queued: u64, last_day: LastDay) -> String {
    let mut text = format!(
        "Last 24 hours: {} succeeded, {} failed, {} skipped. Waiting for their turn: {queued}.\n",
        last_day.succeeded, last_day.failed, last_day.skipped
    );
    if running.is_empty() {
        text.push_str("No bake is under way.\n");
        return text;
    }
    text.push_str("\nUnder way\n");
    let mut rows = Rows::new(&["BAKE", "SLOT", "SCHEDULE", "INSTANCE", "STATE", "IMAGE", "WHY"], context.color);
    for bake in running {
        let image = bake.image_id.as_deref().or(bake.image_name.as_deref()).unwrap_or(NONE);
        let why = bake.reason.as_deref().unwrap_or_default();
        rows.row([&bake.id.to_string(), &bake.slot, &bake.schedule, &bake.instance_id, &bake.state, image, why]);
    }
    text.push_str(&rows.render());
    text
}
