-- Which file the database lies in: its inode number and when it was made. Another one in a copy. NULL until it is first opened.
ALTER TABLE store ADD COLUMN file TEXT;

-- The last seq of the audit trail there ever was, so that one that was cut short or emptied shows.
ALTER TABLE store ADD COLUMN audit_seq INTEGER NOT NULL DEFAULT 0;

UPDATE store SET audit_seq = max((SELECT coalesce(max(seq), 0) FROM audit), (SELECT seq FROM audit_anchor));

CREATE TRIGGER audit_is_counted AFTER INSERT ON audit
BEGIN
    UPDATE store SET audit_seq = max(audit_seq, NEW.seq);
END;
