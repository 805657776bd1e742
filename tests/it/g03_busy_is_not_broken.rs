//! A database that is slow, busy, read-only or loses single connections: long work takes as long as
//! it needs, webhooks are answered 200 meanwhile, and no job loses an attempt.

use crate::{
    harness::parameter,
    on_both_daemons, on_both_databases,
    support::{
        both::{Peek, Place},
        daemon::{Daemon, Options, Until},
        eventually,
        fixture::{Fixture, config, open_store, self_check, sms},
        http,
        leftovers::Leftover,
        postgres,
        proxy::Proxy,
        web::{ask, mail, sms as text_message},
    },
};
use futures_util::future::join_all;
use postroom::store::{Content, Heartbeat, Notice, QuarantineFilter, StoreError};
use reqwest::Method;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(60);
const CONFIG: &str = "[supervisor]\ntick = \"200ms\"\nheartbeat = \"100ms\"\nlease = \"500ms\"\n\
    [pools.default]\nbackoff = { base = \"10ms\", cap = \"100ms\" }\n";

/// Log texts by which a daemon says that its database is gone or a connection broken.
const COMPLAINTS: [&str; 6] = [
    "a connection to the database broke",
    "answers nothing",
    "a claim failed",
    "heartbeat failed",
    "no notices from other nodes",
    "is not stored",
];

fn complaints(daemon: &Daemon) -> Vec<String> {
    let is_complaint = |line: &&str| COMPLAINTS.iter().any(|it| line.contains(it));
    daemon.log().lines().filter(is_complaint).map(str::to_owned).collect()
}

/// Attempts that failed: no handler of these tests fails by itself.
async fn lost_attempts(peek: &Peek) -> i64 {
    let fine = "'succeeded', 'snoozed', 'postponed', 'cancelled'";
    peek.number(&format!("select count(*) from job_attempts where outcome not in ({fine})")).await
}

async fn node(place: &Place, role: &str, config: &str, faults: &str) -> Daemon {
    let args = vec!["--role".to_owned(), role.to_owned()];
    let env = vec![("POSTROOM_FAULTS".to_owned(), faults.to_owned())];
    Daemon::start(Options { args, env, ..place.options(config) }).await
}

/// `all` and `worker` over one database, a webhook now and then: the node that takes none hears
/// only the other.
async fn two_nodes_in_peace(faults: &str, lasts: Duration, every: Duration) {
    let Some(place) = Place::postgres() else { return };
    let (taker, worker) =
        (node(&place, "all", CONFIG, faults).await, node(&place, "worker", CONFIG, faults).await);
    let peek = Peek::of(&taker).await;
    let (begun, mut lead) = (Instant::now(), 0);
    while begun.elapsed() < lasts {
        let posted = Instant::now();
        let answer = ask(taker.webhook("instantly", "demo").json(&mail(lead))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        lead += 1;
        eventually(PATIENCE, async || (posted.elapsed() >= every).then_some(())).await;
    }
    eventually(PATIENCE, async || (peek.unfinished().await == 0).then_some(())).await;
    assert!(complaints(&taker).is_empty(), "{:?}", complaints(&taker));
    assert!(complaints(&worker).is_empty(), "{:?}", complaints(&worker));
    assert_eq!(lost_attempts(&peek).await, 0);
    assert!(lead > 4, "{lead} webhooks");
}

/// With limits for a statement and for a listener's silence that are shorter than the test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn g03_two_nodes_in_peace_lose_no_connection_and_no_attempt() {
    let (lasts, every) = (Duration::from_secs(6), Duration::from_millis(300));
    two_nodes_in_peace("limit.statement=2000ms,limit.quiet=700ms", lasts, every).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes three minutes: `just peace`"]
async fn by_hand_two_nodes_in_peace_for_minutes_lose_no_connection_and_no_attempt() {
    let lasts = Duration::from_secs(parameter("PEACE_SECONDS", 180));
    two_nodes_in_peace("", lasts, Duration::from_secs(5)).await;
}

/// A listener that hears only its own node must not wait for the others for good: its wait would be
/// a call that never ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_only_hears_itself_is_told_so() {
    let Some(db) = Fixture::postgres().await else { return };
    let quick = config(&[
        ("POSTROOM__DATABASE__URL", db.config.database.url.expose()),
        ("POSTROOM__SUPERVISOR__HEARTBEAT", "100ms"),
        ("POSTROOM__SUPERVISOR__LEASE", "10s"),
    ]);
    let other = db.another_node().await;
    let _beats =
        [&db.store, &other].map(|it| Heartbeat::start(&it.nodes(), &quick, true, || ()).unwrap());
    let mut listening = db.store.subscriber(&quick.database).unwrap().listen().await.unwrap();
    let (is_over, heard) = (AtomicBool::new(false), AtomicU64::new(0));
    let announce = async {
        while !is_over.load(Ordering::Relaxed) {
            db.store.notices().announce_to_others();
            tokio::task::yield_now().await;
            tokio::time::timeout(Duration::from_millis(5), std::future::pending::<()>()).await.ok();
        }
    };
    let hear = async {
        // Silence alone would take half a minute.
        for _ in 0..20 {
            let (next, what) = tokio::time::timeout(PATIENCE / 4, listening.next())
                .await
                .expect("an own notice ends the wait")
                .unwrap();
            assert_eq!(what, Notice::Quiet, "nobody else has stored a job");
            heard.fetch_add(1, Ordering::Relaxed);
            listening = next;
        }
        is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(announce, hear);
    assert_eq!((heard.into_inner(), db.store.outages()), (20, 0));
}

/// A table that somebody has locked, as a migration or a repair by hand does.
struct Lock(PgConnection);

impl Lock {
    async fn on(url: &str, table: &str) -> Self {
        let mut session = PgConnection::connect(url).await.unwrap();
        let text = format!("begin; lock table {table} in access exclusive mode");
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut session).await.unwrap();
        Self(session)
    }

    async fn release(mut self) {
        sqlx::raw_sql("rollback").execute(&mut self.0).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn g03_six_admin_reads_that_hang_cost_no_webhook_and_no_attempt() {
    let Some(place) = Place::postgres() else { return };
    let daemon = place.start(CONFIG).await;
    let peek = Peek::of(&daemon).await;
    let lock = Lock::on(place.database_url().unwrap(), "quarantine").await;
    let (begun, is_over) = (Instant::now(), AtomicBool::new(false));
    let hanging = async {
        for answer in join_all((0..6).map(|_| ask(daemon.api(Method::GET, "/quarantine")))).await {
            answer.is_problem(503, "database-away");
            assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
        }
        is_over.store(true, Ordering::Relaxed);
        begun.elapsed()
    };
    let posting = async {
        let mut posted = 0;
        while !is_over.load(Ordering::Relaxed) {
            let text = format!("Sounds interesting, tell me more ({posted})");
            let answer =
                ask(daemon.webhook("sms", "demo").json(&text_message(posted % 20, &text))).await;
            assert_eq!(answer.outcome(), "accepted", "{answer:?}");
            posted += 1;
        }
        posted
    };
    let (took, posted) = tokio::join!(hanging, posting);
    // Two at a time, each for two seconds. With one connection for all it would take eight.
    assert!(took < Duration::from_secs(15), "{took:?}");
    lock.release().await;
    let answer = ask(daemon.api(Method::GET, "/quarantine")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    eventually(PATIENCE, async || (peek.unfinished().await == 0).then_some(())).await;
    eprintln!("{posted} webhooks beside six reads that hung for {took:?}");
    assert_eq!(complaints(&daemon), Vec::<String>::new());
    assert_eq!(lost_attempts(&peek).await, 0);
}

/// Writers that all wait for one lock: the next one is told that the database is busy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g03_more_writers_than_connections_are_busy_and_break_nothing() {
    let Some(db) = Fixture::postgres().await else { return };
    let few = config(&[
        ("POSTROOM__DATABASE__URL", db.config.database.url.expose()),
        ("POSTROOM__DATABASE__MAX_CONNECTIONS", "3"),
        ("POSTROOM__DATABASE__ACQUIRE_TIMEOUT", "300ms"),
    ]);
    let store = open_store(&db.runtime, &few).await;
    let lock = Lock::on(db.config.database.url.expose(), "job_counts").await;
    let enqueuer = store.enqueuer();
    let enqueue = || enqueuer.enqueue(vec![self_check(&store, "a")]);
    let many = join_all((0..6).map(|_| enqueue()));
    let results = async {
        let refused = many.await;
        refused.into_iter().filter_map(Result::err).collect::<Vec<_>>()
    };
    let released = async {
        tokio::time::timeout(Duration::from_millis(900), std::future::pending::<()>()).await.ok();
        lock.release().await;
    };
    let (refused, ()) = tokio::join!(results, released);
    assert!(!refused.is_empty(), "somebody had to wait for too long");
    for error in &refused {
        assert!(matches!(error, StoreError::Busy(_)), "{error:?}");
    }
    assert_eq!(store.outages(), 0);
    enqueue().await.unwrap();
}

on_both_databases! {
    /// On SQLite nothing else would ever end it.
    #[ignore = "long: `just long`"]
    async fn a_read_of_the_api_that_takes_too_long_is_ended_and_told_as_busy(db: Fixture) {
        let lock = match db.is_sqlite() {
            true => {
                let mut webhook = sms("a", "+15550001", "k", "hello");
                webhook.content = Content::Quarantine {
                    event_type: None,
                    reason: "test".to_owned(),
                    body_hash: "h".to_owned(),
                };
                db.store.inbox().put(Arc::from([webhook])).await.unwrap();
                db.execute("alter table quarantine rename to stored").await;
                db.execute(
                    "create view quarantine as with recursive up(n) as (select 1 union all select n + 1 from up) \
                     select stored.* from stored cross join up where up.n < 0",
                )
                .await;
                None
            }
            false => Some(Lock::on(db.config.database.url.expose(), "quarantine").await),
        };
        let desk = db.store.desk();
        let begun = Instant::now();
        let read = || desk.quarantine(QuarantineFilter::default(), 10, None);
        let error = read().await.unwrap_err();
        assert!(matches!(error, StoreError::Busy(_)), "{error:?}");
        assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
        // Its connection is as good as new.
        for _ in 0..4 {
            desk.totals().await.map(drop).unwrap_or_else(|it| assert!(matches!(it, StoreError::Busy(_))));
            desk.leads(postroom::store::LeadFilter::default(), 10, None).await.unwrap();
        }
        if let Some(lock) = lock {
            lock.release().await;
            read().await.unwrap();
        }
        assert_eq!(db.store.outages(), 0);
    }
}

/// A firewall that forgets quiet connections, an administrator who ends sessions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g03_pooled_connections_that_were_cut_cost_no_webhook() {
    const CUTS: u64 = 5;
    let Some(place) = Place::postgres() else { return };
    let daemon = node(&place, "ingest", CONFIG, "").await;
    let peek = Peek::of(&daemon).await;
    let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
        where datname = current_database() and application_name = 'postroom' and state = 'idle' \
        and query not like '%with beat as%'";
    for round in 0..CUTS {
        // Several connections, side by side.
        let many = join_all((0..8).map(|n| {
            let body = text_message(n, &format!("I have a question about it ({round} {n})"));
            ask(daemon.webhook("sms", "demo").json(&body))
        }));
        for answer in many.await {
            assert_eq!(answer.outcome(), "accepted", "round {round}: {answer:?}");
        }
        eventually(PATIENCE, async || (peek.number(cut).await > 0).then_some(())).await;
        let body = text_message(9, &format!("And another one ({round})"));
        let answer = ask(daemon.webhook("sms", "demo").json(&body)).await;
        assert_eq!(answer.outcome(), "accepted", "round {round}: {answer:?}");
    }
    let log = daemon.log();
    assert!(!log.contains("a connection to the database broke"), "{log}");
}

/// Posts webhooks of new leads until it is stopped, and counts their answers.
#[derive(Default)]
struct Posts {
    is_over: AtomicBool,
    taken: AtomicU64,
}

impl Posts {
    async fn post(&self, daemon: &Daemon) {
        let http = http();
        let mut lead = 0;
        while !self.is_over.load(Ordering::Relaxed) {
            let request = http.post(daemon.url("/webhooks/instantly/demo")).json(&mail(lead));
            let answer = ask(request).await;
            assert!(matches!(answer.status, 200 | 429), "{answer:?}");
            self.taken.fetch_add(u64::from(answer.status == 200), Ordering::Relaxed);
            lead += u64::from(answer.status == 200);
            tokio::time::timeout(Duration::from_millis(20), std::future::pending::<()>())
                .await
                .ok();
        }
    }

    /// Waits until this many more were taken.
    async fn takes(&self, more: u64) {
        let before = self.taken.load(Ordering::Relaxed);
        eventually(PATIENCE, async || {
            (self.taken.load(Ordering::Relaxed) >= before + more).then_some(())
        })
        .await;
    }
}

/// When claims failed, in milliseconds, by the daemon's log.
fn failed_claims(daemon: &Daemon) -> Vec<i64> {
    let log = daemon.log();
    let at = log.lines().filter(|it| it.contains("a claim failed")).filter_map(|line| {
        let at = line.split_whitespace().next()?.parse::<jiff::Timestamp>().ok()?;
        Some(at.as_millisecond())
    });
    at.collect()
}

#[track_caller]
fn assert_rare_and_growing(failed: &[i64]) {
    let pauses: Vec<i64> = failed.windows(2).map(|it| it[1] - it[0]).collect();
    // By the log's clock, a little less than by the daemon's own.
    assert!(pauses.iter().all(|it| *it >= 450), "{pauses:?}");
    assert!(pauses.iter().skip(2).all(|it| *it >= 1_900), "{pauses:?}");
}

/// An orderly failover: the server goes down, comes back as a standby, and is promoted later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn g03_a_standby_is_left_alone_until_it_is_promoted() {
    let Some(server) = postgres::Server::own(&[]) else { return };
    let url = server.url(&server.create_database("standby"));
    let daemon = Daemon::start(Options {
        database_url: Some(url.clone()),
        ..Place::sqlite().options(CONFIG)
    })
    .await;
    let posts = Posts::default();
    tokio::join!(posts.post(&daemon), async {
        posts.takes(20).await;
        server.stop();
        server.start_as_standby();
        let standby_at = Instant::now();
        let unready = eventually(PATIENCE, async || {
            let ready = ask(daemon.get("/readyz")).await;
            (ready.status == 503).then_some(ready)
        })
        .await;
        assert_eq!(unready.body["checks"]["database"]["ok"], false, "{unready:?}");
        eventually(PATIENCE, async || {
            (standby_at.elapsed() > Duration::from_secs(4)).then_some(())
        })
        .await;
        let refused = ask(daemon.webhook("instantly", "demo").json(&mail(900_001))).await;
        refused.is_problem(429, "database-away");
        server.execute("postgres", "select pg_promote()");
        let promoted_at = Instant::now();
        posts.takes(5).await;
        let peek = Peek::open(&url).await;
        let ended = peek.number("select count(*) from job_attempts").await;
        eventually(PATIENCE, async || {
            let now = peek.number("select count(*) from job_attempts").await;
            (now > ended).then_some(())
        })
        .await;
        let took = promoted_at.elapsed();
        eprintln!("webhooks are taken and jobs end {took:?} after the promotion");
        assert!(took < Duration::from_secs(10), "{took:?}");
        eventually(PATIENCE, async || {
            (ask(daemon.get("/readyz")).await.status == 200).then_some(())
        })
        .await;
        posts.is_over.store(true, Ordering::Relaxed);
        eventually(PATIENCE, async || (peek.unfinished().await == 0).then_some(())).await;
    });
    assert_rare_and_growing(&failed_claims(&daemon));
}

/// A failover in which the old server stays, as a standby: the name of the database leads to the
/// new one some time later. Connections to the old one answer, and never take a write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g03_a_standby_is_left_for_the_server_that_takes_its_place() {
    let Some(old) = postgres::Server::own(&[]) else { return };
    let name = old.create_database("moved");
    let proxy = Proxy::before(&old.url(&name)).await;
    let daemon = Daemon::start(Options {
        database_url: Some(old.url(&name)),
        told_url: Some(proxy.url(&old.url(&name))),
        ..Place::sqlite().options(CONFIG)
    })
    .await;
    daemon.may_leave(Leftover::Unfinished, "what the old server has is worked off on the new one");
    let post = async |number| ask(daemon.webhook("instantly", "demo").json(&mail(number))).await;
    assert_eq!(post(1).await.status, 200);
    old.stop();
    let new = old.copy();
    old.start_as_standby();
    eventually(PATIENCE, async || (ask(daemon.get("/readyz")).await.status == 503).then_some(()))
        .await;
    // It is known for a standby, and not for a server that is away.
    eventually(PATIENCE, async || daemon.log().contains("it is a standby").then_some(())).await;
    post(2).await.is_problem(429, "database-away");
    new.start();
    proxy.lead_to(&new.url(&name));
    eventually(PATIENCE, async || (post(3).await.status == 200).then_some(())).await;
    let peek = Peek::open(&new.url(&name)).await;
    assert_eq!(peek.number("select count(*) from messages").await, 2);
    eventually(PATIENCE, async || (peek.unfinished().await == 0).then_some(())).await;
}

/// Some clouds set this when a disk is nearly full, or while they move a database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn g03_a_database_that_is_set_read_only_for_a_while_is_written_again_at_once() {
    let Some(place) = Place::postgres() else { return };
    let url = place.database_url().unwrap();
    let daemon = place.start(CONFIG).await;
    let name = url.rsplit('/').next().unwrap();
    let server = postgres::server().unwrap();
    let set = |what: &str| {
        server.execute("postgres", &format!("alter database {name} {what}"));
        let cut = "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = ";
        server.execute("postgres", &format!("{cut}'{name}' and application_name like 'postroom%'"));
    };
    let posts = Posts::default();
    tokio::join!(posts.post(&daemon), async {
        posts.takes(20).await;
        set("set default_transaction_read_only = on");
        let begun = Instant::now();
        eventually(PATIENCE, async || (begun.elapsed() > Duration::from_secs(4)).then_some(()))
            .await;
        set("reset default_transaction_read_only");
        let over = Instant::now();
        posts.takes(5).await;
        let peek = Peek::open(url).await;
        posts.is_over.store(true, Ordering::Relaxed);
        eventually(PATIENCE, async || (peek.unfinished().await == 0).then_some(())).await;
        assert!(over.elapsed() < Duration::from_secs(5), "{:?}", over.elapsed());
    });
    assert_rare_and_growing(&failed_claims(&daemon));
}

on_both_daemons! {
    /// Nudged by a webhook every 20 ms, and failing within a millisecond.
    #[ignore = "long: `just long`"]
    async fn g03_claims_that_fail_at_once_are_repeated_rarely_and_ever_more_rarely(place: Place) {
        let daemon = place.start(CONFIG).await;
        let peek = Peek::of(&daemon).await;
        let posts = Posts::default();
        tokio::join!(posts.post(&daemon), async {
            posts.takes(10).await;
            for statement in refuse_claims(peek.is_sqlite()) {
                peek.execute(statement).await;
            }
            eventually(PATIENCE, async || (failed_claims(&daemon).len() >= 5).then_some(())).await;
            peek.execute(match peek.is_sqlite() {
                true => "drop trigger no_claims",
                false => "drop trigger no_claims on job_ready",
            })
            .await;
            let over = Instant::now();
            posts.is_over.store(true, Ordering::Relaxed);
            eventually(PATIENCE, async || (peek.unfinished().await == 0).then_some(())).await;
            assert!(over.elapsed() < Duration::from_secs(20), "{:?}", over.elapsed());
        });
        assert_rare_and_growing(&failed_claims(&daemon));
    }
}

on_both_daemons! {
    /// An internal error of the server, for one message: first where it is stored, then where it is
    /// judged.
    async fn g06_one_that_breaks_every_group_it_is_in_stops_no_neighbour(place: Place) {
        let daemon = place.start(&format!("{CONFIG}max_attempts = 2\n")).await;
        let peek = Peek::of(&daemon).await;
        for statement in refuse_poison(peek.is_sqlite()) {
            peek.execute(statement).await;
        }
        let post = |lead: u64| {
            let text = match lead {
                3 => "poison to store",
                5 => "poison to judge",
                _ => "Sounds interesting, tell me more",
            };
            ask(daemon.webhook("sms", "demo").json(&text_message(lead, text)))
        };
        let answers = join_all((0..10).map(post)).await;
        for (lead, answer) in (0..).zip(&answers) {
            let wanted = if lead == 3 { "quarantined" } else { "accepted" };
            assert_eq!(answer.outcome(), wanted, "{lead}: {answer:?}");
        }
        eventually(PATIENCE, async || (peek.unfinished().await == 0).then_some(())).await;
        let succeeded = "select count(*) from job_attempts a join jobs j on j.id = a.job_id \
            where j.kind = 'SMS_INBOUND_POST_PROCESS' and a.outcome = 'succeeded'";
        assert_eq!(peek.number(succeeded).await, 8);
        let refused = "select count(*) from job_attempts where error like 'the effects cannot be stored%'";
        assert_eq!(peek.number(refused).await, 2);
    }
}

fn refuse_poison(is_sqlite: bool) -> Vec<&'static str> {
    match is_sqlite {
        true => vec![
            "create trigger no_text before insert on messages when new.body = 'poison to store' \
             begin select raise(abort, 'no'); end",
            "create trigger no_verdict before update of sentiment on messages when new.body = 'poison to judge' \
             and new.sentiment is not old.sentiment \
             begin select raise(abort, 'no'); end",
        ],
        false => vec![
            "create function no_poison() returns trigger language plpgsql as \
             $$ begin raise exception 'no' using errcode = 'XX000'; end $$",
            "create trigger no_text before insert on messages for each row \
             when (new.body = 'poison to store') execute function no_poison()",
            "create trigger no_verdict before update of sentiment on messages for each row \
             when (new.body = 'poison to judge' and new.sentiment is distinct from old.sentiment) \
             execute function no_poison()",
        ],
    }
}

fn refuse_claims(is_sqlite: bool) -> Vec<&'static str> {
    match is_sqlite {
        true => vec![
            "create trigger no_claims before update of run on job_ready begin select raise(abort, 'no'); end",
        ],
        false => vec![
            "create function no_claims() returns trigger language plpgsql as \
             $$ begin raise exception 'no' using errcode = '53100'; end $$",
            "create trigger no_claims before update of run on job_ready for each row execute function no_claims()",
        ],
    }
}

/// An error that only a person can mend ends the start, and the log says what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_refuses_for_good_ends_the_start_with_the_way_out() {
    let Some(server) = postgres::Server::own(&[]) else { return };
    let name = server.create_database("refuses");
    server.execute("postgres", "create role guest login password 'right'");
    server.execute("postgres", "create role nobody nologin");
    server.execute(&name, "create role bare login; revoke create on schema public from public");
    let bare = server.create_database("has_no_schema");
    server.execute(&bare, "drop schema public");
    server.execute(
        "postgres",
        "do $$ begin execute format('copy (values (''host all guest 127.0.0.1/32 scram-sha-256''), \
         (''host all all 127.0.0.1/32 trust'')) to %L', current_setting('hba_file')); end $$",
    );
    server.execute("postgres", "select pg_reload_conf()");
    let url = |user: &str, name: &str| {
        server.url(name).replace("postgres://postgres@", &format!("postgres://{user}@"))
    };
    for (url, code, way_out) in [
        (url("guest:wrong-secret", &name), "28P01", "correct it in `database.url`"),
        (url("nobody", &name), "28000", "correct user"),
        (url("postgres", "there_is_none"), "3D000", "create it, or name another"),
        (url("bare", &name), "42501", "make it the owner"),
        (url("postgres", &bare), "3F000", "create it, or correct"),
    ] {
        let daemon = Daemon::start(Options {
            database_url: Some(url),
            until: Until::Started,
            ..Place::sqlite().options("")
        })
        .await;
        daemon.may_leave(Leftover::Anything, "the database refuses everybody");
        let status = daemon.wait(PATIENCE).await;
        let log = daemon.log();
        assert_eq!(status.code(), Some(1), "{log}");
        assert!(log.contains(code) && log.contains(way_out), "{log}");
        assert!(!log.contains("wrong-secret"), "{log}");
    }
}
