//! How an agent is set up.

use crate::{
    disk, sandbox,
    workspace::{Access, QUOTA_BYTES},
};
use client::Client;
use domain::{Clock, SystemClock};
use std::{sync::Arc, time::Duration};

pub struct Options {
    /// How to reach the backend, with a token of scope `agent`.
    pub client: Client,
    /// Shown to people. At most 128 bytes.
    pub worker_name: String,
    /// Jobs worked on at once. Default 1: on one machine the model is the bottleneck, and two jobs only share it.
    pub slots: usize,
    /// How commands are confined. Its `workspaces` is the agent's data folder: everything else about a job is kept in the
    /// backend.
    pub sandbox: sandbox::Options,
    /// What jobs may be about; who asked for the job is told by its lease.
    pub access: Access,
    /// Whether the setup of a job whose `egress` is wider than `local_only` has this machine's network. Default no.
    pub setup_network: bool,
    /// Whether the next model of a job's route takes over where one does not get on. Default yes.
    pub escalate: bool,
    /// What kept workspaces may take of the disk, in bytes. Default 20 GiB.
    pub workspaces_bytes: u64,
    /// What commands may take of the disk.
    pub disk: disk::Bounds,
    /// Pause before a failed model call is repeated; doubles with each failure. Default 1 s.
    pub model_retry_pause: Duration,
    /// Wait of one request for work. Default 25 s: below the idle time-outs of proxies.
    pub lease_wait: Duration,
    pub clock: Arc<dyn Clock>,
}

impl Options {
    /// Everything else at its default.
    pub fn new(client: Client, worker_name: impl Into<String>, sandbox: sandbox::Options) -> Self {
        Self {
            client,
            worker_name: worker_name.into(),
            slots: 1,
            sandbox,
            access: Access::default(),
            setup_network: false,
            escalate: true,
            workspaces_bytes: QUOTA_BYTES,
            disk: disk::Bounds::default(),
            model_retry_pause: Duration::from_secs(1),
            lease_wait: Duration::from_secs(25),
            clock: Arc::new(SystemClock),
        }
    }
}
