use crate::{
    context::Context,
    output::{Exit, Failure, Result},
    wiring::Catalogue,
};
use embedded_model::bill;

#[derive(Debug, clap::Args)]
#[command(after_help = "Files you added yourself stay where they are; only the entry goes.")]
pub struct Arguments {
    /// Name, with or without `embedded/`
    name: String,
}

pub fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let name = arguments.name.strip_prefix("embedded/").unwrap_or(&arguments.name);
    let catalogue = Catalogue::new(&context.config.settings);
    let mut models = catalogue.registered()?;
    let before = models.len();
    models.retain(|known| known.name != name);
    let mut removed = None;
    if models.len() < before {
        catalogue.register(&models)?;
        removed = Some("entry");
    } else if let Ok(entry) = bill::entry(name) {
        for path in entry.files.iter().map(|file| file.path(catalogue.cache())).filter(|path| path.exists()) {
            std::fs::remove_file(&path).map_err(|error| Failure::from(error).context(path.display()))?;
            removed = Some("files");
        }
    }
    let Some(what) = removed else {
        return Err(Failure::new(Exit::NotFound, format!("no added or fetched model is called `{name}`"))
            .next("devmesh models list --here"));
    };
    context.output.show(&serde_json::json!({"removed": format!("embedded/{name}"), "what": what}), || {
        format!("embedded/{name}\t{what} removed")
    })?;
    Ok(Exit::Done)
}
