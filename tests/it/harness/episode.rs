//! One episode: daemons on a fresh database, a load, and kills; then rest, and the check.

use super::{
    checker::{self, Checked},
    lives::End,
    load::{Dice, Load, clients_config},
};
use crate::support::{
    both::{Peek, Place},
    daemon::{Daemon, Options, Until},
    eventually,
    leftovers::Leftover,
};
use std::{
    collections::BTreeMap,
    ops::AddAssign,
    os::unix::process::ExitStatusExt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{task::JoinSet, time::Instant};

/// How long the remaining jobs may take after the last post and the last kill.
const REST: Duration = Duration::from_secs(300);
/// Dead nodes are noticed at once, and no job runs out of attempts by kills.
pub const CONFIG: &str = "[supervisor]\ntick = \"100ms\"\nheartbeat = \"100ms\"\nlease = \"400ms\"\n\
    [pools.default]\nmax_attempts = 100\nbackoff = { base = \"10ms\", cap = \"100ms\" }\n\
    [database]\nmax_connections = 8\n[telemetry]\nlog = \"warn\"\n";

/// The parameters of an episode.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    /// Daemons over the database; one on SQLite.
    pub nodes: usize,
    pub connections: usize,
    pub leads: u64,
    pub kills: u64,
    /// The least number of webhooks that are answered.
    pub webhooks: u64,
    /// The longest life that ends at a random moment.
    pub longest_life: Duration,
}

/// The figures of an episode.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub kills: u64,
    /// Deaths at points of the code, by point.
    pub at_points: BTreeMap<&'static str, u64>,
    pub answered: u64,
    pub refused: u64,
    pub unanswered: u64,
    pub checked: Checked,
}

impl AddAssign for Figures {
    fn add_assign(&mut self, it: Self) {
        self.kills += it.kills;
        for (point, count) in it.at_points {
            *self.at_points.entry(point).or_default() += count;
        }
        self.answered += it.answered;
        self.refused += it.refused;
        self.unanswered += it.unanswered;
        self.checked.messages += it.checked.messages;
        self.checked.jobs += it.checked.jobs;
        self.checked.ordered += it.checked.ordered;
        self.checked.rescued += it.checked.rescued;
        self.checked.panicked += it.checked.panicked;
    }
}

impl Figures {
    /// The figures as a few lines of text.
    pub fn told(&self) -> String {
        let Checked { messages, jobs, ordered, rescued, panicked } = self.checked;
        let at_points: u64 = self.at_points.values().sum();
        format!(
            "{} kills ({at_points} at {} points, {} from outside), {} webhooks answered 200, {} answered 429, {} unanswered; \
             {messages} messages, {jobs} jobs, {rescued} attempts rescued, {panicked} panicked, {ordered} pairs in order",
            self.kills,
            self.at_points.len(),
            self.kills - at_points,
            self.answered,
            self.refused,
            self.unanswered,
        )
    }
}

/// Runs an episode. Panics with everything that is wrong.
pub async fn run(place: &Place, plan: Plan) -> Figures {
    let mut dice = Dice::new(plan.seed);
    let config = format!("{CONFIG}{}", clients_config());
    let mut daemons = Vec::new();
    for _ in 0..plan.nodes {
        let options = Options { until: Until::Started, ..place.options(&config) };
        let daemon = Daemon::start(options).await;
        daemon.may_leave(Leftover::Panic, "actors go down at points of the code");
        daemons.push(daemon);
    }
    let ports: Vec<u16> = daemons.iter().map(Daemon::port).collect();
    let load = Arc::new(Load::new(&ports, plan.leads, 0));
    let mut posting = JoinSet::new();
    for _ in 0..plan.connections {
        let (load, seed) = (load.clone(), dice.below(u64::MAX));
        posting.spawn(async move { load.post(seed).await });
    }
    let deaths = Deaths { left: AtomicU64::new(plan.kills), at_points: Mutex::default() };
    let seeds: Vec<u64> = daemons.iter().map(|_| dice.below(u64::MAX)).collect();
    let killing =
        daemons.iter_mut().zip(seeds).map(|(daemon, seed)| deaths.bring(daemon, seed, plan));
    let killing = futures_util::future::join_all(killing);
    // A provider that got a wrong answer fails the test at once.
    let failing = async {
        while let Some(ended) = posting.join_next().await {
            ended.expect("the load goes on");
        }
    };
    let until_answered = async {
        killing.await;
        eventually(REST, async || (load.answered() >= plan.webhooks).then_some(())).await;
        load.stop();
    };
    tokio::join!(until_answered, failing);
    let db = Peek::of(&daemons[0]).await;
    let waiting = "select (select count(*) from job_ready where kind <> 'SELF_CHECK') \
        + (select count(*) from job_blocked) + (select count(*) from job_later where kind <> 'SELF_CHECK')";
    eventually(REST, async || (db.number(waiting).await == 0).then_some(())).await;
    for daemon in &daemons {
        daemon.terminate();
        assert_eq!(daemon.wait(Duration::from_secs(60)).await.code(), Some(0), "{}", daemon.log());
    }
    let (checked, wrong) = checker::check(&db, &load.told()).await;
    assert!(wrong.is_empty(), "seed {}: {wrong:#?}", plan.seed);
    Figures {
        kills: plan.kills,
        at_points: deaths.at_points.into_inner().unwrap(),
        answered: load.answered(),
        refused: load.refused.load(Ordering::Relaxed),
        unanswered: load.unanswered.load(Ordering::Relaxed),
        checked,
    }
}

/// The kills of an episode, shared by the tasks that kill the daemons.
struct Deaths {
    left: AtomicU64,
    at_points: Mutex<BTreeMap<&'static str, u64>>,
}

impl Deaths {
    /// Kills a daemon again and again, and leaves it alive.
    async fn bring(&self, daemon: &mut Daemon, seed: u64, plan: Plan) {
        let mut dice = Dice::new(seed);
        let take = |it: u64| it.checked_sub(1);
        while self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
            let end = End::by(&mut dice, plan.longest_life);
            daemon.kill_9();
            let panics = if dice.percent(30) { 1 + dice.below(5) } else { 0 };
            daemon.set_env(end.env(panics));
            daemon.start_again().await;
            let born = Instant::now();
            match (daemon.ended_within(end.limit()).await, end) {
                (Some(status), End::At(point, _)) => {
                    assert!(status.signal().is_some(), "{status}:\n{}", daemon.log());
                    *self.at_points.lock().unwrap().entry(point).or_default() += 1;
                }
                (Some(status), End::After(_)) => {
                    panic!(
                        "ended by itself after {:?}: {status}:\n{}",
                        born.elapsed(),
                        daemon.log()
                    )
                }
                (None, _) => daemon.kill_9(),
            }
        }
        daemon.kill_9();
        daemon.set_env(Vec::new());
        daemon.set_until(Until::Ready);
        daemon.start_again().await;
    }
}
