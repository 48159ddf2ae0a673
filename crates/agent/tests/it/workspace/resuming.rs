//! A later attempt goes on where an earlier one was last known to be.

use super::{Desk, applied, git, tree, write};
use agent::workspace::{Prepare, Resume, Workspace};
use std::fs;

#[tokio::test]
async fn the_next_attempt_goes_on_from_the_recorded_step() {
    let desk = Desk::with_repository().await;
    let first = desk.prepare(None).await.unwrap();
    write(&tree(&first).join("a.txt"), "from attempt 1\n");
    fs::remove_file(tree(&first).join("src/lib.txt")).unwrap();
    let step = first.checkpoint(1).await.unwrap();
    write(&tree(&first).join("lost.txt"), "after the last step\n");

    let second = desk.resume(2, &first, &step).await;
    assert_eq!(second.resumed_from(), Some(step.as_str()));
    assert_eq!((second.head(), second.base_commit()), (step.as_str(), first.base_commit()));
    assert_eq!(second.branch(), first.branch());
    assert_eq!(second.files_at_base(), ["a.txt", "src/lib.txt"]);
    assert_eq!(super::names(&tree(&second)), ["a.txt"]);
    assert_eq!(second.patch().await.unwrap(), first.patch().await.unwrap());
    assert_eq!(second.checkpoint(1).await.unwrap(), step, "nothing changed since");
    assert_eq!(git(&tree(&second), &["log", "--format=%s"]), "second\nfirst");

    write(&tree(&second).join("b.txt"), "from attempt 2\n");
    let next = second.checkpoint(2).await.unwrap();
    let third = desk.resume(3, &second, &next).await;
    let clone = applied(&desk, &third).await;
    assert_eq!(fs::read_to_string(clone.join("a.txt")).unwrap(), "from attempt 1\n");
    assert_eq!(fs::read_to_string(clone.join("b.txt")).unwrap(), "from attempt 2\n");
    assert!(!clone.join("src/lib.txt").exists());
}

/// The old attempt does not know that it was replaced, and goes on.
#[tokio::test]
async fn what_a_lost_attempt_does_later_is_never_picked_up() {
    let desk = Desk::with_repository().await;
    let zombie = desk.prepare(None).await.unwrap();
    write(&tree(&zombie).join("a.txt"), "recorded\n");
    let recorded = zombie.checkpoint(1).await.unwrap();
    write(&tree(&zombie).join("a.txt"), "too late\n");
    let late = zombie.checkpoint(2).await.unwrap();

    let next = desk.resume(2, &zombie, &recorded).await;
    assert_eq!(fs::read_to_string(tree(&next).join("a.txt")).unwrap(), "recorded\n");
    write(&tree(&zombie).join("a.txt"), "later still\n");
    zombie.checkpoint(3).await.unwrap();
    next.checkpoint(2).await.unwrap();
    assert!(String::from_utf8(next.patch().await.unwrap()).unwrap().contains("+recorded"));
    let has_late = super::try_git(next.location(), &["cat-file", "-e", &late]);
    assert!(!has_late.status.success(), "its commit is not even there");
}

#[tokio::test]
async fn a_plain_folder_goes_on_too_though_it_changed_meanwhile() {
    let desk = Desk::new().await;
    desk.write("a.txt", "one\n");
    let first = desk.prepare(None).await.unwrap();
    write(&tree(&first).join("b.txt"), "two\n");
    let step = first.checkpoint(1).await.unwrap();
    desk.write("a.txt", "changed by the user\n");
    let second = desk.resume(2, &first, &step).await;
    assert_eq!(second.base_commit(), first.base_commit());
    assert_eq!(fs::read_to_string(tree(&second).join("a.txt")).unwrap(), "one\n");
    assert_eq!(super::names(&tree(&second)), ["a.txt", "b.txt"]);
    let notes = second.take_notes();
    assert!(
        matches!(&notes[..], [note] if note.starts_with("a new workspace was made from the last step")),
        "{notes:?}"
    );
}

#[tokio::test]
async fn steps_that_are_gone_or_elsewhere_mean_starting_over() {
    let desk = Desk::with_repository().await;
    let first = desk.prepare(None).await.unwrap();
    write(&tree(&first).join("a.txt"), "changed\n");
    let step = first.checkpoint(1).await.unwrap();
    let other = Desk::with_repository().await;
    let elsewhere = other.prepare(None).await.unwrap();
    let good = Resume {
        location: first.location().to_owned(),
        commit: step,
        base_commit: first.base_commit().to_owned(),
        branch: first.branch().to_owned(),
    };
    let zeros = "0".repeat(40);
    let cases = [
        Resume { commit: zeros, ..good.clone() },
        Resume { commit: "refs/devmesh/steps/1".to_owned(), ..good.clone() },
        Resume { location: first.location().with_file_name("not-there"), ..good.clone() },
        Resume { location: elsewhere.location().to_owned(), ..good.clone() },
        Resume { location: desk.source().join(".git"), ..good.clone() },
    ];
    for (attempt, resume) in (2..).zip(cases) {
        let ask = Prepare { resume: Some(resume), ..desk.ask(attempt, &desk.source(), None) };
        let workspace = Workspace::prepare(ask).await.unwrap();
        assert_eq!(workspace.resumed_from(), None, "attempt {attempt}");
        assert_eq!(fs::read_to_string(tree(&workspace).join("a.txt")).unwrap(), "one\n");
        assert!(workspace.take_notes()[0].contains("starting over"));
    }
}
