//! Bounds of the clients of the control socket. An idle or greedy user keeps out neither other users nor their own next
//! command.
//!
//! A connection that has not sent its request holds no permit: if its user opens too many, the oldest is ended. A request
//! takes a permit of its user and one of all users. Requests that wait for changes have fewer, so that others find one.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// Maximum number of connections of one user that have not sent their request; beyond it the oldest is ended.
const READING_OF_USER: usize = 16;
/// A connection that is younger has had no time for its request: such ones are ended beyond the next number only.
const YOUNG: Duration = Duration::from_secs(1);
/// Maximum number of connections of one user that have not sent their request, also of young ones.
const MOST_READING: usize = 128;
/// Maximum number of requests at once; more wait.
const SERVED: usize = 64;
/// Those of one user.
const SERVED_OF_USER: usize = 48;
/// Those that wait for changes.
const FOLLOWING: usize = 32;

/// Clients of all users.
#[derive(Debug)]
pub(super) struct Clients {
    served: Arc<Semaphore>,
    following: Arc<Semaphore>,
    users: Mutex<HashMap<u32, User>>,
}

#[derive(Debug)]
struct User {
    served: Arc<Semaphore>,
    /// Number of the next connection.
    next: u64,
    /// Connections that have not sent their request, the oldest first: number, beginning, end.
    reading: VecDeque<(u64, Instant, CancellationToken)>,
}

impl Default for User {
    fn default() -> Self {
        Self { served: Arc::new(Semaphore::new(SERVED_OF_USER)), next: 0, reading: VecDeque::new() }
    }
}

/// A connection that has not sent its request.
#[derive(Debug)]
pub(super) struct Reading {
    clients: Arc<Clients>,
    uid: u32,
    number: u64,
    /// Cancelled when another connection takes its place.
    pub(super) ended: CancellationToken,
}

/// Right to be served; released on drop.
#[derive(Debug)]
pub(super) struct Served {
    _permits: [Option<OwnedSemaphorePermit>; 2],
}

impl Clients {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            served: Arc::new(Semaphore::new(SERVED)),
            following: Arc::new(Semaphore::new(FOLLOWING)),
            users: Mutex::default(),
        })
    }

    /// A new connection of this user. Ends the user's oldest one without a request if there are too many.
    pub(super) fn connected(self: &Arc<Self>, uid: u32) -> Reading {
        self.connected_at(uid, Instant::now())
    }

    fn connected_at(self: &Arc<Self>, uid: u32, now: Instant) -> Reading {
        let ended = CancellationToken::new();
        let number = self.with(uid, |user| {
            user.next += 1;
            user.reading.push_back((user.next, now, ended.clone()));
            let is_old = user.reading.front().is_some_and(|(_, since, _)| now.duration_since(*since) >= YOUNG);
            let many = user.reading.len();
            if (many > MOST_READING || many > READING_OF_USER && is_old)
                && let Some((_, _, oldest)) = user.reading.pop_front()
            {
                oldest.cancel();
            }
            user.next
        });
        Reading { clients: Arc::clone(self), uid, number, ended }
    }

    /// Waits for the right to wait for changes.
    pub(super) async fn follow(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.following).acquire_owned().await.ok()
    }

    fn with<T>(&self, uid: u32, act: impl FnOnce(&mut User) -> T) -> T {
        act(self.users.lock().unwrap_or_else(PoisonError::into_inner).entry(uid).or_default())
    }
}

impl Reading {
    /// The request has arrived: waits for its permits.
    pub(super) async fn served(self) -> Served {
        let clients = Arc::clone(&self.clients);
        let of_user = clients.with(self.uid, |user| Arc::clone(&user.served));
        drop(self);
        // Semaphores are never closed.
        let of_user = of_user.acquire_owned().await.ok();
        Served { _permits: [of_user, Arc::clone(&clients.served).acquire_owned().await.ok()] }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.clients.with(self.uid, |user| user.reading.retain(|(number, ..)| *number != self.number));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn idle_connections_of_a_user_give_way_to_newer_ones_and_to_nobody_else_s() {
        let clients = Clients::new();
        let others = clients.connected(2);
        let mut idle: Vec<Reading> = (0..READING_OF_USER).map(|_| clients.connected(1)).collect();
        assert!(idle.iter().all(|one| !one.ended.is_cancelled()));
        let newest = clients.connected_at(1, Instant::now() + YOUNG);
        assert!(idle[0].ended.is_cancelled() && !idle[1].ended.is_cancelled() && !newest.ended.is_cancelled());
        // One that ends by itself makes room.
        idle.truncate(READING_OF_USER - 1);
        let next = clients.connected_at(1, Instant::now() + YOUNG);
        assert!(!idle[1].ended.is_cancelled() && !next.ended.is_cancelled());
        assert!(!others.ended.is_cancelled(), "each user has their own");
    }

    #[test]
    fn a_flood_leaves_a_new_connection_the_time_for_its_request() {
        let clients = Clients::new();
        let flood: Vec<Reading> = (0..1_000).map(|_| clients.connected(1)).collect();
        let command = clients.connected(1);
        let later: Vec<Reading> = (0..MOST_READING - 1).map(|_| clients.connected(1)).collect();
        assert!(!command.ended.is_cancelled(), "others come while its request is on its way");
        let open = flood.iter().chain(&later).filter(|one| !one.ended.is_cancelled()).count();
        assert_eq!(open, MOST_READING - 1);
        let _next: Vec<Reading> = (0..MOST_READING).map(|_| clients.connected_at(1, Instant::now() + YOUNG)).collect();
        assert!(command.ended.is_cancelled(), "it has sent nothing");
    }

    #[test]
    fn no_user_takes_all_permits() {
        let clients = Clients::new();
        let served = |uid| clients.connected(uid).served().now_or_never();
        let mut greedy: Vec<Served> = (0..SERVED_OF_USER).map(|_| served(1).unwrap()).collect();
        assert!(served(1).is_none(), "the rest is for others");
        assert!(served(2).is_some());
        greedy.pop();
        assert!(served(1).is_some(), "a permit is free again when its request is answered");
    }
}
