//! The hop alone, in half a minute: devmesh beside nginx, both in front of the same nginx, as two ratios.
//!
//! ```text
//!   wrk, one thread ──▶ direct | nginx | devmesh ──▶ nginx with one fixed answer of 1 KB
//! ```
//! `gateway` is the whole of it; this is for before and after a change.

use super::{DEVMESH, DIRECT, FIXED, MANY_CONNECTIONS, NGINX, Nginx, ROUNDS, devmesh, http, http::Site, wrk};
use crate::{
    server::folder,
    summary::{Rounds, print},
};
use anyhow::{Context, Result};

/// Of a request's body: a short prompt with its settings.
const REQUEST_BYTES: usize = 900;

pub async fn run() -> Result<()> {
    let folder = folder()?;
    let upstream = Nginx::fixed_answer(&folder.path().join("upstream"))?;
    let hop = Nginx::hop(&folder.path().join("hop"), upstream.port, true)?;
    let server = devmesh(&folder.path().join("data"), &[(FIXED, upstream.port)]).await?;
    let mesh_port = server.url.rsplit(':').next().context("a URL ends with its port")?.parse()?;
    let sites = [
        Site::new(DIRECT, upstream.port, http::MODEL, ""),
        Site::new(NGINX, hop.port, http::MODEL, ""),
        Site::new(DEVMESH, mesh_port, &format!("fixed/{}", http::MODEL), &server.admin_token()?),
    ]
    .map(|site| site.asking(REQUEST_BYTES));
    let (mut one_us, mut many): ([Rounds; 3], [Rounds; 3]) = Default::default();
    for site in &sites {
        site.check().with_context(|| format!("{} does not take part", site.name))?;
    }
    for _ in 0..ROUNDS {
        for (at, site) in sites.iter().enumerate() {
            one_us[at].0.push(wrk::run(site, folder.path(), 1, || ())?.median_us);
            many[at].0.push(wrk::run(site, folder.path(), MANY_CONNECTIONS, || ())?.per_second);
        }
    }
    for (at, site) in sites.iter().enumerate() {
        print(&format!("{}: p50 at 1 connection", site.name), &one_us[at].line("µs"));
        print(&format!("{}: {MANY_CONNECTIONS} connections", site.name), &many[at].line("requests/s"));
    }
    let [direct_us, nginx_us, own_us] = one_us.map(|rounds| rounds.median());
    let [_, nginx, own] = many.map(|rounds| rounds.median());
    print("devmesh/nginx: requests/s", &format!("{:.2} ×", own / nginx));
    print(
        "devmesh/nginx: added p50 at 1 connection",
        &format!("{:.2} ×", (own_us - direct_us) / (nginx_us - direct_us)),
    );
    Ok(())
}
