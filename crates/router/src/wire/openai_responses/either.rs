//! A stream of events, or the whole answer in one body: some servers send either, whatever was asked for.

use super::{reader::ResponsesReader, retold};
use crate::{
    Error, Frame,
    endpoint::BODY_BYTES,
    providers::{ByteStream, ChatStream},
    wire::{openai::provider::Origin, stream},
};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream as streams};

/// What it is shows in its first byte, whatever its head says: no event begins with a brace.
pub(crate) fn decode(origin: Origin, reader: ResponsesReader, bytes: ByteStream) -> ChatStream {
    let decoded = streams::once(async move {
        let mut bytes = bytes;
        let mut begun = BytesMut::new();
        while begun.trim_ascii_start().is_empty() {
            match bytes.next().await {
                Some(Ok(more)) => begun.extend_from_slice(&more),
                Some(Err(error)) => return once(Err(error)),
                None => break,
            }
        }
        if begun.trim_ascii_start().starts_with(b"{") {
            let body = match rest(&origin, begun, bytes).await {
                Ok(body) => body,
                Err(error) => return once(Err(error)),
            };
            return match retold::events(&body) {
                Some(events) => stream::decode(origin, reader, streams::iter([Ok(events)])),
                None => once(reader.body(&body)),
            };
        }
        let begun = streams::iter([Ok(begun.freeze())]);
        stream::decode(origin, reader, begun.chain(bytes))
    });
    Box::pin(decoded.flatten())
}

fn once(frame: Result<Frame, Error>) -> ChatStream {
    Box::pin(streams::iter([frame]))
}

async fn rest(origin: &Origin, mut body: BytesMut, mut bytes: ByteStream) -> Result<Bytes, Error> {
    while let Some(more) = bytes.next().await {
        body.extend_from_slice(&more?);
        if body.len() > BODY_BYTES {
            let provider = origin.endpoint.provider.clone();
            return Err(Error::TooLarge { provider, what: "a body", limit_bytes: BODY_BYTES });
        }
    }
    Ok(body.freeze())
}
