//! Traces: spans of what happens to a webhook, for a collector (docs/decisions/0039-traces.md).
//!
//! Without a collector, or in a trace that is not sampled, a [`TraceSpan`] is empty, and all it
//! costs is a branch. A span is sent when the last handle on it is dropped. Nothing ever waits for
//! the collector: what finds no room in the queue is counted and forgotten.

mod export;
pub(crate) mod names;

pub use self::export::{ExporterError, TraceExporter, TraceSending};
pub use opentelemetry::{Value as TraceValue, trace::SpanKind};

use crate::domain::{
    Id,
    job::Job,
    text::beginning,
    trace::{Hop, JobTrace, TracePoint},
    whole_millis,
};
use opentelemetry::{
    InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId,
    trace::{Event, Link, SpanContext, Status, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use prometheus::IntCounter;
use std::{
    borrow::Cow,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::sync::mpsc;

/// How many spans may wait for the collector.
const QUEUE: usize = 2_048;
/// The most links and events of a span, and the bytes of a text in one.
const LINKS_MAX: usize = 128;
const TEXT_MAX: usize = 256;
/// Of this many canary jobs, one is traced.
const CANARIES: u64 = 10;

tokio::task_local! {
    /// The span of what runs in this task.
    static CURRENT: TraceSpan;
}

/// Makes spans. A clone makes them for the same collector.
#[derive(Clone, Debug, Default)]
pub struct Traces(Arc<TraceShared>);

#[derive(Debug, Default)]
struct TraceShared {
    /// Not set: no spans are recorded.
    outlet: OnceLock<Outlet>,
    /// A trace is recorded if the second half of its id is below this.
    below: AtomicU64,
}

/// The way to the exporter.
#[derive(Debug)]
struct Outlet {
    queue: mpsc::Sender<SpanData>,
    dropped: IntCounter,
    /// The id of this node.
    node: String,
}

/// What a new span is.
#[derive(Clone, Debug)]
pub struct SpanStart {
    /// Its name, which has few values.
    pub name: Cow<'static, str>,
    /// Whether it is asked, asks, makes or takes.
    pub kind: SpanKind,
}

impl SpanStart {
    /// A span of this name and kind.
    pub fn new(name: impl Into<Cow<'static, str>>, kind: SpanKind) -> Self {
        Self { name: name.into(), kind }
    }
}

/// A span, or nothing if its trace is not recorded. A clone is the same span.
#[derive(Clone, Debug, Default)]
pub struct TraceSpan(Option<Arc<LiveSpan>>);

#[derive(Debug)]
struct LiveSpan {
    /// The exporter takes it when this is dropped. `None` only then.
    data: Mutex<Option<SpanData>>,
    at: TracePoint,
    traces: Traces,
}

impl Traces {
    /// From now on spans are recorded, and those that find no room are counted in `dropped`. The
    /// result sends them.
    ///
    /// # Errors
    /// If the URL of the collector is not one.
    pub fn start(
        &self,
        endpoint: &str,
        node: Id,
        dropped: IntCounter,
    ) -> Result<TraceExporter, ExporterError> {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let exporter = TraceExporter::new(endpoint, node, waiting, dropped.clone())?;
        if self.0.outlet.set(Outlet { queue, dropped, node: node.to_string() }).is_err() {
            tracing::error!("the export of traces was started twice");
        }
        Ok(exporter)
    }

    /// From now on this share of all traces is recorded. By trace id, so that all parts of a trace
    /// agree.
    pub fn sample(&self, share: f64) {
        // A share of 1 is `u64::MAX`: conversion of a float that is too large takes the largest.
        let below = (share.clamp(0.0, 1.0) * u64::MAX as f64) as u64;
        self.0.below.store(below, Ordering::Relaxed);
    }

    /// True if spans are recorded at all.
    pub fn is_on(&self) -> bool {
        self.0.outlet.get().is_some()
    }

    /// The first span of a new trace, if it is among the share that is recorded.
    pub fn sampled(&self, start: impl FnOnce() -> SpanStart) -> TraceSpan {
        if !self.is_on() {
            return TraceSpan::default();
        }
        let trace_id = rand::random::<u128>().max(1);
        // Truncation takes the second half, which is the random one by the W3C's recommendation.
        let is_sampled = (trace_id as u64) < self.0.below.load(Ordering::Relaxed);
        if is_sampled { self.begin(trace_id, None, start()) } else { TraceSpan::default() }
    }

    /// The first span of a new trace, which is recorded whatever the share.
    pub fn always(&self, start: impl FnOnce() -> SpanStart) -> TraceSpan {
        if !self.is_on() {
            return TraceSpan::default();
        }
        self.begin(rand::random::<u128>().max(1), None, start())
    }

    /// The span of an attempt. It is linked to what made the job. It is a part of its trace, too,
    /// unless a clock or a person stands between.
    pub fn attempt(&self, job: &Job, waited: Duration) -> TraceSpan {
        if !self.is_on() {
            return TraceSpan::default();
        }
        let start = || SpanStart::new(format!("process {}", job.kind), SpanKind::Consumer);
        let made = job.trace.map_or(Hop::None, |trace| trace.hop);
        let hop = if job.attempt > 1 { Hop::Retry } else { made };
        let is_canary = job.kind == crate::domain::job::SELF_CHECK && is_chosen(job.id);
        let span = match job.trace {
            Some(trace) if hop == Hop::None => {
                let at = trace.made_in;
                self.begin(at.trace_id, Some(at.span_id), start())
            }
            Some(_) => self.always(start),
            None if job.attempt > 1 || is_canary => self.always(start),
            None => return TraceSpan::default(),
        };
        if let Some(trace) = job.trace {
            span.link(trace.made_in);
        }
        if hop != Hop::None {
            span.set(names::HOP, hop.as_str());
        }
        span.set_job(job);
        span.set(names::OPERATION, "process");
        span.set(names::OPERATION_TYPE, "process");
        span.set(names::DESTINATION, job.kind.0);
        span.set(names::MESSAGE_ID, job.id.to_string());
        span.set(names::ATTEMPT, i64::from(job.attempt));
        span.set(names::WAIT, whole_millis(waited));
        if let Some(channel) = &job.channel {
            span.set(names::CHANNEL, channel.clone());
        }
        span
    }

    /// The span of a commit that covers a group of `count` parts. The spans of those parts that are
    /// recorded are linked to it; without any, it is not recorded.
    pub fn commit<'a>(
        &self,
        name: &'static str,
        count: usize,
        parts: impl Iterator<Item = &'a TraceSpan>,
    ) -> TraceSpan {
        if !self.is_on() {
            return TraceSpan::default();
        }
        let mut commit = TraceSpan::default();
        for part in parts.filter(|part| part.0.is_some()) {
            if commit.0.is_none() {
                commit = self.always(|| SpanStart::new(name, SpanKind::Internal));
                commit.set(names::BATCH_COUNT, i64::try_from(count).unwrap_or(i64::MAX));
            }
            commit.at().into_iter().for_each(|at| part.link(at));
        }
        commit
    }

    fn begin(&self, trace_id: u128, parent: Option<u64>, start: SpanStart) -> TraceSpan {
        let at = TracePoint { trace_id, span_id: rand::random::<u64>().max(1) };
        let data = SpanData {
            span_context: context(at, false),
            parent_span_id: parent.map_or(SpanId::INVALID, SpanId::from),
            parent_span_is_remote: false,
            span_kind: start.kind,
            name: start.name,
            start_time: now(),
            // Until it has ended.
            end_time: SystemTime::UNIX_EPOCH,
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: scope(),
        };
        let live = LiveSpan { data: Mutex::new(Some(data)), at, traces: self.clone() };
        TraceSpan(Some(Arc::new(live)))
    }
}

/// True for one of [`CANARIES`] jobs. Ids of jobs that are made one by one are all even, so they
/// are stirred first.
const fn is_chosen(id: Id) -> bool {
    (id.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32).is_multiple_of(CANARIES)
}

/// The clock on the wall, since collectors compare it with that of others. A span may be shorter
/// than a millisecond.
#[expect(clippy::disallowed_methods, reason = "`wall_clock` has milliseconds")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn scope() -> InstrumentationScope {
    InstrumentationScope::builder(names::SCOPE)
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(names::SCHEMA_URL)
        .build()
}

fn context(at: TracePoint, is_remote: bool) -> SpanContext {
    let (trace, span) = (TraceId::from(at.trace_id), SpanId::from(at.span_id));
    SpanContext::new(trace, span, TraceFlags::SAMPLED, is_remote, TraceState::NONE)
}

impl TraceSpan {
    /// Where it is; `None` if it is not recorded.
    pub fn at(&self) -> Option<TracePoint> {
        self.0.as_ref().map(|live| live.at)
    }

    /// The creation context of jobs that it makes.
    pub fn job_trace(&self, hop: Hop) -> Option<JobTrace> {
        self.at().map(|made_in| JobTrace { made_in, hop })
    }

    /// The id of its trace, for log lines.
    pub fn trace_id(&self) -> Option<String> {
        self.at().map(TracePoint::trace_id)
    }

    /// The span of the log for what happens in it: its lines carry the id of the trace. It is
    /// disabled if this one is not recorded.
    pub fn log_span(&self) -> tracing::Span {
        match self.trace_id() {
            Some(trace_id) => tracing::info_span!("traced", trace_id),
            None => tracing::Span::none(),
        }
    }

    /// Sets what spans of the work on a job have in common: the node, the client, the lead and the
    /// request.
    pub fn set_job(&self, job: &Job) {
        let Some(live) = &self.0 else { return };
        if let Some(outlet) = live.traces.0.outlet.get() {
            self.set(names::MESSAGING_CLIENT, outlet.node.clone());
        }
        self.set(names::SYSTEM, "postroom");
        self.set(names::CLIENT, job.client_id.clone());
        if let Some(lead_id) = job.lead_id {
            self.set(names::CONVERSATION, lead_id.to_string());
        }
        if let Some(request_id) = &job.request_id {
            self.set(names::REQUEST_ID, request_id.clone());
        }
    }

    /// A span within this one.
    #[must_use]
    pub fn child(&self, start: impl FnOnce() -> SpanStart) -> Self {
        let Some(live) = &self.0 else { return Self::default() };
        live.traces.begin(live.at.trace_id, Some(live.at.span_id), start())
    }

    /// Sets an attribute. Texts are cut: none of them is long, unless a sender made it so.
    pub fn set(&self, name: &'static str, value: impl Into<TraceValue>) {
        self.change(|data| {
            let mut value = value.into();
            if let TraceValue::String(text) = &value
                && text.as_str().len() > TEXT_MAX
            {
                value = beginning(text.as_str(), TEXT_MAX).to_owned().into();
            }
            data.attributes.push(KeyValue::new(name, value));
        });
    }

    /// Notes that something has happened now.
    pub fn event(&self, name: &'static str) {
        self.change(|data| data.events.events.push(Event::with_name(name)));
    }

    /// Links it to another span.
    pub fn link(&self, to: TracePoint) {
        self.change(|data| {
            if data.links.links.len() < LINKS_MAX {
                data.links.links.push(Link::with_context(context(to, true)));
            } else {
                data.links.dropped_count += 1;
            }
        });
    }

    /// Notes that it failed, for a reason of a fixed set.
    pub fn failed(&self, reason: impl Into<Cow<'static, str>>) {
        self.change(|data| {
            data.attributes.push(KeyValue::new(names::ERROR, reason.into()));
            data.status = Status::error("");
        });
    }

    /// It is over now. It is sent later, with what becomes known of it until then.
    pub fn ended(&self) {
        self.change(|data| data.end_time = now());
    }

    /// Runs `work` as this span: what it makes by [`current`] is a part of it.
    pub async fn within<T>(self, work: impl Future<Output = T>) -> T {
        match self.0 {
            None => work.await,
            Some(_) => CURRENT.scope(self, work).await,
        }
    }

    fn change(&self, change: impl FnOnce(&mut SpanData)) {
        if let Some(live) = &self.0
            && let Some(data) = lock(&live.data).as_mut()
        {
            change(data);
        }
    }
}

/// The span of what runs in this task, such as an attempt; empty outside of one.
pub fn current() -> TraceSpan {
    CURRENT.try_with(Clone::clone).unwrap_or_default()
}

impl Drop for LiveSpan {
    fn drop(&mut self) {
        let Some(mut data) = lock(&self.data).take() else { return };
        let Some(outlet) = self.traces.0.outlet.get() else { return };
        if data.end_time == SystemTime::UNIX_EPOCH {
            data.end_time = now();
        }
        if outlet.queue.try_send(data).is_err() {
            outlet.dropped.inc();
        }
    }
}

/// Nothing panics while it holds this lock.
fn lock(data: &Mutex<Option<SpanData>>) -> MutexGuard<'_, Option<SpanData>> {
    data.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::{DELIVER_REPLY, JobKind, SELF_CHECK};

    fn start() -> SpanStart {
        SpanStart::new("a", SpanKind::Internal)
    }

    /// Traces whose spans nobody takes out of the queue.
    fn started() -> (Traces, mpsc::Receiver<SpanData>, IntCounter) {
        let (traces, dropped) = (Traces::default(), IntCounter::new("d", "d").unwrap());
        let (queue, waiting) = mpsc::channel(QUEUE);
        let outlet = Outlet { queue, dropped: dropped.clone(), node: "1".to_owned() };
        traces.0.outlet.set(outlet).unwrap();
        (traces, waiting, dropped)
    }

    fn job(kind: JobKind, attempt: u32, trace: Option<JobTrace>) -> Job {
        Job {
            id: 2 << 18,
            kind,
            client_id: "a".to_owned(),
            lead_id: None,
            message_id: None,
            draft_id: None,
            run: 1,
            attempt,
            max_attempts: 5,
            request_id: None,
            channel: None,
            trace,
        }
    }

    /// The span as it is sent.
    fn sent(span: TraceSpan, waiting: &mut mpsc::Receiver<SpanData>) -> SpanData {
        drop(span);
        waiting.try_recv().unwrap()
    }

    #[test]
    fn without_a_collector_nothing_is_recorded() {
        let traces = Traces::default();
        traces.sample(1.0);
        let spans = [traces.sampled(start), traces.always(start)];
        assert!(spans.iter().all(|span| span.at().is_none() && span.child(start).at().is_none()));
    }

    #[test]
    fn what_finds_no_room_is_counted_and_nobody_waits() {
        let (traces, waiting, dropped) = started();
        (0..QUEUE + 7).for_each(|_| drop(traces.always(start)));
        assert_eq!((waiting.len(), dropped.get()), (QUEUE, 7));
    }

    #[test]
    fn the_share_is_by_the_id_of_the_trace() {
        let (traces, _waiting, _) = started();
        for (share, expected) in [(0.0, 0..=0), (0.5, 350..=650), (1.0, 1_000..=1_000)] {
            traces.sample(share);
            let count = (0..1_000).filter(|_| traces.sampled(start).at().is_some()).count();
            assert!(expected.contains(&count), "{share}: {count}");
        }
        assert!((0..10_000).filter(|ms| is_chosen(ms << 18)).count().abs_diff(1_000) < 200);
    }

    #[test]
    fn a_run_is_linked_to_what_made_it_and_a_part_of_it_if_nothing_stands_between() {
        let (traces, mut waiting, _) = started();
        let made_in = TracePoint { trace_id: 7, span_id: 9 };
        for (hop, attempt, word) in [
            (Hop::None, 1, None),
            (Hop::None, 2, Some("retry")),
            (Hop::Delayed, 1, Some("delayed")),
            (Hop::Approved, 1, Some("approved")),
            (Hop::Replayed, 1, Some("replayed")),
            (Hop::Replayed, 3, Some("retry")),
        ] {
            let job = job(DELIVER_REPLY, attempt, Some(JobTrace { made_in, hop }));
            let span = sent(traces.attempt(&job, Duration::ZERO), &mut waiting);
            let is_part = span.span_context.trace_id() == TraceId::from(7)
                && span.parent_span_id == SpanId::from(9);
            assert_eq!(is_part, word.is_none(), "{hop:?}");
            let links: Vec<SpanId> =
                span.links.iter().map(|it| it.span_context.span_id()).collect();
            assert_eq!(links, [SpanId::from(9)]);
            let told = span.attributes.iter().find(|it| it.key.as_str() == names::HOP);
            assert_eq!(told.map(|it| it.value.as_str().into_owned()).as_deref(), word);
        }
        // Of canaries that nothing recorded, one in ten is.
        let canaries = (0..1_000).filter(|number| {
            let canary = Job { id: number << 19, ..job(SELF_CHECK, 1, None) };
            traces.attempt(&canary, Duration::ZERO).at().is_some()
        });
        assert!(canaries.count().abs_diff(100) < 40);
        // What was not recorded is recorded from its second attempt on.
        assert!(traces.attempt(&job(DELIVER_REPLY, 1, None), Duration::ZERO).at().is_none());
        assert!(traces.attempt(&job(SELF_CHECK, 2, None), Duration::ZERO).at().is_some());
    }

    #[test]
    fn links_and_texts_have_a_most() {
        let (traces, mut waiting, _) = started();
        let span = traces.always(start);
        (0..200).for_each(|id| span.link(TracePoint { trace_id: 1, span_id: id + 1 }));
        span.set(names::REQUEST_ID, "é".repeat(200));
        let span = sent(span, &mut waiting);
        assert_eq!((span.links.links.len(), span.links.dropped_count), (128, 72));
        assert_eq!(span.attributes[0].value.as_str().len(), TEXT_MAX);
    }

    #[test]
    fn a_commit_is_recorded_if_a_part_of_it_is_and_linked_from_there() {
        let (traces, mut waiting, _) = started();
        let parts = [TraceSpan::default(), traces.always(start), traces.always(start)];
        let nothing = traces.commit("c", 1, parts[..1].iter());
        assert!(nothing.at().is_none());
        let at = traces.commit("c", 3, parts.iter()).at().unwrap();
        assert_eq!(waiting.try_recv().unwrap().name, "c");
        drop(parts);
        for _ in 0..2 {
            let links = waiting.try_recv().unwrap().links.links;
            assert_eq!(links[0].span_context.span_id(), SpanId::from(at.span_id));
        }
    }
}
