//! The history, open for writing: one writing connection, a pool of reading connections, and the lock of the directory.

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, Utc};

use super::{
    BackupError, Lineage, Reader, StoreError, backup, failed,
    lineage::LineageMarks,
    location::{COMPANIONS, DATABASE_FILE, lock, state_folder},
    lock_file::LockFile,
    log_binding::{LogBinding, has_foreign_log, set_log_aside},
    migrating::{make_first, migrate, options},
    writer::{Names, Writer},
};
use crate::{
    adapters::files::{FileId, Folder},
    domain::{calendar::zone::Zone, time::show},
};

/// The history is up to date with the cloud.
pub(super) const SETTLE: &str = "UPDATE lineage SET unsettled = 'continued'";

/// The history, open for writing. At most one per state directory.
#[derive(Debug)]
pub struct Store {
    folder: Folder,
    pub(super) writer: Writer,
    pub(super) reader: Reader,
    lineage: Lineage,
    // Unreadable rows are found by every query, and reported once.
    pub(super) unreadable: Mutex<HashSet<i64>>,
    // Read and written briefly: never locked across an await.
    zone: Mutex<Zone>,
    // Held until the end: the lock makes this the only writer.
    _lock: Arc<LockFile>,
}

impl Store {
    /// Opens the history in `state_dir`; creates directory and database if there are none.
    ///
    /// # Errors
    ///
    /// `StoreError` if another daemon uses the directory, or the database is damaged, of another program or of a newer version.
    pub async fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let unusable = |source| StoreError::StateDir { dir: state_dir.to_owned(), source };
        let folder = state_folder(state_dir)?;
        let lock = Arc::new(LockFile::new(lock(&folder, state_dir)?));
        let path = folder.at(DATABASE_FILE);
        for suffix in COMPANIONS {
            folder.check(&format!("{DATABASE_FILE}{suffix}")).map_err(unusable)?;
        }
        if !folder.check(DATABASE_FILE).map_err(unusable)? {
            make_first(&folder).await?;
        }
        let before = FileId::of(&path).map_err(unusable)?;
        if has_foreign_log(state_dir) {
            let aside = set_log_aside(&folder).map_err(unusable)?;
            tracing::error!(
                path = %path.display(),
                log = %aside.display(),
                "the history was replaced while a daemon used it; the write-ahead log of the former one was moved aside"
            );
        }
        let binding = LogBinding::open(&folder, Arc::clone(&lock)).map_err(unusable)?;
        let options = options(&path);
        migrate(&folder, &options).await?;
        let open = |source| StoreError::Open { path: path.clone(), source };
        let writer = Writer::open(options).await.map_err(open)?;
        let marks = LineageMarks::begin(&mut *writer.connection().await?, Arc::clone(&lock)).await?;
        binding.checkpoint(&mut *writer.connection().await?).await?;
        let lineage = marks.lineage();
        if marks.is_lost() {
            tracing::error!(
                path = %path.display(),
                "the history that was here is gone; a new one is created. Restore it from a backup, if there is one"
            );
        }
        writer.hold_against(marks, Names::of(&path, before, lock.file()).map_err(unusable)?, binding);
        let reader = Reader::connect_for_life(&path).await?;
        Ok(Self {
            folder,
            writer,
            reader,
            lineage,
            unreadable: Mutex::default(),
            zone: Mutex::new(Zone::UTC),
            _lock: lock,
        })
    }

    /// Sets the zone of times in texts that belong to no schedule; UTC before.
    pub fn set_zone(&self, zone: Zone) {
        *self.zone.lock().unwrap_or_else(PoisonError::into_inner) = zone;
    }

    /// An instant in that zone.
    pub(super) fn shown(&self, at: DateTime<Utc>) -> String {
        show(at, *self.zone.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Relation of this history to the one that was here before.
    pub fn lineage(&self) -> Lineage {
        self.lineage
    }

    /// Records that this history is up to date with the cloud: the next start need not compare them.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn settle(&self) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(SETTLE).execute(&mut *tx).await.map_err(failed("note that it is settled"))?;
        tx.commit().await.map_err(failed("note that it is settled"))
    }

    /// The reading side.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Whether the last transaction failed, so that [`probe`](Self::probe) should check whether writing is possible.
    pub fn is_suspect(&self) -> bool {
        self.writer.is_suspect()
    }

    /// Commits a transaction without a change, to check whether writing is possible.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.writer.probe().await
    }

    /// Whether the open files have lost their names, and how.
    pub fn replaced(&self) -> Option<StoreError> {
        self.writer.replaced()
    }

    /// After [`replaced`](Self::replaced): lets running bakes end in a file without a name.
    pub fn detach(&self) {
        self.writer.detach();
    }

    /// Saves a database that has lost its name, under a new one.
    ///
    /// # Errors
    ///
    /// `BackupError` if the copy cannot be made.
    pub async fn save_copy(&self, now: DateTime<Utc>) -> Result<PathBuf, BackupError> {
        let name = format!("{DATABASE_FILE}.saved-{}", now.format("%Y%m%dT%H%M%S%.3fZ"));
        // By its path: if the folder was moved, there may be a new one, where people will look for it.
        let path = self.folder.at(&name);
        let copy = Folder::of(&path).and_then(|folder| Ok((folder.create_new(&name, 0o640)?, folder)));
        let (copy, folder) = copy.map_err(|source| BackupError::File { step: "write", path: path.clone(), source })?;
        folder.give(&copy);
        // Not by the reader, which may reopen the path.
        backup::copy(&mut *self.writer.connection().await?, &path, &|_| ()).await?;
        Ok(path)
    }

    /// Whether the database itself has lost its name.
    pub fn has_lost_database(&self) -> bool {
        self.writer.has_lost_database()
    }

    /// Whether another database was copied over it.
    pub fn is_overwritten(&self) -> bool {
        self.writer.is_overwritten()
    }

    /// Ends the work without a write, after another database was copied over the history.
    pub async fn leave_overwritten(&self) {
        self.writer.leave_open().await;
        self.reader.close().await;
    }

    /// Moves the log of a replaced database aside, so that it does not meet the new one. Only after
    /// [`close`](Self::close) or [`leave_overwritten`](Self::leave_overwritten). Returns its new path, or `None` if
    /// there is no such log.
    ///
    /// # Errors
    ///
    /// The folder cannot be written to.
    pub fn set_foreign_log_aside(&self) -> io::Result<Option<PathBuf>> {
        let dir = self.folder.at("");
        if !has_foreign_log(&dir) {
            return Ok(None);
        }
        set_log_aside(&Folder::open(&dir)?).map(Some)
    }

    /// Moves a saved copy to the path of the database, if that is free. Only after [`close`](Self::close). Returns
    /// whether it did.
    ///
    /// # Errors
    ///
    /// The error of the system.
    pub fn put_back(&self, saved: &Path) -> io::Result<bool> {
        let Some(name) = saved.file_name().and_then(|name| name.to_str()) else { return Ok(false) };
        let folder = Folder::of(saved)?;
        if folder.check(DATABASE_FILE)? {
            return Ok(false);
        }
        // A log must never meet another database.
        for suffix in COMPANIONS {
            folder.remove(&format!("{DATABASE_FILE}{suffix}"))?;
        }
        match folder.rename_new(name, DATABASE_FILE) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            renamed => renamed?,
        }
        folder.sync()?;
        Ok(true)
    }

    /// Writes the write-ahead log into the database.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn upkeep(&self) -> Result<(), StoreError> {
        self.writer.checkpoint().await
    }

    /// Closes all connections without marking an orderly end: the next start checks the results of the last calls.
    pub async fn abandon(&self) {
        self.reader.close().await;
        self.writer.abandon().await;
    }

    /// Closes all connections and writes the write-ahead log into the database. Dropping the value releases the lock.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

#[cfg(test)]
impl Store {
    /// Executes one statement, as another program could.
    pub(crate) async fn execute(&self, sql: &'static str) {
        let mut work = self.begin().await.expect("a transaction");
        sqlx::query(sql).execute(&mut *work).await.expect("a statement");
        work.commit().await.expect("a commit");
    }
}
