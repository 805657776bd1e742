//! Sends spans to a collector, in groups.

use super::names;
use crate::domain::Id;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter as _},
};
use prometheus::IntCounter;
use std::time::Duration;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::Instant,
};

/// The most spans of one request.
const GROUP_MAX: usize = 512;
/// How long spans gather, so that a request has many.
const GATHER: Duration = Duration::from_millis(500);
/// How long the collector may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A collector that does not answer is said so in the log once in this time.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Why spans cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("`telemetry.otlp_endpoint` cannot be used: {0}")]
pub struct ExporterError(String);

/// Sends the spans that come out of the queue.
#[derive(Debug)]
pub struct TraceExporter {
    exporter: SpanExporter,
    waiting: mpsc::Receiver<SpanData>,
    dropped: IntCounter,
}

/// The task that sends spans.
#[derive(Debug)]
pub struct TraceSending {
    task: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl TraceExporter {
    pub(super) fn new(
        endpoint: &str,
        node: Id,
        waiting: mpsc::Receiver<SpanData>,
        dropped: IntCounter,
    ) -> Result<Self, ExporterError> {
        // Without this, making a client panics. An error only says that it was done before.
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy();
        let client = client.build().map_err(|error| ExporterError(error.to_string()))?;
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(TIMEOUT)
            .build()
            .map_err(|error| ExporterError(error.to_string()))?;
        let attributes = [
            KeyValue::new(names::SERVICE_NAME, names::SCOPE),
            KeyValue::new(names::SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
            KeyValue::new(names::SERVICE_INSTANCE, node.to_string()),
        ];
        let resource =
            Resource::builder_empty().with_schema_url(attributes, names::SCHEMA_URL).build();
        exporter.set_resource(&resource);
        Ok(Self { exporter, waiting, dropped })
    }

    /// Starts to send. Must be called inside an actix system.
    pub fn spawn(self) -> TraceSending {
        let (stop, stopped) = oneshot::channel();
        TraceSending { task: actix_rt::spawn(self.send_all(stopped)), stop }
    }

    async fn send_all(mut self, mut stopped: oneshot::Receiver<()>) {
        let (mut is_stopping, mut logged) = (false, None::<Instant>);
        loop {
            if !is_stopping {
                tokio::select! {
                    () = tokio::time::sleep(GATHER) => {}
                    _ = &mut stopped => {
                        is_stopping = true;
                        self.waiting.close();
                    }
                }
            }
            let mut group = Vec::new();
            if self.waiting.recv_many(&mut group, GROUP_MAX).await == 0 {
                return;
            }
            let count = group.len() as u64;
            if let Err(error) = self.exporter.export(group).await {
                self.dropped.inc_by(count);
                if logged.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
                    logged = Some(Instant::now());
                    tracing::warn!(%error, count, "spans did not reach the collector and are dropped (logged once a minute)");
                }
            }
        }
    }
}

impl TraceSending {
    /// Sends what is there, until `limit` at the latest, and ends.
    pub async fn finish(self, limit: Instant) {
        let Self { mut task, stop } = self;
        // The task has ended already if nothing can make a span.
        stop.send(()).ok();
        if tokio::time::timeout_at(limit, &mut task).await.is_err() {
            tracing::warn!("some spans could not be sent in time");
            task.abort();
        }
    }
}
