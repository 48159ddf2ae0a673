//! What a model is made of, as Ollama writes it down: the same in its store and in its registry.

use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct Manifest {
    /// Also a blob: format, family, quantisation.
    #[serde(default)]
    pub(crate) config: Option<Layer>,
    #[serde(default)]
    pub(crate) layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Layer {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: String,
    #[serde(default)]
    pub(crate) size: u64,
}

pub(crate) const MODEL: &str = "application/vnd.ollama.image.model";
pub(crate) const TEMPLATE: &str = "application/vnd.ollama.image.template";
pub(crate) const PARAMETERS: &str = "application/vnd.ollama.image.params";
pub(crate) const LICENSE: &str = "application/vnd.ollama.image.license";
/// Manifests and text layers are a few kilobytes; what is larger is none.
pub(crate) const MAX_TEXT_BYTES: u64 = 1024 * 1024;

impl Manifest {
    /// Layers that change the model and that the engine does not apply.
    pub(crate) fn ignored_layers(&self) -> Vec<String> {
        let kinds = self.layers.iter().map(|layer| layer.media_type.as_str());
        kinds.filter(|kind| kind.ends_with(".adapter") || kind.ends_with(".projector")).map(str::to_owned).collect()
    }
}

/// The hexadecimal part. The digest comes from a file or a server: only a well-formed one becomes part of a path.
pub(crate) fn sha256(digest: &str) -> Option<&str> {
    let hex = digest.strip_prefix("sha256:")?;
    (hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))).then_some(hex)
}
