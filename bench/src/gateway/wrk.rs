//! `wrk`: every connection asks again as soon as it has its answer.

use super::http::Site;
use anyhow::{Context, Result, ensure};
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

const SECONDS: u64 = 2;
/// How often memory is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(200);

pub struct Times {
    pub median_us: f64,
    pub per_second: f64,
}

/// `meanwhile` is called a few times while the load is on.
pub fn run(site: &Site, folder: &Path, connections: usize, mut meanwhile: impl FnMut()) -> Result<Times> {
    let script = folder.join("wrk.lua");
    let headers: String =
        site.headers.iter().map(|(name, value)| format!("wrk.headers['{name}'] = '{value}'\n")).collect();
    let text = format!(
        "wrk.method = 'POST'\nwrk.body = [==[{}]==]\nwrk.headers['Content-Type'] = 'application/json'\n{headers}\
         done = function(summary, latency)\n  local e = summary.errors\n  io.write(string.format('figures %d %d %d %d\\n', \
         summary.requests, summary.duration, latency:percentile(50), e.connect + e.read + e.write + e.status + e.timeout))\nend\n",
        site.body()
    );
    fs::write(&script, text)?;
    let child = Command::new("wrk")
        .args(["--threads", "1", "--connections", &connections.to_string(), "--duration", &format!("{SECONDS}s")])
        .arg("--script")
        .arg(&script)
        .arg(format!("http://127.0.0.1:{}/v1/chat/completions", site.port))
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.context("wrk is missing (on Debian: apt-get install wrk)")?;
    while child.try_wait()?.is_none() {
        std::thread::sleep(LOOK);
        meanwhile();
    }
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().find_map(|line| line.strip_prefix("figures ")).with_context(|| said.to_string())?;
    let numbers: Vec<f64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let [requests, duration_us, median_us, errors] = numbers[..] else { anyhow::bail!("wrk said `{line}`") };
    ensure!(errors == 0.0, "{} answered {errors} of {requests} requests with an error", site.name);
    Ok(Times { median_us, per_second: requests / (duration_us / 1e6) })
}
