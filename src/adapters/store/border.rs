//! What a restored or imported history may have in its rows: texts without hidden characters and of bounded length, numbers
//! that its columns can mean. Whoever made the file may have written anything into it, and earlier versions stored some
//! texts of the cloud as they came.

use std::{borrow::Cow, ops::RangeInclusive};

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{
    AssertSqlSafe, Connection as _, Row as _, SqliteConnection, TypeInfo as _, ValueRef as _,
    query::Query,
    sqlite::{Sqlite, SqliteArguments, SqliteRow},
};

use super::{
    StoreError, failed, json_columns,
    tables::{self, Kind, Table},
};
use crate::domain::{
    bake::{BakeSettings, State, Trigger},
    text::{LONGEST_STORED, clean, clean_lines, clean_stored_json, is_hidden, quoted},
};

/// All triggers with the statements that make them.
pub(super) const TRIGGERS: &str = "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY name";

/// The last number that was given to a row of a table whose numbers are never given twice.
pub(super) const LAST_NUMBER: &str = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence";

/// Bakes that are not over, with what each needs to go on.
pub(super) const UNFINISHED: &str = "
SELECT b.id, b.schedule, b.state, b.progress, (SELECT s.json FROM settings s WHERE s.hash = b.settings) AS settings
FROM bakes b WHERE b.finished_at IS NULL";

/// Tables that no export has, and a copy has.
const OWN: [&str; 2] = ["channels_due", "lineage"];
/// Rows that are in memory at once.
const PAGE: usize = 1000;
/// The last millisecond of the year 9999 since 1970: what the program writes by its clock is not later.
const LAST_INSTANT: i64 = 253_402_300_799_999;
/// Bound of a version: what is added to it stays a version.
const LAST_VERSION: i64 = 1_000_000_000;
const STEP: &str = "clean its rows";
/// Longest key of a row in a message.
const LONGEST_KEY: usize = 80;

/// Why rows are refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum BorderError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A value.
    #[error("{table}: {what}")]
    Value { table: &'static str, what: String },
}

/// A text without hidden characters, and one that is JSON without them inside its strings; `None` if it is so already.
pub(super) fn cleaned(text: &[u8]) -> Option<String> {
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n' | b'\t');
    let has_escape = text.windows(2).any(|two| two == b"\\u");
    if text.len() <= LONGEST_STORED && !has_escape && text.iter().all(is_plain) {
        return None;
    }
    let text = String::from_utf8_lossy(text);
    let is_new = matches!(text, Cow::Owned(_));
    let is_plain = |c: char| !is_hidden(c) || matches!(c, '\n' | '\t');
    if text.len() <= LONGEST_STORED && !has_escape && text.chars().all(is_plain) {
        return is_new.then(|| text.into_owned());
    }
    match serde_json::from_str::<Value>(&text) {
        Ok(mut inside) if inside.is_object() || inside.is_array() => {
            let before = inside.clone();
            clean_stored_json(&mut inside, LONGEST_STORED);
            (is_new || inside != before).then(|| inside.to_string())
        }
        _ => match clean_lines(&text, LONGEST_STORED) {
            Cow::Owned(cleaned) => Some(cleaned),
            Cow::Borrowed(_) => is_new.then(|| text.clone().into_owned()),
        },
    }
}

/// The numbers that a column can have. A bound that is narrower than what is written would refuse our own backups: an instant
/// that a person or a tag names may be any.
fn numbers_of(table: &str, column: &str) -> RangeInclusive<i64> {
    match (table, column) {
        (_, "version" | "last_version") => 0..=LAST_VERSION,
        // -1: a channel whose only image was vetoed.
        (_, "above") => -1..=LAST_VERSION,
        // As the tags of an image of others have it.
        ("unrecorded_images", "slot") | (_, "until") => any_instant(),
        _ => 0..=LAST_INSTANT,
    }
}

fn any_instant() -> RangeInclusive<i64> {
    DateTime::<Utc>::MIN_UTC.timestamp_millis()..=DateTime::<Utc>::MAX_UTC.timestamp_millis()
}

/// What is wrong with a number of a column.
pub(super) fn number_fault(table: &str, column: &str, number: Option<i64>) -> Option<String> {
    let known = numbers_of(table, column);
    match number {
        Some(number) if known.contains(&number) => None,
        Some(number) => {
            let (first, last) = known.into_inner();
            Some(format!("{column:?} is {number}, which is not from {first} to {last}"))
        }
        None => Some(format!("{column:?} is not a whole number")),
    }
}

/// What is wrong with a text of a column: the schema does not restrict all words, the program does.
pub(super) fn text_fault(table: &str, column: &str, text: &str) -> Option<String> {
    match (table, column) {
        ("bakes", "state") if !State::WORDS.contains(&text) => {
            Some(format!("{} is no state", quoted(&clean(text, LONGEST_KEY))))
        }
        ("bakes", "trigger") if Trigger::parse(text).is_none() => {
            Some(format!("{} is no trigger", quoted(&clean(text, LONGEST_KEY))))
        }
        _ => json_columns::fault(table, column, text),
    }
}

/// What is wrong with the line of a row: it is that of its schedule, or of its instance there. Retention and channels judge
/// by lines alone, so a row of another one would count for images that are not its own.
pub(super) fn line_fault<'a>(table: &str, text: impl Fn(&str) -> Option<Cow<'a, str>>) -> Option<String> {
    if !["bakes", "images", "targets"].contains(&table) {
        return None;
    }
    let (line, schedule, instance) = (text("line_id")?, text("schedule_id")?, text("instance_id")?);
    let is_own = line == schedule
        || line.strip_prefix(&*schedule).and_then(|rest| rest.strip_prefix('/')).is_some_and(|rest| rest == instance);
    let excerpt = |text: &str| clean(text, LONGEST_KEY).into_owned();
    (!is_own).then(|| {
        let (line, schedule, instance) = (excerpt(&line), excerpt(&schedule), excerpt(&instance));
        format!("its line \"{line}\" is not that of schedule \"{schedule}\" and instance \"{instance}\"")
    })
}

/// Cleans all rows of a history that is not in use yet. Returns the number of those that were not clean.
///
/// # Errors
///
/// `BorderError` if a value cannot be of a history, or two rows have one key when they are clean.
pub(super) async fn clean_rows(connection: &mut SqliteConnection) -> Result<u64, BorderError> {
    let mut transaction = connection.begin().await.map_err(failed(STEP))?;
    let changed = clean_all(&mut transaction).await?;
    transaction.commit().await.map_err(failed(STEP))?;
    Ok(changed)
}

/// Whether [`clean_rows`] would take all rows; none is changed.
///
/// # Errors
///
/// As of [`clean_rows`].
pub(super) async fn check_rows(connection: &mut SqliteConnection) -> Result<(), BorderError> {
    let mut transaction = connection.begin().await.map_err(failed(STEP))?;
    clean_all(&mut transaction).await?;
    transaction.rollback().await.map_err(failed(STEP))?;
    Ok(())
}

async fn clean_all(transaction: &mut SqliteConnection) -> Result<u64, BorderError> {
    // They would refuse changes of what is only added to, and move channels.
    let triggers: Vec<(String, String)> =
        sqlx::query_as(TRIGGERS).fetch_all(&mut *transaction).await.map_err(failed(STEP))?;
    for (name, _) in &triggers {
        execute(transaction, format!("DROP TRIGGER \"{name}\"")).await?;
    }
    let mut changed = 0;
    let own = OWN.map(|name| Table { name, kind: Kind::State });
    for table in tables::present(transaction).await?.into_iter().chain(own) {
        changed += clean_table(transaction, table).await?;
    }
    check_last_number(transaction).await?;
    check_unfinished(transaction).await?;
    for (_, sql) in triggers {
        execute(transaction, sql).await?;
    }
    Ok(changed)
}

/// A bake that is not over goes on from its row: its state and its settings must be such as this version knows. The daemon
/// would leave any other alone for ever, and its instance perhaps stopped.
///
/// # Errors
///
/// `BorderError` for the first one that cannot go on.
pub(super) async fn check_unfinished(connection: &mut SqliteConnection) -> Result<(), BorderError> {
    let mut bakes: Vec<(i64, String, String, String, Option<String>)> =
        sqlx::query_as(UNFINISHED).fetch_all(connection).await.map_err(failed(STEP))?;
    bakes.sort_unstable_by_key(|(id, ..)| *id);
    for (id, schedule, state, progress, settings) in bakes {
        if let Some(what) = unfinished_fault(&state, &progress, settings.as_deref()) {
            let what = format!("bake {id} of {} is not over, and {what}", clean(&schedule, LONGEST_KEY));
            return Err(BorderError::Value { table: "bakes", what });
        }
    }
    Ok(())
}

fn unfinished_fault(state: &str, progress: &str, settings: Option<&str>) -> Option<String> {
    match serde_json::from_str::<State>(progress) {
        Err(_) => return Some("its progress is no state that this version knows".to_owned()),
        Ok(known) if known.is_ended() => return Some("its progress is an end".to_owned()),
        Ok(known) if known.as_str() != state => {
            return Some(format!("its progress is that of a bake which is {}, not {state}", known.as_str()));
        }
        Ok(_) => {}
    }
    let is_known = settings.is_some_and(|json| serde_json::from_str::<BakeSettings>(json).is_ok());
    (!is_known).then(|| "its settings are not those of a bake".to_owned())
}

/// After the largest number SQLite would give none any more.
async fn check_last_number(connection: &mut SqliteConnection) -> Result<(), BorderError> {
    let table = "sqlite_sequence";
    let (columns, _) = tables::columns(connection, Table { name: table, kind: Kind::State }).await?;
    if columns.is_empty() {
        return Ok(());
    }
    let last: Option<i64> = sqlx::query_scalar(LAST_NUMBER).fetch_one(connection).await.ok();
    number_fault(table, "seq", last).map_or(Ok(()), |what| Err(BorderError::Value { table, what }))
}

async fn execute(connection: &mut SqliteConnection, sql: String) -> Result<(), StoreError> {
    sqlx::query(AssertSqlSafe(sql)).execute(connection).await.map_err(failed(STEP)).map(drop)
}

/// A value as it is stored.
#[derive(Debug, Clone)]
enum Cell {
    Null,
    Number(i64),
    Text(Vec<u8>),
    Other,
}

async fn clean_table(connection: &mut SqliteConnection, table: Table) -> Result<u64, BorderError> {
    let (columns, key) = tables::columns(connection, table).await?;
    if columns.is_empty() {
        // A history of an earlier version does not have it.
        return Ok(0);
    }
    let all = in_quotes(&columns).join(", ");
    let (keys, marks) = (in_quotes(&key).join(", "), vec!["?"; key.len()].join(", "));
    let first = format!("SELECT {all} FROM {} ORDER BY {keys} LIMIT {PAGE}", table.name);
    let next = format!("SELECT {all} FROM {} WHERE ({keys}) > ({marks}) ORDER BY {keys} LIMIT {PAGE}", table.name);
    let of_key = |row: &[Cell]| -> Vec<Cell> {
        key.iter().filter_map(|name| row.get(columns.iter().position(|column| column == name)?).cloned()).collect()
    };
    let (mut after, mut changed) = (Vec::new(), 0);
    loop {
        let sql = if after.is_empty() { first.clone() } else { next.clone() };
        let page = with(sqlx::query(AssertSqlSafe(sql)), &after)?;
        let page = page.fetch_all(&mut *connection).await.map_err(failed(STEP))?;
        for row in &page {
            let row = cells(row)?;
            after = of_key(&row);
            let changes = changes(table, &columns, &row).map_err(|error| in_row(error, &after))?;
            if !changes.is_empty() {
                update(connection, table, &key, &after, changes).await?;
                changed += 1;
            }
        }
        if page.len() < PAGE {
            return Ok(changed);
        }
    }
}

/// Names the row by its key.
fn in_row(error: BorderError, key: &[Cell]) -> BorderError {
    let BorderError::Value { table, what } = error else { return error };
    let shown = key.iter().map(|cell| match cell {
        Cell::Number(number) => number.to_string(),
        Cell::Text(text) => clean(&String::from_utf8_lossy(text), LONGEST_KEY).into_owned(),
        Cell::Null | Cell::Other => "?".to_owned(),
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    BorderError::Value { table, what: format!("{what}, in row {shown}") }
}

/// The new texts of a row, each with its column.
fn changes<'a>(table: Table, columns: &'a [String], row: &[Cell]) -> Result<Vec<(&'a str, Cell)>, BorderError> {
    let mut changes = Vec::new();
    for (column, cell) in columns.iter().zip(row) {
        let fault = match cell {
            Cell::Null => None,
            Cell::Number(number) => number_fault(table.name, column, Some(*number)),
            Cell::Other => Some(format!("{column:?} is neither text nor a whole number")),
            Cell::Text(text) => {
                let clean = cleaned(text);
                let fault = text_fault(table.name, column, clean.as_deref().unwrap_or(&String::from_utf8_lossy(text)));
                changes.extend(clean.map(|text| (column.as_str(), Cell::Text(text.into_bytes()))));
                fault
            }
        };
        if let Some(what) = fault {
            return Err(BorderError::Value { table: table.name, what });
        }
    }
    let text = |name: &str| match row.get(columns.iter().position(|column| column == name)?)? {
        Cell::Text(text) => Some(String::from_utf8_lossy(text)),
        _ => None,
    };
    match line_fault(table.name, text) {
        Some(what) => Err(BorderError::Value { table: table.name, what }),
        None => Ok(changes),
    }
}

async fn update(
    connection: &mut SqliteConnection,
    table: Table,
    key: &[String],
    row: &[Cell],
    changes: Vec<(&str, Cell)>,
) -> Result<(), BorderError> {
    let set: Vec<_> = changes.iter().map(|(column, _)| format!("\"{column}\" = ?")).collect();
    let place: Vec<_> = in_quotes(key).into_iter().map(|column| format!("{column} = ?")).collect();
    let sql = format!("UPDATE {} SET {} WHERE {}", table.name, set.join(", "), place.join(" AND "));
    let values: Vec<Cell> = changes.into_iter().map(|(_, cell)| cell).chain(row.iter().cloned()).collect();
    let updated = with(sqlx::query(AssertSqlSafe(sql)), &values)?.execute(connection).await;
    match updated {
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            let what = "two rows differ in hidden characters of their key alone".to_owned();
            Err(BorderError::Value { table: table.name, what })
        }
        Err(error) => Err(failed(STEP)(error).into()),
    }
}

fn in_quotes(columns: &[String]) -> Vec<String> {
    columns.iter().map(|column| format!("\"{column}\"")).collect()
}

/// The query with these values. A key that is no valid text cannot be bound, so that its row is not found again.
fn with<'q>(
    mut query: Query<'q, Sqlite, SqliteArguments>,
    values: &[Cell],
) -> Result<Query<'q, Sqlite, SqliteArguments>, BorderError> {
    for value in values {
        query = match value {
            Cell::Number(number) => query.bind(*number),
            Cell::Text(text) => {
                let Ok(text) = String::from_utf8(text.clone()) else {
                    let what = "a key is not UTF-8".to_owned();
                    return Err(BorderError::Value { table: "a table", what });
                };
                query.bind(text)
            }
            Cell::Null | Cell::Other => query.bind(None::<String>),
        };
    }
    Ok(query)
}

fn cells(row: &SqliteRow) -> Result<Vec<Cell>, BorderError> {
    let cell = |index| -> Result<Cell, sqlx::Error> {
        let value = row.try_get_raw(index)?;
        if value.is_null() {
            return Ok(Cell::Null);
        }
        Ok(match value.type_info().name() {
            "INTEGER" => Cell::Number(row.try_get_unchecked(index)?),
            "TEXT" => Cell::Text(row.try_get_unchecked(index)?),
            _ => Cell::Other,
        })
    };
    (0..row.len()).map(cell).collect::<Result<_, _>>().map_err(|error| failed(STEP)(error).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_rows_are_cleaned_also_inside_json() {
        let clean = |text: &str| cleaned(text.as_bytes()).unwrap_or_else(|| text.to_owned());
        assert_eq!(clean("a\u{1b}[2Jb\n\tc"), "a\\u{1b}[2Jb\n\tc");
        assert_eq!(clean(r#"{"reason":"x\u001b","ids":[1]}"#), r#"{"ids":[1],"reason":"x\\u{1b}"}"#);
        let same = r#"{"z":"\n","a":"\u00e9"}"#;
        assert_eq!(clean(same), same, "what is clean keeps its order and spelling");
        assert_eq!(clean(&"x".repeat(LONGEST_STORED + 1)).chars().count(), LONGEST_STORED);
        assert_eq!(clean("研发 – ✓"), "研发 – ✓");
        assert_eq!(cleaned(b"a\xff\0b").unwrap(), "a\u{fffd}\\u{0}b");
        assert_eq!(cleaned(b"a\xff").unwrap(), "a\u{fffd}");
    }

    #[test]
    fn a_bake_that_is_not_over_needs_a_state_and_settings_that_are_known() {
        let settings = serde_json::to_string(&crate::domain::bake::settings::example()).unwrap();
        let queued = r#"{"state":"queued","not_before":"2027-01-01T03:00:00Z"}"#;
        let fault = |state, progress, settings: Option<&str>| unfinished_fault(state, progress, settings);
        assert_eq!(fault("queued", queued, Some(&settings)), None);
        let end = r#"{"state":"ended","work":null,"end":{"end":"cancelled","reason":"x"}}"#;
        for (state, progress, settings, wanted) in [
            ("queued", "{}", Some(settings.as_str()), "no state that this version knows"),
            ("queued", r#"{"state":"levitating"}"#, Some(&settings), "no state that this version knows"),
            ("queued", "7", Some(&settings), "no state that this version knows"),
            ("queued", end, Some(&settings), "its progress is an end"),
            ("building", queued, Some(&settings), "is queued, not building"),
            ("queued", queued, Some("{}"), "its settings are not those of a bake"),
            ("queued", queued, None, "its settings are not those of a bake"),
        ] {
            let found = fault(state, progress, settings).unwrap();
            assert!(found.contains(wanted), "{found}");
        }
    }

    #[test]
    fn a_line_is_that_of_its_schedule_or_of_its_instance_there() {
        let fault = |table: &str, line: &'static str| {
            line_fault(table, |column| {
                let text = match column {
                    "line_id" => line,
                    "schedule_id" => "golden",
                    "instance_id" => "ecd-1",
                    _ => return None,
                };
                Some(text.into())
            })
        };
        assert_eq!((fault("bakes", "golden"), fault("images", "golden/ecd-1")), (None, None));
        for line in ["", "gold", "goldens", "golden/", "golden/ecd-2", "golden/ecd-1/x", "silver"] {
            let found = fault("bakes", line).unwrap();
            assert!(found.contains("is not that of schedule \"golden\" and instance \"ecd-1\""), "{found}");
            assert!(fault("targets", line).is_some() && fault("unrecorded_images", line).is_none());
        }
    }

    #[test]
    fn numbers_are_those_that_a_history_can_have() {
        let fault = |column, number| number_fault("bakes", column, number);
        for (column, number) in [
            ("slot", 0),
            ("slot", LAST_INSTANT),
            ("version", 7),
            ("last_version", LAST_VERSION),
            ("above", -1),
            ("until", LAST_INSTANT + 1),
        ] {
            assert_eq!(fault(column, Some(number)), None);
        }
        for (column, number) in [("slot", -1), ("until", i64::MAX), ("version", 4_294_967_295), ("above", i64::MIN)] {
            assert!(fault(column, Some(number)).is_some(), "{column} {number}");
        }
        assert!(fault("slot", None).is_some());
        assert_eq!(number_fault("unrecorded_images", "slot", Some(LAST_INSTANT + 1)), None, "as a tag has it");
        assert!(text_fault("bakes", "trigger", "cron").is_some() && text_fault("bakes", "trigger", "manual").is_none());
        assert!(text_fault("bakes", "progress", "[[[").is_some() && text_fault("bakes", "progress", "{}").is_none());
    }
}
