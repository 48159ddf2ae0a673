//! How what the features refuse becomes a problem.

use crate::problem::Failure;
use domain::{ErrorCode, NotCanonical};
use protocol::{FieldError, ListError};
use std::time::Duration;

/// What a client is told to wait when the server cannot say better.
const LATER: Duration = Duration::from_secs(1);

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        jobs::Error::from(error).into()
    }
}

impl From<ListError> for Failure {
    fn from(error: ListError) -> Self {
        jobs::Error::from(error).into()
    }
}

impl From<jobs::Error> for Failure {
    fn from(error: jobs::Error) -> Self {
        let code = error.code();
        let detail = sentence(&error.to_string());
        match error {
            jobs::Error::Invalid(errors) => Self::fields(errors),
            jobs::Error::NotCanonical(NotCanonical::Inexact(flaw)) => {
                Self::field(flaw.pointer, flaw.problem.to_string())
            }
            jobs::Error::MayNotRead { pointer, detail } => {
                let errors = vec![FieldError { pointer: pointer.into(), detail: detail.clone() }];
                Self { errors, ..Self::new(code, sentence(&detail)) }
            }
            jobs::Error::Reset(reset) => Self { reset: Some(Box::new(reset)), ..Self::new(code, detail) },
            jobs::Error::ProducerGap { expected, .. } => {
                Self { expected_producer_seq: Some(expected), ..Self::new(code, detail) }
            }
            _ if code == ErrorCode::Internal => match error.unreadable() {
                Some(row) => Self::damaged(error, sentence(&row.to_string())),
                None => Self::internal(error),
            },
            _ if matches!(code, ErrorCode::Unavailable | ErrorCode::StorageFull) => {
                Self::new(code, detail).retry_after(LATER)
            }
            _ => Self::new(code, detail),
        }
    }
}

impl From<router::Error> for Failure {
    fn from(error: router::Error) -> Self {
        match error.code() {
            ErrorCode::Internal => Self::internal(error),
            code => Self::new(code, sentence(&error.to_string())),
        }
    }
}

/// Error messages begin in lower case because they get embedded; a problem's detail stands alone.
pub fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    let end = if message.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_row_is_named_and_nothing_of_what_is_in_it() {
        let job = domain::JobId(uuid::Uuid::nil());
        let row = store::Unreadable { what: "job", id: job.to_string(), column: "state".to_owned() };
        let document = jobs::Error::Unreadable { job, what: "result", detail: "unknown variant `zzz`".to_owned() };
        for (failure, column) in [(store::Error::Unreadable(row).into(), "state"), (Failure::from(document), "result")]
        {
            assert_eq!(failure.code, ErrorCode::Internal);
            let expected = format!(
                "The stored row of job {job} is damaged (its `{column}` cannot be read); a backup has it: devmesh restore FILE --data \
                 NEW_FOLDER."
            );
            assert_eq!(failure.detail, expected);
        }
    }
}
