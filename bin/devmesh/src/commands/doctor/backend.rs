//! The backend and its port.

use super::{Finding, content};
use crate::{
    context::{Access, Context},
    output::Exit,
    wiring::bind,
};
use domain::Clock;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(3);

/// What there is to say, and whether a backend answers.
pub async fn check(context: &Context, deep: bool) -> (Vec<Finding>, bool) {
    const CHECK: &str = "backend";
    let found = context.access().and_then(|Access { url, token }| {
        let client = client::Client::new(client::Options::new(&url, token))?;
        Ok((url, client))
    });
    let (url, client) = match found {
        Ok(found) => found,
        Err(failure) if failure.exit == Exit::Unreachable => {
            return (vec![Finding::careful(CHECK, failure.what, "devmesh up")], false);
        }
        Err(failure) => return (vec![Finding::bad(CHECK, failure.what, failure.next.unwrap_or_default())], false),
    };
    let asked = Instant::now();
    let version = match tokio::time::timeout(PATIENCE, client.version()).await {
        Ok(Ok(version)) => version,
        Ok(Err(error @ (client::Error::Unreachable { .. } | client::Error::Interrupted { .. }))) => {
            return (vec![Finding::careful(CHECK, error.to_string(), "devmesh up")], false);
        }
        Ok(Err(error)) => {
            let mend = match error.code() {
                Some(domain::ErrorCode::Unauthorized) => {
                    "give the token of that backend with --token-file FILE, or stop it"
                }
                _ => "see what listens there, or choose another port with --port",
            };
            return (vec![Finding::bad(CHECK, error.to_string(), mend)], true);
        }
        Err(_) => {
            return (
                vec![Finding::bad(
                    CHECK,
                    format!("{url} does not answer within {} s", PATIENCE.as_secs()),
                    "look at its log, then start it again",
                )],
                true,
            );
        }
    };
    let here = env!("CARGO_PKG_VERSION");
    let evidence = format!("devmesh {} at {url}, answers in {} ms", version.version, asked.elapsed().as_millis());
    let mut findings = vec![if version.version == here {
        Finding::good(CHECK, evidence)
    } else {
        Finding::careful(CHECK, format!("{evidence}; this program is {here}"), "restart the backend with this program")
    }];
    findings.push(Finding::good("sqlite", version.sqlite));
    findings.push(match client.ready().await {
        Ok(health) if health.problems.is_empty() => Finding::good("writes", health.status),
        Ok(health) => Finding::bad(
            "writes",
            health.problems.join("; "),
            "free some space under the data folder; writing resumes by itself",
        ),
        Err(error) => Finding::bad("writes", error.to_string(), "look at the backend's log"),
    });
    findings.extend(agents(&client).await);
    findings.extend(content::of_backend(&client, deep).await);
    (findings, true)
}

/// A queue nobody works on is what people mistake for a hanging job.
async fn agents(client: &client::Client) -> Option<Finding> {
    const LONG_WAIT_MS: i64 = 60_000;
    let list =
        protocol::ListJobs { state: Some(domain::JobState::Queued), limit: Some(200), ..protocol::ListJobs::default() };
    let page = client.jobs(&list).await.ok()?;
    let (waiting, more) = (page.jobs, if page.next_cursor.is_some() { "+" } else { "" });
    let running = client
        .jobs(&protocol::ListJobs { state: Some(domain::JobState::Running), limit: Some(1), ..list })
        .await
        .ok()?
        .jobs;
    let now = domain::SystemClock.now();
    let stale = waiting.iter().filter(|job| now.as_millis() - job.created_at.as_millis() > LONG_WAIT_MS).count();
    Some(if stale > 0 && running.is_empty() {
        Finding::bad(
            "agents",
            format!("{stale}{more} jobs wait for more than a minute and none is running"),
            "devmesh agent, or devmesh up --agents 1",
        )
    } else {
        Finding::good(
            "agents",
            format!(
                "{}{more} jobs waiting, {} running",
                waiting.len(),
                if running.is_empty() { "none" } else { "some" }
            ),
        )
    })
}

/// Only where no backend of ours answers: then the port should be free.
pub async fn port(context: &Context) -> Finding {
    const CHECK: &str = "port";
    let server = &context.config.settings.server;
    match bind(&context.config.settings).await {
        Ok(_) => Finding::good(CHECK, format!("{} on {} is free", server.port, server.address)),
        Err(failure) => Finding::bad(CHECK, failure.what, failure.next.unwrap_or_default()),
    }
}
