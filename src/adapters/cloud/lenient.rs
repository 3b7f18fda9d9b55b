//! Parsing of JSON that deviates from its documentation: numbers as text, null for a list, missing elements.
//!
//! Used for fields that are not essential, so that an unexpected type does not invalidate the whole response.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A text, a number or a boolean as text; `None` for null, lists and objects.
pub(in crate::adapters::cloud) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(as_text(&Value::deserialize(from)?))
}

/// A whole number, also as text.
pub(in crate::adapters::cloud) fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    Ok(as_number(&Value::deserialize(from)?))
}

/// The texts of a list; anything else is an empty list.
pub(in crate::adapters::cloud) fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let value = Value::deserialize(from)?;
    Ok(value.as_array().into_iter().flatten().filter_map(as_text).collect())
}

/// A list; null is an empty list.
pub(in crate::adapters::cloud) fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(from)?.unwrap_or_default())
}

pub(in crate::adapters::cloud) fn as_number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()))
}

pub(in crate::adapters::cloud) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

pub(in crate::adapters::cloud) fn as_flag(value: &Value) -> Option<bool> {
    value.as_bool().or_else(|| match value.as_str()? {
        text if text.eq_ignore_ascii_case("true") => Some(true),
        text if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    })
}
