//! Frames of the streams, put together from stored text.
//!
//! A payload is canonical JSON in the store and goes out byte for byte: parsing and printing a million of them would cost
//! more than everything else a replay does.

use crate::problem::Failure;
use domain::{Cursor, Epoch, RequestId};
use protocol::{Reset, StreamHeartbeat};
use std::fmt::Write as _;
use store::EventRow;

/// The event as JSON, as [`protocol::Event`] would print it. `epoch` is the data folder's now; a restored row was written
/// under an earlier one, which its hash covers and its cursor does not.
pub fn write_event(out: &mut String, row: &EventRow, epoch: Epoch) {
    // Writing to a String cannot fail. `actor` and `event_type` come from closed sets of plain names.
    let _ = write!(
        out,
        r#"{{"cursor":"{epoch}.{seq}","job_id":"{job}","epoch":"{written_in}","seq":{seq},"at":"{at}","actor":"{actor}","attempt":{attempt},"type":"{event_type}","payload":{payload},"previous":"{previous}","hash":"{hash}"}}"#,
        seq = row.seq,
        job = row.job_id,
        written_in = row.epoch,
        at = row.at,
        actor = row.actor,
        attempt = row.attempt,
        event_type = row.event_type,
        payload = row.payload.as_str(),
        previous = row.previous,
        hash = row.hash,
    );
}

/// The event as one Server-Sent Event. JSON text holds no raw line break, so one `data` line is enough.
pub fn write_sse_event(out: &mut String, row: &EventRow, epoch: Epoch) {
    let _ = write!(out, "id: {epoch}.{}\nevent: {}\ndata: ", row.seq, row.event_type);
    write_event(out, row, epoch);
    out.push_str("\n\n");
}

/// Has no `id`: it is not a place in the log, and must not become the browser's last one.
pub fn sse_heartbeat(head: Cursor) -> String {
    sse("heartbeat", &StreamHeartbeat { head })
}

pub fn sse_reset(reset: &Reset) -> String {
    sse("reset", reset)
}

/// The last event of a stream that cannot go on.
pub fn sse_error(failure: Failure, request: RequestId) -> String {
    sse("error", &failure.into_problem(request))
}

/// One Server-Sent Event without an id.
pub fn sse(event: &str, data: &impl serde::Serialize) -> String {
    // Wire types hold text, numbers and lists, which always have a JSON form.
    format!("event: {event}\ndata: {}\n\n", serde_json::to_string(data).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{CanonicalJson, EventHash, Timestamp};
    use protocol::{Actor, Event};

    fn row() -> EventRow {
        EventRow {
            job_id: "019a2b3c-0000-7000-8000-000000000001".parse().unwrap(),
            epoch: Epoch(7),
            seq: 12,
            event_type: "tool.output".into(),
            actor: "agent".into(),
            attempt: 3,
            at: Timestamp::from_millis(1_795_386_615_007),
            payload: CanonicalJson::of(&serde_json::json!({"call_id": "1", "text": "a\r\nb\u{2028}\"c\"\u{0}"}))
                .unwrap(),
            previous: EventHash::START,
            hash: EventHash([9; 32]),
        }
    }

    #[test]
    fn a_frame_is_what_serde_would_write() {
        let row = row();
        let event = Event {
            cursor: Cursor { epoch: Epoch(8), seq: 12 },
            job_id: row.job_id,
            epoch: row.epoch,
            seq: 12,
            at: row.at,
            actor: Actor::Agent,
            attempt: 3,
            event_type: row.event_type.clone(),
            payload: serde_json::from_str(row.payload.as_str()).unwrap(),
            previous: row.previous,
            hash: row.hash,
        };
        let mut text = String::new();
        write_event(&mut text, &row, Epoch(8));
        assert_eq!(text, serde_json::to_string(&event).unwrap());
    }

    #[test]
    fn nothing_in_a_payload_can_end_its_frame() {
        let mut text = String::new();
        write_sse_event(&mut text, &row(), Epoch(8));
        let lines: Vec<_> = text.split(['\n', '\r']).collect();
        assert_eq!(lines.len(), 5, "{text:?}");
        assert_eq!((lines[0], lines[1]), ("id: 00000008.12", "event: tool.output"));
        assert!(lines[2].starts_with("data: {"));
    }
}
