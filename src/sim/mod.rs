//! A simulator of the cloud: the operations of WUYING App Streaming, ECD and STS that imagebaked uses, in this process,
//! over plain HTTP on a loopback address. It serves tests, rehearsals and `imagebaked demo`; the official SDKs work
//! with it unchanged.
//!
//! It follows the API pages: it checks signature, date and nonce, accepts parameters from query and form body, and
//! returns the documented structures and codes. Undocumented behaviour that a caller needs is invented, and marked as
//! such.
//!
//! A request passes through one file after the other: `server` reads it, `params` parses it, `authenticate` and `verify`
//! check its signature, `actions` executes it on the `world`, `faults` changes the result if the plan has a fault for it, and `snapshot`
//! stores the state before the response is sent. `cloud` combines them. Time is a parameter everywhere: nothing in the
//! world depends on a timer.
//!
//! `key_service` plays the metadata service of an ECS machine and a credentials URI.
//!
//! `/_sim/` has the controls, without signature and for loopback only: `GET state` returns everything, with each image
//! ever made; `POST faults` adds a plan to the remaining one, `GET faults` returns it, `DELETE faults` clears it; `POST
//! instances` adds an instance.

mod actions;
mod authenticate;
mod call_record;
mod cloud;
mod codes;
mod connection;
mod faults;
mod garble;
mod key_service;
mod lists;
mod options;
mod params;
mod reply;
mod server;
mod sessions;
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
    /// The state file is invalid.
    #[error("could not bring back the simulator's state")]
    State(#[source] SnapshotError),
}

/// Starts simulators.
#[derive(Debug)]
pub struct Simulator;

impl Simulator {
    /// Serves on `listener` from a task of the current runtime, until stopped.
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

/// A running simulator. Dropping it stops it without waiting for the end.
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

    /// Response to `GET /_sim/state`.
    pub fn state(&self) -> Value {
        self.shared.cloud().state(self.shared.clock.now())
    }

    /// Adds faults, counted from now, to the remaining ones.
    pub fn add_faults(&self, plan: FaultPlan) {
        self.shared.cloud().add_faults(plan);
    }

    /// Whether every fault of the plan has taken effect.
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
