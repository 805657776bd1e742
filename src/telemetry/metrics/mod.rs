//! The metrics of the daemon. Each is declared once, here or (for the HTTP server) in
//! [`super::http_metrics`].
//!
//! All names start with `postroom_`, except those of the process. Label values are bounded:
//! channels, kinds, outcomes and types of actors, never client ids. Each series exists from the
//! start, so that the first event shows as a rise. Values that a scrape has to look up are gauges,
//! which the HTTP handler sets right before [`Metrics::render`]; what is read from the database is
//! in [`super::shared_metrics`].
//!
//! Hot code should take a handle once ([`Metrics::webhook`], [`Metrics::kind`]) and keep it: its
//! labels are resolved, so that counting is an atomic addition.

use super::{
    config_metrics::ConfigMetrics, database_metrics::DatabaseMetrics, http_metrics::HttpFamilies,
    model_metrics::ModelMetrics, page_metrics::PageMetrics, rates::Throughput,
    shared_metrics::SharedMetrics,
};
use crate::domain::{ChannelName, JobKind, Timestamp, sending::DeliveryStatus};
use prometheus::{
    Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};
use std::{sync::Arc, time::Duration};

/// The content type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

const PREFIX: &str = "postroom";
const CHANNEL: &[&str] = &["channel"];
const OUTCOME: &[&str] = &["channel", "outcome"];
const KIND: &[&str] = &["kind"];
const BACKING_OFF: &str =
    "Slots of this node that wait for their restart; as many as `pool_size`: paused";
const LOST: &str = "Threads of this node held by handlers that never yield";
const HANDED_OFF: &str = "Jobs that were stored as running, and started without a claim";
const NO_ROOM: &str = "Answered 429 because the client's quarantine is full";
const ANALYST: &[&str] = &["provider", "outcome"];
const DRAFTS: &str = "Drafts by what became of them: written (pending), approved, rejected or superseded; \
    deliveries_total has what was sent";
const PAUSED: &str = "1 while no job of the kind starts on this node";
const OVERRIDDEN: &str = "1 while an override applies on this node";
const UNANSWERED: &str = "Bytes of the webhooks that this node has not answered yet";
const CANARY: &str = "The last canary job of this node: enqueued to ended";
const DELIVERIES: &str = "Sends that ended, by outcome";
const QUEUED: &str = "Messages that wait on this node";
const READY: &str = "1 while this node is ready: /readyz answers 200";
const CANARY_AT: &str = "When a canary job of this node last came back; 0 until the first has";

/// The types of actors, as the board spells them.
const ACTOR_TYPES: [&str; 7] =
    ["guardian", "supervisor", "ingest", "handler", "recorder", "janitor", "listener"];

/// What a node does, as `serve --role` spells it.
pub(super) const ROLES: [&str; 3] = ["all", "ingest", "worker"];
/// What can become of a draft that nobody has sent.
pub const DRAFT_OUTCOMES: [&str; 4] = ["pending", "approved", "rejected", "superseded"];
/// How a delivery can end.
const DELIVERY_OUTCOMES: [&str; 3] = ["sent", "failed", "uncertain"];
/// Who answers as an analyst, and how it ends.
const ANALYSTS: [&str; 2] = ["local", "openai"];
const ANALYST_OUTCOMES: [&str; 4] = ["ok", "away", "unusable", "paused"];

/// Buckets for the durations of single steps, in seconds: half a millisecond to a minute.
pub(super) const SECONDS: &[f64] = &[
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];
/// Buckets for times in a queue, in seconds: a millisecond to an hour, in which a backlog is run.
pub(super) const WAITS: &[f64] = &[
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    300.0, 900.0, 3_600.0,
];
/// Buckets for the number of messages in a transaction, up to ten times the default
/// `ingest.batch_max`.
const SIZES: &[f64] = &[
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0,
];

/// The values of labels that the registry and the configuration decide.
#[derive(Clone, Debug, Default)]
pub struct MetricLabels {
    /// The channels of this daemon.
    pub channels: Vec<ChannelName>,
    /// The kinds of jobs that it knows.
    pub kinds: Vec<JobKind>,
    /// The kind of its database.
    pub database: &'static str,
}

/// All metrics of a daemon. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics(pub(super) Arc<Families>);

/// The metric families.
#[derive(Debug)]
pub(super) struct Families {
    /// Where the families are registered.
    registry: Registry,
    pub(super) webhooks: IntCounterVec,
    webhook_seconds: HistogramVec,
    ingest_batch_size: HistogramVec,
    ingest_queue_depth: IntGaugeVec,
    ingest_queue_bytes: IntGauge,
    pub(super) jobs: IntCounterVec,
    jobs_handed_off: IntCounterVec,
    pub(super) job_wait_seconds: HistogramVec,
    pub(super) job_run_seconds: HistogramVec,
    pool_size: IntGaugeVec,
    pool_busy: IntGaugeVec,
    pool_paused: IntGaugeVec,
    pool_override: IntGaugeVec,
    pool_backing_off: IntGaugeVec,
    lost_threads: IntGaugeVec,
    actor_restarts: IntCounterVec,
    rescued_jobs: IntCounter,
    quarantined: IntCounterVec,
    quarantine_refused: IntCounterVec,
    analyst_seconds: HistogramVec,
    pub(super) deliveries: IntCounterVec,
    drafts: IntCounterVec,
    canary_seconds: Gauge,
    canary_at: Gauge,
    leader: IntGauge,
    ready: IntGauge,
    shared: SharedMetrics,
    database: DatabaseMetrics,
    pages: PageMetrics,
    http: HttpFamilies,
    config: ConfigMetrics,
    model: ModelMetrics,
    /// Not a family of Prometheus: the rates that the API shows.
    throughput: Throughput,
}

impl Metrics {
    /// New metrics with a registry of their own, so that two daemons in one test process do not
    /// share any.
    ///
    /// # Errors
    /// A mistake in this file, such as a name that occurs twice.
    pub fn new(labels: MetricLabels) -> Result<Self, prometheus::Error> {
        let made = Registry::new();
        let add = Declare(&made);
        let canary_at = options("canary_last_success_timestamp_seconds", CANARY_AT);
        let canary = options("canary_seconds", CANARY);
        let rescued = options("rescued_jobs_total", "Jobs taken from a silent node");
        let families = Families {
            webhooks: add.counters("webhooks_total", "Webhooks answered", OUTCOME)?,
            webhook_seconds: add.histograms(
                "webhook_seconds",
                "Receipt to answer",
                CHANNEL,
                SECONDS,
            )?,
            ingest_batch_size: add.histograms(
                "ingest_batch_size",
                "Messages a commit",
                CHANNEL,
                SIZES,
            )?,
            ingest_queue_depth: add.gauges("ingest_queue_depth", QUEUED, CHANNEL)?,
            ingest_queue_bytes: add.gauge("ingest_queue_bytes", UNANSWERED)?,
            jobs: add.counters("jobs_total", "Attempts ended", &["kind", "outcome"])?,
            jobs_handed_off: add.counters("jobs_handed_off_total", HANDED_OFF, KIND)?,
            job_wait_seconds: add.histograms("job_wait_seconds", "Due to started", KIND, WAITS)?,
            job_run_seconds: add.histograms(
                "job_run_seconds",
                "Started to ended",
                KIND,
                SECONDS,
            )?,
            pool_size: add.gauges("pool_size", "Slots that are wanted on this node", KIND)?,
            pool_busy: add.gauges("pool_busy", "Slots of this node that run a job", KIND)?,
            pool_paused: add.gauges("pool_paused", PAUSED, KIND)?,
            pool_override: add.gauges("pool_override", OVERRIDDEN, KIND)?,
            pool_backing_off: add.gauges("pool_backing_off", BACKING_OFF, KIND)?,
            lost_threads: add.gauges("lost_threads", LOST, KIND)?,
            actor_restarts: add.counters("actor_restarts_total", "Actors replaced", &["actor"])?,
            rescued_jobs: add.register(IntCounter::with_opts(rescued)?)?,
            quarantined: add.counters("quarantined_total", "Stored but not understood", CHANNEL)?,
            quarantine_refused: add.counters("quarantine_refused_total", NO_ROOM, CHANNEL)?,
            analyst_seconds: add.histograms(
                "analyst_seconds",
                "Asked to answered",
                ANALYST,
                SECONDS,
            )?,
            deliveries: add.counters("deliveries_total", DELIVERIES, OUTCOME)?,
            drafts: add.counters("drafts_total", DRAFTS, &["channel", "status"])?,
            canary_seconds: add.register(Gauge::with_opts(canary)?)?,
            canary_at: add.register(Gauge::with_opts(canary_at)?)?,
            leader: add.gauge("leader", "1 while this node does the chores for all")?,
            ready: add.gauge("ready", READY)?,
            shared: SharedMetrics::declare(&add, &labels)?,
            database: DatabaseMetrics::declare(&add, &labels)?,
            pages: PageMetrics::declare(&add)?,
            http: HttpFamilies::declare(&add)?,
            config: ConfigMetrics::declare(&add)?,
            model: ModelMetrics::declare(&add)?,
            throughput: Throughput::new(),
            registry: made.clone(),
        };
        #[cfg(target_os = "linux")]
        made.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let metrics = Self(Arc::new(families));
        metrics.begin(&labels);
        Ok(metrics)
    }

    /// Makes each series exist from the start.
    fn begin(&self, labels: &MetricLabels) {
        for actor in ACTOR_TYPES {
            self.0.actor_restarts.with_label_values(&[actor]);
        }
        for (provider, outcome) in pairs(&ANALYSTS, &ANALYST_OUTCOMES) {
            self.0.analyst_seconds.with_label_values(&[provider, outcome]);
        }
        for channel in &labels.channels {
            self.webhook(*channel);
            for outcome in DELIVERY_OUTCOMES {
                self.0.deliveries.with_label_values(&[channel.0, outcome]);
            }
            for outcome in DRAFT_OUTCOMES {
                self.0.drafts.with_label_values(&[channel.0, outcome]);
            }
        }
        for kind in &labels.kinds {
            self.kind(*kind);
        }
    }

    /// The handle for the webhooks of a channel. Take it once and keep it.
    pub fn webhook(&self, channel: ChannelName) -> WebhookMetrics {
        let ChannelName(name) = channel;
        let counter = |outcome: &str| self.0.webhooks.with_label_values(&[name, outcome]);
        WebhookMetrics {
            outcomes: WEBHOOK_OUTCOMES.map(|outcome| (outcome, counter(outcome))),
            other: counter("other"),
            seconds: self.0.webhook_seconds.with_label_values(&[name]),
            batch_size: self.0.ingest_batch_size.with_label_values(&[name]),
            queue_depth: self.0.ingest_queue_depth.with_label_values(&[name]),
            quarantined: self.0.quarantined.with_label_values(&[name]),
            quarantine_refused: self.0.quarantine_refused.with_label_values(&[name]),
        }
    }

    /// The handle for the jobs of a kind. Take it once and keep it.
    pub fn kind(&self, kind: JobKind) -> KindMetrics {
        let JobKind(name) = kind;
        for outcome in JOB_OUTCOMES {
            self.0.jobs.with_label_values(&[name, outcome]);
        }
        KindMetrics {
            handed_off: self.0.jobs_handed_off.with_label_values(&[name]),
            wait_seconds: self.0.job_wait_seconds.with_label_values(&[name]),
            run_seconds: self.0.job_run_seconds.with_label_values(&[name]),
            pool_size: self.0.pool_size.with_label_values(&[name]),
            pool_busy: self.0.pool_busy.with_label_values(&[name]),
            pool_paused: self.0.pool_paused.with_label_values(&[name]),
            pool_override: self.0.pool_override.with_label_values(&[name]),
            pool_backing_off: self.0.pool_backing_off.with_label_values(&[name]),
            lost_threads: self.0.lost_threads.with_label_values(&[name]),
        }
    }

    /// Counts an attempt that ended with one of [`JOB_OUTCOMES`]. Only the node that committed the
    /// outcome calls this, once.
    pub fn attempt_ended(&self, kind: &str, outcome: &str) {
        self.attempts_ended(kind, outcome, 1);
    }

    /// Counts `count` attempts of a kind that ended with the same outcome.
    pub fn attempts_ended(&self, kind: &str, outcome: &str, count: u64) {
        self.0.jobs.with_label_values(&[kind, outcome]).inc_by(count);
        if outcome != "released" {
            self.0.throughput.attempts(count);
        }
        if FAILED.contains(&outcome) {
            self.0.throughput.failed(kind, count);
        }
    }

    /// The rates of webhooks and attempts, over the last minute.
    pub fn throughput(&self) -> &Throughput {
        &self.0.throughput
    }

    /// Counts an actor of this type (`ingest`, `handler`, …) that was replaced.
    pub fn actor_restarted(&self, actor: &'static str) {
        self.0.actor_restarts.with_label_values(&[actor]).inc();
    }

    /// Counts jobs that were taken over from silent nodes.
    pub fn jobs_rescued(&self, count: u64) {
        self.0.rescued_jobs.inc_by(count);
    }

    /// Counts a question to the analyst, and the time until it was answered or failed.
    pub fn analyst_answered(&self, provider: &'static str, outcome: &'static str, took: Duration) {
        self.0.analyst_seconds.with_label_values(&[provider, outcome]).observe(took.as_secs_f64());
    }

    /// Counts a delivery that ended. It counts once more if its end turns out otherwise later: an
    /// uncertain one is resolved, or a provider reports that a sent one did not arrive.
    pub fn delivery(&self, channel: &str, end: DeliveryStatus) {
        self.0.deliveries.with_label_values(&[channel, end.as_str()]).inc();
    }

    /// Counts drafts that became one of [`DRAFT_OUTCOMES`].
    pub fn drafts(&self, channel: &str, outcome: &str, count: u64) {
        self.0.drafts.with_label_values(&[channel, outcome]).inc_by(count);
    }

    /// Notes that a canary job came back at `at`, and its time from being enqueued to its end.
    pub fn canary(&self, at: Timestamp, took: Duration) {
        self.0.canary_seconds.set(took.as_secs_f64());
        self.0.canary_at.set(at.as_millis() as f64 / 1_000.0);
    }

    /// Sets how many bytes of webhooks are inside.
    pub fn ingest_bytes(&self, bytes: usize) {
        self.0.ingest_queue_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Sets whether this node does the chores for all.
    pub fn leads(&self, leads: bool) {
        self.0.leader.set(i64::from(leads));
    }

    /// Sets whether this node is ready.
    pub fn ready(&self, is_ready: bool) {
        self.0.ready.set(i64::from(is_ready));
    }

    /// What is read from the database when it is asked for.
    pub fn shared(&self) -> &SharedMetrics {
        &self.0.shared
    }

    /// The metrics of the database.
    pub fn database(&self) -> &DatabaseMetrics {
        &self.0.database
    }

    /// The metrics of pages, streams of events and spans.
    pub fn pages(&self) -> &PageMetrics {
        &self.0.pages
    }

    /// The metrics of the HTTP server as a whole.
    pub fn http(&self) -> &HttpFamilies {
        &self.0.http
    }

    /// The metrics of the configuration's reloads.
    pub fn config(&self) -> &ConfigMetrics {
        &self.0.config
    }

    /// The metrics of requests to a model's server.
    pub fn model(&self) -> &ModelMetrics {
        &self.0.model
    }

    /// All metrics in Prometheus' text format; see [`CONTENT_TYPE`].
    ///
    /// # Errors
    /// If the metrics cannot be encoded.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.0.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}

/// The outcomes of a webhook: first those in an answer of 200, then the words for all other
/// answers.
pub const WEBHOOK_OUTCOMES: [&str; 13] = [
    "accepted",
    "duplicate",
    "recorded",
    "ignored",
    "quarantined",
    "not_json",
    "unauthenticated",
    "too_large",
    "unsupported_encoding",
    "rate_limited",
    "queue_full",
    "database_away",
    "draining",
];

/// The outcomes of an attempt. A failed attempt is counted by its reason, whether or not the job is
/// retried.
pub const JOB_OUTCOMES: [&str; 11] = [
    "succeeded",
    "snoozed",
    "postponed",
    "cancelled",
    "released",
    "error",
    "panic",
    "timeout",
    "stuck",
    "rescued",
    "shutdown",
];

/// Those of a failed attempt, except for `shutdown`: that is no fault of its kind.
pub(super) const FAILED: [&str; 5] = ["error", "panic", "timeout", "stuck", "rescued"];

/// The metrics of one channel's webhooks, with their labels resolved.
#[derive(Clone, Debug)]
pub struct WebhookMetrics {
    outcomes: [(&'static str, IntCounter); WEBHOOK_OUTCOMES.len()],
    other: IntCounter,
    seconds: Histogram,
    /// Messages in a transaction. Observe one value per transaction.
    pub batch_size: Histogram,
    /// Messages that wait for their transaction.
    pub queue_depth: IntGauge,
    /// Webhooks that were not understood, and stored in quarantine.
    pub quarantined: IntCounter,
    /// Webhooks that were not understood, and refused because the client's quarantine is full.
    pub quarantine_refused: IntCounter,
}

impl WebhookMetrics {
    /// Counts an answered webhook. An outcome that is not one of [`WEBHOOK_OUTCOMES`] counts as
    /// `other`.
    pub fn answered(&self, outcome: &str, took: Duration) {
        counter(&self.outcomes, &self.other, outcome).inc();
        self.seconds.observe(took.as_secs_f64());
    }
}

/// The metrics of one kind's jobs, with their labels resolved.
#[derive(Clone, Debug)]
pub struct KindMetrics {
    handed_off: IntCounter,
    wait_seconds: Histogram,
    run_seconds: Histogram,
    /// The slots that are wanted.
    pub pool_size: IntGauge,
    /// The slots that run a job, those that are leaving included.
    pub pool_busy: IntGauge,
    /// 1 while the pool is paused.
    pub pool_paused: IntGauge,
    /// 1 while an operator has set the pool beside the files.
    pub pool_override: IntGauge,
    /// Slots that wait for their restart.
    pub pool_backing_off: IntGauge,
    /// Threads that handlers which never yield hold.
    pub lost_threads: IntGauge,
}

impl KindMetrics {
    /// Counts a job that was born running.
    pub fn handed_off(&self) {
        self.handed_off.inc();
    }

    /// Notes that an attempt started `waited` after its job was due.
    pub fn started(&self, waited: Duration) {
        self.wait_seconds.observe(waited.as_secs_f64());
    }

    /// Notes that a handler took `took` for an attempt.
    pub fn ran(&self, took: Duration) {
        self.run_seconds.observe(took.as_secs_f64());
    }
}

/// The counter of `outcome`. Comparing a dozen short words is faster than hashing one.
fn counter<'a>(
    outcomes: &'a [(&'static str, IntCounter)],
    other: &'a IntCounter,
    outcome: &str,
) -> &'a IntCounter {
    outcomes.iter().find(|(name, _)| *name == outcome).map_or(other, |(_, counter)| counter)
}

/// Each of `one` with each of `other`.
pub(super) fn pairs<'a>(
    one: &'a [&'static str],
    other: &'a [&'static str],
) -> impl Iterator<Item = (&'static str, &'static str)> + 'a {
    one.iter().flat_map(move |first| other.iter().map(move |second| (*first, *second)))
}

pub(super) fn options(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace(PREFIX)
}

/// Makes families and registers them.
pub(super) struct Declare<'a>(&'a Registry);

impl Declare<'_> {
    pub(super) fn register<C: Collector + Clone + 'static>(
        &self,
        collector: C,
    ) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    pub(super) fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, prometheus::Error> {
        self.register(IntCounterVec::new(options(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
        self.register(IntGauge::with_opts(options(name, help))?)
    }

    /// Registers a gauge that is 1, whose labels have these values.
    pub(super) fn info(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        values: &[&str],
    ) -> Result<(), prometheus::Error> {
        self.gauges(name, help, labels)?.with_label_values(values).set(1);
        Ok(())
    }

    pub(super) fn gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, prometheus::Error> {
        self.register(IntGaugeVec::new(options(name, help), labels)?)
    }

    pub(super) fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, prometheus::Error> {
        let options = HistogramOpts::from(options(name, help)).buckets(buckets.to_vec());
        self.register(HistogramVec::new(options, labels)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model_call::{ModelCallFeature, ModelCallStatus};

    const SMS: ChannelName = ChannelName("sms");
    const JOB: JobKind = JobKind("SELF_CHECK");

    fn labels() -> MetricLabels {
        MetricLabels { channels: vec![SMS], kinds: vec![JOB], database: "sqlite" }
    }

    #[test]
    fn every_metric_is_rendered_under_its_name() {
        let metrics = Metrics::new(labels()).expect("metrics");
        let webhook = metrics.webhook(SMS);
        webhook.answered("accepted", Duration::from_millis(3));
        webhook.answered("never heard of", Duration::from_millis(3));
        webhook.batch_size.observe(2.0);
        let kind = metrics.kind(JOB);
        kind.started(Duration::from_millis(1));
        kind.ran(Duration::from_millis(1));
        metrics.attempt_ended("SELF_CHECK", "succeeded");
        kind.pool_size.set(8);
        metrics.actor_restarted("handler");
        metrics.jobs_rescued(2);
        metrics.analyst_answered("local", "ok", Duration::from_millis(1));
        metrics.model().called(
            ModelCallFeature::Draft,
            ModelCallStatus::Timeout,
            Duration::from_millis(20),
        );
        metrics.model().not_kept(2);
        metrics.delivery(SMS.0, DeliveryStatus::Sent);
        metrics.canary(Timestamp::from_millis(1_500), Duration::from_millis(20));
        metrics.drafts(SMS.0, "approved", 2);
        let connections = metrics.http().connections();
        connections.open(3);
        connections.ended("head");
        connections.malformed();
        metrics.http().admin_refused("wrong_token");
        let text = metrics.clone().render().expect("text");
        for line in [
            "postroom_webhooks_total{channel=\"sms\",outcome=\"accepted\"} 1",
            "postroom_webhooks_total{channel=\"sms\",outcome=\"other\"} 1",
            "postroom_webhook_seconds_count{channel=\"sms\"} 2",
            "postroom_ingest_batch_size_sum{channel=\"sms\"} 2",
            "postroom_ingest_queue_depth{channel=\"sms\"} 0",
            "postroom_jobs_total{kind=\"SELF_CHECK\",outcome=\"succeeded\"} 1",
            "postroom_jobs_total{kind=\"SELF_CHECK\",outcome=\"postponed\"} 0",
            "postroom_job_wait_seconds_count{kind=\"SELF_CHECK\"} 1",
            "postroom_job_run_seconds_count{kind=\"SELF_CHECK\"} 1",
            "postroom_jobs_pending{kind=\"SELF_CHECK\"} 0",
            "postroom_jobs_running{kind=\"SELF_CHECK\"} 0",
            "postroom_oldest_pending_seconds{kind=\"SELF_CHECK\"} 0",
            "postroom_pool_size{kind=\"SELF_CHECK\"} 8",
            "postroom_pool_busy{kind=\"SELF_CHECK\"} 0",
            "postroom_pool_paused{kind=\"SELF_CHECK\"} 0",
            "postroom_pool_override{kind=\"SELF_CHECK\"} 0",
            "postroom_pool_backing_off{kind=\"SELF_CHECK\"} 0",
            "postroom_lost_threads{kind=\"SELF_CHECK\"} 0",
            "postroom_actor_restarts_total{actor=\"handler\"} 1",
            "postroom_rescued_jobs_total 2",
            "postroom_quarantined_total{channel=\"sms\"} 0",
            "postroom_analyst_seconds_count{outcome=\"ok\",provider=\"local\"} 1",
            "postroom_deliveries_total{channel=\"sms\",outcome=\"sent\"} 1",
            "postroom_model_calls_total{feature=\"draft\",status=\"timeout\"} 1",
            "postroom_model_call_seconds_count{feature=\"draft\"} 1",
            "postroom_model_calls_not_kept_total 2",
            "postroom_canary_seconds 0.02",
            "postroom_canary_last_success_timestamp_seconds 1.5",
            "postroom_drafts_total{channel=\"sms\",status=\"approved\"} 2",
            "postroom_drafts_total{channel=\"sms\",status=\"rejected\"} 0",
            "postroom_connections 3",
            "postroom_connections_refused_total{reason=\"address\"} 0",
            "postroom_connections_ended_total{reason=\"head\"} 1",
            "postroom_http_malformed_total 1",
            "postroom_admin_refused_total{reason=\"wrong_token\"} 1",
            "postroom_admin_refused_total{reason=\"throttled\"} 0",
        ] {
            assert!(text.lines().any(|known| known == line), "`{line}` is not in\n{text}");
        }
        assert!(text.contains("\nprocess_cpu_seconds_total "), "{text}");
    }

    #[test]
    fn two_of_them_count_apart() {
        let new = || Metrics::new(labels()).expect("metrics");
        let (one, two) = (new(), new());
        one.jobs_rescued(1);
        assert!(two.render().expect("text").contains("postroom_rescued_jobs_total 0"));
    }
}
