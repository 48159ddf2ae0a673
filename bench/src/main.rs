//! Figures, each against the direct path in the same run: `cargo xtask bench [NAME…]`.
//!
//! Every benchmark starts the release build of the real program on a folder of its own, speaks to it over HTTP on
//! 127.0.0.1, and prints medians and spread. Nothing here is a test: a slow machine prints slow figures.
//!
//! `--older FOLDER` names a folder with `bench` and `devmesh` of an older build: each benchmark then runs with both, one
//! after the other, and the figures stand beside each other. `--model FILE` adds a model to `engine`.
//!
//! `agent OPTION…` is one of its own kind: it measures coding tools with a model, for hours.

mod agent;
mod append;
mod compare;
mod engine;
mod gateway;
mod lease;
mod peer;
mod replay;
mod scale;
mod seed;
mod server;
mod stalled;
mod start;
mod stream;
mod summary;
mod tools;

use anyhow::{Context, Result, bail};
use std::path::PathBuf;

const BENCHMARKS: &[(&str, &str)] = &[
    ("lease", "durable enqueue → an agent holds the lease"),
    ("append", "durable event appends per second, 64 writers"),
    ("stream", "append → the event at an SSE client"),
    ("replay", "reading a log of 1,000,000 events"),
    ("scale", "enqueue, claim, list and tail with 1,000 and with 1,000,000 jobs stored"),
    ("gateway", "what a hop through the model gateway costs, beside nginx, LiteLLM and Portkey"),
    ("hop", "the hop through the model gateway alone, beside nginx: two ratios"),
    ("engine", "the embedded model's tokens per second, beside llama.cpp"),
    ("start", "exec → ready on an existing folder, and memory at rest"),
];

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|first| first == agent::NAME).is_some() {
        return agent::run(arguments).await;
    }
    let Arguments { older, files, names: asked } = self::arguments(arguments)?;
    if let Some(unknown) = asked.iter().find(|name| BENCHMARKS.iter().all(|(known, _)| known != name)) {
        let known: Vec<_> = BENCHMARKS.iter().map(|(name, _)| *name).collect();
        bail!("there is no benchmark `{unknown}`; there are {} and {}", known.join(", "), agent::NAME);
    }
    for (name, what) in
        BENCHMARKS.iter().filter(|(name, _)| asked.is_empty() || asked.iter().any(|asked| asked == name))
    {
        println!("\n{name}: {what}");
        if let Some(older) = &older {
            compare::beside(older, name)?;
            continue;
        }
        match *name {
            "lease" => lease::run().await?,
            "append" => append::run().await?,
            "stream" => stream::run().await?,
            "replay" => replay::run().await?,
            "gateway" => gateway::run().await?,
            "hop" => gateway::hop::run().await?,
            "scale" => scale::run().await?,
            "engine" => tokio::task::block_in_place(|| engine::run(&files))?,
            _ => start::run().await?,
        }
    }
    Ok(())
}

#[derive(Default)]
struct Arguments {
    /// The folder of an older build.
    older: Option<PathBuf>,
    /// Models for the engine, beside those of the bill.
    files: Vec<PathBuf>,
    /// Which benchmarks were asked for.
    names: Vec<String>,
}

fn arguments(mut given: impl Iterator<Item = String>) -> Result<Arguments> {
    let mut arguments = Arguments::default();
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--older" => {
                arguments.older = Some(given.next().context("--older wants the folder of an older build")?.into());
            }
            "--model" => arguments.files.push(given.next().context("--model wants a GGUF file")?.into()),
            _ => arguments.names.push(argument),
        }
    }
    Ok(arguments)
}
