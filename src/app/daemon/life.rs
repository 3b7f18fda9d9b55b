//! Events of the daemon's own life.

use super::context::DaemonContext;
use crate::domain::{
    error::chain,
    event::{Event, EventSeverity, EventType},
    health::{Subject, SubjectKind},
    text::counted,
};

/// The daemon is ready.
pub fn started(shared: &DaemonContext) -> Event {
    let config = shared.config();
    let (version, schedules) = (env!("CARGO_PKG_VERSION"), config.schedules.len());
    event(
        EventType::DaemonStarted,
        format!("imagebaked {version} has started with {}", counted(schedules, "schedule", "schedules")),
    )
    .with("version", version)
    .with("schedules", schedules)
    .with("config_hash", config.hash.as_str())
    .with("mode", shared.cloud.mode().as_str())
}

/// The daemon stopped in order.
pub fn stopped() -> Event {
    event(EventType::DaemonStopped, "imagebaked has stopped in order".to_owned())
}

/// The history is another one than at the last run. `since`: what `restore` found that it lacks.
pub fn history_changed(since: Option<&str>) -> Event {
    let lacks = since
        .unwrap_or("pins, vetoes, channels, acknowledgements and pauses of the time after it was copied are not in it");
    let message = format!(
        "the history is not the one that was here last, or an older copy: it is compared with the cloud first, and marks begin \
         anew with a whole grace; {lacks}"
    );
    let subject = Subject::only(SubjectKind::History);
    Event::new(EventType::HistoryRestored, EventSeverity::Warning, subject, message)
}

/// The cloud has later images than the history: `shown` says which. `rows` were added for them.
pub fn history_is_older(shown: &str, rows: usize) -> Event {
    let message = format!(
        "the history is older than the cloud, as after a snapshot or a copy of the folder was put back, or a second daemon with this \
         owner bakes: {shown}; {} added from tags, versions go on after those of the cloud, and marks begin anew with a whole grace; \
         pins, vetoes, channels, acknowledgements and pauses that were decided since are not in it",
        counted(rows, "row was", "rows were")
    );
    let subject = Subject::only(SubjectKind::History);
    Event::new(EventType::HistoryRestored, EventSeverity::Warning, subject, message)
        .command("imagebaked images".to_owned())
}

fn event(kind: EventType, message: String) -> Event {
    Event::new(kind, EventSeverity::Info, Subject::only(SubjectKind::Daemon), message)
}

/// Records an event of its own. A history that cannot be written is a problem of its own.
pub async fn record(shared: &DaemonContext, event: Event) {
    if let Err(error) = shared.store.record_event(shared.clock.now(), event.clone()).await {
        tracing::warn!(error = chain(&error), "not recorded: {}", event.message);
    }
}
