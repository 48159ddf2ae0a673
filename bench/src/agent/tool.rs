//! The tools that are measured, and where each is.

pub mod aider;
pub mod devmesh;
pub mod mini;
pub mod pi;

use super::options::Options;
use anyhow::{Result, ensure};
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Tool {
    Devmesh,
    Aider,
    Mini,
    Pi,
}

impl Tool {
    pub const ALL: [Self; 4] = [Self::Devmesh, Self::Aider, Self::Mini, Self::Pi];

    pub fn name(self) -> &'static str {
        match self {
            Self::Devmesh => "devmesh",
            Self::Aider => "Aider",
            Self::Mini => "mini-swe-agent",
            Self::Pi => "pi",
        }
    }

    /// The versions that are pinned in `tests/clients` and `bench/peers`.
    pub fn version(self) -> &'static str {
        match self {
            Self::Devmesh => env!("CARGO_PKG_VERSION"),
            Self::Aider => "0.86.2",
            Self::Mini => mini::VERSION,
            Self::Pi => pi::VERSION,
        }
    }

    /// Whether it can do nothing with a model that calls no tools by itself.
    pub fn needs_tool_calls(self) -> bool {
        self == Self::Pi
    }

    pub fn program(self, options: &Options) -> Result<PathBuf> {
        let inside = match self {
            Self::Devmesh => return super::program(options),
            Self::Aider => "aider/bin/aider",
            Self::Mini => "mini-swe-agent/bin/mini",
            Self::Pi => "pi/node_modules/.bin/pi",
        };
        let program = crate::tools::folder()?.join(inside);
        ensure!(program.exists(), "{} is not there: `cargo xtask bench agent` installs it", program.display());
        Ok(program)
    }
}
