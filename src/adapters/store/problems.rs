//! The problems that stand, and their acknowledgements. Each change is one transaction with its event.

use chrono::{DateTime, Utc};

use super::{Reader, Store, StoreError, audit::insert_audit, failed, from_row::from_row, writer::WriteTransaction};
use crate::{
    adapters::failpoint,
    domain::{
        event::{Action, AuditLine, problems},
        health::{
            Acknowledgement, Problem, ProblemCode, ReportedProblem, Severity, Subject, SubjectKind,
            standing::ProblemChange,
        },
    },
};

/// The problems that stood at the last comparison.
pub(super) const STANDING_PROBLEMS: &str = "
SELECT code, subject_kind, subject_id, since, severity, message, command,
       acknowledged_by, acknowledged_at, acknowledged_until, acknowledged_reason
FROM problems";

/// A problem that began, or whose severity changed. Its acknowledgement stays.
pub(super) const SET_PROBLEM: &str = "
INSERT INTO problems (code, subject_kind, subject_id, since, severity, message, command)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (code, subject_kind, subject_id)
DO UPDATE SET since = excluded.since, severity = excluded.severity, message = excluded.message, command = excluded.command";

/// A problem that ended.
pub(super) const DROP_PROBLEM: &str = "DELETE FROM problems WHERE code = ?1 AND subject_kind = ?2 AND subject_id = ?3";

/// Acknowledgement of a problem; its end if the values are NULL.
pub(super) const ACKNOWLEDGE_PROBLEM: &str = "
UPDATE problems
SET acknowledged_by = ?4, acknowledged_at = ?5, acknowledged_until = ?6, acknowledged_reason = ?7
WHERE code = ?1 AND subject_kind = ?2 AND subject_id = ?3";

struct Row {
    code: String,
    subject_kind: String,
    subject_id: String,
    since: String,
    severity: String,
    message: String,
    command: Option<String>,
    acknowledged_by: Option<String>,
    acknowledged_at: Option<String>,
    acknowledged_until: Option<String>,
    acknowledged_reason: Option<String>,
}

from_row!(Row {
    code,
    subject_kind,
    subject_id,
    since,
    severity,
    message,
    command,
    acknowledged_by,
    acknowledged_at,
    acknowledged_until,
    acknowledged_reason
});

impl Row {
    /// `None` for words of a later version: such a problem is found anew.
    fn problem(self) -> Option<ReportedProblem> {
        let acknowledged = self.acknowledged_by.map(|by| Acknowledgement {
            by,
            at: self.acknowledged_at.unwrap_or_default(),
            until: self.acknowledged_until,
            reason: self.acknowledged_reason.unwrap_or_default(),
        });
        let problem = Problem {
            severity: Severity::parse(&self.severity)?,
            code: ProblemCode::parse(&self.code)?,
            subject: Subject::new(SubjectKind::parse(&self.subject_kind)?, self.subject_id),
            line: None,
            since: self.since,
            message: self.message,
            command: self.command,
        };
        Some(ReportedProblem { problem, acknowledged })
    }
}

impl Reader {
    /// The problems that stood at the last comparison.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn standing_problems(&self) -> Result<Vec<ReportedProblem>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(STANDING_PROBLEMS)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read the standing problems"))?;
        Ok(rows.into_iter().filter_map(Row::problem).collect())
    }
}

impl Store {
    /// Commits the changes of a comparison with their events. All or nothing.
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn commit_problems(&self, changes: &[ProblemChange], now: DateTime<Utc>) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        for change in changes {
            match change {
                ProblemChange::Started(problem) | ProblemChange::SeverityChanged { problem, .. } => {
                    set(&mut tx, problem).await?;
                }
                ProblemChange::AcknowledgementEnded { problem, .. } => acknowledge(&mut tx, problem, None).await?,
                ProblemChange::Ended(problem) => {
                    let query = with_key(sqlx::query(DROP_PROBLEM), problem);
                    query.execute(&mut *tx).await.map_err(failed("end a problem"))?;
                }
            }
            tx.record(now, problems::of_change(change));
        }
        failpoint::hit("before", "problems");
        tx.commit().await.map_err(failed("commit problems"))?;
        failpoint::hit("after", "problems");
        Ok(())
    }

    /// Commits a person's acknowledgement of a standing problem, or its end (`None`).
    ///
    /// # Errors
    ///
    /// `StoreError` if the transaction fails; nothing is written then.
    pub async fn acknowledge_problem(
        &self,
        problem: &Problem,
        acknowledgement: Option<&Acknowledgement>,
        who: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let action = if acknowledgement.is_some() { Action::Acknowledge } else { Action::Unacknowledge };
        let why = acknowledgement.map_or_else(String::new, |made| {
            let until = made.until.as_ref().map_or_else(String::new, |until| {
                format!(" until {}", until.parse().map_or_else(|_| until.clone(), |at| self.shown(at)))
            });
            format!("{until}: {}", made.reason)
        });
        let detail = format!("{} of {}{why}", problem.code.as_str(), problem.subject);
        let line = AuditLine { at: now, who, action, subject: problem.subject.clone(), detail };
        let mut tx = self.begin().await?;
        acknowledge(&mut tx, problem, acknowledgement).await?;
        insert_audit(&mut tx, &line).await?;
        tx.record(now, problems::of_acknowledgement(problem, &line));
        tx.commit().await.map_err(failed("commit an acknowledgement"))
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

fn with_key<'q>(query: Query<'q>, problem: &'q Problem) -> Query<'q> {
    let Subject { kind, id } = &problem.subject;
    query.bind(problem.code.as_str()).bind(kind.as_str()).bind(id)
}

async fn set(tx: &mut WriteTransaction, problem: &Problem) -> Result<(), StoreError> {
    with_key(sqlx::query(SET_PROBLEM), problem)
        .bind(&problem.since)
        .bind(problem.severity.as_str())
        .bind(&problem.message)
        .bind(problem.command.as_deref())
        .execute(&mut **tx)
        .await
        .map_err(failed("record a problem"))
        .map(|_| ())
}

async fn acknowledge(
    tx: &mut WriteTransaction,
    problem: &Problem,
    made: Option<&Acknowledgement>,
) -> Result<(), StoreError> {
    with_key(sqlx::query(ACKNOWLEDGE_PROBLEM), problem)
        .bind(made.map(|made| made.by.as_str()))
        .bind(made.map(|made| made.at.as_str()))
        .bind(made.and_then(|made| made.until.as_deref()))
        .bind(made.map(|made| made.reason.as_str()))
        .execute(&mut **tx)
        .await
        .map_err(failed("acknowledge a problem"))
        .map(|_| ())
}
