//! A caller leaves: how soon does the upstream know?

use super::{http::Site, talker::Talker};
use crate::summary::Latencies;
use anyhow::{Context, Result, ensure};
use std::{
    io::{Read, Write},
    time::{Duration, Instant},
};

/// When the caller leaves.
pub struct Way {
    pub name: &'static str,
    model: &'static str,
    stream: bool,
}

pub const WAYS: [Way; 3] = [
    Way { name: "in the middle of a stream", model: "endless", stream: true },
    Way { name: "before the first byte of a stream", model: "silent", stream: true },
    Way { name: "waiting for a whole answer", model: "silent", stream: false },
];
const TIMES: usize = 200;
/// An upstream that knows nothing after this long will not learn it.
const PATIENCE: Duration = Duration::from_secs(5);

pub fn run(site: &Site, talker: &Talker, way: &Way) -> Result<Latencies> {
    let request = site.talk(way.model, way.stream);
    let mut times = Latencies::default();
    for _ in 0..TIMES {
        let mut stream = site.connect()?;
        stream.write_all(&request)?;
        talker.wait_arrived(PATIENCE)?;
        if way.model == "endless" {
            let mut piece = [0; 4096];
            let count = stream.read(&mut piece).context("no stream comes")?;
            ensure!(piece[..count].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&piece[..count]));
        }
        let left = Instant::now();
        drop(stream);
        let closed = talker.wait_closed(PATIENCE)?;
        times.record(closed.saturating_duration_since(left));
    }
    Ok(times)
}
