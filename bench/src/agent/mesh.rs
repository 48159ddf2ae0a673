//! The gateway that all tools speak to: a mesh with one agent, on a folder of its own.

use super::{environment, options::Options, record::Tokens};
use crate::server::Server;
use anyhow::{Context, Result, ensure};
use client::Client;
use domain::{JobId, PrincipalId, Scope, TokenId};
use protocol::{CreateToken, Egress, ListModelCalls, ModelCallState};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// After a caller is gone its answer is given up within a second; a busy machine takes longer.
const CALLS_END: Duration = Duration::from_secs(60);
/// Calls of one page of the books, the most that can be asked for.
const PAGE: u32 = 200;

pub struct Mesh {
    server: Server,
    admin: Client,
    pub program: PathBuf,
    /// As the gateway names the model.
    pub model: String,
    /// What the model holds.
    pub context_tokens: u64,
    /// Where the runs' folders lie: jobs may be about what is in it.
    pub runs: PathBuf,
}

/// What one run speaks to the gateway with.
pub struct Key {
    pub id: TokenId,
    principal: PrincipalId,
    pub secret: String,
}

impl Mesh {
    pub async fn start(options: &Options, folder: &Path) -> Result<Self> {
        let (program, data, runs) = (super::program(options)?, folder.join("data"), folder.join("runs"));
        for folder in [&data, &runs] {
            fs::create_dir_all(folder)?;
        }
        if let Some(file) = options.model_file() {
            register(&program, &data, &file)?;
        }
        let text = |path: &Path| path.to_str().map(str::to_owned).context("a folder's name that is not UTF-8");
        let mut variables = vec![
            ("DEVMESH_AGENTS__ROOTS".to_owned(), text(&runs)?),
            // The model stays loaded while a slow compiler runs tests.
            ("DEVMESH_EMBEDDED__IDLE_S".to_owned(), "86400".to_owned()),
            // A long prompt on a slow machine is no failure: the run's own time ends it, for every tool alike.
            ("DEVMESH_TIMEOUTS__EMBEDDED__FIRST_TOKEN_MS".to_owned(), (options.seconds * 1_000).to_string()),
            ("DEVMESH_TIMEOUTS__OLLAMA__FIRST_TOKEN_MS".to_owned(), (options.seconds * 1_000).to_string()),
        ];
        for (name, value) in environment::of_this_machine() {
            variables.push((name.to_owned(), value.into_string().unwrap_or_default()));
        }
        if options.model_file().is_none() {
            variables.push(("OLLAMA_BASE_URL".to_owned(), options.ollama.clone()));
        }
        let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let log = options.out.join("mesh.log");
        let server = Server::start_as(&program, &["up", "--agents", "1"], &data, &variables, Some(&log)).await?;
        let (admin, model) = (server.client()?, options.model_id());
        let listed = admin.models(Egress::LocalOnly).await?.models;
        ensure!(
            listed.iter().any(|known| known.id == model),
            "the mesh has no model `{model}` but {}",
            listed.iter().map(|known| known.id.as_str()).collect::<Vec<_>>().join(", ")
        );
        let context_tokens = admin.context_tokens(&model).await?;
        let context_tokens = context_tokens.with_context(|| format!("nobody knows how much {model} holds"))?;
        let mesh = Self { server, admin, program, model, context_tokens, runs };
        mesh.load().await?;
        Ok(mesh)
    }

    pub fn url(&self) -> &str {
        &self.server.url
    }

    pub fn admin_token(&self) -> Result<String> {
        self.server.admin_token()
    }

    /// What tools of others speak to.
    pub fn openai_url(&self) -> String {
        format!("{}/v1", self.server.url)
    }

    /// One word, so that the first tool does not wait for the model to be read from the disk.
    async fn load(&self) -> Result<()> {
        let refused = self.refusal(json!({})).await?;
        ensure!(refused.is_none(), "{} does not answer: {}", self.model, refused.unwrap_or_default());
        Ok(())
    }

    /// Why the model takes no tools of a caller's, where it does not: a tool that has no other way cannot work with it.
    pub async fn refuses_tools(&self) -> Result<Option<String>> {
        let function = json!({"name": "look", "parameters": {"type": "object", "properties": {}}});
        self.refusal(json!({"tools": [{"type": "function", "function": function}]})).await
    }

    /// What the gateway says to a call for one word with these fields, where that is no.
    async fn refusal(&self, more: Value) -> Result<Option<String>> {
        let key = self.key("bench", Scope::Model).await?;
        let mut body =
            json!({"model": self.model, "max_tokens": 1, "messages": [{"role": "user", "content": "Say yes."}]});
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let url = format!("{}/chat/completions", self.openai_url());
        let request = reqwest::Client::builder().no_proxy().build()?.post(url).bearer_auth(&key.secret);
        let answer = request.json(&body).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        self.end(key).await?;
        if status.is_success() {
            return Ok(None);
        }
        let said: Value = serde_json::from_str(&text).unwrap_or_default();
        Ok(Some(said["error"]["message"].as_str().map_or_else(|| format!("{status}: {text}"), str::to_owned)))
    }

    pub async fn key(&self, name: &str, scope: Scope) -> Result<Key> {
        // Names of tokens have at most 64 characters.
        let name: String = name.chars().take(64).collect();
        let made = self.admin.create_token(&CreateToken::new(name, scope)).await?;
        Ok(Key { id: made.token.id, principal: made.token.principal, secret: made.secret })
    }

    /// What a run's calls came to, once none is running any more and all stand in the books.
    pub async fn spent(&self, key: &Key, job: Option<JobId>) -> Result<Tokens> {
        let started = Instant::now();
        loop {
            let account = self.admin.key_account(key.id).await?;
            let (tokens, is_running) = self.counted(key, job).await?;
            let is_over = !is_running && account.running_requests == 0 && tokens.model_calls >= account.total.requests;
            if is_over || started.elapsed() >= CALLS_END {
                return Ok(tokens);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The calls that stand in the books, and whether one of them is running.
    async fn counted(&self, key: &Key, job: Option<JobId>) -> Result<(Tokens, bool)> {
        let (mut tokens, mut is_running) = (Tokens::default(), false);
        let mut list = ListModelCalls { job_id: job, limit: Some(PAGE), ..ListModelCalls::default() };
        loop {
            let page = self.admin.model_calls(&list).await?;
            for call in page.model_calls.iter().filter(|call| job.is_some() || call.caller == key.principal) {
                is_running |= call.state == ModelCallState::Running;
                let counted = call.tokens.unwrap_or_default();
                tokens.model_calls += 1;
                tokens.tokens_in += counted.input;
                tokens.tokens_out += counted.output;
            }
            list.cursor = page.next_cursor;
            if list.cursor.is_none() {
                return Ok((tokens, is_running));
            }
        }
    }

    /// The run is over, and so is its token.
    pub async fn end(&self, key: Key) -> Result<()> {
        Ok(self.admin.delete_token(key.id).await?)
    }
}

/// The file stays where it is; its name in the mesh is the one that it has.
fn register(program: &Path, data: &Path, file: &Path) -> Result<()> {
    let mut command = Command::new(program);
    let said =
        command.env_clear().env("HOME", data).args(["models", "add"]).arg(file).arg("--data").arg(data).output()?;
    ensure!(said.status.success(), "devmesh models add: {}", String::from_utf8_lossy(&said.stderr).trim());
    Ok(())
}
