//! One job, and lists of them.

use crate::{Caller, Error, Handle, validate::shortened, view};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::{JobId, Scope};
use protocol::{Artifact, ArtifactPage, Job, JobPage, ListJobs};
use std::path::PathBuf;
use store::{JobFilter, JobRow, Reader};

/// Jobs of one page, when nothing else is asked for.
const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;
/// A page ends early rather than hold more than this of specifications and results (bytes): 200 jobs with a task of
/// 2 MiB each would otherwise be one answer.
const PAGE_BYTES: usize = 4 << 20;
/// Rows read at a time until the page is full.
const CHUNK: usize = 16;
/// Jobs asked about at once: a working copy each, on one machine.
const KNOWN_JOBS: usize = 1_000;
/// Begins every cursor of the job list, so that one from elsewhere is told apart.
const CURSOR_PREFIX: &str = "jobs.";

impl Handle {
    pub async fn get(&self, caller: &Caller, job: JobId) -> Result<Job, Error> {
        let row = self.visible(caller, job).await?;
        self.shared.view(row)
    }

    /// Newest first.
    pub async fn list(&self, caller: &Caller, query: ListJobs) -> Result<JobPage, Error> {
        let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(Error::invalid("limit", format!("is {limit}; 1 to {MAX_LIMIT} are allowed")));
        }
        let filter = JobFilter {
            principal: caller.lists_only()?,
            state: query.state,
            kind: query.kind,
            id_prefix: query.id_prefix.map(id_prefix).transpose()?,
            before: query.cursor.as_deref().map(decode_cursor).transpose()?,
            limit: CHUNK,
        };
        let (rows, more) = self.shared.store.read(move |reader| page(reader, filter, limit as usize)).await?;
        let next_cursor = rows.last().filter(|_| more).map(|last| encode_cursor(last.id));
        let jobs = rows.into_iter().map(|row| self.shared.view(row)).collect::<Result<_, _>>()?;
        Ok(JobPage { jobs, next_cursor })
    }

    /// Which of these jobs were not deleted, in the order asked. Agents remove what they keep for others.
    pub async fn known(&self, caller: &Caller, jobs: Vec<JobId>) -> Result<Vec<JobId>, Error> {
        caller.must_be(Scope::Agent)?;
        if jobs.len() > KNOWN_JOBS {
            let detail = format!("has {} ids; at most {KNOWN_JOBS} are allowed. Ask again for the rest", jobs.len());
            return Err(Error::invalid("/job_ids", detail));
        }
        Ok(self.shared.store.known_jobs(jobs).await?)
    }

    /// What the job produced, by name.
    pub async fn artifacts(&self, caller: &Caller, job: JobId) -> Result<ArtifactPage, Error> {
        let found = self.shared.store.artifacts(job).await?.filter(|(head, _)| caller.sees_head(head));
        let (_, rows) = found.ok_or_else(|| Error::no_job(job))?;
        Ok(ArtifactPage { artifacts: rows.into_iter().map(view::artifact).collect(), next_cursor: None })
    }

    /// One artifact, and the file its content is in.
    pub async fn artifact(&self, caller: &Caller, job: JobId, name: &str) -> Result<(Artifact, PathBuf), Error> {
        let found = self.shared.store.artifact(job, name.to_owned()).await?.filter(|(head, _)| caller.sees_head(head));
        let (_, row) = found.ok_or_else(|| Error::no_job(job))?;
        let row = row.ok_or_else(|| Error::NotFound { what: "artifact", id: shortened(name) })?;
        let path = self.shared.store.blobs().path(&row.sha256)?;
        Ok((view::artifact(row), path))
    }

    /// The job, if the caller may see it. One that belongs to somebody else is not told apart from none.
    pub(crate) async fn visible(&self, caller: &Caller, job: JobId) -> Result<JobRow, Error> {
        let row = self.shared.store.job(job).await?.filter(|row| caller.sees(row));
        row.ok_or_else(|| Error::no_job(job))
    }
}

/// Up to `limit` rows and whether there are more after them.
fn page(reader: &Reader<'_>, mut filter: JobFilter, limit: usize) -> Result<(Vec<JobRow>, bool), Error> {
    let mut rows: Vec<JobRow> = Vec::new();
    let mut bytes = 0;
    loop {
        let chunk = reader.jobs(&filter)?;
        let last_chunk = chunk.len() < CHUNK;
        for row in chunk {
            bytes += row.spec.len() + row.result.as_ref().map_or(0, String::len);
            if rows.len() == limit || (bytes > PAGE_BYTES && !rows.is_empty()) {
                return Ok((rows, true));
            }
            filter.before = Some(row.id);
            rows.push(row);
        }
        if last_chunk {
            return Ok((rows, false));
        }
    }
}

fn id_prefix(text: String) -> Result<String, Error> {
    let text = text.to_ascii_lowercase();
    let fits = text.len() <= 36 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'-'));
    if !fits {
        let detail = format!("`{}` is not the beginning of an id: hex digits and dashes", shortened(&text));
        return Err(Error::invalid("id_prefix", detail));
    }
    Ok(text)
}

fn encode_cursor(last: JobId) -> String {
    URL_SAFE_NO_PAD.encode(format!("{CURSOR_PREFIX}{last}"))
}

fn decode_cursor(text: &str) -> Result<JobId, Error> {
    let decoded = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let last = decoded.as_deref().and_then(|text| text.strip_prefix(CURSOR_PREFIX)?.parse().ok());
    last.ok_or_else(|| Error::InvalidCursor(shortened(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Timestamp;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_cursor_round_trips(millis in 0..4_000_000_000_000i64) {
            let job = JobId::new(Timestamp::from_millis(millis));
            let cursor = encode_cursor(job);
            prop_assert!(cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
            prop_assert_eq!(decode_cursor(&cursor).unwrap(), job);
        }

        #[test]
        fn no_text_panics(text in ".{0,80}") {
            prop_assert!(decode_cursor(&text).is_err());
        }
    }

    #[test]
    fn an_id_prefix_is_hex_and_dashes() {
        assert_eq!(id_prefix("019A-2".into()).unwrap(), "019a-2");
        for text in ["%", "019g", "0 1", &"0".repeat(37)] {
            assert!(id_prefix(text.into()).is_err(), "{text}");
        }
    }
}
