//! Rows about model calls: what keys may do, what was spent, what was asked, what left the machine.

use crate::limits;
use domain::{EventHash, JobId, ModelCallId, PrincipalId, Timestamp};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPolicyRow {
    pub principal: PrincipalId,
    /// JSON.
    pub policy: String,
    pub updated_at: Timestamp,
}

/// Which spend a row counts: one account, one window.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpendKey {
    /// `key`, `job`.
    pub account_kind: &'static str,
    pub account: Uuid,
    /// `total`, `day`, `month`.
    pub period: &'static str,
    /// The window's first moment; 1970 for `total`.
    pub begins_at: Timestamp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpendCount {
    pub tokens: u64,
    pub microusd: u64,
    pub requests: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSpend {
    pub account: Uuid,
    pub begins_at: Timestamp,
    pub count: SpendCount,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelCallRow {
    pub id: ModelCallId,
    pub at: Timestamp,
    pub principal: PrincipalId,
    pub job: Option<JobId>,
    pub route: String,
    pub provider: Option<String>,
    pub model: Option<String>,
    pub digest: Option<String>,
    pub state: &'static str,
    /// `None`: not known.
    pub input_tokens: Option<u64>,
    pub output_tokens: Option<u64>,
    pub cost_microusd: Option<u64>,
    pub first_token_ms: Option<u64>,
    pub total_ms: Option<u64>,
    /// JSON: the whole record, and what reading gives back.
    pub detail: String,
}

/// Which model calls to list, newest first.
#[derive(Clone, Debug)]
pub struct ModelCallFilter {
    pub principal: Option<PrincipalId>,
    pub job: Option<JobId>,
    /// Only calls older than this one: the last of the page before.
    pub before: Option<ModelCallId>,
    /// At most, and by default, [`limits::ROWS_PER_PAGE`].
    pub limit: usize,
}

impl Default for ModelCallFilter {
    fn default() -> Self {
        Self { principal: None, job: None, before: None, limit: limits::ROWS_PER_PAGE }
    }
}

/// One body that left the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// Dense: 1, 2, 3, …
    pub seq: u64,
    pub at: Timestamp,
    pub call_id: ModelCallId,
    pub principal: PrincipalId,
    pub job: Option<JobId>,
    pub provider: String,
    pub model: String,
    /// 64 lower-case hex digits, of the bytes that left.
    pub body_sha256: String,
    pub body_bytes: u64,
    pub redactions: u32,
    pub reason: String,
    pub prev_hash: EventHash,
    pub hash: EventHash,
}

/// A number the journal gives each of its batches: the same one when it sends a batch again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchNumber {
    /// Another one at each start of the program.
    pub run: Uuid,
    /// Counts from 1.
    pub batch: u64,
}
