//! `pip download`, watched.

use crate::Error;
use crate::bill::Part;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How often the growth of the download is looked at: a progress bar that moves, at no cost.
const LOOK: Duration = Duration::from_millis(100);
/// pip gives up a silent connection by itself after a few tries; one that hangs beyond this is ended.
const SILENCE: Duration = Duration::from_secs(600);
/// The end of what pip said, shown when it failed.
const OUTPUT_BYTES: u64 = 2_000;

pub(crate) struct Client {
    python: PathBuf,
    silence: Duration,
}

impl Default for Client {
    fn default() -> Client {
        Client { python: "python3".into(), silence: SILENCE }
    }
}

impl Client {
    #[cfg(test)]
    pub(crate) fn with_python(python: impl Into<PathBuf>, silence: Duration) -> Client {
        Client { python: python.into(), silence }
    }

    /// Downloads one package into a fresh folder below `work` and returns that folder. `grown` is told the bytes so far.
    pub(crate) fn download(&self, part: &Part, work: &Path, grown: &mut dyn FnMut(u64)) -> Result<PathBuf, Error> {
        let work = std::path::absolute(work).map_err(Error::io(work))?;
        let (package, temporary, log) = (work.join("package"), work.join("temporary"), work.join("output.txt"));
        for folder in [&package, &temporary] {
            fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        let output = fs::File::create(&log).map_err(Error::io(&log))?;
        let errors = output.try_clone().map_err(Error::io(&log))?;
        let mut command = Command::new(&self.python);
        command
            .args(["-m", "pip", "download", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"])
            // Archives only: building a source package would run its code.
            .args(["--no-deps", "--only-binary", ":all:", "--dest"])
            .arg(&package)
            .arg(format!("{}=={}", part.package, part.version))
            // Here pip writes while it downloads, so here one sees it grow.
            .env("TMPDIR", &temporary)
            // `-m` looks into the working folder first, and there a clone's own `pip.py` would be run.
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        let mut child = Running(command.spawn().map_err(|error| self.missing(&error.to_string()))?);
        let (mut largest, mut grew) = (0, Instant::now());
        let status = loop {
            if let Some(status) = child.0.try_wait().map_err(Error::io(&self.python))? {
                break status;
            }
            // The finished file is copied from one folder to the other: the larger counts, not the sum.
            let size = size_of(&temporary).max(size_of(&package));
            if size > largest {
                (largest, grew) = (size, Instant::now());
                grown(size);
            } else if grew.elapsed() > self.silence {
                let output = format!("nothing for {} s; it was ended. {}", self.silence.as_secs(), tail(&log));
                return Err(failed(part, "no progress", output));
            }
            std::thread::sleep(LOOK);
        };
        if status.success() {
            return Ok(package);
        }
        let output = tail(&log);
        if output.contains("No module named pip") {
            return Err(self.missing("it has no pip"));
        }
        Err(failed(part, &status.to_string(), output))
    }

    fn missing(&self, reason: &str) -> Error {
        Error::ClientMissing { command: self.python.display().to_string(), reason: reason.to_owned() }
    }
}

/// Ended when dropped, so that no error leaves a download running.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            // It may have ended by itself just now.
            let _ended = self.0.kill();
            let _reaped = self.0.wait();
        }
    }
}

fn failed(part: &Part, status: &str, output: String) -> Error {
    Error::DownloadFailed {
        package: part.package.clone(),
        version: part.version.clone(),
        status: status.to_owned(),
        output,
    }
}

/// Bytes in all files below a folder. What vanishes while one looks is not counted.
fn size_of(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(size).sum()
}

fn tail(log: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = fs::File::open(log)?;
        let start = file.metadata()?.len().saturating_sub(OUTPUT_BYTES);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(OUTPUT_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    // Each of its tries warns; what it says in the end is enough.
    let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("ERROR:")).collect();
    let said = if errors.is_empty() { text.into_owned() } else { errors.join(" ") };
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}
