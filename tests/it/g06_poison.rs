//! A job that kills its process again and again ends as `failed`, and takes nobody along for long.

use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        daemon::{Daemon, Options, Until},
        eventually,
        web::ask,
    },
};
use std::{collections::BTreeMap, time::Duration};

const PATIENCE: Duration = Duration::from_secs(60);
const POISON: i64 = 1;
const MOST_ATTEMPTS: u32 = 4;
const BESIDE_IT: i64 = 4;
/// Retries of all come within a second, and neighbours run for longer than that: whatever ran
/// beside the poison once would run beside it again and again.
const CONFIG: &str = "[supervisor]\ntick = \"50ms\"\nheartbeat = \"50ms\"\nlease = \"300ms\"\n\
    [pools.default]\nsize = 4\nprefetch = 8\nbackoff = { base = \"5ms\", cap = \"10ms\" }\n\
    [[clients]]\nid = \"fine\"\n[[clients]]\nid = \"lingers\"\n";

on_both_daemons! {
    #[ignore = "long: `just long`"]
    async fn a_job_that_kills_its_process_is_failed_and_costs_its_neighbours_two_attempts_at_most(place: Place) {
        let options = Options { has_own_kinds: true, until: Until::Started, ..place.options(CONFIG) };
        let mut daemon = Daemon::start(options).await;
        eventually(PATIENCE, async || {
            let answer = crate::support::web::try_ask(daemon.get("/readyz")).await?;
            (answer.status == 200).then_some(())
        })
        .await;
        let db = Peek::of(&daemon).await;
        for id in 2..2 + BESIDE_IT {
            db.put_job(id, "BESIDE", "fine", 10).await;
        }
        db.put_job(POISON, "POISON", "lingers", MOST_ATTEMPTS).await;
        let mut next = 100;
        let mut deaths = 0;
        let is_over = format!("select count(*) from job_attempts where job_id = {POISON} and ended");
        loop {
            let has_died = eventually(PATIENCE, async || {
                if !daemon.is_running() {
                    return Some(true);
                }
                (db.number(&is_over).await == 1).then_some(false)
            })
            .await;
            if !has_died {
                break;
            }
            deaths += 1;
            assert!(deaths <= MOST_ATTEMPTS, "no loop of crashes");
            // Some jobs have always never been rescued.
            for _ in 0..2 {
                db.put_job(next, "BESIDE", "fine", 10).await;
                next += 1;
            }
            daemon.start_again().await;
        }
        assert_eq!(deaths, MOST_ATTEMPTS);
        eventually(PATIENCE, async || (db.unfinished().await == 0).then_some(())).await;
        assert!(daemon.is_running());
        let poison = ask(daemon.api(reqwest::Method::GET, &format!("/jobs/{POISON}"))).await.body;
        assert_eq!(poison["status"], "failed", "{poison}");
        let errors = poison["errors"].as_array().unwrap();
        assert_eq!(errors.len(), MOST_ATTEMPTS as usize, "{poison}");
        assert!(errors.iter().all(|it| it["reason"] == "rescued"), "{poison}");
        let failed = "select count(*) from job_attempts where ended and outcome <> 'succeeded'";
        assert_eq!(db.number(failed).await, 1, "the poison alone");
        let rescued = "select cast(job_id as text) from job_attempts where outcome = 'rescued' and job_id <> 1";
        let mut cost: BTreeMap<String, u32> = BTreeMap::new();
        for job_id in db.texts(rescued).await {
            *cost.entry(job_id).or_default() += 1;
        }
        eprintln!("attempts lost by {} of {} neighbours: {cost:?}", cost.len(), next - 100 + BESIDE_IT);
        assert!(!cost.is_empty(), "somebody ran beside it");
        assert!(cost.values().all(|it| *it <= 2), "{cost:?}");
        assert_eq!(ask(daemon.get("/readyz")).await.status, 200);
    }
}
