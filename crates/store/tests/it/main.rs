//! The store over its real interface, on real files.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking, in its helpers too")]

mod access;
mod backups;
mod blobs;
mod conformance;
mod crash;
mod disk_full;
mod folders;
mod jobs;
mod log;
mod models;
mod operate;
mod support;
mod writer;
