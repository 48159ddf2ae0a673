//! What models were asked, what it cost, and what left the machine.

use crate::{
    AccountSpend, Answer, BatchNumber, KeyPolicyRow, LedgerRow, ModelCallFilter, ModelCallRow, Page, SpendCount,
    SpendKey,
};
use domain::{EventHash, JobId, ModelCallId, Timestamp};

/// Spend, model calls, the egress ledger.
pub trait Books {
    /// What accounts in memory begin with: everything of one moment.
    fn open_books(&self, windows: Vec<Window>) -> Answer<OpeningBooks>;

    /// Writes a batch, unless it was written before: says whether it was written now.
    fn book(&self, batch: BooksBatch) -> Answer<bool>;

    /// What one account used in one window; nothing where nothing was booked.
    fn spend_of(&self, key: SpendKey) -> Answer<SpendCount>;

    /// Which of these jobs are over or gone, in the order asked.
    fn jobs_over(&self, jobs: Vec<JobId>) -> Answer<Vec<JobId>>;

    /// The JSON of one model call.
    fn model_call(&self, id: ModelCallId) -> Answer<Option<String>>;

    /// Model calls, newest first, each as JSON.
    fn page_of_model_calls(&self, filter: ModelCallFilter) -> Answer<Page<String>>;

    /// Forgets at most `limit` model calls made before this time, oldest first, and says how many. Spend stays.
    fn sweep_model_calls(&self, before: Timestamp, limit: usize) -> Answer<usize>;

    /// Entries after this seq, oldest first.
    fn page_of_ledger(&self, after: u64, limit: usize) -> Answer<Page<LedgerRow>>;
}

/// A time that keys' budgets are counted over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// `total`, `day`, `month`.
    pub period: &'static str,
    /// Its first moment. One that begins later is of a clock that has been set back since, and counts too.
    pub begins_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpeningBooks {
    /// Of every key that has one; people make them one by one.
    pub policies: Vec<KeyPolicyRow>,
    /// Of keys, in the order of the windows asked for, and within one by when it begins.
    pub spend: Vec<(Window, AccountSpend)>,
    /// The last entry's seq and hash; 0 and [`EventHash::START`] before the first.
    pub ledger_head: (u64, EventHash),
}

/// What is written in one transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct BooksBatch {
    pub number: BatchNumber,
    /// Added to what was used before.
    pub spend: Vec<(SpendKey, SpendCount)>,
    /// Each in place of an earlier record of the same call.
    pub calls: Vec<ModelCallRow>,
    /// [`crate::Error::Constraint`] when the first is not the next one.
    pub ledger: Vec<LedgerRow>,
}
