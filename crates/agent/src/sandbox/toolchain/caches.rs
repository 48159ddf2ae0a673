//! Dependencies that this machine has already, for commands without a network: the caches of package managers, read-only.
//!
//! Only content is shown, by the parts that are known to hold nothing else: what signs in lies beside them (`credentials.toml`,
//! `.npmrc`, `settings.xml`, `gradle.properties`, the repositories Go clones). A manager that must write beside what it
//! reads finds its own folder in the command's home, with links to the parts. The confined process makes those itself, where
//! nothing is there: a command with a network gets none, and what it downloads into the home is found by those after it.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

/// Top folders of Go's module cache, at most: one for each host.
const GO_HOSTS: usize = 256;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Caches {
    pub readable: Vec<PathBuf>,
    /// Links to make in a command's home: where, relative to it, and to what.
    pub links: Vec<(PathBuf, PathBuf)>,
    /// For commands without a network.
    pub environment: Vec<(String, String)>,
}

/// `home`: of the agent's user. `known` reads its environment.
pub(super) fn find<'a>(home: Option<&Path>, known: impl Fn(&str) -> Option<&'a str>) -> Caches {
    let mut caches = Caches::default();
    let named = |name: &str| known(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let at_home = |name: &str| home.map(|home| home.join(name));
    // Asking a network that is not there takes some of them minutes.
    for (name, value) in [
        ("CARGO_NET_OFFLINE", "true"),
        ("GOPROXY", "off"),
        ("GOSUMDB", "off"),
        ("GOTOOLCHAIN", "local"),
        ("npm_config_offline", "true"),
        ("npm_config_audit", "false"),
        ("npm_config_fund", "false"),
        ("npm_config_update_notifier", "false"),
        ("PIP_NO_INDEX", "1"),
        ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
        ("UV_OFFLINE", "1"),
    ] {
        caches.environment.push((name.to_owned(), value.to_owned()));
    }
    if let Some(cargo) = named("CARGO_HOME").or_else(|| at_home(".cargo")) {
        caches.cargo(&cargo);
    }
    let path = named("GOPATH").or_else(|| at_home("go"));
    if let Some(modules) = named("GOMODCACHE").or_else(|| path.map(|path| path.join("pkg/mod"))) {
        caches.go(&modules);
    }
    if let Some(npm) = named("npm_config_cache").or_else(|| at_home(".npm")) {
        caches.linked(".npm/_cacache", npm.join("_cacache"));
    }
    if let Some(maven) = at_home(".m2/repository").filter(|path| path.is_dir()) {
        // Java asks the user database for the home folder, not the environment.
        caches.environment.push(("MAVEN_OPTS".into(), format!("-Dmaven.repo.local={}", maven.display())));
        caches.readable.push(maven);
    }
    if let Some(gradle) = named("GRADLE_USER_HOME").or_else(|| at_home(".gradle")).map(|path| path.join("caches"))
        && gradle.join("modules-2").is_dir()
    {
        caches.readable.push(gradle.join("modules-2"));
        caches.environment.push(("GRADLE_RO_DEP_CACHE".into(), gradle.display().to_string()));
    }
    caches
}

impl Caches {
    /// Archives, and the index they are found by. Cargo unpacks them in the command's home.
    fn cargo(&mut self, home: &Path) {
        self.linked(".cargo/registry/cache", home.join("registry/cache"));
        for index in folders(&home.join("registry/index")) {
            let Some(name) = index.file_name() else { continue };
            let inside = Path::new(".cargo/registry/index").join(name);
            // Of an index that is a repository neither is there.
            for part in [".cache", "config.json"] {
                self.linked(inside.join(part), index.join(part));
            }
        }
    }

    /// Modules as they are unpacked, and what they were unpacked from; not `cache/vcs`, which is repositories.
    fn go(&mut self, modules: &Path) {
        let hosts = folders(modules).into_iter().filter(|folder| folder.file_name() != Some(OsStr::new("cache")));
        let found: Vec<PathBuf> =
            hosts.take(GO_HOSTS).chain([modules.join("cache/download")]).filter(|path| path.is_dir()).collect();
        if !found.is_empty() {
            self.links.push(("go/pkg/mod".into(), modules.to_owned()));
            self.readable.extend(found);
        }
    }

    fn linked(&mut self, inside: impl Into<PathBuf>, path: PathBuf) {
        if path.exists() {
            self.links.push((inside.into(), path.clone()));
            self.readable.push(path);
        }
    }
}

fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_shown_and_what_signs_in_is_not() {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        for file in [
            ".cargo/credentials.toml",
            ".cargo/config.toml",
            ".cargo/registry/cache/public-1/itoa-1.0.0.crate",
            ".cargo/registry/index/public-1/.cache/it/oa/itoa",
            ".cargo/registry/index/public-1/config.json",
            ".cargo/registry/index/company-2/.git/config",
            ".npmrc",
            ".npm/_cacache/index-v5/x",
            ".npm/_logs/x.log",
            "go/pkg/mod/example.org/a@v1.0.0/a.go",
            "go/pkg/mod/cache/download/example.org/a/@v/v1.0.0.zip",
            "go/pkg/mod/cache/vcs/1/config",
            ".m2/settings.xml",
            ".m2/repository/a/a.jar",
            ".gradle/gradle.properties",
            ".gradle/caches/modules-2/files-2.1/x",
            ".netrc",
            ".config/pip/pip.conf",
        ] {
            fs::create_dir_all(at(file).parent().unwrap()).unwrap();
            fs::write(at(file), "canary").unwrap();
        }
        let caches = find(Some(home.path()), |_| None);
        let mut readable: Vec<String> =
            caches.readable.iter().map(|path| path.strip_prefix(home.path()).unwrap().display().to_string()).collect();
        readable.sort();
        assert_eq!(
            readable,
            [
                ".cargo/registry/cache",
                ".cargo/registry/index/public-1/.cache",
                ".cargo/registry/index/public-1/config.json",
                ".gradle/caches/modules-2",
                ".m2/repository",
                ".npm/_cacache",
                "go/pkg/mod/cache/download",
                "go/pkg/mod/example.org",
            ]
        );
        assert!(caches.links.iter().all(|(inside, _)| inside.is_relative()));
        assert!(caches.links.contains(&("go/pkg/mod".into(), at("go/pkg/mod"))));
    }

    #[test]
    fn a_machine_without_caches_is_told_not_to_ask() {
        let caches = find(None, |_| None);
        assert_eq!((caches.readable.len(), caches.links.len()), (0, 0));
        assert!(caches.environment.contains(&("GOPROXY".into(), "off".into())));
    }
}
