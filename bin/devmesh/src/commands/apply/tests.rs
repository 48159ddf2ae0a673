//! Patches into trees of every kind, with real git.

mod hostile;
mod places;
mod situations;
mod submodules;

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
                    format!(
                        "{:o} {}",
                        metadata.permissions().mode(),
                        String::from_utf8_lossy(&fs::read(&path).unwrap())
                    )
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

fn touch(path: &Path) {
    let long_ago = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::options().append(true).open(path).unwrap().set_modified(long_ago).unwrap();
}

fn commit_of(at: &Path, name: &str, text: &str) {
    write(at, name, text);
    commit(at);
}

fn mode(at: &Path, name: &str, mode: u32) {
    fs::set_permissions(at.join(name), fs::Permissions::from_mode(mode)).unwrap();
}

async fn branch_of(at: &Path, base: &str, patch: &[u8], name: &str, job: &Job) -> Result<String, Failure> {
    let patch = Patch::read(patch.to_vec()).unwrap();
    branch::commit(at, base, &patch, name, &Again { job, repo: None }).await
}

fn job_at(path: &Path) -> Job {
    job(path, serde_json::json!({"base_commit": "0123456789012345678901234567890123456789"}))
}
