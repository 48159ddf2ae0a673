//! Patches over a repository and its submodules.

use super::*;

/// A repository with a submodule at `libs/sub` which has one at `inner`, all checked out.
fn with_submodules(scene: &Scene) -> (PathBuf, String) {
    let at = scene.path("super");
    repository(&scene.path("inner"), &[("i.c", LINES)]);
    repository(&scene.path("lib"), &[("lib.c", LINES)]);
    let add = |at: &Path, from: &str, to: &str| {
        git(
            at,
            &[
                "-c",
                "protocol.file.allow=always",
                "submodule",
                "--quiet",
                "add",
                scene.path(from).to_str().unwrap(),
                to,
            ],
        );
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
    repository(&flat, &[("a", "a\n"), ("libs/own.c", LINES), ("libs/sub/lib.c", LINES), ("libs/sub/inner/i.c", LINES)]);
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
    let sub =
        git(&at.join("libs/sub"), &["-c", "core.quotePath=false", "status", "--porcelain", "--ignore-submodules"]);
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
