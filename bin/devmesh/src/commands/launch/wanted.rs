//! What each tool is told, in its own words. Every one of these was tried with the tool itself.

use super::{
    TOKEN_VARIABLE,
    edit::{json, toml, yaml},
    tool::Tool,
};
use serde_json::{Value, json};

/// What a tool's name for the mesh is, where it wants one.
const NAME: &str = "devmesh";

pub struct Target<'a> {
    /// Without a slash at its end.
    pub url: &'a str,
    pub model: &'a str,
    /// `None`: not known.
    pub context_tokens: Option<u64>,
    pub token: &'a str,
    /// RFC 3339.
    pub now: &'a str,
}

/// A tool's settings with ours in them and everything else as it was. `texts` are the settings as they would be without
/// devmesh, and as they are.
///
/// # Errors
/// Why the text cannot be edited.
pub fn edited(tool: Tool, texts: [&str; 2], target: &Target<'_>) -> Result<String, String> {
    let [original, before] = texts;
    match tool {
        Tool::Codex => codex(original, before, target),
        Tool::Claude => json::merged(before, &claude(original, target)?),
        Tool::Opencode => json::merged(before, &opencode(original, target)?),
        Tool::Aider => aider(before, target),
        Tool::Cline => cline(before, target),
        Tool::Continue => continue_(before, target),
        Tool::Qwen => qwen(before, target),
    }
}

/// What a tool is told of the context. Where that is not known, what an earlier launch said of another model goes, and what
/// the user said stays: a window too large is found out by a prompt that does not fit.
fn context(original: &Value, path: &[&str], told: Option<Value>) -> Value {
    let held = || path.iter().try_fold(original, |value, name| value.get(name)).cloned();
    told.or_else(held).unwrap_or_default()
}

fn codex(original: &str, before: &str, target: &Target<'_>) -> Result<String, String> {
    const WINDOW: &str = "model_context_window";
    let window = context(&toml::value(original)?, &[WINDOW], target.context_tokens.map(Value::from));
    let wanted = [
        (vec!["model"], json!(target.model)),
        (vec!["model_provider"], json!(NAME)),
        (vec!["model_providers", NAME, "name"], json!(NAME)),
        (vec!["model_providers", NAME, "base_url"], json!(format!("{}/v1", target.url))),
        (vec!["model_providers", NAME, "env_key"], json!(TOKEN_VARIABLE)),
        (vec!["model_providers", NAME, "wire_api"], json!("responses")),
        (vec![WINDOW], window),
    ];
    toml::with(before, &wanted)
}

/// A model of every size is the same one here; and nothing is said to anybody but the mesh.
fn claude(original: &str, target: &Target<'_>) -> Result<Value, String> {
    const WINDOW: &str = "CLAUDE_CODE_MAX_CONTEXT_TOKENS";
    let told = target.context_tokens.map(|tokens| json!(tokens.to_string()));
    let variables = json!({
        "ANTHROPIC_BASE_URL": target.url,
        "ANTHROPIC_MODEL": target.model,
        "ANTHROPIC_DEFAULT_OPUS_MODEL": target.model,
        "ANTHROPIC_DEFAULT_SONNET_MODEL": target.model,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": target.model,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        WINDOW: context(&json::value(original)?, &["env", WINDOW], told),
    });
    // With a helper it takes every refusal for an old token, and asks again and again without a word. The variable that
    // `Tool::token_variable` names is taken for what it is.
    Ok(json!({"model": target.model, "apiKeyHelper": Value::Null, "env": variables}))
}

fn opencode(original: &str, target: &Target<'_>) -> Result<Value, String> {
    let told = target.context_tokens.map(|tokens| json!({"context": tokens, "output": tokens / 4}));
    let path = ["provider", NAME, "models", target.model, "limit"];
    let model = json!({"name": target.model, "limit": context(&json::value(original)?, &path, told)});
    Ok(json!({
        "$schema": "https://opencode.ai/config.json",
        "model": format!("{NAME}/{}", target.model),
        "provider": {NAME: {
            "npm": "@ai-sdk/openai-compatible",
            "name": NAME,
            "options": {"baseURL": format!("{}/v1", target.url), "apiKey": format!("{{env:{TOKEN_VARIABLE}}}")},
            "models": {target.model: model},
        }},
    }))
}

fn aider(before: &str, target: &Target<'_>) -> Result<String, String> {
    yaml::with(
        before,
        &[
            ("model", &format!("openai/{}", target.model)),
            ("openai-api-base", &format!("{}/v1", target.url)),
            ("openai-api-key", target.token),
            // It knows no model but its own list's, and would open a web page about that.
            ("show-model-warnings", "false"),
        ],
    )
}

fn cline(before: &str, target: &Target<'_>) -> Result<String, String> {
    const PROVIDER: &str = "openai-compatible";
    // Without it the tool drops the whole file.
    let held = json::text_at(before, &["providers", PROVIDER, "updatedAt"])?;
    let updated_at = held.unwrap_or_else(|| target.now.to_owned());
    let settings = json!({
        "provider": PROVIDER, "apiKey": target.token, "model": target.model, "baseUrl": format!("{}/v1", target.url),
    });
    let provider = json!({"settings": settings, "updatedAt": updated_at, "tokenSource": "manual"});
    json::merged(
        before,
        &json!({"version": 1, "lastUsedProvider": PROVIDER, "modes": {}, "providers": {PROVIDER: provider}}),
    )
}

/// It takes the first model of the list.
fn continue_(before: &str, target: &Target<'_>) -> Result<String, String> {
    let beginning = if before.trim().is_empty() { "name: Local\nversion: 1.0.0\nschema: v1\n" } else { before };
    let secret = format!("${{{{ secrets.{TOKEN_VARIABLE} }}}}");
    let base = format!("{}/v1", target.url);
    let entry =
        [("name", NAME), ("provider", "openai"), ("model", target.model), ("apiBase", &base), ("apiKey", &secret)];
    yaml::with_entry(beginning, "models", &entry)
}

fn qwen(before: &str, target: &Target<'_>) -> Result<String, String> {
    let mut entry = json!({
        "id": target.model, "name": NAME, "baseUrl": format!("{}/v1", target.url), "envKey": TOKEN_VARIABLE,
    });
    if let Some(tokens) = target.context_tokens {
        entry["generationConfig"] = json!({"contextWindowSize": tokens});
    }
    let listed = json::with_entry(before, &["modelProviders", "openai"], "name", &entry)?;
    json::merged(&listed, &json!({"security": {"auth": {"selectedType": "openai"}}, "model": {"name": target.model}}))
}

#[cfg(test)]
mod tests;
