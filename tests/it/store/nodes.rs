//! Nodes come, go, and give out ids.

use super::{
    life::claim,
    tools::{enqueue, instant},
};
use crate::{
    on_both_databases,
    support::{
        eventually,
        fixture::{Fixture, config},
    },
};
use postroom::{
    announcer::Announcer,
    config,
    domain::{Id, job::SELF_CHECK},
    recorder::InFlight,
    store::{Heartbeat, UnstartedRuns, given_out_at},
    supervisor::{JanitorSetup, Rescued, rescue},
    telemetry::{
        board::Board,
        metrics::{MetricLabels, Metrics},
    },
};
use sqlx::Connection;
use std::{sync::Arc, time::Duration};

on_both_databases! {
    /// A clock was two days ahead when something was stored: whatever that was, its id is given out
    /// once.
    async fn ids_go_on_above_those_of_every_table(db: Fixture) {
        let two_days_ahead = |n: i64| db.store.enqueuer().next_id() + ((172_800_000 + n * 1_000) << 22);
        let now = instant(&db, 0);
        let rows: [(&str, &str); 3] = [
            ("campaigns (id, client_id, channel, provider_id)", "'a', 'sms', 'p'"),
            ("deliveries (id, client_id, lead_id, channel, status, text_key, created_at)", "'a', 1, 'sms', 'sent', 'x', {now}"),
            ("drafts (id, client_id, lead_id, message_id, channel, status, body, parts, created_at)", "'a', 1, 1, 'sms', 'pending', 'x', '[]', {now}"),
        ];
        for (n, (columns, values)) in (0_i64..).zip(rows) {
            let id: Id = two_days_ahead(n);
            let values = values.replace("{now}", &now);
            db.execute(&format!("insert into {columns} values ({id}, {values})")).await;
            let next = db.another_node().await.enqueuer().next_id();
            assert!(next > id, "{columns}: {next} after {id}");
            assert!(given_out_at(next).millis_since(given_out_at(id)) < 1_000);
        }
    }

    async fn a_node_that_leaves_gives_its_place_free(db: Fixture) {
        let slots = "select count(*) from nodes";
        let before = db.number(slots).await;
        if !db.is_sqlite() {
            let other = db.another_node().await;
            assert_eq!(db.number(slots).await, before + 1);
            other.leave().await.unwrap();
            assert_eq!(db.number(slots).await, before);
        }
        db.store.leave().await.unwrap();
        assert_eq!(db.number(slots).await, before - 1);
    }
}

/// The slower of two survivors finds that the other has rescued the jobs that it has just read. If
/// the other dies, too, the rest is left to the slower one: it must not take the dead node for
/// settled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rescue_that_another_node_was_faster_with_is_not_over() {
    let Some(db) = Fixture::postgres().await else { return };
    let url = db.config.database.url.expose().to_owned();
    let survivor = db.another_node().await;
    let settings = config(&[("POSTROOM__DATABASE__URL", &url)]);
    let beats = Heartbeat::start(&survivor.nodes(), &settings, false, || {}).unwrap();
    let plan = JanitorSetup {
        membership: beats.membership(),
        node: survivor.node(),
        queue: survivor.queue(),
        in_flight: InFlight::default(),
        unstarted: UnstartedRuns::default(),
        enqueuer: survivor.enqueuer(),
        ledger: survivor.ledger(),
        announcer: Announcer::default(),
        chores: survivor.chores(),
        config: config::Live::new(settings),
        kinds: Arc::new([SELF_CHECK]),
        board: Board::new().0,
        metrics: Metrics::new(MetricLabels::default()).unwrap(),
    };
    enqueue(&db.store, "a", SELF_CHECK, 600).await;
    assert_eq!(claim(&db.store, 600).await.len(), 600);
    // The faster one has the first 500 in hand.
    let first =
        "line in (select line from job_ready where node is not null order by line limit 500)";
    let mut faster = sqlx::PgConnection::connect(&url).await.unwrap();
    let begin = sqlx::AssertSqlSafe(format!(
        "begin; update job_ready set node = null, locked_at = null, turn = null, run_at = now() where {first}"
    ));
    sqlx::raw_sql(begin).execute(&mut faster).await.unwrap();
    let dead = vec![db.store.node()];
    let meanwhile = async {
        eventually(Duration::from_secs(10), async || {
            let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
            (db.number(waiting).await == 1).then_some(())
        })
        .await;
        sqlx::raw_sql("commit").execute(&mut faster).await.unwrap();
    };
    let (rescued, ()) = tokio::join!(rescue(&plan, dead.clone()), meanwhile);
    assert_eq!(rescued.unwrap(), Rescued { count: 0, is_over: false });
    assert_eq!(rescue(&plan, dead).await.unwrap(), Rescued { count: 100, is_over: true });
}
