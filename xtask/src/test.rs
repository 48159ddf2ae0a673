//! `cargo xtask test`: what CI runs and what a contributor runs are the same thing.

use crate::{
    house_rules, layers,
    shell::{cargo, run},
    tools,
};
use anyhow::Result;
use std::time::Instant;

/// How many kill -9 cycles the long form makes; the tests make 25 on their own.
const TORTURE_CYCLES: &str = "200";
/// The one package whose tests run against programs of others.
const USES_TOOLS: &str = "devmesh";

pub fn everything() -> Result<()> {
    let started = Instant::now();
    house_rules::check()?;
    layers::check()?;
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"]))?;
    let missing = tools::for_tests();
    let tested = run(cargo().args(["test", "--workspace", "--no-fail-fast"]));
    tell_what_was_skipped(&missing);
    tested?;
    let all = if missing.is_empty() { "Everything" } else { "Everything that was tested" };
    eprintln!("\n{all} holds, after {} s.", started.elapsed().as_secs());
    Ok(())
}

/// Last, where it is read: a test that was skipped looks like one that passed.
fn tell_what_was_skipped(missing: &[String]) {
    if !missing.is_empty() {
        eprintln!("\n==== SKIPPED: tests against real programs that are not here ====");
        for what in missing {
            eprintln!("  {what}");
        }
        eprintln!("==== They are made anew with the next `cargo xtask test`. ====");
    }
}

pub fn crates(names: &[String]) -> Result<()> {
    let mut command = cargo();
    command.arg("test");
    for name in names {
        command.args(["--package", name]);
    }
    let missing = if names.iter().any(|name| name == USES_TOOLS) { tools::for_tests() } else { Vec::new() };
    let tested = run(&mut command);
    tell_what_was_skipped(&missing);
    tested
}

pub fn torture() -> Result<()> {
    run(cargo().args(["build", "--release", "--package", "devmesh"]))?;
    run(cargo()
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
        .env("DEVMESH_TORTURE_CYCLES", TORTURE_CYCLES))
}
