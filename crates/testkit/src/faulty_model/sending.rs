//! Sends a plan with its delays, and ends as the plan says.

use super::{
    answer::Kind,
    faults::{End, Plan},
    observed::Watch,
};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
    vec,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    task::yield_now,
    time::sleep,
};

pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Waits before tokens.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    pub(super) first: Duration,
    pub(super) between: Duration,
}

struct Sending {
    pieces: vec::IntoIter<super::answer::Piece>,
    end: End,
    pace: Pace,
    began: bool,
    socket: Reset,
    watch: Watch,
    /// Called before the first token.
    on_first: Option<Box<dyn FnOnce() + Send>>,
}

pub(super) fn body(
    plan: Plan,
    pace: Pace,
    socket: Reset,
    mut watch: Watch,
    on_first: impl FnOnce() + Send + 'static,
) -> Body {
    if plan.pieces.is_empty() && plan.end != End::Stall {
        watch.over();
    }
    let sending = Sending {
        pieces: plan.pieces.into_iter(),
        end: plan.end,
        pace,
        began: false,
        socket,
        watch,
        on_first: Some(Box::new(on_first)),
    };
    StreamBody::new(stream::unfold(sending, next)).boxed_unsync()
}

async fn next(mut sending: Sending) -> Option<(io::Result<Frame<Bytes>>, Sending)> {
    // Lets the connection write out what it holds, so that every piece is on the wire before the next one, or before
    // the end of the connection.
    yield_now().await;
    let Some(piece) = sending.pieces.next() else {
        let fault = |kind| Some(Err(io::Error::from(kind)));
        let end = match sending.end {
            End::Clean => None,
            End::Short => fault(io::ErrorKind::UnexpectedEof),
            End::Reset => {
                sending.socket.arm();
                fault(io::ErrorKind::ConnectionReset)
            }
            End::Stall => std::future::pending().await,
        };
        return end.map(|end| (end, sending));
    };
    let is_token = piece.kind == Kind::Token;
    if is_token {
        let wait = if sending.began { sending.pace.between } else { sending.pace.first };
        if !wait.is_zero() {
            sleep(wait).await;
        }
        sending.began = true;
        if let Some(on_first) = sending.on_first.take() {
            on_first();
        }
    }
    sending.watch.sent(is_token);
    // A client may rightly hang up once it has read the last piece.
    if sending.pieces.len() == 0 && sending.end != End::Stall {
        sending.watch.over();
    }
    Some((Ok(Frame::data(piece.bytes)), sending))
}

/// Whether a connection ends with a reset.
#[derive(Clone, Debug, Default)]
pub(super) struct Reset(Arc<AtomicBool>);

impl Reset {
    fn arm(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A connection that ends with a reset where an answer asked for it.
pub(super) struct Socket {
    stream: TcpStream,
    reset: Reset,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, reset: Reset) -> Self {
        Self { stream, reset }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.reset.0.load(Ordering::SeqCst) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reset.0.load(Ordering::SeqCst) {
            // A clean end would come before the reset.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
