//! A command that was begun is seen through, also when its client goes away in the middle.
//!
//! The server drops a handler together with its connection. Between a commit and what follows it in memory (waking a
//! worker, forgetting a revoked token) that must not happen, so commands run as tasks of their own. Long-polls do not:
//! nobody should be given work that has gone away while waiting for it.

use crate::{app::App, server::Peer};
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{panic::resume_unwind, sync::Arc};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

pub async fn carry_through(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    // The place among the connections is held as long as the command runs, which bounds how many there are.
    let peer = request.extensions().get::<Peer>().cloned();
    run(&app.tasks, async move {
        let response = next.run(request).await;
        drop(peer);
        response
    })
    .await
}

async fn run(tasks: &TaskTracker, command: impl Future<Output = Response> + Send + 'static) -> Response {
    match tasks.spawn(command.in_current_span()).await {
        Ok(response) => response,
        Err(failed) => match failed.try_into_panic() {
            // The envelope answers panics.
            Ok(panic) => resume_unwind(panic),
            Err(cancelled) => crate::problem::Failure::internal(cancelled).into_response(),
        },
    }
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
        let mut client = Box::pin(run(&tasks, async move {
            begun.send(()).unwrap();
            may_go_on.await.unwrap();
            done.send(()).unwrap();
            Response::default()
        }));
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
        run(&TaskTracker::new(), async { panic!("on purpose") }).await;
    }
}
