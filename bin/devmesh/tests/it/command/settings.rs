//! Configuration, colours, completions, models: what needs no mesh.

use super::Home;

#[tokio::test(flavor = "multi_thread")]
async fn explain_names_the_winner_and_the_losers() {
    let mut home = Home::new();
    std::fs::write(home.path("devmesh.toml"), "[server]\nport = 9001\n").unwrap();
    home.set("API_PORT", "9002");
    let answer = home.run(&["config", "explain", "server.port", "--set", "server.port=9003"]).await.good();
    insta::assert_snapshot!(answer.stdout);
    let json = home.run(&["config", "explain", "server.port", "--json"]).await.good().json();
    assert_eq!((&json["value"], &json["from"]), (&9002.into(), &"environment API_PORT".into()));
    assert_eq!(json["overridden"][0]["from"], "default");
    assert_eq!(
        (&json["ignored"][0]["value"], &json["ignored"][0]["from"]),
        (&"9001".into(), &"./devmesh.toml:2".into())
    );
    home.run(&["config", "explain", "server.prot"]).await.with_code(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_stars_everywhere() {
    let mut home = Home::new();
    home.set("OPENAI_API_KEY", "sk-do-not-show");
    home.set("DEVMESH_TOKEN", "dm_user_do-not-show");
    for arguments in [
        &["config", "show"][..],
        &["config", "show", "--json"],
        &["config", "explain", "openai.api_key"],
        &["config", "explain", "token", "--json"],
        &["doctor"],
        &["jobs", "list", "--url", "http://127.0.0.1:9"],
    ] {
        let answer = home.run(arguments).await;
        assert!(!format!("{answer:?}").contains("do-not-show"), "{arguments:?}: {answer:?}");
    }
    assert!(
        home.run(&["config", "show"]).await.good().stdout.contains("openai.api_key\t***\tenvironment OPENAI_API_KEY")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_has_a_page() {
    let home = Home::new();
    let all = home.run(&["config", "explain", "--json"]).await.good().json();
    for key in all.as_array().unwrap() {
        let name = key["key"].as_str().unwrap().replace('*', "mine");
        let page = home.run(&["config", "explain", &name]).await.good().stdout;
        assert!(page.contains(key["doc"].as_str().unwrap()), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn colour_is_for_those_who_want_it() {
    let mut home = Home::new();
    let has_colour = |text: &str| text.contains('\u{1b}');
    assert!(!has_colour(&home.run(&["config", "explain", "data"]).await.good().stdout), "not in a pipe");
    assert!(has_colour(&home.run(&["config", "explain", "data", "--color", "always"]).await.good().stdout));
    home.set("NO_COLOR", "1");
    assert!(!has_colour(&home.run(&["config", "explain", "data"]).await.good().stdout));
    assert!(!has_colour(&home.run(&["jobs", "list", "--color", "never"]).await.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_are_scripts_the_shell_accepts() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(home.run(&["completions", shell]).await.good().stdout.contains("devmesh"), "{shell}");
    }
    let script = home.path("completions.bash");
    std::fs::write(&script, home.run(&["completions", "bash"]).await.good().stdout).unwrap();
    let checked = std::process::Command::new("bash").arg("-n").arg(&script).status();
    match checked {
        Ok(status) => assert!(status.success()),
        Err(error) => testkit::skipped(&format!("bash: {error}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_configuration_stops_everything_before_a_port_opens() {
    let home = Home::new();
    home.configure("[server]\nport = \"x\"\naddress = 5\nunknown = 1\n");
    let answer = home.run(&["up", "--port", "0"]).await.with_code(2);
    for wanted in ["3 mistakes", "devmesh.toml:2", "devmesh.toml:3", "devmesh.toml:4"] {
        assert!(answer.stderr.contains(wanted), "{wanted}: {}", answer.stderr);
    }
    assert!(!home.data().exists(), "nothing was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_model_is_refused_and_named() {
    let home = Home::new();
    std::fs::write(home.path("notes.gguf"), "not a model").unwrap();
    let answer = home.run(&["models", "add", "notes.gguf"]).await.with_code(1);
    assert!(answer.stderr.contains("notes.gguf"), "{}", answer.stderr);
    home.run(&["models", "add", "missing.gguf"]).await.with_code(2);
    home.run(&["models", "rm", "missing"]).await.with_code(5);
    home.run(&["models", "pull", "unheard-of"]).await.with_code(5);
    let answer = home.run(&["models", "pull", "ollama/qwen3:8b"]).await.with_code(3);
    assert!(answer.stderr.contains("devmesh up"), "Ollama is asked by a backend: {}", answer.stderr);

    let listed = home.run(&["models", "list", "--here", "--json"]).await.good().json();
    let smallest =
        listed["models"].as_array().unwrap().iter().find(|model| model["name"] == "smollm2-135m-instruct").unwrap();
    assert_eq!(smallest["available"], false);
    assert!(smallest["notice"].as_str().unwrap().contains("smoke-test model"), "{smallest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_is_told_without_a_backend() {
    let home = Home::new();
    let version = home.run(&["version", "--json"]).await.good().json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert!(version["backend"].is_null());
}
