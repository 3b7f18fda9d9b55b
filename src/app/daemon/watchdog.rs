//! Notifies systemd that the daemon makes progress, as long as the engine ticks. An engine that hangs or a runtime that is
//! blocked sends nothing, and systemd restarts the service. A drain is progress: the engine ticks until it has ended.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::engine::EngineStatus;
use crate::adapters::systemd;

/// Pings at a third of the interval that systemd allows; does nothing where it asks for none.
pub async fn run(engine: watch::Receiver<EngineStatus>, stop: CancellationToken) {
    let Some(allowed) = systemd::watchdog() else { return };
    let pause = (allowed / 3).max(Duration::from_secs(1));
    let mut seen = None;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let ticks = engine.borrow().ticks;
        if seen != Some(ticks) {
            systemd::alive();
        }
        seen = Some(ticks);
    }
}
