//! Client of the control socket.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::net::UnixStream;

use super::{
    ControlError, Envelope, MAX_ANSWER, PROTOCOL, Reply, Request, Standstill, canonical,
    liveness::{Silence, silence},
    read, write,
};
use crate::domain::{api::mode::Mode, status::OnDisk};

/// Maximum time for the rest of an answer, once it has begun: it is at hand as a whole, also the longest.
const WHOLE: Duration = Duration::from_secs(10);

/// Waits for the beginning of an answer, or the end of the connection.
async fn first_byte(stream: &UnixStream) -> Result<(), ControlError> {
    stream.readable().await.map_err(ControlError::Broken)
}

/// Sends a request to the daemon behind `socket`.
///
/// # Errors
///
/// `ControlError` if no daemon listens, access is denied, the daemon hangs, the reply is late or malformed, or the versions differ.
pub async fn ask(socket: &Path, request: &Request) -> Result<Reply, ControlError> {
    let socket = || socket.to_owned();
    let mut stream = UnixStream::connect(socket()).await.map_err(|source| match source.kind() {
        io::ErrorKind::PermissionDenied => ControlError::Forbidden { socket: socket() },
        _ => ControlError::Unreachable { socket: socket(), source },
    })?;
    let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
    let exchange = async {
        // A daemon that ended the connection has said why.
        let written = write(&mut stream, request).await;
        first_byte(&stream).await?;
        let answer = tokio::time::timeout(WHOLE, read::<serde_json::Value>(&mut stream, MAX_ANSWER)).await;
        match (answer, written) {
            (Ok(Ok(answer)), _) => Ok(answer),
            (_, Err(error)) | (Ok(Err(error)), Ok(())) => Err(error),
            (Err(_), Ok(())) => Err(ControlError::Slow { socket: socket(), limit: WHOLE }),
        }
    };
    let limit = request.time_limit();
    let silent = |silence| ControlError::Silent { socket: socket(), silence };
    let envelope: Envelope<serde_json::Value> = tokio::select! {
        answer = tokio::time::timeout(limit, exchange) => match answer {
            Ok(answer) => answer?,
            Err(_) => return Err(silent(Silence::Late { after: limit.as_secs() })),
        },
        silence = silence(pid, request.idle_limit()) => return Err(silent(silence)),
    };
    let ours = env!("CARGO_PKG_VERSION");
    if envelope.protocol != PROTOCOL {
        return Err(ControlError::OtherVersion { theirs: envelope.version, ours });
    }
    serde_json::from_value(envelope.body).map_err(|error| {
        // Another version may send unknown replies.
        if envelope.version == ours {
            ControlError::Garbled(error)
        } else {
            ControlError::OtherVersion { theirs: envelope.version, ours }
        }
    })
}

/// The running daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Its configuration.
    pub config_path: PathBuf,
    /// Where it answers.
    pub socket: PathBuf,
    /// The folder of its history.
    pub state_dir: PathBuf,
    /// Why none of its bakes makes progress.
    pub standstill: Option<Standstill>,
    /// Why slots that are due get no rows.
    pub slots_held: Option<Standstill>,
    /// Whether the files are the configuration in force.
    pub on_disk: OnDisk,
    /// Whether it changes the cloud.
    pub mode: Mode,
}

/// The daemon that answers at `socket`; `None` from one of another configuration than `of`, if that is given, and from one
/// of another version.
///
/// # Errors
///
/// `ControlError` if no daemon answers.
pub async fn locate(socket: &Path, of: Option<&Path>) -> Result<Option<Located>, ControlError> {
    let Reply::Located { config_path, control_socket, state_dir, standstill, slots_held, on_disk, mode } =
        ask(socket, &Request::Locate).await?
    else {
        return Ok(None);
    };
    let is_wanted = of.is_none_or(|of| canonical(of) == config_path);
    // The daemon may know its own socket by a path that is another one here.
    let socket = if control_socket.exists() { control_socket } else { socket.to_owned() };
    let (standstill, slots_held) = (standstill.map(|why| *why), slots_held.map(|why| *why));
    let located = Located { config_path, socket, state_dir, standstill, slots_held, on_disk, mode };
    Ok(is_wanted.then_some(located))
}
