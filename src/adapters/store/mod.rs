//! The history in SQLite. No other module contains SQL.
//!
//! One writing connection, whose transactions all begin IMMEDIATE, and a pool of read-only ones. The journal is WAL
//! with `synchronous = FULL`: the committed intent of a create call must survive a power cut. A database that is
//! damaged, or was written by a newer version, is rejected and left unchanged.

mod absences;
mod audit;
mod backup;
mod backup_error;
mod backup_folder;
mod bake_rows;
mod batch;
mod border;
mod brakes;
mod channels;
mod checks;
mod checksum;
mod clock_steps;
mod deletions;
mod distributions;
mod error;
mod event_subjects;
mod file_size;
mod fragments;
mod from_row;
mod health;
mod history;
mod image_columns;
mod images;
mod json_columns;
mod learned;
mod lineage;
mod lines;
mod location;
mod lock_file;
mod log_binding;
mod maintenances;
mod manual_bakes;
mod migrating;
mod open_bakes;
mod outbox;
mod page;
mod pauses;
mod present_images;
mod problems;
mod reader;
mod rebuilding;
mod schedule_rows;
mod schema;
mod since_backup;
mod slots;
mod spans;
mod strays;
mod tables;
mod targets;
mod transfer;
mod transitions;
mod waits;
mod work;
mod writer;

pub use self::audit::{AuditFilter, AuditRow};
pub use self::backup::{Progress, Restored, Sound, restore};
pub use self::backup_error::BackupError;
pub use self::backup_folder::{BackupFile, BackupFolder};
pub use self::brakes::StandingBrake;
pub use self::channels::{ChannelOrder, ChannelRow, Moved};
pub use self::checks::{CheckResult, DueCheck, ImageCheck};
pub use self::checksum::{Checksum, checksum_file, remove_checksum, verify_checksum, write_checksum};
pub use self::clock_steps::RowAhead;
pub use self::deletions::{DeleteOutcome, Doomed, SentDeletion};
pub use self::distributions::{Copy, CopyStep, FailedCopies, FailedCopy, ListedReplica, OtherCopy, ReplicaObservation};
pub use self::error::StoreError;
pub(in crate::adapters::store) use self::error::failed;
pub use self::history::Store;
pub use self::images::{ImageObservation, InventoryScan, NewImage, NewestResult};
pub use self::learned::WorkInCloud;
pub use self::lineage::Lineage;
pub use self::location::DATABASE_FILE;
pub use self::maintenances::RefusedMaintenance;
pub use self::manual_bakes::ManualBake;
#[cfg(test)]
pub(crate) use self::migrating::rename_table;
pub use self::open_bakes::{OpenBake, OpenStage, PendingRestart};
pub use self::outbox::{EventFilter, EventRow, UNREADABLE};
pub use self::reader::Reader;
pub use self::since_backup::{LostDecision, SinceBackup};
pub use self::slots::{NewRow, TargetProgress};
pub use self::spans::Span;
pub use self::strays::{FailedImageRow, FailedSighting, UnrecordedImage, UnrecordedSighting};
pub use self::tables::Rows;
pub use self::targets::{Adoption, StoredTarget, TargetRow};
pub use self::transfer::{TransferError, import};
pub use self::transitions::{Attempt, DueBake, Outcome, Transition};
pub use self::work::LISTED_BAKES;
pub use crate::domain::history::{AttemptRow, BakeRow, CopyRow, Filter, ImageRow, instants::rfc3339};
pub use crate::domain::pause::ITSELF;

use chrono::{DateTime, Utc};

/// An instant as stored, in milliseconds since 1970; the epoch for instants outside the calendar.
fn instant(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap_or_default()
}

#[cfg(test)]
mod border_tests;
#[cfg(test)]
mod execution_tests;
#[cfg(test)]
mod log_binding_tests;
#[cfg(test)]
mod newest_good_tests;
#[cfg(test)]
mod query_plan_tests;
#[cfg(test)]
pub(crate) mod row_for_tests;
#[cfg(test)]
mod statement_list_tests;
#[cfg(test)]
mod tests;
