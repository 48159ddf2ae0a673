//! `devmesh up`: the mesh, staying up.

use super::serve;
use crate::{
    config::Flags,
    context::Context,
    output::{Exit, FAINT, Result},
    wiring::{Agents, Backend, Signals, listen, start_logging},
};
use protocol::{Egress, Models};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A backend in this process and agents beside it. Ctrl-C stops them in order: jobs are handed back, nothing is lost."
)]
pub struct Arguments {
    #[command(flatten)]
    serve: serve::Arguments,
    /// How many agents
    #[arg(long, value_name = "COUNT")]
    agents: Option<usize>,
}

impl Arguments {
    pub fn flags(&self) -> Flags {
        let mut flags = self.serve.flags();
        flags.extend(self.agents.map(|count| ("agents.count".to_owned(), count.to_string(), "--agents".to_owned())));
        flags
    }
}

pub async fn run(_: Arguments, context: &Context) -> Result<Exit> {
    let settings = &context.config.settings;
    start_logging(settings, None)?;
    let mut signals = Signals::catch()?;
    let listener = listen(settings).await?;
    let mut backend = Backend::start(settings, listener).await?;
    let agents = Agents::start(&context.config, &backend.url, &backend.app, &settings.log.filter).await?;
    serve::announce(context, &backend, settings.agents.count)?;
    let router = backend.router.clone();
    let failure = tokio::select! {
        () = signals.next() => None,
        failure = backend.broken() => Some(failure),
        // Providers may take their time to answer; the mesh is ready meanwhile.
        never = async {
            // Nobody asked for the cloud yet, so nothing of it is asked.
            tell_models(context, &router.models(Egress::LocalOnly).await);
            std::future::pending().await
        } => never,
    };
    context.output.say("stopping; jobs are handed back");
    agents.stop().await;
    backend.stop().await;
    failure.map_or(Ok(Exit::Done), Err)
}

fn tell_models(context: &Context, models: &Models) {
    const SHOWN: usize = 5;
    let output = &context.output;
    if output.json {
        return;
    }
    let usable: Vec<_> = models.models.iter().filter(|model| model.available).map(|model| model.id.as_str()).collect();
    let more = if usable.len() > SHOWN { format!(" and {} more", usable.len() - SHOWN) } else { String::new() };
    match usable.is_empty() {
        false => output.say(format_args!(
            "models    {}{more}",
            crate::output::plain(&usable[..usable.len().min(SHOWN)].join(", "))
        )),
        true => output.say(format_args!(
            "models    none yet: devmesh models pull fetches a small one, Ollama's are found by themselves"
        )),
    }
    for missing in &models.unavailable {
        output.say(format_args!("{FAINT}          {}{FAINT:#}", crate::output::one_line(&missing.error, 200)));
    }
    if !models.not_asked.is_empty() {
        output.say(format_args!("cloud     {}: configured, not asked", models.not_asked.join(", ")));
    }
    output.next("devmesh run --repo . \"TASK\"");
}
