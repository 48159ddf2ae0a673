//! Create a job.

use super::{IdempotencyKey, Once, audit};
use crate::{
    Caller, Error, Handle,
    event::{draft, to_store},
    repository, validate,
};
use domain::{EventHash, JobId, JobState, Priority, Scope, Timestamp};
use protocol::{Actor, CreateJob, EventBody, Job, Usage};
use store::{AuditRow, Created, JobRow, NewEvent};

impl Handle {
    /// A new job, queued. With a key that was used before for the same request: the job that request made.
    pub async fn create(&self, caller: &Caller, spec: CreateJob, key: Option<IdempotencyKey>) -> Result<Job, Error> {
        caller.must_be(Scope::User)?;
        validate::create_job(&spec)?;
        let spec = self.readable(caller, spec).await?;
        let once = key.map(|key| Once::new(key, "job.create", &spec)).transpose()?;
        let now = self.shared.now();
        let new = NewJob::new(caller, spec, None, now, "job.create")?;
        self.insert(new, once.map(|once| once.of(caller, now))).await
    }
}

impl Handle {
    /// The specification, if this caller may have read what it is about.
    pub(super) async fn readable(&self, caller: &Caller, spec: CreateJob) -> Result<CreateJob, Error> {
        if spec.repository.is_none() {
            return Ok(spec);
        }
        let (folders, shared) = (repository::folders_of(caller), self.shared.clone());
        // Looks at paths, which may be anywhere.
        let checked =
            tokio::task::spawn_blocking(move || repository::check(&spec, folders, &shared.options).map(|()| spec));
        checked.await.unwrap_or(Err(Error::Stopping))
    }
}

/// A job that is about to be stored.
pub(super) struct NewJob {
    row: JobRow,
    created: NewEvent,
    audit: AuditRow,
}

impl NewJob {
    pub fn new(
        caller: &Caller,
        spec: CreateJob,
        retry_of: Option<JobId>,
        now: Timestamp,
        action: &str,
    ) -> Result<Self, Error> {
        let id = JobId::new(now);
        let row = JobRow {
            id,
            principal: caller.principal,
            kind: spec.kind,
            state: JobState::Queued,
            reason: None,
            message: None,
            spec: to_store(&spec)?,
            result: None,
            usage: to_store(&Usage::default())?,
            priority: spec.priority.level(),
            rank: rank(spec.priority, now),
            not_before: None,
            attempt: 0,
            attempts_failed: 0,
            worker: None,
            worker_principal: None,
            producer_seq: 0,
            cancel_requested: false,
            retry_of,
            folders: repository::folders_of(caller).as_str().to_owned(),
            running_ms: 0,
            lease_epoch: None,
            head_seq: 0,
            head_hash: EventHash::START,
            revision: 0,
            created_at: now,
            updated_at: now,
            started_at: None,
            finished_at: None,
        };
        let body = EventBody::JobCreated {
            kind: spec.kind.to_string(),
            task: spec.task,
            priority: spec.priority.level(),
            limits: spec.limits,
            retry_of: retry_of.map(|job| job.to_string()),
        };
        Ok(Self { row, created: draft(Actor::User, 0, now, body)?, audit: audit(caller, now, action, id) })
    }
}

/// The place in the queue, lowest first: one level of priority is worth a minute of waiting. Never rewritten, so a job
/// that goes back into the queue stands where it stood and low priorities age upwards by themselves.
fn rank(priority: Priority, queued_at: Timestamp) -> i64 {
    queued_at.as_millis() - i64::from(priority.level()) * Priority::LEVEL_MS
}

impl Handle {
    pub(super) async fn insert(&self, new: NewJob, once: Option<store::Once>) -> Result<Job, Error> {
        let NewJob { row, created, audit } = new;
        let new = store::NewJob { job: row, created, audit, once };
        self.carry_through(async move |shared| match shared.store.create_job(new).await? {
            Created::New(row) => {
                shared.live.wake();
                shared.view(row)
            }
            Created::Earlier(earlier) => shared.repeated(earlier),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_level_is_worth_a_minute() {
        let at = |minutes: i64| Timestamp::from_millis(minutes * 60_000);
        let level = |level: u8| Priority::try_from(level).unwrap();
        assert_eq!(rank(level(4), at(10)), rank(level(5), at(11)));
        assert!(rank(level(0), at(0)) < rank(level(9), at(10)), "nothing starves");
        assert!(rank(level(9), at(8)) < rank(level(0), at(0)), "a high priority overtakes");
    }
}
