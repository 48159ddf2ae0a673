//! [`Books`] on SQLite.

use super::Sqlite;
use crate::sqlite::{Reader, Transaction};
use crate::{
    Answer, BooksBatch, Error, LedgerRow, ModelCallFilter, OpeningBooks, Page, SpendCount, SpendKey, Window,
    operations::Books,
};
use domain::{JobId, ModelCallId, Timestamp};
use std::{thread, time::Duration};

/// Model calls that the writer's thread writes at a stretch: a fifth of a millisecond. Linux lets a thread that computes go
/// on for milliseconds, and whoever passes a call on and is woken on the same core waits for it, even while another core is
/// idle.
const CALLS_PER_STRETCH: usize = 16;

/// Between two stretches: just enough to be taken off the core.
const REST: Duration = Duration::from_micros(20);

impl Books for Sqlite {
    fn open_books(&self, windows: Vec<Window>) -> Answer<OpeningBooks> {
        self.read(move |reader| {
            let mut spend = Vec::new();
            for window in &windows {
                let mut rows = reader.spend_since("key", window.period, window.begins_at)?;
                rows.sort_by_key(|row| row.begins_at);
                spend.extend(rows.into_iter().map(|row| (*window, row)));
            }
            Ok(OpeningBooks { policies: reader.key_policies()?, spend, ledger_head: reader.ledger_head()? })
        })
    }

    fn book(&self, batch: BooksBatch) -> Answer<bool> {
        self.write(move |transaction| book(transaction, &batch))
    }

    fn spend_of(&self, key: SpendKey) -> Answer<SpendCount> {
        self.read(move |reader| reader.spend_of(key.account_kind, key.account, key.period, key.begins_at))
    }

    fn jobs_over(&self, jobs: Vec<JobId>) -> Answer<Vec<JobId>> {
        self.read(move |reader| {
            let is_over = |reader: &Reader<'_>, job| {
                Ok::<_, Error>(reader.job_head(job)?.is_none_or(|head| head.state.is_terminal()))
            };
            let mut over = Vec::new();
            for job in jobs {
                if is_over(reader, job)? {
                    over.push(job);
                }
            }
            Ok(over)
        })
    }

    fn model_call(&self, id: ModelCallId) -> Answer<Option<String>> {
        self.read(move |reader| reader.model_call(id))
    }

    fn page_of_model_calls(&self, filter: ModelCallFilter) -> Answer<Page<String>> {
        self.read(move |reader| reader.page_of_model_calls(&filter))
    }

    fn sweep_model_calls(&self, before: Timestamp, limit: usize) -> Answer<usize> {
        self.write(move |transaction| transaction.delete_model_calls_before(before, limit))
    }

    fn page_of_ledger(&self, after: u64, limit: usize) -> Answer<Page<LedgerRow>> {
        self.read(move |reader| reader.page_of_ledger(after, limit))
    }
}

fn book(transaction: &mut Transaction<'_>, batch: &BooksBatch) -> Result<bool, Error> {
    if !transaction.begin_batch(batch.number)? {
        return Ok(false);
    }
    for (key, more) in &batch.spend {
        transaction.add_spend(key, *more)?;
    }
    for (count, call) in batch.calls.iter().enumerate() {
        if count > 0 && count.is_multiple_of(CALLS_PER_STRETCH) {
            thread::sleep(REST);
        }
        transaction.put_model_call(call)?;
    }
    for entry in &batch.ledger {
        transaction.append_ledger(entry)?;
    }
    Ok(true)
}
