//! [`Lists`] on SQLite.

use super::Sqlite;
use crate::{Answer, ApprovalFilter, ApprovalRow, ArtifactsOfJob, JobFilter, JobRow, Page, operations::Lists};
use domain::JobId;

impl Lists for Sqlite {
    fn page_of_jobs(&self, filter: JobFilter) -> Answer<Page<JobRow>> {
        self.read(move |reader| reader.page_of_jobs(&filter))
    }

    fn page_of_approvals(&self, filter: ApprovalFilter) -> Answer<Page<ApprovalRow>> {
        self.read(move |reader| reader.page_of_approvals(&filter))
    }

    fn page_of_artifacts(&self, job: JobId, after: Option<String>, limit: usize) -> Answer<Option<ArtifactsOfJob>> {
        self.read(move |reader| {
            let Some(head) = reader.job_head(job)? else { return Ok(None) };
            let page = reader.page_of_artifacts(job, after.as_deref(), limit)?;
            Ok(Some(ArtifactsOfJob { job: head, page }))
        })
    }
}
