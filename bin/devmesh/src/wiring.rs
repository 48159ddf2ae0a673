//! The roles put together: what starts what, in which order, and how it all ends.
//!
//! ```text
//!   up / try ──▶ Backend (in this process) ──▶ store, jobs, router ──▶ api on one port
//!        └─────▶ Agents: child processes of this executable, each with a token of its own in a private file
//!   serve ─────▶ Backend          agent ──▶ one agent
//! ```

mod agents;
mod backend;
mod catalogue;
mod embedded;
pub mod folders;
mod logging;
mod metrics;
mod private;
mod providers;
mod reload;
mod signals;
mod telemetry;

pub use agents::Agents;
pub use backend::{Backend, bind, listen, url_file as backend_url_file};
pub use catalogue::{Catalogue, Entry, Origin, PROVIDER, Registered};
pub use logging::start as start_logging;
pub use private::make_folder;
pub use reload::not_taken;
pub use signals::Signals;
