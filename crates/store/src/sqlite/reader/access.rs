//! Tokens, remembered answers, and who did what.

use crate::{
    AuditRow, Error, IdempotencyRow, Reader, TokenRow, limits,
    sqlite::column::{Columns, Id, integer},
};
use domain::PrincipalId;
use rusqlite::OptionalExtension;

pub(super) const TOKENS: &str = "SELECT id, principal, name, scope, secret_sha256, created_at FROM tokens ORDER BY id";
pub(super) const IDEMPOTENCY: &str = "SELECT principal, idempotency_key, request_sha256, answer, created_at \
     FROM idempotency WHERE principal = ?1 AND idempotency_key = ?2";
pub(super) const AUDIT: &str = "SELECT audit_key, at, principal, action, object, request_id FROM audit \
     WHERE audit_key > ?1 ORDER BY audit_key LIMIT ?2";

impl Reader<'_> {
    /// Every token there is, oldest first; people make them one by one.
    pub fn tokens(&self) -> Result<Vec<TokenRow>, Error> {
        self.run(|connection| {
            let mut statement = connection.prepare_cached(TOKENS)?;
            let rows = statement.query_map((), |row| {
                let mut columns = Columns::of(row);
                Ok(TokenRow {
                    id: columns.id()?,
                    principal: columns.id()?,
                    name: columns.take()?,
                    scope: columns.name()?,
                    secret_sha256: columns.take()?,
                    created_at: columns.time()?,
                })
            })?;
            rows.collect()
        })
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

    /// Audit entries after this number, oldest first, each with its number.
    pub fn audit_after(&self, number: u64, limit: usize) -> Result<Vec<(u64, AuditRow)>, Error> {
        let rows = integer(limit.min(limits::ROWS_PER_PAGE) as u64);
        self.run(|connection| {
            let mut statement = connection.prepare_cached(AUDIT)?;
            let rows = statement.query_map((integer(number), rows), |row| {
                let mut columns = Columns::of(row);
                let number = columns.count()?;
                let entry = AuditRow {
                    at: columns.time()?,
                    principal: columns.id()?,
                    action: columns.take()?,
                    object: columns.take()?,
                    request_id: columns.id()?,
                };
                Ok((number, entry))
            })?;
            rows.collect()
        })
    }
}
