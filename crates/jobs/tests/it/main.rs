//! The job engine over a real store, through the interface the API uses.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod approvals;
mod artifacts;
mod cancelling;
mod commands;
mod damaged;
mod fencing;
mod leases;
mod mesh;
mod reading;
mod restarts;
mod timeouts;
