//! Bounds the number and the duration of connections to the status page. Without these bounds, any client could use up the
//! file descriptors that the history and the calls to the cloud need.
//!
//! A new connection never waits for the others: the oldest gives way to it, first one that has not sent a byte. So idle
//! connections keep out neither people nor the probe of `/healthz`.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::serve::Listener;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Maximum number of connections.
const CONNECTIONS: usize = 64;

/// Time to the first byte: a client sends its request at once.
const FIRST_BYTE: Duration = Duration::from_secs(2);

/// A listener with a bounded number of connections.
#[derive(Debug)]
pub(super) struct LimitedListener {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    time_limit: Duration,
    first_byte: Duration,
    /// The oldest first.
    open: VecDeque<Weak<Connection>>,
}

#[derive(Debug, Default)]
struct Connection {
    /// Whether it has sent a byte.
    heard: AtomicBool,
    /// Cancelled when it gives way.
    ended: CancellationToken,
}

impl LimitedListener {
    /// Ends every connection `time_limit` after it was accepted, also in the middle of a request.
    pub(super) fn new(listener: TcpListener, time_limit: Duration) -> Self {
        let permits = Arc::new(Semaphore::new(CONNECTIONS));
        Self { listener, permits, time_limit, first_byte: FIRST_BYTE, open: VecDeque::new() }
    }

    /// Ends the oldest connection that has not sent a byte, otherwise the oldest.
    fn end_one(&mut self) {
        let silent = |one: &Weak<Connection>| one.upgrade().is_some_and(|one| !one.heard.load(Ordering::Relaxed));
        let oldest = self.open.iter().position(silent).unwrap_or_default();
        if let Some(connection) = self.open.remove(oldest).and_then(|one| one.upgrade()) {
            connection.ended.cancel();
        }
    }
}

impl Listener for LimitedListener {
    type Io = LimitedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (LimitedStream, SocketAddr) {
        // axum's own accept: it waits when no descriptors are left.
        let (stream, from) = Listener::accept(&mut self.listener).await;
        self.open.retain(|one| one.strong_count() > 0);
        if self.permits.available_permits() == 0 {
            self.end_one();
        }
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
            // The semaphore is never closed.
            return std::future::pending().await;
        };
        let connection = Arc::new(Connection::default());
        self.open.push_back(Arc::downgrade(&connection));
        let stream = LimitedStream {
            stream,
            accepted: Instant::now(),
            time_limit: self.time_limit,
            deadline: Box::pin(sleep(self.time_limit.min(self.first_byte))),
            ended: Box::pin(connection.ended.clone().cancelled_owned()),
            connection,
            _permit: permit,
        };
        (stream, from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One connection. Its permit is released on drop.
#[derive(Debug)]
pub(super) struct LimitedStream {
    stream: TcpStream,
    accepted: Instant,
    time_limit: Duration,
    deadline: Pin<Box<Sleep>>,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    connection: Arc<Connection>,
    _permit: OwnedSemaphorePermit,
}

impl LimitedStream {
    /// Fails after the deadline, or when the connection gives way; before that, the task is woken then.
    fn poll_time(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.ended.as_mut().poll(cx).is_ready() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        match self.deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }

    /// The first byte has come: the whole time is granted.
    fn note_heard(&mut self) {
        if !self.connection.heard.swap(true, Ordering::Relaxed) {
            self.deadline.as_mut().reset(self.accepted + self.time_limit);
        }
    }
}

impl AsyncRead for LimitedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.note_heard();
        }
        self.poll_time(cx)?;
        read
    }
}

impl AsyncWrite for LimitedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_time(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
