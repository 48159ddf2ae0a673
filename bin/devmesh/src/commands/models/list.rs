use super::{profile, pull::ABLEST};
use crate::{
    config::memory_of_the_machine,
    context::Context,
    output::{CAREFUL, Exit, Result, Table, bytes, one_line, styled},
    wiring::Catalogue,
};
use protocol::{Egress, Location, Model, Models, Route};
use router::{
    DEFAULT_ROUTE,
    ability::{self, Ability},
};

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
        let why = route.why.as_ref().map_or_else(String::new, |why| format!(" ({})", one_line(why, 200)));
        output.say(format_args!("route {} leads to {}{why}", one_line(&route.name, 64), one_line(first, 128)));
    }
    for missing in &models.unavailable {
        output.say(styled(CAREFUL, one_line(&missing.error, 300)));
    }
    if !models.not_asked.is_empty() {
        let names = models.not_asked.join(", ");
        output.say(format_args!("in the cloud, configured and not asked: {names} (--allow-cloud asks)"));
    }
    if models.models.iter().all(|model| !model.available) {
        output.next(format_args!("devmesh models pull {ABLEST}"));
    } else {
        output.next("devmesh run --model MODEL \"TASK\"");
    }
    Ok(Exit::Done)
}

fn local(context: &Context) -> Models {
    let settings = &context.config.settings;
    let catalogue = Catalogue::new(settings);
    let mut models: Vec<Model> = catalogue.models().into_iter().map(|entry| entry.model).collect();
    let is_configured = settings.routes.iter().any(|route| route.name == DEFAULT_ROUTE);
    let default = default_among(&models).filter(|_| !is_configured);
    models.extend(catalogue.embedding_models());
    Models { models, routes: default.into_iter().collect(), unavailable: Vec::new(), not_asked: Vec::new() }
}

/// Where `default` leads as long as nobody configures it and no other provider has an abler model.
fn default_among(models: &[Model]) -> Option<Route> {
    let usable: Vec<&Model> = models.iter().filter(|model| model.available).collect();
    let memory_bytes = memory_of_the_machine();
    let abilities: Vec<Ability> = usable.iter().map(|model| Ability::of(model, memory_bytes)).collect();
    let first = *ability::order(&abilities).first()?;
    let why = format!("the ablest of those in this process: {}", abilities[first].why());
    Some(Route { name: DEFAULT_ROUTE.to_owned(), targets: vec![usable[first].clone()], why: Some(why) })
}
