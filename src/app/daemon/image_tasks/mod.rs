//! The image tasks: they delete images, copy them to other regions, check them and move channels. The engine works on bakes, the
//! image tasks on images; they share only the history.
//!
//! A task reads the database and the clock, does what is due, and says when it can find something to do next. What woke it
//! does not matter. Whoever is asked to do the same at once (`imagebaked prune`) calls the same functions; one lock keeps two of
//! them apart.

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
pub(super) mod pins;
mod policies;
pub mod prune;
mod retention;
pub(super) mod strays;
mod task_driver;
pub(super) mod users;
pub(super) mod verify;

/// All image tasks.
fn tasks(rng: Rng) -> [Box<dyn ImageTask>; 4] {
    [
        Box::new(retention::RetentionTask::default()),
        Box::new(channels::ChannelTask::default()),
        Box::new(distribute::ReplicaTask::new(rng)),
        Box::new(verify::VerifyTask),
    ]
}

/// Runs all of them until `stop`, each beside the others: one that takes long, or that ends badly, keeps no other from its
/// work.
pub(super) async fn run(shared: Arc<DaemonContext>, stop: CancellationToken, rng: Rng) {
    let running = tasks(rng).map(|task| tokio::spawn(drive(task, Arc::clone(&shared), stop.clone())));
    for task in running {
        // Nothing to save in them; a panic was printed when it happened.
        let _ = task.await;
    }
}
