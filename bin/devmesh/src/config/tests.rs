mod trust;

use super::{
    Config, Dialect, Environment, Flags, Origin, Paths, Problems, Resolved, Settings, Sources, Value, registry, resolve,
};
use protocol::Egress;
use router::providers::{ollama::Context, openai::EffortsByModel};
use std::{fs, path::Path};
use tempfile::TempDir;

/// A home with files in every place but /etc, which belongs to the machine.
struct Places {
    folder: TempDir,
}

impl Places {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    fn paths(&self, environment: &Environment) -> Paths {
        let at = |name: &str| self.folder.path().join(name);
        Paths {
            own_files: vec![at("etc.toml"), at("user.toml")],
            folder_file: at("here.toml"),
            data: Some(at("data")),
            cache: Some(at("cache")),
            ..Paths::of(environment)
        }
    }

    fn file(&self, name: &str, text: &str) -> &Self {
        fs::write(self.folder.path().join(name), text).unwrap();
        self
    }

    /// The outcome and what was warned of, with the folder's name left out.
    fn load_and_warn(&self, environment: &Environment) -> (Resolved, Settings, Vec<String>) {
        let paths = self.paths(environment);
        let mut problems = Problems::default();
        let sources = Sources::read(&paths, environment, Flags::new(), &mut problems);
        let resolved = resolve(&sources, &mut problems);
        let settings = Settings::from(&resolved, &paths, &mut problems);
        let folder = format!("{}/", self.folder.path().display());
        let warnings = problems.warnings().iter().map(|warning| warning.replace(&folder, "")).collect();
        let (resolved, settings) = problems.none_or((resolved, settings)).unwrap();
        (resolved, settings, warnings)
    }

    fn load(&self, environment: &Environment, flags: &[(&str, &str, &str)]) -> Result<(Resolved, Settings), Problems> {
        let paths = self.paths(environment);
        let flags: Flags =
            flags.iter().map(|(key, value, flag)| ((*key).into(), (*value).into(), (*flag).into())).collect();
        let mut problems = Problems::default();
        let sources = Sources::read(&paths, environment, flags, &mut problems);
        let resolved = resolve(&sources, &mut problems);
        let settings = Settings::from(&resolved, &paths, &mut problems);
        problems.none_or((resolved, settings))
    }

    /// Every problem as text, with the folder's name left out.
    fn problems(&self, environment: &Environment, flags: &[(&str, &str, &str)]) -> String {
        let problems = self.load(environment, flags).expect_err("these are mistakes").to_string();
        problems.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

#[test]
fn what_says_nothing_to_anybody_is_warned_of() {
    for (text, warned) in [
        ("[providers.big]\ndialect = \"anthropic\"\n", Some("providers.big: it has no address")),
        ("[prices]\nfile = \"/nope.toml\"\n", Some("prices.file: there is no file /nope.toml")),
        ("[timeouts.zz]\ntotal_ms = 5\n", Some("timeouts.zz: no provider is called `zz`; there are: ollama,")),
        ("[timeouts.big]\ntotal_ms = 5\n[providers.big]\nbase_url = \"http://127.0.0.1:9\"\n", None),
        ("[timeouts.openai]\ntotal_ms = 5\n", None),
    ] {
        let places = Places::new();
        let (_, _, warnings) = places.file("user.toml", text).load_and_warn(&Environment::default());
        match warned {
            Some(warned) => assert!(warnings.len() == 1 && warnings[0].contains(warned), "{text}: {warnings:?}"),
            None => assert!(warnings.is_empty(), "{text}: {warnings:?}"),
        }
    }
}

#[test]
fn a_collectors_headers_are_read_as_other_programs_read_them_and_never_shown() {
    let places = Places::new();
    places.file("key", "authorization=Basic%20abc%3D,x-tenant = one\n");
    let key_file = places.folder.path().join("key").display().to_string();
    let text = format!(
        "[telemetry]\notlp_endpoint = \"http://127.0.0.1:4318\"\notlp_headers_file = {key_file:?}\nsample_ratio = 0.25\n"
    );
    places.file("user.toml", &text);
    let settings = places.load(&Environment::default(), &[]).unwrap().1;
    let telemetry = settings.telemetry.unwrap();
    assert_eq!(
        (telemetry.headers["authorization"].as_bytes(), telemetry.headers["x-tenant"].as_bytes()),
        (&b"Basic abc="[..], &b"one"[..])
    );
    assert!(!format!("{telemetry:?}").contains("abc"), "{telemetry:?}");
    assert_eq!((telemetry.sample_ratio, telemetry.content), (0.25, false));

    places.file("user.toml", "telemetry.content = true\n");
    assert!(places.load(&Environment::default(), &[]).unwrap().1.telemetry.is_none(), "nobody to tell");
    places.file("user.toml", "telemetry.sample_ratio = 1.5\n");
    let environment = Environment::with(&[("DEVMESH_TELEMETRY__OTLP_HEADERS", "x-ok=1,sk-secret,b ad=sk-secret")]);
    let problems = places.problems(&environment, &[]);
    assert!(problems.contains("a number from 0 to 1, got `1.5`"), "{problems}");
    assert!(problems.contains("entry 2 is not") && problems.contains("entry 3 is not"), "{problems}");
    assert!(!problems.contains("sk-secret"), "{problems}");
}

#[test]
fn each_layer_wins_over_those_below_it_and_the_losers_are_remembered() {
    let places = Places::new();
    places
        .file("etc.toml", "[embedded]\nthreads = 11\n")
        .file("user.toml", "[embedded]\nthreads = 12\n")
        .file("here.toml", "# a comment\nembedded.threads = 0b1101\n");
    let environment = Environment::with(&[("DEVMESH_EMBEDDED__THREADS", "14"), ("API_PORT", "1004")]);
    let (resolved, settings) = places.load(&environment, &[("embedded.threads", "15", "--set")]).unwrap();
    assert_eq!(settings.embedded.threads, 15);
    let told: Vec<_> = resolved
        .candidates("embedded.threads")
        .iter()
        .map(|candidate| {
            (candidate.value.to_string(), candidate.origin.to_string().rsplit('/').next().unwrap().to_owned())
        })
        .collect();
    let expected = [
        ("11", "etc.toml:2"),
        ("12", "user.toml:2"),
        ("13", "here.toml:2"),
        ("14", "environment DEVMESH_EMBEDDED__THREADS"),
        ("15", "flag --set"),
    ];
    assert_eq!(told, expected.map(|(value, origin)| (value.to_owned(), origin.to_owned())));

    // Taking the layers away one by one hands the win to the one below.
    let without_flag = places.load(&environment, &[]).unwrap().1;
    let only_files = places.load(&Environment::default(), &[]).unwrap().1;
    places.file("here.toml", "");
    let only_own = places.load(&Environment::default(), &[]).unwrap().1;
    assert_eq!([without_flag, only_files, only_own].map(|settings| settings.embedded.threads), [14, 13, 12]);

    // Of the environment, our own name wins over another program's.
    let both = Environment::with(&[("API_PORT", "1004"), ("DEVMESH_SERVER__PORT", "1005")]);
    let (resolved, settings) = places.load(&both, &[]).unwrap();
    assert_eq!(settings.server.port, 1005);
    let origins: Vec<_> = resolved.candidates("server.port").iter().map(|said| said.origin.to_string()).collect();
    assert_eq!(origins, ["default", "environment API_PORT", "environment DEVMESH_SERVER__PORT"]);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let places = Places::new();
    places
        .file(
            "user.toml",
            "[server]\nprot = 1\nport = \"many\"\n[jobs]\nlease_s = 1\n[routes.code]\ntargets = [\"qwen\"]\n",
        )
        .file("etc.toml", "[server\nport = 1\n[providers.mine]\nlocation = \"local\"\n[colour]\nx = 1\n");
    let environment = Environment::with(&[
        ("DEVMESH_PORT", "1"),
        ("DEVMESH_SERVER__ADDRESS", "everywhere"),
        ("OLLAMA_BASE_URL", "localhost:11434"),
        ("DEVMESH_NONSENSE_AT_ALL", "1"),
    ]);
    insta::assert_snapshot!(
        places.problems(&environment, &[("server.port", "70000", "--port"), ("servr.port", "1", "--set")])
    );
}

#[test]
fn the_defaults_are_what_the_documentation_says() {
    let places = Places::new();
    let (_, settings) = places.load(&Environment::with(&[("HOME", "/home/somebody")]), &[]).unwrap();
    assert_eq!(settings.server.address.to_string(), "127.0.0.1");
    assert_eq!(settings.server.port, 8080);
    assert_eq!(settings.local_authority(settings.server.port), "127.0.0.1:8080");
    assert_eq!(settings.server.allowed_origins, ["http://localhost:3000"]);
    assert_eq!(settings.jobs.lease.as_secs(), 15);
    assert_eq!(settings.jobs.retention, None);
    assert_eq!(settings.jobs.model_calls_retention.map(|age| age.as_secs()), Some(90 * 24 * 3600));
    assert_eq!(settings.agents.count, 1);
    assert_eq!(settings.embedded.idle.as_secs(), 300);
    assert!(settings.embedded.enabled && settings.providers.is_empty() && settings.routes.is_empty());
    assert_eq!(settings.ollama.unwrap().base_url, "http://127.0.0.1:11434");
    assert!(settings.unused.is_empty());
}

#[test]
fn every_name_of_the_seed_environment_is_understood() {
    let places = Places::new();
    let environment = Environment::with(&[
        ("API_PORT", "9090"),
        ("OLLAMA_BASE_URL", "http://ollama:11434"),
        ("CLOUD_PROVIDER_BASE_URL", "https://models.example/v1"),
        ("OPENAI_API_KEY", "sk-one"),
        ("ANTHROPIC_API_KEY", "sk-two"),
        ("DATABASE_URL", "postgres://somewhere"),
        ("MCP_URL", "http://mcp:7000"),
        ("VECTOR_STORE_URL", "http://vectors:6333"),
    ]);
    let (_, settings) = places.load(&environment, &[]).unwrap();
    assert_eq!(settings.server.port, 9090);
    assert_eq!(settings.ollama.unwrap().base_url, "http://ollama:11434");
    let [cloud, anthropic] = &settings.providers[..] else { panic!("{:?}", settings.providers) };
    assert_eq!(
        (cloud.name.as_str(), cloud.base_url.as_str(), cloud.is_local),
        ("openai", "https://models.example/v1", false)
    );
    assert_eq!(cloud.api_keys, ["sk-one"]);
    assert_eq!((anthropic.name.as_str(), anthropic.base_url.as_str()), ("anthropic", "https://api.anthropic.com"));
    assert_eq!((anthropic.dialect, anthropic.is_local), (Dialect::Anthropic, false));
    assert_eq!(anthropic.api_keys, ["sk-two"]);
    assert_eq!(settings.unused, ["database.url", "mcp.url", "vector_store.url"]);
}

#[test]
fn a_secret_comes_from_a_file_and_is_never_shown() {
    let places = Places::new();
    places
        .file("key", "sk-from-file\n")
        .file("user.toml", &format!("token_file = \"{}\"\n", places.folder.path().join("key").display()));
    let key = places.folder.path().join("key").display().to_string();
    let environment = Environment::with(&[
        ("OPENAI_API_KEY_FILE", &key),
        ("DEVMESH_PROVIDERS__MINE__API_KEY_FILE", &key),
        ("DEVMESH_PROVIDERS__MINE__BASE_URL", "http://127.0.0.1:1/v1"),
    ]);
    let (_, settings) = places.load(&environment, &[]).unwrap();
    assert_eq!(settings.token.as_deref(), Some("sk-from-file"));
    assert!(settings.providers.iter().all(|provider| provider.api_keys == ["sk-from-file"]));
    assert_eq!(settings.providers.len(), 2);
    assert!(!format!("{settings:?}").contains("sk-from-file"), "a debug print must not leak it");
    assert_eq!(environment.secret_variables(), ["DEVMESH_PROVIDERS__MINE__API_KEY_FILE", "OPENAI_API_KEY_FILE"]);

    let missing = Environment::with(&[("DEVMESH_TOKEN_FILE", "/nowhere/token")]);
    assert!(places.problems(&missing, &[]).contains("cannot read the secret from `/nowhere/token`"));
    places.file("empty", "\n");
    let empty = places.folder.path().join("empty").display().to_string();
    assert!(places.problems(&Environment::with(&[("DEVMESH_TOKEN_FILE", &empty)]), &[]).contains("holds no secret"));
}

#[test]
fn routes_and_providers_carry_names_of_the_users_choice() {
    let places = Places::new();
    places.file(
        "user.toml",
        "[providers.lmstudio]\nbase_url = \"http://127.0.0.1:1234/v1\"\nlocation = \"local\"\n\
         [routes.code]\ntargets = [\"ollama/qwen3:8b\", \"lmstudio/any\"]\nallow_cloud = true\n",
    );
    let environment = Environment::with(&[("DEVMESH_ROUTES__FAST__TARGETS", "embedded/a, ollama/b")]);
    let (resolved, settings) = places.load(&environment, &[]).unwrap();
    assert!(settings.providers[0].is_local);
    let routes: Vec<_> =
        settings.routes.iter().map(|route| (route.name.as_str(), route.targets.len(), route.egress)).collect();
    assert_eq!(routes, [("code", 2, Egress::Allowed), ("fast", 2, Egress::LocalOnly)]);
    assert_eq!(resolved.get("routes.fast.targets"), Some(&Value::List(vec!["embedded/a".into(), "ollama/b".into()])));
    assert!(matches!(resolved.origin("routes.code.targets"), Some(Origin::File { line: 5, .. })));
    // Nobody's setting is a key all the same.
    assert!(resolved.candidates("jobs.retention_days").is_empty());
}

/// Keys with a name of the user's choice take their defaults where they are read: what the page says of them must hold.
#[test]
fn what_is_not_said_of_a_route_or_a_provider_is_as_documented() {
    let places = Places::new();
    let text = "[providers.mine]\nbase_url = \"http://127.0.0.1:1/v1\"\n[routes.code]\ntargets = [\"mine/any\"]\n";
    places.file("user.toml", text);
    let (_, settings) = places.load(&Environment::default(), &[]).unwrap();
    let preset = |name: &str| registry::find(name).unwrap().preset.value().unwrap();
    let provider = &settings.providers[0];
    assert_eq!(preset("providers.mine.dialect").to_string(), "openai");
    assert_eq!(provider.dialect, Dialect::OpenAi);
    assert_eq!(preset("providers.mine.location").to_string() == "local", provider.is_local);
    assert_eq!(preset("providers.mine.concurrency"), Value::Integer(provider.concurrency as u64));
    assert_eq!(provider.continues_answers, None);

    let route = &settings.routes[0];
    assert_eq!(route.policy, router::Policy::default());
    assert_eq!((route.egress, route.warm), (Egress::LocalOnly, false));
    for (name, documented) in [
        ("egress", "never"),
        ("allow_cloud", "false"),
        ("balance", "priority"),
        ("retries", "1"),
        ("buffered", "false"),
        ("quality", "enforce"),
        ("drift", "refuse"),
        ("warm", "false"),
    ] {
        assert_eq!(preset(&format!("routes.code.{name}")).to_string(), documented, "{name}");
    }

    assert!(settings.timeouts.is_empty());
    let milliseconds = |time: std::time::Duration| Value::Integer(u64::try_from(time.as_millis()).unwrap());
    let limits = router::Limits::default();
    assert_eq!(preset("timeouts.mine.connect_ms"), milliseconds(router::CONNECT_TIMEOUT));
    assert_eq!(preset("timeouts.mine.inter_token_ms"), milliseconds(limits.inter_token));
    assert_eq!(preset("timeouts.mine.total_ms"), milliseconds(limits.total));
    assert!(settings.prices.ends_with("prices.toml"));
    assert_eq!(settings.metrics.unwrap().to_string(), "127.0.0.1:9464");
    assert_eq!(settings.ollama.unwrap().concurrency, 4);
}

#[test]
fn a_route_takes_its_policy_and_a_provider_its_dialect() {
    let places = Places::new();
    places.file(
        "user.toml",
        r#"
        [providers.other]
        base_url = "http://127.0.0.1:1"
        dialect = "ollama"
        api_key = "one, two"
        continues_answers = false
        context_tokens = 8192
        [timeouts.other]
        first_token_ms = 700
        [redaction]
        ticket = "TICKET-[0-9]+"
        [prices]
        file = "/etc/devmesh/prices.toml"
        [metrics]
        port = 0
        [anthropic]
        base_url = "http://127.0.0.1:2"
        [routes.code]
        targets = ["other/a:7b *3", "anthropic/b"]
        egress = "redacted"
        balance = "spread"
        retries = 0
        latency_budget_ms = 1500
        max_output_tokens = 100
        max_temperature = "0.5"
        cost_cap_microusd = 2000
        buffered = true
        quality = "record"
        cache_s = 60
        drift = "flag"
        warm = true
        "#,
    );
    let (_, settings) = places.load(&Environment::default(), &[]).unwrap();
    let [anthropic, other] = &settings.providers[..] else { panic!("{:?}", settings.providers) };
    assert_eq!((anthropic.base_url.as_str(), anthropic.api_keys.len()), ("http://127.0.0.1:2", 0));
    assert_eq!((other.dialect, other.continues_answers), (Dialect::Ollama, Some(false)));
    assert_eq!(other.context, Some(Context::Tokens(8192)));
    assert!(matches!(settings.ollama.unwrap().context, Context::Fitting { cache_bytes: 1.. }));
    assert_eq!(other.api_keys, ["one", "two"]);
    let first_token = settings.timeouts["other"].answer.first_token;
    assert_eq!(first_token, Some(std::time::Duration::from_millis(700)));
    assert_eq!(settings.redaction, [("ticket".to_owned(), "TICKET-[0-9]+".to_owned())]);
    assert_eq!((settings.prices.as_path(), settings.metrics), (Path::new("/etc/devmesh/prices.toml"), None));
    let route = &settings.routes[0];
    assert_eq!((route.targets[0].weight, route.egress, route.warm), (3, Egress::Redacted, true));
    let policy = router::Policy {
        balance: router::Balance::Spread,
        retries: 0,
        latency_budget: Some(std::time::Duration::from_millis(1500)),
        first_token_timeout: None,
        max_output_tokens: Some(100),
        temperature: Some((0.0, 0.5)),
        cost_cap_microusd: Some(2000),
        buffered: true,
        enforce_quality: false,
        cache: Some(std::time::Duration::from_secs(60)),
        drift: router::Drift::Flag,
    };
    assert_eq!(route.policy, policy);
}

#[test]
fn a_temperature_that_is_none_is_told_with_its_key() {
    let places = Places::new();
    places.file("user.toml", "[routes.code]\ntargets = [\"ollama/a\"]\nmax_temperature = \"hot\"\n");
    let problems = places.problems(&Environment::default(), &[]);
    assert!(problems.contains("routes.code.max_temperature") && problems.contains("`hot`"), "{problems}");
}

#[test]
fn an_empty_variable_is_not_set() {
    let places = Places::new();
    let (_, settings) = places.load(&Environment::with(&[("API_PORT", ""), ("DEVMESH_URL", "")]), &[]).unwrap();
    assert_eq!((settings.server.port, settings.url), (8080, None));
}

#[test]
fn without_a_home_the_data_folder_has_to_be_named() {
    let problems = Config::load(Environment::default(), Flags::new()).unwrap_err().to_string();
    assert!(problems.contains("--data or DEVMESH_DATA"), "{problems}");
    let named = Config::load(Environment::with(&[("DEVMESH_DATA", "/data")]), Flags::new()).unwrap();
    assert_eq!(named.settings.data, Path::new("/data"));
    assert_eq!(named.settings.embedded.cache, Path::new("/data/cache"));
}

#[test]
fn a_wildcard_address_is_reached_over_loopback() {
    let places = Places::new();
    for (address, reached) in [("0.0.0.0", "127.0.0.1:8080"), ("::", "[::1]:8080"), ("192.168.1.2", "192.168.1.2:8080")]
    {
        let (_, settings) = places.load(&Environment::with(&[("DEVMESH_SERVER__ADDRESS", address)]), &[]).unwrap();
        assert_eq!(settings.local_authority(8080), reached);
    }
}

#[test]
fn a_named_ollama_has_its_own_context_and_another_service_none() {
    let places = Places::new();
    let text =
        |dialect: &str| format!("[providers.mine]\nbase_url = \"http://127.0.0.1:1\"\ndialect = \"{dialect}\"\n");
    for (settings, expected) in [
        (format!("{}[ollama]\ncontext_tokens = 4096\n", text("ollama")), Some(Context::Tokens(4096))),
        (
            format!("{}context_tokens = 1024\n[ollama]\ncontext_tokens = 4096\n", text("ollama")),
            Some(Context::Tokens(1024)),
        ),
        (
            format!("{}[ollama]\ncontext_memory_bytes = 4096\n", text("ollama")),
            Some(Context::Fitting { cache_bytes: 4096 }),
        ),
        (text("openai"), None),
    ] {
        places.file("user.toml", &settings);
        let (_, loaded) = places.load(&Environment::default(), &[]).unwrap();
        assert_eq!(loaded.providers[0].context, expected, "{settings}");
    }
    places.file("user.toml", &format!("{}context_tokens = 1024\n", text("openai")));
    let said = places.problems(&Environment::default(), &[]);
    assert!(said.contains("providers.mine.context_tokens") && said.contains("dialect ollama"), "{said}");
}

#[test]
fn going_on_with_answers_is_refused_where_a_dialect_has_no_words_for_it() {
    let places = Places::new();
    let text = "[providers.mine]\nbase_url = \"http://127.0.0.1:1/v1\"\ndialect = \"openai-responses\"\n";
    places.file("user.toml", &format!("{text}continues_answers = true\n"));
    let said = places.problems(&Environment::default(), &[]);
    assert!(said.contains("providers.mine.continues_answers") && said.contains("openai-responses"), "{said}");
    places.file("user.toml", &format!("{text}continues_answers = false\n"));
    places.load(&Environment::default(), &[]).unwrap();
}

#[test]
fn levels_of_thinking_are_those_that_are_known_and_of_services_that_are_told_one() {
    let places = Places::new();
    let text = |dialect: &str, efforts: &str| {
        format!(
            "[providers.mine]\nbase_url = \"http://127.0.0.1:1/v1\"\ndialect = \"{dialect}\"\nreasoning_efforts = {efforts}\n"
        )
    };
    places.file("user.toml", &text("openai", r#"["high", "xhigh", "gpt-oss:20b=low"]"#));
    let (_, loaded) = places.load(&Environment::default(), &[]).unwrap();
    let expected = EffortsByModel::of(["high", "xhigh", "gpt-oss:20b=low"]).unwrap();
    assert_eq!(loaded.providers[0].efforts, expected);
    for (dialect, efforts, says) in
        [("openai", r#"["m=utmost"]"#, "`utmost` is no level"), ("anthropic", r#"["high"]"#, "dialect openai")]
    {
        places.file("user.toml", &text(dialect, efforts));
        let said = places.problems(&Environment::default(), &[]);
        assert!(said.contains("providers.mine.reasoning_efforts") && said.contains(says), "{said}");
    }
}
