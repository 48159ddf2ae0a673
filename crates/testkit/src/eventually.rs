//! Waiting for what another task or process does, without guessing how long it takes.

use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long [`eventually`] waits: far longer than anything awaited takes on a loaded machine, so it is only ever used up
/// by a real failure.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(5);

/// Asks `look` until it gives something, at most [`DEADLINE`] long.
///
/// # Panics
/// When the deadline passes; the message names `what`.
pub async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(DEADLINE, what, look).await
}

/// [`eventually`] with a deadline of its own.
///
/// # Panics
/// When the deadline passes; the message names `what`.
pub async fn eventually_within<T>(deadline: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "waited {deadline:?} in vain for: {what}");
        sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_gives_what_was_found() {
        let mut looks = 0;
        let found = eventually("the third look", async || {
            looks += 1;
            (looks == 3).then_some("here")
        })
        .await;
        assert_eq!(found, "here");
    }

    #[tokio::test]
    #[should_panic(expected = "waited 20ms in vain for: rain")]
    async fn it_says_what_it_waited_for() {
        eventually_within(Duration::from_millis(20), "rain", async || None::<()>).await;
    }
}
