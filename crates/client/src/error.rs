//! What can go wrong between here and a backend, split by what the caller can do about it.

use domain::ErrorCode;
use protocol::{Problem, Reset};
use thiserror::Error;

#[derive(Clone, Debug, Error)]
pub enum Error {
    /// Nothing answers there, or it stopped answering. Trying again later may help.
    #[error("{url} does not answer: {detail}")]
    Unreachable { url: String, detail: String },

    /// A stream broke off before its end. What came before is whole; the rest is not there.
    #[error("the connection to {url} was lost while it was answering: {detail}")]
    Interrupted { url: String, detail: String },

    /// The backend answered with an error of its own.
    #[error("{}", problem_text(.0))]
    Problem(Box<Problem>),

    /// The server of a model said no, in the shape its own clients know.
    #[error("{message}")]
    Refused { status: u16, message: String },

    /// The log cannot be read on from where the reader stands. Nothing was skipped: begin again from `resume_from`.
    #[error("this log cannot be read on from there ({}); it can be read from {}", .0.reason, .0.resume_from)]
    Reset(Box<Reset>),

    /// What answers there does not speak this API.
    #[error("{url} answered with something else than devmesh does: {detail}")]
    Protocol { url: String, detail: String },

    /// The client cannot be used like this.
    #[error("{0}")]
    Invalid(String),

    /// A file to send cannot be read.
    #[error("cannot read {path}: {detail}")]
    File { path: String, detail: String },
}

impl Error {
    /// The backend's code, when it was the backend that refused.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Problem(problem) => Some(problem.code),
            _ => None,
        }
    }

    /// The same call may succeed a moment later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Interrupted { .. } => true,
            Self::Problem(problem) => matches!(
                problem.code,
                ErrorCode::RateLimited
                    | ErrorCode::TooManyConnections
                    | ErrorCode::RequestTimeout
                    | ErrorCode::Unavailable
                    | ErrorCode::StorageFull
            ),
            Self::Refused { .. } | Self::Reset(_) | Self::Protocol { .. } | Self::Invalid(_) | Self::File { .. } => {
                false
            }
        }
    }
}

fn problem_text(problem: &Problem) -> String {
    let mut text = problem.detail.clone();
    if text.is_empty() {
        text.clone_from(&problem.title);
    }
    for error in &problem.errors {
        text.push_str(&format!("\n  {}: {}", error.pointer, error.detail));
    }
    text
}
