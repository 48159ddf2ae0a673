//! One thread per core, each with a runtime of its own.
//!
//! A connection stays on the thread it was given to, with all that its requests wait for. Nothing is handed from thread to
//! thread on the way of a call: a runtime that shares its work wakes a second thread for it, which mostly finds nothing.

use super::spin;
use futures_util::future::join;
use std::{
    io,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};
use tokio::runtime::{Builder, Handle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// More would only wait for each other at the store.
const MOST: usize = 8;
/// Shorter than any time limit of a request, and too long to be felt on an idle machine.
const TICK: Duration = Duration::from_secs(1);

pub struct Workers {
    handles: Vec<Handle>,
    next: AtomicUsize,
    stop: CancellationToken,
}

impl Workers {
    /// # Errors
    /// When the system gives no threads.
    pub fn start() -> io::Result<Self> {
        let count = thread::available_parallelism().map_or(1, usize::from).min(MOST);
        let stop = CancellationToken::new();
        let mut handles = Vec::with_capacity(count);
        for number in 0..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            handles.push(runtime.handle().clone());
            let stop = stop.clone();
            thread::Builder::new().name(format!("api-{number}")).spawn(move || {
                // On the only core, looking would keep everybody else from answering.
                let look = async {
                    if count > 1 {
                        spin::spin().await
                    }
                };
                runtime.block_on(stop.run_until_cancelled(join(look, tick())));
                // What still runs was asked to end long ago.
                runtime.shutdown_background();
            })?;
        }
        Ok(Self { handles, next: AtomicUsize::new(0), stop })
    }

    /// In turn.
    pub fn spawn(&self, tasks: &TaskTracker, work: impl Future<Output = ()> + Send + 'static) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        tasks.spawn_on(work, &self.handles[turn % self.handles.len()]);
    }
}

/// Keeps a timer that is always the next one. A runtime that is given one which comes before all others interrupts its own
/// wait to look at it, with two system calls for each request.
async fn tick() {
    loop {
        tokio::time::sleep(TICK).await;
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
