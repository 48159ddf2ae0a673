//! The connection loop: HTTP/1.1 over TCP with every limit a stranger could otherwise lean on.
//!
//! ```text
//!  accept ─▶ a place (connections), for which a silent one may have to leave
//!              ▼
//!          a worker's thread, for good
//!              ▼
//!          read headers (time and size limited) ─▶ router ─▶ write (stall limited) ─▶ next request
//!              │ shutdown: finish the current answer, then close; streams and long-polls are told to end
//! ```

mod connections;
mod outgoing;
mod spin;
mod workers;

use crate::{app::App, envelope, routes::Routes};
use connections::{Connections, Leave, Place};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use outgoing::Outgoing;
use spin::Last;
use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    time::MissedTickBehavior,
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use workers::Workers;

/// Read and write buffer of one connection, in bytes. This and hyper's 100 headers lie above our own bounds
/// ([`crate::guard`]), so that what is merely too much gets a problem as its answer and only what is absurd gets hyper's
/// bare 431.
const HYPER_BUFFER: usize = 64 * 1024;
/// After an accept error such as "too many open files", wait for some to close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long after a token expired its streams may go on, and after it was revoked its connections.
const EXPIRY_LOOK: Duration = Duration::from_secs(1);
/// What is being answered when the connection has to go gets so long: a stream says why it ends.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Who is on the other end. The place lives as long as anything of the connection does, upgraded sockets included.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    pub place: Arc<Place>,
}

/// Serves until `shutdown`, then tells streams and long-polls to end, lets answers in flight finish for at most
/// `limits.drain`, and returns.
pub async fn serve(listener: TcpListener, app: Arc<App>, shutdown: CancellationToken) -> io::Result<()> {
    let limits = app.options.limits.clone();
    let routes = Arc::new(Routes::new(&app));
    let connections = Connections::new(limits.connections);
    let tasks = TaskTracker::new();
    let workers = Workers::start()?;
    let mut expiry = tokio::time::interval(EXPIRY_LOOK);
    expiry.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            _ = expiry.tick() => {
                app.tokens.end_expired();
                connections.end_revoked();
                continue;
            }
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
        let peer = Peer { address, place: Arc::new(connections.admit(address.ip())) };
        // The socket moves to the worker's own poll with it.
        let Ok(stream) = stream.into_std() else { continue };
        workers.spawn(&tasks, converse(stream, peer, app.clone(), routes.clone(), shutdown.clone()));
    }
    drop(listener);
    app.stopping.cancel();
    tasks.close();
    app.tasks.close();
    let drained = async {
        tasks.wait().await;
        app.tasks.wait().await;
        // Upgraded ones too.
        connections.gone().await;
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
    let (answering, place) = (app.clone(), peer.place.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let place = peer.place.clone();
        place.begins();
        let answer = envelope::answer(answering.clone(), routes.clone(), peer.clone(), request);
        spin::saw(Last::Request);
        async {
            let answer = answer.await;
            spin::saw(Last::Response);
            Ok::<_, Infallible>(Outgoing::answer(answer, place))
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
        biased;
        // First, so that a token which has arrived by now counts.
        ended = connection.as_mut() => ended,
        leave = place.has_to_leave() => match leave {
            Leave::Now => Ok(()),
            Leave::AfterAnswer => {
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(LAST_WORDS, connection).await.unwrap_or(Ok(()))
            }
        },
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

/// The peer went away before it was accepted; the listener is fine.
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
