//! A fixed number of requests a second, whatever the answers do.
//!
//! Each connection has its own times to send at. Is it still busy then, the wait counts: a slow answer cannot hide the
//! requests that it held up. That this program itself wakes a little late is not the other side's doing and does not count.

use super::http::{Site, answer, status};
use crate::summary::Latencies;
use anyhow::{Context, Result, ensure};
use std::{
    io::Write,
    time::{Duration, Instant},
};

pub const PER_SECOND: u32 = 3_000;
const CONNECTIONS: u32 = 32;
const SECONDS: u32 = 3;
/// Connections are made and first answers given before anything counts.
const WARM_UP: u32 = 20;

pub fn run(site: &Site) -> Result<Latencies> {
    let request = site.request(&site.body());
    let between = Duration::from_secs(1) / PER_SECOND;
    let start = Instant::now() + Duration::from_millis(200);
    let mut all = Latencies::default();
    std::thread::scope(|scope| {
        let connections: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                scope.spawn({
                    let request = &request;
                    move || connection(site, request, start + between * number, between * CONNECTIONS)
                })
            })
            .collect();
        for connection in connections {
            all.add(&connection.join().ok().context("a connection panicked")??);
        }
        anyhow::Ok(())
    })?;
    Ok(all)
}

fn connection(site: &Site, request: &[u8], start: Instant, between: Duration) -> Result<Latencies> {
    let (mut stream, mut buffer, mut times) = (site.connect()?, Vec::new(), Latencies::default());
    for number in 0..PER_SECOND * SECONDS / CONNECTIONS {
        let due = start + between * number;
        let now = Instant::now();
        let since = if now < due {
            std::thread::sleep(due - now);
            Instant::now()
        } else {
            due
        };
        stream.write_all(request)?;
        answer(&mut stream, &mut buffer)?;
        let taken = since.elapsed();
        ensure!(status(&buffer) == Some(200), "{} answered {:?}", site.name, status(&buffer));
        if number >= WARM_UP {
            times.record(taken);
        }
    }
    Ok(times)
}
