//! Trees that programs with other intentions may leave behind, under every name that means something to git or to us. Each
//! is looked at in bounded time and memory, says what it leaves out, and goes away at the end.

use super::{Desk, own, tree, write};
use agent::workspace::{self, Prepare, Resume, Workspace};
use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt, fs::symlink},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::timeout;

/// Whoever waits for the other end of a pipe waits longer than this; steps have limits of their own.
const PATIENCE: Duration = Duration::from_secs(120);

fn pipe(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    own(path);
}

/// Steps, goes back, is taken over by another attempt, and is removed.
async fn whole_life(desk: &Desk, workspace: Workspace, expected: &[&str]) -> Vec<String> {
    write(&tree(&workspace).join("a.txt"), "work\n");
    let step = workspace.checkpoint(1).await.unwrap();
    let changed: Vec<_> = workspace.changed_files().await.unwrap().into_iter().map(|file| file.path).collect();
    assert_eq!(changed, expected);
    assert!(String::from_utf8_lossy(&workspace.patch().await.unwrap()).contains("+work"));
    let notes = workspace.take_notes();
    let resume = Resume {
        location: workspace.location().to_owned(),
        commit: step.clone(),
        base_commit: workspace.base_commit().to_owned(),
        branch: workspace.branch().to_owned(),
    };
    drop(workspace);
    let ask = Prepare { resume: Some(resume), ..desk.ask(2, &desk.source(), None) };
    let next = Workspace::prepare(ask).await.unwrap();
    assert_eq!(next.checkpoint(2).await.unwrap(), step, "nothing changed meanwhile");
    drop(next);
    workspace::remove_job(&desk.sandbox, &desk.workspaces(), desk.job).await.unwrap();
    assert!(!desk.workspaces().join(desk.job.to_string()).exists());
    notes
}

#[tokio::test]
async fn pipes_under_names_that_git_opens_keep_nobody_waiting() {
    let desk = Desk::with_repository().await;
    let workspace = desk.prepare(None).await.unwrap();
    let tree = tree(&workspace);
    for name in [
        ".gitignore",
        ".gitattributes",
        ".gitmodules",
        ".mailmap",
        "sub/.gitignore",
        "sub/.git/HEAD",
        "sub/.git/config",
    ] {
        pipe(&tree.join(name));
    }
    fs::remove_file(tree.join(".git/index")).unwrap();
    for name in [".git/index", ".git/info/exclude", ".git/info/attributes", ".git/index.lock"] {
        pipe(&tree.join(name));
    }
    let notes = whole_life(&desk, workspace, &["a.txt"]).await;
    assert!(notes.iter().any(|note| note.contains("`.gitignore` is not followed: it is no regular file")), "{notes:?}");
}

#[tokio::test]
async fn devices_sockets_links_and_folders_under_special_names_are_passed_over() {
    let desk = Desk::with_repository().await;
    let workspace = desk.prepare(None).await.unwrap();
    let tree = tree(&workspace);
    let _listener = std::os::unix::net::UnixListener::bind(tree.join("socket")).unwrap();
    symlink("/dev/zero", tree.join(".gitignore")).unwrap();
    symlink(".gitattributes", tree.join(".gitattributes")).unwrap();
    fs::create_dir_all(tree.join(".gitmodules/deep")).unwrap();
    fs::create_dir_all(tree.join("loop")).unwrap();
    symlink("..", tree.join("loop/up")).unwrap();
    symlink("/", tree.join("root")).unwrap();
    let made = nix::sys::stat::mknod(
        &tree.join("device"),
        nix::sys::stat::SFlag::S_IFCHR,
        nix::sys::stat::Mode::from_bits_truncate(0o666),
        nix::sys::stat::makedev(1, 5),
    );
    // Only root may make one; everybody meets what it made.
    assert!(made.is_ok() || !nix::unistd::geteuid().is_root());
    let notes = whole_life(&desk, workspace, &[".gitattributes", ".gitignore", "a.txt", "loop/up", "root"]).await;
    assert!(notes.iter().any(|note| note.starts_with("`.gitignore` is not followed")), "{notes:?}");
}

#[tokio::test]
async fn sparse_giants_cost_neither_memory_nor_time() {
    let desk = Desk::with_repository().await;
    let workspace = desk.prepare(None).await.unwrap();
    let tree = tree(&workspace);
    for name in [".gitignore", ".gitattributes", "sub/.gitignore", "giant"] {
        write(&tree.join(name), "");
        File::options().write(true).open(tree.join(name)).unwrap().set_len(3 << 30).unwrap();
    }
    let index = File::options().write(true).open(tree.join(".git/index")).unwrap();
    index.set_len(3 << 30).unwrap();
    let notes = whole_life(&desk, workspace, &["a.txt"]).await;
    assert!(notes.iter().any(|note| note.starts_with("`giant` has 3072 MiB and was left out")), "{notes:?}");
}

#[tokio::test]
async fn folders_without_end_are_left_out_and_removed() {
    let desk = Desk::with_repository().await;
    let workspace = desk.prepare(None).await.unwrap();
    let tree = tree(&workspace);
    // Deeper than any path can name, made as a command would.
    let script =
        "import os\nos.chdir(sys.argv[1])\nfor _ in range(15500):\n os.mkdir('d'); os.chdir('d')\nopen('bottom','w')\n";
    let status = Command::new("python3").args(["-c", &format!("import sys\n{script}")]).arg(&tree).status().unwrap();
    assert!(status.success());
    super::hand_over(&tree);
    let notes = whole_life(&desk, workspace, &["a.txt"]).await;
    assert!(notes.iter().any(|note| note.starts_with("folders nested deeper than 256")), "{notes:?}");
}

#[tokio::test]
async fn a_flood_of_files_is_bounded_and_told() {
    let desk = Desk::with_repository().await;
    let workspace = desk.prepare(None).await.unwrap();
    let tree = tree(&workspace);
    for folder in 0..3 {
        fs::create_dir(tree.join(format!("flood-{folder}"))).unwrap();
        for file in 0..20_000 {
            File::create(tree.join(format!("flood-{folder}/{file}"))).unwrap();
        }
    }
    super::hand_over(&tree);
    write(&tree.join("a.txt"), "work\n");
    workspace.checkpoint(1).await.unwrap();
    assert_eq!(workspace.take_notes(), ["more than 50000 new files: the rest of them was left out"]);
    assert!(workspace.changed_files().await.unwrap().iter().any(|file| file.path == "a.txt"));
    drop(workspace);
    workspace::remove_job(&desk.sandbox, &desk.workspaces(), desk.job).await.unwrap();
    assert!(!desk.workspaces().join(desk.job.to_string()).exists());
}

#[tokio::test]
async fn names_of_every_kind_go_through_or_are_told() {
    let desk = Desk::with_repository().await;
    let workspace = desk.prepare(None).await.unwrap();
    let tree = tree(&workspace);
    let long = "n".repeat(255);
    let names: [&[u8]; 10] = [
        long.as_bytes(),
        b"\xff\xfe",
        b"new\nline",
        b"tab\there",
        b"quo\"te",
        b"back\\slash",
        b" lead",
        b"trail ",
        b"-rf",
        b"\x01\x1b[31m",
    ];
    for name in names {
        fs::write(tree.join(OsStr::from_bytes(name)), "x\n").unwrap();
    }
    // Names that git refuses to keep.
    for name in [".GIT", "sub/.Git"] {
        write(&tree.join(name).join("file"), "x\n");
    }
    write(&tree.join("a.txt"), "work\n");
    workspace.checkpoint(1).await.unwrap();
    let changed = workspace.changed_files().await.unwrap();
    assert_eq!(changed.len(), names.len() + 1, "{changed:?}");
    let clone = super::applied(&desk, &workspace).await;
    for name in names {
        assert_eq!(fs::read(clone.join(OsStr::from_bytes(name))).unwrap(), b"x\n");
    }
}

#[tokio::test]
async fn closed_files_and_folders_are_opened_or_told_and_never_taken_for_deleted() {
    let desk = Desk::with_repository().await;
    desk.write("closed/file", "x\n");
    desk.commit("closed");
    let workspace = desk.prepare(None).await.unwrap();
    let tree = tree(&workspace);
    fs::set_permissions(tree.join("closed/file"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(tree.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    let notes = whole_life(&desk, workspace, &["a.txt"]).await;
    assert!(notes.iter().all(|note| note.contains("closed")), "{notes:?}");
}

/// A command was interrupted: nothing of it is left, whatever and however much it was.
#[tokio::test]
async fn going_back_to_a_step_leaves_nothing_else() {
    let desk = Desk::with_repository().await;
    desk.write("Icon\r", "x\n");
    desk.commit("a name that ends in a return");
    let workspace = desk.prepare(None).await.unwrap();
    let at = tree(&workspace);
    let step = workspace.checkpoint(1).await.unwrap();
    write(&at.join("Icon\r"), "changed\n");
    write(&at.join("large.bin"), "");
    File::options().write(true).open(at.join("large.bin")).unwrap().set_len(9 << 20).unwrap();
    pipe(&at.join("made/pipe"));
    fs::create_dir_all(at.join("made/empty/folders")).unwrap();
    for file in 0..51_000 {
        File::create(at.join(format!("made/{file}"))).unwrap();
    }
    super::hand_over(&at);
    fs::set_permissions(&at, fs::Permissions::from_mode(0o000)).unwrap();
    assert!(workspace.restore(false).await.unwrap() > 51_000);
    assert_eq!(super::names(&at), ["Icon\r", "a.txt", "src/lib.txt"]);
    assert!(!at.join("made").exists());
    assert_eq!(fs::read_to_string(at.join("Icon\r")).unwrap(), "x\n");
    assert_eq!(workspace.restore(false).await.unwrap(), 0, "nothing is put back that is there");
    assert_eq!(workspace.checkpoint(2).await.unwrap(), step);
}

/// One such name, and git refuses the whole patch.
#[tokio::test]
async fn names_that_git_refuses_are_left_out_and_the_patch_applies() {
    let desk = Desk::with_repository().await;
    let workspace = desk.prepare(None).await.unwrap();
    let at = tree(&workspace);
    for name in ["git~1", ".git ", ".git.", ".GIT", "src/.Git", ".git::$INDEX_ALLOCATION", "a\\.git"] {
        write(&at.join(name), "x\n");
    }
    symlink("a.txt", at.join(".gitmodules")).unwrap();
    write(&at.join("a.txt"), "work\n");
    workspace.checkpoint(1).await.unwrap();
    assert_eq!(workspace.take_notes().len(), 8);
    let clone = super::applied(&desk, &workspace).await;
    assert_eq!(fs::read_to_string(clone.join("a.txt")).unwrap(), "work\n");
}

#[tokio::test]
async fn one_line_of_rules_that_makes_no_sense_takes_no_other_with_it() {
    let desk = Desk::with_repository().await;
    let workspace = desk.prepare(None).await.unwrap();
    let at = tree(&workspace);
    write(&at.join(".gitignore"), &format!("secret/\n{}\n*.log\n", "?".repeat(200_000)));
    write(&at.join("secret/key"), "x\n");
    write(&at.join("x.log"), "x\n");
    workspace.checkpoint(1).await.unwrap();
    let changed: Vec<_> = workspace.changed_files().await.unwrap().into_iter().map(|file| file.path).collect();
    assert_eq!(changed, [".gitignore"]);
    assert_eq!(workspace.take_notes(), ["1 lines of `.gitignore` are too long or make no sense, and are not followed"]);
}

/// What is read is what was looked at, or nothing.
#[tokio::test]
async fn files_that_change_while_they_are_read_do_no_harm() {
    struct Stop(Arc<AtomicBool>);
    impl Drop for Stop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let desk = Desk::with_repository().await;
    let workspace = desk.prepare(None).await.unwrap();
    let at = tree(&workspace);
    write(&at.join("moving"), "x");
    let stop = Stop(Arc::default());
    let over = stop.0.clone();
    let mover = std::thread::spawn(move || {
        let file = File::options().write(true).open(at.join("moving")).unwrap();
        let mut bytes = 1;
        while !over.load(Ordering::Relaxed) {
            bytes = bytes * 7 % (4 << 20);
            file.set_len(bytes).unwrap();
            let _ = fs::remove_file(at.join("flipping"));
            let _ = symlink("/etc/passwd", at.join("flipping"));
            let _ = fs::remove_file(at.join("flipping"));
            let _ = fs::write(at.join("flipping"), "mine\n");
        }
    });
    for step in 1..10 {
        workspace.checkpoint(step).await.unwrap();
        let patch = workspace.patch().await.unwrap();
        assert!(!String::from_utf8_lossy(&patch).contains("root:"), "never what a link points to");
    }
    drop(stop);
    mover.join().unwrap();
}

/// Sources are somebody else's, too.
#[tokio::test]
async fn hostile_sources_end_with_words() {
    let desk = Desk::with_repository().await;
    for (attempt, name) in (1..).zip(["HEAD", "config", "packed-refs", "index"]) {
        let copy = desk.folder.path().join(format!("copy-{name}"));
        let copied = Command::new("cp").arg("-a").args([desk.source(), copy.clone()]).status().unwrap();
        assert!(copied.success());
        let _ = fs::remove_file(copy.join(".git").join(name));
        pipe(&copy.join(".git").join(name));
        let prepared = timeout(PATIENCE, Workspace::prepare(desk.ask(attempt, &copy, None))).await;
        let error = prepared.expect(name).unwrap_err();
        assert!(error.is_callers() && error.to_string().contains("no regular file"), "{name}: {error}");
    }
    // Anything that git opens by name, and what a configuration leads to.
    let odd =
        ["refs/heads/main", "objects/info/commit-graph", "info/grafts", "info/attributes", "modules/x/HEAD", "other"];
    for (attempt, name) in (10..).zip(odd) {
        let copy = desk.folder.path().join(format!("copy-{attempt}"));
        let copied = Command::new("cp").arg("-a").args([desk.source(), copy.clone()]).status().unwrap();
        assert!(copied.success());
        let _ = fs::remove_file(copy.join(".git").join(name));
        pipe(&copy.join(".git").join(name));
        let prepared = timeout(PATIENCE, Workspace::prepare(desk.ask(attempt, &copy, None))).await;
        let error = prepared.expect(name).unwrap_err();
        assert!(error.is_callers() && error.to_string().contains("no regular file"), "{name}: {error}");
    }
    let outside = desk.folder.path().join("included");
    pipe(&outside);
    let configuration = fs::read_to_string(desk.source().join(".git/config")).unwrap();
    let including = format!("{configuration}[include]\n\tpath = {}\n", outside.display());
    fs::write(desk.source().join(".git/config"), including).unwrap();
    // A helper does not see it, so it is nothing; where it does, it is told.
    let prepared = timeout(PATIENCE, Workspace::prepare(desk.ask(20, &desk.source(), None))).await.expect("include");
    assert!(prepared.map_or_else(|error| error.is_callers(), |workspace| workspace.files() == 2));
    fs::write(desk.source().join(".git/config"), configuration).unwrap();
    // In the files, not in the repository: only the note about changes goes without.
    pipe(&desk.source().join(".gitignore"));
    pipe(&desk.source().join(".gitattributes"));
    let workspace = timeout(PATIENCE, desk.prepare(None)).await.expect("a source with pipes").unwrap();
    assert_eq!(workspace.files(), 2);
}
