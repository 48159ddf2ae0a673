//! The static binary in an empty image: no user, no shell, no libraries, a read-only root, no capabilities, one volume.
//!
//! The backend runs in the container; the job comes from outside through the published port, and so does the agent. Once more
//! as root, with this machine's programs: there the agent works in the container as well, which refuses namespaces.

use anyhow::{Context, Result, ensure};
use client::{Client, Options};
use domain::{JobId, JobKind, JobState, Scope};
use protocol::{CreateJob, CreateToken, EventBody, Job, ListEvents, Repository};
use std::{
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Output, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};
use testkit::{ScriptedModel, Turn};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_sent_from_outside_runs_against_the_empty_image() -> Result<()> {
    if let Some(why) = missing() {
        testkit::skipped(why);
        return Ok(());
    }
    let home = tempfile::tempdir()?;
    let tag = format!("devmesh-test:{}", std::process::id());
    build_image(home.path(), &tag)?;
    let network = Network::create()?;
    // The container reaches the scripted model on the gateway of its network, which is an address of this machine.
    let gateway = docker(&["network", "inspect", &network.0, "--format", "{{(index .IPAM.Config 0).Gateway}}"])?;
    let model = ScriptedModel::start(vec![Turn::text("from outside")]).await;
    let (door, _forwarder) = forward(gateway.trim(), model.address()).await?;
    let confined = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", "65532:65532"];
    let container = Container::run(&tag, &network, &format!("http://{door}"), &confined, &[])?;
    let url = container.url()?;

    let token = container.admin_token("/data", home.path()).await?;
    let admin = Client::new(Options::new(&url, &token))?;
    let inspected = docker(&["inspect", &container.0])?;
    ensure!(!inspected.contains(&token), "the token shows in `docker inspect`");

    let agent_token = admin.create_token(&CreateToken::new("outside", Scope::Agent)).await?.secret;
    let token_file = home.path().join("agent-token");
    std::fs::write(&token_file, agent_token)?;
    let mut agent = Command::new(env!("CARGO_BIN_EXE_devmesh"))
        .args(["agent", "--data"])
        .arg(home.path().join("agent"))
        .env("DEVMESH_URL", &url)
        .env("DEVMESH_TOKEN_FILE", &token_file)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let mut spec = CreateJob::new(JobKind::Ask, "Say where you are.");
    spec.route = Some("default".into());
    let job = admin.create_job(&spec, None).await?.id;
    let job = ended(&admin, job).await?;
    agent.kill()?;
    agent.wait()?;
    ensure!(job.state == JobState::Succeeded, "the job is {} ({:?})", job.state, job.message);
    ensure!(job.result.and_then(|result| result.answer).is_some_and(|answer| answer.contains("from outside")));
    Ok(())
}

/// With the engine's own limits and nothing taken away: root, a data folder that it alone may enter, and a repository of its.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_job_runs_as_root_of_a_container_that_refuses_namespaces() -> Result<()> {
    if let Some(why) = missing() {
        testkit::skipped(why);
        return Ok(());
    }
    let home = tempfile::tempdir()?;
    let tag = format!("devmesh-test-root:{}", std::process::id());
    build_image(home.path(), &tag)?;
    let network = Network::create()?;
    let gateway = docker(&["network", "inspect", &network.0, "--format", "{{(index .IPAM.Config 0).Gateway}}"])?;
    let model = ScriptedModel::start(vec![
        Turn::tool("run", serde_json::json!({ "command": "id -u > who.txt; git log --oneline >> who.txt" })),
        Turn::tool("finish", serde_json::json!({ "summary": "Looked around." })),
    ])
    .await;
    let (door, _forwarder) = forward(gateway.trim(), model.address()).await?;
    let repository = testkit::sample_repository();
    std::fs::set_permissions(repository.path(), std::fs::Permissions::from_mode(0o700))?;
    let mut lent = vec![format!("{}:/repository:ro", repository.path().display())];
    lent.extend(
        ["/usr", "/bin", "/lib", "/lib64"]
            .iter()
            .filter(|path| Path::new(path).exists())
            .map(|path| format!("{path}:{path}:ro")),
    );
    let mut options = vec!["--user", "0:0", "--env", "DEVMESH_DATA=/data/own"];
    options.extend(lent.iter().flat_map(|volume| ["--volume", volume.as_str()]));
    let container =
        Container::run(&tag, &network, &format!("http://{door}"), &options, &["up", "--address", "0.0.0.0"])?;
    let token = container.admin_token("/data/own", home.path()).await?;
    let admin = Client::new(Options::new(&container.url()?, &token))?;

    let mut spec = CreateJob::new(JobKind::Code, "Look around.");
    spec.route = Some("default".into());
    spec.check = Some(protocol::NO_CHECK.into());
    spec.repository = Some(Repository { path: "/repository".into(), reference: None });
    let job = ended(&admin, admin.create_job(&spec, None).await?.id).await?;
    let log = docker(&["logs", &container.0]).unwrap_or_default();
    ensure!(job.state == JobState::Succeeded, "the job is {} ({:?}); {log}", job.state, job.message);

    let page = admin.events_page(job.id, &ListEvents { after: None, limit: Some(100), wait_ms: None }).await?;
    let ready = page.events.iter().filter_map(|event| event.body()).find_map(|body| match body {
        EventBody::SandboxReady { protections, .. } => Some(protections),
        _ => None,
    });
    let protections = ready.context("nothing says what protects the machine")?;
    let of =
        |name: &str| protections.iter().find(|protection| protection.name == name).context("a protection is missing");
    ensure!(!of("processes")?.active && of("processes")?.detail.contains("Operation not permitted"), "{protections:?}");
    ensure!(of("user")?.active && of("seccomp")?.active, "{protections:?}");
    Ok(())
}

/// The job once it is over, or as it is after a minute.
async fn ended(admin: &Client, job: JobId) -> Result<Job> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let job = admin.job(job).await?;
        if job.state.is_terminal() || Instant::now() > deadline {
            return Ok(job);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Passes connections to an address of the bridge on to one of the loopback interface, until it is dropped.
async fn forward(interface: &str, target: SocketAddr) -> Result<(SocketAddr, JoinSet<()>)> {
    let listener = TcpListener::bind((interface, 0)).await?;
    let address = listener.local_addr()?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut outside, _)) = listener.accept().await {
            connections.spawn(async move {
                if let Ok(mut inside) = TcpStream::connect(target).await {
                    let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                }
            });
        }
    });
    Ok((address, tasks))
}

/// Why this cannot run here.
fn missing() -> Option<&'static str> {
    if !cfg!(all(target_os = "linux", target_feature = "crt-static")) {
        return Some("this build is not static");
    }
    let engine = Command::new("docker").args(["version", "--format", "{{.Server.Version}}"]).output();
    match engine {
        Err(_) => Some("there is no docker client"),
        Ok(output) if !output.status.success() => Some("no Docker engine answers"),
        Ok(_) => None,
    }
}

fn build_image(home: &Path, tag: &str) -> Result<()> {
    let context = home.join("context");
    std::fs::create_dir_all(context.join("data"))?;
    std::fs::copy(env!("CARGO_BIN_EXE_devmesh"), context.join("devmesh"))?;
    let dockerfile = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/docker/Dockerfile");
    docker(&["build", "--quiet", "--tag", tag, "--file", &dockerfile.to_string_lossy(), &context.to_string_lossy()])?;
    Ok(())
}

fn docker(arguments: &[&str]) -> Result<String> {
    let Output { status, stdout, stderr } =
        Command::new("docker").env("DOCKER_BUILDKIT", "0").args(arguments).output()?;
    ensure!(status.success(), "docker {arguments:?} ended with {status}: {}", String::from_utf8_lossy(&stderr));
    Ok(String::from_utf8(stdout)?)
}

/// A bridge of the test's own, removed at the end.
struct Network(String);

impl Network {
    fn create() -> Result<Self> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let name = format!("devmesh-test-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        docker(&["network", "create", &name])?;
        Ok(Self(name))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = docker(&["network", "rm", &self.0]);
    }
}

/// Removed with its volume and image at the end.
struct Container(String, String);

impl Container {
    fn run(tag: &str, network: &Network, model_url: &str, options: &[&str], command: &[&str]) -> Result<Self> {
        let model = format!("OLLAMA_BASE_URL={model_url}");
        let always = ["--volume", "/data", "--network", &network.0, "--publish", "127.0.0.1::8080", "--env", &model];
        let id = docker(&[&["run", "--detach"], options, &always, &[tag], command].concat())?;
        Ok(Self(id.trim().into(), tag.into()))
    }

    fn url(&self) -> Result<String> {
        let ports = docker(&["port", &self.0, "8080/tcp"])?;
        Ok(format!("http://{}", ports.lines().next().context("no port")?))
    }

    /// The token file of the volume, once the backend has made it.
    async fn admin_token(&self, data: &str, home: &Path) -> Result<String> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let copy = home.join("admin-token");
        loop {
            let source = format!("{}:{data}/admin-token", self.0);
            match docker(&["cp", &source, &copy.to_string_lossy()]) {
                Ok(_) => return Ok(std::fs::read_to_string(&copy)?.trim().into()),
                Err(error) if Instant::now() > deadline => {
                    let log = docker(&["logs", &self.0]).unwrap_or_default();
                    return Err(error).context(format!("the backend made no token; its log: {log}"));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = docker(&["rm", "--force", "--volumes", &self.0]);
        let _ = docker(&["rmi", "--force", &self.1]);
    }
}
