use super::profile;
use crate::{
    context::Context,
    output::{CAREFUL, Exit, Result, Table, bytes, one_line, styled},
    wiring::Catalogue,
};
use protocol::{Egress, Location, Models};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only what this machine's disk has or can fetch, without asking a backend
    #[arg(long)]
    here: bool,
    /// Ask providers in the cloud too, which get to see their keys
    #[arg(long, conflicts_with = "here")]
    allow_cloud: bool,
}

pub async fn run(arguments: &Arguments, context: &Context) -> Result<Exit> {
    let output = &context.output;
    let egress = if arguments.allow_cloud { Egress::Allowed } else { Egress::LocalOnly };
    let models = if arguments.here { local(context) } else { context.client()?.models(egress).await? };
    if output.json {
        output.json(&models)?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(["MODEL", "READY", "WHERE", "SIZE", "CONTEXT", "PROFILE", "NOTE"]);
    for model in &models.models {
        let place = match model.location {
            Location::Local => "local",
            Location::Cloud => "cloud",
        };
        table.row([
            model.id.clone(),
            if model.available { "yes".into() } else { "no".into() },
            place.into(),
            model.size_bytes.map_or_else(|| "-".into(), bytes),
            model.context_tokens.map_or_else(|| "-".into(), |tokens| tokens.to_string()),
            profile::short(model.profile.as_ref()),
            model.notice.clone().unwrap_or_default(),
        ]);
    }
    output.table(table)?;
    for route in &models.routes {
        let first = route.targets.first().map_or("no model now", |model| model.id.as_str());
        output.say(format_args!("route {} leads to {}", one_line(&route.name, 64), one_line(first, 128)));
    }
    for missing in &models.unavailable {
        output.say(styled(CAREFUL, one_line(&missing.error, 300)));
    }
    if !models.not_asked.is_empty() {
        let names = models.not_asked.join(", ");
        output.say(format_args!("in the cloud, configured and not asked: {names} (--allow-cloud asks)"));
    }
    if models.models.iter().all(|model| !model.available) {
        output.next("devmesh models pull");
    } else {
        output.next("devmesh run --model MODEL \"TASK\"");
    }
    Ok(Exit::Done)
}

fn local(context: &Context) -> Models {
    let entries = Catalogue::new(&context.config.settings).models();
    Models {
        models: entries.into_iter().map(|entry| entry.model).collect(),
        routes: Vec::new(),
        unavailable: Vec::new(),
        not_asked: Vec::new(),
    }
}
