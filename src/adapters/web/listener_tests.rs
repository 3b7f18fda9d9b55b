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

/// As many connections as there may be, each served by a task that waits for a request. The first one has sent a byte.
async fn full(limited: &mut LimitedListener, address: SocketAddr) -> Vec<TcpStream> {
    let mut clients = Vec::new();
    for n in 0..CONNECTIONS {
        let mut client = TcpStream::connect(address).await.unwrap();
        let (mut stream, _) = limited.accept().await;
        if n == 0 {
            client.write_u8(b'G').await.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), b'G');
        }
        tokio::spawn(async move { while stream.read_u8().await.is_ok() {} });
        clients.push(client);
    }
    clients
}

#[tokio::test]
async fn a_new_connection_takes_the_place_of_an_idle_one() {
    let (mut limited, address) = listener(Duration::from_mins(5)).await;
    let mut idle = full(&mut limited, address).await;
    for ended in 1..CONNECTIONS {
        let mut probe = TcpStream::connect(address).await.unwrap();
        let (mut stream, _) = limited.accept().await;
        assert!(idle[ended].read_u8().await.is_err(), "number {ended} gave way");
        probe.write_u8(b'G').await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'G');
        tokio::spawn(async move { while stream.read_u8().await.is_ok() {} });
        idle.push(probe);
    }
    // All have sent a byte now: the oldest gives way.
    let _client = TcpStream::connect(address).await.unwrap();
    limited.accept().await;
    assert!(idle[0].read_u8().await.is_err());
}

#[tokio::test]
async fn a_connection_that_sends_nothing_has_less_time() {
    let (mut limited, address) = listener(Duration::from_mins(5)).await;
    limited.first_byte = Duration::from_millis(50);
    let mut client = TcpStream::connect(address).await.unwrap();
    let (mut heard, _) = limited.accept().await;
    client.write_u8(b'G').await.unwrap();
    assert_eq!(heard.read_u8().await.unwrap(), b'G');
    let _silent = TcpStream::connect(address).await.unwrap();
    let (mut silent, _) = limited.accept().await;
    assert_eq!(silent.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    tokio::time::timeout(Duration::from_millis(100), heard.read_u8()).await.unwrap_err();
}
