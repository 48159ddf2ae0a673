//! The agent itself: as many loops as it has slots, each of which leases a job, works on it, and leases the next.

use crate::{attempt::Leased, error::Error, options::Options, sandbox::Sandbox, workspace};
use domain::{ErrorCode, WorkerId};
use protocol::{KnownJobs, Lease, LeaseRequest, Protection};
use std::{sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// Between two looks for jobs that were deleted.
const FORGET_PAUSE: Duration = Duration::from_secs(5);
/// Pause after a request for work that failed, beyond the repeats the client makes.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// A worker of the mesh.
pub struct Agent {
    options: Arc<Options>,
    sandbox: Arc<Sandbox>,
    worker_id: WorkerId,
}

impl Agent {
    /// Makes the folders and finds out what can protect the machine from tool calls. Speaks to nobody yet.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let folder = options.sandbox.workspaces.clone();
        std::fs::create_dir_all(&folder).map_err(|source| Error::DataFolder { folder, source })?;
        // On a full disk not even a probe works, and what fills it may be in there.
        let (workspaces, bounds) = (options.sandbox.workspaces.clone(), options.disk);
        let room = tokio::task::spawn_blocking(move || workspace::make_room(&workspaces, bounds));
        room.await.map_err(Error::Broken)?;
        let sandbox = Sandbox::probe(options.sandbox.clone()).await?;
        let worker_id = WorkerId::new(options.clock.now());
        Ok(Self { options: Arc::new(options), sandbox: Arc::new(sandbox), worker_id })
    }

    /// What holds tool calls back on this machine, and what does not.
    pub fn protections(&self) -> &[Protection] {
        self.sandbox.protections()
    }

    /// Leases and works until `shutdown` fires; then stops the current step of every job and hands the jobs back. Fails
    /// only when the backend refuses this agent for good.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let agent = Arc::new(self);
        agent.tidy().await;
        // One slot that is refused stops the others.
        let stop = shutdown.child_token();
        let mut slots = JoinSet::new();
        for _ in 0..agent.options.slots.max(1) {
            let (agent, stop) = (agent.clone(), stop.clone());
            slots.spawn(async move { agent.slot(&stop).await });
        }
        let mut outcome = Ok(());
        let mut forgetting = std::pin::pin!(agent.forget());
        while let Some(ended) = tokio::select! {
            ended = slots.join_next() => ended,
            () = &mut forgetting => None,
        } {
            if let Err(error) = ended.map_err(Error::from).flatten() {
                stop.cancel();
                outcome = Err(error);
            }
        }
        outcome
    }

    async fn slot(&self, shutdown: &CancellationToken) -> Result<(), Error> {
        while !shutdown.is_cancelled() {
            let lease = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                lease = self.lease() => lease?,
            };
            let Some(lease) = lease else { continue };
            let leased = Leased {
                options: self.options.clone(),
                sandbox: self.sandbox.clone(),
                lease,
                leased_at: Instant::now(),
            };
            leased.work(shutdown).await;
            self.tidy().await;
        }
        Ok(())
    }

    /// Workspaces stay after their jobs, for people to look into, until there are too many of them.
    async fn tidy(&self) {
        let (folder, quota) = (&self.options.sandbox.workspaces, self.options.workspaces_bytes);
        let (make, bounds) = (folder.clone(), self.options.disk);
        // What cannot be removed is told there.
        let _ = tokio::task::spawn_blocking(move || workspace::make_room(&make, bounds)).await;
        if let Err(error) = workspace::tidy(&self.sandbox, folder, quota).await {
            tracing::warn!(%error, "old workspaces cannot be removed");
        }
    }

    /// Removes the workspaces of jobs that were deleted. Never ends.
    async fn forget(&self) {
        let folder = &self.options.sandbox.workspaces;
        loop {
            sleep(FORGET_PAUSE).await;
            let jobs = workspace::jobs(folder);
            let ids: Vec<_> = jobs.iter().map(|(job, _)| *job).collect();
            // A backend that does not answer is asked again next time.
            let Ok(Some(KnownJobs { epoch, known })) = self.options.client.known_jobs(&ids).await else { continue };
            let mesh = epoch.to_string();
            // Those of another mesh that keeps its workspaces here are none of this one's.
            for (job, _) in jobs.into_iter().filter(|(job, of)| *of == mesh && !known.contains(job)) {
                match workspace::remove_job(&self.sandbox, folder, job).await {
                    Ok(()) => tracing::info!(%job, "its workspace was removed, because the job was deleted"),
                    Err(error) => tracing::warn!(%job, %error, "the workspace of a deleted job cannot be removed"),
                }
            }
        }
    }

    /// Waits for a job; `None` when there was none, or nobody to ask.
    async fn lease(&self) -> Result<Option<Lease>, Error> {
        let request = LeaseRequest {
            worker_id: self.worker_id,
            worker_name: self.options.worker_name.clone(),
            wait_ms: u64::try_from(self.options.lease_wait.as_millis()).unwrap_or(u64::MAX),
        };
        match self.options.client.lease(&request).await {
            Ok(lease) => Ok(lease),
            Err(error) => match error.code() {
                Some(ErrorCode::Unauthorized | ErrorCode::Forbidden | ErrorCode::InvalidRequest) => {
                    Err(Error::Refused(error))
                }
                _ => {
                    tracing::warn!(%error, "no work can be asked for; trying again");
                    sleep(RETRY_PAUSE).await;
                    Ok(None)
                }
            },
        }
    }
}
