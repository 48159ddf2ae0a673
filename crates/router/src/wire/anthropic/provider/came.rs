//! How an answer came: as a stream or in one body, whatever was asked for. Its first bytes tell.

use crate::{
    Error,
    endpoint::BODY_BYTES,
    providers::{ByteStream, ChatStream},
    wire::{
        anthropic::{one_body::one_body, reader::MessagesReader},
        openai::provider::Origin,
        stream::{self, Reader},
    },
};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream as futures};

/// What a line of a stream of events begins with.
const FIELDS: [&[u8]; 5] = [b"event", b"data", b"id", b"retry", b":"];

/// The answer's frames. Nothing is read before they are asked for.
pub(crate) fn decode(reader: MessagesReader, origin: Origin, body: ByteStream, streamed: bool) -> ChatStream {
    Box::pin(futures::once(frames(reader, origin, body, streamed)).try_flatten())
}

async fn frames(reader: MessagesReader, origin: Origin, body: ByteStream, streamed: bool) -> Result<ChatStream, Error> {
    let (head, body) = begun(body).await?;
    let body = futures::iter([Ok(head.clone())]).chain(body);
    if is_stream(&head) {
        let passes = reader.passes();
        let frames = stream::decode(origin.clone(), reader, body);
        if streamed || !passes {
            return Ok(frames);
        }
        let frame = one_body(frames.try_collect().await?).map_err(|why| origin.endpoint.malformed(&why))?;
        return Ok(Box::pin(futures::iter([Ok(frame)])));
    }
    let body = gathered(&origin, body).await?;
    let frames = if streamed { reader.retold(&body)? } else { vec![reader.body(body)?] };
    Ok(Box::pin(futures::iter(frames.into_iter().map(Ok))))
}

/// Enough of the beginning to tell, and the rest.
async fn begun(mut body: ByteStream) -> Result<(Bytes, ByteStream), Error> {
    let mut head = Bytes::new();
    while is_open(&head) && head.len() <= BODY_BYTES {
        let Some(more) = body.next().await else { break };
        let more = more?;
        head = if head.is_empty() { more } else { [head, more].concat().into() };
    }
    Ok((head, body))
}

/// Whether more bytes are needed to tell.
fn is_open(head: &[u8]) -> bool {
    let line = head.trim_ascii_start();
    FIELDS.iter().any(|field| field.len() > line.len() && field.starts_with(line))
}

fn is_stream(head: &[u8]) -> bool {
    let line = head.trim_ascii_start();
    line.is_empty() || FIELDS.iter().any(|field| line.starts_with(field) || field.starts_with(line))
}

async fn gathered(
    origin: &Origin,
    body: impl futures_util::Stream<Item = Result<Bytes, Error>>,
) -> Result<Bytes, Error> {
    let mut body = std::pin::pin!(body);
    let mut whole = BytesMut::new();
    while let Some(more) = body.try_next().await? {
        if whole.len() + more.len() > BODY_BYTES {
            let provider = origin.endpoint.provider.clone();
            return Err(Error::TooLarge { provider, what: "a body", limit_bytes: BODY_BYTES });
        }
        if whole.is_empty() {
            whole = BytesMut::from(more);
        } else {
            whole.extend_from_slice(&more);
        }
    }
    Ok(whole.freeze())
}
