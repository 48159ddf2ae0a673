//! Writing tokens, remembered answers and the audit trail.

use crate::sqlite::Transaction;
use crate::{
    AuditEntry, AuditRow, Error, IdempotencyRow, TokenRow,
    audit::chained,
    sqlite::column::{Id, integer},
};
use domain::{Timestamp, TokenId};
use rusqlite::Connection;

const INSERT_TOKEN: &str = "INSERT INTO tokens (id, principal, name, scope, secret_sha256, created_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
pub(crate) const DELETE_TOKEN: &str = "DELETE FROM tokens WHERE id = ?1";
const PUT_IDEMPOTENCY: &str = "INSERT INTO idempotency (principal, idempotency_key, request_sha256, answer, created_at) \
     VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (principal, idempotency_key) DO UPDATE SET \
     request_sha256 = excluded.request_sha256, answer = excluded.answer, created_at = excluded.created_at";
pub(crate) const DELETE_IDEMPOTENCY: &str = "DELETE FROM idempotency WHERE created_at < ?1";
const AUDIT: &str = "INSERT INTO audit (seq, at, principal, action, object, request_id, previous, hash) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
pub(crate) const MOVE_AUDIT_ANCHOR: &str = "UPDATE audit_anchor SET seq = entry.seq, hash = entry.hash \
     FROM audit AS entry WHERE entry.seq = ?1 AND only_row = 1";
pub(crate) const DELETE_AUDIT: &str = "DELETE FROM audit WHERE seq <= ?1";

impl Transaction<'_> {
    pub fn insert_token(&mut self, token: &TokenRow) -> Result<(), Error> {
        self.run(|connection| {
            connection.prepare_cached(INSERT_TOKEN)?.execute((
                token.id.blob(),
                token.principal.blob(),
                &token.name,
                token.scope.as_str(),
                token.secret_sha256,
                token.created_at.as_millis(),
            ))
        })?;
        Ok(())
    }

    /// Says whether there was such a token.
    pub fn delete_token(&mut self, id: TokenId) -> Result<bool, Error> {
        self.run(|connection| Ok(connection.prepare_cached(DELETE_TOKEN)?.execute([id.blob()])? > 0))
    }

    /// Remembers an answer, in place of an older one under the same key.
    pub fn put_idempotency(&mut self, row: &IdempotencyRow) -> Result<(), Error> {
        self.run(|connection| {
            connection.prepare_cached(PUT_IDEMPOTENCY)?.execute((
                row.principal.blob(),
                &row.key,
                row.request_sha256,
                &row.answer,
                row.created_at.as_millis(),
            ))
        })?;
        Ok(())
    }

    /// Forgets answers older than this and says how many.
    pub fn delete_idempotency_before(&mut self, time: Timestamp) -> Result<usize, Error> {
        self.run(|connection| connection.prepare_cached(DELETE_IDEMPOTENCY)?.execute([time.as_millis()]))
    }

    /// Appends to the audit trail.
    pub fn audit(&mut self, row: &AuditRow) -> Result<(), Error> {
        let head = self.audit_head()?;
        let entry = chained(row.clone(), head).map_err(|error| Error::Constraint(error.to_string()))?;
        self.run(|connection| insert_audit(connection, &entry))
    }

    /// Removes entries made before this time from the beginning of the audit trail, and says how many.
    pub fn sweep_audit(&mut self, before: Timestamp, limit: usize) -> Result<usize, Error> {
        let oldest = self.audit_after(0, limit)?;
        // What stands before an old entry is no younger, whatever the clock said then.
        let Some(last) = oldest.iter().rposition(|entry| entry.row.at < before) else { return Ok(0) };
        let last = &oldest[last];
        self.run(|connection| {
            connection.prepare_cached(MOVE_AUDIT_ANCHOR)?.execute([integer(last.seq)])?;
            connection.prepare_cached(DELETE_AUDIT)?.execute([integer(last.seq)])
        })
    }
}

/// Stores an entry at its place.
pub(crate) fn insert_audit(connection: &Connection, entry: &AuditEntry) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(AUDIT)?;
    statement.execute((
        integer(entry.seq),
        entry.row.at.as_millis(),
        entry.row.principal.blob(),
        &entry.row.action,
        &entry.row.object,
        entry.row.request_id.blob(),
        entry.previous.0,
        entry.hash.0,
    ))?;
    Ok(())
}
