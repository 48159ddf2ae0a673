//! Moves the bytes of one connection under the fault of the moment.

use super::Fault;
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    sync::watch,
    time::sleep,
};

/// Read and forwarded at once. Small, so that a cut lands where it was asked for and a throttle is even.
const PIECE_BYTES: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) accepted: AtomicU64,
    pub(super) open: AtomicU64,
    pub(super) bytes_to_clients: AtomicU64,
}

/// How a connection ends.
enum End {
    /// With everything delivered that was read.
    Clean,
    Reset,
}

/// Counts an open connection for as long as it lives, aborted or not.
struct Open(Arc<Counters>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(super) async fn connection(
    mut client: TcpStream,
    upstream: SocketAddr,
    fault: watch::Receiver<Fault>,
    counters: Arc<Counters>,
) {
    counters.open.fetch_add(1, Ordering::SeqCst);
    let _open = Open(counters.clone());
    // What ends this task without a word (the proxy refuses, the server resets) must reach the client as a reset.
    if client.set_zero_linger().is_err() {
        return;
    }
    let Ok(mut server) = TcpStream::connect(upstream).await else { return };
    if client.set_nodelay(true).and(server.set_nodelay(true)).is_err() {
        return;
    }
    // Borrowed halves: dropping an owned one would say a clean end first.
    let (client_read, mut client_write) = client.split();
    let (server_read, mut server_write) = server.split();
    let up = Pump { fault: fault.clone(), delivered: None };
    let down = Pump { fault, delivered: Some(&counters.bytes_to_clients) };
    // Either end being gone ends both: a client that hangs up must be seen by the server at once.
    let end = tokio::select! {
        end = up.run(client_read, &mut server_write) => end,
        end = down.run(server_read, &mut client_write) => end,
    };
    if matches!(end, Ok(End::Clean)) {
        let _ = client.shutdown().await;
        #[expect(deprecated, reason = "turning lingering off does not block; only a wait above zero does")]
        let _ = client.set_linger(None);
    }
}

struct Pump<'a> {
    fault: watch::Receiver<Fault>,
    /// Towards the client: the count of bytes passed on. Faults that count bytes act in this direction only.
    delivered: Option<&'a AtomicU64>,
}

impl Pump<'_> {
    async fn run(mut self, mut from: ReadHalf<'_>, to: &mut WriteHalf<'_>) -> io::Result<End> {
        let mut piece = [0; PIECE_BYTES];
        // Since the fault of the moment came into force on this connection.
        let mut bytes = 0u64;
        loop {
            let fault = *self.fault.borrow_and_update();
            let allowed = self.allowed(fault, bytes);
            if allowed == 0 {
                return Ok(if matches!(fault, Fault::ResetAfter(_)) { End::Reset } else { End::Clean });
            }
            let read = tokio::select! {
                biased;
                changed = self.fault.changed() => {
                    if changed.is_err() { return Ok(End::Reset) }
                    bytes = 0;
                    continue;
                }
                // Under `Refuse` this task is about to be ended: what was held back until then must not slip through.
                read = from.read(&mut piece[..allowed]), if !matches!(fault, Fault::Stall | Fault::Refuse) => read?,
            };
            if read == 0 {
                return Ok(End::Clean);
            }
            match fault {
                Fault::Delay(time) => sleep(time).await,
                Fault::Throttle { bytes_per_second } if self.delivered.is_some() => {
                    sleep(Duration::from_secs_f64(read as f64 / bytes_per_second.max(1) as f64)).await;
                }
                _ => {}
            }
            to.write_all(&piece[..read]).await?;
            bytes += read as u64;
            if let Some(delivered) = self.delivered {
                delivered.fetch_add(read as u64, Ordering::SeqCst);
            }
        }
    }

    /// How much of the next piece may pass; 0 ends the connection.
    fn allowed(&self, fault: Fault, bytes: u64) -> usize {
        match fault {
            Fault::CutAfter(limit) | Fault::ResetAfter(limit) if self.delivered.is_some() => {
                usize::try_from(limit.saturating_sub(bytes)).unwrap_or(usize::MAX).min(PIECE_BYTES)
            }
            // A tenth of a second's worth, so that slow is slow from the first byte on.
            Fault::Throttle { bytes_per_second } if self.delivered.is_some() => {
                usize::try_from(bytes_per_second / 10).unwrap_or(usize::MAX).clamp(1, PIECE_BYTES)
            }
            _ => PIECE_BYTES,
        }
    }
}
