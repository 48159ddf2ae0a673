//! One job, and lists of them.

use crate::{Caller, Error, Handle, validate::shortened, view};
use domain::{JobId, Scope};
use protocol::{Artifact, ArtifactPage, Job, JobPage, List, ListAll, ListJobs};
use store::{Contents, JobFilter, JobRow};

/// Jobs asked about at once: a working copy each, on one machine.
const KNOWN_JOBS: usize = 1_000;

impl Handle {
    pub async fn get(&self, caller: &Caller, job: JobId) -> Result<Job, Error> {
        let row = self.visible(caller, job).await?;
        self.shared.view(row)
    }

    /// Newest first.
    pub async fn list(&self, caller: &Caller, query: ListJobs) -> Result<JobPage, Error> {
        let page = List::Jobs.query(query.limit, query.cursor.as_deref())?;
        let filter = JobFilter {
            principal: caller.lists_only()?,
            state: query.state,
            kind: query.kind,
            id_prefix: query.id_prefix.map(id_prefix).transpose()?,
            before: page.after,
            limit: page.limit,
        };
        let found = self.shared.store.page_of_jobs(filter).await?;
        let next_cursor = found.last_if_more().map(|last| List::Jobs.cursor_after(last.id));
        let jobs = found
            .rows
            .into_iter()
            .filter_map(|row| view::pass_over(self.shared.view(row)))
            .collect::<Result<_, _>>()?;
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

    /// By name.
    pub async fn artifacts(&self, caller: &Caller, job: JobId, query: ListAll) -> Result<ArtifactPage, Error> {
        let page = List::Artifacts.query(query.limit, query.cursor.as_deref())?;
        let found = self.shared.store.page_of_artifacts(job, page.after, page.limit).await?;
        let found = found.filter(|found| caller.sees_head(&found.job)).ok_or_else(|| Error::no_job(job))?.page;
        let next_cursor = found.last_if_more().map(|last| List::Artifacts.cursor_after(&last.name));
        Ok(ArtifactPage { artifacts: found.rows.into_iter().map(view::artifact).collect(), next_cursor })
    }

    /// One artifact and its content, which is compared with its digest as it is read.
    pub async fn artifact(&self, caller: &Caller, job: JobId, name: &str) -> Result<(Artifact, Contents), Error> {
        let found = self.shared.store.artifact(job, name.to_owned()).await?.filter(|(head, _)| caller.sees_head(head));
        let (_, row) = found.ok_or_else(|| Error::no_job(job))?;
        let row = row.ok_or_else(|| Error::NotFound { what: "artifact", id: shortened(name) })?;
        let contents = self.shared.store.blobs().read(&row.sha256, row.bytes).await.map_err(|error| match error {
            store::Error::BlobLost { condition, .. } => Error::ContentLost { job, name: row.name.clone(), condition },
            other => other.into(),
        })?;
        Ok((view::artifact(row), contents))
    }

    /// The job, if the caller may see it. One that belongs to somebody else is not told apart from none.
    pub(crate) async fn visible(&self, caller: &Caller, job: JobId) -> Result<JobRow, Error> {
        let row = self.shared.store.job(job).await?.filter(|row| caller.sees(row));
        row.ok_or_else(|| Error::no_job(job))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_prefix_is_hex_and_dashes() {
        assert_eq!(id_prefix("019A-2".into()).unwrap(), "019a-2");
        for text in ["%", "019g", "0 1", &"0".repeat(37)] {
            assert!(id_prefix(text.into()).is_err(), "{text}");
        }
    }
}
