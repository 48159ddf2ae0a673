CREATE TABLE tokens (
    id            BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    principal     BLOB    NOT NULL CHECK (length(principal) = 16),
    name          TEXT    NOT NULL,
    scope         TEXT    NOT NULL,
    secret_sha256 BLOB    NOT NULL CHECK (length(secret_sha256) = 32),
    created_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
    principal      BLOB    NOT NULL,
    idempotency_key TEXT   NOT NULL,
    request_sha256 BLOB    NOT NULL,
    answer         TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    PRIMARY KEY (principal, idempotency_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_by_age ON idempotency (created_at);

CREATE TABLE audit (
    audit_key  INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    principal  BLOB    NOT NULL,
    action     TEXT    NOT NULL,
    object     TEXT    NOT NULL,
    request_id BLOB    NOT NULL
) STRICT;
