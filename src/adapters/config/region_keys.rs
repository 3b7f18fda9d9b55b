//! Regions, and strings that may not be empty.

use super::reader::{Diagnostics, Item, Mark};
use crate::domain::api::regions::{REGIONS, nearest_region};

/// Pattern of [`region`].
pub(super) const REGION: &str = "^[a-z0-9-]+$";

/// Reads a non-empty string.
pub(super) fn filled(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<String> {
    let text = item.text(out)?;
    if text.trim().is_empty() {
        out.error(item.mark, "bad-value", "this may not be empty", Some("leave the key out for its default".into()));
        return None;
    }
    Some(text.to_owned())
}

/// Reads a region's id. An unknown one is accepted, because new ones are opened.
pub(super) fn region(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<String> {
    let text = filled(item, out)?;
    region_at(&text, item.mark, out).then_some(text)
}

/// Whether a configuration may have this region, known or not: lower-case letters, digits and `-`.
pub fn is_region(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Whether the text at `mark` is a region's id.
pub(super) fn region_at(text: &str, mark: Mark<'_>, out: &mut Diagnostics) -> bool {
    if !is_region(text) {
        let hint = did_you_mean(text).unwrap_or_else(|| "regions look like `cn-shanghai`".into());
        out.error(mark, "bad-region", format!("`{text}` is not a region"), Some(hint));
        return false;
    }
    if !REGIONS.contains(&text) {
        let hint = out
            .may_search()
            .then(|| did_you_mean(text).unwrap_or_else(|| format!("known here: {}", REGIONS.join(", "))));
        let what = format!("unknown region `{text}`: if the cloud does not have it, every call for it fails");
        out.warning(mark, "unknown-region", what, hint);
    }
    true
}

fn did_you_mean(text: &str) -> Option<String> {
    nearest_region(text).map(|near| format!("did you mean `{near}`?"))
}
