//! Values as a configuration has them, for what writes one.

/// A string with its quotes and escapes.
pub fn toml_string(text: &str) -> String {
    toml::Value::from(text).to_string()
}
