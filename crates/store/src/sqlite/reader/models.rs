//! Policies of keys, spend, model calls and the egress ledger.

use crate::sqlite::Reader;
use crate::{
    AccountSpend, BatchNumber, Error, KeyPolicyRow, LedgerRow, ModelCallFilter, Page, SpendCount,
    sqlite::{
        column::{Columns, Id, integer},
        reader::page::Room,
    },
    unreadable::reading,
};
use domain::{EventHash, ModelCallId, PrincipalId, Timestamp};
use rusqlite::{OptionalExtension, Row};
use uuid::Uuid;

pub(super) const POLICIES: &str = "SELECT principal, policy, updated_at FROM key_policies ORDER BY principal";
pub(super) const POLICY: &str = "SELECT principal, policy, updated_at FROM key_policies WHERE principal = ?1";
pub(super) const SPEND_SINCE: &str = "SELECT account, begins_at, tokens, microusd, requests FROM spend \
     WHERE account_kind = ?1 AND period = ?2 AND begins_at >= ?3";
pub(super) const SPEND_OF: &str = "SELECT account, begins_at, tokens, microusd, requests FROM spend \
     WHERE account_kind = ?1 AND period = ?2 AND begins_at = ?3 AND account = ?4";
pub(super) const CALL: &str = "SELECT id, detail FROM model_calls WHERE id = ?1";
pub(super) const CALLS: &str = "SELECT id, detail FROM model_calls WHERE id < ?1 ORDER BY id DESC LIMIT ?2";
pub(super) const CALLS_OF_PRINCIPAL: &str =
    "SELECT id, detail FROM model_calls WHERE principal = ?3 AND id < ?1 ORDER BY id DESC LIMIT ?2";
/// ?3: principal or NULL.
pub(super) const CALLS_OF_JOB: &str = "SELECT id, detail FROM model_calls WHERE job = ?4 AND id < ?1 \
     AND (?3 IS NULL OR principal = ?3) ORDER BY id DESC LIMIT ?2";
pub(super) const LEDGER_HEAD: &str = "SELECT seq, hash FROM egress_ledger ORDER BY seq DESC LIMIT 1";
pub(super) const LEDGER: &str = "SELECT seq, at, call_id, principal, job, provider, model, body_sha256, body_bytes, \
     redactions, reason, prev_hash, hash FROM egress_ledger WHERE seq > ?1 ORDER BY seq LIMIT ?2";
pub(super) const LAST_BATCH: &str = "SELECT run, batch FROM journal WHERE only_row = 1";

impl Reader<'_> {
    /// The policy of every key that has one; people make them one by one.
    pub fn key_policies(&self) -> Result<Vec<KeyPolicyRow>, Error> {
        self.run(|connection| connection.prepare_cached(POLICIES)?.query_map((), policy_row)?.collect())
    }

    pub fn key_policy(&self, principal: PrincipalId) -> Result<Option<KeyPolicyRow>, Error> {
        self.run(|connection| connection.prepare_cached(POLICY)?.query_row([principal.blob()], policy_row).optional())
    }

    /// What every account of a kind used in windows that begin then or later.
    pub fn spend_since(&self, kind: &str, period: &str, begins_at: Timestamp) -> Result<Vec<AccountSpend>, Error> {
        self.run(|connection| {
            let mut statement = connection.prepare_cached(SPEND_SINCE)?;
            statement.query_map((kind, period, begins_at.as_millis()), spend_row)?.collect()
        })
    }

    /// What one account used in one window; nothing where there is no row.
    pub fn spend_of(&self, kind: &str, account: Uuid, period: &str, begins_at: Timestamp) -> Result<SpendCount, Error> {
        self.run(|connection| {
            let mut statement = connection.prepare_cached(SPEND_OF)?;
            let key = (kind, period, begins_at.as_millis(), account.into_bytes());
            Ok(statement.query_row(key, spend_row).optional()?.map(|row| row.count).unwrap_or_default())
        })
    }

    /// The JSON of one model call.
    pub fn model_call(&self, id: ModelCallId) -> Result<Option<String>, Error> {
        self.run(|connection| connection.prepare_cached(CALL)?.query_row([id.blob()], model_call).optional())
    }

    /// A page of model calls, newest first, each as JSON.
    pub fn page_of_model_calls(&self, filter: &ModelCallFilter) -> Result<Page<String>, Error> {
        let (before, room) = (filter.before.map_or([0xff; 16], Id::blob), Room::of(filter.limit));
        let (rows, principal) = (room.limit(), filter.principal.map(Id::blob));
        self.run(|connection| {
            let mut statement = connection.prepare_cached(match (filter.job, principal) {
                (Some(_), _) => CALLS_OF_JOB,
                (None, Some(_)) => CALLS_OF_PRINCIPAL,
                (None, None) => CALLS,
            })?;
            let found = match (filter.job, principal) {
                (Some(job), _) => statement.query((before, rows, principal, job.blob()))?,
                (None, Some(principal)) => statement.query((before, rows, principal))?,
                (None, None) => statement.query((before, rows))?,
            };
            room.fill(found, model_call, String::len)
        })
    }

    /// The last entry's seq and hash; 0 and [`EventHash::START`] before the first.
    pub fn ledger_head(&self) -> Result<(u64, EventHash), Error> {
        self.run(|connection| {
            let mut statement = connection.prepare_cached(LEDGER_HEAD)?;
            let head = statement.query_row((), |row| {
                let mut columns = Columns::of(row);
                Ok((columns.count()?, columns.hash()?))
            });
            Ok(head.optional()?.unwrap_or((0, EventHash::START)))
        })
    }

    /// Entries after this seq, oldest first.
    pub fn page_of_ledger(&self, after: u64, limit: usize) -> Result<Page<LedgerRow>, Error> {
        let room = Room::of(limit);
        self.run(|connection| {
            let mut statement = connection.prepare_cached(LEDGER)?;
            let found = statement.query((integer(after), room.limit()))?;
            room.fill(found, ledger_row, |row| row.model.len() + row.reason.len())
        })
    }

    /// The journal's last batch that is in here.
    pub fn last_batch(&self) -> Result<Option<BatchNumber>, Error> {
        self.run(|connection| {
            let mut statement = connection.prepare_cached(LAST_BATCH)?;
            let row = statement.query_row((), |row| {
                let mut columns = Columns::of(row);
                Ok(BatchNumber { run: Uuid::from_bytes(columns.take()?), batch: columns.count()? })
            });
            row.optional()
        })
    }
}

fn model_call(row: &Row<'_>) -> rusqlite::Result<String> {
    reading("model call", row, |row| row.get(1))
}

fn policy_row(row: &Row<'_>) -> rusqlite::Result<KeyPolicyRow> {
    let mut columns = Columns::of(row);
    Ok(KeyPolicyRow { principal: columns.id()?, policy: columns.take()?, updated_at: columns.time()? })
}

fn spend_row(row: &Row<'_>) -> rusqlite::Result<AccountSpend> {
    let mut columns = Columns::of(row);
    Ok(AccountSpend {
        account: Uuid::from_bytes(columns.take()?),
        begins_at: columns.time()?,
        count: SpendCount { tokens: columns.count()?, microusd: columns.count()?, requests: columns.count()? },
    })
}

fn ledger_row(row: &Row<'_>) -> rusqlite::Result<LedgerRow> {
    reading("egress entry", row, |row| {
        let mut columns = Columns::of(row);
        Ok(LedgerRow {
            seq: columns.count()?,
            at: columns.time()?,
            call_id: columns.id()?,
            principal: columns.id()?,
            job: columns.id_or_null()?,
            provider: columns.take()?,
            model: columns.take()?,
            body_sha256: columns.take()?,
            body_bytes: columns.count()?,
            redactions: columns.take()?,
            reason: columns.take()?,
            prev_hash: columns.hash()?,
            hash: columns.hash()?,
        })
    })
}
