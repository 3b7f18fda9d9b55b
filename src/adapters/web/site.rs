//! The page's data source with what all visitors share.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::extract::State;

use super::{
    background::Background,
    shared::Shared,
    source::{Source, SourceError, Standing},
};
use crate::domain::{
    page::night::Night,
    schedule_rows::{self, Row, open::Circumstances, order::Entry},
};

/// How long the status and the order of the schedules are shared.
pub(super) const FRESH: Duration = Duration::from_secs(1);
/// How many times as long the nights are shared: they read the durations of all lines.
const NIGHTS_FRESH: u32 = 15;
/// How long a visitor waits for the first nights.
pub(super) const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// What the handlers of requests share.
pub(super) struct Site {
    pub(super) source: Arc<dyn Source>,
    /// Names that the page answers to, besides addresses and those of the loopback.
    pub(super) hosts: Vec<String>,
    longest_wait: Duration,
    standing: Shared<Standing>,
    nights: Arc<Background<[Night; 2]>>,
}

/// The site, as the handlers of requests get it.
pub(super) type WebState = State<Arc<Site>>;

impl Site {
    pub(super) fn new(source: Arc<dyn Source>, hosts: Vec<String>, fresh: Duration, longest_wait: Duration) -> Self {
        let nights = Background::new(fresh * NIGHTS_FRESH);
        Self { source, hosts, longest_wait, standing: Shared::new(fresh), nights }
    }

    /// The status, and the schedules in their order.
    pub(super) async fn standing(&self) -> Result<Arc<Standing>, SourceError> {
        self.standing.get(self.source.standing()).await
    }

    /// The rows of these schedules.
    pub(super) async fn rows(&self, standing: &Standing, entries: &[Entry]) -> Result<Vec<Row>, SourceError> {
        let facts = self.source.row_facts(entries.iter().map(|entry| Arc::clone(&entry.schedule)).collect()).await?;
        Ok(schedule_rows::rows(entries, &facts, Circumstances::of(&standing.status), self.source.now()))
    }

    /// The last night and the coming or current one; `None` while they are computed for the first time.
    pub(super) async fn nights(&self) -> Result<Option<Arc<[Night; 2]>>, SourceError> {
        let source = Arc::clone(&self.source);
        self.nights.get(Instant::now(), self.longest_wait, async move { source.nights().await }).await
    }
}
