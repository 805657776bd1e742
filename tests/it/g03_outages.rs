//! The database goes away and comes back: webhooks are answered 429 meanwhile, nothing that was
//! acknowledged is lost, no actor goes down and no node is taken for dead, and all goes on by
//! itself.

use crate::{
    g01_acknowledged_means_durable::Load,
    support::{
        both::{Peek, Place},
        daemon::{Daemon, Options},
        eventually,
        fixture::{self, Fixture},
        http, postgres,
        process::Tmpfs,
        proxy::{Proxy, Way},
        skipped::skip,
        web::{Answer, sms, try_ask},
    },
};
use postroom::{
    config::Config,
    store::{Heartbeat, StoreError},
};
use sqlx::Connection;
use std::{
    collections::BTreeSet,
    fs,
    pin::Pin,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(60);
/// A lease is short against the outages.
const CONFIG: &str = "[server]\nrequest_timeout = \"1s\"\n\
    [supervisor]\ntick = \"200ms\"\nheartbeat = \"100ms\"\nlease = \"500ms\"\n\
    [pools.default]\nmax_attempts = 50\nbackoff = { base = \"10ms\", cap = \"100ms\" }\n";
/// Longer than the lease.
const AWAY: Duration = Duration::from_secs(2);

/// One node that does everything and one worker, under load.
struct Scene {
    taker: Daemon,
    worker: Option<Daemon>,
    /// Past everything that a test puts between.
    database_url: String,
    load: Load,
    /// The longest that an answer took before the first outage: the first message compiles
    /// patterns, and the machine has other things to do.
    usual: OnceLock<Duration>,
    http: reqwest::Client,
}

impl Scene {
    async fn on_postgres(database_url: &str, as_seen: &str) -> Self {
        let options = |role: &str| Options {
            config: CONFIG.to_owned(),
            database_url: Some(database_url.to_owned()),
            told_url: Some(as_seen.to_owned()),
            args: vec!["--role".to_owned(), role.to_owned()],
            ..Options::default()
        };
        let taker = Daemon::start(options("all")).await;
        let worker = Some(Daemon::start(options("worker")).await);
        let database_url = database_url.to_owned();
        Self {
            taker,
            worker,
            database_url,
            load: Load::default(),
            usual: OnceLock::new(),
            http: http(),
        }
    }

    /// Over a proxy, whose other side tests look at past it; `None` if there is no server.
    async fn behind_a_proxy() -> Option<(Self, Proxy)> {
        let place = Place::postgres()?;
        let url = place.database_url().unwrap();
        let proxy = Proxy::before(url).await;
        Some((Self::on_postgres(url, &proxy.url(url)).await, proxy))
    }

    async fn on_sqlite(options: Options) -> Self {
        let taker = Daemon::start(options).await;
        let database_url = taker.database_url();
        Self {
            taker,
            worker: None,
            database_url,
            load: Load::default(),
            usual: OnceLock::new(),
            http: http(),
        }
    }

    /// Posts while `outages` come and go; then looks that everything is there and as it should be.
    fn play<'a>(
        &'a self,
        outages: impl Future<Output = ()> + 'a,
    ) -> Pin<Box<impl Future<Output = ()> + 'a>> {
        Box::pin(async move {
            let url = self.taker.url("/webhooks/sms/demo");
            tokio::join!(self.load.post_over(&self.http, &url, 4), async {
                self.load.has_reached(20).await;
                self.usual.get_or_init(|| self.load.take_slowest());
                outages.await;
                self.load.has_reached(self.load.count() + 20).await;
                self.load.stop();
            });
            self.load.is_stored_and_worked_off(&self.taker, "outages").await;
            let db = Peek::open(&self.database_url).await;
            let dead = "select count(*) from job_attempts where error like '%fell silent%'";
            assert_eq!(db.number(dead).await, 0, "a live node was taken for dead");
            for daemon in [Some(&self.taker), self.worker.as_ref()].into_iter().flatten() {
                let metrics = daemon.get("/metrics").send().await.unwrap().text().await.unwrap();
                let restarts: Vec<&str> = metrics
                    .lines()
                    .filter(|it| it.starts_with("postroom_actor_restarts_total"))
                    .collect();
                assert!(restarts.iter().all(|it| it.ends_with(" 0")), "{restarts:?}");
                eventually(PATIENCE, async || {
                    let ready = try_ask(daemon.get("/readyz")).await?;
                    (ready.status == 200).then_some(())
                })
                .await;
            }
        })
    }

    /// The first message once more: it was acknowledged long ago.
    async fn again(&self) -> Option<Answer> {
        let body = sms(0, "Hey, yes I'm interested. What does it cost? (0)");
        let answer =
            try_ask(self.http.post(self.taker.url("/webhooks/sms/demo")).json(&body)).await;
        let answer = answer?;
        assert!(matches!(answer.status, 200 | 429), "{answer:?}");
        Some(answer)
    }

    /// Waits until a webhook is refused and the daemon says that it is not ready and why, and until
    /// this instant.
    async fn is_away(&self, until: Instant) {
        let before = self.load.refused().len();
        let refused = eventually(PATIENCE, async || self.load.refused().get(before).cloned()).await;
        refused.is_problem(429, "database-away");
        let unready = eventually(PATIENCE, async || {
            try_ask(self.taker.get("/readyz")).await.filter(|it| it.status == 503)
        })
        .await;
        let database = &unready.body["checks"]["database"];
        assert_eq!(database["ok"], false, "{unready:?}");
        assert!(database["detail"].as_str().is_some_and(|it| !it.is_empty()), "{unready:?}");
        eventually(PATIENCE, async || (Instant::now() >= until).then_some(())).await;
    }

    /// Waits until webhooks are taken and jobs are run again, and tells how long that took.
    async fn is_back(&self, what: &str) {
        let (back, back_ms) = (Instant::now(), postroom::store::wall_clock().as_millis());
        // Those of the load are new ones.
        self.load.has_reached(self.load.count() + 1).await;
        let answered = back.elapsed();
        let taken = eventually(PATIENCE, async || self.again().await.filter(|it| it.status == 200));
        assert_eq!(taken.await.outcome(), "duplicate");
        let db = Peek::open(&self.database_url).await;
        let ms =
            if db.is_sqlite() { "finished_at" } else { "extract(epoch from finished_at) * 1000" };
        let ended = format!(
            "select count(*) from job_attempts where outcome = 'succeeded' and {ms} > {back_ms}"
        );
        eventually(PATIENCE, async || (db.number(&ended).await > 0).then_some(())).await;
        let worked = back.elapsed();
        eprintln!(
            "{what}: webhooks are taken {answered:?} after it is back, jobs have ended after {worked:?}"
        );
        assert!(worked < Duration::from_secs(20), "{what}: {worked:?}");
        let (slowest, usual) = (self.load.take_slowest(), *self.usual.get().expect("it is known"));
        // `server.request_timeout` is one second.
        let may_take = usual + Duration::from_secs(4);
        assert!(slowest < may_take, "{what}: an answer took {slowest:?}, before {usual:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn g03_a_server_that_stops_crashes_or_freezes_is_waited_for() {
    let Some(server) = postgres::Server::own(&[]) else { return };
    let url = server.url(&server.create_database("outages"));
    let scene = Scene::on_postgres(&url, &url).await;
    scene
        .play(async {
            server.stop();
            scene.is_away(Instant::now() + AWAY).await;
            server.start();
            scene.is_back("PostgreSQL stopped and started").await;

            server.kill_9();
            scene.is_away(Instant::now() + AWAY).await;
            server.start();
            scene.is_back("PostgreSQL killed and started").await;

            server.freeze();
            scene.is_away(Instant::now() + AWAY).await;
            server.thaw();
            scene.is_back("PostgreSQL frozen and thawed").await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn g03_connections_that_are_cut_again_and_again_cost_a_moment() {
    const CUTS: usize = 8;
    let Some(place) = Place::postgres() else { return };
    let url = place.database_url().unwrap();
    let scene = Scene::on_postgres(url, url).await;
    let db = Peek::open(url).await;
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
        where datname = current_database() and application_name like 'postroom%'";
    scene
        .play(async {
            for _ in 0..CUTS {
                assert!(db.number(cut).await > 2);
                scene.is_back("all connections cut").await;
            }
        })
        .await;
}

/// The server's machine is gone without a word, and another takes its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn g03_connections_that_fall_silent_are_given_up() {
    let Some((scene, proxy)) = Scene::behind_a_proxy().await else { return };
    scene
        .play(async {
            proxy.set(Way::Silent);
            scene.is_away(Instant::now() + AWAY).await;
            proxy.set(Way::Open);
            scene.is_back("connections fallen silent, new ones possible").await;
        })
        .await;
}

/// The configuration of a store that reaches its database through a proxy and has one connection
/// for reading; `setting` is one more.
async fn one_reader_behind_a_proxy(db: &Fixture, setting: (&str, &str)) -> (Proxy, Config) {
    let url = db.config.database.url.expose();
    let proxy = Proxy::before(url).await;
    let config = fixture::config(&[
        ("POSTROOM__DATABASE__URL", &proxy.url(url)),
        ("POSTROOM__DATABASE__MAX_CONNECTIONS", "3"),
        setting,
    ]);
    (proxy, config)
}

/// A pool asks over a connection whether it is sound before it takes it back: one that falls silent
/// just then must not keep its place for good. Here one place is all that there is for reading, and
/// it is always in use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g03_a_connection_that_falls_silent_on_its_way_back_keeps_no_place() {
    const ROUNDS: usize = 6;
    let Some(db) = Fixture::postgres().await else { return };
    let (proxy, through_proxy) =
        one_reader_behind_a_proxy(&db, ("POSTROOM__SUPERVISOR__HEARTBEAT", "100ms")).await;
    let store = fixture::open_store(&db.runtime, &through_proxy).await;
    let _beats = Heartbeat::start(&store.nodes(), &through_proxy, true, || ()).unwrap();
    let reads = AtomicUsize::new(0);
    let read = async || {
        while reads.load(Ordering::Relaxed) < usize::MAX / 2 {
            match store.nodes().list().await {
                Ok(_) => _ = reads.fetch_add(1, Ordering::Relaxed),
                Err(error) => assert!(error.is_away(), "{error}"),
            }
        }
    };
    let silences = async {
        for round in 0..ROUNDS {
            let before = reads.load(Ordering::Relaxed);
            eventually(PATIENCE, async || {
                (reads.load(Ordering::Relaxed) > before + 50).then_some(())
            })
            .await;
            proxy.set(Way::Silent);
            proxy.set(Way::Open);
            eprintln!("round {round}: {before} reads so far");
        }
        let before = reads.load(Ordering::Relaxed);
        eventually(PATIENCE, async || (reads.load(Ordering::Relaxed) > before + 50).then_some(()))
            .await;
        reads.store(usize::MAX / 2, Ordering::Relaxed);
    };
    tokio::join!(read(), read(), read(), read(), silences);
}

/// No other connection falls silent with it, so nothing else tells that the network is broken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g03_a_connection_that_falls_silent_alone_keeps_no_place() {
    let Some(db) = Fixture::postgres().await else { return };
    let (proxy, through_proxy) =
        one_reader_behind_a_proxy(&db, ("POSTROOM__DATABASE__ACQUIRE_TIMEOUT", "1s")).await;
    let store = fixture::open_store(&db.runtime, &through_proxy).await;
    store.nodes().list().await.unwrap();
    proxy.silence_next_check();
    let mut failed = 0;
    eventually(PATIENCE, async || match store.nodes().list().await {
        Ok(_) => (proxy.has_silenced_check() && failed > 0).then_some(()),
        Err(error) => {
            assert!(matches!(error, StoreError::Busy(_)), "{error}");
            failed += 1;
            None
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn g03_while_the_server_is_away_a_node_tries_rarely_and_not_in_step() {
    /// The connections of each of the two nodes: `database.max_connections`, one for heartbeats,
    /// one that listens, and two for the API. Each may try once when it finds the server gone.
    const MOST: usize = 10 + 4;
    let Some((scene, proxy)) = Scene::behind_a_proxy().await else { return };
    scene
        .play(async {
            let since = Instant::now();
            proxy.set(Way::Refused);
            scene.is_away(since + Duration::from_secs(5)).await;
            let attempts = proxy.attempts_since(since);
            proxy.set(Way::Open);
            scene.is_back("connections refused").await;
            let within = |at: &Instant| {
                attempts
                    .iter()
                    .filter(|it| it >= &at && **it - *at < Duration::from_secs(1))
                    .count()
            };
            let most = attempts.iter().map(within).max().unwrap_or_default();
            eprintln!("{} attempts of two nodes in 5 s, {most} in one second", attempts.len());
            assert!(attempts.len() > 4, "they look for it: {attempts:?}");
            assert!(most <= 2 * MOST, "{most} attempts within one second");
            let pauses: BTreeSet<u128> =
                attempts.windows(2).map(|it| (it[1] - it[0]).as_millis() / 10).collect();
            assert!(pauses.len() > 3, "always the same pauses: {pauses:?}");
        })
        .await;
    assert_eq!(scene.taker.log().matches("a connection to the database broke").count(), 1);
}

/// Somebody else holds the file, as a tool does that repairs or copies it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g03_a_sqlite_file_that_somebody_else_holds_is_waited_for() {
    let scene = Scene::on_sqlite(Place::sqlite().options(CONFIG)).await;
    let mut other = sqlx::SqliteConnection::connect(&scene.database_url).await.unwrap();
    scene
        .play(async {
            sqlx::raw_sql("pragma busy_timeout = 5000; begin exclusive")
                .execute(&mut other)
                .await
                .unwrap();
            // SQLite itself waits for five seconds.
            scene.is_away(Instant::now() + Duration::from_secs(6)).await;
            sqlx::raw_sql("rollback").execute(&mut other).await.unwrap();
            scene.is_back("SQLite's file held by another process").await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g03_a_full_disk_is_waited_for() {
    let Some(disk) = Tmpfs::mount("8m") else {
        skip("a small disk can be mounted by root only");
        return;
    };
    let file = disk.path().join("postroom.db");
    let options = Options {
        database_url: Some(format!("sqlite://{}", file.display())),
        ..Place::sqlite().options(CONFIG)
    };
    let scene = Scene::on_sqlite(options).await;
    fills_up(&scene, &disk, "SQLite's disk full").await;
}

/// The disk of its tables; a full disk of its write-ahead log ends the server, which is another
/// test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn g03_a_full_disk_of_postgres_is_waited_for() {
    let Some(server) = postgres::Server::own(&[]) else { return };
    let Some(disk) = Tmpfs::mount("24m") else {
        skip("a small disk can be mounted by root only");
        return;
    };
    let url = server.url(&server.create_database_on(disk.path(), "outages"));
    let scene = Scene::on_postgres(&url, &url).await;
    fills_up(&scene, &disk, "PostgreSQL's disk full").await;
}

/// Fills a disk of less than 32 MiB while webhooks come in, and clears it again.
async fn fills_up(scene: &Scene, disk: &Tmpfs, what: &str) {
    let filler = disk.path().join("filler");
    scene
        .play(async {
            let left = fs::write(&filler, vec![0; 32 << 20]);
            assert!(left.is_err(), "the disk is larger than it should be");
            scene.is_away(Instant::now() + AWAY).await;
            fs::remove_file(&filler).unwrap();
            scene.is_back(what).await;
        })
        .await;
}
