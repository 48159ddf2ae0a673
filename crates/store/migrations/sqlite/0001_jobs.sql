-- One row about this data folder as a whole.
CREATE TABLE store (
    only_row       INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    epoch          INTEGER NOT NULL,  -- 32 bits, unsigned; another one after a restore
    revision_floor INTEGER NOT NULL,  -- no job revision at or below this is handed out again
    probes         INTEGER NOT NULL   -- counts trial writes made to see whether a full disk has room again
) STRICT;

-- What a migration was called, so that an older build can name what it does not know.
CREATE TABLE migrations (
    version INTEGER NOT NULL PRIMARY KEY,
    name    TEXT    NOT NULL
) STRICT;

-- A job's row holds what changes often and stays small. Its documents stand apart, because SQLite writes a row anew as
-- a whole: an append that moves the head must not rewrite a task of two megabytes.
CREATE TABLE jobs (
    job_key          INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,  -- never given twice: it leads the places of events
    id               BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    principal        BLOB    NOT NULL CHECK (length(principal) = 16),
    kind             TEXT    NOT NULL,
    state            TEXT    NOT NULL,
    head_seq         INTEGER NOT NULL,
    head_hash        BLOB    NOT NULL CHECK (length(head_hash) = 32),
    retained_after   INTEGER NOT NULL,
    revision         INTEGER NOT NULL,
    reason           TEXT,
    message          TEXT,
    usage            TEXT    NOT NULL,
    priority         INTEGER NOT NULL,
    rank             INTEGER NOT NULL,
    not_before       INTEGER,
    attempt          INTEGER NOT NULL,
    attempts_failed  INTEGER NOT NULL,
    worker           BLOB,
    worker_principal BLOB,
    producer_seq     INTEGER NOT NULL,
    cancel_requested INTEGER NOT NULL,
    retry_of         BLOB,
    running_ms       INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,  -- every time is milliseconds since 1970, UTC
    updated_at       INTEGER NOT NULL,
    started_at       INTEGER,
    finished_at      INTEGER
) STRICT;

CREATE UNIQUE INDEX jobs_by_revision ON jobs (revision);
CREATE INDEX jobs_by_principal ON jobs (principal, state, kind, id);
CREATE INDEX jobs_by_state ON jobs (state, kind, id);
CREATE INDEX jobs_ready ON jobs (principal, rank) WHERE state = 'queued' AND not_before IS NULL;
CREATE INDEX jobs_delayed ON jobs (not_before) WHERE state = 'queued' AND not_before IS NOT NULL;
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;

-- `result` stands first: reading it must not walk over a long `spec`.
CREATE TABLE job_documents (
    job_key INTEGER NOT NULL PRIMARY KEY REFERENCES jobs (job_key) ON DELETE CASCADE,
    result  TEXT,
    spec    TEXT NOT NULL
) STRICT;
