//! What a hop through the gateway costs, beside the plain hop of nginx and beside other gateways.
//!
//! ```text
//!   wrk, open loop ──▶ direct | nginx | devmesh | LiteLLM | Portkey ──▶ nginx with one fixed answer
//!   streams, leaving ─▶ direct | nginx | devmesh ──────────────────────▶ a talker of our own
//! ```
//! All in one run on one machine, in turns, so that what else the machine does hits everybody alike. Whoever cannot take
//! part is named with the reason.

mod alone;
mod cancel;
mod fixed_rate;
pub mod hop;
mod http;
mod nginx;
mod peers;
mod process;
mod streams;
mod talker;
mod verdict;
mod wrk;

use crate::{
    server::{Server, folder},
    summary::{Rounds, print, shown},
};
use anyhow::{Context, Result};
use http::Site;
use nginx::Nginx;
use std::{collections::BTreeMap, path::Path, time::Duration};
use talker::Talker;
use verdict::Verdicts;

const ROUNDS: usize = 5;
const MANY_CONNECTIONS: usize = 32;
const DIRECT: &str = "direct";
const NGINX: &str = "nginx";
const DEVMESH: &str = "devmesh";
const LITELLM: &str = "LiteLLM";
const PORTKEY: &str = "Portkey";
/// Our name for the upstream with the fixed answer, and for the one that talks.
const FIXED: &str = "FIXED";
const TALKER: &str = "TALKER";

/// Of one contestant, over all rounds.
#[derive(Default)]
struct Figures {
    /// Median time at one connection, in microseconds.
    one_us: Rounds,
    /// Requests per second at many connections.
    many: Rounds,
    /// 99 of 100 at the fixed rate are faster, in microseconds.
    rate_p99_us: Rounds,
}

pub async fn run() -> Result<()> {
    if !alone::is_inside() {
        match tokio::task::block_in_place(|| alone::run(&["gateway"])) {
            Err(alone::Failure::NoNetwork(why)) => println!("  without a network of our own: {why}"),
            done => return Ok(done?),
        }
    }
    let folder = folder()?;
    let (upstream, talker) = (Nginx::fixed_answer(&folder.path().join("upstream"))?, Talker::start()?);
    let hop = Nginx::hop(&folder.path().join("hop"), upstream.port, true)?;
    let stream_hop = Nginx::hop(&folder.path().join("stream-hop"), talker.port, false)?;
    let server = devmesh(&folder.path().join("data"), &[(FIXED, upstream.port), (TALKER, talker.port)]).await?;
    let token = server.admin_token()?;
    let mesh_port: u16 = server.url.rsplit(':').next().context("a URL ends with its port")?.parse()?;

    let mut sites = vec![
        Site::new(DIRECT, upstream.port, http::MODEL, ""),
        Site::new(NGINX, hop.port, http::MODEL, ""),
        Site::new(DEVMESH, mesh_port, &format!("fixed/{}", http::MODEL), &token),
    ];
    println!("  LiteLLM takes some ten seconds to start …");
    let litellm = peers::litellm(&folder.path().join("litellm"), upstream.port);
    match &litellm {
        Ok(peer) => sites.push(Site::new(LITELLM, peer.port, http::MODEL, &peer.token)),
        Err(why) => println!("  skipped: {LITELLM}: {why:#}"),
    }
    let portkey = peers::portkey(&folder.path().join("portkey"));
    match &portkey {
        Ok(peer) => {
            let site = Site::new(PORTKEY, peer.port, http::MODEL, &peer.token);
            sites.push(site.with(peers::portkey_headers(upstream.port)));
        }
        Err(why) => println!("  skipped: {PORTKEY}: {why:#}"),
    }
    sites.retain(|site| match site.check() {
        Ok(()) => true,
        Err(why) => {
            println!("  skipped: {}: {why:#}", site.name);
            false
        }
    });

    let mut figures: BTreeMap<&str, Figures> = BTreeMap::new();
    let mut resident = Rounds::default();
    for round in 1..=ROUNDS {
        println!("  round {round} of {ROUNDS}");
        for site in &sites {
            let of_site = figures.entry(site.name).or_default();
            of_site.one_us.0.push(wrk::run(site, folder.path(), 1, || ())?.median_us);
            let sample = || {
                if site.name == DEVMESH {
                    resident.0.extend(server.resident_mib());
                }
            };
            of_site.many.0.push(wrk::run(site, folder.path(), MANY_CONNECTIONS, sample)?.per_second);
            // What cannot do it is not asked to: it would only fall behind for seconds.
            if of_site.many.median() > 1.2 * fixed_rate::PER_SECOND as f64 {
                let times = tokio::task::block_in_place(|| fixed_rate::run(site))?;
                of_site.rate_p99_us.0.push(times.quantile(0.99).as_secs_f64() * 1e6);
            }
        }
    }

    let mut verdicts = Verdicts::default();
    tell(&sites, &figures, &resident, &mut verdicts);
    let talkers = [
        Site::new(DIRECT, talker.port, "", ""),
        Site::new(NGINX, stream_hop.port, "", ""),
        Site::new(DEVMESH, mesh_port, "talker/", &token),
    ];
    tokio::task::block_in_place(|| {
        stream(&talkers, &talker, &mut verdicts)?;
        leave(&talkers, &talker, &mut verdicts)
    })?;
    verdicts.print();
    Ok(())
}

async fn devmesh(data: &Path, providers: &[(&str, u16)]) -> Result<Server> {
    let variables: Vec<(String, String)> = providers
        .iter()
        .flat_map(|(name, port)| {
            [
                (format!("DEVMESH_PROVIDERS__{name}__BASE_URL"), format!("http://127.0.0.1:{port}/v1")),
                (format!("DEVMESH_PROVIDERS__{name}__LOCATION"), "local".to_owned()),
                // All streams at once; the default keeps some for others.
                (format!("DEVMESH_PROVIDERS__{name}__CONCURRENCY"), "1000".to_owned()),
            ]
        })
        .chain([("DEVMESH_EMBEDDED__ENABLED".to_owned(), "false".to_owned())])
        .collect();
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Server::start_with(data, &variables).await
}

fn tell(sites: &[Site], figures: &BTreeMap<&str, Figures>, resident: &Rounds, verdicts: &mut Verdicts) {
    let of = |name: &str| figures.get(name);
    let direct_us = of(DIRECT).map_or(0.0, |figures| figures.one_us.median());
    let direct_p99 = of(DIRECT).map_or(0.0, |figures| figures.rate_p99_us.median());
    println!("  one hop, 1 KB body");
    for site in sites {
        let Some(own) = of(site.name) else { continue };
        print(&format!("{}: p50 at 1 connection", site.name), &own.one_us.line("µs"));
        print(&format!("{}: {MANY_CONNECTIONS} connections", site.name), &own.many.line("requests/s"));
        if own.rate_p99_us.0.is_empty() {
            print(&format!("{}: p99 at {}/s", site.name, fixed_rate::PER_SECOND), "cannot keep that rate");
        } else {
            print(&format!("{}: p99 at {}/s", site.name, fixed_rate::PER_SECOND), &own.rate_p99_us.line("µs"));
        }
    }
    let Some(own) = of(DEVMESH) else { return };
    let added = |figures: &Figures| figures.one_us.median() - direct_us;
    verdicts.at_most("added p50 at 1 connection", added(own), 100.0, "µs");
    if let Some(nginx) = of(NGINX) {
        verdicts.at_most("added p50 over what nginx adds", added(own) / added(nginx), 2.5, "×");
        verdicts.at_least("requests/s over nginx's, 32 connections", own.many.median() / nginx.many.median(), 0.4, "×");
    }
    if let Some(litellm) = of(LITELLM) {
        let ratio = own.many.median() / litellm.many.median();
        verdicts.at_least("requests/s over LiteLLM's, 32 connections", ratio, 100.0, "×");
        print("LiteLLM adds at 1 connection", &format!("{:.0} µs p50", added(litellm)));
    }
    if let Some(portkey) = of(PORTKEY) {
        let ratio = own.many.median() / portkey.many.median();
        print("requests/s over Portkey's, 32 connections", &format!("{ratio:.1} ×"));
        print("Portkey adds at 1 connection", &format!("{:.0} µs p50", added(portkey)));
    }
    if own.rate_p99_us.0.is_empty() {
        verdicts.missed("p99 over direct at 3,000/s", "it cannot keep that rate");
    } else {
        verdicts.at_most("p99 over direct at 3,000/s", own.rate_p99_us.median() - direct_p99, 400.0, "µs");
    }
    if !resident.0.is_empty() {
        let most = resident.0.iter().copied().fold(0.0, f64::max);
        verdicts.at_most("resident under load, the most seen", most, 80.0, "MiB");
    }
}

fn stream(sites: &[Site], talker: &Talker, verdicts: &mut Verdicts) -> Result<()> {
    println!("  {} streams of {} chunks a second each", streams::STREAMS, talker::CHUNKS_PER_SECOND);
    let mut stretch: BTreeMap<&str, Rounds> = BTreeMap::new();
    for _ in 0..streams::ROUNDS {
        for site in sites {
            match streams::run(site, talker) {
                Ok(times) => {
                    print(&format!("{}: sent → received", site.name), &times.delay.line());
                    print(&format!("{}: gap longer than sent", site.name), &times.stretch.line());
                    let p99 = times.stretch.quantile(0.99).as_secs_f64() * 1e6;
                    stretch.entry(site.name).or_default().0.push(p99);
                }
                Err(why) => println!("  skipped: streams through {}: {why:#}", site.name),
            }
        }
    }
    match (stretch.get(DIRECT), stretch.get(DEVMESH)) {
        (Some(direct), Some(own)) => {
            verdicts.at_most("added inter-chunk p99, 500 streams", own.median() - direct.median(), 200.0, "µs");
        }
        _ => verdicts.missed("added inter-chunk p99, 500 streams", "not measured"),
    }
    Ok(())
}

fn leave(sites: &[Site], talker: &Talker, verdicts: &mut Verdicts) -> Result<()> {
    println!("  a caller leaves → the upstream sees its connection close");
    let mut worst: Option<Duration> = None;
    for site in sites {
        for way in cancel::WAYS {
            match cancel::run(site, talker, &way) {
                Ok(times) => {
                    print(&format!("{}: {}", site.name, way.name), &times.line());
                    if site.name == DEVMESH {
                        worst = worst.max(Some(times.quantile(0.99)));
                    }
                }
                Err(why) => println!("  skipped: {} of {}: {why:#}", way.name, site.name),
            }
        }
    }
    match worst {
        Some(worst) => {
            print("devmesh: the worst p99 of these", &shown(worst));
            verdicts.at_most("leave → upstream closed, p99", worst.as_secs_f64() * 1e3, 100.0, "ms");
        }
        None => verdicts.missed("leave → upstream closed, p99", "not measured"),
    }
    Ok(())
}
