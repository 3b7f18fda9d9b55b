//! Backup and restore of the whole history. A copy is verified before it is used.

use std::{
    fs::{self, File, Permissions},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    DATABASE_FILE, Reader, StoreError,
    audit::insert_audit,
    backup_error::BackupError,
    border::{self, BorderError},
    checksum::{Checksum, verify_checksum},
    failed, file_size, learned, lineage,
    location::{COMPANIONS, lock, state_folder},
    schema,
    since_backup::{self, SinceBackup},
    tables::{self, Kind, Rows},
};
use crate::{
    adapters::files::Folder,
    domain::{
        event::{Action, AuditLine},
        health::{Subject, SubjectKind},
        text::{LONGEST_TEXT, clean},
    },
};

/// The whole database, as it is at one moment, into a new file.
pub(super) const COPY_INTO: &str = "VACUUM INTO ?1";

/// `ok`, or what is wrong with pages and indexes.
pub(super) const INTEGRITY: &str = "PRAGMA integrity_check";

/// Rows that refer to rows that are not there.
pub(super) const ORPHANS: &str = "SELECT count(*) FROM pragma_foreign_key_check";

/// What bakes did, each with the checksum by which they refer to it.
pub(super) const ALL_SETTINGS: &str = "SELECT hash, json FROM settings";

/// Gives a database the number that a new one has.
pub(super) const TAKE_NUMBER_OFF: &str = "PRAGMA user_version = 0";

/// Suffix of a database that will replace the history.
const INCOMING: &str = "imagebaked.db.incoming";

/// A verified database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sound {
    /// Its size.
    pub bytes: u64,
    /// Its migration.
    pub migration: i64,
    /// Number of rows of each table.
    pub rows: Rows,
}

/// Reports the current step to the user.
pub type Progress<'a> = &'a (dyn Fn(&str) + Sync);

impl Reader {
    /// Copies the whole history at one instant into a file that is absent or empty, and verifies the copy. The daemon
    /// may run meanwhile.
    ///
    /// # Errors
    ///
    /// [`BackupError`] if the copy cannot be made, or is not a complete history.
    pub async fn copy(&self, into: &Path, progress: Progress<'_>) -> Result<Sound, BackupError> {
        let mut connection = self.pool.acquire().await.map_err(failed("be opened"))?;
        copy(&mut connection, into, progress).await
    }

    /// Like [`Self::copy`], and examines the copy as [`restore`] does: a file that it would refuse is no backup.
    ///
    /// # Errors
    ///
    /// As of [`Self::copy`]; also if its schema differs from that of a history, or a row cannot be of one.
    pub async fn back_up(&self, into: &Path, progress: Progress<'_>) -> Result<Sound, BackupError> {
        let sound = self.copy(into, progress).await?;
        let reader = Self::connect(into).await?;
        let compared = check_schema(&reader, into, sound.migration).await;
        reader.close().await;
        compared?;
        progress("checking its rows");
        let mut connection = open_to_clean(into).await?;
        border::check_rows(&mut connection).await.map_err(|error| match error {
            BorderError::Store(error) => BackupError::Store(error),
            error @ BorderError::Value { .. } => BackupError::NotRestorable { what: shown(&error) },
        })?;
        connection.close().await.map_err(failed("be closed"))?;
        Ok(sound)
    }
}

/// Copies what a connection reads: see [`Reader::copy`].
pub(super) async fn copy(
    connection: &mut SqliteConnection,
    into: &Path,
    progress: Progress<'_>,
) -> Result<Sound, BackupError> {
    let absolute = std::path::absolute(into).map_err(file("find", into))?;
    let Some(target) = absolute.to_str() else { return Err(BackupError::Name { path: absolute }) };
    let present = tables::present(&mut *connection).await?;
    let before = tables::count(&mut *connection, &present).await?;
    progress("copying the history");
    sqlx::query(COPY_INTO).bind(target).execute(connection).await.map_err(failed("be copied"))?;
    take_number_off(&absolute).await.map_err(failed("take the number off its copy"))?;
    File::open(&absolute).and_then(|copy| copy.sync_all()).map_err(file("write", &absolute))?;
    progress("verifying the copy");
    let sound = verify_history(&absolute).await?;
    for table in present.iter().filter(|table| table.kind == Kind::Record) {
        // Rows that existed before the copy must be in it.
        if sound.rows.get(table.name) < before.get(table.name) {
            let what = format!("it has fewer {} than the history", table.name);
            return Err(BackupError::Damaged { path: absolute, what });
        }
    }
    Ok(sound)
}

/// A copy has its own number: a daemon detects when it is copied over the history.
async fn take_number_off(copy: &Path) -> Result<(), sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(copy);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    sqlx::query(TAKE_NUMBER_OFF).execute(&mut connection).await?;
    connection.close().await
}

/// What a file is that does not begin as a database of SQLite does: <https://www.sqlite.org/fileformat.html>.
fn foreign_content(path: &Path) -> io::Result<Option<&'static str>> {
    const BEGIN: &[u8] = b"SQLite format 3\0";
    let mut begin = Vec::new();
    File::open(path)?.take(BEGIN.len() as u64).read_to_end(&mut begin)?;
    Ok(match begin.as_slice() {
        BEGIN => None,
        [] => Some("the file is empty"),
        [b'{', ..] => Some("it is no database; if it is an export, `imagebaked import` takes it"),
        _ => Some("it is no database"),
    })
}

/// Verifies a database: size, pages, indexes, foreign keys, schema and row counts.
pub(super) async fn verify_history(path: &Path) -> Result<Sound, BackupError> {
    if let Some(what) = foreign_content(path).map_err(file("read", path))? {
        return Err(BackupError::NotADatabase { path: path.to_owned(), what });
    }
    if let Some(what) = file_size::fault(path).map_err(file("read", path))? {
        return Err(BackupError::Damaged { path: path.to_owned(), what });
    }
    let reader = Reader::connect(path).await?;
    let sound = async {
        let mut connection = reader.pool.acquire().await.map_err(failed("be opened"))?;
        let Some(migration) = tables::migration(&mut connection).await? else {
            return Err(BackupError::NotAHistory { path: path.to_owned() });
        };
        if migration > schema::last_migration() {
            return Err(StoreError::Newer { path: path.to_owned(), version: migration }.into());
        }
        let damaged = |what| BackupError::Damaged { path: path.to_owned(), what };
        let findings: Vec<String> =
            sqlx::query_scalar(INTEGRITY).fetch_all(&mut *connection).await.map_err(failed("verify it"))?;
        if findings != ["ok"] {
            return Err(damaged(findings.join("; ")));
        }
        let orphans: i64 =
            sqlx::query_scalar(ORPHANS).fetch_one(&mut *connection).await.map_err(failed("verify it"))?;
        if orphans > 0 {
            return Err(damaged(format!("{orphans} rows belong to rows that are not there")));
        }
        let present = tables::present(&mut connection).await?;
        let rows = tables::count(&mut connection, &present).await?;
        let bytes = fs::metadata(path).map_err(file("read", path))?.len();
        Ok(Sound { bytes, migration, rows })
    };
    let sound = sound.await;
    reader.close().await;
    // An unreadable file is a fault of this file, not of the history.
    sound.map_err(|error| match error {
        BackupError::Store(StoreError::Query { source, .. }) => {
            StoreError::Open { path: path.to_owned(), source }.into()
        }
        error => error,
    })
}

/// Result of a restore.
#[derive(Debug)]
pub struct Restored {
    /// The new history.
    pub history: Sound,
    /// Path of the former one; `None` if there was none.
    pub kept: Option<PathBuf>,
    /// What its checksum showed; `None` of an import.
    pub checksum: Option<Checksum>,
    /// Number of settings that differ from their checksum in the history: something has changed them.
    pub altered_settings: usize,
    /// What it does not have of the former one.
    pub since: SinceBackup,
}

/// Verifies `backup` and puts a copy of it in the place of the history in `state_dir`. The former history stays beside
/// it. Fails while a daemon uses the directory.
///
/// # Errors
///
/// [`BackupError`] if the backup is not a complete history or not that of its checksum, a daemon is running, or a file operation fails.
pub async fn restore(
    state_dir: &Path,
    backup: &Path,
    who: &str,
    now: DateTime<Utc>,
    progress: Progress<'_>,
) -> Result<Restored, BackupError> {
    // Before all else: no directory is created for a missing file.
    if !fs::metadata(backup).map_err(file("read", backup))?.is_file() {
        // A pipe would be waited for.
        return Err(file("read", backup)(io::Error::other("it is no regular file")));
    }
    File::open(backup).map_err(file("read", backup))?;
    let folder = state_folder(state_dir)?;
    let _lock = lock(&folder, state_dir)?;
    let incoming = Incoming::new(folder)?;
    progress("verifying the backup");
    let checksum = Some(verify_checksum(backup)?);
    let migration = verify_history(backup).await?.migration;
    let reader = Reader::connect(backup).await?;
    check_schema(&reader, backup, migration).await?;
    let altered_settings = altered_settings(&reader).await;
    let copied = reader.copy(&incoming.path(), progress).await;
    reader.close().await;
    copied?;
    let altered_settings = altered_settings?;
    let mut connection = open_to_clean(&incoming.path()).await?;
    progress("cleaning its rows");
    let changed = border::clean_rows(&mut connection).await.map_err(|error| match error {
        BorderError::Store(error) => BackupError::Store(error),
        error @ BorderError::Value { .. } => BackupError::Rows { path: backup.to_owned(), what: shown(&error) },
    })?;
    let since = if migration == schema::last_migration() {
        progress("comparing it with the former history");
        since_backup::compare(state_dir, &mut connection, now).await?
    } else {
        SinceBackup { unread: Some("the backup is of an earlier version".to_owned()), ..SinceBackup::default() }
    };
    let hidden = match changed {
        0 => String::new(),
        n => format!("; hidden characters, or too many, were replaced in {n} rows"),
    };
    let line = AuditLine {
        at: now,
        who,
        action: Action::Restore,
        subject: Subject::only(SubjectKind::History),
        detail: format!("from {}; {}{hidden}", clean(&backup.display().to_string(), LONGEST_TEXT), since.sentence()),
    };
    // The backup may be of a version without events; the next start records that the history was restored.
    insert_audit(&mut connection, &line).await?;
    // By this the next start knows that the cloud may have images which this history does not.
    if tables::has_marks(&mut connection).await? {
        lineage::forget(&mut connection).await?;
        learned::say_at_start(&mut connection, &since.sentence(), now).await?;
    }
    connection.close().await.map_err(failed("be closed"))?;
    let history = verify_history(&incoming.path()).await?;
    let kept = incoming.take_over("restore", now)?;
    Ok(Restored { history, kept, checksum, altered_settings, since })
}

/// Settings that are not those of their checksum. A restore that escapes hidden characters alters them, too, so that they are no
/// reason to refuse a history.
async fn altered_settings(reader: &Reader) -> Result<usize, StoreError> {
    let all: Vec<(String, String)> =
        sqlx::query_as(ALL_SETTINGS).fetch_all(&reader.pool).await.map_err(failed("verify its settings"))?;
    let is_altered = |(hash, json): &&(String, String)| *hash != hex::encode(Sha256::digest(json.as_bytes()));
    Ok(all.iter().filter(is_altered).count())
}

/// Opens a copy whose rows are cleaned, or examined as if they were.
async fn open_to_clean(path: &Path) -> Result<SqliteConnection, StoreError> {
    let options = SqliteConnectOptions::new().filename(path).foreign_keys(false);
    SqliteConnection::connect_with(&options).await.map_err(failed("be opened"))
}

fn shown(error: &BorderError) -> String {
    clean(&error.to_string(), LONGEST_TEXT).into_owned()
}

/// Fails if a database differs from what the migrations create.
async fn check_schema(reader: &Reader, path: &Path, migration: i64) -> Result<(), BackupError> {
    let mut connection = reader.pool.acquire().await.map_err(failed("be opened"))?;
    let found = schema::differences(&mut connection, migration).await?;
    if found.is_empty() {
        return Ok(());
    }
    Err(BackupError::Schema { path: path.to_owned(), what: found.join("; ") })
}

/// A database that will replace the history; removed unless it does.
#[derive(Debug)]
pub(super) struct Incoming {
    folder: Folder,
    file: File,
}

impl Incoming {
    /// Reserves its place, without files of an earlier attempt. Needs the lock of the state directory.
    ///
    /// # Errors
    ///
    /// `BackupError` if a file of an earlier attempt cannot be removed.
    pub fn new(folder: Folder) -> Result<Self, BackupError> {
        let path = folder.at(INCOMING);
        clear(&folder).map_err(file("remove", &path))?;
        let made = folder.create_new(INCOMING, 0o640).map_err(file("make", &path))?;
        folder.give(&made);
        Ok(Self { folder, file: made })
    }

    /// Its path, for SQLite.
    pub fn path(&self) -> PathBuf {
        self.folder.at(INCOMING)
    }

    /// Replaces the history. Returns the new path of the former one, which stays beside it.
    ///
    /// # Errors
    ///
    /// `BackupError` if a file cannot be renamed or synced.
    pub fn take_over(self, why: &str, now: DateTime<Utc>) -> Result<Option<PathBuf>, BackupError> {
        let folder = &self.folder;
        let path = self.path();
        self.file.sync_all().map_err(file("write", &path))?;
        if !folder.has(INCOMING, &self.file) {
            let source = io::Error::other("somebody else took it away while it was written");
            return Err(BackupError::File { step: "write", path, source });
        }
        let database = folder.at(DATABASE_FILE);
        let mut kept = None;
        if folder.check(DATABASE_FILE).map_err(file("keep", &database))? {
            let name = format!("{DATABASE_FILE}.before-{why}-{}", now.format("%Y%m%dT%H%M%S%.3fZ"));
            // The latest transactions may be in the log only; under one name both are one database.
            for suffix in ["", "-wal"] {
                let from = format!("{DATABASE_FILE}{suffix}");
                if folder.check(&from).map_err(file("keep", &folder.at(&from)))? {
                    folder.link(&from, &format!("{name}{suffix}")).map_err(file("keep", &folder.at(&from)))?;
                }
            }
            self.take_rights_of(&database).map_err(file("set the rights of", &path))?;
            kept = Some(folder.at(&name));
        }
        // A log must never meet another database. A crash before the last step leaves the former history, with its log,
        // under its new name.
        for suffix in COMPANIONS {
            let name = format!("{DATABASE_FILE}{suffix}");
            folder.remove(&name).map_err(file("remove", &folder.at(&name)))?;
        }
        folder.rename(INCOMING, DATABASE_FILE).map_err(file("replace", &database))?;
        folder.sync().map_err(file("write", &database))?;
        Ok(kept)
    }
}

impl Incoming {
    /// Copies mode and owner of the former history: its readers can read this one.
    fn take_rights_of(&self, former: &Path) -> io::Result<()> {
        let (former, own) = (fs::symlink_metadata(former)?, self.file.metadata()?);
        if (own.uid(), own.gid()) != (former.uid(), former.gid()) {
            // Only root can change the owner. Otherwise the file belongs to its creator.
            let _ = fchown(&self.file, Some(former.uid()), Some(former.gid()));
        }
        self.file.set_permissions(Permissions::from_mode(former.mode() & 0o777))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // Already moved on success; otherwise the next attempt removes it.
        let _ = clear(&self.folder);
    }
}

fn clear(folder: &Folder) -> io::Result<()> {
    folder.remove(INCOMING)?;
    COMPANIONS.iter().try_for_each(|suffix| folder.remove(&format!("{INCOMING}{suffix}")))
}

fn file(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::File { step, path, source }
}
