//! Queries of the commands and the status page, whether or not the daemon runs.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer};
use sqlx::{
    Connection as _, FromRow, QueryBuilder, Sqlite, SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};

use super::{
    DATABASE_FILE, StoreError,
    error::sqlite_code,
    failed,
    fragments::good,
    log_binding::has_foreign_log,
    schema::{self, last_migration},
    tables,
    tables::TABLE_NAMES,
};
use crate::domain::{
    bake::{State, Trigger},
    ids::{BakeId, InstanceId, LineId},
    plan::{
        explain::{Known, Record},
        forecast::Durations,
    },
};

/// Integrity of the file: one row `ok`, or up to ten rows with faults.
pub(super) const QUICK_CHECK: &str = "PRAGMA quick_check(10)";

/// Whether a bake is not over.
pub(super) const HAS_OPEN_BAKE: &str = "SELECT EXISTS (SELECT 1 FROM bakes WHERE finished_at IS NULL)";

/// The columns of a row of the history, as people and programs see them.
pub(super) const BAKE_ROW_COLUMNS: &str = "
SELECT id, schedule_id, schedule, instance_id, line_id, slot, trigger, covers, covers_from, state, reason, reason_code,
       cause, version, image_name, image_id, version_id, task_id, attempts, wake_at, created_at, finished_at,
       requested_by, config_hash
FROM bakes";

/// One row of the history.
pub(super) const BAKE_ROW: &str = "
SELECT id, schedule_id, schedule, instance_id, line_id, slot, trigger, covers, covers_from, state, reason, reason_code,
       cause, version, image_name, image_id, version_id, task_id, attempts, wake_at, created_at, finished_at,
       requested_by, config_hash
FROM bakes WHERE id = ?1";

/// The highest number of a bake.
pub(super) const NEWEST_BAKE: &str = "SELECT max(id) FROM bakes";

/// The row of one schedule and instance for an instant: the one of that slot, or the first that covers a range
/// which the instant lies in.
pub(super) const ROW_COVERING: &str = "
SELECT id, schedule_id, schedule, instance_id, line_id, slot, trigger, covers, covers_from, state, reason, reason_code,
       cause, version, image_name, image_id, version_id, task_id, attempts, wake_at, created_at, finished_at,
       requested_by, config_hash
FROM bakes WHERE schedule_id = ?1 AND instance_id = ?2 AND slot >= ?3 AND covers_from <= ?3
ORDER BY slot LIMIT 1";

/// What is known of a schedule, by id or by name, also of those that are gone from the file.
pub(super) const SEEN_OF: &str = "
SELECT schedule_id, schedule, instance_id, timing, accounted_to, known_since, removed_at
FROM targets WHERE schedule_id = ?1 OR schedule = ?1
ORDER BY schedule_id, instance_id";

/// Every name and id of a schedule that was ever seen.
pub(super) const SCHEDULE_WORDS: &str = "SELECT schedule FROM targets UNION SELECT schedule_id FROM targets";

/// The calls of one bake, in order.
pub(super) const ATTEMPTS_OF: &str = "
SELECT stage, call, started_at, finished_at, outcome, code, http_status, request_id, message
FROM attempts WHERE bake_id = ?1 ORDER BY id";

/// What a bake was to do.
pub(super) const SETTINGS_OF: &str = "
SELECT s.json FROM bakes b JOIN settings s ON s.hash = b.settings WHERE b.id = ?1";

/// The last version of every line.
pub(super) const ALL_VERSIONS: &str = "SELECT line_id, last_version FROM lines";

/// The newest good image of every line that has one, with the channels that point to it.
pub(super) const LINES: &str = concat!(
    "
SELECT i.line_id, i.image_id, i.image_name, i.version, i.slot,
       (SELECT json_group_array(json_array(c.channel, n.version) ORDER BY c.channel <> 'latest', c.channel)
        FROM channels c LEFT JOIN images n ON n.image_id = c.image_id
        WHERE c.line_id = l.line_id) AS channels
FROM lines l JOIN images i
  ON i.image_id = (SELECT image_id FROM images
                   WHERE line_id = l.line_id AND ",
    good!(),
    "
                   ORDER BY version DESC LIMIT 1)
ORDER BY l.line_id LIMIT ?1"
);

/// How many bakes are in each of some states, of slots since an instant.
pub(super) const COUNTS_SINCE: &str = "
SELECT state, count(*) AS n FROM bakes WHERE state IN (SELECT value FROM json_each(?2)) AND slot >= ?1 GROUP BY state";

/// How long the last bakes of every line took that succeeded, from the first call that stopped the instance or was to make
/// the image to the end. Rows that were made from the tags of images know nothing of calls and do not count.
pub(super) const LAST_DURATIONS: &str = "
SELECT b.line_id, max(0, b.finished_at - (SELECT min(a.started_at) FROM attempts a
                                          WHERE a.bake_id = b.id AND a.stage IN ('stop', 'create'))) AS took
FROM lines l JOIN bakes b ON b.id IN (
    SELECT g.id FROM bakes g
    WHERE g.line_id = l.line_id AND g.state = 'succeeded'
      AND EXISTS (SELECT 1 FROM attempts a WHERE a.bake_id = g.id AND a.stage IN ('stop', 'create'))
    ORDER BY g.version DESC LIMIT ?1)";

/// Bakes that are not over, with when each made its first call. Without a word about the index, SQLite walks through all
/// bakes for the sake of their order.
pub(super) const OPEN_BAKES: &str = "
SELECT b.line_id, b.instance_id, coalesce(s.json ->> 'instance_region', '') AS region, b.slot, b.state, b.wake_at,
       b.give_up_at, (SELECT min(a.started_at) FROM attempts a
                      WHERE a.bake_id = b.id AND a.stage IN ('stop', 'create')) AS begun_at
FROM bakes b INDEXED BY bakes_open LEFT JOIN settings s ON s.hash = b.settings
WHERE b.finished_at IS NULL
ORDER BY b.slot, b.id";

/// Bakes that stopped their instance and have not seen it running since.
pub(super) const PENDING_RESTARTS: &str = "
SELECT id, schedule, instance_id, progress FROM bakes INDEXED BY bakes_open
WHERE finished_at IS NULL AND progress ->> '$.work.owes_start'
ORDER BY id";

/// Number of recent bakes from which a line's duration is computed: old ones made images of another size.
const LEARNED_FROM: u32 = 10;

/// Number of reading connections.
const READERS: u32 = 2;

/// A read-only view of the history.
#[derive(Debug, Clone)]
pub struct Reader {
    pub(super) pool: SqlitePool,
}

/// One row of the history; the field names are those of `history --json`.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct BakeRow {
    /// The bake's number.
    pub id: i64,
    /// The schedule's stable id.
    pub schedule_id: String,
    /// Name of the schedule when the row was created.
    pub schedule: String,
    /// The instance.
    pub instance_id: String,
    /// The line.
    #[serde(rename = "line")]
    pub line_id: String,
    /// The slot, in milliseconds since 1970; RFC 3339 in JSON, as all instants here.
    #[serde(serialize_with = "instant")]
    pub slot: i64,
    /// `slot`, `caught_up` or `manual`.
    pub trigger: String,
    /// Number of slots of the row.
    pub covers: i64,
    /// First of its slots.
    #[serde(serialize_with = "instant")]
    pub covers_from: i64,
    /// One of [`crate::domain::bake::State::WORDS`].
    pub state: String,
    /// Reason in plain words.
    pub reason: Option<String>,
    /// Reason code of an end without a good image, see [`crate::domain::bake::reason::ReasonCode`].
    pub reason_code: Option<String>,
    /// Cause of a failure, see [`crate::domain::api::cause::Cause`].
    pub cause: Option<String>,
    /// The version in the line.
    pub version: Option<i64>,
    /// The image's name.
    pub image_name: Option<String>,
    /// The image.
    pub image_id: Option<String>,
    /// Version id in the cloud.
    pub version_id: Option<String>,
    /// Task that made the image.
    pub task_id: Option<String>,
    /// Create calls that count as attempts.
    pub attempts: i64,
    /// Instant of the next event.
    #[serde(serialize_with = "maybe_instant")]
    pub wake_at: Option<i64>,
    /// When the row was created.
    #[serde(serialize_with = "instant")]
    pub created_at: i64,
    /// When it ended.
    #[serde(serialize_with = "maybe_instant")]
    pub finished_at: Option<i64>,
    /// Who requested a manual bake.
    pub requested_by: Option<String>,
    /// Fingerprint of its configuration.
    pub config_hash: String,
}

/// One call of a bake.
#[derive(Debug, Clone, PartialEq, Eq, FromRow, Serialize)]
pub struct AttemptRow {
    /// `stop`, `create`, `build`, `start`, …
    pub stage: String,
    /// Which call.
    pub call: String,
    /// When it was started.
    #[serde(serialize_with = "instant")]
    pub started_at: i64,
    /// When it was answered.
    #[serde(serialize_with = "instant")]
    pub finished_at: i64,
    /// `ok`, or the class of the failure.
    pub outcome: String,
    /// The API's code.
    pub code: Option<String>,
    /// The HTTP status.
    pub http_status: Option<i64>,
    /// For support tickets.
    pub request_id: Option<String>,
    /// Description of the result.
    pub message: Option<String>,
}

/// An instance of a schedule in the history.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct TargetRow {
    /// The schedule's stable id.
    pub schedule_id: String,
    /// Name of the schedule when last seen.
    pub schedule: String,
    /// The instance.
    pub instance_id: String,
    /// Its rule when last seen, as JSON of the planner.
    pub timing: String,
    accounted_to: i64,
    known_since: i64,
    removed_at: Option<i64>,
}

impl TargetRow {
    /// Start, progress and end.
    pub fn known(&self) -> Known {
        let instant = super::instant;
        Known {
            since: instant(self.known_since),
            accounted_to: instant(self.accounted_to),
            removed_at: self.removed_at.map(instant),
        }
    }
}

/// An open bake, for a forecast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBake {
    /// Its line.
    pub line: LineId,
    /// Its instance.
    pub instance: InstanceId,
    /// Region of the instance.
    pub region: String,
    /// Its slot.
    pub slot: DateTime<Utc>,
    /// Its progress.
    pub stage: OpenStage,
}

/// An instance that a bake stopped and has not seen running since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRestart {
    /// The bake.
    pub bake: BakeId,
    /// Its schedule's name.
    pub schedule: String,
    /// The instance.
    pub instance: InstanceId,
    /// State of the bake.
    pub state: State,
}

/// Progress of an open bake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenStage {
    /// Queued.
    Queued {
        /// Earliest start.
        not_before: DateTime<Utc>,
        /// Latest start.
        give_up_at: DateTime<Utc>,
    },
    /// Started.
    Begun {
        /// Instant of its first answered call.
        at: Option<DateTime<Utc>>,
    },
}

/// Filter of the history, newest slot first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Name or stable id.
    pub schedule: Option<String>,
    /// The instance.
    pub instance: Option<String>,
    /// State.
    pub states: Vec<String>,
    /// Slots at or after this instant.
    pub since: Option<DateTime<Utc>>,
    /// Slots at or before this instant.
    pub until: Option<DateTime<Utc>>,
    /// Bakes with a call that returned this code.
    pub code: Option<String>,
    /// Rows older than this (slot, number): the end of the last page.
    pub before: Option<(DateTime<Utc>, BakeId)>,
    /// Maximum number of rows.
    pub limit: u32,
}

/// The newest good image of a line, and the targets of its channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineRow {
    /// The line.
    pub line_id: String,
    /// The image.
    pub image_id: String,
    /// Its name.
    pub image_name: String,
    /// Its version.
    pub version: i64,
    /// Its slot, milliseconds since 1970.
    pub slot: i64,
    /// Each channel and the version it points to, `latest` first; none if it is empty.
    pub channels: Vec<(String, Option<i64>)>,
}

impl Reader {
    /// Opens the history in `state_dir` for reading. The daemon may run or not.
    ///
    /// # Errors
    ///
    /// There is no history, or it is unreadable, of another program or of another version.
    pub async fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let (reader, found) = Self::open_at(state_dir).await?;
        let needed = last_migration();
        if found < needed {
            reader.close().await;
            return Err(StoreError::Older { path: state_dir.join(DATABASE_FILE), found, needed });
        }
        Ok(reader)
    }

    /// The same for copies and exports, which also read the history of an earlier version.
    ///
    /// # Errors
    ///
    /// There is no history, or it is unreadable, of another program or of a newer version.
    pub async fn open_any_version(state_dir: &Path) -> Result<Self, StoreError> {
        Ok(Self::open_at(state_dir).await?.0)
    }

    /// Opens the history and reads its migration.
    async fn open_at(state_dir: &Path) -> Result<(Self, i64), StoreError> {
        let path = state_dir.join(DATABASE_FILE);
        match fs::metadata(&path) {
            // SQLite treats it as a database without tables.
            Ok(file) if file.len() == 0 => return Err(StoreError::NotAHistory { path }),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(StoreError::Missing { path }),
            Err(source) => return Err(StoreError::StateDir { dir: state_dir.to_owned(), source }),
        }
        if has_foreign_log(state_dir) {
            return Err(StoreError::ForeignLog { path });
        }
        let mut reader = Self::connect(&path).await?;
        let mut found = reader.migration().await;
        if let Err(StoreError::Query { source, .. }) = &found
            && needs_log(source)
            && !log_of(&path).exists()
        {
            // After an orderly stop there is no log. A reader cannot create one in a folder without write access, and
            // needs none: the database is complete and not in use.
            reader.close().await;
            reader = Self::connect_with(&path, SqlitePoolOptions::new(), true).await?;
            found = reader.migration().await;
        }
        match found {
            Ok(Some(found)) if found > last_migration() => Err(StoreError::Newer { path, version: found }),
            Ok(Some(found)) => Ok((reader, found)),
            Ok(None) => Err(StoreError::NotAHistory { path }),
            Err(StoreError::Query { source, .. }) => Err(StoreError::Open { path, source }),
            Err(error) => Err(error),
        }
    }

    async fn migration(&self) -> Result<Option<i64>, StoreError> {
        let mut connection = self.pool.acquire().await.map_err(failed("be opened"))?;
        tables::migration(&mut connection).await
    }

    pub(super) async fn connect(path: &Path) -> Result<Self, StoreError> {
        Self::connect_with(path, SqlitePoolOptions::new(), false).await
    }

    /// Opens all connections now and never again as long as they work: the path may name another file later.
    pub(super) async fn connect_for_life(path: &Path) -> Result<Self, StoreError> {
        let pool = SqlitePoolOptions::new().min_connections(READERS).idle_timeout(None).max_lifetime(None);
        let reader = Self::connect_with(path, pool, false).await?;
        // SQLite opens the files beside the database at the first statement.
        let mut opened = Vec::new();
        for _ in 0..READERS {
            let mut connection = reader.pool.acquire().await.map_err(failed("be opened"))?;
            sqlx::query(TABLE_NAMES).execute(&mut *connection).await.map_err(failed("be opened"))?;
            opened.push(connection);
        }
        drop(opened);
        Ok(reader)
    }

    async fn connect_with(path: &Path, pool: SqlitePoolOptions, immutable: bool) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .read_only(true)
            .immutable(immutable)
            .busy_timeout(Duration::from_secs(5));
        let pool = pool
            .max_connections(READERS)
            // A connection that was left within a transaction is not reused.
            .after_release(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
            .connect_with(options)
            .await
            .map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
        Ok(Self { pool })
    }

    /// Checks the whole database and lists its faults: damage as SQLite reports it, and differences of the schema from
    /// the migrations. Empty if there are none.
    ///
    /// # Errors
    ///
    /// The database is unreadable, or of a newer version.
    ///
    /// It cannot be read, or is of a newer version.
    pub async fn examine(&self) -> Result<Vec<String>, StoreError> {
        let path = || self.pool.connect_options().get_filename().to_path_buf();
        let mut connection = self.pool.acquire().await.map_err(failed("be opened"))?;
        let Some(migration) = tables::migration(&mut connection).await? else {
            return Err(StoreError::NotAHistory { path: path() });
        };
        if migration > last_migration() {
            return Err(StoreError::Newer { path: path(), version: migration });
        }
        let found: Vec<String> = sqlx::query_scalar(QUICK_CHECK)
            .fetch_all(&mut *connection)
            .await
            .map_err(failed("read through the database"))?;
        let mut faults: Vec<_> = found.into_iter().filter(|line| line != "ok").collect();
        faults.extend(schema::differences(&mut connection, migration).await?);
        Ok(faults)
    }

    /// Ends all connections.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// A page of the history.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn history(&self, filter: &Filter) -> Result<Vec<BakeRow>, StoreError> {
        let mut query = QueryBuilder::<Sqlite>::new(BAKE_ROW_COLUMNS);
        query.push(" WHERE 1");
        if let Some(schedule) = &filter.schedule {
            // The id first: names can be reused, ids cannot.
            query.push(" AND schedule_id IN (SELECT schedule_id FROM targets WHERE schedule_id = ");
            query.push_bind(schedule).push(" OR schedule = ").push_bind(schedule).push(")");
        }
        if let Some(instance) = &filter.instance {
            query.push(" AND instance_id = ").push_bind(instance);
        }
        if !filter.states.is_empty() {
            query.push(" AND state IN (");
            let mut list = query.separated(", ");
            for state in &filter.states {
                list.push_bind(state);
            }
            query.push(")");
        }
        if let Some(since) = filter.since {
            query.push(" AND slot >= ").push_bind(since.timestamp_millis());
        }
        if let Some(until) = filter.until {
            query.push(" AND slot <= ").push_bind(until.timestamp_millis());
        }
        if let Some(code) = &filter.code {
            query.push(" AND id IN (SELECT bake_id FROM attempts WHERE code = ").push_bind(code).push(")");
        }
        if let Some((slot, id)) = filter.before {
            query.push(" AND (slot, id) < (").push_bind(slot.timestamp_millis()).push(", ").push_bind(id.0).push(")");
        }
        query.push(" ORDER BY slot DESC, id DESC LIMIT ").push_bind(i64::from(filter.limit));
        let rows = query.build_query_as().fetch_all(&self.pool).await.map_err(failed("read the history"))?;
        self.with_waits(rows).await
    }

    /// One row, if the bake exists.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn bake(&self, id: BakeId) -> Result<Option<BakeRow>, StoreError> {
        let query = sqlx::query_as(BAKE_ROW).bind(id.0);
        let row = query.fetch_optional(&self.pool).await.map_err(failed("read a bake"))?;
        Ok(self.with_waits(Vec::from_iter(row)).await?.pop())
    }

    /// Whether a due bake has not ended.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn has_open_bake(&self) -> Result<bool, StoreError> {
        sqlx::query_scalar(HAS_OPEN_BAKE).fetch_one(&self.pool).await.map_err(failed("read a bake"))
    }

    /// The highest number of a bake.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn newest_bake(&self) -> Result<Option<BakeId>, StoreError> {
        let id: Option<i64> =
            sqlx::query_scalar(NEWEST_BAKE).fetch_one(&self.pool).await.map_err(failed("read a bake"))?;
        Ok(id.map(BakeId))
    }

    /// The row of a schedule's instance at an instant, if there is one.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn row_covering(
        &self,
        schedule_id: &str,
        instance_id: &str,
        at: DateTime<Utc>,
    ) -> Result<Option<BakeRow>, StoreError> {
        let row = sqlx::query_as(ROW_COVERING)
            .bind(schedule_id)
            .bind(instance_id)
            .bind(at.timestamp_millis())
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read the row of a slot"))?;
        Ok(self.with_waits(Vec::from_iter(row)).await?.pop())
    }

    /// State of the instances of a schedule, by id or name, including removed ones.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn seen(&self, schedule: &str) -> Result<Vec<TargetRow>, StoreError> {
        sqlx::query_as(SEEN_OF)
            .bind(schedule)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read what is known of a schedule"))
    }

    /// All names and ids of schedules in the history.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn schedule_words(&self) -> Result<Vec<String>, StoreError> {
        sqlx::query_scalar(SCHEDULE_WORDS).fetch_all(&self.pool).await.map_err(failed("read the names of schedules"))
    }

    /// The calls of one bake, in order.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn attempts(&self, id: BakeId) -> Result<Vec<AttemptRow>, StoreError> {
        sqlx::query_as(ATTEMPTS_OF).bind(id.0).fetch_all(&self.pool).await.map_err(failed("read the attempts"))
    }

    /// Settings of a bake, as JSON; `None` for a row without a bake.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn settings(&self, id: BakeId) -> Result<Option<String>, StoreError> {
        sqlx::query_scalar(SETTINGS_OF)
            .bind(id.0)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed("read a bake's settings"))
    }

    /// The last version of every line.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn versions(&self) -> Result<HashMap<LineId, u32>, StoreError> {
        let rows: Vec<(String, i64)> =
            sqlx::query_as(ALL_VERSIONS).fetch_all(&self.pool).await.map_err(failed("read the versions"))?;
        Ok(rows
            .into_iter()
            .map(|(line, version)| (LineId::from(line), u32::try_from(version).unwrap_or(u32::MAX)))
            .collect())
    }

    /// Names of lines with a good image, at most that many.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn lines(&self, limit: u32) -> Result<Vec<LineRow>, StoreError> {
        let rows: Vec<(String, String, String, i64, i64, String)> =
            sqlx::query_as(LINES).bind(limit).fetch_all(&self.pool).await.map_err(failed("read the lines"))?;
        Ok(rows
            .into_iter()
            .map(|(line_id, image_id, image_name, version, slot, channels)| LineRow {
                line_id,
                image_id,
                image_name,
                version,
                slot,
                // SQLite made this text in the same statement.
                channels: serde_json::from_str(&channels).unwrap_or_default(),
            })
            .collect())
    }

    /// Durations of the last ten successful bakes of each line.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn durations(&self) -> Result<Durations, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(LAST_DURATIONS)
            .bind(LEARNED_FROM)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read how long bakes took"))?;
        // A clock that was set back during a bake gives it an end before its start.
        let sound = |took| u64::try_from(took).ok().filter(|took| *took > 0).map(Duration::from_millis);
        Ok(Durations::learn(rows.into_iter().filter_map(|(line, took)| Some((LineId::from(line), sound(took)?)))))
    }

    /// Open bakes, oldest slot first.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn open_bakes(&self) -> Result<Vec<OpenBake>, StoreError> {
        type Columns = (String, String, String, i64, String, Option<i64>, Option<i64>, Option<i64>);
        let rows: Vec<Columns> =
            sqlx::query_as(OPEN_BAKES).fetch_all(&self.pool).await.map_err(failed("read the open bakes"))?;
        Ok(rows
            .into_iter()
            .map(|(line, instance, region, slot, state, wake_at, give_up_at, begun_at)| {
                let slot = DateTime::from_timestamp_millis(slot).unwrap_or_default();
                let stage = if state == "queued" {
                    OpenStage::Queued {
                        not_before: wake_at.and_then(DateTime::from_timestamp_millis).unwrap_or(slot),
                        give_up_at: give_up_at
                            .and_then(DateTime::from_timestamp_millis)
                            .unwrap_or(DateTime::<Utc>::MAX_UTC),
                    }
                } else {
                    OpenStage::Begun { at: begun_at.and_then(DateTime::from_timestamp_millis) }
                };
                OpenBake { line: line.into(), instance: instance.into(), region, slot, stage }
            })
            .collect())
    }

    /// Instances that bakes stopped and that are not known to run again, oldest bake first.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn pending_restarts(&self) -> Result<Vec<PendingRestart>, StoreError> {
        let rows: Vec<(i64, String, String, String)> = sqlx::query_as(PENDING_RESTARTS)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("read which instances are stopped"))?;
        Ok(rows
            .into_iter()
            .filter_map(|(bake, schedule, instance, progress)| {
                // The engine reports rows that this version cannot read.
                let state = serde_json::from_str(&progress).ok()?;
                Some(PendingRestart { bake: BakeId(bake), schedule, instance: instance.into(), state })
            })
            .collect())
    }

    /// Number of rows in each of these states, of slots at or after `since`.
    ///
    /// # Errors
    ///
    /// `StoreError` if the query fails.
    pub async fn counts(&self, since: DateTime<Utc>, states: &[&str]) -> Result<HashMap<String, u64>, StoreError> {
        let rows: Vec<(String, i64)> = sqlx::query_as(COUNTS_SINCE)
            .bind(since.timestamp_millis())
            .bind(serde_json::to_string(states).map_err(StoreError::Encode)?)
            .fetch_all(&self.pool)
            .await
            .map_err(failed("count the bakes"))?;
        Ok(rows.into_iter().map(|(state, n)| (state, n.unsigned_abs())).collect())
    }
}

/// Whether SQLite failed because it may not make the log beside the database.
fn needs_log(error: &sqlx::Error) -> bool {
    /// <https://sqlite.org/rescode.html>: READONLY and CANTOPEN.
    const CODES: [u32; 2] = [8, 14];
    sqlite_code(error).is_some_and(|code| CODES.contains(&code))
}

fn log_of(database: &Path) -> PathBuf {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    PathBuf::from(log)
}

impl BakeRow {
    /// The slot as an instant.
    pub fn slot(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.slot).unwrap_or_default()
    }

    /// Progress of the bake.
    pub fn record(&self) -> Record {
        Record {
            bake: BakeId(self.id),
            state: self.state.clone(),
            reason: self.reason.clone(),
            manual: self.trigger == Trigger::Manual.as_str(),
            first: DateTime::from_timestamp_millis(self.covers_from).unwrap_or_default(),
            last: self.slot(),
            count: self.covers.unsigned_abs(),
        }
    }

    /// Whether the bake has ended.
    pub fn is_ended(&self) -> bool {
        self.finished_at.is_some()
    }
}

/// Milliseconds since 1970 as RFC 3339 in UTC: whole seconds without a fraction.
pub fn rfc3339(millis: i64) -> String {
    DateTime::from_timestamp_millis(millis).unwrap_or_default().to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

// serde passes the field by reference.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
pub(super) fn instant<S: Serializer>(millis: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*millis))
}

#[expect(clippy::ref_option, reason = "the signature is serde's")]
pub(super) fn maybe_instant<S: Serializer>(millis: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    match millis {
        Some(millis) => serializer.serialize_str(&rfc3339(*millis)),
        None => serializer.serialize_none(),
    }
}
