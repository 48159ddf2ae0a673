//! The agent's side: sends helpers and reads their answers.

use super::{Error, Task};
use crate::sandbox::{self, Errand, Outcome, Sandbox};
use serde::de::DeserializeOwned;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// An empty folder all private roots are put together on, in a mount namespace each.
const ROOT: &str = ".root";
/// Longest answer without the bytes of a patch: half a million long names fit.
const ANSWER_BYTES: usize = 256 << 20;

/// Sends helpers. A clone is as good.
#[derive(Clone, Debug)]
pub(crate) struct Helper {
    sandbox: Arc<Sandbox>,
    root: PathBuf,
}

/// How far one helper reaches.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    /// Belong to the user that commands run as.
    pub writable: Vec<PathBuf>,
    pub readable: Vec<PathBuf>,
    /// Read also what that user could not.
    pub reads_all: bool,
    pub network: bool,
    pub timeout: Duration,
    /// Bytes behind the answer, at most.
    pub payload_bytes: usize,
}

impl Reach {
    pub fn new(writable: impl IntoIterator<Item = PathBuf>, timeout: Duration) -> Self {
        let writable = writable.into_iter().collect();
        Self { writable, readable: Vec::new(), reads_all: false, network: false, timeout, payload_bytes: 0 }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{}", .0.words())]
    Task(Error),
    #[error("it took longer than {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("the answer has more than {limit} bytes")]
    TooLong { limit: usize },
    #[error("it was stopped")]
    Cancelled,
    #[error("the helper broke down: {0}")]
    Died(String),
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
}

impl Helper {
    /// `workspaces` is the agent's folder.
    pub fn new(sandbox: Arc<Sandbox>, workspaces: &Path) -> Self {
        Self { sandbox, root: workspaces.join(ROOT) }
    }

    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The answer, and the bytes behind it.
    pub async fn ask<A: DeserializeOwned>(
        &self,
        task: &Task,
        reach: Reach,
        cancel: CancellationToken,
    ) -> Result<(A, Vec<u8>), Failure> {
        let broken = |what: String| Failure::Died(what);
        std::fs::create_dir_all(&self.root)
            .map_err(|error| broken(format!("making {}: {error}", self.root.display())))?;
        let limit = ANSWER_BYTES + reach.payload_bytes;
        let payload_bytes = reach.payload_bytes;
        let timeout = reach.timeout;
        let errand = Errand {
            task: serde_json::to_string(task).map_err(|error| broken(error.to_string()))?,
            writable: reach.writable,
            readable: reach.readable,
            root: self.root.clone(),
            reads_all: reach.reads_all,
            network: reach.network,
            timeout,
            answer_bytes: limit,
        };
        let mut answer = match self.sandbox.send(errand, cancel).await? {
            Outcome::Answered(answer) => answer,
            Outcome::TooLong => return Err(Failure::TooLong { limit: payload_bytes }),
            Outcome::TimedOut => return Err(Failure::TimedOut(timeout)),
            Outcome::Cancelled => return Err(Failure::Cancelled),
            Outcome::Died(words) => return Err(broken(words)),
        };
        let end = answer.iter().position(|byte| *byte == b'\n').ok_or_else(|| broken("it said nothing".into()))?;
        let payload = answer.split_off(end + 1);
        if payload.len() > payload_bytes {
            return Err(Failure::TooLong { limit: payload_bytes });
        }
        let head: Result<serde_json::Value, Error> =
            serde_json::from_slice(&answer).map_err(|error| broken(error.to_string()))?;
        let value = head.map_err(Failure::Task)?;
        Ok((serde_json::from_value(value).map_err(|error| broken(error.to_string()))?, payload))
    }
}
