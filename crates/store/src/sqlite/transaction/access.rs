//! Writing tokens, remembered answers and the audit trail.

use crate::{AuditRow, Error, IdempotencyRow, TokenRow, Transaction, sqlite::column::Id};
use domain::{Timestamp, TokenId};

const INSERT_TOKEN: &str = "INSERT INTO tokens (id, principal, name, scope, secret_sha256, created_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
pub(crate) const DELETE_TOKEN: &str = "DELETE FROM tokens WHERE id = ?1";
const PUT_IDEMPOTENCY: &str = "INSERT INTO idempotency (principal, idempotency_key, request_sha256, answer, created_at) \
     VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (principal, idempotency_key) DO UPDATE SET \
     request_sha256 = excluded.request_sha256, answer = excluded.answer, created_at = excluded.created_at";
pub(crate) const DELETE_IDEMPOTENCY: &str = "DELETE FROM idempotency WHERE created_at < ?1";
const AUDIT: &str = "INSERT INTO audit (at, principal, action, object, request_id) VALUES (?1, ?2, ?3, ?4, ?5)";

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

    pub fn audit(&mut self, entry: &AuditRow) -> Result<(), Error> {
        self.run(|connection| {
            connection.prepare_cached(AUDIT)?.execute((
                entry.at.as_millis(),
                entry.principal.blob(),
                &entry.action,
                &entry.object,
                entry.request_id.blob(),
            ))
        })?;
        Ok(())
    }
}
