use crate::{
    context::Context,
    output::{Exit, Failure, Result, bytes},
    wiring::{Catalogue, Registered},
};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(after_help = "The file stays where it is. It must be of an architecture the embedded engine runs.")]
pub struct Arguments {
    /// A GGUF file
    file: PathBuf,
    /// Name after `embedded/`. Default: the file's name
    #[arg(long)]
    name: Option<String>,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let settings = &context.config.settings;
    let path = arguments
        .file
        .canonicalize()
        .map_err(|error| Failure::usage(format!("`{}`: {error}", arguments.file.display())))?;
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().to_ascii_lowercase());
    let name = arguments.name.or(stem).unwrap_or_default();
    let fits = |character: char| character.is_ascii_alphanumeric() || "._-:".contains(character);
    if name.is_empty() || name.len() > 128 || !name.chars().all(fits) {
        return Err(Failure::usage(format!("`{name}` is no model name: 1 to 128 of letters, digits and . _ - :"))
            .next("devmesh models add FILE --name NAME"));
    }
    let catalogue = Catalogue::new(settings);
    let reader = catalogue.clone();
    let header = path.clone();
    let info = tokio::task::spawn_blocking(move || reader.header(&header))
        .await
        .map_err(|error| Failure::failed(error.to_string()))?
        .map_err(Failure::failed)?;
    let mut models = catalogue.registered()?;
    models.retain(|known| known.name != name);
    models.insert(0, Registered { name: name.clone(), path: path.clone() });
    catalogue.register(&models)?;
    let document = serde_json::json!({"model": format!("embedded/{name}"), "path": path, "architecture": info.architecture, "memory_bytes": info.memory_bytes});
    context.output.show(&document, || format!("embedded/{name}\t{}", path.display()))?;
    context.output.say(format_args!(
        "{}, {} parameters, {}, context {}, takes {} of memory",
        info.architecture,
        info.parameters,
        info.quantization,
        info.context_tokens,
        bytes(info.memory_bytes)
    ));
    if let Some(notice) = &info.notice {
        context.output.say(crate::output::plain(notice));
    }
    context.output.next(format_args!("devmesh run --model embedded/{name} \"TASK\""));
    Ok(Exit::Done)
}
