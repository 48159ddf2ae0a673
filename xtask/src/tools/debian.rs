//! Packages of the system that a tool needs, installed where we may.

use crate::shell::run;
use anyhow::{Result, ensure};
use std::{path::Path, process::Command};

/// Each need is a file that shows that a package is there.
pub fn ensure_files(needs: &[(&str, &str)]) -> Result<()> {
    let missing = |needs: &[(&str, &str)]| -> Vec<String> {
        needs.iter().filter(|(file, _)| !Path::new(file).exists()).map(|(_, package)| (*package).to_owned()).collect()
    };
    let packages = missing(needs);
    if packages.is_empty() {
        return Ok(());
    }
    let by_hand = format!("`apt-get install --no-install-recommends {}`", packages.join(" "));
    ensure!(may_install(), "{} not installed: on Debian, as root, {by_hand}", packages.join(", "));
    let apt = || {
        let mut command = Command::new("apt-get");
        // A package that brings a service does not get it started: tests and benchmarks run their own.
        command.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1").arg("--quiet=2");
        command
    };
    run(apt().arg("update"))?;
    run(apt().args(["install", "--yes", "--no-install-recommends"]).args(&packages))?;
    let still = missing(needs);
    ensure!(still.is_empty(), "{} still missing after {by_hand}", still.join(", "));
    Ok(())
}

fn may_install() -> bool {
    let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    root && Path::new("/usr/bin/apt-get").exists()
}
