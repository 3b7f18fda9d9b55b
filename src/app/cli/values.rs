//! Parsers of single values.

use std::time::Duration;

use crate::domain::{calendar::zone::Zone, ids::BakeId};

/// How many rows.
pub(super) fn count(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "this is no number of rows; give a whole number, such as 100".to_owned())
}

/// A length of time.
pub(super) fn length(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "this is no length of time; give one such as 30s, 5m or 2h".to_owned())
}

/// A time zone by its name.
pub(super) fn zone(text: &str) -> Result<Zone, String> {
    text.parse().map_err(|_| "zones look like Asia/Shanghai".to_owned())
}

/// The number of a bake, with or without `#`.
pub(super) fn bake_id(text: &str) -> Result<BakeId, String> {
    match text.trim_start_matches('#').parse() {
        Ok(id) if id > 0 => Ok(BakeId(id)),
        _ => Err("a bake is named by its number, as the first column of `imagebaked history` shows it".to_owned()),
    }
}
