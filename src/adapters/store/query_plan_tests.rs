//! How SQLite runs each statement: on a new history, on one with rows, and on one with statistics. A scan of a table that
//! grows with the history takes seconds within the write transaction, so each scan is in the snapshot, and the plan depends
//! on nothing but the schema.

use std::collections::BTreeSet;

use sqlx::Row;

use super::*;

/// A row for each bake, call, image or act of a person: 5,000 bakes of 50 lines, the last ten images of each line.
const FILL: &[&str] = &[
    "INSERT INTO settings (hash, json) VALUES ('h', '{}')",
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
     INSERT INTO bakes (id, schedule_id, schedule, instance_id, line_id, slot, trigger, covers_from, settings, config_hash,
                        state, progress, version, image_id, attempts, created_at, finished_at)
     SELECT i, 's' || i % 50, 's' || i % 50, 'ecd-' || i % 50, 's' || i % 50, i * 1000, 'slot', i * 1000, 'h', 'c',
            CASE WHEN i % 100 = 0 THEN 'failed' ELSE 'succeeded' END, '{}', i / 50, 'imgc-' || i, 1, i * 1000, i * 1000
     FROM n",
    "INSERT INTO attempts (bake_id, stage, call, started_at, finished_at, outcome)
     SELECT id, 'create', 'CreateImageByInstance', slot, slot, 'ok' FROM bakes",
    "INSERT INTO images (image_id, line_id, schedule_id, instance_id, bake_id, version, image_name, slot, available_at)
     SELECT image_id, line_id, schedule_id, instance_id, id, version, 'x', slot, slot FROM bakes WHERE id > 4500",
    "INSERT INTO distributions (image_id, region, bake_id, state, created_at, finished_at)
     SELECT image_id, 'cn-beijing', bake_id, 'done', slot, slot FROM images",
];

/// Every scan: the step of the plan and the statement.
async fn scans(store: &Store) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut connection = store.writer.connection().await.unwrap();
    for sql in statements::ALL {
        let verb = sql.split_whitespace().next().unwrap();
        if !["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].contains(&verb) {
            continue;
        }
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let steps = sqlx::query(explain).fetch_all(&mut *connection).await;
        for step in steps.unwrap_or_else(|error| panic!("{sql}: {error}")) {
            let step: String = step.get("detail");
            if step.starts_with("SCAN ") && !["VIRTUAL TABLE", "CONSTANT ROW"].iter().any(|no| step.contains(no)) {
                let begin: Vec<&str> = sql.split_whitespace().collect();
                found.insert(format!("{step}: {}", begin.join(" ").chars().take(150).collect::<String>()));
            }
        }
    }
    found
}

#[tokio::test]
async fn plans_depend_on_the_schema_alone_and_every_scan_is_meant() {
    let (_dir, store) = super::tests::store().await;
    let new = scans(&store).await;
    insta::assert_snapshot!(new.iter().map(|scan| format!("{scan}\n")).collect::<String>());
    let run = async |sql: &'static str| {
        sqlx::query(sql).execute(&mut *store.writer.connection().await.unwrap()).await.unwrap();
    };
    for sql in FILL {
        run(sql).await;
    }
    let filled = scans(&store).await;
    run("ANALYZE").await;
    let analysed = scans(&store).await;
    for (name, later) in [("with rows", &filled), ("with statistics", &analysed)] {
        // What is open is bounded by what runs, so that a scan of those is as good as a search in them.
        let is_of_open = |scan: &&String| scan.contains("_open:");
        let added: Vec<_> = later.difference(&new).filter(|scan| !is_of_open(scan)).collect();
        assert!(added.is_empty(), "{name}, more is scanned: {added:#?}");
    }
}
