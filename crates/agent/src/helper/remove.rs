//! Removes whatever a folder holds, however deep, closed or large it is: without recursion, with few descriptors, and
//! going on after what cannot be removed.

use super::{
    Error,
    folder::{Folder, Kind},
};
use serde::{Deserialize, Serialize};
use std::{
    ffi::{OsStr, OsString},
    io,
    path::PathBuf,
};

/// Folders open at once. What lies deeper is moved up to the top first, and then is not deep any more.
const OPEN: usize = 64;

/// Empties folders; they themselves stay.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Empty {
    pub folders: Vec<PathBuf>,
}

impl Empty {
    /// In this process.
    pub fn carry_out(&self) -> io::Result<()> {
        empty(self).map_err(|error| io::Error::other(error.words().to_owned()))
    }
}

pub(super) fn empty(task: &Empty) -> Result<(), Error> {
    let mut first = None;
    for path in &task.folders {
        let emptied = Folder::open(path).and_then(|folder| contents(&folder));
        if let Err(error) = emptied
            && error.kind() != io::ErrorKind::NotFound
        {
            first.get_or_insert_with(|| Error::Failed(format!("emptying {}: {error}", path.display())));
        }
    }
    first.map_or(Ok(()), Err)
}

/// Whatever has this name. Nothing is there: that is fine.
pub(super) fn entry(folder: &Folder, name: &OsStr) -> io::Result<()> {
    let kind = match folder.look(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        look => look?.kind,
    };
    if kind != Kind::Folder {
        return opened(folder, |folder| folder.remove_file(name));
    }
    contents(&folder.enter_by_force(name)?)?;
    opened(folder, |folder| folder.remove_folder(name))
}

/// Everything in `top`. The first failure is told at the end.
pub(super) fn contents(top: &Folder) -> io::Result<()> {
    struct Open {
        folder: Folder,
        names: Vec<OsString>,
        /// Its own name in the folder before.
        name: OsString,
    }
    let mut failure = None;
    let mut moved = 0_u64;
    let mut open = vec![Open { names: top.names()?, folder: top.again()?, name: OsString::new() }];
    while let Some(here) = open.last_mut() {
        let Some(name) = here.names.pop() else {
            let Some(Open { name, .. }) = open.pop() else { break };
            match open.last_mut() {
                Some(above) => {
                    if let Err(error) = opened(&above.folder, |folder| folder.remove_folder(&name)) {
                        failure.get_or_insert(error);
                    }
                }
                // What was moved up meanwhile.
                None if failure.is_none() => {
                    let names = top.names()?;
                    if !names.is_empty() {
                        open.push(Open { names, folder: top.again()?, name: OsString::new() });
                    }
                }
                None => {}
            }
            continue;
        };
        let removed = match opened(&here.folder, |folder| folder.remove_file(&name)) {
            Err(error) if is_folder(&here.folder, &name) => {
                drop(error);
                let is_deep = open.len() >= OPEN;
                let below = open.last().map(|here| here.folder.enter_by_force(&name));
                match below {
                    Some(Ok(_)) if is_deep => lift(top, open.last().map(|here| &here.folder), &name, &mut moved),
                    Some(Ok(folder)) => folder.names().map(|names| open.push(Open { folder, names, name })),
                    Some(Err(error)) => Err(error),
                    None => Ok(()),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        };
        if let Err(error) = removed {
            failure.get_or_insert(error);
        }
    }
    failure.map_or(Ok(()), Err)
}

/// Once more where somebody closed the folder.
fn opened(folder: &Folder, mut remove: impl FnMut(&Folder) -> io::Result<()>) -> io::Result<()> {
    match remove(folder) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            folder.set_mode(OsStr::new("."), 0o700)?;
            remove(folder)
        }
        removed => removed,
    }
}

fn is_folder(folder: &Folder, name: &OsStr) -> bool {
    folder.look(name).is_ok_and(|look| look.kind == Kind::Folder)
}

/// Moves a folder to the top under a name of our own.
fn lift(top: &Folder, from: Option<&Folder>, name: &OsStr, moved: &mut u64) -> io::Result<()> {
    let Some(from) = from else { return Ok(()) };
    for _ in 0..1_000 {
        *moved += 1;
        let target = OsString::from(format!(".lifted-{moved}"));
        if top.look(&target).is_err() {
            return from.move_to(name, top, &target);
        }
    }
    Err(io::Error::other("no name is free to move it to"))
}
