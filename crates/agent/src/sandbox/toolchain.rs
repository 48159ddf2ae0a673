//! What commands may read and execute: the system, and the toolchains the user has in `PATH`.
//!
//! A toolchain in a folder of its own, `/opt/tool` or `/usr/local/go`, is shown as it is. In a home folder, programs have
//! their credentials beside them: there only their own folder is shown and what [`layout`] knows for their parts.

mod caches;
mod homes;
mod layout;

use super::{Options, platform};
use homes::Homes;
use std::{
    collections::BTreeSet,
    path::{Component, Path, PathBuf},
};

/// Folders and files by absolute path. Found once; a toolchain installed later needs a new agent.
#[derive(Clone, Debug, Default)]
pub(super) struct Toolchain {
    pub readable: Vec<String>,
    /// Symbolic links on the way to them.
    pub links: Vec<String>,
    /// What the toolchains need to find their own files when `HOME` is another.
    pub environment: Vec<(String, String)>,
    /// What commands without a network are told besides.
    pub offline: Vec<(String, String)>,
    /// Links to caches, made in a command's home: where, relative to it, and to what.
    pub home_links: Vec<(String, String)>,
}

pub(super) fn find(options: &Options) -> Toolchain {
    find_with(options, &std::fs::read_to_string("/etc/passwd").unwrap_or_default())
}

/// `users`: the text of the user database.
fn find_with(options: &Options, users: &str) -> Toolchain {
    let known =
        |name: &str| options.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let home = known("HOME").map(Path::new).filter(|home| home.is_absolute() && *home != Path::new("/"));
    let workspaces = options.workspaces.canonicalize().unwrap_or_else(|_| options.workspaces.clone());
    let mut found = Found { homes: Homes::find(home, users), workspaces, paths: BTreeSet::new() };

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
    let folders = known("PATH").unwrap_or_default().split(':').map(Path::new).filter(|folder| folder.is_absolute());
    for folder in folders.clone() {
        found.offer_programs(folder);
    }
    for path in &options.readable {
        found.offer(path);
    }

    // The programs in ~/.cargo/bin are links to rustup, which looks for toolchains in the home folder. Of ~/.cargo
    // nothing else is shown but what `caches` knows: it holds credentials.
    let mut environment = Vec::new();
    let homes = found.homes.of(home.into_iter().chain(folders));
    let named = known("RUSTUP_HOME").map(PathBuf::from);
    for rustup in named.into_iter().chain(homes.into_iter().map(|home| home.join(".rustup"))) {
        if found.offer(&rustup.join("toolchains")) {
            // rustup makes the second whenever it is not there, before it does anything.
            for part in ["settings.toml", "update-hashes"] {
                found.offer(&rustup.join(part));
            }
            environment.extend(rustup.to_str().map(|path| ("RUSTUP_HOME".to_owned(), path.to_owned())));
            break;
        }
    }

    let mut caches = if options.caches { caches::find(home, known) } else { caches::Caches::default() };
    let readable = std::mem::take(&mut caches.readable);
    caches.readable = readable.into_iter().filter(|path| found.offer(path)).collect();
    let home_links =
        caches.links.into_iter().filter(|(_, path)| caches.readable.iter().any(|shown| shown.starts_with(path)));
    let home_links = home_links.filter_map(|(inside, path)| text(inside).zip(text(path))).collect();

    let links = found.paths.iter().flat_map(|path| platform::links_along(path)).collect::<BTreeSet<_>>();
    let real = found.paths.iter().filter_map(|path| path.canonicalize().ok()).collect::<BTreeSet<_>>();
    Toolchain {
        readable: outermost(real),
        links: links.into_iter().filter_map(text).collect(),
        environment,
        offline: caches.environment,
        home_links,
    }
}

struct Found {
    homes: Homes,
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

    /// A folder of `PATH`, and of the toolchain around it what belongs to the programs. Where links lead to it, the
    /// toolchain is around where they end.
    fn offer_programs(&mut self, folder: &Path) {
        let Ok(real) = folder.canonicalize() else { return };
        // A home folder is no folder of programs, and no toolchain either.
        if self.homes.lie_in(&real) || self.homes.lie_in(folder) {
            return;
        }
        for folder in BTreeSet::from([folder, &real]) {
            match layout::root_of(folder) {
                Some(root) => {
                    match self.may_hold_more(&real) && layout::holds_credentials(&real) {
                        true => layout::programs(folder).iter().for_each(|program| _ = self.offer(program)),
                        false => _ = self.offer(folder),
                    }
                    self.offer_toolchain(root);
                    if let Some(packages) = layout::holds_packages_alone(folder) {
                        self.offer(packages);
                    }
                }
                None if self.may_hold_more(&real) => {
                    layout::programs(folder).iter().for_each(|program| _ = self.offer(program));
                    self.offer_parts(folder);
                }
                None => _ = self.offer(folder),
            }
        }
    }

    fn offer_toolchain(&mut self, root: &Path) {
        let real = root.canonicalize().unwrap_or_else(|_| root.to_path_buf());
        if self.homes.lie_in(&real) || self.homes.lie_in(root) {
            return;
        }
        match self.may_hold_more(&real) || self.may_hold_more(root) {
            true => self.offer_parts(root),
            false => _ = self.offer(root),
        }
        if let Some(link) = layout::interpreter(root)
            && self.offer(&link)
            && let Ok(program) = link.canonicalize()
            && let Some(root) = program.parent().and_then(layout::root_of)
        {
            self.offer_parts(root);
        }
    }

    fn offer_parts(&mut self, root: &Path) {
        for part in layout::parts(root) {
            self.offer(&part);
        }
    }

    /// Whether credentials may lie beside the programs: in anybody's home, in a folder that is hidden, and in what is the
    /// agent's user's own wherever it lies.
    fn may_hold_more(&self, path: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        let user = nix::unistd::geteuid();
        let is_hidden = |part: Component<'_>| part.as_os_str().as_encoded_bytes().starts_with(b".");
        self.homes.around(path).is_some()
            || path.components().any(is_hidden)
            || !user.is_root() && path.metadata().is_ok_and(|metadata| metadata.uid() == user.as_raw())
    }

    /// Homes, what they lie in, and the places in them that hold more than programs; and the workspaces.
    fn shows_too_much(&self, path: &Path) -> bool {
        const PRIVATE: &[&str] = &[
            ".cargo",
            ".local",
            ".local/share",
            ".config",
            ".rustup",
            ".ssh",
            ".gnupg",
            ".aws",
            ".kube",
            ".docker",
            ".azure",
        ];
        let is_private = |home: PathBuf| PRIVATE.iter().any(|name| home.join(name) == path);
        path.parent().is_none()
            || self.homes.lie_in(path)
            || self.homes.around(path).is_some_and(is_private)
            || self.workspaces.starts_with(path)
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
#[cfg(target_os = "linux")]
mod tests;
