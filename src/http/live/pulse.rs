//! The timer behind the streams, the history and the alerts: it reads what is to be told, at most
//! once for all who are told.
//!
//! While nobody follows a topic it reads the board and the counters only, and now and then the
//! counts of the overview. What is stored is read when the counters say that something happened
//! here, and otherwise rarely: an idle daemon with streams asks its database less than twice a
//! second.

use super::{
    hub::LiveValues,
    topic::Topic,
    values::{self, OfKind, PoolNumbers, TotalsHere},
};
use crate::{
    domain::Id,
    http::State,
    store::{StoreError, wall_clock},
    telemetry::{
        board::{ActorType, Board},
        history::{HistorySpan, SeriesName, SeriesReading},
        history_source::HistorySource,
        metrics::WEBHOOK_OUTCOMES,
        pool_post::PoolView,
    },
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// How often the timer fires. A topic is published every time at most: twice a second.
const EVERY: Duration = Duration::from_millis(500);
/// How often the topics of the board and of the counts are published, in beats.
const BOARD_BEATS: u64 = 2;
/// How often they are read while that fails: pages should know soon that the database is back.
const COUNTS_AWAY: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(5)];
/// How old the counts may become while something happens here, and while nothing does, if nobody
/// follows them.
const COUNTS_UNSEEN: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(60)];
/// The same if somebody does.
const COUNTS_SEEN: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];
/// The same if there are other nodes, of which this one hears nothing.
const COUNTS_OF_MANY: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(5)];
/// How old jobs, or leads, may become while nothing happens here. If both are followed, each is
/// read half as often.
const OBJECTS_IDLE: Duration = Duration::from_secs(2);
/// Reading jobs and leads takes at most one of this many parts of the time.
const SHARE: u32 = 20;
/// The most jobs, and the most leads, that are read at once. If more are followed, they are read
/// in turn.
const READ_MAX: usize = 500;

/// What the timer remembers.
struct Pulse {
    state: State,
    started: Instant,
    /// Where the history reads its series.
    sources: HashMap<SeriesName, HistorySource>,
    beats: u64,
    counts: Arc<CountsRead>,
    /// When the counts were last asked for.
    counts_asked: Instant,
    objects: Arc<ObjectsRead>,
    /// What had happened when the jobs and leads were last read.
    objects_at: (u64, Instant),
    /// Where the next read of jobs and leads begins, if there are many.
    next_object: Option<Topic>,
}

/// The last count.
#[derive(Default)]
struct CountsRead {
    is_on: AtomicBool,
    /// What had happened when it began.
    happened: AtomicU64,
}

/// The last read of jobs and leads.
#[derive(Default)]
struct ObjectsRead {
    is_on: AtomicBool,
    took_ms: AtomicU64,
}

/// True for a read while it goes on. It is false again when this is dropped, however that ends.
struct Ongoing<R>(Arc<R>, fn(&R) -> &AtomicBool);

impl<R> Ongoing<R> {
    /// `None` if one goes on already.
    fn begin(read: &Arc<R>, flag: fn(&R) -> &AtomicBool) -> Option<Self> {
        let is_on = flag(read).swap(true, Ordering::AcqRel);
        (!is_on).then(|| Self(read.clone(), flag))
    }
}

impl<R> Drop for Ongoing<R> {
    fn drop(&mut self) {
        (self.1)(&self.0).store(false, Ordering::Release);
    }
}

/// Runs the timer until the streams end.
pub(in crate::http) async fn beat(state: State) {
    let every = state.board.faults().limit("http.pulse", EVERY);
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let hub = state.hub.clone();
    let mut pulse = Pulse::new(state);
    loop {
        tokio::select! {
            _ = ticks.tick() => pulse.beat(),
            () = hub.ended() => return,
        }
    }
}

impl Pulse {
    fn new(state: State) -> Self {
        let channels: Vec<_> = state.channels.values().map(|it| it.channel.name()).collect();
        let names = state.history.names();
        let source = |name: SeriesName| {
            let source = state.metrics.history_source(&name, &channels)?;
            Some((name, source))
        };
        let sources = names.into_iter().filter_map(source).collect();
        let now = Instant::now();
        Self {
            state,
            started: now,
            sources,
            beats: 0,
            counts: Arc::default(),
            counts_asked: now,
            objects: Arc::default(),
            objects_at: (0, now),
            next_object: None,
        }
    }

    fn beat(&mut self) {
        self.beats += 1;
        self.note();
        let topics = self.state.hub.topics();
        let happened = self.happened();
        self.count_if_due(&topics, happened);
        if self.beats.is_multiple_of(BOARD_BEATS) {
            // The watch of the alerts has to see conditions that nobody asks about.
            let verdict = self.state.verdict();
            let news = topics.keys().filter_map(|topic| {
                let values = self.values(*topic, &verdict)?;
                Some((*topic, values))
            });
            self.state.hub.publish(news);
        }
        self.read_objects_if_due(topics, happened);
    }

    /// Notes the second in the history.
    fn note(&self) {
        let totals =
            self.state.api.last_totals().filter(|_| self.state.api.totals_fail_since().is_none());
        let backlog = totals.as_ref().map(|totals| values::by_kind(totals));
        let restarts = restarts(&self.state.board);
        let read = |name: &SeriesName| match (self.sources.get(name), name) {
            (Some(source), _) => source.read(),
            (None, SeriesName::Backlog(kind)) => {
                let pending = backlog.as_ref().map(|it| it.get(kind).copied().unwrap_or_default());
                SeriesReading::Level(pending.map_or(f64::NAN, |it: OfKind| level(it.pending)))
            }
            (None, SeriesName::Restarts(of)) => {
                SeriesReading::Count(restarts.get(of).copied().unwrap_or_default())
            }
            (None, _) => SeriesReading::Level(f64::NAN),
        };
        self.state.history.push(self.started.elapsed().as_secs(), read);
    }

    /// A number that changes when something happens on this node.
    fn happened(&self) -> u64 {
        let counts = self.sources.values().map(|source| match source.read() {
            SeriesReading::Count(count) => count,
            SeriesReading::Level(_) | SeriesReading::Observed(_) => 0,
        });
        let pools = self.state.board.pools();
        let of_pool = |pool: &PoolView| pool.finished.saturating_mul(7) + pool.busy as u64;
        let all = counts.chain(pools.iter().map(of_pool)).chain([self.state.hub.nudges()]);
        all.fold(0, u64::wrapping_add)
    }

    /// Reads the counts of the overview, if that is due.
    fn count_if_due(&mut self, topics: &BTreeMap<Topic, usize>, happened: u64) {
        let is_followed =
            [Topic::Totals, Topic::Drafts, Topic::Pools].iter().any(|it| topics.contains_key(it));
        let totals = self.state.api.last_totals();
        let limits = match totals.is_some_and(|totals| totals.nodes.len() > 1) {
            _ if self.state.api.totals_fail_since().is_some() => COUNTS_AWAY,
            _ if !is_followed => COUNTS_UNSEEN,
            true => COUNTS_OF_MANY,
            false => COUNTS_SEEN,
        };
        let is_first = is_followed && self.counts_asked == self.started;
        let counted = (self.counts.happened.load(Ordering::Acquire), self.counts_asked);
        if !is_first && !is_due(counted, happened, limits) {
            return;
        }
        let Some(ongoing) = Ongoing::begin(&self.counts, |it| &it.is_on) else { return };
        let (api, asked) = (self.state.api.clone(), Instant::now());
        self.counts_asked = asked;
        actix_web::rt::spawn(async move {
            let Ongoing(counts, _) = &ongoing;
            match api.totals_dated().await {
                // Counts that were shared do not have what happened meanwhile.
                (Ok(_), began) if began < asked => {}
                (Ok(_), _) => counts.happened.store(happened, Ordering::Release),
                (Err(error), _) => {
                    tracing::debug!(%error, "the counts of the overview could not be read");
                }
            }
        });
    }

    /// The values of a topic that needs no read.
    fn values(
        &self,
        topic: Topic,
        verdict: &crate::domain::alerts::OverallVerdict,
    ) -> Option<LiveValues> {
        let state = &self.state;
        let totals = state.api.last_totals();
        let now = wall_clock();
        match topic {
            Topic::Totals => Some(values::totals(&TotalsHere {
                verdict,
                per_second: state.metrics.throughput().per_second(),
                totals: totals.as_deref(),
                database_answers: state.api.totals_fail_since().is_none(),
                is_config_refused: state.tuner.status().refused().is_some(),
                now,
            })),
            Topic::Pools => {
                let kinds = totals.as_deref().map(values::by_kind);
                let numbers = |pool: &PoolView| state.pool_numbers(pool, kinds.as_ref());
                Some(values::pools(&state.board.pools(), numbers, now))
            }
            Topic::Actors => Some(values::actors(&state.board.actors())),
            Topic::Config => Some(values::config(&state.tuner.status(), state.overridden_pools())),
            Topic::Drafts => totals.as_deref().map(values::drafts),
            Topic::Lead(_) | Topic::Job(_) => None,
        }
    }

    /// Reads the jobs and leads that are followed, if that is due, and publishes them.
    fn read_objects_if_due(&mut self, topics: BTreeMap<Topic, usize>, happened: u64) {
        let objects: Vec<(Topic, usize)> =
            topics.into_iter().filter(|(topic, _)| topic.id().is_some()).collect();
        let are_jobs = objects.iter().filter(|(topic, _)| matches!(topic, Topic::Job(_))).count();
        let are_both = are_jobs > 0 && are_jobs < objects.len();
        let idle = if are_both { OBJECTS_IDLE * 2 } else { OBJECTS_IDLE };
        if objects.is_empty() || !is_due(self.objects_at, happened, [Duration::ZERO, idle]) {
            return;
        }
        let took = Duration::from_millis(self.objects.took_ms.load(Ordering::Relaxed));
        if self.objects_at.1.elapsed() < took * SHARE {
            return;
        }
        let Some(ongoing) = Ongoing::begin(&self.objects, |it| &it.is_on) else { return };
        self.objects_at = (happened, Instant::now());
        let objects = self.in_turn(objects);
        let state = self.state.clone();
        actix_web::rt::spawn(async move {
            let started = Instant::now();
            match objects_now(&state, &objects).await {
                Ok(news) => state.hub.publish(news),
                Err(error) => tracing::debug!(%error, "followed jobs could not be read"),
            }
            let took = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            ongoing.0.took_ms.store(took, Ordering::Relaxed);
        });
    }

    /// At most [`READ_MAX`] of these, from where the last read ended.
    fn in_turn(&mut self, mut objects: Vec<(Topic, usize)>) -> Vec<(Topic, usize)> {
        if objects.len() > READ_MAX {
            let from = self.next_object.map_or(0, |next| {
                objects.partition_point(|(topic, _)| *topic < next) % objects.len()
            });
            objects.rotate_left(from);
            self.next_object = objects.get(READ_MAX).map(|it| it.0);
            objects.truncate(READ_MAX);
        }
        objects
    }
}

/// True if a read is due whose last one began at `last`, when so much had happened.
fn is_due(last: (u64, Instant), happened: u64, limits: [Duration; 2]) -> bool {
    let [busy, idle] = limits;
    last.1.elapsed() >= if last.0 == happened { idle } else { busy }
}

#[expect(clippy::cast_precision_loss, reason = "a chart shows a few digits")]
const fn level(count: i64) -> f64 {
    count as f64
}

/// The values of jobs and leads. One that is not there, because it was pruned or erased, is told as
/// gone.
async fn objects_now(
    state: &State,
    objects: &[(Topic, usize)],
) -> Result<Vec<(Topic, LiveValues)>, StoreError> {
    let (mut jobs, mut leads): (Vec<Id>, Vec<Id>) = (Vec::new(), Vec::new());
    for (topic, _) in objects {
        match topic {
            Topic::Job(id) => jobs.push(*id),
            Topic::Lead(id) => leads.push(*id),
            Topic::Totals | Topic::Pools | Topic::Actors | Topic::Config | Topic::Drafts => {}
        }
    }
    let desk = state.store.desk();
    let mut news: BTreeMap<Topic, LiveValues> =
        objects.iter().map(|(topic, _)| (*topic, values::gone())).collect();
    if !jobs.is_empty() {
        let jobs = desk.jobs_with(jobs).await?;
        news.extend(jobs.iter().map(|job| (Topic::Job(job.id), values::job(job))));
    }
    if !leads.is_empty() {
        let watching: HashMap<Topic, usize> = objects.iter().copied().collect();
        for lead in desk.lead_marks(leads).await? {
            let topic = Topic::Lead(lead.id);
            let watching = watching.get(&topic).copied().unwrap_or_default();
            let people = state.hub.people_at(topic);
            news.insert(topic, values::lead(&lead, watching, &people));
        }
    }
    Ok(news.into_iter().collect())
}

impl State {
    /// How many pools of this node have an override.
    pub(in crate::http) fn overridden_pools(&self) -> usize {
        let config = self.config.get();
        let is_set = |pool: &&PoolView| config.pools.override_of(pool.kind.0).is_some();
        self.board.pools().iter().filter(is_set).count()
    }

    /// What a pool shows beside its place on the board.
    pub(in crate::http) fn pool_numbers(
        &self,
        pool: &PoolView,
        kinds: Option<&BTreeMap<&str, OfKind>>,
    ) -> PoolNumbers {
        let kind = pool.kind.0;
        let of_kind = kinds.map(|it| it.get(kind).copied().unwrap_or_default());
        // The greatest value of the last minute, of which the history of an hour has six.
        let lately = |name: SeriesName| {
            let numbers = self.history.numbers(&name, HistorySpan::Hour);
            let minute = numbers.iter().rev().take(6).copied().filter(|it| !it.is_nan());
            minute.reduce(f64::max)
        };
        PoolNumbers {
            backlog: of_kind.map(|it| it.pending),
            due_since: of_kind.and_then(|it| it.due_since),
            failed: self.metrics.throughput().failed_per_minute(kind),
            wait_p95: lately(SeriesName::Wait(kind)),
            run_p95: lately(SeriesName::Run(kind)),
        }
    }
}

/// How often slots were started again, by kind, and other actors, by type.
fn restarts(board: &Board) -> BTreeMap<&'static str, u64> {
    let slots = board.pools().into_iter().map(|pool| (pool.kind.0, pool.restarts));
    let others = board.restarts().into_iter().filter(|it| it.0 != ActorType::Handler);
    slots.chain(others.map(|(kind, count)| (kind.as_str(), count))).collect()
}

/// The series of the history of a daemon with these channels and kinds of jobs.
pub(in crate::http) fn series(
    channels: impl IntoIterator<Item = &'static str>,
    kinds: &[&'static str],
) -> Vec<SeriesName> {
    let mut names: Vec<SeriesName> = WEBHOOK_OUTCOMES.map(SeriesName::Webhooks).to_vec();
    names.extend(channels.into_iter().map(SeriesName::Sent));
    for of_kind in [
        SeriesName::Failed,
        SeriesName::Ended,
        SeriesName::Backlog,
        SeriesName::Wait,
        SeriesName::Run,
        SeriesName::Restarts,
    ] {
        names.extend(kinds.iter().copied().map(of_kind));
    }
    let types = ActorType::ALL.into_iter().filter(|it| *it != ActorType::Handler);
    names.extend(types.map(|it| SeriesName::Restarts(it.as_str())));
    names
}
