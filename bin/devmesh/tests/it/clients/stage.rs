//! A mesh with one provider for each wire, and the model behind all of them.

use crate::command::{Home, Up};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use testkit::{FaultyModel, Reply, ServedModel, Wire, faulty_model::Received};

/// The file that the model makes.
pub(super) const FILE: &str = "hello.txt";
pub(super) const HELLO: &str = "hello from the mesh";
/// What the model tells the MCP server's tool.
const NOTE: &str = "the file is made";
/// The model's last word.
pub(super) const END: &str = "All of it is done.";
/// After so many answers of tools something is wrong, and the model ends it.
const MOST_RESULTS: usize = 6;
/// More than the longest prompt of any of the tools.
const CONTEXT_TOKENS: u64 = 262_144;

/// How a tool is told to do what the model wants.
pub(super) struct Tools {
    /// The call that makes the file at this path with this text.
    pub(super) file: fn(&Path, &str) -> (&'static str, Value),
    /// The MCP server's tool as this client names it.
    pub(super) note: &'static str,
    /// The call that makes the client offer the MCP server's tool, where it does not from the start.
    pub(super) search: Option<fn() -> (&'static str, Value)>,
}

pub(super) struct Stage {
    pub(super) home: Home,
    pub(super) token: String,
    models: Vec<FaultyModel>,
    up: Up,
}

/// The name of the route that leads to the model of a wire.
pub(super) fn route(wire: Wire) -> &'static str {
    match wire {
        Wire::OpenAiChat => "over-chat",
        Wire::OpenAiResponses => "over-responses",
        Wire::Anthropic => "over-anthropic",
        Wire::Ollama => "over-ollama",
    }
}

impl Stage {
    /// `answer` is what the model of a wire answers, for a client that works in this folder.
    pub(super) async fn start(answer: impl Fn(&Path, &Received) -> Reply + Copy + Send + Sync + 'static) -> Self {
        let (home, mut models, mut settings) = (Home::new(), Vec::new(), "ollama.enabled = false\n".to_owned());
        for wire in Wire::ALL {
            let folder = home.path(route(wire));
            std::fs::create_dir_all(&folder).unwrap();
            let served = ServedModel::new(FaultyModel::MODEL).context_tokens(CONTEXT_TOKENS);
            let model = FaultyModel::serve(wire, [served]).await;
            let model = model.answering(move |received| answer(&folder, received));
            let dialect = match wire {
                Wire::OpenAiChat => "openai",
                Wire::OpenAiResponses => "openai-responses",
                Wire::Anthropic => "anthropic",
                Wire::Ollama => "ollama",
            };
            let (name, url) = (route(wire), model.base_url());
            settings += &format!(
                "[providers.{name}]\nbase_url = \"{url}\"\ndialect = \"{dialect}\"\nlocation = \"local\"\n\
                 [routes.{name}]\ntargets = [\"{name}/{}\"]\n",
                FaultyModel::MODEL
            );
            models.push(model);
        }
        home.configure(&settings);
        let up = Up::start(&home, &["--agents", "0"]).await;
        let token = std::fs::read_to_string(home.data().join("admin-token")).unwrap().trim().to_owned();
        Self { home, token, models, up }
    }

    pub(super) fn model(&self, wire: Wire) -> &FaultyModel {
        self.models.iter().find(|model| model.wire() == wire).unwrap()
    }

    /// Where the client of a wire works.
    pub(super) fn folder(&self, wire: Wire) -> PathBuf {
        self.home.path(route(wire))
    }

    pub(super) fn notes(&self, wire: Wire) -> PathBuf {
        self.folder(wire).join("notes")
    }

    pub(super) fn file(&self, wire: Wire) -> String {
        std::fs::read_to_string(self.folder(wire).join(FILE)).unwrap_or_default().trim().to_owned()
    }

    /// Writes the tool's settings as its user would, once for each wire's route.
    pub(super) async fn launch(&self, tool: &str) {
        for wire in Wire::ALL {
            self.home.run(&["launch", tool, "--model", route(wire), "--yes", "--json"]).await.good();
        }
    }

    pub(super) async fn stop(self) {
        self.up.stop().await.good();
    }
}

/// The model makes a file, calls the MCP server's tool, and says that it is done. Whatever asks without tools, for a title
/// or a summary, gets a word.
pub(super) fn works(tools: &Tools, folder: &Path, received: &Received) -> Reply {
    let offered = received.tools();
    let has = |name: &str| offered.iter().any(|tool| tool.name == name);
    let results = received.results();
    let call = |(name, arguments): (&str, Value)| Reply::call(name, arguments);
    if offered.is_empty() {
        return Reply::text("A file");
    }
    if results.len() >= MOST_RESULTS {
        return Reply::text(format!("I give up: {results:?}"));
    }
    let file = folder.join(FILE);
    if !file.exists() {
        return call((tools.file)(&file, HELLO));
    }
    if results.iter().any(|result| result.contains(NOTE)) {
        return Reply::text(END);
    }
    match tools.search {
        Some(search) if !has(tools.note) => call(search()),
        _ => call((tools.note, json!({"text": NOTE}))),
    }
}

/// The file is there with its text, and the MCP server was told.
#[track_caller]
pub(super) fn assert_done(stage: &Stage, wire: Wire) {
    assert_eq!(stage.file(wire), HELLO, "{wire:?}");
    let notes = std::fs::read_to_string(stage.notes(wire)).unwrap_or_default();
    assert_eq!(notes.trim(), NOTE, "{wire:?}");
}
