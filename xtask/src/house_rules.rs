//! What this repository promises everywhere and a compiler cannot see.

use crate::shell::{command, output, root};
use anyhow::{Result, ensure};

/// Past this a file holds two ideas.
const LINES_PER_SOURCE_FILE: usize = 800;
/// Models, images and build outputs are fetched or built, never committed.
const BYTES_PER_FILE: u64 = 1024 * 1024;

pub fn check() -> Result<()> {
    let listing = output(command("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]))?;
    let listing = String::from_utf8_lossy(&listing);
    let mut broken = Vec::new();
    for name in listing.split('\0').filter(|name| !name.is_empty()) {
        let path = root().join(name);
        let Ok(metadata) = path.symlink_metadata() else { continue };
        if metadata.len() > BYTES_PER_FILE {
            broken.push(format!("{name} has {} bytes; nothing over 1 MiB is committed", metadata.len()));
            continue;
        }
        if name.ends_with("mod.rs") && name != "xtask/src/mod.rs" {
            broken.push(format!("{name}: modules are `foo.rs` beside `foo/`, not `mod.rs`"));
        }
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let lines = text.lines().count();
        if name.ends_with(".rs") && lines > LINES_PER_SOURCE_FILE {
            broken
                .push(format!("{name} has {lines} lines; past {LINES_PER_SOURCE_FILE} the next idea opens a new file"));
        }
        for (number, line) in text.lines().enumerate().filter(|_| name.ends_with(".rs")) {
            if line.contains("#[ignore") && !name.starts_with("xtask/") {
                broken.push(format!("{name}:{}: an ignored test asserts nothing", number + 1));
            }
        }
    }
    ensure!(broken.is_empty(), "house rules:\n  {}", broken.join("\n  "));
    eprintln!("house rules: hold");
    Ok(())
}
