//! Pages of jobs and of what belongs to them.

use crate::{Answer, ApprovalFilter, ApprovalRow, ArtifactRow, JobFilter, JobHead, JobRow, Page};
use domain::JobId;

/// Lists people look through. A page holds what its filter's limit allows, and ends early rather than hold more than
/// [`crate::limits::PAGE_BYTES`], approvals [`crate::limits::APPROVALS_PAGE_BYTES`].
pub trait Lists {
    /// Newest first.
    fn page_of_jobs(&self, filter: JobFilter) -> Answer<Page<JobRow>>;

    /// Newest first.
    fn page_of_approvals(&self, filter: ApprovalFilter) -> Answer<Page<ApprovalRow>>;

    /// What a job produced, by name, after the one named `after`. `None`: there is no such job.
    fn page_of_artifacts(&self, job: JobId, after: Option<String>, limit: usize) -> Answer<Option<ArtifactsOfJob>>;
}

/// What a job produced, and the job that decides who may see it, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactsOfJob {
    pub job: JobHead,
    pub page: Page<ArtifactRow>,
}
