//! What every command works with, and how it finds its backend.
//!
//! ```text
//!   address      token        goes to
//!   given        given        that address
//!   not given    given        whatever has the data folder, under the address it wrote down
//!   not given    the first    the same
//!   given        the first    that address, when it is the one written down by whatever has the data folder
//! ```
//! A file with an address outlives the process that wrote it, and another program may have the port by then. The lock of the
//! data folder does not: without it nothing is asked, and no usual port is tried.

use crate::{
    config::{Config, read_regular_file},
    output::{Exit, Failure, Output, Result},
    wiring,
};
use client::{Client, Options};
use domain::JobId;
use protocol::{Job, ListJobs};
use reqwest::Url;

pub struct Context {
    pub config: Config,
    pub output: Output,
}

/// Where requests go, and what they show there.
pub struct Access {
    pub url: String,
    pub token: String,
}

/// Longest file with a token, in bytes.
const TOKEN_BYTES: u64 = 1024;

impl Context {
    pub fn client(&self) -> Result<Client> {
        let Access { url, token } = self.access()?;
        Ok(Client::new(Options::new(url, token))?)
    }

    pub fn access(&self) -> Result<Access> {
        let settings = &self.config.settings;
        let (url, token) = match (&settings.url, &settings.token) {
            (Some(url), Some(token)) => (url.clone(), token.clone()),
            (None, Some(token)) => (self.address_of_the_mesh()?, token.clone()),
            (None, None) => (self.address_of_the_mesh()?, self.first_token()?),
            (Some(url), None) => {
                self.check_is_the_mesh(url)?;
                (url.clone(), self.first_token()?)
            }
        };
        Ok(Access { url, token })
    }

    /// The token the backend of the data folder made for its owner.
    pub fn first_token(&self) -> Result<String> {
        let file = self.config.settings.admin_token_file();
        match read_regular_file(&file, TOKEN_BYTES) {
            Ok((text, _)) => Ok(text.trim().to_owned()),
            Err(error) => {
                Err(Failure::new(Exit::Unauthorized, format!("no token: {} cannot be read ({error})", file.display()))
                    .next("give --token-file FILE; if it was lost, stop the mesh and run devmesh token reset"))
            }
        }
    }

    /// The address of the mesh that has the data folder now.
    fn address_of_the_mesh(&self) -> Result<String> {
        let data = &self.config.settings.data;
        let shown = data.display();
        let unreachable = |what: String| Failure::new(Exit::Unreachable, what);
        let address = wiring::backend_url_file(data);
        match store::is_held(data) {
            Ok(true) => address.map_err(|error| {
                unreachable(format!("the mesh on {shown} has not said yet where it listens ({error})"))
                    .next("try again in a moment, or look at its log")
            }),
            Ok(false) => Err(unreachable(format!("no mesh is running on {shown}"))
                .next("devmesh up, or name a backend with --url and --token-file")),
            Err(error) => Err(unreachable(format!("whether a mesh is running on {shown} cannot be told: {error}"))
                .next("choose your own data folder with --data, or name a backend with --url and --token-file")),
        }
    }

    /// The first token of a data folder opens everything there. It goes nowhere else, whoever named the address.
    fn check_is_the_mesh(&self, url: &str) -> Result<()> {
        let shown = self.config.settings.data.display();
        let why = match self.address_of_the_mesh() {
            Ok(address) if is_same(&address, url) => return Ok(()),
            Ok(address) => format!("the mesh on {shown} is at {address}"),
            Err(failure) => failure.what,
        };
        Err(Failure::new(Exit::Unauthorized, format!("no token for {url}: {why}, and its token goes nowhere else"))
            .next(
                "give the token of that backend with --token-file FILE or DEVMESH_TOKEN_FILE, or leave the address out",
            ))
    }

    /// The job whose id is, or uniquely begins with, `text`.
    pub async fn job(&self, client: &Client, text: &str) -> Result<Job> {
        let text = text.trim().to_ascii_lowercase();
        if let Ok(id) = text.parse::<JobId>() {
            return Ok(client.job(id).await?);
        }
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
            return Err(Failure::usage(format!("`{text}` is no job id: ids are hex digits and dashes"))
                .next("devmesh jobs list"));
        }
        let list = ListJobs { id_prefix: Some(text.clone()), limit: Some(2), ..ListJobs::default() };
        let mut jobs = client.jobs(&list).await?.jobs;
        match (jobs.pop(), jobs.pop()) {
            (Some(job), None) => Ok(job),
            (None, _) => {
                Err(Failure::new(Exit::NotFound, format!("no job's id begins with `{text}`")).next("devmesh jobs list"))
            }
            (Some(one), Some(other)) => Err(Failure::usage(format!(
                "`{text}` begins the id of more than one job, such as {} and {}; give more of it",
                other.id, one.id
            ))),
        }
    }
}

/// Whether two addresses lead to the same place by themselves, without asking what a name means.
fn is_same(one: &str, other: &str) -> bool {
    let parts = |text: &str| {
        let url = Url::parse(text).ok()?;
        let path = url.path().trim_end_matches('/').to_owned();
        Some((url.scheme().to_owned(), url.host_str()?.to_owned(), url.port_or_known_default()?, path))
    };
    parts(one).is_some_and(|one| parts(other) == Some(one))
}

#[cfg(test)]
mod tests {
    use super::is_same;

    #[test]
    fn an_address_is_the_same_when_it_leads_to_the_same_place() {
        for same in ["http://127.0.0.1:8080", "http://127.0.0.1:8080/", "HTTP://127.0.0.1:8080"] {
            assert!(is_same("http://127.0.0.1:8080", same), "{same}");
        }
        for other in [
            "http://127.0.0.1:8081",
            "https://127.0.0.1:8080",
            "http://localhost:8080",
            "http://127.0.0.1:8080/x",
            "",
            "x",
        ] {
            assert!(!is_same("http://127.0.0.1:8080", other), "{other}");
        }
        assert!(!is_same("", ""));
    }
}
