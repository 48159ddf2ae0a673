//! What folders take on the disk.

use super::folder::{Folder, Kind};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Folders within folders that are counted; it bounds the descriptors that are open at once.
const DEPTH: usize = 512;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measure {
    pub folders: Vec<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// On the disk. What cannot be read, or lies too deep, counts nothing.
    pub bytes: u64,
    pub files: u64,
}

pub(super) fn measure(task: &Measure) -> Measured {
    let mut total = Measured::default();
    for path in &task.folders {
        let Ok(top) = Folder::open(path) else { continue };
        let mut open = vec![(top.names().unwrap_or_default(), top)];
        while let Some((names, folder)) = open.last_mut() {
            let Some(name) = names.pop() else {
                open.pop();
                continue;
            };
            let Ok(look) = folder.look(&name) else { continue };
            total.bytes = total.bytes.saturating_add(look.disk_bytes);
            total.files += 1;
            if look.kind == Kind::Folder
                && open.len() < DEPTH
                && let Some(Ok(below)) = open.last().map(|(_, folder)| folder.enter(&name))
            {
                open.push((below.names().unwrap_or_default(), below));
            }
        }
    }
    total
}
