//! Telling a collector of model calls, where one was set.

use router::{
    Error,
    telemetry::{self, Options, Telemetry},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Sends spans from its start until it is stopped.
#[derive(Default)]
pub struct Collecting {
    running: Option<(JoinHandle<()>, CancellationToken)>,
}

impl Collecting {
    pub fn start(options: Option<&Options>) -> Result<(Option<Telemetry>, Self), Error> {
        let Some(options) = options else { return Ok((None, Self::default())) };
        let (telemetry, service) = telemetry::open(options.clone())?;
        let endpoint = &options.endpoint;
        if options.content {
            tracing::warn!(endpoint, "telemetry.content is set: the collector is told prompts and answers too");
        } else {
            tracing::info!(endpoint, "a collector is told of model calls, without prompts and answers");
        }
        let stop = CancellationToken::new();
        let service = tokio::spawn(service.run(stop.clone()));
        Ok((Some(telemetry), Self { running: Some((service, stop)) }))
    }

    /// Sends what waits, within the service's own limit.
    pub async fn stop(self) {
        if let Some((service, stop)) = self.running {
            stop.cancel();
            let _ = service.await;
        }
    }
}
