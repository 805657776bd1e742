//! What a daemon does with the values of its configuration, seen from outside: of jobs, restarts
//! and retention.

use super::effects::{FAILS, HOLDS, PANICS, PANICS_ALONE, PATIENCE, QUIET, WORKS, World};
use crate::support::{eventually, web::ask};
use postroom::{
    domain::{Id, JobKind},
    telemetry::pool_post::PoolView,
};
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;

const HOUR_MS: i64 = 3_600_000;

impl World {
    async fn job(&self, id: impl std::fmt::Display) -> Value {
        self.daemon.api(&format!("/jobs/{id}")).await.body
    }

    async fn enqueue(&self, kind: JobKind, client: &str, count: usize) -> Vec<Id> {
        let mut jobs = Vec::new();
        for _ in 0..count {
            jobs.push(self.daemon.enqueue(kind, client, 1).await);
        }
        jobs
    }

    /// Waits until the job has ended, and returns its status.
    async fn ended(&self, id: Id) -> String {
        eventually(PATIENCE, async || {
            let job = self.job(id).await;
            let status = job["status"].as_str().unwrap_or_default();
            (!matches!(status, "pending" | "running")).then(|| status.to_owned())
        })
        .await
    }

    fn pool(&self, kind: JobKind) -> PoolView {
        self.daemon.board.pool(kind).view()
    }

    /// How many of three jobs of a client run at once.
    pub async fn at_once(&self) -> String {
        let jobs = self.enqueue(HOLDS, "a", 3).await;
        let running = self.settled(async || self.gate.running(&jobs)).await;
        self.gate.release(&jobs);
        running.to_string()
    }

    /// How many jobs are claimed while the only slot is held and the kind is fast.
    pub async fn claimed(&self) -> String {
        for id in self.enqueue(HOLDS, "quick", 30).await {
            self.ended(id).await;
        }
        let jobs = self.enqueue(HOLDS, "a", 6).await;
        let sql = "select count(*) from job_ready where node is not null and kind = 'HOLDS'";
        let claimed = self.settled(async || self.peek.number(sql).await).await;
        self.gate.release(&jobs);
        for id in jobs {
            self.ended(id).await;
        }
        claimed.to_string()
    }

    /// Whether a job that hangs is cut off soon.
    pub async fn hanging(&self) -> String {
        let jobs = self.enqueue(HOLDS, "a", 1).await;
        eventually(PATIENCE, async || (self.gate.running(&jobs) == 1).then_some(())).await;
        let ended = tokio::time::timeout(QUIET, self.ended(jobs[0])).await;
        self.gate.release(&jobs);
        if ended.is_ok() { "cut off" } else { "runs on" }.to_owned()
    }

    /// The greatest number of attempts of the first job, and of a new one.
    pub async fn attempts(&self) -> String {
        let answer = self.post("Please call me").await;
        let job = answer.job_ids().pop().expect("a job");
        let first = self.first_job.get_or_init(|| job.clone()).clone();
        let [first, new] = [self.job(first).await, self.job(job).await];
        format!("{} {}", first["max_attempts"], new["max_attempts"])
    }

    /// The minutes between a job's first failure and its retry.
    pub async fn retry_minutes(&self) -> String {
        let id = self.daemon.enqueue(FAILS, "a", 2).await;
        eventually(PATIENCE, async || {
            let job = self.job(id).await;
            if job["status"] == "failed" {
                return Some("0".to_owned());
            }
            let error = job["errors"].as_array()?.first()?.clone();
            let at = |text: &Value| text.as_str()?.parse::<jiff::Timestamp>().ok();
            let wait = at(&job["run_at"])?.as_second() - at(&error["failed_at"])?.as_second();
            if wait < 30 {
                return None;
            }
            ask(self.daemon.request(Method::POST, &format!("/jobs/{id}/cancel"))).await;
            Some(((wait + 30) / 60).to_string())
        })
        .await
    }

    /// Whether a job that another process stores is found soon.
    pub async fn found(&self) -> String {
        let id = 1_000 + i64::try_from(self.unique()).unwrap();
        self.peek.put_job(id, WORKS.0, "a", 1).await;
        let found = tokio::time::timeout(Duration::from_secs(1), self.ended(id)).await;
        if found.is_ok() { "soon" } else { "later" }.to_owned()
    }

    /// Lets a job panic, and waits until its slot is down.
    async fn panic(&self, kind: JobKind) -> PoolView {
        let before = self.pool(kind).restarts;
        let id = self.daemon.enqueue(kind, "a", 1).await;
        assert_eq!(self.ended(id).await, "failed");
        let down = async || Some(self.pool(kind)).filter(|it| it.restarts > before);
        eventually(PATIENCE, down).await
    }

    /// Whether a slot waits after a panic.
    async fn slot_after(&self, panics: usize) -> String {
        for _ in 0..panics {
            self.panic(PANICS).await;
        }
        let waits = self.settled(async || self.pool(PANICS).backing_off > 0).await;
        if waits { "waits" } else { "at once" }.to_owned()
    }

    pub async fn slot_after_a_panic(&self) -> String {
        self.slot_after(1).await
    }

    pub async fn slot_after_three_panics(&self) -> String {
        self.slot_after(3).await
    }

    /// How many milliseconds a slot waits after a panic.
    async fn wait_ms(&self, kind: JobKind) -> i64 {
        let calm = async || (self.pool(kind).backing_off == 0).then_some(());
        eventually(PATIENCE, calm).await;
        let before = postroom::store::wall_clock().as_millis();
        self.panic(kind).await;
        let waits = async || Some(self.pool(kind)).filter(|it| it.backing_off > 0);
        // A short pause may be over before it is seen.
        let seen = tokio::time::timeout(QUIET, eventually(PATIENCE, waits)).await;
        seen.map_or(0, |pool| pool.resumes_at.as_millis() - before)
    }

    /// Whether the pause of a slot is short.
    pub async fn pause(&self) -> String {
        if self.wait_ms(PANICS).await < 2_500 { "short" } else { "long" }.to_owned()
    }

    /// Whether the pauses of a slot grow beyond a second.
    pub async fn pauses(&self) -> String {
        for _ in 0..4 {
            if self.wait_ms(PANICS_ALONE).await > 900 {
                return "grow".to_owned();
            }
        }
        "stay".to_owned()
    }

    /// An id that was given out this long ago.
    fn id_of(&self, ago_ms: i64) -> Id {
        self.daemon.store.enqueuer().next_id() - (ago_ms << 22)
    }

    /// Stores a job that ended this long ago.
    async fn ended_ago(&self, ago_ms: i64, outcome: &str) -> Id {
        let id = self.id_of(ago_ms);
        let at = postroom::store::wall_clock().as_millis() - ago_ms;
        self.peek
            .execute(&format!(
                "insert into jobs (id, kind, client_id, subject_id, max_attempts, run_at, created_at) \
                 values ({id}, 'WORKS', 'a', {id}, 5, {at}, {at}); \
                 insert into job_attempts (job_id, run, spared, outcome, ended, finished_at) \
                 values ({id}, 1, 0, '{outcome}', 1, {at})"
            ))
            .await;
        id
    }

    /// Lets the janitor prune, and tells what has become of the row that `is_there` counts.
    ///
    /// A new janitor prunes at once. An old job that every configuration prunes shows that it has.
    async fn after_pruning(&self, is_there: &str) -> String {
        let marker = self.ended_ago(4_000 * HOUR_MS, "succeeded").await;
        self.daemon.board.faults().arm("janitor.handle", 1);
        let gone = format!("select count(*) from jobs where id = {marker}");
        eventually(PATIENCE, async || (self.peek.number(&gone).await == 0).then_some(())).await;
        let count = self.settled(async || self.peek.number(is_there).await).await;
        if count > 0 { "kept" } else { "pruned" }.to_owned()
    }

    async fn ended_job(&self, outcome: &str) -> String {
        let id = self.ended_ago(2 * HOUR_MS, outcome).await;
        self.after_pruning(&format!("select count(*) from jobs where id = {id}")).await
    }

    pub async fn succeeded_job(&self) -> String {
        self.ended_job("succeeded").await
    }

    pub async fn failed_job(&self) -> String {
        self.ended_job("error").await
    }

    pub async fn old_quarantine(&self) -> String {
        self.unknown_event().await;
        let newest = self.peek.number("select max(id) from quarantine").await;
        let id = self.id_of(2 * HOUR_MS);
        let at = postroom::store::wall_clock().as_millis() - 2 * HOUR_MS;
        self.peek
            .execute(&format!(
                "update quarantine set id = {id}, last_received_at = {at} where id = {newest}"
            ))
            .await;
        self.after_pruning(&format!("select count(*) from quarantine where id = {id}")).await
    }

    pub async fn old_payload(&self) -> String {
        let id = self.id_of(2 * HOUR_MS);
        self.peek
            .execute(&format!(
                "insert into messages (id, client_id, lead_id, channel, direction, source, body, has_new_text, \
                   payload, sender, recipients, cc, attachments, automated, sent_at, created_at) \
                 values ({id}, 'a', 1, 'sms', 'inbound', 'provider', 'hello', 1, '{{}}', '{{}}', '[]', '[]', '[]', \
                   0, 0, 0)"
            ))
            .await;
        let sql = format!("select count(*) from messages where id = {id} and payload is not null");
        self.after_pruning(&sql).await
    }
}
