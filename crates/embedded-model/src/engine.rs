//! A chat model in memory.

mod answer;
mod sequences;
mod text;
mod turns;

pub use answer::{Finish, Output, Request, Usage};
pub use turns::{AnswerId, Progress, Reader};

use crate::chat::Chat;
use crate::decoder::{Config, Decoder};
use crate::format::Formats;
use crate::gguf::Gguf;
use crate::memory::ReturnedOnDrop;
use crate::tokenizer::Tokenizer;
use crate::{Error, threads};
use sequences::Kept;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use turns::UnderWay;

#[derive(Clone, Debug)]
pub struct Options {
    /// Most tokens of prompt and answer together. The cache for them costs memory ([`Info::memory_bytes`]), so a model
    /// made for more is held to this: 8,192 by default, a long prompt and a long answer.
    pub context_tokens: usize,
    /// Contexts in memory at once, for answers under way and for what is kept of earlier ones: 2 by default, an agent's
    /// conversation and whatever comes in between.
    pub contexts: usize,
    /// Most threads; the cores this process may use when `None`, never more than 16 (more only fight for memory).
    pub threads: Option<usize>,
    /// The chat template (Jinja) where the file has none, such as
    /// [`StoredModel::chat_template`](crate::ollama_store::StoredModel::chat_template). Without any, the model is taken
    /// for a base model.
    pub fallback_chat_template: Option<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options { context_tokens: 8192, contexts: 2, threads: None, fallback_chat_template: None }
    }
}

/// What a loaded model is.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    pub name: String,
    pub architecture: String,
    pub parameters: u64,
    pub quantization: String,
    /// Tokens of prompt and answer together.
    pub context_tokens: usize,
    /// What the model was made for; the engine holds it to `context_tokens`.
    pub trained_context_tokens: usize,
    pub size_bytes: u64,
    /// The weights and the cache of all contexts when they are full.
    pub memory_bytes: u64,
    /// Where the file's name tells it (fetched models, Ollama's blobs).
    pub sha256: Option<String>,
    /// What a reader of the answers should know about the model.
    pub notice: Option<String>,
    /// A base model has none: it continues a transcript.
    pub has_chat_template: bool,
}

/// A loaded chat model. Dropping it frees all its memory and ends its threads.
pub struct Engine {
    info: Info,
    tokenizer: Tokenizer,
    chat: Chat,
    decoder: Decoder,
    pool: rayon::ThreadPool,
    formats: OnceLock<Formats>,
    kept: Kept,
    under_way: Vec<UnderWay>,
    /// Of all sequences together.
    most_tokens: usize,
    /// Answers begun, each one's name.
    begun: u64,
    /// Whose prompt was read last.
    turn: AnswerId,
    /// Until the first answer has reported it.
    load_time: Option<Duration>,
    _memory: ReturnedOnDrop,
}

impl Engine {
    /// Reads a GGUF file of a supported architecture into memory.
    pub fn load(path: &Path, options: &Options) -> Result<Engine, Error> {
        for (field, value) in [("context_tokens", options.context_tokens), ("contexts", options.contexts)] {
            if value == 0 {
                return Err(Error::InvalidOption { field, value: "0".into(), rule: "it must be at least 1" });
            }
        }
        let started = Instant::now();
        let mut gguf = Gguf::open(path)?;
        let config = Config::read(&gguf)?;
        let pool = threads::pool("model", options.threads)?;
        let tokenizer = Tokenizer::load(&gguf)?;
        let template = gguf.text("tokenizer.chat_template").or(options.fallback_chat_template.as_deref());
        let chat = Chat::new(template, &tokenizer)?;
        let info = info(&gguf, &config, options, chat.has_template());
        let most_tokens = info.context_tokens.saturating_mul(options.contexts);
        // On the pool's threads: weights are laid out anew for this CPU.
        let decoder = pool.install(|| Decoder::load(&mut gguf, config))?;
        if tokenizer.len() > decoder.vocabulary() {
            let (tokens, scores) = (tokenizer.len(), decoder.vocabulary());
            return Err(gguf.corrupt(format!("{tokens} tokens but embeddings for {scores}")));
        }
        Ok(Engine {
            info,
            tokenizer,
            chat,
            decoder,
            pool,
            formats: OnceLock::new(),
            kept: Kept::new(most_tokens),
            under_way: Vec::new(),
            most_tokens,
            begun: 0,
            turn: AnswerId::default(),
            load_time: Some(started.elapsed()),
            _memory: ReturnedOnDrop,
        })
    }

    /// What a file holds, from its header alone: nothing is loaded. An architecture the engine cannot run is an error.
    pub fn inspect(path: &Path, options: &Options) -> Result<Info, Error> {
        let gguf = Gguf::open(path)?;
        let config = Config::read(&gguf)?;
        Ok(info(&gguf, &config, options, gguf.text("tokenizer.chat_template").is_some()))
    }

    pub fn info(&self) -> &Info {
        &self.info
    }

    /// The tokens `text` becomes in this model's vocabulary. Control tokens it spells stay text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        self.tokenizer.encode(text)
    }
}

/// Programs keep an engine on a thread of its own.
const _: () = {
    const fn can_be_sent<T: Send>() {}
    can_be_sent::<Engine>();
};

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("info", &self.info).finish_non_exhaustive()
    }
}

fn info(gguf: &Gguf, config: &Config, options: &Options, has_chat_template: bool) -> Info {
    let stem = gguf.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let digest = stem.strip_prefix("sha256-").unwrap_or(&stem);
    let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parameters = gguf.parameters();
    let context_tokens = options.context_tokens.min(config.context);
    Info {
        name: gguf.text("general.name").map_or_else(|| stem.clone(), str::to_owned),
        architecture: gguf.text("general.architecture").unwrap_or_default().to_owned(),
        parameters,
        quantization: gguf.quantization(),
        context_tokens,
        trained_context_tokens: config.context,
        size_bytes: gguf.size_bytes(),
        memory_bytes: config
            .cache_bytes_per_token()
            .saturating_mul(context_tokens.saturating_mul(options.contexts) as u64)
            .saturating_add(gguf.size_bytes()),
        sha256: is_digest.then(|| digest.to_owned()),
        notice: notice(parameters, has_chat_template),
        has_chat_template,
    }
}

/// Below this many parameters a model writes fluent text and little sense.
const SMOKE_TEST_PARAMETERS: u64 = 500_000_000;

fn notice(parameters: u64, has_chat_template: bool) -> Option<String> {
    let mut notices = Vec::new();
    if parameters < SMOKE_TEST_PARAMETERS {
        let millions = parameters / 1_000_000;
        notices.push(format!("a smoke-test model ({millions} M parameters): it shows that everything works, its answers are not for real work"));
    }
    if !has_chat_template {
        notices
            .push("a base model without a chat template: it continues a transcript and follows no instructions".into());
    }
    (!notices.is_empty()).then(|| notices.join("; "))
}
