//! Tokens, remembered answers, and who did what.

use crate::sqlite::Reader;
use crate::{
    AuditEntry, AuditFilter, AuditRow, Error, IdempotencyRow, Page, TokenRow, limits,
    sqlite::{
        column::{Columns, Id, integer},
        reader::page::Room,
    },
    unreadable::{pass_over, reading},
};
use domain::{EventHash, PrincipalId};
use rusqlite::{OptionalExtension, Row};

pub(super) const TOKENS: &str = "SELECT id, principal, name, scope, secret_sha256, created_at FROM tokens ORDER BY id";
const TOKEN_COUNT: &str = "SELECT count(*) FROM tokens";
pub(super) const IDEMPOTENCY: &str = "SELECT principal, idempotency_key, request_sha256, answer, created_at \
     FROM idempotency WHERE principal = ?1 AND idempotency_key = ?2";
macro_rules! select_audit {
    ($rest:literal) => {
        concat!("SELECT seq, at, principal, action, object, request_id, previous, hash FROM audit ", $rest)
    };
}

pub(super) const AUDIT_AFTER: &str = select_audit!("WHERE seq > ?1 ORDER BY seq LIMIT ?2");
/// ?1: only before this seq. ?2: rows. ?3: principal or NULL. ?4: action or NULL. ?5: the first word of the object.
pub(super) const AUDIT: &str = select_audit!("WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2");
pub(super) const AUDIT_OF_OBJECT: &str = select_audit!(
    "WHERE about = ?5 AND seq < ?1 AND (?3 IS NULL OR principal = ?3) AND (?4 IS NULL OR action = ?4) \
     ORDER BY seq DESC LIMIT ?2"
);
pub(super) const AUDIT_OF_PRINCIPAL: &str =
    select_audit!("WHERE principal = ?3 AND seq < ?1 AND (?4 IS NULL OR action = ?4) ORDER BY seq DESC LIMIT ?2");
pub(super) const AUDIT_OF_ACTION: &str = select_audit!("WHERE action = ?4 AND seq < ?1 ORDER BY seq DESC LIMIT ?2");
pub(super) const AUDIT_ANCHOR: &str = "SELECT seq, hash FROM audit_anchor WHERE only_row = 1";
const AUDIT_SEQ: &str = "SELECT audit_seq FROM store WHERE only_row = 1";
pub(super) const AUDIT_HEAD: &str = "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1";

impl Reader<'_> {
    /// Every token there is, oldest first; people make them one by one.
    pub fn tokens(&self) -> Result<Vec<TokenRow>, Error> {
        self.run(|connection| {
            let mut statement = connection.prepare_cached(TOKENS)?;
            statement.query_map((), token_row)?.filter_map(pass_over).collect()
        })
    }

    pub fn token_count(&self) -> Result<u64, Error> {
        self.run(|connection| connection.prepare_cached(TOKEN_COUNT)?.query_row((), |row| Columns::of(row).count()))
    }

    pub fn idempotency(&self, principal: PrincipalId, key: &str) -> Result<Option<IdempotencyRow>, Error> {
        self.run(|connection| {
            let mut statement = connection.prepare_cached(IDEMPOTENCY)?;
            let row = statement.query_row((principal.blob(), key), |row| {
                let mut columns = Columns::of(row);
                Ok(IdempotencyRow {
                    principal: columns.id()?,
                    key: columns.take()?,
                    request_sha256: columns.take()?,
                    answer: columns.take()?,
                    created_at: columns.time()?,
                })
            });
            row.optional()
        })
    }

    /// A page of audit entries, newest first.
    pub fn page_of_audit(&self, filter: &AuditFilter) -> Result<Page<AuditEntry>, Error> {
        let (before, room) = (filter.before.map_or(i64::MAX, integer), Room::of(filter.limit));
        let (rows, principal, action) = (room.limit(), filter.principal.map(Id::blob), filter.action.as_deref());
        self.run(|connection| {
            let mut statement = connection.prepare_cached(match (&filter.object, principal, action) {
                (Some(_), _, _) => AUDIT_OF_OBJECT,
                (None, Some(_), _) => AUDIT_OF_PRINCIPAL,
                (None, None, Some(_)) => AUDIT_OF_ACTION,
                (None, None, None) => AUDIT,
            })?;
            let found = match (&filter.object, principal, action) {
                (Some(object), _, _) => statement.query((before, rows, principal, action, object))?,
                (None, None, None) => statement.query((before, rows))?,
                (None, _, _) => statement.query((before, rows, principal, action))?,
            };
            room.fill(found, audit_entry, |entry| entry.row.object.len())
        })
    }

    /// Audit entries after this seq, oldest first. One that cannot be read is not among them.
    pub fn audit_after(&self, seq: u64, limit: usize) -> Result<Vec<AuditEntry>, Error> {
        let rows = integer(limit.min(limits::ROWS_PER_PAGE) as u64);
        self.run(|connection| {
            let mut statement = connection.prepare_cached(AUDIT_AFTER)?;
            statement.query_map((integer(seq), rows), audit_entry)?.filter_map(pass_over).collect()
        })
    }

    /// The seq of the last entry there ever was, as it was counted beside them.
    pub fn audit_seq(&self) -> Result<u64, Error> {
        self.run(|connection| connection.prepare_cached(AUDIT_SEQ)?.query_row((), |row| Columns::of(row).count()))
    }

    /// The last entry that was removed; 0 and [`EventHash::START`] when none was.
    pub fn audit_anchor(&self) -> Result<(u64, EventHash), Error> {
        self.run(|connection| connection.prepare_cached(AUDIT_ANCHOR)?.query_row((), place))
    }

    /// The last entry there is or was.
    pub fn audit_head(&self) -> Result<(u64, EventHash), Error> {
        let last = self.run(|connection| connection.prepare_cached(AUDIT_HEAD)?.query_row((), place).optional())?;
        last.map_or_else(|| self.audit_anchor(), Ok)
    }
}

fn token_row(row: &Row<'_>) -> rusqlite::Result<TokenRow> {
    reading("token", row, |row| {
        let mut columns = Columns::of(row);
        Ok(TokenRow {
            id: columns.id()?,
            principal: columns.id()?,
            name: columns.take()?,
            scope: columns.name()?,
            secret_sha256: columns.take()?,
            created_at: columns.time()?,
        })
    })
}

fn place(row: &Row<'_>) -> rusqlite::Result<(u64, EventHash)> {
    let mut columns = Columns::of(row);
    Ok((columns.count()?, columns.hash()?))
}

fn audit_entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    reading("audit entry", row, |row| {
        let mut columns = Columns::of(row);
        Ok(AuditEntry {
            seq: columns.count()?,
            row: AuditRow {
                at: columns.time()?,
                principal: columns.id()?,
                action: columns.take()?,
                object: columns.take()?,
                request_id: columns.id()?,
            },
            previous: columns.hash()?,
            hash: columns.hash()?,
        })
    })
}
