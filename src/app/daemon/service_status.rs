//! The status line of `systemctl status`, updated when bakes or the verdict change.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::context::DaemonContext;
use crate::{
    adapters::systemd,
    domain::{text::counted, time::show},
};

/// Minimum time between two updates.
const SHORTEST_PAUSE: Duration = Duration::from_secs(2);
/// Maximum time between two updates: the verdict can change with time.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Updates the line until `stop`; ends at once without a service manager.
pub async fn run(shared: Arc<DaemonContext>, stop: CancellationToken) {
    if !systemd::is_supervised() {
        return;
    }
    let mut sent = String::new();
    let mut seen = shared.changes();
    loop {
        let changed = async {
            tokio::time::sleep(SHORTEST_PAUSE).await;
            shared.changed_within(seen, LONGEST_PAUSE).await
        };
        let Some(count) = stop.run_until_cancelled(changed).await.flatten() else { return };
        seen = count;
        let line = line(&shared).await;
        if line != sent {
            systemd::status(&line);
            sent = line;
        }
    }
}

/// The verdict, the open bakes, the schedules and the next slot, in one line.
pub(super) async fn line(shared: &DaemonContext) -> String {
    let next = {
        let engine = shared.engine.borrow();
        let next = engine.upcoming.first().map_or_else(
            || "no slot to come".to_owned(),
            |next| format!("next {} at {}", next.schedule, show(next.slot, next.zone)),
        );
        format!("{}, {next}", counted(engine.schedules, "schedule", "schedules"))
    };
    match shared.status(false).await {
        Ok(status) => {
            let (running, queued) = (status.running.len(), status.queued);
            let running = counted(running, "bake", "bakes");
            format!("{}; {running} running, {queued} queued; {next}", status.health.headline())
        }
        Err(_) => format!("PROBLEM: the history cannot be read; {next}"),
    }
}
