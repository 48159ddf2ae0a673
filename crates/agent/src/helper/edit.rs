//! `edit_file`: one place of a file and what shall stand there instead.

mod difference;
mod find;

use super::{
    folder::{Folder, Kind},
    inside, joined,
    write::{FILE_BYTES, placeholder},
};
use find::Place;
use serde::{Deserialize, Serialize};
use std::{ffi::OsStr, io, path::PathBuf};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Edit {
    pub tree: PathBuf,
    /// Where commands start, relative to the tree; the path is relative to it.
    pub folder: PathBuf,
    pub path: String,
    pub old: String,
    pub new: String,
}

/// The file's path in the tree and what changed, or what was wrong, in words for the model.
pub(crate) type Edited = Result<(String, String), String>;

/// Links are not followed, not even to places inside.
pub(super) fn edit(task: &Edit) -> Edited {
    let path = &task.path;
    let names = inside::file(&task.folder, path)?;
    let failed = |error: io::Error| format!("cannot edit {path}: {error}");
    let missing = || format!("there is no file {path}; create it with write_file, or find its name first");
    let Some((file_name, folders)) = names.split_last() else { return Err(missing()) };
    let mut folder = Folder::open(&task.tree).map_err(failed)?;
    for name in folders {
        folder = match folder.look(OsStr::new(name)).map(|look| look.kind) {
            Ok(Kind::Folder) => folder.enter(OsStr::new(name)).map_err(failed)?,
            Ok(Kind::Link) => return Err(format!("{name} is a link; links are not followed")),
            _ => return Err(missing()),
        };
    }
    let file = OsStr::new(file_name);
    let look = folder.look(file).map_err(|_| missing())?;
    match look.kind {
        Kind::File => {}
        Kind::Folder => return Err(format!("{path} is a folder")),
        Kind::Link => return Err(format!("{path} is a link; links are not followed")),
        Kind::Special => return Err(format!("{path} is not a regular file")),
    }
    let bytes = folder.read(file, FILE_BYTES as u64).map_err(failed)?;
    let Ok(text) = String::from_utf8(bytes) else { return Err(format!("{path} is not text")) };
    let changed = replaced(path, &text, &task.old, &task.new)?;
    folder.write(file, changed.as_bytes(), look.is_executable).map_err(failed)?;
    let whole = names.iter().fold(Vec::new(), |path, name| joined(&path, name.as_bytes()));
    Ok((String::from_utf8_lossy(&whole).into_owned(), difference::shown(&text, &changed)))
}

/// The text of a file with one place of it replaced, or what is wrong, in words for the model.
pub(crate) fn replaced(path: &str, text: &str, old: &str, new: &str) -> Result<String, String> {
    let Place { start, end, new } = find::find(text, old, new).map_err(|wrong| wrong.describe(path))?;
    let (old, changed) = (&text[start..end], [&text[..start], &new, &text[end..]].concat());
    if changed == text {
        return Err(format!("nothing would change: `new` is what stands in {path} already. Is the change made?"));
    }
    if let Some(line) = placeholder(&new, old) {
        return Err(format!(
            "the line `{line}` stands for lines that are left out, and they would be lost; write them, or edit less"
        ));
    }
    if changed.len() > FILE_BYTES {
        return Err(format!("{path} would have {} bytes; at most {FILE_BYTES} can be written", changed.len()));
    }
    Ok(changed)
}

#[cfg(test)]
mod tests;
