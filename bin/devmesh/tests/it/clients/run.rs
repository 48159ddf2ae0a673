//! Runs a client of others to its end, or kills it in the middle of an answer.

use super::stage::{END, Stage, route};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use testkit::{Reply, Wire, eventually_within, tool};
use tokio::process::Command;

/// Some of them start slowly on a loaded machine; one that hangs is ended.
pub(super) const DEADLINE: Duration = Duration::from_secs(150);
/// The MCP server that clients start.
pub(super) const MCP_SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/clients/mcp_server.py");

/// The program of an npm package, which lies in another package for each kind of machine: `before` and `after` are what
/// surrounds the kind's name in its path.
pub(super) fn program(before: &str, after: &str) -> Result<PathBuf, String> {
    let (scope, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let modules = tool("coding-tools")?.join("node_modules").join(scope);
    let packages = std::fs::read_dir(&modules).map_err(|error| format!("{}: {error}", modules.display()))?;
    let names = packages.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut found: Vec<PathBuf> =
        names.filter(|name| name.starts_with(prefix)).flat_map(|name| matching(&modules.join(name), after)).collect();
    // The plain kind comes before its variants, such as those for older processors.
    found.sort();
    found.into_iter().next().ok_or_else(|| format!("no package {before}… in {} is for this machine", modules.display()))
}

/// The files at `path` below a folder, where `*` stands for any one name.
fn matching(folder: &Path, path: &str) -> Vec<PathBuf> {
    let Some((first, rest)) = path.split_once('/') else {
        let file = folder.join(path);
        return if file.is_file() { vec![file] } else { Vec::new() };
    };
    if first != "*" {
        return matching(&folder.join(first), rest);
    }
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.flat_map(|entry| matching(&entry.path(), rest)).collect()
}

/// A client's command line, in the folder of a wire, with nothing of this machine's environment.
pub(super) fn client(stage: &Stage, program: &Path, wire: Wire) -> Command {
    let mut command = Command::new(program);
    command.current_dir(stage.folder(wire)).env_clear().env("HOME", stage.home.path("."));
    for name in ["PATH", "TMPDIR"] {
        #[expect(clippy::disallowed_methods, reason = "clients need the programs of this machine")]
        if let Ok(value) = std::env::var(name) {
            command.env(name, value);
        }
    }
    // A port that nobody listens on stands for everything that is not this machine.
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"] {
        command.env(name, "http://127.0.0.1:9");
    }
    command.env("NO_PROXY", "127.0.0.1,localhost").env("no_proxy", "127.0.0.1,localhost");
    command.env("NOTES", stage.notes(wire)).env("DEVMESH_TOKEN", &stage.token);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    command
}

/// It ends by itself with 0, after it has shown the model's last word. What it said on stderr.
pub(super) async fn to_its_end(mut command: Command, wire: Wire) -> String {
    let output = tokio::time::timeout(DEADLINE, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{} does not end", route(wire))).unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {}\n{said}\n{complained}", route(wire), output.status);
    assert!(said.contains(END), "{}: {said}\n{complained}", route(wire));
    complained.into_owned()
}

/// An answer that goes on until nobody reads it.
pub(super) fn endless() -> Reply {
    Reply::text("on and ".repeat(20_000)).between(Duration::from_millis(20))
}

/// Killed in the middle of an answer, with what it started; upstream the connection closes.
pub(super) async fn killed(stage: &Stage, mut command: Command, wire: Wire) {
    let mut child = command.spawn().unwrap();
    let model = stage.model(wire);
    tokio::select! {
        () = eventually_within(DEADLINE, "a request", async || (!model.received().is_empty()).then_some(())) => {}
        ended = child.wait() => panic!("{} ended before it asked the model: {ended:?}", route(wire)),
    }
    let group = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
    killpg(group, Signal::SIGKILL).unwrap();
    let gone = model.wait_for_disconnect().await;
    assert!(gone.after_last_piece.is_none_or(|time| time < Duration::from_secs(5)), "{wire:?}: {gone:?}");
    child.wait().await.unwrap();
}
