//! Sends the pieces of an answer with its delays and gates, and notices when the client goes away.

use super::{Shared, Turn, script::Ending};
use axum::{
    body::Body,
    http::{StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::stream;
use std::{collections::VecDeque, convert::Infallible, sync::Arc};
use tokio::time::sleep;

/// Counts an answer as abandoned unless told that it came to its end.
struct Outcome {
    shared: Arc<Shared>,
    finished: bool,
}

impl Drop for Outcome {
    fn drop(&mut self) {
        let finished = self.finished;
        self.shared.log.send_modify(|log| if finished { log.finished += 1 } else { log.abandoned += 1 });
    }
}

/// The dialect has cut the answer into `pieces` already; here they get their timing.
pub(super) async fn respond(shared: Arc<Shared>, turn: Turn, media_type: &str, pieces: Vec<String>) -> Response {
    let mut outcome = Outcome { shared, finished: false };
    if let Some(gate) = &turn.gate {
        gate.pass().await;
    }
    if !turn.delay.is_zero() {
        sleep(turn.delay).await;
    }
    let status = StatusCode::from_u16(turn.status).expect("a script's HTTP status");
    let response = Response::builder().status(status).header(header::CONTENT_TYPE, media_type);
    let body = if turn.status == 200 {
        Body::from_stream(stream::unfold((0, VecDeque::from(pieces), turn, outcome), next))
    } else {
        outcome.finished = true;
        Body::from(pieces.concat())
    };
    response.body(body).expect("a response of scripted parts")
}

type State = (usize, VecDeque<String>, Turn, Outcome);

async fn next((sent, mut pieces, turn, mut outcome): State) -> Option<(Result<Bytes, Infallible>, State)> {
    if let Some((after, gate)) = &turn.gate_after
        && *after == sent
    {
        gate.pass().await;
    }
    let Some(piece) = pieces.pop_front() else {
        if turn.ending == Ending::Stall {
            std::future::pending::<()>().await;
        }
        outcome.finished = true;
        return None;
    };
    // A client may rightly hang up once it has read the last piece.
    outcome.finished = pieces.is_empty() && turn.ending != Ending::Stall;
    if !turn.piece_delay.is_zero() {
        sleep(turn.piece_delay).await;
    }
    Some((Ok(Bytes::from(piece)), (sent + 1, pieces, turn, outcome)))
}
