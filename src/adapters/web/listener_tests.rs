use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

async fn door(patience: Duration) -> (LimitedListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (LimitedListener::new(listener, patience), address)
}

#[tokio::test]
async fn a_visitor_who_says_nothing_is_shown_out() {
    let (mut door, address) = door(Duration::from_millis(50)).await;
    let _silent = TcpStream::connect(address).await.unwrap();
    let (mut visit, _) = door.accept().await;
    let error = visit.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(visit.write_u8(1).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_seat_is_free_again_when_its_visitor_has_left() {
    let (mut door, address) = door(Duration::from_mins(5)).await;
    let mut visits = Vec::new();
    let mut visitors = Vec::new();
    for _ in 0..SEATS {
        visitors.push(TcpStream::connect(address).await.unwrap());
        visits.push(door.accept().await);
    }
    visitors.push(TcpStream::connect(address).await.unwrap());
    // Its connection is there already: only the missing seat can keep it waiting.
    tokio::time::timeout(Duration::from_millis(100), door.accept()).await.unwrap_err();
    visits.pop();
    door.accept().await;
}
