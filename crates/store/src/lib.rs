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
//! - `audit` chains who did what and checks it: [`verify_audit`].
//! - [`Blobs`] keeps content under its SHA-256; the table behind [`Content`] knows of every file, [`Store::check_content`] looks
//!   what became of them.
//! - [`is_held`] tells whether a process has a folder, [`is_half_restored`] whether it is one yet.
//! - `folder`, `filesystem`, `connection` and `migration` decide whether a folder is opened at all.
//! - `backup` makes an [`Archive`] of a folder at work; [`unpack`] makes a folder of one, under another epoch.
//! - [`Unreadable`] is a row that cannot be read: lists go on without it.
//! - [`limits`] has every number, with its reason.
//!
//! What never happens here: an answer before the sync that covers it; a notification before the COMMIT; a second process
//! in the folder; a hole in a log; content that is not what its digest says; a query on the hot path that reads a whole table.

mod audit;
mod backup;
mod blobs;
mod check;
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
mod unreadable;
mod watch;

pub use audit::{AuditReport, BrokenAudit, verify_audit};
pub use backup::{Archive, LostArtifact, LostArtifacts, Manifest, RestoreError, Unpacked, manifest_of, unpack};
pub use blobs::{Blobs, Condition, Contents, StoredBlob};
pub use check::{Checked, Thoroughness, look_through};
pub use error::{Error, Refused};
pub use filesystem::{Mount, mount_of};
pub use folder::{BLOB_FOLDER, DATABASE_FILE, LOCK_FILE, RESERVE_FILE, RESTORING_FOLDER, is_half_restored};
pub use health::Health;
pub use holder::is_held;
pub use operations::*;
pub use rows::{
    AccountSpend, ApprovalFilter, ApprovalRow, ArtifactRow, AuditEntry, AuditFilter, AuditRow, BatchNumber,
    ContentPlace, EventRow, IdempotencyRow, JobFilter, JobHead, JobRow, KeyPolicyRow, LedgerRow, ModelCallFilter,
    ModelCallRow, ModelProfileRow, NewEvent, Page, SpendCount, SpendKey, TokenRow,
};
pub use sqlite::connection::sqlite_version;
pub use store::{Options, Store};
pub use unreadable::Unreadable;
