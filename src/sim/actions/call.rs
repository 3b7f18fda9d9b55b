//! A call as the operations receive it.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::sim::{params::Params, world::ImageFault};

/// One call of an operation.
#[derive(Debug)]
pub(in crate::sim) struct SimCall<'a> {
    pub(in crate::sim) params: &'a Params,
    pub(in crate::sim) now: DateTime<Utc>,
    pub(in crate::sim) request_id: &'a str,
    /// From the fault plan: what becomes of an image made by this call, and how late it shows.
    pub(in crate::sim) fault: ImageFault,
    pub(in crate::sim) late: Duration,
}
