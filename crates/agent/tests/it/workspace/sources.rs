//! What a workspace can be made from.

use super::{Desk, fingerprint, git, names, tree, try_git, write};
use agent::workspace::{ChangedFile, Error, Prepare, Workspace};
use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, os::unix::fs::PermissionsExt, os::unix::fs::symlink, path::Path};

#[tokio::test]
async fn a_repository_is_cloned_where_it_stands() {
    let desk = Desk::with_repository().await;
    let head = desk.git(&["rev-parse", "HEAD"]);
    let before = fingerprint(&desk.source());
    let workspace = desk.prepare(None).await.unwrap();
    assert_eq!(workspace.base_commit(), head);
    assert_eq!(workspace.files_at_base(), ["a.txt", "src/lib.txt"]);
    assert_eq!(names(&tree(&workspace)), ["a.txt", "src/lib.txt"]);
    assert!(
        workspace.branch().starts_with(&format!("devmesh/{}", &desk.job.to_string()[..8])),
        "{}",
        workspace.branch()
    );
    assert!(workspace.branch().ends_with("-mend-it"));
    assert_eq!(workspace.resumed_from(), None);
    assert_eq!(workspace.patch().await.unwrap(), b"");
    assert_eq!(workspace.take_notes(), Vec::<String>::new());
    assert_eq!(fingerprint(&desk.source()), before, "the user's repository is as it was");

    // Tools have a repository of their own there, with history, on the proposed branch.
    let tree = tree(&workspace);
    assert_eq!(git(&tree, &["status", "--porcelain"]), "");
    assert_eq!(git(&tree, &["log", "--format=%s"]), "second\nfirst");
    assert_eq!(git(&tree, &["branch", "--show-current"]), workspace.branch());
}

#[tokio::test]
async fn refs_of_all_kinds_lead_to_their_commit() {
    let desk = Desk::with_repository().await;
    desk.git(&["checkout", "-q", "-b", "feature/x"]);
    desk.write("feature.txt", "x\n");
    let feature = desk.commit("third");
    desk.git(&["tag", "-a", "annotated", "-m", "tag"]);
    desk.git(&["checkout", "-q", "main"]);
    let first = desk.git(&["rev-parse", "first"]);
    for (attempt, (reference, commit)) in [
        ("first", &first),
        ("feature/x", &feature),
        ("annotated", &feature),
        (&first[..10], &first),
        ("main~1", &first),
    ]
    .into_iter()
    .enumerate()
    {
        let ask = desk.ask(attempt as u32 + 1, &desk.source(), Some(reference));
        let workspace = Workspace::prepare(ask).await.unwrap();
        assert_eq!(workspace.base_commit(), commit, "{reference}");
    }
}

#[tokio::test]
async fn a_missing_ref_is_named_with_what_there_is() {
    let desk = Desk::with_repository().await;
    let error = desk.prepare(Some("mian")).await.unwrap_err();
    assert!(error.is_callers());
    let expected = format!("the ref `mian` names no commit in `{}`; its branches are main", desk.source().display());
    assert_eq!(error.to_string(), expected);
    for (path, what) in
        [("relative/path", "neither an absolute path nor an address"), ("/does/not/exist", "No such file")]
    {
        let error = Workspace::prepare(desk.ask(1, Path::new(path), None)).await.unwrap_err();
        assert!(error.is_callers() && error.to_string().contains(path) && error.to_string().contains(what), "{error}");
    }
    let error = desk.prepare(Some("--upload-pack=x")).await.unwrap_err();
    assert!(error.to_string().contains("--upload-pack=x"), "{error}");
}

#[tokio::test]
async fn bare_repositories_worktrees_shallow_clones_and_odd_paths_work() {
    let desk = Desk::with_repository().await;
    let head = desk.git(&["rev-parse", "HEAD"]);
    let base = desk.folder.path();
    git(base, &["clone", "-q", "--bare", "source", "bare: a repository.git"]);
    desk.git(&["worktree", "add", "-q", "--detach", "../work tree", "HEAD"]);
    let url = format!("file://{}", desk.source().display());
    git(base, &["clone", "-q", "--depth=1", &url, "shallow"]);
    symlink("source", base.join("link")).unwrap();
    let places = ["bare: a repository.git", "work tree", "shallow", "link", "source/.git"];
    for (attempt, place) in places.into_iter().enumerate() {
        let ask = desk.ask(attempt as u32 + 1, &base.join(place), None);
        let workspace = Workspace::prepare(ask).await.unwrap();
        assert_eq!(workspace.base_commit(), head, "{place}");
        assert_eq!(names(&tree(&workspace)), ["a.txt", "src/lib.txt"], "{place}");
        assert_eq!(workspace.take_notes(), Vec::<String>::new(), "{place}");
        assert_eq!(git(&tree(&workspace), &["status", "--porcelain"]), "", "{place}");
    }
}

#[tokio::test]
async fn a_repository_of_another_user_works() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let desk = Desk::with_repository().await;
    for path in fingerprint(&desk.source()).into_keys() {
        std::os::unix::fs::lchown(&path, Some(1234), Some(1234)).unwrap();
    }
    fs::set_permissions(desk.source(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(desk.source().join(".git"), fs::Permissions::from_mode(0o700)).unwrap();
    assert!(!try_git(&desk.source(), &["rev-parse", "HEAD"]).status.success(), "plain git refuses it");
    let workspace = desk.prepare(None).await.unwrap();
    assert_eq!(workspace.files(), 2);
}

/// As a strict umask leaves them: what git asks before it opens anything has to come out right, too.
#[tokio::test]
async fn a_repository_closed_to_others_works() {
    for closed in [".git/objects", ".git", ""] {
        let desk = Desk::with_repository().await;
        desk.write("a.txt", "changed\n");
        fs::set_permissions(desk.source().join(closed), fs::Permissions::from_mode(0o700)).unwrap();
        let workspace = desk.prepare(None).await.unwrap();
        assert_eq!(workspace.files(), 2, "{closed}");
        let notes = workspace.take_notes();
        assert!(matches!(&notes[..], [note] if note.starts_with("1 uncommitted change")), "{closed}: {notes:?}");
    }
}

#[tokio::test]
async fn uncommitted_changes_are_left_and_told() {
    let desk = Desk::with_repository().await;
    desk.write("a.txt", "changed\n");
    desk.write("staged.txt", "staged\n");
    desk.git(&["add", "staged.txt"]);
    desk.write("new/file.txt", "new\n");
    desk.write(".gitignore", "ignored\n");
    desk.write("ignored", "x");
    let before = fingerprint(&desk.source());
    let workspace = desk.prepare(None).await.unwrap();
    assert_eq!(fs::read_to_string(tree(&workspace).join("a.txt")).unwrap(), "one\n");
    assert_eq!(names(&tree(&workspace)), ["a.txt", "src/lib.txt"]);
    let notes = workspace.take_notes();
    let expected = "4 uncommitted changes in `SOURCE` (.gitignore, a.txt, new/, staged.txt) are not part of this job; \
                    commit them to include them";
    assert_eq!(notes, [expected.replace("SOURCE", desk.source().to_str().unwrap())]);
    assert_eq!(fingerprint(&desk.source()), before);
}

#[tokio::test]
async fn a_plain_folder_is_copied_as_it_is() {
    let desk = Desk::new().await;
    let source = desk.source();
    desk.write("script.sh", "#!/bin/sh\n");
    fs::set_permissions(source.join("script.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    desk.write("two\nlines \"and\" quotes", "newline\n");
    fs::write(source.join(OsStr::from_bytes(b"not-utf8-\xff")), "bytes\n").unwrap();
    fs::create_dir_all(source.join("loop/in")).unwrap();
    symlink("..", source.join("loop/in/up")).unwrap();
    symlink("self", source.join("self")).unwrap();
    symlink("/etc/passwd", source.join("absolute")).unwrap();
    nix::unistd::mkfifo(&source.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(source.join("socket")).unwrap();
    desk.write("nested/.git/hooks/post-checkout", "#!/bin/sh\ntouch /tmp/never\n");
    desk.write("nested/file", "nested\n");
    let before = fingerprint(&source);

    let workspace = desk.prepare(None).await.unwrap();
    let tree = tree(&workspace);
    assert_eq!(fs::read_link(tree.join("loop/in/up")).unwrap(), Path::new(".."));
    assert_eq!(fs::read_link(tree.join("self")).unwrap(), Path::new("self"));
    assert_eq!(fs::read_link(tree.join("absolute")).unwrap(), Path::new("/etc/passwd"));
    assert_eq!(fs::read_to_string(tree.join("two\nlines \"and\" quotes")).unwrap(), "newline\n");
    assert_eq!(fs::read_to_string(tree.join(OsStr::from_bytes(b"not-utf8-\xff"))).unwrap(), "bytes\n");
    assert_ne!(fs::metadata(tree.join("script.sh")).unwrap().permissions().mode() & 0o111, 0);
    assert!(!tree.join("pipe").exists() && !tree.join("socket").exists() && !tree.join("nested/.git").exists());
    assert_eq!(workspace.files(), 7, "{:?}", workspace.files_at_base());
    let notes = workspace.take_notes();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(
        notes[0].starts_with("2 pipes, sockets or devices were not copied: ") && notes[0].contains("socket"),
        "{notes:?}"
    );
    assert_eq!(notes[1], "1 repositories inside the folder had their .git not copied: nested/.git");
    assert_eq!(fingerprint(&source), before);
    assert_eq!(git(&tree, &["status", "--porcelain"]), "");

    fs::write(tree.join(OsStr::from_bytes(b"not-utf8-\xff")), "other bytes\n").unwrap();
    fs::remove_file(tree.join("two\nlines \"and\" quotes")).unwrap();
    fs::remove_file(tree.join("loop/in/up")).unwrap();
    workspace.checkpoint(1).await.unwrap();
    let patch = desk.folder.path().join("the.patch");
    fs::write(&patch, workspace.patch().await.unwrap()).unwrap();
    git(&source, &["apply", patch.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(source.join(OsStr::from_bytes(b"not-utf8-\xff"))).unwrap(), "other bytes\n");
    assert!(!source.join("two\nlines \"and\" quotes").exists());
}

#[tokio::test]
async fn a_folder_that_holds_the_workspaces_does_not_copy_them_into_themselves() {
    let desk = Desk::new().await;
    desk.write("file", "x");
    let workspace = Workspace::prepare(desk.ask(1, desk.folder.path(), None)).await.unwrap();
    assert_eq!(names(&tree(&workspace)), ["source/file"]);
}

#[tokio::test]
async fn no_source_is_an_empty_tree() {
    let desk = Desk::new().await;
    let ask = Prepare { repository: None, task: String::new(), ..desk.ask(1, &desk.source(), None) };
    let workspace = Workspace::prepare(ask).await.unwrap();
    assert_eq!(workspace.files(), 0);
    write(&tree(&workspace).join("answer.txt"), "42\n");
    workspace.checkpoint(1).await.unwrap();
    let changed = ChangedFile { path: "answer.txt".into(), previous_path: None, lines: Some((1, 0)) };
    assert_eq!(workspace.changed_files().await.unwrap(), [changed]);
    git(&tree(&workspace), &["log", "-1"]);
}

#[tokio::test]
async fn a_repository_without_a_commit_is_copied_as_a_folder() {
    let desk = Desk::new().await;
    desk.git(&["init", "-q"]);
    desk.write("a.txt", "one\n");
    let workspace = desk.prepare(None).await.unwrap();
    assert_eq!(workspace.files_at_base(), ["a.txt"]);
    assert!(workspace.take_notes()[0].contains("has no commit yet"));
    assert!(matches!(desk.prepare(Some("main")).await.unwrap_err(), Error::Source(_)));
}

#[tokio::test]
async fn repositories_with_sha_256_work() {
    let desk = Desk::new().await;
    desk.git(&["init", "-q", "--object-format=sha256"]);
    desk.write("a.txt", "one\n");
    let base = desk.commit("first");
    let workspace = desk.prepare(None).await.unwrap();
    assert_eq!((workspace.base_commit(), base.len()), (base.as_str(), 64));
    write(&tree(&workspace).join("a.txt"), "two\n");
    let step = workspace.checkpoint(1).await.unwrap();
    assert_eq!(desk.resume(2, &workspace, &step).await.resumed_from(), Some(step.as_str()));
}
