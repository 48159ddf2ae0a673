CREATE TABLE approvals (
    approval_key     INTEGER NOT NULL PRIMARY KEY,
    id               BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    job_id           BLOB    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    principal        BLOB    NOT NULL,  -- the job's, so that one principal's approvals are one range of an index
    call_id          TEXT    NOT NULL,
    tool             TEXT    NOT NULL,
    arguments        TEXT    NOT NULL,
    arguments_sha256 TEXT    NOT NULL,
    requested_at     INTEGER NOT NULL,
    decision         TEXT,
    message          TEXT,
    decided_by       BLOB,
    decided_at       INTEGER
) STRICT;

CREATE INDEX approvals_by_job ON approvals (job_id, id);
CREATE INDEX approvals_by_call ON approvals (job_id, call_id, id);
CREATE INDEX approvals_by_principal ON approvals (principal, id);
CREATE INDEX approvals_pending ON approvals (id) WHERE decision IS NULL;
CREATE INDEX approvals_pending_by_principal ON approvals (principal, id) WHERE decision IS NULL;

CREATE TABLE artifacts (
    job_id     BLOB    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    name       TEXT    NOT NULL,
    media_type TEXT    NOT NULL,
    bytes      INTEGER NOT NULL,
    sha256     TEXT    NOT NULL,
    attempt    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (job_id, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX artifacts_by_sha256 ON artifacts (sha256);
