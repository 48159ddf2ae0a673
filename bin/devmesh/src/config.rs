//! Configuration: what can be set, where it was set, and which place wins.
//!
//! ```text
//!   defaults < /etc/devmesh/devmesh.toml < $XDG_CONFIG_HOME/devmesh/devmesh.toml < ./devmesh.toml < environment < flags
//! ```
//!
//! - `registry` is the one table of keys: type, unit, default, documentation.
//! - `layers` lays the places over each other and remembers every one, so that [`Resolved::candidates`] can name the losers.
//! - `origin` says whose word a value is: the working folder's file may have come with a clone, every other place is the
//!   user's. What it says of a key that is the user's to set is `ignored`, with a warning. A new key is the user's.
//! - `pair` is where a secret meets the address it is shown to.
//! - [`Settings`] is the typed outcome the rest of the program takes.
//!
//! All problems of all places are collected and told at once, before anything is opened. The environment is read in
//! [`Environment::of_the_process`] and nowhere else.

mod agents;
mod context;
mod environment;
mod file;
mod ignored;
mod key;
mod layers;
mod origin;
mod pair;
mod paths;
mod problem;
mod registry;
mod regular_file;
mod routes;
mod settings;
mod telemetry;
mod value;

pub use agents::{AgentSettings, memory_of_the_machine};
pub use environment::Environment;
pub use ignored::Ignored;
pub use key::{Key, Settable, Unit};
pub use layers::{Candidate, Flags, Resolved, Sources, resolve};
pub use origin::Origin;
pub use paths::Paths;
use paths::readable_secret;
pub use problem::Problems;
pub use registry::{KEYS, find};
pub use regular_file::read as read_regular_file;
pub use settings::{Dialect, EmbeddedSettings, ProviderSettings, RouteSettings, Settings};
pub use value::Value;

/// Everything a command may want to know about how it was set up.
#[derive(Clone, Debug)]
pub struct Config {
    pub resolved: Resolved,
    pub settings: Settings,
    pub paths: Paths,
    /// Whether the program was asked for plain output; the colour library looks at the rest itself.
    pub environment: Environment,
    /// What is not listened to, a line each.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads every layer. An error holds everything that is wrong anywhere.
    pub fn load(environment: Environment, flags: Flags) -> Result<Self, Problems> {
        let paths = Paths::of(&environment);
        let mut problems = Problems::default();
        let sources = Sources::read(&paths, &environment, flags.clone(), &mut problems);
        let resolved = resolve(&sources, &mut problems);
        let settings = Settings { flags, ..Settings::from(&resolved, &paths, &mut problems) };
        let warnings = problems.warnings();
        problems.none_or(Self { resolved, settings, paths, environment, warnings })
    }
}

#[cfg(test)]
mod tests;
