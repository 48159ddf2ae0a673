//! An address that stands for the cloud in tests of requests that may not leave the machine.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

/// Listens, and counts whoever connects: the socket alone is the offence, whether or not anything is sent. Connections are
/// closed at once. Gone when dropped.
#[derive(Debug)]
pub struct Tripwire {
    address: SocketAddr,
    connections: Arc<AtomicU64>,
    listener: AbortHandle,
}

impl Tripwire {
    /// # Panics
    /// When no port on 127.0.0.1 can be had.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on 127.0.0.1");
        let address = listener.local_addr().expect("the address of a listening socket");
        let connections = Arc::new(AtomicU64::new(0));
        let counted = connections.clone();
        let listener = tokio::spawn(async move {
            loop {
                let accepted = listener.accept().await;
                if accepted.is_ok() {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
                // The end of the connection tells `settle` that it is counted.
                drop(accepted);
            }
        });
        Self { address, connections, listener: listener.abort_handle() }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the provider that must stay untouched is configured with. It has no path: give it one where a dialect wants it.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Whether anybody has connected. Connects once itself and waits until that is counted, so a connection that came
    /// before this call and still stands in the kernel's queue is not missed.
    ///
    /// # Panics
    /// When its own connection is not accepted within [`crate::DEADLINE`].
    pub async fn touched(&self) -> bool {
        self.connections().await > 0
    }

    /// How many have connected; see [`Self::touched`].
    ///
    /// # Panics
    /// As [`Self::touched`] does.
    pub async fn connections(&self) -> u64 {
        let settled = tokio::time::timeout(crate::DEADLINE, self.settle()).await;
        settled
            .unwrap_or_else(|_| panic!("the tripwire at {} accepted nothing in {:?}", self.address, crate::DEADLINE));
        // Only what others did.
        self.connections.fetch_sub(1, Ordering::SeqCst) - 1
    }

    /// The kernel hands connections out in the order in which they came, and an accepted one is closed after it was counted:
    /// the end of our own says that all before it are counted.
    async fn settle(&self) {
        let mut own = TcpStream::connect(self.address).await.expect("a connection to the tripwire");
        let _ = own.read(&mut [0]).await;
    }
}

impl Drop for Tripwire {
    fn drop(&mut self) {
        self.listener.abort();
    }
}
