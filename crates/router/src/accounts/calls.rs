//! Model calls as people look at them: the latest from memory, older ones from the store.

use super::journal::Journal;
use domain::ModelCallId;
use protocol::{ModelCallRecord, ModelCallState};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use store::{ModelCallFilter, Page, Store, limits};

/// Clones share the calls.
#[derive(Clone)]
pub struct Calls {
    shared: Arc<Shared>,
}

struct Shared {
    /// By age: ids sort by the time they were made.
    recent: Mutex<BTreeMap<ModelCallId, Arc<ModelCallRecord>>>,
    /// Most records in memory.
    most: usize,
    journal: Journal,
    store: Store,
}

impl Calls {
    pub(crate) fn new(most: usize, journal: Journal, store: Store) -> Self {
        Self { shared: Arc::new(Shared { recent: Mutex::default(), most, journal, store }) }
    }

    fn recent(&self) -> MutexGuard<'_, BTreeMap<ModelCallId, Arc<ModelCallRecord>>> {
        self.shared.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows a call from now on, in place of an earlier record of it. One that is over is written too.
    pub fn put(&self, record: impl Into<Arc<ModelCallRecord>>) {
        let record = record.into();
        let mut recent = self.recent();
        recent.insert(record.id, Arc::clone(&record));
        let gone = if recent.len() > self.shared.most { recent.pop_first() } else { None };
        drop(recent);
        drop(gone);
        if record.state != ModelCallState::Running {
            self.shared.journal.add_call(record);
        }
    }

    /// # Errors
    /// [`store::Error`] when the call is not in memory and the disk cannot be read.
    pub async fn get(&self, id: ModelCallId) -> Result<Option<ModelCallRecord>, store::Error> {
        let recent = self.recent().get(&id).cloned();
        if let Some(record) = recent {
            return Ok(Some(ModelCallRecord::clone(&record)));
        }
        let detail = self.shared.store.model_call(id).await?;
        detail.as_deref().map(record_of).transpose()
    }

    /// A page, newest first; those that run stand in it as well.
    ///
    /// # Errors
    /// [`store::Error`] when the disk cannot be read.
    pub async fn page(&self, filter: &ModelCallFilter) -> Result<Page<ModelCallRecord>, store::Error> {
        let stored = self.shared.store.page_of_model_calls(filter.clone()).await?;
        let mut page = BTreeMap::new();
        for detail in &stored.rows {
            match record_of(detail) {
                Ok(record) => drop(page.insert(record.id, record)),
                Err(error) => {
                    tracing::error!(%error, "a stored record is damaged, and the list of calls goes on without it")
                }
            }
        }
        // Where the disk has more, what is older than this page belongs to the next one.
        let oldest = page.keys().next().copied().filter(|_| stored.more);
        let limit = filter.limit.min(limits::ROWS_PER_PAGE);
        let fits = |record: &ModelCallRecord| {
            filter.before.is_none_or(|before| record.id < before)
                && oldest.is_none_or(|oldest| record.id > oldest)
                && filter.principal.is_none_or(|principal| record.caller == principal)
                && filter.job.is_none_or(|job| record.job == Some(job))
        };
        let recent: Vec<_> =
            self.recent().values().rev().filter(|record| fits(record)).take(limit + 1).map(Arc::clone).collect();
        for record in recent {
            page.insert(record.id, ModelCallRecord::clone(&record));
        }
        let more = stored.more || page.len() > limit;
        Ok(Page { rows: page.into_values().rev().take(limit).collect(), more })
    }
}

fn record_of(detail: &str) -> Result<ModelCallRecord, store::Error> {
    serde_json::from_str(detail).map_err(|error| store::Error::Corrupt(format!("the record of a model call: {error}")))
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("recent", &self.recent().len()).finish_non_exhaustive()
    }
}
