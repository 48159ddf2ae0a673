//! Readers that do not read: a browser tab that sleeps, a laptop that was closed. Everybody else should not notice.

use crate::server::Server;
use anyhow::{Context, Result, ensure};
use domain::JobId;
use futures_util::SinkExt as _;
use protocol::ClientMessage;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

/// More than one of each: whatever a single one of them holds would be missing twice.
const STREAMS: usize = 4;
const SOCKETS: usize = 4;

/// Connected and subscribed, and never read from until they are dropped.
pub struct Stalled {
    _streams: Vec<TcpStream>,
    _sockets: Vec<WebSocketStream<MaybeTlsStream<TcpStream>>>,
}

impl Stalled {
    /// Beside whoever else reads these jobs: each stream follows one of them, each socket all.
    pub async fn beside(server: &Server, jobs: &[JobId]) -> Result<Self> {
        ensure!(!jobs.is_empty(), "no job to follow");
        let (mut streams, mut sockets) = (Vec::new(), Vec::new());
        for number in 0..STREAMS {
            streams.push(stream(server, jobs[number % jobs.len()]).await?);
        }
        for _ in 0..SOCKETS {
            sockets.push(socket(server, jobs).await?);
        }
        Ok(Self { _streams: streams, _sockets: sockets })
    }
}

async fn stream(server: &Server, job: JobId) -> Result<TcpStream> {
    let address = server.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await?;
    let token = server.admin_token()?;
    let request = format!(
        "GET /api/v1/jobs/{job}/events HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         accept: text/event-stream\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

async fn socket(server: &Server, jobs: &[JobId]) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>> {
    let ticket = server.client()?.websocket_ticket().await?.ticket;
    let address = format!("{}/api/v1/ws?ticket={ticket}", server.url.replacen("http", "ws", 1));
    let (mut socket, _) = tokio_tungstenite::connect_async(address).await.context("opening a WebSocket")?;
    for job in jobs {
        let subscribe = ClientMessage::Subscribe { topic: format!("job:{job}"), after: None };
        socket.send(Message::text(serde_json::to_string(&subscribe)?)).await?;
    }
    Ok(socket)
}
