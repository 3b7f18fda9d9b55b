//! Record of one call, for `/_sim/state` and the state file.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A call and its result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct CallRecord {
    pub(super) action: String,
    pub(super) at: DateTime<Utc>,
    /// `ok`, `refused`, `garbled`, `lied`, `dropped_before` or `dropped_after` (acting).
    pub(super) outcome: Cow<'static, str>,
    pub(super) code: Option<String>,
    pub(super) http_status: Option<u16>,
    pub(super) request_id: String,
    pub(super) instance_id: Option<String>,
    #[serde(default)]
    pub(super) image_id: Option<String>,
}
