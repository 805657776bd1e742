//! The checker sees every damage that it looks for.

use super::{
    checker::check,
    episode::CONFIG,
    load::{Load, clients_config},
};
use crate::support::{
    both::{Peek, Place},
    eventually,
    leftovers::Leftover,
};
use std::time::Duration;

/// `(damage to a sound database, a word of the checker's complaint)`.
const DAMAGE: &[(&str, &str)] = &[
    (
        "delete from messages where id = (select min(id) from messages)",
        "acknowledged webhooks without",
    ),
    ("update message_keys set message_id = 1", "keys of no message"),
    (
        "delete from jobs where kind like '%INBOUND%' and id = (select max(id) from jobs where kind like '%INBOUND%')",
        "messages without exactly one inbound job",
    ),
    (
        "update messages set handled_at = null where id = (select max(id) from messages)",
        "not worked through",
    ),
    (
        "insert into job_attempts (job_id, run, spared, outcome, ended, finished_at) \
         select job_id, run + 1, 0, 'succeeded', true, finished_at - 1 from job_attempts \
           where job_id = (select max(id) from jobs where kind like '%SCORING%')",
        "jobs that have not ended exactly once",
    ),
    ("select 1", "runs that do not rise with time"),
    ("select 1", "attempts after the one that ended their job"),
    ("select 1", "jobs that are not conserved"),
    (
        "insert into job_blocked (line, pos, job_id, kind, client_id, run, spared) values (7, 1, 7, 'SELF_CHECK', 'ash', 0, 0)",
        "blocked lines without a head",
    ),
    (
        "insert into job_ready (line, job_id, kind, client_id, node) select -id, id, kind, client_id, 9 from jobs limit 1",
        "jobs that are still claimed",
    ),
    ("select 1", "jobs in two places"),
    (
        "update job_counts set count = count + 1 where state = 'succeeded'",
        "kinds whose jobs are not those that were counted",
    ),
    (
        "update leads set newest_inbound_id = 1",
        "pending drafts that do not answer the newest message",
    ),
    ("update job_attempts set outcome = 'error' where run = 1", "ended otherwise than well"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_checker_says_nothing_of_a_sound_database_and_sees_each_damage() {
    let daemon = Place::sqlite().start(&format!("{CONFIG}{}", clients_config())).await;
    daemon.may_leave(Leftover::Anything, "the test damages its database");
    let load = Load::new(&[daemon.port()], 3, 0);
    let patience = Duration::from_secs(30);
    let enough = async {
        eventually(patience, async || (load.answered() >= 60).then_some(())).await;
        load.stop();
    };
    tokio::join!(load.post(7), enough);
    let db = Peek::of(&daemon).await;
    eventually(patience, async || (db.unfinished().await == 0).then_some(())).await;
    daemon.terminate();
    assert_eq!(daemon.wait(patience).await.code(), Some(0));
    let told = load.told();
    let (checked, wrong) = check(&db, &told).await;
    assert_eq!((checked.messages, wrong), (told.len() as u64, Vec::new()));
    assert!(checked.ordered > 0, "leads with more than one message");
    for (damage, seen) in DAMAGE {
        db.execute(damage).await;
        let (_, wrong) = check(&db, &told).await;
        assert!(wrong.iter().any(|it| it.contains(seen)), "{damage}: {seen} is not in {wrong:#?}");
    }
}
