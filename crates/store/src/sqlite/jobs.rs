//! [`Jobs`] on SQLite.

use super::{Reader, Sqlite, Transaction};
use crate::{
    ApprovalRow, ArtifactRow, AuditRow, Error, EventRow, IdempotencyRow, JobHead, JobRow,
    operations::{
        About, Answer, Append, Appended, ApprovalChange, ArtifactPut, Ask, Asked, BeginAttempt, Changed, Created,
        DecideApproval, DecideDeletion, DecideJob, Earlier, EventPage, Found, Jobs, NewJob, Once, PutArtifact, Urgency,
        Write,
    },
};
use domain::{ApprovalId, Cursor, JobId, JobState, PrincipalId, Timestamp};

impl Jobs for Sqlite {
    fn create_job(&self, new: NewJob) -> Answer<Created> {
        self.write(move |transaction| create(transaction, new))
    }

    fn earlier_job(&self, once: Once) -> Answer<Option<Earlier>> {
        self.read(move |reader| earlier(reader, &once))
    }

    fn change_job(&self, job: JobId, urgency: Urgency, mut decide: DecideJob) -> Answer<Changed> {
        let change = move |transaction: &mut Transaction<'_>| {
            let job = found(transaction, job)?;
            let pending = match job.state {
                JobState::WaitingApproval => transaction.pending_approvals(job.id)?,
                _ => Vec::new(),
            };
            let before = Found { job, pending };
            let write = decide(&before).map_err(Error::Refused)?;
            carry_out(transaction, before.job, write)
        };
        match urgency {
            Urgency::Ordinary => self.write(change),
            Urgency::Relief => self.relieve(change),
        }
    }

    fn delete_job(&self, job: JobId, mut decide: DecideDeletion) -> Answer<()> {
        self.relieve(move |transaction| {
            let audit: AuditRow = decide(&found(transaction, job)?).map_err(Error::Refused)?;
            transaction.delete_job(job)?;
            transaction.audit(&audit)
        })
    }

    fn delete_finished_jobs(&self, before: Timestamp, limit: usize) -> Answer<usize> {
        self.relieve(move |transaction| {
            let expired = transaction.expired_jobs(before, limit)?;
            for job in &expired {
                transaction.delete_job(*job)?;
            }
            Ok(expired.len())
        })
    }

    fn lease_ready(&self, workers: usize, running_per_principal: u32, mut begin: BeginAttempt) -> Answer<Vec<JobRow>> {
        self.write(move |transaction| {
            let mut leased = Vec::with_capacity(workers);
            // Principals that run as many jobs as they may. Grows by one per principal at most.
            let mut busy: Vec<PrincipalId> = Vec::new();
            while leased.len() < workers {
                let Some(job) = transaction.next_ready(&busy)? else { break };
                if is_busy(transaction, job.principal, running_per_principal)? {
                    busy.push(job.principal);
                } else {
                    leased.push(lease(transaction, job, leased.len(), &mut begin)?);
                }
            }
            Ok(leased)
        })
    }

    fn lease_kept(
        &self,
        jobs: Vec<JobId>,
        running_per_principal: u32,
        mut begin: BeginAttempt,
    ) -> Answer<Vec<Option<JobRow>>> {
        self.write(move |transaction| {
            let mut leased = Vec::with_capacity(jobs.len());
            for (number, job) in jobs.into_iter().enumerate() {
                leased.push(match transaction.job(job)? {
                    Some(job)
                        if job.state == JobState::Queued
                            && !is_busy(transaction, job.principal, running_per_principal)? =>
                    {
                        Some(lease(transaction, job, number, &mut begin)?)
                    }
                    _ => None,
                });
            }
            Ok(leased)
        })
    }

    fn promote_delayed(&self, until: Timestamp) -> Answer<Option<Timestamp>> {
        self.write(move |transaction| {
            transaction.promote_delayed(until)?;
            transaction.next_delayed()
        })
    }

    fn append_under_fence(&self, append: Append) -> Answer<Appended> {
        self.write(move |transaction| append_batch(transaction, append))
    }

    fn put_artifact(&self, put: PutArtifact) -> Answer<ArtifactPut> {
        self.write(move |transaction| put_artifact(transaction, put))
    }

    fn ask_approval(&self, ask: Ask) -> Answer<(ApprovalRow, Changed)> {
        let Ask { job, call_id, arguments_sha256, attempt, mut decide } = ask;
        self.write(move |transaction| {
            let earlier = match transaction.approval_for_call(job, &call_id)? {
                Some(approval) => Some(approval),
                None => transaction.approval_carried_over(job, &call_id)?,
            };
            let unspent = transaction.unspent_approval(job, &arguments_sha256, attempt)?;
            let asked = Asked { job: found(transaction, job)?, earlier, unspent };
            let About { approval, write } = decide(&asked).map_err(Error::Refused)?;
            Ok((approval, carry_out(transaction, asked.job, write)?))
        })
    }

    fn decide_approval(
        &self,
        approval: ApprovalId,
        mut decide: DecideApproval,
    ) -> Answer<Option<(ApprovalRow, Changed)>> {
        self.relieve(move |transaction| {
            let Some(approval) = transaction.approval(approval)? else { return Ok(None) };
            let job = found(transaction, approval.job_id)?;
            let About { approval, write } = decide(&job, &approval).map_err(Error::Refused)?;
            Ok(Some((approval, carry_out(transaction, job, write)?)))
        })
    }

    fn job(&self, job: JobId) -> Answer<Option<JobRow>> {
        self.read(move |reader| reader.job(job))
    }

    fn jobs(&self, jobs: Vec<JobId>) -> Answer<Vec<JobRow>> {
        self.read(move |reader| jobs.into_iter().filter_map(|job| reader.job(job).transpose()).collect())
    }

    fn job_head(&self, job: JobId) -> Answer<Option<JobHead>> {
        self.read(move |reader| reader.job_head(job))
    }

    fn known_jobs(&self, jobs: Vec<JobId>) -> Answer<Vec<JobId>> {
        self.read(move |reader| {
            let mut known = Vec::with_capacity(jobs.len());
            for job in jobs {
                if reader.has_job(job)? {
                    known.push(job);
                }
            }
            Ok(known)
        })
    }

    fn running_jobs(&self) -> Answer<Vec<JobRow>> {
        self.read(|reader| reader.running())
    }

    fn changed_jobs(&self, after_revision: u64, limit: usize) -> Answer<Vec<JobRow>> {
        self.read(move |reader| reader.jobs_changed_after(after_revision, limit))
    }

    fn newest_revision(&self) -> Answer<u64> {
        self.read(|reader| reader.revision())
    }

    fn newest_change(&self) -> Answer<Option<Timestamp>> {
        self.read(|reader| reader.newest_change())
    }

    fn page_of_events(&self, page: EventPage) -> Answer<Option<(JobHead, Vec<EventRow>)>> {
        self.read(move |reader| {
            let Some(head) = reader.job_head(page.job)? else { return Ok(None) };
            let events = match page.after_seq < head.head_seq {
                true => reader.events(page.job, page.after_seq, page.max_events, page.max_bytes)?,
                false => Vec::new(),
            };
            Ok(Some((head, events)))
        })
    }

    fn artifact(&self, job: JobId, name: String) -> Answer<Option<(JobHead, Option<ArtifactRow>)>> {
        self.read(move |reader| {
            let Some(head) = reader.job_head(job)? else { return Ok(None) };
            Ok(Some((head, reader.artifact(job, &name)?)))
        })
    }
}

fn found(reader: &Reader<'_>, job: JobId) -> Result<JobRow, Error> {
    reader.job(job)?.ok_or(Error::NoSuchJob(job))
}

fn create(transaction: &mut Transaction<'_>, new: NewJob) -> Result<Created, Error> {
    if let Some(once) = &new.once {
        if let Some(earlier) = earlier(transaction, once)? {
            return Ok(Created::Earlier(earlier));
        }
        transaction.put_idempotency(&IdempotencyRow {
            principal: once.principal,
            key: once.key.clone(),
            request_sha256: once.request_sha256,
            answer: new.job.id.to_string(),
            created_at: once.now,
        })?;
    }
    transaction.insert_job(&new.job)?;
    transaction.append(new.job.id, &[new.created])?;
    transaction.audit(&new.audit)?;
    found(transaction, new.job.id).map(Created::New)
}

/// A key holds for as long as its row is there, so that a wall clock that jumps makes no request a new one.
fn earlier(reader: &Reader<'_>, once: &Once) -> Result<Option<Earlier>, Error> {
    let Some(row) = reader.idempotency(once.principal, &once.key)? else { return Ok(None) };
    if row.request_sha256 != once.request_sha256 {
        return Ok(Some(Earlier::Conflict { key: row.key }));
    }
    let job = row.answer.parse().map_err(|_| Error::Corrupt(format!("`{}` answers a request", row.answer)))?;
    Ok(Some(reader.job(job)?.map_or(Earlier::Deleted(job), |job| Earlier::Job(Box::new(job)))))
}

/// Writes down what was decided, and reads the job back with its new head.
fn carry_out(transaction: &mut Transaction<'_>, before: JobRow, write: Option<Write>) -> Result<Changed, Error> {
    let Some(write) = write else { return Ok(Changed { job: before, wrote: false }) };
    for change in &write.approvals {
        match change {
            ApprovalChange::Insert(approval) => transaction.insert_approval(approval)?,
            ApprovalChange::Decide(approval) => transaction.update_approval(approval)?,
            ApprovalChange::Use { approval, call_id, attempt } => {
                transaction.use_approval(*approval, call_id, *attempt)?;
            }
        }
    }
    if let Some(audit) = &write.audit {
        transaction.audit(audit)?;
    }
    transaction.update_job(&write.job)?;
    transaction.append(before.id, &write.events)?;
    Ok(Changed { job: found(transaction, before.id)?, wrote: true })
}

fn is_busy(reader: &Reader<'_>, principal: PrincipalId, running_per_principal: u32) -> Result<bool, Error> {
    Ok(reader.running_count(principal)? >= u64::from(running_per_principal))
}

fn lease(
    transaction: &mut Transaction<'_>,
    job: JobRow,
    number: usize,
    begin: &mut BeginAttempt,
) -> Result<JobRow, Error> {
    let (mut job, leased) = begin(number, job).map_err(Error::Refused)?;
    job.lease_epoch = Some(transaction.epoch());
    transaction.update_job(&job)?;
    transaction.append(job.id, &[leased])?;
    found(transaction, job.id)
}

fn append_batch(transaction: &mut Transaction<'_>, append: Append) -> Result<Appended, Error> {
    let job = append.fence.job;
    let head = transaction.job_head(job)?.ok_or(Error::NoSuchJob(job))?;
    append.fence.check(&head)?;
    if let Some(batch) = append.batch {
        if batch.producer_seq <= head.producer_seq {
            transaction.check_repeated(job, head.producer_seq, batch)?;
            return Ok(Appended { head: Cursor { epoch: append.fence.epoch, seq: head.head_seq }, repeated: true });
        }
        let expected = head.producer_seq + 1;
        if batch.producer_seq != expected {
            return Err(Error::ProducerGap { expected, got: batch.producer_seq });
        }
        transaction.remember_batch(job, batch)?;
    }
    if let Some(mut count) = append.count {
        let mut row = found(transaction, job)?;
        count(&mut row).map_err(Error::Refused)?;
        transaction.update_job(&row)?;
    }
    for call in &append.spent_calls {
        transaction.spend_approvals(job, call)?;
    }
    let head = transaction.append(job, &append.events)?;
    Ok(Appended { head, repeated: false })
}

fn put_artifact(transaction: &mut Transaction<'_>, put: PutArtifact) -> Result<ArtifactPut, Error> {
    let PutArtifact { fence, artifact, event, limit, running_ms } = put;
    let mut job = found(transaction, fence.job)?;
    fence.check(&JobHead::from(&job))?;
    let earlier = transaction.artifact(job.id, &artifact.name)?;
    if let Some(earlier) = &earlier
        && (&earlier.sha256, &earlier.media_type) == (&artifact.sha256, &artifact.media_type)
        && earlier.attempt == artifact.attempt
    {
        return Ok(ArtifactPut::Repeated(earlier.clone()));
    }
    if earlier.is_none() && transaction.artifacts(job.id)?.len() >= limit {
        return Ok(ArtifactPut::TooMany);
    }
    transaction.put_artifact(&artifact)?;
    job.running_ms = running_ms.unwrap_or(job.running_ms);
    transaction.update_job(&job)?;
    transaction.append(job.id, &[event])?;
    Ok(ArtifactPut::Stored(artifact))
}
