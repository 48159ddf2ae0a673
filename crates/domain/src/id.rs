//! Typed UUIDv7 ids: a job id cannot be passed where an approval id is meant, and all of them sort by creation time.

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    str::FromStr,
    sync::{Mutex, PoisonError},
};
use uuid::Uuid;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A fresh id that sorts after every id made at an earlier `now`.
            pub fn new(now: Timestamp) -> Self {
                Self(new_uuid(now))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self)
            }
        }
    )+};
}

id! {
    /// A durable unit of work.
    JobId,
    /// One request for a person's decision on one tool call.
    ApprovalId,
    /// Who asks. Every token belongs to one principal.
    PrincipalId,
    /// One API token.
    TokenId,
    /// One running agent process; a restart is another worker.
    WorkerId,
    /// One call of a model, however many targets it took.
    ModelCallId,
    /// One HTTP request, in every log line, problem and audit entry it caused.
    RequestId,
}

/// Counts within one millisecond, so that ids made in a row sort in that order.
static CONTEXT: Mutex<uuid::ContextV7> = Mutex::new(uuid::ContextV7::new());

fn new_uuid(now: Timestamp) -> Uuid {
    let millis = now.as_millis().max(0).unsigned_abs();
    let (seconds, nanos) = (millis / 1000, (millis % 1000) as u32 * 1_000_000);
    let context = CONTEXT.lock().unwrap_or_else(PoisonError::into_inner);
    Uuid::new_v7(uuid::Timestamp::from_unix(&*context, seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_the_time_they_were_made() {
        let early = JobId::new(Timestamp::from_millis(1_000));
        let late = JobId::new(Timestamp::from_millis(2_000));
        assert!(early < late);
        let row: Vec<_> = (0..1_000).map(|_| JobId::new(Timestamp::from_millis(3_000))).collect();
        assert!(row.is_sorted(), "ids of one millisecond keep their order");
        assert_eq!(early.to_string().parse::<JobId>().unwrap(), early);
    }
}
