//! What commands may read and execute: the system, and the toolchains the user has in `PATH`.

use super::{Options, platform};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

/// Folders and files by absolute path. Found once; a toolchain installed later needs a new agent.
#[derive(Clone, Debug, Default)]
pub(super) struct Toolchain {
    pub readable: Vec<String>,
    /// Symbolic links on the way to them.
    pub links: Vec<String>,
    /// What the toolchains need to find their own files when `HOME` is another.
    pub environment: Vec<(String, String)>,
}

pub(super) fn find(options: &Options) -> Toolchain {
    let known =
        |name: &str| options.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let home = known("HOME").map(Path::new).filter(|home| home.is_absolute() && *home != Path::new("/"));
    let workspaces = options.workspaces.canonicalize().unwrap_or_else(|_| options.workspaces.clone());
    let mut found = Found { home: home.map(Path::to_path_buf), workspaces, paths: BTreeSet::new() };

    for path in platform::SYSTEM {
        found.offer(Path::new(path));
    }
    for entry in std::fs::read_dir("/etc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_wanted = |start: &&str| name.as_encoded_bytes().starts_with(start.as_bytes());
        if platform::SYSTEM_VERSIONED.iter().any(is_wanted) {
            found.offer(&entry.path());
        }
    }
    for folder in known("PATH").unwrap_or_default().split(':').map(Path::new).filter(|folder| folder.is_absolute()) {
        found.offer(folder);
        if let Some(root) = root_of(folder) {
            found.offer(root);
        }
    }
    for path in &options.readable {
        found.offer(path);
    }

    let mut environment = Vec::new();
    if let Some(home) = home {
        // The programs in ~/.cargo/bin are links to rustup, which looks for toolchains in the home folder. Of ~/.cargo
        // nothing else is shown: it holds credentials.
        let rustup = known("RUSTUP_HOME").map_or_else(|| home.join(".rustup"), PathBuf::from);
        if rustup.join("toolchains").is_dir() && found.offer(&rustup) {
            environment.extend(rustup.to_str().map(|path| ("RUSTUP_HOME".to_owned(), path.to_owned())));
        }
    }

    let links = found.paths.iter().flat_map(|path| platform::links_along(path)).collect::<BTreeSet<_>>();
    let real = found.paths.iter().filter_map(|path| path.canonicalize().ok()).collect::<BTreeSet<_>>();
    Toolchain { readable: outermost(real), links: links.into_iter().filter_map(text).collect(), environment }
}

/// `/opt/tool/bin` is part of `/opt/tool`.
fn root_of(folder: &Path) -> Option<&Path> {
    const PROGRAM_FOLDERS: &[&str] = &["bin", "sbin", "shims", "libexec"];
    PROGRAM_FOLDERS.iter().any(|name| folder.ends_with(name)).then(|| folder.parent()).flatten()
}

struct Found {
    home: Option<PathBuf>,
    workspaces: PathBuf,
    paths: BTreeSet<PathBuf>,
}

impl Found {
    /// Takes it when it is there and shows nothing it should not. Links are kept as they are named.
    fn offer(&mut self, path: &Path) -> bool {
        let Ok(real) = path.canonicalize() else { return false };
        let is_right = path.is_absolute() && !self.shows_too_much(&real) && !self.shows_too_much(path);
        if is_right {
            self.paths.insert(path.to_path_buf());
        }
        is_right
    }

    /// The home folder, what it lies in, and the places in it that hold more than programs; and the workspaces.
    fn shows_too_much(&self, path: &Path) -> bool {
        const PRIVATE: &[&str] = &[".cargo", ".local", ".config", ".ssh", ".gnupg", ".aws", ".kube", ".docker"];
        let in_home = |home: &PathBuf| home.starts_with(path) || PRIVATE.iter().any(|name| home.join(name) == path);
        path.parent().is_none() || self.home.as_ref().is_some_and(in_home) || self.workspaces.starts_with(path)
    }
}

/// Without those that lie in another one. Paths that are not UTF-8 cannot be told to the guard.
fn outermost(paths: BTreeSet<PathBuf>) -> Vec<String> {
    let mut outermost: Vec<PathBuf> = Vec::new();
    // Sorted by component, a folder comes right before all it holds.
    for path in paths {
        if !outermost.last().is_some_and(|last| path.starts_with(last)) {
            outermost.push(path);
        }
    }
    outermost.into_iter().filter_map(text).collect()
}

fn text(path: PathBuf) -> Option<String> {
    path.into_os_string().into_string().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_tool_in_path_brings_its_root_but_never_the_home_folder() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().canonicalize().unwrap();
        let home = base.join("home/person");
        for path in [
            "home/person/.cargo/bin",
            "home/person/.rustup/toolchains",
            "home/person/bin",
            "opt/tool-1/bin",
            "data/workspaces",
        ] {
            fs::create_dir_all(base.join(path)).unwrap();
        }
        std::os::unix::fs::symlink("tool-1", base.join("opt/tool")).unwrap();
        let path = ["home/person/.cargo/bin", "home/person/bin", "opt/tool/bin", "data"].map(|path| base.join(path));
        let path = path.map(|path| path.into_os_string().into_string().unwrap()).join(":");
        let environment = vec![("HOME".into(), home.to_str().unwrap().into()), ("PATH".into(), path)];
        let found = find(&Options::new(base.join("data/workspaces"), environment));
        let mine: Vec<_> = found.readable.iter().filter_map(|path| Path::new(path).strip_prefix(&base).ok()).collect();
        let expected = ["home/person/.cargo/bin", "home/person/.rustup", "home/person/bin", "opt/tool-1"];
        assert_eq!(mine, expected.map(Path::new), "not ~/.cargo, not ~, not the data folder");
        assert!(found.links.contains(&base.join("opt/tool").into_os_string().into_string().unwrap()));
        assert_eq!(found.environment, [("RUSTUP_HOME".to_owned(), home.join(".rustup").to_str().unwrap().to_owned())]);
    }
}
