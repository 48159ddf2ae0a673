//! The worker of the mesh: it leases a job, prepares a workspace, lets a model work on it with few tools in a sandbox,
//! records everything as events, and hands back a patch.
//!
//! - [`Agent`] (`run_loop`) leases jobs and works on each as an attempt (`attempt`): `heartbeat` keeps the lease, `appender`
//!   is the one way to the log, `stop` says why to end, and `halt` what that means.
//! - `ask` answers a question with what `context` finds in the workspace. `stages` leads a `code` job from model to model: `code` is the
//!   turn loop of those that decide by themselves, `guided` does everything but the writing for those that cannot.
//! - `conversation` is the turns as a fold over the log, so that `rebuild` can put the next attempt where the last one died;
//!   `prompt` holds every word a model is told, `answer` reads what models write where their tool calls were not handed over,
//!   `stuck` notices circles, `budget` counts.
//! - `setup` makes a workspace ready, once.
//! - `check` is the command that tells whether the work is right, and what follows from how it ends.
//! - `tool` does what the model asks for: [`sandbox`] runs its commands, [`workspace`] keeps and commits the files, [`disk`]
//!   sees that there is room, `output` makes what they print safe and short.
//! - [`exam`] finds out how to work with a model, with the prompts, readers and edits of a job.
//! - `helper` does all work on what commands left and on repositories of others: in the sandbox, where it can be killed.

mod answer;
mod appender;
mod ask;
mod attempt;
mod budget;
mod call_id;
mod check;
mod code;
mod context;
mod conversation;
pub mod disk;
mod error;
pub mod exam;
mod guided;
mod halt;
mod heartbeat;
mod helper;
mod model;
mod options;
mod output;
mod prompt;
mod rebuild;
mod run_loop;
pub mod sandbox;
mod setup;
mod stages;
mod stop;
mod stuck;
mod tool;
pub mod workspace;

pub use error::Error;
pub use options::Options;
pub use run_loop::Agent;
