//! What the view shows of a daemon, and what a key can ask of it.

use crate::cli::{
    admin::{Admin, AdminRefusal},
    lists::{field, override_of},
    output::{items, line, now, span, text},
};
use jiff::Timestamp;
use serde_json::Value;

/// Failed jobs that are shown: the newest.
const FAILURES: &str = "5";
/// A job that is due for longer than this is late, in seconds.
const LATE_SECONDS: u64 = 300;
/// A kind needs attention if one attempt of so many fails, or more.
const FAILING_PART: u64 = 10;

/// What a daemon said of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TopData {
    /// When it was asked.
    pub(super) at: Timestamp,
    pub(super) node: String,
    pub(super) version: String,
    pub(super) database: String,
    pub(super) uptime_seconds: u64,
    pub(super) nodes: usize,
    pub(super) pending: u64,
    pub(super) running: u64,
    pub(super) webhooks_per_second: f64,
    pub(super) jobs_per_second: f64,
    pub(super) quarantined: u64,
    pub(super) drafts_pending: u64,
    pub(super) deliveries_uncertain: u64,
    /// The pools, in the order of the API.
    pub(super) pools: Vec<PoolLine>,
    /// The newest failed jobs.
    pub(super) failures: Vec<FailureLine>,
    /// The checks of `/readyz` that fail, with their details.
    pub(super) not_ready: Vec<String>,
}

/// A pool of the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PoolLine {
    pub(super) kind: String,
    pub(super) state: String,
    pub(super) is_paused: bool,
    pub(super) size: u64,
    /// What the configuration files say.
    pub(super) configured_size: u64,
    pub(super) busy: u64,
    /// `None` if the database is away.
    pub(super) backlog: Option<u64>,
    /// Since when the first of its jobs is due, in seconds; `None` if none is.
    pub(super) oldest_seconds: Option<u64>,
    pub(super) restarts: u64,
    /// How many attempts end in a minute, and how many of them fail.
    pub(super) ended_per_minute: u64,
    pub(super) failed_per_minute: u64,
    /// The keys that operators have set, with who, why and until when.
    pub(super) override_note: Option<String>,
    /// Who paused it, and why; `None` if no operator has.
    pub(super) pause_note: Option<String>,
}

/// A job that has failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FailureLine {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) client: String,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) error: String,
}

/// A change that a key asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PoolStep {
    /// Pauses or resumes a pool on all nodes.
    Pause { kind: String, is_paused: bool },
    /// Sets the size of a pool.
    Resize { kind: String, size: u64 },
    /// Ends the override of a pool.
    Reset { kind: String },
}

impl PoolStep {
    /// The pool that it changes.
    pub(super) fn kind(&self) -> &str {
        match self {
            Self::Pause { kind, .. } | Self::Resize { kind, .. } | Self::Reset { kind } => kind,
        }
    }
}

impl TopData {
    /// Asks a daemon. Pools are shown without the database, too.
    ///
    /// # Errors
    /// If the daemon does not answer, or refuses.
    pub(super) async fn ask(admin: &Admin) -> Result<Self, AdminRefusal> {
        let query = [("status", "failed".to_owned()), ("limit", FAILURES.to_owned())];
        let pools = admin.get(&["pools"], &[]).await?;
        let ready = admin.ready().await?;
        let overview = without_database(admin.get(&["overview"], &[]).await)?;
        let failed = without_database(admin.get(&["jobs"], &query).await)?;
        let config = match ready.pointer("/checks/config/ok") {
            Some(Value::Bool(false)) => admin.get(&["config"], &[]).await?,
            _ => Value::Null,
        };
        Ok(Self::of(&pools, &ready, &config, &overview, &failed, now()))
    }

    /// The answers of a daemon, read. `config` is only asked for if its check fails.
    pub(super) fn of(
        pools: &Value,
        ready: &Value,
        config: &Value,
        overview: &Value,
        failed: &Value,
        at: Timestamp,
    ) -> Self {
        let by_kind = items(overview, "by_kind");
        let oldest = |kind: &str| {
            let counted = by_kind.iter().find(|it| it.get("kind").is_some_and(|it| it == kind))?;
            counted.get("oldest_pending_seconds")?.as_u64()
        };
        Self {
            at,
            node: text(overview.get("node")),
            version: text(overview.get("version")),
            database: text(overview.get("database")),
            uptime_seconds: number(overview, "uptime_seconds"),
            nodes: items(overview, "nodes").len(),
            pending: number(overview, "jobs.pending"),
            running: number(overview, "jobs.running"),
            webhooks_per_second: rate(overview, "webhooks_per_second"),
            jobs_per_second: rate(overview, "jobs_per_second"),
            quarantined: number(overview, "quarantined"),
            drafts_pending: number(overview, "drafts_pending"),
            deliveries_uncertain: number(overview, "deliveries_uncertain"),
            pools: items(pools, "items").iter().map(|it| PoolLine::of(it, oldest)).collect(),
            failures: items(failed, "items").iter().map(FailureLine::of).collect(),
            not_ready: not_ready(ready, config),
        }
    }

    /// What is wrong, the worst first; empty if all is well.
    pub(super) fn troubles(&self) -> Vec<String> {
        let mut troubles = self.not_ready.clone();
        let backing_off = self.pools.iter().filter(|pool| pool.state == "backing_off");
        troubles.extend(backing_off.map(|pool| format!("{} backs off after failures", pool.kind)));
        if self.deliveries_uncertain > 0 {
            troubles.push(format!("{} sends have an unknown end", self.deliveries_uncertain));
        }
        for pool in self.pools.iter().filter(|pool| pool.is_paused) {
            let note = pool.pause_note.as_deref().unwrap_or("by the configuration");
            troubles.push(format!("{} is paused {note}", pool.kind));
        }
        for pool in self.pools.iter().filter(|pool| pool.is_failing()) {
            troubles.push(format!(
                "attempts of {} fail: {} of {} a minute",
                pool.kind,
                pool.failed_per_minute,
                pool.ended_per_minute.max(pool.failed_per_minute)
            ));
        }
        for pool in &self.pools {
            if let Some(seconds) = pool.oldest_seconds.filter(|seconds| *seconds > LATE_SECONDS) {
                troubles.push(format!("a job of {} is late by {}", pool.kind, span(seconds)));
            }
        }
        if self.quarantined > 0 {
            troubles.push(format!("{} webhooks are in quarantine", self.quarantined));
        }
        troubles
    }
}

/// `null` if the daemon has no database now: then it cannot answer this, and answers others.
fn without_database(answer: Result<Value, AdminRefusal>) -> Result<Value, AdminRefusal> {
    match answer {
        Err(AdminRefusal::This(refused)) if matches!(refused.status, 429 | 500..=599) => {
            Ok(Value::Null)
        }
        answer => answer,
    }
}

impl PoolLine {
    /// Whether a part of its attempts fails that needs attention.
    fn is_failing(&self) -> bool {
        let failed = self.failed_per_minute;
        failed > 0 && failed.saturating_mul(FAILING_PART) >= self.ended_per_minute
    }

    fn of(pool: &Value, oldest: impl Fn(&str) -> Option<u64>) -> Self {
        let kind = pool.get("kind").and_then(Value::as_str).unwrap_or_default();
        let keys = pool.pointer("/override/keys").and_then(Value::as_array);
        let pause = keys.into_iter().flatten().find(|it| {
            it.get("key").and_then(Value::as_str) == Some("paused")
                && it.get("value") == Some(&Value::Bool(true))
        });
        let why = |set: &Value| {
            let by = text(set.get("by"));
            match set.get("note").and_then(Value::as_str) {
                Some(note) => format!("by {by} ({})", line(note)),
                None => format!("by {by}"),
            }
        };
        Self {
            kind: line(kind),
            state: text(pool.get("state")),
            is_paused: pool.get("paused").and_then(Value::as_bool).unwrap_or_default(),
            size: number(pool, "size"),
            configured_size: number(pool, "configured_size"),
            busy: number(pool, "busy"),
            backlog: pool.get("backlog").and_then(Value::as_u64),
            oldest_seconds: oldest(kind),
            restarts: number(pool, "restarts"),
            ended_per_minute: number(pool, "ended_per_minute"),
            failed_per_minute: number(pool, "failed_per_minute"),
            override_note: pool
                .get("override")
                .filter(|it| it.is_object())
                .map(|_| override_of(pool)),
            pause_note: pause.map(why),
        }
    }
}

impl FailureLine {
    fn of(job: &Value) -> Self {
        let finished_at = job.get("finished_at").and_then(Value::as_str);
        Self {
            id: text(job.get("id")),
            kind: text(job.get("kind")),
            client: text(job.get("client_id")),
            finished_at: finished_at.and_then(|it| it.parse().ok()),
            error: text(job.get("last_error")),
        }
    }
}

/// The checks that fail: `database: away`. Why the configuration was refused is said with file and
/// line; what the pools say of themselves is left out.
fn not_ready(ready: &Value, config: &Value) -> Vec<String> {
    let checks = ready.get("checks").and_then(Value::as_object).into_iter().flatten();
    let failed =
        checks.filter(|(_, check)| check.get("ok").and_then(Value::as_bool) == Some(false));
    let spelled = failed.filter_map(|(name, check)| {
        let detail = check.get("detail").and_then(Value::as_str);
        let detail = match name.as_str() {
            "pools" => Some(lost_threads(detail?)?),
            "config" => refusal(config).or(detail.map(line)),
            _ => detail.map(line),
        };
        Some(match detail {
            Some(detail) => format!("{}: {detail}", line(name)),
            None => format!("{} is not ready", line(name)),
        })
    });
    spelled.collect()
}

/// The pools whose handlers hold threads, of all that the check of the pools says: the list of
/// pools has the rest.
fn lost_threads(detail: &str) -> Option<String> {
    let found = detail.split("; ").find(|part| part.starts_with("holding threads"));
    found.map(line)
}

/// The first error of the files that were refused: `refused: local.toml:7: …`.
fn refusal(config: &Value) -> Option<String> {
    let errors = items(config.get("last_reload")?, "errors");
    let first = errors.first()?;
    let message = line(first.get("message")?.as_str()?);
    let origin = first.get("origin").and_then(Value::as_str);
    let place = origin.map_or_else(String::new, |it| format!("{}: ", line(it)));
    let others = match errors.len() {
        1 => String::new(),
        count => format!(" (and {} more errors)", count - 1),
    };
    Some(format!("refused: {place}{message}{others}"))
}

fn number(answer: &Value, name: &str) -> u64 {
    field(answer, name).and_then(Value::as_u64).unwrap_or_default()
}

fn rate(answer: &Value, name: &str) -> f64 {
    answer.get(name).and_then(Value::as_f64).unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    /// A daemon with a paused pool and some failures.
    pub(in crate::cli::top) fn seen() -> TopData {
        let pool = |kind: &str, size: u64, paused: bool, by: Value| {
            json!({
                "kind": kind, "size": size, "configured_size": 8, "busy": 3, "paused": paused,
                "state": if paused { "paused" } else { "running" }, "backlog": 12, "restarts": 1,
                "override": by,
            })
        };
        TopData::of(
            &json!({"items": [
                pool("ANALYSE", 8, false, Value::Null),
                pool("DELIVER_REPLY", 16, true, json!({"keys": [
                    {"key": "size", "value": 16, "by": "erin", "note": null},
                    {"key": "paused", "value": true, "by": "dana", "note": "provider down"},
                ]})),
                pool("SELF_CHECK", 8, false, Value::Null),
            ]}),
            &json!({"status": "ready", "checks": {
                "database": {"ok": true, "detail": null},
                "config": {"ok": false, "detail": "local.toml:7: no\u{1b}[2J"},
            }}),
            &Value::Null,
            &json!({
                "node": "77", "version": "0.1.0", "database": "sqlite", "uptime_seconds": 7_500,
                "jobs": {"pending": 36, "running": 9}, "webhooks_per_second": 12.34,
                "jobs_per_second": 40.0, "quarantined": 2, "drafts_pending": 1,
                "deliveries_uncertain": 0, "nodes": [{"id": "77"}],
                "by_kind": [{"kind": "DELIVER_REPLY", "oldest_pending_seconds": 3_605}],
            }),
            &json!({"items": [{
                "id": "4711", "kind": "ANALYSE", "client_id": "acme", "last_error": "no\nroute",
                "finished_at": "2026-01-18T14:03:11.120Z",
            }]}),
            "2026-01-18T14:05:00Z".parse().expect("an instant"),
        )
    }

    #[test]
    fn what_is_wrong_is_told_the_worst_first() {
        assert_eq!(
            seen().troubles(),
            [
                "config: local.toml:7: no\\u001b[2J",
                "DELIVER_REPLY is paused by dana (provider down)",
                "a job of DELIVER_REPLY is late by 1h",
                "2 webhooks are in quarantine",
            ]
        );
        assert!(TopData::default().troubles().is_empty());
    }

    #[test]
    fn one_thing_is_told_once_and_with_its_place() {
        let ready = json!({"checks": {
            "config": {"ok": false, "detail": "refused at 2026-01-18T14:03:11Z"},
            "pools": {"ok": false, "detail": "holding threads that never yield: A; paused: A (by dana: x)"},
        }});
        let config = json!({"last_reload": {"errors": [
            {"origin": "local.toml:7", "message": "unknown key `sise`"},
            {"origin": null, "message": "more"},
        ]}});
        assert_eq!(
            not_ready(&ready, &config),
            [
                "config: refused: local.toml:7: unknown key `sise` (and 1 more errors)",
                "pools: holding threads that never yield: A",
            ]
        );
        let paused =
            json!({"checks": {"pools": {"ok": false, "detail": "paused: A (by dana: x)"}}});
        assert!(not_ready(&paused, &Value::Null).is_empty());
    }

    #[test]
    fn a_kind_whose_attempts_fail_is_told() {
        for (ended, failed, is_told) in [(0, 0, false), (1, 1, true), (11, 1, false), (10, 1, true)]
        {
            let pool = json!({"kind": "A", "ended_per_minute": ended, "failed_per_minute": failed});
            let seen = TopData { pools: vec![PoolLine::of(&pool, |_| None)], ..TopData::default() };
            let told = format!("attempts of A fail: {failed} of {ended} a minute");
            let expected = if is_told { vec![told] } else { Vec::new() };
            assert_eq!(seen.troubles(), expected);
        }
    }

    #[test]
    fn pools_are_shown_without_the_database() {
        let pools = json!({"items": [{"kind": "A", "size": 4, "backlog": null}]});
        let seen = TopData::of(
            &pools,
            &Value::Null,
            &Value::Null,
            &Value::Null,
            &Value::Null,
            Timestamp::UNIX_EPOCH,
        );
        let pool = seen.pools.first().expect("a pool");
        assert_eq!((pool.size, pool.backlog), (4, None));
    }
}
