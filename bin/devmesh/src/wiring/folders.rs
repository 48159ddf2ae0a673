//! Folders no job may be about, the same for the backend that takes jobs and the agents that read them.

use crate::config::Settings;
use std::path::{Path, PathBuf};

/// For workspaces that would be in the data folder, where commands run as a user who may not enter that: root's own, in a
/// container without namespaces. The folder of a system's services, which root alone changes.
const WORKSPACES: &str = "/var/lib/devmesh-workspaces";

/// Where workspaces go when `error` is that commands cannot reach them; `None` where it is not, or somebody chose the folder.
pub fn workspaces_elsewhere(settings: &Settings, error: &agent::sandbox::Error) -> Option<PathBuf> {
    let is_unreachable = matches!(error, agent::sandbox::Error::Unreachable { .. });
    (is_unreachable && settings.agents.workspaces == settings.data.join("agent")).then(|| WORKSPACES.into())
}

/// Folders with tokens and keys in them. The working folder's file may hold none, and its folder is what people work on.
pub fn private(settings: &Settings) -> Vec<PathBuf> {
    let configured =
        settings.config_files.iter().filter_map(|file| file.parent()).filter(|folder| folder.is_absolute());
    let named: Vec<PathBuf> =
        configured.map(Path::to_owned).chain([settings.data.clone(), WORKSPACES.into()]).collect();
    // Also as they really are: what is asked for is compared by real paths.
    let real: Vec<PathBuf> = named.iter().filter_map(|folder| folder.canonicalize().ok()).collect();
    named.into_iter().chain(real).collect()
}

/// Of everybody on this machine, and of whoever runs this, which a directory service may know and the list not.
pub fn homes() -> Vec<PathBuf> {
    let mut homes = protocol::homes(&std::fs::read_to_string("/etc/passwd").unwrap_or_default());
    homes.extend(std::env::home_dir());
    homes
}
