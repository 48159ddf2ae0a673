//! Why a command was not carried out, split by what the caller can do about it.

use domain::{Cursor, ErrorCode, JobId, JobState, Scope};
use protocol::{FieldError, ListError, Reset};
use thiserror::Error;

#[derive(Debug, Error)]
pub enum Error {
    #[error("this needs a token of scope `{needed}`; the one used has scope `{has}`")]
    Forbidden { needed: Scope, has: Scope },

    /// A part of the request is nothing this token may have read.
    #[error("{pointer}: {detail}")]
    MayNotRead { pointer: &'static str, detail: String },

    /// Also the answer for things that exist and belong to somebody else.
    #[error("there is no {what} `{id}` that this token may see")]
    NotFound { what: &'static str, id: String },

    /// Every mistake of the request at once.
    #[error("{}", listed(.0))]
    Invalid(Vec<FieldError>),

    #[error(transparent)]
    InvalidCursor(ListError),

    #[error("job {job} is {state}: {detail}")]
    WrongState { job: JobId, state: JobState, detail: String },

    /// The fencing token did not hold. Whatever the caller was doing for this job, somebody else does it now.
    #[error("attempt {attempt} of job {job} is over (the job has come to attempt {current}); stop working on it")]
    StaleAttempt { job: JobId, attempt: u32, current: u32 },

    #[error(
        "batch {producer_seq} of this attempt was stored before, with other events; repeat a batch unchanged, and give new events the next number"
    )]
    ProducerConflict { producer_seq: u64 },

    #[error(
        "batch {producer_seq} of this attempt is too old to tell whether it was stored with these events; read the job's events, and give new ones the next number"
    )]
    ProducerForgotten { producer_seq: u64 },

    #[error("producer_seq {got} leaves a gap; send the batch with producer_seq {expected} first")]
    ProducerGap { expected: u64, got: u64 },

    /// A cursor that was never handed out by this data: the reader has seen something that is not there.
    #[error("cursor {after} is ahead of the log, which ends at {head}; read again from a cursor this server gave out")]
    CursorAhead { after: Cursor, head: Cursor },

    #[error("this cursor cannot be honoured any more, because {}; begin again from {}", .0.reason, .0.resume_from)]
    Reset(Reset),

    /// What an earlier request with this key made is not there any more.
    #[error("this request made job {job} before, which was deleted since; use a fresh key to make another one")]
    Gone { job: JobId },

    #[error("the idempotency key `{key}` was used for another request; use a fresh key for a different request")]
    IdempotencyConflict { key: String },

    #[error("{limit} workers wait for jobs already, which is the limit; try again in a moment")]
    TooManyWaiters { limit: usize },

    #[error("the backend is shutting down; try again once it is back")]
    Stopping,

    #[error(transparent)]
    Store(store::Error),

    #[error(
        "the content of artifact `{name}` of job {job} is {condition}; restore a backup that has it, or do the job again with `devmesh jobs retry {job}`"
    )]
    ContentLost { job: JobId, name: String, condition: store::Condition },

    /// What the store holds is not what was ever written to it: damage or a bug, never the caller's fault.
    #[error("the stored {what} of job {job} cannot be read: {detail}; run `devmesh verify {job}` and `devmesh doctor`")]
    Unreadable { job: JobId, what: &'static str, detail: String },

    /// A value that JSON cannot say, which is a bug, or that not every reader would keep as it is.
    #[error("an event could not be written down: {0}")]
    NotCanonical(#[from] domain::NotCanonical),
}

impl Error {
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Forbidden { .. } | Self::MayNotRead { .. } => ErrorCode::Forbidden,
            Self::NotFound { .. } => ErrorCode::NotFound,
            Self::Invalid(_) => ErrorCode::InvalidRequest,
            Self::InvalidCursor(_) | Self::Reset(_) => ErrorCode::InvalidCursor,
            Self::WrongState { .. } => ErrorCode::WrongState,
            Self::StaleAttempt { .. } => ErrorCode::StaleAttempt,
            Self::ProducerGap { .. } => ErrorCode::ProducerGap,
            Self::ProducerConflict { .. } | Self::ProducerForgotten { .. } => ErrorCode::ProducerConflict,
            Self::Gone { .. } => ErrorCode::Gone,
            Self::CursorAhead { .. } => ErrorCode::CursorAhead,
            Self::IdempotencyConflict { .. } => ErrorCode::IdempotencyConflict,
            Self::TooManyWaiters { .. } | Self::Stopping => ErrorCode::Unavailable,
            Self::Store(error) => code_of_store(error),
            Self::NotCanonical(domain::NotCanonical::Inexact(_)) => ErrorCode::InvalidRequest,
            Self::ContentLost { .. } => ErrorCode::ContentLost,
            Self::Unreadable { .. } | Self::NotCanonical(_) => ErrorCode::Internal,
        }
    }

    /// The row that is damaged, where that is why.
    pub fn unreadable(&self) -> Option<store::Unreadable> {
        match self {
            Self::Store(store::Error::Unreadable(row)) => Some(row.clone()),
            Self::Unreadable { job, what, .. } => {
                Some(store::Unreadable { what: "job", id: job.to_string(), column: (*what).to_owned() })
            }
            _ => None,
        }
    }

    pub(crate) fn no_job(job: JobId) -> Self {
        Self::NotFound { what: "job", id: job.to_string() }
    }

    /// One mistake.
    pub(crate) fn invalid(pointer: &str, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError { pointer: pointer.into(), detail: detail.into() }])
    }
}

impl From<ListError> for Error {
    fn from(error: ListError) -> Self {
        match error {
            ListError::Limit(_) => Self::invalid("limit", error.to_string()),
            ListError::Cursor(_) => Self::InvalidCursor(error),
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            // What a decision of this crate refused comes back as it was.
            store::Error::Refused(refused) => match refused.downcast::<Self>() {
                Ok(error) => *error,
                Err(other) => match other.downcast::<store::Error>() {
                    Ok(error) => (*error).into(),
                    Err(other) => Self::Store(store::Error::Refused(other)),
                },
            },
            store::Error::NoSuchJob(job) => Self::no_job(job),
            store::Error::StaleAttempt { job, attempt, current } => Self::StaleAttempt { job, attempt, current },
            store::Error::ProducerGap { expected, got } => Self::ProducerGap { expected, got },
            store::Error::ProducerConflict { producer_seq } => Self::ProducerConflict { producer_seq },
            store::Error::ProducerForgotten { producer_seq } => Self::ProducerForgotten { producer_seq },
            other => Self::Store(other),
        }
    }
}

fn code_of_store(error: &store::Error) -> ErrorCode {
    use store::Error as Store;
    match error {
        Store::StorageFull(_) | Store::StorageFailed(_) | Store::File { .. } => ErrorCode::StorageFull,
        // Content that went away while it was being written to: asking again gives the definite answer.
        Store::Closed | Store::Busy { .. } | Store::BlobMissing(_) => ErrorCode::Unavailable,
        Store::BlobLost { .. } => ErrorCode::ContentLost,
        Store::BlobTooLarge { .. } => ErrorCode::BodyTooLarge,
        Store::BlobInput(_) => ErrorCode::InvalidRequest,
        _ => ErrorCode::Internal,
    }
}

fn listed(mistakes: &[FieldError]) -> String {
    let lines: Vec<_> = mistakes.iter().map(|mistake| format!("{}: {}", mistake.pointer, mistake.detail)).collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_every_mistake() {
        let error = Error::Invalid(vec![
            FieldError { pointer: "/task".into(), detail: "is empty".into() },
            FieldError { pointer: "/limits/steps".into(), detail: "is 0".into() },
        ]);
        assert_eq!(error.to_string(), "/task: is empty; /limits/steps: is 0");
        assert_eq!(error.code(), ErrorCode::InvalidRequest);
    }
}
