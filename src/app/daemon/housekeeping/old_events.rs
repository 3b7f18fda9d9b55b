//! Deletion of old events, by `[daemon] keep_events`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;

use super::{
    board::OLD_EVENTS,
    job::{Job, JobError},
    timing::Plan,
};
use crate::{adapters::config::Config, app::daemon::context::DaemonContext, domain::clock::earlier};

const HOUR: Duration = Duration::from_hours(1);
/// A start has other work.
const AFTER_START: Duration = Duration::from_mins(10);

#[derive(Debug)]
pub struct OldEvents;

impl Job for OldEvents {
    fn name(&self) -> &'static str {
        OLD_EVENTS
    }

    fn plan(&self, _: &Config) -> Option<Plan> {
        Some(Plan { every: HOUR * 24, retry: HOUR, longest: HOUR, place: None })
    }

    fn first_wait<'a>(&'a self, _: &'a DaemonContext, _: &'a Plan) -> BoxFuture<'a, Duration> {
        Box::pin(async { AFTER_START })
    }

    /// A clock that the cloud's contradicts makes no event old; only their number bounds them then.
    fn run<'a>(&'a self, shared: &'a DaemonContext) -> BoxFuture<'a, Result<(), JobError>> {
        Box::pin(async {
            let keep = shared.config().daemon.keep_events;
            let oldest = shared.clocks_agree().map_or(DateTime::<Utc>::MIN_UTC, |now| earlier(now, keep));
            shared.store.prune_events(oldest).await?;
            Ok(())
        })
    }
}
