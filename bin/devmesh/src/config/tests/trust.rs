//! Whose word counts for what: the working folder's file, tokens under other names, and secrets beside addresses.

use super::Places;
use crate::config::{
    Candidate, Environment, KEYS, Key, Origin, Problems, Settable, Settings, Sources, Value, key::Kind, resolve,
};
use nix::{sys::stat::Mode, unistd::mkfifo};
use std::{fs, os::unix::fs::symlink, path::Path};

/// What may come with a clone. A key that is added here decides neither where anything goes, nor who may come in, nor what
/// runs or is kept.
const HARMLESS: [&str; 5] =
    ["ollama.context_tokens", "embedded.threads", "embedded.context_tokens", "embedded.idle_s", "log.format"];

/// Something that fits.
fn example(key: &Key) -> String {
    match key.kind {
        Kind::Text | Kind::Secret => "\"stranger\"".into(),
        Kind::Path => "\"/tmp/stranger\"".into(),
        Kind::Url => "\"http://stranger.example:1/v1\"".into(),
        Kind::Address => "\"0.0.0.0\"".into(),
        Kind::Integer { min, max } => format!("{}", (min + 1).min(max)),
        Kind::Fraction => "0.5".into(),
        Kind::Boolean => "true".into(),
        Kind::OneOf(names) => format!("{:?}", names.last().unwrap()),
        Kind::List => "[\"stranger.example\"]".into(),
    }
}

fn everything(settings: &Settings) -> String {
    let Settings { url, token, server, jobs, agents, ollama, providers, routes, timeouts, redaction, .. } = settings;
    let Settings { data, prices, metrics, telemetry, embedded, log, unused, .. } = settings;
    format!(
        "{data:?} {url:?} {token:?} {server:?} {jobs:?} {agents:?} {ollama:?} {providers:?} {routes:?} {timeouts:?} \
         {redaction:?} {prices:?} {metrics:?} {telemetry:?} {embedded:?} {log:?} {unused:?}"
    )
}

#[test]
fn a_file_in_the_working_folder_sets_nothing_but_the_few_harmless_keys() {
    let open: Vec<_> =
        KEYS.iter().filter(|key| key.settable == Settable::ByWorkingFolder).map(|key| key.name).collect();
    assert_eq!(open, HARMLESS);
    let places = Places::new();
    let untouched = everything(&places.load(&Environment::default(), &[]).unwrap().1);
    for key in KEYS {
        let name = key.name.replace('*', "mine");
        places.file("here.toml", &format!("\n{name} = {}\n", example(key)));
        let (resolved, settings, warnings) = places.load_and_warn(&Environment::default());
        if HARMLESS.contains(&key.name) {
            let winner = &resolved.candidates(&name).last().unwrap().origin;
            assert!(matches!(winner, Origin::WorkingFolder { line: 2, .. }), "{name}: {winner}");
            assert_eq!(warnings, Vec::<String>::new(), "{name}");
            continue;
        }
        assert_eq!(everything(&settings), untouched, "{name}");
        let [warning] = &warnings[..] else { panic!("{name}: {warnings:?}") };
        for wanted in
            ["here.toml:2: ", &format!("`{name}` is ignored"), "with a clone", "user.toml", "DEVMESH_", "--set"]
        {
            assert!(warning.contains(wanted), "{name}: no {wanted} in {warning}");
        }
        let ignored: Vec<_> = resolved.ignored(&name).collect();
        assert_eq!(ignored.len(), 1, "{name}");
        assert_eq!(ignored[0].shown == "***", key.is_secret(), "{name}");
    }
}

#[test]
fn a_file_that_the_working_folder_names_is_not_opened() {
    let places = Places::new();
    let fifo = places.folder.path().join("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    for key in KEYS.iter().filter(|key| key.is_secret()) {
        let name = key.name.replace('*', "mine");
        places.file("here.toml", &format!("{name}_file = {fifo:?}\n"));
        let (resolved, settings, warnings) = places.load_and_warn(&Environment::default());
        assert!(settings.token.is_none() && settings.providers.is_empty(), "{name}");
        assert!(warnings[0].contains(&format!("`{name}` is ignored")) && warnings[0].contains("_FILE"), "{warnings:?}");
        assert_eq!(resolved.ignored(&name).next().unwrap().shown, "***");
    }
}

#[test]
fn what_the_user_said_holds_against_the_working_folder() {
    let places = Places::new();
    places
        .file("user.toml", "anthropic.base_url = \"http://127.0.0.1:2\"\n[routes.code]\ntargets = [\"ollama/a\"]\n")
        .file(
            "here.toml",
            "anthropic.base_url = \"http://stranger.example\"\n[routes.code]\negress = \"allowed\"\n\
             [redaction]\nticket = \"nothing\"\n[log]\nformat = \"json\"\n",
        );
    let environment = Environment::with(&[("ANTHROPIC_API_KEY", "sk-ant"), ("DEVMESH_REDACTION__TICKET", "T-[0-9]+")]);
    let (_, settings, warnings) = places.load_and_warn(&environment);
    assert_eq!(settings.providers[0].base_url, "http://127.0.0.1:2");
    assert_eq!(settings.routes[0].egress, protocol::Egress::LocalOnly);
    assert_eq!(settings.redaction, [("ticket".to_owned(), "T-[0-9]+".to_owned())]);
    assert!(settings.log.json, "what is harmless counts");
    assert_eq!(warnings.len(), 3, "{warnings:?}");
}

#[test]
fn nothing_in_the_working_folder_stops_the_program() {
    let places = Places::new();
    let path = places.folder.path().join("here.toml");
    let expect = |wanted: &str| {
        let (_, settings, warnings) = places.load_and_warn(&Environment::default());
        assert!(warnings.iter().any(|warning| warning.contains(wanted)), "no {wanted} in {warnings:?}");
        settings
    };
    places.file("here.toml", "[server\nport = 1\n[embedded]\nthreads = \"all\"\n[colour]\nx = 1\n");
    expect("here.toml:1: unclosed table");
    expect("here.toml:4: embedded.threads: expected a whole number");
    expect("here.toml:6: there is no key `colour.x`");
    // Somebody else's command line is not ours to guess at.
    places.file("here.toml", &format!("\"{}\" = 1\n", "x".repeat(50_000)));
    expect("there is no key");
    places.file("here.toml", &"#\n".repeat(64 * 1024));
    expect("larger than");
    places.file("here.toml", &(0..8_000).map(|number| format!("k{number}=1\n")).collect::<String>());
    expect("sets 8000 keys");
    expect("more like these");
    // Deeper than any stack is, were it followed.
    for deep in [format!("x = {}", "[".repeat(60_000)), format!("{}x = 1", "a.".repeat(30_000)), "[a".repeat(30_000)] {
        places.file("here.toml", &deep);
        expect("here.toml");
    }
    fs::write(&path, b"log.format = \"\xff\"\n").unwrap();
    expect("cannot be read");

    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    expect("it is a folder, not a regular file");
    fs::remove_dir(&path).unwrap();
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    expect("it is a FIFO, not a regular file");
    for device in ["/dev/zero", "/dev/tty"] {
        fs::remove_file(&path).unwrap();
        symlink(device, &path).unwrap();
        expect("here.toml: cannot be read");
    }
    fs::remove_file(&path).unwrap();
    symlink("here.toml", &path).unwrap();
    let settings = expect("cannot be read");
    assert_eq!(settings.server.port, 8080);
}

#[test]
fn a_file_of_the_users_must_be_a_file_too_and_a_mistake_in_it_stops_everything() {
    let places = Places::new();
    mkfifo(&places.folder.path().join("user.toml"), Mode::S_IRWXU).unwrap();
    mkfifo(&places.folder.path().join("key"), Mode::S_IRWXU).unwrap();
    let key = places.folder.path().join("key").display().to_string();
    let problems = places.problems(&Environment::with(&[("OPENAI_API_KEY_FILE", &key)]), &[]);
    assert!(problems.contains("user.toml: cannot be read: it is a FIFO"), "{problems}");
    assert!(problems.contains("cannot read the secret from `key`: it is a FIFO"), "{problems}");
}

#[test]
fn a_link_to_the_users_own_file_is_the_users_own_file() {
    let places = Places::new();
    places.file("user.toml", "url = \"http://127.0.0.1:9\"\nserver.port = 9001\n");
    for link in ["user.toml", "./user.toml"] {
        let path = places.folder.path().join("here.toml");
        let _ = fs::remove_file(&path);
        symlink(link, &path).unwrap();
        let (_, settings, warnings) = places.load_and_warn(&Environment::default());
        assert_eq!((settings.url.as_deref(), settings.server.port), (Some("http://127.0.0.1:9"), 9001));
        assert!(warnings.is_empty(), "it is read once: {warnings:?}");
    }
    // A copy is a stranger's word, whatever it says.
    fs::remove_file(places.folder.path().join("here.toml")).unwrap();
    fs::copy(places.folder.path().join("user.toml"), places.folder.path().join("here.toml")).unwrap();
    assert_eq!(places.load_and_warn(&Environment::default()).2.len(), 2);
}

#[test]
fn paths_in_a_file_are_seen_from_the_file() {
    let places = Places::new();
    places.file("key", "sk-from-file\n").file(
        "user.toml",
        "token_file = \"key\"\ndata = \"mesh\"\nprices.file = \"/abs/prices.toml\"\n[agents]\nworkspaces = \"copies\"\n",
    );
    let (_, settings) = places.load(&Environment::default(), &[]).unwrap();
    let folder = places.folder.path();
    assert_eq!(settings.token.as_deref(), Some("sk-from-file"));
    assert_eq!((settings.data, settings.agents.workspaces), (folder.join("mesh"), folder.join("copies")));
    assert_eq!(settings.prices, Path::new("/abs/prices.toml"));
}

#[test]
fn a_token_of_a_mesh_is_nobodys_key() {
    let places = Places::new();
    let token = "dm_admin_0123456789012345678901234567890123456789012";
    places.file("key", token).file(
        "user.toml",
        &format!(
            "anthropic.api_key = \"sk-ant, {token}\"\n[providers.mine]\nbase_url = \"http://127.0.0.1:1\"\n\
             api_key_file = \"key\"\n[telemetry]\notlp_endpoint = \"http://127.0.0.1:4318\"\n\
             otlp_headers = \"authorization=Bearer%20{token}\"\n"
        ),
    );
    let environment = Environment::with(&[("OPENAI_API_KEY", token), ("DEVMESH_TOKEN", token)]);
    let (resolved, settings, warnings) = places.load_and_warn(&environment);
    assert_eq!(settings.token.as_deref(), Some(token), "where it belongs");
    let [mine] = &settings.providers[..] else { panic!("{:?}", settings.providers) };
    assert!(mine.name == "mine" && mine.api_keys.is_empty());
    assert!(settings.telemetry.unwrap().headers.is_empty());
    let ignored = ["anthropic.api_key", "openai.api_key", "providers.mine.api_key", "telemetry.otlp_headers"];
    assert!(ignored.iter().all(|name| resolved.ignored(name).count() == 1));
    assert_eq!(warnings.len(), ignored.len());
    assert!(
        warnings.iter().any(|warning| warning.starts_with("environment OPENAI_API_KEY: `openai.api_key` is ignored"))
    );
    assert!(!warnings.iter().any(|warning| warning.contains(token)), "no warning shows a secret");

    // A weaker place's own key takes its place.
    places.file("user.toml", "openai.api_key = \"sk-mine\"\n");
    let (_, settings, _) = places.load_and_warn(&environment);
    assert_eq!(settings.providers[0].api_keys, ["sk-mine"]);
    // Nothing of the kind is in these.
    for key in ["sk-dm_admin_x", "adm_x", "dmx", "gsk_dm"] {
        let (_, settings, warnings) = places.load_and_warn(&Environment::with(&[("OPENAI_API_KEY", key)]));
        assert_eq!((settings.providers[0].api_keys.as_slice(), warnings.len()), (&[key.to_owned()][..], 0));
    }
}

#[test]
fn a_secret_meets_no_address_of_a_place_that_is_trusted_less() {
    let said = |text: &str, origin: Origin| Candidate { value: Value::Text(text.into()), origin };
    let stranger = || Origin::WorkingFolder { path: "devmesh.toml".into(), line: 1 };
    let user = || Origin::Environment("DEVMESH_TOKEN".into());
    let pair = |address: Option<Origin>, secret: Origin| {
        let address = address.map(|origin| ("url", said("http://somewhere", origin)));
        let sources = Sources::of(address.into_iter().chain([("token", said("secret", secret))]));
        let resolved = resolve(&sources, &mut Problems::default());
        assert_eq!(resolved.text("token"), None, "no other way leads to a secret");
        resolved.pair("url", "token").secret.map(str::to_owned)
    };
    assert_eq!(pair(Some(stranger()), user()), None);
    for address in [Some(user()), Some(Origin::Default), None, Some(Origin::Flag("--url".into()))] {
        assert_eq!(pair(address, user()).as_deref(), Some("secret"));
    }
    assert_eq!(pair(Some(stranger()), stranger()).as_deref(), Some("secret"), "its own, to its own");
}

#[test]
fn what_agents_may_be_about_is_told_exactly() {
    let places = Places::new();
    places.file("user.toml", "[agents]\nroots = [\"/srv/projects\"]\nremotes = [\"https://github.com/\"]\nrequire = [\"landlock\"]\njob_disk_bytes = 2097152\nmemory_bytes = 33554432\n");
    let agents = places.load(&Environment::default(), &[]).unwrap().1.agents;
    assert_eq!(agents.roots, [Path::new("/srv/projects")]);
    assert_eq!((agents.remotes, agents.require), (vec!["https://github.com/".to_owned()], vec!["landlock".to_owned()]));
    assert_eq!((agents.job_disk_bytes, agents.memory_bytes), (2 << 20, Some(32 << 20)));
    assert_eq!((agents.workspaces_bytes, agents.reserve_bytes), (20 << 30, 1 << 30));

    for (wrong, told) in [
        ("roots = [\"projects\"]", "`projects` is not an absolute path"),
        ("roots = [\"/a,/b\"]", "without commas"),
        ("remotes = [\"https://github.com\"]", "`https://github.com` is no beginning"),
        ("remotes = [\"https://github.com@stranger.example/\"]", "is no beginning"),
        ("remotes = [\"/srv/git\"]", "`/srv/git` is no beginning"),
    ] {
        places.file("user.toml", &format!("[agents]\n{wrong}\n"));
        let problems = places.problems(&Environment::default(), &[]);
        assert!(problems.contains("user.toml:2") && problems.contains(told), "{problems}");
    }
    places.file("user.toml", "");
    let agents = places.load(&Environment::default(), &[]).unwrap().1.agents;
    assert!(agents.roots.is_empty() && agents.remotes.is_empty() && agents.require.is_empty());
    #[cfg(target_os = "linux")]
    assert!(agents.memory_bytes.unwrap() > 16 << 20);
}
