//! The jobs of a node that died are taken over by those that live.

use crate::{
    g01_acknowledged_means_durable::{CONFIG, Load},
    support::{
        both::{Peek, Place},
        daemon::Daemon,
        eventually,
    },
};
use std::time::Duration;

/// How many times the first daemon may be killed while it has no job in hand.
const TRIES: u32 = 30;
const CLAIMED_BY_OTHERS: &str = "select count(*) from job_ready where node is not null and node not in (select id from nodes where role = 'worker')";

/// Kills the one that takes the webhooks until a kill leaves jobs behind in its name.
async fn kill_with_jobs_in_hand(load: &Load, taker: &mut Daemon, db: &Peek) {
    for _ in 0..TRIES {
        load.has_reached(load.count() + 20).await;
        taker.kill_9();
        if db.number(CLAIMED_BY_OTHERS).await > 0 {
            return;
        }
        taker.start_again().await;
    }
    panic!("no kill of {TRIES} left a job behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn jobs_of_a_killed_daemon_are_taken_over_by_another() {
    let Some(place) = Place::postgres() else { return };
    let mut taker = place.start(CONFIG).await;
    let mut options = place.options(CONFIG);
    options.args = vec!["--role".to_owned(), "worker".to_owned()];
    let worker = Daemon::start(options).await;
    let db = Peek::of(&worker).await;
    let load = Load::default();
    let (http, url) = (crate::support::http(), taker.url("/webhooks/sms/demo"));
    tokio::join!(load.post_over(&http, &url, 4), async {
        kill_with_jobs_in_hand(&load, &mut taker, &db).await;
        // 2 × lease is 800 ms; the rest is for a machine with other things to do.
        eventually(Duration::from_secs(10), async || {
            (db.number(CLAIMED_BY_OTHERS).await == 0).then_some(())
        })
        .await;
        taker.start_again().await;
        load.stop();
    });
    let rescued = "select count(*) from job_attempts where outcome = 'rescued'";
    assert!(db.number(rescued).await > 0);
    load.is_stored_and_worked_off(&worker, "two daemons").await;
}
