//! Group commit: who is answered when, and what one request can do to another.

use crate::{
    operate::{append, append_one, approval as stored_approval, assert_whole, log, new, new_job},
    support::{approval, event, is_waiting, job, number_of, reopened, store, until},
};
use domain::{JobId, JobState};
use rusqlite::{Connection, OpenFlags};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
    mpsc,
};
use store::{
    Answer, ApprovalChange, Changed, DATABASE_FILE, Error, Found, Health, JobRow, Options, Store, Urgency, Write,
    limits,
};

/// A write that changes nothing.
fn nothing(store: &Store, job: JobId) -> Answer<Changed> {
    store.change_job(job, Urgency::Ordinary, Box::new(|_| Ok(None)))
}

/// Holds the writer thread inside a request until told to go on, so that what comes meanwhile ends in one batch.
pub async fn held_writer(store: &Store) -> mpsc::Sender<()> {
    let (go_on, held) = mpsc::channel::<()>();
    let (started, running) = tokio::sync::oneshot::channel();
    let (store, job, mut started) = (store.clone(), new_job(&**store).await, Some(started));
    tokio::spawn(async move {
        let hold = move |_: &Found| {
            started.take().map(|started| started.send(()));
            let _ = held.recv();
            Ok(None)
        };
        store.change_job(job, Urgency::Ordinary, Box::new(hold)).await
    });
    running.await.unwrap();
    go_on
}

#[tokio::test]
async fn what_is_acknowledged_is_in_a_copy_of_the_files() {
    let (folder, store) = store().await;
    let job = new_job(&*store).await;
    for number in 1..=20 {
        append_one(&*store, job, number).await.unwrap();
    }
    // What a power cut would leave: the files as they are, copied while the store is open and at rest.
    let copy = folder.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    for name in [format!("{DATABASE_FILE}-wal"), DATABASE_FILE.to_owned()] {
        let source = folder.path().join("data").join(&name);
        if source.exists() {
            std::fs::copy(source, copy.join(&name)).unwrap();
        }
    }
    let copied = Store::open(Options::new(&copy)).await.unwrap();
    assert_eq!(assert_whole(&*copied, job).await.len(), 21);
    copied.close().await;
    store.close().await;
}

#[tokio::test]
async fn a_request_that_fails_takes_nothing_of_its_batch_with_it() {
    let (_folder, store) = store().await;
    let id = new_job(&*store).await;
    let go_on = held_writer(&store).await;
    let mut good = Box::pin(append_one(&*store, id, 1));
    assert!(is_waiting(good.as_mut()).await);
    // Its first approval can be stored and its second cannot.
    let (kept, stray) = (approval(id, "call", 1), approval(job(1).id, "call", 2));
    let approvals = vec![ApprovalChange::Insert(kept.clone()), ApprovalChange::Insert(stray)];
    let write = move |found: &Found| {
        let write = Write::new(found.job.clone(), vec![event(100), event(101)]);
        Ok(Some(Write { approvals: approvals.clone(), ..write }))
    };
    let mut bad = store.change_job(id, Urgency::Ordinary, Box::new(write));
    assert!(is_waiting(bad.as_mut()).await);
    let mut later = Box::pin(append_one(&*store, id, 2));
    assert!(is_waiting(later.as_mut()).await);
    go_on.send(()).unwrap();
    assert_eq!(good.await.unwrap(), 2);
    assert!(matches!(bad.await, Err(Error::NoSuchJob(_))));
    assert_eq!(later.await.unwrap(), 3);
    assert_eq!(stored_approval(&*store, kept.id).await, None);
    assert_eq!(assert_whole(&*store, id).await.len(), 3);
    store.close().await;
}

#[tokio::test]
async fn a_request_that_panics_is_undone_and_answered() {
    let (folder, store) = store().await;
    let id = new_job(&*store).await;
    let outcome = store.change_job(id, Urgency::Ordinary, Box::new(|_| panic!("out of luck"))).await;
    assert!(matches!(&outcome, Err(Error::Panicked(message)) if message == "out of luck"), "{outcome:?}");
    assert_eq!(append_one(&*store, id, 2).await.unwrap(), 2, "the writer lives");
    let store = reopened(&folder, store).await;
    assert_eq!(assert_whole(&*store, id).await.len(), 2);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_writers_make_one_dense_chain() {
    const WRITERS: u64 = 64;
    const EACH: u64 = 25;
    let (folder, store) = store().await;
    let (shared, others) = (new_job(&*store).await, [new_job(&*store).await, new_job(&*store).await]);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0..EACH {
                    append_one(&*store, shared, 1 + writer * EACH + number).await.unwrap();
                    append_one(&*store, others[(writer % 2) as usize], number).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let store = reopened(&folder, store).await;
    let events = assert_whole(&*store, shared).await;
    let mut numbers: Vec<_> = events.iter().map(number_of).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..=WRITERS * EACH).collect::<Vec<_>>(), "each append is there once");
    for other in others {
        assert_eq!(assert_whole(&*store, other).await.len() as u64, 1 + WRITERS * EACH / 2);
    }
    store.close().await;
}

#[tokio::test]
async fn watchers_hear_after_the_commit_and_not_before() {
    let (folder, store) = store().await;
    let id = new_job(&*store).await;
    let revision = store.newest_revision().await.unwrap();
    let (mut log_watch, mut jobs_watch) = (store.watch_job(id), store.watch_jobs());
    assert_eq!(*jobs_watch.borrow_and_update(), revision);
    jobs_watch.borrow_and_update();
    // Two changes in one batch: while the second is decided on, the first is written and not told. A slow machine may commit
    // between the two, and then it is told, of what is there.
    let mut head = 1;
    for attempt in 1.. {
        assert!(attempt <= 100, "no two changes ever came into one batch");
        log_watch.borrow_and_update();
        jobs_watch.borrow_and_update();
        let go_on = held_writer(&store).await;
        jobs_watch.borrow_and_update();
        let mut first = Box::pin(append_one(&*store, id, head));
        assert!(is_waiting(first.as_mut()).await);
        let (watch, jobs) = (log_watch.clone(), jobs_watch.clone());
        let (decided, committed) = mpsc::channel();
        let database = folder.path().join(format!("data/{DATABASE_FILE}"));
        let decide = move |found: &Found| {
            let told = watch.has_changed().unwrap() || jobs.has_changed().unwrap();
            let reader = Connection::open_with_flags(&database, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
            let sql = "SELECT head_seq FROM jobs WHERE id = ?1";
            let committed: i64 = reader.query_row(sql, [id.0.as_bytes()], |row| row.get(0)).unwrap();
            decided.send((told, found.job.head_seq, committed)).unwrap();
            let job = JobRow { state: JobState::Running, ..found.job.clone() };
            Ok(Some(Write::new(job, vec![event(head + 1)])))
        };
        let mut second = store.change_job(id, Urgency::Ordinary, Box::new(decide));
        assert!(is_waiting(second.as_mut()).await);
        go_on.send(()).unwrap();
        first.await.unwrap();
        second.await.unwrap();
        let (told, written, committed) = committed.recv().unwrap();
        assert_eq!(written, head + 1, "the second is decided on after the first");
        assert!(!told || committed == i64::try_from(written).unwrap(), "told of {written} when {committed} was there");
        head += 2;
        if committed < i64::try_from(written).unwrap() {
            break;
        }
    }
    log_watch.changed().await.unwrap();
    assert_eq!(*log_watch.borrow_and_update(), head);
    jobs_watch.changed().await.unwrap();
    let told = *jobs_watch.borrow_and_update();
    assert!(told > revision);
    let changed = store.changed_jobs(revision, 10).await.unwrap();
    assert_eq!(changed.last().map(|row| (row.id, row.revision)), Some((id, told)));

    // A request that is undone is not told of.
    let undone = store.change_job(id, Urgency::Ordinary, Box::new(|_| Err(Error::Closed.into()))).await;
    assert!(undone.is_err());
    append_one(&*store, new_job(&*store).await, 1).await.unwrap();
    assert!(!log_watch.has_changed().unwrap());
    store.close().await;
}

#[tokio::test]
async fn a_caller_that_goes_away_drops_only_its_answer() {
    let (_folder, store) = store().await;
    let job = new_job(&*store).await;
    let go_on = held_writer(&store).await;
    let mut abandoned = Box::pin(append_one(&*store, job, 1));
    // Polled once, it stands in the queue.
    assert!(is_waiting(abandoned.as_mut()).await);
    drop(abandoned);
    go_on.send(()).unwrap();
    assert_eq!(append_one(&*store, job, 2).await.unwrap(), 3);
    let numbers: Vec<_> = log(&*store, job).await.iter().map(number_of).collect();
    assert_eq!(numbers, [0, 1, 2]);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_holds_callers_back_and_loses_nobody() {
    let (_folder, store) = store().await;
    let id = new_job(&*store).await;
    let go_on = held_writer(&store).await;
    let ran = Arc::new(AtomicUsize::new(0));
    let requests: Vec<_> = (0..limits::QUEUED_WRITES + 200)
        .map(|_| {
            let ran = Arc::clone(&ran);
            let count = move |_: &Found| {
                ran.fetch_add(1, Ordering::SeqCst);
                Ok(None)
            };
            tokio::spawn(store.change_job(id, Urgency::Ordinary, Box::new(count)))
        })
        .collect();
    go_on.send(()).unwrap();
    for request in requests {
        request.await.unwrap().unwrap();
    }
    assert_eq!(ran.load(Ordering::SeqCst), limits::QUEUED_WRITES + 200);
    store.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_does_not_move_is_an_error_and_not_a_wait() {
    let (_folder, store) = store().await;
    let id = new_job(&*store).await;
    let go_on = held_writer(&store).await;
    let mut queued = Vec::new();
    for _ in 0..limits::QUEUED_WRITES {
        let mut request = nothing(&store, id);
        assert!(is_waiting(request.as_mut()).await);
        queued.push(request);
    }
    let outcome = nothing(&store, id).await;
    assert!(matches!(outcome, Err(Error::Busy { .. })), "{outcome:?}");
    go_on.send(()).unwrap();
    for request in queued {
        request.await.unwrap();
    }
    store.close().await;
}

/// Whoever serves a client that does not read is not polled. What it asked for is in nobody's way.
#[tokio::test(flavor = "multi_thread")]
async fn callers_that_are_not_polled_hold_nothing_that_others_wait_for() {
    let (_folder, store) = store().await;
    let id = new_job(&*store).await;
    let go_on = held_writer(&store).await;
    let mut unpolled: Vec<_> = (0..limits::QUEUED_WRITES + 100).map(|_| nothing(&store, id)).collect();
    for request in &mut unpolled {
        assert!(is_waiting(request.as_mut()).await);
    }
    go_on.send(()).unwrap();
    nothing(&store, id).await.unwrap();
    let mut unread: Vec<_> = (0..limits::QUEUED_READS + 100).map(|_| store.job(id)).collect();
    for request in &mut unread {
        is_waiting(request.as_mut()).await;
    }
    for _ in 0..1_000 {
        assert!(store.job(id).await.unwrap().is_some());
    }
    for request in unpolled {
        request.await.unwrap();
    }
    store.close().await;
}

#[tokio::test]
async fn close_finishes_what_is_queued_and_refuses_the_rest() {
    let (folder, store) = store().await;
    let job = new_job(&*store).await;
    let go_on = held_writer(&store).await;
    let mut queued = Vec::new();
    for number in 1..=10 {
        let mut request = Box::pin(append_one(&*store, job, number));
        assert!(is_waiting(request.as_mut()).await);
        queued.push(request);
    }
    let other = store.clone();
    let closing = tokio::spawn(store.clone().close());
    go_on.send(()).unwrap();
    for (request, seq) in queued.into_iter().zip(2..) {
        assert_eq!(request.await.unwrap(), seq);
    }
    closing.await.unwrap();
    assert!(matches!(append_one(&*other, job, 11).await, Err(Error::Closed)));
    assert!(matches!(other.job(job).await, Err(Error::Closed)));
    let wal = folder.path().join("data").join(format!("{DATABASE_FILE}-wal"));
    assert!(!wal.exists(), "a closed folder is one whole file");
    let again = Store::open(Options::new(folder.path().join("data"))).await.unwrap();
    assert_eq!(assert_whole(&*again, job).await.len(), 11);
    again.close().await;
}

#[tokio::test]
async fn the_write_ahead_log_stays_small_under_load_and_is_emptied_at_rest() {
    let (folder, store) = store().await;
    let job = new_job(&*store).await;
    let wal = folder.path().join("data").join(format!("{DATABASE_FILE}-wal"));
    let mut largest = 0;
    for _ in 0..200 {
        // About 40 pages each, 30 MiB in all.
        append(&*store, job, 0..400).await.unwrap();
        largest = largest.max(std::fs::metadata(&wal).unwrap().len());
    }
    let bound = 2 * limits::CHECKPOINT_PAGES * 4_096;
    assert!(largest > bound / 4 && largest < bound, "{largest} bytes of {bound}");
    until("the log is emptied", async || std::fs::metadata(&wal).unwrap().len() == 0).await;
    assert_eq!(assert_whole(&*store, job).await.len(), 80_001);
    store.close().await;
}

#[tokio::test]
async fn errors_of_the_caller_are_named_and_leave_the_store_healthy() {
    let (_folder, store) = store().await;
    let row = job(0);
    store.create_job(new(&row)).await.unwrap();
    let outcome = store.create_job(new(&row)).await;
    assert!(matches!(outcome, Err(Error::Constraint(_))), "{outcome:?}");
    let unknown = job(1).id;
    assert!(matches!(append_one(&*store, unknown, 1).await, Err(Error::NoSuchJob(id)) if id == unknown));
    assert_eq!(store.health(), Health::Writable);
    assert!(store.running_jobs().await.unwrap().is_empty());
    store.close().await;
}
