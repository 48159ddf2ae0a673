//! Reading Server-Sent Events the way a browser does.

use futures_util::StreamExt;
use reqwest::Response;
use std::time::Duration;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SseEvent {
    pub id: Option<String>,
    pub event: String,
    pub data: String,
}

impl SseEvent {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {}", self.data))
    }
}

pub struct SseStream {
    chunks: futures_util::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    unread: Vec<u8>,
}

impl SseStream {
    pub fn new(response: Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self { chunks: response.bytes_stream().boxed(), unread: Vec::new() }
    }

    /// The next event; `None` once the stream has ended. Comments are passed over.
    pub async fn next(&mut self) -> Option<SseEvent> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.unread.drain(..end + 2).collect();
                let block = String::from_utf8(block).unwrap();
                let mut event = SseEvent::default();
                for line in block.lines().filter(|line| !line.is_empty() && !line.starts_with(':')) {
                    let (field, value) = line.split_once(": ").unwrap();
                    match field {
                        "id" => event.id = Some(value.into()),
                        "event" => event.event = value.into(),
                        "data" => event.data.push_str(value),
                        other => panic!("unknown field {other}"),
                    }
                }
                if event != SseEvent::default() {
                    return Some(event);
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.chunks.next()).await;
            match chunk.expect("the stream neither speaks nor ends") {
                Some(Ok(chunk)) => self.unread.extend_from_slice(&chunk),
                Some(Err(_)) | None => return None,
            }
        }
    }

    pub async fn rest(mut self) -> Vec<SseEvent> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}
