//! Client of the control socket.

use std::{io, path::Path};

use tokio::net::UnixStream;

use super::{ControlError, Envelope, MAX_ANSWER, PROTOCOL, Reply, Request, read, write};

/// Sends a request to the daemon behind `socket`.
///
/// # Errors
///
/// `ControlError` if no daemon listens, access is denied, the reply is late or malformed, or the versions differ.
pub async fn ask(socket: &Path, request: &Request) -> Result<Reply, ControlError> {
    let socket = || socket.to_owned();
    let mut stream = UnixStream::connect(socket()).await.map_err(|source| match source.kind() {
        io::ErrorKind::PermissionDenied => ControlError::Forbidden { socket: socket() },
        _ => ControlError::Unreachable { socket: socket(), source },
    })?;
    let exchange = async {
        write(&mut stream, request).await?;
        read::<serde_json::Value>(&mut stream, MAX_ANSWER).await
    };
    let envelope: Envelope<serde_json::Value> = tokio::time::timeout(request.time_limit(), exchange)
        .await
        .map_err(|_| ControlError::Silent { socket: socket() })??;
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
