//! A network of our own, in which only this benchmark and what it starts can be reached.
//!
//! Some peers listen on every interface of the machine, which a benchmark does not do to anybody's machine. Inside there is
//! loopback and nothing else.

use std::process::{Command, ExitStatus};

const INSIDE: &str = "DEVMESH_BENCH_ALONE";

/// Whether this process lives in a network of its own.
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("{0}")]
    NoNetwork(String),
    #[error("the benchmark in a network of its own ended with {0}")]
    Ended(ExitStatus),
}

/// Runs this program once more with `arguments`, in a network of its own.
///
/// # Errors
/// When the system gives no such network, or what ran inside failed.
pub fn run(arguments: &[&str]) -> Result<(), Failure> {
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--map-root-user", "--net", "--", "sh", "-c"]);
        command
    };
    let missing = |error: std::io::Error| Failure::NoNetwork(format!("`unshare` of util-linux: {error}"));
    let tried = unshare().arg("ip link set lo up").output().map_err(missing)?;
    if !tried.status.success() {
        return Err(Failure::NoNetwork(String::from_utf8_lossy(&tried.stderr).trim().to_owned()));
    }
    let program = std::env::current_exe().map_err(missing)?;
    let mut inside = unshare();
    inside.args(["ip link set lo up && exec \"$@\"", "sh"]).arg(program).args(arguments).env(INSIDE, "1");
    let status = inside.status().map_err(missing)?;
    if status.success() { Ok(()) } else { Err(Failure::Ended(status)) }
}
