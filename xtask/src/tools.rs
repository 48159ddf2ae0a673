//! Programs of others that tests and benchmarks run against, each built or installed once into the user's cache.
//!
//! ```text
//! <cache>/devmesh/tools/<name>/           ready to use
//! <cache>/devmesh/tools/<name>.lock       held while somebody makes it; others wait
//! <cache>/devmesh/tools/<name>.missing    why it is not there: a test says this when it skips
//! ```

mod debian;
mod node;
pub mod ollama;
pub mod python;

use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Of one tool: where it stands, whether it works, and how it is made.
pub struct Tool {
    /// With its version, so that a newer one is made anew beside it.
    name: &'static str,
    works: fn(&Path) -> bool,
    /// Makes it in an empty folder at the place where it will stay.
    make: fn(&Path) -> Result<()>,
}

impl Tool {
    /// The tool's folder, after making it when it is not there yet.
    ///
    /// # Errors
    /// Why it cannot be had here and what to do about it. The same stands in the note that tests read.
    pub fn get(&self) -> Result<PathBuf> {
        let tools = folder()?;
        let (folder, note) = (tools.join(self.name), tools.join(format!("{}.missing", self.name)));
        fs::create_dir_all(&tools).with_context(|| format!("cannot make {}", tools.display()))?;
        let lock = tools.join(format!("{}.lock", self.name));
        let lock = fs::File::create(&lock).with_context(|| format!("cannot write {}", lock.display()))?;
        lock.lock()?;
        if !(self.works)(&folder) {
            // What failed before is tried again: what was in the way may be gone.
            let _ = fs::remove_file(&note);
            eprintln!("making {} in {}", self.name, tools.display());
            let made = self.make_in(&folder);
            if let Err(error) = made {
                let _ = fs::remove_dir_all(&folder);
                // One line, because it becomes the end of a line.
                fs::write(&note, format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" "))?;
                return Err(error);
            }
        }
        let _ = fs::remove_file(&note);
        Ok(folder)
    }

    fn make_in(&self, folder: &Path) -> Result<()> {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        (self.make)(folder)?;
        anyhow::ensure!((self.works)(folder), "{} was made and does not work", self.name);
        Ok(())
    }
}

/// What tests have to do without, each with the reason.
#[must_use]
pub fn for_tests() -> Vec<String> {
    let tools = [&ollama::OLLAMA, &python::SDKS, &python::SCHEMATHESIS, &node::CODING_TOOLS, &python::AIDER];
    tools.iter().filter_map(|tool| Some(format!("{}: {:#}", tool.name, tool.get().err()?))).collect()
}

/// What people write code with, all of it.
pub fn coding_tools() -> Result<()> {
    for tool in [&node::CODING_TOOLS, &python::AIDER] {
        println!("{}", tool.get()?.display());
    }
    Ok(())
}

/// What a hop is measured with.
pub fn for_the_hop() {
    if let Err(error) = debian::ensure_files(&[("/usr/sbin/nginx", "nginx-light"), ("/usr/bin/wrk", "wrk")]) {
        eprintln!("{error:#}");
    }
}

/// The peers that the gateway is measured against. The benchmark names those it has to do without.
pub fn for_the_gateway() {
    for_the_hop();
    eprintln!("LiteLLM's proxy: installed once, about a minute");
    if let Err(error) = python::LITELLM.get() {
        eprintln!("LiteLLM is not here: {error:#}");
    }
    if let Err(error) = node::PORTKEY.get() {
        eprintln!("Portkey is not here: {error:#}");
    }
}

/// The engine that ours is measured against. The benchmark says so where it has to do without.
pub fn for_the_engine() {
    eprintln!("llama.cpp: built once, five to fifteen minutes");
    if let Err(error) = python::LLAMA_CPP.get() {
        eprintln!("llama.cpp is not here: {error:#}");
    }
}

/// The coding tools that ours is measured against. The benchmark names those it has to do without.
pub fn for_the_agent() {
    for tool in [&python::AIDER, &python::MINI_SWE_AGENT, &node::PI] {
        if let Err(error) = tool.get() {
            eprintln!("{} is not here: {error:#}", tool.name);
        }
    }
}

fn folder() -> Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set: there is no folder for tools")?.join("devmesh/tools"))
}
