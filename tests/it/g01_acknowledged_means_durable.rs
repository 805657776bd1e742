//! An acknowledged message is stored, and takes effect once, whenever the daemon is killed.

use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        daemon::{Daemon, Options, Until},
        eventually, http,
        web::{Answer, ask, sms, try_ask},
    },
};
use futures_util::future::join_all;
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

/// `just chaos` kills far more often.
const ROUNDS: u64 = 8;
const CONNECTIONS: usize = 6;
/// Few, so that each has messages waiting in line.
const LEADS: u64 = 50;
const PATIENCE: Duration = Duration::from_secs(60);
/// Dead nodes are noticed at once, and no job runs out of attempts by kills.
pub(crate) const CONFIG: &str = r#"
[supervisor]
tick = "200ms"
heartbeat = "100ms"
lease = "400ms"
[pools.default]
max_attempts = 50
backoff = { base = "10ms", cap = "100ms" }
"#;

/// Random numbers that a seed repeats.
struct Chance(u64);

impl Chance {
    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)) % end
    }
}

/// Posts until it is stopped; each message again and again until it is acknowledged.
#[derive(Default)]
pub(crate) struct Load {
    next: AtomicU64,
    is_over: AtomicBool,
    acknowledged: Mutex<Vec<Answer>>,
    refused: Mutex<Vec<Answer>>,
    /// The longest that an answer took since that was last asked for, in milliseconds.
    slowest_ms: AtomicU64,
}

impl Load {
    async fn post(&self, http: &reqwest::Client, url: &str) {
        while !self.is_over.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let text = format!("Hey, yes I'm interested. What does it cost? ({number})");
            let body = sms(number % LEADS, &text);
            let acknowledged = eventually(PATIENCE, async || {
                let asked = tokio::time::Instant::now();
                let answer = try_ask(http.post(url).json(&body)).await?;
                let took = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
                self.slowest_ms.fetch_max(took, Ordering::Relaxed);
                assert!(matches!(answer.status, 200 | 429), "{answer:?}");
                if answer.status == 429 {
                    self.refused.lock().unwrap().push(answer);
                    return None;
                }
                Some(answer)
            });
            let answer = acknowledged.await;
            assert!(matches!(answer.outcome(), "accepted" | "duplicate"), "{answer:?}");
            self.acknowledged.lock().unwrap().push(answer);
        }
    }

    /// Posts over `connections` connections until it is stopped.
    pub(crate) async fn post_over(&self, http: &reqwest::Client, url: &str, connections: usize) {
        join_all((0..connections).map(|_| self.post(http, url))).await;
    }

    pub(crate) fn stop(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.acknowledged.lock().unwrap().len() as u64
    }

    /// The answers that acknowledged a message so far.
    pub(crate) fn acknowledged(&self) -> Vec<Answer> {
        self.acknowledged.lock().unwrap().clone()
    }

    /// The number of answers 429 so far.
    pub(crate) fn refused(&self) -> Vec<Answer> {
        self.refused.lock().unwrap().clone()
    }

    /// The longest that an answer took since this was last asked for.
    pub(crate) fn take_slowest(&self) -> Duration {
        Duration::from_millis(self.slowest_ms.swap(0, Ordering::Relaxed))
    }

    pub(crate) async fn has_reached(&self, count: u64) {
        eventually(PATIENCE, async || (self.count() >= count).then_some(())).await;
    }

    /// Checks that the database has what was acknowledged and nothing else, each thing once, and
    /// that all of it was worked off.
    pub(crate) async fn is_stored_and_worked_off(&self, daemon: &Daemon, hint: &str) {
        let db = Peek::of(daemon).await;
        eventually(PATIENCE, async || (db.unfinished().await == 0).then_some(())).await;
        let answers = self.acknowledged.lock().unwrap().clone();
        let messages: HashSet<String> =
            db.texts("select cast(id as varchar(20)) from messages").await.into_iter().collect();
        let jobs: HashMap<String, String> = db
            .texts(
                "select cast(id as varchar(20)) || ' ' || cast(subject_id as varchar(20)) from jobs \
                 where kind = 'SMS_INBOUND_POST_PROCESS'",
            )
            .await
            .iter()
            .map(|it| it.split_once(' ').unwrap())
            .map(|(job, message)| (job.to_owned(), message.to_owned()))
            .collect();
        for answer in &answers {
            let message_id = answer.field("message_id");
            assert!(messages.contains(message_id), "{hint}: no such message: {answer:?}");
            let [job_id] = &answer.job_ids()[..] else { panic!("{hint}: not one job: {answer:?}") };
            assert_eq!(
                jobs.get(job_id).map(String::as_str),
                Some(message_id),
                "{hint}: {answer:?}"
            );
        }
        let acknowledged: HashSet<&str> = answers.iter().map(|it| it.field("message_id")).collect();
        assert_eq!(acknowledged.len(), answers.len(), "{hint}: two messages became one");
        // Every message was posted until it was acknowledged.
        assert_eq!(messages.len(), answers.len(), "{hint}: messages that nobody posted");
        for (what, sql) in [
            (
                "messages that are not worked off",
                "select count(*) from messages where handled_at is null",
            ),
            (
                "messages without one inbound job and one scoring job",
                "select count(*) from messages m where 2 <> (select count(*) from jobs j where j.subject_id = m.id \
                   and j.kind in ('SMS_INBOUND_POST_PROCESS', 'LEAD_SCORING_POST_PROCESS'))",
            ),
            (
                "jobs that have not ended exactly once",
                "select count(*) from jobs j where j.kind <> 'SELF_CHECK' \
                   and 1 <> (select count(*) from job_attempts a where a.job_id = j.id and a.ended)",
            ),
            (
                "jobs that did not succeed",
                "select count(*) from job_attempts a join jobs j on j.id = a.job_id \
                   where j.kind <> 'SELF_CHECK' and a.ended and a.outcome <> 'succeeded'",
            ),
            (
                "attempts that failed otherwise than by their node's death",
                "select count(*) from job_attempts a where a.outcome not in ('succeeded', 'rescued')",
            ),
            (
                "second drafts for a message",
                "select count(*) from (select 1 as n from drafts group by message_id, channel having count(*) > 1) d",
            ),
            (
                "leads whose newest message has no pending draft, or which have another",
                "select count(*) from leads l where 1 <> (select count(*) from drafts d where d.lead_id = l.id \
                   and d.status = 'pending') or not exists (select 1 from drafts d where d.lead_id = l.id \
                   and d.status = 'pending' and d.message_id = l.newest_inbound_id)",
            ),
            ("leads without a score", "select count(*) from leads where scored_at is null"),
        ] {
            assert_eq!(db.number(sql).await, 0, "{hint}: {what}");
        }
        let leads = db.number("select count(*) from leads").await;
        assert!(leads <= LEADS as i64, "{hint}: {leads} leads");
        self.is_counted(daemon, &db).await;
    }

    /// The counts that the daemon shows are those of the tables, whatever happened between.
    async fn is_counted(&self, daemon: &Daemon, db: &Peek) {
        let succeeded = "select count(*) from job_attempts where ended and outcome = 'succeeded'";
        let failed = "select count(*) from job_attempts where ended \
            and outcome not in ('succeeded', 'cancelled')";
        let seen = eventually(Duration::from_secs(20), async || {
            let before = db.number(succeeded).await;
            let jobs = ask(daemon.api(reqwest::Method::GET, "/overview")).await.body["jobs"].take();
            let is_right = jobs["pending"] == 0
                && jobs["running"] == 0
                && jobs["failed"] == db.number(failed).await
                && jobs["succeeded"] == before;
            is_right.then_some(())
        });
        seen.await;
    }
}

async fn kill_again_and_again(load: &Load, daemon: &mut Daemon, seed: u64) {
    let mut chance = Chance(seed);
    for _ in 0..ROUNDS {
        load.has_reached(load.count() + chance.below(100)).await;
        for _ in 0..chance.below(200) {
            tokio::task::yield_now().await;
        }
        daemon.kill_9();
        daemon.start_again().await;
    }
    // The last one is left alone for a while, so that its own work is in the picture, too.
    load.has_reached(load.count() + 50).await;
    load.stop();
}

on_both_daemons! {
    /// Some are killed before they listen, some in the middle of migrations.
    #[ignore = "long: `just long`"]
    async fn what_was_acknowledged_survives_kills_at_any_moment_and_takes_effect_once(
        place: Place,
    ) {
        let seed = std::env::var("POSTROOM_TEST_SEED").ok().and_then(|it| it.parse().ok());
        let seed: u64 = seed.unwrap_or_else(rand::random);
        let hint = format!("POSTROOM_TEST_SEED={seed}");
        eprintln!("{hint}");
        let options = Options { until: Until::Started, ..place.options(CONFIG) };
        let mut daemon = Daemon::start(options).await;
        let load = Load::default();
        let (http, url) = (http(), daemon.url("/webhooks/sms/demo"));
        let posting = load.post_over(&http, &url, CONNECTIONS);
        tokio::join!(posting, kill_again_and_again(&load, &mut daemon, seed));
        load.is_stored_and_worked_off(&daemon, &hint).await;
        assert!(load.count() > ROUNDS, "{hint}: too little was posted to say anything");
    }
}
