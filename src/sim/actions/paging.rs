//! Pages of lists: by number, or by the token of the next page.

use serde_json::Value;

use crate::sim::{codes::SimFailure, params::Params};

/// PageSize and PageNumber.
pub(super) fn numbered(params: &Params, size: usize) -> Result<(usize, usize), SimFailure> {
    Ok((params.number("PageSize", size, 1..=100)?, params.number("PageNumber", 1, 1..=usize::MAX)?))
}

pub(super) fn page_of(rows: Vec<Value>, size: usize, number: usize) -> Vec<Value> {
    rows.into_iter().skip((number - 1).saturating_mul(size)).take(size).collect()
}

/// The page after NextToken, and the token of the next. A token is the id of the last row shown, so that later arrivals
/// shift nothing; rows come by their ids.
pub(super) fn page_after(params: &Params, rows: Vec<(String, Value)>) -> Result<(Vec<Value>, String), SimFailure> {
    let size = params.number("MaxResults", 10, 1..=100)?;
    let last_shown = match params.get("NextToken") {
        None => String::new(),
        Some(token) => hex::decode(token)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| SimFailure::invalid("NextToken"))?,
    };
    let rest: Vec<(String, Value)> = rows.into_iter().filter(|(id, _)| *id > last_shown).collect();
    let next = match rest.get(..size) {
        Some([.., (last, _)]) if rest.len() > size => hex::encode(last),
        _ => String::new(),
    };
    Ok((rest.into_iter().take(size).map(|(_, row)| row).collect(), next))
}
