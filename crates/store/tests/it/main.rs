//! The store over its real interface, on real files.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking, in its helpers too")]

mod access;
mod backups;
mod blobs;
mod conformance;
mod crash;
mod damaged_rows;
mod disk_full;
mod folders;
mod log;
mod migrations;
mod models;
mod operate;
#[cfg(target_os = "linux")]
mod power_loss;
mod support;
mod writer;
