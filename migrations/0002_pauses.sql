-- Schedules that are paused: by a person, or by the daemon after one permanent failure too many. Those that are paused in
-- the file are not here.
CREATE TABLE pauses (
    schedule_id TEXT    NOT NULL PRIMARY KEY,
    since       INTEGER NOT NULL,
    until       INTEGER,          -- NULL: until it is resumed
    reason      TEXT    NOT NULL,
    who         TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- Permanent failures in a row. A success, a resume or an edit of the schedule begins anew.
CREATE TABLE streaks (
    schedule_id TEXT    NOT NULL PRIMARY KEY,
    failures    INTEGER NOT NULL CHECK (failures >= 0),
    settings    TEXT    NOT NULL -- hash of the settings under which they failed
) STRICT, WITHOUT ROWID;

-- Where the instance is, for limits by region.
ALTER TABLE bakes ADD COLUMN region TEXT;
