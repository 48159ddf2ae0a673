//! A registry as Ollama has one: the distribution API of container images, with models for layers.
//!
//! ```text
//!   GET /v2/NAMESPACE/NAME/manifests/TAG   Accept: …docker.distribution.manifest.v2+json
//!     200  the layers: media type, digest, size
//!     404  {"errors": [{"code": "MANIFEST_UNKNOWN", …}]}
//!     412  the model wants a newer Ollama, in words
//!   GET /v2/NAMESPACE/NAME/blobs/sha256:…  307 to storage on another host, where ranges may be asked for
//! ```
//! Source: Ollama's own `server/images.go` and `server/download.go`; models that everybody may have want no token.

use super::http::{Http, Server};
use super::{Step, Wanted};
use crate::Error;
use crate::ollama_store::manifest::{self, Layer, Manifest};
use reqwest::Url;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// `NAME`, `NAME:TAG` or `NAMESPACE/NAME:TAG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    namespace: String,
    name: String,
    tag: String,
}

pub(crate) const SCHEME: &str = "ollama:";
/// Where models without a namespace are.
const LIBRARY: &str = "library";
const LATEST: &str = "latest";
/// Of one part of a name, as Ollama has it.
const MOST_CHARACTERS: usize = 80;
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

impl FromStr for Tagged {
    type Err = Error;

    /// With or without `ollama:`.
    fn from_str(reference: &str) -> Result<Tagged, Error> {
        let wrong = |reason: &str| Error::Reference { reference: reference.to_owned(), reason: reason.to_owned() };
        let path = reference.strip_prefix(SCHEME).unwrap_or(reference);
        let (path, tag) = path.rsplit_once(':').unwrap_or((path, LATEST));
        let (namespace, name) = match path.split('/').collect::<Vec<_>>().as_slice() {
            [name] => (LIBRARY, *name),
            [namespace, name] => (*namespace, *name),
            _ => {
                return Err(wrong(
                    "write it as ollama:NAME:TAG or ollama:NAMESPACE/NAME:TAG; another registry is set as \
                     ollama.registry_url",
                ));
            }
        };
        if ![namespace, name, tag].into_iter().all(is_part) {
            return Err(wrong("the parts of its name are 1 to 80 of letters, digits and . _ -, and begin with no dot"));
        }
        Ok(Tagged { namespace: namespace.into(), name: name.into(), tag: tag.into() })
    }
}

fn is_part(part: &str) -> bool {
    let fits = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    (1..=MOST_CHARACTERS).contains(&part.len()) && part.chars().all(fits) && !part.starts_with(['.', '-'])
}

impl fmt::Display for Tagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.model_name())
    }
}

/// What a manifest says, without the weights.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    pub(crate) weights: Wanted,
    digest: String,
    pub(crate) licence: Option<String>,
    pub(crate) template: Option<String>,
    pub(crate) parameters: Option<serde_json::Value>,
    pub(crate) ignored_layers: Vec<String>,
}

#[derive(Deserialize)]
struct Config {
    model_format: Option<String>,
}

impl Tagged {
    /// As Ollama shows it.
    pub(crate) fn model_name(&self) -> String {
        match self.namespace.as_str() {
            LIBRARY => format!("{}:{}", self.name, self.tag),
            namespace => format!("{namespace}/{}:{}", self.name, self.tag),
        }
    }

    fn url(&self, server: &Server, kind: &str, what: &str) -> Url {
        server.url(["v2", &self.namespace, &self.name, kind, what])
    }

    pub(crate) fn weights_url(&self, server: &Server, described: &Described) -> Url {
        self.url(server, "blobs", &described.digest)
    }

    /// The manifest, and everything in it that is small.
    pub(crate) fn describe(
        &self,
        http: &mut Http,
        server: &Server,
        tell: &mut dyn FnMut(Step),
    ) -> Result<Described, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(MANIFEST));
        let answer = http.get(server, &self.url(server, "manifests", &self.tag), &headers, tell);
        let answer = answer.map_err(|error| self.without_manifest(error))?;
        let body = http.body(answer, manifest::MAX_TEXT_BYTES as usize)?;
        let broken = |reason: String| Error::Server { host: server.host(), status: 200, message: reason };
        let manifest: Manifest =
            serde_json::from_slice(&body).map_err(|error| broken(format!("its manifest is none ({error})")))?;
        let cannot = |reason: &str| Error::Reference { reference: self.to_string(), reason: reason.to_owned() };
        let mut text = |layer: Option<&Layer>| layer.map(|layer| self.text(layer, http, server, tell)).transpose();
        if let Some(config) = text(manifest.config.as_ref())?
            && let Ok(Config { model_format: Some(format) }) = serde_json::from_str(&config)
            && format != "gguf"
        {
            return Err(cannot(&format!("it is in the format {format}, and only GGUF files can be run here")));
        }
        let of = |kind: &'static str| manifest.layers.iter().filter(move |layer| layer.media_type == kind);
        let model = match of(manifest::MODEL).collect::<Vec<_>>().as_slice() {
            [model] => *model,
            [] => return Err(cannot("it has no GGUF file: it runs in the cloud, or in a format for other machines")),
            _ => return Err(cannot("its weights come in several files, which cannot be run here")),
        };
        let sha256 = manifest::sha256(&model.digest).ok_or_else(|| broken("its manifest has no sha256".into()))?;
        let template = text(of(manifest::TEMPLATE).next())?;
        let parameters = text(of(manifest::PARAMETERS).next())?.and_then(|text| serde_json::from_str(&text).ok());
        let licence = text(of(manifest::LICENSE).next())?;
        let weights = Wanted { sha256: sha256.to_owned(), size_bytes: model.size, extension: "gguf".into() };
        Ok(Described {
            weights,
            digest: model.digest.clone(),
            licence: licence.as_deref().and_then(title),
            template,
            parameters,
            ignored_layers: manifest.ignored_layers(),
        })
    }

    /// One of the layers that are texts, checked as every blob is.
    fn text(
        &self,
        layer: &Layer,
        http: &mut Http,
        server: &Server,
        tell: &mut dyn FnMut(Step),
    ) -> Result<String, Error> {
        let broken = |message: String| Error::Server { host: server.host(), status: 200, message };
        let wanted = manifest::sha256(&layer.digest).ok_or_else(|| broken("its manifest has no sha256".into()))?;
        let answer = http.get(server, &self.url(server, "blobs", &layer.digest), &HeaderMap::new(), tell)?;
        let body = http.body(answer, manifest::MAX_TEXT_BYTES as usize)?;
        let found = hex::encode(Sha256::digest(&body));
        if found != wanted {
            return Err(broken(format!("its layer {} has the sha256 {found}, not {wanted}", layer.media_type)));
        }
        String::from_utf8(body).map_err(|_| broken(format!("its layer {} is no text", layer.media_type)))
    }

    fn without_manifest(&self, error: Error) -> Error {
        match error {
            Error::Server { host, status: 404, message } => {
                let message = format!("it has no model {} ({message}); see which tags it has", self.model_name());
                Error::Server { host, status: 404, message }
            }
            other => other,
        }
    }
}

/// What a licence calls itself: its first line with words in it, and its version where that stands below.
fn title(text: &str) -> Option<String> {
    const CHARACTERS: usize = 80;
    let mut lines = text.lines().map(|line| line.trim().trim_matches(['#', '*', '=', '-', ' ']));
    let first = lines.find(|line| line.chars().any(char::is_alphabetic))?;
    let version = lines.next().filter(|line| line.starts_with("Version"));
    let title = version.map_or_else(|| first.to_owned(), |version| format!("{first}, {version}"));
    Some(title.chars().take(CHARACTERS).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_ollama_reads_them() {
        for (reference, path, name) in [
            ("ollama:qwen2.5-coder:0.5b", "library/qwen2.5-coder/manifests/0.5b", "qwen2.5-coder:0.5b"),
            ("ollama:llama3.2", "library/llama3.2/manifests/latest", "llama3.2:latest"),
            ("ollama:someone/model:q8_0", "someone/model/manifests/q8_0", "someone/model:q8_0"),
        ] {
            let tagged: Tagged = reference.parse().unwrap();
            let server = Server::new("https://registry.example", None, "").unwrap();
            let url = tagged.url(&server, "manifests", &tagged.tag);
            assert_eq!(
                (url.as_str(), tagged.model_name().as_str()),
                (format!("https://registry.example/v2/{path}").as_str(), name)
            );
        }
        for reference in ["ollama:", "ollama:a/b/c:d", "ollama:../x", "ollama:a b", "ollama:a:", "ollama:.hidden"] {
            assert!(matches!(reference.parse::<Tagged>(), Err(Error::Reference { .. })), "{reference}");
        }
    }

    #[test]
    fn a_licence_is_called_by_its_first_words() {
        assert_eq!(title("\n   # MIT License\n\nCopyright\n").as_deref(), Some("MIT License"));
        let apache = "\n      Apache License\n    Version 2.0, January 2004\n";
        assert_eq!(title(apache).as_deref(), Some("Apache License, Version 2.0, January 2004"));
        assert_eq!(title(" \n---\n"), None);
    }
}
