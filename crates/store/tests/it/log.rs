//! The event log: dense, linked, paged.

use crate::support::{
    append, assert_whole, event, insert, job, log, new_job, number_of, read, reopened, store, until, write,
};
use domain::{EventHash, verify_link};
use proptest::prelude::*;
use rusqlite::Connection;
use store::{DATABASE_FILE, Error, EventRow};

#[tokio::test]
async fn a_page_ends_at_its_rows_or_its_bytes_and_never_empty() {
    let (_folder, store) = store().await;
    let job = new_job(&store).await;
    write(&store, move |transaction| transaction.append(job, &(1..=50).map(event).collect::<Vec<_>>())).await;
    let page = async |after, rows, bytes| -> Vec<u64> {
        let page = read(&store, move |reader| reader.events(job, after, rows, bytes)).await;
        page.iter().map(|event| event.seq).collect()
    };
    assert_eq!(page(0, 3, usize::MAX).await, [1, 2, 3]);
    assert_eq!(page(48, 10, usize::MAX).await, [49, 50]);
    assert_eq!(page(50, 10, usize::MAX).await, [] as [u64; 0]);
    assert_eq!(page(u64::MAX, 10, usize::MAX).await, [] as [u64; 0]);
    assert_eq!(page(7, 10, 0).await, [8], "one event always fits");
    let bytes = log(&store, job).await[..4].iter().map(|event| event.payload.as_str().len()).sum();
    assert_eq!(page(0, 10, bytes).await, [1, 2, 3, 4]);
    store.close().await;
}

#[tokio::test]
async fn an_update_from_an_old_read_does_not_turn_the_head_back() {
    let (_folder, store) = store().await;
    let row = job(0);
    insert(&store, &row).await;
    append(&store, row.id, 1).await.unwrap();
    let old = row.clone();
    write(&store, move |transaction| transaction.update_job(&old)).await;
    assert_eq!(append(&store, row.id, 2).await.unwrap(), 2);
    assert_whole(&store, row.id).await;
    store.close().await;
}

#[tokio::test]
async fn a_deleted_job_takes_its_log_with_it_and_its_revision_is_not_reused() {
    let (folder, store) = store().await;
    let (kept, deleted) = (new_job(&store).await, new_job(&store).await);
    for number in 1..=3 {
        append(&store, kept, number).await.unwrap();
        append(&store, deleted, number).await.unwrap();
    }
    let newest = read(&store, |reader| reader.revision()).await;
    write(&store, move |transaction| transaction.delete_job(deleted)).await;
    assert_eq!(log(&store, deleted).await, []);
    assert!(matches!(append(&store, deleted, 4).await, Err(Error::NoSuchJob(_))));
    let again = store.write(move |transaction| transaction.delete_job(deleted)).await;
    assert!(matches!(again, Err(Error::NoSuchJob(_))));
    let store = reopened(&folder, store).await;
    let revision = read(&store, |reader| reader.revision()).await;
    assert!(revision > newest);
    assert_eq!(*store.watch_jobs().borrow(), revision);
    assert_eq!(assert_whole(&store, kept).await.len(), 3);
    store.close().await;
}

#[tokio::test]
async fn a_new_job_does_not_inherit_the_log_of_the_one_deleted_before_it() {
    let (folder, store) = store().await;
    let deleted = new_job(&store).await;
    // More than one step of the deletion behind the scenes.
    write(&store, move |transaction| transaction.append(deleted, &(1..=3_000).map(event).collect::<Vec<_>>())).await;
    let fresh = job(1);
    let row = fresh.clone();
    write(&store, move |transaction| {
        transaction.delete_job(deleted)?;
        transaction.insert_job(&row)?;
        transaction.append(row.id, &[event(1), event(2)])
    })
    .await;
    assert_eq!(assert_whole(&store, fresh.id).await.len(), 2);
    let file = folder.path().join("data").join(DATABASE_FILE);
    until("the deleted log is gone from the disk, and nothing else", async || {
        let connection = Connection::open(&file).unwrap();
        connection.query_row("SELECT count(*) FROM events", (), |row| row.get::<_, i64>(0)).unwrap() == 2
    })
    .await;
    assert_eq!(assert_whole(&store, fresh.id).await.len(), 2);
    store.close().await;
}

#[tokio::test]
async fn verification_finds_every_kind_of_tampering() {
    let (folder, store) = store().await;
    let job = new_job(&store).await;
    for number in 1..=5 {
        append(&store, job, number).await.unwrap();
    }
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
        assert!(is_intact(&log(&untouched, job).await));
        untouched.close().await;
        let changed = Connection::open(copy.path().join(DATABASE_FILE)).unwrap().execute(change, ()).unwrap();
        assert_eq!(changed, 1, "{change}");
        let tampered = open().await.unwrap();
        assert!(!is_intact(&log(&tampered, job).await), "{change}");
        tampered.close().await;
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append { count: u64 },
    AppendUndone { count: u64 },
    Page { after: u64, rows: usize },
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..20_u64).prop_map(|count| Step::Append { count }),
        1 => (1..20_u64).prop_map(|count| Step::AppendUndone { count }),
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
            let job = new_job(&store).await;
            let mut numbers: Vec<u64> = Vec::new();
            for step in steps {
                match step {
                    Step::Append { count } => {
                        let first = numbers.len() as u64;
                        let events: Vec<_> = (first..first + count).map(event).collect();
                        let head = write(&store, move |transaction| transaction.append(job, &events)).await;
                        numbers.extend(first..first + count);
                        assert_eq!(head.seq, numbers.len() as u64);
                    }
                    Step::AppendUndone { count } => {
                        let events: Vec<_> = (0..count).map(event).collect();
                        let undone: Result<(), Error> = store
                            .write(move |transaction| transaction.append(job, &events).and(Err(Error::Closed)))
                            .await;
                        assert!(undone.is_err());
                    }
                    Step::Page { after, rows } => {
                        let page = read(&store, move |reader| reader.events(job, after, rows, usize::MAX)).await;
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
            assert_eq!(assert_whole(&store, job).await.len() as u64, numbers.len() as u64);
            store.close().await;
        });
    }
}
