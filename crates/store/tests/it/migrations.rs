//! Databases of every earlier version, with rows in them: this build opens each and gives every row back as it was written.
//!
//! They lie in `tests/fixtures`, one for each migration and named like it, as SQL that a person can read in a review. Those of
//! versions 4, 5, 6, 8 and 9 were written by the programs of that time; 1, 2, 3 and 7, which no program ended at, are what a
//! process left behind that was killed between two migrations.

mod dump;
mod rows;

use crate::{
    operate::{append_one, approval, assert_whole},
    support::{at, principal},
};
use dump::{dump, load};
use rows::{CONTENT, CONTENT_SHA256, OTHER, OWNER, job_id};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use store::{
    ApprovalRow, BLOB_FOLDER, BooksBatch, DATABASE_FILE, JobFilter, JobRow, ModelCallFilter, Options, SpendCount,
    SpendKey, Store,
};

fn migrations() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite")
}

/// Names in order; the first makes version 1.
fn versions() -> Vec<String> {
    let files = std::fs::read_dir(migrations()).unwrap();
    let mut names: Vec<_> =
        files.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.sql"))
}

#[tokio::test]
async fn every_version_has_a_database_with_rows_in_every_table() {
    let mut before = Connection::open_in_memory().unwrap();
    for (version, name) in (1_u32..).zip(versions()) {
        let file = fixture(&name);
        let Ok(sql) = std::fs::read_to_string(&file) else {
            let proposed = file.with_extension("sql.new");
            let migration = std::fs::read_to_string(migrations().join(format!("{name}.sql"))).unwrap();
            let migrated = match version as usize == versions().len() {
                true => migrated_here(&dump(&before)).await,
                // This build goes further, so the part of it that is SQL has to do.
                false => migrated_alone(&before, &migration, version, &name),
            };
            std::fs::write(&proposed, migrated).unwrap();
            panic!(
                "version {version} has no database of its own: {} was made out of the one before; give rows to the tables that \
                 {name} brought, add them to `rows.rs` and to what is read back, and rename it to end in `.sql`",
                proposed.display()
            );
        };
        before = load(&sql, Path::new(":memory:"));
        let found: u32 = before.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(found, version, "{name}");
        assert_eq!(dump::empty_tables(&before), Vec::<String>::new(), "{name}");
    }
}

/// As this build leaves it.
async fn migrated_here(sql: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    drop(load(sql, &folder.path().join(DATABASE_FILE)));
    Store::open(Options::new(folder.path())).await.unwrap().close().await;
    dump(&Connection::open(folder.path().join(DATABASE_FILE)).unwrap())
}

fn migrated_alone(connection: &Connection, migration: &str, version: u32, name: &str) -> String {
    connection.execute_batch(migration).unwrap();
    connection.execute("INSERT INTO migrations (version, name) VALUES (?1, ?2)", (version, name)).unwrap();
    connection.pragma_update(None, "user_version", version).unwrap();
    dump(connection)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_every_earlier_version_is_read_back() {
    for (version, name) in (1..).zip(versions()) {
        let folder = tempfile::tempdir().unwrap();
        let before = Before::of(&fixture(&name), folder.path());
        // Twice: what a migration made is there after the next start too.
        for start in 1..=2 {
            println!("version {version}, start {start}");
            let store = Store::open(Options::new(folder.path())).await.unwrap();
            assert_eq!(store.epoch().0, before.epoch);
            jobs_and_logs(&store, version, &before).await;
            if version >= 3 {
                approvals_and_artifacts(&store, version).await;
            }
            if version >= 4 {
                access(&store).await;
            }
            if version >= 5 {
                models(&store, version).await;
            }
            if version >= 13 {
                assert_eq!(store.model_profiles().await.unwrap(), [rows::model_profile()]);
            }
            store.close().await;
        }
        // And it goes on.
        let store = Store::open(Options::new(folder.path())).await.unwrap();
        if version >= 2 {
            let seq = append_one(&*store, job_id(3), 1).await.unwrap();
            assert_eq!(seq, rows::events(3).len() as u64 + 1);
            assert_eq!(assert_whole(&*store, job_id(3)).await.len() as u64, seq);
        }
        store.close().await;
    }
}

/// What the old program chose by itself.
struct Before {
    epoch: u32,
    revisions: Vec<u64>,
}

impl Before {
    /// Makes the data folder of that time.
    fn of(fixture: &Path, folder: &Path) -> Self {
        let sql = std::fs::read_to_string(fixture).unwrap();
        let connection = load(&sql, &folder.join(DATABASE_FILE));
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        let epoch = connection.query_row("SELECT epoch FROM store", (), |row| row.get(0)).unwrap();
        let mut revisions = connection.prepare("SELECT revision FROM jobs ORDER BY id").unwrap();
        let revisions = revisions.query_map((), |row| row.get::<_, i64>(0)).unwrap();
        let revisions = revisions.map(|revision| revision.unwrap() as u64).collect();
        let shard = folder.join(BLOB_FOLDER).join(&CONTENT_SHA256[..2]);
        std::fs::create_dir_all(&shard).unwrap();
        std::fs::write(shard.join(CONTENT_SHA256), CONTENT).unwrap();
        Self { epoch, revisions }
    }
}

async fn jobs_and_logs(store: &Store, version: u32, before: &Before) {
    let mut found = store.page_of_jobs(JobFilter::default()).await.unwrap().rows;
    found.reverse(); // newest first
    assert_eq!(found.len(), 3);
    for ((written, found), (revision, number)) in
        rows::jobs().into_iter().zip(found).zip(before.revisions.iter().zip(1..))
    {
        let events = if version >= 2 { rows::events(number) } else { Vec::new() };
        let expected = JobRow {
            // Jobs from before are held to the tighter choice.
            folders: if version >= 7 { written.folders.clone() } else { "roots".to_owned() },
            // What runs goes back into the queue.
            lease_epoch: written.lease_epoch.filter(|_| version >= 9),
            head_seq: events.len() as u64,
            head_hash: found.head_hash,
            revision: *revision,
            ..written
        };
        assert_eq!(found, expected);
        let log = assert_whole(&**store, found.id).await;
        assert_eq!(log.len(), events.len());
        for (written, found) in events.iter().zip(&log) {
            assert_eq!(
                (&written.event_type, written.actor, written.attempt, written.at, &written.payload),
                (&found.event_type, found.actor.as_str(), found.attempt, found.at, &found.payload)
            );
            assert_eq!(found.epoch.0, before.epoch);
        }
    }
}

async fn approvals_and_artifacts(store: &Store, version: u32) {
    let [pending, decided, used] = rows::approvals();
    let mut expected = vec![pending, decided];
    if version >= 8 {
        expected.push(used);
    } else {
        // What was decided before counts as spent.
        expected[1] = ApprovalRow { spent: true, ..expected[1].clone() };
    }
    for row in expected {
        let id = row.id;
        assert_eq!(approval(&**store, id).await, Some(row));
    }
    let artifact = rows::artifact();
    assert_eq!(store.page_of_artifacts(job_id(1), None, 10).await.unwrap().unwrap().page.rows, [artifact]);
    assert_eq!(std::fs::read(store.blobs().path(CONTENT_SHA256).unwrap()).unwrap(), CONTENT);
}

async fn access(store: &Store) {
    let mut tokens = store.tokens().await.unwrap();
    tokens.sort_by_key(|token| token.created_at);
    assert_eq!(tokens, rows::tokens());
    let row = rows::idempotency();
    assert_eq!(store.remembered_answer(principal(OWNER), row.key.clone()).await.unwrap(), Some(row));
    let trail = store.stretch_of_audit(0, 10).await.unwrap().entries;
    let entries: Vec<_> = trail.into_iter().map(|entry| (entry.seq, entry.row)).collect();
    assert_eq!(entries, (1..).zip(rows::audit()).collect::<Vec<_>>());
}

async fn models(store: &Store, version: u32) {
    assert_eq!(store.key_policy(principal(OTHER)).await.unwrap(), Some(rows::key_policy()));
    for (key, count) in rows::spend() {
        assert_eq!(store.spend_of(key.clone()).await.unwrap(), count);
        let other = SpendKey { begins_at: at(1), ..key };
        assert_eq!(store.spend_of(other).await.unwrap(), SpendCount::default());
    }
    let known = BooksBatch { number: rows::batch(), spend: Vec::new(), calls: Vec::new(), ledger: Vec::new() };
    assert!(!store.book(known).await.unwrap(), "it is known as booked");
    let mut details = store.page_of_model_calls(ModelCallFilter::default()).await.unwrap().rows;
    details.reverse();
    let written = rows::model_calls();
    let calls = if version >= 6 { &written[..] } else { &written[..1] };
    assert_eq!(details, calls.iter().map(|call| call.detail.clone()).collect::<Vec<_>>());
    let filter =
        ModelCallFilter { principal: Some(principal(OTHER)), job: Some(job_id(1)), ..ModelCallFilter::default() };
    assert_eq!(store.page_of_model_calls(filter).await.unwrap().rows.len(), calls.len());
    let counted = Connection::open(store.folder().join(DATABASE_FILE)).unwrap();
    let mut counted = counted.prepare("SELECT input_tokens, output_tokens FROM model_calls ORDER BY id").unwrap();
    let counted = counted.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let counted: Vec<(Option<i64>, Option<i64>)> = counted.map(Result::unwrap).collect();
    let signed = |tokens: Option<u64>| tokens.map(|tokens| tokens as i64);
    let expected: Vec<_> = calls.iter().map(|call| (signed(call.input_tokens), signed(call.output_tokens))).collect();
    assert_eq!(counted, expected);
    assert_eq!(store.page_of_ledger(0, 10).await.unwrap().rows, rows::ledger());
}
