//! Parsers of single values.

use crate::domain::{calendar::zone::Zone, ids::BakeId};

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
