//! Figures, each against the direct path in the same run: `cargo xtask bench [NAME…]`.
//!
//! Every benchmark starts the release build of the real program on a folder of its own, speaks to it over HTTP on
//! 127.0.0.1, and prints medians and spread. Nothing here is a test: a slow machine prints slow figures.

mod append;
mod gateway;
mod lease;
mod peer;
mod replay;
mod scale;
mod seed;
mod server;
mod start;
mod stream;
mod summary;

use anyhow::{Result, bail};

const BENCHMARKS: &[(&str, &str)] = &[
    ("lease", "durable enqueue → an agent holds the lease"),
    ("append", "durable event appends per second, 64 writers"),
    ("stream", "append → the event at an SSE client"),
    ("replay", "reading a log of 1,000,000 events"),
    ("scale", "enqueue, claim, list and tail with 1,000 and with 1,000,000 jobs stored"),
    ("gateway", "what a hop through the model gateway costs, beside nginx, LiteLLM and Portkey"),
    ("start", "exec → ready on an existing folder, and memory at rest"),
];

#[tokio::main]
async fn main() -> Result<()> {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = asked.iter().find(|name| BENCHMARKS.iter().all(|(known, _)| known != name)) {
        let known: Vec<_> = BENCHMARKS.iter().map(|(name, _)| *name).collect();
        bail!("there is no benchmark `{unknown}`; there are {}", known.join(", "));
    }
    for (name, what) in
        BENCHMARKS.iter().filter(|(name, _)| asked.is_empty() || asked.iter().any(|asked| asked == name))
    {
        println!("\n{name}: {what}");
        match *name {
            "lease" => lease::run().await?,
            "append" => append::run().await?,
            "stream" => stream::run().await?,
            "replay" => replay::run().await?,
            "gateway" => gateway::run().await?,
            "scale" => scale::run().await?,
            _ => start::run().await?,
        }
    }
    Ok(())
}
