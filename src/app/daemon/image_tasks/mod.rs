//! Image tasks: they delete images, copy them to other regions, check them and move channels. The engine works on bakes,
//! the image tasks on images; they share only the history.
//!
//! A run reads the database and the clock, processes what is due, and returns the instant of the next run. It does not
//! depend on what woke it. Commands that do the same at once (`imagebaked prune`) call the same functions; the image lock
//! excludes concurrent passes.

use std::sync::Arc;

use fastrand::Rng;
use tokio_util::sync::CancellationToken;

use self::task_driver::{ImageTask, drive};
use super::context::DaemonContext;

pub(super) mod adopt;
pub(super) mod channels;
mod deletions;
pub(super) mod distribute;
pub mod edit;
pub(super) mod inventory_scan;
pub mod judging;
pub(super) mod pins;
mod policies;
pub mod prune;
mod retention;
pub(super) mod retry_copies;
pub(super) mod strays;
mod task_driver;
pub(super) mod users;
pub(super) mod verify;

/// All image tasks.
fn tasks(rng: Rng) -> Vec<Box<dyn ImageTask>> {
    vec![
        Box::new(retention::RetentionTask),
        Box::new(channels::ChannelTask::default()),
        Box::new(distribute::ReplicaTask::new(rng)),
        Box::new(verify::VerifyTask),
    ]
}

/// Runs all tasks concurrently until `stop`: a slow or failing task does not affect the others.
pub(super) async fn run(shared: Arc<DaemonContext>, stop: CancellationToken, rng: Rng) {
    let start = |task| tokio::spawn(drive(task, Arc::clone(&shared), stop.clone()));
    let running: Vec<_> = tasks(rng).into_iter().map(start).collect();
    for task in running {
        // They have nothing to save; a panic was logged when it happened.
        let _ = task.await;
    }
}
