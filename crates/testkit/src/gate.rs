//! A place where a scripted answer waits until the test lets it go on.

use std::sync::Arc;
use tokio::sync::watch;

/// Closed when made. Clones are the same gate. Once opened it stays open.
#[derive(Clone, Debug)]
pub struct Gate {
    state: Arc<watch::Sender<State>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    open: bool,
    reached: bool,
}

impl Gate {
    pub fn new() -> Self {
        Self { state: Arc::new(watch::Sender::default()) }
    }

    /// Lets everybody through, now and later.
    pub fn open(&self) {
        self.state.send_modify(|state| state.open = true);
    }

    /// Returns once somebody stands before the gate or has passed it.
    pub async fn reached(&self) {
        self.wait(|state| state.reached).await;
    }

    /// Waits until the gate is open.
    pub async fn pass(&self) {
        self.state.send_modify(|state| state.reached = true);
        self.wait(|state| state.open).await;
    }

    async fn wait(&self, condition: impl Fn(&State) -> bool) {
        // The sender lives in `self`, so the channel cannot close while this waits.
        let _ = self.state.subscribe().wait_for(condition).await;
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_passes_before_it_is_open() {
        let gate = Gate::new();
        let passing = tokio::spawn({
            let gate = gate.clone();
            async move { gate.pass().await }
        });
        gate.reached().await;
        assert!(!passing.is_finished());
        gate.open();
        passing.await.unwrap();
        gate.pass().await;
    }
}
