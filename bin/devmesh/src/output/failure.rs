//! What went wrong, why, and which command helps.

use super::{BAD, Exit, FAINT, plain, styled};
use crate::config::Problems;
use domain::ErrorCode;
use std::{fmt, io};

pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// The end of a command that did not succeed.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    /// What happened and why, with the value seen. Empty: everything has been said already.
    pub what: String,
    /// A command to run next.
    pub next: Option<String>,
    /// The backend's name for the failed request, to find it in its log.
    pub request_id: Option<String>,
}

impl Failure {
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), next: None, request_id: None }
    }

    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(Exit::Failed, what)
    }

    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// The reader went away, as in `devmesh jobs list | head -1`.
    pub fn is_closed_pipe(&self) -> bool {
        self.what.is_empty()
    }

    pub fn next(mut self, command: impl Into<String>) -> Self {
        self.next = Some(command.into());
        self
    }

    /// What is not there is looked for with this command.
    pub fn listed_by(self, command: &str) -> Self {
        if self.exit == Exit::NotFound { self.next(command) } else { self }
    }

    /// Puts what was being done in front of why it did not work.
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        if !self.is_closed_pipe() {
            self.what = format!("{doing}: {}", self.what);
        }
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", styled(BAD, "error:"), plain(&self.what))?;
        if let Some(id) = &self.request_id {
            write!(f, "\n{FAINT}request {id}{FAINT:#}")?;
        }
        if let Some(next) = &self.next {
            write!(f, "\n{FAINT}next: {next}{FAINT:#}")?;
        }
        Ok(())
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        let what = error.to_string();
        match &error {
            client::Error::Unreachable { .. } | client::Error::Interrupted { .. } => {
                Self::new(Exit::Unreachable, what).next("devmesh doctor, or devmesh up to start a backend here")
            }
            client::Error::Problem(problem) => {
                let mut failure = match problem.code {
                    ErrorCode::Unauthorized => Self::new(Exit::Unauthorized, what).next("devmesh token path"),
                    ErrorCode::Forbidden => {
                        Self::new(Exit::Unauthorized, what).next("devmesh token create NAME --scope admin")
                    }
                    ErrorCode::NotFound => Self::new(Exit::NotFound, what).next("devmesh jobs list"),
                    ErrorCode::ContentLost => Self::failed(what).next("devmesh doctor --deep"),
                    ErrorCode::InvalidRequest | ErrorCode::InvalidJson | ErrorCode::InvalidCursor => {
                        Self::new(Exit::Usage, what)
                    }
                    _ => Self::failed(what),
                };
                failure.request_id = Some(problem.request_id.clone());
                failure
            }
            client::Error::Refused { status: 401, .. } => {
                Self::new(Exit::Unauthorized, what).next("devmesh token create NAME --scope model")
            }
            // The token opens this door, and what it may do with models ends here.
            client::Error::Refused { status: 403, .. } => Self::new(Exit::Unauthorized, what).next(
                "devmesh token policy ID shows what a token may do with models, and changes it: --egress redacted or allowed, --route, --model",
            ),
            client::Error::Refused { status: 404, .. } => Self::new(Exit::NotFound, what).next("devmesh models list"),
            client::Error::Refused { .. } => Self::failed(what),
            client::Error::Invalid(_) => Self::new(Exit::Usage, what),
            client::Error::Protocol { .. } => Self::failed(what).next("devmesh doctor"),
            client::Error::Reset(_) | client::Error::File { .. } => Self::failed(what),
        }
    }
}

impl From<client::CopyError> for Failure {
    fn from(error: client::CopyError) -> Self {
        match error {
            client::CopyError::Source(error) => error.into(),
            client::CopyError::Target(error) => error.into(),
        }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::new(Exit::Usage, problems.to_string()).next("devmesh config explain KEY tells what may stand there")
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Done, "");
        }
        Self::failed(error.to_string())
    }
}
