//! What is told about each topic: ids, states and numbers by key, never texts of leads, messages
//! or errors. A page shows the same values under the same keys when it is made.

use super::hub::LiveValues;
use crate::{
    domain::{Timestamp, alerts::OverallVerdict},
    store::{JobView, LeadMark, LedgerBalance, Totals},
    telemetry::{board::ActorView, pool_post::PoolView},
    tuning::TuningStatus,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
};

/// The most actors that are told about: those that come first by name.
const ACTORS_MAX: usize = 500;

/// What the overview shows beside what is counted in the database.
#[derive(Debug)]
pub(in crate::http) struct TotalsHere<'a> {
    /// How the daemon is.
    pub(in crate::http) verdict: &'a OverallVerdict,
    /// Webhooks and attempts a second.
    pub(in crate::http) per_second: (f64, f64),
    /// What was counted last; `None` before the first time.
    pub(in crate::http) totals: Option<&'a Totals>,
    /// False while the database does not answer.
    pub(in crate::http) database_answers: bool,
    /// True if the last reload of the configuration was refused.
    pub(in crate::http) is_config_refused: bool,
    /// The time from which ages are counted.
    pub(in crate::http) now: Timestamp,
}

/// What a pool shows beside its place on the board.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::http) struct PoolNumbers {
    /// Jobs of the kind that wait, on all nodes; `None` if that is not known.
    pub(in crate::http) backlog: Option<i64>,
    /// Since when the one is due that has been due longest.
    pub(in crate::http) due_since: Option<Timestamp>,
    /// Failed attempts a minute.
    pub(in crate::http) failed: u64,
    /// The 95th percentile of the wait of the last minute, in seconds.
    pub(in crate::http) wait_p95: Option<f64>,
    /// The 95th percentile of the time from start to end, of the last minute, in seconds.
    pub(in crate::http) run_p95: Option<f64>,
}

/// Values that are put in by key.
#[derive(Default)]
struct Values(LiveValues);

impl Values {
    fn put(&mut self, key: impl Into<String>, value: impl Display) {
        self.0.insert(key.into(), value.to_string());
    }

    /// Puts in a value that may be missing, as an empty text.
    fn put_some(&mut self, key: impl Into<String>, value: Option<impl Display>) {
        self.0.insert(key.into(), value.map(|it| it.to_string()).unwrap_or_default());
    }
}

/// A rate as it is shown.
pub(in crate::http) fn rate(per_second: f64) -> String {
    format!("{per_second:.1}")
}

/// An age as it is shown: `37 s`, `12 min`, `3 h`, `5 d`.
pub(in crate::http) fn age(ms: i64) -> String {
    let seconds = ms.max(0) / 1_000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A duration of a few digits, in seconds.
pub(in crate::http) fn seconds(seconds: f64) -> String {
    if seconds < 10.0 { format!("{seconds:.2}") } else { format!("{seconds:.0}") }
}

/// The values of the topic `totals`.
pub(in crate::http) fn totals(here: &TotalsHere<'_>) -> LiveValues {
    let mut values = Values::default();
    values.put("verdict/state", here.verdict.state.as_str());
    values.put("verdict/wrong", here.verdict.wrong.len() + here.verdict.more);
    values.put("webhooks_per_second", rate(here.per_second.0));
    values.put("jobs_per_second", rate(here.per_second.1));
    // As a number: a page hides a sign whose value is 0.
    values.put("config/refused", u8::from(here.is_config_refused));
    values.put("database", if here.database_answers { "there" } else { "away" });
    let Some(totals) = here.totals else { return values.0 };
    let LedgerBalance { accepted: _, succeeded, failed, cancelled, pending, running } =
        totals.balance();
    for (state, count) in [
        ("pending", pending),
        ("running", running),
        ("succeeded", succeeded),
        ("failed", failed),
        ("cancelled", cancelled),
    ] {
        values.put(format!("jobs/{state}"), count);
    }
    values.put("ledger/imbalance", totals.balance().imbalance());
    values.put("drafts/pending", totals.drafts_pending);
    values.put("deliveries/uncertain", totals.deliveries_uncertain);
    values.put("quarantine/held", totals.quarantined);
    values.put("accounts/troubled", totals.accounts.len());
    values.put("nodes", totals.nodes.len());
    let due_since = totals.backlog.iter().filter_map(|it| it.oldest_at).min();
    values.put_some("oldest_due", due_since.map(|since| age(here.now.millis_since(since))));
    for (kind, of_kind) in by_kind(totals) {
        values.put(format!("kinds/{kind}/pending"), of_kind.pending);
        values.put(format!("kinds/{kind}/running"), of_kind.running);
    }
    values.0
}

/// The jobs of a kind, of all clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::http) struct OfKind {
    /// Jobs that wait.
    pub(in crate::http) pending: i64,
    /// Jobs that run.
    pub(in crate::http) running: i64,
    /// Since when the one is due that has been due longest.
    pub(in crate::http) due_since: Option<Timestamp>,
}

/// The unfinished jobs, by kind.
pub(in crate::http) fn by_kind(totals: &Totals) -> BTreeMap<&str, OfKind> {
    let mut kinds: BTreeMap<&str, OfKind> = BTreeMap::new();
    for counted in &totals.backlog {
        let of_kind = kinds.entry(&counted.kind).or_default();
        of_kind.pending += counted.pending;
        of_kind.running += counted.running;
        of_kind.due_since = [of_kind.due_since, counted.oldest_at].into_iter().flatten().min();
    }
    kinds
}

/// The values of the topic `pools`.
pub(in crate::http) fn pools(
    pools: &[PoolView],
    numbers: impl Fn(&PoolView) -> PoolNumbers,
    now: Timestamp,
) -> LiveValues {
    let mut values = Values::default();
    for pool in pools {
        let (kind, more) = (pool.kind, numbers(pool));
        let mut put = |key: &str, value: String| values.put(format!("{kind}/{key}"), value);
        put("state", pool.state_word().to_owned());
        put("size", pool.size.to_string());
        put("busy", pool.busy.to_string());
        put("claimed", pool.claimed.to_string());
        put("leaving", pool.leaving.to_string());
        put("restarts", pool.restarts.to_string());
        put("ended", pool.per_minute.to_string());
        put("failed", more.failed.to_string());
        put("backlog", more.backlog.map(|it| it.to_string()).unwrap_or_default());
        let due = more.due_since.map(|since| age(now.millis_since(since)));
        put("oldest", due.unwrap_or_default());
        put("wait", more.wait_p95.map(seconds).unwrap_or_default());
        put("run", more.run_p95.map(seconds).unwrap_or_default());
    }
    values.0
}

/// The values of the topic `actors`.
pub(in crate::http) fn actors(actors: &[ActorView]) -> LiveValues {
    let mut values = Values::default();
    for actor in actors.iter().take(ACTORS_MAX) {
        let name = &actor.name;
        values.put(format!("{name}/state"), actor.state.as_str());
        values.put(format!("{name}/restarts"), actor.restarts);
        values.put(format!("{name}/depth"), actor.mailbox_depth);
        values.put_some(format!("{name}/job"), actor.job_id);
    }
    values.0
}

/// The values of the topic `config`.
pub(in crate::http) fn config(status: &TuningStatus, overrides: usize) -> LiveValues {
    let mut values = Values::default();
    values.put("hash", status.running.hash());
    values.put("loaded_at", status.loaded_at);
    values.put_some("reloaded_at", status.last.as_deref().map(|report| report.at));
    values.put("state", if status.refused().is_some() { "refused" } else { "ok" });
    values.put("pending", status.pending.len());
    values.put("applying", status.applying.len());
    values.put("overrides", overrides);
    values.0
}

/// The values of the topic `drafts`.
pub(in crate::http) fn drafts(totals: &Totals) -> LiveValues {
    let mut values = Values::default();
    values.put("pending", totals.drafts_pending);
    values.put("uncertain", totals.deliveries_uncertain);
    values.0
}

/// The values of the topic of a job or lead that is not there.
pub(in crate::http) fn gone() -> LiveValues {
    let mut values = Values::default();
    values.put("status", "gone");
    values.0
}

/// The values of the topic of a job.
pub(in crate::http) fn job(job: &JobView) -> LiveValues {
    let mut values = Values::default();
    values.put("status", job.status.as_str());
    values.put("attempts", job.attempts);
    values.put("max_attempts", job.max_attempts);
    values.put("due_at", job.run_at);
    values.put_some("node", job.node);
    values.put_some("delivery", job.delivery_id);
    values.0
}

/// The people who look at something, as one value.
pub(in crate::http) fn people(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// The values of the topic of a lead. `watching` counts the streams that follow it, and `looking`
/// are the people among them.
pub(in crate::http) fn lead(
    lead: &LeadMark,
    watching: usize,
    looking: &BTreeSet<String>,
) -> LiveValues {
    let mut values = Values::default();
    values.put("status", &lead.status);
    values.put_some("tag", lead.tag.as_ref());
    values.put_some("message", lead.newest_message_id);
    values.put_some("inbound", lead.newest_inbound_id);
    values.put_some("draft", lead.draft_id);
    values.put_some("draft_status", lead.draft_status.as_ref());
    values.put_some("merged_into", lead.merged_into);
    values.put("watching", watching);
    values.put("people", people(looking));
    values.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{JobState, JobStatus};

    #[test]
    fn ages_and_rates_are_short() {
        for (ms, text) in [
            (-5, "0 s"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (3_599_999, "59 min"),
            (3_600_000, "1 h"),
            (172_799_000, "47 h"),
            (172_800_000, "2 d"),
        ] {
            assert_eq!(age(ms), text);
        }
        assert_eq!(
            (rate(8.44), rate(0.0), seconds(0.5), seconds(61.4)),
            ("8.4".to_owned(), "0.0".to_owned(), "0.50".to_owned(), "61".to_owned())
        );
    }

    #[test]
    fn no_text_of_a_job_is_told() {
        let view = JobView {
            id: 7,
            kind: "A".to_owned(),
            status: JobStatus::Failed,
            state: JobState::Failed,
            run: 3,
            client_id: "acme".to_owned(),
            lead_id: Some(1),
            subject_id: 2,
            message_id: None,
            draft_id: None,
            delivery_id: Some(9),
            attempts: 3,
            max_attempts: 5,
            run_at: Timestamp::from_millis(0),
            created_at: Timestamp::from_millis(0),
            started_at: None,
            finished_at: None,
            node: None,
            last_node: None,
            last_actor: None,
            last_error: Some("a text from outside".to_owned()),
            trace_id: None,
        };
        let told = job(&view);
        let found: Vec<(&str, &str)> =
            told.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let expected = [
            ("attempts", "3"),
            ("delivery", "9"),
            ("due_at", "1970-01-01T00:00:00.000Z"),
            ("max_attempts", "5"),
            ("node", ""),
            ("status", "failed"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn actors_are_bounded() {
        let actor = |number: usize| ActorView {
            name: format!("A/{number}"),
            kind: crate::telemetry::board::ActorType::Handler,
            parent: "supervisor",
            state: crate::telemetry::board::ActorState::Busy,
            since: Timestamp::default(),
            resumes_at: None,
            restarts: 2,
            last_failure: None,
            mailbox_depth: 0,
            mailbox_capacity: 1,
            job_id: Some(9),
        };
        let all: Vec<ActorView> = (0..2_000).map(actor).collect();
        let told = actors(&all);
        assert_eq!(told.len(), 4 * ACTORS_MAX);
        assert_eq!(told.get("A/0/job").map(String::as_str), Some("9"));
    }
}
