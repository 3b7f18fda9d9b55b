//! Every SQL text, so that one test can prepare them all. Batches travel as one JSON array: a thousand rows are one
//! statement and one trip to SQLite's thread, not a thousand.

/// Whether the file is sound; one row that says `ok`, or up to ten that say what is wrong.
pub const QUICK_CHECK: &str = "PRAGMA quick_check(10)";

/// How new the database is.
pub const NEWEST_MIGRATION: &str = "SELECT max(version) FROM _sqlx_migrations";

/// Rows for slots: those that are to be baked and those that were missed. A row that is there already stays as it is:
/// the unique key is what makes planning the same slot twice harmless.
pub const INSERT_BAKES: &str = "
INSERT INTO bakes (schedule_id, schedule, instance_id, line_id, slot, trigger, covers, covers_from, settings,
                             config_hash, state, progress, reason, wake_at, give_up_at, created_at, finished_at,
                             requested_by, region)
SELECT value ->> 'schedule_id', value ->> 'schedule', value ->> 'instance_id', value ->> 'line_id', value ->> 'slot',
       value ->> 'trigger', value ->> 'covers', value ->> 'covers_from', value ->> 'settings', value ->> 'config_hash',
       value ->> 'state', value ->> 'progress', value ->> 'reason', value ->> 'wake_at', value ->> 'give_up_at',
       value ->> 'created_at', value ->> 'finished_at', value ->> 'requested_by', value ->> 'region'
FROM json_each(?1) WHERE true
ON CONFLICT (schedule_id, instance_id, slot) DO NOTHING";

/// What bakes do, once for all that do the same.
pub const INSERT_SETTINGS: &str = "
INSERT INTO settings (hash, json)
SELECT value ->> 'hash', value ->> 'json' FROM json_each(?1) WHERE true
ON CONFLICT (hash) DO NOTHING";

/// Bakes that took a step. An ended row is never reopened.
pub const UPDATE_BAKES: &str = "
UPDATE bakes
SET state = step.value ->> 'state', progress = step.value ->> 'progress', reason = step.value ->> 'reason',
    version = step.value ->> 'version', image_name = step.value ->> 'image_name',
    image_id = step.value ->> 'image_id', version_id = step.value ->> 'version_id',
    task_id = coalesce(step.value ->> 'task_id', task_id), attempts = step.value ->> 'attempts',
    wake_at = step.value ->> 'wake_at', finished_at = step.value ->> 'finished_at'
FROM json_each(?1) AS step
WHERE bakes.id = step.value ->> 'id' AND bakes.finished_at IS NULL";

/// Versions given out by those steps; a line's last version never goes back.
pub const RAISE_VERSIONS: &str = "
INSERT INTO lines (line_id, last_version)
SELECT value ->> 'line_id', value ->> 'version' FROM json_each(?1) WHERE value ->> 'version' IS NOT NULL
ON CONFLICT (line_id) DO UPDATE SET last_version = max(last_version, excluded.last_version)";

/// The calls behind those steps.
pub const INSERT_ATTEMPTS: &str = "
INSERT INTO attempts (bake_id, stage, call, started_at, finished_at, outcome, code, http_status, request_id, message)
SELECT value ->> 'bake_id', value ->> 'stage', value ->> 'call', value ->> 'started_at', value ->> 'finished_at',
       value ->> 'outcome', value ->> 'code', value ->> 'http_status', value ->> 'request_id', value ->> 'message'
FROM json_each(?1)";

/// Every slot of these targets up to `accounted_to` has its row.
pub const UPDATE_ACCOUNTED: &str = "
UPDATE targets SET accounted_to = told.value ->> 'accounted_to'
FROM json_each(?1) AS told
WHERE targets.schedule_id = told.value ->> 'schedule_id' AND targets.instance_id = told.value ->> 'instance_id'";

/// Targets as the file has them now.
pub const UPSERT_TARGETS: &str = "
INSERT INTO targets (schedule_id, instance_id, schedule, line_id, timing, accounted_to, known_since, removed_at)
SELECT value ->> 'schedule_id', value ->> 'instance_id', value ->> 'schedule', value ->> 'line_id',
       value ->> 'timing', value ->> 'accounted_to', value ->> 'known_since', NULL
FROM json_each(?1) WHERE true
ON CONFLICT (schedule_id, instance_id) DO UPDATE
SET schedule = excluded.schedule, line_id = excluded.line_id, timing = excluded.timing,
    accounted_to = excluded.accounted_to, known_since = excluded.known_since, removed_at = NULL";

/// Targets that the file no longer has.
pub const REMOVE_TARGETS: &str = "
UPDATE targets SET removed_at = gone.value ->> 'removed_at'
FROM json_each(?1) AS gone
WHERE targets.schedule_id = gone.value ->> 'schedule_id' AND targets.instance_id = gone.value ->> 'instance_id'
  AND targets.removed_at IS NULL";

/// All targets, also those that are gone from the file.
pub const ALL_TARGETS: &str = "
SELECT schedule_id, instance_id, schedule, line_id, timing, accounted_to, known_since, removed_at FROM targets";

/// Begun bakes that want to be looked at by now.
pub const DUE_BAKES: &str = "
SELECT b.id, b.schedule_id, b.schedule, b.instance_id, b.line_id, b.slot, b.trigger, b.progress, s.json AS settings,
       coalesce(l.last_version, 0) AS last_version
FROM bakes b JOIN settings s ON s.hash = b.settings LEFT JOIN lines l ON l.line_id = b.line_id
WHERE b.finished_at IS NULL AND b.wake_at <= ?1 AND b.state <> 'queued'
ORDER BY b.slot, b.id";

/// Queued bakes that have waited too long.
pub const OVERDUE_QUEUED: &str = "
SELECT b.id, b.schedule_id, b.schedule, b.instance_id, b.line_id, b.slot, b.trigger, b.progress, s.json AS settings,
       coalesce(l.last_version, 0) AS last_version
FROM bakes b JOIN settings s ON s.hash = b.settings LEFT JOIN lines l ON l.line_id = b.line_id
WHERE b.state = 'queued' AND b.give_up_at < ?1
ORDER BY b.slot, b.id";

/// Queued bakes that may begin, as many as there are free builders: the oldest slot first, the lower number first, one
/// for each instance that is free, none in regions that are full.
pub const NEXT_QUEUED: &str = "
SELECT b.id, b.schedule_id, b.schedule, b.instance_id, b.line_id, b.slot, b.trigger, b.progress, s.json AS settings,
       coalesce(l.last_version, 0) AS last_version
FROM bakes b JOIN settings s ON s.hash = b.settings LEFT JOIN lines l ON l.line_id = b.line_id
WHERE b.state = 'queued' AND b.wake_at <= ?1
  AND coalesce(b.region, '') NOT IN (SELECT value FROM json_each(?3))
  AND b.instance_id NOT IN (SELECT instance_id FROM bakes WHERE finished_at IS NULL AND state <> 'queued')
  AND NOT EXISTS (SELECT 1 FROM bakes o
                  WHERE o.state = 'queued' AND o.instance_id = b.instance_id AND o.wake_at <= ?1
                    AND (o.slot, o.id) < (b.slot, b.id))
ORDER BY b.slot, b.id
LIMIT ?2";

/// One bake, whatever its state.
pub const OPEN_BAKE: &str = "
SELECT b.id, b.schedule_id, b.schedule, b.instance_id, b.line_id, b.slot, b.trigger, b.progress, s.json AS settings,
       coalesce(l.last_version, 0) AS last_version
FROM bakes b JOIN settings s ON s.hash = b.settings LEFT JOIN lines l ON l.line_id = b.line_id
WHERE b.id = ?1";

/// The next instant at which an unfinished bake wants to be looked at.
pub const NEXT_WAKE: &str = "
SELECT min(at) FROM (
    SELECT min(wake_at) AS at FROM bakes WHERE finished_at IS NULL AND wake_at > ?1
    UNION ALL
    SELECT min(give_up_at) + 1 AS at FROM bakes WHERE state = 'queued')";

/// Begun bakes that wait for an instant later than ?2 are looked at now.
pub const HASTEN: &str = "
UPDATE bakes SET wake_at = ?1 WHERE finished_at IS NULL AND state <> 'queued' AND wake_at > ?2";

/// How many builders are in use, by region.
pub const BUSY_BUILDERS: &str = "
SELECT coalesce(region, ''), count(*) FROM bakes WHERE finished_at IS NULL AND state NOT IN ('queued', 'starting')
GROUP BY region";

/// Instances with an unfinished bake, whatever its state.
pub const OPEN_INSTANCES: &str = "
SELECT instance_id, id FROM bakes INDEXED BY bakes_open WHERE finished_at IS NULL ORDER BY id";

/// The number of the row for a slot.
pub const BAKE_OF_SLOT: &str = "
SELECT id FROM bakes WHERE schedule_id = ?1 AND instance_id = ?2 AND slot = ?3";

/// All pauses.
pub const ALL_PAUSES: &str = "SELECT schedule_id, since, until, reason, who FROM pauses";

/// A schedule is paused; a later word replaces an earlier one.
pub const SET_PAUSE: &str = "
INSERT INTO pauses (schedule_id, since, until, reason, who) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (schedule_id) DO UPDATE
SET since = excluded.since, until = excluded.until, reason = excluded.reason, who = excluded.who";

/// A schedule is no longer paused.
pub const LIFT_PAUSE: &str = "DELETE FROM pauses WHERE schedule_id = ?1";

/// A schedule has a clean slate.
pub const CLEAR_STREAK: &str = "DELETE FROM streaks WHERE schedule_id = ?1";

/// Bakes that ended: one more permanent failure in a row, or the end of the row. Under other settings it begins anew.
pub const COUNT_FAILURES: &str = "
INSERT INTO streaks (schedule_id, failures, settings)
SELECT b.schedule_id, max(step.value ->> 'permanent'), b.settings
FROM json_each(?1) AS step JOIN bakes b ON b.id = step.value ->> 'id'
WHERE step.value ->> 'permanent' IS NOT NULL AND b.settings IS NOT NULL
GROUP BY b.schedule_id
ON CONFLICT (schedule_id) DO UPDATE
SET failures = CASE WHEN excluded.failures = 0 THEN 0
                    WHEN settings = excluded.settings THEN failures + 1
                    ELSE 1 END,
    settings = excluded.settings";

/// Schedules with too many permanent failures in a row that are not paused yet.
pub const TOO_MANY_FAILURES: &str = "
SELECT s.schedule_id, s.failures FROM streaks s
WHERE s.failures >= ?1 AND s.schedule_id NOT IN (SELECT schedule_id FROM pauses)";

/// How often in a row a schedule failed, and the settings it had.
pub const ALL_STREAKS: &str = "SELECT schedule_id, settings FROM streaks WHERE failures > 0";

/// One more line of the audit.
pub const INSERT_AUDIT: &str = "INSERT INTO audit (at, who, action, detail) VALUES (?1, ?2, ?3, ?4)";

/// Rows that have to do with images: those with one, with a version or without an end, and those of some slots.
pub const RECORDED: &str = "
SELECT id, line_id, slot, state, finished_at IS NOT NULL AS ended, image_id FROM bakes
WHERE image_id IS NOT NULL OR version IS NOT NULL OR finished_at IS NULL
   OR slot IN (SELECT value FROM json_each(?1))
ORDER BY id";

/// Rows made from the tags of images. A slot that has its row keeps it.
pub const INSERT_REBUILT: &str = "
INSERT INTO bakes (schedule_id, schedule, instance_id, line_id, slot, trigger, covers, covers_from, config_hash, state,
                   progress, reason, version, image_name, image_id, version_id, created_at, finished_at)
SELECT value ->> 'schedule_id', value ->> 'schedule', value ->> 'instance_id', value ->> 'line_id', value ->> 'slot',
       value ->> 'trigger', 1, value ->> 'slot', value ->> 'config_hash', value ->> 'state', value ->> 'progress',
       value ->> 'reason', value ->> 'version', value ->> 'image_name', value ->> 'image_id', value ->> 'version_id',
       value ->> 'at', value ->> 'at'
FROM json_each(?1) WHERE true
ON CONFLICT (schedule_id, instance_id, slot) DO NOTHING";

/// Bakes that are unknown are looked at now.
pub const WAKE_UNKNOWN: &str = "
UPDATE bakes SET wake_at = min(wake_at, wake.value ->> 'at')
FROM json_each(?1) AS wake
WHERE bakes.id = wake.value ->> 'id' AND bakes.state = 'unknown' AND bakes.finished_at IS NULL";

/// The columns of a ledger row, as people and programs see them.
pub const LEDGER_COLUMNS: &str = "
SELECT id, schedule_id, schedule, instance_id, line_id, slot, trigger, covers, covers_from, state, reason, version,
       image_name, image_id, version_id, task_id, attempts, wake_at, created_at, finished_at, requested_by, config_hash
FROM bakes";

/// One row of the ledger.
pub const LEDGER_ROW: &str = "
SELECT id, schedule_id, schedule, instance_id, line_id, slot, trigger, covers, covers_from, state, reason, version,
       image_name, image_id, version_id, task_id, attempts, wake_at, created_at, finished_at, requested_by, config_hash
FROM bakes WHERE id = ?1";

/// The row of one schedule and instance for an instant: the one of that slot, or the first that stands for a range
/// which the instant lies in.
pub const ROW_COVERING: &str = "
SELECT id, schedule_id, schedule, instance_id, line_id, slot, trigger, covers, covers_from, state, reason, version,
       image_name, image_id, version_id, task_id, attempts, wake_at, created_at, finished_at, requested_by, config_hash
FROM bakes WHERE schedule_id = ?1 AND instance_id = ?2 AND slot >= ?3 AND covers_from <= ?3
ORDER BY slot LIMIT 1";

/// What is known of a schedule, by id or by name, also of those that are gone from the file.
pub const SEEN_OF: &str = "
SELECT schedule_id, schedule, instance_id, timing, accounted_to, known_since, removed_at
FROM targets WHERE schedule_id = ?1 OR schedule = ?1
ORDER BY schedule_id, instance_id";

/// The calls of one bake, in order.
pub const ATTEMPTS_OF: &str = "
SELECT stage, call, started_at, finished_at, outcome, code, http_status, request_id, message
FROM attempts WHERE bake_id = ?1 ORDER BY id";

/// What a bake was to do.
pub const SETTINGS_OF: &str = "
SELECT s.json FROM bakes b JOIN settings s ON s.hash = b.settings WHERE b.id = ?1";

/// The last version of every line.
pub const ALL_VERSIONS: &str = "SELECT line_id, last_version FROM lines";

/// The newest good image of each of some lines: one step down an index for each.
pub const NEWEST_GOOD: &str = "
SELECT b.line_id, b.slot, b.finished_at
FROM json_each(?1) AS line JOIN bakes b
  ON b.id = (SELECT id FROM bakes WHERE state = 'succeeded' AND line_id = line.value ORDER BY version DESC LIMIT 1)";

/// How many bakes are in each of some states, of slots since an instant.
pub const COUNTS_SINCE: &str = "
SELECT state, count(*) AS n FROM bakes WHERE state IN (SELECT value FROM json_each(?2)) AND slot >= ?1 GROUP BY state";

/// Good images of one line, or of all, newest first.
pub const GOOD_IMAGES: &str = "
SELECT id, schedule_id, schedule, instance_id, line_id, slot, trigger, covers, covers_from, state, reason, version,
       image_name, image_id, version_id, task_id, attempts, wake_at, created_at, finished_at, requested_by, config_hash
FROM bakes WHERE state = 'succeeded' AND (?1 IS NULL OR schedule_id = ?1 OR schedule = ?1)
ORDER BY line_id, version DESC";

/// How long the last bakes of every line took that succeeded, from the first call that stopped the instance or was to make
/// the image to the end. Rows that were made from the tags of images know nothing of calls and do not count.
pub const LAST_DURATIONS: &str = "
SELECT b.line_id, b.finished_at - (SELECT min(a.started_at) FROM attempts a
                                   WHERE a.bake_id = b.id AND a.stage IN ('stop', 'create')) AS took
FROM lines l JOIN bakes b ON b.id IN (
    SELECT g.id FROM bakes g
    WHERE g.line_id = l.line_id AND g.state = 'succeeded'
      AND EXISTS (SELECT 1 FROM attempts a WHERE a.bake_id = g.id AND a.stage IN ('stop', 'create'))
    ORDER BY g.version DESC LIMIT ?1)";

/// Bakes that are not over, with when each made its first call. Without a word about the index, SQLite walks through all
/// bakes for the sake of their order.
pub const OPEN_BAKES: &str = "
SELECT b.line_id, b.instance_id, coalesce(s.json ->> 'instance_region', '') AS region, b.slot, b.state, b.wake_at,
       b.give_up_at, (SELECT min(a.started_at) FROM attempts a
                      WHERE a.bake_id = b.id AND a.stage IN ('stop', 'create')) AS begun_at
FROM bakes b INDEXED BY bakes_open LEFT JOIN settings s ON s.hash = b.settings
WHERE b.finished_at IS NULL
ORDER BY b.slot, b.id";

/// Fresh statistics where tables have changed much.
pub const OPTIMIZE: &str = "PRAGMA optimize";

/// As much of the write-ahead log as nobody reads goes into the database.
pub const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// All whole statements, for the test that prepares them.
#[cfg(test)]
pub const ALL: &[&str] = &[
    INSERT_BAKES,
    INSERT_SETTINGS,
    UPDATE_BAKES,
    RAISE_VERSIONS,
    INSERT_ATTEMPTS,
    UPDATE_ACCOUNTED,
    UPSERT_TARGETS,
    REMOVE_TARGETS,
    ALL_TARGETS,
    DUE_BAKES,
    OVERDUE_QUEUED,
    NEXT_QUEUED,
    OPEN_BAKE,
    NEXT_WAKE,
    HASTEN,
    BUSY_BUILDERS,
    OPEN_INSTANCES,
    BAKE_OF_SLOT,
    ALL_PAUSES,
    SET_PAUSE,
    LIFT_PAUSE,
    CLEAR_STREAK,
    COUNT_FAILURES,
    TOO_MANY_FAILURES,
    ALL_STREAKS,
    INSERT_AUDIT,
    RECORDED,
    INSERT_REBUILT,
    WAKE_UNKNOWN,
    LEDGER_COLUMNS,
    LEDGER_ROW,
    ROW_COVERING,
    SEEN_OF,
    ATTEMPTS_OF,
    SETTINGS_OF,
    ALL_VERSIONS,
    NEWEST_GOOD,
    COUNTS_SINCE,
    GOOD_IMAGES,
    LAST_DURATIONS,
    OPEN_BAKES,
    QUICK_CHECK,
    NEWEST_MIGRATION,
    OPTIMIZE,
    CHECKPOINT,
];
