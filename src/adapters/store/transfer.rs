//! Export and import of the whole history as one JSON document. At most a thousand rows are in memory.
//!
//! ```json
//! {"imagebaked_ledger":{"format":1,"migration":2,"rows":{"bakes":1,…}},
//! "tables":{
//! "settings":[
//! {"hash":"…","json":"…"}
//! ],
//! …}}
//! ```
//!
//! Each row is an object on its own line, its fields are the columns of its table, instants are in milliseconds since
//! 1970. The document does not depend on time or place: equal histories have equal exports.

use std::{
    borrow::Cow,
    fmt,
    io::{self, BufReader, Read, Write},
    path::Path,
};

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use serde::{
    Deserialize, Serialize,
    de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use sqlx::{
    AssertSqlSafe, Connection as _, SqliteConnection,
    migrate::MigrateError,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::runtime::Handle;

use super::{
    DATABASE_FILE, Reader, StoreError,
    backup::{Incoming, Progress, Restored, verify_history},
    backup_error::BackupError,
    border::{self, BorderError},
    failed,
    location::{lock, state_folder},
    schema::{self, MIGRATIONS},
    since_backup::SinceBackup,
    tables::{self, Kind, Rows, Table},
};
use crate::domain::text::{LONGEST_TEXT, clean, escape_json, quoted};

/// Incremented when a change would make an older version misread a document.
const FORMAT: u32 = 1;
/// Rows of one statement.
const BATCH: usize = 1000;

/// Error of an export or import.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its file.
    #[error(transparent)]
    File(#[from] BackupError),
    /// The output cannot be written: closed or disk full.
    #[error("the export could not be written")]
    Write(#[source] io::Error),
    /// Not an export, or an incomplete one.
    #[error("the export could not be read")]
    Read(#[source] serde_json::Error),
    /// From a later version.
    #[error("the export was written by a newer imagebaked ({what}); install that version")]
    Newer {
        /// The newer part.
        what: String,
    },
    /// The document names an unknown migration.
    #[error("the export is of a history at migration {migration}, which there never was")]
    NoSuchMigration {
        /// Its migration.
        migration: i64,
    },
    /// A row that does not match its table.
    #[error("row {row} of {table:?}: {what}")]
    Row {
        /// The table.
        table: &'static str,
        /// Number of the row, from 1.
        row: u64,
        /// Why.
        what: String,
    },
    /// Rows that the database rejects.
    #[error("rows {from} to {to} of {table:?} do not fit")]
    Rows {
        /// The table.
        table: &'static str,
        /// The first of them.
        from: u64,
        /// The last.
        to: u64,
        /// Why.
        source: sqlx::Error,
    },
    /// The row counts at the beginning do not match.
    #[error("the export is not whole: of {table:?} it promises {promised} rows and has {found}")]
    NotWhole {
        /// The table.
        table: String,
        /// Announced rows.
        promised: u64,
        /// Actual rows.
        found: u64,
    },
    /// Rows violate a foreign key.
    #[error("the export is inconsistent: {what}")]
    Inconsistent {
        /// How.
        what: String,
    },
    /// The import would delete rows.
    #[error(
        "the history in {dir} is not empty ({rows} rows of {table:?}); an import never mixes two: move {dir}/{DATABASE_FILE} away first"
    )]
    NotEmpty {
        /// The state directory.
        dir: String,
        /// The table with rows.
        table: String,
        /// How many.
        rows: u64,
    },
    /// A thread panicked.
    #[error("reading the export ended badly")]
    Thread(#[from] tokio::task::JoinError),
}

/// Beginning of an export.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: u32,
    migration: i64,
    rows: Rows,
}

impl Reader {
    /// Writes the history at one instant. Returns the number of rows of each table.
    ///
    /// # Errors
    ///
    /// `TransferError` if the history is unreadable or the output cannot be written.
    pub async fn export(&self, out: &mut (impl Write + Send), progress: Progress<'_>) -> Result<Rows, TransferError> {
        let mut connection = self.pool.acquire().await.map_err(failed("be opened"))?;
        // One transaction reads one state.
        let mut moment = connection.begin().await.map_err(failed("be read"))?;
        let migration = tables::migration(&mut moment).await?.unwrap_or_default();
        if migration > schema::last_migration() {
            return Err(TransferError::Newer { what: format!("migration {migration}") });
        }
        let present = tables::present(&mut moment).await?;
        let rows = tables::count(&mut moment, &present).await?;
        let header = Header { format: FORMAT, migration, rows };
        let header_text = serde_json::to_string(&header).map_err(StoreError::Encode)?;
        write!(out, "{{\"imagebaked_ledger\":{header_text},\n\"tables\":{{").map_err(TransferError::Write)?;
        for (index, table) in present.into_iter().enumerate() {
            progress(&format!("writing {} {}", header.rows.get(table.name).copied().unwrap_or_default(), table.name));
            let comma = if index == 0 { "" } else { "," };
            write!(out, "{comma}\n\"{}\":[", table.name).map_err(TransferError::Write)?;
            let sql = AssertSqlSafe(select(table, &mut moment).await?);
            let mut rows = sqlx::query_scalar::<_, String>(sql).fetch(&mut *moment);
            let mut separator = "\n";
            while let Some(row) = rows.try_next().await.map_err(failed("be read"))? {
                write!(out, "{separator}{}", escape_json(&row)).map_err(TransferError::Write)?;
                separator = ",\n";
            }
            write!(out, "\n]").map_err(TransferError::Write)?;
        }
        writeln!(out, "}}}}").and_then(|()| out.flush()).map_err(TransferError::Write)?;
        Ok(header.rows)
    }
}

/// The rows of a table as objects, in the order of its key.
async fn select(table: Table, connection: &mut SqliteConnection) -> Result<String, StoreError> {
    let (columns, key) = tables::columns(connection, table).await?;
    let fields: Vec<_> = columns.iter().map(|column| format!("'{column}', \"{column}\"")).collect();
    let key: Vec<_> = key.iter().map(|column| format!("\"{column}\"")).collect();
    Ok(format!("SELECT json_object({}) FROM {} ORDER BY {}", fields.join(", "), table.name, key.join(", ")))
}

/// Creates the history in `state_dir` from an export, completely or not at all. The former history stays beside it.
/// Fails if that has more than a first start creates, or while a daemon uses the directory.
///
/// # Errors
///
/// `TransferError` if the document is no complete export, does not match the schema, or would delete rows.
pub async fn import(
    state_dir: &Path,
    input: impl Read + Send + 'static,
    now: DateTime<Utc>,
    progress: Progress<'_>,
) -> Result<Restored, TransferError> {
    let folder = state_folder(state_dir)?;
    let _lock = lock(&folder, state_dir)?;
    must_be_empty(state_dir).await?;
    let incoming = Incoming::new(folder)?;
    let path = incoming.path();
    // Not visible before it is complete and synced.
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .journal_mode(SqliteJournalMode::Memory)
        .synchronous(SqliteSynchronous::Off)
        .foreign_keys(false)
        .pragma("cache_size", "-65536");
    let connection = SqliteConnection::connect_with(&options).await.map_err(failed("be made"))?;
    progress("reading the export");
    let mut target =
        TransferTarget { runtime: Handle::current(), connection, header: None, tables: Vec::new(), refused: None };
    // A thread parses the document as it arrives, because it may block.
    let (target, read) = tokio::task::spawn_blocking(move || {
        let mut document = serde_json::Deserializer::from_reader(BufReader::with_capacity(1 << 16, input));
        let read = Document(&mut target).deserialize(&mut document).and_then(|()| document.end());
        (target, read)
    })
    .await?;
    let TransferTarget { mut connection, header, refused, .. } = target;
    if let Some(refused) = refused {
        return Err(refused);
    }
    read.map_err(TransferError::Read)?;
    let promised = header.map(|header| header.rows).unwrap_or_default();
    let present = tables::present(&mut connection).await?;
    for (table, found) in tables::count(&mut connection, &present).await? {
        let promised = promised.get(&table).copied().unwrap_or_default();
        if found != promised {
            return Err(TransferError::NotWhole { table, promised, found });
        }
    }
    sqlx::query("COMMIT").execute(&mut connection).await.map_err(failed("be committed"))?;
    // It is migrated like any history of an earlier version.
    MIGRATIONS.run(&mut connection).await.map_err(|source| migrate_failed(&path, source))?;
    border::check_unfinished(&mut connection).await.map_err(|error| match error {
        BorderError::Store(error) => TransferError::Store(error),
        error @ BorderError::Value { .. } => TransferError::Inconsistent { what: error.to_string() },
    })?;
    connection.close().await.map_err(failed("be closed"))?;
    progress("verifying the history");
    let history = verify_history(&path).await.map_err(|error| match error {
        BackupError::Damaged { what, .. } => TransferError::Inconsistent { what },
        error => error.into(),
    })?;
    let kept = incoming.take_over("import", now)?;
    // It replaced nothing that anybody decided.
    Ok(Restored { history, kept, checksum: None, altered_settings: 0, since: SinceBackup::default() })
}

async fn must_be_empty(state_dir: &Path) -> Result<(), TransferError> {
    let reader = match Reader::open(state_dir).await {
        Ok(reader) => reader,
        Err(StoreError::Missing { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let rows = async {
        let mut connection = reader.pool.acquire().await.map_err(failed("be opened"))?;
        let mut present = tables::present(&mut connection).await?;
        present.retain(|table| table.kind != Kind::Mirror);
        tables::count(&mut connection, &present).await
    };
    let rows = rows.await;
    reader.close().await;
    match rows?.into_iter().find(|(_, rows)| *rows > 0) {
        None => Ok(()),
        Some((table, rows)) => Err(TransferError::NotEmpty { dir: state_dir.display().to_string(), table, rows }),
    }
}

fn migrate_failed(path: &Path, source: MigrateError) -> StoreError {
    StoreError::Migrate { path: path.to_owned(), source }
}

/// The new database, and the first error of its rows.
#[derive(Debug)]
struct TransferTarget {
    runtime: Handle,
    connection: SqliteConnection,
    header: Option<Header>,
    tables: Vec<Table>,
    refused: Option<TransferError>,
}

impl TransferTarget {
    /// Creates the database at the migration of the export, with an open transaction.
    fn begin(&mut self, header: Header) -> Result<(), TransferError> {
        if header.format > FORMAT {
            return Err(TransferError::Newer { what: format!("format {}", header.format) });
        }
        if header.migration > schema::last_migration() {
            return Err(TransferError::Newer { what: format!("migration {}", header.migration) });
        }
        if !MIGRATIONS.version_exists(header.migration) {
            return Err(TransferError::NoSuchMigration { migration: header.migration });
        }
        let connection = &mut self.connection;
        self.tables = self.runtime.block_on(async {
            let path = Path::new(DATABASE_FILE);
            MIGRATIONS
                .run_to(header.migration, &mut *connection)
                .await
                .map_err(|source| migrate_failed(path, source))?;
            sqlx::query("BEGIN").execute(&mut *connection).await.map_err(failed("begin a transaction"))?;
            tables::present(connection).await
        })?;
        self.header = Some(header);
        Ok(())
    }

    fn inlet(&mut self, name: &str) -> Result<Option<Inlet<'_>>, TransferError> {
        let Some(table) = self.tables.iter().copied().find(|table| table.name == name) else { return Ok(None) };
        let (columns, _) = self.runtime.block_on(tables::columns(&mut self.connection, table))?;
        // Triggers may have added rows for other tables.
        let clear = AssertSqlSafe(format!("DELETE FROM {}", table.name));
        self.runtime
            .block_on(sqlx::query(clear).execute(&mut self.connection))
            .map_err(failed("clear a table for its rows"))?;
        let names: Vec<_> = columns.iter().map(|column| format!("\"{column}\"")).collect();
        let values: Vec<_> = columns.iter().map(|column| format!("value ->> '{column}'")).collect();
        let insert = format!(
            "INSERT INTO {} ({}) SELECT {} FROM json_each(?1)",
            table.name,
            names.join(", "),
            values.join(", ")
        );
        Ok(Some(Inlet { target: self, table: table.name, columns, insert, batch: Vec::new(), taken: 0 }))
    }
}

/// Destination of the rows of one table.
struct Inlet<'a> {
    target: &'a mut TransferTarget,
    table: &'static str,
    columns: Vec<String>,
    insert: String,
    batch: Vec<Map<String, Value>>,
    taken: u64,
}

impl Inlet<'_> {
    fn take(&mut self, mut row: Map<String, Value>) -> Result<(), TransferError> {
        self.taken += 1;
        let refuse = |what| Err(TransferError::Row { table: self.table, row: self.taken, what });
        if let Some(missing) = self.columns.iter().find(|column| !row.contains_key(*column)) {
            return refuse(format!("it has no {missing:?}"));
        }
        if let Some(unknown) = row.keys().find(|key| !self.columns.contains(key)) {
            return refuse(format!("{} is not known", quoted(&clean(unknown, LONGEST_TEXT))));
        }
        if let Some((key, _)) =
            row.iter().find(|(_, value)| value.is_object() || value.is_array() || value.is_boolean())
        {
            return refuse(format!("{} is neither text nor a number nor null", quoted(key)));
        }
        for (column, value) in &mut row {
            let fault = match value {
                Value::Number(number) => border::number_fault(self.table, column, number.as_i64()),
                Value::String(text) => {
                    if let Some(cleaned) = border::cleaned(text.as_bytes()) {
                        *text = cleaned;
                    }
                    border::text_fault(self.table, column, text)
                }
                _ => None,
            };
            if let Some(fault) = fault {
                return refuse(fault);
            }
        }
        let text = |name: &str| row.get(name).and_then(Value::as_str).map(Cow::Borrowed);
        if let Some(fault) = border::line_fault(self.table, text) {
            return refuse(fault);
        }
        self.batch.push(row);
        if self.batch.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), TransferError> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.batch);
        let n = u64::try_from(rows.len()).unwrap_or_default();
        let json = serde_json::to_string(&rows).map_err(StoreError::Encode)?;
        let insert = sqlx::query(AssertSqlSafe(self.insert.as_str())).bind(json).execute(&mut self.target.connection);
        self.target.runtime.block_on(insert).map_err(|source| TransferError::Rows {
            table: self.table,
            from: self.taken - n + 1,
            to: self.taken,
            source,
        })?;
        Ok(())
    }
}

/// Ends the parsing of a document; the error keeps its details.
fn refuse<E: de::Error>(target: &mut TransferTarget, error: TransferError) -> E {
    target.refused = Some(error);
    E::custom("refused")
}

/// The document: its head, then its tables.
struct Document<'a>(&'a mut TransferTarget);

impl<'de> DeserializeSeed<'de> for Document<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, document: D) -> Result<(), D::Error> {
        document.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what `imagebaked export` writes")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let target = self.0;
        if map.next_key::<String>()?.as_deref() != Some("imagebaked_ledger") {
            return Err(de::Error::custom("it does not begin with \"imagebaked_ledger\", as an export does"));
        }
        let header: Header = map.next_value()?;
        target.begin(header).map_err(|error| refuse(target, error))?;
        if map.next_key::<String>()?.as_deref() != Some("tables") {
            return Err(de::Error::custom("\"tables\" do not follow"));
        }
        map.next_value_seed(Tables(target))?;
        match map.next_key::<String>()? {
            None => Ok(()),
            Some(key) => Err(de::Error::custom(format!("{key:?} is not known"))),
        }
    }
}

/// The tables by name.
struct Tables<'a>(&'a mut TransferTarget);

impl<'de> DeserializeSeed<'de> for Tables<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, tables: D) -> Result<(), D::Error> {
        tables.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Tables<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tables by their names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let target = self.0;
        while let Some(name) = map.next_key::<String>()? {
            match target.inlet(&name) {
                Ok(Some(inlet)) => map.next_value_seed(inlet)?,
                Ok(None) => {
                    let name = clean(&name, LONGEST_TEXT);
                    return Err(de::Error::custom(format!("there is no table \"{name}\"")));
                }
                Err(error) => return Err(refuse(target, error)),
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Inlet<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, rows: D) -> Result<(), D::Error> {
        rows.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Inlet<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut rows: A) -> Result<(), A::Error> {
        while let Some(row) = rows.next_element::<Map<String, Value>>()? {
            self.take(row).map_err(|error| refuse(self.target, error))?;
        }
        self.flush().map_err(|error| refuse(self.target, error))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::{adapters::store::Store, domain::text::is_hidden};

    #[tokio::test(flavor = "multi_thread")]
    async fn an_import_of_a_table_with_a_long_name_ends_with_a_short_error() {
        let dir = tempfile::tempdir().unwrap();
        let name = "x\u{1b}".repeat(1_000_000);
        let head = r#"{"imagebaked_ledger":{"format":1,"migration":1,"rows":{}},"tables":{"#;
        let document = format!("{head}{}:[]}}}}", Value::from(name));
        let error = import(dir.path(), Cursor::new(document), DateTime::UNIX_EPOCH, &|_| ()).await.unwrap_err();
        let text = crate::domain::error::chain(&error);
        assert!(text.contains(r#"there is no table "x\u{1b}x"#), "{text}");
        assert!(text.len() < 5_000 && !text.chars().any(is_hidden), "{} bytes", text.len());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_export_of_an_earlier_version_is_brought_up_to_date() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let options = SqliteConnectOptions::new().filename(old.path().join(DATABASE_FILE)).create_if_missing(true);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        MIGRATIONS.run_to(1, &mut connection).await.unwrap();
        sqlx::query("INSERT INTO lines VALUES ('golden', 7)").execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let reader = Reader::open_any_version(old.path()).await.unwrap();
        let mut document = Vec::new();
        let rows = reader.export(&mut document, &|_| ()).await.unwrap();
        assert!(!rows.contains_key("pauses"), "they came later");
        assert!(document.starts_with(br#"{"imagebaked_ledger":{"format":1,"migration":1,"#));

        let made = import(new.path(), Cursor::new(document), DateTime::UNIX_EPOCH, &|_| ()).await.unwrap();
        assert_eq!(made.history.migration, schema::last_migration());
        let store = Store::open(new.path()).await.unwrap();
        assert_eq!(store.reader().versions().await.unwrap().values().copied().collect::<Vec<_>>(), [7]);
        assert!(store.reader().pauses().await.unwrap().is_empty());
    }
}
