//! The store over its real interface, on real files.

mod backups;
mod blobs;
mod crash;
mod disk_full;
mod folders;
mod jobs;
mod log;
mod support;
mod writer;
