//! A command that was begun is seen through, also when whoever asked for it goes away in the middle.
//!
//! Between a commit and what follows it in memory (an agent to tell, a worker to wake, a revoked token to forget) nobody's
//! leaving may come, so commands run as tasks of their own.

use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// What the command comes to. A panic in it stays one; `None` when the runtime ended before it did.
pub async fn carry_through<T: Send + 'static>(
    tasks: &TaskTracker,
    command: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    tasks
        .spawn(command.in_current_span())
        .await
        .map_or_else(|gone| gone.try_into_panic().map_or(None, |panic| std::panic::resume_unwind(panic)), Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_command_ends_although_nobody_waits_for_it() {
        let tasks = TaskTracker::new();
        let (begun, has_begun) = oneshot::channel();
        let (go_on, may_go_on) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let command = async move {
            begun.send(()).unwrap();
            may_go_on.await.unwrap();
            done.send(()).unwrap();
        };
        let mut client = Box::pin(carry_through(&tasks, command));
        tokio::select! {
            _ = &mut client => panic!("it cannot be done yet"),
            begun = has_begun => begun.unwrap(),
        }
        drop(client);
        go_on.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(20), is_done).await.unwrap().unwrap();
    }

    #[tokio::test]
    #[should_panic(expected = "on purpose")]
    async fn a_panic_stays_one() {
        carry_through(&TaskTracker::new(), async { panic!("on purpose") }).await;
    }
}
