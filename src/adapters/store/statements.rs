//! All SQL texts, so that one test can prepare them. A batch is one JSON array: a thousand rows need one statement and
//! one trip to SQLite's thread.

/// Integrity of the file: one row `ok`, or up to ten rows with faults.
pub const QUICK_CHECK: &str = "PRAGMA quick_check(10)";

/// Rows for slots: those that are to be baked and those that were missed. A row that is there already stays as it is:
/// the unique key is what makes planning the same slot twice harmless.
pub const INSERT_BAKES: &str = "
INSERT INTO bakes (schedule_id, schedule, instance_id, line_id, slot, trigger, covers, covers_from, settings,
                             config_hash, state, progress, reason, reason_code, wake_at, give_up_at, created_at,
                             finished_at,
                             requested_by, region)
SELECT value ->> 'schedule_id', value ->> 'schedule', value ->> 'instance_id', value ->> 'line_id', value ->> 'slot',
       value ->> 'trigger', value ->> 'covers', value ->> 'covers_from', value ->> 'settings', value ->> 'config_hash',
       value ->> 'state', value ->> 'progress', value ->> 'reason', value ->> 'reason_code', value ->> 'wake_at',
       value ->> 'give_up_at',
       value ->> 'created_at', value ->> 'finished_at', value ->> 'requested_by', value ->> 'region'
FROM json_each(?1) WHERE true
ON CONFLICT (schedule_id, instance_id, slot) DO NOTHING
RETURNING id, schedule_id, instance_id, slot";

/// What bakes do, once for all that do the same.
pub const INSERT_SETTINGS: &str = "
INSERT INTO settings (hash, json)
SELECT value ->> 'hash', value ->> 'json' FROM json_each(?1) WHERE true
ON CONFLICT (hash) DO NOTHING";

/// Bakes that took a step. An ended row is never reopened.
pub const UPDATE_BAKES: &str = "
UPDATE bakes
SET state = step.value ->> 'state', progress = step.value ->> 'progress', reason = step.value ->> 'reason',
    reason_code = step.value ->> 'reason_code', cause = step.value ->> 'cause',
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

/// Every slot of these targets from `known_since` up to `accounted_to` has its row.
pub const UPDATE_ACCOUNTED: &str = "
UPDATE targets SET accounted_to = entry.value ->> 'accounted_to', known_since = entry.value ->> 'known_since'
FROM json_each(?1) AS entry
WHERE targets.schedule_id = entry.value ->> 'schedule_id' AND targets.instance_id = entry.value ->> 'instance_id'";

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

/// Targets with rows for slots that they are not accounted for up to: the clock was ahead when those were written. Rows that
/// were rebuilt from tags, which end without settings, do not count for the slots before them. One step down an index for each
/// target; CROSS JOIN keeps the order of the tables.
pub const SLOTS_AHEAD: &str = "
SELECT t.schedule_id, t.instance_id, max(b.slot)
FROM targets t CROSS JOIN bakes b
  ON b.schedule_id = t.schedule_id AND b.instance_id = t.instance_id AND b.slot > min(t.accounted_to, ?1)
WHERE b.trigger <> 'manual' AND (b.settings IS NOT NULL OR b.state = 'skipped')
GROUP BY t.schedule_id, t.instance_id";

/// The slots in (after, until] of some targets that have rows, other than the rows ?2.
pub const SLOTS_WITH_ROWS: &str = "
SELECT b.schedule_id, b.instance_id, b.covers_from, b.slot
FROM json_each(?1) AS span CROSS JOIN bakes b
  ON b.schedule_id = span.value ->> 'schedule_id' AND b.instance_id = span.value ->> 'instance_id'
     AND b.slot > span.value ->> 'after' AND b.covers_from <= span.value ->> 'until'
WHERE b.trigger <> 'manual' AND b.id NOT IN (SELECT value FROM json_each(?2))
ORDER BY b.slot";

/// Rows of some targets for slots in (after, until] that were written later than now, ?2, while the clock was ahead, made no
/// call and may give their slots up; and those that ended for that and never sent a create call. A skipped row may be as
/// young as ?3: it was written as far behind its slot as this tick may be, and a queued one of that age is baked as it is.
pub const ROWS_AHEAD: &str = "
SELECT b.id, b.schedule_id, b.instance_id, b.slot, b.covers_from, b.covers, b.created_at
FROM json_each(?1) AS span CROSS JOIN bakes b
  ON b.schedule_id = span.value ->> 'schedule_id' AND b.instance_id = span.value ->> 'instance_id'
     AND b.slot > span.value ->> 'after' AND b.covers_from <= span.value ->> 'until'
WHERE b.trigger <> 'manual' AND b.state IN ('queued', 'skipped')
  AND (b.reason_code = 'clock_ahead' AND b.progress ->> '$.work.evidence.first_sent' IS NULL
          AND b.progress ->> '$.work.evidence.earlier' IS NULL
       OR b.version IS NULL AND (b.created_at > ?2 OR b.state = 'skipped' AND b.created_at > ?3)
          AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.bake_id = b.id))
ORDER BY b.id";

/// Rows that give up all their slots.
pub const REMOVE_ROWS_AHEAD: &str = "
DELETE FROM bakes
WHERE id IN (SELECT value ->> 'id' FROM json_each(?1) WHERE value ->> 'covers' IS NULL) AND state IN ('queued', 'skipped')";

/// Remaining slots of rows that give up slots in the middle, as rows of their own: the earlier part.
pub const SPLIT_ROWS_AHEAD: &str = "
INSERT INTO bakes (schedule_id, schedule, instance_id, line_id, slot, trigger, covers, covers_from, settings, config_hash,
                   state, progress, reason, reason_code, created_at, finished_at)
SELECT b.schedule_id, b.schedule, b.instance_id, b.line_id, part.value ->> 'split_slot', b.trigger,
       part.value ->> 'split_covers', b.covers_from, b.settings, b.config_hash, b.state, b.progress, b.reason,
       b.reason_code, b.created_at, b.finished_at
FROM json_each(?1) AS part CROSS JOIN bakes b ON b.id = part.value ->> 'id'
WHERE part.value ->> 'split_slot' IS NOT NULL
ON CONFLICT (schedule_id, instance_id, slot) DO NOTHING";

/// And the part that stays in the row.
pub const SHRINK_ROWS_AHEAD: &str = "
UPDATE bakes SET slot = part.value ->> 'slot', covers = part.value ->> 'covers', covers_from = part.value ->> 'covers_from'
FROM json_each(?1) AS part
WHERE bakes.id = part.value ->> 'id' AND part.value ->> 'covers' IS NOT NULL";

/// Bakes in the queue for a slot later than ?1 end, because the clock was ahead when they were written: those without pending work
/// and never sent a create call. One that did waits for its slot, which no other row may take, unless that is later than ?5.
pub const END_QUEUED_AHEAD: &str = "
UPDATE bakes
SET state = 'skipped', reason = ?3, reason_code = 'clock_ahead', wake_at = NULL, finished_at = ?4,
    progress = json_object('state', 'ended', 'work', json(progress -> '$.kept.work'), 'end', json(?2))
WHERE state = 'queued' AND slot > ?1
  AND coalesce(progress ->> '$.kept.work.owes_start', 0) = 0 AND coalesce(progress ->> '$.kept.work.owes_hooks', 0) = 0
  AND (coalesce(progress ->> '$.kept.work.evidence.first_sent', progress ->> '$.kept.work.evidence.earlier') IS NULL
       OR slot > ?5)
RETURNING id, schedule, instance_id";

/// Until when such were written, if there are any.
pub const QUEUED_AHEAD: &str = "
SELECT max(created_at) FROM bakes INDEXED BY bakes_queued WHERE state = 'queued' AND slot > ?1";

/// Instants of images that are later than now were noted while the clock was ahead; from here on they count from now.
pub const CLAMP_IMAGES: &str = "
UPDATE images
SET available_at = min(available_at, ?1), missing_since = min(missing_since, ?1), verify_next = min(verify_next, ?1)
WHERE image_id IN (SELECT image_id FROM images INDEXED BY images_by_availability WHERE available_at > ?2
                   UNION ALL SELECT image_id FROM images INDEXED BY images_missing WHERE missing_since > ?2
                   UNION ALL SELECT image_id FROM images INDEXED BY images_to_verify
                             WHERE verify = 'due' AND fate <> 'deleted' AND verify_next > ?3)";

/// The same for the last inventory scan.
pub const CLAMP_SCAN: &str = "
UPDATE looks SET at = min(at, ?1), since = min(since, ?1) WHERE at > ?1 OR since > ?1";

/// Whether there are such.
pub const IMAGES_AHEAD: &str = "
SELECT EXISTS (SELECT 1 FROM images INDEXED BY images_by_availability WHERE available_at > ?1)
    OR EXISTS (SELECT 1 FROM images INDEXED BY images_missing WHERE missing_since > ?1)
    OR EXISTS (SELECT 1 FROM images INDEXED BY images_to_verify
               WHERE verify = 'due' AND fate <> 'deleted' AND verify_next > ?2)";

/// Last write of the history, by its newest rows.
pub const NEWEST_WRITE: &str = "
SELECT max(at) FROM (
    SELECT (SELECT at FROM audit ORDER BY id DESC LIMIT 1) AS at
    UNION ALL SELECT (SELECT max(created_at, coalesce(finished_at, created_at)) FROM bakes ORDER BY id DESC LIMIT 1)
    UNION ALL SELECT (SELECT finished_at FROM attempts ORDER BY id DESC LIMIT 1)
    UNION ALL SELECT (SELECT at FROM looks))";

/// Whether the audit has a line that begins so.
pub const AUDIT_BEGINS: &str = "
SELECT EXISTS (SELECT 1 FROM audit WHERE action = ?1 AND substr(detail, 1, length(?2)) = ?2)";

/// All targets, also those that are gone from the file.
pub const ALL_TARGETS: &str = "
SELECT schedule_id, instance_id, schedule, line_id, timing, accounted_to, known_since, removed_at FROM targets";

/// Started bakes that are due.
pub const DUE_BAKES: &str = "
SELECT b.id, b.schedule_id, b.schedule, b.instance_id, b.line_id, b.slot, b.trigger, b.give_up_at, b.progress,
       s.json AS settings, coalesce(l.last_version, 0) AS last_version
FROM bakes b INDEXED BY bakes_open JOIN settings s ON s.hash = b.settings LEFT JOIN lines l ON l.line_id = b.line_id
WHERE b.finished_at IS NULL AND b.wake_at <= ?1 AND b.state <> 'queued'
ORDER BY b.slot, b.id";

/// Queued bakes that have waited too long.
pub const OVERDUE_QUEUED: &str = "
SELECT b.id, b.schedule_id, b.schedule, b.instance_id, b.line_id, b.slot, b.trigger, b.give_up_at, b.progress,
       s.json AS settings, coalesce(l.last_version, 0) AS last_version
FROM bakes b JOIN settings s ON s.hash = b.settings LEFT JOIN lines l ON l.line_id = b.line_id
WHERE b.state = 'queued' AND b.give_up_at < ?1
ORDER BY b.slot, b.id";

/// Queued bakes that may begin, as many as there are free builders: the oldest slot first, the lower number first, one
/// for each instance that is free, none in regions that are full, and none whose deadline has passed: those are ended.
pub const NEXT_QUEUED: &str = "
SELECT b.id, b.schedule_id, b.schedule, b.instance_id, b.line_id, b.slot, b.trigger, b.give_up_at, b.progress,
       s.json AS settings, coalesce(l.last_version, 0) AS last_version
FROM bakes b JOIN settings s ON s.hash = b.settings LEFT JOIN lines l ON l.line_id = b.line_id
WHERE b.state = 'queued' AND b.wake_at <= ?1 AND b.slot <= ?1 AND (b.give_up_at IS NULL OR b.give_up_at >= ?1)
  AND coalesce(b.region, '') NOT IN (SELECT value FROM json_each(?3))
  AND b.instance_id NOT IN (SELECT instance_id FROM bakes WHERE finished_at IS NULL AND state <> 'queued')
  AND NOT EXISTS (SELECT 1 FROM bakes o
                  WHERE o.state = 'queued' AND o.instance_id = b.instance_id AND o.wake_at <= ?1 AND o.slot <= ?1
                    AND (o.give_up_at IS NULL OR o.give_up_at >= ?1)
                    AND (o.slot, o.id) < (b.slot, b.id))
ORDER BY b.slot, b.id
LIMIT ?2";

/// One bake, whatever its state.
pub const OPEN_BAKE: &str = "
SELECT b.id, b.schedule_id, b.schedule, b.instance_id, b.line_id, b.slot, b.trigger, b.give_up_at, b.progress,
       s.json AS settings, coalesce(l.last_version, 0) AS last_version
FROM bakes b JOIN settings s ON s.hash = b.settings LEFT JOIN lines l ON l.line_id = b.line_id
WHERE b.id = ?1";

/// Bakes that have begun and are not over.
pub const AT_WORK: &str = "
SELECT id, schedule, instance_id, coalesce(region, ''), state NOT IN ('starting', 'finishing')
FROM bakes INDEXED BY bakes_open WHERE finished_at IS NULL AND state <> 'queued'
ORDER BY id";

/// What the rows ?1 do not show, of those that are in the queue or whose next call begins something.
pub const QUEUE_DETAILS: &str = "
SELECT b.id, coalesce(b.region, ''), b.give_up_at, s.json ->> '$.timezone',
       (SELECT o.id FROM bakes o
        WHERE b.state = 'queued' AND o.state = 'queued' AND o.instance_id = b.instance_id AND o.wake_at <= b.wake_at
          AND (o.slot, o.id) < (b.slot, b.id)
        ORDER BY o.slot, o.id LIMIT 1)
FROM bakes b CROSS JOIN settings s ON s.hash = b.settings
WHERE b.id IN (SELECT value FROM json_each(?1))
  AND CASE b.state
      WHEN 'preparing' THEN b.progress ->> '$.hook' IS NULL
      WHEN 'stopping' THEN b.progress ->> '$.sent' = 0
      ELSE 1 END";

/// Whether a bake is not over.
pub const HAS_OPEN_BAKE: &str = "SELECT EXISTS (SELECT 1 FROM bakes WHERE finished_at IS NULL)";

/// The next instant at which an open bake is due.
pub const NEXT_WAKE: &str = "
SELECT min(at) FROM (
    SELECT min(wake_at) AS at FROM bakes WHERE finished_at IS NULL AND wake_at > ?1
    UNION ALL
    SELECT min(give_up_at) + 1 AS at FROM bakes WHERE state = 'queued')";

/// Started bakes that wait for an instant later than ?2 are due now, including those in the queue with a version.
pub const CLAMP_WAKEUPS_AFTER_CLOCK_STEP: &str = "
UPDATE bakes SET wake_at = ?1
WHERE finished_at IS NULL AND (state <> 'queued' OR version IS NOT NULL) AND wake_at > ?2";

/// Bakes whose last call was not answered are due at ?1, spread over ?2 milliseconds.
pub const WAKE_OUTAGE_WAITS: &str = "
UPDATE bakes SET wake_at = min(wake_at, ?1 + (id * 7919) % ?2)
WHERE finished_at IS NULL AND wake_at > ?1
  AND coalesce(progress ->> '$.work.waiting.on', progress ->> '$.kept.work.waiting.on') = 'outage'";

/// How many builders are in use, by region.
pub const BUSY_BUILDERS: &str = "
SELECT coalesce(region, ''), count(*) FROM bakes WHERE finished_at IS NULL AND state NOT IN ('queued', 'starting', 'finishing')
GROUP BY region";

/// Instances with an unfinished bake, whatever its state, but for those in the queue for a slot later than ?1 and the rows
/// in ?2, which give their slots up.
pub const OPEN_INSTANCES: &str = "
SELECT instance_id, id FROM bakes INDEXED BY bakes_open
WHERE finished_at IS NULL AND (state <> 'queued' OR slot <= ?1) AND id NOT IN (SELECT value FROM json_each(?2))
ORDER BY id";

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
FROM json_each(?1) AS step CROSS JOIN bakes b ON b.id = step.value ->> 'id'
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

/// Schedules that the daemon paused by itself, with a success since.
pub const RECOVERED_SCHEDULES: &str = "
SELECT p.schedule_id FROM pauses p JOIN streaks s ON s.schedule_id = p.schedule_id
WHERE p.who = ?1 AND s.failures = 0";

/// How often in a row a schedule failed, and the settings it had.
pub const ALL_STREAKS: &str = "SELECT schedule_id, settings FROM streaks WHERE failures > 0";

/// One more line of the audit.
pub const INSERT_AUDIT: &str = "INSERT INTO audit (at, who, action, detail) VALUES (?1, ?2, ?3, ?4)";

/// The columns of the audit.
pub const AUDIT: &str = "SELECT id, at, who, action, detail FROM audit";

/// Rows that have to do with images: those with one, with a version or without an end, and those of some slots. Whose image
/// is known to be deleted is not missing it.
pub const RECORDED: &str = "
SELECT id, line_id, slot,
       CASE WHEN EXISTS (SELECT 1 FROM images i WHERE i.image_id = bakes.image_id AND i.fate = 'deleted')
            THEN 'deleted' ELSE state END AS state,
       finished_at IS NOT NULL AS ended,
       state = 'skipped' AND reason_code = 'missed' AND version IS NULL AND image_id IS NULL AS missed,
       image_id FROM bakes
WHERE image_id IS NOT NULL OR version IS NOT NULL OR finished_at IS NULL
   OR slot IN (SELECT value FROM json_each(?1))
ORDER BY id";

/// Rows made from the tags of images. A slot that has its row keeps it.
pub const INSERT_REBUILT: &str = "
INSERT INTO bakes (schedule_id, schedule, instance_id, line_id, slot, trigger, covers, covers_from, config_hash, state,
                   progress, reason, reason_code, cause, version, image_name, image_id, version_id, created_at,
                   finished_at)
SELECT value ->> 'schedule_id', value ->> 'schedule', value ->> 'instance_id', value ->> 'line_id', value ->> 'slot',
       value ->> 'trigger', 1, value ->> 'slot', value ->> 'config_hash', value ->> 'state', value ->> 'progress',
       value ->> 'reason', value ->> 'reason_code', value ->> 'cause', value ->> 'version', value ->> 'image_name',
       value ->> 'image_id', value ->> 'version_id', value ->> 'at', value ->> 'at'
FROM json_each(?1) WHERE true
ON CONFLICT (schedule_id, instance_id, slot) DO NOTHING";

/// Rows of missed slots, which made no call, whose last slot gets a row made from the tags of its image.
pub const MISSED_BUT_MADE: &str = "
SELECT b.id, b.schedule_id, b.instance_id, rebuilt.value ->> 'image_id' AS image_id
FROM json_each(?1) AS rebuilt CROSS JOIN bakes b
  ON b.schedule_id = rebuilt.value ->> 'schedule_id' AND b.instance_id = rebuilt.value ->> 'instance_id'
     AND b.slot = rebuilt.value ->> 'slot'
WHERE b.state = 'skipped' AND b.reason_code = 'missed' AND b.version IS NULL AND b.image_id IS NULL
ORDER BY b.id";

/// Such rows of one slot go.
pub const REMOVE_MISSED_BUT_MADE: &str = "
DELETE FROM bakes WHERE id IN (SELECT value FROM json_each(?1)) AND covers = 1";

/// Such ranges end just before it, with one slot less. The slot before is not known here: the rule may be gone that made it.
pub const SHORTEN_MISSED_BUT_MADE: &str = "
UPDATE bakes SET covers = covers - 1, slot = slot - 1 WHERE id IN (SELECT value FROM json_each(?1)) AND covers > 1";

/// Ranges of missed slots no longer count those that get rows of their own from tags. Slots of the file are whole seconds;
/// those of manual bakes, which no range counts, are not.
macro_rules! uncount_rebuilt {
    ($rest:literal) => {
        concat!(
            "
WITH fresh AS (
    SELECT DISTINCT value ->> 'schedule_id' AS schedule_id, value ->> 'instance_id' AS instance_id,
                    value ->> 'slot' AS slot
    FROM json_each(?1)
    WHERE value ->> 'slot' % 1000 = 0
      AND NOT EXISTS (SELECT 1 FROM bakes b
                      WHERE b.schedule_id = value ->> 'schedule_id' AND b.instance_id = value ->> 'instance_id'
                        AND b.slot = value ->> 'slot')
), counted AS (
    SELECT b.id, b.covers, count(*) AS own
    FROM fresh CROSS JOIN bakes b
      ON b.schedule_id = fresh.schedule_id AND b.instance_id = fresh.instance_id AND b.slot > fresh.slot
         AND b.covers_from <= fresh.slot
    WHERE b.state = 'skipped'
    GROUP BY b.id
)
",
            $rest
        )
    };
}

/// Ranges of which nothing is left go.
pub const REMOVE_REBUILT_RANGES: &str = uncount_rebuilt!(
    "DELETE FROM bakes WHERE id IN (SELECT counted.id FROM counted WHERE counted.own >= counted.covers)"
);

/// The others count fewer.
pub const UNCOUNT_REBUILT: &str =
    uncount_rebuilt!("UPDATE bakes SET covers = bakes.covers - counted.own FROM counted WHERE bakes.id = counted.id");

/// Unknown bakes are due now.
pub const WAKE_UNKNOWN: &str = "
UPDATE bakes SET wake_at = min(wake_at, wake.value ->> 'at')
FROM json_each(?1) AS wake
WHERE bakes.id = wake.value ->> 'id' AND bakes.state = 'unknown' AND bakes.finished_at IS NULL";

/// Images that came out of those steps, seen AVAILABLE at ?2 by the cloud's time. The checks and regions of their bake's
/// settings begin with them.
pub const INSERT_IMAGES: &str = "
INSERT INTO images (image_id, line_id, schedule_id, instance_id, bake_id, version, version_id, image_name, slot,
                    available_at, verify, verify_next)
SELECT b.image_id, b.line_id, b.schedule_id, b.instance_id, b.id, coalesce(b.version, 0), b.version_id,
       coalesce(b.image_name, ''), b.slot, ?2,
       CASE WHEN json_array_length(s.json, '$.hooks.verify') > 0 THEN 'due' END,
       CASE WHEN json_array_length(s.json, '$.hooks.verify') > 0 THEN b.finished_at END
FROM json_each(?1) AS step CROSS JOIN bakes b ON b.id = step.value ->> 'id' LEFT JOIN settings s ON s.hash = b.settings
WHERE b.state = 'succeeded' AND b.image_id IS NOT NULL
ON CONFLICT (image_id) DO NOTHING";

/// Regions that those images are to be copied to.
pub const INSERT_DISTRIBUTIONS: &str = "
INSERT INTO distributions (image_id, region, bake_id, state, wake_at, created_at)
SELECT b.image_id, region.value, b.id, 'pending', b.finished_at, b.finished_at
FROM json_each(?1) AS step CROSS JOIN bakes b ON b.id = step.value ->> 'id' CROSS JOIN settings s ON s.hash = b.settings
     CROSS JOIN json_each(s.json, '$.regions') AS region
WHERE b.state = 'succeeded' AND b.image_id IS NOT NULL
ON CONFLICT (image_id, region) DO NOTHING";

/// Images made known by rows that were rebuilt from tags.
pub const INSERT_REBUILT_IMAGES: &str = "
INSERT INTO images (image_id, line_id, schedule_id, instance_id, bake_id, version, version_id, image_name, slot,
                    available_at)
SELECT b.image_id, b.line_id, b.schedule_id, b.instance_id, b.id, coalesce(b.version, 0), b.version_id,
       coalesce(b.image_name, ''), b.slot, b.finished_at
FROM json_each(?1) AS rebuilt CROSS JOIN bakes b
  ON b.schedule_id = rebuilt.value ->> 'schedule_id' AND b.instance_id = rebuilt.value ->> 'instance_id'
     AND b.slot = rebuilt.value ->> 'slot'
WHERE b.state = 'succeeded' AND b.image_id = rebuilt.value ->> 'image_id'
ON CONFLICT (image_id) DO NOTHING";

/// Images with what keeps them; the condition follows.
macro_rules! images {
    ($condition:literal) => {
        concat!(
            "
SELECT i.image_id, i.line_id, i.schedule_id, i.instance_id, i.bake_id, i.version, i.version_id, i.image_name, i.slot,
       i.available_at, i.fate, i.rule, i.marked_at, i.delete_after, i.tries, i.refused, i.deleted_at, i.available, i.ours,
       i.used_by, i.missing_since, i.verify, i.sent_at, i.judged, i.brake,
       coalesce((SELECT b.trigger <> 'manual' FROM bakes b WHERE b.id = i.bake_id), 0) AS of_slot, p.until AS pin_until, p.reason AS pin_reason, p.who AS pin_who,
       v.reason AS veto,
       coalesce((SELECT t.schedule FROM targets t WHERE t.schedule_id = i.schedule_id LIMIT 1), i.schedule_id) AS schedule,
       (SELECT json_group_array(c.channel) FROM channels c WHERE c.image_id = i.image_id AND c.line_id = i.line_id)
           AS in_channels,
       (SELECT json_group_array(d.region) FROM distributions d
        WHERE d.image_id = i.image_id AND d.finished_at IS NULL) AS copied_to
FROM images i LEFT JOIN pins p ON p.image_id = i.image_id LEFT JOIN vetoes v ON v.image_id = i.image_id
",
            $condition
        )
    };
}

/// Images that are not deleted, with what keeps them.
pub const PRESENT_IMAGES: &str = images!(
    "WHERE i.fate <> 'deleted'
ORDER BY i.line_id, i.version DESC, i.image_id"
);

/// The same of some lines.
pub const PRESENT_IMAGES_OF: &str = images!(
    "WHERE i.fate <> 'deleted' AND i.line_id IN (SELECT value FROM json_each(?1))
ORDER BY i.line_id, i.version DESC, i.image_id"
);

/// One image, deleted or not.
pub const ONE_IMAGE: &str = images!("WHERE i.image_id = ?1");

/// The newest result of each of some lines that concerns its images: a success, or a failure of the image or of
/// unknown cause. Of the bake that was written last, for a slot says nothing where the clock was ahead.
pub const NEWEST_RESULTS: &str = "
SELECT b.line_id, b.id, b.state
FROM json_each(?1) AS line CROSS JOIN bakes b
  ON b.id = (SELECT id FROM bakes WHERE line_id = line.value AND state IN ('succeeded', 'failed')
               AND (state = 'succeeded' OR coalesce(cause, 'image') = 'image')
             ORDER BY id DESC LIMIT 1)";

/// The last inventory scan.
pub const LAST_SCAN: &str = "SELECT at, problem, since, whole_at FROM looks";

/// Records an inventory scan.
pub const SET_SCAN: &str = "
INSERT INTO looks (id, at, problem, since, whole_at)
VALUES (1, ?1, ?2, CASE WHEN ?2 IS NOT NULL THEN ?1 END, CASE WHEN ?2 IS NULL THEN ?1 END)
ON CONFLICT (id) DO UPDATE
SET at = excluded.at, problem = excluded.problem, whole_at = coalesce(excluded.whole_at, whole_at),
    since = CASE WHEN excluded.problem IS NOT NULL THEN coalesce(since, excluded.at) END";

/// Results of an inventory scan.
pub const RECORD_SIGHTS: &str = "
UPDATE images
SET available = entry.value ->> 'available', ours = entry.value ->> 'ours', used_by = entry.value ->> 'used_by',
    seen_at = ?2, missing_since = CASE WHEN entry.value ->> 'listed' THEN NULL ELSE coalesce(missing_since, ?2) END
FROM json_each(?1) AS entry
WHERE images.image_id = entry.value ->> 'image_id'";

/// Lines with images that are marked or being deleted.
pub const LINES_WITH_MARKS: &str =
    "SELECT DISTINCT line_id FROM images INDEXED BY images_going WHERE fate IN ('marked', 'deleting')";

/// An image has gone by other hands. One that we may have deleted is searched for instead.
pub const IMAGE_VANISHED: &str = "
UPDATE images SET fate = 'deleted', rule = 'gone from the cloud, not by our doing', deleted_at = ?2, brake = NULL
WHERE image_id = ?1 AND fate NOT IN ('deleting', 'deleted')";

/// When the next marked image may be deleted that was not due yet at an instant.
pub const NEXT_DELETION: &str = "
SELECT min(delete_after) FROM images
WHERE fate IN ('marked', 'deleting') AND fate = 'marked' AND delete_after > ?1";

/// When the next image is to be searched for whose delete call was sent.
pub const NEXT_SEARCH: &str = "
SELECT min(at) FROM (SELECT min(delete_after) AS at FROM images WHERE fate IN ('marked', 'deleting') AND fate = 'deleting'
                     UNION ALL SELECT min(delete_after) FROM failed_images WHERE fate = 'deleting')";

/// Images whose delete call was sent, with no search that answered since.
pub const SENT_DELETIONS: &str = "
SELECT image_id, line_id, image_name, tries, coalesce(sent_at, marked_at, 0) AS sent_at, delete_after, 0 AS of_failed
FROM images WHERE fate IN ('marked', 'deleting') AND fate = 'deleting'
UNION ALL
SELECT image_id, line_id, image_name, tries, coalesce(sent_at, 0), delete_after, 1 FROM failed_images WHERE fate = 'deleting'
ORDER BY sent_at, image_id";

/// Marks an image, unless something keeps it now.
pub const MARK_IMAGE: &str = "
UPDATE images SET fate = 'marked', rule = ?2, delete_after = ?3, marked_at = ?4, refused = NULL, tries = 0, brake = ?5
WHERE image_id = ?1 AND fate IN ('kept', 'refused')
  AND NOT EXISTS (SELECT 1 FROM pins p WHERE p.image_id = images.image_id AND (p.until IS NULL OR p.until > ?4))
  AND NOT EXISTS (SELECT 1 FROM channels c WHERE c.image_id = images.image_id)";

/// An image is not marked any more.
pub const UNMARK_IMAGE: &str = "
UPDATE images SET fate = 'kept', rule = NULL, delete_after = NULL, marked_at = NULL, refused = NULL, tries = 0,
                  brake = NULL
WHERE image_id = ?1 AND fate = 'marked'";

/// A person has confirmed that marked images are deleted.
pub const CONFIRM_DELETIONS: &str = "
UPDATE images SET brake = 'confirmed'
WHERE fate = 'marked' AND image_id IN (SELECT value FROM json_each(?1))";

/// A marked image is about to be deleted: only if nothing keeps it and a newer good image of its line is left that is
/// not about to be deleted, and has no veto unless the image has one, too.
pub const BEGIN_DELETION: &str = "
UPDATE images SET fate = 'deleting', rule = ?2, delete_after = ?3, tries = tries + 1, sent_at = ?3, refused = NULL
WHERE image_id = ?1 AND fate = 'marked'
  AND NOT EXISTS (SELECT 1 FROM pins p WHERE p.image_id = images.image_id AND (p.until IS NULL OR p.until > ?3))
  AND NOT EXISTS (SELECT 1 FROM channels c WHERE c.image_id = images.image_id)
  AND NOT EXISTS (SELECT 1 FROM distributions d WHERE d.image_id = images.image_id AND d.finished_at IS NULL)
  AND EXISTS (SELECT 1 FROM images o
              WHERE o.line_id = images.line_id AND o.fate <> 'deleted' AND o.fate IN ('kept', 'refused') AND o.available = 1 AND o.ours = 1
                AND o.missing_since IS NULL AND o.version > images.version
                AND (NOT EXISTS (SELECT 1 FROM vetoes v WHERE v.image_id = o.image_id)
                     OR EXISTS (SELECT 1 FROM vetoes v WHERE v.image_id = images.image_id)))";

/// How a deletion goes on, or ended.
pub const END_DELETION: &str = "
UPDATE images SET fate = ?2, refused = ?3, delete_after = ?4, deleted_at = CASE ?2 WHEN 'deleted' THEN ?5 END
WHERE image_id = ?1 AND fate = 'deleting'";

/// A marked image is not deleted yet: why, and when it is tried next.
pub const PUT_OFF_DELETION: &str = "
UPDATE images SET refused = ?2, delete_after = max(delete_after, ?3) WHERE image_id = ?1 AND fate = 'marked'";

/// Users of an image, from a query about this image only.
pub const SET_USERS: &str = "UPDATE images SET used_by = ?2 WHERE image_id = ?1 AND used_by <> ?2";

/// Images were judged by a whole pass.
pub const SET_JUDGED: &str = "
UPDATE images SET judged = 1 WHERE judged = 0 AND image_id IN (SELECT value FROM json_each(?1))";

/// The rules by which lines were last judged.
pub const LINE_RULES: &str = "SELECT line_id, rules FROM line_rules";

/// Lines were judged by these rules.
pub const SET_LINE_RULES: &str = "
INSERT INTO line_rules (line_id, rules) SELECT value ->> 'line_id', value ->> 'rules' FROM json_each(?1) WHERE true
ON CONFLICT (line_id) DO UPDATE SET rules = excluded.rules";

/// Lines that have no rules any more begin anew when they get some.
pub const DROP_LINE_RULES: &str = "DELETE FROM line_rules WHERE line_id NOT IN (SELECT value FROM json_each(?1))";

/// How many images of each line were deleted since an instant that count for the brake.
pub const COUNTED_DELETIONS: &str = "
SELECT line_id, count(*) FROM images INDEXED BY images_deleted_counted
WHERE fate = 'deleted' AND brake = 'counted' AND deleted_at > ?1 GROUP BY line_id";

/// Limits that need a confirmation.
pub const BRAKES: &str = "SELECT line_id, since, brake FROM brakes ORDER BY line_id";

/// Records limits that need a confirmation. A known one keeps its date.
pub const SET_BRAKES: &str = "
INSERT INTO brakes (line_id, since, brake)
SELECT value ->> 'line_id', ?2, value -> 'brake' FROM json_each(?1) WHERE true
ON CONFLICT (line_id) DO UPDATE SET brake = excluded.brake";

/// Removes limits that are not exceeded any more.
pub const DROP_BRAKES: &str = "
DELETE FROM brakes WHERE line_id NOT IN (SELECT value ->> 'line_id' FROM json_each(?1))
                     AND line_id NOT IN (SELECT value FROM json_each(?2))";

/// Images that the list shows as CREATE_FAILED.
pub const SET_FAILED_IMAGES: &str = "
INSERT INTO failed_images (image_id, line_id, schedule_id, instance_id, version, image_name, slot, first_seen, last_seen)
SELECT value ->> 'image_id', value ->> 'line_id', value ->> 'schedule_id', value ->> 'instance_id', value ->> 'version',
       value ->> 'image_name', value ->> 'slot', ?2, ?2
FROM json_each(?1) WHERE true
ON CONFLICT (image_id) DO UPDATE
SET last_seen = excluded.last_seen, line_id = excluded.line_id,
    first_seen = CASE WHEN fate IN ('deleted', 'gone') THEN excluded.first_seen ELSE min(first_seen, excluded.first_seen) END,
    fate = CASE WHEN fate IN ('deleted', 'gone') THEN 'kept' ELSE fate END";

/// Images that it does not show so any more. Those that we may have deleted are searched for instead.
pub const DROP_FAILED_IMAGES: &str = "
UPDATE failed_images SET fate = 'gone'
WHERE fate NOT IN ('deleting', 'deleted', 'gone') AND image_id NOT IN (SELECT value ->> 'image_id' FROM json_each(?1))";

/// Images that the cloud shows, or showed when their bake ended, as CREATE_FAILED. The history has one as the image of a
/// bake, or as one that a bake gave up.
pub const FAILED_IMAGES: &str = "
SELECT f.image_id, f.line_id, f.schedule_id, f.instance_id, f.version, f.image_name, f.slot, f.first_seen, f.last_seen,
       f.fate, f.tries, f.delete_after, f.refused, b.id AS bake_id
FROM failed_images f
     LEFT JOIN bakes b ON b.schedule_id = f.schedule_id AND b.instance_id = f.instance_id AND b.slot = f.slot
               AND b.finished_at IS NOT NULL
               AND (b.image_id = f.image_id OR instr(b.progress, json_quote(f.image_id)) > 0)
WHERE f.fate NOT IN ('deleted', 'gone')
UNION ALL
SELECT b.image_id, b.line_id, b.schedule_id, b.instance_id, b.version, coalesce(b.image_name, ''), b.slot, NULL, NULL,
       'kept', 0, NULL, NULL, b.id
FROM bakes b INDEXED BY bakes_by_state
WHERE b.state = 'failed' AND b.reason_code = 'created_failed' AND b.image_id IS NOT NULL
  AND b.finished_at > coalesce((SELECT whole_at FROM looks), 0)
  AND NOT EXISTS (SELECT 1 FROM failed_images f WHERE f.image_id = b.image_id)
ORDER BY 2, 7 DESC, 1";

/// A CREATE_FAILED image is about to be deleted.
pub const BEGIN_FAILED_DELETION: &str = "
UPDATE failed_images SET fate = 'deleting', rule = ?2, delete_after = ?3, tries = tries + 1, sent_at = ?3, refused = NULL
WHERE image_id = ?1 AND fate = 'kept'
  AND NOT EXISTS (SELECT 1 FROM images i WHERE i.image_id = failed_images.image_id)
  AND NOT EXISTS (SELECT 1 FROM pins p WHERE p.image_id = failed_images.image_id AND (p.until IS NULL OR p.until > ?3))";

/// How the deletion of a CREATE_FAILED image goes on, or ended. A mark is nothing that it has.
pub const END_FAILED_DELETION: &str = "
UPDATE failed_images
SET fate = CASE ?2 WHEN 'marked' THEN 'kept' ELSE ?2 END, refused = ?3, delete_after = ?4,
    deleted_at = CASE ?2 WHEN 'deleted' THEN ?5 END
WHERE image_id = ?1 AND fate = 'deleting'";

/// A CREATE_FAILED image is not deleted yet.
pub const PUT_OFF_FAILED_DELETION: &str = "
UPDATE failed_images SET refused = ?2, delete_after = ?3 WHERE image_id = ?1 AND fate = 'kept'";

/// Images without a row, of slots since this history began, but for slots whose bake is not over.
pub const SET_UNRECORDED_IMAGES: &str = "
INSERT INTO unrecorded_images (image_id, line_id, schedule_id, instance_id, image_name, status, slot, found_at)
SELECT value ->> 'image_id', value ->> 'line_id', value ->> 'schedule_id', value ->> 'instance_id',
       value ->> 'image_name', value ->> 'status', value ->> 'slot', ?2
FROM json_each(?1)
WHERE value ->> 'slot' >= (SELECT min(known_since) FROM targets)
  AND NOT EXISTS (SELECT 1 FROM bakes b WHERE b.image_id = value ->> 'image_id')
  AND NOT EXISTS (SELECT 1 FROM images i WHERE i.image_id = value ->> 'image_id')
  AND NOT EXISTS (SELECT 1 FROM bakes b
                  WHERE b.schedule_id = value ->> 'schedule_id' AND b.instance_id = value ->> 'instance_id'
                    AND b.slot = value ->> 'slot'
                    AND (b.finished_at IS NULL OR instr(b.progress, json_quote(value ->> 'image_id')) > 0))
ON CONFLICT (image_id) DO UPDATE SET status = excluded.status";

/// Images that the list does not show any more.
pub const DROP_UNRECORDED_IMAGES: &str = "
DELETE FROM unrecorded_images WHERE image_id NOT IN (SELECT value ->> 'image_id' FROM json_each(?1))";

/// Images without a row, as of the last whole list and of what was recorded since.
pub const UNRECORDED_IMAGES: &str = "
SELECT u.image_id, u.line_id, u.image_name, u.status, u.slot, u.found_at
FROM unrecorded_images u
WHERE NOT EXISTS (SELECT 1 FROM bakes b WHERE b.image_id = u.image_id)
  AND NOT EXISTS (SELECT 1 FROM images i WHERE i.image_id = u.image_id)
ORDER BY u.found_at, u.image_id LIMIT ?1";

/// Which line an image belongs to, and what became of it.
pub const LINE_OF_IMAGE: &str = "SELECT line_id, fate FROM images WHERE image_id = ?1";

/// An image is given to a line, under the version that it has or the next one. Answers with the version.
pub const ADOPT_IMAGE: &str = "
INSERT INTO images (image_id, line_id, schedule_id, instance_id, version, version_id, image_name, slot, ours, available_at,
                    seen_at)
VALUES (?1, ?2, ?3, ?4,
        CASE WHEN ?5 IS NOT NULL AND NOT EXISTS (SELECT 1 FROM images WHERE line_id = ?2 AND version = ?5) THEN ?5
             ELSE 1 + max(coalesce((SELECT last_version FROM lines WHERE line_id = ?2), 0),
                          coalesce((SELECT max(version) FROM images WHERE line_id = ?2), 0)) END,
        ?6, ?7, ?8, ?9, ?10, ?10)
ON CONFLICT (image_id) DO UPDATE
SET line_id = excluded.line_id, schedule_id = excluded.schedule_id, instance_id = excluded.instance_id,
    version = excluded.version, image_name = excluded.image_name, slot = excluded.slot, ours = excluded.ours,
    fate = 'kept', rule = NULL, marked_at = NULL, delete_after = NULL, refused = NULL, deleted_at = NULL, tries = 0,
    available = 1, seen_at = excluded.seen_at, missing_since = NULL
RETURNING version";

/// A line's last version, raised; it never goes back.
pub const RAISE_VERSION: &str = "
INSERT INTO lines (line_id, last_version) VALUES (?1, ?2)
ON CONFLICT (line_id) DO UPDATE SET last_version = max(last_version, excluded.last_version)";

/// An image is pinned; a later word replaces an earlier one.
pub const SET_PIN: &str = "
INSERT INTO pins (image_id, since, until, reason, who) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (image_id) DO UPDATE
SET since = excluded.since, until = excluded.until, reason = excluded.reason, who = excluded.who";

/// An image is not pinned any more.
pub const LIFT_PIN: &str = "DELETE FROM pins WHERE image_id = ?1";

/// Lines whose channels are due.
pub const DUE_CHANNELS: &str = "SELECT line_id FROM channels_due WHERE at <= ?1 ORDER BY at, line_id LIMIT ?2";

/// Instant at which the channels of a line are due next.
pub const NEXT_CHANNELS: &str = "SELECT min(at) FROM channels_due";

/// Channels of these lines, and all that do not move by themselves with the images, are due now.
pub const QUEUE_CHANNELS: &str = "
INSERT INTO channels_due (line_id, at)
SELECT value, 0 FROM json_each(?1) UNION SELECT line_id, 0 FROM channels WHERE channel <> 'latest'
ON CONFLICT (line_id) DO UPDATE SET at = 0";

/// The channels of some lines were processed.
pub const CHANNELS_OBSERVED: &str = "DELETE FROM channels_due WHERE line_id IN (SELECT value FROM json_each(?1))";

/// Their next instant.
pub const CHANNELS_AGAIN: &str = "
INSERT INTO channels_due (line_id, at) SELECT value ->> 'line_id', value ->> 'at' FROM json_each(?1) WHERE true
ON CONFLICT (line_id) DO UPDATE SET at = min(at, excluded.at)";

/// Current targets of the channels of some lines.
pub const ASSIGNED_CHANNELS: &str = "
SELECT c.line_id, c.channel, c.image_id, i.version, c.above
FROM channels c LEFT JOIN images i ON i.image_id = c.image_id
WHERE c.line_id IN (SELECT value FROM json_each(?1))
ORDER BY c.line_id, c.channel";

/// Former targets, the last assignment first. `latest` needs none.
pub const PAST_OF_CHANNELS: &str = "
SELECT c.line_id, c.channel, h.image_id
FROM channels c JOIN channel_history h ON h.line_id = c.line_id AND h.channel = c.channel
WHERE c.line_id IN (SELECT value FROM json_each(?1)) AND c.channel <> 'latest' AND h.image_id IS NOT NULL
GROUP BY c.line_id, c.channel, h.image_id
ORDER BY max(h.id) DESC";

/// A channel points to an image, or becomes empty.
pub const SET_CHANNEL: &str = "
INSERT INTO channels (line_id, channel, image_id, above, since) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (line_id, channel) DO UPDATE
SET image_id = excluded.image_id, above = excluded.above, since = excluded.since";

/// There is no such channel any more.
pub const DROP_CHANNEL: &str = "DELETE FROM channels WHERE line_id = ?1 AND channel = ?2";

/// One more line of the history of channels.
pub const INSERT_CHANNEL_HISTORY: &str = "
INSERT INTO channel_history (at, line_id, channel, image_id, who, why) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// Nobody should use an image; a later word replaces an earlier one.
pub const SET_VETO: &str = "
INSERT INTO vetoes (image_id, at, reason, who) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (image_id) DO UPDATE SET at = excluded.at, reason = excluded.reason, who = excluded.who";

/// An image may be used again.
pub const LIFT_VETO: &str = "DELETE FROM vetoes WHERE image_id = ?1";

/// Current targets of all channels, with their assignment; of one schedule, or of all.
pub const CHANNELS_NOW: &str = "
SELECT c.line_id, c.channel, c.image_id, i.image_name, i.version_id, i.version, c.since, h.who, h.why
FROM channels c LEFT JOIN images i ON i.image_id = c.image_id
     LEFT JOIN channel_history h ON h.id = (SELECT max(id) FROM channel_history
                                            WHERE line_id = c.line_id AND channel = c.channel)
WHERE ?1 IS NULL OR c.line_id IN (SELECT line_id FROM targets WHERE schedule_id = ?1 OR schedule = ?1)
ORDER BY c.line_id, c.channel = 'latest' DESC, c.channel";

/// Every assignment that ever was, the last first; of one schedule, or of all.
pub const CHANNEL_HISTORY: &str = "
SELECT h.line_id, h.channel, h.image_id, i.image_name, i.version_id, i.version, h.at AS since, h.who, h.why
FROM channel_history h LEFT JOIN images i ON i.image_id = h.image_id
WHERE ?1 IS NULL OR h.line_id IN (SELECT line_id FROM targets WHERE schedule_id = ?1 OR schedule = ?1)
ORDER BY h.id DESC LIMIT ?2";

/// Copies that are due, or wait for an instant of a clock that was set back since.
pub const DUE_COPIES: &str = "
SELECT d.image_id, d.region, d.bake_id, d.doing, d.wake_at, i.version_id, b.schedule, b.line_id, s.json AS settings,
       CASE WHEN i.image_id IS NULL OR i.fate = 'deleted' THEN coalesce(i.rule, 'not in the history') END AS gone
FROM distributions d INDEXED BY distributions_open CROSS JOIN bakes b ON b.id = d.bake_id
     CROSS JOIN settings s ON s.hash = b.settings LEFT JOIN images i ON i.image_id = d.image_id
WHERE d.finished_at IS NULL AND (d.wake_at <= ?1 OR d.wake_at > ?2)
ORDER BY d.wake_at, d.image_id, d.region
LIMIT ?3";

/// Instant at which the next copy is due.
pub const NEXT_COPY: &str = "SELECT min(wake_at) FROM distributions WHERE finished_at IS NULL";

/// Copies that took a step. One that has ended is never reopened by a step.
pub const UPDATE_COPIES: &str = "
UPDATE distributions
SET state = step.value ->> 'state', doing = step.value ->> 'doing', tries = coalesce(step.value ->> 'tries', tries),
    wake_at = step.value ->> 'wake_at', progress = coalesce(step.value ->> 'progress', progress),
    reason = step.value ->> 'reason', task_id = coalesce(step.value ->> 'task_id', task_id),
    finished_at = step.value ->> 'finished_at'
FROM json_each(?1) AS step
WHERE distributions.image_id = step.value ->> 'image_id' AND distributions.region = step.value ->> 'region'
  AND distributions.finished_at IS NULL";

/// Failed copies of a bake's image are queued again, unless the image is deleted or being deleted.
pub const REOPEN_COPIES: &str = "
UPDATE distributions
SET state = 'pending', doing = NULL, tries = 0, wake_at = ?2, progress = NULL, reason = NULL, finished_at = NULL
WHERE bake_id = ?1 AND state = 'failed'
  AND EXISTS (SELECT 1 FROM images i WHERE i.image_id = distributions.image_id AND i.fate NOT IN ('deleting', 'deleted'))";

/// The copies of a bake's image.
pub const COPIES_OF: &str = "
SELECT region, state, tries, progress, reason, task_id, wake_at, created_at, finished_at
FROM distributions WHERE bake_id = ?1 ORDER BY region";

/// The regions that images were ever to be copied to.
pub const REPLICA_REGIONS: &str = "SELECT DISTINCT region FROM distributions ORDER BY region";

/// Bakes whose image could not be copied everywhere and is still there.
pub const FAILED_COPIES: &str = "
SELECT b.id, b.schedule, json_group_array(d.region) AS regions, min(d.reason) AS reason, min(d.finished_at) AS since
FROM distributions d INDEXED BY distributions_failed CROSS JOIN bakes b ON b.id = d.bake_id
     CROSS JOIN images i ON i.image_id = d.image_id
WHERE d.state = 'failed' AND i.fate <> 'deleted' AND i.missing_since IS NULL
  -- A newer image of the line that is in the region replaces it.
  AND NOT EXISTS (SELECT 1 FROM images n CROSS JOIN distributions e ON e.image_id = n.image_id
                  WHERE n.line_id = i.line_id AND n.version > i.version AND e.region = d.region AND e.state = 'done')
GROUP BY b.id ORDER BY b.id DESC LIMIT ?1";

/// Images whose check is due.
pub const DUE_CHECKS: &str = "
SELECT image_id, bake_id, line_id, version, verify_tries FROM images
WHERE verify = 'due' AND fate <> 'deleted' AND coalesce(verify_next, 0) <= ?1
ORDER BY verify_next, image_id";

/// When the next check is due.
pub const NEXT_CHECK: &str =
    "SELECT min(coalesce(verify_next, 0)) FROM images WHERE verify = 'due' AND fate <> 'deleted'";

/// A check ended, or is put off.
pub const END_CHECK: &str = "
UPDATE images SET verify = ?2, verify_tries = verify_tries + 1, verify_next = ?3 WHERE image_id = ?1 AND verify = 'due'";

/// The columns of a row of the history, as people and programs see them.
pub const BAKE_ROW_COLUMNS: &str = "
SELECT id, schedule_id, schedule, instance_id, line_id, slot, trigger, covers, covers_from, state, reason, reason_code,
       cause, version, image_name, image_id, version_id, task_id, attempts, wake_at, created_at, finished_at,
       requested_by, config_hash
FROM bakes";

/// One row of the history.
pub const BAKE_ROW: &str = "
SELECT id, schedule_id, schedule, instance_id, line_id, slot, trigger, covers, covers_from, state, reason, reason_code,
       cause, version, image_name, image_id, version_id, task_id, attempts, wake_at, created_at, finished_at,
       requested_by, config_hash
FROM bakes WHERE id = ?1";

/// The highest number of a bake.
pub const NEWEST_BAKE: &str = "SELECT max(id) FROM bakes";

/// The row of one schedule and instance for an instant: the one of that slot, or the first that covers a range
/// which the instant lies in.
pub const ROW_COVERING: &str = "
SELECT id, schedule_id, schedule, instance_id, line_id, slot, trigger, covers, covers_from, state, reason, reason_code,
       cause, version, image_name, image_id, version_id, task_id, attempts, wake_at, created_at, finished_at,
       requested_by, config_hash
FROM bakes WHERE schedule_id = ?1 AND instance_id = ?2 AND slot >= ?3 AND covers_from <= ?3
ORDER BY slot LIMIT 1";

/// What is known of a schedule, by id or by name, also of those that are gone from the file.
pub const SEEN_OF: &str = "
SELECT schedule_id, schedule, instance_id, timing, accounted_to, known_since, removed_at
FROM targets WHERE schedule_id = ?1 OR schedule = ?1
ORDER BY schedule_id, instance_id";

/// Every name and id of a schedule that was ever seen.
pub const SCHEDULE_WORDS: &str = "SELECT schedule FROM targets UNION SELECT schedule_id FROM targets";

/// The calls of one bake, in order.
pub const ATTEMPTS_OF: &str = "
SELECT stage, call, started_at, finished_at, outcome, code, http_status, request_id, message
FROM attempts WHERE bake_id = ?1 ORDER BY id";

/// What a bake was to do.
pub const SETTINGS_OF: &str = "
SELECT s.json FROM bakes b JOIN settings s ON s.hash = b.settings WHERE b.id = ?1";

/// The last version of every line.
pub const ALL_VERSIONS: &str = "SELECT line_id, last_version FROM lines";

/// Slots without the image that they should have brought, as the index `bakes_lost` has them.
macro_rules! lost {
    () => {
        "(state = 'failed'
   OR state = 'skipped' AND trigger <> 'manual'
      AND coalesce(reason_code, '') NOT IN ('paused', 'calendar', 'vetoed_by_hook', 'cancelled', 'superseded',
                                            'clock_ahead', 'observe'))"
    };
}

/// Images that are good as of the last scan: the cloud has them, they are ours or were given to the line by a person,
/// nobody vetoes them, and no check of them is due.
macro_rules! good {
    () => {
        "fate <> 'deleted' AND missing_since IS NULL AND available = 1 AND (ours = 1 OR bake_id IS NULL)
       AND verify IS NOT 'due' AND NOT EXISTS (SELECT 1 FROM vetoes WHERE vetoes.image_id = images.image_id)"
    };
}

/// Lines with something to judge: those that have lost a slot since their last good image, those without one, and those
/// that are wanted in any case. An adopted image is as old as its slot, whenever it was adopted.
pub const LINES_TO_JUDGE: &str = concat!(
    "
SELECT * FROM (
    SELECT line.value ->> 'id' AS line_id,
           CASE WHEN good.bake_id IS NULL THEN good.slot ELSE good.available_at END AS good_at,
           min(good.slot, good.available_at) AS made,
           (SELECT covers_from FROM bakes INDEXED BY bakes_lost
            WHERE line_id = line.value ->> 'id' AND ",
    lost!(),
    "
              AND slot >= coalesce(CASE WHEN good.bake_id IS NULL THEN good.slot ELSE good.available_at END, ?2)
            ORDER BY slot LIMIT 1) AS first_lost,
           line.value ->> 'always' AS always
    FROM json_each(?1) AS line LEFT JOIN images AS good
      ON good.image_id = (SELECT image_id FROM images INDEXED BY images_present WHERE line_id = line.value ->> 'id' AND ",
    good!(),
    "
                          ORDER BY version DESC LIMIT 1))
WHERE good_at IS NULL OR first_lost IS NOT NULL OR always"
);

/// The slots that some lines have lost since an instant each. The last of them; and as a JSON list, of at most ?2 rows:
/// the slots that they cover, how many they are, and how many have another reason than that the daemon could not run.
pub const LOST_SLOTS: &str = concat!(
    "
SELECT line.value ->> 'id' AS line_id, b.id, b.slot, b.state, b.reason_code, coalesce(b.reason, '') AS reason, b.image_id,
       (SELECT json_array(coalesce(sum(covers) FILTER (WHERE trigger <> 'manual'), 0), count(*),
                          count(*) FILTER (WHERE reason_code IS NOT 'missed'))
        FROM (SELECT covers, trigger, reason_code FROM bakes INDEXED BY bakes_lost
              WHERE line_id = line.value ->> 'id' AND slot >= line.value ->> 'since' AND ",
    lost!(),
    "
              ORDER BY slot DESC LIMIT ?2)) AS counts
FROM json_each(?1) AS line CROSS JOIN bakes b
  ON b.id = (SELECT id FROM bakes INDEXED BY bakes_lost
             WHERE line_id = line.value ->> 'id' AND slot >= line.value ->> 'since' AND ",
    lost!(),
    "
             ORDER BY slot DESC, id DESC LIMIT 1)"
);

/// Since when some lines have no good image although a bake made one: what became of the last. No row for one whose check
/// is still due.
pub const NONE_GOOD_SINCE: &str = "
SELECT line.value AS line_id, coalesce(v.at, i.missing_since, i.deleted_at, b.finished_at, b.slot) AS since
FROM json_each(?1) AS line CROSS JOIN bakes b
  ON b.id = (SELECT id FROM bakes INDEXED BY bakes_good
             WHERE line_id = line.value AND state = 'succeeded' ORDER BY version DESC LIMIT 1)
     LEFT JOIN images i ON i.image_id = b.image_id LEFT JOIN vetoes v ON v.image_id = b.image_id
WHERE i.verify IS NOT 'due'";

/// Images that did not pass their check and are vetoed, with no good image after them; the newest of each line first.
pub const UNVERIFIED_IMAGES: &str = concat!(
    "
SELECT f.line_id, f.image_id, f.version, f.slot, v.reason
FROM images f INDEXED BY images_check_failed JOIN vetoes v ON v.image_id = f.image_id
WHERE f.verify = 'failed' AND f.fate <> 'deleted' AND f.missing_since IS NULL
  AND NOT EXISTS (SELECT 1 FROM images WHERE line_id = f.line_id AND version > f.version AND ",
    good!(),
    ")
ORDER BY f.line_id, f.version DESC"
);

/// How the check of an image went, and why somebody vetoes it.
pub const CHECK_OF_IMAGE: &str = "
SELECT i.verify, v.reason FROM images i LEFT JOIN vetoes v ON v.image_id = i.image_id WHERE i.image_id = ?1";

/// The newest good image of every line that has one, with the channels that point to it.
pub const LINES: &str = concat!(
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
pub const COUNTS_SINCE: &str = "
SELECT state, count(*) AS n FROM bakes WHERE state IN (SELECT value FROM json_each(?2)) AND slot >= ?1 GROUP BY state";

/// How long the last bakes of every line took that succeeded, from the first call that stopped the instance or was to make
/// the image to the end. Rows that were made from the tags of images know nothing of calls and do not count.
pub const LAST_DURATIONS: &str = "
SELECT b.line_id, max(0, b.finished_at - (SELECT min(a.started_at) FROM attempts a
                                          WHERE a.bake_id = b.id AND a.stage IN ('stop', 'create'))) AS took
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

/// Bakes that stopped their instance and have not seen it running since.
pub const PENDING_RESTARTS: &str = "
SELECT id, schedule, instance_id, progress FROM bakes INDEXED BY bakes_open
WHERE finished_at IS NULL AND progress ->> '$.work.owes_start'
ORDER BY id";
/// The marks of the last start.
pub const LINEAGE: &str = "SELECT run, steps, stopped, unsettled FROM lineage";

/// Whether no bake and no version is known.
pub const IS_EMPTY: &str = "SELECT NOT EXISTS (SELECT 1 FROM bakes) AND NOT EXISTS (SELECT 1 FROM lines)";

/// The marks of a start.
pub const BEGIN_RUN: &str = "
INSERT INTO lineage (id, run, steps, stopped, unsettled) VALUES (1, ?1, ?2, 0, ?3)
ON CONFLICT (id) DO UPDATE SET run = excluded.run, steps = excluded.steps, stopped = 0, unsettled = excluded.unsettled";

/// One more transaction of this start.
pub const COUNT_STEP: &str = "UPDATE lineage SET steps = steps + 1 WHERE run = ?1 RETURNING steps";

/// The mark of an orderly end.
pub const END_RUN: &str = "UPDATE lineage SET steps = steps + 1, stopped = 1 WHERE run = ?1 RETURNING steps";

/// The history is up to date with the cloud.
pub const SETTLE: &str = "UPDATE lineage SET unsettled = 'continued'";

/// No start has been made on it.
pub const FORGET_RUN: &str = "DELETE FROM lineage";

/// The tables of the database.
pub const TABLE_NAMES: &str = "SELECT name FROM sqlite_schema WHERE type = 'table'";

/// All migrations that were carried out.
pub const APPLIED_MIGRATIONS: &str = "SELECT version, checksum, success FROM _sqlx_migrations ORDER BY version";

/// All objects of the schema with the statements that make them, but for those of SQLite and of the migrations.
pub const SCHEMA_OBJECTS: &str = "
SELECT type, name, sql FROM sqlite_schema
WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite^_%' ESCAPE '^' AND name <> '_sqlx_migrations'";

/// The last migration that was carried out.
pub const MIGRATION: &str = "SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success";

/// The columns of a table, each with its place in the primary key, or 0.
pub const COLUMNS_OF: &str = "SELECT name, pk FROM pragma_table_info(?1) ORDER BY cid";

/// The whole database, as it is at one moment, into a new file.
pub const COPY_INTO: &str = "VACUUM INTO ?1";

/// `ok`, or what is wrong with pages and indexes.
pub const INTEGRITY: &str = "PRAGMA integrity_check";

/// Rows that refer to rows that are not there.
pub const ORPHANS: &str = "SELECT count(*) FROM pragma_foreign_key_check";

/// Fresh statistics where tables have changed much.
pub const OPTIMIZE: &str = "PRAGMA optimize";

/// As much of the write-ahead log as nobody reads goes into the database.
pub const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// A number that a database's header can have, and that none has by itself.
pub const RANDOM_NUMBER: &str = "SELECT abs(random() % 2147483646) + 1";

/// Gives a database the number that a new one has.
pub const TAKE_NUMBER_OFF: &str = "PRAGMA user_version = 0";

/// Events of a transaction. The wording and the facts were composed by whoever made them true.
pub const INSERT_EVENTS: &str = "
INSERT INTO events (at, type, severity, subject_kind, subject_id, since, message, command, data)
SELECT value ->> 'at', value ->> 'type', value ->> 'severity', value ->> 'subject_kind', value ->> 'subject_id',
       value ->> 'since', value ->> 'message', value ->> 'command', value -> 'data'
FROM json_each(?1)";

/// Events; the conditions are appended.
pub const EVENTS: &str = "
SELECT id, type, at, severity, subject_kind, subject_id, since, message, command, data FROM events";

/// Number of the newest event.
pub const NEWEST_EVENT: &str = "SELECT coalesce(max(id), 0) FROM events";

/// The oldest events, at most ?3 of them: those before ?1, and those beyond the newest ?2.
pub const PRUNE_EVENTS: &str = "
DELETE FROM events WHERE id IN (
    SELECT id FROM (SELECT id, at FROM events ORDER BY id LIMIT ?3)
    WHERE at < ?1 OR id <= (SELECT max(id) FROM events) - ?2)";

/// The problems that stood at the last comparison.
pub const STANDING_PROBLEMS: &str = "
SELECT code, subject_kind, subject_id, since, severity, message, command,
       acknowledged_by, acknowledged_at, acknowledged_until, acknowledged_reason
FROM problems";

/// A problem that began, or whose severity changed. Its acknowledgement stays.
pub const SET_PROBLEM: &str = "
INSERT INTO problems (code, subject_kind, subject_id, since, severity, message, command)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (code, subject_kind, subject_id)
DO UPDATE SET since = excluded.since, severity = excluded.severity, message = excluded.message, command = excluded.command";

/// A problem that ended.
pub const DROP_PROBLEM: &str = "DELETE FROM problems WHERE code = ?1 AND subject_kind = ?2 AND subject_id = ?3";

/// Acknowledgement of a problem; its end if the values are NULL.
pub const ACKNOWLEDGE_PROBLEM: &str = "
UPDATE problems
SET acknowledged_by = ?4, acknowledged_at = ?5, acknowledged_until = ?6, acknowledged_reason = ?7
WHERE code = ?1 AND subject_kind = ?2 AND subject_id = ?3";

/// All whole statements, for the test that prepares them.
#[cfg(test)]
pub const ALL: &[&str] = &[
    LINEAGE,
    IS_EMPTY,
    BEGIN_RUN,
    COUNT_STEP,
    END_RUN,
    SETTLE,
    FORGET_RUN,
    INSERT_BAKES,
    INSERT_EVENTS,
    EVENTS,
    NEWEST_EVENT,
    PRUNE_EVENTS,
    STANDING_PROBLEMS,
    SET_PROBLEM,
    DROP_PROBLEM,
    ACKNOWLEDGE_PROBLEM,
    INSERT_SETTINGS,
    UPDATE_BAKES,
    RAISE_VERSIONS,
    INSERT_ATTEMPTS,
    INSERT_IMAGES,
    INSERT_DISTRIBUTIONS,
    INSERT_REBUILT_IMAGES,
    PRESENT_IMAGES,
    PRESENT_IMAGES_OF,
    ONE_IMAGE,
    NEWEST_RESULTS,
    LAST_SCAN,
    SET_SCAN,
    RECORD_SIGHTS,
    NEXT_DELETION,
    NEXT_SEARCH,
    SENT_DELETIONS,
    CONFIRM_DELETIONS,
    PUT_OFF_DELETION,
    SET_USERS,
    SET_JUDGED,
    LINE_RULES,
    SET_LINE_RULES,
    DROP_LINE_RULES,
    COUNTED_DELETIONS,
    BRAKES,
    SET_BRAKES,
    DROP_BRAKES,
    SET_FAILED_IMAGES,
    DROP_FAILED_IMAGES,
    FAILED_IMAGES,
    BEGIN_FAILED_DELETION,
    END_FAILED_DELETION,
    PUT_OFF_FAILED_DELETION,
    SET_UNRECORDED_IMAGES,
    DROP_UNRECORDED_IMAGES,
    UNRECORDED_IMAGES,
    LINES_WITH_MARKS,
    IMAGE_VANISHED,
    MARK_IMAGE,
    UNMARK_IMAGE,
    BEGIN_DELETION,
    END_DELETION,
    LINE_OF_IMAGE,
    ADOPT_IMAGE,
    RAISE_VERSION,
    SET_PIN,
    LIFT_PIN,
    DUE_CHANNELS,
    NEXT_CHANNELS,
    QUEUE_CHANNELS,
    CHANNELS_OBSERVED,
    CHANNELS_AGAIN,
    ASSIGNED_CHANNELS,
    PAST_OF_CHANNELS,
    SET_CHANNEL,
    DROP_CHANNEL,
    INSERT_CHANNEL_HISTORY,
    SET_VETO,
    LIFT_VETO,
    CHANNELS_NOW,
    CHANNEL_HISTORY,
    DUE_COPIES,
    NEXT_COPY,
    UPDATE_COPIES,
    REOPEN_COPIES,
    COPIES_OF,
    FAILED_COPIES,
    DUE_CHECKS,
    NEXT_CHECK,
    END_CHECK,
    UNVERIFIED_IMAGES,
    LINES_TO_JUDGE,
    LOST_SLOTS,
    NONE_GOOD_SINCE,
    CHECK_OF_IMAGE,
    UPDATE_ACCOUNTED,
    SLOTS_AHEAD,
    SLOTS_WITH_ROWS,
    ROWS_AHEAD,
    REMOVE_ROWS_AHEAD,
    SPLIT_ROWS_AHEAD,
    SHRINK_ROWS_AHEAD,
    END_QUEUED_AHEAD,
    QUEUED_AHEAD,
    CLAMP_IMAGES,
    CLAMP_SCAN,
    IMAGES_AHEAD,
    NEWEST_WRITE,
    AUDIT_BEGINS,
    UPSERT_TARGETS,
    REMOVE_TARGETS,
    ALL_TARGETS,
    DUE_BAKES,
    OVERDUE_QUEUED,
    NEXT_QUEUED,
    OPEN_BAKE,
    AT_WORK,
    QUEUE_DETAILS,
    HAS_OPEN_BAKE,
    NEXT_WAKE,
    CLAMP_WAKEUPS_AFTER_CLOCK_STEP,
    WAKE_OUTAGE_WAITS,
    BUSY_BUILDERS,
    OPEN_INSTANCES,
    BAKE_OF_SLOT,
    ALL_PAUSES,
    SET_PAUSE,
    LIFT_PAUSE,
    CLEAR_STREAK,
    COUNT_FAILURES,
    TOO_MANY_FAILURES,
    RECOVERED_SCHEDULES,
    ALL_STREAKS,
    INSERT_AUDIT,
    AUDIT,
    SCHEDULE_WORDS,
    RECORDED,
    MISSED_BUT_MADE,
    REMOVE_MISSED_BUT_MADE,
    SHORTEN_MISSED_BUT_MADE,
    REMOVE_REBUILT_RANGES,
    UNCOUNT_REBUILT,
    INSERT_REBUILT,
    WAKE_UNKNOWN,
    BAKE_ROW_COLUMNS,
    BAKE_ROW,
    NEWEST_BAKE,
    ROW_COVERING,
    SEEN_OF,
    ATTEMPTS_OF,
    SETTINGS_OF,
    ALL_VERSIONS,
    LINES,
    COUNTS_SINCE,
    LAST_DURATIONS,
    OPEN_BAKES,
    PENDING_RESTARTS,
    TABLE_NAMES,
    APPLIED_MIGRATIONS,
    SCHEMA_OBJECTS,
    MIGRATION,
    COLUMNS_OF,
    COPY_INTO,
    INTEGRITY,
    ORPHANS,
    QUICK_CHECK,
    OPTIMIZE,
    CHECKPOINT,
    RANDOM_NUMBER,
    TAKE_NUMBER_OFF,
    LEARNED,
    LEARN,
    UNLEARN,
];

/// What was learned of the cloud under a name.
pub const LEARNED: &str = "SELECT value FROM learned WHERE name = ?1";

/// Something was learned; a later word replaces an earlier one.
pub const LEARN: &str = "
INSERT INTO learned (name, value, at) VALUES (?1, ?2, ?3)
ON CONFLICT (name) DO UPDATE SET value = excluded.value, at = excluded.at";

/// Something turned out not to be so.
pub const UNLEARN: &str = "DELETE FROM learned WHERE name = ?1";
