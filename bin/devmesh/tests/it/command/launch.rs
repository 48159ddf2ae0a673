//! Tools are pointed here by their own settings, shown before they are written, and given back.

use super::mesh::{Home, Mesh};
use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};
use testkit::Turn;

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().permissions().mode() & 0o777
}

/// A program of this name that tells what it was started with.
fn install(home: &Home, program: &str) {
    let folder = home.path("programs");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join(program);
    fs::write(&file, "#!/bin/sh\necho \"started $*\"\necho \"token $DEVMESH_TOKEN key $OPENAI_API_KEY\"\n").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_shown_written_and_given_back() {
    let mut mesh = Mesh::start([Turn::text("unused")]).await;
    let token = fs::read_to_string(mesh.home.data().join("admin-token")).unwrap().trim().to_owned();
    install(&mesh.home, "codex");
    mesh.home.set("PATH", mesh.home.path("programs").to_str().unwrap());
    let file = mesh.home.path(".codex/config.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mine = "# mine\nmodel = \"big\" # the best\n\n[tui]\ntheme = \"dark\"\n";
    fs::write(&file, mine).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();

    let shown = mesh.run(&["launch", "codex", "--print", "--model", "ollama/scripted:latest"]).await.good();
    assert!(shown.stdout.contains("+model = \"ollama/scripted:latest\" # the best\n"), "{shown:#?}");
    assert!(shown.stdout.contains("+env_key = \"DEVMESH_TOKEN\"\n") && !shown.stdout.contains(&token), "{shown:#?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), mine);

    // Nobody can be asked here.
    let asked = mesh.run(&["launch", "codex"]).await.with_code(2);
    assert!(asked.stderr.contains("--yes"), "{asked:#?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), mine);

    let written = mesh.run(&["launch", "codex", "--yes", "--json"]).await.good().json();
    assert_eq!((&written["written"], &written["holds_the_token"]), (&true.into(), &false.into()));
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("# mine\n") && text.contains("theme = \"dark\"") && !text.contains(&token), "{text}");
    assert_eq!(mode(&file), 0o644);
    let again = mesh.run(&["launch", "codex", "--yes", "--json"]).await.good().json();
    assert_eq!((&again["written"], &again["diff"]), (&false.into(), &"".into()));
    // Another model, and what was there before all of it comes back.
    mesh.run(&["launch", "codex", "--yes", "--json", "--model", "ollama/scripted:latest"]).await.good();
    mesh.run(&["launch", "codex", "--revert", "--print"]).await.good();
    assert!(fs::read_to_string(&file).unwrap().contains("ollama/scripted:latest"));
    let asked = mesh.run(&["launch", "codex", "--revert"]).await.with_code(2);
    assert!(asked.stderr.contains("devmesh launch codex --revert --yes"), "{asked:#?}");
    mesh.run(&["launch", "codex", "--revert", "--yes"]).await.good();
    assert_eq!(fs::read_to_string(&file).unwrap(), mine);
    mesh.run(&["launch", "codex", "--revert", "--yes"]).await.with_code(5);
    mesh.stop().await.1.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_wrote_since_outlives_the_way_back() {
    let mesh = Mesh::start([Turn::text("unused")]).await;
    let file = mesh.home.path(".codex/config.toml");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let mine = "# mine\nmodel = \"big\" # the best\n";
    fs::write(&file, mine).unwrap();
    let trust = "\n[projects.\"/tmp/x\"]\ntrust_level = \"trusted\"\n";
    let append = |text: &str| fs::write(&file, fs::read_to_string(&file).unwrap() + text).unwrap();
    // Between two launches, and after the last.
    mesh.run(&["launch", "codex", "--yes", "--json"]).await.good();
    append(trust);
    mesh.run(&["launch", "codex", "--yes", "--json", "--model", "ollama/scripted:latest"]).await.good();
    append("\n[tui]\ntheme = \"dark\"\n");
    let reverted = mesh.run(&["launch", "codex", "--revert", "--yes"]).await.good();
    assert!(reverted.stderr.contains("what was changed since stays"), "{reverted:#?}");
    let left = fs::read_to_string(&file).unwrap();
    assert!(left.starts_with("# mine\nmodel = \"big\"") && left.contains(trust.trim()), "{left}");
    assert!(left.contains("[tui]\ntheme = \"dark\"") && !left.contains("devmesh"), "{left}");
    // What cannot be taken apart is kept beside it.
    fs::write(&file, mine).unwrap();
    mesh.run(&["launch", "codex", "--yes", "--json"]).await.good();
    append("broken = \n");
    let broken = fs::read_to_string(&file).unwrap();
    let reverted = mesh.run(&["launch", "codex", "--revert", "--yes"]).await.good();
    let aside = mesh.home.path(".codex/config.toml.bak");
    assert!(reverted.stderr.contains("warning:") && reverted.stderr.contains("config.toml.bak"), "{reverted:#?}");
    assert_eq!((fs::read_to_string(&file).unwrap().as_str(), fs::read_to_string(&aside).unwrap()), (mine, broken));
    mesh.stop().await.1.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_holds_the_token_is_the_users_alone_and_goes_away_again() {
    let mesh = Mesh::start([Turn::text("unused")]).await;
    let token = fs::read_to_string(mesh.home.data().join("admin-token")).unwrap().trim().to_owned();
    let kept = mesh.home.path(".aider.conf.yml");
    fs::write(&kept, "dark-mode: true # eyes\nopenai-api-key: sk-mine\n").unwrap();
    fs::set_permissions(&kept, Permissions::from_mode(0o644)).unwrap();
    for (tool, file) in [("aider", kept.clone()), ("cline", mesh.home.path(".cline/data/settings/providers.json"))] {
        let before = fs::read_to_string(&file).ok();
        let shown = mesh.run(&["launch", tool, "--print"]).await.good();
        let said = mesh.run(&["launch", tool, "--yes", "--json"]).await.good();
        for text in [&shown.stdout, &shown.stderr, &said.stdout, &said.stderr] {
            assert!(!text.contains(&token) && !text.contains("sk-mine"), "{text}");
        }
        assert!(said.stderr.contains("only you can read it"), "{said:#?}");
        assert!(fs::read_to_string(&file).unwrap().contains(&token));
        assert_eq!(mode(&file), 0o600);
        mesh.run(&["launch", tool, "--revert", "--yes"]).await.good();
        assert_eq!(fs::read_to_string(&file).ok(), before);
    }
    assert_eq!(mode(&kept), 0o644);
    mesh.stop().await.1.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tool_is_started_with_the_token_or_named_where_it_is_missing() {
    let mut mesh = Mesh::start([Turn::text("unused")]).await;
    let token = fs::read_to_string(mesh.home.data().join("admin-token")).unwrap().trim().to_owned();
    let programs = mesh.home.path("programs");
    mesh.home.set("PATH", programs.to_str().unwrap());
    mesh.home.set("OPENAI_API_KEY", "sk-mine");
    let missing = mesh.run(&["launch", "continue", "--yes"]).await.with_code(5);
    assert!(missing.stderr.contains("npm install -g @continuedev/cli"), "{missing:#?}");
    assert!(!mesh.home.path(".continue").exists(), "settings for a tool that is not there");
    install(&mesh.home, "cn");
    let quiet = mesh.run(&["launch", "continue", "--yes", "--quiet"]).await.good();
    assert!(quiet.stdout.starts_with("started"), "the diff is no answer: {quiet:#?}");
    mesh.run(&["launch", "continue", "--revert", "--yes"]).await.good();
    let started = mesh.run(&["launch", "continue", "--yes", "--", "-p", "hello there"]).await.good();
    assert!(started.stdout.ends_with(&format!("started -p hello there\ntoken {token} key \n")), "{started:#?}");
    mesh.stop().await.1.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_models_alone_is_enough_and_the_model_is_the_one_that_is_there() {
    let mesh = Mesh::start([Turn::text("unused")]).await;
    let made = mesh.run(&["token", "create", "--scope", "model", "tools"]).await.good();
    let file = mesh.home.path("tools.token");
    fs::write(&file, made.stdout.trim()).unwrap();
    let with = ["--print", "--token-file", file.to_str().unwrap()];
    let shown = mesh.run(&[&["launch", "codex"], &with[..]].concat()).await.good();
    // There is no route `code`; the model that the default leads to holds so much.
    assert!(shown.stdout.contains("+model = \"default\"\n"), "{shown:#?}");
    assert!(shown.stdout.contains("+model_context_window = 8192\n"), "{shown:#?}");
    // What the mesh does not know is not written.
    let unknown = mesh.run(&["launch", "codex", "--yes", "--json", "--model", "nothing"]).await.with_code(5);
    assert!(unknown.stderr.contains("`nothing`") && unknown.stderr.contains("devmesh routes list"), "{unknown:#?}");
    assert!(!mesh.home.path(".codex").exists());
    mesh.stop().await.1.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_next_command_helps_with_what_was_refused() {
    let mesh = Mesh::start([Turn::text("unused")]).await;
    let made = mesh.run(&["token", "create", "--scope", "model", "--route", "another", "narrow"]).await.good();
    let file = mesh.home.path("narrow.token");
    fs::write(&file, made.stdout.trim()).unwrap();
    for (command, code, next) in [
        (
            &["launch", "codex", "--print", "--token-file", file.to_str().unwrap()][..],
            4,
            "next: devmesh token policy ID",
        ),
        (&["routes", "explain", "nope"], 5, "next: devmesh routes list"),
    ] {
        let refused = mesh.run(command).await.with_code(code);
        assert!(refused.stderr.contains(next) && !refused.stderr.contains("admin"), "{refused:#?}");
    }
    mesh.stop().await.1.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cannot_be_read_are_left_alone() {
    let mesh = Mesh::start([Turn::text("unused")]).await;
    let file = mesh.home.path(".claude/settings.json");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "{\"env\": ").unwrap();
    let refused = mesh.run(&["launch", "claude", "--yes"]).await.with_code(1);
    assert!(refused.stderr.contains("was left as it is") && refused.stderr.contains("no JSON"), "{refused:#?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "{\"env\": ");
    mesh.stop().await.1.good();
}
