//! The environment of tools and tests: what they need of this machine, and none of its secrets.

use std::{ffi::OsString, path::Path, path::PathBuf, process::Command};

/// Nobody listens there. It stands for everything that is not this machine.
const NOBODY: &str = "http://127.0.0.1:9";
/// Tells the processes of one run from all others, also those that left its group. Without devmesh's own prefix, which it
/// takes for a setting.
pub const MARK: &str = "BENCH_RUN";

/// Takes everything of this process's environment away from a command and gives it a home of its own.
pub fn clean(command: &mut Command, home: &Path, mark: &str) {
    command.env_clear().env("HOME", home).env("LANG", "C.UTF-8").env(MARK, mark);
    command.envs(of_this_machine());
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"] {
        command.env(name, NOBODY);
    }
    command.env("NO_PROXY", "127.0.0.1,localhost").env("no_proxy", "127.0.0.1,localhost");
    // Exercises need nothing that is not there; a tool that adds a dependency learns that at once.
    command.env("CARGO_NET_OFFLINE", "true").env("GOPROXY", "off");
    command.env("GIT_AUTHOR_NAME", "bench").env("GIT_AUTHOR_EMAIL", "bench@example.org");
    command.env("GIT_COMMITTER_NAME", "bench").env("GIT_COMMITTER_EMAIL", "bench@example.org");
}

/// Where programs and toolchains are.
pub fn of_this_machine() -> Vec<(&'static str, OsString)> {
    let own = |name: &'static str| Some((name, std::env::var_os(name)?));
    let mut found: Vec<_> = ["PATH", "TMPDIR", "RUSTUP_HOME"].into_iter().filter_map(own).collect();
    // Without it `cargo` looks in the new home.
    let rustup = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".rustup"));
    if let Some(rustup) = rustup.filter(|folder| folder.is_dir() && std::env::var_os("RUSTUP_HOME").is_none()) {
        found.push(("RUSTUP_HOME", rustup.into()));
    }
    found
}
