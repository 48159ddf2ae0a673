//! Work of the agent's own that is done where commands run: nothing that a command left behind, or that a repository
//! holds, is looked at with more rights than the command had.
//!
//! The confined process is a fork of the guard that becomes no other program: it carries out one task of
//! [`crate::helper`] and prints the answer.

use super::{
    Ending, Error, Limits, Owner, Sandbox, platform,
    policy::{Files, Namespaces, Policy, Program},
    run,
};
use protocol::OutputStream;
use std::{path::PathBuf, time::Duration};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Most memory a helper and the git it starts take together, in bytes: 4 GiB. A process of it has half of that.
const MEMORY_BYTES: u64 = 4 << 30;
/// Processes and threads that may count towards a helper's limit: commands of other jobs run as the same user.
const PROCESSES: u64 = 16_384;
/// Pieces of an answer on their way, of at most 64 KiB each.
const PIECES: usize = 16;
/// How much is kept of what goes wrong in words, in bytes.
const COMPLAINT_BYTES: usize = 4 << 10;

/// One task for a helper.
pub(crate) struct Errand {
    /// What [`crate::helper::carry_out`] reads.
    pub task: String,
    /// Folders it may change. They belong to [`Sandbox::owner`].
    pub writable: Vec<PathBuf>,
    /// Folders and files it may read besides the system's own programs.
    pub readable: Vec<PathBuf>,
    /// An empty folder, as in [`super::Place`].
    pub root: PathBuf,
    /// Read also what its user could not.
    pub reads_all: bool,
    /// Let it use this machine's network.
    pub network: bool,
    pub timeout: Duration,
    /// Longest answer in bytes.
    pub answer_bytes: usize,
}

/// How an errand ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    Answered(Vec<u8>),
    /// The answer grew past its limit.
    TooLong,
    TimedOut,
    Cancelled,
    /// It broke down: killed for want of memory, or a bug. In its own words where it had any.
    Died(String),
}

impl Sandbox {
    /// Sends a helper. `cancel`, the time limit and dropping this future end it and all it started.
    pub(crate) async fn send(&self, errand: Errand, cancel: CancellationToken) -> Result<Outcome, Error> {
        let policy = self.errand_policy(&errand)?;
        let (pieces, mut printed) = mpsc::channel::<super::Output>(PIECES);
        let (mut answer, mut complaint) = (Vec::new(), Vec::new());
        let mut is_too_long = false;
        let over = cancel.child_token();
        let listen = async {
            while let Some(piece) = printed.recv().await {
                match piece.stream {
                    OutputStream::Stdout if answer.len() + piece.bytes.len() > errand.answer_bytes => {
                        is_too_long = true;
                        over.cancel();
                    }
                    OutputStream::Stdout => answer.extend(piece.bytes),
                    OutputStream::Stderr => {
                        let room = COMPLAINT_BYTES.saturating_sub(complaint.len());
                        complaint.extend(piece.bytes.into_iter().take(room));
                    }
                }
            }
        };
        let running = run::start(&self.options.executable, &policy, pieces, over.clone());
        let (finished, ()) = tokio::join!(running, listen);
        let finished = finished?.0.map_err(|failure| Error::Setup { message: failure.message })?;
        Ok(match finished.ending {
            _ if is_too_long => Outcome::TooLong,
            Ending::Exited(0) => Outcome::Answered(answer),
            Ending::TimedOut => Outcome::TimedOut,
            Ending::Cancelled => Outcome::Cancelled,
            ending => {
                let words = String::from_utf8_lossy(&complaint).trim().to_owned();
                Outcome::Died(if words.is_empty() { format!("it ended with {ending:?}") } else { words })
            }
        })
    }

    fn errand_policy(&self, errand: &Errand) -> Result<Policy, Error> {
        let reads_all = errand.reads_all && self.layers.identity;
        let mut layers = self.layers;
        // In a user namespace the right to read what belongs to others is worth nothing. Landlock bounds it as well.
        if reads_all && layers.namespaces == Namespaces::Unprivileged && layers.landlock {
            layers = layers.without_namespaces();
        }
        layers.network &= !errand.network;
        layers.accounting &= !reads_all;
        let texts = |paths: &[PathBuf]| paths.iter().map(|path| run::text(path)).collect::<Result<Vec<_>, _>>();
        let readable = texts(&errand.readable)?;
        let links = errand.readable.iter().flat_map(|path| platform::links_along(path)).collect::<Vec<_>>();
        let writable = texts(&errand.writable)?;
        let files = Files {
            links: self.toolchain.links.iter().cloned().chain(texts(&links)?).collect(),
            readable: self.toolchain.readable.iter().cloned().chain(readable).collect(),
            // It makes no files but in its own folders.
            temporary: String::new(),
            writable,
            root: run::text(&errand.root)?,
        };
        Ok(Policy {
            layers,
            limits: Limits {
                // It starts few; what counts towards the same limit are commands that may start many at any time.
                processes: PROCESSES,
                memory_bytes: self.options.limits.memory_bytes.min(MEMORY_BYTES),
                ..self.options.limits
            },
            other_processes: self.other_processes(layers),
            control_group: self.control_group(layers)?,
            identity: Owner::NOBODY,
            program: Program::Helper { task: errand.task.clone(), reads_all, network: errand.network },
            folder: "/".to_owned(),
            timeout_ms: u64::try_from(errand.timeout.as_millis()).unwrap_or(u64::MAX),
            environment: Vec::new(),
            files,
            home_links: Vec::new(),
            verify: None,
        })
    }
}
