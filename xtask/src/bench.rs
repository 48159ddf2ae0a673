//! Benchmarks run on the release build of the real program.

use crate::shell::{cargo, run};
use anyhow::Result;

pub fn benchmarks(names: &[String]) -> Result<()> {
    run(cargo().args(["build", "--release", "--package", "devmesh", "--package", "bench"]))?;
    run(cargo().args(["run", "--release", "--package", "bench", "--"]).args(names))
}
