//! Writing policies of keys, spend, model calls and the egress ledger.

use crate::sqlite::Transaction;
use crate::{
    BatchNumber, Error, KeyPolicyRow, LedgerRow, ModelCallRow, SpendCount, SpendKey,
    sqlite::column::{Id, integer},
};
use domain::{PrincipalId, Timestamp};

const PUT_POLICY: &str = "INSERT INTO key_policies (principal, policy, updated_at) VALUES (?1, ?2, ?3) \
     ON CONFLICT (principal) DO UPDATE SET policy = excluded.policy, updated_at = excluded.updated_at";
pub(crate) const DELETE_POLICY: &str = "DELETE FROM key_policies WHERE principal = ?1";
const ADD_SPEND: &str = "INSERT INTO spend (account_kind, period, begins_at, account, tokens, microusd, requests) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (account_kind, period, begins_at, account) DO UPDATE SET \
     tokens = tokens + excluded.tokens, microusd = microusd + excluded.microusd, requests = requests + excluded.requests";
/// Most that one call of [`Transaction::add_spend`] adds of anything: sums of a million such numbers still fit.
const MOST_ADDED: u64 = 1 << 42;
const PUT_CALL: &str = "INSERT OR REPLACE INTO model_calls (id, at, principal, job, route, provider, model, digest, \
     state, input_tokens, output_tokens, cost_microusd, first_token_ms, total_ms, detail) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
pub(crate) const DELETE_CALLS: &str = "DELETE FROM model_calls WHERE call_key IN \
     (SELECT call_key FROM model_calls WHERE at < ?1 ORDER BY at LIMIT ?2)";
const APPEND_LEDGER: &str = "INSERT INTO egress_ledger (seq, at, call_id, principal, job, provider, model, body_sha256, \
     body_bytes, redactions, reason, prev_hash, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
const PUT_BATCH: &str = "INSERT INTO journal (only_row, run, batch) VALUES (1, ?1, ?2) \
     ON CONFLICT (only_row) DO UPDATE SET run = excluded.run, batch = excluded.batch";

impl Transaction<'_> {
    /// Stores a key's policy in place of the one it had.
    pub fn put_key_policy(&mut self, row: &KeyPolicyRow) -> Result<(), Error> {
        self.run(|connection| {
            let mut statement = connection.prepare_cached(PUT_POLICY)?;
            statement.execute((row.principal.blob(), &row.policy, row.updated_at.as_millis()))
        })?;
        Ok(())
    }

    /// Says whether there was one.
    pub fn delete_key_policy(&mut self, principal: PrincipalId) -> Result<bool, Error> {
        self.run(|connection| Ok(connection.prepare_cached(DELETE_POLICY)?.execute([principal.blob()])? > 0))
    }

    /// Marks a batch as counted. `false`: it was counted before, and nothing of it may be written again.
    pub fn begin_batch(&mut self, number: BatchNumber) -> Result<bool, Error> {
        if self.last_batch()?.is_some_and(|last| last.run == number.run && last.batch >= number.batch) {
            return Ok(false);
        }
        self.run(|connection| {
            connection.prepare_cached(PUT_BATCH)?.execute((number.run.into_bytes(), integer(number.batch)))
        })?;
        Ok(true)
    }

    /// Adds to what an account used in a window.
    pub fn add_spend(&mut self, key: &SpendKey, more: SpendCount) -> Result<(), Error> {
        self.run(|connection| {
            connection.prepare_cached(ADD_SPEND)?.execute((
                key.account_kind,
                key.period,
                key.begins_at.as_millis(),
                key.account.into_bytes(),
                integer(more.tokens.min(MOST_ADDED)),
                integer(more.microusd.min(MOST_ADDED)),
                integer(more.requests.min(MOST_ADDED)),
            ))
        })?;
        Ok(())
    }

    /// Stores a model call, in place of an earlier record of the same one.
    pub fn put_model_call(&mut self, row: &ModelCallRow) -> Result<(), Error> {
        self.run(|connection| {
            connection.prepare_cached(PUT_CALL)?.execute(rusqlite::params![
                row.id.blob(),
                row.at.as_millis(),
                row.principal.blob(),
                row.job.map(Id::blob),
                row.route,
                row.provider,
                row.model,
                row.digest,
                row.state,
                row.input_tokens.map(integer),
                row.output_tokens.map(integer),
                row.cost_microusd.map(integer),
                row.first_token_ms.map(integer),
                row.total_ms.map(integer),
                row.detail,
            ])
        })?;
        Ok(())
    }

    /// Forgets at most `limit` model calls made before this time, oldest first, and says how many. Spend stays.
    pub fn delete_model_calls_before(&mut self, time: Timestamp, limit: usize) -> Result<usize, Error> {
        let limit = integer(limit as u64);
        self.run(|connection| connection.prepare_cached(DELETE_CALLS)?.execute((time.as_millis(), limit)))
    }

    /// Appends an entry. [`Error::Constraint`] when its seq is not the next one.
    pub fn append_ledger(&mut self, row: &LedgerRow) -> Result<(), Error> {
        self.run(|connection| {
            connection.prepare_cached(APPEND_LEDGER)?.execute(rusqlite::params![
                integer(row.seq),
                row.at.as_millis(),
                row.call_id.blob(),
                row.principal.blob(),
                row.job.map(Id::blob),
                row.provider,
                row.model,
                row.body_sha256,
                integer(row.body_bytes),
                row.redactions,
                row.reason,
                row.prev_hash.0,
                row.hash.0,
            ])
        })?;
        Ok(())
    }
}
