-- The ledger. Instants are INTEGER milliseconds since 1970 in UTC; states are words.

-- What bakes did, stored once for all bakes that did the same: a bake ends under the settings it began with.
CREATE TABLE settings (
    hash TEXT NOT NULL PRIMARY KEY, -- SHA-256 of json, hexadecimal
    json TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What the planner knows of each (schedule, instance).
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

-- The last version given out in each line; versions are never given twice.
CREATE TABLE lines (
    line_id      TEXT    NOT NULL PRIMARY KEY,
    last_version INTEGER NOT NULL CHECK (last_version >= 0)
) STRICT, WITHOUT ROWID;

-- One row per (schedule, instance, slot). A row with covers > 1 stands for that many missed slots, the last of
-- which is slot and the first covers_from.
CREATE TABLE bakes (
    id          INTEGER NOT NULL PRIMARY KEY,
    schedule_id TEXT    NOT NULL,
    schedule    TEXT    NOT NULL,
    instance_id TEXT    NOT NULL,
    line_id     TEXT    NOT NULL,
    slot        INTEGER NOT NULL,
    trigger     TEXT    NOT NULL CHECK (trigger IN ('slot', 'caught_up', 'manual')),
    covers      INTEGER NOT NULL DEFAULT 1 CHECK (covers >= 1),
    covers_from INTEGER NOT NULL,
    settings    TEXT    REFERENCES settings (hash), -- NULL for a row that never was to be a bake
    config_hash TEXT    NOT NULL,
    state       TEXT    NOT NULL CHECK (state IN ('queued', 'stopping', 'ready', 'creating', 'unknown', 'building',
                                                  'starting', 'succeeded', 'failed', 'skipped')),
    progress    TEXT    NOT NULL, -- JSON of the whole state
    reason      TEXT,
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
    UNIQUE (schedule_id, instance_id, slot)
) STRICT;

CREATE INDEX bakes_open ON bakes (wake_at) WHERE finished_at IS NULL;
CREATE INDEX bakes_queued ON bakes (slot, id) WHERE state = 'queued';
CREATE INDEX bakes_queued_by_instance ON bakes (instance_id, slot, id) WHERE state = 'queued';
CREATE INDEX bakes_by_slot ON bakes (slot DESC, id DESC);
CREATE INDEX bakes_by_schedule ON bakes (schedule_id, slot DESC, id DESC);
CREATE INDEX bakes_by_instance ON bakes (instance_id, slot DESC, id DESC);
CREATE INDEX bakes_by_state ON bakes (state, slot DESC, id DESC);
CREATE INDEX bakes_good ON bakes (line_id, version DESC) WHERE state = 'succeeded';

-- One row per call that told something: every failure, every call that changes the cloud, every change of status.
CREATE TABLE attempts (
    id          INTEGER NOT NULL PRIMARY KEY,
    bake_id     INTEGER NOT NULL REFERENCES bakes (id) ON DELETE CASCADE,
    stage       TEXT    NOT NULL CHECK (stage IN ('stop', 'create', 'build', 'distribute', 'start', 'prune')),
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

-- What people did. Rows are only ever added.
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
