//! Instants in JSON: stored as milliseconds since 1970, shown as RFC 3339.

use chrono::DateTime;
use serde::Serializer;

use crate::domain::time;

/// Milliseconds since 1970 as RFC 3339 in UTC: whole seconds without a fraction.
pub fn rfc3339(millis: i64) -> String {
    time::rfc3339(DateTime::from_timestamp_millis(millis).unwrap_or_default())
}

/// [`rfc3339`] of a field.
///
/// # Errors
///
/// That of the serializer.
pub fn instant<S: Serializer>(millis: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*millis))
}

/// [`rfc3339`] of a field that may be empty.
///
/// # Errors
///
/// That of the serializer.
pub fn maybe_instant<S: Serializer>(millis: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    match millis {
        Some(millis) => serializer.serialize_str(&rfc3339(*millis)),
        None => serializer.serialize_none(),
    }
}
