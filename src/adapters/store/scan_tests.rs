//! The query plan of every statement: none scans a table that grows for ever. Plans are held on a history without
//! statistics, on one that was analysed when it was empty, and on one that was analysed with rows.

use sqlx::{AssertSqlSafe, Row, SqliteConnection};

use super::{Store, statements};

/// Tables that grow with every slot.
const LARGE: [&str; 4] = ["bakes", "images", "attempts", "distributions"];

/// Indexes of few rows, whatever the age of the history: a scan of one is cheap.
const SMALL_INDEXES: [&str; 8] = [
    "bakes_open",
    "bakes_queued",
    "bakes_queued_by_instance",
    "images_going",
    "images_to_verify",
    "images_check_failed",
    "distributions_open",
    "distributions_failed",
];

/// Statements that read a whole table by their nature.
const WHOLE: [(&str, &str); 5] = [
    ("reads whether there is a first row", statements::IS_EMPTY),
    ("retention and `images` list all images that exist", statements::PRESENT_IMAGES),
    ("reconciliation compares every row that has to do with images", statements::RECORDED),
    ("the page of the history adds conditions of its own", statements::BAKE_ROW_COLUMNS),
    ("reads the last row alone", statements::NEWEST_WRITE),
];

/// The table of each alias of a statement; keywords are upper case, aliases are not.
fn aliases(sql: &str) -> Vec<(String, &'static str)> {
    let words: Vec<&str> =
        sql.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect();
    let mut found = Vec::new();
    for (n, word) in words.iter().enumerate() {
        let Some(table) = LARGE.iter().find(|table| *table == word) else { continue };
        found.push(((*table).to_owned(), *table));
        let rest = words.iter().skip(n + 1);
        let alias = rest.clone().find(|word| **word != "AS");
        if let Some(alias) = alias.filter(|alias| alias.chars().all(|c| c.is_lowercase() || c == '_')) {
            found.push(((*alias).to_owned(), *table));
        }
    }
    found
}

/// The scans of large tables in the plan of a statement.
async fn scans(connection: &mut SqliteConnection, sql: &'static str) -> Vec<String> {
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let rows = sqlx::query(explain).fetch_all(connection).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let aliases = aliases(sql);
    rows.iter()
        .map(|row| row.get::<String, _>("detail"))
        .filter(|detail| {
            let mut words = detail.split(' ');
            let is_scan = words.next() == Some("SCAN");
            let name = words.next().unwrap_or_default();
            let is_small = SMALL_INDEXES.iter().any(|index| detail.split(' ').any(|word| word == *index));
            is_scan && aliases.iter().any(|(alias, _)| alias == name) && !detail.contains("VIRTUAL TABLE") && !is_small
        })
        .collect()
}

async fn assert_no_scan(store: &Store, what: &str) {
    let mut connection = store.writer.connection().await.unwrap();
    let mut found = Vec::new();
    for sql in statements::ALL {
        let verb = sql.split_whitespace().next().unwrap();
        if !["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].contains(&verb)
            || WHOLE.iter().any(|(_, whole)| whole == sql)
        {
            continue;
        }
        let scans = scans(&mut connection, sql).await;
        if !scans.is_empty() {
            found.push(format!("{sql}\n  {}", scans.join("\n  ")));
        }
    }
    assert!(found.is_empty(), "{what}: {}", found.join("\n\n"));
}

/// The numbers from 0 to 5,000.
const SERIES: &str = "WITH RECURSIVE series (value) AS (SELECT 0 UNION ALL SELECT value + 1 FROM series LIMIT 5001) ";

/// Five thousand bakes of ten lines over several years, each with its attempts, image and copy.
const FILL: [&str; 6] = [
    "INSERT INTO settings (hash, json) VALUES ('h', '{}')",
    "INSERT INTO lines (line_id, last_version) SELECT 'line-' || value, 500 FROM series WHERE value <= 9",
    "INSERT INTO bakes (id, schedule_id, schedule, instance_id, line_id, slot, trigger, covers_from, settings, config_hash,
                        state, progress, version, image_id, created_at, finished_at)
     SELECT value, 's' || (value % 10), 's' || (value % 10), 'ecd-' || (value % 10), 'line-' || (value % 10),
            value * 3600000, 'slot', value * 3600000, 'h', 'c', CASE value % 7 WHEN 0 THEN 'failed' ELSE 'succeeded' END,
            '{}', value / 10, 'm-' || value, value * 3600000, value * 3600000 + 1
     FROM series WHERE value >= 1",
    "INSERT INTO attempts (bake_id, stage, call, started_at, finished_at, outcome)
     SELECT id, 'create', 'CreateImageByInstance', slot, slot, 'ok' FROM bakes",
    "INSERT INTO images (image_id, line_id, schedule_id, instance_id, bake_id, version, image_name, slot, available_at)
     SELECT image_id, line_id, schedule_id, instance_id, id, version, '', slot, slot FROM bakes WHERE state = 'succeeded'",
    "INSERT INTO distributions (image_id, region, bake_id, state, created_at, finished_at)
     SELECT image_id, 'cn-shanghai', id, 'done', slot, slot FROM bakes WHERE state = 'succeeded'",
];

#[tokio::test]
async fn no_statement_scans_a_table_that_grows_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    assert_no_scan(&store, "empty").await;
    store.execute("ANALYZE").await;
    assert_no_scan(&store, "analysed while empty").await;
    for sql in FILL {
        let mut connection = store.writer.connection().await.unwrap();
        sqlx::query(AssertSqlSafe(format!("{SERIES}{sql}"))).execute(&mut *connection).await.unwrap();
    }
    assert_no_scan(&store, "with rows, analysed while empty").await;
    store.execute("ANALYZE").await;
    // Statistics are read when a connection is opened, or by ANALYZE itself.
    assert_no_scan(&store, "analysed with rows").await;
}
