//! `cargo xtask test`: what CI runs and what a contributor runs are the same thing.

use crate::{
    house_rules, layers,
    shell::{cargo, run},
    tools,
};
use anyhow::Result;
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

/// Where tests write what this machine cannot prove: `testkit::skipped`.
const SKIPPED_LIST: &str = "TESTKIT_SKIPPED";

/// How many kill -9 cycles the long form makes; the tests make 25 on their own.
const TORTURE_CYCLES: &str = "200";
/// The packages whose tests run against programs of others.
const USES_TOOLS: &[&str] = &["api", "devmesh"];

/// Cases of one operation, of which there are some fifty: with those of the bounds, more than ten thousand in all.
const SCHEMATHESIS_CASES: &str = "200";

pub fn everything() -> Result<()> {
    let started = Instant::now();
    house_rules::check()?;
    layers::check()?;
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"]))?;
    let missing = tools::for_tests();
    let skipped = tested(cargo().args(["test", "--workspace", "--no-fail-fast"]), &missing)?;
    let took = started.elapsed().as_secs();
    match skipped {
        0 => eprintln!("\nEverything holds, after {took} s."),
        _ => eprintln!(
            "\nEverything that could be tried here holds, after {took} s; {skipped} tests or parts could not."
        ),
    }
    Ok(())
}

pub fn schemathesis() -> Result<()> {
    tools::python::SCHEMATHESIS.get()?;
    run(cargo()
        .args(["test", "--package", "api", "--test", "it", "schemathesis", "--", "--nocapture", "--test-threads", "1"])
        .env("DEVMESH_SCHEMATHESIS_CASES", SCHEMATHESIS_CASES))
}

pub fn crates(names: &[String]) -> Result<()> {
    let mut command = cargo();
    command.arg("test");
    for name in names {
        command.args(["--package", name]);
    }
    let missing =
        if names.iter().any(|name| USES_TOOLS.contains(&name.as_str())) { tools::for_tests() } else { Vec::new() };
    tested(&mut command, &missing).map(drop)
}

/// Runs the tests and then, last, where it is read, names what they skipped, also when others failed: a test that was skipped
/// looks like one that passed. Says how many that are.
fn tested(command: &mut Command, missing: &[String]) -> Result<usize> {
    let list = skipped_list()?;
    let tested = run(command.env(SKIPPED_LIST, &list));
    let skipped = skipped(&list)?;
    if !skipped.is_empty() || !missing.is_empty() {
        eprintln!("\n==== SKIPPED: not proved on this machine ====");
    }
    for line in missing.iter().chain(&skipped) {
        eprintln!("  {line}");
    }
    if !missing.is_empty() {
        eprintln!("==== Programs that are missing are made anew with the next `cargo xtask test`. ====");
    }
    tested.map(|()| skipped.len())
}

/// An empty one.
fn skipped_list() -> io::Result<PathBuf> {
    let list = std::env::temp_dir().join(format!("devmesh-skipped-{}", std::process::id()));
    fs::write(&list, "")?;
    Ok(list)
}

/// Each once, in order, and the list is gone.
fn skipped(list: &Path) -> io::Result<Vec<String>> {
    let text = fs::read_to_string(list)?;
    fs::remove_file(list)?;
    let mut lines: Vec<String> = text.lines().map(|line| line.trim_start_matches("skipped: ").to_owned()).collect();
    lines.sort();
    lines.dedup();
    Ok(lines)
}

pub fn torture() -> Result<()> {
    run(cargo().args(["build", "--release", "--package", "devmesh"]))?;
    tested(
        cargo()
            .args([
                "test",
                "--release",
                "--package",
                "devmesh",
                "--test",
                "it",
                "survive",
                "--",
                "--nocapture",
                "--test-threads",
                "1",
            ])
            .env("DEVMESH_TORTURE_CYCLES", TORTURE_CYCLES),
        &[],
    )
    .map(drop)
}
