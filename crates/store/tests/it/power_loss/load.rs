//! Work of every kind at once, and what was acknowledged of it.

use crate::{
    operate::{append_one, ask, hand_in, new, running_job},
    support::{approval, job},
};
use bytes::Bytes;
use domain::{ApprovalId, JobId};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
    sync::{Arc, Mutex},
};
use store::{Options, Store, StoredBlob};
use tokio::{sync::watch, task::JoinSet};

const WRITERS: u64 = 3;

/// When the power goes.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    /// The first of two uploads that need the same new folder is acknowledged.
    FirstUpload,
    /// The artifacts of two uploads are acknowledged.
    Artifacts,
    /// This many more rows are acknowledged.
    Rows(u64),
}

/// What was acknowledged, and nothing else.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// The last seq of each job.
    pub jobs: BTreeMap<JobId, u64>,
    pub approvals: BTreeMap<ApprovalId, JobId>,
    /// SHA-256 of what is stored.
    pub contents: HashSet<String>,
    /// Job and name, and the content's SHA-256.
    pub artifacts: BTreeMap<(JobId, String), String>,
}

impl Ledger {
    pub fn len(&self) -> usize {
        let events: u64 = self.jobs.values().sum();
        self.jobs.len() + events as usize + self.approvals.len() + self.contents.len() + self.artifacts.len()
    }

    /// The artifact is about to get other content. Until that is answered either may be there, and what it had may go.
    fn replace(&mut self, key: &(JobId, String)) {
        if let Some(replaced) = self.artifacts.remove(key) {
            self.contents.remove(&replaced);
        }
    }
}

type Shared = Arc<Mutex<Ledger>>;

pub struct Load {
    store: Store,
    ledger: Shared,
    writers: JoinSet<()>,
    /// Counts what is acknowledged to the writers.
    rows: watch::Receiver<u64>,
    going: watch::Sender<bool>,
    uploads: JoinSet<StoredBlob>,
    /// Stored, and not an artifact yet.
    stored: Vec<StoredBlob>,
    job: JobId,
    pairs: Pairs,
}

impl Load {
    pub async fn start(folder: &Path) -> Self {
        let store = Store::open(Options::new(folder)).await.unwrap();
        let (ledger, going, count) = (Shared::default(), watch::Sender::new(true), Arc::new(watch::Sender::new(0)));
        let rows = count.subscribe();
        let mut writers = JoinSet::new();
        let job = running_job(&*store).await;
        ledger.lock().unwrap().jobs.insert(job, 2);
        for number in 0..WRITERS {
            writers.spawn(write_rows(store.clone(), number, ledger.clone(), Arc::clone(&count), going.subscribe()));
        }
        let (uploads, stored, pairs) = (JoinSet::new(), Vec::new(), Pairs::default());
        Self { store, ledger, writers, rows, going, uploads, stored, job, pairs }
    }

    /// Works until that moment and says what was acknowledged by then. The work goes on.
    pub async fn until(&mut self, moment: Moment) -> Ledger {
        self.settle().await;
        if let Moment::Rows(more) = moment {
            let target = *self.rows.borrow() + more;
            self.rows.wait_for(|rows| *rows >= target).await.unwrap();
            return self.ledger.lock().unwrap().clone();
        }
        for content in self.pairs.next() {
            let blobs = self.store.blobs().clone();
            self.uploads.spawn(async move { blobs.put_bytes(content).await.unwrap() });
        }
        self.take_upload().await;
        if matches!(moment, Moment::Artifacts) {
            self.settle().await;
        }
        self.ledger.lock().unwrap().clone()
    }

    /// One of the uploads under way. `false`: there is none.
    async fn take_upload(&mut self) -> bool {
        let Some(stored) = self.uploads.join_next().await else { return false };
        let stored = stored.unwrap();
        self.ledger.lock().unwrap().contents.insert(stored.sha256.clone());
        self.stored.push(stored);
        true
    }

    /// Ends the uploads under way and makes artifacts of them: one of its own, and one in the place of the one before, whose
    /// content goes.
    async fn settle(&mut self) {
        while self.take_upload().await {}
        for (number, blob) in std::mem::take(&mut self.stored).into_iter().enumerate() {
            let name = if number == 0 { blob.sha256.clone() } else { "newest".to_owned() };
            let key = (self.job, name);
            self.ledger.lock().unwrap().replace(&key);
            hand_in(&*self.store, self.job, &key.1, &blob).await.unwrap();
            self.ledger.lock().unwrap().artifacts.insert(key, blob.sha256.clone());
        }
    }

    pub async fn stop(mut self) {
        self.settle().await;
        self.going.send_replace(false);
        while let Some(writer) = self.writers.join_next().await {
            writer.unwrap();
        }
        self.store.close().await;
    }
}

/// Jobs, each with a log and an approval, one after another.
async fn write_rows(
    store: Store,
    writer: u64,
    ledger: Shared,
    count: Arc<watch::Sender<u64>>,
    going: watch::Receiver<bool>,
) {
    for number in 0.. {
        let row = job((writer * 1_000_000 + number) as i64);
        store.create_job(new(&row)).await.unwrap();
        ledger.lock().unwrap().jobs.insert(row.id, 1);
        for number in 0..20 {
            let seq = append_one(&*store, row.id, number).await.unwrap();
            ledger.lock().unwrap().jobs.insert(row.id, seq);
            count.send_modify(|count| *count += 1);
            if !*going.borrow() {
                return;
            }
        }
        let asked = approval(row.id, "call", 1);
        let id = asked.id;
        ask(&*store, &asked).await.unwrap();
        ledger.lock().unwrap().approvals.insert(id, row.id);
    }
}

/// Contents that lie in one folder two by two, each pair in another one.
#[derive(Default)]
struct Pairs {
    tried: u64,
    waiting: HashMap<u8, Bytes>,
    used: HashSet<u8>,
}

impl Pairs {
    fn next(&mut self) -> [Bytes; 2] {
        loop {
            self.tried += 1;
            let content = Bytes::from(format!("content {}\n", self.tried).repeat(300));
            let folder = Sha256::digest(&content)[0];
            if self.used.contains(&folder) {
                continue;
            }
            if let Some(first) = self.waiting.remove(&folder) {
                self.used.insert(folder);
                return [first, content];
            }
            self.waiting.insert(folder, content);
        }
    }
}
