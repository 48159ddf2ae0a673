-- Who did what becomes a chain: each row's hash covers the row and the hash before it. The rows from before are chained by
-- the program right after this, in the same transaction, and their table goes.
ALTER TABLE audit RENAME TO audit_unchained;

CREATE TABLE audit (
    seq        INTEGER NOT NULL PRIMARY KEY,
    at         INTEGER NOT NULL,
    principal  BLOB    NOT NULL,
    action     TEXT    NOT NULL,
    object     TEXT    NOT NULL,
    about      TEXT    NOT NULL AS (substr(object, 1, instr(object || ' ', ' ') - 1)) VIRTUAL,  -- its first word
    request_id BLOB    NOT NULL,
    previous   BLOB    NOT NULL CHECK (length(previous) = 32),
    hash       BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- Each holds the seq after these, so that one value is one sorted range.
CREATE INDEX audit_by_principal ON audit (principal);
CREATE INDEX audit_by_action ON audit (action);
CREATE INDEX audit_by_object ON audit (about);

-- The last entry that retention removed, which the first one kept links to.
CREATE TABLE audit_anchor (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    seq      INTEGER NOT NULL,
    hash     BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;

INSERT INTO audit_anchor (only_row, seq, hash) VALUES (1, 0, zeroblob(32));

CREATE TRIGGER audit_never_changes BEFORE UPDATE ON audit
BEGIN
    SELECT raise(ABORT, 'the audit trail is append-only: no entry is ever changed');
END;

CREATE TRIGGER audit_goes_from_its_beginning BEFORE DELETE ON audit
WHEN OLD.seq > (SELECT seq FROM audit_anchor)
BEGIN
    SELECT raise(ABORT, 'the audit trail is append-only: only retention removes entries, the oldest first');
END;

-- Also stops INSERT OR REPLACE.
CREATE TRIGGER audit_has_no_holes BEFORE INSERT ON audit
WHEN NEW.seq <> max((SELECT coalesce(max(seq), 0) FROM audit), (SELECT seq FROM audit_anchor)) + 1
BEGIN
    SELECT raise(ABORT, 'the audit trail is dense: an entry takes the next seq');
END;

CREATE TRIGGER audit_anchor_is_an_entry BEFORE UPDATE ON audit_anchor
WHEN NOT EXISTS (SELECT 1 FROM audit WHERE seq = NEW.seq AND hash = NEW.hash)
BEGIN
    SELECT raise(ABORT, 'the audit trail is taken up from an entry it holds');
END;

CREATE TRIGGER audit_anchor_stays BEFORE DELETE ON audit_anchor
BEGIN
    SELECT raise(ABORT, 'the audit trail is taken up from somewhere');
END;

-- Lists of what was decided, beside those of what waits.
CREATE INDEX approvals_decided ON approvals (id) WHERE decision IS NOT NULL;
CREATE INDEX approvals_decided_by_principal ON approvals (principal, id) WHERE decision IS NOT NULL;
