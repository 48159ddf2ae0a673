-- The log, clustered so that a page of one job is one range of the tree.
-- There is no foreign key to `jobs`: an append has just read that row, and would read it again for every event.
CREATE TABLE events (
    job_id     BLOB    NOT NULL,
    seq        INTEGER NOT NULL,
    epoch      INTEGER NOT NULL,
    event_type TEXT    NOT NULL,
    actor      TEXT    NOT NULL,
    attempt    INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    payload    TEXT    NOT NULL,
    previous   BLOB    NOT NULL,
    hash       BLOB    NOT NULL,
    PRIMARY KEY (job_id, seq)
) STRICT, WITHOUT ROWID;

-- Events nobody can read any more, to be deleted a few at a time so that no request waits for a long log to go.
CREATE TABLE purges (
    job_id      BLOB    NOT NULL PRIMARY KEY,
    through_seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
