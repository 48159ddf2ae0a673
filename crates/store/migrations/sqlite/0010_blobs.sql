-- Content there is, or is about to be, a file of. A row comes before its file and goes after it, so that whatever lies in the
-- folder for content is known here, whenever the process dies.
CREATE TABLE blobs (
    sha256    TEXT    NOT NULL PRIMARY KEY CHECK (length(sha256) = 64),
    bytes     INTEGER NOT NULL CHECK (bytes >= 0),
    artifacts INTEGER NOT NULL CHECK (artifacts >= 0)  -- how many name it; kept by the triggers below
) STRICT, WITHOUT ROWID;

INSERT INTO blobs (sha256, bytes, artifacts) SELECT sha256, max(bytes), count(*) FROM artifacts GROUP BY sha256;

-- What may go.
CREATE INDEX blobs_unnamed ON blobs (sha256) WHERE artifacts = 0;

CREATE TRIGGER artifact_named AFTER INSERT ON artifacts BEGIN
    UPDATE blobs SET artifacts = artifacts + 1 WHERE sha256 = NEW.sha256;
END;

-- Also of the rows that go with their job.
CREATE TRIGGER artifact_gone AFTER DELETE ON artifacts BEGIN
    UPDATE blobs SET artifacts = artifacts - 1 WHERE sha256 = OLD.sha256;
END;

CREATE TRIGGER artifact_replaced AFTER UPDATE OF sha256 ON artifacts WHEN OLD.sha256 <> NEW.sha256 BEGIN
    UPDATE blobs SET artifacts = artifacts - 1 WHERE sha256 = OLD.sha256;
    UPDATE blobs SET artifacts = artifacts + 1 WHERE sha256 = NEW.sha256;
END;
