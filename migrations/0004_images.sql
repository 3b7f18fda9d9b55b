-- The images that came out, one row each, from the moment they were good; and what becomes of them.
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
) STRICT, WITHOUT ROWID;

CREATE INDEX images_present ON images (line_id, version DESC) WHERE fate <> 'deleted';
CREATE INDEX images_by_bake ON images (bake_id);
CREATE INDEX images_to_verify ON images (verify_next) WHERE verify = 'due' AND fate <> 'deleted';
CREATE INDEX images_check_failed ON images (line_id, version) WHERE verify = 'failed';
CREATE INDEX images_going ON images (delete_after) WHERE fate IN ('marked', 'deleting');

INSERT OR IGNORE INTO images (image_id, line_id, schedule_id, instance_id, bake_id, version, version_id, image_name, slot,
                              available_at)
SELECT image_id, line_id, schedule_id, instance_id, id, coalesce(version, 0), version_id, coalesce(image_name, ''), slot,
       coalesce(finished_at, created_at)
FROM bakes WHERE state = 'succeeded' AND image_id IS NOT NULL;

-- The newest result of a line decides whether anything of it may be deleted.
CREATE INDEX bakes_with_result ON bakes (line_id, slot DESC, id DESC) WHERE state IN ('succeeded', 'failed');

-- What the last whole look at the cloud came to. One row.
CREATE TABLE looks (
    id      INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    at      INTEGER NOT NULL,
    problem TEXT,              -- why it was not whole; NULL: it was
    since   INTEGER            -- since when there is a problem
) STRICT;

-- Images that a person wants kept.
CREATE TABLE pins (
    image_id TEXT    NOT NULL PRIMARY KEY,
    since    INTEGER NOT NULL,
    until    INTEGER,          -- NULL: until it is unpinned
    reason   TEXT    NOT NULL,
    who      TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- Images that nobody should use: by a person's word, or because their check failed.
CREATE TABLE vetoes (
    image_id TEXT    NOT NULL PRIMARY KEY,
    at       INTEGER NOT NULL,
    reason   TEXT    NOT NULL,
    who      TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- Which image each channel of a line stands for now.
CREATE TABLE channels (
    line_id  TEXT    NOT NULL,
    channel  TEXT    NOT NULL,
    image_id TEXT,             -- NULL: it lost its image and found no other
    above    INTEGER NOT NULL, -- by itself it moves only to versions above this one
    since    INTEGER NOT NULL,
    PRIMARY KEY (line_id, channel)
) STRICT, WITHOUT ROWID;

CREATE INDEX channels_by_image ON channels (image_id);

-- Every assignment that ever was. Rows are only ever added.
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

-- Lines whose channels want to be looked at, and when. Whatever changes an image puts its line here, so that no way to
-- change one has to think of channels.
CREATE TABLE channels_due (
    line_id TEXT    NOT NULL PRIMARY KEY,
    at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX channels_due_by_time ON channels_due (at);

INSERT INTO channels_due (line_id, at) SELECT DISTINCT line_id, 0 FROM images;

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

-- Copies of images to other regions, one row each.
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

CREATE INDEX distributions_open ON distributions (wake_at) WHERE finished_at IS NULL;
CREATE INDEX distributions_failed ON distributions (bake_id) WHERE state = 'failed';
CREATE INDEX distributions_by_bake ON distributions (bake_id);
