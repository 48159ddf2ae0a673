//! Models an Ollama on this machine has downloaded, read where they lie. Nothing is written, no server is asked.
//!
//! ```text
//! <store>/manifests/<registry>/<namespace>/<name>/<tag>    JSON: layers with media type, digest, size
//! <store>/blobs/sha256-<hex>                               the layers; a model's is a GGUF file
//! ```

pub(crate) mod manifest;

use crate::Error;
use manifest::{MAX_TEXT_BYTES, MODEL, Manifest, PARAMETERS, TEMPLATE};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A model in the store whose weights are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredModel {
    /// As Ollama shows it: `llama3.2:1b`, `someone/model:latest`, `other.registry/ns/model:tag`.
    pub name: String,
    pub path: PathBuf,
    pub size_bytes: u64,
    pub sha256: String,
    /// Ollama's own prompt template, in Go's syntax. See [`StoredModel::chat_template`].
    pub template: Option<String>,
    /// Ollama's parameters, such as `stop` texts.
    pub parameters: Option<serde_json::Value>,
    /// The model has layers the engine does not apply (adapters, projectors for images).
    pub ignored_layers: Vec<String>,
}

/// Formats that models were trained on, told apart by a control token in Ollama's template, and how Jinja writes them.
pub(crate) const CHAT_FORMATS: [(&str, &str); 4] = [
    (
        "<start_of_turn>",
        "{{ bos_token }}{% for message in messages %}{% if (message.role == 'user') != (loop.index0 % 2 == 0) %}\
         {{ raise_exception('user and model must alternate') }}{% endif %}\
         {{ '<start_of_turn>' + ('model' if message.role == 'assistant' else 'user') + '\n' }}\
         {{ message.content | trim }}{{ '<end_of_turn>\n' }}{% endfor %}{{ '<start_of_turn>model\n' }}",
    ),
    (
        "<|im_start|>",
        "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}\
         {% endfor %}{{ '<|im_start|>assistant\n' }}",
    ),
    (
        "<|start_header_id|>",
        "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' }}\
         {{ message.content | trim }}{{ '<|eot_id|>' }}{% endfor %}\
         {{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}",
    ),
    (
        "<|user|>",
        "{% for message in messages %}{{ '<|' + message.role + '|>\n' + message.content + '<|end|>\n' }}{% endfor %}\
         {{ '<|assistant|>\n' }}",
    ),
];

impl StoredModel {
    /// A Jinja chat template for [`Options::fallback_chat_template`](crate::Options::fallback_chat_template): files
    /// that Ollama converted itself have none inside. `None` for formats not known here.
    pub fn chat_template(&self) -> Option<&'static str> {
        let template = self.template.as_ref()?;
        CHAT_FORMATS.iter().find(|(token, _)| template.contains(token)).map(|(_, jinja)| *jinja)
    }
}

/// Where Ollama keeps its models unless told otherwise. `configured` is its `OLLAMA_MODELS`, `home` the user's home.
pub fn default_folders(configured: Option<&Path>, home: Option<&Path>) -> Vec<PathBuf> {
    match configured {
        Some(folder) => vec![folder.to_owned()],
        None => home
            .map(|home| home.join(".ollama/models"))
            .into_iter()
            .chain([PathBuf::from("/usr/share/ollama/.ollama/models")])
            .collect(),
    }
}

/// Registry, namespace, name, tag.
const MANIFEST_DEPTH: usize = 4;
/// A store with more is not one.
const MAX_MANIFESTS: usize = 10_000;

/// All models of a store, by name. Models that are damaged or half downloaded are left out.
pub fn list(store: &Path) -> Result<Vec<StoredModel>, Error> {
    let manifests = store.join("manifests");
    if !manifests.is_dir() {
        return Err(Error::NotAnOllamaStore { path: store.to_owned(), reason: "it has no folder `manifests`".into() });
    }
    let mut files = Vec::new();
    collect(&manifests, &mut Vec::new(), &mut files)?;
    let models = files.into_iter().filter_map(|(parts, path)| read(store, &parts, &path));
    // Sorted, and one of each name.
    Ok(models.map(|model| (model.name.clone(), model)).collect::<BTreeMap<_, _>>().into_values().collect())
}

/// One model by the name Ollama shows; `:latest` may be left out.
pub fn find(store: &Path, name: &str) -> Result<Option<StoredModel>, Error> {
    let wanted = if name.rsplit('/').next().is_some_and(|last| last.contains(':')) {
        name.to_owned()
    } else {
        format!("{name}:latest")
    };
    Ok(list(store)?.into_iter().find(|model| model.name == wanted))
}

fn collect(folder: &Path, parts: &mut Vec<String>, files: &mut Vec<(Vec<String>, PathBuf)>) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(Error::io(folder))?.filter_map(Result::ok) {
        let (Ok(name), Ok(kind)) = (entry.file_name().into_string(), entry.file_type()) else { continue };
        parts.push(name);
        // Symbolic links are not followed: they could lead in a circle.
        if kind.is_dir() && parts.len() < MANIFEST_DEPTH {
            collect(&entry.path(), parts, files)?;
        } else if kind.is_file() && parts.len() == MANIFEST_DEPTH && files.len() < MAX_MANIFESTS {
            files.push((parts.clone(), entry.path()));
        }
        parts.pop();
    }
    Ok(())
}

fn read(store: &Path, parts: &[String], path: &Path) -> Option<StoredModel> {
    let manifest: Manifest = serde_json::from_str(&read_text(path)?).ok()?;
    let model = manifest.layers.iter().find(|layer| layer.media_type == MODEL)?;
    let (sha256, blob) = blob(store, &model.digest)?;
    let found = fs::metadata(&blob).ok()?;
    if !found.is_file() || found.len() != model.size {
        return None;
    }
    let text = |media_type: &str| {
        let layer = manifest.layers.iter().find(|layer| layer.media_type == media_type)?;
        read_text(&self::blob(store, &layer.digest)?.1)
    };
    Some(StoredModel {
        name: name(parts),
        path: blob,
        size_bytes: model.size,
        sha256,
        template: text(TEMPLATE),
        parameters: text(PARAMETERS).and_then(|text| serde_json::from_str(&text).ok()),
        ignored_layers: manifest.ignored_layers(),
    })
}

/// Where a layer's content lies.
fn blob(store: &Path, digest: &str) -> Option<(String, PathBuf)> {
    let hex = manifest::sha256(digest)?;
    Some((hex.to_owned(), store.join("blobs").join(format!("sha256-{hex}"))))
}

fn read_text(path: &Path) -> Option<String> {
    (fs::metadata(path).ok()?.len() <= MAX_TEXT_BYTES).then(|| fs::read_to_string(path).ok())?
}

/// The default registry and its `library` are not spoken.
fn name(parts: &[String]) -> String {
    let (path, tag) = parts.split_at(parts.len() - 1);
    let path = match path {
        [registry, library, name] if registry == "registry.ollama.ai" && library == "library" => name.clone(),
        [registry, namespace, name] if registry == "registry.ollama.ai" => format!("{namespace}/{name}"),
        other => other.join("/"),
    };
    format!("{path}:{}", tag.concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tempfile::TempDir;

    const DIGEST: &str = "1111111111111111111111111111111111111111111111111111111111111111";
    const OTHER: &str = "2222222222222222222222222222222222222222222222222222222222222222";

    fn write(store: &Path, path: &str, bytes: impl AsRef<[u8]>) {
        let path = store.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn manifest(layers: &[(&str, &str, u64)]) -> String {
        let layers: Vec<_> = layers
            .iter()
            .map(|(kind, digest, size)| json!({"mediaType": kind, "digest": format!("sha256:{digest}"), "size": size}))
            .collect();
        json!({"schemaVersion": 2, "config": {"digest": "sha256:0"}, "layers": layers}).to_string()
    }

    #[test]
    fn finds_models_with_their_templates_and_parameters() {
        let store = TempDir::new().unwrap();
        let store = store.path();
        write(store, &format!("blobs/sha256-{DIGEST}"), b"GGUF weights");
        write(store, &format!("blobs/sha256-{OTHER}"), br#"{"stop": ["<|end|>"]}"#);
        let layers = [(MODEL, DIGEST, 12), (PARAMETERS, OTHER, 21)];
        write(store, "manifests/registry.ollama.ai/library/tiny/1b", manifest(&layers));
        let projected = [(MODEL, DIGEST, 12), ("application/vnd.ollama.image.projector", OTHER, 21)];
        write(store, "manifests/registry.ollama.ai/someone/other/latest", manifest(&projected));
        write(store, "manifests/elsewhere.example/a/b/c", manifest(&layers));

        let models = list(store).unwrap();
        let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
        assert_eq!(names, ["elsewhere.example/a/b:c", "someone/other:latest", "tiny:1b"]);
        let tiny = find(store, "tiny:1b").unwrap().unwrap();
        assert_eq!(tiny.path, store.join(format!("blobs/sha256-{DIGEST}")));
        assert_eq!((tiny.size_bytes, tiny.sha256.as_str()), (12, DIGEST));
        assert_eq!(tiny.parameters, Some(json!({"stop": ["<|end|>"]})));
        assert!(tiny.ignored_layers.is_empty());
        assert_eq!(find(store, "someone/other").unwrap().unwrap().ignored_layers.len(), 1);
        assert_eq!(find(store, "tiny").unwrap(), None);
    }

    #[test]
    fn damaged_and_hostile_entries_are_left_out() {
        let store = TempDir::new().unwrap();
        let store = store.path();
        write(store, &format!("blobs/sha256-{DIGEST}"), b"half of it");
        write(store, "secret", b"0123456789");
        let library = "manifests/registry.ollama.ai/library";
        write(store, &format!("{library}/cut/latest"), manifest(&[(MODEL, DIGEST, 12)]));
        write(store, &format!("{library}/gone/latest"), manifest(&[(MODEL, OTHER, 12)]));
        write(store, &format!("{library}/escape/latest"), manifest(&[(MODEL, "../../secret", 10)]));
        write(store, &format!("{library}/broken/latest"), b"{");
        write(store, &format!("{library}/without/latest"), manifest(&[]));
        std::os::unix::fs::symlink(store.join("manifests"), store.join(format!("{library}/circle"))).unwrap();
        assert_eq!(list(store).unwrap(), []);
    }

    #[test]
    fn known_chat_formats_are_recognised() {
        let mut model = StoredModel {
            name: "m:latest".into(),
            path: PathBuf::new(),
            size_bytes: 0,
            sha256: DIGEST.into(),
            template: Some("{{ .System }}<|im_start|>user\n{{ .Prompt }}<|im_end|>".into()),
            parameters: None,
            ignored_layers: Vec::new(),
        };
        assert!(model.chat_template().unwrap().contains("<|im_start|>"));
        model.template = Some("{{ .Prompt }}".into());
        assert_eq!(model.chat_template(), None);
    }

    #[test]
    fn another_folder_is_told_as_such() {
        let folder = TempDir::new().unwrap();
        assert!(matches!(list(folder.path()), Err(Error::NotAnOllamaStore { .. })));
    }

    #[test]
    fn a_configured_folder_replaces_the_usual_ones() {
        assert_eq!(default_folders(Some(Path::new("/m")), Some(Path::new("/home/a"))), [PathBuf::from("/m")]);
        let usual = default_folders(None, Some(Path::new("/home/a")));
        assert_eq!(usual[0], PathBuf::from("/home/a/.ollama/models"));
        assert_eq!(usual.len(), 2);
    }
}
