//! A `code` job and what becomes of its patch.

use super::Mesh;
use serde_json::json;
use testkit::{SampleRepository, Turn, sample_repository};

fn run(command: &str) -> Turn {
    Turn::tool("run", json!({"command": command}))
}

/// Looks, edits, tests, finishes.
fn mending() -> [Turn; 4] {
    [
        run("cat prices.py"),
        run(&SampleRepository::fix_command()),
        run(SampleRepository::TEST_COMMAND),
        Turn::tool("finish", json!({"summary": "The discount is taken off now."})),
    ]
}

async fn mended() -> (Mesh, SampleRepository, String) {
    let repository = sample_repository();
    let mesh = Mesh::start(mending()).await;
    let path = repository.path().to_str().unwrap();
    let answer = mesh.run(&["run", "--code", "--repo", path, "Make the test pass."]).await.good();
    assert_eq!(answer.stdout, "The discount is taken off now.\n");
    assert!(!repository.test_passes(), "the user's tree is untouched until `apply`");
    let id = mesh.run(&["jobs", "list"]).await.good().stdout.split('\t').next().unwrap().to_owned();
    (mesh, repository, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_is_shown_tried_and_applied_and_the_test_is_green() {
    let (mesh, repository, id) = mended().await;
    let diff = mesh.run(&["diff", &id]).await.good().stdout;
    assert!(diff.contains("-    return sum(prices) * (100 + discount_percent) // 100\n+"), "{diff}");
    assert_eq!(mesh.run(&["diff", &id, "--json"]).await.good().json()["patch"], diff);

    let checked = mesh.run(&["apply", "--check", &id]).await.good();
    assert!(checked.stdout.starts_with("fits\t1 files"), "{}", checked.stdout);
    assert_eq!(repository.git(&["status", "--porcelain"]), "");

    mesh.run(&["apply", &id]).await.good();
    assert!(repository.test_passes());
    assert_eq!(repository.git(&["status", "--porcelain"]), "M  prices.py\n", "staged, ready to be looked at");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_that_does_not_fit_changes_nothing() {
    let (mesh, repository, id) = mended().await;
    let file = repository.file(SampleRepository::BROKEN_FILE);

    // Unsaved edits in the file it changes.
    let edited = std::fs::read_to_string(&file).unwrap().replace("in cents", "in pence");
    std::fs::write(&file, &edited).unwrap();
    let answer = mesh.run(&["apply", &id]).await.with_code(1);
    assert!(answer.stderr.contains("does not fit, and nothing was changed"), "{}", answer.stderr);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), edited);

    // Committed, the edit lies elsewhere in the file: the merge brings both together.
    repository.git(&["commit", "--quiet", "--all", "--message", "Pence"]);
    mesh.run(&["apply", "--check", &id]).await.good();

    // The very line was changed to something else.
    let clashing = edited.replace("100 + discount_percent", "99 + discount_percent");
    std::fs::write(&file, &clashing).unwrap();
    repository.git(&["commit", "--quiet", "--all", "--message", "Clash"]);
    let answer = mesh.run(&["apply", &id]).await.with_code(1);
    assert!(answer.stderr.contains("does not fit, and nothing was changed"), "{}", answer.stderr);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), clashing);
    assert_eq!(repository.git(&["status", "--porcelain"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_brings_a_patch_into_a_tree_that_moved_on() {
    let (mesh, repository, id) = mended().await;
    let file = repository.file(SampleRepository::BROKEN_FILE);
    let moved = std::fs::read_to_string(&file).unwrap().replace("in cents", "in pence");
    std::fs::write(&file, moved).unwrap();
    repository.git(&["commit", "--quiet", "--all", "--message", "Pence"]);
    mesh.run(&["apply", &id]).await.good();
    assert!(repository.test_passes());
    assert!(std::fs::read_to_string(&file).unwrap().contains("in pence"), "and the user's own change is still there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_leaves_the_tree_alone() {
    let (mesh, repository, id) = mended().await;
    let answer = mesh.run(&["apply", &id, "--branch", "mended", "--json"]).await.good().json();
    assert_eq!(repository.git(&["rev-parse", "mended"]).trim(), answer["commit"]);
    assert_eq!(repository.git(&["status", "--porcelain"]), "");
    assert_eq!(repository.git(&["rev-parse", "--abbrev-ref", "HEAD"]).trim(), "main");
    assert!(repository.git(&["log", "-1", "--format=%B", "mended"]).contains(&id));
    repository.git(&["switch", "--quiet", "mended"]);
    assert!(repository.test_passes());
    let again = mesh.run(&["apply", &id, "--branch", "mended"]).await.with_code(1);
    assert!(again.stderr.contains("exists already"), "{}", again.stderr);

    // Without a name it is the one the job proposed.
    let proposed = mesh.run(&["apply", &id, "--json", "--branch"]).await.good().json();
    assert!(!repository.git(&["rev-parse", proposed["branch"].as_str().unwrap()]).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_folder_takes_a_patch_too() {
    let mesh = Mesh::start([Turn::text("Some notes.")]).await;
    let folder = mesh.home.path("plain");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("a.txt"), "a\n").unwrap();
    let path = folder.to_str().unwrap();
    mesh.run(&["run", "--repo", path, "--write", "NOTES.md", "Take notes."]).await.good();
    let id = mesh.run(&["jobs", "list"]).await.good().stdout.split('\t').next().unwrap().to_owned();
    mesh.run(&["apply", &id]).await.good();
    assert_eq!(std::fs::read_to_string(folder.join("NOTES.md")).unwrap(), "Some notes.\n");
    let again = mesh.run(&["apply", &id]).await.with_code(1);
    assert!(again.stderr.contains("already exists"), "{}", again.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_changed_nothing_has_no_patch() {
    let mesh = Mesh::start([Turn::text("Nothing to do.")]).await;
    mesh.run(&["run", "Look."]).await.good();
    let id = mesh.run(&["jobs", "list"]).await.good().stdout.split('\t').next().unwrap().to_owned();
    for command in ["diff", "apply"] {
        let answer = mesh.run(&[command, &id]).await.with_code(5);
        assert!(answer.stderr.contains("changed nothing"), "{}", answer.stderr);
    }
}
