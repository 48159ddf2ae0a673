//! What the program asks of its database: operations of the domain, each one request and one transaction.
//!
//! This is the port a second database implements. Nothing here knows SQL, and nobody outside the store holds a
//! transaction. Where what is written depends on what is found, an operation takes a decision: a plain function from rows
//! to rows. It sees one moment, touches nothing else, and may be run again.
//!
//! | to learn about | read |
//! |---|---|
//! | jobs, their logs, leases, artifacts and approvals | [`Jobs`] |
//! | pages of jobs, approvals, artifacts | [`Lists`] |
//! | tokens, policies, remembered answers, the audit trail | [`Access`] |
//! | spend, model calls, the egress ledger | [`Books`] |
//! | which content is named, and which may go | [`Content`] |
//! | what was found out about models | [`Profiles`] |
//! | letting somebody in again | [`Recovery`] |

mod access;
mod books;
mod content;
mod jobs;
mod lists;
mod profiles;
mod recovery;

pub use access::*;
pub use books::*;
pub use content::Content;
pub use jobs::*;
pub use lists::*;
pub use profiles::Profiles;
pub use recovery::*;

use crate::Error;
use futures_util::future::BoxFuture;

/// What an operation comes to. Nothing is asked before it is polled. Of a write: after the COMMIT that covers it; on
/// [`Error::StorageFull`] and [`Error::StorageFailed`] nothing of it may be relied on, so repeat it.
pub type Answer<T> = BoxFuture<'static, Result<T, Error>>;

/// Everything a database does for devmesh.
pub trait Database: Jobs + Lists + Access + Books + Content + Profiles + Recovery + Send + Sync {}
