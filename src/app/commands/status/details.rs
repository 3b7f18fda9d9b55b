//! What `status` shows of the daemon itself: its configuration, credentials, backups, tasks and housekeeping.

use std::{fmt::Write as _, time::Duration};

use chrono::{DateTime, Utc};

use super::{
    super::{
        context::Context,
        output::{NONE, Rows, bytes, relative, schedules, short},
    },
    parts::distance,
};
use crate::domain::{
    api::mode::ONLY_OBSERVES,
    status::{Backups, Daemon, FailingBackups, GoodBackup, HousekeepingJob, OnDisk, Status, TaskError, Zones},
    time::show,
};

/// What differs from the usual: one line each.
pub(super) fn state_of_configuration(status: &Status) -> Vec<String> {
    let mut lines = Vec::new();
    match status.daemon.config_on_disk {
        OnDisk::InForce => {}
        OnDisk::Edited => {
            lines.push("The configuration was edited since, not reloaded: `imagebaked reload`".to_owned());
        }
        OnDisk::Refused => lines.push("The configuration was edited since, and refused: `imagebaked check`".to_owned()),
    }
    let keys = &status.daemon.restart_required;
    if !keys.is_empty() {
        lines.push(format!("Not in force before a restart: {} (systemctl restart imagebaked)", keys.join(", ")));
    }
    if status.daemon.mode.is_observe() {
        lines.push(format!("Mode observe: {ONLY_OBSERVES}; slots are recorded and not baked, no image is deleted."));
    }
    lines
}

/// Before the values of the lines about the process, and before what follows one that is too long.
pub(super) const INDENT: usize = 15;

/// One line about the process.
pub(super) fn brief(status: &Status, now: DateTime<Utc>) -> String {
    let mut text = process(&status.daemon, now);
    text.push_str(&credentials(&status.daemon, now));
    if let Some(backups) = status.backup.as_ref().filter(|backups| backups.failing.is_some()) {
        text.push_str(&last_backup(backups, now));
    }
    text
}

/// All about the process.
pub(super) fn whole(context: &Context<'_>, status: &Status, now: DateTime<Utc>) -> String {
    let daemon = &status.daemon;
    let mut text = process(daemon, now);
    let _ = writeln!(text, "  read from    {}", daemon.config_files.join(", "));
    let _ = writeln!(text, "  history      {}", daemon.state_dir);
    text.push_str(&credentials(daemon, now));
    if let Some(Zones { release, source }) = &daemon.zones {
        let _ = writeln!(text, "  time zones   release {release} ({source})");
    }
    if let Some(backups) = &status.backup {
        text.push_str(&last_backup(backups, now));
    }
    text.push_str(&image_tasks(context, status, now));
    text.push_str(&housekeeping(context, &status.housekeeping, now));
    text
}

fn process(daemon: &Daemon, now: DateTime<Utc>) -> String {
    let since = distance(&daemon.started_at, now);
    format!(
        "\nimagebaked {}, pid {}, started {since}; {}, configuration {}\n",
        daemon.version,
        daemon.pid,
        schedules(daemon.schedules),
        daemon.config_hash
    )
}

/// Where the key comes from, and whose it is.
fn credentials(daemon: &Daemon, now: DateTime<Utc>) -> String {
    let source = daemon.credentials.as_deref().unwrap_or("none in use yet");
    let accepted = daemon.credentials_accepted_at.as_ref().map(|at| format!(", accepted {}", distance(at, now)));
    let mut text = format!("  credentials  {source}{}\n", accepted.unwrap_or_default());
    if let Some(key_id) = &daemon.credentials_key_id {
        let owner = daemon.credentials_identity.as_ref().map(|arn| format!(", {arn}")).unwrap_or_default();
        let _ = writeln!(text, "               key {key_id}{owner}");
    }
    if let Some(end) = daemon.credentials_expire_at.as_ref().and_then(|at| at.parse().ok()) {
        let _ = writeln!(text, "               until {} ({})", show(end, daemon.zone()), relative(end, now));
    }
    text
}

fn image_tasks(context: &Context<'_>, status: &Status, now: DateTime<Utc>) -> String {
    if status.image_tasks.is_empty() {
        return String::new();
    }
    let mut rows = Rows::new(&["TASK", "LAST RUN", "NEXT RUN", "RESULT"], context.color);
    let when = |at: Option<&String>| at.and_then(|at| at.parse().ok()).map(|at| relative(at, now));
    for task in &status.image_tasks {
        let last = when(task.last_run.as_ref()).unwrap_or_else(|| NONE.to_owned());
        let next = when(task.next_run.as_ref()).unwrap_or_else(|| "after a change".to_owned());
        let is_standing = task.last_error.as_ref().is_some_and(|error| Some(&error.at) == task.last_run.as_ref());
        let result = result(task.last_run.is_some(), task.last_error.as_ref(), is_standing, now);
        rows.row([&task.name, &last, &next, &result]);
    }
    format!("\nImage tasks\n{}", rows.render())
}

/// The result of the last run, with the instant of an error: an older one is not taken for it.
fn result(has_run: bool, error: Option<&TaskError>, is_standing: bool, now: DateTime<Utc>) -> String {
    let when = |error: &TaskError| error.at.parse().map_or_else(|_| error.at.clone(), |at| relative(at, now));
    match error {
        Some(error) if is_standing => format!("failed {}: {}", when(error), error.message),
        Some(error) => format!("succeeded; before that, failed {}: {}", when(error), error.message),
        None if has_run => "succeeded".to_owned(),
        None => NONE.to_owned(),
    }
}

fn last_backup(backups: &Backups, now: DateTime<Utc>) -> String {
    let last = match &backups.last_good {
        Some(GoodBackup { file, at, bytes: size, .. }) => format!("{}, {}: {file}", distance(at, now), bytes(*size)),
        None => format!("none in {} yet", backups.dir),
    };
    let mut text = format!("  last backup  {last}\n");
    if let Some(FailingBackups { since, .. }) = &backups.failing {
        let since = since.parse().map_or_else(|_| since.clone(), |at| relative(at, now));
        let _ = writeln!(text, "               failing, for the first time {since}");
    }
    text
}

fn housekeeping(context: &Context<'_>, jobs: &[HousekeepingJob], now: DateTime<Utc>) -> String {
    if jobs.is_empty() {
        return String::new();
    }
    let mut rows = Rows::new(&["JOB", "LAST RUN", "DURATION", "NEXT RUN", "RESULT"], context.color);
    for job in jobs {
        let when = |at: &Option<String>| at.as_ref()?.parse().ok().map(|at| relative(at, now));
        let last = match &job.running_since {
            Some(_) => format!("running, began {}", when(&job.running_since).unwrap_or_default()),
            None => when(&job.last_run).unwrap_or_else(|| NONE.to_owned()),
        };
        let took = job.last_run_seconds.and_then(|took| Duration::try_from_secs_f64(took).ok()).map(short);
        let next = when(&job.next_run).unwrap_or_else(|| NONE.to_owned());
        let result = result(job.last_run.is_some(), job.last_error.as_ref(), job.standing_error().is_some(), now);
        rows.row([&job.name, &last, &took.unwrap_or_else(|| NONE.to_owned()), &next, &result]);
    }
    format!("\nHousekeeping\n{}", rows.render())
}
