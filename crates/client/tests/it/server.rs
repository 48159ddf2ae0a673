//! A real HTTP server on a free port, with a router given by the test.

use axum::{
    Router,
    body::{Body, Bytes},
    response::Response,
};
use client::{Client, Options};
use futures_util::stream;
use std::{io, net::SocketAddr, time::Duration};
use tokio::{net::TcpListener, task::JoinHandle};

pub struct Server {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(router: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, router)
    }

    pub fn on(listener: TcpListener, router: Router) -> Self {
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, task }
    }

    /// Tries quickly and gives up quickly, so that no test waits for seconds.
    pub fn client(&self) -> Client {
        Client::new(options(self.address)).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn options(address: SocketAddr) -> Options {
    let mut options = Options::new(format!("http://{address}"), "dm_user_secret");
    options.retry.first_delay = Duration::from_millis(1);
    options.retry.longest_delay = Duration::from_millis(20);
    options.retry.give_up_after = Duration::from_secs(5);
    options.stream_give_up_after = Duration::from_secs(5);
    options
}

pub fn problem(status: u16, code: &str) -> Response {
    let body = serde_json::json!({
        "type": format!("/api/errors/{code}"), "title": "Title", "status": status, "detail": "What happened.", "code": code,
        "request_id": "019a2b3c-0000-7000-8000-000000000009",
    });
    Response::builder()
        .status(status)
        .header("content-type", protocol::PROBLEM_MEDIA_TYPE)
        .body(Body::from(body.to_string()))
        .unwrap()
}

/// What follows the last chunk of a stream.
pub enum Then {
    End,
    /// The connection is dropped in the middle of the body.
    Break,
    /// Nothing, for ever.
    Silence,
}

pub fn event_stream(chunks: Vec<String>, then: Then) -> Response {
    let chunks = stream::iter(chunks.into_iter().map(|chunk| Ok(Bytes::from(chunk))));
    let body = match then {
        Then::End => Body::from_stream(chunks),
        Then::Break => Body::from_stream(futures_util::StreamExt::chain(
            chunks,
            stream::once(async {
                // Lets the server send what it has first.
                tokio::task::yield_now().await;
                Err::<Bytes, _>(io::Error::from(io::ErrorKind::ConnectionReset))
            }),
        )),
        Then::Silence => Body::from_stream(futures_util::StreamExt::chain(chunks, stream::pending())),
    };
    Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
}
