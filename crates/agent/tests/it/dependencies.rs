//! Projects with a dependency run their tests in a job, without a network, with this machine's own toolchains.

use crate::{
    code::finish,
    interruption::with_short_lease,
    mesh::{Mesh, checked},
};
use domain::{FailureReason, JobState};
use protocol::{CheckOutcome, CreateJob, Egress, EventBody, ToolOutcome};
use std::{path::Path, process::Command};
use tempfile::TempDir;
use testkit::{Gate, SampleRepository, Script, sample_repository, skipped};

fn own(name: &str) -> (String, String) {
    #[expect(clippy::disallowed_methods, reason = "it is about what this machine has")]
    let value = std::env::var(name).unwrap_or_default();
    (name.to_owned(), value)
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("project-").tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Runs a command on the machine itself. The error is what it said.
fn here(folder: &Path, script: &str) -> Result<String, String> {
    let ran = Command::new("sh").args(["-c", script]).current_dir(folder).output().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if ran.status.success() { Ok(said(&ran.stdout)) } else { Err(format!("`{script}`: {}", said(&ran.stderr))) }
}

/// A repository with these files and no others.
fn project(files: &[(&str, &str)]) -> SampleRepository {
    let repository = sample_repository();
    repository.git(&["rm", "--quiet", "-r", "."]);
    for (name, text) in files {
        let path = repository.file(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    repository.git(&["add", "--all"]);
    repository.git(&["commit", "--quiet", "--message", "A project"]);
    repository
}

/// The check that is found passes before the work, with this environment of the agent.
async fn its_tests_run(
    repository: &SampleRepository,
    environment: &[(String, String)],
    command: &str,
    passed: Option<u64>,
) {
    let mesh = Mesh::start([finish("Nothing to do.")]).await;
    let mut all = vec![own("PATH"), own("HOME"), own("CARGO_HOME"), own("RUSTUP_HOME")];
    all.retain(|(_, value)| !value.is_empty());
    all.extend(environment.iter().cloned());
    let _agent = mesh.agent_with(|options| options.environment = all).await;
    let id = mesh.create(checked(repository, "Look.")).await;
    let job = mesh.ended(id).await;
    let finished = |body: EventBody| match body {
        EventBody::CheckFinished { output, outcome, .. } => Some((outcome, output)),
        _ => None,
    };
    let finished: Vec<_> = mesh.bodies(id).await.into_iter().filter_map(finished).collect();
    let check = job.result.as_ref().and_then(|result| result.check.clone());
    let check = check.unwrap_or_else(|| panic!("no check: {job:?}"));
    assert_eq!(
        (check.command.as_str(), check.outcome, check.passed),
        (command, CheckOutcome::Passed, passed),
        "{finished:?}"
    );
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    assert_eq!(job.result.unwrap().patch_artifact, None, "what was brought along is no work");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crate_with_a_dependency_tests_itself() {
    let repository = project(&[
        (".gitignore", "target/\n"),
        (
            "Cargo.toml",
            "[package]\nname = \"sample\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\nitoa = \"1\"\n",
        ),
        (
            "src/lib.rs",
            "#[cfg(test)]\nmod tests {\n    #[test]\n    fn it_formats() {\n        assert_eq!(itoa::Buffer::new().format(7), \"7\");\n    }\n}\n",
        ),
    ]);
    if let Err(why) = here(repository.path(), "cargo generate-lockfile --offline") {
        return skipped(&format!("no crate to depend on is in this machine's cache: {why}"));
    }
    repository.git(&["add", "--all"]);
    repository.git(&["commit", "--quiet", "--message", "A lockfile"]);
    its_tests_run(&repository, &[], "cargo test", Some(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_project_tests_itself_with_what_is_installed() {
    let repository = project(&[
        (".gitignore", "node_modules\n"),
        (
            "package.json",
            r#"{"name": "sample", "scripts": {"test": "node --test"}, "dependencies": {"seven": "file:seven-1.0.0.tgz"}}"#,
        ),
        (
            "a.test.js",
            "const test = require('node:test');\ntest('it is seven', () => { if (require('seven') !== 7) throw Error('it is not') });\n",
        ),
    ]);
    let package = folder();
    std::fs::write(package.path().join("package.json"), r#"{"name": "seven", "version": "1.0.0"}"#).unwrap();
    std::fs::write(package.path().join("index.js"), "module.exports = 7;\n").unwrap();
    let pack = format!(
        "npm pack --offline --silent --pack-destination '{0}' '{1}' && npm install --offline --silent --no-audit --no-fund",
        repository.path().display(),
        package.path().display()
    );
    if let Err(why) = here(repository.path(), &pack) {
        return skipped(&format!("npm does not run here: {why}"));
    }
    repository.git(&["add", "--all"]);
    repository.git(&["commit", "--quiet", "--message", "A lockfile"]);
    its_tests_run(&repository, &[], "npm test", Some(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_project_tests_itself_in_its_virtual_environment() {
    let repository = project(&[
        (".gitignore", ".venv\n"),
        ("requirements.txt", "seven\n"),
        (
            "test_seven.py",
            "import unittest\nimport seven\n\nclass SevenTest(unittest.TestCase):\n    def test_it(self):\n        self.assertEqual(seven.SEVEN, 7)\n",
        ),
    ]);
    // A wheel is an archive with a list of what is in it.
    const WHEEL: &str = "import zipfile\n\
        with zipfile.ZipFile('seven-1.0-py3-none-any.whl', 'w') as wheel:\n    \
        wheel.writestr('seven.py', 'SEVEN = 7\\n')\n    \
        wheel.writestr('seven-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: seven\\nVersion: 1.0\\n')\n    \
        wheel.writestr('seven-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n    \
        wheel.writestr('seven-1.0.dist-info/RECORD', 'seven.py,,\\nseven-1.0.dist-info/METADATA,,\\nseven-1.0.dist-info/WHEEL,,\\nseven-1.0.dist-info/RECORD,,\\n')\n";
    let wheel = folder();
    std::fs::write(wheel.path().join("wheel.py"), WHEEL).unwrap();
    let made = here(wheel.path(), "python3 wheel.py").and_then(|_| {
        let install = "python3 -m venv .venv && .venv/bin/python -m pip install --quiet --no-index";
        here(repository.path(), &format!("{install} '{}/seven-1.0-py3-none-any.whl'", wheel.path().display()))
    });
    if let Err(why) = made {
        return skipped(&format!("no virtual environment can be made here: {why}"));
    }
    its_tests_run(&repository, &[], "python3 -m unittest", Some(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_go_module_with_a_dependency_tests_itself() {
    let repository = project(&[
        ("go.mod", "module example.org/sample\n\ngo 1.21\n\nrequire example.org/seven v1.0.0\n"),
        (
            "sample_test.go",
            "package sample\n\nimport (\n\t\"testing\"\n\n\t\"example.org/seven\"\n)\n\nfunc TestSeven(t *testing.T) {\n\tif seven.Seven != 7 {\n\t\tt.Fatal(seven.Seven)\n\t}\n}\n",
        ),
    ]);
    // A module proxy is a folder of files.
    let (proxy, modules) = (folder(), folder());
    let at = proxy.path().join("example.org/seven/@v");
    std::fs::create_dir_all(&at).unwrap();
    std::fs::write(at.join("v1.0.0.info"), r#"{"Version": "v1.0.0"}"#).unwrap();
    std::fs::write(at.join("v1.0.0.mod"), "module example.org/seven\n").unwrap();
    const ZIP: &str = "import zipfile\n\
        with zipfile.ZipFile('v1.0.0.zip', 'w') as archive:\n    \
        archive.writestr('example.org/seven@v1.0.0/go.mod', 'module example.org/seven\\n')\n    \
        archive.writestr('example.org/seven@v1.0.0/seven.go', 'package seven\\n\\nconst Seven = 7\\n')\n";
    std::fs::write(proxy.path().join("zip.py"), ZIP).unwrap();
    let fetch = format!(
        "GOPROXY=file://{0} GOSUMDB=off GOFLAGS='-modcacherw -mod=mod' GOMODCACHE={1} GOTOOLCHAIN=local go mod download all && \
         GOPROXY=off GOSUMDB=off GOFLAGS=-mod=mod GOMODCACHE={1} GOTOOLCHAIN=local go mod tidy && chmod -R a+rX {1}",
        proxy.path().display(),
        modules.path().display()
    );
    let made = here(&at, &format!("python3 '{}/zip.py'", proxy.path().display()))
        .and_then(|_| here(repository.path(), &fetch));
    if let Err(why) = made {
        return skipped(&format!("Go does not run here: {why}"));
    }
    repository.git(&["add", "--all"]);
    repository.git(&["commit", "--quiet", "--message", "Sums"]);
    let cache = ("GOMODCACHE".to_owned(), modules.path().display().to_string());
    its_tests_run(&repository, &[cache], "go test ./...", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setup_installs_from_what_npm_has_downloaded() {
    let repository = project(&[
        (".gitignore", "node_modules\n"),
        ("package.json", r#"{"name": "sample", "dependencies": {"is-number": "7.0.0"}}"#),
    ]);
    let cache = folder();
    let install = format!(
        "npm_config_cache='{}' npm install --silent --no-audit --no-fund --omit-lockfile-registry-resolved=false && rm -rf node_modules",
        cache.path().display()
    );
    if let Err(why) = here(repository.path(), &install) {
        return skipped(&format!("no package can be had from the registry: {why}"));
    }
    here(cache.path(), "chmod -R a+rX .").unwrap();
    repository.git(&["add", "--all"]);
    repository.git(&["commit", "--quiet", "--message", "A lockfile"]);
    let mesh = Mesh::start([finish("Nothing to do.")]).await;
    let npm = ("npm_config_cache".to_owned(), cache.path().display().to_string());
    // Where a registry of its own is configured, what is kept is kept under its name.
    let registry = ("npm_config_registry".to_owned(), here(repository.path(), "npm config get registry").unwrap());
    let _agent = mesh
        .agent_with(|options| {
            options.pass_environment = vec![registry.0.clone()];
            options.environment = vec![own("PATH"), own("HOME"), npm, registry];
        })
        .await;
    let job =
        mesh.ended(mesh.create(with_setup(&repository, "npm ci", "node -e 'require(\"is-number\")'")).await).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    assert_eq!(job.result.unwrap().check.unwrap().outcome, CheckOutcome::Passed);
}

fn with_setup(repository: &SampleRepository, setup: &str, check: &str) -> CreateJob {
    CreateJob { setup: Some(setup.into()), check: Some(check.into()), ..checked(repository, "Look.") }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setup_runs_once_before_the_check_and_without_a_network() {
    let repository = sample_repository();
    let gate = Gate::new();
    let mesh = Mesh::with(with_short_lease(), Script::by_conversation([finish("Nothing to do.").hold(&gate)])).await;
    let first = mesh.agent_of(|options| options.setup_network = true).await;
    let setup = "mkdir -p node_modules; echo x >> node_modules/made; echo y >> README.md; ls /sys/class/net; cat /proc/net/route | wc -l";
    let id = mesh.create(with_setup(&repository, setup, "test $(wc -l < node_modules/made) = 1")).await;
    // The next attempt finds what was made.
    gate.reached().await;
    first.vanish().await;
    gate.open();
    let _second = mesh.agent_of(|options| options.setup_network = true).await;
    let job = mesh.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    assert_eq!(job.result.unwrap().patch_artifact, None, "neither what is ignored nor what was put back");
    assert_eq!(mesh.outcomes(id).await, [("setup".to_owned(), ToolOutcome::Succeeded)]);
    let network = |body| match body {
        EventBody::ToolStarted { arguments, .. } => arguments["network"].as_bool(),
        _ => None,
    };
    let network: Vec<_> = mesh.bodies(id).await.into_iter().filter_map(network).collect();
    assert_eq!(network, [false], "the job may not leave the machine");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setup_has_a_network_where_configuration_and_job_allow_it_and_no_other_command_has() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let connect = format!(
        "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", {}), 5)'",
        listener.local_addr().unwrap().port()
    );
    let repository = sample_repository();
    let job = || CreateJob { egress: Egress::Allowed, ..with_setup(&repository, &connect, &format!("! {connect}")) };
    let mesh = Mesh::start([finish("Nothing to do.")]).await;
    let agent = mesh.agent_of(|options| options.setup_network = true).await;
    let ended = mesh.ended(mesh.create(job()).await).await;
    assert_eq!(ended.state, JobState::Succeeded, "{ended:?}");
    agent.shut_down().await;

    let mesh = Mesh::start([finish("never asked")]).await;
    let _agent = mesh.agent().await;
    let ended = mesh.ended(mesh.create(job()).await).await;
    let message = ended.message.unwrap_or_default();
    assert_eq!((ended.state, ended.reason), (JobState::Failed, Some(FailureReason::Error)), "{message}");
    assert!(
        message.starts_with("the setup failed with exit code 1; it had no network, which `agents.setup_network`"),
        "{message}"
    );
    assert!(mesh.model.received().is_empty());
}
