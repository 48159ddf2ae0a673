//! Who asks, and what they may see.

use crate::Error;
use domain::{JobState, PrincipalId, RequestId, Scope};
use store::{JobHead, JobRow};

/// Made by the API once a token has been checked; everything in here trusts it.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub principal: PrincipalId,
    pub scope: Scope,
    /// Goes into the audit entry of what this request changes.
    pub request: RequestId,
}

impl Caller {
    pub(crate) fn must_be(&self, needed: Scope) -> Result<(), Error> {
        if self.scope.covers(needed) {
            return Ok(());
        }
        Err(Error::Forbidden { needed, has: self.scope })
    }

    /// A user sees its own jobs, admins and viewers see all, an agent sees what it works on.
    pub(crate) fn sees(&self, job: &JobRow) -> bool {
        self.sees_job_of(job.principal, job.state, job.worker_principal)
    }

    pub(crate) fn sees_head(&self, job: &JobHead) -> bool {
        self.sees_job_of(job.principal, job.state, job.worker_principal)
    }

    fn sees_job_of(&self, owner: PrincipalId, state: JobState, worker: Option<PrincipalId>) -> bool {
        match self.scope {
            Scope::Admin | Scope::Viewer => true,
            Scope::User => owner == self.principal,
            Scope::Model => false,
            Scope::Agent => state == JobState::Running && worker == Some(self.principal),
        }
    }

    /// Whose jobs a list is narrowed to; `None` is everybody's.
    pub(crate) fn lists_only(&self) -> Result<Option<PrincipalId>, Error> {
        self.must_be(Scope::Viewer)?;
        Ok((self.scope == Scope::User).then_some(self.principal))
    }
}
