//! What jobs produced: whether it is still there.

use super::Finding;
use crate::context::Context;
use client::Client;
use protocol::{CheckContent, LostContent};
use std::time::{Duration, Instant};
use store::Thoroughness;

const CHECK: &str = "content";
/// Artifacts that are named one by one.
const LISTED: usize = 20;
/// How long to look without being asked to look closely.
const PATIENCE: Duration = Duration::from_secs(10);
const MEND: &str = "devmesh restore FILE --data NEW_FOLDER, from a backup that has it";

/// What a running backend finds. Read as a whole when `deep`.
pub async fn of_backend(client: &Client, deep: bool) -> Vec<Finding> {
    let begun = Instant::now();
    let (mut artifacts, mut lost, mut cursor) = (0, Lost::default(), None);
    let mut is_all = true;
    loop {
        match client.check_content(&CheckContent { deep, cursor }).await {
            Ok(page) => {
                artifacts += page.artifacts;
                page.lost.into_iter().for_each(|one| lost.add(one));
                cursor = page.next_cursor;
            }
            Err(error) => return vec![Finding::bad(CHECK, error.to_string(), "look at the backend's log")],
        }
        if cursor.is_none() {
            break;
        }
        if !deep && begun.elapsed() > PATIENCE {
            is_all = false;
            break;
        }
    }
    let how = match (deep, is_all) {
        (true, _) => "all read and whole",
        (false, true) => "all there; --deep reads them too",
        (false, false) => "the first ones there; --deep reads all",
    };
    lost.findings(artifacts, how)
}

/// What lies in a folder that no backend has.
pub fn of_folder(context: &Context, deep: bool) -> Vec<Finding> {
    let data = &context.config.settings.data;
    if !matches!(store::is_held(data), Ok(false)) || !data.join(store::DATABASE_FILE).exists() {
        return Vec::new();
    }
    let (how, good) = match deep {
        true => (Thoroughness::Read, "all read and whole"),
        false => (Thoroughness::Glance, "all there; --deep reads them too"),
    };
    match store::look_through(data, how, LISTED + 1) {
        Ok(checked) => {
            let mut lost = Lost::default();
            for (row, condition) in checked.lost {
                let (job_id, artifact, condition) = (row.job_id, row.name, condition.to_string());
                lost.add(LostContent { job_id, artifact, bytes: row.bytes, sha256: row.sha256, condition });
            }
            lost.findings(checked.artifacts, good)
        }
        Err(error) => {
            vec![Finding::bad(CHECK, error.to_string(), "keep a copy of the data folder, and restore a backup")]
        }
    }
}

#[derive(Default)]
struct Lost {
    listed: Vec<LostContent>,
    more: u64,
}

impl Lost {
    fn add(&mut self, lost: LostContent) {
        match self.listed.len() < LISTED {
            true => self.listed.push(lost),
            false => self.more += 1,
        }
    }

    fn findings(self, artifacts: u64, how: &str) -> Vec<Finding> {
        if self.listed.is_empty() {
            return vec![Finding::good(CHECK, format!("{artifacts} artifacts, {how}"))];
        }
        let named = self.listed.into_iter().map(|lost| {
            let evidence = format!("artifact `{}` of job {} is {}", lost.artifact, lost.job_id, lost.condition);
            Finding::bad(CHECK, evidence, MEND)
        });
        let more = (self.more > 0).then(|| Finding::bad(CHECK, "and more artifacts after these", MEND));
        named.chain(more).collect()
    }
}
