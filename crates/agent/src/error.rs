//! Why an agent cannot start or go on. What goes wrong within a job is told in the job.

use crate::sandbox;
use std::{io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Mend the folder or choose another.
    #[error("the agent's data folder {} cannot be made: {source}", folder.display())]
    DataFolder { folder: PathBuf, source: io::Error },
    /// No command can be run safely on this machine.
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
    /// The backend does not know this agent, or not as one.
    #[error(
        "the backend refuses this agent: {0}. Give it a token of scope `agent` (`devmesh token create --scope agent`)"
    )]
    Refused(client::Error),
    /// A bug: please report it.
    #[error("a slot of the agent broke down: {0}")]
    Broken(#[from] tokio::task::JoinError),
}
