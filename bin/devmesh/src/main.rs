//! The program: command line, configuration and the wiring of roles.
//!
//! `cli` knows the commands, `config` what is set and where, `commands/` does one thing per file over the typed client,
//! `wiring/` puts the backend, agents and the embedded model together, `git` starts git, `output` is all that people see.

mod cli;
mod commands;
mod config;
mod context;
mod git;
mod output;
mod wiring;

use std::process::ExitCode;

/// The C library's allocator is one that threads share with locks.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // A tool call's guard is this executable again; it must become that before a thread exists.
    agent::sandbox::enter_if_asked();
    cli::main()
}
