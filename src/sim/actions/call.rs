//! A call as the operations receive it.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::sim::{params::Params, world::ImageFault};

/// One call of an operation.
#[derive(Debug)]
pub(crate) struct SimCall<'a> {
    pub(crate) params: &'a Params,
    pub(crate) now: DateTime<Utc>,
    pub(crate) request_id: &'a str,
    /// The session of a role that signed; `None` for the user of the key pair.
    pub(crate) caller: Option<&'a str>,
    /// From the fault plan: what becomes of an image made by this call, and how late it shows.
    pub(crate) fault: ImageFault,
    pub(crate) late: Duration,
}
