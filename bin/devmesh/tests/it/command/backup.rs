//! `backup`, `restore` and getting in again.

use super::{Home, Mesh, mesh::Up};
use nix::{
    sys::{signal::Signal, stat::Mode},
    unistd::mkfifo,
};
use std::{
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};
use testkit::{Script, Turn};

/// A mesh with one job that wrote a file, and its id.
async fn mesh_with_a_patch() -> (Mesh, String) {
    let mesh = Mesh::start(Script::each(|_| Turn::text("Kept."))).await;
    mesh.run(&["run", "--write", "KEPT.md", "Keep this."]).await.good();
    let jobs = mesh.run(&["jobs", "list", "--json"]).await.good().json();
    let id = jobs[0]["id"].as_str().unwrap().to_owned();
    (mesh, id)
}

fn empty_home() -> Home {
    let mut home = Home::new();
    home.set("OLLAMA_BASE_URL", "http://127.0.0.1:9");
    home
}

/// All content in a data folder.
fn content(data: &Path) -> Vec<PathBuf> {
    let shards = std::fs::read_dir(data.join("blobs")).unwrap().map(|entry| entry.unwrap().path());
    let files = shards.filter(|path| path.is_dir()).flat_map(|shard| std::fs::read_dir(shard).unwrap());
    files.map(|file| file.unwrap().path()).collect()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_folder_has_everything_and_says_that_it_is_another_one() {
    let (mesh, id) = mesh_with_a_patch().await;
    let before = mesh.run(&["jobs", "list", "--json"]).await.good().json();
    let head = before[0]["head"].as_str().unwrap().to_owned();
    let patch = mesh.run(&["diff", &id]).await.good().stdout;

    let file = mesh.home.path("mesh.tar");
    let name = file.to_str().unwrap();
    mesh.run(&["backup", name]).await.good();
    assert_eq!(mode(&file), 0o600, "it holds prompts and answers");
    let again = mesh.run(&["backup", name]).await.with_code(2);
    assert!(again.stderr.contains("exists already"), "{}", again.stderr);

    // Not over what is there.
    mesh.run(&["restore", name]).await.with_code(1);
    // The old one is gone with its disk; nothing but the backup is left.
    let (old, _) = mesh.stop().await;
    let old_token = std::fs::read_to_string(old.data().join("admin-token")).unwrap();
    let new = empty_home();
    let restored = new.run(&["restore", name]).await.good();
    let token = new.data().join("admin-token");
    assert!(restored.stderr.contains(&format!("token     a new one is in {}", token.display())), "{}", restored.stderr);
    assert!(restored.stderr.contains("of the original do not work here"), "{}", restored.stderr);
    assert_eq!(mode(&token), 0o600);
    assert_ne!(std::fs::read_to_string(&token).unwrap(), old_token);
    let up = Up::start(&new, &[]).await;
    let after = new.run(&["jobs", "list", "--json"]).await.good().json();
    assert_eq!(after[0]["id"], id.as_str());
    assert_eq!(new.run(&["diff", &id]).await.good().stdout, patch);
    assert!(new.run(&["verify", &id, "--here"]).await.good().stdout.starts_with("intact"));
    std::fs::write(new.path("old-token"), &old_token).unwrap();
    let refused = new.run(&["jobs", "list", "--token-file", new.path("old-token").to_str().unwrap()]).await;
    refused.with_code(4);

    let told = new.run(&["audit", "--json"]).await.good().json();
    let told: Vec<_> = told.as_array().unwrap().iter().filter_map(|entry| entry["action"].as_str()).collect();
    let place = told.iter().position(|action| *action == "backup.restore").expect("it is told");
    assert_eq!(told[place + 1], "backup.read", "right after the last thing the original knew: {told:?}");
    assert!(new.run(&["audit", "--verify"]).await.good().stdout.starts_with("intact"));

    // A cursor from before is not silently taken for one of now.
    assert_ne!(after[0]["head"], head.as_str());
    let reset = new.run(&["logs", "-f", &id, "--json", "--after", &head]).await.good();
    assert!(reset.stderr.contains("restored from a backup"), "{}", reset.stderr);
    assert_eq!(reset.lines().last().unwrap()["type"], "closed");
    up.stop().await.good();

    let kept = empty_home();
    let restored = kept.run(&["restore", name, "--keep-tokens"]).await.good();
    assert!(restored.stderr.contains("of the original work here too"), "{}", restored.stderr);
    std::fs::write(kept.path("old-token"), &old_token).unwrap();
    let up = Up::start(&kept, &[]).await;
    kept.run(&["jobs", "list", "--token-file", kept.path("old-token").to_str().unwrap()]).await.good();
    up.stop().await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn something_else_than_a_backup_is_refused() {
    let home = Home::new();
    let file = home.path("not-a-backup");
    std::fs::write(&file, "hello").unwrap();
    let answer = home.run(&["restore", file.to_str().unwrap()]).await.with_code(1);
    assert!(answer.stderr.contains("this is no backup of devmesh"), "{}", answer.stderr);
    let answer = home.run(&["restore", "nowhere.tar"]).await.with_code(1);
    assert!(answer.stderr.contains("nowhere.tar"), "{}", answer.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_told_wherever_somebody_looks_and_costs_no_more_than_itself() {
    let (mesh, id) = mesh_with_a_patch().await;
    let good = mesh.home.path("good.tar");
    mesh.run(&["backup", good.to_str().unwrap()]).await.good();
    let files = content(&mesh.home.data());
    assert_eq!(files.len(), 1, "{files:?}");
    let mut patch = std::fs::read(&files[0]).unwrap();
    let last = patch.len() - 2;
    patch[last] ^= 1;
    std::fs::write(&files[0], &patch).unwrap();

    // Neither shown nor applied.
    for command in ["diff", "apply"] {
        let refused = mesh.run(&[command, &id]).await.with_code(1);
        assert!(refused.stdout.is_empty() && refused.stderr.contains("is damaged"), "{refused:?}");
    }
    let verified = mesh.run(&["verify", &id]).await.with_code(1);
    assert!(verified.stdout.contains("its content is damaged"), "{}", verified.stdout);
    let told = format!("of job {id} is damaged");
    let doctor = mesh.run(&["doctor", "--deep"]).await.with_code(1);
    assert!(doctor.stdout.contains(&told), "{}", doctor.stdout);
    std::fs::remove_file(&files[0]).unwrap();
    let told = format!("of job {id} is missing");
    let doctor = mesh.run(&["doctor"]).await.with_code(1);
    assert!(doctor.stdout.contains(&told), "{}", doctor.stdout);

    let bad = mesh.home.path("bad.tar");
    let backup = mesh.run(&["backup", bad.to_str().unwrap()]).await.with_code(1);
    assert!(backup.stderr.contains(&told) && backup.stderr.contains("everything else is in it"), "{}", backup.stderr);
    let (old, _) = mesh.stop().await;
    let doctor = old.run(&["doctor"]).await.with_code(1);
    assert!(doctor.stdout.contains(&told), "{}", doctor.stdout);

    let new = empty_home();
    let restored = new.run(&["restore", bad.to_str().unwrap(), "--json"]).await.with_code(1);
    assert!(restored.stderr.contains(&told) && restored.stderr.contains("was not restored"), "{}", restored.stderr);
    assert_eq!(restored.json()["lost"]["listed"][0]["job_id"], id.as_str());
    let up = Up::start(&new, &[]).await;
    new.run(&["jobs", "show", &id]).await.good();
    let lost = new.run(&["diff", &id]).await.with_code(1);
    assert!(lost.stderr.contains("is missing"), "{}", lost.stderr);
    up.stop().await.good();
}

/// At any byte of the archive: what is left is refused by a start, and taken over by the next restore.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_restore_is_finished_by_the_next_one() {
    let (mesh, id) = mesh_with_a_patch().await;
    let file = mesh.home.path("mesh.tar");
    mesh.run(&["backup", file.to_str().unwrap()]).await.good();
    let (_old, _) = mesh.stop().await;
    let archive = std::fs::read(&file).unwrap();
    let new = empty_home();
    let pipe = new.path("pipe");
    mkfifo(&pipe, Mode::S_IRWXU).unwrap();
    for tenth in [0, 4, 9, 10] {
        let running = new.begin(&["restore", pipe.to_str().unwrap()]);
        let (pipe, some) = (pipe.clone(), archive[..(archive.len() - 1_024) * tenth / 10].to_vec());
        let fed = tokio::task::spawn_blocking(move || {
            let mut pipe = std::fs::File::options().write(true).open(pipe).unwrap();
            pipe.write_all(&some).unwrap();
            pipe
        });
        // Open, with everything up to there taken but for what lies in the pipe; the end never comes.
        let open = fed.await.unwrap();
        testkit::eventually("it has begun", async || new.data().join(".restoring").is_dir().then_some(())).await;
        running.signal(Signal::SIGKILL);
        running.killed().await;
        drop(open);
        let refused = new.run(&["serve", "--port", "0"]).await.with_code(1);
        assert!(refused.stderr.contains("was interrupted"), "after {tenth} tenths: {}", refused.stderr);
        assert!(refused.stderr.contains("devmesh restore FILE --data"), "{}", refused.stderr);
        assert!(!new.data().join("devmesh.db").exists());
    }
    let doctor = new.run(&["doctor"]).await.with_code(1);
    assert!(doctor.stdout.contains("was interrupted"), "{}", doctor.stdout);
    new.run(&["restore", file.to_str().unwrap()]).await.good();
    let up = Up::start(&new, &[]).await;
    assert!(new.run(&["verify", &id]).await.good().stdout.starts_with("intact"));
    up.stop().await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_the_token_gets_in_again_once_the_mesh_is_stopped() {
    let home = empty_home();
    home.run(&["token", "reset"]).await.with_code(5);
    assert!(!home.data().exists(), "no mesh is begun by it");
    let up = Up::start(&home, &[]).await;
    home.run(&["token", "create", "phone", "--scope", "viewer"]).await.good();
    let token = home.data().join("admin-token");
    let before = std::fs::read_to_string(&token).unwrap();
    let running = home.run(&["token", "reset"]).await.with_code(1);
    let lock = std::fs::read_to_string(home.data().join("devmesh.lock")).unwrap();
    assert!(running.stderr.contains(&format!("in use by process {}", lock.trim())), "{}", running.stderr);
    std::fs::remove_file(&token).unwrap();
    let doctor = home.run(&["doctor"]).await;
    assert!(doctor.stdout.contains("devmesh token reset"), "{}", doctor.stdout);
    let shut_out = home.run(&["jobs", "list"]).await.with_code(4);
    assert!(shut_out.stderr.contains("devmesh token reset"), "{}", shut_out.stderr);
    up.stop().await.good();

    let reset = home.run(&["token", "reset"]).await.good();
    assert_eq!(reset.stdout.trim(), token.to_str().unwrap());
    assert_eq!(mode(&token), 0o600);
    assert_ne!(std::fs::read_to_string(&token).unwrap(), before);
    let up = Up::start(&home, &[]).await;
    let tokens = home.run(&["token", "list", "--json"]).await.good().stdout;
    assert!(tokens.contains("phone"), "others stay: {tokens}");
    std::fs::write(home.path("lost"), before).unwrap();
    home.run(&["jobs", "list", "--token-file", home.path("lost").to_str().unwrap()]).await.with_code(4);
    up.stop().await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_the_lock_lets_no_second_backend_in() {
    let home = empty_home();
    let up = Up::start(&home, &[]).await;
    std::fs::remove_file(home.data().join("devmesh.lock")).unwrap();
    for command in [&["serve", "--port", "0"][..], &["token", "reset"]] {
        let refused = home.run(command).await.with_code(1);
        assert!(refused.stderr.contains("is in use by"), "{}", refused.stderr);
    }
    home.run(&["jobs", "list"]).await.good();
    up.stop().await.good();
}
