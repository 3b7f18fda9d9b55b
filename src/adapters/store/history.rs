//! The history, open for writing: one writer connection, a pool of connections that read, and the lock of the directory.

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use chrono::{DateTime, Utc};

use super::{
    BackupError, Lineage, Reader, StoreError, backup, failed,
    lineage::LineageMarks,
    location::{COMPANIONS, DATABASE_FILE, lock, state_folder},
    lock_file::LockFile,
    log_binding::{LogBinding, has_foreign_log, set_log_aside},
    migrating::{make_first, migrate, options},
    statements,
    writer::{Names, Writer},
};
use crate::adapters::files::{FileId, Folder};

/// The history, open for writing. At most one in the world for each state directory.
#[derive(Debug)]
pub struct Store {
    folder: Folder,
    pub(super) writer: Writer,
    pub(super) reader: Reader,
    lineage: Lineage,
    // Rows that cannot be read are met at every look, and reported once.
    pub(super) unreadable: Mutex<HashSet<i64>>,
    // Held for life: the lock is what makes this the only writer.
    _lock: Arc<LockFile>,
}

impl Store {
    /// Opens the history in `state_dir`, making directory and database where there is none.
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
                "the history that was here is gone; a new one is begun. Restore it from a backup, if there is one"
            );
        }
        writer.hold_against(marks, Names::of(&path, before, lock.file()).map_err(unusable)?, binding);
        let reader = Reader::connect_for_life(&path).await?;
        Ok(Self { folder, writer, reader, lineage, unreadable: Mutex::default(), _lock: lock })
    }

    /// What this history has to do with the one that was here before.
    pub fn lineage(&self) -> Lineage {
        self.lineage
    }

    /// Notes that whatever the cloud had to tell a history of this lineage has been taken over: the next start need not ask.
    pub async fn settle(&self) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        sqlx::query(statements::SETTLE).execute(&mut *tx).await.map_err(failed("note that it is settled"))?;
        tx.commit().await.map_err(failed("note that it is settled"))
    }

    /// The reading side.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Whether what was written last came to nothing, so that [`probe`](Self::probe) should be asked whether anything can
    /// be written now.
    pub fn is_suspect(&self) -> bool {
        self.writer.is_suspect()
    }

    /// Writes something that changes nothing, to see whether that is possible.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.writer.probe().await
    }

    /// Whether the files that are open have lost their names, and how.
    pub fn replaced(&self) -> Option<StoreError> {
        self.writer.replaced()
    }

    /// After [`replaced`](Self::replaced): lets bakes that were begun be ended in a file without a name.
    pub fn detach(&self) {
        self.writer.detach();
    }

    /// Saves a database that has lost its name, under a new one.
    pub async fn save_copy(&self, now: DateTime<Utc>) -> Result<PathBuf, BackupError> {
        let name = format!("{DATABASE_FILE}.saved-{}", now.format("%Y%m%dT%H%M%S%.3fZ"));
        // By its path: where the folder was moved, too, there may be a new one, and that is where people look.
        let path = self.folder.at(&name);
        let copy = Folder::of(&path).and_then(|folder| Ok((folder.create_new(&name, 0o640)?, folder)));
        let (copy, folder) = copy.map_err(|source| BackupError::File { step: "write", path: path.clone(), source })?;
        folder.give(&copy);
        // Not by the reader, which may open the file anew by its name.
        backup::copy(&mut *self.writer.connection().await?, &path, &|_| ()).await?;
        Ok(path)
    }

    /// Whether it is the database itself that has lost its name.
    pub fn has_lost_database(&self) -> bool {
        self.writer.has_lost_database()
    }

    /// Whether another database was copied over it.
    pub fn is_overwritten(&self) -> bool {
        self.writer.is_overwritten()
    }

    /// Ends the work in a history that another database was copied over, without a write to that.
    pub async fn leave_overwritten(&self) {
        self.writer.leave_open().await;
        self.reader.close().await;
    }

    /// Moves the log of a database that was replaced aside, so that it does not meet the new one. Only after
    /// [`close`](Self::close) or [`leave_overwritten`](Self::leave_overwritten). Answers with its new place, `None` where no
    /// such log is there.
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

    /// Puts a saved copy where the database was, if nothing is there. Only after [`close`](Self::close). Answers whether it did.
    pub fn put_back(&self, saved: &Path) -> io::Result<bool> {
        let Some(name) = saved.file_name().and_then(|name| name.to_str()) else { return Ok(false) };
        let folder = Folder::of(saved)?;
        if folder.check(DATABASE_FILE)? {
            return Ok(false);
        }
        // A log must never meet a database that it is not of.
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

    /// Keeps the planner's statistics fresh and folds the write-ahead log into the database.
    pub async fn upkeep(&self) -> Result<(), StoreError> {
        let mut connection = self.writer.connection().await?;
        let optimized = sqlx::query(statements::OPTIMIZE).execute(&mut *connection).await;
        drop(connection);
        optimized.map_err(failed("tidy up the database"))?;
        self.writer.checkpoint().await
    }

    /// Ends all connections without the mark of an orderly end: the next start finds out what became of the last calls.
    pub async fn abandon(&self) {
        self.reader.close().await;
        self.writer.abandon().await;
    }

    /// Ends all connections; the write-ahead log is folded into the database. The lock goes with the value.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

#[cfg(test)]
impl Store {
    /// What other hands may do to the history: one statement.
    pub(crate) async fn execute(&self, sql: &'static str) {
        let mut work = self.begin().await.expect("a transaction");
        sqlx::query(sql).execute(&mut *work).await.expect("a statement");
        work.commit().await.expect("a commit");
    }
}
