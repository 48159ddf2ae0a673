//! Group commit: who is answered when, and what one request can do to another.

use crate::support::{
    append, assert_whole, event, insert, is_waiting, job, log, new_job, number_of, principal, read, reopened, store,
    until, write,
};
use domain::JobState;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
    mpsc,
};
use store::{DATABASE_FILE, Error, Health, Options, Store, limits};

/// Holds the writer thread inside a request until told to go on, so that what comes meanwhile ends in one batch.
async fn held_writer(store: &Store) -> mpsc::Sender<()> {
    let (go_on, held) = mpsc::channel::<()>();
    let (started, running) = tokio::sync::oneshot::channel();
    let store = store.clone();
    tokio::spawn(async move {
        store
            .write(move |_| {
                let _ = started.send(());
                let _ = held.recv();
                Ok::<_, Error>(())
            })
            .await
    });
    running.await.unwrap();
    go_on
}

#[tokio::test]
async fn what_is_acknowledged_is_in_a_copy_of_the_files() {
    let (folder, store) = store().await;
    let job = new_job(&store).await;
    for number in 1..=20 {
        append(&store, job, number).await.unwrap();
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
    assert_eq!(assert_whole(&copied, job).await.len(), 20);
    copied.close().await;
    store.close().await;
}

#[tokio::test]
async fn a_request_that_fails_takes_nothing_of_its_batch_with_it() {
    let (_folder, store) = store().await;
    let job = new_job(&store).await;
    let go_on = held_writer(&store).await;
    let good = {
        let (store, job) = (store.clone(), job);
        tokio::spawn(async move { append(&store, job, 1).await })
    };
    let bad = {
        let store = store.clone();
        tokio::spawn(async move {
            store
                .write(move |transaction| {
                    transaction.append(job, &[event(100), event(101)])?;
                    assert_eq!(transaction.job(job)?.unwrap().head_seq, 3, "a request reads its own writes");
                    Err::<(), _>(Error::NoSuchJob(job))
                })
                .await
        })
    };
    let later = {
        let (store, job) = (store.clone(), job);
        tokio::spawn(async move { append(&store, job, 2).await })
    };
    tokio::task::yield_now().await;
    go_on.send(()).unwrap();
    assert_eq!(good.await.unwrap().unwrap(), 1);
    assert!(matches!(bad.await.unwrap(), Err(Error::NoSuchJob(id)) if id == job));
    assert_eq!(later.await.unwrap().unwrap(), 2);
    assert_eq!(assert_whole(&store, job).await.len(), 2);
    store.close().await;
}

#[tokio::test]
async fn a_request_that_panics_is_undone_and_answered() {
    let (folder, store) = store().await;
    let job = new_job(&store).await;
    let outcome: Result<(), Error> = store
        .write(move |transaction| {
            transaction.append(job, &[event(1)])?;
            panic!("out of luck")
        })
        .await;
    assert!(matches!(&outcome, Err(Error::Panicked(message)) if message == "out of luck"), "{outcome:?}");
    assert_eq!(append(&store, job, 2).await.unwrap(), 1, "the writer lives and the event is gone");
    let outcome: Result<(), Error> = store.read(|_| panic!("again")).await;
    assert!(matches!(outcome, Err(Error::Panicked(_))));
    let store = reopened(&folder, store).await;
    assert_eq!(assert_whole(&store, job).await.len(), 1);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_writers_make_one_dense_chain() {
    const WRITERS: u64 = 64;
    const EACH: u64 = 25;
    let (folder, store) = store().await;
    let (shared, others) = (new_job(&store).await, [new_job(&store).await, new_job(&store).await]);
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0..EACH {
                    append(&store, shared, writer * EACH + number).await.unwrap();
                    append(&store, others[(writer % 2) as usize], number).await.unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let store = reopened(&folder, store).await;
    let events = assert_whole(&store, shared).await;
    let mut numbers: Vec<_> = events.iter().map(number_of).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..WRITERS * EACH).collect::<Vec<_>>(), "each append is there once");
    for other in others {
        assert_eq!(assert_whole(&store, other).await.len() as u64, WRITERS * EACH / 2);
    }
    store.close().await;
}

#[tokio::test]
async fn watchers_hear_after_the_commit_and_not_before() {
    let (_folder, store) = store().await;
    let job = new_job(&store).await;
    let revision = read(&store, |reader| reader.revision()).await;
    let (mut log_watch, mut jobs_watch) = (store.watch_job(job), store.watch_jobs());
    assert_eq!(*jobs_watch.borrow_and_update(), revision);
    let seen_early = Arc::new(AtomicBool::new(false));
    let (watch, flag) = (log_watch.clone(), Arc::clone(&seen_early));
    let jobs = jobs_watch.clone();
    store
        .write(move |transaction| {
            transaction.append(job, &[event(1), event(2)])?;
            let mut row = transaction.job(job)?.unwrap();
            row.state = JobState::Running;
            transaction.update_job(&row)?;
            let early = watch.has_changed().unwrap() || jobs.has_changed().unwrap();
            flag.store(early, Ordering::SeqCst);
            Ok::<_, Error>(())
        })
        .await
        .unwrap();
    assert!(!seen_early.load(Ordering::SeqCst));
    log_watch.changed().await.unwrap();
    assert_eq!(*log_watch.borrow_and_update(), 2);
    jobs_watch.changed().await.unwrap();
    let told = *jobs_watch.borrow_and_update();
    assert!(told > revision);
    let changed = read(&store, move |reader| reader.jobs_changed_after(revision, 10)).await;
    assert_eq!(changed.iter().map(|row| (row.id, row.revision)).collect::<Vec<_>>(), [(job, told)]);

    // A request that is undone is not told of.
    let undone: Result<(), Error> =
        store.write(move |transaction| transaction.append(job, &[event(3)]).and(Err(Error::NoSuchJob(job)))).await;
    assert!(undone.is_err());
    append(&store, new_job(&store).await, 1).await.unwrap();
    assert!(!log_watch.has_changed().unwrap());
    store.close().await;
}

#[tokio::test]
async fn a_caller_that_goes_away_drops_only_its_answer() {
    let (_folder, store) = store().await;
    let job = new_job(&store).await;
    let go_on = held_writer(&store).await;
    let mut abandoned = Box::pin(append(&store, job, 1));
    // Polled once, it stands in the queue.
    assert!(is_waiting(abandoned.as_mut()).await);
    drop(abandoned);
    go_on.send(()).unwrap();
    assert_eq!(append(&store, job, 2).await.unwrap(), 2);
    let numbers: Vec<_> = log(&store, job).await.iter().map(number_of).collect();
    assert_eq!(numbers, [1, 2]);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_holds_callers_back_and_loses_nobody() {
    let (_folder, store) = store().await;
    let go_on = held_writer(&store).await;
    let ran = Arc::new(AtomicUsize::new(0));
    let requests: Vec<_> = (0..limits::QUEUED_WRITES + 200)
        .map(|_| {
            let (store, ran) = (store.clone(), Arc::clone(&ran));
            tokio::spawn(async move {
                store
                    .write(move |_| {
                        ran.fetch_add(1, Ordering::SeqCst);
                        Ok::<_, Error>(())
                    })
                    .await
            })
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
    let go_on = held_writer(&store).await;
    let mut queued = Vec::new();
    for _ in 0..limits::QUEUED_WRITES {
        let mut request = Box::pin(store.write(|_| Ok::<_, Error>(())));
        assert!(is_waiting(request.as_mut()).await);
        queued.push(request);
    }
    let outcome = store.write(|_| Ok::<_, Error>(())).await;
    assert!(matches!(outcome, Err(Error::Busy { .. })), "{outcome:?}");
    go_on.send(()).unwrap();
    for request in queued {
        request.await.unwrap();
    }
    store.close().await;
}

#[tokio::test]
async fn close_finishes_what_is_queued_and_refuses_the_rest() {
    let (folder, store) = store().await;
    let job = new_job(&store).await;
    let go_on = held_writer(&store).await;
    let mut queued = Vec::new();
    for number in 1..=10 {
        let mut request = Box::pin(append(&store, job, number));
        assert!(is_waiting(request.as_mut()).await);
        queued.push(request);
    }
    let other = store.clone();
    let closing = tokio::spawn(store.clone().close());
    go_on.send(()).unwrap();
    for (request, seq) in queued.into_iter().zip(1..) {
        assert_eq!(request.await.unwrap(), seq);
    }
    closing.await.unwrap();
    assert!(matches!(append(&other, job, 11).await, Err(Error::Closed)));
    assert!(matches!(other.read(move |reader| reader.job(job)).await, Err(Error::Closed)));
    let wal = folder.path().join("data").join(format!("{DATABASE_FILE}-wal"));
    assert!(!wal.exists(), "a closed folder is one whole file");
    let again = Store::open(Options::new(folder.path().join("data"))).await.unwrap();
    assert_eq!(assert_whole(&again, job).await.len(), 10);
    again.close().await;
}

#[tokio::test]
async fn the_write_ahead_log_stays_small_under_load_and_is_emptied_at_rest() {
    let (folder, store) = store().await;
    let job = new_job(&store).await;
    let wal = folder.path().join("data").join(format!("{DATABASE_FILE}-wal"));
    let mut largest = 0;
    for _ in 0..200 {
        // About 40 pages each, 30 MiB in all.
        write(&store, move |transaction| transaction.append(job, &(0..400).map(event).collect::<Vec<_>>())).await;
        largest = largest.max(std::fs::metadata(&wal).unwrap().len());
    }
    let bound = 2 * limits::CHECKPOINT_PAGES * 4_096;
    assert!(largest > bound / 4 && largest < bound, "{largest} bytes of {bound}");
    until("the log is emptied", async || std::fs::metadata(&wal).unwrap().len() == 0).await;
    assert_eq!(assert_whole(&store, job).await.len(), 80_000);
    store.close().await;
}

#[tokio::test]
async fn errors_of_the_caller_are_named_and_leave_the_store_healthy() {
    let (_folder, store) = store().await;
    let row = job(0);
    insert(&store, &row).await;
    let twice = row.clone();
    let outcome = store.write(move |transaction| transaction.insert_job(&twice)).await;
    assert!(matches!(outcome, Err(Error::Constraint(_))), "{outcome:?}");
    let unknown = job(1).id;
    assert!(matches!(append(&store, unknown, 1).await, Err(Error::NoSuchJob(id)) if id == unknown));
    assert_eq!(store.health(), Health::Writable);
    assert_eq!(read(&store, |reader| reader.running_count(principal(1))).await, 0);
    store.close().await;
}
