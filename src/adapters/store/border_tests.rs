//! Rows of a file that somebody else made, on their way into the history.

use std::{io::Cursor, path::Path};

use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    BackupError, DATABASE_FILE, EventFilter, Reader, Store, TransferError, UNREADABLE, import, restore, schema,
    tests::settings,
};
use crate::domain::{error::chain, text::is_hidden};

/// A history with these rows besides its own.
async fn history(statements: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    Store::open(dir.path()).await.unwrap().close().await;
    let mut connection = open(dir.path()).await;
    for sql in statements {
        sqlx::query(sqlx::AssertSqlSafe(*sql)).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
    dir
}

async fn open(dir: &Path) -> SqliteConnection {
    SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(dir.join(DATABASE_FILE))).await.unwrap()
}

async fn restored(from: &Path) -> Result<tempfile::TempDir, BackupError> {
    let target = tempfile::tempdir().unwrap();
    let now = "2027-01-01T03:00:00Z".parse().unwrap();
    restore(target.path(), &from.join(DATABASE_FILE), "a test", now, &|_| ()).await?;
    Ok(target)
}

async fn backed_up(from: &Path) -> Result<tempfile::TempDir, BackupError> {
    let target = tempfile::tempdir().unwrap();
    let reader = Reader::open(from).await.unwrap();
    let copied = reader.back_up(&target.path().join(DATABASE_FILE), &|_| ()).await;
    reader.close().await;
    copied.map(|_| target)
}

async fn exported(dir: &Path) -> String {
    let reader = Reader::open(dir).await.unwrap();
    let mut document = Vec::new();
    reader.export(&mut document, &|_| ()).await.unwrap();
    reader.close().await;
    String::from_utf8(document).unwrap()
}

async fn imported(document: String) -> Result<tempfile::TempDir, TransferError> {
    let target = tempfile::tempdir().unwrap();
    import(target.path(), Cursor::new(document), "2027-01-01T03:00:00Z".parse().unwrap(), &|_| ()).await?;
    Ok(target)
}

const DIRTY: [&str; 6] = [
    // More than a page, each of them dirty, in a table that triggers protect.
    "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 2500)
     INSERT INTO audit (at, who, action, detail)
     SELECT n, 'uid 0' || char(27) || '[2J', 'pin', 'a' || char(155, 8238, 7, 13) || n FROM n",
    "INSERT INTO pins VALUES ('imgc-' || char(27), 1, NULL, char(10) || 'two' || char(9) || 'lines' || char(0) || 'x', 'w')",
    "INSERT INTO vetoes VALUES ('imgc-1', 1, CAST(x'61ff62' AS TEXT), 'w')",
    "INSERT INTO learned VALUES ('x', '{\"a\":\"\\u001b[31m\",\"b\":[\"\\u202e\"]}', 1)",
    "INSERT INTO streaks VALUES ('s', 1, printf('%.*c', 70000, 'x'))",
    "INSERT INTO lines VALUES ('line' || char(27), 7)",
];

/// An event but for its facts.
const EVENT: &str = "INSERT INTO events (at, type, severity, subject_kind, subject_id, message, data)
                     VALUES (1, 'schedule_added', 'info', 'schedule', 's', 'it was added',";

/// No hidden character is left in any text, also where JSON has its escape.
fn is_clean(document: &str) -> bool {
    let escapes = ["\\u00", "\\u202", "\\u009", "\u{fffd}\\u"];
    let is_plain = |c: char| !is_hidden(c) || c == '\n';
    document.chars().all(is_plain) && !escapes.iter().any(|escape| document.contains(&format!("\"{escape}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_a_restored_file_are_clean_and_bounded() {
    let dir = history(&DIRTY).await;
    let target = restored(dir.path()).await.unwrap();
    let mut connection = open(target.path()).await;
    let one = async |connection: &mut SqliteConnection, sql: &'static str| -> String {
        sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
    };
    assert_eq!(one(&mut connection, "SELECT who FROM audit WHERE id = 2000").await, r"uid 0\u{1b}[2J");
    assert_eq!(one(&mut connection, "SELECT detail FROM audit WHERE id = 1").await, r"a\u{9b}\u{202e}\u{7}\r1");
    assert_eq!(one(&mut connection, "SELECT image_id FROM pins").await, r"imgc-\u{1b}");
    assert_eq!(one(&mut connection, "SELECT reason FROM pins").await, "\ntwo\tlines\\u{0}x");
    assert_eq!(one(&mut connection, "SELECT reason FROM vetoes").await, "a\u{fffd}b");
    assert_eq!(
        one(&mut connection, "SELECT value FROM learned WHERE name = 'x'").await,
        r#"{"a":"\\u{1b}[31m","b":["\\u{202e}"]}"#
    );
    assert_eq!(one(&mut connection, "SELECT settings FROM streaks").await.chars().count(), 65_536);
    assert_eq!(one(&mut connection, "SELECT line_id FROM lines").await, r"line\u{1b}");
    let detail = one(&mut connection, "SELECT detail FROM audit ORDER BY id DESC LIMIT 1").await;
    assert!(detail.ends_with("; hidden characters, or too many, were replaced in 2505 rows"), "{detail}");
    // The protection of the audit is there again, word for word.
    assert!(sqlx::query("DELETE FROM audit").execute(&mut connection).await.is_err());
    let last = schema::last_migration();
    assert_eq!(schema::differences(&mut connection, last).await.unwrap(), Vec::<String>::new());
    connection.close().await.unwrap();
    let document = exported(target.path()).await;
    assert!(is_clean(&document), "{document}");

    // What is clean stays as it is.
    let again = restored(target.path()).await.unwrap();
    let mut connection = open(again.path()).await;
    let detail = one(&mut connection, "SELECT detail FROM audit ORDER BY id DESC LIMIT 1").await;
    assert!(detail.starts_with("from ") && !detail.contains("replaced"), "{detail}");
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_and_its_import_are_clean_as_well() {
    // Text that is not UTF-8 is in no JSON.
    let dir = history(&[DIRTY[0], DIRTY[1], DIRTY[3], DIRTY[4], DIRTY[5]]).await;
    let document = exported(dir.path()).await;
    assert!(document.chars().all(|c| !is_hidden(c) || c == '\n'), "the document can be shown on a terminal");
    let target = imported(document).await.unwrap();
    let document = exported(target.path()).await;
    assert!(is_clean(&document), "{document}");
    assert!(document.contains(r#""who":"uid 0\\u{1b}[2J""#), "{document}");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_and_words_that_no_history_has_are_refused() {
    let bake =
        "INSERT INTO bakes (schedule_id, schedule, instance_id, line_id, slot, trigger, first_slot, config_hash, state,
                progress, created_at, version) VALUES ('s', 's', 'i', 's', 1, 'manual', 1, 'h',";
    for (sql, wanted) in [
        ("INSERT INTO lines VALUES ('l', 4294967295)".to_owned(), "\"last_version\" is 4294967295"),
        (format!("{bake} 'succeeded', '{{}}', 1, 9223372036854775807)"), "\"version\" is 9223372036854775807"),
        (format!("{bake} 'succeeded', '{{}}', 8210266876799999, 1)"), "\"created_at\" is 8210266876799999"),
        (format!("{bake} 'gone' || char(27), '{{}}', 1, 1)"), "is no state"),
        (
            format!("{} 'succeeded', '{{}}', 1, 1)", bake.replace("'i', 's', 1", "'i', 'x', 1")),
            "its line \"x\" is not that of",
        ),
        ("INSERT INTO pins VALUES ('i', -1, NULL, 'r', 'w')".to_owned(), "\"since\" is -1"),
        (format!("{} 'succeeded', '{{}}', 1, 1)", bake.replace("'manual'", "'cron'")), "\"cron\" is no trigger"),
        ("INSERT INTO settings VALUES ('h', '{')".to_owned(), "\"json\" is not a JSON object"),
        ("INSERT INTO brakes VALUES ('l', 1, '{}')".to_owned(), "\"brake\" is not a limit that this version knows"),
        (format!("{EVENT} '{{{{{{')"), "\"data\" is not a JSON object"),
        (format!("{EVENT} '5')"), "\"data\" is not a JSON object"),
    ] {
        let dir = history(&[&sql]).await;
        let error = restored(dir.path()).await.unwrap_err();
        assert!(matches!(&error, BackupError::Rows { what, .. } if what.contains(wanted)), "{sql}: {error}");
        let error = backed_up(dir.path()).await.unwrap_err();
        assert!(matches!(&error, BackupError::NotRestorable { what } if what.contains(wanted)), "{sql}: {error}");
        let error = chain(&imported(exported(dir.path()).await).await.unwrap_err());
        assert!(error.contains(wanted) && !error.contains('\u{1b}'), "{sql}: {error}");
    }
}

/// A backup that could not be restored is none, and an import of it is refused like a restore.
#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_bake_without_a_known_state_is_named_by_backup_restore_and_import() {
    let settings = serde_json::to_string(&*settings()).unwrap();
    let settings = format!("INSERT INTO settings VALUES ('h', '{settings}')");
    let bake = |state: &str, progress: &str| {
        format!(
            "INSERT INTO bakes (schedule_id, schedule, instance_id, line_id, slot, trigger, first_slot, config_hash, state,
                                settings, progress, created_at)
             VALUES ('s', 'golden', 'i', 's/i', 1, 'manual', 1, 'c', '{state}', 'h', '{progress}', 1)"
        )
    };
    let queued = r#"{"state":"queued","not_before":"2027-01-01T03:00:00Z"}"#;
    let sound = history(&[&settings, &bake("queued", queued)]).await;
    let copy = backed_up(sound.path()).await.unwrap();
    restored(copy.path()).await.unwrap();
    imported(exported(sound.path()).await).await.unwrap();

    for (state, progress, what) in [
        ("queued", "{}", "its progress is no state that this version knows"),
        ("stopping", r#"{"state":"levitating"}"#, "its progress is no state that this version knows"),
        ("stopping", queued, "its progress is that of a bake which is queued, not stopping"),
    ] {
        let dir = history(&[&settings, &bake(state, progress)]).await;
        let wanted = format!("bake 1 of golden is not over, and {what}");
        let error = backed_up(dir.path()).await.unwrap_err();
        assert!(matches!(&error, BackupError::NotRestorable { what } if what.contains(&wanted)), "{error}");
        let error = restored(dir.path()).await.unwrap_err();
        assert!(matches!(&error, BackupError::Rows { what, .. } if what.contains(&wanted)), "{error}");
        let error = chain(&imported(exported(dir.path()).await).await.unwrap_err());
        assert!(error.contains(&wanted), "{error}");
    }
}

/// What a restore refuses, a backup refuses; what it cleans, a backup keeps as it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_examined_as_a_restore_would() {
    for (sql, wanted) in [
        (
            "INSERT INTO lines VALUES ('l', 4294967295)",
            "\"last_version\" is 4294967295, which is not from 0 to 1000000000, in row l",
        ),
        ("INSERT INTO sqlite_sequence VALUES ('events', 'x')", "sqlite_sequence: \"seq\" is not a whole number"),
        (
            "INSERT INTO pins VALUES ('i' || char(27), 1, NULL, 'r', 'w'), ('i\\u{1b}', 1, NULL, 'r', 'w')",
            "two rows differ in hidden characters of their key alone",
        ),
    ] {
        let dir = history(&[sql]).await;
        let error = backed_up(dir.path()).await.unwrap_err();
        assert!(matches!(&error, BackupError::NotRestorable { what } if what.contains(wanted)), "{sql}: {error}");
        assert!(restored(dir.path()).await.is_err(), "{sql}");
    }
    // A view in the place of a table, as in a file that is no history.
    let dir = history(&["DROP TRIGGER audit_is_append_only_1"]).await;
    let error = backed_up(dir.path()).await.unwrap_err();
    assert!(matches!(error, BackupError::Schema { .. }), "{error}");

    let dir = history(&DIRTY).await;
    let copy = backed_up(dir.path()).await.unwrap();
    let mut connection = open(copy.path()).await;
    let who: String =
        sqlx::query_scalar("SELECT who FROM audit WHERE id = 1").fetch_one(&mut connection).await.unwrap();
    assert_eq!(who, "uid 0\u{1b}[2J");
    connection.close().await.unwrap();
    restored(copy.path()).await.unwrap();
    let left: Vec<_> = std::fs::read_dir(copy.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [DATABASE_FILE], "no journal is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_program_writes_itself_is_taken_over() {
    let own = [
        // A channel whose only image was vetoed, and an end that a person named.
        "INSERT INTO channels (line_id, channel, image_id, above, since) VALUES ('l', 'prod', NULL, -1, 1)",
        "INSERT INTO pins VALUES ('i', 1, 8210266876799999, 'r', 'w')",
    ];
    let dir = history(&own).await;
    restored(dir.path()).await.unwrap();
    imported(exported(dir.path()).await).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_belong_to_the_file_are_examined_as_well() {
    for (sql, wanted) in [
        ("INSERT INTO sqlite_sequence VALUES ('events', 9223372036854775807)", "sqlite_sequence: \"seq\" is"),
        ("INSERT INTO sqlite_sequence VALUES ('events', 'x')", "sqlite_sequence: \"seq\" is not a whole number"),
        (
            "INSERT OR REPLACE INTO lineage VALUES (1, 'r', 9223372036854775807, 0, 'continued')",
            "lineage: \"steps\" is",
        ),
        ("INSERT INTO channels_due VALUES ('l', -7)", "channels_due: \"at\" is -7"),
    ] {
        let dir = history(&[sql]).await;
        let error = restored(dir.path()).await.unwrap_err();
        assert!(matches!(&error, BackupError::Rows { what, .. } if what.contains(wanted)), "{sql}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_another_encoding_is_refused() {
    let dir = history(&[]).await;
    let copy = tempfile::tempdir().unwrap();
    // The schema and the rows, in a file whose texts are stored in another way.
    let mut connection = open(dir.path()).await;
    let objects: Vec<String> = sqlx::query_scalar(
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite^_%' ESCAPE '^' ORDER BY rowid",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let applied: Vec<(i64, String, Vec<u8>)> =
        sqlx::query_as("SELECT version, description, checksum FROM _sqlx_migrations")
            .fetch_all(&mut connection)
            .await
            .unwrap();
    connection.close().await.unwrap();
    let options = SqliteConnectOptions::new().filename(copy.path().join(DATABASE_FILE)).create_if_missing(true);
    let mut connection = SqliteConnection::connect_with(&options.pragma("encoding", "'UTF-16'")).await.unwrap();
    for sql in objects {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }
    for (version, description, checksum) in applied {
        let insert = "INSERT INTO _sqlx_migrations VALUES (?1, ?2, CURRENT_TIMESTAMP, 1, ?3, 1)";
        sqlx::query(insert).bind(version).bind(description).bind(checksum).execute(&mut connection).await.unwrap();
    }
    connection.close().await.unwrap();
    let error = chain(&restored(copy.path()).await.unwrap_err());
    assert!(error.contains("its texts are stored as UTF-16"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join(DATABASE_FILE)).unwrap();
    let error = chain(&restored(dir.path()).await.unwrap_err());
    assert!(error.ends_with("it is no regular file"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_become_equal_are_refused() {
    let dir = history(&["INSERT INTO lines VALUES ('a' || char(27), 1), ('a\\u{1b}', 2)"]).await;
    let error = restored(dir.path()).await.unwrap_err();
    assert!(error.to_string().contains("differ in hidden characters of their key alone"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_cut_off_or_goes_on_is_refused() {
    let dir = history(&[]).await;
    let copy = backed_up(dir.path()).await.unwrap();
    let file = std::fs::File::options().write(true).open(copy.path().join(DATABASE_FILE)).unwrap();
    let whole = file.metadata().unwrap().len();
    for (length, wanted) in [(whole - 100, "cut off"), (whole - 4096, "cut off"), (whole + 4096, "too long")] {
        file.set_len(length).unwrap();
        let error = restored(copy.path()).await.unwrap_err();
        assert!(matches!(&error, BackupError::Damaged { what, .. } if what.contains(wanted)), "{length}: {error}");
        file.set_len(whole).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_row_is_named_and_does_not_hide_the_others() {
    let good = format!("{EVENT} '{{\"line\":\"l\"}}')");
    let bad = [format!("{EVENT} '{{\"line\": \"l\"')"), format!("{EVENT} '[]')")];
    let dir = history(&[&good, &bad[0], &bad[1], "INSERT INTO settings VALUES ('h', '{')"]).await;
    let reader = Reader::open(dir.path()).await.unwrap();
    let wanted = [
        "row h of settings: json is not a JSON object",
        "row 2 of events: data is not a JSON object",
        "row 3 of events: data is not a JSON object",
    ];
    assert_eq!(reader.examine().await.unwrap(), wanted);
    let all = EventFilter { limit: 9, ..EventFilter::default() };
    let events = reader.events(&all).await.unwrap();
    let unreadable: Vec<_> = events.iter().map(|event| event.data.contains_key(UNREADABLE)).collect();
    assert_eq!(unreadable, [false, true, true]);
    let of_line = EventFilter { subject: Some("l".to_owned()), ..all };
    assert_eq!(reader.events(&of_line).await.unwrap().len(), 1);
    reader.close().await;
}
