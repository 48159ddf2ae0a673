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

/// Cases of one operation, of which there are some fifty: with those of the bounds, more than ten thousand in all.
const SCHEMATHESIS_CASES: &str = "200";

pub fn everything() -> Result<()> {
    let started = Instant::now();
    house_rules::check()?;
    layers::check()?;
    run(cargo().args(["fmt", "--all", "--check"]))?;
    run(cargo().args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "--deny", "warnings"]))?;
    tools::for_tests();
    run(cargo().args(["test", "--workspace", "--no-fail-fast"]))?;
    eprintln!("\nEverything holds, after {} s.", started.elapsed().as_secs());
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
    run(&mut command)
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
