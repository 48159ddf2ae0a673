//! Who decides where secrets go: not a clone, not a file left behind, not a variable of another program.

use super::{Home, Mesh, Up};
use nix::{sys::signal::Signal, sys::stat::Mode, unistd::mkfifo};
use std::{net::TcpListener, os::unix::fs::symlink, path::Path};
use testkit::{Script, ScriptedModel, Turn, eventually};

/// Somebody who waits for what was not meant for them.
struct Stranger(TcpListener);

impl Stranger {
    fn at(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn new() -> Self {
        Self::at("127.0.0.1:0")
    }

    fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    #[track_caller]
    fn heard_nothing(&self) {
        assert!(self.0.accept().is_err(), "somebody connected");
    }
}

fn yes() -> Script {
    Script::each(|_| Turn::text("Yes."))
}

/// Of everything, so that a job's budget lets it go where it may. Returns the line of configuration that names them.
fn prices(home: &Home, provider: &str) -> String {
    let file = home.path("prices.toml");
    let text = format!("[\"{provider}/*\"]\ninput_usd_per_million = 0\noutput_usd_per_million = 1\n");
    std::fs::write(&file, text).unwrap();
    format!("prices.file = {file:?}\n")
}

fn clone_with(home: &Home, text: &str) {
    std::fs::create_dir_all(home.path("clone")).unwrap();
    std::fs::write(home.path("clone/devmesh.toml"), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_in_a_clone_speak_to_the_users_mesh() {
    let mesh = Mesh::start(yes()).await;
    let stranger = Stranger::new();
    let url = stranger.url();
    clone_with(&mesh.home, &format!("url = {url:?}\ndata = \"theirs\"\ntoken_file = \"devmesh.toml\"\n"));
    for arguments in [&["jobs", "list"][..], &["run", "Are you there?"], &["doctor"], &["token", "list"]] {
        let answer = mesh.home.run_in("clone", arguments).await.good();
        for (line, key) in [(1, "url"), (2, "data"), (3, "token")] {
            let warning = format!("warning: ./devmesh.toml:{line}: `{key}` is ignored");
            assert_eq!(answer.stderr.matches(&warning).count(), 1, "{warning}: {}", answer.stderr);
        }
    }
    stranger.heard_nothing();
    assert!(!mesh.home.path("clone/theirs").exists());
    let told = mesh.home.run_in("clone", &["config", "explain", "url"]).await.good().stdout;
    assert!(told.contains(&format!("ignored   {url} (./devmesh.toml:1: a file in the working folder")), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_started_in_a_clone_takes_nothing_from_it_then_or_later() {
    let stranger = Stranger::new();
    let url = stranger.url();
    let mut home = Home::new();
    home.set("ANTHROPIC_API_KEY", "sk-ant-of-the-user");
    home.set("OLLAMA_BASE_URL", "http://127.0.0.1:9");
    // Nothing listens there either, so the call fails, but where the user said.
    home.configure(&format!("{}anthropic.base_url = \"http://127.0.0.1:9\"\n", prices(&home, "anthropic")));
    let theirs = format!(
        "[anthropic]\nbase_url = {url:?}\n[ollama]\nbase_url = {url:?}\n[cloud]\nbase_url = {url:?}\n\
         [providers.near]\nbase_url = {url:?}\nlocation = \"local\"\n\
         [telemetry]\notlp_endpoint = {url:?}\ncontent = true\n\
         [routes.default]\ntargets = [\"near/m\"]\negress = \"allowed\"\n"
    );
    clone_with(&home, &theirs);
    let mut up = Up::start_in(&home, "clone", &["--set", "embedded.enabled=false"]).await;
    let answer = home
        .run(&["run", "--allow-cloud", "--budget", "1", "--model", "anthropic/m", "Something private."])
        .await
        .with_code(1);
    assert!(answer.stderr.contains("127.0.0.1:9"), "{}", answer.stderr);
    home.run(&["run", "Something private."]).await.with_code(1);
    up.logs("`providers.near.location` is ignored").await;

    let before = home.run(&["routes", "list", "--json"]).await.good().json();
    clone_with(&home, &format!("{theirs}[routes.more]\ntargets = [\"anthropic/m\"]\negress = \"allowed\"\n"));
    up.logs("`routes.more.egress` is ignored").await;
    assert_eq!(home.run(&["routes", "list", "--json"]).await.good().json(), before);
    assert_eq!(before.as_array().unwrap().len(), 1, "only the default: {before}");
    up.stop().await.good();
    stranger.heard_nothing();
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_stands_in_the_working_folder_commands_work() {
    let home = Home::new();
    home.configure("server.port = 9005\n");
    std::fs::create_dir_all(home.path("clone")).unwrap();
    let file = home.path("clone/devmesh.toml");
    let port = async || home.run_in("clone", &["config", "explain", "server.port", "--json"]).await.good();
    mkfifo(&file, Mode::S_IRWXU).unwrap();
    assert!(port().await.stderr.contains("it is a FIFO, not a regular file"));
    std::fs::remove_file(&file).unwrap();
    symlink("/dev/zero", &file).unwrap();
    assert!(port().await.stderr.contains("not a regular file"));
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert!(port().await.stderr.contains("it is a folder"));
    std::fs::remove_dir(&file).unwrap();
    std::fs::write(&file, "server = [\n\u{1b}]0;title\u{7}").unwrap();
    let answer = port().await;
    assert!(
        answer.stderr.contains("warning: ./devmesh.toml") && !answer.stderr.contains('\u{1b}'),
        "{}",
        answer.stderr
    );
    std::fs::remove_file(&file).unwrap();
    symlink(home.path(".config/devmesh/devmesh.toml"), &file).unwrap();
    let answer = port().await;
    assert_eq!((&answer.json()["value"], answer.stderr.as_str()), (&9005.into(), ""), "it is the user's own");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_a_killed_mesh_left_behind_gets_nothing() {
    let mesh = Mesh::start(yes()).await;
    let url = mesh.up().ready["url"].as_str().unwrap().to_owned();
    let (home, _model) = mesh.kill().await;
    let left = home.data().join("backend-url");
    assert_eq!(std::fs::read_to_string(&left).unwrap().trim(), url);
    let stranger = Stranger::at(url.strip_prefix("http://").unwrap());
    for arguments in [&["jobs", "list"][..], &["run", "Are you there?"], &["models", "list"]] {
        let answer = home.run(arguments).await.with_code(3);
        let wanted = format!("no mesh is running on {}", home.data().display());
        assert!(answer.stderr.contains(&wanted) && answer.stderr.contains("devmesh up"), "{}", answer.stderr);
    }
    // Naming it does not help: it is not the mesh that has the folder.
    home.run(&["jobs", "list", "--url", &url]).await.with_code(4);
    home.run(&["version"]).await.good();
    home.run(&["doctor"]).await;

    let up = Up::start(&home, &["--agents", "0"]).await;
    assert_ne!(std::fs::read_to_string(&left).unwrap().trim(), url);
    home.run(&["jobs", "list"]).await.good();
    up.stop().await.good();
    assert!(!left.exists());
    stranger.heard_nothing();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_to_the_usual_port_without_a_mesh() {
    let stranger = Stranger::new();
    let port = stranger.0.local_addr().unwrap().port();
    let mut home = Home::new();
    home.set("API_PORT", &port.to_string());
    std::fs::create_dir_all(home.data()).unwrap();
    std::fs::write(home.data().join("admin-token"), "dm_admin_x\n").unwrap();
    home.run(&["jobs", "list"]).await.with_code(3);
    home.set("DEVMESH_TOKEN", "dm_user_x");
    home.run(&["jobs", "list"]).await.with_code(3);
    stranger.heard_nothing();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_token_of_a_folder_goes_to_the_mesh_on_that_folder_only() {
    let mesh = Mesh::start(yes()).await;
    let own = mesh.up().ready["url"].as_str().unwrap().to_owned();
    mesh.run(&["jobs", "list", "--url", &own]).await.good();
    mesh.run(&["jobs", "list", "--url", &format!("{own}/")]).await.good();

    let stranger = Stranger::new();
    for place in ["flag", "environment", "file"] {
        let url = stranger.url();
        let mut command = vec!["jobs", "list"];
        match place {
            "flag" => command.extend(["--url", &url]),
            "environment" => command.extend(["--set", "log.format=text"]),
            _ => mesh.home.configure(&format!("url = {url:?}\n")),
        }
        let mut typed = mesh.home.command(&command);
        if place == "environment" {
            typed.env("DEVMESH_URL", &url);
        }
        let output = typed.output().await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(4), "{place}: {said}");
        for wanted in [&url, &own, "--token-file"] {
            assert!(said.contains(wanted), "{place}: no {wanted} in {said}");
        }
    }
    mesh.home.configure("");
    stranger.heard_nothing();

    // Another folder's token is not this mesh's.
    let other = Home::new();
    std::fs::create_dir_all(other.data()).unwrap();
    std::fs::write(other.data().join("admin-token"), "dm_admin_x\n").unwrap();
    let answer = other.run(&["jobs", "list", "--url", &own]).await.with_code(4);
    assert!(answer.stderr.contains(&format!("no mesh is running on {}", other.data().display())), "{}", answer.stderr);
    let token = mesh.home.data().join("admin-token");
    other.run(&["jobs", "list", "--url", &own, "--token-file", token.to_str().unwrap()]).await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_cloud_is_asked_before_somebody_allows_it() {
    let near = ScriptedModel::start(yes()).await;
    let cloud = ScriptedModel::start(yes()).await;
    let mut home = Home::new();
    home.set("OLLAMA_BASE_URL", &near.base_url());
    home.set("CLOUD_PROVIDER_BASE_URL", &cloud.openai_url());
    home.set("OPENAI_API_KEY", "sk-of-the-user");
    let prices = prices(&home, "openai");
    home.configure(&format!(
        "{prices}[routes.code]\ntargets = [\"openai/scripted:latest\", \"ollama/scripted:latest\"]\negress = \"allowed\"\n\
         [routes.out]\ntargets = [\"openai/scripted:latest\"]\negress = \"allowed\"\n",
    ));
    let mut up = home.begin(&["up", "--port", "0"]);
    up.said("openai: configured, not asked").await;
    home.run(&["doctor", "--json"]).await.good();
    let listed = home.run(&["models", "list", "--json"]).await.good().json();
    assert_eq!(listed["not_asked"][0], "openai");
    let routes = home.run(&["routes", "list"]).await.good().stdout;
    assert!(routes.contains("out\topenai/scripted:latest"), "{routes}");
    home.run(&["try", "--model", "code"]).await.good();
    home.run(&["run", "--model", "code", "Stay here."]).await.good();
    home.run(&["run", "--model", "scripted:latest", "By its bare name."]).await.good();
    let refused = home.run(&["run", "--model", "out", "Only out there."]).await.with_code(6);
    assert!(refused.stderr.contains("leads to cloud models only"), "{}", refused.stderr);
    assert_eq!(cloud.paths(), Vec::<String>::new());

    home.run(&["models", "list", "--allow-cloud"]).await.good();
    assert_eq!(cloud.paths(), ["/v1/models"], "it can be asked");
    home.run(&["run", "--model", "code", "--allow-cloud", "--budget", "1", "Go there."]).await.good();
    assert!(cloud.paths().contains(&"/v1/chat/completions".to_owned()), "{:?}", cloud.paths());
    up.signal(Signal::SIGTERM);
    up.end().await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_exported_under_a_vendors_name_is_not_sent_to_the_vendor() {
    let stranger = Stranger::new();
    let mut home = Home::new();
    home.set("OLLAMA_BASE_URL", "http://127.0.0.1:9");
    home.set("CLOUD_PROVIDER_BASE_URL", &stranger.url());
    let token = "dm_model_0123456789012345678901234567890123456789012";
    home.set("OPENAI_API_KEY", token);
    home.set("ANTHROPIC_API_KEY", token);
    let mut up = Up::start(&home, &["--agents", "0"]).await;
    up.logs("warning: environment OPENAI_API_KEY: `openai.api_key` is ignored").await;
    let shown = home.run(&["config", "explain", "openai.api_key"]).await.good();
    assert!(shown.stdout.contains("ignored   *** (environment OPENAI_API_KEY"), "{}", shown.stdout);
    let targets = home.run(&["models", "list", "--json"]).await.good().json();
    assert_eq!(targets["not_asked"], serde_json::json!(["openai"]), "no Anthropic without a key of theirs");
    let ended = up.stop().await.good();
    assert!(!ended.stderr.contains(token));
    stranger.heard_nothing();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_token_is_not_written_into_a_log() {
    let home = Home::new();
    let mut up = home.begin(&["serve", "--port", "0"]);
    let file = home.data().join("admin-token");
    up.said(&format!("token     in {}", file.display())).await;
    up.signal(Signal::SIGTERM);
    let answer = up.end().await.good();
    let token = std::fs::read_to_string(file).unwrap();
    assert!(!format!("{answer:?}").contains(token.trim()));
}

/// Python's `-m` looks into the working folder first.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_clone_is_run_by_commands_that_only_look() {
    let home = Home::new();
    let ran = home.path("ran");
    std::fs::create_dir_all(home.path("clone")).unwrap();
    std::fs::write(home.path("clone/pip.py"), format!("open({ran:?}, 'w')\n")).unwrap();
    home.run_in("clone", &["doctor"]).await;
    assert!(!Path::new(&ran).exists());
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn agents_are_told_what_was_set_here_and_share_one_folder() {
    let mut home = Home::new();
    home.set("OLLAMA_BASE_URL", "http://127.0.0.1:9");
    home.configure("[agents]\nroots = [\"/srv/a\", \"/srv/b\"]\n");
    clone_with(&home, "[agents]\nroots = [\"/\"]\nworkspaces = \"here\"\n");
    let up = Up::start_in(&home, "clone", &["--agents", "2", "--set", "agents.job_disk_bytes=2097152"]).await;
    let agents = eventually("both agents", async || Some(up.children()).filter(|agents| agents.len() == 2)).await;
    for agent in agents {
        let arguments = eventually("the agent's own arguments", async || {
            let text = std::fs::read_to_string(format!("/proc/{agent}/cmdline")).ok()?;
            text.contains("--lifeline").then(|| text.split('\0').map(str::to_owned).collect::<Vec<_>>())
        })
        .await;
        let workspaces = format!("agents.workspaces={}", home.data().join("agent").display());
        for wanted in ["agents.roots=/srv/a,/srv/b", "agents.job_disk_bytes=2097152", &workspaces] {
            assert!(arguments.iter().any(|argument| argument == wanted), "no {wanted} in {arguments:?}");
        }
        assert_eq!(std::fs::read_link(format!("/proc/{agent}/cwd")).unwrap(), Path::new("/"));
    }
    let stopped = up.stop().await.good();
    let warnings = stopped.stderr.matches("`agents.roots` is ignored").count();
    assert_eq!(warnings, 1, "once, and not for every agent: {}", stopped.stderr);
}
