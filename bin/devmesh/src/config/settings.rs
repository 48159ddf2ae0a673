//! The typed outcome: what the rest of the program takes.

use super::{AgentSettings, Flags, Paths, Problems, Resolved, agents, context, routes, telemetry};
use embedded_model::fetch::Endpoints;
use protocol::Egress;
use router::{
    Policy, Target, Timeouts,
    providers::{ollama::Context, openai::EffortsByModel},
};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

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
    /// By the provider's name.
    pub timeouts: BTreeMap<String, TimeoutSettings>,
    /// Name and regular expression.
    pub redaction: Vec<(String, String)>,
    pub prices: PathBuf,
    /// `None`: metrics are off.
    pub metrics: Option<SocketAddr>,
    /// `None`: no collector is told of calls.
    pub telemetry: Option<router::telemetry::Options>,
    pub embedded: EmbeddedSettings,
    /// Where models are fetched from.
    pub model_servers: Endpoints,
    pub log: LogSettings,
    /// What this was read from, to read it again when it changes.
    pub config_files: Vec<PathBuf>,
    pub flags: Flags,
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
    /// Of the records of model calls.
    pub model_calls_retention: Option<Duration>,
    /// Of the audit trail.
    pub audit_retention: Option<Duration>,
}

#[derive(Clone, Debug)]
pub struct OllamaSettings {
    pub base_url: String,
    pub is_local: bool,
    pub context: Context,
    pub concurrency: usize,
}

/// One service that is spoken to over HTTP.
#[derive(Clone, PartialEq)]
pub struct ProviderSettings {
    pub name: String,
    pub dialect: Dialect,
    pub base_url: String,
    pub api_keys: Vec<String>,
    pub is_local: bool,
    pub concurrency: usize,
    pub continues_answers: Option<bool>,
    pub efforts: EffortsByModel,
    /// Of an Ollama.
    pub context: Option<Context>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeoutSettings {
    pub connect: Option<Duration>,
    pub answer: Timeouts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    OpenAi,
    OpenAiResponses,
    Anthropic,
    Ollama,
}

impl std::fmt::Debug for ProviderSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, dialect, base_url, is_local, .. } = self;
        f.debug_struct("ProviderSettings")
            .field("name", name)
            .field("dialect", dialect)
            .field("base_url", base_url)
            .field("is_local", is_local)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct RouteSettings {
    pub name: String,
    pub egress: Egress,
    pub targets: Vec<Target>,
    pub policy: Policy,
    pub warm: bool,
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
const ANTHROPIC: &str = "https://api.anthropic.com";
/// Enough for any vendor's rate limits, few enough that a flood waits here and not there.
const CLOUD_CONCURRENCY: usize = 256;
/// Providers that need no address of their own.
const BUILT_IN: [&str; 4] = ["ollama", "embedded", "openai", "anthropic"];
const UNUSED: &[&str] = &["database.url", "mcp.url", "vector_store.url"];

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
        let backend = resolved.pair("url", "token");
        let providers = providers(resolved, problems);
        warn_of_timeouts(resolved, &providers, problems);
        Self {
            url: backend.address.map(str::to_owned),
            token: backend.secret.map(str::to_owned),
            server: server(resolved),
            jobs: jobs(resolved),
            agents: agents::read(resolved, &data, problems),
            ollama: resolved.boolean("ollama.enabled").then(|| OllamaSettings {
                base_url: resolved.text("ollama.base_url").unwrap_or_default().to_owned(),
                is_local: resolved.text("ollama.location") != Some("cloud"),
                context: context::of_an_ollama(resolved, None, resolved.text("ollama.base_url").unwrap_or_default()),
                concurrency: number(resolved, "ollama.concurrency"),
            }),
            timeouts: resolved
                .members("timeouts")
                .into_iter()
                .map(|name| (name.clone(), timeouts(resolved, &name)))
                .collect(),
            redaction: resolved
                .members("redaction")
                .into_iter()
                .filter_map(|name| Some((resolved.text(&format!("redaction.{name}"))?.to_owned(), name)))
                .map(|(pattern, name)| (name, pattern))
                .collect(),
            prices: prices(resolved, &data, problems),
            metrics: metrics(resolved),
            telemetry: telemetry::read(resolved, problems),
            providers,
            routes: routes::read(resolved, problems),
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
            model_servers: model_servers(resolved),
            log: LogSettings {
                filter: resolved.text("log.filter").unwrap_or_default().to_owned(),
                json: resolved.text("log.format") == Some("json"),
            },
            unused: UNUSED.iter().copied().filter(|name| resolved.get(name).is_some()).collect(),
            home: paths.home.clone(),
            config_files: paths.config_files().map(Path::to_owned).collect(),
            flags: Flags::default(),
            data,
        }
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
        self.data.join(api::ADMIN_TOKEN_FILE)
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
        retention: days(resolved, "jobs.retention_days"),
        model_calls_retention: days(resolved, "models.calls_retention_days"),
        audit_retention: days(resolved, "audit.retention_days"),
    }
}

fn model_servers(resolved: &Resolved) -> Endpoints {
    let hub = resolved.pair("hugging_face.base_url", "hugging_face.token");
    Endpoints {
        hub: hub.address.unwrap_or_default().to_owned(),
        hub_token: hub.secret.map(str::to_owned),
        registry: resolved.text("ollama.registry_url").unwrap_or_default().to_owned(),
    }
}

fn metrics(resolved: &Resolved) -> Option<SocketAddr> {
    let port = resolved.integer("metrics.port").and_then(|port| u16::try_from(port).ok()).filter(|&port| port != 0)?;
    let address = resolved.text("metrics.address").and_then(|text| text.parse().ok());
    Some(SocketAddr::new(address.unwrap_or(IpAddr::from([127, 0, 0, 1])), port))
}

fn providers(resolved: &Resolved, problems: &mut Problems) -> Vec<ProviderSettings> {
    let mut providers = Vec::new();
    let built_in = [
        ("openai", Dialect::OpenAi, "cloud.base_url", "openai.api_key", OPENAI),
        ("anthropic", Dialect::Anthropic, "anthropic.base_url", "anthropic.api_key", ANTHROPIC),
    ];
    for (name, dialect, address, key, preset) in built_in {
        let pair = resolved.pair(address, key);
        let (address, keys) = (pair.address, keys(pair.secret));
        if address.is_some() || !keys.is_empty() {
            providers.push(ProviderSettings {
                name: name.into(),
                dialect,
                base_url: address.unwrap_or(preset).to_owned(),
                api_keys: keys,
                is_local: false,
                concurrency: CLOUD_CONCURRENCY,
                continues_answers: None,
                efforts: EffortsByModel::default(),
                context: None,
            });
        }
    }
    for name in resolved.members("providers") {
        if BUILT_IN.contains(&name.as_str()) {
            problems.add(format_args!("providers.{name}"), "this name belongs to a built-in provider; choose another");
        }
        let pair = resolved.pair(&format!("providers.{name}.base_url"), &format!("providers.{name}.api_key"));
        let Some(base_url) = pair.address else {
            let place = format!("providers.{name}");
            problems.warn(place, format!("it has no address, and is left out; set providers.{name}.base_url"));
            continue;
        };
        let dialect = match resolved.text(&format!("providers.{name}.dialect")) {
            Some("openai-responses") => Dialect::OpenAiResponses,
            Some("anthropic") => Dialect::Anthropic,
            Some("ollama") => Dialect::Ollama,
            _ => Dialect::OpenAi,
        };
        let continues = format!("providers.{name}.continues_answers");
        let continues_answers = resolved.get(&continues).map(|_| resolved.boolean(&continues));
        if dialect == Dialect::OpenAiResponses && continues_answers == Some(true) {
            let message = "the dialect openai-responses has no words for that; leave it out, or use the dialect openai";
            problems.add(continues, message);
        }
        let key = format!("providers.{name}.reasoning_efforts");
        let efforts = resolved.list(&key);
        if !efforts.is_empty() && !matches!(dialect, Dialect::OpenAi | Dialect::OpenAiResponses) {
            problems.add(&key, "only services with the dialect openai or openai-responses are told one; leave it out");
        }
        let efforts = EffortsByModel::of(efforts.iter().map(String::as_str));
        let efforts = efforts.unwrap_or_else(|message| {
            problems.add(key, message);
            EffortsByModel::default()
        });
        let key = format!("providers.{name}.context_tokens");
        let own = resolved.integer(&key);
        if dialect != Dialect::Ollama && own.is_some() {
            problems.add(key, "only a service with the dialect ollama is told its context; leave it out");
        }
        providers.push(ProviderSettings {
            dialect,
            base_url: base_url.to_owned(),
            api_keys: keys(pair.secret),
            is_local: resolved.text(&format!("providers.{name}.location")) == Some("local"),
            concurrency: resolved
                .integer(&format!("providers.{name}.concurrency"))
                .and_then(|count| usize::try_from(count).ok())
                .unwrap_or(CLOUD_CONCURRENCY),
            continues_answers,
            efforts,
            context: (dialect == Dialect::Ollama).then(|| context::of_an_ollama(resolved, own, base_url)),
            name,
        });
    }
    providers
}

/// Nobody has to have prices; a file that somebody named and that is not there is a slip.
fn prices(resolved: &Resolved, data: &Path, problems: &mut Problems) -> PathBuf {
    const KEY: &str = "prices.file";
    let Some(named) = resolved.path(KEY) else { return data.join("prices.toml") };
    if !named.exists() {
        problems.warn(KEY, format!("there is no file {}: until there is, no price is known", named.display()));
    }
    named
}

fn warn_of_timeouts(resolved: &Resolved, providers: &[ProviderSettings], problems: &mut Problems) {
    for name in resolved.members("timeouts") {
        if !BUILT_IN.contains(&name.as_str()) && providers.iter().all(|provider| provider.name != name) {
            let known: Vec<_> = BUILT_IN.into_iter().chain(providers.iter().map(|known| known.name.as_str())).collect();
            let place = format!("timeouts.{name}");
            problems.warn(place, format!("no provider is called `{name}`; there are: {}", known.join(", ")));
        }
    }
}

fn timeouts(resolved: &Resolved, provider: &str) -> TimeoutSettings {
    let millis = |key: &str| resolved.integer(&format!("timeouts.{provider}.{key}")).map(Duration::from_millis);
    TimeoutSettings {
        connect: millis("connect_ms"),
        answer: Timeouts {
            headers: millis("headers_ms"),
            first_token: millis("first_token_ms"),
            inter_token: millis("inter_token_ms"),
            total: millis("total_ms"),
        },
    }
}

/// No key holds a comma.
fn keys(secret: Option<&str>) -> Vec<String> {
    let text = secret.unwrap_or_default();
    text.split(',').map(str::trim).filter(|key| !key.is_empty()).map(str::to_owned).collect()
}

fn number(resolved: &Resolved, name: &str) -> usize {
    resolved.integer(name).and_then(|number| usize::try_from(number).ok()).unwrap_or_default()
}

fn days(resolved: &Resolved, name: &str) -> Option<Duration> {
    resolved.integer(name).map(|days| Duration::from_secs(days * 24 * 3600))
}

fn seconds(resolved: &Resolved, name: &str) -> Duration {
    Duration::from_secs(resolved.integer(name).unwrap_or_default())
}

fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(MOST_DEFAULT_THREADS)
}
