//! What is known of a model on this machine, from wherever it is known.

use crate::{
    output::bytes,
    wiring::{Catalogue, Entry, Origin, PROVIDER},
};
use embedded_model::{about, bill};
use serde::Serialize;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Default, Serialize)]
pub struct Facts {
    pub model: String,
    /// Can answer now.
    pub ready: bool,
    /// The embedded engine can run it. Absent: it is not here, so nobody looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Where it came from, or can be fetched from, best first.
    pub sources: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantization: Option<String>,
    /// Tokens it is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    /// Tokens it was made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trained_context_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_chat_template: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
}

impl Facts {
    /// Of a model in the catalogue, by its name without a provider. Blocks on the disk.
    pub fn gather(catalogue: &Catalogue, name: &str) -> Option<Self> {
        if let Some(entry) = catalogue.find(name) {
            return Some(Self::of_entry(catalogue, &entry));
        }
        let entry = bill::entry(name).ok()?;
        let weights = entry.file(bill::Kind::Weights)?;
        let ready = entry.is_cached(catalogue.cache());
        let mut facts = Self { model: format!("{PROVIDER}/{name}"), ready, ..Self::default() };
        facts.path = ready.then(|| weights.path(catalogue.cache()));
        facts.add_listed(entry);
        Some(facts)
    }

    fn of_entry(catalogue: &Catalogue, entry: &Entry) -> Self {
        let model = &entry.model;
        let mut facts = Self {
            model: model.id.clone(),
            ready: model.available,
            path: entry.path.clone(),
            sha256: model.digest.clone(),
            size_bytes: model.size_bytes,
            notice: model.notice.clone(),
            ..Self::default()
        };
        if let Some(path) = &entry.path {
            facts.add_header(catalogue, path);
        }
        match &entry.origin {
            Origin::Added => facts.sources.push("a file added with `devmesh models add`".to_owned()),
            Origin::OllamaStore => facts.sources.push("the store of an Ollama on this machine".to_owned()),
            Origin::Pulled(record) => {
                facts.sources.push(record.source.clone());
                facts.licence = record.licence.clone().or(facts.licence);
            }
            Origin::Bill(listed) => facts.add_listed(listed),
        }
        facts
    }

    /// What the file itself says.
    fn add_header(&mut self, catalogue: &Catalogue, path: &Path) {
        match about(path) {
            Ok(about) => {
                self.architecture = about.architecture;
                self.parameters = Some(about.parameters);
                self.quantization = Some(about.quantization);
                self.trained_context_tokens = about.trained_context_tokens;
                self.has_chat_template = Some(about.has_chat_template);
                self.size_bytes = Some(about.size_bytes);
                self.licence = about.licence;
            }
            Err(error) => self.why_not = Some(error.to_string()),
        }
        match catalogue.header(path) {
            Ok(info) => {
                self.runs = Some(true);
                self.context_tokens = Some(info.context_tokens as u64);
                self.memory_bytes = Some(info.memory_bytes);
            }
            Err(why) => (self.runs, self.why_not) = (Some(false), Some(why)),
        }
    }

    /// What the bill of materials says; it was checked before it was written down.
    fn add_listed(&mut self, entry: &bill::Entry) {
        let Some(weights) = entry.file(bill::Kind::Weights) else { return };
        self.sources.extend(weights.vendor.iter().map(ToString::to_string));
        self.sources.push(match weights.parts.len() {
            1 => "a package through pip".to_owned(),
            count => format!("{count} packages through pip"),
        });
        self.sha256 = Some(weights.sha256.clone());
        self.size_bytes = Some(weights.size_bytes);
        self.licence = Some(entry.licence.clone());
        self.architecture = Some(entry.architecture.clone());
        self.parameters = Some(entry.parameters);
        self.quantization = Some(entry.quantization.clone());
        self.notice.get_or_insert_with(|| entry.notice.clone());
    }

    /// Whether the embedded engine can run it, for people.
    pub fn verdict(&self) -> String {
        match (self.runs, &self.why_not, self.has_chat_template) {
            (Some(false), why, _) => {
                format!("the embedded engine cannot run it: {}", why.as_deref().unwrap_or("its header is not read"))
            }
            (Some(true), _, Some(false)) => {
                "the embedded engine runs it, and only as a base model: the file has no chat template, so it continues text and follows no instructions".to_owned()
            }
            (Some(true), ..) => "the embedded engine runs it, with the chat template in the file".to_owned(),
            (None, ..) => "it is not on this machine".to_owned(),
        }
    }

    /// Name and value of each row, for people.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let tokens = |tokens: u64| format!("{tokens} tokens");
        let context = match (self.context_tokens, self.trained_context_tokens) {
            (Some(given), Some(trained)) if given != trained => Some(format!("{given} tokens; made for {trained}")),
            (given, trained) => given.or(trained).map(tokens),
        };
        let parameters = self.parameters.map(|count| match count {
            0..1_000_000_000 => format!("{:.0} M", count as f64 / 1e6),
            _ => format!("{:.2} B", count as f64 / 1e9),
        });
        let rows = [
            ("model", Some(self.model.clone())),
            ("ready", Some(if self.ready { "yes" } else { "no" }.to_owned())),
            ("engine", (self.runs.is_some()).then(|| self.verdict())),
            ("size", self.size_bytes.map(|size| format!("{} ({size} bytes)", bytes(size)))),
            ("memory", self.memory_bytes.map(|memory| format!("{} with a full context", bytes(memory)))),
            ("sha256", self.sha256.clone()),
            ("licence", self.licence.clone()),
            ("architecture", self.architecture.clone()),
            ("parameters", parameters),
            ("quantisation", self.quantization.clone()),
            ("context", context),
            ("file", self.path.as_ref().map(|path| path.display().to_string())),
            ("from", (!self.sources.is_empty()).then(|| self.sources.join(", then "))),
            ("notice", self.notice.clone()),
        ];
        rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}
