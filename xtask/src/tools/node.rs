//! Node programs in folders of their own, from pinned packages.

use super::Tool;
use crate::shell::{root, run};
use anyhow::{Context, Result};
use std::{fs, path::Path, process::Command};

/// A gateway that the benchmark measures ours against.
pub const PORTKEY: Tool = Tool {
    name: "portkey",
    works: |folder| works(folder, PORTKEY_PACKAGES),
    make: |folder| make(folder, PORTKEY_PACKAGES),
};
/// A coding tool that the benchmark measures ours against.
pub const PI: Tool =
    Tool { name: "pi", works: |folder| works(folder, PI_PACKAGES), make: |folder| make(folder, PI_PACKAGES) };
/// What people write code with, for the tests in `bin/devmesh`.
pub const CODING_TOOLS: Tool = Tool {
    name: "coding-tools",
    works: |folder| works(folder, CODING_TOOL_PACKAGES),
    make: |folder| make(folder, CODING_TOOL_PACKAGES),
};

const PORTKEY_PACKAGES: &str = "bench/peers/portkey";
const PI_PACKAGES: &str = "bench/peers/pi";
const CODING_TOOL_PACKAGES: &str = "tests/clients";
const LIST: &str = "package.json";
const PINS: &str = "package-lock.json";
/// What was installed, written last: a folder without it is a half-made one.
const INSTALLED: &str = "installed.json";

fn works(folder: &Path, packages: &str) -> bool {
    let wanted = fs::read(root().join(packages).join(PINS));
    matches!((wanted, fs::read(folder.join(INSTALLED))), (Ok(wanted), Ok(installed)) if wanted == installed)
}

fn make(folder: &Path, packages: &str) -> Result<()> {
    for file in [LIST, PINS] {
        fs::copy(root().join(packages).join(file), folder.join(file))?;
    }
    // What packages would run at their installation is not needed by any of these: programs are used where they lie.
    let arguments = ["ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--silent"];
    run(Command::new("npm").args(arguments).current_dir(folder)).context("npm of Node 20 or newer installs it")?;
    fs::copy(folder.join(PINS), folder.join(INSTALLED))?;
    Ok(())
}
