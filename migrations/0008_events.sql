-- What happened, written in the transaction that made it true: the outbox of notifications, and the source of `events`.
-- The words are those of EventType, EventSeverity and SubjectKind. Numbers are never used twice.
CREATE TABLE events (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Milliseconds since 1970 by this host's clock.
    at           INTEGER NOT NULL,
    type         TEXT NOT NULL,
    severity     TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    subject_id   TEXT NOT NULL,
    -- Start of the problem that it is about.
    since        INTEGER,
    message      TEXT NOT NULL,
    command      TEXT,
    -- The facts by name, a JSON object.
    data         TEXT NOT NULL
) STRICT;

CREATE INDEX events_by_time ON events (at);

-- Problems that stand, with the acknowledgement of a person. Their beginnings and ends are events.
CREATE TABLE problems (
    code                TEXT NOT NULL,
    subject_kind        TEXT NOT NULL,
    subject_id          TEXT NOT NULL,
    since               TEXT NOT NULL,
    severity            TEXT NOT NULL,
    message             TEXT NOT NULL,
    command             TEXT,
    acknowledged_by     TEXT,
    acknowledged_at     TEXT,
    -- NULL: until the problem ends.
    acknowledged_until  TEXT,
    acknowledged_reason TEXT,
    PRIMARY KEY (code, subject_kind, subject_id)
) STRICT, WITHOUT ROWID;
