//! JSON Schema of the configuration, with which editors check and complete TOML files. Draft 7, which they support.

use serde_json::{Map, Value, json};

use crate::adapters::config::definitions::{Key, Kind, Section, definitions};

/// Syntax of durations.
const PERIOD: &str = concat!(
    r"^0$|^\s*([0-9][0-9\s]*(\.[0-9\s]+)?",
    "(nanos|nsec|ns|usec|us|µs|millis|msec|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d|weeks?|wks?|w|",
    r"months?|M|years?|yrs?|y)\s*)+$"
);

/// The schema. The reader rejects everything that the schema rejects, and more, with better messages.
pub fn schema() -> Value {
    let all = definitions();
    let mut schedule = section(&all.schedule);
    schedule["required"] = json!(["name"]);
    // A schedule's times may be in its profile or in [defaults], its instances may not.
    schedule["oneOf"] = json!([{ "required": ["instance_id"] }, { "required": ["instance_ids"] }]);
    let profiles =
        json!({ "type": "object", "description": all.profile.text, "additionalProperties": section(&all.profile) });
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "imagebaked.toml",
        "description": "When images are made of which WUYING cloud desktops and workstations.",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "cloud": section(&all.cloud),
            "daemon": section(&all.daemon),
            "defaults": section(&all.defaults),
            "profile": profiles,
            "schedule": { "type": "array", "description": all.schedule.text, "items": schedule },
        },
    })
}

fn section(section: &Section) -> Value {
    let mut value = table(&section.keys);
    value["description"] = section.text.into();
    value
}

fn table(keys: &[Key]) -> Value {
    let properties: Map<String, Value> = keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn property(key: &Key) -> Value {
    let mut value = of_kind(&key.kind);
    value["description"] = key.text.as_str().into();
    if let Some(default) = key.default().and_then(json_of) {
        value["default"] = default;
    }
    value
}

fn of_kind(kind: &Kind) -> Value {
    match kind {
        Kind::Text("") => json!({ "type": "string" }),
        Kind::Text(pattern) => json!({ "type": "string", "pattern": pattern }),
        Kind::OneOf(words) => json!({ "enum": words }),
        Kind::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Number { min, max } => json!({ "type": "number", "minimum": min, "maximum": max }),
        Kind::Period { .. } => json!({ "type": "string", "pattern": PERIOD }),
        Kind::PeriodOrNever { .. } => {
            json!({ "anyOf": [{ "const": "never" }, { "type": "string", "pattern": PERIOD }] })
        }
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::List(of) => json!({ "type": "array", "items": of_kind(of) }),
        Kind::Set { of, min } => {
            json!({ "type": "array", "items": of_kind(of), "minItems": min, "uniqueItems": true })
        }
        Kind::OneOrMore(of) => {
            json!({ "anyOf": [of_kind(of), { "type": "array", "items": of_kind(of), "minItems": 1 }] })
        }
        Kind::Named { of, max } => {
            let mut value = json!({ "type": "object", "additionalProperties": of_kind(of) });
            if let Some(max) = max {
                value["maxProperties"] = json!(max);
            }
            value
        }
        Kind::Table(keys) => table(keys),
    }
}

/// A value that is written as TOML.
pub fn json_of(written: &str) -> Option<Value> {
    let table: toml::Table = toml::from_str(&format!("value = {written}")).ok()?;
    serde_json::to_value(table.get("value")?).ok()
}
