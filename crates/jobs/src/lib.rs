//! The job engine: from the moment a user asks for a job until its log is closed, and what is kept of it.
//!
//! [`Service`] is the one task that moves jobs on by itself: it gives ready jobs to waiting workers, takes leases away,
//! ends backoffs, removes what is old. [`Handle`] is what everybody else calls, as a [`Caller`] that was authenticated
//! before. Both decide; the store below only writes down what it is given, and every command is one transaction of
//! state, events and audit.
//!
//! | to learn about | read |
//! |---|---|
//! | the states of a job and what moves it between them | `lifecycle` |
//! | leases, deadlines and who waits: what only memory knows | `live` |
//! | what users ask for: create, cancel, retry, delete | `command` |
//! | a person's decision on a tool call | `approval` |
//! | what an agent does under its fencing token | `attempt` |
//! | whose rights a repository is read with | `repository` |
//! | following a log by cursor | `read` |
//! | the loop, and recovery after a restart | `service`, `housekeeping` |

mod approval;
mod attempt;
mod caller;
mod carry_through;
mod changes;
mod command;
mod error;
mod event;
mod handle;
mod housekeeping;
mod last_words;
mod lifecycle;
mod list;
mod live;
mod options;
mod read;
mod repository;
mod service;
#[cfg(test)]
mod testing;
mod validate;
mod verify;
mod view;

pub use approval::arguments_sha256;
pub use attempt::Attempt;
pub use caller::Caller;
pub use carry_through::carry_through;
pub use changes::JobChanges;
pub use command::IdempotencyKey;
pub use error::Error;
pub use handle::Handle;
pub use options::{Backoff, Options};
pub use read::{EventReader, Read, Stretch};
pub use service::Service;
pub use validate::TASK_BYTES;
