//! Measures the latency of single jobs in an idle daemon: from a job's commit to the start of its
//! handler.

use super::{BenchArgs, drain::self_check, report::Measured, scratch::Scratch};
use crate::{
    app::Role,
    domain::{Id, Job, JobKind, Outcome, job::SELF_CHECK},
    handlers::JobHandler,
    ingest::Stored,
    registry::Registry,
    store::{Claim, FreePlaces, LentSlots, SlotLender as _},
};
use dashmap::DashMap;
use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, OnceLock},
    time::Duration,
};
use tokio::time::Instant;

/// The number of jobs if `--jobs` is not given.
const JOBS: usize = 500;
/// Jobs before the clock starts.
const WARM_UP: usize = 50;
/// The time from one job to the next. The daemon is idle again by then.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a job may take to start.
const LIMIT: Duration = Duration::from_secs(10);

/// When handlers started, by job id.
static STARTED: LazyLock<DashMap<Id, Instant>> = LazyLock::new(DashMap::new);

/// A handler of `SELF_CHECK` that notes when it starts.
struct LatencyProbe;

impl JobHandler for LatencyProbe {
    const KIND: JobKind = SELF_CHECK;

    async fn handle(&self, job: &Job) -> Outcome {
        STARTED.insert(job.id, Instant::now());
        Outcome::Done(Vec::new())
    }
}

/// Lent slots that note when the job was committed.
#[derive(Debug)]
struct TimedSlots {
    lent: Arc<dyn LentSlots>,
    committed: OnceLock<Instant>,
}

impl LentSlots for TimedSlots {
    fn places(&self) -> Vec<FreePlaces> {
        self.lent.places()
    }

    fn note(&self, job_ids: &[Id]) {
        self.lent.note(job_ids);
    }

    fn start(&self, claims: Vec<Claim>) {
        self.committed.get_or_init(Instant::now);
        self.lent.start(claims);
    }

    fn started(&self) -> usize {
        self.lent.started()
    }
}

/// Enqueues one job after the other with a slot that is lent for it. Notifies the supervisor of a
/// job that found none, as ingest does after its commit.
pub(super) async fn measure(args: &BenchArgs, scratch: &Scratch) -> anyhow::Result<Measured> {
    let daemon =
        scratch.daemon(args, Role::All, Registry::default().kind(|_| LatencyProbe)).await?;
    let enqueuer = daemon.store().enqueuer();
    let count = args.jobs.unwrap_or(JOBS);
    let (mut each, mut first) = (Vec::with_capacity(count), Instant::now());
    for number in 0..WARM_UP + count {
        if number == WARM_UP {
            each.clear();
            first = Instant::now();
        }
        let lent = daemon.lender().lend(&BTreeMap::from([(SELF_CHECK, 1)]), "enqueue.handing_off");
        let lent = lent.map(|lent| Arc::new(TimedSlots { lent, committed: OnceLock::new() }));
        let slots = lent.clone().map(|lent| lent as Arc<dyn LentSlots>);
        let ids = enqueuer.enqueue_and_start(vec![self_check(&enqueuer)], slots).await?;
        let returned = Instant::now();
        let is_handed_off = lent.as_ref().is_some_and(|lent| lent.started() > 0);
        let committed = lent.and_then(|lent| lent.committed.get().copied()).unwrap_or(returned);
        let supervisor = daemon.supervisor().get();
        if !is_handed_off && supervisor.is_none_or(|it| it.try_send(Stored { jobs: 1 }).is_err()) {
            anyhow::bail!("the supervisor takes no nudge");
        }
        let Some(id) = ids.into_iter().flatten().next() else { anyhow::bail!("a job was there") };
        let started = loop {
            if let Some((_, started)) = STARTED.remove(&id) {
                break started;
            }
            if committed.elapsed() > LIMIT {
                anyhow::bail!("a job did not start within {LIMIT:?}");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        };
        each.push(started.saturating_duration_since(committed));
        tokio::time::sleep_until(committed + PAUSE).await;
    }
    let took = first.elapsed();
    let measured = Measured::new(args.bench.name(), daemon.store().database(), 0, took, each);
    daemon.stop().await;
    Ok(measured)
}
