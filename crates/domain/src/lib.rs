//! The vocabulary: ids, states, units, cursors, error codes and the event hash chain.
//!
//! Nothing in here does I/O except [`SystemClock`], the one place that reads the time.

mod backoff;
mod canonical;
mod chain;
mod clock;
mod cursor;
mod error_code;
pub mod i_json;
mod id;
mod job;
mod scope;

pub use backoff::{Backoff, Jitter};
pub use canonical::{CanonicalJson, NotCanonical};
pub use chain::{EventHash, Link, verify_link};
pub use clock::{Clock, SystemClock, Timestamp};
pub use cursor::{Cursor, Epoch, ParseCursorError};
pub use error_code::ErrorCode;
pub use id::{ApprovalId, JobId, ModelCallId, PrincipalId, RequestId, TokenId, WorkerId};
pub use job::{FailureReason, JobKind, JobState, Priority};
pub use scope::Scope;
