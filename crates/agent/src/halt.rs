//! Why the work of an attempt ends before it is done, and how calls to the backend come to that.

use crate::stop::{Cause, Stop};
use domain::{ErrorCode, FailureReason};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Pause between two rounds of a call the client itself repeated and gave up on.
const ROUND_PAUSE: Duration = Duration::from_millis(500);

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    /// [`Stop::cause`] says why.
    Stopped,
    /// A person has to decide. The backend has ended this attempt; the job goes on in another one.
    WaitsForApproval,
    /// The job cannot succeed.
    Failed { reason: FailureReason, message: String },
    /// This attempt cannot go on, another one may: a full disk, a broken sandbox.
    AttemptFailed { message: String },
}

impl Halt {
    pub(crate) fn error(message: impl Into<String>) -> Self {
        Self::Failed { reason: FailureReason::Error, message: message.into() }
    }
}

/// Makes a call until it succeeds, is refused for good, or `until` fires. While the backend is away the agent waits: the
/// lease bounds that, because losing it fires every token.
pub(crate) async fn persist<T, F: Future<Output = client::Result<T>>>(
    stop: &Stop,
    until: &CancellationToken,
    mut call: impl FnMut() -> F,
) -> Result<T, Halt> {
    let attempts = async {
        loop {
            match call().await {
                Ok(answer) => return Ok(answer),
                Err(error) if error.is_retryable() => {
                    tracing::debug!(%error, "the backend does not answer; trying again");
                    tokio::time::sleep(ROUND_PAUSE).await;
                }
                Err(error) => return Err(refused(stop, &error)),
            }
        }
    };
    tokio::select! {
        biased;
        () = until.cancelled() => Err(Halt::Stopped),
        answer = attempts => answer,
    }
}

/// What a refusal means for the attempt.
pub(crate) fn refused(stop: &Stop, error: &client::Error) -> Halt {
    match error.code() {
        // Another attempt owns the job, the job is gone, or the agent's token is: either way nothing is ours any more.
        Some(ErrorCode::StaleAttempt | ErrorCode::NotFound | ErrorCode::Unauthorized | ErrorCode::Forbidden) => {
            tracing::warn!(%error, "the attempt is over");
            stop.request(Cause::Lost);
            Halt::Stopped
        }
        // The job is being cancelled, and this was faster than the heartbeat.
        Some(ErrorCode::WrongState) => {
            stop.request(Cause::Cancelled);
            Halt::Stopped
        }
        _ => Halt::error(error.to_string()),
    }
}
