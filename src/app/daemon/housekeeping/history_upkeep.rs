//! Upkeep of the history: statistics for its queries, and the write-ahead log into the database.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{
    board::HISTORY_UPKEEP,
    job::{Job, JobError},
    timing::Plan,
};
use crate::{adapters::config::Config, app::daemon::context::DaemonContext};

const HOUR: Duration = Duration::from_hours(1);
/// A start has other work, and a daemon that is often restarted needs its upkeep, too.
const AFTER_START: Duration = Duration::from_mins(15);

#[derive(Debug)]
pub struct HistoryUpkeep;

impl Job for HistoryUpkeep {
    fn name(&self) -> &'static str {
        HISTORY_UPKEEP
    }

    fn plan(&self, _: &Config) -> Option<Plan> {
        Some(Plan { every: HOUR * 24, retry: HOUR, longest: HOUR, place: None })
    }

    fn first_wait<'a>(&'a self, _: &'a DaemonContext, _: &'a Plan) -> BoxFuture<'a, Duration> {
        Box::pin(async { AFTER_START })
    }

    fn run<'a>(&'a self, shared: &'a DaemonContext) -> BoxFuture<'a, Result<(), JobError>> {
        Box::pin(async { Ok(shared.store.upkeep().await?) })
    }
}
