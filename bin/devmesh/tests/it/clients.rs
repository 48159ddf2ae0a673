//! The coding tools that people point at devmesh, as they run them, on models that speak each vendor's wire.
//!
//! ```text
//!   codex, claude, opencode, aider ──▶ devmesh ──▶ a scripted model of each wire
//!        └── makes a file, calls the MCP server in `tests/clients`, ends with 0
//! ```
//! They are real programs; `tests/clients` pins them and `cargo xtask test` installs them. Nothing they would like to say to
//! anybody but the mesh leaves the machine.

mod aider;
mod claude;
mod codex;
mod opencode;
mod run;
mod stage;
