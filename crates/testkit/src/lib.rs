//! What tests of every crate need and nothing that ships may use.
//!
//! - [`ScriptedModel`]: a model server that says what the test tells it to, in the dialects of OpenAI and Ollama.
//! - [`FaultyModel`]: a model server of any dialect that breaks its answers in every way they break, and tells what it saw.
//! - [`Tripwire`]: an address that nobody may connect to.
//! - [`FaultProxy`]: stands before any TCP server and delays, stalls, cuts, resets, refuses or throttles.
//! - [`Collector`]: an OpenTelemetry collector that shows what it was sent.
//! - [`TestClock`]: wall-clock time that moves when the test says so.
//! - [`sample_repository`]: a real git repository with a failing test and the edit that makes it pass.
//! - [`SmallDisk`]: a disk to fill, or a loud word that this machine has none; [`skipped`] is that word.
//! - [`VolatileDisk`]: a disk that forgets what was not synced when its power is cut, Linux only.
//! - [`tool`]: a program of others that `cargo xtask test` made.
//! - [`eventually`]: waits for something another task does, up to a deadline.
//!
//! Everything here panics with a sentence when it cannot do its part, because a test has nobody to hand an error to.

mod clock;
mod collector;
mod eventually;
mod fault_proxy;
pub mod faulty_model;
mod gate;
mod outbound;
mod repository;
mod scripted_model;
mod skipped;
mod small_disk;
mod tool;
#[cfg(target_os = "linux")]
mod volatile_disk;

pub use clock::TestClock;
pub use collector::{Collector, Span};
pub use eventually::{DEADLINE, eventually, eventually_within};
pub use fault_proxy::{Fault, FaultProxy};
pub use faulty_model::{Break, FaultyModel, Offered, Refusing, Reply, RetryAfter, Wire};
pub use gate::Gate;
pub use outbound::Tripwire;
pub use repository::{SampleRepository, sample_repository};
pub use scripted_model::{Dialect, Received, Script, ScriptedModel, ServedModel, Turn};
pub use skipped::{SKIPPED_LIST, skipped, skipped_part};
pub use small_disk::SmallDisk;
pub use tool::{tool, users_cache};
#[cfg(target_os = "linux")]
pub use volatile_disk::{Kept, Syncs, VolatileDisk};
