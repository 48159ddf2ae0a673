//! Jobs: what is done to them, by whom, and how they are looked at.

use super::Answer;
use crate::{ApprovalRow, ArtifactRow, AuditRow, Error, EventRow, JobHead, JobRow, NewEvent, Refused};
use domain::{ApprovalId, Cursor, Epoch, JobId, JobState, PrincipalId, Timestamp};

/// What an attempt shows for every write: the job must be running, in this attempt, leased by this principal since the
/// last restore. Attempt numbers alone come again after a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    pub job: JobId,
    pub epoch: Epoch,
    pub attempt: u32,
    pub principal: PrincipalId,
}

impl Fence {
    /// # Errors
    /// [`Error::StaleAttempt`] when somebody else works on the job or nobody does, [`Error::NoSuchJob`] when it is another
    /// principal's.
    pub fn check(self, job: &JobHead) -> Result<(), Error> {
        let is_current = job.attempt == self.attempt && job.lease_epoch == Some(self.epoch);
        if !is_current || job.state != JobState::Running {
            return Err(Error::StaleAttempt { job: self.job, attempt: self.attempt, current: job.attempt });
        }
        if job.worker_principal != Some(self.principal) {
            return Err(Error::NoSuchJob(self.job));
        }
        Ok(())
    }

    /// Whether this attempt was the job's last one, running or not: then what it says again was said before.
    pub fn was_last(self, job: &JobRow) -> bool {
        let same_lease = job.attempt == self.attempt && job.lease_epoch == Some(self.epoch);
        same_lease && job.worker_principal == Some(self.principal)
    }
}

/// A key a client chose for a request, and the request: asking again changes nothing more.
#[derive(Clone, Debug)]
pub struct Once {
    pub principal: PrincipalId,
    pub key: String,
    pub request_sha256: [u8; 32],
    pub now: Timestamp,
}

/// What an earlier request with the same key came to.
#[derive(Debug)]
pub enum Earlier {
    Job(Box<JobRow>),
    /// It made this job, which was deleted since.
    Deleted(JobId),
    /// It was another request.
    Conflict {
        key: String,
    },
}

#[derive(Debug)]
pub struct NewJob {
    pub job: JobRow,
    /// The first event of its log.
    pub created: NewEvent,
    pub audit: AuditRow,
    pub once: Option<Once>,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every one of them holds a job")]
pub enum Created {
    New(JobRow),
    /// Nothing was stored: the request was made before.
    Earlier(Earlier),
}

/// A job as a decision finds it.
#[derive(Debug)]
pub struct Found {
    pub job: JobRow,
    /// What it waits for a person to decide; empty for one that waits for nothing.
    pub pending: Vec<ApprovalRow>,
}

/// What a decision comes to: all of it is written, or nothing.
#[derive(Debug)]
pub struct Write {
    /// As it is from now on. The store keeps what never changes, the head of the log and the revision.
    pub job: JobRow,
    pub events: Vec<NewEvent>,
    pub approvals: Vec<ApprovalChange>,
    pub audit: Option<AuditRow>,
}

impl Write {
    pub fn new(job: JobRow, events: Vec<NewEvent>) -> Self {
        Self { job, events, approvals: Vec::new(), audit: None }
    }
}

#[derive(Clone, Debug)]
pub enum ApprovalChange {
    Insert(ApprovalRow),
    /// Stores the decision; what was asked never changes.
    Decide(ApprovalRow),
    /// The decision answers this call, in this attempt.
    Use {
        approval: ApprovalId,
        call_id: String,
        attempt: u32,
    },
}

/// A job after an operation.
#[derive(Clone, Debug)]
pub struct Changed {
    pub job: JobRow,
    /// `false`: it was like this before.
    pub wrote: bool,
}

/// `None` changes nothing.
pub type DecideJob = Box<dyn FnMut(&Found) -> Result<Option<Write>, Refused> + Send>;

/// What is for relief works on a full disk too, on the room kept for it: it ends work or frees space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    Ordinary,
    Relief,
}

/// A question for a person, before anything is known of earlier ones.
pub struct Ask {
    pub job: JobId,
    pub call_id: String,
    pub arguments_sha256: String,
    pub attempt: u32,
    pub decide: DecideAsk,
}

pub type DecideAsk = Box<dyn FnMut(&Asked) -> Result<About, Refused> + Send>;

#[derive(Debug)]
pub struct Asked {
    pub job: JobRow,
    /// What this call was asked about or answered with before.
    pub earlier: Option<ApprovalRow>,
    /// A decision on the same tool and arguments that may still answer a call of this attempt.
    pub unspent: Option<ApprovalRow>,
}

/// An approval, and what is to be written about it.
#[derive(Debug)]
pub struct About {
    pub approval: ApprovalRow,
    pub write: Option<Write>,
}

pub type DecideApproval = Box<dyn FnMut(&JobRow, &ApprovalRow) -> Result<About, Refused> + Send>;

/// Events of an attempt.
pub struct Append {
    pub fence: Fence,
    /// The agent's number for them; `None` for what the backend itself writes for the attempt.
    pub batch: Option<BatchId>,
    pub events: Vec<NewEvent>,
    /// Tool calls that began or ended: what a person decided on them answers no other.
    pub spent_calls: Vec<String>,
    /// Adds what the events used to the job's row. `None`, for by far the most: nothing of the job but its log changes.
    pub count: Option<Count>,
}

pub type Count = Box<dyn FnMut(&mut JobRow) -> Result<(), Refused> + Send>;

/// One batch of an attempt: 1, 2, 3, …, and what is in it.
#[derive(Clone, Copy, Debug)]
pub struct BatchId {
    pub producer_seq: u64,
    pub sha256: [u8; 32],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The durable end of the log.
    pub head: Cursor,
    /// An earlier try had stored the batch.
    pub repeated: bool,
}

/// Content that is stored already, to be named by a job.
pub struct PutArtifact {
    pub fence: Fence,
    pub artifact: ArtifactRow,
    pub event: NewEvent,
    /// Artifacts the job may have.
    pub limit: usize,
    pub running_ms: Option<u64>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum ArtifactPut {
    Stored(ArtifactRow),
    /// The job has this very artifact; the row is the one stored then.
    Repeated(ArtifactRow),
    TooMany,
}

/// How the `number`th worker takes this job on.
pub type BeginAttempt = Box<dyn FnMut(usize, JobRow) -> Result<(JobRow, NewEvent), Refused> + Send>;

/// Says whether the job may go, and what the audit trail says of it.
pub type DecideDeletion = Box<dyn FnMut(&JobRow) -> Result<AuditRow, Refused> + Send>;

/// Where to read a log.
#[derive(Clone, Copy, Debug)]
pub struct EventPage {
    pub job: JobId,
    pub after_seq: u64,
    pub max_events: usize,
    /// No further event once their payloads pass this, so a page has at least one if there is one.
    pub max_bytes: usize,
}

/// Jobs, their logs, leases, artifacts and approvals. Every operation on a job that does not exist is
/// [`Error::NoSuchJob`], or `None` where it says so.
pub trait Jobs {
    /// A new job, unless the same request made one before.
    fn create_job(&self, new: NewJob) -> Answer<Created>;
    /// What an earlier request with this key made.
    fn earlier_job(&self, once: Once) -> Answer<Option<Earlier>>;
    fn change_job(&self, job: JobId, urgency: Urgency, decide: DecideJob) -> Answer<Changed>;
    /// For relief.
    fn delete_job(&self, job: JobId, decide: DecideDeletion) -> Answer<()>;
    /// Deletes jobs that ended before this time, oldest first, and says how many: at most `limit`. For relief.
    fn delete_finished_jobs(&self, before: Timestamp, limit: usize) -> Answer<usize>;

    /// Leases ready jobs to so many workers, in order, until there are no more of one or the other. The next is of the
    /// principal with the fewest running jobs, and of nobody who runs as many as `running_per_principal`.
    fn lease_ready(&self, workers: usize, running_per_principal: u32, begin: BeginAttempt) -> Answer<Vec<JobRow>>;
    /// Leases to each worker the job kept for it, if that is still queued.
    fn lease_kept(
        &self,
        jobs: Vec<JobId>,
        running_per_principal: u32,
        begin: BeginAttempt,
    ) -> Answer<Vec<Option<JobRow>>>;
    /// Makes delayed jobs ready whose time has come, and says when the next one will be.
    fn promote_delayed(&self, until: Timestamp) -> Answer<Option<Timestamp>>;

    /// Adds to the end of a job's log, under the fence.
    ///
    /// # Errors
    /// [`Error::ProducerGap`], [`Error::ProducerConflict`] when another batch came under this number, and
    /// [`Error::ProducerForgotten`] when it is too old to tell.
    fn append_under_fence(&self, append: Append) -> Answer<Appended>;
    /// Names content for the job in place of what had that name, and tells it in the log, under the fence.
    ///
    /// # Errors
    /// [`Error::BlobMissing`] when the content is not there.
    fn put_artifact(&self, put: PutArtifact) -> Answer<ArtifactPut>;

    fn ask_approval(&self, ask: Ask) -> Answer<(ApprovalRow, Changed)>;
    /// `None`: no such approval. For relief.
    fn decide_approval(&self, approval: ApprovalId, decide: DecideApproval) -> Answer<Option<(ApprovalRow, Changed)>>;

    fn job(&self, job: JobId) -> Answer<Option<JobRow>>;
    /// Those of them that exist.
    fn jobs(&self, jobs: Vec<JobId>) -> Answer<Vec<JobRow>>;
    /// [`Self::job`] without the documents.
    fn job_head(&self, job: JobId) -> Answer<Option<JobHead>>;
    /// Which of these exist, in the order asked.
    fn known_jobs(&self, jobs: Vec<JobId>) -> Answer<Vec<JobId>>;
    /// Every job in state `running`; as many as there are attempts under a lease.
    fn running_jobs(&self) -> Answer<Vec<JobRow>>;
    /// Jobs created or changed after `revision`, in that order.
    fn changed_jobs(&self, after_revision: u64, limit: usize) -> Answer<Vec<JobRow>>;
    fn newest_revision(&self) -> Answer<u64>;
    /// When anything was last written that bears a time; `None` for a new database.
    fn newest_change(&self) -> Answer<Option<Timestamp>>;

    /// The head as it is and the events after a position, of one moment.
    fn page_of_events(&self, page: EventPage) -> Answer<Option<(JobHead, Vec<EventRow>)>>;
    fn artifact(&self, job: JobId, name: String) -> Answer<Option<(JobHead, Option<ArtifactRow>)>>;
}
