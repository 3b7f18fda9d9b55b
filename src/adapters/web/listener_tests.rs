use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

async fn listener(time_limit: Duration) -> (LimitedListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (LimitedListener::new(listener, time_limit), address)
}

#[tokio::test]
async fn a_silent_connection_is_ended_at_the_deadline() {
    let (mut limited, address) = listener(Duration::from_millis(50)).await;
    let _silent = TcpStream::connect(address).await.unwrap();
    let (mut stream, _) = limited.accept().await;
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(stream.write_u8(1).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_permit_is_free_again_when_its_connection_ends() {
    let (mut limited, address) = listener(Duration::from_mins(5)).await;
    let mut streams = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(TcpStream::connect(address).await.unwrap());
        streams.push(limited.accept().await);
    }
    clients.push(TcpStream::connect(address).await.unwrap());
    // Its connection is there already: it waits for a permit alone.
    tokio::time::timeout(Duration::from_millis(100), limited.accept()).await.unwrap_err();
    streams.pop();
    limited.accept().await;
}
