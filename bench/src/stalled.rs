//! Readers that do not read: a browser tab that sleeps, a laptop that was closed. Everybody else should not notice.

use crate::server::Server;
use anyhow::{Context, Result, ensure};
use domain::JobId;
use futures_util::SinkExt as _;
use protocol::ClientMessage;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

/// More than one of each: whatever a single one of them holds would be missing twice.
const STREAMS: usize = 4;
const SOCKETS: usize = 4;

/// What the kernel takes for a reader that does not read (bytes): the server soon notices.
const UNREAD_BYTES: u32 = 4 << 10;

/// Connected and subscribed, and never read from until they are dropped.
pub struct Stalled {
    _streams: Vec<TcpStream>,
    _sockets: Vec<WebSocketStream<TcpStream>>,
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
    let mut stream = connect(address).await?;
    let token = server.admin_token()?;
    let request = format!(
        "GET /api/v1/jobs/{job}/events HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
         accept: text/event-stream\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

async fn socket(server: &Server, jobs: &[JobId]) -> Result<WebSocketStream<TcpStream>> {
    let ticket = server.client()?.websocket_ticket().await?.ticket;
    let address = server.url.trim_start_matches("http://");
    let (url, stream) = (format!("ws://{address}/api/v1/ws?ticket={ticket}"), connect(address).await?);
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.context("opening a WebSocket")?;
    for job in jobs {
        let subscribe = ClientMessage::Subscribe { topic: format!("job:{job}"), after: None };
        socket.send(Message::text(serde_json::to_string(&subscribe)?)).await?;
    }
    Ok(socket)
}

async fn connect(address: &str) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(UNREAD_BYTES)?;
    Ok(socket.connect(address.parse()?).await?)
}
