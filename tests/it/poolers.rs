//! Behind a pooler that lends a session for each transaction, the real one: everything works, and
//! jobs that another node has stored start within a tick.

use crate::{
    harness,
    support::{
        both::{Peek, Place},
        daemon::{Daemon, Options},
        eventually,
        fixture::{Fixture, config},
        pgbouncer::{self, Parameters, PgBouncer},
        web::{ask, mail, sms},
    },
};
use futures_util::future::join_all;
use postroom::store::StoreError;
use reqwest::Method;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// Posts `count` webhooks at once, each of another lead.
async fn post(daemon: &Daemon, first: u64, count: u64) {
    let posts = (first..first + count).map(|lead| async move {
        let (channel, body) = match lead % 2 {
            0 => ("sms", sms(lead, &format!("Yes, please call me ({lead})"))),
            _ => ("instantly", mail(lead)),
        };
        let answer = ask(daemon.webhook(channel, "demo").json(&body)).await;
        assert_eq!(answer.outcome(), "accepted", "{answer:?}");
    });
    join_all(posts).await;
}

async fn all_done(peek: &Peek) {
    eventually(PATIENCE, async || (peek.unfinished().await == 0).then_some(())).await;
}

/// A daemon's warnings, except the true one that the tests' server does not flush.
fn complaints(daemon: &Daemon) -> Vec<String> {
    let log = daemon.log();
    let of_note = log.lines().filter(|it| it.contains("WARN") || it.contains("ERROR"));
    of_note
        .filter(|it| !it.contains("may lose what it has committed") && !it.contains("quarantined"))
        .map(str::to_owned)
        .collect()
}

/// Two sessions for some ten connections of the daemon: each transaction meets the settings that
/// others have left.
async fn works(parameters: Parameters) {
    let Some(pooler) = PgBouncer::start(parameters, 2) else { return };
    let place = Place::behind(&pooler);
    let mut daemon = place.start("[supervisor]\ntick = \"200ms\"\n").await;
    let peek = Peek::of(&daemon).await;
    assert!(daemon.log().contains("a pooler lends a session for each transaction"));
    post(&daemon, 0, 60).await;
    all_done(&peek).await;
    let handled = "select count(*) from messages where handled_at is not null";
    assert_eq!(peek.number(handled).await, 60);
    let held = serde_json::json!({"event": {"type": "NOBODY_KNOWS"}});
    assert_eq!(ask(daemon.webhook("email", "demo").json(&held)).await.outcome(), "quarantined");
    for path in
        ["/overview", "/jobs?limit=5", "/leads", "/messages", "/drafts", "/quarantine", "/pools"]
    {
        let answer = ask(daemon.api(Method::GET, path)).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    daemon.kill_9();
    daemon.start_again().await;
    post(&daemon, 60, 40).await;
    all_done(&peek).await;
    assert_eq!(peek.number(handled).await, 100);
    let failed = "select count(*) from job_attempts where outcome <> 'succeeded'";
    assert_eq!(peek.number(failed).await, 0);
    assert_eq!(complaints(&daemon), Vec::<String>::new(), "{}", pooler.log());
    daemon.terminate();
    assert_eq!(daemon.wait(PATIENCE).await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_works_behind_a_pooler_that_refuses_start_parameters() {
    works(Parameters::Refused).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_works_behind_a_pooler_that_leaves_start_parameters_out() {
    works(Parameters::LeftOut).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_another_node_start_within_a_tick_behind_a_pooler() {
    const TICK: Duration = Duration::from_secs(1);
    let Some(pooler) = PgBouncer::start(Parameters::Refused, 4) else { return };
    let place = Place::behind(&pooler);
    let node = async |role: &str| {
        let args = vec!["--role".to_owned(), role.to_owned()];
        Daemon::start(Options { args, ..place.options("[supervisor]\ntick = \"1s\"\n") }).await
    };
    let (worker, ingest) = (node("worker").await, node("ingest").await);
    let peek = Peek::of(&worker).await;
    for lead in 0..5 {
        post(&ingest, lead, 1).await;
        all_done(&peek).await;
    }
    let waited = "select cast(extract(epoch from max(a.started_at - j.created_at)) * 1000 as bigint) \
        from job_attempts a join jobs j on j.id = a.job_id where j.kind like '%INBOUND%'";
    let waited = Duration::from_millis(u64::try_from(peek.number(waited).await).unwrap());
    eprintln!(
        "{:?}: a job waited {waited:?} at the most for a tick of {TICK:?}",
        pgbouncer::version()
    );
    // A supervisor that trusts in notices polls after ten ticks.
    assert!(waited < 5 * TICK, "{waited:?}");
    assert_eq!(complaints(&worker), Vec::<String>::new());
    assert_eq!(complaints(&ingest), Vec::<String>::new());
}

/// The configuration says that there is no pooler, and there is one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_behind_a_pooler_says_that_it_hears_nothing() {
    let Some(pooler) = PgBouncer::start(Parameters::LeftOut, 2) else { return };
    let Some(db) = Fixture::postgres().await else { return };
    let name = db.config.database.url.expose().rsplit('/').next().unwrap();
    let vars =
        [("POSTROOM__DATABASE__URL", &*pooler.url(name)), ("POSTROOM__DATABASE__POOLER", "none")];
    let subscriber =
        db.store.subscriber(&config(&vars).database).expect("PostgreSQL has listeners");
    let error = subscriber.listen().await.expect_err("nothing arrives");
    assert_eq!(error, StoreError::Disconnected("notices do not arrive".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_dies_and_comes_back_costs_no_webhook_and_no_restart() {
    let Some(mut pooler) = PgBouncer::start(Parameters::Refused, 3) else { return };
    let place = Place::behind(&pooler);
    let daemon = place.start("[supervisor]\ntick = \"200ms\"\nheartbeat = \"200ms\"\n").await;
    let peek = Peek::of(&daemon).await;
    post(&daemon, 0, 20).await;
    pooler.kill_9();
    let away = mail(1_001);
    let answer = ask(daemon.webhook("instantly", "demo").json(&away)).await;
    assert_eq!(answer.status, 429, "{answer:?}");
    pooler.start_again();
    eventually(PATIENCE, async || {
        let answer = ask(daemon.webhook("instantly", "demo").json(&away)).await;
        (answer.outcome() == "accepted").then_some(())
    })
    .await;
    post(&daemon, 20, 20).await;
    all_done(&peek).await;
    let handled = "select count(*) from messages where handled_at is not null";
    assert_eq!(peek.number(handled).await, 41);
    assert!(daemon.is_running());
}

/// Two nodes that die and rescue each other's jobs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn kills_behind_a_pooler_lose_and_double_nothing() {
    let Some(pooler) = PgBouncer::start(Parameters::Refused, 6) else { return };
    harness::short(&Place::behind(&pooler), 2, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: `just chaos poolers::by_hand`"]
async fn by_hand_a_hundred_kills_behind_a_pooler_lose_and_double_nothing() {
    let Some(pooler) = PgBouncer::start(Parameters::Refused, 4) else { return };
    harness::short(&Place::behind(&pooler), 2, 100).await;
}
