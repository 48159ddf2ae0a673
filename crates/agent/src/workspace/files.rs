//! The agent's own folders. What tools may have written to is only ever looked at by a helper.

use crate::{
    helper::{Empty, Failure, Helper, Measure, Measured, Reach, Task},
    sandbox::Owner,
};
use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, lchown},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Other users may pass through to what they own further down, and see nothing on the way.
const PASS_THROUGH: u32 = 0o711;
const PRIVATE: u32 = 0o700;
/// Longest removal of one workspace. What is left then is out of the way, and the next round goes on with it.
const REMOVING_TAKES: Duration = Duration::from_secs(300);
/// Longest look at what a workspace takes.
const MEASURING_TAKES: Duration = Duration::from_secs(60);

pub(super) const REMOVING: &str = ".removing-";
/// What tools may have written to, in a workspace.
const TOOLS: [&str; 4] = ["tree", "scratch/home", "scratch/tmp", "scratch/root"];

pub(super) fn make_passage(folder: &Path) -> io::Result<()> {
    make(folder, PASS_THROUGH)
}

/// For the user that commands and helpers run as, and nobody else.
pub(super) fn make_private(folder: &Path, owner: Option<Owner>) -> io::Result<()> {
    make(folder, PRIVATE)?;
    own(folder, owner)
}

pub(super) fn own(folder: &Path, owner: Option<Owner>) -> io::Result<()> {
    match owner {
        Some(owner) => lchown(folder, Some(owner.user), Some(owner.group)),
        None => Ok(()),
    }
}

fn make(folder: &Path, mode: u32) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => {
            made?;
            fs::set_permissions(folder, fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}

/// The folders of a workspace that are there.
pub(super) fn tools_folders(workspace: &Path) -> Vec<PathBuf> {
    TOOLS.map(|name| workspace.join(name)).into_iter().filter(|path| is_folder(path)).collect()
}

fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Removes a workspace. It is out of the way at once, even when removing all of it takes long or is interrupted.
pub(super) async fn remove(helper: &Helper, workspace: &Path) -> io::Result<()> {
    let aside = aside(workspace);
    match fs::rename(workspace, &aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    remove_all(helper, &aside).await
}

/// The same without moving it first.
pub(super) async fn remove_all(helper: &Helper, workspace: &Path) -> io::Result<()> {
    empty(helper, tools_folders(workspace), REMOVING_TAKES).await?;
    // What is left was made by the agent and by git.
    match fs::remove_dir_all(workspace) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Removes what tools see; the steps stay.
pub(super) async fn remove_tools_folders(helper: &Helper, workspace: &Path) -> io::Result<()> {
    empty(helper, tools_folders(workspace), REMOVING_TAKES).await?;
    for folder in ["tree", "scratch"].map(|name| workspace.join(name)) {
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Removes all that some folders hold.
pub(super) async fn empty(helper: &Helper, folders: Vec<PathBuf>, within: Duration) -> io::Result<()> {
    if folders.is_empty() {
        return Ok(());
    }
    let task = Empty { folders: folders.clone() };
    let reach = Reach::new(folders, within);
    match helper.ask::<()>(&Task::Empty(task.clone()), reach, CancellationToken::new()).await {
        Ok(_) => Ok(()),
        // What belongs to another user only this process may remove; it does so in the same careful way.
        Err(Failure::Task(_)) => {
            tokio::task::spawn_blocking(move || task.carry_out()).await.map_err(io::Error::other)?
        }
        Err(failure) => Err(io::Error::other(failure)),
    }
}

/// What a workspace takes on the disk; 0 where that cannot be told.
pub(super) async fn disk_bytes(helper: &Helper, workspace: &Path) -> u64 {
    let folders: Vec<_> =
        tools_folders(workspace).into_iter().chain([workspace.join("git")]).filter(|path| is_folder(path)).collect();
    measured(helper, folders).await.map_or(0, |measured| measured.bytes)
}

pub(super) async fn measured(helper: &Helper, folders: Vec<PathBuf>) -> Result<Measured, Failure> {
    let mut reach = Reach::new([], MEASURING_TAKES);
    reach.readable.clone_from(&folders);
    reach.reads_all = true;
    helper.ask(&Task::Measure(Measure { folders }), reach, CancellationToken::new()).await.map(|(measured, _)| measured)
}

fn aside(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    (0..)
        .map(|number: u32| folder.with_file_name(format!("{REMOVING}{name}-{number}")))
        .find(|path| fs::symlink_metadata(path).is_err())
        .unwrap_or_else(|| folder.with_file_name(REMOVING))
}
