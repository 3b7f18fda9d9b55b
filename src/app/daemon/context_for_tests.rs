//! The shared state of a daemon without its tasks, for tests of one of them.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};

use tokio::sync::{mpsc, watch};

use super::{calls, context::DaemonContext, engine::EngineStatus};
use crate::{
    adapters::{config, store::Store},
    domain::clock::{Clock, ManualClock},
};

/// A daemon in `folder` whose section `[daemon]` has these lines.
pub async fn context(folder: &Path, clock: &ManualClock, daemon: &str) -> DaemonContext {
    let path = folder.join("imagebaked.toml");
    let schedule = "[[schedule]]\nname = \"a\"\ninstance_id = \"ecd-1\"\ncron = \"@yearly\"\n";
    let text = format!("[cloud]\nendpoint = \"http://127.0.0.1:1\"\n[daemon]\n{daemon}\n{schedule}");
    std::fs::write(&path, text).unwrap();
    let loaded = config::load(&path, &BTreeMap::new());
    let config = Arc::new(loaded.unwrap_or_else(|wrong| panic!("{}", wrong.render(false))).config);
    let clock: Arc<dyn Clock> = Arc::new(clock.clone());
    DaemonContext {
        store: Arc::new(Store::open(&folder.join("state")).await.unwrap()),
        cloud: Arc::new(calls::client(&config, &BTreeMap::new(), &clock).unwrap()),
        started: (clock.now(), clock.boottime()),
        clock,
        orders: mpsc::channel(1).0,
        engine: watch::channel(EngineStatus::default()).1,
        config_path: path,
        environment: BTreeMap::new(),
        config: Mutex::new(Arc::clone(&config)),
        started_with: config,
        image_lock: tokio::sync::Mutex::default(),
        passes: Mutex::default(),
        activations: watch::Sender::default(),
        task_reports: Mutex::default(),
        housekeeping: super::housekeeping::board::Board::default(),
        on_disk: Mutex::default(),
        standing: tokio::sync::Mutex::default(),
        reloading: tokio::sync::Mutex::default(),
        signposts: super::signposts::Signposts::new(folder),
    }
}
