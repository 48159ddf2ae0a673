//! Programs of others, each ended by its own process number.

use anyhow::{Context, Result, ensure};
use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A port of 127.0.0.1 that nobody uses now.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Killed when dropped.
pub struct Running(Child);

impl Running {
    pub fn start(command: &mut Command) -> Result<Self> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Self(command.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?))
    }

    /// Waits until it accepts connections.
    pub fn listens(&mut self, port: u16, patience: Duration) -> Result<()> {
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = self.0.try_wait()? {
                anyhow::bail!("it ended with {status}");
            }
            ensure!(started.elapsed() < patience, "nothing listens on port {port} after {patience:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
