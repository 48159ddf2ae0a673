//! What agents do with the jobs they leased. Every call is repeated with backoff while the backend is away, full or busy,
//! for at most [`Retry::give_up_after`]; a caller with a nearer deadline drops the future.
//!
//! Repeating is safe: a batch of events carries its `producer_seq`, an artifact replaces itself, and everything else is
//! refused with `stale_attempt` once the attempt is over.

use crate::{
    Error, ModelStream, Result, Retry,
    http::{Client, Refusal},
};
use bytes::Bytes;
use domain::{Epoch, JobId};
use protocol::{
    AppendEvents, Appended, ApprovalRequestedAnswer, Artifact, FinishJob, Heartbeat, HeartbeatAnswer, Job, KnownJobs,
    KnownJobsRequest, Lease, LeaseRequest, ModelCall, ReleaseJob, RequestApproval,
};
use reqwest::{Method, StatusCode, Url, header};
use serde::{Serialize, de::DeserializeOwned};
use std::{path::PathBuf, time::Duration};
use tokio::{io::AsyncReadExt, time::Instant};
use tokio_util::io::ReaderStream;

/// What to upload: something that can be sent a second time.
#[derive(Clone, Debug)]
pub enum Upload {
    Bytes(Bytes),
    /// Streamed from disk, never held in memory.
    File(PathBuf),
}

impl Client {
    /// Waits up to `wait_ms` for a job; `None` when there was none.
    pub async fn lease(&self, request: &LeaseRequest) -> Result<Option<Lease>> {
        let within = self.options.answer_timeout + Duration::from_millis(request.wait_ms);
        let mut tries = Tries::new(self.options.retry, Repeat::Always);
        loop {
            match self.lease_once(request, within).await {
                Ok(lease) => return Ok(lease),
                Err(refusal) => tries.wait_after(refusal).await?,
            }
        }
    }

    async fn lease_once(&self, request: &LeaseRequest, within: Duration) -> Result<Option<Lease>, Refusal> {
        let response = self.send(self.request(Method::POST, self.api(&["leases"])).json(request), within).await?;
        if response.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        let body = self.body(response).await?;
        Ok(Some(self.parse(&body)?))
    }

    pub async fn heartbeat(&self, job: JobId, heartbeat: &Heartbeat) -> Result<HeartbeatAnswer> {
        self.post(job, "heartbeat", heartbeat, Duration::from_millis(heartbeat.wait_ms)).await
    }

    pub async fn append_events(&self, job: JobId, events: &AppendEvents) -> Result<Appended> {
        self.post(job, "events", events, Duration::ZERO).await
    }

    pub async fn request_approval(&self, job: JobId, approval: &RequestApproval) -> Result<ApprovalRequestedAnswer> {
        self.post(job, "approvals", approval, Duration::ZERO).await
    }

    pub async fn finish(&self, job: JobId, finish: &FinishJob) -> Result<Job> {
        self.post(job, "finish", finish, Duration::ZERO).await
    }

    pub async fn release(&self, job: JobId, release: &ReleaseJob) -> Result<Job> {
        self.post(job, "release", release, Duration::ZERO).await
    }

    /// Which of these jobs were not deleted, however many they are. An error says nothing about any of them.
    /// With whose word it is; `None` where nothing was asked.
    pub async fn known_jobs(&self, jobs: &[JobId]) -> Result<Option<KnownJobs>> {
        let mut all: Option<KnownJobs> = None;
        for some in jobs.chunks(KNOWN_JOBS) {
            let request = KnownJobsRequest { job_ids: some.to_vec() };
            let answer: KnownJobs =
                self.repeated(self.api(&["jobs", "known"]), &request, self.options.answer_timeout).await?;
            match &mut all {
                Some(all) if all.epoch == answer.epoch => all.known.extend(answer.known),
                // Restored meanwhile: only what is said last holds.
                _ => all = Some(answer),
            }
        }
        Ok(all)
    }

    /// The head of the answer is waited for, with repeats only while the call certainly never began. Then it streams.
    pub async fn model_call(&self, job: JobId, call: &ModelCall) -> Result<ModelStream> {
        let url = self.api(&["leases", &job.to_string(), "model-calls"]);
        let mut tries = Tries::new(self.options.retry, Repeat::IfNotBegun);
        loop {
            let request =
                self.request(Method::POST, url.clone()).header(header::ACCEPT, "text/event-stream").json(call);
            match self.send(request, self.options.silence).await {
                Ok(response) => return Ok(ModelStream::new(self, response)),
                Err(refusal) => tries.wait_after(refusal).await?,
            }
        }
    }

    /// Stores a file with the job; one of the same name is replaced.
    pub async fn put_artifact(
        &self,
        job: JobId,
        (epoch, attempt): (Epoch, u32),
        name: &str,
        media_type: &str,
        upload: &Upload,
    ) -> Result<Artifact> {
        let mut url = self.api(&["leases", &job.to_string(), "artifacts", name]);
        url.set_query(Some(&format!("epoch={epoch}&attempt={attempt}")));
        let mut tries = Tries::new(self.options.retry, Repeat::Always);
        loop {
            match self.put_once(url.clone(), media_type, upload).await {
                Ok(artifact) => return Ok(artifact),
                Err(refusal) => tries.wait_after(refusal).await?,
            }
        }
    }

    async fn put_once(&self, url: Url, media_type: &str, upload: &Upload) -> Result<Artifact, Refusal> {
        let request = self.request(Method::PUT, url).header(header::CONTENT_TYPE, media_type);
        let (request, bytes) = match upload {
            Upload::Bytes(bytes) => (request.body(bytes.clone()), bytes.len() as u64),
            Upload::File(path) => {
                let refused =
                    |error: std::io::Error| Error::File { path: path.display().to_string(), detail: error.to_string() };
                let file = tokio::fs::File::open(path).await.map_err(refused)?;
                let bytes = file.metadata().await.map_err(refused)?.len();
                // A file that grows meanwhile must not outgrow the length announced.
                let body = reqwest::Body::wrap_stream(ReaderStream::with_capacity(file.take(bytes), UPLOAD_CHUNK));
                (request.header(header::CONTENT_LENGTH, bytes).body(body), bytes)
            }
        };
        self.json(request, self.options.answer_timeout + Duration::from_secs(bytes / SLOWEST_UPLOAD)).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        job: JobId,
        verb: &str,
        body: &(impl Serialize + Sync),
        wait: Duration,
    ) -> Result<T> {
        let url = self.api(&["leases", &job.to_string(), verb]);
        self.repeated(url, body, self.options.answer_timeout + wait).await
    }

    async fn repeated<T: DeserializeOwned>(
        &self,
        url: Url,
        body: &(impl Serialize + Sync),
        within: Duration,
    ) -> Result<T> {
        let mut tries = Tries::new(self.options.retry, Repeat::Always);
        loop {
            match self.json(self.request(Method::POST, url.clone()).json(body), within).await {
                Ok(answer) => return Ok(answer),
                Err(refusal) => tries.wait_after(refusal).await?,
            }
        }
    }
}

/// Jobs asked about at once.
const KNOWN_JOBS: usize = 1_000;
/// Read size of an upload from disk, in bytes.
const UPLOAD_CHUNK: usize = 64 * 1024;
/// An upload slower than this, in bytes per second, is given up and begun again.
const SLOWEST_UPLOAD: u64 = 256 * 1024;

/// When a refused call may be made again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// The call may have happened; doing it again does no harm.
    Always,
    /// Only when it certainly did not happen.
    IfNotBegun,
}

/// The tries of one call.
struct Tries {
    retry: Retry,
    repeat: Repeat,
    give_up: Instant,
    failures: u32,
}

impl Tries {
    fn new(retry: Retry, repeat: Repeat) -> Self {
        Self { retry, repeat, give_up: Instant::now() + retry.give_up_after, failures: 0 }
    }

    /// Returns when it is time for the next try, or the error when there is none.
    async fn wait_after(&mut self, refusal: Refusal) -> Result<()> {
        let never_began = refusal.before_sending || matches!(refusal.error, Error::Problem(_));
        if !refusal.error.is_retryable() || (self.repeat == Repeat::IfNotBegun && !never_began) {
            return Err(refusal.error);
        }
        self.failures += 1;
        let delay = self.retry.delay(self.failures).max(refusal.retry_after.unwrap_or_default());
        if Instant::now() + delay > self.give_up {
            return Err(refusal.error);
        }
        tracing::debug!(error = %refusal.error, delay_ms = delay.as_millis(), "trying again");
        tokio::time::sleep(delay).await;
        Ok(())
    }
}
