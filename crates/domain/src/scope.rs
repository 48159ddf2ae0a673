//! What a token may do.

use crate::job::names;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

names! {
    /// `admin` ⊃ `user` ⊃ `viewer`; `admin` ⊃ `user` ⊃ `model`; `agent` stands apart: it works on what it leased and
    /// nothing else.
    Scope {
        /// Everything, tokens and backups included.
        Admin = "admin",
        /// Creates jobs and decides on its own.
        User = "user",
        /// Reads.
        Viewer = "viewer",
        /// Calls models, within the policy of its key, and nothing else.
        Model = "model",
        /// Leases jobs and writes under its attempt token.
        Agent = "agent",
    }
}

impl Scope {
    /// Whether a token of this scope may do what `needed` may do.
    pub fn covers(self, needed: Self) -> bool {
        match needed {
            Self::Viewer => matches!(self, Self::Admin | Self::User | Self::Viewer),
            Self::User => matches!(self, Self::Admin | Self::User),
            Self::Model => matches!(self, Self::Admin | Self::User | Self::Model),
            Self::Admin => self == Self::Admin,
            Self::Agent => self == Self::Agent,
        }
    }
}
