//! The log on disk: what is deleted goes, and what is changed there is found.

use crate::{
    operate::{append, append_one, assert_whole, delete, log, new_job, relieve},
    support::{number_of, reopened, store, until},
};
use domain::{EventHash, verify_link};
use proptest::prelude::*;
use rusqlite::Connection;
use store::{DATABASE_FILE, Error, EventPage, EventRow, Urgency};

#[tokio::test]
async fn a_deleted_log_leaves_the_disk_and_nothing_else_does() {
    let (folder, store) = store().await;
    let deleted = new_job(&*store).await;
    // More than one step of the deletion behind the scenes.
    append(&*store, deleted, 1..3_000).await.unwrap();
    let fresh = new_job(&*store).await;
    append_one(&*store, fresh, 1).await.unwrap();
    delete(&*store, deleted).await;
    assert_eq!(log(&*store, deleted).await, []);
    let file = folder.path().join("data").join(DATABASE_FILE);
    until("the deleted log is gone from the disk", async || {
        let connection = Connection::open(&file).unwrap();
        connection.query_row("SELECT count(*) FROM events", (), |row| row.get::<_, i64>(0)).unwrap() == 2
    })
    .await;
    assert_eq!(assert_whole(&*store, fresh).await.len(), 2);
    store.close().await;
}

#[tokio::test]
async fn a_revision_is_not_given_twice_over_a_restart() {
    let (folder, store) = store().await;
    let (kept, deleted) = (new_job(&*store).await, new_job(&*store).await);
    let newest = store.newest_revision().await.unwrap();
    delete(&*store, deleted).await;
    let store = reopened(&folder, store).await;
    let revision = store.newest_revision().await.unwrap();
    assert!(revision > newest);
    assert_eq!(*store.watch_jobs().borrow(), revision);
    assert_eq!(assert_whole(&*store, kept).await.len(), 1);
    store.close().await;
}

#[tokio::test]
async fn verification_finds_every_kind_of_tampering() {
    let (folder, store) = store().await;
    let job = new_job(&*store).await;
    append(&*store, job, 1..5).await.unwrap();
    store.close().await;
    let file = folder.path().join("data").join(DATABASE_FILE);
    let is_intact = |events: &[EventRow]| {
        let mut previous = EventHash::START;
        events.iter().zip(1..).all(|(event, seq)| {
            let linked = event.seq == seq && event.previous == previous && verify_link(&event.link(), event.hash);
            previous = event.hash;
            linked
        })
    };
    let changes = [
        "UPDATE events SET payload = replace(payload, 'words', 'lies') WHERE seq = 3",
        "UPDATE events SET actor = 'user' WHERE seq = 1",
        "UPDATE events SET at = at + 1 WHERE seq = 5",
        "DELETE FROM events WHERE seq = 2",
        "UPDATE events SET hash = zeroblob(32) WHERE seq = 5",
        "UPDATE events SET place = place + 1 WHERE seq = 5",
    ];
    for change in changes {
        let copy = tempfile::tempdir().unwrap();
        std::fs::copy(&file, copy.path().join(DATABASE_FILE)).unwrap();
        let open = || store::Store::open(store::Options::new(copy.path()));
        let untouched = open().await.unwrap();
        assert!(is_intact(&log(&*untouched, job).await));
        untouched.close().await;
        let changed = Connection::open(copy.path().join(DATABASE_FILE)).unwrap().execute(change, ()).unwrap();
        assert_eq!(changed, 1, "{change}");
        let tampered = open().await.unwrap();
        assert!(!is_intact(&log(&*tampered, job).await), "{change}");
        tampered.close().await;
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append { count: u64 },
    AppendUndone,
    Relieve,
    Page { after: u64, rows: usize },
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..20_u64).prop_map(|count| Step::Append { count }),
        1 => Just(Step::AppendUndone),
        1 => Just(Step::Relieve),
        4 => (0..150_u64, 0..40_usize).prop_map(|(after, rows)| Step::Page { after, rows }),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// A log behaves like a list of numbers.
    #[test]
    fn a_log_is_a_list(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (folder, mut store) = store().await;
            let job = new_job(&*store).await;
            let mut numbers: Vec<u64> = vec![0];
            for step in steps {
                match step {
                    Step::Append { count } => {
                        let first = numbers.len() as u64;
                        let head = append(&*store, job, first..first + count).await.unwrap();
                        numbers.extend(first..first + count);
                        assert_eq!(head, numbers.len() as u64);
                    }
                    Step::AppendUndone => {
                        let refuse: store::DecideJob = Box::new(|_| Err(Error::Closed.into()));
                        assert!(store.change_job(job, Urgency::Ordinary, refuse).await.is_err());
                    }
                    Step::Relieve => {
                        let number = numbers.len() as u64;
                        assert_eq!(relieve(&*store, job, number).await.unwrap(), number + 1);
                        numbers.push(number);
                    }
                    Step::Page { after, rows } => {
                        let page = EventPage { job, after_seq: after, max_events: rows, max_bytes: usize::MAX };
                        let (_, page) = store.page_of_events(page).await.unwrap().unwrap();
                        let seqs: Vec<_> = page.iter().map(|event| event.seq).collect();
                        let expected: Vec<_> =
                            (1..=numbers.len() as u64).filter(|seq| *seq > after).take(rows).collect();
                        assert_eq!(seqs, expected);
                        for event in page {
                            assert_eq!(number_of(&event), numbers[event.seq as usize - 1]);
                        }
                    }
                    Step::Reopen => store = reopened(&folder, store).await,
                }
            }
            assert_eq!(assert_whole(&*store, job).await.len() as u64, numbers.len() as u64);
            store.close().await;
        });
    }
}
