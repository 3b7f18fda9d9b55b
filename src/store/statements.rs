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
                             config_hash, state, progress, reason, reason_code, wake_at, give_up_at, created_at,
                             finished_at,
                             requested_by, region)
SELECT value ->> 'schedule_id', value ->> 'schedule', value ->> 'instance_id', value ->> 'line_id', value ->> 'slot',
       value ->> 'trigger', value ->> 'covers', value ->> 'covers_from', value ->> 'settings', value ->> 'config_hash',
       value ->> 'state', value ->> 'progress', value ->> 'reason', value ->> 'reason_code', value ->> 'wake_at',
       value ->> 'give_up_at',
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
    reason_code = step.value ->> 'reason_code',
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
SELECT b.id, b.schedule_id, b.schedule, b.instance_id, b.line_id, b.slot, b.trigger, b.give_up_at, b.progress,
       s.json AS settings, coalesce(l.last_version, 0) AS last_version
FROM bakes b JOIN settings s ON s.hash = b.settings LEFT JOIN lines l ON l.line_id = b.line_id
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
WHERE b.state = 'queued' AND b.wake_at <= ?1 AND (b.give_up_at IS NULL OR b.give_up_at >= ?1)
  AND coalesce(b.region, '') NOT IN (SELECT value FROM json_each(?3))
  AND b.instance_id NOT IN (SELECT instance_id FROM bakes WHERE finished_at IS NULL AND state <> 'queued')
  AND NOT EXISTS (SELECT 1 FROM bakes o
                  WHERE o.state = 'queued' AND o.instance_id = b.instance_id AND o.wake_at <= ?1
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

/// The next instant at which an unfinished bake wants to be looked at.
pub const NEXT_WAKE: &str = "
SELECT min(at) FROM (
    SELECT min(wake_at) AS at FROM bakes WHERE finished_at IS NULL AND wake_at > ?1
    UNION ALL
    SELECT min(give_up_at) + 1 AS at FROM bakes WHERE state = 'queued')";

/// Begun bakes that wait for an instant later than ?2 are looked at now; those with a version are begun, also where they
/// wait in the queue.
pub const HASTEN: &str = "
UPDATE bakes SET wake_at = ?1
WHERE finished_at IS NULL AND (state <> 'queued' OR version IS NOT NULL) AND wake_at > ?2";

/// How many builders are in use, by region.
pub const BUSY_BUILDERS: &str = "
SELECT coalesce(region, ''), count(*) FROM bakes WHERE finished_at IS NULL AND state NOT IN ('queued', 'starting', 'finishing')
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

/// The columns of the audit.
pub const AUDIT: &str = "SELECT id, at, who, action, detail FROM audit";

/// Rows that have to do with images: those with one, with a version or without an end, and those of some slots. Whose image
/// is known to be deleted is not missing it.
pub const RECORDED: &str = "
SELECT id, line_id, slot,
       CASE WHEN EXISTS (SELECT 1 FROM images i WHERE i.image_id = bakes.image_id AND i.fate = 'deleted')
            THEN 'deleted' ELSE state END AS state,
       finished_at IS NOT NULL AS ended, image_id FROM bakes
WHERE image_id IS NOT NULL OR version IS NOT NULL OR finished_at IS NULL
   OR slot IN (SELECT value FROM json_each(?1))
ORDER BY id";

/// Rows made from the tags of images. A slot that has its row keeps it.
pub const INSERT_REBUILT: &str = "
INSERT INTO bakes (schedule_id, schedule, instance_id, line_id, slot, trigger, covers, covers_from, config_hash, state,
                   progress, reason, reason_code, version, image_name, image_id, version_id, created_at, finished_at)
SELECT value ->> 'schedule_id', value ->> 'schedule', value ->> 'instance_id', value ->> 'line_id', value ->> 'slot',
       value ->> 'trigger', 1, value ->> 'slot', value ->> 'config_hash', value ->> 'state', value ->> 'progress',
       value ->> 'reason', value ->> 'reason_code', value ->> 'version', value ->> 'image_name', value ->> 'image_id',
       value ->> 'version_id', value ->> 'at', value ->> 'at'
FROM json_each(?1) WHERE true
ON CONFLICT (schedule_id, instance_id, slot) DO NOTHING";

/// Bakes that are unknown are looked at now.
pub const WAKE_UNKNOWN: &str = "
UPDATE bakes SET wake_at = min(wake_at, wake.value ->> 'at')
FROM json_each(?1) AS wake
WHERE bakes.id = wake.value ->> 'id' AND bakes.state = 'unknown' AND bakes.finished_at IS NULL";

/// Images that came out of those steps. The checks and regions of their bake's settings begin with them.
pub const INSERT_IMAGES: &str = "
INSERT INTO images (image_id, line_id, schedule_id, instance_id, bake_id, version, version_id, image_name, slot,
                    available_at, verify, verify_next)
SELECT b.image_id, b.line_id, b.schedule_id, b.instance_id, b.id, coalesce(b.version, 0), b.version_id,
       coalesce(b.image_name, ''), b.slot, b.finished_at,
       CASE WHEN json_array_length(s.json, '$.hooks.verify') > 0 THEN 'due' END,
       CASE WHEN json_array_length(s.json, '$.hooks.verify') > 0 THEN b.finished_at END
FROM json_each(?1) AS step JOIN bakes b ON b.id = step.value ->> 'id' LEFT JOIN settings s ON s.hash = b.settings
WHERE b.state = 'succeeded' AND b.image_id IS NOT NULL
ON CONFLICT (image_id) DO NOTHING";

/// Regions that those images are to be copied to.
pub const INSERT_DISTRIBUTIONS: &str = "
INSERT INTO distributions (image_id, region, bake_id, state, wake_at, created_at)
SELECT b.image_id, region.value, b.id, 'pending', b.finished_at, b.finished_at
FROM json_each(?1) AS step JOIN bakes b ON b.id = step.value ->> 'id' JOIN settings s ON s.hash = b.settings
     JOIN json_each(s.json, '$.regions') AS region
WHERE b.state = 'succeeded' AND b.image_id IS NOT NULL
ON CONFLICT (image_id, region) DO NOTHING";

/// Images made known by rows that were rebuilt from tags.
pub const INSERT_REBUILT_IMAGES: &str = "
INSERT INTO images (image_id, line_id, schedule_id, instance_id, bake_id, version, version_id, image_name, slot,
                    available_at)
SELECT b.image_id, b.line_id, b.schedule_id, b.instance_id, b.id, coalesce(b.version, 0), b.version_id,
       coalesce(b.image_name, ''), b.slot, b.finished_at
FROM json_each(?1) AS rebuilt JOIN bakes b
  ON b.schedule_id = rebuilt.value ->> 'schedule_id' AND b.instance_id = rebuilt.value ->> 'instance_id'
     AND b.slot = rebuilt.value ->> 'slot'
WHERE b.state = 'succeeded' AND b.image_id = rebuilt.value ->> 'image_id'
ON CONFLICT (image_id) DO NOTHING";

/// Images with what holds them; the condition follows.
macro_rules! images {
    ($condition:literal) => {
        concat!(
            "
SELECT i.image_id, i.line_id, i.schedule_id, i.instance_id, i.bake_id, i.version, i.version_id, i.image_name, i.slot,
       i.available_at, i.fate, i.rule, i.marked_at, i.delete_after, i.tries, i.refused, i.deleted_at, i.available, i.ours,
       i.used_by, i.missing_since, i.verify, p.until AS pin_until, p.reason AS pin_reason, p.who AS pin_who,
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

/// Images that are not deleted, of some lines or of all, with what holds them.
pub const PRESENT_IMAGES: &str = images!(
    "WHERE i.fate <> 'deleted' AND (?1 IS NULL OR i.line_id IN (SELECT value FROM json_each(?1)))
ORDER BY i.line_id, i.version DESC, i.image_id"
);

/// One image, deleted or not.
pub const ONE_IMAGE: &str = images!("WHERE i.image_id = ?1");

/// The newest result of each of some lines.
pub const NEWEST_RESULTS: &str = "
SELECT b.line_id, b.id, b.state
FROM json_each(?1) AS line JOIN bakes b
  ON b.id = (SELECT id FROM bakes WHERE line_id = line.value AND state IN ('succeeded', 'failed')
             ORDER BY slot DESC, id DESC LIMIT 1)";

/// The last look at the cloud.
pub const LAST_LOOK: &str = "SELECT at, problem, since FROM looks";

/// A look took place.
pub const SET_LOOK: &str = "
INSERT INTO looks (id, at, problem, since) VALUES (1, ?1, ?2, CASE WHEN ?2 IS NOT NULL THEN ?1 END)
ON CONFLICT (id) DO UPDATE
SET at = excluded.at, problem = excluded.problem,
    since = CASE WHEN excluded.problem IS NOT NULL THEN coalesce(since, excluded.at) END";

/// What a look showed.
pub const RECORD_SIGHTS: &str = "
UPDATE images
SET available = sight.value ->> 'available', ours = sight.value ->> 'ours', used_by = sight.value ->> 'used_by',
    seen_at = ?2, missing_since = CASE WHEN sight.value ->> 'listed' THEN NULL ELSE coalesce(missing_since, ?2) END
FROM json_each(?1) AS sight
WHERE images.image_id = sight.value ->> 'image_id'";

/// Lines with images that are marked or being deleted.
pub const LINES_WITH_MARKS: &str = "SELECT DISTINCT line_id FROM images WHERE fate IN ('marked', 'deleting')";

/// An image has gone by other hands.
pub const IMAGE_VANISHED: &str = "
UPDATE images SET fate = 'deleted', rule = 'gone from the cloud, not by our doing', deleted_at = ?2
WHERE image_id = ?1 AND fate <> 'deleted'";

/// When the next marked image may be deleted, or a failed deletion be tried again.
pub const NEXT_DELETION: &str = "SELECT min(delete_after) FROM images WHERE fate IN ('marked', 'deleting')";

/// An image is marked, unless something holds it by now.
pub const MARK_IMAGE: &str = "
UPDATE images SET fate = 'marked', rule = ?2, delete_after = ?3, marked_at = ?4, refused = NULL
WHERE image_id = ?1 AND fate IN ('kept', 'refused')
  AND NOT EXISTS (SELECT 1 FROM pins p WHERE p.image_id = images.image_id AND (p.until IS NULL OR p.until > ?4))
  AND NOT EXISTS (SELECT 1 FROM channels c WHERE c.image_id = images.image_id)";

/// An image is not marked any more.
pub const UNMARK_IMAGE: &str = "
UPDATE images SET fate = 'kept', rule = NULL, delete_after = NULL, marked_at = NULL
WHERE image_id = ?1 AND fate IN ('marked', 'deleting')";

/// An image is about to be deleted: only if nothing holds it and a newer good image of its line is left, one that is not
/// itself about to go.
pub const BEGIN_DELETION: &str = "
UPDATE images SET fate = 'deleting', rule = ?2, delete_after = ?3, tries = tries + 1,
                  marked_at = coalesce(marked_at, ?4), refused = NULL
WHERE image_id = ?1 AND fate <> 'deleted'
  AND NOT EXISTS (SELECT 1 FROM pins p WHERE p.image_id = images.image_id AND (p.until IS NULL OR p.until > ?4))
  AND NOT EXISTS (SELECT 1 FROM channels c WHERE c.image_id = images.image_id)
  AND NOT EXISTS (SELECT 1 FROM distributions d WHERE d.image_id = images.image_id AND d.finished_at IS NULL)
  AND EXISTS (SELECT 1 FROM images o
              WHERE o.line_id = images.line_id AND o.fate IN ('kept', 'refused') AND o.available = 1 AND o.ours = 1
                AND o.missing_since IS NULL AND (o.slot, o.version) > (images.slot, images.version))";

/// How a deletion ended.
pub const END_DELETION: &str = "
UPDATE images SET fate = ?2, refused = ?3, delete_after = ?4, deleted_at = CASE ?2 WHEN 'deleted' THEN ?5 END
WHERE image_id = ?1 AND fate = 'deleting'";

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

/// Lines whose channels want to be looked at.
pub const DUE_CHANNELS: &str = "SELECT line_id FROM channels_due WHERE at <= ?1 ORDER BY at, line_id LIMIT ?2";

/// When the channels of a line want to be looked at next.
pub const NEXT_CHANNELS: &str = "SELECT min(at) FROM channels_due";

/// Channels of these lines, and all that do not move by themselves with the images, are looked at now.
pub const QUEUE_CHANNELS: &str = "
INSERT INTO channels_due (line_id, at)
SELECT value, 0 FROM json_each(?1) UNION SELECT line_id, 0 FROM channels WHERE channel <> 'latest'
ON CONFLICT (line_id) DO UPDATE SET at = 0";

/// The channels of some lines were looked at.
pub const CHANNELS_LOOKED_AT: &str = "DELETE FROM channels_due WHERE line_id IN (SELECT value FROM json_each(?1))";

/// And want to be again.
pub const CHANNELS_AGAIN: &str = "
INSERT INTO channels_due (line_id, at) SELECT value ->> 'line_id', value ->> 'at' FROM json_each(?1) WHERE true
ON CONFLICT (line_id) DO UPDATE SET at = min(at, excluded.at)";

/// What the channels of some lines stand for.
pub const ASSIGNED_CHANNELS: &str = "
SELECT c.line_id, c.channel, c.image_id, i.version, c.above
FROM channels c LEFT JOIN images i ON i.image_id = c.image_id
WHERE c.line_id IN (SELECT value FROM json_each(?1))
ORDER BY c.line_id, c.channel";

/// What they stood for, the last assignment first. `latest` needs no past.
pub const PAST_OF_CHANNELS: &str = "
SELECT c.line_id, c.channel, h.image_id
FROM channels c JOIN channel_history h ON h.line_id = c.line_id AND h.channel = c.channel
WHERE c.line_id IN (SELECT value FROM json_each(?1)) AND c.channel <> 'latest' AND h.image_id IS NOT NULL
GROUP BY c.line_id, c.channel, h.image_id
ORDER BY max(h.id) DESC";

/// A channel comes to stand for an image, or for nothing.
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

/// What every channel stands for, and how that came about; of one schedule, or of all.
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

/// Copies that want to be looked at by now, or wait for an instant of a clock that was set back since.
pub const DUE_COPIES: &str = "
SELECT d.image_id, d.region, d.bake_id, d.doing, d.wake_at, i.version_id, b.schedule, b.line_id, s.json AS settings,
       CASE WHEN i.image_id IS NULL OR i.fate = 'deleted' THEN coalesce(i.rule, 'not in the ledger') END AS gone
FROM distributions d JOIN bakes b ON b.id = d.bake_id JOIN settings s ON s.hash = b.settings
     LEFT JOIN images i ON i.image_id = d.image_id
WHERE d.finished_at IS NULL AND (d.wake_at <= ?1 OR d.wake_at > ?2)
ORDER BY d.wake_at, d.image_id, d.region
LIMIT ?3";

/// When the next copy wants to be looked at.
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

/// The copies of a bake's image that failed are wanted anew, unless the image is gone or going.
pub const REOPEN_COPIES: &str = "
UPDATE distributions
SET state = 'pending', doing = NULL, tries = 0, wake_at = ?2, progress = NULL, reason = NULL, finished_at = NULL
WHERE bake_id = ?1 AND state = 'failed'
  AND EXISTS (SELECT 1 FROM images i WHERE i.image_id = distributions.image_id AND i.fate NOT IN ('deleting', 'deleted'))";

/// The copies of a bake's image.
pub const COPIES_OF: &str = "
SELECT region, state, tries, progress, reason, task_id, wake_at, created_at, finished_at
FROM distributions WHERE bake_id = ?1 ORDER BY region";

/// Bakes whose image could not be copied everywhere and is still there.
pub const FAILED_COPIES: &str = "
SELECT b.id, b.schedule, json_group_array(d.region) AS regions, min(d.reason) AS reason
FROM distributions d JOIN bakes b ON b.id = d.bake_id JOIN images i ON i.image_id = d.image_id
WHERE d.state = 'failed' AND i.fate <> 'deleted' AND i.missing_since IS NULL
  -- A newer image of the line that is in the region makes up for it.
  AND NOT EXISTS (SELECT 1 FROM images n JOIN distributions e ON e.image_id = n.image_id
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

/// Lines whose newest image did not pass its check and is still vetoed.
pub const FAILED_CHECKS: &str = "
SELECT i.line_id, i.image_id, i.version, v.reason
FROM images i JOIN vetoes v ON v.image_id = i.image_id
WHERE i.verify = 'failed' AND i.fate <> 'deleted' AND i.missing_since IS NULL
  AND NOT EXISTS (SELECT 1 FROM images o
                  WHERE o.line_id = i.line_id AND o.version > i.version AND o.fate <> 'deleted')
ORDER BY i.line_id LIMIT ?1";

/// The columns of a ledger row, as people and programs see them.
pub const LEDGER_COLUMNS: &str = "
SELECT id, schedule_id, schedule, instance_id, line_id, slot, trigger, covers, covers_from, state, reason, reason_code,
       version, image_name, image_id, version_id, task_id, attempts, wake_at, created_at, finished_at, requested_by,
       config_hash
FROM bakes";

/// One row of the ledger.
pub const LEDGER_ROW: &str = "
SELECT id, schedule_id, schedule, instance_id, line_id, slot, trigger, covers, covers_from, state, reason, reason_code,
       version, image_name, image_id, version_id, task_id, attempts, wake_at, created_at, finished_at, requested_by,
       config_hash
FROM bakes WHERE id = ?1";

/// The highest number of a bake.
pub const NEWEST_BAKE: &str = "SELECT max(id) FROM bakes";

/// The row of one schedule and instance for an instant: the one of that slot, or the first that stands for a range
/// which the instant lies in.
pub const ROW_COVERING: &str = "
SELECT id, schedule_id, schedule, instance_id, line_id, slot, trigger, covers, covers_from, state, reason, reason_code,
       version, image_name, image_id, version_id, task_id, attempts, wake_at, created_at, finished_at, requested_by,
       config_hash
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

/// The newest good image of each of some lines that the cloud still has, as of the last look: one step down an index for
/// each.
pub const NEWEST_GOOD: &str = "
SELECT i.line_id, i.slot, i.available_at
FROM json_each(?1) AS line JOIN images i
  ON i.image_id = (SELECT image_id FROM images
                   WHERE line_id = line.value AND fate <> 'deleted' AND missing_since IS NULL AND available = 1
                   ORDER BY version DESC LIMIT 1)";

/// The newest good image of every line that has one, with what its channels stand for.
pub const LINES: &str = "
SELECT i.line_id, i.image_id, i.image_name, i.version, i.slot,
       (SELECT json_group_array(json_array(c.channel, n.version) ORDER BY c.channel <> 'latest', c.channel)
        FROM channels c LEFT JOIN images n ON n.image_id = c.image_id
        WHERE c.line_id = l.line_id) AS channels
FROM lines l JOIN images i
  ON i.image_id = (SELECT image_id FROM images
                   WHERE line_id = l.line_id AND fate <> 'deleted' AND missing_since IS NULL AND available = 1
                   ORDER BY version DESC LIMIT 1)
ORDER BY l.line_id LIMIT ?1";

/// How many bakes are in each of some states, of slots since an instant.
pub const COUNTS_SINCE: &str = "
SELECT state, count(*) AS n FROM bakes WHERE state IN (SELECT value FROM json_each(?2)) AND slot >= ?1 GROUP BY state";

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

/// Bakes that stopped their instance and have not seen it running since.
pub const OWED_STARTS: &str = "
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

/// Nothing is left to be found out in the cloud.
pub const SETTLE: &str = "UPDATE lineage SET unsettled = 'continued'";

/// No start has been made on it.
pub const FORGET_RUN: &str = "DELETE FROM lineage";

/// The tables of the database.
pub const TABLE_NAMES: &str = "SELECT name FROM sqlite_schema WHERE type = 'table'";

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
    INSERT_SETTINGS,
    UPDATE_BAKES,
    RAISE_VERSIONS,
    INSERT_ATTEMPTS,
    INSERT_IMAGES,
    INSERT_DISTRIBUTIONS,
    INSERT_REBUILT_IMAGES,
    PRESENT_IMAGES,
    ONE_IMAGE,
    NEWEST_RESULTS,
    LAST_LOOK,
    SET_LOOK,
    RECORD_SIGHTS,
    NEXT_DELETION,
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
    CHANNELS_LOOKED_AT,
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
    FAILED_CHECKS,
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
    AUDIT,
    SCHEDULE_WORDS,
    RECORDED,
    INSERT_REBUILT,
    WAKE_UNKNOWN,
    LEDGER_COLUMNS,
    LEDGER_ROW,
    NEWEST_BAKE,
    ROW_COVERING,
    SEEN_OF,
    ATTEMPTS_OF,
    SETTINGS_OF,
    ALL_VERSIONS,
    NEWEST_GOOD,
    LINES,
    COUNTS_SINCE,
    LAST_DURATIONS,
    OPEN_BAKES,
    OWED_STARTS,
    TABLE_NAMES,
    MIGRATION,
    COLUMNS_OF,
    COPY_INTO,
    INTEGRITY,
    ORPHANS,
    QUICK_CHECK,
    NEWEST_MIGRATION,
    OPTIMIZE,
    CHECKPOINT,
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
