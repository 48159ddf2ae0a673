//! `devmesh serve`: a backend and nothing else.

use crate::{
    config::Flags,
    context::Context,
    output::{Exit, Result},
    wiring::{Backend, Signals, listen, start_logging},
};
use std::net::IpAddr;

#[derive(Debug, clap::Args)]
#[group(id = "listening")]
#[command(after_help = "Agents elsewhere work for it with tokens of scope `agent`; `devmesh up` starts both.")]
pub struct Arguments {
    /// TCP port; 0 takes a free one
    #[arg(long)]
    pub(super) port: Option<u16>,
    /// Address to listen on
    #[arg(long)]
    pub(super) address: Option<IpAddr>,
}

impl Arguments {
    pub fn flags(&self) -> Flags {
        let port = self.port.map(|port| ("server.port".to_owned(), port.to_string(), "--port".to_owned()));
        let address =
            self.address.map(|address| ("server.address".to_owned(), address.to_string(), "--address".to_owned()));
        port.into_iter().chain(address).collect()
    }
}

pub async fn run(_: Arguments, context: &Context) -> Result<Exit> {
    let settings = &context.config.settings;
    start_logging(settings, None)?;
    let mut signals = Signals::catch()?;
    let listener = listen(settings).await?;
    let mut backend = Backend::start(settings, listener).await?;
    announce(context, &backend, 0)?;
    let failure = tokio::select! {
        () = signals.next() => None,
        failure = backend.broken() => Some(failure),
    };
    context.output.say("stopping");
    backend.stop().await;
    failure.map_or(Ok(Exit::Done), Err)
}

/// Where it is and how to get in.
pub(super) fn announce(context: &Context, backend: &Backend, agents: usize) -> Result<()> {
    let settings = &context.config.settings;
    let output = &context.output;
    let token_file = settings.admin_token_file();
    if output.json {
        return output.json(&serde_json::json!({
            "url": backend.url, "data": settings.data, "token_file": token_file, "first_start": backend.first_token.is_some(), "agents": agents,
        }));
    }
    output.say(format_args!("backend   {}", backend.url));
    output.say(format_args!("tools     OpenAI base URL {0}/v1, Anthropic {0}, Ollama {0}/ollama", backend.url));
    output.say(format_args!("data      {}", settings.data.display()));
    tell_token(context, backend);
    if agents > 0 {
        output.say(format_args!("agents    {agents}"));
    }
    for name in &settings.unused {
        output.say(format_args!("note      {name} is set, and this version does not use it"));
    }
    Ok(())
}

/// The first token itself only to a terminal: what is written into a file or sent to a log service stays there.
pub(super) fn tell_token(context: &Context, backend: &Backend) {
    let output = &context.output;
    let path = context.config.settings.admin_token_file();
    let file = path.display();
    match &backend.first_token {
        Some(token) if output.stderr_is_terminal => {
            output.say(format_args!("token     {token}\n          shown this once, kept in {file}"));
        }
        _ if path.exists() => output.say(format_args!("token     in {file}")),
        _ => output
            .say(format_args!("token     {file} is not there; if it is lost, stop this and run devmesh token reset")),
    }
}
