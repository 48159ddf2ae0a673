-- What the holder of a key may do with models. The policy is JSON, because only one program reads it and it grows fields.
CREATE TABLE key_policies (
    principal  BLOB    NOT NULL PRIMARY KEY CHECK (length(principal) = 16),
    policy     TEXT    NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What an account used within a time. The account stands last in the key, so that everything of one window is one range.
CREATE TABLE spend (
    account_kind TEXT    NOT NULL,  -- key, job
    period       TEXT    NOT NULL,  -- total, day, month
    begins_at    INTEGER NOT NULL,  -- 0 for total
    account      BLOB    NOT NULL CHECK (length(account) = 16),
    tokens       INTEGER NOT NULL,
    microusd     INTEGER NOT NULL,
    requests     INTEGER NOT NULL,
    PRIMARY KEY (account_kind, period, begins_at, account)
) STRICT, WITHOUT ROWID;

-- The last batch of the journal that is in here. Spend is written as differences, and a batch whose answer got lost is
-- sent again: this tells whether it was counted already.
CREATE TABLE journal (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    run      BLOB    NOT NULL,  -- one start of the program
    batch    INTEGER NOT NULL   -- counts from 1 in each run
) STRICT;

CREATE TABLE model_calls (
    call_key       INTEGER NOT NULL PRIMARY KEY,
    id             BLOB    NOT NULL UNIQUE CHECK (length(id) = 16),
    at             INTEGER NOT NULL,
    principal      BLOB    NOT NULL,
    job            BLOB,
    route          TEXT    NOT NULL,
    provider       TEXT,
    model          TEXT,
    digest         TEXT,
    state          TEXT    NOT NULL,
    input_tokens   INTEGER NOT NULL,
    output_tokens  INTEGER NOT NULL,
    cost_microusd  INTEGER,           -- NULL: the price is not known
    first_token_ms INTEGER,
    total_ms       INTEGER,
    detail         TEXT    NOT NULL   -- JSON: the whole record; the columns before it are for people who look in here
) STRICT;

CREATE INDEX model_calls_by_age ON model_calls (at);
CREATE INDEX model_calls_by_principal ON model_calls (principal, id);
CREATE INDEX model_calls_by_job ON model_calls (job, id) WHERE job IS NOT NULL;

-- Every body that left the machine, by digest. Each row's hash covers the row and the hash before it.
CREATE TABLE egress_ledger (
    seq         INTEGER NOT NULL PRIMARY KEY,
    at          INTEGER NOT NULL,
    call_id     BLOB    NOT NULL,
    principal   BLOB    NOT NULL,
    job         BLOB,
    provider    TEXT    NOT NULL,
    model       TEXT    NOT NULL,
    body_sha256 TEXT    NOT NULL,
    body_bytes  INTEGER NOT NULL,
    redactions  INTEGER NOT NULL,
    reason      TEXT    NOT NULL,
    prev_hash   BLOB    NOT NULL CHECK (length(prev_hash) = 32),
    hash        BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;

CREATE INDEX egress_ledger_by_call ON egress_ledger (call_id);

CREATE TRIGGER egress_ledger_never_changes BEFORE UPDATE ON egress_ledger
BEGIN
    SELECT raise(ABORT, 'the egress ledger is append-only: no entry is ever changed');
END;

CREATE TRIGGER egress_ledger_never_shrinks BEFORE DELETE ON egress_ledger
BEGIN
    SELECT raise(ABORT, 'the egress ledger is append-only: no entry is ever deleted');
END;

-- Also stops INSERT OR REPLACE, which deletes without the trigger above.
CREATE TRIGGER egress_ledger_has_no_holes BEFORE INSERT ON egress_ledger
WHEN NEW.seq <> (SELECT coalesce(max(seq), 0) + 1 FROM egress_ledger)
BEGIN
    SELECT raise(ABORT, 'the egress ledger is dense: an entry takes the next seq');
END;
