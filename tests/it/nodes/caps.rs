//! How many jobs of a client run at once, seen from outside: by the intervals in the table of
//! attempts.

use crate::support::{
    both::{Held, Peek, Place},
    daemon::Daemon,
    eventually,
    web::{ask, sms},
};
use futures_util::future::join_all;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
const CAP: i64 = 2;
const LEADS: u64 = 20;
const MESSAGES: u64 = 4;

fn config() -> String {
    format!(
        "[supervisor]\ntick = \"200ms\"\nmax_running_per_client = {CAP}\n\
         [[clients]]\nid = \"capped\"\n[clients.channels.sms]\n\
         [[clients]]\nid = \"free\"\nmax_running = 1000\n[clients.channels.sms]\n"
    )
}

/// Posts a message of each lead in turn, each to another node than the one before.
async fn post(daemons: &[Daemon], client: &str) {
    for message in 0..MESSAGES {
        let posts = (0..LEADS).map(|lead| async move {
            let daemon = &daemons[usize::try_from(lead + message).unwrap() % daemons.len()];
            let body = sms(lead, &format!("Please call me at {message}"));
            let answer = ask(daemon.webhook("sms", client).json(&body)).await;
            assert_eq!(answer.outcome(), "accepted", "{answer:?}");
        });
        join_all(posts).await;
    }
}

/// The greatest number of a client's attempts that ran at once.
async fn most_at_once(peek: &Peek, client: &str) -> i64 {
    // An end comes before a start of the same instant.
    let sql = format!(
        "with runs as (select a.started_at, a.finished_at from job_attempts a join jobs j on j.id = a.job_id \
           where j.client_id = '{client}' and a.started_at is not null), \
         steps as (select started_at as at, 1 as step from runs union all select finished_at, -1 from runs), \
         sums as (select sum(step) over (order by at, step) as running from steps) \
         select coalesce(max(running), 0)::bigint from sums"
    );
    peek.number(&sql).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn three_daemons_keep_the_cap_of_a_client_and_the_order_of_a_lead() {
    let Some(place) = Place::postgres() else { return };
    let mut daemons = Vec::new();
    for _ in 0..3 {
        daemons.push(place.start(&config()).await);
    }
    let peek = Peek::of(&daemons[0]).await;
    // Nobody claims until everything is stored, so that there is much to choose from.
    let held: Held = peek.hold_claims().await;
    tokio::join!(post(&daemons, "capped"), post(&daemons, "free"));
    held.release().await;
    eventually(PATIENCE, async || (peek.unfinished().await == 0).then_some(())).await;
    let inbound = i64::try_from(2 * LEADS * MESSAGES).unwrap();
    let ended = "select count(*) from job_attempts a join jobs j on j.id = a.job_id \
        where a.ended and a.outcome = 'succeeded' and j.kind like '%INBOUND%'";
    assert_eq!(peek.number(ended).await, inbound);
    let (capped, free) = (most_at_once(&peek, "capped").await, most_at_once(&peek, "free").await);
    let nodes = "select count(distinct node) from job_attempts";
    let nodes = peek.number(nodes).await;
    eprintln!(
        "at once at the most: {capped} of a client with a cap of {CAP}, {free} of one without; {nodes} nodes"
    );
    assert!((1..=CAP).contains(&capped), "{capped} ran at once");
    assert!(free > CAP, "only {free} ran at once without a cap: nothing is shown");
    assert!(nodes > 1, "one node did it all");
    let of_lead = "from job_attempts a join jobs x on x.id = a.job_id join jobs y on y.lead_id = x.lead_id \
        join job_attempts b on b.job_id = y.id \
        where x.kind like '%INBOUND%' and y.kind like '%INBOUND%' and x.id < y.id";
    let pairs = peek.number(&format!("select count(*) {of_lead}")).await;
    assert_eq!(pairs, inbound * i64::try_from(MESSAGES - 1).unwrap() / 2);
    let wrong = format!("select count(*) {of_lead} and a.finished_at > b.started_at");
    assert_eq!(peek.number(&wrong).await, 0, "jobs of one lead at once, or in another order");
}
