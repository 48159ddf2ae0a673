//! The threads inference runs on: a pool per model, as wide as asked for and no wider, gone with the model.

use crate::Error;
use std::thread::available_parallelism;

/// Past this many, threads of one answer wait for memory and for each other.
const MAX_THREADS: usize = 16;

pub(crate) fn pool(name: &'static str, threads: Option<usize>) -> Result<rayon::ThreadPool, Error> {
    if threads == Some(0) {
        return Err(Error::InvalidOption { field: "threads", value: "0".into(), rule: "it must be at least 1" });
    }
    // What the process may use: affinity and container limits are respected.
    let available = available_parallelism().map_or(1, usize::from);
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.unwrap_or(available).min(MAX_THREADS))
        .thread_name(move |index| format!("{name}-{index}"))
        .build()
        .map_err(|error| Error::Inference(format!("no threads: {error}")))
}
