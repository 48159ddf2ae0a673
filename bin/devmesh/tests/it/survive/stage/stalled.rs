//! Readers that do not read: a tab that sleeps, a laptop that was closed. They stand beside the others in load tests.

use super::Backend;
use anyhow::{Context, Result};
use domain::JobId;
use futures_util::SinkExt as _;
use protocol::ClientMessage;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

/// What the kernel takes for a reader that does not read (bytes): the server soon notices.
const UNREAD_BYTES: u32 = 4 << 10;

/// Connected and subscribed, and never read from until it is dropped.
pub(crate) struct Stalled {
    _stream: TcpStream,
    _socket: WebSocketStream<TcpStream>,
}

impl Stalled {
    /// A stream of the first of these jobs, and a socket that follows all of them and the list.
    pub(crate) async fn beside(backend: &Backend, jobs: &[JobId]) -> Result<Self> {
        let url = backend.url();
        let address = url.trim_start_matches("http://");
        let mut stream = connect(address).await?;
        let (job, token) = (jobs.first().context("no job to follow")?, backend.admin_token()?);
        let request = format!(
            "GET /api/v1/jobs/{job}/events HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
             accept: text/event-stream\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let ticket = backend.client()?.websocket_ticket().await?.ticket;
        let (socket, url) = (connect(address).await?, format!("ws://{address}/api/v1/ws?ticket={ticket}"));
        let (mut socket, _) = tokio_tungstenite::client_async(url, socket).await.context("opening a WebSocket")?;
        let topics = jobs.iter().map(|job| format!("job:{job}")).chain(["jobs".to_owned()]);
        for topic in topics {
            let subscribe = ClientMessage::Subscribe { topic, after: None };
            socket.send(Message::text(serde_json::to_string(&subscribe)?)).await?;
        }
        Ok(Self { _stream: stream, _socket: socket })
    }
}

async fn connect(address: &str) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(UNREAD_BYTES)?;
    Ok(socket.connect(address.parse()?).await?)
}
