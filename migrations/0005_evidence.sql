-- Runs with foreign keys off: the table is made anew, and rows of other tables keep pointing to it by its name.
-- Words are checked by the program that writes them, so that a new one needs no new table.

-- Why each row ended, as a word for programs.
CREATE TABLE bakes_new (
    id          INTEGER NOT NULL PRIMARY KEY,
    schedule_id TEXT    NOT NULL,
    schedule    TEXT    NOT NULL,
    instance_id TEXT    NOT NULL,
    line_id     TEXT    NOT NULL,
    slot        INTEGER NOT NULL,
    trigger     TEXT    NOT NULL,
    covers      INTEGER NOT NULL DEFAULT 1 CHECK (covers >= 1),
    covers_from INTEGER NOT NULL,
    settings    TEXT    REFERENCES settings (hash), -- NULL for a row that never was to be a bake
    config_hash TEXT    NOT NULL,
    state       TEXT    NOT NULL,
    progress    TEXT    NOT NULL, -- JSON of the whole state
    reason      TEXT,
    reason_code TEXT,             -- a word of ReasonCode; NULL while open, and where it succeeded
    version     INTEGER,
    image_name  TEXT,
    image_id    TEXT,
    version_id  TEXT,
    task_id     TEXT,
    attempts    INTEGER NOT NULL DEFAULT 0,
    wake_at     INTEGER,          -- when it wants to be looked at; NULL once ended
    give_up_at  INTEGER,          -- a bake still queued after this is skipped
    created_at  INTEGER NOT NULL,
    finished_at INTEGER,
    requested_by TEXT,            -- manual bakes: who asked
    region      TEXT,             -- where the instance is, for limits by region
    UNIQUE (schedule_id, instance_id, slot)
) STRICT;

INSERT INTO bakes_new (id, schedule_id, schedule, instance_id, line_id, slot, trigger, covers, covers_from, settings,
                       config_hash, state, progress, reason, reason_code, version, image_name, image_id, version_id,
                       task_id, attempts, wake_at, give_up_at, created_at, finished_at, requested_by, region)
SELECT id, schedule_id, schedule, instance_id, line_id, slot, trigger, covers, covers_from, settings, config_hash,
       CASE WHEN state IN ('failed', 'skipped') AND reason LIKE 'cancelled by %' THEN 'cancelled' ELSE state END,
       CASE WHEN state IN ('failed', 'skipped') AND reason LIKE 'cancelled by %'
            THEN json_set(progress, '$.end.end', 'cancelled') ELSE progress END,
       reason,
       -- Rows of earlier versions kept words for people only.
       CASE WHEN state NOT IN ('failed', 'skipped') THEN NULL
            WHEN reason LIKE 'cancelled by %' THEN 'cancelled'
            WHEN reason LIKE 'missed, and a newer slot %' THEN 'superseded'
            WHEN reason LIKE 'missed%' THEN 'missed'
            WHEN reason LIKE 'paused%' THEN 'paused'
            WHEN reason LIKE 'skipped, overlap:%' THEN 'overlap'
            WHEN reason LIKE 'vetoed by %' THEN 'vetoed_by_hook'
            WHEN reason LIKE 'the hook %' THEN 'hook_failed'
            WHEN reason LIKE 'held until its deadline%' THEN 'credentials'
            WHEN reason LIKE '%connected to the instance%' THEN 'users_connected'
            WHEN reason LIKE '%CREATE_FAILED%' THEN 'created_failed'
            WHEN reason LIKE 'stuck:%' THEN 'stuck'
            WHEN reason LIKE 'the image vanished%' OR reason LIKE 'the image was deleted%' THEN 'vanished'
            WHEN reason LIKE 'the cloud does not know the instance%' THEN 'instance_state'
            WHEN reason LIKE '%deadline%' THEN 'deadline'
            ELSE 'refused' END,
       version, image_name, image_id, version_id, task_id, attempts, wake_at, give_up_at, created_at, finished_at,
       requested_by, region
FROM bakes;

DROP TABLE bakes;
ALTER TABLE bakes_new RENAME TO bakes;

CREATE INDEX bakes_open ON bakes (wake_at) WHERE finished_at IS NULL;
CREATE INDEX bakes_queued ON bakes (slot, id) WHERE state = 'queued';
CREATE INDEX bakes_queued_by_instance ON bakes (instance_id, slot, id) WHERE state = 'queued';
CREATE INDEX bakes_by_slot ON bakes (slot DESC, id DESC);
CREATE INDEX bakes_by_schedule ON bakes (schedule_id, slot DESC, id DESC);
CREATE INDEX bakes_by_instance ON bakes (instance_id, slot DESC, id DESC);
CREATE INDEX bakes_by_state ON bakes (state, slot DESC, id DESC);
CREATE INDEX bakes_good ON bakes (line_id, version DESC) WHERE state = 'succeeded';
CREATE INDEX bakes_with_result ON bakes (line_id, slot DESC, id DESC) WHERE state IN ('succeeded', 'failed');

-- Which history this is. `run` is the token of the last start, `steps` counts transactions; the lock file beside the
-- database has both, too. A copy that is put back does not have what the lock file has. One row, or none in a copy that was
-- restored or imported and not yet started on.
CREATE TABLE lineage (
    id        INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    run       TEXT    NOT NULL,
    steps     INTEGER NOT NULL,
    stopped   INTEGER NOT NULL, -- 1 after an orderly end
    unsettled TEXT    NOT NULL  -- a word of Lineage: what has to be found out in the cloud before it is as good as any
) STRICT;

-- The clock may have been ahead when a row was written: its slot says nothing of which result of a line is the newest.
DROP INDEX bakes_with_result;
CREATE INDEX bakes_with_result ON bakes (line_id, id DESC) WHERE state IN ('succeeded', 'failed');

-- What was learned of the cloud, by name: gmt_offset is how many minutes the zone of GmtCreate is ahead of UTC.
CREATE TABLE learned (
    name  TEXT    NOT NULL PRIMARY KEY,
    value TEXT    NOT NULL,
    at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The deadline of a slot that was caught up counts from the commit that queued it. Rows of earlier versions counted from the
-- slot, and were caught up only to fail.
UPDATE bakes SET give_up_at = created_at + (give_up_at - slot)
WHERE finished_at IS NULL AND trigger = 'caught_up' AND give_up_at IS NOT NULL AND created_at > slot;

-- Deletions: what is known of a delete call, and what the brake counts.
ALTER TABLE images ADD COLUMN sent_at INTEGER;                    -- just before the last delete call
ALTER TABLE images ADD COLUMN judged  INTEGER NOT NULL DEFAULT 0; -- a whole pass has judged it by the rules of its line
ALTER TABLE images ADD COLUMN brake   TEXT;                       -- marked images: counted, confirmed; NULL: ordinary
CREATE INDEX images_deleted_counted ON images (deleted_at) WHERE fate = 'deleted' AND brake = 'counted';

-- When the images of the cloud were last listed as a whole.
ALTER TABLE looks ADD COLUMN whole_at INTEGER;

-- The rules by which each line was last judged.
CREATE TABLE line_rules (
    line_id TEXT NOT NULL PRIMARY KEY,
    rules   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What retention may not delete until a person has confirmed it.
CREATE TABLE brakes (
    line_id TEXT    NOT NULL PRIMARY KEY, -- empty: all lines
    since   INTEGER NOT NULL,
    brake   TEXT    NOT NULL              -- JSON with the numbers
) STRICT, WITHOUT ROWID;

-- Images with our tags that the cloud lists as CREATE_FAILED.
CREATE TABLE failed_images (
    image_id     TEXT    NOT NULL PRIMARY KEY,
    line_id      TEXT    NOT NULL,
    schedule_id  TEXT    NOT NULL,
    instance_id  TEXT    NOT NULL,
    version      INTEGER,
    image_name   TEXT    NOT NULL,
    slot         INTEGER,
    first_seen   INTEGER NOT NULL, -- by whole lists in a row
    last_seen    INTEGER NOT NULL,
    fate         TEXT    NOT NULL DEFAULT 'kept',
    rule         TEXT,
    tries        INTEGER NOT NULL DEFAULT 0,
    sent_at      INTEGER,
    delete_after INTEGER,          -- the next try or search
    refused      TEXT,
    deleted_at   INTEGER
) STRICT, WITHOUT ROWID;

-- Images with our tags and a line of the file that this history does not know, though it was there when they were made.
CREATE TABLE unrecorded_images (
    image_id    TEXT    NOT NULL PRIMARY KEY,
    line_id     TEXT    NOT NULL,
    schedule_id TEXT    NOT NULL,
    instance_id TEXT    NOT NULL,
    image_name  TEXT    NOT NULL,
    status      TEXT    NOT NULL,
    slot        INTEGER NOT NULL,
    found_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX bakes_by_image ON bakes (image_id) WHERE image_id IS NOT NULL;
-- Slots without the image that they should have brought: health counts those after the last good image of a line. What
-- is not in the list of reasons was wanted by nobody. Kept equal to health::lines::is_lost by a test. What is counted of
-- them is in the index itself.
CREATE INDEX bakes_lost ON bakes (line_id, slot, id, covers, covers_from, trigger, reason_code, state)
WHERE state = 'failed'
   OR state = 'skipped' AND trigger <> 'manual'
      AND coalesce(reason_code, '') NOT IN ('paused', 'calendar', 'vetoed_by_hook', 'cancelled', 'superseded',
                                            'clock_ahead', 'observe');
