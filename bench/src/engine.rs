//! The embedded engine beside llama.cpp: the same files, the same prompts, in one run, in turns.
//!
//! Of every model: tokens read and written per second, each a median of several rounds with its spread; then what only
//! shows with more than one request: the second turn of a conversation, and two answers at once.

mod llama_cpp;
mod prompt;

use crate::summary::{Rounds, print};
use anyhow::{Context, Result};
use embedded_model::{
    Engine, Message, Options, Output, Reader, Request, Role, Sampling,
    bill::{self, Kind},
};
use llama_cpp::LlamaCpp;
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

const ROUNDS: usize = 5;
/// Tokens written a round: enough that the first one's scores do not show.
const WRITE: usize = 64;
const CONTEXT_TOKENS: usize = 4096;
const LLAMA_CPP: &str = "llama.cpp";

/// Of one contestant with one model.
#[derive(Default)]
struct Figures {
    read: Rounds,
    written: Rounds,
}

/// What one round took.
struct Round {
    read_per_s: f64,
    written_per_s: f64,
}

/// `files`: models beside those of the bill that are on this machine.
pub fn run(files: &[PathBuf]) -> Result<()> {
    let cache = cache_folder()?;
    let mut models = Vec::new();
    for entry in bill::entries().iter().filter(|entry| entry.role == bill::Role::Chat) {
        match entry.file(Kind::Weights).filter(|file| file.is_cached(&cache)) {
            Some(file) => models.push((entry.name.clone(), file.path(&cache))),
            None => println!("  skipped: {0}: not on this machine (devmesh models pull {0})", entry.name),
        }
    }
    for file in files {
        let name = file.file_stem().context("--model wants a GGUF file")?.to_string_lossy().into_owned();
        models.push((name, file.clone()));
    }
    models.iter().try_for_each(|(name, path)| model(name, path))
}

fn model(name: &str, path: &Path) -> Result<()> {
    println!("  {name}");
    let options = Options { context_tokens: CONTEXT_TOKENS, ..Options::default() };
    let started = Instant::now();
    let mut engine = Engine::load(path, &options)?;
    print("loading", &format!("{:.2} s", started.elapsed().as_secs_f64()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut peer = LlamaCpp::start(path, threads);
    if let Err(why) = &peer {
        println!("  skipped: {LLAMA_CPP}: {why:#}");
    }
    let (mut ours, mut theirs) = (Figures::default(), Figures::default());
    for round in 0..ROUNDS {
        // Each with a beginning of its own, so that nobody remembers it.
        let text = prompt::text(round);
        ours.add(own(&mut engine, &text)?);
        if let Ok(peer) = &mut peer {
            theirs.add(peer.round(&text, WRITE)?);
        }
    }
    let there = peer.is_ok();
    tell("reading, tokens/s", &ours.read, there.then_some(&theirs.read));
    tell("writing, tokens/s", &ours.written, there.then_some(&theirs.written));
    second_turn(&mut engine)?;
    two_at_once(&mut engine, &ours)?;
    Ok(())
}

impl Figures {
    fn add(&mut self, round: Round) {
        self.read.0.push(round.read_per_s);
        self.written.0.push(round.written_per_s);
    }
}

fn tell(what: &str, ours: &Rounds, theirs: Option<&Rounds>) {
    print(what, &ours.line("tokens/s"));
    if let Some(theirs) = theirs {
        print(&format!("  {LLAMA_CPP}"), &theirs.line("tokens/s"));
        print("  devmesh / llama.cpp, medians", &format!("{:.2}", ours.median() / theirs.median()));
    }
}

fn request(messages: Vec<Message>, write: usize) -> Request {
    Request {
        messages,
        sampling: Sampling { temperature: 0., repeat_penalty: 1., ..Sampling::default() },
        max_output_tokens: Some(write),
        ..Request::default()
    }
}

fn answer(engine: &mut Engine, request: &Request) -> Result<Output> {
    Ok(engine.generate(request, &|| false, &mut |_| {})?)
}

fn own(engine: &mut Engine, text: &str) -> Result<Round> {
    let output = answer(engine, &request(vec![Message::new(Role::User, text)], WRITE + 1))?;
    let usage = output.usage;
    let first = usage.first_token_ms.context("no token came")?;
    Ok(Round {
        read_per_s: (usage.input_tokens - usage.reused_tokens) as f64 / (first as f64 / 1e3),
        written_per_s: usage.output_tokens.saturating_sub(1) as f64 / ((usage.total_ms - first) as f64 / 1e3),
    })
}

fn second_turn(engine: &mut Engine) -> Result<()> {
    let mut messages = vec![Message::new(Role::User, prompt::text(ROUNDS))];
    let first = answer(engine, &request(messages.clone(), WRITE))?;
    messages.push(Message::new(Role::Assistant, &first.text));
    messages.push(Message::new(Role::User, "Go on."));
    let second = answer(engine, &request(messages, 1))?;
    let shown = |output: &Output| {
        let read = output.usage.input_tokens - output.usage.reused_tokens;
        format!("{read} tokens in {} ms", output.usage.first_token_ms.unwrap_or_default())
    };
    print("a conversation's first turn reads", &shown(&first));
    print("its second turn reads", &shown(&second));
    Ok(())
}

/// Two different prompts, read in turns and written together.
fn two_at_once(engine: &mut Engine, alone: &Figures) -> Result<()> {
    let mut rates = Rounds::default();
    for round in 0..ROUNDS {
        for half in 0..2 {
            let short = prompt::short(round * 2 + half);
            engine.begin(&request(vec![Message::new(Role::User, short)], WRITE))?;
        }
        let (mut written, mut first, mut under_way) = (0, None, 2);
        while under_way > 0 {
            for progress in engine.step(&|_| Reader::Ready) {
                first.get_or_insert_with(Instant::now);
                if let Some(output) = progress.output {
                    written += output?.usage.output_tokens;
                    under_way -= 1;
                }
            }
        }
        let seconds = first.map_or(0., |first| first.elapsed().as_secs_f64());
        rates.0.push(written as f64 / seconds);
    }
    print("two answers at once, tokens/s together", &rates.line("tokens/s"));
    print("  as many times one alone", &format!("{:.2}", rates.median() / alone.written.median()));
    Ok(())
}

/// The program's own, where models are fetched to.
#[expect(clippy::disallowed_methods, reason = "the benchmark shares the user's cache, so that a model is fetched once")]
fn cache_folder() -> Result<PathBuf> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    Ok(cache.context("neither XDG_CACHE_HOME nor HOME is set: there is no folder for models")?.join("devmesh"))
}
