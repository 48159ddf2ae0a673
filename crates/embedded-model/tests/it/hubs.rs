//! Fetching from a hub and from a registry: what is asked of whom, and what is left when something goes wrong.

mod server;

use crate::files::tiny;
use embedded_model::Error;
use embedded_model::bill::{Entry, File, Kind, Role};
use embedded_model::fetch::{self, Endpoints, Origin, Reference, Step};
use embedded_model::pulled::{self, Pulled, Removed};
use server::{Seen, Servers, Storage, TEMPLATE, TOKEN};
use std::path::Path;
use tempfile::TempDir;

struct Bench {
    servers: Servers,
    cache: TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench { servers: Servers::start(tiny("llama", |_| {})), cache: TempDir::new().unwrap() }
    }

    fn cache(&self) -> &Path {
        self.cache.path()
    }

    fn pull(&self, reference: &str) -> Result<Pulled, Error> {
        self.pull_with(reference, &self.servers.endpoints, &mut |_| {})
    }

    fn pull_with(&self, reference: &str, endpoints: &Endpoints, tell: &mut dyn FnMut(Step)) -> Result<Pulled, Error> {
        let reference = Reference::parse(reference).unwrap().unwrap();
        fetch::fetch_reference(&reference, None, endpoints, self.cache(), tell)
    }

    fn refusal(&self, reference: &str) -> String {
        let error = self.pull(reference).unwrap_err().to_string();
        assert!(pulled::list(self.cache()).is_empty(), "nothing half done is listed");
        error
    }

    fn is_right(&self, record: &Pulled) {
        assert_eq!(record.sha256, self.servers.sha256());
        assert_eq!(std::fs::read(record.path(self.cache())).unwrap(), tiny("llama", |_| {}));
        assert_eq!(pulled::find(self.cache(), &record.name).as_ref(), Some(record));
    }

    fn size(&self) -> u64 {
        tiny("llama", |_| {}).len() as u64
    }
}

const HUB: &str = "hf:owner/repo/tiny.gguf";
const REGISTRY: &str = "ollama:tiny:1b";

fn of_storage(seen: &[Seen]) -> Vec<&Seen> {
    seen.iter().filter(|seen| seen.host.starts_with("localhost")).collect()
}

#[test]
fn a_hubs_file_is_fetched_and_every_host_is_named_before_it_is_asked() {
    let bench = Bench::new();
    let mut steps = Vec::new();
    let record = bench.pull_with(HUB, &bench.servers.endpoints, &mut |step| steps.push(step)).unwrap();
    bench.is_right(&record);
    assert_eq!((record.name.as_str(), record.source.as_str()), ("tiny", HUB));

    let hosts: Vec<&str> = steps
        .iter()
        .filter_map(|step| match step {
            Step::Asks { host } => Some(host.as_str()),
            _ => None,
        })
        .collect();
    let mut asked: Vec<String> = bench.servers.seen().into_iter().map(|seen| seen.host).collect();
    asked.dedup();
    let [hub, storage] = hosts.as_slice() else { panic!("{hosts:?}") };
    assert!(asked.iter().all(|host| host == hub || host == storage), "{asked:?} {hosts:?}");
    let begins = steps.iter().position(|step| matches!(step, Step::Begins { size_bytes, missing_bytes, .. } if size_bytes == missing_bytes && *size_bytes == bench.size()));
    let storage_asked = steps.iter().position(|step| matches!(step, Step::Asks { host } if host == storage));
    assert!(begins.unwrap() < storage_asked.unwrap(), "the size is told before the file is asked for: {steps:?}");

    bench.pull(HUB).unwrap();
    assert!(of_storage(&bench.servers.seen()).is_empty(), "what is here is not fetched again");
}

#[test]
fn a_registrys_model_comes_with_its_licence_template_and_parameters() {
    let bench = Bench::new();
    let record = bench.pull(REGISTRY).unwrap();
    bench.is_right(&record);
    assert_eq!((record.name.as_str(), record.source.as_str()), ("tiny:1b", REGISTRY));
    assert_eq!(record.licence.as_deref(), Some("Apache License, Version 2.0, January 2004"));
    assert_eq!(record.template.as_deref(), Some(TEMPLATE));
    assert_eq!(record.parameters.unwrap()["stop"][0], "<|im_end|>");
}

#[test]
fn both_go_on_where_the_connection_broke() {
    for reference in [HUB, REGISTRY] {
        let bench = Bench::new();
        // The texts beside the weights are shorter and come whole.
        bench.servers.storage(Storage::CutAfter(9_000));
        let record = bench.pull(reference).unwrap();
        bench.is_right(&record);
        let seen = bench.servers.seen();
        let ranges: Vec<Option<String>> = of_storage(&seen)
            .into_iter()
            .filter(|seen| seen.path.contains(bench.servers.sha256()))
            .map(|seen| seen.range.clone())
            .collect();
        assert_eq!(ranges[..3], [None, Some("bytes=9000-".to_owned()), Some("bytes=18000-".to_owned())], "{reference}");
        assert_eq!(ranges.len() as u64, bench.size().div_ceil(9_000), "nothing came twice");
    }
}

#[test]
fn what_one_source_began_another_one_ends() {
    let bench = Bench::new();
    let half = (bench.size() / 2) as usize;
    let staging = bench.cache().join("staging");
    std::fs::create_dir_all(&staging).unwrap();
    let partial = staging.join(format!("{}.partial", bench.servers.sha256()));
    std::fs::write(partial, &tiny("llama", |_| {})[..half]).unwrap();
    let mut missing = None;
    let record = bench.pull_with(REGISTRY, &bench.servers.endpoints, &mut |step| {
        if let Step::Begins { missing_bytes, .. } = step {
            missing = Some(missing_bytes);
        }
    });
    bench.is_right(&record.unwrap());
    assert_eq!(missing, Some(bench.size() - half as u64));
    // The other name finds the same file here.
    bench.servers.seen();
    let other = bench.pull(HUB).unwrap();
    assert!(of_storage(&bench.servers.seen()).is_empty());
    assert_eq!(pulled::remove(bench.cache(), &other).unwrap(), Removed::Shared("tiny:1b".into()));
}

#[test]
fn a_server_without_ranges_sends_all_of_it_again() {
    let bench = Bench::new();
    let staging = bench.cache().join("staging");
    std::fs::create_dir_all(&staging).unwrap();
    std::fs::write(staging.join(format!("{}.partial", bench.servers.sha256())), b"GGUF").unwrap();
    bench.servers.storage(Storage::WithoutRanges);
    bench.is_right(&bench.pull(HUB).unwrap());
}

#[test]
fn a_changed_file_never_gets_the_final_name() {
    for reference in [HUB, "ollama:tiny:1b"] {
        let bench = Bench::new();
        bench.servers.storage(Storage::Changed);
        let error = bench.refusal(reference);
        assert!(error.contains("sha256"), "{error}");
        let models = bench.cache().join("models");
        assert!(!models.exists() || std::fs::read_dir(models).unwrap().next().is_none());
        bench.servers.storage(Storage::Whole);
        bench.is_right(&bench.pull(reference).unwrap());
    }
}

#[test]
fn a_token_is_shown_to_the_hub_and_not_to_its_storage() {
    let bench = Bench::new();
    let endpoints = Endpoints { hub_token: Some(TOKEN.into()), ..bench.servers.endpoints.clone() };
    let record = bench.pull_with("hf:owner/gated/tiny.gguf", &endpoints, &mut |_| {}).unwrap();
    bench.is_right(&record);
    let seen = bench.servers.seen();
    let (storage, hub): (Vec<&Seen>, Vec<&Seen>) = seen.iter().partition(|seen| seen.host.starts_with("localhost"));
    assert!(!storage.is_empty() && storage.iter().all(|seen| seen.token.is_none()), "{storage:?}");
    assert!(!hub.is_empty() && hub.iter().all(|seen| seen.token.is_some()), "{hub:?}");
}

#[test]
fn a_renamed_repository_is_followed() {
    let bench = Bench::new();
    bench.is_right(&bench.pull("hf:old/repo/tiny.gguf").unwrap());
}

#[test]
fn what_cannot_be_had_is_told_in_words_one_can_act_on() {
    let bench = Bench::new();
    for (reference, words) in [
        ("hf:owner/gated/tiny.gguf", &["gated", "HF_TOKEN", "owner/gated"][..]),
        ("hf:nobody/nothing/tiny.gguf", &["HF_TOKEN", "nobody/nothing", "not there"]),
        ("hf:owner/repo/other.gguf", &["owner/repo has no file other.gguf", "404"]),
        ("hf:owner/small/tiny.gguf", &["x-linked-etag", "verified"]),
        ("ollama:nothing:1b", &["nothing:1b", "manifest unknown"]),
        ("ollama:newer", &["412", "newer version of Ollama"]),
    ] {
        let error = bench.refusal(reference);
        assert!(words.iter().all(|word| error.contains(word)), "{reference}: {error}");
    }
    let endpoints = Endpoints { hub_token: Some("another".into()), ..bench.servers.endpoints.clone() };
    let error = bench.pull_with("hf:owner/gated/tiny.gguf", &endpoints, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("this token") && error.contains("gated"), "{error}");
}

#[test]
fn a_host_that_is_not_there_is_named_at_once() {
    let bench = Bench::new();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let base = format!("http://127.0.0.1:{port}");
    let endpoints = Endpoints { hub: base.clone(), registry: base, hub_token: None };
    for reference in [HUB, REGISTRY] {
        let error = bench.pull_with(reference, &endpoints, &mut |_| {}).unwrap_err();
        assert!(matches!(&error, Error::Unreachable { host, .. } if host.ends_with(&port.to_string())), "{error}");
    }
}

fn known(bench: &Bench) -> Entry {
    Entry {
        name: "tiny".into(),
        role: Role::Chat,
        architecture: "llama".into(),
        parameters: 1,
        quantization: "F32".into(),
        licence: "none".into(),
        notice: "a test".into(),
        files: vec![File {
            kind: Kind::Weights,
            extension: "gguf".into(),
            sha256: bench.servers.sha256().into(),
            size_bytes: bench.size(),
            vendor: Some(HUB.parse().unwrap()),
            parts: Vec::new(),
        }],
    }
}

#[test]
fn a_known_model_comes_from_its_vendor() {
    let bench = Bench::new();
    let entry = known(&bench);
    bench.servers.storage(Storage::CutAfter(9_000));
    let endpoints = &bench.servers.endpoints;
    let path = fetch::fetch_from(&entry, Origin::Any, endpoints, bench.cache(), &mut |_| {}).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), tiny("llama", |_| {}));
    assert!(bench.servers.seen().iter().all(|seen| seen.token.is_none()));
}

#[test]
fn a_vendors_file_of_another_size_is_refused_at_once() {
    let bench = Bench::new();
    let mut entry = known(&bench);
    entry.files[0].size_bytes += 1;
    let endpoints = &bench.servers.endpoints;
    let error =
        fetch::fetch_from(&entry, Origin::Vendor, endpoints, bench.cache(), &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("it was changed") && error.contains("should have"), "{error}");
}
