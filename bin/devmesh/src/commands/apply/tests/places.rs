//! Where a patch goes.

use super::*;

#[tokio::test]
async fn a_repository_without_commits_takes_a_patch() {
    // Nothing, something, or everything of it is in the index; what is there is staged, what is not stays a file.
    for (added, status) in [(None, "?? edited"), (Some("edited"), "AM edited"), (Some("."), "A  edited")] {
        let scene = Scene::new();
        let (at, copy) = (scene.path("tree"), scene.path("copy"));
        fs::create_dir(&at).unwrap();
        git(&at, &["init", "--quiet", "--initial-branch=main"]);
        FILES.iter().for_each(|(name, text)| write(&at, name, text));
        let made_up = repository(&copy, FILES);
        added.into_iter().for_each(|added| drop(git(&at, &["add", added])));
        let patch = patch_of(&copy, every_kind);
        let job = job(&at, serde_json::json!({"base_commit": made_up}));
        assert_eq!(apply(&at, &patch, &job, CHECK).await.unwrap().outcome, Outcome::Fits);
        assert_eq!(apply(&at, &patch, &job, APPLY).await.unwrap().outcome, Outcome::Applied);
        assert!(read(&at, "edited").contains("FIVE") && read(&at, "new/deep/file") == "new\n");
        let shown = git(&at, &["status", "--porcelain"]);
        assert!(shown.lines().any(|line| line == status), "{added:?}: {shown}");
        assert_eq!(apply(&at, &patch, &job, APPLY).await.unwrap().outcome, Outcome::Already, "{added:?}");
    }
}

/// As templates and monorepos have them: the same files in the root and below.
fn twins(at: &Path) -> String {
    repository(at, &[("README.md", "# Title\n"), ("pkg/app/README.md", "# Title\n"), ("pkg/app/x", LINES)])
}

fn change_readme(at: &Path) {
    write(at, "README.md", "changed\n");
    write(at, "NEW.md", "new\n");
}

#[tokio::test]
async fn the_patch_of_a_plain_folder_stays_in_that_folder() {
    // Untracked in somebody's repository, tracked there but copied as a plain folder, ignored, and in no repository at all.
    for ignored in [None, Some("notes/\n")] {
        let scene = Scene::new();
        let (top, copy) = (scene.path("top"), scene.path("copy"));
        twins(&top);
        ignored.into_iter().for_each(|pattern| commit_of(&top, ".gitignore", pattern));
        for folder in ["notes", "pkg/app"] {
            let at = top.join(folder);
            fs::create_dir_all(&at).unwrap();
            write(&at, "README.md", "# Title\n");
            let _ = fs::remove_dir_all(&copy);
            let made_up = repository(&copy, &[("README.md", "# Title\n")]);
            let patch = patch_of(&copy, change_readme);
            let job = job(&at, serde_json::json!({"base_commit": made_up}));
            assert_eq!(apply(&at, &patch, &job, CHECK).await.unwrap().outcome, Outcome::Fits, "{folder}");
            let done = apply(&at, &patch, &job, APPLY).await.unwrap();
            assert_eq!((done.outcome, &done.top, done.next.len()), (Outcome::Applied, &at, 0), "nothing is staged");
            assert_eq!((read(&at, "README.md"), read(&at, "NEW.md")), ("changed\n".into(), "new\n".into()), "{folder}");
            assert_eq!(read(&top, "README.md"), "# Title\n");
            assert!(!top.join("NEW.md").exists());
            assert_eq!(apply(&at, &patch, &job, APPLY).await.unwrap().outcome, Outcome::Already, "{folder}");
        }
        let outside = git(&top, &["status", "--porcelain", "-uall", "--", ".", ":!pkg/app", ":!notes"]);
        assert_eq!(outside, "");
    }
}

#[tokio::test]
async fn the_patch_of_a_subfolder_goes_there_from_wherever_it_is_named() {
    let scene = Scene::new();
    let (top, other) = (scene.path("top"), scene.path("other clone"));
    let base = twins(&top);
    git(&scene.path(""), &["clone", "--quiet", "top", "other clone"]);
    let patch = patch_of(&top, |copy| change_readme(&copy.join("pkg/app")));
    let result = serde_json::json!({"base_commit": base, "subfolder": "pkg/app"});
    let job = job(&top.join("pkg/app"), result);
    for (named, at) in [
        (top.join("pkg/app"), &top),
        (top.clone(), &top),
        (other.clone(), &other),
        (other.join("pkg/app"), &other),
        (other.join("pkg"), &other),
    ] {
        let done = apply(&named, &patch, &job, APPLY).await.unwrap();
        assert_eq!((done.outcome, &done.top), (Outcome::Applied, at));
        let status = git(at, &["status", "--porcelain"]);
        assert_eq!(status, "A  pkg/app/NEW.md\nM  pkg/app/README.md\n", "{}", named.display());
        git(at, &["reset", "--hard", "--quiet"]);
    }

    // A clone that does not have the commit the job started from.
    let older = scene.path("older");
    twins(&older);
    commit_of(&older, "unrelated", "x\n");
    let elsewhere = apply(&older.join("pkg/app"), &patch, &job, APPLY).await.unwrap();
    assert_eq!(elsewhere.top, older);
    assert_eq!(git(&older, &["status", "--porcelain"]), "A  pkg/app/NEW.md\nM  pkg/app/README.md\n");

    // Plain folders: a copy of the whole, and a copy of the subfolder.
    let (whole, part) = (scene.path("whole"), scene.path("part"));
    write(&whole, "README.md", "# Title\n");
    write(&whole, "pkg/app/README.md", "# Title\n");
    write(&part, "README.md", "# Title\n");
    for (plain, changed) in [(&whole, "pkg/app/README.md"), (&part, "README.md")] {
        assert_eq!(apply(plain, &patch, &job, APPLY).await.unwrap().outcome, Outcome::Applied);
        assert_eq!(read(plain, changed), "changed\n");
        assert_eq!(apply(plain, &patch, &job, APPLY).await.unwrap().outcome, Outcome::Already);
    }
    assert_eq!(read(&whole, "README.md"), "# Title\n");
    let wider = patch_of(&top, |copy| {
        change_readme(&copy.join("pkg/app"));
        write(copy, "README.md", "outside\n");
    });
    let before = snapshot(&part);
    let failure = apply(&part, &wider, &job, APPLY).await.unwrap_err();
    assert!(failure.what.contains("outside of it:\n  README.md"), "{}", failure.what);
    assert!(snapshot(&part) == before);
}

#[tokio::test]
async fn worktrees_and_sparse_checkouts_take_a_patch() {
    let scene = Scene::new();
    let (at, linked, separate) = (scene.path("tree"), scene.path("linked"), scene.path("separate"));
    let base = repository(&at, FILES);
    let patch = patch_of(&at, |copy| {
        every_kind(copy);
        write(copy, "folder/other", "changed\n");
    });
    let job = job(&at, serde_json::json!({"base_commit": base}));
    git(&at, &["worktree", "add", "--quiet", "--detach", "../linked"]);
    git(&at, &["clone", "--quiet", "--separate-git-dir", "../separate.git", ".", "../separate"]);
    for tree in [&linked, &separate] {
        for (how, outcome) in [(CHECK, Outcome::Fits), (APPLY, Outcome::Applied), (APPLY, Outcome::Already)] {
            assert_eq!(apply(tree, &patch, &job, how).await.unwrap().outcome, outcome, "{}", tree.display());
        }
        assert_eq!(git(tree, &["diff", "--name-only"]), "");
    }
    assert_eq!(git(&at, &["status", "--porcelain"]), "", "the worktree it is linked to has its own index");

    git(&at, &["sparse-checkout", "set", "--cone", "new"]);
    assert!(!at.join("folder").exists());
    for (how, outcome) in [(CHECK, Outcome::Fits), (APPLY, Outcome::Applied), (APPLY, Outcome::Already)] {
        assert_eq!(apply(&at, &patch, &job, how).await.unwrap().outcome, outcome);
    }
    assert_eq!(git(&at, &["show", ":folder/other"]), "changed\n");
    assert_eq!(git(&at, &["show", ":edited"]), LINES.replace("five", "FIVE"));
}

#[tokio::test]
async fn a_branch_is_made_where_there_are_no_files() {
    let scene = Scene::new();
    let (at, bare) = (scene.path("tree"), scene.path("bare.git"));
    let base = repository(&at, FILES);
    git(&scene.path(""), &["clone", "--quiet", "--bare", "tree", "bare.git"]);
    let patch = patch_of(&at, every_kind);
    let job = job(&bare, serde_json::json!({"base_commit": base, "branch": "devmesh/it"}));
    let failure = apply(&bare, &patch, &job, APPLY).await.unwrap_err();
    assert!(failure.what.contains("bare repository"), "{}", failure.what);
    assert_eq!(failure.next.unwrap(), "devmesh apply 01990000-0000 --branch");
    let made = branch_of(&bare, &base, &patch, "it's a/branch", &job).await;
    assert!(made.unwrap_err().what.contains("cannot be the name"));
    let made = branch_of(&bare, &base, &patch, "it's/$a;branch", &job).await.unwrap();
    assert_eq!(git(&bare, &["rev-parse", "refs/heads/it's/$a;branch"]).trim(), made);
    let failure = branch_of(&bare, &base, &patch, "it's/$a;branch", &job).await.unwrap_err();
    assert_eq!(failure.next.unwrap(), "devmesh apply 01990000-0000 --branch=\"it's/\"'$a;branch-2'");
    for bad in ["-x", "@{-1}", "", "a..b", "refs/heads/../x"] {
        assert!(
            branch_of(&bare, &base, &patch, bad, &job).await.unwrap_err().what.contains("cannot be the name"),
            "{bad}"
        );
    }
    let unknown = "0123456789012345678901234567890123456789";
    for base in [unknown, "", "--all", "main"] {
        let failure = branch_of(&bare, base, &patch, "other", &job).await.unwrap_err();
        assert!(failure.what.contains("is not in the repository"), "{}", failure.what);
    }
}
