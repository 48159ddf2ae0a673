//! Benchmarks run on the release build of the real program.

use crate::{
    shell::{cargo, run},
    tools,
};
use anyhow::Result;

pub fn benchmarks(names: &[String]) -> Result<()> {
    if names.is_empty() || names.iter().any(|name| name == "gateway") {
        tools::for_the_gateway();
    }
    run(cargo().args(["build", "--release", "--package", "devmesh", "--package", "bench"]))?;
    run(cargo().args(["run", "--release", "--package", "bench", "--"]).args(names))
}
