//! The copy of a tool's settings from before devmesh first wrote them, in the data folder.
//!
//! ```text
//!   launch ──▶ kept ──▶ launch again: the original stays, with what others changed since ──▶ revert ──▶ gone
//! ```

use super::change::{Change, PRIVATE};
use crate::output::{Failure, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

pub struct Kept {
    place: PathBuf,
}

#[derive(Serialize, Deserialize)]
pub struct Copy {
    pub file: PathBuf,
    /// The settings as they would be without devmesh. `None`: there was no file.
    pub text: Option<String>,
    /// Who could read it.
    pub mode: Option<u32>,
    /// What devmesh wrote last; `None` in copies of versions that did not keep it.
    #[serde(default)]
    pub written: Option<String>,
}

impl Kept {
    pub fn of(data: &Path, tool: &str) -> Self {
        Self { place: data.join("launch").join(format!("{tool}.json")) }
    }

    pub fn read(&self) -> Result<Option<Copy>> {
        let Some(text) = Change::read(&self.place)? else { return Ok(None) };
        let copy = serde_json::from_str(&text).map_err(|error| {
            Failure::failed(format!("{} is no copy of settings: {error}", self.place.display()))
                .next("take your settings from there by hand, and remove it")
        })?;
        Ok(Some(copy))
    }

    pub fn keep(&self, copy: &Copy) -> Result<()> {
        let text = serde_json::to_string_pretty(copy).map_err(|error| Failure::failed(error.to_string()))?;
        // It may hold keys.
        Change { file: self.place.clone(), before: None, after: Some(text), mode: Some(PRIVATE) }.write()
    }

    pub fn remove(&self) -> Result<()> {
        Change { file: self.place.clone(), before: None, after: None, mode: Some(PRIVATE) }.write()
    }
}
