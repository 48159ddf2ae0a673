//! What can answer.

use super::Finding;
use crate::{commands::models::pull::SMALLEST, context::Context, output::bytes, wiring::Catalogue};
use embedded_model::{Engine, Finish, Message, Request, Role, bill};
use router::providers::ollama;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(3);

pub async fn check(context: &Context, deep: bool) -> Vec<Finding> {
    const CHECK: &str = "embedded model";
    let settings = &context.config.settings;
    if !settings.embedded.enabled {
        return vec![Finding::careful(CHECK, "switched off", "remove embedded.enabled = false")];
    }
    let catalogue = Catalogue::new(settings);
    let listing = catalogue.clone();
    let Ok(entries) = tokio::task::spawn_blocking(move || listing.models()).await else {
        return vec![Finding::bad(CHECK, "the list of models broke down", "report this as a bug")];
    };
    let ready: Vec<_> = entries.iter().filter(|entry| entry.model.available).collect();
    let Some(first) = ready.first() else {
        return vec![Finding::careful(CHECK, "none on this disk", "devmesh models pull")];
    };
    let names: Vec<_> = ready.iter().map(|entry| entry.model.id.as_str()).collect();
    let mut findings = vec![Finding::good(CHECK, names.join(", "))];
    if let Ok(entry) = bill::entry(SMALLEST)
        && entry.is_cached(catalogue.cache())
        && deep
    {
        let cache = catalogue.cache().to_owned();
        let verified = tokio::task::spawn_blocking(move || embedded_model::fetch::verify(entry, &cache)).await;
        findings.push(match verified {
            Ok(Ok(())) => Finding::good("model digest", format!("{SMALLEST} is what the bill of materials says")),
            Ok(Err(error)) => {
                Finding::bad("model digest", error.to_string(), format!("devmesh models pull {SMALLEST}"))
            }
            Err(error) => Finding::bad("model digest", error.to_string(), "report this as a bug"),
        });
    }
    if deep && let Some(path) = first.path.clone() {
        let (options, id) = (catalogue.options().clone(), first.model.id.clone());
        let answered = tokio::task::spawn_blocking(move || one_token(&path, &options)).await;
        findings.push(match answered {
            Ok(Ok(evidence)) => Finding::good("completion", format!("{id} {evidence}")),
            Ok(Err(error)) => {
                Finding::bad("completion", format!("{id}: {error}"), "devmesh models list --here, and take another one")
            }
            Err(error) => Finding::bad("completion", format!("{id}: {error}"), "report this as a bug"),
        });
    }
    findings
}

/// A real answer, as short as one can be.
fn one_token(path: &std::path::Path, options: &embedded_model::Options) -> Result<String, embedded_model::Error> {
    let started = Instant::now();
    let mut engine = Engine::load(path, options)?;
    let loaded = started.elapsed();
    let request = Request {
        messages: vec![Message::new(Role::User, "Say yes.")],
        max_output_tokens: Some(1),
        ..Request::default()
    };
    let answer = engine.generate(&request, &|| false, &mut |_| {})?;
    let memory = bytes(engine.info().memory_bytes);
    let ended = if answer.finish == Finish::Cancelled { "was cancelled" } else { "answered" };
    Ok(format!(
        "{ended} `{}`; loaded in {} ms, {} ms in all, {memory}",
        answer.text.trim(),
        loaded.as_millis(),
        started.elapsed().as_millis()
    ))
}

pub async fn ollama(context: &Context) -> Finding {
    const CHECK: &str = "ollama";
    let Some(settings) = &context.config.settings.ollama else {
        return Finding::good(CHECK, "switched off");
    };
    if !settings.is_local {
        return Finding::good(CHECK, format!("in the cloud at {}: configured, not asked", settings.base_url));
    }
    let options = ollama::Options { base_url: settings.base_url.clone(), ..ollama::Options::default() };
    let listed = match ollama::Ollama::new(options) {
        Ok(provider) => tokio::time::timeout(PATIENCE, router::Provider::models(&provider)).await,
        Err(error) => return Finding::bad(CHECK, error.to_string(), "devmesh config explain ollama.base_url"),
    };
    match listed {
        Ok(Ok(models)) if models.is_empty() => Finding::careful(
            CHECK,
            format!("answers at {} and has no model that chats", settings.base_url),
            "ollama pull qwen3:8b",
        ),
        Ok(Ok(models)) => Finding::good(
            CHECK,
            format!(
                "{} models at {}: {}",
                models.len(),
                settings.base_url,
                models.iter().take(5).map(|model| model.name.as_str()).collect::<Vec<_>>().join(", ")
            ),
        ),
        // Nobody needs an Ollama.
        Ok(Err(error)) => {
            Finding::careful(CHECK, error.to_string(), "ollama serve, if you have it; the embedded model works without")
        }
        Err(_) => Finding::careful(
            CHECK,
            format!("{} does not answer within {} s", settings.base_url, PATIENCE.as_secs()),
            "restart Ollama",
        ),
    }
}

/// What is known of providers in the cloud without asking them: nobody allowed a request to leave.
pub fn cloud(context: &Context) -> Option<Finding> {
    let cloud = context.config.settings.providers.iter().filter(|provider| !provider.is_local);
    let told: Vec<_> = cloud.map(|provider| format!("{} at {}", provider.name, provider.base_url)).collect();
    (!told.is_empty()).then(|| Finding::good("cloud", format!("{}: configured, not asked", told.join(", "))))
}
