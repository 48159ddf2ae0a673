//! A model hub as Hugging Face runs one: files of repositories, stored elsewhere under their sha256.
//!
//! ```text
//!   HEAD /OWNER/REPOSITORY/resolve/main/FILE
//!     307 to another path     the repository was renamed
//!     302 to another host     `X-Linked-Etag` is the file's sha256, `X-Linked-Size` its length
//!     401, 403                private, gated (`X-Error-Code: GatedRepo`) or not there at all
//!   GET of the same           redirects to storage, where ranges may be asked for
//! ```
//! Source: the hub's own Python client, `file_download.py` and `utils/_http.py`.

use super::http::{Http, Server};
use super::{Step, Wanted};
use crate::Error;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName};
use serde::Deserialize;
use std::fmt;
use std::str::FromStr;

/// One file of a repository: `OWNER/REPOSITORY/FILE.gguf`, folders below the repository included.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Hosted {
    repository: String,
    file: String,
}

pub(crate) const SCHEME: &str = "hf:";
/// Where a user gets to put a token.
pub(crate) const TOKEN_VARIABLE: &str = "HF_TOKEN";
const LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
const LINKED_SIZE: &str = "x-linked-size";
const ERROR_CODE: &str = "x-error-code";

impl FromStr for Hosted {
    type Err = Error;

    /// With or without `hf:`.
    fn from_str(reference: &str) -> Result<Hosted, Error> {
        let wrong = |reason: &str| Error::Reference { reference: reference.to_owned(), reason: reason.to_owned() };
        let path = reference.strip_prefix(SCHEME).unwrap_or(reference);
        let parts: Vec<&str> = path.split('/').collect();
        let is_sane = |part: &&str| !part.is_empty() && !matches!(*part, "." | "..") && !part.contains(['\\', '\0']);
        let [owner, repository, file @ ..] = parts.as_slice() else {
            return Err(wrong("write it as hf:OWNER/REPOSITORY/FILE.gguf"));
        };
        if file.is_empty() || !parts.iter().all(is_sane) || path.chars().any(char::is_control) {
            return Err(wrong("write it as hf:OWNER/REPOSITORY/FILE.gguf"));
        }
        let last = file.last().copied().unwrap_or_default();
        if !last.to_ascii_lowercase().ends_with(".gguf") {
            return Err(wrong("only GGUF files can be run; name one that ends in .gguf"));
        }
        if is_split(last) {
            return Err(wrong(
                "it is one part of a split model, and those cannot be run: take a smaller quantisation in one file, or \
                 merge the parts with llama-gguf-split and add the result with `devmesh models add FILE.gguf`",
            ));
        }
        Ok(Hosted { repository: format!("{owner}/{repository}"), file: file.join("/") })
    }
}

impl TryFrom<String> for Hosted {
    type Error = Error;

    fn try_from(reference: String) -> Result<Hosted, Error> {
        reference.parse()
    }
}

impl fmt::Display for Hosted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.repository, self.file)
    }
}

/// `…-00002-of-00005.gguf`.
fn is_split(file: &str) -> bool {
    let stem = &file[..file.len() - ".gguf".len()];
    let mut parts = stem.rsplitn(4, '-');
    let (of, word, part) = (parts.next(), parts.next(), parts.next());
    let is_number = |text: Option<&str>| text.is_some_and(|text| text.len() == 5 && text.parse::<u32>().is_ok());
    word == Some("of") && is_number(of) && is_number(part)
}

impl Hosted {
    pub(crate) fn url(&self, server: &Server) -> Url {
        let path = self.repository.split('/').chain(["resolve", "main"]).chain(self.file.split('/'));
        server.url(path)
    }

    /// What a model of this file is called unless somebody names it: the file's name without its ending.
    pub(crate) fn model_name(&self) -> String {
        let name = self.file.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        name.trim_end_matches(".gguf").to_owned()
    }

    /// What the file is, as the hub says without sending it.
    pub(crate) fn wanted(&self, http: &mut Http, server: &Server, tell: &mut dyn FnMut(Step)) -> Result<Wanted, Error> {
        let response = http.head_until(server, &self.url(server), &LINKED_ETAG, tell)?;
        let status = response.status();
        if status.is_client_error() || status.is_server_error() {
            return Err(self.refused(server, status.as_u16(), response.headers()));
        }
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let etag = text(LINKED_ETAG.as_str()).map(|etag| etag.trim_start_matches("W/").trim_matches('"'));
        let sha256 = etag.filter(|etag| etag.len() == 64 && etag.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let size_bytes = text(LINKED_SIZE).and_then(|size| size.parse().ok()).filter(|&size| size > 0);
        let (Some(sha256), Some(size_bytes)) = (sha256, size_bytes) else {
            let message = format!(
                "it does not say the sha256 and the size of {} ({} and {LINKED_SIZE} are missing), so nothing could be \
                 verified",
                self.file,
                LINKED_ETAG.as_str()
            );
            return Err(Error::Server { host: server.host(), status: status.as_u16(), message });
        };
        Ok(Wanted { sha256: sha256.to_ascii_lowercase(), size_bytes, extension: "gguf".into() })
    }

    fn refused(&self, server: &Server, status: u16, headers: &HeaderMap) -> Error {
        let code = headers.get(ERROR_CODE).and_then(|code| code.to_str().ok()).unwrap_or_default();
        let host = server.host();
        let message = match (status, code) {
            (401 | 403, _) => {
                let (repository, has_token) = (self.repository.clone(), server.token.is_some());
                return Error::Gated { host, repository, is_gated: code == "GatedRepo", has_token };
            }
            (404, "RepoNotFound") => format!("there is no repository {}", self.repository),
            (404, _) => format!("{} has no file {}", self.repository, self.file),
            _ if code.is_empty() => format!("it does not give {}", self.file),
            _ => format!("it does not give {}: {code}", self.file),
        };
        Error::Server { host, status, message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_and_what_cannot_be_run_is_refused() {
        let good = "hf:Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf";
        let hosted: Hosted = good.parse().unwrap();
        assert_eq!(hosted.to_string(), good);
        assert_eq!(hosted.model_name(), "qwen2.5-coder-0.5b-instruct-q4_k_m");
        let server = Server::new("https://hub.example/base/", None, "").unwrap();
        let nested: Hosted = "hf:a/b/Q8 0/m.GGUF".parse().unwrap();
        assert_eq!(nested.url(&server).as_str(), "https://hub.example/base/a/b/resolve/main/Q8%200/m.GGUF");

        for (reference, said) in [
            ("hf:Qwen/model.gguf", "OWNER/REPOSITORY"),
            ("hf:Qwen/repo", "OWNER/REPOSITORY"),
            ("hf:a/b/../../c.gguf", "OWNER/REPOSITORY"),
            ("hf:a/b/model.safetensors", "ends in .gguf"),
            ("hf:a/b/big-q8_0-00001-of-00003.gguf", "split"),
        ] {
            let error = reference.parse::<Hosted>().unwrap_err().to_string();
            assert!(error.contains(said) && error.contains(reference), "{reference}: {error}");
        }
    }
}
