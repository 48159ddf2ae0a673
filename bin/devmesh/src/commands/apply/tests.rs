//! Patches into trees of every kind, with real git.

use super::{Again, Done, How, Outcome, Verdict, branch, into_tree, patch::Patch, perform, plan};
use crate::output::Failure;
use protocol::Job;
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    process::{Command, Output},
};
use tempfile::TempDir;

const LINES: &str = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\n";

/// Some folders, and the patch of a job.
struct Scene {
    folder: TempDir,
}

/// Every file, link and folder below a folder, and what is in it.
type Snapshot = BTreeMap<PathBuf, String>;

fn output_of(folder: &Path, arguments: &[&str]) -> Output {
    Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_ALLOW_PROTOCOL", "file")])
        .envs([("GIT_AUTHOR_NAME", "t"), ("GIT_AUTHOR_EMAIL", "t@t"), ("GIT_COMMITTER_NAME", "t")])
        .env("GIT_COMMITTER_EMAIL", "t@t")
        .env_remove("GIT_DIR")
        .env_remove("GIT_INDEX_FILE")
        .env_remove("GIT_WORK_TREE")
        .output()
        .unwrap()
}

#[track_caller]
fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = output_of(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_else(|error| format!("({})", error.kind()))
}

fn commit(folder: &Path) -> String {
    git(folder, &["add", "--all"]);
    git(folder, &["commit", "--quiet", "--allow-empty", "-m", "x"]);
    git(folder, &["rev-parse", "HEAD"]).trim().to_owned()
}

fn repository(folder: &Path, files: &[(&str, &str)]) -> String {
    fs::create_dir_all(folder).unwrap();
    git(folder, &["init", "--quiet", "--initial-branch=main"]);
    files.iter().for_each(|(name, text)| write(folder, name, text));
    commit(folder)
}

/// As an agent makes it: of a copy without any attributes, which `change` edits.
fn patch_of(from: &Path, change: impl FnOnce(&Path)) -> Vec<u8> {
    let copy = tempfile::tempdir().unwrap();
    let at = copy.path().join("copy");
    git(copy.path(), &["clone", "--quiet", "--no-local", from.to_str().unwrap(), "copy"]);
    change(&at);
    git(&at, &["add", "--all", "--force"]);
    let arguments = ["diff", "--binary", "--full-index", "--no-color", "--find-renames", "--cached", "HEAD"];
    output_of(&at, &arguments).stdout
}

fn job(path: &Path, result: serde_json::Value) -> Job {
    let id = "01990000-0000-7000-8000-000000000001";
    serde_json::from_value(serde_json::json!({
        "id": id, "state": "succeeded", "principal": id, "attempt": 1, "cancel_requested": false, "head": "5f0c21ab.17",
        "spec": {"kind": "code", "task": "Do it.", "repository": {"path": path}}, "result": result,
        "created_at": "2025-01-01T00:00:00Z", "updated_at": "2025-01-01T00:00:00Z",
    }))
    .unwrap()
}

fn snapshot(folder: &Path) -> Snapshot {
    let mut all = Snapshot::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let text = match () {
                () if metadata.is_dir() => {
                    folders.push(path.clone());
                    "folder".to_owned()
                }
                () if metadata.is_symlink() => format!("-> {}", fs::read_link(&path).unwrap().display()),
                () if metadata.is_file() => {
                    format!("{:o} {}", metadata.permissions().mode(), String::from_utf8_lossy(&fs::read(&path).unwrap()))
                }
                () => "special".to_owned(),
            };
            all.insert(path.strip_prefix(folder).unwrap().to_owned(), text);
        }
    }
    all
}

impl Scene {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }
}

const CHECK: How = How { check: true, three_way: false };
const APPLY: How = How { check: false, three_way: false };
const THREE_WAY: How = How { check: false, three_way: true };

async fn apply(path: &Path, patch: &[u8], job: &Job, how: How) -> Result<Done, Failure> {
    let patch = Patch::read(patch.to_vec()).unwrap();
    super::is_as_git_reads_it(&patch).await.unwrap();
    into_tree(path, &patch, how, &Again { job, repo: None }).await
}

/// What the job did: an edit, a new file, one deleted, one renamed, one made executable, bytes that are no text.
fn every_kind(at: &Path) {
    write(at, "edited", LINES.replace("five", "FIVE"));
    write(at, "new/deep/file", "new\n");
    fs::remove_file(at.join("deleted")).unwrap();
    fs::rename(at.join("old name"), at.join("new name")).unwrap();
    fs::set_permissions(at.join("script"), fs::Permissions::from_mode(0o755)).unwrap();
    write(at, "binary", [0, 159, 146, 150, 10, 13, 0]);
}

const FILES: &[(&str, &str)] = &[
    ("edited", LINES),
    ("deleted", "gone\n"),
    ("old name", "a\nlonger\ntext\nthat\nis\nrecognised\n"),
    ("script", "#!/bin/sh\n"),
    ("binary", "\0old"),
    ("folder/other", "other\n"),
];

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
        ("staged and edited", |at| _ = (stage(at, "edited", "a\n"), write(at, "edited", "b\n")), Refused("not committed")),
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
        ("folder for a file", |at| _ = (fs::remove_file(at.join("edited")), write(at, "edited/x", "")), Refused("edited")),
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
            let loose = git(&at, &["diff", "--name-only", "--", "edited", "new/deep/file", "script", "binary", "deleted"]);
            is(loose.is_empty(), &format!("not staged: {loose}"))?;
            let after = snapshot(&at);
            let again = apply(&at, &patch, &job, APPLY).await.map_err(|failure| format!("twice: {failure}"))?;
            is(again.outcome == Outcome::Already, "applied twice")?;
            is(snapshot(&at) == after, "a second time changed something")
        }
        (Expected::Already, Ok(checked), Ok(done)) => {
            is((checked.outcome, done.outcome) == (Outcome::Already, Outcome::Already), &format!("{:?}", done.outcome))?;
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

fn touch(path: &Path) {
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::options().append(true).open(path).unwrap().set_modified(long_ago).unwrap();
}

/// Other inodes and times than those in the index, as in a copy or an unpacked archive.
fn recopy(at: &Path) {
    let copy = at.with_extension("copy");
    assert!(Command::new("cp").args(["-R".as_ref(), at.as_os_str(), copy.as_os_str()]).status().unwrap().success());
    fs::remove_dir_all(at).unwrap();
    fs::rename(copy, at).unwrap();
}

fn commit_of(at: &Path, name: &str, text: &str) {
    write(at, name, text);
    commit(at);
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

fn mode(at: &Path, name: &str, mode: u32) {
    fs::set_permissions(at.join(name), fs::Permissions::from_mode(mode)).unwrap();
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

/// A repository with a submodule at `libs/sub` which has one at `inner`, all checked out.
fn with_submodules(scene: &Scene) -> (PathBuf, String) {
    let at = scene.path("super");
    repository(&scene.path("inner"), &[("i.c", LINES)]);
    repository(&scene.path("lib"), &[("lib.c", LINES)]);
    let add = |at: &Path, from: &str, to: &str| {
        git(at, &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", scene.path(from).to_str().unwrap(), to]);
        commit(at)
    };
    add(&scene.path("lib"), "inner", "inner");
    repository(&at, &[("a", "a\n"), ("libs/own.c", LINES)]);
    let base = add(&at, "lib", "libs/sub");
    let update = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init", "--recursive"];
    git(&at, &update);
    (at, base)
}

/// The patch of a job whose workspace has the submodules' files as plain ones.
fn patch_over_submodules(scene: &Scene, lib: &str) -> Vec<u8> {
    let flat = scene.path("flat");
    repository(
        &flat,
        &[("a", "a\n"), ("libs/own.c", LINES), ("libs/sub/lib.c", LINES), ("libs/sub/inner/i.c", LINES)],
    );
    patch_of(&flat, |copy| {
        write(copy, "a", "b\n");
        write(copy, "libs/sub/lib.c", lib);
        write(copy, "libs/sub/new \u{e9}.c", "new\n");
        write(copy, "libs/sub/inner/i.c", LINES.replace("two", "TWO"));
    })
}

#[tokio::test]
async fn files_of_submodules_go_to_the_submodules() {
    let scene = Scene::new();
    let (at, base) = with_submodules(&scene);
    let patch = patch_over_submodules(&scene, &LINES.replace("five", "FIVE"));
    let job = job(&at, serde_json::json!({"base_commit": base, "branch": "devmesh/it"}));
    let before = snapshot(&at);
    assert_eq!(apply(&at, &patch, &job, CHECK).await.unwrap().outcome, Outcome::Fits);
    assert!(snapshot(&at) == before);
    let done = apply(&at, &patch, &job, APPLY).await.unwrap();
    assert_eq!((done.outcome, &done.top, done.next.len()), (Outcome::Applied, &at, 3));
    assert_eq!(git(&at, &["status", "--porcelain", "--ignore-submodules"]), "M  a\n");
    let sub = git(&at.join("libs/sub"), &["-c", "core.quotePath=false", "status", "--porcelain", "--ignore-submodules"]);
    assert_eq!(sub, "M  lib.c\nA  \"new \u{e9}.c\"\n");
    assert_eq!(git(&at.join("libs/sub/inner"), &["status", "--porcelain"]), "M  i.c\n");
    assert_eq!(apply(&at, &patch, &job, APPLY).await.unwrap().outcome, Outcome::Already);

    let failure = branch_of(&at, &base, &patch, "mended", &job).await.unwrap_err();
    assert!(failure.what.contains("submodules") && failure.what.contains("libs/sub"), "{}", failure.what);
    assert_eq!(git(&at, &["branch", "--list", "mended"]), "");
}

#[tokio::test]
async fn a_patch_over_submodules_is_done_whole_or_not_at_all() {
    let scene = Scene::new();
    let (at, base) = with_submodules(&scene);
    let job = job(&at, serde_json::json!({"base_commit": base}));
    let patch = patch_over_submodules(&scene, &LINES.replace("five", "FIVE"));

    write(&at.join("libs/sub"), "lib.c", "mine\n");
    let before = snapshot(&at);
    for how in [CHECK, APPLY] {
        let failure = apply(&at, &patch, &job, how).await.unwrap_err();
        assert!(failure.what.contains("lib.c"), "{}", failure.what);
        assert!(snapshot(&at) == before);
    }
    git(&at.join("libs/sub"), &["checkout", "--quiet", "lib.c"]);

    // Out of the blue: after everything was tried, one of the last part's files cannot be written.
    let read = Patch::read(patch.clone()).unwrap();
    let again = Again { job: &job, repo: None };
    let parts = plan::parts(&at, &read, &again).await.unwrap();
    let mut rehearsals = Vec::new();
    for part in &parts {
        rehearsals.push(part.rehearse(&again).await.unwrap());
    }
    assert!(rehearsals.iter().all(|rehearsal| matches!(rehearsal.verdict, Verdict::Fits)));
    write(&at.join("libs/sub"), "new \u{e9}.c/full", "mine\n");
    let files = |at: &Path| -> Snapshot {
        snapshot(at).into_iter().filter(|(path, _)| !path.components().any(|part| part.as_os_str() == ".git")).collect()
    };
    let (before, staged) = (files(&at), git(&at, &["ls-files", "--stage", "--recurse-submodules"]));
    let failure = perform(&parts, &rehearsals).await.unwrap_err();
    assert!(failure.what.contains("is as it was"), "{}", failure.what);
    assert_eq!(files(&at), before);
    assert_eq!(git(&at, &["ls-files", "--stage", "--recurse-submodules"]), staged);
    fs::remove_dir_all(at.join("libs/sub/new \u{e9}.c")).unwrap();

    git(&at, &["submodule", "--quiet", "deinit", "--force", "libs/sub"]);
    let before = snapshot(&at);
    let failure = apply(&at, &patch, &job, APPLY).await.unwrap_err();
    assert!(failure.what.contains("submodule `libs/sub`, which is not checked out"), "{}", failure.what);
    assert!(snapshot(&at) == before);
}

async fn branch_of(at: &Path, base: &str, patch: &[u8], name: &str, job: &Job) -> Result<String, Failure> {
    let patch = Patch::read(patch.to_vec()).unwrap();
    branch::commit(at, base, &patch, name, &Again { job, repo: None }).await
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
        assert!(branch_of(&bare, &base, &patch, bad, &job).await.unwrap_err().what.contains("cannot be the name"), "{bad}");
    }
    let unknown = "0123456789012345678901234567890123456789";
    for base in [unknown, "", "--all", "main"] {
        let failure = branch_of(&bare, base, &patch, "other", &job).await.unwrap_err();
        assert!(failure.what.contains("is not in the repository"), "{}", failure.what);
    }
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
    names.extend([vec![b'x'; 255], b"-rf".to_vec(), b" ".to_vec(), b":(top)y".to_vec(), b"b a/b".to_vec(), b"\"".to_vec()]);
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

fn job_at(path: &Path) -> Job {
    job(path, serde_json::json!({"base_commit": "0123456789012345678901234567890123456789"}))
}
