-- The log. `place` is the job's key in the upper bits and the seq in the lower 32, so that the log of one job is one range
-- of the tree. The same rows keyed by (job, seq) WITHOUT ROWID fill the inner pages of the tree as well, which then has
-- ten children a page instead of hundreds, and each event over a thousand bytes takes a page of its own: 64 writers stored
-- a quarter fewer events per second that way.
-- There is no foreign key to `jobs`: an append has just read that row, and would read it again for every event.
CREATE TABLE events (
    place      INTEGER NOT NULL PRIMARY KEY,
    seq        INTEGER NOT NULL AS (place & 0xffffffff) VIRTUAL,  -- takes no space; for people who look in here
    epoch      INTEGER NOT NULL,
    event_type TEXT    NOT NULL,
    actor      TEXT    NOT NULL,
    attempt    INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    payload    TEXT    NOT NULL,
    previous   BLOB    NOT NULL,
    hash       BLOB    NOT NULL
) STRICT;

-- Events nobody can read any more, to be deleted a few at a time so that no request waits for a long log to go.
CREATE TABLE purges (
    job_key     INTEGER NOT NULL PRIMARY KEY,
    through_seq INTEGER NOT NULL
) STRICT;
