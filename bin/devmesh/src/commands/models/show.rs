use super::{facts::Facts, profile};
use crate::{
    context::Context,
    output::{Exit, Failure, Result, one_line},
    wiring::{Catalogue, PROVIDER},
};
use protocol::{Egress, FoundModelProfile, Location, Model, Models};
use serde::Serialize;

#[derive(Debug, clap::Args)]
#[command(after_help = "Of a model that another provider runs, this shows what the provider says of it.")]
pub struct Arguments {
    /// Name, with or without `embedded/`, or provider/name
    name: String,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    facts: Facts,
    /// Names that lead to it first. Absent: no backend answers, and only that knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    routes: Option<Vec<String>>,
    /// How agents work with it. Absent: nothing is known of that, or no backend answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<FoundModelProfile>,
}

/// Of a route's names or a notice, in characters.
const SHOWN: usize = 500;

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let output = &context.output;
    let catalogue = Catalogue::new(&context.config.settings);
    let name = arguments.name.strip_prefix(&format!("{PROVIDER}/")).unwrap_or(&arguments.name).to_owned();
    let gathering = name.clone();
    let known = tokio::task::spawn_blocking(move || Facts::gather(&catalogue, &gathering))
        .await
        .map_err(|error| Failure::failed(error.to_string()))?;
    let listed = listed(context).await;
    let facts = known.or_else(|| Some(elsewhere(listed.as_ref()?.models.iter().find(|model| model.id == name)?)));
    let Some(facts) = facts else {
        let what = match listed {
            Some(_) => format!("no model is called `{name}`"),
            None => format!("no model on this machine is called `{name}`, and no backend answers that may know more"),
        };
        return Err(Failure::new(Exit::NotFound, what).next("devmesh models list"));
    };
    let routes = listed.map(|models| leading_to(&facts.model, &models));
    let profile = profile::found(context, &facts.model).await;
    let shown = Shown { facts, routes, profile };
    if output.json {
        output.json(&shown)?;
        return Ok(Exit::Done);
    }
    for (name, value) in shown.facts.rows() {
        output.line(format_args!("{name:<13} {}", one_line(&value, SHOWN)))?;
    }
    for (name, value) in shown.profile.iter().flat_map(profile::rows) {
        output.line(format_args!("{name:<13} {}", one_line(&value, SHOWN)))?;
    }
    let routes = match &shown.routes {
        None => "no backend answers".to_owned(),
        Some(routes) if routes.is_empty() => "none".to_owned(),
        Some(routes) => routes.join(", "),
    };
    output.line(format_args!("{:<13} {}", "routes", one_line(&routes, SHOWN)))?;
    if !shown.facts.ready && shown.facts.path.is_none() && shown.facts.model.starts_with(PROVIDER) {
        output.next(format_args!("devmesh models pull {name}"));
    }
    Ok(Exit::Done)
}

/// What the backend knows, if there is one. No cloud is asked.
async fn listed(context: &Context) -> Option<Models> {
    context.client().ok()?.models(Egress::LocalOnly).await.ok()
}

fn leading_to(model: &str, models: &Models) -> Vec<String> {
    let leads = |targets: &[Model]| targets.first().is_some_and(|first| first.id == model);
    models.routes.iter().filter(|route| leads(&route.targets)).map(|route| route.name.clone()).collect()
}

/// A model of another provider.
fn elsewhere(model: &Model) -> Facts {
    let place = if model.location == Location::Local { "on this machine or network" } else { "in the cloud" };
    Facts {
        model: model.id.clone(),
        ready: model.available,
        sources: vec![format!("{}, {place}", model.provider)],
        sha256: model.digest.clone(),
        size_bytes: model.size_bytes,
        context_tokens: model.context_tokens,
        notice: model.notice.clone(),
        ..Facts::default()
    }
}
