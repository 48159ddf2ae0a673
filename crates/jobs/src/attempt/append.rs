//! Events from an agent, in numbered batches: a batch sent twice is stored once, and one that went missing is noticed.

use super::fence;
use crate::{Caller, Error, Handle, handle::Batch, validate::Mistakes};
use domain::JobId;
use protocol::{Actor, AppendEvents, Appended, EventBody};

/// Events of one batch. Enough for a burst of output at 20 ms per event and 5 s between batches.
const BATCH_EVENTS: usize = 256;
/// Canonical bytes of one event's payload. Tool output is shown up to 10,000 characters and streamed in pieces, so
/// anything near this is a mistake; whole outputs are artifacts.
const EVENT_BYTES: usize = 1 << 20;

impl Handle {
    /// Appends a batch under the attempt, durably, and answers with where the log ends.
    pub async fn append(&self, caller: &Caller, job: JobId, append: AppendEvents) -> Result<Appended, Error> {
        let fence = fence(caller, job, append.epoch, append.attempt)?;
        check(&append)?;
        let shared = &self.shared;
        let producer_seq = append.producer_seq;
        let mut batch = Batch::new(Actor::Agent, append.attempt, shared.now(), append.events)?;
        if let Some(at) = batch.events.iter().position(|event| event.payload.as_str().len() > EVENT_BYTES) {
            let bytes = batch.events[at].payload.as_str().len();
            let detail = format!("is {bytes} bytes; {EVENT_BYTES} are allowed. Put the whole of it into an artifact");
            return Err(Error::invalid(&format!("/events/{at}/payload"), detail));
        }
        let (number, ran_ms) = (batch.id(producer_seq), shared.live.ran_ms(job, append.attempt));
        let count = batch.count(ran_ms);
        let append =
            store::Append { fence, batch: Some(number), events: batch.events, spent_calls: batch.calls, count };
        let appended = shared.store.append_under_fence(append).await?;
        shared.live.heard(job, fence.attempt);
        Ok(Appended { head: appended.head, repeated: appended.repeated })
    }
}

fn check(append: &AppendEvents) -> Result<(), Error> {
    let mut mistakes = Mistakes::default();
    if !(1..=BATCH_EVENTS).contains(&append.events.len()) {
        mistakes.add("/events", format!("has {} events; 1 to {BATCH_EVENTS} are allowed", append.events.len()));
    }
    if append.producer_seq == 0 {
        mistakes.add("/producer_seq", "is 0; the first batch of an attempt is 1");
    }
    let foreign = |event: &&EventBody| !event.is_agents_to_write();
    for (index, _) in append.events.iter().enumerate().filter(|(_, event)| foreign(event)) {
        let detail =
            "is of a type the backend writes itself; agents append sandbox, workspace, tool, budget and note events";
        mistakes.add(&format!("/events/{index}/type"), detail);
    }
    mistakes.into_result()
}
