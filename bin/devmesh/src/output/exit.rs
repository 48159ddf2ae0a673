//! Exit codes. Scripts depend on them, so they never change their meaning.

use domain::{FailureReason, JobState};
use protocol::Job;
use std::process::ExitCode;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    /// The job or the command failed.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// No backend answers.
    Unreachable = 3,
    /// The token is missing, unknown or of too small a scope.
    Unauthorized = 4,
    NotFound = 5,
    /// A person has to decide, said no, or has to start an agent, or a budget is used up.
    Stopped = 6,
    TimedOut = 124,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Exit {
    /// What a finished job means for the command that waited for it.
    pub fn of_job(job: &Job) -> Self {
        match (job.state, job.reason) {
            (JobState::Succeeded, _) => Self::Done,
            (_, Some(FailureReason::TimedOut)) => Self::TimedOut,
            (_, Some(FailureReason::BudgetExhausted | FailureReason::Refused)) => Self::Stopped,
            _ => Self::Failed,
        }
    }
}
