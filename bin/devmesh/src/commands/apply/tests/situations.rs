//! One tree in many states: what `--check` says is what `apply` does, and what does not fit changes nothing.

use super::*;

#[derive(Clone, Copy, PartialEq)]
enum Expected {
    Applied,
    Already,
    /// With this in what is said.
    Refused(&'static str),
}

/// For every tree: `--check` changes nothing, says what `apply` then does, and whatever does not fit changes nothing.
#[tokio::test]
async fn a_check_tells_what_apply_does() {
    use Expected::{Already, Applied, Refused};
    type Situation = (&'static str, fn(&Path), Expected);
    let situations: &[Situation] = &[
        ("clean", |_| {}, Applied),
        ("touched", |at| git(at, &["ls-files"]).lines().for_each(|name| touch(&at.join(name))), Applied),
        ("copied", recopy, Applied),
        ("other file edited", |at| write(at, "folder/other", "edited\n"), Applied),
        ("other file deleted", |at| fs::remove_file(at.join("folder/other")).unwrap(), Applied),
        ("untracked beside", |at| write(at, "new/beside", "mine\n"), Applied),
        ("moved on", |at| commit_of(at, "edited", &LINES.replace("one", "ONE")), Applied),
        ("staged and equal", |at| stage(at, "edited", &LINES.replace("one", "ONE")), Applied),
        ("assume unchanged", |at| drop(git(at, &["update-index", "--assume-unchanged", "edited"])), Applied),
        ("intent elsewhere", |at| intend(at, "elsewhere"), Applied),
        ("merge elsewhere", unmerged_elsewhere, Applied),
        ("split index", |at| drop(git(at, &["update-index", "--split-index"])), Applied),
        ("empty folder at a new file", |at| fs::create_dir_all(at.join("new/deep/file")).unwrap(), Applied),
        ("read-only file", |at| mode(at, "edited", 0o444), Applied),
        ("applied", |at| already(at), Already),
        ("applied and committed", |at| _ = (already(at), commit(at)), Already),
        ("applied and edited", |at| _ = (already(at), write(at, "edited", "mine\n")), Already),
        ("applied without staging", |at| _ = (already(at), git(at, &["reset", "--quiet"])), Already),
        ("unsaved edit", |at| write(at, "edited", "mine\n"), Refused("not committed")),
        ("unsaved edit of equal length", |at| write(at, "edited", LINES.to_uppercase()), Refused("not committed")),
        ("unsaved removal", |at| fs::remove_file(at.join("edited")).unwrap(), Refused("is deleted")),
        (
            "staged and edited",
            |at| _ = (stage(at, "edited", "a\n"), write(at, "edited", "b\n")),
            Refused("not committed"),
        ),
        ("clash", |at| commit_of(at, "edited", &LINES.replace("five", "5")), Refused("same lines")),
        ("gone since", |at| _ = (git(at, &["rm", "--quiet", "edited"]), commit(at)), Refused("edited")),
        ("untracked in the way", |at| write(at, "new/deep/file", "mine\n"), Refused("new/deep/file")),
        ("ignored in the way", ignored, Refused("new/deep/file")),
        ("no longer tracked", |at| drop(git(at, &["rm", "--quiet", "--cached", "edited"])), Refused("edited")),
        ("full folder in the way", |at| write(at, "new/deep/file/inside", "mine\n"), Refused("new/deep/file")),
        ("file where a folder is wanted", |at| write(at, "new", "mine\n"), Refused("new")),
        ("link in the way", |at| link(at, "new/deep/file"), Refused("new/deep/file")),
        ("link on the way", |at| link(at, "new"), Refused("symbolic link")),
        ("pipe on the way", |at| pipe(at, "new"), Refused("a pipe")),
        ("pipe in the way", |at| _ = (fs::remove_file(at.join("edited")), pipe(at, "edited")), Refused("a pipe")),
        ("link for a file", |at| _ = (fs::remove_file(at.join("edited")), link(at, "edited")), Refused("edited")),
        (
            "folder for a file",
            |at| _ = (fs::remove_file(at.join("edited")), write(at, "edited/x", "")),
            Refused("edited"),
        ),
        ("intent to add", |at| intend(at, "new/deep/file"), Refused("git add -N")),
        ("merge undecided", unmerged, Refused("edited")),
        ("locked", |at| write(at, ".git/index.lock", ""), Refused("index.lock")),
    ];
    let mut wrong = Vec::new();
    for (name, prepare, expected) in situations {
        if let Err(what) = come_true(*prepare, *expected).await {
            wrong.push(format!("{name}: {what}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

async fn come_true(prepare: fn(&Path), expected: Expected) -> Result<(), String> {
    let scene = Scene::new();
    let at = scene.path("tree");
    let base = repository(&at, FILES);
    let patch = patch_of(&at, every_kind);
    write(&scene.path(""), "patch", &patch);
    prepare(&at);
    let job = job(&at, serde_json::json!({"base_commit": base, "branch": "devmesh/it"}));
    let is = |right: bool, what: &str| if right { Ok(()) } else { Err(what.to_owned()) };
    let before = snapshot(&at);
    let checked = apply(&at, &patch, &job, CHECK).await;
    is(snapshot(&at) == before, "a check changed something")?;
    let done = apply(&at, &patch, &job, APPLY).await;
    match (expected, checked, done) {
        (Expected::Applied, Ok(checked), Ok(done)) => {
            is((checked.outcome, done.outcome) == (Outcome::Fits, Outcome::Applied), &format!("{:?}", done.outcome))?;
            is(read(&at, "edited").contains("FIVE") && read(&at, "new/deep/file") == "new\n", "not all is there")?;
            is(!at.join("deleted").exists() && !at.join("old name").exists(), "not all is gone")?;
            is(fs::read(at.join("binary")).unwrap() == [0, 159, 146, 150, 10, 13, 0], "binary")?;
            is(fs::metadata(at.join("script")).unwrap().permissions().mode() & 0o100 != 0, "not executable")?;
            let loose =
                git(&at, &["diff", "--name-only", "--", "edited", "new/deep/file", "script", "binary", "deleted"]);
            is(loose.is_empty(), &format!("not staged: {loose}"))?;
            let after = snapshot(&at);
            let again = apply(&at, &patch, &job, APPLY).await.map_err(|failure| format!("twice: {failure}"))?;
            is(again.outcome == Outcome::Already, "applied twice")?;
            is(snapshot(&at) == after, "a second time changed something")
        }
        (Expected::Already, Ok(checked), Ok(done)) => {
            is(
                (checked.outcome, done.outcome) == (Outcome::Already, Outcome::Already),
                &format!("{:?}", done.outcome),
            )?;
            is(snapshot(&at) == before, "something changed")
        }
        (Expected::Refused(said), Err(checked), Err(done)) => {
            is(checked.what == done.what, "check and apply disagree")?;
            is(done.what.contains("nothing was changed") && done.what.contains(said), &done.what)?;
            is(snapshot(&at) == before, "something changed")
        }
        (_, checked, done) => Err(format!("check {checked:?}, apply {done:?}")),
    }
}

/// Other inodes and times than those in the index, as in a copy or an unpacked archive.
fn recopy(at: &Path) {
    let copy = at.with_extension("copy");
    assert!(Command::new("cp").args(["-R".as_ref(), at.as_os_str(), copy.as_os_str()]).status().unwrap().success());
    fs::remove_dir_all(at).unwrap();
    fs::rename(copy, at).unwrap();
}

fn stage(at: &Path, name: &str, text: &str) {
    write(at, name, text);
    git(at, &["add", "--", name]);
}

fn intend(at: &Path, name: &str) {
    write(at, name, "mine\n");
    git(at, &["add", "--intent-to-add", "--", name]);
}

fn already(at: &Path) {
    git(at, &["apply", "--index", "--whitespace=nowarn", "../patch"]);
}

fn ignored(at: &Path) {
    commit_of(at, ".gitignore", "new/\n");
    write(at, "new/deep/file", "mine\n");
}

fn link(at: &Path, name: &str) {
    let path = at.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::create_dir_all(at.with_extension("outside")).unwrap();
    symlink(at.with_extension("outside"), path).unwrap();
}

fn pipe(at: &Path, name: &str) {
    nix::unistd::mkfifo(&at.join(name), nix::sys::stat::Mode::S_IRWXU).unwrap();
}

fn undecided(at: &Path, name: &str) {
    git(at, &["switch", "--quiet", "--create", "side"]);
    commit_of(at, name, "side\n");
    git(at, &["switch", "--quiet", "main"]);
    commit_of(at, name, "main\n");
    assert!(!output_of(at, &["merge", "side"]).status.success());
}

fn unmerged(at: &Path) {
    undecided(at, "edited");
}

fn unmerged_elsewhere(at: &Path) {
    undecided(at, "folder/other");
}

#[tokio::test]
async fn what_clashes_is_left_marked_only_when_asked_for() {
    let scene = Scene::new();
    let at = scene.path("tree");
    let base = repository(&at, FILES);
    let patch = patch_of(&at, every_kind);
    commit_of(&at, "edited", &LINES.replace("five", "5"));
    let job = job(&at, serde_json::json!({"base_commit": base}));
    let failure = apply(&at, &patch, &job, APPLY).await.unwrap_err();
    assert!(failure.what.contains("edited") && failure.next.unwrap().ends_with(" --3way"), "{}", failure.what);
    let before = snapshot(&at);
    let checked = apply(&at, &patch, &job, How { check: true, three_way: true }).await.unwrap();
    assert_eq!((checked.outcome, checked.conflicts), (Outcome::Conflicts, vec![b"edited".to_vec()]));
    assert!(snapshot(&at) == before);
    let done = apply(&at, &patch, &job, THREE_WAY).await.unwrap();
    assert_eq!((done.outcome, done.conflicts), (Outcome::Conflicts, vec![b"edited".to_vec()]));
    let text = read(&at, "edited");
    assert!(text.contains("<<<<<<<") && text.contains("\n5\n") && text.contains("\nFIVE\n"), "{text}");
    assert_eq!(read(&at, "new/deep/file"), "new\n");
    assert_eq!(done.next, [format!("git -C {} status", at.display())]);
}

#[tokio::test]
async fn lines_that_repeat_are_not_brought_in_twice() {
    let block = "fn a() {\n    b();\n}\n\n";
    let text = format!("{block}{block}end\n");
    let twice = text.replace("end", &format!("{block}end"));
    for plain in [true, false] {
        let scene = Scene::new();
        let (at, copy) = (scene.path("tree"), scene.path("copy"));
        let made_up = repository(&copy, &[("f", &text)]);
        write(&at, "f", &text);
        let patch = patch_of(&copy, |copy| write(copy, "f", &twice));
        if !plain {
            repository(&at, &[("f", &text)]);
        }
        let job = job(&at, serde_json::json!({"base_commit": made_up}));
        assert_eq!(apply(&at, &patch, &job, APPLY).await.unwrap().outcome, Outcome::Applied);
        assert_eq!(apply(&at, &patch, &job, APPLY).await.unwrap().outcome, Outcome::Already);
        assert_eq!(read(&at, "f"), twice);
        if plain {
            // Edited since: neither as before nor as after.
            write(&at, "f", format!("// mine\n{twice}"));
            let failure = apply(&at, &patch, &job, APPLY).await.unwrap_err();
            assert!(failure.what.contains("applied already"), "{}", failure.what);
        }
    }
}
