//! Whether the history that is opened is the one that was closed last.
//!
//! Every start gives itself a token, a *run*, and every transaction counts one *step*. Both are in the database and, outside
//! of it, in the lock file: an older copy of the database, put back by whatever means, does not have what the lock file has.
//! Power cuts lose at most what was not synced of the lock file, so that there it may be behind, never ahead.

use std::{io, sync::Arc};

use sqlx::SqliteConnection;

use super::{
    StoreError, failed,
    lock_file::{LockFile, Marker},
    statements,
};

/// What the history that a start finds has to do with the one that was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lineage {
    /// It is the same, and was closed in order.
    Continued,
    /// It is the same, and was not closed in order: the process was killed, or the host lost its power.
    Interrupted,
    /// It is another one, or an older copy: calls may have been sent of which it knows nothing.
    Restored,
    /// Nothing is in it: a new installation, or one whose history was lost.
    Empty,
}

impl Lineage {
    /// Every word that the database has for one.
    const WORDS: [(Self, &'static str); 4] = [
        (Self::Continued, "continued"),
        (Self::Interrupted, "interrupted"),
        (Self::Restored, "restored"),
        (Self::Empty, "empty"),
    ];

    fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|(lineage, _)| *lineage == self).map_or("restored", |(_, word)| *word)
    }

    /// The word; one that is not known is of a later version, which had its reasons.
    fn parse(word: &str) -> Self {
        Self::WORDS.iter().find(|(_, known)| *known == word).map_or(Self::Restored, |(lineage, _)| *lineage)
    }

    /// Whether the cloud may have images of ours of which the history knows nothing at all, so that the two have to be
    /// compared before anything is stopped or made.
    pub fn must_be_compared(self) -> bool {
        self >= Self::Restored
    }

    /// Whether, for some time after the start, every create has to search for its image first.
    pub fn searches_first(self) -> bool {
        self != Self::Continued
    }
}

/// The row of the database.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
struct Row {
    run: String,
    steps: i64,
    stopped: bool,
    unsettled: String,
}

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
        // Cut off between the two marks of a start, before anything was done.
        (Some(marker), Some(row)) if marker.previous.as_ref() == Some(&row.run) && row.steps == marker.steps => {
            Lineage::Interrupted
        }
        _ => Lineage::Restored,
    };
    // What a start before this one was not done with is still to be done.
    row.map_or(found, |row| found.max(Lineage::parse(&row.unsettled)))
}

/// The marks of this start, in the database and outside of it.
#[derive(Debug)]
pub(super) struct LineageMarks {
    lineage: Lineage,
    /// A history was here before, and is not any more.
    lost: bool,
    run: String,
    lock: Arc<LockFile>,
}

impl LineageMarks {
    /// Compares what is in the database with what is in the lock file, and marks both as being at work.
    pub async fn begin(connection: &mut SqliteConnection, lock: Arc<LockFile>) -> Result<Self, StoreError> {
        let marker = lock.marker();
        let row: Option<Row> = sqlx::query_as(statements::LINEAGE)
            .fetch_optional(&mut *connection)
            .await
            .map_err(failed("read which history it is"))?;
        let is_empty: bool = sqlx::query_scalar(statements::IS_EMPTY)
            .fetch_one(&mut *connection)
            .await
            .map_err(failed("read whether anything is in it"))?;
        let lineage = classify(marker.as_ref(), row.as_ref(), is_empty);
        let lost =
            is_empty && marker.as_ref().is_some_and(|marker| marker.steps > row.as_ref().map_or(0, |row| row.steps));
        let run = uuid::Uuid::new_v4().simple().to_string();
        let steps = row.as_ref().map_or(0, |row| row.steps).max(marker.as_ref().map_or(0, |marker| marker.steps));
        let io = |error: io::Error| failed("mark its start in the lock file")(error.into());
        // Outside first. Where this start is cut off before the database has its mark, the next one knows by `previous`.
        lock.update_and_sync(|marker| {
            marker.run.clone_from(&run);
            marker.previous = row.as_ref().map(|row| row.run.clone());
            marker.steps = row.as_ref().map_or(steps, |row| row.steps);
            marker.stopped = false;
        })
        .map_err(io)?;
        sqlx::query(statements::BEGIN_RUN)
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
    pub async fn step(&self, tx: &mut SqliteConnection) -> Result<Option<i64>, StoreError> {
        sqlx::query_scalar(statements::COUNT_STEP)
            .bind(&self.run)
            .fetch_optional(tx)
            .await
            .map_err(failed("begin a transaction"))
    }

    /// That many steps are committed. It is not synced: that would double the cost of a commit, and is of use only where a
    /// copy is put back right after a power cut.
    pub fn committed(&self, steps: i64) {
        let _ = self.lock.update(|marker| marker.steps = steps);
    }

    /// Marks an orderly end, in the database first.
    pub async fn end(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let steps: Option<i64> = sqlx::query_scalar(statements::END_RUN)
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

/// Takes the mark off a database that is to be put in the place of another: whoever opens it then knows.
pub(super) async fn forget(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    sqlx::query(statements::FORGET_RUN).execute(connection).await.map_err(failed("take off its mark")).map(|_| ())
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
