//! Everything devmesh must not lose, in one data folder: SQLite for rows and logs, plain files for content.
//!
//! The store writes what it is given. Ids, times and decisions come from outside; what it adds are the numbers only it
//! can give: the dense `seq` and hash chain of a log, and the revision of a job.
//!
//! Where to begin:
//!
//! - [`Store`] is the handle. [`Store::write`] runs a closure in a [`Transaction`] and answers after the COMMIT that
//!   covers it; [`Store::read`] runs one on a [`Reader`], which sees one moment.
//! - `writer` is the one thread that writes, with its state diagram: group commit, and what happens when the disk is full.
//! - `transaction/` and `reader/` hold the SQL, a file per noun; [`rows`](JobRow) what goes in and comes out.
//! - [`Store::watch_job`] and [`Store::watch_jobs`] say that there is more to read, never what.
//! - `reserve` keeps room for what ends work and frees space on a full disk: [`Store::relieve`].
//! - [`Blobs`] keeps content under its SHA-256.
//! - [`is_held`] tells whether a process has a folder.
//! - `folder`, `filesystem`, `connection` and `migration` decide whether a folder is opened at all.
//! - `backup` copies a running database; [`restore`] makes a folder of the copy, under another epoch.
//! - [`limits`] has every number, with its reason.
//!
//! What never happens here: an answer before the sync that covers it; a notification before the COMMIT; a second process
//! in the folder; a hole in a log; a query on the hot path that reads a whole table.

mod blobs;
mod error;
mod filesystem;
mod folder;
mod health;
mod holder;
pub mod limits;
mod operations;
mod rows;
mod sqlite;
mod store;
mod watch;

pub use blobs::{Blobs, StoredBlob};
pub use error::{Error, Refused};
pub use filesystem::{Mount, mount_of};
pub use folder::{BLOB_FOLDER, DATABASE_FILE, LOCK_FILE, RESERVE_FILE, RESTORING_FOLDER};
pub use health::Health;
pub use holder::is_held;
pub use operations::*;
pub use rows::{
    AccountSpend, ApprovalFilter, ApprovalRow, ArtifactRow, AuditRow, BatchNumber, EventRow, IdempotencyRow, JobFilter,
    JobHead, JobRow, KeyPolicyRow, LedgerRow, ModelCallFilter, ModelCallRow, NewEvent, SpendCount, SpendKey, TokenRow,
};
pub use sqlite::{Reader, Transaction, connection::sqlite_version, restore};
pub use store::{Options, Store};
