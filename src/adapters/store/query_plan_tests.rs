//! How SQLite runs each statement: on a history without statistics, on one that was analysed when it was empty, and on one that
//! was analysed with rows. A scan of a table that grows with the history takes seconds within the write transaction. So no
//! statement scans such a table, each other scan is in the snapshot, and the plan depends on nothing but the schema.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Connection as _, Row, SqliteConnection};

use super::{
    DATABASE_FILE, Store,
    bake_rows::BAKE_ROW_COLUMNS,
    clock_steps::NEWEST_WRITE,
    distributions::REPLICA_REGIONS,
    images::LINES_OF_IMAGES,
    learned::WORK_IN_CLOUD,
    lineage::IS_EMPTY,
    rebuilding::{LISTED_IMAGES, RECORDED},
    statement_list_tests::STATEMENTS,
};

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
const WHOLE: [(&str, &str); 8] = [
    ("reads whether there is a first row", IS_EMPTY),
    ("`images` counts all images that exist", LINES_OF_IMAGES),
    ("reconciliation compares every row that has to do with images", RECORDED),
    ("reconciliation compares every image that is listed", LISTED_IMAGES),
    ("an edit of the owner counts all images that exist", WORK_IN_CLOUD),
    ("the page of the history adds conditions of its own", BAKE_ROW_COLUMNS),
    ("reads the last row alone", NEWEST_WRITE),
    ("an inventory scan of the whole account begins with all regions", REPLICA_REGIONS),
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

/// The steps of a statement's plan that scan a table or an index.
async fn scans(connection: &mut SqliteConnection, sql: &str) -> Vec<String> {
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
    let steps = sqlx::query(explain).fetch_all(connection).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let steps = steps.iter().map(|step| step.get::<String, _>("detail"));
    steps
        .filter(|step| {
            step.starts_with("SCAN ") && !["VIRTUAL TABLE", "CONSTANT ROW"].iter().any(|no| step.contains(no))
        })
        .collect()
}

/// The statements that have a plan; pragmas have none.
fn planned() -> impl Iterator<Item = &'static str> {
    let has_plan = |sql: &&str| {
        let verb = sql.split_whitespace().next().unwrap_or_default();
        ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].contains(&verb)
    };
    STATEMENTS.iter().map(|(_, sql)| *sql).filter(has_plan)
}

async fn assert_no_scan_of_a_large_table(store: &Store, situation: &str) {
    let mut connection = store.writer.connection().await.unwrap();
    let mut found = Vec::new();
    for sql in planned().filter(|sql| WHOLE.iter().all(|(_, whole)| whole != sql)) {
        let aliases = aliases(sql);
        let is_large = |step: &&String| {
            let words: Vec<&str> = step.split(' ').collect();
            let is_small = SMALL_INDEXES.iter().any(|index| words.contains(index));
            aliases.iter().any(|(alias, _)| words.get(1) == Some(&alias.as_str())) && !is_small
        };
        let scans = scans(&mut connection, sql).await;
        let large: Vec<_> = scans.iter().filter(is_large).cloned().collect();
        if !large.is_empty() {
            found.push(format!("{sql}\n  {}", large.join("\n  ")));
        }
    }
    assert!(found.is_empty(), "{situation}: {}", found.join("\n\n"));
}

/// Every scan: the step of the plan and the beginning of the statement.
async fn all_scans(store: &Store) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut connection = store.writer.connection().await.unwrap();
    for sql in planned() {
        let words: Vec<&str> = sql.split_whitespace().collect();
        let beginning: String = words.join(" ").chars().take(150).collect();
        found.extend(scans(&mut connection, sql).await.into_iter().map(|step| format!("{step}: {beginning}")));
    }
    found
}

/// The numbers from 0 to 5,000.
const SERIES: &str = "WITH RECURSIVE series (value) AS (SELECT 0 UNION ALL SELECT value + 1 FROM series LIMIT 5001) ";

/// Five thousand bakes of ten lines over several years, each with its attempts, image and copy.
const FILL: [&str; 6] = [
    "INSERT INTO settings (hash, json) VALUES ('h', '{}')",
    "INSERT INTO lines (line_id, last_version) SELECT 'line-' || value, 500 FROM series WHERE value <= 9",
    "INSERT INTO bakes (id, schedule_id, schedule, instance_id, line_id, slot, trigger, first_slot, settings, config_hash,
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

async fn fill(store: &Store, bakes: u32) {
    for sql in FILL {
        let mut connection = store.writer.connection().await.unwrap();
        let series = SERIES.replace("5001", &(bakes + 1).to_string());
        sqlx::query(AssertSqlSafe(format!("{series}{sql}"))).execute(&mut *connection).await.unwrap();
    }
}

/// A history that was analysed when it was young: the statistics say that every table is small. A start drops them.
#[tokio::test]
async fn a_start_drops_the_statistics_of_a_young_history() {
    let (dir, store) = super::tests::store().await;
    fill(&store, 20).await;
    store.execute("ANALYZE").await;
    store.close().await;
    drop(store);
    let store = Store::open(dir.path()).await.unwrap();
    assert_no_scan_of_a_large_table(&store, "analysed with few rows").await;
    store.upkeep().await.unwrap();
    store.close().await;
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_stat1'")
        .fetch_one(&mut SqliteConnection::connect(&dir.path().join(DATABASE_FILE).display().to_string()).await.unwrap())
        .await
        .unwrap();
    assert_eq!(kept, 0, "nothing makes new ones");
}

#[tokio::test]
async fn no_statement_scans_a_table_that_grows_for_ever() {
    let (_dir, store) = super::tests::store().await;
    assert_no_scan_of_a_large_table(&store, "empty").await;
    store.execute("ANALYZE").await;
    assert_no_scan_of_a_large_table(&store, "analysed while empty").await;
    fill(&store, 5000).await;
    assert_no_scan_of_a_large_table(&store, "with rows, analysed while empty").await;
    store.execute("ANALYZE").await;
    // Statistics are read when a connection is opened, or by ANALYZE itself.
    assert_no_scan_of_a_large_table(&store, "analysed with rows").await;
}

#[tokio::test]
async fn plans_depend_on_the_schema_alone_and_every_scan_is_meant() {
    let (_dir, store) = super::tests::store().await;
    let new = all_scans(&store).await;
    insta::assert_snapshot!(new.iter().map(|scan| format!("{scan}\n")).collect::<String>());
    fill(&store, 5000).await;
    let filled = all_scans(&store).await;
    store.execute("ANALYZE").await;
    let analysed = all_scans(&store).await;
    for (situation, later) in [("with rows", &filled), ("with statistics", &analysed)] {
        // Open rows are as few as the running bakes, so that a scan of those is as good as a search in them.
        let is_of_open = |scan: &&String| scan.contains("_open:");
        let added: Vec<_> = later.difference(&new).filter(|scan| !is_of_open(scan)).collect();
        assert!(added.is_empty(), "{situation}, more is scanned: {added:#?}");
    }
}
