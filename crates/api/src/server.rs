//! The connection loop: HTTP/1.1 over TCP with every limit a stranger could otherwise lean on.
//!
//! ```text
//!  accept ─▶ permit? ──no──▶ 503 and close
//!              │ yes
//!              ▼
//!          a worker's thread, for good
//!              ▼
//!          read headers (time and size limited) ─▶ router ─▶ write (stall limited) ─▶ next request
//!              │ shutdown: finish the current answer, then close; streams and long-polls are told to end
//! ```

mod spin;
mod workers;

use crate::{app::App, envelope, routes::Routes};
use domain::{ErrorCode, RequestId};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use spin::Last;
use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use workers::Workers;

/// Read and write buffer of one connection, in bytes. This and hyper's 100 headers lie above our own bounds
/// ([`crate::guard`]), so that what is merely too much gets a problem as its answer and only what is absurd gets hyper's
/// bare 431.
const HYPER_BUFFER: usize = 64 * 1024;
/// How long the answer to a refused connection may take.
const REFUSAL: Duration = Duration::from_secs(1);
/// Refused connections being answered at once; further ones are closed without a word.
const REFUSALS: usize = 64;
/// After an accept error such as "too many open files", wait for some to close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who is on the other end. The permit lives as long as anything of the connection does, upgraded sockets included.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    _permit: Arc<OwnedSemaphorePermit>,
}

/// Serves until `shutdown`, then tells streams and long-polls to end, lets answers in flight finish for at most
/// `limits.drain`, and returns.
pub async fn serve(listener: TcpListener, app: Arc<App>, shutdown: CancellationToken) -> io::Result<()> {
    let limits = app.options.limits.clone();
    let routes = Arc::new(Routes::new(&app));
    let connections = Arc::new(Semaphore::new(limits.connections));
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    let tasks = TaskTracker::new();
    let workers = Workers::start()?;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_about_one_connection(&error) => continue,
            Err(error) => {
                tracing::error!(%error, "cannot accept connections for now");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match connections.clone().try_acquire_owned() {
            Ok(permit) => {
                let peer = Peer { address, _permit: Arc::new(permit) };
                // The socket moves to the worker's own poll with it.
                let Ok(stream) = stream.into_std() else { continue };
                workers.spawn(&tasks, converse(stream, peer, app.clone(), routes.clone(), shutdown.clone()));
            }
            Err(_) => {
                if let Ok(permit) = refusals.clone().try_acquire_owned() {
                    let request_id = RequestId::new(app.clock.now());
                    tasks.spawn(async move {
                        // A client that does not take its refusal loses it; nothing else depends on it.
                        let _ = tokio::time::timeout(REFUSAL, refuse(stream, request_id)).await;
                        drop(permit);
                    });
                }
            }
        }
    }
    drop(listener);
    app.stopping.cancel();
    tasks.close();
    app.tasks.close();
    let drained = async {
        tasks.wait().await;
        app.tasks.wait().await;
        // Every connection, upgraded ones too, holds a permit.
        let _ = connections.acquire_many(u32::try_from(limits.connections).unwrap_or(u32::MAX)).await;
    };
    if tokio::time::timeout(limits.drain, drained).await.is_err() {
        tracing::warn!(
            after_s = limits.drain.as_secs(),
            requests = app.requests_in_flight(),
            "connections were still busy when the server stopped"
        );
    }
    app.aborted.cancel();
    drop(workers);
    Ok(())
}

async fn converse(
    stream: std::net::TcpStream,
    peer: Peer,
    app: Arc<App>,
    routes: Arc<Routes>,
    shutdown: CancellationToken,
) {
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::error!(%error, "a connection cannot be polled");
            return;
        }
    };
    // Small writes of streams must not wait for more; a socket that cannot do it still works.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(app.options.limits.write_stall));
    let answering = app.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = envelope::answer(answering.clone(), routes.clone(), peer.clone(), request);
        spin::saw(Last::Request);
        async {
            let answer = answer.await;
            spin::saw(Last::Response);
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.options.limits.header_timeout)
        .max_buf_size(HYPER_BUFFER)
        .serve_connection(TokioIo::new(Box::pin(stream)), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = app.aborted.cancelled() => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        // Clients go away, stall and send rubbish all the time: of interest only to somebody who is looking.
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn refuse(mut stream: TcpStream, request_id: RequestId) -> io::Result<()> {
    let code = ErrorCode::TooManyConnections;
    let problem = crate::problem::Failure::new(
        code,
        "This server has as many connections open as it takes. Close some, or try again in a moment.",
    )
    .into_problem(request_id);
    let body = serde_json::to_vec(&problem)?;
    let head = format!(
        "HTTP/1.1 {} Service Unavailable\r\ncontent-type: {}\r\ncontent-length: {}\r\nx-request-id: {request_id}\r\n\
         x-content-type-options: nosniff\r\ncache-control: no-store\r\nretry-after: 1\r\nconnection: close\r\n\r\n",
        code.status(),
        protocol::PROBLEM_MEDIA_TYPE,
        body.len(),
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await?;
    // Closing with unread input would reset the connection and could take the answer with it.
    let mut unread = [0; 1024];
    let mut left = HYPER_BUFFER;
    while left > 0 {
        match stream.read(&mut unread).await? {
            0 => break,
            bytes => left = left.saturating_sub(bytes),
        }
    }
    Ok(())
}

/// The peer went away before it was accepted; the listener is fine.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
