//! Reports progress to systemd as long as the engine ticks. If the engine or the runtime hangs, nothing is sent, and
//! systemd restarts the service. A drain counts as progress: the engine ticks until it has ended.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::engine::EngineStatus;
use crate::adapters::systemd;

/// Pings at a third of systemd's interval; does nothing without one.
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
