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

fn event(kind: EventType, message: String) -> Event {
    Event::new(kind, EventSeverity::Info, Subject::only(SubjectKind::Daemon), message)
}

/// Records an event of its own. A history that cannot be written is a problem of its own.
pub async fn record(shared: &DaemonContext, event: Event) {
    if let Err(error) = shared.store.record_event(shared.clock.now(), event.clone()).await {
        tracing::warn!(error = chain(&error), "not recorded: {}", event.message);
    }
}
