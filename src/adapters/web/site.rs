//! The page's data source with what all visitors share.

use std::{collections::HashSet, sync::Arc, time::Duration};

use axum::extract::State;

use super::{
    shared::Shared,
    source::{Source, SourceError},
};
use crate::domain::{
    ids::LineId,
    page::{
        night::Night,
        roster::{Entry, roster},
    },
    status::Status,
};

/// How long the status and the order of the schedules are shared.
pub(super) const FRESH: Duration = Duration::from_secs(1);
/// How long the nights are shared: they read the durations of all lines.
const NIGHTS_FRESH: u32 = 15;

/// What the handlers of requests share.
pub(super) struct Site {
    pub(super) source: Arc<dyn Source>,
    /// Names that the page answers to, besides addresses and those of the loopback.
    pub(super) hosts: Vec<String>,
    status: Shared<Status>,
    roster: Shared<Vec<Entry>>,
    nights: Shared<[Night; 2]>,
}

/// The site, as the handlers of requests get it.
pub(super) type WebState = State<Arc<Site>>;

impl Site {
    pub(super) fn new(source: Arc<dyn Source>, hosts: Vec<String>, fresh: Duration) -> Self {
        let nights = Shared::new(fresh * NIGHTS_FRESH);
        Self { source, hosts, status: Shared::new(fresh), roster: Shared::new(fresh), nights }
    }

    /// The status.
    pub(super) async fn status(&self) -> Result<Arc<Status>, SourceError> {
        self.status.get(self.source.status()).await
    }

    /// The schedules in the order of the page.
    pub(super) async fn roster(&self) -> Result<Arc<Vec<Entry>>, SourceError> {
        self.roster
            .get(async {
                let (status, schedules) = (self.status().await?, self.source.schedules());
                let lines: Vec<LineId> = schedules
                    .iter()
                    .flat_map(|schedule| schedule.instances.as_slice().iter().map(|instance| schedule.line(instance)))
                    .collect();
                let without: HashSet<LineId> = self.source.lines_without_image(lines).await?;
                Ok(roster(&schedules, &status.health, &without))
            })
            .await
    }

    /// The last night and the coming one.
    pub(super) async fn nights(&self) -> Result<Arc<[Night; 2]>, SourceError> {
        self.nights.get(self.source.nights()).await
    }
}
