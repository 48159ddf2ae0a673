//! The processes the tests start, stop and kill, and how to read all that came of them.

mod agent;
mod backend;
mod stalled;

pub(crate) use agent::Agent;
pub(crate) use backend::{Backend, all_events, all_jobs, command};
pub(crate) use stalled::Stalled;
