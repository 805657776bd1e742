//! G10 under load: a stop ends in time whatever hangs, nodes restart one after the other unnoticed,
//! and no request is cut off by a daemon that nobody killed.

use super::{
    checker,
    episode::CONFIG,
    load::{Dice, Load, clients_config},
    seed,
};
use crate::{
    on_both_daemons, own_daemon,
    support::{
        both::{Peek, Place},
        daemon::{Daemon, Options, Until},
        eventually,
        postgres::Server,
        proxy::{Proxy, Way},
        web::{ask, try_ask},
    },
};
use futures_util::future::join_all;
use sqlx::Connection as _;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{task::JoinSet, time::Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// `server.shutdown_timeout` for a stop that cannot finish what has begun.
const LIMIT: Duration = Duration::from_secs(1);
const SHORT: &str = "[server]\nshutdown_timeout = \"1s\"\n";

/// A load, and the tasks that post it.
struct Posting {
    load: Arc<Load>,
    tasks: JoinSet<()>,
}

impl Posting {
    /// Starts a load over nodes that are only ever stopped in order.
    fn start(ports: &[u16], connections: usize, seed: u64) -> Self {
        let (load, mut dice) = (Arc::new(Load::new(ports, 25, 0)), Dice::new(seed));
        load.nodes.iter().for_each(|it| it.is_orderly.store(true, Ordering::SeqCst));
        let mut tasks = JoinSet::new();
        for _ in 0..connections {
            let (load, seed) = (load.clone(), dice.below(u64::MAX));
            tasks.spawn(async move { load.post(seed).await });
        }
        Self { load, tasks }
    }

    async fn has_got(&self, more: u64) {
        let until = self.load.answered() + more;
        eventually(PATIENCE, async || (self.load.answered() >= until).then_some(())).await;
    }

    /// Ends it. Events under way are posted until they are acknowledged.
    async fn end(mut self) -> Arc<Load> {
        self.load.stop();
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("nobody was told anything wrong");
        }
        self.load
    }
}

/// Nobody was cut off, and nobody found a node that was up and refused.
#[track_caller]
fn assert_none_cut(load: &Load) {
    assert_eq!(*load.cut.lock().unwrap(), Vec::<String>::new(), "requests that were cut off");
    let refused = load.refused_by_listeners.load(Ordering::SeqCst);
    assert_eq!(refused, 0, "connections refused by nodes that were up");
}

/// Stops a daemon whose time-out is [`LIMIT`], and tells how long that took.
async fn stop_in_time(daemon: &Daemon, what: &str) -> Duration {
    let told_at = Instant::now();
    daemon.terminate();
    let status = daemon.wait(PATIENCE).await;
    let took = told_at.elapsed();
    eprintln!("{what}: stopped after {took:?} with a time-out of {LIMIT:?}");
    assert_eq!(status.code(), Some(0), "{status}: {}", daemon.log());
    // G10: one second more than the time-out; the rest is for a machine that has other things to
    // do.
    assert!(took < LIMIT + Duration::from_millis(2_500), "{what}: {took:?}");
    took
}

/// A daemon under load whose database goes away in one way or another before it is told to stop.
struct Abandoned {
    daemon: Daemon,
    posting: Posting,
}

impl Abandoned {
    async fn start(options: Options) -> Self {
        let daemon = Daemon::start(options).await;
        let posting = Posting::start(&[daemon.port()], 8, seed());
        posting.has_got(100).await;
        Self { daemon, posting }
    }

    /// Waits until webhooks are refused: all work that needs the database has stopped by then.
    async fn is_refused(&self) {
        let refused = || self.posting.load.refused.load(Ordering::Relaxed);
        let before = refused();
        eventually(PATIENCE, async || (refused() > before + 20).then_some(())).await;
    }

    async fn stop(&self, what: &str) {
        self.posting.load.nodes[0].is_up.store(false, Ordering::SeqCst);
        stop_in_time(&self.daemon, what).await;
    }

    /// Starts the daemon again, with a database that is there.
    async fn start_again(&mut self) {
        self.daemon.start_again().await;
        self.posting.load.nodes[0].is_up.store(true, Ordering::SeqCst);
        self.posting.has_got(100).await;
    }

    /// Everything that was acknowledged is there once, nobody was cut off, and all is worked off.
    async fn end(self) {
        let load = self.posting.end().await;
        assert_none_cut(&load);
        let db = Peek::of(&self.daemon).await;
        eventually(PATIENCE, async || (db.unfinished().await == 0).then_some(())).await;
        self.daemon.terminate();
        assert_eq!(self.daemon.wait(PATIENCE).await.code(), Some(0), "{}", self.daemon.log());
        let (checked, wrong) = checker::check(&db, &load.told()).await;
        eprintln!("{checked:?}");
        assert_eq!(wrong, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn a_stop_while_postgres_is_away_ends_in_time_and_cuts_nobody_off() {
    let Some(place) = Place::postgres() else { return };
    let url = place.database_url().expect("a server has one");
    let proxy = Proxy::before(url).await;
    let options = Options {
        config: format!("{SHORT}{CONFIG}{}", clients_config()),
        told_url: Some(proxy.url(url)),
        ..place.options("")
    };
    let mut scene = Abandoned::start(options).await;
    // With commits, claims and outcomes under way.
    proxy.set(Way::Silent);
    scene.stop("connections have just fallen silent").await;
    proxy.set(Way::Open);
    scene.start_again().await;
    proxy.set(Way::Silent);
    scene.is_refused().await;
    scene.stop("connections are silent for a while").await;
    proxy.set(Way::Open);
    scene.start_again().await;
    // And while it waits at its start.
    proxy.set(Way::Refused);
    scene.stop("connections have just been cut and are refused").await;
    scene.daemon.set_until(Until::Alive);
    scene.daemon.start_again().await;
    scene.posting.load.nodes[0].is_up.store(true, Ordering::SeqCst);
    scene.is_refused().await;
    scene.stop("waiting for the database").await;
    scene.daemon.set_until(Until::Ready);
    proxy.set(Way::Open);
    scene.start_again().await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn a_stop_while_sqlites_file_is_held_ends_in_time_and_cuts_nobody_off() {
    let config = format!("{SHORT}{CONFIG}{}", clients_config());
    let mut scene = Abandoned::start(Place::sqlite().options(&config)).await;
    let url = scene.daemon.database_url();
    let mut other = sqlx::SqliteConnection::connect(&url).await.unwrap();
    for (what, waits) in [("the file has just been taken", false), ("the file is held", true)] {
        let hold = "pragma busy_timeout = 10000; begin exclusive";
        sqlx::raw_sql(hold).execute(&mut other).await.unwrap();
        if waits {
            scene.is_refused().await;
        }
        scene.stop(what).await;
        sqlx::raw_sql("rollback").execute(&mut other).await.unwrap();
        scene.start_again().await;
    }
    drop(other);
    scene.end().await;
}

on_both_daemons! {
    /// The handler keeps its thread for good. The pools are small, so that jobs wait in the daemon,
    /// and webhooks come in all the time.
    #[ignore = "long: `just long`"]
    async fn a_stop_under_load_ends_in_time_though_a_handler_is_stuck(place: Place) {
        let config =
            format!("{SHORT}[pools.default]\nsize = 2\nprefetch = 50\n{}", clients_config());
        let mut daemon = Daemon::start(Options {
            has_own_kinds: true,
            env: vec![(own_daemon::WITH_CHANNELS.to_owned(), "1".to_owned())],
            ..place.options(&config)
        })
        .await;
        let db = Peek::of(&daemon).await;
        db.put_job(1, "BLOCKS", "ash", 5).await;
        let posting = Posting::start(&[daemon.port()], 8, seed());
        eventually(PATIENCE, async || {
            let stuck = "select count(*) from job_ready where job_id = 1 and node is not null";
            (db.number(stuck).await == 1).then_some(())
        })
        .await;
        posting.has_got(300).await;
        posting.load.nodes[0].is_up.store(false, Ordering::SeqCst);
        assert!(stop_in_time(&daemon, "with a stuck handler").await >= LIMIT);
        for (what, sql) in [
            ("jobs still claimed", "select count(*) from job_ready where node is not null"),
            (
                "attempts used by jobs that were not started",
                "select count(*) from job_ready where job_id <> 1 and run <> spared",
            ),
            ("the same in line", "select count(*) from job_blocked where run <> spared"),
            (
                "attempts that failed besides",
                "select count(*) from job_attempts where job_id <> 1 and outcome <> 'succeeded'",
            ),
            (
                "other attempts of the one that is stuck",
                "select count(*) from job_attempts where job_id = 1 and outcome <> 'shutdown'",
            ),
        ] {
            assert_eq!(db.number(sql).await, 0, "{what}");
        }
        let cut_short = "select count(*) from job_attempts where job_id = 1";
        assert_eq!(db.number(cut_short).await, 1, "the stuck one is a failed attempt");
        // Cancelled, so that it does not hang the next stop as well; and the rest is worked off.
        daemon.start_again().await;
        let cancel = daemon.api(reqwest::Method::POST, "/jobs/1/cancel");
        assert_eq!(ask(cancel).await.status, 200);
        let load = posting.end().await;
        assert_none_cut(&load);
        eventually(PATIENCE, async || {
            let waiting = "select count(*) from messages where handled_at is null";
            (db.number(waiting).await == 0).then_some(())
        })
        .await;
    }
}

/// Three nodes over one PostgreSQL restart in turn, twice, while providers post to whichever is up.
///
/// No attempt may fail, so the lease is the usual one: a node that a full machine keeps waiting for
/// longer than its lease loses its jobs, as is promised. Nobody waits for it, since nobody dies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn a_rolling_restart_loses_and_doubles_nothing_and_cuts_nobody_off() {
    let Some(place) = Place::postgres() else { return };
    let config = "[supervisor]\ntick = \"100ms\"\n[database]\nmax_connections = 8\n\
        [telemetry]\nlog = \"warn\"\n";
    let config = format!("{config}{}", clients_config());
    let mut daemons = join_all((0..3).map(|_| place.start(&config))).await;
    let ports: Vec<u16> = daemons.iter().map(Daemon::port).collect();
    let posting = Posting::start(&ports, 9, seed());
    posting.has_got(100).await;
    let mut stops = Vec::new();
    for _ in 0..2 {
        for (daemon, node) in daemons.iter_mut().zip(&posting.load.nodes) {
            node.is_up.store(false, Ordering::SeqCst);
            let told_at = Instant::now();
            daemon.terminate();
            assert_eq!(daemon.wait(PATIENCE).await.code(), Some(0), "{}", daemon.log());
            stops.push(told_at.elapsed());
            daemon.start_again().await;
            node.is_up.store(true, Ordering::SeqCst);
            posting.has_got(50).await;
        }
    }
    let load = posting.end().await;
    let db = Peek::of(&daemons[0]).await;
    eventually(PATIENCE, async || {
        let waiting = "select count(*) from messages m where m.handled_at is null \
            or not exists (select 1 from jobs j join job_attempts a on a.job_id = j.id and a.ended \
              where j.subject_id = m.id and j.kind = 'LEAD_SCORING_POST_PROCESS')";
        (db.number(waiting).await == 0).then_some(())
    })
    .await;
    for daemon in &daemons {
        daemon.terminate();
        assert_eq!(daemon.wait(PATIENCE).await.code(), Some(0), "{}", daemon.log());
    }
    let (checked, wrong) = checker::check(&db, &load.told()).await;
    eprintln!(
        "{} stops took {stops:?}; {} webhooks answered 200, {} answered 429, {} found nobody: {checked:?}",
        stops.len(),
        load.answered(),
        load.refused.load(Ordering::Relaxed),
        load.unanswered.load(Ordering::Relaxed)
    );
    assert_eq!(wrong, Vec::<String>::new());
    assert_none_cut(&load);
    let failed = "select count(*) from job_attempts where outcome <> 'succeeded'";
    assert_eq!(db.number(failed).await, 0, "attempts that failed");
}

/// Every request is answered while the daemon waits for its database, and at the moment when the
/// database is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn nobody_is_cut_off_when_the_database_comes_back() {
    let Some(server) = Server::own(&[]) else { return };
    let name = server.create_database("hand_over");
    let options = Options {
        config: clients_config(),
        database_url: Some(server.url(&name)),
        until: Until::Alive,
        ..Options::default()
    };
    let mut daemon: Option<Daemon> = None;
    for _ in 0..3 {
        server.stop();
        match &mut daemon {
            None => daemon = Some(Daemon::start(options.clone()).await),
            Some(daemon) => daemon.start_again().await,
        }
        let daemon = daemon.as_ref().expect("started");
        let posting = Posting::start(&[daemon.port()], 12, seed());
        let is_refused = async || (posting.load.refused.load(Ordering::Relaxed) > 50).then_some(());
        eventually(PATIENCE, is_refused).await;
        server.start();
        posting.has_got(200).await;
        let ready = async || (try_ask(daemon.get("/readyz")).await?.status == 200).then_some(());
        eventually(PATIENCE, ready).await;
        let load = posting.end().await;
        assert_none_cut(&load);
        daemon.terminate();
        assert_eq!(daemon.wait(PATIENCE).await.code(), Some(0), "{}", daemon.log());
    }
}
