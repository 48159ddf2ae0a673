//! One benchmark with two builds, in turn, so that both met the same machine.
//!
//! Each build is driven by the `bench` that belongs to it: what travels between client and server may differ.

use anyhow::{Context, Result, ensure};
use std::{path::Path, process::Command};

/// Times each build runs. In turn, so that neither has the cooler machine.
const TURNS: usize = 2;

/// What `summary::print` puts before each line, and where the figure begins.
const INDENT: &str = "  ";

/// Runs `name` with this build and with the one in the folder `older`, and prints the figures beside each other.
pub fn beside(older: &Path, name: &str) -> Result<()> {
    let own = std::env::current_exe()?;
    let older = older.join("bench");
    for turn in 1..=TURNS {
        let (before, now) = (figures(&older, name), figures(&own, name)?);
        let before =
            before.inspect_err(|why| println!("  not measured with the older build: {why:#}")).unwrap_or_default();
        println!("  turn {turn} of {TURNS}");
        for (what, figure) in now.iter().filter(|(what, _)| what != "wanted") {
            let old = before.iter().find(|(known, _)| known == what).map_or("not there", |(_, figure)| figure.as_str());
            println!("  {what}\n      older  {old}\n      this   {figure}");
        }
    }
    Ok(())
}

/// What it prints, a line each: what was measured, and the figure.
fn figures(bench: &Path, name: &str) -> Result<Vec<(String, String)>> {
    let output = Command::new(bench).arg(name).output().with_context(|| format!("cannot start {}", bench.display()))?;
    let (said, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{} {name}: {}", bench.display(), complaints.trim());
    Ok(said.lines().filter_map(figure).collect())
}

/// `  what is measured      the figure`: at least two spaces between them, one within each.
fn figure(line: &str) -> Option<(String, String)> {
    let line = line.strip_prefix(INDENT)?;
    let (what, figure) = line.trim_start().split_once("  ").or_else(|| line.trim_start().rsplit_once(' '))?;
    Some((what.to_owned(), figure.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart_as_they_are_printed() {
        let line = format!("  {:<44} {}", "replay over SSE", "median 120,000 events/s  (3 rounds)");
        assert_eq!(figure(&line), Some(("replay over SSE".into(), "median 120,000 events/s  (3 rounds)".into())));
        assert_eq!(figure("replay: reading a log of 1,000,000 events"), None);
    }
}
