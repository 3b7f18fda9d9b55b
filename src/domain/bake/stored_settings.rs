//! Stored settings as people read them. They are read without their type, so that rows of any version can be shown.

use serde_json::Value;

use crate::domain::time::show_length;

/// Settings that are lengths; the history spells them as `1day 2h`.
const LENGTHS: [&str; 7] = ["deadline", "build_deadline", "connected_wait", "max_downtime", "base", "cap", "timeout"];

/// The same settings with each length spelled as in all other outputs: `1d 2h`.
pub fn with_shown_lengths(settings: &Value) -> Value {
    match settings {
        Value::Object(fields) => {
            let shown = fields.iter().map(|(name, value)| (name.clone(), shown(name, value)));
            Value::Object(shown.collect())
        }
        other => other.clone(),
    }
}

fn shown(name: &str, value: &Value) -> Value {
    let length = value.as_str().filter(|_| LENGTHS.contains(&name));
    match length.and_then(|text| humantime::parse_duration(text).ok()) {
        Some(length) => Value::String(show_length(length)),
        None => with_shown_lengths(value),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::bake::settings;

    #[test]
    fn lengths_are_spelled_as_everywhere_and_all_else_stays() {
        let stored = json!({ "deadline": "1day 2h", "retry": { "cap": "7days", "attempts": 3 }, "image_name": "1day", "tags": ["2days"] });
        let shown = json!({ "deadline": "1d 2h", "retry": { "cap": "7d", "attempts": 3 }, "image_name": "1day", "tags": ["2days"] });
        assert_eq!(with_shown_lengths(&stored), shown);
    }

    #[test]
    fn every_length_of_the_settings_is_known() {
        let day = std::time::Duration::from_hours(24);
        let mut all = settings::example();
        (all.deadline, all.build_deadline, all.connected_wait, all.max_downtime) = (day, day, day, day);
        (all.retry.base, all.retry.cap, all.hooks.timeout) = (day, day, day);
        let shown = with_shown_lengths(&serde_json::to_value(&all).unwrap()).to_string();
        assert!(!shown.contains("1day") && shown.matches("\"1d\"").count() >= 6, "{shown}");
    }
}
