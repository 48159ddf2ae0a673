//! From typed events to the rows of the log, and back to the wire.

use crate::Error;
use domain::{CanonicalJson, Cursor, Epoch, JobId, Timestamp};
use protocol::{Actor, Event, EventBody};
use store::{EventRow, NewEvent};

/// The type name of the last event of every log.
pub(crate) const CLOSED: &str = "closed";

/// An event as the store takes it. Canonicalising costs time in proportion to the payload: big ones are drafted before
/// the write is queued, so that the writer thread only copies bytes.
pub(crate) fn draft(actor: Actor, attempt: u32, at: Timestamp, body: EventBody) -> Result<NewEvent, Error> {
    let (event_type, payload) = body.into_parts().map_err(domain::NotCanonical::from)?;
    Ok(NewEvent { event_type, actor: actor.as_str(), attempt, at, payload: CanonicalJson::of_value(&payload)? })
}

/// `epoch` is that of the data folder now: the row keeps the one it was hashed under, which a restore leaves behind.
pub(crate) fn to_wire(row: EventRow, epoch: Epoch) -> Result<Event, Error> {
    let job = row.job_id;
    let unreadable = |what, detail: String| Error::Unreadable { job, what, detail };
    Ok(Event {
        cursor: Cursor { epoch, seq: row.seq },
        job_id: job,
        epoch: row.epoch,
        seq: row.seq,
        at: row.at,
        actor: Actor::parse(&row.actor).ok_or_else(|| unreadable("event actor", row.actor.clone()))?,
        attempt: row.attempt,
        payload: serde_json::from_str(row.payload.as_str())
            .map_err(|error| unreadable("event payload", format!("seq {}: {error}", row.seq)))?,
        event_type: row.event_type,
        previous: row.previous,
        hash: row.hash,
    })
}

/// A piece of JSON out of a job's row.
pub(crate) fn stored<T: serde::de::DeserializeOwned>(job: JobId, what: &'static str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::Unreadable { job, what, detail: error.to_string() })
}

/// A piece of JSON into a row.
pub(crate) fn to_store(value: &impl serde::Serialize) -> Result<String, Error> {
    Ok(serde_json::to_string(value).map_err(domain::NotCanonical::from)?)
}
