//! What every command works with, and how it finds its backend.

use crate::{
    config::Config,
    output::{Exit, Failure, Output, Result},
    wiring,
};
use client::{Client, Options};
use domain::JobId;
use protocol::{Job, ListJobs};

pub struct Context {
    pub config: Config,
    pub output: Output,
}

impl Context {
    /// The backend's address: what was said, else the backend that runs on the data folder, else the usual port here.
    pub fn backend_url(&self) -> String {
        let settings = &self.config.settings;
        let local = || wiring::backend_url_file(&settings.data).ok().filter(|url| !url.is_empty());
        settings.url.clone().or_else(local).unwrap_or_else(|| settings.backend_url())
    }

    /// The token: what was said, else the first one of the data folder.
    pub fn token(&self) -> Result<String> {
        let settings = &self.config.settings;
        if let Some(token) = &settings.token {
            return Ok(token.clone());
        }
        let file = settings.admin_token_file();
        match std::fs::read_to_string(&file) {
            Ok(text) => Ok(text.trim().to_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && settings.url.is_none() => Err(Failure::new(
                Exit::Unreachable,
                format!("there is no mesh in {} yet, and no other backend was named", settings.data.display()),
            )
            .next("devmesh up, or name a backend with --url and --token-file")),
            Err(error) => {
                Err(Failure::new(Exit::Unauthorized, format!("no token: {} cannot be read ({error})", file.display()))
                    .next("set DEVMESH_TOKEN_FILE, or give --token-file FILE"))
            }
        }
    }

    pub fn client(&self) -> Result<Client> {
        Ok(Client::new(Options::new(self.backend_url(), self.token()?))?)
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
