//! The typed outcome: what the rest of the program takes.

use super::{Paths, Problems, Resolved};
use std::{net::IpAddr, path::PathBuf, time::Duration};

#[derive(Clone)]
pub struct Settings {
    pub data: PathBuf,
    /// Of the user who runs this, when there is one.
    pub home: Option<PathBuf>,
    /// Set only when somebody chose a backend; else it is the local one.
    pub url: Option<String>,
    pub token: Option<String>,
    pub server: ServerSettings,
    pub jobs: JobSettings,
    pub agents: AgentSettings,
    pub ollama: Option<OllamaSettings>,
    pub providers: Vec<ProviderSettings>,
    pub routes: Vec<RouteSettings>,
    pub embedded: EmbeddedSettings,
    pub log: LogSettings,
    /// Keys that are set and that this version does not use.
    pub unused: Vec<&'static str>,
}

#[derive(Clone, Debug)]
pub struct ServerSettings {
    pub address: IpAddr,
    pub port: u16,
    pub allowed_hosts: Vec<String>,
    pub allowed_origins: Vec<String>,
    pub connections: usize,
    pub requests_per_second: u32,
    pub artifact_bytes: u64,
}

#[derive(Clone, Debug)]
pub struct JobSettings {
    pub lease: Duration,
    pub running_per_principal: u32,
    pub idempotency: Duration,
    pub retention: Option<Duration>,
}

#[derive(Clone, Debug)]
pub struct AgentSettings {
    pub count: usize,
    pub name: Option<String>,
    pub workspaces: PathBuf,
}

#[derive(Clone, Debug)]
pub struct OllamaSettings {
    pub base_url: String,
    pub is_local: bool,
    pub context_tokens: u64,
}

/// One OpenAI-compatible service.
#[derive(Clone)]
pub struct ProviderSettings {
    pub name: String,
    pub base_url: String,
    pub api_key: Option<String>,
    pub is_local: bool,
}

impl std::fmt::Debug for ProviderSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, base_url, is_local, .. } = self;
        f.debug_struct("ProviderSettings")
            .field("name", name)
            .field("base_url", base_url)
            .field("is_local", is_local)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
pub struct RouteSettings {
    pub name: String,
    pub allow_cloud: bool,
    pub targets: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct EmbeddedSettings {
    pub enabled: bool,
    pub threads: usize,
    pub context_tokens: usize,
    pub idle: Duration,
    pub queue: usize,
    pub cache: PathBuf,
    pub ollama_store: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub struct LogSettings {
    pub filter: String,
    pub json: bool,
}

/// More threads than this slow one small model down instead of speeding it up.
const MOST_DEFAULT_THREADS: usize = 8;
const OPENAI: &str = "https://api.openai.com/v1";
const UNUSED: &[&str] = &["anthropic.api_key", "database.url", "mcp.url", "vector_store.url"];

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { data, url, server, jobs, .. } = self;
        let mut shown = f.debug_struct("Settings");
        shown.field("data", data).field("url", url).field("server", server).field("jobs", jobs).finish_non_exhaustive()
    }
}

impl Settings {
    pub fn from(resolved: &Resolved, paths: &Paths, problems: &mut Problems) -> Self {
        let named = resolved.path("data").map(|path| std::path::absolute(&path).unwrap_or(path));
        let data = named.or_else(|| paths.data.clone()).unwrap_or_else(|| {
            problems.add("data", "no folder to keep things in: HOME is not set. Name one with --data or DEVMESH_DATA");
            PathBuf::new()
        });
        Self {
            url: resolved.text("url").map(str::to_owned),
            token: resolved.text("token").map(str::to_owned),
            server: server(resolved),
            jobs: jobs(resolved),
            agents: AgentSettings {
                count: number(resolved, "agents.count"),
                name: resolved.text("agents.name").map(str::to_owned),
                workspaces: resolved.path("agents.workspaces").unwrap_or_else(|| data.join("agent")),
            },
            ollama: resolved.boolean("ollama.enabled").then(|| OllamaSettings {
                base_url: resolved.text("ollama.base_url").unwrap_or_default().to_owned(),
                is_local: resolved.text("ollama.location") != Some("cloud"),
                context_tokens: resolved.integer("ollama.context_tokens").unwrap_or_default(),
            }),
            providers: providers(resolved, problems),
            routes: routes(resolved, problems),
            embedded: EmbeddedSettings {
                enabled: resolved.boolean("embedded.enabled"),
                threads: resolved.integer("embedded.threads").map_or_else(default_threads, |threads| threads as usize),
                context_tokens: number(resolved, "embedded.context_tokens"),
                idle: seconds(resolved, "embedded.idle_s"),
                queue: number(resolved, "embedded.queue"),
                cache: resolved
                    .path("embedded.cache")
                    .or_else(|| paths.cache.clone())
                    .unwrap_or_else(|| data.join("cache")),
                ollama_store: resolved.path("embedded.ollama_store").or_else(|| paths.ollama_store.clone()),
            },
            log: LogSettings {
                filter: resolved.text("log.filter").unwrap_or_default().to_owned(),
                json: resolved.text("log.format") == Some("json"),
            },
            unused: UNUSED.iter().copied().filter(|name| resolved.get(name).is_some()).collect(),
            home: paths.home.clone(),
            data,
        }
    }

    /// Where client commands find the backend.
    pub fn backend_url(&self) -> String {
        self.url.clone().unwrap_or_else(|| format!("http://{}", self.local_authority(self.server.port)))
    }

    /// `host:port` to reach a backend of this machine under; a wildcard address is reached over loopback.
    pub fn local_authority(&self, port: u16) -> String {
        let address = match self.server.address {
            IpAddr::V4(address) if address.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
            IpAddr::V6(address) if address.is_unspecified() => IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
            address => address,
        };
        std::net::SocketAddr::new(address, port).to_string()
    }

    /// The first token, as the backend wrote it down.
    pub fn admin_token_file(&self) -> PathBuf {
        self.data.join("admin-token")
    }
}

fn server(resolved: &Resolved) -> ServerSettings {
    ServerSettings {
        address: resolved
            .text("server.address")
            .and_then(|text| text.parse().ok())
            .unwrap_or(IpAddr::from([127, 0, 0, 1])),
        port: resolved.integer("server.port").and_then(|port| u16::try_from(port).ok()).unwrap_or_default(),
        allowed_hosts: resolved.list("server.allowed_hosts"),
        allowed_origins: resolved.list("server.allowed_origins"),
        connections: number(resolved, "server.connections"),
        requests_per_second: resolved
            .integer("server.requests_per_second")
            .and_then(|rate| u32::try_from(rate).ok())
            .unwrap_or(1),
        artifact_bytes: resolved.integer("server.artifact_bytes").unwrap_or_default(),
    }
}

fn jobs(resolved: &Resolved) -> JobSettings {
    JobSettings {
        lease: seconds(resolved, "jobs.lease_s"),
        running_per_principal: resolved
            .integer("jobs.running_per_principal")
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(1),
        idempotency: seconds(resolved, "jobs.idempotency_s"),
        retention: resolved.integer("jobs.retention_days").map(|days| Duration::from_secs(days * 24 * 3600)),
    }
}

fn providers(resolved: &Resolved, problems: &mut Problems) -> Vec<ProviderSettings> {
    let mut providers = Vec::new();
    let (address, key) = (resolved.text("cloud.base_url"), resolved.text("openai.api_key"));
    if address.is_some() || key.is_some() {
        providers.push(ProviderSettings {
            name: "openai".into(),
            base_url: address.unwrap_or(OPENAI).to_owned(),
            api_key: key.map(str::to_owned),
            is_local: false,
        });
    }
    for name in resolved.members("providers") {
        if ["ollama", "embedded", "openai"].contains(&name.as_str()) {
            problems.add(format_args!("providers.{name}"), "this name belongs to a built-in provider; choose another");
        }
        let Some(base_url) = resolved.text(&format!("providers.{name}.base_url")) else { continue };
        providers.push(ProviderSettings {
            base_url: base_url.to_owned(),
            api_key: resolved.text(&format!("providers.{name}.api_key")).map(str::to_owned),
            is_local: resolved.text(&format!("providers.{name}.location")) == Some("local"),
            name,
        });
    }
    providers
}

fn routes(resolved: &Resolved, problems: &mut Problems) -> Vec<RouteSettings> {
    let mut routes = Vec::new();
    for name in resolved.members("routes") {
        let targets = resolved.list(&format!("routes.{name}.targets"));
        if targets.is_empty() {
            problems.add(format_args!("routes.{name}.targets"), "a route needs at least one provider/model");
        }
        for target in targets.iter().filter(|target| !target.contains('/')) {
            problems.add(
                format_args!("routes.{name}.targets"),
                format!("`{target}` is not provider/model, like ollama/qwen3:8b"),
            );
        }
        let allow_cloud = resolved.boolean(&format!("routes.{name}.allow_cloud"));
        routes.push(RouteSettings { name, allow_cloud, targets });
    }
    routes
}

fn number(resolved: &Resolved, name: &str) -> usize {
    resolved.integer(name).and_then(|number| usize::try_from(number).ok()).unwrap_or_default()
}

fn seconds(resolved: &Resolved, name: &str) -> Duration {
    Duration::from_secs(resolved.integer(name).unwrap_or_default())
}

fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MOST_DEFAULT_THREADS)
}
