//! Columns of text that hold JSON, and what each has to be: a list that meets another text fails as a whole, or leaves it out.

use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::{StoreError, failed};
use crate::domain::{
    image::brake::Brake,
    text::{LONGEST_TEXT, clean},
};

/// What a text is to its readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Json,
    Object,
    Texts,
    Brake,
}

/// Table, column and shape.
const COLUMNS: [(&str, &str, Shape); 6] = [
    ("settings", "json", Shape::Object),
    ("bakes", "progress", Shape::Json),
    ("images", "used_by", Shape::Texts),
    ("brakes", "brake", Shape::Brake),
    ("distributions", "copy_state", Shape::Object),
    ("events", "data", Shape::Object),
];
/// Maximum number of rows that are named.
const NAMED: usize = 3;

impl Shape {
    fn fits(self, text: &str) -> bool {
        match self {
            Self::Json => serde_json::from_str::<Value>(text).is_ok(),
            Self::Object => serde_json::from_str::<Map<String, Value>>(text).is_ok(),
            Self::Texts => serde_json::from_str::<Vec<String>>(text).is_ok(),
            Self::Brake => serde_json::from_str::<Brake>(text).is_ok(),
        }
    }

    fn wanted(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Object => "a JSON object",
            Self::Texts => "a JSON list of texts",
            Self::Brake => "a limit that this version knows",
        }
    }

    /// What `json_type` calls it.
    fn type_in_sql(self) -> Option<&'static str> {
        match self {
            Self::Json => None,
            Self::Object | Self::Brake => Some("object"),
            Self::Texts => Some("array"),
        }
    }
}

/// What is wrong with a text of a column; nothing if the column is not to be JSON.
pub(super) fn fault(table: &str, column: &str, text: &str) -> Option<String> {
    let (.., shape) = COLUMNS.iter().find(|(of, name, _)| (*of, *name) == (table, column))?;
    (!shape.fits(text)).then(|| format!("{column:?} is not {}", shape.wanted()))
}

/// The first rows of the history whose texts are no JSON, or are of another type, as faults.
///
/// # Errors
///
/// `StoreError` if a query fails.
pub(super) async fn unreadable(connection: &mut SqliteConnection) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    for (table, column, shape) in COLUMNS {
        // Names come from the list above, never from outside. SQLite fails at the type of what is no JSON.
        let fits = match shape.type_in_sql() {
            Some(name) => format!("CASE WHEN json_valid({column}) THEN json_type({column}) = '{name}' ELSE 0 END"),
            None => format!("json_valid({column})"),
        };
        let key = key(table);
        let sql =
            format!("SELECT CAST({key} AS TEXT) FROM {table} WHERE {column} IS NOT NULL AND NOT {fits} LIMIT {NAMED}");
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
            .fetch_all(&mut *connection)
            .await
            .map_err(failed("read through its rows"))?;
        let wanted = shape.wanted();
        found.extend(
            rows.iter().map(|row| format!("row {} of {table}: {column} is not {wanted}", clean(row, LONGEST_TEXT))),
        );
    }
    Ok(found)
}

/// The column that a row is named by.
fn key(table: &str) -> &'static str {
    match table {
        "settings" => "hash",
        "images" | "distributions" => "image_id",
        "brakes" => "line_id",
        _ => "id",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_what_its_readers_expect() {
        for (table, column, text, sound) in [
            ("events", "data", "{}", true),
            ("events", "data", "{{{", false),
            ("events", "data", "5", false),
            ("events", "data", "", false),
            ("events", "message", "{{{", true),
            ("settings", "json", "{", false),
            ("settings", "json", "[]", false),
            ("bakes", "progress", "[[[", false),
            ("images", "used_by", "[\"ecd-1\"]", true),
            ("images", "used_by", "{}", false),
            ("images", "used_by", "[1]", false),
            ("brakes", "brake", "{}", false),
            ("distributions", "copy_state", "null", false),
        ] {
            assert_eq!(fault(table, column, text).is_none(), sound, "{table}.{column}: {text}");
        }
        assert_eq!(fault("events", "data", "5").unwrap(), "\"data\" is not a JSON object");
    }
}
