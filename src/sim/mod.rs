//! A simulator of the cloud: the operations of WUYING App Streaming, ECD and STS that imagebaked uses, in this process,
//! over plain HTTP on a loopback address. It serves tests, rehearsals and `imagebaked demo`; the official SDKs work
//! against it unchanged.
//!
//! It is as faithful as the API pages are: it checks signature, date and nonce, takes parameters from query and form
//! body, and answers in the documented shapes and codes. What no page documents is invented where a caller needs
//! something, and marked there.
//!
//! A request passes through one file after the other: `server` reads it, `verify` checks its signature,
//! `params` takes it apart, `actions` does it to the `world`, `faults` spoils it if the plan has a fault for it, and
//! `snapshot` keeps the result, before the answer leaves. `cloud` is that sequence. Time is a parameter throughout:
//! nothing in the world moves by a timer.
//!
//! `/_sim/` has the controls, without signature and for loopback only: `GET state` shows everything, with each image
//! ever made; `POST faults` adds a plan to what is left of the former, `GET faults` shows what is left, `DELETE faults`
//! clears it; `POST instances` adds an instance.

mod actions;
mod call_record;
mod cloud;
mod codes;
mod connection;
mod faults;
mod garble;
mod lists;
mod options;
mod params;
mod reply;
mod server;
mod snapshot;
mod users;
mod verify;
mod world;

use std::{fmt, io, net::SocketAddr, sync::Arc};

use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use self::{cloud::Cloud, server::ServerState};
pub use self::{
    faults::{FaultPlan, FaultPlanError},
    options::Options,
    snapshot::SnapshotError,
    world::{InstanceKind, InstanceSpec},
};
use crate::domain::clock::Clock;

/// Why a simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum SimulatorError {
    /// The listener has no address.
    #[error("could not learn the simulator's own address")]
    Address(#[source] io::Error),
    /// The state file was of no use.
    #[error("could not bring back the simulator's state")]
    State(#[source] SnapshotError),
}

/// Starts simulators.
#[derive(Debug)]
pub struct Simulator;

impl Simulator {
    /// Serves on `listener` from a task of the present runtime, until stopped.
    pub fn start(
        listener: TcpListener,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Result<RunningSimulator, SimulatorError> {
        let addr = listener.local_addr().map_err(SimulatorError::Address)?;
        let cloud = Cloud::open(options, clock.now()).map_err(SimulatorError::State)?;
        let shared = Arc::new(ServerState::new(cloud, clock));
        let stop = CancellationToken::new();
        let task = tokio::spawn(server::serve(listener, Arc::clone(&shared), stop.clone()));
        Ok(RunningSimulator { addr, shared, stop, task })
    }
}

/// A simulator at work. Dropping it stops it as well, without waiting for the end.
pub struct RunningSimulator {
    addr: SocketAddr,
    shared: Arc<ServerState>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl fmt::Debug for RunningSimulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunningSimulator").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl RunningSimulator {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What `GET /_sim/state` answers.
    pub fn state(&self) -> Value {
        self.shared.cloud().state(self.shared.clock.now())
    }

    /// Adds faults, counted from now, to those that are left.
    pub fn add_faults(&self, plan: FaultPlan) {
        self.shared.cloud().add_faults(plan);
    }

    /// Whether every fault of the plan has struck.
    pub fn faults_are_spent(&self) -> bool {
        *self.shared.cloud().faults_left() == FaultPlan::default()
    }

    /// Closes all connections and waits until the state is in its file.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "the simulator ended by itself");
        }
    }
}

impl Drop for RunningSimulator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
