//! A `code` job and what becomes of its patch.

use super::Mesh;
use serde_json::json;
use testkit::{SampleRepository, Turn, sample_repository};

fn run(command: &str) -> Turn {
    Turn::tool("run", json!({"command": command}))
}

/// Looks, edits, finishes.
fn mending() -> [Turn; 3] {
    [
        run("cat prices.py"),
        run(&SampleRepository::fix_command()),
        Turn::tool("finish", json!({"summary": "The discount is taken off now."})),
    ]
}

async fn mended() -> (Mesh, SampleRepository, String) {
    let repository = sample_repository();
    let mesh = Mesh::start(mending()).await;
    let path = repository.path().to_str().unwrap();
    let answer = mesh.run(&["run", "--code", "--repo", path, "Make the test pass."]).await.good();
    assert_eq!(answer.stdout, "The discount is taken off now.\n");
    assert!(answer.stderr.contains("check      python3 -m unittest (found by test_prices.py)"), "{}", answer.stderr);
    assert!(answer.stderr.contains("\ncheck passed\n"), "{}", answer.stderr);
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
    let again = mesh.run(&["apply", &id]).await.good();
    assert!(again.stdout.starts_with("already applied\t1 files"), "{}", again.stdout);
    assert!(!again.stderr.contains("next:"), "nothing is staged in a plain folder: {}", again.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_variables_of_a_hook_lead_nowhere_else() {
    let (mesh, repository, id) = mended().await;
    let other = sample_repository();
    let (folder, index) = (other.file(".git"), other.file(".git/index"));
    let before = std::fs::read(&index).unwrap();
    let mut command = mesh.home.command(&["apply", &id]);
    command.current_dir(other.path()).env("GIT_DIR", &folder).env("GIT_INDEX_FILE", &index);
    command.env("GIT_WORK_TREE", other.path()).env("GIT_OBJECT_DIRECTORY", folder.join("objects"));
    command.env("GIT_COMMON_DIR", &folder).env("GIT_PREFIX", "sub/").env("GIT_CONFIG_PARAMETERS", "'core.bare'='true'");
    command.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "core.bare").env("GIT_CONFIG_VALUE_0", "true");
    command.env("GIT_TRACE", "1").env("GIT_NAMESPACE", "x").env("GIT_ATTR_SOURCE", "nowhere");
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(repository.git(&["status", "--porcelain"]), "M  prices.py\n");
    assert!(repository.test_passes());
    assert_eq!(std::fs::read(&index).unwrap(), before, "the other repository's index is as it was");
    assert_eq!(other.git(&["status", "--porcelain"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_needs_no_identity_and_keeps_one() {
    let (mesh, repository, id) = mended().await;
    let who = |branch: &str| repository.git(&["log", "-1", "--format=%an <%ae> %cn <%ce>", branch]);
    mesh.run(&["apply", &id, "--branch", "configured"]).await.good();
    let sample = "Sample Author <author@example.invalid>";
    assert_eq!(who("configured"), format!("{sample} {sample}\n"));

    repository.git(&["config", "--unset", "user.email"]);
    repository.git(&["config", "user.useConfigOnly", "true"]);
    mesh.run(&["apply", &id, "--branch", "named"]).await.good();
    let named = "Sample Author <devmesh@localhost>";
    assert_eq!(who("named"), format!("{named} {named}\n"), "only what git does not know is filled in");

    repository.git(&["config", "--unset", "user.name"]);
    mesh.run(&["apply", &id, "--branch", "nobody"]).await.good();
    let nobody = "devmesh <devmesh@localhost>";
    assert_eq!(who("nobody"), format!("{nobody} {nobody}\n"));

    let mut command = mesh.home.command(&["apply", &id, "--branch", "environment"]);
    command.env("GIT_AUTHOR_NAME", "Ann").env("GIT_AUTHOR_EMAIL", "ann@example.invalid");
    assert!(command.output().await.unwrap().status.success());
    assert_eq!(who("environment"), format!("Ann <ann@example.invalid> {nobody}\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_of_another_user_says_what_to_do() {
    if !nix::unistd::geteuid().is_root() {
        testkit::skipped("files cannot be given away");
        return;
    }
    let (mesh, repository, id) = mended().await;
    let give_away = std::process::Command::new("chown").args(["-R", "12345"]).arg(repository.path()).status();
    assert!(give_away.unwrap().success());
    let before = std::fs::read(repository.file("prices.py")).unwrap();
    let answer = mesh.run(&["apply", &id]).await.with_code(1);
    let proposed = answer.stderr.lines().find_map(|line| line.strip_prefix("next: ")).unwrap();
    assert!(proposed.starts_with("git config --global --add safe.directory "), "{}", answer.stderr);
    assert_eq!(std::fs::read(repository.file("prices.py")).unwrap(), before);

    // And it is true.
    let home = mesh.home.path("");
    let pasted = std::process::Command::new("sh").args(["-c", proposed]).env("HOME", &home).status();
    assert!(pasted.unwrap().success());
    mesh.run(&["apply", &id]).await.good();
    assert!(repository.test_passes());
}

/// As Git LFS has it: what is in git is not what is in the tree, and the user's own configuration names the program between.
#[tokio::test(flavor = "multi_thread")]
async fn filters_of_the_user_run() {
    let repository = sample_repository();
    let mesh =
        Mesh::start([run("sed -i s/Uryyb/Tbbqolr/ letter"), Turn::tool("finish", json!({"summary": "Done."}))]).await;
    let rotate = "tr A-Za-z N-ZA-Mn-za-m";
    let configuration = format!("[filter \"rot\"]\n clean = {rotate}\n smudge = {rotate}\n required\n");
    std::fs::write(mesh.home.path(".gitconfig"), configuration).unwrap();
    std::fs::write(repository.file("letter"), "Hello.\n").unwrap();
    std::fs::write(repository.file(".gitattributes"), "letter filter=rot\n").unwrap();
    let filter = ["-c", &format!("filter.rot.clean={rotate}"), "-c", &format!("filter.rot.smudge={rotate}")];
    let git = |arguments: &[&str]| repository.git(&[&filter[..], arguments].concat());
    git(&["add", "--all"]);
    git(&["commit", "--quiet", "-m", "A letter"]);
    assert_eq!(git(&["show", "HEAD:letter"]), "Uryyb.\n");
    let path = repository.path().to_str().unwrap();
    mesh.run(&["run", "--code", "--repo", path, "--check", "none", "Say goodbye."]).await.good();
    let id = mesh.run(&["jobs", "list"]).await.good().stdout.split('\t').next().unwrap().to_owned();
    mesh.run(&["apply", "--check", &id]).await.good();
    mesh.run(&["apply", &id]).await.good();
    assert_eq!(std::fs::read_to_string(repository.file("letter")).unwrap(), "Goodbye.\n");
    assert_eq!(git(&["status", "--porcelain"]), "M  letter\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_can_be_pasted() {
    let mesh = Mesh::start([Turn::text("Some notes.")]).await;
    let folder = mesh.home.path("it's $HOME & \"more\"");
    std::fs::create_dir(&folder).unwrap();
    let shell = |command: &str| {
        let output = std::process::Command::new("sh")
            .args(["-c", command])
            .env("HOME", mesh.home.path(""))
            .env("GIT_PAGER", "cat")
            .env("GIT_EDITOR", "echo Notes >")
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let git = |arguments: &[&str]| {
        let output = std::process::Command::new("git").arg("-C").arg(&folder).args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    git(&["init", "--quiet", "--initial-branch=main"]);
    git(&["config", "user.name", "Sample"]);
    git(&["config", "user.email", "sample@example.invalid"]);
    git(&["commit", "--quiet", "--allow-empty", "-m", "Begin"]);
    let path = folder.to_str().unwrap();
    mesh.run(&["run", "--repo", path, "--write", "NOTES.md", "Take notes."]).await.good();
    let id = mesh.run(&["jobs", "list"]).await.good().stdout.split('\t').next().unwrap().to_owned();
    let next = |stderr: &str| stderr.lines().find_map(|line| line.strip_prefix("next: ")).unwrap().to_owned();

    let made = mesh.run(&["apply", &id, "--repo", path, "--branch", "a;'b"]).await.good();
    shell(&next(&made.stderr));
    assert_eq!(git(&["branch", "--show-current"]), "a;'b\n");
    git(&["switch", "--quiet", "main"]);

    let checked = mesh.run(&["apply", &id, "--repo", path, "--check"]).await.good();
    let program = env!("CARGO_BIN_EXE_devmesh");
    let again = next(&checked.stderr).replacen("devmesh", &format!("'{program}'"), 1);
    let data = mesh.home.data();
    shell(&format!("DEVMESH_DATA='{}' {again}", data.display()));
    assert_eq!(git(&["status", "--porcelain"]), "A  NOTES.md\n");
    git(&["reset", "--hard", "--quiet"]);

    let applied = mesh.run(&["apply", &id]).await.good();
    assert!(shell(&next(&applied.stderr)).contains("+Some notes."));
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
