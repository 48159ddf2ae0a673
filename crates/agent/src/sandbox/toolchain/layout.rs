//! How toolchains lie: which folders beside their programs belong to them.
//!
//! Only what is named here is shown of a folder that may hold more than a toolchain: beside `~/.fly/bin` lies
//! `~/.fly/config.yml` with a token in it, and so it is with most.

use std::{
    fs::{self, Metadata},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Folders of programs. The folder they lie in is the toolchain's.
const PROGRAMS: &[&str] = &["bin", "sbin", "shims", "libexec", "condabin"];

/// Beside programs these hold their parts, whatever it is.
const PARTS: &[&str] =
    &["bin", "lib", "lib32", "lib64", "libexec", "include", "share", "shims", "versions", "installs", "toolchains"];

/// `~/.local` is laid out like a toolchain, but `~/.local/share` has everything in it, mail and keys too.
const SHARED_BY_ALL: &str = ".local";

/// The same of parts that carry their version in their name: Erlang's.
const VERSIONED: &[&str] = &["erts-"];

/// What tells a toolchain apart, and its parts beyond the usual ones.
const KNOWN: &[(&str, &[&str])] = &[
    // Go, and not somebody's GOPATH
    ("pkg/tool", &["src", "pkg", "misc", "api", "go.env", "VERSION"]),
    // Java
    ("lib/modules", &["jmods", "release", "conf/security", "conf/net.properties", "conf/logging.properties"]),
    ("jre/lib", &["jre", "release"]),
    ("boot", &["boot"]),
    // pyenv, rbenv and their kind, asdf, mise
    (
        "shims",
        &["plugins", "version", "completions", "pyenv.d", "rbenv.d", "nodenv.d", "goenv.d", "asdf.sh", "defaults"],
    ),
    // virtual environments, pipx and uv
    ("pyvenv.cfg", &["pyvenv.cfg"]),
    ("pipx", &["pipx/venvs", "pipx/shared"]),
    ("share/pipx", &["share/pipx/venvs", "share/pipx/shared"]),
    ("share/uv", &["share/uv/tools", "share/uv/python"]),
    ("conda-meta", &["conda-meta", "envs", "pkgs", "etc/conda/activate.d", "ssl/cert.pem", "x86_64-conda-linux-gnu"]),
    // Homebrew
    ("Cellar", &["Cellar", "opt", "etc/ca-certificates", "etc/openssl@3/cert.pem", "etc/openssl@3/openssl.cnf"]),
    // JavaScript
    ("tools/image", &["tools"]),
    ("global/5", &["global", "nodejs", ".tools"]),
    ("install/global", &["install/global"]),
    // Ruby
    ("specifications", &["gems", "specifications", "extensions"]),
    // Haskell
    ("ghc", &["ghc", "cabal", "hls", "stack"]),
    ("packages/hackage.haskell.org", &["store"]),
    // .NET
    ("shared/Microsoft.NETCore.App", &["host", "packs", "sdk", "sdk-manifests", "shared", "templates"]),
    // Groovy, Nim, Racket, Erlang
    ("conf/groovy-starter.conf", &["conf/groovy-starter.conf"]),
    ("config/nim.cfg", &["config"]),
    ("collects", &["collects", "etc/config.rktd"]),
    ("releases/RELEASES", &["releases"]),
];

/// The toolchain whose programs lie in `folder`.
pub(super) fn root_of(folder: &Path) -> Option<&Path> {
    let is_known = PROGRAMS.iter().any(|name| folder.ends_with(name)) || holds_packages_alone(folder).is_some();
    is_known.then(|| folder.parent()).flatten()
}

/// Package managers put links to the programs of packages in a folder among the packages.
pub(super) fn holds_packages_alone(folder: &Path) -> Option<&Path> {
    let is_one = folder.ends_with("node_modules/.bin") || folder.ends_with("vendor/bin");
    is_one.then(|| folder.parent()).flatten()
}

/// What of `root` belongs to its programs; not all of it need be there.
pub(super) fn parts(root: &Path) -> Vec<PathBuf> {
    let mut names: Vec<&str> = PARTS.to_vec();
    for (sign, parts) in KNOWN {
        if root.join(sign).exists() {
            names.extend(*parts);
        }
    }
    if root.ends_with(SHARED_BY_ALL) {
        names.retain(|name| *name != "share");
    }
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let versioned = entries.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        VERSIONED.iter().any(|beginning| name.starts_with(beginning.as_bytes()))
    });
    names.into_iter().map(|name| root.join(name)).chain(versioned).collect()
}

/// The interpreter a virtual environment was made from: its link to it.
pub(super) fn interpreter(root: &Path) -> Option<PathBuf> {
    root.join("pyvenv.cfg").exists().then(|| root.join("bin/python"))
}

/// More programs than these are not shown one by one.
const PROGRAMS_SHOWN: usize = 512;

/// The programs in a folder that may hold other things too: files that can be executed and are not named like
/// credentials.
pub(super) fn programs(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let programs = entries.filter(|entry| {
        let can_run = |metadata: Metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0;
        fs::metadata(entry.path()).is_ok_and(can_run) && !is_credential(&entry.file_name().to_string_lossy())
    });
    programs.map(|entry| entry.path()).take(PROGRAMS_SHOWN).collect()
}

/// Whether there is something in a folder that is none of a program's parts.
pub(super) fn holds_credentials(folder: &Path) -> bool {
    let mut entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.any(|entry| is_credential(&entry.file_name().to_string_lossy()))
}

/// By the names programs give to what they sign in with.
fn is_credential(name: &str) -> bool {
    const BEGINNINGS: &[&str] = &["credentials", "auth.", "id_rsa", "id_ed25519", "id_ecdsa", "secrets.", "token."];
    const NAMES: &[&str] =
        &[".netrc", "_netrc", ".npmrc", ".pypirc", ".git-credentials", ".pgpass", "token", ".token", ".env"];
    const CONFIGURATIONS: &[&str] = &["yml", "yaml", "json", "toml", "ini"];
    const KEYS: &[&str] = &["pem", "key", "p12", "pfx", "jks", "keystore", "kdbx", "ovpn"];
    let name = name.to_ascii_lowercase();
    let ending = name.rsplit_once('.').map(|(_, ending)| ending).unwrap_or_default();
    let shown = name.trim_start_matches('.');
    let is_configuration = shown.starts_with("config.") && CONFIGURATIONS.contains(&ending);
    BEGINNINGS.iter().any(|beginning| shown.starts_with(beginning))
        || name.starts_with(".env.")
        || NAMES.contains(&name.as_str())
        || KEYS.contains(&ending)
        || is_configuration
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_known_by_name() {
        for name in [
            "credentials",
            "credentials.json",
            ".credentials.toml",
            "config.yml",
            ".netrc",
            "auth.json",
            "ca.pem",
            ".env",
        ] {
            assert!(is_credential(name), "{name}");
        }
        for name in ["cargo", "env", "python3.12-config", "config", "tokenize", "activate.csh", "envsubst", "authors"] {
            assert!(!is_credential(name), "{name}");
        }
    }
}
