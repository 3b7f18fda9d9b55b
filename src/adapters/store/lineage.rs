//! Lineage: whether the opened history is the one that was closed last.
//!
//! Every start creates a token, a *run*, and every transaction counts one *step*. Both are stored in the database and
//! in the lock file outside of it: an older copy of the database, however it was restored, does not match the lock
//! file. Power cuts lose at most unsynced changes of the lock file: it may be behind, never ahead.

use std::{io, sync::Arc};

use sqlx::SqliteConnection;

use super::{
    StoreError, failed,
    from_row::from_row,
    lock_file::{LockFile, Marker},
};

/// The marks of the last start.
pub(super) const LINEAGE: &str = "SELECT run, steps, stopped, unsettled FROM lineage";

/// Whether no bake and no version is known.
pub(super) const IS_EMPTY: &str = "SELECT NOT EXISTS (SELECT 1 FROM bakes) AND NOT EXISTS (SELECT 1 FROM lines)";

/// The marks of a start.
pub(super) const BEGIN_RUN: &str = "
INSERT INTO lineage (id, run, steps, stopped, unsettled) VALUES (1, ?1, ?2, 0, ?3)
ON CONFLICT (id) DO UPDATE SET run = excluded.run, steps = excluded.steps, stopped = 0, unsettled = excluded.unsettled";

/// One more transaction of this start.
pub(super) const COUNT_STEP: &str = "UPDATE lineage SET steps = steps + 1 WHERE run = ?1 RETURNING steps";

/// The mark of an orderly end.
pub(super) const END_RUN: &str = "UPDATE lineage SET steps = steps + 1, stopped = 1 WHERE run = ?1 RETURNING steps";

/// No start has been made on it.
pub(super) const FORGET_RUN: &str = "DELETE FROM lineage";

/// Relation of a history to the one that was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lineage {
    /// The same one, closed in order.
    Continued,
    /// The same one, not closed in order: the process was killed, or the host lost power.
    Interrupted,
    /// Another one, or an older copy: calls may have been sent that it does not have.
    Restored,
    /// Empty: a new installation, or a lost history.
    Empty,
}

impl Lineage {
    /// All spellings in the database.
    const WORDS: [(Self, &'static str); 4] = [
        (Self::Continued, "continued"),
        (Self::Interrupted, "interrupted"),
        (Self::Restored, "restored"),
        (Self::Empty, "empty"),
    ];

    fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(lineage, _)| *lineage == self).map_or("restored", |(_, word)| *word)
    }

    /// Parses the spelling; an unknown word is of a later version.
    fn parse(word: &str) -> Self {
        Self::WORDS.iter().find(|(_, known)| *known == word).map_or(Self::Restored, |(lineage, _)| *lineage)
    }

    /// Whether the cloud may have images that the history does not have, so that the two are compared before any
    /// instance is stopped or imaged.
    pub fn must_be_compared(self) -> bool {
        self >= Self::Restored
    }

    /// Whether, for some time after the start, every create call is preceded by a search.
    pub fn searches_first(self) -> bool {
        self != Self::Continued
    }
}

/// The row of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    run: String,
    steps: i64,
    stopped: bool,
    unsettled: String,
}

from_row!(Row { run, steps, stopped, unsettled });

fn classify(marker: Option<&Marker>, row: Option<&Row>, is_empty: bool) -> Lineage {
    let found = match (marker, row) {
        _ if is_empty => return Lineage::Empty,
        (Some(marker), Some(row)) if marker.run == row.run && row.steps >= marker.steps => {
            if row.stopped && marker.stopped && row.steps == marker.steps {
                Lineage::Continued
            } else {
                Lineage::Interrupted
            }
        }
        // Interrupted between the two marks of a start, before any work.
        (Some(marker), Some(row)) if marker.previous.as_ref() == Some(&row.run) && row.steps == marker.steps => {
            Lineage::Interrupted
        }
        _ => Lineage::Restored,
    };
    // Unfinished work of an earlier start is still to be done.
    row.map_or(found, |row| found.max(Lineage::parse(&row.unsettled)))
}

/// Marks of this start, in the database and outside of it.
#[derive(Debug)]
pub(super) struct LineageMarks {
    lineage: Lineage,
    /// Whether a history was here before and is missing now.
    lost: bool,
    run: String,
    lock: Arc<LockFile>,
}

impl LineageMarks {
    /// Compares the database with the lock file, and marks both as in use.
    ///
    /// # Errors
    ///
    /// `StoreError` if database or lock file cannot be read or written.
    pub async fn begin(connection: &mut SqliteConnection, lock: Arc<LockFile>) -> Result<Self, StoreError> {
        let marker = lock.marker();
        let row: Option<Row> = sqlx::query_as(LINEAGE)
            .fetch_optional(&mut *connection)
            .await
            .map_err(failed("read which history it is"))?;
        let is_empty: bool = sqlx::query_scalar(IS_EMPTY)
            .fetch_one(&mut *connection)
            .await
            .map_err(failed("read whether anything is in it"))?;
        let lineage = classify(marker.as_ref(), row.as_ref(), is_empty);
        let lost =
            is_empty && marker.as_ref().is_some_and(|marker| marker.steps > row.as_ref().map_or(0, |row| row.steps));
        let run = uuid::Uuid::new_v4().simple().to_string();
        let steps = row.as_ref().map_or(0, |row| row.steps).max(marker.as_ref().map_or(0, |marker| marker.steps));
        let io = |error: io::Error| failed("mark its start in the lock file")(error.into());
        // The lock file first. If the start is interrupted before the database has its mark, the next one uses
        // `previous`.
        lock.update_and_sync(|marker| {
            marker.run.clone_from(&run);
            marker.previous = row.as_ref().map(|row| row.run.clone());
            marker.steps = row.as_ref().map_or(steps, |row| row.steps);
            marker.stopped = false;
        })
        .map_err(io)?;
        sqlx::query(BEGIN_RUN)
            .bind(&run)
            .bind(steps)
            .bind(lineage.as_str())
            .execute(&mut *connection)
            .await
            .map_err(failed("mark its start"))?;
        lock.update_and_sync(|marker| {
            marker.previous = None;
            marker.steps = steps;
        })
        .map_err(io)?;
        Ok(Self { lineage, lost, run, lock })
    }

    pub fn lineage(&self) -> Lineage {
        self.lineage
    }

    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// Counts a step in a transaction. `None`: the database has gone back, or is another one.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn step(&self, tx: &mut SqliteConnection) -> Result<Option<i64>, StoreError> {
        sqlx::query_scalar(COUNT_STEP).bind(&self.run).fetch_optional(tx).await.map_err(failed("begin a transaction"))
    }

    /// Records the number of committed steps. Not synced: that would double the cost of a commit, and matters only if a
    /// copy is restored right after a power cut.
    pub fn committed(&self, steps: i64) {
        let _ = self.lock.update(|marker| marker.steps = steps);
    }

    /// Marks an orderly end, in the database first.
    ///
    /// # Errors
    ///
    /// `StoreError` if database or lock file cannot be written.
    pub async fn end(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let steps: Option<i64> = sqlx::query_scalar(END_RUN)
            .bind(&self.run)
            .fetch_optional(connection)
            .await
            .map_err(failed("mark its end"))?;
        let Some(steps) = steps else { return Ok(()) };
        let io = |error: io::Error| failed("mark its end in the lock file")(error.into());
        self.lock
            .update_and_sync(|marker| {
                marker.steps = steps;
                marker.stopped = true;
            })
            .map_err(io)
    }
}

/// Removes the mark of a database that will replace another: its next start detects that.
pub(super) async fn forget(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    sqlx::query(FORGET_RUN).execute(connection).await.map_err(failed("take off its mark")).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marker(run: &str, previous: Option<&str>, steps: i64, stopped: bool) -> Marker {
        Marker { run: run.into(), previous: previous.map(Into::into), steps, stopped, ..Marker::default() }
    }

    fn row(run: &str, steps: i64, stopped: bool) -> Row {
        Row { run: run.into(), steps, stopped, unsettled: "continued".into() }
    }

    #[test]
    fn only_the_same_history_after_an_orderly_end_goes_on_as_if_nothing_had_been() {
        use Lineage::{Continued, Interrupted, Restored};
        let cases = [
            ("an orderly end", marker("b", None, 9, true), row("b", 9, true), Continued),
            ("killed", marker("b", None, 9, false), row("b", 9, false), Interrupted),
            ("killed between commit and mark", marker("b", None, 9, false), row("b", 10, false), Interrupted),
            ("killed between the marks of the end", marker("b", None, 9, false), row("b", 10, true), Interrupted),
            ("killed between the marks of a start", marker("c", Some("b"), 9, false), row("b", 9, true), Interrupted),
            ("an older copy of the same run", marker("b", None, 9, true), row("b", 7, false), Restored),
            ("the log lost after a kill", marker("b", None, 9, false), row("b", 8, false), Restored),
            ("an older copy of a former run", marker("b", None, 9, true), row("a", 5, true), Restored),
            ("the same, and the start cut off", marker("c", Some("b"), 9, false), row("b", 8, false), Restored),
            ("one that went on elsewhere", marker("b", None, 9, true), row("b", 12, true), Interrupted),
        ];
        for (words, marker, row, wanted) in cases {
            assert_eq!(classify(Some(&marker), Some(&row), false), wanted, "{words}");
        }
        assert_eq!(classify(None, Some(&row("b", 9, true)), false), Restored, "copied to another host");
        assert_eq!(classify(Some(&marker("b", None, 9, true)), None, false), Restored, "of an earlier version");
        assert_eq!(classify(Some(&marker("b", None, 9, true)), None, true), Lineage::Empty);
    }

    #[test]
    fn what_a_start_was_not_done_with_is_left_to_the_next() {
        let row = Row { unsettled: "restored".into(), ..row("b", 9, true) };
        assert_eq!(classify(Some(&marker("b", None, 9, true)), Some(&row), false), Lineage::Restored);
    }
}
