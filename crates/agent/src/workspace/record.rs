//! What the agent writes down of a workspace, so that a later attempt can take it over as it is.

use super::{Error, doing};
use crate::helper::Prepared;
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    /// Whose job it is: two meshes can share a folder.
    #[serde(default)]
    pub mesh: String,
    pub branch: String,
    /// The store of objects that is borrowed from.
    pub source: Option<String>,
    pub prepared: Prepared,
}

fn file(workspace: &Path) -> PathBuf {
    workspace.join("workspace.json")
}

/// Only once everything it tells of is there.
pub(super) fn save(workspace: &Path, record: &Record) -> Result<(), Error> {
    let (file, beside) = (file(workspace), workspace.join("workspace.new"));
    let saved = serde_json::to_vec(record)
        .map_err(io::Error::from)
        .and_then(|text| fs::write(&beside, text))
        .and_then(|()| fs::rename(&beside, &file));
    saved.map_err(doing(|| format!("writing {}", file.display())))
}

/// `None` where there is none, or it makes no sense.
pub(super) fn load(workspace: &Path) -> Option<Record> {
    serde_json::from_slice(&fs::read(file(workspace)).ok()?).ok()
}
