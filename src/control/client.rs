//! The commands' side of the socket.

use std::path::Path;

use tokio::net::UnixStream;

use super::{ControlError, Envelope, PROTOCOL, Reply, Request, read, write};

/// Asks the daemon behind `socket`.
pub async fn ask(socket: &Path, request: &Request) -> Result<Reply, ControlError> {
    let mut stream = UnixStream::connect(socket)
        .await
        .map_err(|source| ControlError::Unreachable { socket: socket.to_owned(), source })?;
    let exchange = async {
        write(&mut stream, request).await?;
        read::<serde_json::Value>(&mut stream).await
    };
    let envelope: Envelope<serde_json::Value> = tokio::time::timeout(request.patience(), exchange)
        .await
        .map_err(|_| ControlError::Silent { socket: socket.to_owned() })??;
    if envelope.protocol != PROTOCOL {
        return Err(ControlError::OtherVersion { theirs: envelope.version, ours: env!("CARGO_PKG_VERSION") });
    }
    serde_json::from_value(envelope.body).map_err(ControlError::Garbled)
}
