//! Where a value was set, and whose word that is.

use std::{fmt, path::PathBuf};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    /// Of the machine or of the user.
    File {
        path: PathBuf,
        line: usize,
    },
    /// The file in the working folder.
    WorkingFolder {
        path: PathBuf,
        line: usize,
    },
    Environment(String),
    Flag(String),
}

/// Whose word it is, the weakest first. It says nothing of which place wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// Of whoever wrote what lies in the working folder: of a clone, a stranger.
    Anybody,
    /// Of who runs this program, or who set up the machine.
    User,
}

impl Origin {
    pub fn trust(&self) -> Trust {
        match self {
            Self::WorkingFolder { .. } => Trust::Anybody,
            Self::Default | Self::File { .. } | Self::Environment(_) | Self::Flag(_) => Trust::User,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } | Self::WorkingFolder { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}
