//! Old workspaces go, running ones stay.

use super::{Desk, tree, write};
use agent::workspace::{Workspace, remove_job, tidy};
use domain::{Clock, JobId, SystemClock};
use std::fs;

fn attempt_folder(desk: &Desk, attempt: u32) -> std::path::PathBuf {
    desk.workspaces().join(desk.job.to_string()).join(attempt.to_string())
}

#[tokio::test]
async fn resuming_leaves_only_what_is_still_needed() {
    let desk = Desk::with_repository().await;
    let first = desk.prepare(None).await.unwrap();
    write(&tree(&first).join("a.txt"), "1\n");
    let step = first.checkpoint(1).await.unwrap();
    let running = desk.resume(2, &first, &step).await;
    assert!(attempt_folder(&desk, 1).join("tree").exists(), "it still holds its lock");
    drop(first);
    let second = desk.resume(3, &running, &step).await;
    drop(running);
    assert!(!attempt_folder(&desk, 1).exists());
    let third = desk.resume(4, &second, &step).await;
    assert!(attempt_folder(&desk, 3).join("tree").exists(), "running");
    drop(second);
    drop(third);
    let fifth = desk
        .resume(
            5,
            &desk.resume(6, &Workspace::prepare(desk.ask(7, &desk.source(), None)).await.unwrap(), &step).await,
            &step,
        )
        .await;
    drop(fifth);
    remove_job(&desk.sandbox, &desk.workspaces(), desk.job).await.unwrap();
    assert!(!desk.workspaces().join(desk.job.to_string()).exists());
}

#[tokio::test]
async fn the_quota_takes_from_what_finished_first_and_never_from_what_runs() {
    let desk = Desk::with_repository().await;
    let mut jobs = Vec::new();
    for _ in 0..3 {
        let mut ask = desk.ask(1, &desk.source(), None);
        ask.job = JobId::new(SystemClock.now());
        let folder = desk.workspaces().join(ask.job.to_string()).join("1");
        let workspace = Workspace::prepare(ask).await.unwrap();
        fs::write(tree(&workspace).join("large"), vec![1; 1 << 20]).unwrap();
        jobs.push((folder, Some(workspace)));
    }
    // The first goes on running; the second finished before the third.
    let age = |folder: &std::path::Path, seconds: u64| {
        let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        fs::File::open(folder.join("git/refs/devmesh/steps")).unwrap().set_modified(time).unwrap();
    };
    for (index, (folder, workspace)) in jobs.iter_mut().enumerate() {
        age(folder, 1_000_000 * (index as u64 + 1));
        if index > 0 {
            workspace.take();
        }
    }
    let has_tree = |index: usize| jobs[index].0.join("tree/large").exists();
    let all = tidy(&desk.sandbox, &desk.workspaces(), u64::MAX).await.unwrap();
    assert_eq!((all.removed, has_tree(1)), (0, true));
    assert!(all.bytes > 3 << 20, "{all:?}");

    let some = tidy(&desk.sandbox, &desk.workspaces(), all.bytes - 1).await.unwrap();
    assert_eq!((some.removed, has_tree(0), has_tree(1), has_tree(2)), (1, true, false, true));
    assert!(jobs[1].0.join("git").exists(), "its steps are kept while there is room");
    assert!(some.bytes < all.bytes - (1 << 20), "{some:?}");

    let none = tidy(&desk.sandbox, &desk.workspaces(), 0).await.unwrap();
    assert!(!jobs[1].0.exists() && !jobs[2].0.exists() && has_tree(0));
    assert!(none.bytes > 1 << 20, "what runs is counted: {none:?}");
    jobs[0].1.as_ref().unwrap().checkpoint(1).await.unwrap();
}

/// A tool took the rights of its own folders away, and the removal was interrupted once.
#[tokio::test]
async fn closed_folders_and_half_removed_ones_go_too() {
    use std::os::unix::fs::PermissionsExt;
    let desk = Desk::with_repository().await;
    let workspace = desk.prepare(None).await.unwrap();
    write(&tree(&workspace).join("closed/in/file"), "x");
    fs::set_permissions(tree(&workspace).join("closed/in"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(tree(&workspace).join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    let job = attempt_folder(&desk, 1).parent().unwrap().to_owned();
    write(&job.join(".removing-7-0/tree/file"), "x");
    drop(workspace);
    tidy(&desk.sandbox, &desk.workspaces(), 0).await.unwrap();
    assert_eq!(fs::read_dir(&job).map_or(0, |entries| entries.count()), 0);
}
