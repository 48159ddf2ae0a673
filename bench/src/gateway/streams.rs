//! Many streams at once: how much later a chunk arrives, and how much longer the gaps between chunks become.

use super::{
    http::Site,
    talker::{self, MARK, Talker},
};
use crate::summary::Latencies;
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

pub const STREAMS: u32 = 500;
pub const ROUNDS: usize = 5;
/// For all streams to be there; a gateway may meet them one by one.
const GATHER: Duration = Duration::from_secs(10);
const SLACK: Duration = Duration::from_secs(10);
/// The first chunks come while streams are still being opened.
const WARM_UP: u32 = 10;

#[derive(Default)]
pub struct Times {
    /// From the upstream's write to our read.
    pub delay: Latencies,
    /// How much longer the gap between two chunks is here than it was where they were sent.
    pub stretch: Latencies,
}

pub fn run(site: &Site, talker: &Talker) -> Result<Times> {
    std::thread::scope(|scope| {
        // All readers on one thread of their own, so that they do not share one with whoever sends.
        let readers = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let longest = GATHER + Duration::from_secs(talker::SECONDS.into()) + SLACK;
            runtime.block_on(async { tokio::time::timeout(longest, read_all(site)).await })?
        });
        let conducted = talker.conduct(STREAMS, GATHER);
        let read = readers.join().ok().context("the readers panicked")?;
        conducted?;
        read
    })
}

async fn read_all(site: &Site) -> Result<Times> {
    let mut readers = JoinSet::new();
    for _ in 0..STREAMS {
        let request = site.talk("steady", true);
        let mut stream = TcpStream::connect(("127.0.0.1", site.port)).await?;
        stream.set_nodelay(true)?;
        stream.write_all(&request).await?;
        readers.spawn(read_one(stream));
    }
    let mut all = Times::default();
    while let Some(times) = readers.join_next().await {
        let times = times??;
        all.delay.add(&times.delay);
        all.stretch.add(&times.stretch);
    }
    Ok(all)
}

async fn read_one(mut stream: TcpStream) -> Result<Times> {
    let (mut times, mut buffer, mut piece) = (Times::default(), Vec::new(), vec![0; 8 * 1024]);
    let (mut seen, mut before): (u32, Option<(u64, u64)>) = (0, None);
    loop {
        let count = stream.read(&mut piece).await?;
        let now = talker::micros(Instant::now());
        ensure!(count > 0, "the stream broke after {seen} chunks: {}", String::from_utf8_lossy(&buffer));
        buffer.extend_from_slice(&piece[..count]);
        while let Some((sent, used)) = stamp(&buffer) {
            buffer.drain(..used);
            seen += 1;
            if seen > WARM_UP {
                times.delay.record(Duration::from_micros(now.saturating_sub(sent)));
                if let Some((sent_before, seen_before)) = before {
                    let stretch = (now - seen_before).saturating_sub(sent - sent_before);
                    times.stretch.record(Duration::from_micros(stretch));
                }
            }
            before = Some((sent, now));
        }
        if buffer.windows(6).any(|window| window == b"[DONE]") {
            let wanted = talker::CHUNKS_PER_SECOND * talker::SECONDS + 1;
            ensure!(seen == wanted, "{seen} chunks of {wanted} arrived");
            return Ok(times);
        }
    }
}

/// The first time in these bytes, and how many bytes are done with.
fn stamp(bytes: &[u8]) -> Option<(u64, usize)> {
    let from = bytes.windows(MARK.len()).position(|window| window == MARK)? + MARK.len();
    let digits = bytes[from..].iter().position(|byte| !byte.is_ascii_digit())?;
    let sent = std::str::from_utf8(&bytes[from..from + digits]).ok()?.parse().ok()?;
    Some((sent, from + digits))
}
