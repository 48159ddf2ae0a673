//! Texts of files as a commit has them: what a model is shown before anything is changed is the same after a restart.

use super::{Error, git::Git};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A larger file is data, not something to read, in bytes.
const FILE_BYTES: u64 = 256 * 1024;
/// All texts together, in bytes: far more than any prompt holds.
const BYTES: u64 = 8 << 20;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sources {
    pub git: PathBuf,
    pub commit: String,
    /// From the top of the tree, the one that is wanted most first.
    pub names: Vec<String>,
}

/// Name and text of those that are text and not too large.
pub(super) fn read(task: &Sources) -> Result<Vec<(String, String)>, Error> {
    let git = Git::at(&task.git);
    // Git is asked line by line.
    let names: Vec<&String> = task.names.iter().filter(|name| !name.contains(['\n', '\r'])).collect();
    let asked: String = names.iter().map(|name| format!("{}:{name}\n", task.commit)).collect();
    let told = git.run(["cat-file", "--batch-check"]).input(asked.into_bytes()).bytes()?;
    let told = String::from_utf8_lossy(&told).into_owned();
    let mut room = BYTES;
    let mut wanted: Vec<(&String, &str, usize)> = Vec::new();
    for (name, line) in names.into_iter().zip(told.lines()) {
        // `<id> blob <bytes>`; a name that is not there, or another kind of thing, reads otherwise.
        let mut words = line.split(' ');
        let (Some(id), Some("blob"), Some(Ok(bytes)), None) =
            (words.next(), words.next(), words.next().map(str::parse::<u64>), words.next())
        else {
            continue;
        };
        if bytes <= FILE_BYTES && bytes <= room {
            room -= bytes;
            wanted.push((name, id, usize::try_from(bytes).unwrap_or(usize::MAX)));
        }
    }
    let asked: String = wanted.iter().map(|(_, id, _)| format!("{id}\n")).collect();
    let contents = git.run(["cat-file", "--batch"]).input(asked.into_bytes()).bytes()?;
    let mut rest = &contents[..];
    let mut sources = Vec::new();
    for (name, _, bytes) in wanted {
        // A line that says what comes, the content, and a line end.
        let Some(head) = rest.iter().position(|byte| *byte == b'\n') else { break };
        let Some(content) = rest.get(head + 1..head + 1 + bytes) else { break };
        let text = std::str::from_utf8(content).ok().filter(|text| !text.contains('\0'));
        sources.extend(text.map(|text| (name.clone(), text.to_owned())));
        rest = rest.get(head + bytes + 2..).unwrap_or_default();
    }
    Ok(sources)
}
