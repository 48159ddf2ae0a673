//! The program as its users run it: real processes, real disks, real kills.

#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod clients;
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod command;
mod container;
mod readme;
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod real_ollama;
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod sdks;
mod survive;
