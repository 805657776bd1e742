//! Hours of mixed load: `just soak`. Everything that must not grow is sampled every minute, and at
//! the end the first third is compared with the last.
//!
//! `SOAK_SECONDS`, `SOAK_RATE` (webhooks a second on each database) and `SOAK_DATABASES` (`sqlite`,
//! `postgres` or both) are environment variables; progress goes to stderr.

use super::{
    chaos::parameter,
    load::{CLIENTS, Dice, clients_config, event},
    seed,
    wire::{Reply, Wire},
};
use crate::{
    own_daemon,
    support::{
        both::{Peek, Place},
        daemon::{Daemon, Options},
        eventually,
        postgres::Server,
    },
};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{task::JoinSet, time::Instant};

/// Pruning works within the run: everything that ends goes after a minute or two.
const CONFIG: &str = "[retention]\nsucceeded = \"1m\"\nfailed = \"2m\"\nquarantine = \"2m\"\npayloads = \"2m\"\n\
    [pools.default]\nbackoff = { base = \"100ms\", cap = \"1s\" }\n[telemetry]\nlog = \"warn\"\n\
    [[clients]]\nid = \"doomed\"\n";
const CONNECTIONS: u64 = 16;
/// Leads of each client.
const LEADS: u64 = 1_000;
/// The percentages of webhooks that come once more, and of those that no channel knows.
const REPEATS_PERCENT: u64 = 15;
const UNKNOWN_PERCENT: u64 = 2;
/// How often a job that fails is put in; half of them fail for good.
const FLAKY_EVERY: Duration = Duration::from_secs(10);
const FLAKY_EACH: i64 = 40;
/// The most that is left out of the comparison.
const WARM_UP: Duration = Duration::from_secs(600);
const TABLES: [&str; 9] = [
    "jobs",
    "job_attempts",
    "job_ready",
    "job_blocked",
    "job_later",
    "quarantine",
    "message_keys",
    "messages",
    "leads",
];
/// These are kept for good, and their sizes with them.
const GROW: [&str; 4] = ["messages", "message_keys", "leads", "file"];

/// The figures of one moment, by name.
type Sample = BTreeMap<String, f64>;

/// State that the posting tasks share.
#[derive(Debug, Default)]
struct Shared {
    is_over: AtomicBool,
    next: AtomicU64,
    answered: AtomicU64,
    refused: AtomicU64,
    /// The latencies of the current minute, in milliseconds.
    took_ms: Mutex<Vec<f64>>,
}

impl Shared {
    /// Posts at its own pace, however long the answers take, until it is stopped.
    async fn post(&self, port: u16, pace: Duration, seed: u64) {
        let (mut dice, mut wire) = (Dice::new(seed), Wire::new(true));
        let mut due = Instant::now() + pace * u32::try_from(dice.below(100)).unwrap() / 100;
        while !self.is_over.load(Ordering::Relaxed) {
            tokio::time::sleep_until(due).await;
            due += pace;
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if dice.percent(UNKNOWN_PERCENT) {
                let body = format!("{{\"event_type\":\"NOBODY_KNOWS\",\"number\":{number}}}");
                let client = CLIENTS[usize::try_from(number % 4).unwrap()];
                self.until_told(&mut wire, port, &format!("/webhooks/smartlead/{client}"), &body)
                    .await;
                continue;
            }
            let event = event(number, LEADS, &mut dice);
            self.until_told(&mut wire, port, &event.path, &event.body).await;
            if dice.percent(REPEATS_PERCENT) {
                self.until_told(&mut wire, port, &event.path, &event.body).await;
            }
        }
    }

    async fn until_told(&self, wire: &mut Wire, port: u16, path: &str, body: &str) {
        loop {
            let started = Instant::now();
            match wire.post(port, path, body).await {
                Reply::Answered(200, _) => {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    self.took_ms.lock().unwrap().push(started.elapsed().as_secs_f64() * 1e3);
                    return;
                }
                Reply::Answered(429, _) => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                other => panic!("nobody stops this daemon: {other:?} {body}"),
            }
        }
    }
}

fn percentiles(mut all: Vec<f64>, name: &str, into: &mut Sample) {
    all.sort_unstable_by(f64::total_cmp);
    for share in [50, 99] {
        if let Some(it) = all.get((all.len() * share / 100).min(all.len().saturating_sub(1))) {
            into.insert(format!("{name} p{share} ms"), *it);
        }
    }
}

/// The size of a file in MiB; 0 while there is none.
fn mib(path: &Path) -> f64 {
    fs::metadata(path).map_or(0.0, |it| it.len() as f64 / f64::from(1 << 20))
}

/// Samples a daemon and its database.
struct Watch<'a> {
    daemon: &'a Daemon,
    db: Peek,
    shared: &'a Shared,
    log_mib: f64,
    /// The last message of the previous sample, and of the one before that.
    last: (i64, i64),
}

impl Watch<'_> {
    /// The log of SQLite is short-lived: its greatest size since the last sample counts.
    fn glance(&mut self) {
        self.log_mib = self.log_mib.max(mib(&self.daemon.directory().join("postroom.db-wal")));
    }

    async fn sample(&mut self) -> Sample {
        let mut it = Sample::new();
        it.insert("memory MiB".to_owned(), self.daemon.resident_mib() as f64);
        percentiles(std::mem::take(&mut self.shared.took_ms.lock().unwrap()), "answer", &mut it);
        let newest = self.db.number("select coalesce(max(id), 0) from messages").await;
        let ms = match self.db.is_sqlite() {
            true => "handled_at - created_at",
            false => "cast(extract(epoch from handled_at - created_at) * 1000 as bigint)",
        };
        let of_minute = format!(
            "select cast({ms} as text) from messages where id > {} and id <= {} and handled_at is not null",
            self.last.0, self.last.1
        );
        let handled = self.db.texts(&of_minute).await;
        percentiles(handled.iter().map(|it| it.parse().unwrap()).collect(), "handled", &mut it);
        self.last = (self.last.1, newest);
        for table in TABLES {
            let rows = self.db.number(&format!("select count(*) from {table}")).await;
            it.insert(format!("{table} rows"), rows as f64);
        }
        let payloads = "select count(*) from messages where payload is not null";
        it.insert("payloads rows".to_owned(), self.db.number(payloads).await as f64);
        if self.db.is_sqlite() {
            it.insert("log MiB".to_owned(), std::mem::take(&mut self.log_mib));
            it.insert("file MiB".to_owned(), mib(&self.daemon.directory().join("postroom.db")));
            return it;
        }
        for table in TABLES {
            let size = format!("select pg_total_relation_size('{table}')");
            let dead =
                format!("select n_dead_tup from pg_stat_user_tables where relname = '{table}'");
            let bytes = self.db.number(&size).await;
            it.insert(format!("{table} MiB"), bytes as f64 / f64::from(1 << 20));
            it.insert(format!("{table} dead"), self.db.number(&dead).await as f64);
        }
        it
    }
}

/// An increase up to this much does not count as growth.
fn slack(name: &str) -> (f64, f64) {
    match name {
        it if it.ends_with("p50 ms") => (2.0, 5.0),
        it if it.ends_with("p99 ms") => (3.0, 100.0),
        it if it.ends_with("dead") => (2.0, 50_000.0),
        it if it.ends_with("MiB") => (1.2, 16.0),
        _ => (1.3, 500.0),
    }
}

/// Prints the samples, and returns the figures that grew and should not have.
fn judge(what: &str, samples: &[Sample]) -> Vec<String> {
    let third = samples.len() / 3;
    let mut grown = Vec::new();
    eprintln!("\n| {what} | first third | last third | greatest | |\n|---|---|---|---|---|");
    let last = samples.last().expect("there is a sample");
    for name in last.keys() {
        let of = |part: &[Sample]| {
            part.iter().filter_map(|it| it.get(name).copied()).collect::<Vec<_>>()
        };
        let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len().max(1) as f64;
        let (first, last) =
            (mean(&of(&samples[..third])), mean(&of(&samples[samples.len() - third..])));
        let greatest = of(samples).into_iter().fold(0.0, f64::max);
        let (times, more) = slack(name);
        let is_kept = GROW.iter().any(|it| name.starts_with(&format!("{it} ")));
        let verdict = match (is_kept, last <= (first * times).max(first + more)) {
            (true, _) => "kept",
            (false, true) => "flat",
            (false, false) => {
                grown.push(format!("{what}: {name} went from {first:.1} to {last:.1}"));
                "GROWS"
            }
        };
        eprintln!("| {name} | {first:.1} | {last:.1} | {greatest:.1} | {verdict} |");
    }
    grown
}

/// Runs one database's daemon under load.
async fn soak(place: Place, run: Duration, rate: u64, seed: u64) -> Vec<String> {
    let what = if place.is_sqlite() { "SQLite" } else { "PostgreSQL" };
    let daemon = Daemon::start(Options {
        has_own_kinds: true,
        env: vec![(own_daemon::WITH_CHANNELS.to_owned(), "1".to_owned())],
        ..place.options(&format!("{CONFIG}{}", clients_config()))
    })
    .await;
    let (shared, mut posting, mut dice) =
        (Arc::new(Shared::default()), JoinSet::new(), Dice::new(seed));
    let pace =
        Duration::from_secs(1) * u32::try_from(CONNECTIONS).unwrap() / u32::try_from(rate).unwrap();
    for _ in 0..CONNECTIONS {
        let (shared, seed, port) = (shared.clone(), dice.below(u64::MAX), daemon.port());
        posting.spawn(async move { shared.post(port, pace, seed).await });
    }
    let db = Peek::of(&daemon).await;
    let mut watch =
        Watch { daemon: &daemon, db: db.clone(), shared: &shared, log_mib: 0.0, last: (0, 0) };
    let (started, every) =
        (Instant::now(), (run / 30).clamp(Duration::from_secs(2), Duration::from_secs(60)));
    let (mut samples, mut sample_at, mut flaky_at, mut first) =
        (Vec::new(), every, Duration::ZERO, 0);
    while started.elapsed() < run {
        assert!(daemon.is_running(), "it ended");
        if started.elapsed() >= flaky_at {
            for client in ["ash", "doomed"] {
                db.put_jobs(first, FLAKY_EACH / 2, "FLAKY", client).await;
                first += FLAKY_EACH / 2;
            }
            flaky_at += FLAKY_EVERY;
        }
        watch.glance();
        if started.elapsed() >= sample_at {
            let sample = watch.sample().await;
            let told: Vec<String> =
                sample.iter().map(|(name, it)| format!("{name} {it:.1}")).collect();
            eprintln!("{what} after {} s: {}", sample_at.as_secs(), told.join(", "));
            samples.push((sample_at, sample));
            sample_at += every;
        }
        while let Some(ended) = posting.try_join_next() {
            ended.expect("the load goes on");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    shared.is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = posting.join_next().await {
        ended.expect("the load goes on");
    }
    eventually(Duration::from_secs(120), async || (db.unfinished().await <= 1).then_some(())).await;
    let warm_up = WARM_UP.min(run / 3);
    let samples: Vec<Sample> =
        samples.into_iter().filter(|it| it.0 > warm_up).map(|it| it.1).collect();
    let mut wrong = judge(what, &samples);
    let unhandled = db
        .number("select count(*) from messages where direction = 'inbound' and handled_at is null")
        .await;
    if unhandled > 0 {
        wrong.push(format!("{what}: {unhandled} messages were never handled"));
    }
    eprintln!(
        "{what}: {} webhooks answered 200, {} answered 429, in {} s; at most {} MiB of memory",
        shared.answered.load(Ordering::Relaxed),
        shared.refused.load(Ordering::Relaxed),
        started.elapsed().as_secs(),
        daemon.peak_mib()
    );
    daemon.terminate();
    assert_eq!(daemon.wait(Duration::from_secs(60)).await.code(), Some(0), "{}", daemon.log());
    wrong
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes an hour: `just soak`"]
async fn by_hand_an_hour_of_everything_leaves_everything_as_small_as_it_was() {
    let run = Duration::from_secs(parameter("SOAK_SECONDS", 3_600));
    let (rate, seed) = (parameter("SOAK_RATE", 60), seed());
    let wanted = std::env::var("SOAK_DATABASES").unwrap_or_else(|_| "sqlite postgres".to_owned());
    // As in production: with `fsync`, and a server of its own.
    let server = wanted.contains("postgres").then(|| Server::own(&[("fsync", "on")])).flatten();
    let postgres = async {
        match &server {
            Some(server) => soak(Place::on(server), run, rate, seed).await,
            None => Vec::new(),
        }
    };
    let sqlite = async {
        match wanted.contains("sqlite") {
            true => soak(Place::sqlite(), run, rate, seed).await,
            false => Vec::new(),
        }
    };
    let (sqlite, postgres) = tokio::join!(sqlite, postgres);
    let wrong = [sqlite, postgres].concat();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
