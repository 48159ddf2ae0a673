//! What the benchmark is asked for.

use super::tool::Tool;
use std::path::{Path, PathBuf};

/// Coding tools on small repositories with a failing test, with one model.
#[derive(Debug, clap::Parser)]
#[command(name = "cargo xtask bench agent")]
pub struct Options {
    /// A GGUF file (`….gguf`), which runs inside the backend; or the name of a model of an Ollama that runs here
    #[arg(long, value_name = "FILE|NAME")]
    pub model: String,
    /// Where that Ollama listens
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:11434")]
    pub ollama: String,
    /// Which tools, with commas between
    #[arg(long, value_enum, value_delimiter = ',', default_value = "devmesh,aider,mini,pi")]
    pub tools: Vec<Tool>,
    /// Which exercises, by their folders' names or beginnings of them, with commas between. Default: all
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub exercises: Vec<String>,
    /// How often each tool gets each exercise
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    /// How long one run may take. The default is what a small model on two cores needs for some ten answers
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(10..=86_400))]
    pub seconds: u64,
    /// The program to measure. Default: the release build
    #[arg(long, value_name = "FILE")]
    pub devmesh: Option<PathBuf>,
    /// Where results lie; runs that are there are not run again
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/out/agent"))]
    pub out: PathBuf,
    /// Run nothing and print the table of what is there
    #[arg(long)]
    pub table: bool,
}

impl Options {
    /// The file, where the model is one. Whether it is there shows when the mesh starts.
    pub fn model_file(&self) -> Option<PathBuf> {
        self.model.to_ascii_lowercase().ends_with(".gguf").then(|| PathBuf::from(&self.model))
    }

    /// As the gateway names it.
    pub fn model_id(&self) -> String {
        let name = self.model_file().as_deref().and_then(Path::file_stem).map(|stem| stem.to_ascii_lowercase());
        name.map_or_else(|| format!("ollama/{}", self.model), |stem| format!("embedded/{}", stem.to_string_lossy()))
    }
}
