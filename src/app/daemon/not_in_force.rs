//! A request for a schedule that is not in force: one of the edited file, with how it comes into force, one that was removed
//! from the file, or none.

use super::{context::DaemonContext, reload::Files};
use crate::{
    adapters::{
        config::{self, Config},
        control::Request,
    },
    domain::{suggestion::shell_word, text::quoted},
};

/// The schedules that a request names.
fn named(request: &Request) -> &[String] {
    match request {
        Request::Bake(selection) => &selection.schedules,
        Request::StatusOf { schedule }
        | Request::Pause { schedule, .. }
        | Request::Resume { schedule }
        | Request::Adopt { schedule, .. }
        | Request::Rollback { schedule, .. } => std::slice::from_ref(schedule),
        _ => &[],
    }
}

/// What to say of a schedule in this request that only the file has. The file is read only where a name is unknown.
pub(super) async fn of(request: &Request, shared: &DaemonContext) -> Option<String> {
    let config = shared.config();
    let unknown = named(request).iter().find(|word| config.schedule(word).is_none())?.clone();
    let files = shared.compare_files();
    if files == Files::InForce {
        return None;
    }
    let (path, environment) = (shared.config_path.clone(), shared.environment.clone());
    // The file may be on a disk that does not respond.
    let read = tokio::task::spawn_blocking(move || config::load_lenient(&path, &environment).0);
    let in_file: Config = read.await.ok().flatten()?;
    in_file.schedule(&unknown).map(|_| message(&unknown, files))
}

/// What to say of a schedule that neither the file nor the configuration in force has: where the history shows it, if it does.
pub(super) async fn nowhere(schedule: &str, shared: &DaemonContext) -> String {
    let seen = shared.store.reader().seen(schedule).await.unwrap_or_default();
    if seen.is_empty() {
        let config = shared.config();
        return config.no_schedule(schedule, config.schedule_words());
    }
    let word = shell_word(schedule);
    format!(
        "the schedule {} is not in the file any more; `imagebaked history {word}` and `imagebaked why {word}` show what it did",
        quoted(schedule)
    )
}

fn message(unknown: &str, files: Files) -> String {
    let unknown = quoted(unknown);
    match files {
        Files::Refused { .. } => {
            format!("{unknown} is in the file, but not in force: the file was refused; see `imagebaked check`")
        }
        _ => format!("{unknown} is in the file, but not in force yet: `imagebaked reload`"),
    }
}
