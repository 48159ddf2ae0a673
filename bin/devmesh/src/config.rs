//! Configuration: what can be set, where it was set, and which place wins.
//!
//! ```text
//!   defaults < /etc/devmesh/devmesh.toml < $XDG_CONFIG_HOME/devmesh/devmesh.toml < ./devmesh.toml < environment < flags
//! ```
//!
//! - `registry` is the one table of keys: type, unit, default, documentation.
//! - `layers` lays the places over each other and remembers every one, so that [`Resolved::candidates`] can name the losers.
//! - [`Settings`] is the typed outcome the rest of the program takes.
//!
//! All problems of all places are collected and told at once, before anything is opened. The environment is read in
//! [`Environment::of_the_process`] and nowhere else.

mod environment;
mod file;
mod key;
mod layers;
mod paths;
mod problem;
mod registry;
mod routes;
mod settings;
mod telemetry;
mod value;

pub use environment::Environment;
pub use key::{Key, Unit};
pub use layers::{Candidate, Flags, Origin, Resolved, Sources, resolve};
pub use paths::Paths;
use paths::readable_secret;
pub use problem::Problems;
pub use registry::{KEYS, find};
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
}

impl Config {
    /// Reads every layer. An error holds everything that is wrong anywhere.
    pub fn load(environment: Environment, flags: Flags) -> Result<Self, Problems> {
        let paths = Paths::of(&environment);
        let mut problems = Problems::default();
        let sources = Sources::read(&paths, &environment, flags.clone(), &mut problems);
        let resolved = resolve(&sources, &mut problems);
        let settings = Settings { flags, ..Settings::from(&resolved, &paths, &mut problems) };
        problems.none_or(Self { resolved, settings, paths, environment })
    }
}

#[cfg(test)]
mod tests;
