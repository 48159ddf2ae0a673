//! Which folders are opened, and which are refused with what words.

use crate::{
    operate::new_job,
    support::{PATIENCE, store},
};
use rusqlite::Connection;
use std::{
    io::{BufRead, BufReader},
    os::unix::{
        fs::{PermissionsExt, symlink},
        process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use store::{BLOB_FOLDER, DATABASE_FILE, Error, LOCK_FILE, Options, Store};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_new_folder_is_for_its_owner_alone() {
    let (folder, store) = store().await;
    new_job(&*store).await;
    let data = folder.path().join("data");
    assert_eq!(mode(&data), 0o700);
    for name in [DATABASE_FILE, "devmesh.db-wal", "devmesh.db-shm", LOCK_FILE] {
        assert_eq!(mode(&data.join(name)), 0o600, "{name}");
    }
    store.close().await;
}

#[tokio::test]
async fn a_second_opener_is_refused_with_the_number_of_the_first() {
    let (folder, store) = store().await;
    let data = folder.path().join("data");
    let refused = Store::open(Options::new(&data)).await.unwrap_err();
    let own = std::process::id();
    assert!(matches!(refused, Error::FolderInUse { pid: Some(pid), .. } if pid == own), "{refused}");
    assert!(refused.to_string().contains(&format!("in use by process {own}; stop that one or choose")), "{refused}");
    store.close().await;
    Store::open(Options::new(&data)).await.unwrap().close().await;
}

/// A child inherits every descriptor between its fork and its exec, and so the lock of its parent.
#[tokio::test(flavor = "multi_thread")]
async fn children_being_started_do_not_keep_a_closed_folder_locked() {
    let folder = tempfile::tempdir().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let spawning = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                // A group of its own makes the standard library fork.
                Command::new("true").process_group(0).status().unwrap();
            }
        })
    };
    for _ in 0..40 {
        Store::open(Options::new(folder.path())).await.unwrap().close().await;
    }
    stop.store(true, Ordering::SeqCst);
    spawning.join().unwrap();
}

/// The test runs itself a second time, as the other process.
#[tokio::test]
async fn a_folder_another_process_has_is_refused_until_that_one_is_killed() {
    if let Some(folder) = std::env::var_os("STORE_TEST_HOLD") {
        let _store = Store::open(Options::new(folder)).await.unwrap();
        println!("holding");
        std::thread::sleep(PATIENCE);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "folders::a_folder_another_process_has_is_refused_until_that_one_is_killed", "--nocapture"])
        .env("STORE_TEST_HOLD", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(other.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("holding")));
    let refused = Store::open(Options::new(folder.path())).await.unwrap_err();
    assert!(matches!(refused, Error::FolderInUse { pid: Some(pid), .. } if pid == other.id()), "{refused}");
    other.kill().unwrap();
    other.wait().unwrap();
    Store::open(Options::new(folder.path())).await.unwrap().close().await;
}

#[tokio::test]
async fn a_newer_database_is_refused_by_the_name_of_its_last_migration() {
    let (folder, store) = store().await;
    store.close().await;
    let data = folder.path().join("data");
    let connection = Connection::open(data.join(DATABASE_FILE)).unwrap();
    connection
        .execute_batch("INSERT INTO migrations VALUES (9000, '9000_from_the_future'); PRAGMA user_version = 9000;")
        .unwrap();
    drop(connection);
    let before = std::fs::read(data.join(DATABASE_FILE)).unwrap();
    let refused = Store::open(Options::new(&data)).await.unwrap_err();
    assert!(matches!(&refused, Error::NewerSchema { found: 9000, .. }), "{refused}");
    assert!(refused.to_string().contains("`9000_from_the_future`"), "{refused}");
    assert_eq!(std::fs::read(data.join(DATABASE_FILE)).unwrap(), before, "untouched");
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(DATABASE_FILE);
    Connection::open(&file).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = std::fs::read(&file).unwrap();
    let refused = Store::open(Options::new(folder.path())).await.unwrap_err();
    assert!(matches!(refused, Error::ForeignDatabase { .. }), "{refused}");
    assert_eq!(std::fs::read(&file).unwrap(), before);

    std::fs::write(&file, "this is not a database, but it is long enough to look like one".repeat(100)).unwrap();
    let refused = Store::open(Options::new(folder.path())).await.unwrap_err();
    assert!(matches!(refused, Error::Corrupt(_)), "{refused}");
}

#[tokio::test]
async fn a_path_that_cannot_be_a_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = Store::open(Options::new(file.join("data"))).await.unwrap_err();
    assert!(refused.to_string().contains(&format!("{}/data could not be created", file.display())), "{refused}");
}

#[tokio::test]
async fn the_epoch_is_drawn_once_per_folder() {
    let (folder, first) = store().await;
    let epoch = first.epoch();
    let first = crate::support::reopened(&folder, first).await;
    assert_eq!(first.epoch(), epoch);
    let (_other_folder, other) = store().await;
    assert_ne!(other.epoch(), epoch, "one in four billion");
    first.close().await;
    other.close().await;
}

/// The lock is that of the folder, so the database must be in one alone.
#[tokio::test]
async fn a_database_or_content_that_another_folder_has_is_refused() {
    let (folder, store) = store().await;
    let data = folder.path().join("data");
    let (linked, named_twice, shared) = ["linked", "named twice", "shared"].map(|name| folder.path().join(name)).into();
    for path in [&linked, &named_twice, &shared] {
        std::fs::create_dir(path).unwrap();
    }
    symlink(data.join(DATABASE_FILE), linked.join(DATABASE_FILE)).unwrap();
    symlink(data.join(BLOB_FOLDER), shared.join(BLOB_FOLDER)).unwrap();
    let refused = async |path: &Path| match Store::open(Options::new(path)).await.unwrap_err() {
        error @ Error::NotItsOwn { .. } => error.to_string(),
        other => panic!("{other}"),
    };
    let told = refused(&linked).await;
    assert!(
        told.starts_with(&format!("{}/devmesh.db is a link to {}/devmesh.db", linked.display(), data.display())),
        "{told}"
    );
    assert!(told.contains("choose the folder it really lies in with --data"), "{told}");
    let told = refused(&shared).await;
    assert!(told.starts_with(&format!("{}/blobs is a link to", shared.display())), "{told}");
    std::fs::hard_link(data.join(DATABASE_FILE), named_twice.join(DATABASE_FILE)).unwrap();
    let told = refused(&named_twice).await;
    assert!(told.contains("is a file with 2 names (hard links)"), "{told}");
    store.close().await;
    assert!(refused(&data).await.contains("hard links"), "from the other side it is the same");

    // The folder itself has one lock by any name.
    std::fs::remove_dir_all(&named_twice).unwrap();
    symlink(&data, folder.path().join("link")).unwrap();
    let store = Store::open(Options::new(folder.path().join("link"))).await.unwrap();
    let second = Store::open(Options::new(&data)).await.unwrap_err();
    assert!(matches!(second, Error::FolderInUse { .. }), "{second}");
    store.close().await;
}

/// What was leased before a copy was made must not write into what became of the copy.
#[tokio::test]
async fn a_folder_put_back_from_a_copy_has_another_epoch_and_a_renamed_one_has_not() {
    let (folder, store) = store().await;
    let epoch = store.epoch();
    store.close().await;
    let (data, copy, renamed) = (folder.path().join("data"), folder.path().join("copy"), folder.path().join("renamed"));
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(data.join(DATABASE_FILE), copy.join(DATABASE_FILE)).unwrap();
    std::fs::rename(&data, &renamed).unwrap();
    let store = Store::open(Options::new(&renamed)).await.unwrap();
    assert_eq!(store.epoch(), epoch);
    store.close().await;

    // The original is gone, and its number may be given to what comes in its place.
    std::fs::remove_dir_all(&renamed).unwrap();
    std::fs::create_dir(&data).unwrap();
    std::fs::copy(copy.join(DATABASE_FILE), data.join(DATABASE_FILE)).unwrap();
    let store = Store::open(Options::new(&data)).await.unwrap();
    let of_copy = store.epoch();
    assert_ne!(of_copy, epoch);
    let store = crate::support::reopened(&folder, store).await;
    assert_eq!(store.epoch(), of_copy, "once");
    store.close().await;
}
