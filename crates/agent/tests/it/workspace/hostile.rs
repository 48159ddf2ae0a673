//! Repositories that want to run something as whoever uses git on them. Each program they name leaves a trace.

use super::{Desk, git, tree, write};
use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
};

/// Hooks, filters, monitors and drivers: everything a repository's configuration can start.
fn plant(git_folder: &Path, trace: &Path) {
    let script = git_folder.join("evil");
    fs::write(&script, format!("#!/bin/sh\necho \"$0 $@\" >> '{}'\ncat\n", trace.display())).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let hooks = [
        "pre-commit",
        "post-commit",
        "post-checkout",
        "post-index-change",
        "reference-transaction",
        "update",
        "pre-receive",
        "post-update",
        "pre-auto-gc",
        "fsmonitor-watchman",
        "commit-msg",
        "post-merge",
    ];
    fs::create_dir_all(git_folder.join("hooks")).unwrap();
    for hook in hooks {
        fs::copy(&script, git_folder.join("hooks").join(hook)).unwrap();
    }
    let evil = script.display();
    let configuration = format!(
        "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tfsmonitor = {evil}\n\tsshCommand = {evil}\n\
         \tpager = {evil}\n\teditor = {evil}\n\taskPass = {evil}\n\tgitProxy = {evil}\n\talternateRefsCommand = {evil}\n\
         [filter \"evil\"]\n\tclean = {evil}\n\tsmudge = {evil}\n\tprocess = {evil}\n\trequired = true\n\
         [diff]\n\texternal = {evil}\n[diff \"evil\"]\n\ttextconv = {evil}\n\tcommand = {evil}\n\
         [merge \"evil\"]\n\tdriver = {evil}\n[uploadpack]\n\tpackObjectsHook = {evil}\n[gpg]\n\tprogram = {evil}\n\
         [commit]\n\tgpgSign = true\n[credential]\n\thelper = {evil}\n[gc]\n\tauto = 1\n"
    );
    fs::write(git_folder.join("config"), configuration).unwrap();
    fs::create_dir_all(git_folder.join("info")).unwrap();
    fs::write(git_folder.join("info/attributes"), "* filter=evil diff=evil merge=evil\n").unwrap();
}

#[tokio::test]
async fn a_users_repository_runs_nothing() {
    let desk = Desk::with_repository().await;
    let trace = desk.folder.path().join("trace");
    desk.write(".gitattributes", "* filter=evil diff=evil\n");
    desk.commit("attributes");
    plant(&desk.source().join(".git"), &trace);
    desk.write("a.txt", "uncommitted\n");
    let workspace = desk.prepare(Some("main")).await.unwrap();
    assert!(workspace.take_notes()[0].contains("(a.txt)"), "also the look for changes ran nothing");
    write(&tree(&workspace).join("a.txt"), "two\n");
    workspace.checkpoint(1).await.unwrap();
    assert!(!workspace.patch().await.unwrap().is_empty());
    assert!(!trace.exists(), "{}", fs::read_to_string(&trace).unwrap());
    let configuration = fs::read_to_string(tree(&workspace).join(".git/config")).unwrap();
    assert!(!configuration.contains("evil"), "{configuration}");

    // The traps do work: whoever uses git there without care runs them.
    super::try_git(&desk.source(), &["status"]);
    assert!(trace.exists());
}

#[tokio::test]
async fn what_tools_do_to_their_repository_runs_nothing_of_theirs_in_the_agent() {
    let desk = Desk::with_repository().await;
    let trace = desk.folder.path().join("trace");
    let workspace = desk.prepare(None).await.unwrap();
    let tree = tree(&workspace);
    plant(&tree.join(".git"), &trace);
    write(&tree.join(".gitattributes"), "* filter=evil diff=evil text=auto working-tree-encoding=UTF-16\n");
    // One inside, where a link would make git run itself.
    git(&tree, &["clone", "-q", desk.source().to_str().unwrap(), "sub"]);
    plant(&tree.join("sub/.git"), &trace);
    write(&tree.join("sub/.gitmodules"), "[submodule \"x\"]\n\tpath = x\n\turl = ext::sh -c evil\n\tupdate = !evil\n");
    fs::remove_file(&trace).unwrap_or_default();
    write(&tree.join("a.txt"), "two\n");
    for step in 1..4 {
        write(&tree.join("sub/a.txt"), &format!("step {step}\n"));
        workspace.checkpoint(step).await.unwrap();
    }
    workspace.patch().await.unwrap();
    workspace.changed_files().await.unwrap();
    assert!(!trace.exists(), "{}", fs::read_to_string(&trace).unwrap());

    // Gone, a file, a link elsewhere, a folder of garbage: none of it matters.
    let elsewhere = desk.source().join(".git");
    for round in 4..8 {
        fs::remove_dir_all(tree.join(".git")).or_else(|_| fs::remove_file(tree.join(".git"))).unwrap_or_default();
        match round {
            5 => write(&tree.join(".git"), &format!("gitdir: {}\n", elsewhere.display())),
            6 => symlink(&elsewhere, tree.join(".git")).unwrap(),
            7 => write(&tree.join(".git/HEAD"), "garbage\0"),
            _ => {}
        }
        write(&tree.join("a.txt"), &format!("round {round}\n"));
        workspace.checkpoint(round).await.unwrap();
    }
    assert_eq!(desk.git(&["log", "--format=%s"]), "second\nfirst", "the user's repository has no new commit");
    assert!(!trace.exists());
}

#[tokio::test]
async fn links_out_of_the_tree_bring_nothing_in() {
    let desk = Desk::with_repository().await;
    write(&desk.folder.path().join("private/lib.txt"), "private\n");
    let workspace = desk.prepare(None).await.unwrap();
    let tree = tree(&workspace);
    symlink("/etc/passwd", tree.join("passwd")).unwrap();
    fs::remove_dir_all(tree.join("src")).unwrap();
    // Where `src/lib.txt` was known, another one can now be reached through the link.
    symlink(desk.folder.path().join("private"), tree.join("src")).unwrap();
    let commit = workspace.checkpoint(1).await.unwrap();
    let patch = String::from_utf8(workspace.patch().await.unwrap()).unwrap();
    assert!(!patch.contains("+private") && !patch.contains("root:"), "{patch}");
    let listed = git(workspace.location(), &["ls-tree", "-r", &commit]);
    assert!(listed.contains("120000") && !listed.contains("src/lib.txt"), "{listed}");
}

#[tokio::test]
async fn the_tree_belongs_to_who_runs_tools_and_the_users_files_stay_theirs() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let desk = Desk::with_repository().await;
    symlink(desk.source().join("a.txt"), desk.source().join("link")).unwrap();
    desk.commit("link");
    let workspace = desk.prepare(None).await.unwrap();
    let tree = tree(&workspace);
    for name in ["", "a.txt", "src", "src/lib.txt", "link", ".git", ".git/index", ".git/objects"] {
        assert_eq!(fs::symlink_metadata(tree.join(name)).unwrap().uid(), 65_534, "{name}");
    }
    let git = fs::metadata(workspace.location()).unwrap();
    assert_eq!((git.uid(), git.mode() & 0o777), (65_534, 0o700), "a helper's, and nobody else's");
    for path in super::fingerprint(&desk.source()).into_keys() {
        assert_eq!(fs::symlink_metadata(&path).unwrap().uid(), 0, "{}", path.display());
    }
    assert_eq!(workspace.checkpoint(1).await.unwrap(), workspace.head(), "another owner is no change");
}
