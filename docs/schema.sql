-- The schema of the history after all migrations. Generated; see docs/testing.md.
                -- Instants are milliseconds since 1970 in UTC.

CREATE TABLE attempts (
    id          INTEGER NOT NULL PRIMARY KEY,
    bake_id     INTEGER NOT NULL REFERENCES bakes (id) ON DELETE CASCADE,
    stage       TEXT    NOT NULL CHECK (stage IN ('stop', 'create', 'build', 'distribute', 'start', 'prune', 'hook')),
    call        TEXT    NOT NULL,
    started_at  INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    outcome     TEXT    NOT NULL, -- ok, or the class of the failure
    code        TEXT,
    http_status INTEGER,
    request_id  TEXT,
    message     TEXT
) STRICT;

CREATE INDEX attempts_by_bake ON attempts (bake_id, id);

CREATE INDEX attempts_by_code ON attempts (code, bake_id) WHERE code IS NOT NULL;

CREATE TABLE audit (
    id     INTEGER NOT NULL PRIMARY KEY,
    at     INTEGER NOT NULL,
    who    TEXT    NOT NULL,
    action TEXT    NOT NULL,
    detail TEXT    NOT NULL
) STRICT;

CREATE TRIGGER audit_is_append_only_1 BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;

CREATE TRIGGER audit_is_append_only_2 BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;

CREATE TABLE "bakes" (
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

CREATE INDEX bakes_by_image ON bakes (image_id) WHERE image_id IS NOT NULL;

CREATE INDEX bakes_by_instance ON bakes (instance_id, slot DESC, id DESC);

CREATE INDEX bakes_by_schedule ON bakes (schedule_id, slot DESC, id DESC);

CREATE INDEX bakes_by_slot ON bakes (slot DESC, id DESC);

CREATE INDEX bakes_by_state ON bakes (state, slot DESC, id DESC);

CREATE INDEX bakes_good ON bakes (line_id, version DESC) WHERE state = 'succeeded';

CREATE INDEX bakes_lost ON bakes (line_id, slot, id, covers, covers_from, trigger, reason_code, state)
WHERE state = 'failed'
   OR state = 'skipped' AND trigger <> 'manual'
      AND coalesce(reason_code, '') NOT IN ('paused', 'calendar', 'vetoed_by_hook', 'cancelled', 'superseded',
                                            'clock_ahead', 'observe');

CREATE INDEX bakes_open ON bakes (wake_at) WHERE finished_at IS NULL;

CREATE INDEX bakes_queued ON bakes (slot, id) WHERE state = 'queued';

CREATE INDEX bakes_queued_by_instance ON bakes (instance_id, slot, id) WHERE state = 'queued';

CREATE INDEX bakes_with_result ON bakes (line_id, id DESC) WHERE state IN ('succeeded', 'failed');

CREATE TABLE brakes (
    line_id TEXT    NOT NULL PRIMARY KEY, -- empty: all lines
    since   INTEGER NOT NULL,
    brake   TEXT    NOT NULL              -- JSON with the numbers
) STRICT, WITHOUT ROWID;

CREATE TABLE channel_history (
    id       INTEGER NOT NULL PRIMARY KEY,
    at       INTEGER NOT NULL,
    line_id  TEXT    NOT NULL,
    channel  TEXT    NOT NULL,
    image_id TEXT,             -- NULL: the channel lost its image and found no other
    who      TEXT    NOT NULL,
    why      TEXT    NOT NULL
) STRICT;

CREATE INDEX channel_history_by_channel ON channel_history (line_id, channel, id);

CREATE TRIGGER channel_history_is_append_only_1 BEFORE UPDATE ON channel_history
BEGIN SELECT RAISE(ABORT, 'the history of channels is append-only'); END;

CREATE TRIGGER channel_history_is_append_only_2 BEFORE DELETE ON channel_history
BEGIN SELECT RAISE(ABORT, 'the history of channels is append-only'); END;

CREATE TABLE channels (
    line_id  TEXT    NOT NULL,
    channel  TEXT    NOT NULL,
    image_id TEXT,             -- NULL: it lost its image and found no other
    above    INTEGER NOT NULL, -- by itself it moves only to versions above this one
    since    INTEGER NOT NULL,
    PRIMARY KEY (line_id, channel)
) STRICT, WITHOUT ROWID;

CREATE INDEX channels_by_image ON channels (image_id);

CREATE TABLE channels_due (
    line_id TEXT    NOT NULL PRIMARY KEY,
    at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX channels_due_by_time ON channels_due (at);

CREATE TABLE distributions (
    image_id    TEXT    NOT NULL,
    region      TEXT    NOT NULL,
    bake_id     INTEGER NOT NULL REFERENCES bakes (id) ON DELETE CASCADE,
    state       TEXT    NOT NULL CHECK (state IN ('pending', 'asking', 'copying', 'done', 'failed')),
    doing       TEXT,             -- JSON of the whole state; NULL before the first step
    tries       INTEGER NOT NULL DEFAULT 0,
    wake_at     INTEGER,          -- when it wants to be looked at; NULL once done or failed
    progress    TEXT,             -- the cloud's word for how far it is
    reason      TEXT,
    task_id     TEXT,
    created_at  INTEGER NOT NULL,
    finished_at INTEGER,
    PRIMARY KEY (image_id, region)
) STRICT, WITHOUT ROWID;

CREATE INDEX distributions_by_bake ON distributions (bake_id);

CREATE INDEX distributions_failed ON distributions (bake_id) WHERE state = 'failed';

CREATE INDEX distributions_open ON distributions (wake_at) WHERE finished_at IS NULL;

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

CREATE TABLE images (
    image_id      TEXT    NOT NULL PRIMARY KEY,
    line_id       TEXT    NOT NULL,
    schedule_id   TEXT    NOT NULL,
    instance_id   TEXT    NOT NULL,
    bake_id       INTEGER REFERENCES bakes (id) ON DELETE SET NULL, -- NULL: adopted
    version       INTEGER NOT NULL CHECK (version >= 0),
    version_id    TEXT,
    image_name    TEXT    NOT NULL,
    slot          INTEGER NOT NULL,           -- the date that rules go by
    available_at  INTEGER NOT NULL,           -- when it was first seen AVAILABLE
    fate          TEXT    NOT NULL DEFAULT 'kept'
                          CHECK (fate IN ('kept', 'refused', 'marked', 'deleting', 'deleted')),
    rule          TEXT,                       -- marked, deleting, deleted: what asked for it
    marked_at     INTEGER,
    delete_after  INTEGER,
    tries         INTEGER NOT NULL DEFAULT 0, -- delete calls so far
    refused       TEXT,                       -- why the cloud would not delete it
    deleted_at    INTEGER,
    -- What the last look at the cloud showed. A bake has just seen its own image.
    available     INTEGER NOT NULL DEFAULT 1 CHECK (available IN (0, 1)),
    ours          INTEGER NOT NULL DEFAULT 1 CHECK (ours IN (0, 1)), -- carries our ownership tag and is not shared
    used_by       TEXT    NOT NULL DEFAULT '[]', -- JSON list of instances and delivery groups
    seen_at       INTEGER,
    missing_since INTEGER,
    -- The check that gates promotion; NULL where the schedule has none.
    verify        TEXT    CHECK (verify IN ('due', 'passed', 'failed')),
    verify_tries  INTEGER NOT NULL DEFAULT 0,
    verify_next   INTEGER
, sent_at INTEGER, judged  INTEGER NOT NULL DEFAULT 0, brake   TEXT) STRICT, WITHOUT ROWID;

CREATE INDEX images_by_availability ON images (available_at);

CREATE INDEX images_by_bake ON images (bake_id);

CREATE INDEX images_by_line ON images (line_id, version);

CREATE INDEX images_check_failed ON images (line_id, version) WHERE verify = 'failed';

CREATE INDEX images_deleted_counted ON images (deleted_at) WHERE fate = 'deleted' AND brake = 'counted';

CREATE INDEX images_going ON images (delete_after) WHERE fate IN ('marked', 'deleting');

CREATE INDEX images_missing ON images (missing_since) WHERE missing_since IS NOT NULL;

CREATE INDEX images_present ON images (line_id, version DESC) WHERE fate <> 'deleted';

CREATE INDEX images_to_verify ON images (verify_next) WHERE verify = 'due' AND fate <> 'deleted';

CREATE TRIGGER images_move_channels_1 AFTER INSERT ON images
BEGIN
    INSERT INTO channels_due (line_id, at) VALUES (NEW.line_id, 0) ON CONFLICT (line_id) DO UPDATE SET at = 0;
END;

CREATE TRIGGER images_move_channels_2 AFTER UPDATE ON images
WHEN (OLD.line_id, OLD.fate, OLD.available, OLD.ours, OLD.missing_since IS NULL, OLD.verify)
     IS NOT (NEW.line_id, NEW.fate, NEW.available, NEW.ours, NEW.missing_since IS NULL, NEW.verify)
BEGIN
    INSERT INTO channels_due (line_id, at) VALUES (OLD.line_id, 0), (NEW.line_id, 0)
    ON CONFLICT (line_id) DO UPDATE SET at = 0;
END;

CREATE TABLE learned (
    name  TEXT    NOT NULL PRIMARY KEY,
    value TEXT    NOT NULL,
    at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE line_rules (
    line_id TEXT NOT NULL PRIMARY KEY,
    rules   TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE lineage (
    id        INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    run       TEXT    NOT NULL,
    steps     INTEGER NOT NULL,
    stopped   INTEGER NOT NULL, -- 1 after an orderly end
    unsettled TEXT    NOT NULL  -- a word of Lineage: what has to be found out in the cloud before it is as good as any
) STRICT;

CREATE TABLE lines (
    line_id      TEXT    NOT NULL PRIMARY KEY,
    last_version INTEGER NOT NULL CHECK (last_version >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE looks (
    id      INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    at      INTEGER NOT NULL,
    problem TEXT,              -- why it was not whole; NULL: it was
    since   INTEGER            -- since when there is a problem
, whole_at INTEGER) STRICT;

CREATE TABLE pauses (
    schedule_id TEXT    NOT NULL PRIMARY KEY,
    since       INTEGER NOT NULL,
    until       INTEGER,          -- NULL: until it is resumed
    reason      TEXT    NOT NULL,
    who         TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE pins (
    image_id TEXT    NOT NULL PRIMARY KEY,
    since    INTEGER NOT NULL,
    until    INTEGER,          -- NULL: until it is unpinned
    reason   TEXT    NOT NULL,
    who      TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE settings (
    hash TEXT NOT NULL PRIMARY KEY, -- SHA-256 of json, hexadecimal
    json TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE streaks (
    schedule_id TEXT    NOT NULL PRIMARY KEY,
    failures    INTEGER NOT NULL CHECK (failures >= 0),
    settings    TEXT    NOT NULL -- hash of the settings under which they failed
) STRICT, WITHOUT ROWID;

CREATE TABLE targets (
    schedule_id  TEXT    NOT NULL,
    instance_id  TEXT    NOT NULL,
    schedule     TEXT    NOT NULL, -- its name when last seen
    line_id      TEXT    NOT NULL,
    timing       TEXT    NOT NULL, -- JSON of the rule that accounted_to was reckoned with
    accounted_to INTEGER NOT NULL, -- every slot up to here, inclusive, has its row
    known_since  INTEGER NOT NULL,
    removed_at   INTEGER,          -- when it was no longer in the file; NULL while it is
    PRIMARY KEY (schedule_id, instance_id)
) STRICT, WITHOUT ROWID;

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

CREATE TABLE vetoes (
    image_id TEXT    NOT NULL PRIMARY KEY,
    at       INTEGER NOT NULL,
    reason   TEXT    NOT NULL,
    who      TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TRIGGER vetoes_move_channels_1 AFTER INSERT ON vetoes
BEGIN
    INSERT INTO channels_due (line_id, at) SELECT line_id, 0 FROM images WHERE image_id = NEW.image_id
    ON CONFLICT (line_id) DO UPDATE SET at = 0;
END;

CREATE TRIGGER vetoes_move_channels_2 AFTER DELETE ON vetoes
BEGIN
    INSERT INTO channels_due (line_id, at) SELECT line_id, 0 FROM images WHERE image_id = OLD.image_id
    ON CONFLICT (line_id) DO UPDATE SET at = 0;
END;
