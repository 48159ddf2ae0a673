//! Step commits and the patch they add up to.

use super::{Desk, applied, git, tree, write};
use agent::workspace::{ChangedFile, Error, STEP_FILE_BYTES};
use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt, symlink},
};

#[tokio::test]
async fn a_step_holds_every_kind_of_change() {
    let desk = Desk::with_repository().await;
    desk.write("gone.txt", "gone\n");
    desk.write("becomes-folder", "file\n");
    desk.write("becomes-file/inner.txt", "folder\n");
    desk.write("becomes-link/inner.txt", "folder\n");
    desk.write("long.txt", &"a line that stays the same\n".repeat(20));
    desk.commit("third");
    let workspace = desk.prepare(None).await.unwrap();
    let tree = tree(&workspace);
    assert_eq!(workspace.checkpoint(1).await.unwrap(), workspace.head(), "nothing changed, so no new commit");

    write(&tree.join("a.txt"), "one\ntwo\n");
    fs::remove_file(tree.join("gone.txt")).unwrap();
    fs::remove_file(tree.join("becomes-folder")).unwrap();
    write(&tree.join("becomes-folder/inner.txt"), "inner\n");
    fs::remove_dir_all(tree.join("becomes-file")).unwrap();
    write(&tree.join("becomes-file"), "file\n");
    fs::remove_dir_all(tree.join("becomes-link")).unwrap();
    symlink("src", tree.join("becomes-link")).unwrap();
    fs::rename(tree.join("long.txt"), tree.join("renamed.txt")).unwrap();
    fs::write(tree.join("binary"), [0, 1, 2, 255]).unwrap();
    write(&tree.join(".gitignore"), "build/\n");
    write(&tree.join("build/output"), "ignored\n");
    fs::set_permissions(tree.join("src/lib.txt"), fs::Permissions::from_mode(0o755)).unwrap();
    nix::unistd::mkfifo(&tree.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();

    let commit = workspace.checkpoint(2).await.unwrap();
    assert_ne!(commit, workspace.head());
    assert_eq!(workspace.checkpoint(3).await.unwrap(), commit, "the same tree is the same step");
    let reference = git(workspace.location(), &["rev-parse", "refs/devmesh/steps/1"]);
    assert_eq!(reference, commit);

    let changed = workspace.changed_files().await.unwrap();
    let find =
        |path: &str| changed.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{path}: {changed:?}"));
    assert_eq!(find("a.txt").lines, Some((1, 0)));
    assert_eq!(find("binary").lines, None);
    assert_eq!(find("renamed.txt").previous_path.as_deref(), Some("long.txt"));
    assert!(!changed.iter().any(|file| file.path.starts_with("build") || file.path == "pipe"));

    let clone = applied(&desk, &workspace).await;
    assert_eq!(fs::read_to_string(clone.join("a.txt")).unwrap(), "one\ntwo\n");
    assert_eq!(fs::read(clone.join("binary")).unwrap(), [0, 1, 2, 255]);
    assert_eq!(fs::read_to_string(clone.join("becomes-folder/inner.txt")).unwrap(), "inner\n");
    assert!(clone.join("becomes-link").is_symlink() && clone.join("becomes-file").is_file());
    assert!(!clone.join("gone.txt").exists() && !clone.join("build").exists());
    assert_ne!(fs::metadata(clone.join("src/lib.txt")).unwrap().permissions().mode() & 0o100, 0);
    assert_eq!(git(&clone, &["write-tree"]), git(workspace.location(), &["rev-parse", &format!("{commit}^{{tree}}")]));
}

#[tokio::test]
async fn files_that_are_too_large_are_left_out_and_told_once() {
    let desk = Desk::with_repository().await;
    let workspace = desk.prepare(None).await.unwrap();
    let large = File::create(tree(&workspace).join("large.bin")).unwrap();
    large.set_len(STEP_FILE_BYTES + 1).unwrap();
    write(&tree(&workspace).join("small.txt"), "small\n");
    workspace.checkpoint(1).await.unwrap();
    workspace.checkpoint(2).await.unwrap();
    let changed: Vec<_> = workspace.changed_files().await.unwrap().into_iter().map(|file| file.path).collect();
    assert_eq!(changed, ["small.txt"]);
    assert_eq!(workspace.take_notes(), ["`large.bin` has 100 MiB and was left out: steps keep files of up to 100 MiB"]);
}

#[tokio::test]
async fn a_patch_beyond_the_limit_is_an_error_that_says_so() {
    let desk = Desk::with_repository().await;
    let workspace = desk.prepare(None).await.unwrap();
    write(&tree(&workspace).join("big.txt"), &"0123456789\n".repeat(10_000));
    workspace.checkpoint(1).await.unwrap();
    let error = workspace.patch_of(50_000).await.unwrap_err();
    assert!(matches!(error, Error::PatchTooLarge { limit: 50_000 }) && error.is_callers());
    assert!(workspace.patch().await.unwrap().len() > 110_000);
}

/// Tools clone, `git init`, and leave empty repositories about. Their files are files like all others.
#[tokio::test]
async fn repositories_made_inside_the_tree_are_ordinary_folders() {
    let desk = Desk::with_repository().await;
    let workspace = desk.prepare(None).await.unwrap();
    let tree = tree(&workspace);
    git(&tree, &["init", "-q", "empty"]);
    git(&tree, &["clone", "-q", desk.source().to_str().unwrap(), "cloned"]);
    git(&tree.join("cloned"), &["clone", "-q", desk.source().to_str().unwrap(), "inner"]);
    write(&tree.join("cloned/.gitignore"), "out/\n");
    write(&tree.join("cloned/out/x"), "ignored\n");
    git(&tree.join("src"), &["init", "-q"]);
    write(&tree.join("src/lib.txt"), "changed\n");
    workspace.checkpoint(1).await.unwrap();
    let mut changed: Vec<_> = workspace.changed_files().await.unwrap().into_iter().map(|file| file.path).collect();
    changed.sort();
    let expected = [
        "cloned/.gitignore",
        "cloned/a.txt",
        "cloned/inner/a.txt",
        "cloned/inner/src/lib.txt",
        "cloned/src/lib.txt",
        "src/lib.txt",
    ];
    assert_eq!(changed, expected);

    write(&tree.join("cloned/inner/a.txt"), "again\n");
    write(&tree.join("empty/first.txt"), "first\n");
    fs::remove_file(tree.join("cloned/a.txt")).unwrap();
    let commit = workspace.checkpoint(2).await.unwrap();
    let listed = git(workspace.location(), &["ls-tree", "-r", &commit]);
    assert!(!listed.contains("160000"), "no links: {listed}");
    assert!(listed.contains("empty/first.txt") && !listed.contains("\tcloned/a.txt"), "{listed}");
    applied(&desk, &workspace).await;
}

#[tokio::test]
async fn a_step_that_was_interrupted_does_not_block_the_next() {
    let desk = Desk::with_repository().await;
    let workspace = desk.prepare(None).await.unwrap();
    fs::write(workspace.location().join("index.lock"), "").unwrap();
    write(&tree(&workspace).join("a.txt"), "two\n");
    assert_ne!(workspace.checkpoint(1).await.unwrap(), workspace.head());
    let changed = ChangedFile { path: "a.txt".into(), previous_path: None, lines: Some((1, 1)) };
    assert_eq!(workspace.changed_files().await.unwrap(), [changed]);
}
