//! The models that can run inside this process, and where their files are.
//!
//! From four places; what comes first has a name that several have: files the user registered with `models add`, what was
//! fetched by a reference, the store of an Ollama on this disk (read, never written), and the bill of materials.

use super::private;
use crate::config::{EmbeddedSettings, Settings};
use embedded_model::{
    Engine, Error, Info, Options,
    bill::{self, Role},
    ollama_store,
    pulled::{self, Pulled},
};
use protocol::{Location, Model};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::SystemTime,
};

/// The provider's name, before the slash of a model's id.
pub const PROVIDER: &str = "embedded";

/// A model file the user registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registered {
    pub name: String,
    pub path: PathBuf,
}

/// Cheap to clone. Looks at the disk anew for every listing, so what another process adds is found.
#[derive(Clone, Debug)]
pub struct Catalogue {
    registry: PathBuf,
    cache: PathBuf,
    ollama_stores: Vec<PathBuf>,
    options: Options,
    /// Headers read before, by path, size and time of change: reading one takes tens of milliseconds.
    headers: Arc<Mutex<HashMap<Header, Result<Info, String>>>>,
    /// Name and bytes of the model that this process has in memory.
    in_memory: InMemory,
}

/// Name and bytes of a loaded model.
pub type InMemory = Arc<RwLock<Option<(String, u64)>>>;

/// A file as it was when its header was read: path, size, time of change.
type Header = (PathBuf, u64, Option<SystemTime>);

/// One model, with what is needed to run it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub model: Model,
    /// `None`: it has to be fetched first.
    pub path: Option<PathBuf>,
    pub origin: Origin,
}

/// How a model came to be known.
#[derive(Clone, Debug)]
pub enum Origin {
    Added,
    Pulled(Box<Pulled>),
    OllamaStore,
    Bill(&'static bill::Entry),
}

impl Catalogue {
    pub fn new(settings: &Settings) -> Self {
        let EmbeddedSettings { cache, ollama_store, threads, context_tokens, .. } = &settings.embedded;
        Self {
            registry: settings.data.join("models.json"),
            cache: cache.clone(),
            ollama_stores: ollama_store::default_folders(ollama_store.as_deref(), settings.home.as_deref()),
            options: Options { context_tokens: *context_tokens, threads: Some(*threads), ..Options::default() },
            headers: Arc::default(),
            in_memory: Arc::default(),
        }
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// To be written by whoever loads models: what is in memory needs no room, and makes some when another one is asked for.
    pub fn in_memory(&self) -> &InMemory {
        &self.in_memory
    }

    /// Every chat model. Blocks on the disk.
    pub fn models(&self) -> Vec<Entry> {
        let loaded =
            self.in_memory.read().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, |(_, bytes)| *bytes);
        let room = memory_available().map(|bytes| bytes + loaded);
        let mut entries: Vec<Entry> = Vec::new();
        for registered in self.registered().unwrap_or_default() {
            entries.push(self.local(&registered.name, &registered.path, Origin::Added, room));
        }
        for record in pulled::list(&self.cache) {
            if entries.iter().all(|known| known.model.name != record.name) {
                let (name, path) = (record.name.clone(), record.path(&self.cache));
                entries.push(self.local(&name, &path, Origin::Pulled(Box::new(record)), room));
            }
        }
        for stored in self.ollama_stores.iter().filter_map(|store| ollama_store::list(store).ok()).flatten() {
            let mut entry = self.local(&stored.name, &stored.path, Origin::OllamaStore, room);
            if !stored.ignored_layers.is_empty() {
                note(&mut entry.model, PARTLY_USED);
            }
            // Adding a second store must not hide what the first one has.
            if entries.iter().all(|known| known.model.name != entry.model.name) {
                entries.push(entry);
            }
        }
        for listed in bill::entries().iter().filter(|entry| entry.role == Role::Chat) {
            let path = listed
                .file(bill::Kind::Weights)
                .filter(|file| file.is_cached(&self.cache))
                .map(|file| file.path(&self.cache));
            let mut entry = match &path {
                Some(path) => self.local(&listed.name, path, Origin::Bill(listed), room),
                None => Entry { model: model(&listed.name, false), path: None, origin: Origin::Bill(listed) },
            };
            entry.model.size_bytes = listed.file(bill::Kind::Weights).map(|file| file.size_bytes);
            entry.model.digest = listed.file(bill::Kind::Weights).map(|file| file.sha256.clone());
            entry.model.notice = Some(match (&path, entry.model.available) {
                (None, _) => format!("{}; not on this machine yet: devmesh models pull {}", listed.notice, listed.name),
                (Some(_), true) => listed.notice.clone(),
                // Why it is not says more than what it is for.
                (Some(_), false) => entry.model.notice.take().unwrap_or_default(),
            });
            if entries.iter().all(|known| known.model.name != entry.model.name) {
                entries.push(entry);
            }
        }
        entries
    }

    /// Every embedding model of the bill.
    pub fn embedding_models(&self) -> Vec<Model> {
        let listed = bill::entries().iter().filter(|entry| entry.role == Role::Embedding);
        listed
            .map(|entry| {
                let cached = entry.is_cached(&self.cache);
                let weights = entry.file(bill::Kind::Weights);
                let mut model = Model {
                    chats: false,
                    embeds: true,
                    structured_output: false,
                    grammar: false,
                    digest: weights.map(|file| file.sha256.clone()),
                    size_bytes: weights.map(|file| file.size_bytes),
                    ..model(&entry.name, cached)
                };
                if !cached {
                    model.notice = Some(format!("not on this machine yet: devmesh models pull {}", entry.name));
                }
                model
            })
            .collect()
    }

    /// Weights and tokenizer, once they are on this machine.
    pub fn embedding_files(&self, name: &str) -> Option<(PathBuf, PathBuf)> {
        let entry = bill::entries().iter().find(|entry| entry.role == Role::Embedding && entry.name == name)?;
        let path =
            |kind| entry.file(kind).filter(|file| file.is_cached(&self.cache)).map(|file| file.path(&self.cache));
        Some((path(bill::Kind::Weights)?, path(bill::Kind::Tokenizer)?))
    }

    pub fn find(&self, name: &str) -> Option<Entry> {
        self.models().into_iter().find(|entry| entry.model.name == name)
    }

    fn local(&self, name: &str, path: &Path, origin: Origin, room: Option<u64>) -> Entry {
        let mut model = model(name, true);
        let mut notices = Vec::new();
        match self.header(path) {
            Ok(info) => {
                model.context_tokens = Some(info.context_tokens as u64);
                model.size_bytes = Some(info.size_bytes);
                model.digest = info.sha256.clone();
                model.architecture = Some(info.architecture.clone());
                notices.extend(info.notice.clone());
                if let Some(room) = room.filter(|room| info.memory_bytes > *room) {
                    model.available = false;
                    notices.push(format!(
                        "needs {} of memory and {} are free",
                        crate::output::bytes(info.memory_bytes),
                        crate::output::bytes(room)
                    ));
                }
            }
            Err(why) => {
                model.available = false;
                notices.push(why);
            }
        }
        model.notice = (!notices.is_empty()).then(|| notices.join("; "));
        if let Origin::Pulled(record) = &origin {
            model.digest = Some(record.sha256.clone());
            if !record.ignored_layers.is_empty() {
                note(&mut model, PARTLY_USED);
            }
        }
        Entry { model, path: Some(path.to_owned()), origin }
    }

    /// What the file's header says, or why this process cannot run it.
    pub fn header(&self, path: &Path) -> Result<Info, String> {
        let metadata = path.metadata().map_err(|error| format!("{}: {error}", path.display()))?;
        let key = (path.to_owned(), metadata.len(), metadata.modified().ok());
        if let Some(known) = self.headers.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return known.clone();
        }
        let read = Engine::inspect(path, &self.options).map_err(|error: Error| error.to_string());
        let mut headers = self.headers.lock().unwrap_or_else(PoisonError::into_inner);
        if headers.len() >= MOST_HEADERS {
            headers.clear();
        }
        headers.insert(key, read.clone());
        read
    }

    pub fn registered(&self) -> std::io::Result<Vec<Registered>> {
        match std::fs::read(&self.registry) {
            Ok(text) => Ok(serde_json::from_slice(&text)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Replaces the list of registered models in one step.
    pub fn register(&self, models: &[Registered]) -> std::io::Result<()> {
        let folder = self.registry.parent().unwrap_or(Path::new("."));
        private::make_folder(folder)?;
        private::write_file(&self.registry, &serde_json::to_string_pretty(models)?)
    }
}

const PARTLY_USED: &str = "adapters and image parts of this model are not used";

fn note(model: &mut Model, note: &str) {
    let notice = model.notice.take().map_or_else(|| note.to_owned(), |notice| format!("{note}; {notice}"));
    model.notice = Some(notice);
}

/// Headers remembered at once.
const MOST_HEADERS: usize = 1_000;

fn model(name: &str, available: bool) -> Model {
    Model { structured_output: true, grammar: true, available, ..Model::new(PROVIDER, name, Location::Local) }
}

/// Bytes the kernel can give without swapping; `None` where it does not say.
fn memory_available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
