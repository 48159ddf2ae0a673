//! llama.cpp in a process of its own, through the binding that `cargo xtask bench engine` builds.

use super::Round;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

pub struct LlamaCpp {
    process: Child,
    asked: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl LlamaCpp {
    pub fn start(model: &Path, threads: usize) -> Result<Self> {
        let program = super::cache_folder()?.join("tools/llama-cpp/bin/python");
        ensure!(program.exists(), "{} is not there: `cargo xtask bench engine` builds it", program.display());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/llama_cpp.py");
        let mut process = Command::new(program)
            .arg(script)
            .arg(model)
            .arg(threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let asked = process.stdin.take().context("no standard input")?;
        let said = BufReader::new(process.stdout.take().context("no standard output")?);
        let mut peer = Self { process, asked, said };
        peer.line().context("it does not load the model")?;
        Ok(peer)
    }

    pub fn round(&mut self, prompt: &str, write: usize) -> Result<Round> {
        writeln!(self.asked, "{}", json!({"prompt": prompt, "write": write}))?;
        let said = self.line()?;
        let rate = |tokens: &str, seconds: &str| -> Result<f64> {
            let number = |name: &str| said[name].as_f64().with_context(|| format!("it does not say {name}: {said}"));
            Ok(number(tokens)? / number(seconds)?)
        };
        Ok(Round { read_per_s: rate("read_tokens", "read_s")?, written_per_s: rate("written_tokens", "write_s")? })
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        ensure!(!line.is_empty(), "it ended");
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for LlamaCpp {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
