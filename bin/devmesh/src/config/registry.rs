//! Every key there is. What is not here is refused, and what is here is what `config explain` documents.

use super::key::{Key, Kind, Preset, Settable, Unit};

/// The key `name` belongs to.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.matches(name))
}

const fn key(name: &'static str, kind: Kind, preset: Preset, doc: &'static str) -> Key {
    Key { name, kind, preset, seed: None, unit: Unit::None, settable: Settable::ByUser, doc }
}

impl Key {
    const fn seed(self, seed: &'static str) -> Self {
        Self { seed: Some(seed), ..self }
    }

    const fn unit(self, unit: Unit) -> Self {
        Self { unit, ..self }
    }

    const fn by_working_folder(self) -> Self {
        Self { settable: Settable::ByWorkingFolder, ..self }
    }
}

/// Longest time that can be asked for, in seconds: thirty days.
const LONG: u64 = 30 * 24 * 3600;

#[rustfmt::skip]
pub static KEYS: &[Key] = &[
    // Where things are.
    key("data", Kind::Path, Preset::Derived("$XDG_DATA_HOME/devmesh, else ~/.local/share/devmesh"),
        "Folder with everything devmesh keeps. It must lie on a local disk."),
    key("url", Kind::Url, Preset::Derived("where the mesh that runs on the data folder listens"),
        "Backend that client commands and agents speak to."),
    key("token", Kind::Secret, Preset::Derived("the file `admin-token` in the data folder"),
        "Token that client commands and agents show to the backend. The first one of a data folder goes to the mesh that runs there, and nowhere else."),
    // The backend.
    key("server.address", Kind::Address, Preset::Text("127.0.0.1"),
        "Address the backend listens on. Anything but loopback lets other machines in; tokens are needed either way."),
    key("server.port", Kind::Integer { min: 0, max: 65_535 }, Preset::Integer(8080),
        "TCP port of the backend. 0 takes a free one.").seed("API_PORT"),
    key("server.allowed_hosts", Kind::List, Preset::List(&[]),
        "Host names the backend may be asked under besides loopback and its own address, without a port."),
    key("server.allowed_origins", Kind::List, Preset::List(&["http://localhost:3000"]),
        "Exact origins of web pages that may speak to the backend from a browser."),
    key("server.connections", Kind::Integer { min: 8, max: 100_000 }, Preset::Integer(1024),
        "Connections at once. The default stays under the usual limit of open files."),
    key("server.requests_per_second", Kind::Integer { min: 1, max: 1_000_000 }, Preset::Integer(500),
        "Requests of one token, on average; twice as many may come at once. Agents have forty times that."),
    key("server.artifact_bytes", Kind::Integer { min: 1024, max: 1 << 40 }, Preset::Integer(64 << 20),
        "Largest file a job may hand in.").unit(Unit::Bytes),
    // Jobs.
    key("jobs.lease_s", Kind::Integer { min: 3, max: 3600 }, Preset::Integer(15),
        "How long an agent keeps a job without a sign of life.").unit(Unit::Seconds),
    key("jobs.running_per_principal", Kind::Integer { min: 1, max: 10_000 }, Preset::Integer(8),
        "Jobs of one principal that run at the same time."),
    key("jobs.idempotency_s", Kind::Integer { min: 60, max: LONG }, Preset::Integer(24 * 3600),
        "How long a repeated request is recognised by its idempotency key.").unit(Unit::Seconds),
    key("jobs.retention_days", Kind::Integer { min: 1, max: 36_500 }, Preset::Unset,
        "Finished jobs older than this are deleted with their logs and files. Not set: kept for ever.").unit(Unit::Days),
    key("models.calls_retention_days", Kind::Integer { min: 1, max: 36_500 }, Preset::Integer(90),
        "Records of model calls older than this are deleted; what they spent stays counted.").unit(Unit::Days),
    key("audit.retention_days", Kind::Integer { min: 1, max: 36_500 }, Preset::Integer(365),
        "Entries of the audit trail older than this are deleted, the oldest first; what is left can still be verified.").unit(Unit::Days),
    // Agents.
    key("agents.count", Kind::Integer { min: 0, max: 64 }, Preset::Integer(1),
        "Agent processes that `up` and `try` start."),
    key("agents.name", Kind::Text, Preset::Derived("the host's name and the process number"),
        "Name of an agent as people see it in a job's log."),
    key("agents.workspaces", Kind::Path, Preset::Derived("the folder `agent` in the data folder"),
        "Folder for the agents' working copies. All agents of one machine share one. Where that is the default and commands cannot reach it, /var/lib/devmesh-workspaces."),
    key("agents.roots", Kind::List, Preset::List(&[]),
        "Folders that jobs of tokens other than the owner's may be about, as absolute paths."),
    key("agents.remotes", Kind::List, Preset::List(&[]),
        "Beginnings of the addresses that jobs may clone from, such as https://github.com/."),
    key("agents.ssh_key", Kind::Path, Preset::Unset,
        "Private key for the ssh:// addresses among agents.remotes. Without one no such address is cloned; the user's own keys are never tried."),
    key("agents.ssh_known_hosts", Kind::Path, Preset::Unset,
        "File of the hosts that ssh:// addresses may be on, as ssh keeps it. A host that is not in it is refused."),
    key("agents.require", Kind::List, Preset::List(&[]),
        "Protections that must be in force for an agent to work, such as landlock, seccomp, sockets, network or processes."),
    key("agents.readable", Kind::List, Preset::List(&[]),
        "Folders and files that commands may read and execute, as absolute paths, beside the system's own and the toolchains in PATH. Homes and what is private in them are never shown."),
    key("agents.pass_environment", Kind::List, Preset::List(&[]),
        "Names of variables that commands get from the agent's environment. Those named like secrets are never passed."),
    key("agents.caches", Kind::Boolean, Preset::Boolean(true),
        "Whether commands may read what package managers of the agent's user have downloaded: Cargo, Go, npm, Maven and Gradle. Never their credentials."),
    key("agents.setup_network", Kind::Boolean, Preset::Boolean(false),
        "Whether the setup of a job that may leave the machine has this machine's network, loopback included. Other commands never have it."),
    key("agents.escalate", Kind::Boolean, Preset::Boolean(true),
        "Whether the next model of a job's route takes over, once, where one is stuck or its work fails the check. One in the cloud only where the job's egress and money allow it."),
    key("agents.processes", Kind::Integer { min: 8, max: 1 << 20 }, Preset::Integer(512),
        "Processes and threads one command may have at once."),
    key("agents.open_files", Kind::Integer { min: 64, max: 1 << 20 }, Preset::Integer(4096),
        "Files one process of a command may have open."),
    key("agents.file_bytes", Kind::Integer { min: 1 << 20, max: 1 << 50 }, Preset::Integer(4 << 30),
        "Largest file a command may write.").unit(Unit::Bytes),
    key("agents.workspaces_bytes", Kind::Integer { min: 1 << 20, max: 1 << 50 }, Preset::Integer(20 << 30),
        "What kept working copies may take of the disk together.").unit(Unit::Bytes),
    key("agents.job_disk_bytes", Kind::Integer { min: 1 << 20, max: 1 << 50 }, Preset::Integer(20 << 30),
        "What the files of one job may take of the disk.").unit(Unit::Bytes),
    key("agents.reserve_bytes", Kind::Integer { min: 0, max: 1 << 50 }, Preset::Integer(1 << 30),
        "Free space that commands must leave on the disk.").unit(Unit::Bytes),
    key("agents.memory_bytes", Kind::Integer { min: 16 << 20, max: 1 << 50 }, Preset::Derived("three quarters of the machine's, or of what this process may have"),
        "What one command and everything it started may take of memory.").unit(Unit::Bytes),
    // Models.
    key("ollama.base_url", Kind::Url, Preset::Text("http://127.0.0.1:11434"),
        "Where Ollama listens.").seed("OLLAMA_BASE_URL"),
    key("ollama.location", Kind::OneOf(&["local", "cloud"]), Preset::Text("local"),
        "Where that Ollama runs. Say `cloud` of a machine that is not yours: only jobs that allow it go there."),
    key("ollama.enabled", Kind::Boolean, Preset::Boolean(true),
        "Whether to offer Ollama's models."),
    key("ollama.context_tokens", Kind::Integer { min: 512, max: 10_000_000 }, Preset::Derived("the most that the model was made for and ollama.context_memory_bytes has room for, and at least 16384"),
        "Context asked of Ollama for each call, the same for every model. A prompt that does not fit is refused, never cut.").unit(Unit::Tokens).by_working_folder(),
    key("ollama.context_memory_bytes", Kind::Integer { min: 0, max: 1 << 50 }, Preset::Derived("a quarter of this machine's memory, at most 8 GiB; 4 GiB for an Ollama on another one"),
        "What the context of one loaded model may take of memory, where no number of tokens is set. Coding tools begin with some 20,000 tokens.").unit(Unit::Bytes),
    key("ollama.registry_url", Kind::Url, Preset::Text("https://registry.ollama.ai"),
        "Registry that `devmesh models pull ollama:NAME:TAG` fetches from: Ollama's own, or a mirror of it."),
    key("hugging_face.base_url", Kind::Url, Preset::Text("https://huggingface.co"),
        "Model hub that `devmesh models pull` fetches from: `hf:…`, and what vendors publish there. A mirror speaks the same.").seed("HF_ENDPOINT"),
    key("hugging_face.token", Kind::Secret, Preset::Unset,
        "Token for that hub, for private and gated repositories. It is not shown to the storage that the hub redirects to.").seed("HF_TOKEN"),
    key("ollama.concurrency", Kind::Integer { min: 1, max: 1024 }, Preset::Integer(4),
        "Calls given to Ollama at once; further ones wait here, those for a loaded model first."),
    key("cloud.base_url", Kind::Url, Preset::Derived("https://api.openai.com/v1 once openai.api_key is set"),
        "OpenAI-compatible service in the cloud. Used only by jobs that allow their prompts to leave the machine.").seed("CLOUD_PROVIDER_BASE_URL"),
    key("openai.api_key", Kind::Secret, Preset::Unset,
        "Key for the service at cloud.base_url; several, separated by commas, take turns.").seed("OPENAI_API_KEY"),
    key("anthropic.api_key", Kind::Secret, Preset::Unset,
        "Key for Anthropic's service; several, separated by commas, take turns.").seed("ANTHROPIC_API_KEY"),
    key("anthropic.base_url", Kind::Url, Preset::Derived("https://api.anthropic.com once anthropic.api_key is set"),
        "Where Anthropic's service is reached."),
    key("providers.*.base_url", Kind::Url, Preset::Unset,
        "One more service (llama.cpp, LM Studio, vLLM, another Ollama …) under a name of your choice."),
    key("providers.*.dialect", Kind::OneOf(&["openai", "openai-responses", "anthropic", "ollama"]), Preset::Text("openai"),
        "What that service speaks: `openai` is chat completions, which most do."),
    key("providers.*.api_key", Kind::Secret, Preset::Unset,
        "Key for that service, when it wants one; several, separated by commas, take turns."),
    key("providers.*.concurrency", Kind::Integer { min: 1, max: 65_536 }, Preset::Integer(256),
        "Calls given to that service at once; further ones wait here."),
    key("providers.*.continues_answers", Kind::Boolean, Preset::Unset,
        "Whether its models go on with an answer that was begun, when the last message is the assistant's. Not set: what is known of the model."),
    key("providers.*.reasoning_efforts", Kind::List, Preset::Unset,
        "Levels of thinking that its models take, each as LEVEL, or as MODEL=LEVEL for a model that takes others. Not set: low, medium and high at home; in the cloud what a caller of the same API says."),
    key("providers.*.context_tokens", Kind::Integer { min: 512, max: 10_000_000 }, Preset::Derived("ollama.context_tokens"),
        "Context asked of that Ollama for each call, as `ollama.context_tokens` is of the first one. Services of other dialects are not told any.").unit(Unit::Tokens),
    key("providers.*.location", Kind::OneOf(&["local", "cloud"]), Preset::Text("cloud"),
        "Where that service runs. Say `local` only of machines that are yours: local services get every prompt."),
    key("timeouts.*.connect_ms", Kind::Integer { min: 1, max: 600_000 }, Preset::Integer(2000),
        "How long connecting to the provider of that name may take.").unit(Unit::Milliseconds),
    key("timeouts.*.headers_ms", Kind::Integer { min: 1, max: 86_400_000 }, Preset::Derived("30 s in the cloud, the limit for the first token elsewhere"),
        "From the request to the status line of the provider's answer.").unit(Unit::Milliseconds),
    key("timeouts.*.first_token_ms", Kind::Integer { min: 1, max: 86_400_000 }, Preset::Derived("60 s in the cloud, 30 s for a loaded model here, 120 s for one that is not; more for long prompts"),
        "How long the provider may be silent at first, for a short prompt.").unit(Unit::Milliseconds),
    key("timeouts.*.inter_token_ms", Kind::Integer { min: 1, max: 86_400_000 }, Preset::Integer(60_000),
        "How long the provider may be silent in the middle of an answer.").unit(Unit::Milliseconds),
    key("timeouts.*.total_ms", Kind::Integer { min: 1, max: 86_400_000 }, Preset::Integer(3_600_000),
        "How long one answer of the provider may take.").unit(Unit::Milliseconds),
    key("routes.*.targets", Kind::List, Preset::Unset,
        "Models behind a logical name, best first, each as provider/model; `@sha256:DIGEST` pins the content, ` *N` is a weight among equals."),
    key("routes.*.egress", Kind::OneOf(&["never", "redacted", "allowed"]), Preset::Text("never"),
        "Whether targets in the cloud may be used, for callers that allow it too; `redacted` replaces secrets by placeholders first."),
    key("routes.*.allow_cloud", Kind::Boolean, Preset::Boolean(false),
        "The older way to say egress: true is `allowed`."),
    key("routes.*.balance", Kind::OneOf(&["priority", "spread"]), Preset::Text("priority"),
        "`priority`: the first target that can answer. `spread`: all are equal, loaded ones first, then the least busy by weight."),
    key("routes.*.retries", Kind::Integer { min: 0, max: 10 }, Preset::Integer(1),
        "Further tries of one target after a failure that may pass by itself."),
    key("routes.*.latency_budget_ms", Kind::Integer { min: 1, max: 86_400_000 }, Preset::Unset,
        "A target whose queue would take longer is left out while another one is left.").unit(Unit::Milliseconds),
    key("routes.*.first_token_timeout_ms", Kind::Integer { min: 1, max: 86_400_000 }, Preset::Derived("by where the model runs and whether it is loaded"),
        "How long a target may be silent at first, for a short prompt.").unit(Unit::Milliseconds),
    key("routes.*.max_output_tokens", Kind::Integer { min: 1, max: 10_000_000 }, Preset::Unset,
        "Longest answer; a caller may ask for less.").unit(Unit::Tokens),
    key("routes.*.min_temperature", Kind::Text, Preset::Unset,
        "A caller's lower temperature is raised to this number."),
    key("routes.*.max_temperature", Kind::Text, Preset::Unset,
        "A caller's higher temperature is lowered to this number."),
    key("routes.*.cost_cap_microusd", Kind::Integer { min: 0, max: 1_000_000_000_000 }, Preset::Unset,
        "Most that one call may cost, in millionths of a US dollar; targets that could cost more are left out."),
    key("routes.*.buffered", Kind::Boolean, Preset::Boolean(false),
        "Verify the whole answer before its first byte is passed on, also when it is streamed."),
    key("routes.*.quality", Kind::OneOf(&["enforce", "record"]), Preset::Text("enforce"),
        "Whether an answer that breaks its declared form, is empty or repeats itself is asked for again, or only recorded."),
    key("routes.*.cache_s", Kind::Integer { min: 1, max: LONG }, Preset::Unset,
        "How long an equal request may be answered from memory, for callers that ask for it.").unit(Unit::Seconds),
    key("routes.*.drift", Kind::OneOf(&["refuse", "flag"]), Preset::Text("refuse"),
        "What happens when a pinned model has other content: its target is left out, or the answer says so."),
    key("routes.*.warm", Kind::Boolean, Preset::Boolean(false),
        "Load the first target when the backend starts."),
    key("redaction.*", Kind::Text, Preset::Unset,
        "A regular expression of your own for what must not reach a cloud, beside the built-in ones for secrets."),
    key("prices.file", Kind::Path, Preset::Derived("the file prices.toml in the data folder"),
        "Prices of models in the cloud. It is read again when it changes."),
    key("metrics.port", Kind::Integer { min: 0, max: 65_535 }, Preset::Integer(9464),
        "TCP port for Prometheus. 0 turns it off."),
    key("metrics.address", Kind::Address, Preset::Text("127.0.0.1"),
        "Address that Prometheus asks. Metrics need no token: keep it on a private network."),
    key("telemetry.otlp_endpoint", Kind::Url, Preset::Unset,
        "OpenTelemetry collector that is told of every model call, over OTLP as HTTP with protobuf: such as http://127.0.0.1:4318. Not set: nobody is told."),
    key("telemetry.otlp_headers", Kind::Secret, Preset::Unset,
        "Headers that collector asks for: name=value, separated by commas, with %20 and its like where a value needs it."),
    key("telemetry.service_name", Kind::Text, Preset::Text("devmesh"),
        "Name of this program among others that tell the same collector."),
    key("telemetry.sample_ratio", Kind::Fraction, Preset::Text("1"),
        "How many calls the collector is told of, where the caller's own `traceparent` does not say."),
    key("telemetry.content", Kind::Boolean, Preset::Boolean(false),
        "Whether the collector is also told prompts and answers, with secrets left out: they leave the machine when it runs elsewhere."),
    key("embedded.enabled", Kind::Boolean, Preset::Boolean(true),
        "Whether to offer models that run inside this process."),
    key("embedded.threads", Kind::Integer { min: 1, max: 256 }, Preset::Derived("the number of processor cores, at most 8"),
        "Threads one embedded model computes with.").unit(Unit::Threads).by_working_folder(),
    key("embedded.context_tokens", Kind::Integer { min: 256, max: 1_000_000 }, Preset::Integer(8192),
        "Largest context an embedded model is given, below what the model itself allows.").unit(Unit::Tokens).by_working_folder(),
    key("embedded.idle_s", Kind::Integer { min: 1, max: LONG }, Preset::Integer(300),
        "An embedded model leaves memory after this much idle time.").unit(Unit::Seconds).by_working_folder(),
    key("embedded.queue", Kind::Integer { min: 1, max: 1024 }, Preset::Integer(8),
        "Calls that may wait for an embedded model; further ones are told to come back."),
    key("embedded.cache", Kind::Path, Preset::Derived("$XDG_CACHE_HOME/devmesh, else ~/.cache/devmesh"),
        "Folder for downloaded models. It can be deleted at any time."),
    key("embedded.ollama_store", Kind::Path, Preset::Derived("$OLLAMA_MODELS, else where Ollama usually keeps them"),
        "Folder of an Ollama installation whose model files may be read, never written, without a running Ollama."),
    // Talking.
    key("log.filter", Kind::Text, Preset::Text("info"),
        "What long-running commands log: a level, or levels per part like `info,api=debug`."),
    key("log.format", Kind::OneOf(&["text", "json"]), Preset::Text("text"),
        "How they log.").by_working_folder(),
    // Names of set-ups with more parts. Accepted so that one environment serves them all.
    key("database.url", Kind::Text, Preset::Unset,
        "Accepted; this version keeps everything in the data folder.").seed("DATABASE_URL"),
    key("mcp.url", Kind::Url, Preset::Unset,
        "Accepted; this version starts no MCP server.").seed("MCP_URL"),
    key("vector_store.url", Kind::Url, Preset::Unset,
        "Accepted; this version has no vector store.").seed("VECTOR_STORE_URL"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Value;

    #[test]
    fn every_key_is_documented_and_its_default_fits() {
        for key in KEYS {
            assert!(key.doc.ends_with('.'), "{}: {}", key.name, key.doc);
            if let Some(value) = key.preset.value() {
                assert_eq!(Value::parse(key, &value.to_string()).as_ref(), Ok(&value), "{}", key.name);
            }
        }
    }

    #[test]
    fn names_are_unique_and_found() {
        for (index, key) in KEYS.iter().enumerate() {
            let name = key.name.replace('*', "mine");
            assert!(std::ptr::eq(find(&name).unwrap(), &KEYS[index]), "{name}");
        }
        assert!(find("routes.a.b.targets").is_none());
        assert!(find("routes..targets").is_none());
    }
}
