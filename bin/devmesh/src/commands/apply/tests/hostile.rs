//! Trees, configurations and names that would lead a patch astray.

use super::*;

#[tokio::test]
async fn nothing_is_written_beyond_a_link() {
    let scene = Scene::new();
    let (at, outside) = (scene.path("tree"), scene.path("outside"));
    let base = repository(&at, FILES);
    fs::create_dir(&outside).unwrap();
    let patch = patch_of(&at, |copy| write(copy, "new/file", "new\n"));
    symlink(&outside, at.join("new")).unwrap();
    // Tracked or not, in a repository or a plain folder.
    let plain = scene.path("plain");
    fs::create_dir(&plain).unwrap();
    symlink(&outside, plain.join("new")).unwrap();
    let result = serde_json::json!({"base_commit": base});
    for (tree, job) in [(&at, job(&at, result.clone())), (&plain, job(&plain, result))] {
        for how in [CHECK, APPLY, THREE_WAY] {
            let failure = apply(tree, &patch, &job, how).await.unwrap_err();
            assert!(failure.what.contains("beyond the symbolic link `new`"), "{}", failure.what);
            assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        }
    }

    // A link that becomes a folder is taken away first.
    let linked = commit(&at);
    let patch = patch_of(&at, |copy| {
        fs::remove_file(copy.join("new")).unwrap();
        write(copy, "new/file", "new\n");
    });
    let job = job(&at, serde_json::json!({"base_commit": linked}));
    assert_eq!(apply(&at, &patch, &job, APPLY).await.unwrap().outcome, Outcome::Applied);
    assert_eq!(read(&at, "new/file"), "new\n");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[tokio::test]
async fn a_repository_does_not_say_where_else_a_patch_goes() {
    let scene = Scene::new();
    let (at, elsewhere) = (scene.path("tree"), scene.path("elsewhere"));
    let base = repository(&at, FILES);
    let patch = patch_of(&at, every_kind);
    fs::create_dir(&elsewhere).unwrap();
    git(&at, &["config", "core.worktree", elsewhere.to_str().unwrap()]);
    let job_of = |base: &str| job(&at, serde_json::json!({"base_commit": base}));
    apply(&at, &patch, &job_of(&base), APPLY).await.unwrap_err();
    git(&at, &["config", "core.worktree", scene.path("").to_str().unwrap()]);
    let failure = apply(&at, &patch, &job_of(&base), APPLY).await.unwrap_err();
    assert!(failure.what.contains("core.worktree"), "{}", failure.what);
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    assert!(!scene.path("new").exists());
}

#[tokio::test]
async fn a_repository_runs_no_program() {
    let scene = Scene::new();
    let at = scene.path("tree");
    let base = repository(&at, &[("edited", LINES), ("other", LINES), (".gitattributes", "other filter=own\n")]);
    let witness = scene.path("ran");
    let program = format!("touch {}; cat; false", witness.display());
    write(&scene.path(""), "program", format!("#!/bin/sh\n{program}\n"));
    mode(&scene.path(""), "program", 0o755);
    let path = scene.path("program");
    for hook in ["post-index-change", "reference-transaction", "pre-commit", "post-checkout", "pre-applypatch"] {
        fs::copy(&path, at.join(".git/hooks").join(hook)).unwrap();
    }
    for key in ["core.fsmonitor", "filter.own.clean", "filter.own.smudge", "filter.own.process", "merge.own.driver"] {
        git(&at, &["config", key, path.to_str().unwrap()]);
    }
    for (key, value) in [("filter.own.required", "true"), ("merge.default", "own"), ("core.pager", &program)] {
        git(&at, &["config", key, value]);
    }
    let _ = fs::remove_file(&witness);
    let patch = patch_of(&at, |copy| write(copy, "edited", LINES.replace("five", "FIVE")));
    let job = job(&at, serde_json::json!({"base_commit": base}));
    touch(&at.join("other"));
    branch_of(&at, &base, &patch, "mended", &job).await.unwrap();
    for (how, outcome) in [(CHECK, Outcome::Fits), (APPLY, Outcome::Applied), (APPLY, Outcome::Already)] {
        assert_eq!(apply(&at, &patch, &job, how).await.unwrap().outcome, outcome);
    }
    assert!(!witness.exists(), "nothing of the repository's ran");

    // What cannot be done right without the program is not done.
    let patch = patch_of(&at, |copy| write(copy, "other", LINES.replace("five", "FIVE")));
    let before = snapshot(&at);
    let failure = apply(&at, &patch, &job, APPLY).await.unwrap_err();
    assert!(failure.what.contains("`other` goes through the program `own`"), "{}", failure.what);
    assert!(snapshot(&at) == before && !witness.exists());
}

#[tokio::test]
async fn names_with_any_byte_in_them_come_through() {
    let scene = Scene::new();
    let (at, plain) = (scene.path("tree"), scene.path("plain"));
    let mut names: Vec<Vec<u8>> =
        (1..=255).filter(|byte| *byte != b'/').map(|byte| vec![b'n', byte, b'0' + byte % 10]).collect();
    names.extend([
        vec![b'x'; 255],
        b"-rf".to_vec(),
        b" ".to_vec(),
        b":(top)y".to_vec(),
        b"b a/b".to_vec(),
        b"\"".to_vec(),
    ]);
    let put = |at: &Path, text: &str| {
        for name in &names {
            let path = at.join(OsStr::from_bytes(name));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    };
    fs::create_dir(&at).unwrap();
    put(&at, "old\n");
    put(&plain, "old\n");
    let base = repository(&at, &[]);
    let patch = patch_of(&at, |copy| put(copy, "new\n"));
    for tree in [&at, &plain] {
        let job = job(tree, serde_json::json!({"base_commit": base}));
        assert_eq!(apply(tree, &patch, &job, APPLY).await.unwrap().outcome, Outcome::Applied);
        for name in &names {
            assert_eq!(fs::read_to_string(tree.join(OsStr::from_bytes(name))).unwrap(), "new\n", "{name:?}");
        }
        assert_eq!(apply(tree, &patch, &job, APPLY).await.unwrap().outcome, Outcome::Already);
    }
}

#[tokio::test]
async fn line_ends_of_the_tree_stay_its_own() {
    let scene = Scene::new();
    let at = scene.path("tree");
    repository(&at, &[("f", "x\n")]);
    git(&at, &["config", "core.autocrlf", "true"]);
    write(&at, "f", LINES.replace('\n', "\r\n"));
    let base = commit(&at);
    assert_eq!(git(&at, &["show", "HEAD:f"]), LINES);
    let patch = patch_of(&at, |copy| write(copy, "f", LINES.replace("five", "FIVE")));
    let job = job(&at, serde_json::json!({"base_commit": base}));
    touch(&at.join("f"));
    for (how, outcome) in [(CHECK, Outcome::Fits), (APPLY, Outcome::Applied), (APPLY, Outcome::Already)] {
        assert_eq!(apply(&at, &patch, &job, how).await.unwrap().outcome, outcome);
    }
    assert_eq!(read(&at, "f"), LINES.replace("five", "FIVE").replace('\n', "\r\n"));

    // A plain folder's bytes are as they are, whatever its attributes say.
    let (plain, copy) = (scene.path("plain"), scene.path("copy"));
    let text = LINES.replace('\n', "\r\n");
    repository(&copy, &[]);
    git(&copy, &["config", "core.autocrlf", "false"]);
    write(&copy, "f", &text);
    commit(&copy);
    let patch = patch_of(&copy, |copy| write(copy, "f", text.replace("five", "FIVE")));
    write(&plain, "f", &text);
    write(&plain, ".gitattributes", "* text=auto eol=lf\n");
    assert_eq!(apply(&plain, &patch, &job_at(&plain), APPLY).await.unwrap().outcome, Outcome::Applied);
    assert_eq!(read(&plain, "f"), text.replace("five", "FIVE"));
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_to_is_told_before_anything_is() {
    if nix::unistd::geteuid().is_root() {
        testkit::skipped("root may write anywhere");
        return;
    }
    let scene = Scene::new();
    let at = scene.path("tree");
    let base = repository(&at, FILES);
    let patch = patch_of(&at, |copy| {
        every_kind(copy);
        write(copy, "folder/other", "changed\n");
    });
    let job = job(&at, serde_json::json!({"base_commit": base}));
    mode(&at, "folder", 0o555);
    let before = snapshot(&at);
    let [checked, done] = [apply(&at, &patch, &job, CHECK).await, apply(&at, &patch, &job, APPLY).await];
    let as_it_was = snapshot(&at) == before;
    mode(&at, "folder", 0o755);
    for failure in [checked.unwrap_err(), done.unwrap_err()] {
        assert!(failure.what.contains("cannot be written to"), "{}", failure.what);
    }
    assert!(as_it_was);
}
