//! Benchmarks run on the release build of the real program.

use crate::{
    shell::{cargo, run},
    tools,
};
use anyhow::{Context, Result};
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

/// `names` may be `agent` with options of its own behind it, which this program passes on.
///
/// `older`: a folder with `bench` and `devmesh` of an older build, to stand beside this one.
///
/// `models`: files for the engine, beside those of the bill.
pub fn benchmarks(names: &[String], older: Option<&Path>, models: &[PathBuf]) -> Result<()> {
    if names.iter().any(|name| name == "hop") {
        tools::for_the_hop();
    }
    if names.is_empty() || names.iter().any(|name| name == "gateway") {
        tools::for_the_gateway();
    }
    if names.is_empty() || names.iter().any(|name| name == "engine") {
        tools::for_the_engine();
    }
    if names.first().is_some_and(|name| name == "agent") {
        tools::for_the_agent();
    }
    run(cargo().args(["build", "--release", "--package", "devmesh", "--package", "bench"]))?;
    let older = older.map(Path::canonicalize).transpose().context("--older: there is no such folder")?;
    let older = older.iter().flat_map(|folder| [OsStr::new("--older"), folder.as_os_str()]);
    let mut models =
        models.iter().map(|file| file.canonicalize().with_context(|| format!("--model {}", file.display())));
    let models = models.try_fold(Vec::new(), |mut arguments, file| -> Result<_> {
        arguments.extend(["--model".into(), file?.into_os_string()]);
        Ok(arguments)
    })?;
    run(cargo().args(["run", "--release", "--package", "bench", "--"]).args(older).args(models).args(names))
}
