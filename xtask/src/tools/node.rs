//! Node programs in folders of their own, from pinned packages.

use super::Tool;
use crate::shell::{root, run};
use anyhow::{Context, Result};
use std::{fs, path::Path, process::Command};

/// A gateway that the benchmark measures ours against.
pub const PORTKEY: Tool = Tool { name: "portkey", works, make };

const PACKAGES: &str = "bench/peers/portkey";
const LIST: &str = "package.json";
const PINS: &str = "package-lock.json";
/// What was installed, written last: a folder without it is a half-made one.
const INSTALLED: &str = "installed.json";

fn works(folder: &Path) -> bool {
    let wanted = fs::read(root().join(PACKAGES).join(PINS));
    matches!((wanted, fs::read(folder.join(INSTALLED))), (Ok(wanted), Ok(installed)) if wanted == installed)
}

fn make(folder: &Path) -> Result<()> {
    for file in [LIST, PINS] {
        fs::copy(root().join(PACKAGES).join(file), folder.join(file))?;
    }
    // What packages would run at their installation is not needed by any of these.
    let arguments = ["ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--silent"];
    run(Command::new("npm").args(arguments).current_dir(folder)).context("npm of Node 20 or newer installs it")?;
    fs::copy(folder.join(PINS), folder.join(INSTALLED))?;
    Ok(())
}
