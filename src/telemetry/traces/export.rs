//! Sends spans to a collector, in groups.

use super::names;
use crate::domain::Id;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use opentelemetry::KeyValue;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{SpanData, SpanExporter as _},
};
use prometheus::IntCounter;
use std::{collections::HashMap, time::Duration};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::Instant,
};
use url::Url;

/// The most spans of one request.
const GROUP_MAX: usize = 512;
/// How long spans gather, so that a request has many.
const GATHER: Duration = Duration::from_millis(500);
/// How long the collector may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long the last spans may take when the daemon stops.
const FINISH_MOST: Duration = Duration::from_secs(2);
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

/// The task that sends spans; empty without a collector.
#[derive(Debug, Default)]
pub struct TraceSending(Option<(JoinHandle<()>, oneshot::Sender<()>)>);

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
        let (endpoint, headers) = target_of(endpoint)?;
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_headers(headers)
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
        TraceSending(Some((actix_rt::spawn(self.send_all(stopped)), stop)))
    }

    async fn send_all(mut self, mut stopped: oneshot::Receiver<()>) {
        let (mut is_stopping, mut logged) = (false, None::<Instant>);
        let mut group = Vec::new();
        loop {
            // Wait for a span, then for those that come soon after it.
            let count = tokio::select! {
                biased;
                count = self.waiting.recv_many(&mut group, GROUP_MAX) => count,
                _ = &mut stopped, if !is_stopping => {
                    is_stopping = true;
                    self.waiting.close();
                    continue;
                }
            };
            if count == 0 {
                return;
            }
            if count < GROUP_MAX && !is_stopping {
                tokio::select! {
                    () = tokio::time::sleep(GATHER) => {}
                    _ = &mut stopped => {
                        is_stopping = true;
                        self.waiting.close();
                    }
                }
            }
            while group.len() < GROUP_MAX
                && let Ok(span) = self.waiting.try_recv()
            {
                group.push(span);
            }
            // Send them. A group that does not arrive is not sent again: others wait behind it.
            let count = group.len() as u64;
            if let Err(error) = self.exporter.export(std::mem::take(&mut group)).await {
                self.dropped.inc_by(count);
                if logged.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
                    logged = Some(Instant::now());
                    tracing::warn!(%error, count, "spans did not reach the collector and are dropped (logged once a minute)");
                }
            }
        }
    }
}

/// The URL that spans are posted to, and the header that says user and password: the exporter takes
/// them from no URL.
fn target_of(endpoint: &str) -> Result<(String, HashMap<String, String>), ExporterError> {
    let mut url = Url::parse(endpoint).map_err(|error| ExporterError(error.to_string()))?;
    url.set_path(&format!("{}/v1/traces", url.path().trim_end_matches('/')));
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
    let mut pair = decoded(url.username());
    let password = url.password().map(decoded);
    if pair.is_empty() && password.is_none() {
        return Ok((url.into(), HashMap::new()));
    }
    pair.push(b':');
    pair.extend(password.unwrap_or_default());
    // Both refuse only URLs that cannot have them.
    url.set_username("").ok();
    url.set_password(None).ok();
    let header = ("authorization".to_owned(), format!("Basic {}", STANDARD.encode(pair)));
    Ok((url.into(), HashMap::from([header])))
}

impl TraceSending {
    /// Sends what is there and ends, until `limit` at the latest. Others need time until then, too:
    /// it takes at most half of it, and 2 seconds.
    pub async fn finish(self, limit: Instant) {
        let Some((mut task, stop)) = self.0 else { return };
        let now = Instant::now();
        let most = FINISH_MOST.min(limit.saturating_duration_since(now) / 2);
        // The task has ended already if nothing can make a span.
        stop.send(()).ok();
        if tokio::time::timeout(most, &mut task).await.is_err() {
            tracing::warn!("some spans could not be sent in time");
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_password_of_a_url_become_a_header() {
        let (url, headers) = target_of("http://127.0.0.1:4318").unwrap();
        assert_eq!((url.as_str(), headers.len()), ("http://127.0.0.1:4318/v1/traces", 0));
        let (url, headers) = target_of("https://us%40er:p%3Ass@otel.example.com/x/?key=1").unwrap();
        assert_eq!(url, "https://otel.example.com/x/v1/traces?key=1");
        assert_eq!(headers["authorization"], format!("Basic {}", STANDARD.encode("us@er:p:ss")));
    }
}
