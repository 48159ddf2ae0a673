//! Processor, programs, and what can hold tool calls back.

use super::Finding;
use crate::{config::Environment, context::Context, wiring::folders};
use std::{process::Stdio, time::Duration};
use tokio::{process::Command, time::timeout};

/// A program that takes longer to tell its version is as good as missing.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn processor() -> Finding {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let evidence = format!("{cores} cores, {} {}", std::env::consts::OS, std::env::consts::ARCH);
    match embedded_model::cpu_check() {
        Ok(()) => Finding::good("processor", format!("{evidence}; everything this build was made for is there")),
        Err(error) => {
            Finding::bad("processor", format!("{evidence}; {error}"), "cargo build --release on this machine")
        }
    }
}

pub async fn program(name: &'static str, arguments: &[&str], mend: &'static str) -> Finding {
    let mut command = Command::new(name);
    // Python looks for modules in the working folder first, and there a clone's own `pip.py` would be run.
    command.args(arguments).current_dir("/").stdin(Stdio::null()).kill_on_drop(true);
    match timeout(PATIENCE, command.output()).await {
        Ok(Ok(output)) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            Finding::good(name, text.lines().next().unwrap_or_default().to_owned())
        }
        Ok(Ok(output)) => Finding::bad(name, String::from_utf8_lossy(&output.stderr).into_owned(), mend),
        Ok(Err(error)) => Finding::bad(name, format!("cannot be started: {error}"), mend),
        Err(_) => Finding::bad(name, format!("no answer within {} s", PATIENCE.as_secs()), mend),
    }
}

/// Confines a child here and now and reports what held.
pub async fn sandbox(context: &Context) -> Vec<Finding> {
    // Where workspaces will be, if that is there already: looking must not make a data folder.
    let workspaces = &context.config.settings.agents.workspaces;
    let folder = if workspaces.is_dir() { tempfile::tempdir_in(workspaces) } else { tempfile::tempdir() };
    let folder = match folder {
        Ok(folder) => folder,
        Err(error) => {
            let mend = "choose a writable one with --set agents.workspaces=FOLDER";
            return vec![Finding::bad("sandbox", format!("no folder to try it in: {error}"), mend)];
        }
    };
    let options = agent::sandbox::Options::new(folder.path().to_owned(), Environment::inherited());
    let mut findings = Vec::new();
    let mut probed = agent::sandbox::Sandbox::probe(options.clone()).await;
    if let Err(error) = &probed
        && let Some(elsewhere) = folders::workspaces_elsewhere(&context.config.settings, error)
        && let Ok(folder) = tempfile::tempdir()
    {
        let evidence = format!("workspaces go to {}: {error}", elsewhere.display());
        findings.push(Finding::good("workspaces", evidence));
        let options = agent::sandbox::Options { workspaces: folder.path().to_owned(), ..options };
        probed = agent::sandbox::Sandbox::probe(options).await;
    }
    findings.extend(match probed {
        Ok(sandbox) => sandbox
            .protections()
            .iter()
            .map(|protection| {
                let check = known(&protection.name);
                if protection.active {
                    Finding::good(check, protection.detail.clone())
                } else {
                    Finding::careful(
                        check,
                        protection.detail.clone(),
                        "run agents on Linux 6.7 or newer with user namespaces, or in a container of their own",
                    )
                }
            })
            .collect::<Vec<_>>(),
        Err(error @ agent::sandbox::Error::Unreachable { .. }) => {
            vec![Finding::bad("sandbox", error.to_string(), "choose one with --set agents.workspaces=FOLDER")]
        }
        Err(error) => vec![Finding::bad("sandbox", error.to_string(), "run agents on another machine")],
    });
    findings
}

fn known(name: &str) -> &'static str {
    const NAMES: &[(&str, &str)] = &[
        ("landlock", "sandbox landlock"),
        ("seccomp", "sandbox seccomp"),
        ("sockets", "sandbox sockets"),
        ("network", "sandbox network"),
        ("rlimits", "sandbox rlimits"),
        ("memory", "sandbox memory"),
        ("environment", "sandbox environ"),
        ("user", "sandbox user"),
        ("processes", "sandbox processes"),
    ];
    NAMES.iter().find(|(known, _)| *known == name).map_or("sandbox", |(_, check)| check)
}
