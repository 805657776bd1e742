//! The one reason for which a job does not run, or the state of the one that runs.

use super::{
    Explanation,
    claimed::claimed,
    job_facts::{JobFacts, JobPlace, LastRun, NodeFacts, NodePool},
    key_of,
    obstacle::{self, come, nearest},
    sends,
    words::{bounded, count, many, quoted, span, what_to_send, when},
};
use crate::domain::{Id, JobStatus, Timestamp};

/// A job that is due is claimed within ten ticks if nothing is in its way, and this long more, in
/// milliseconds.
const SLACK_MS: i64 = 5_000;

/// Why a job is not running, or what becomes of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobReason {
    /// It has ended.
    Ended,
    /// No node that works jobs is up.
    NoWorker,
    /// No node that is up knows its kind.
    KindUnknown,
    /// No node that is up has its client in the configuration.
    ClientUnknown,
    /// It is to send an answer, and sending is switched off.
    SwitchedOff,
    /// It is to send an answer, and its client has no settings for sending.
    NoSettings,
    /// It is to send an answer, and the account at the provider is paused.
    AccountPaused,
    /// It is to send an answer by rule, and its lead is snoozed.
    LeadSnoozed,
    /// Its time has not come.
    Later,
    /// It waits for its retry.
    Retry,
    /// An earlier job of its lead has not ended.
    Behind,
    /// Its client is at its cap.
    Held,
    /// It may have killed its node, and another such job runs.
    Suspect,
    /// The node that could run it is stopping.
    Stopping,
    /// Its pool is paused.
    Paused,
    /// The slots of its pool wait for their restart.
    BackingOff,
    /// The recorder has no room for its outcome.
    RecorderFull,
    /// The database takes no writes.
    DatabaseAway,
    /// All slots of its pool run a job.
    PoolFull,
    /// Nothing is in its way: the next claim takes it.
    InTurn,
    /// A node has claimed it ahead, and no slot is free yet.
    WaitsForSlot,
    /// It runs.
    Running,
    /// It ran, and its outcome waits for its commit.
    WaitsForCommit,
    /// Its node has lost track of it.
    LostRun,
    /// Its node has fallen silent.
    NodeSilent,
    /// None of these: a fault of Postroom.
    Fault,
}

impl JobReason {
    /// All reasons, in the order in which they are checked.
    pub const ALL: [Self; 26] = [
        Self::Ended,
        Self::NoWorker,
        Self::KindUnknown,
        Self::ClientUnknown,
        Self::SwitchedOff,
        Self::NoSettings,
        Self::AccountPaused,
        Self::LeadSnoozed,
        Self::Later,
        Self::Retry,
        Self::Behind,
        Self::Held,
        Self::Suspect,
        Self::Stopping,
        Self::Paused,
        Self::BackingOff,
        Self::RecorderFull,
        Self::DatabaseAway,
        Self::PoolFull,
        Self::InTurn,
        Self::WaitsForSlot,
        Self::Running,
        Self::WaitsForCommit,
        Self::LostRun,
        Self::NodeSilent,
        Self::Fault,
    ];

    /// The word for programs. It never changes its meaning.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::NoWorker => "no_worker",
            Self::KindUnknown => "kind_unknown",
            Self::ClientUnknown => "client_unknown",
            Self::SwitchedOff => "switched_off",
            Self::NoSettings => "no_settings",
            Self::AccountPaused => "account_paused",
            Self::LeadSnoozed => "lead_snoozed",
            Self::Later => "later",
            Self::Retry => "retry",
            Self::Behind => "behind",
            Self::Held => "held",
            Self::Suspect => "suspect",
            Self::Stopping => "stopping",
            Self::Paused => "paused",
            Self::BackingOff => "backing_off",
            Self::RecorderFull => "recorder_full",
            Self::DatabaseAway => "database_away",
            Self::PoolFull => "pool_full",
            Self::InTurn => "in_turn",
            Self::WaitsForSlot => "waits_for_slot",
            Self::Running => "running",
            Self::WaitsForCommit => "waits_for_commit",
            Self::LostRun => "lost_run",
            Self::NodeSilent => "node_silent",
            Self::Fault => "fault",
        }
    }
}

/// Why the job does not run, or what becomes of its run. The reasons are checked in the order of
/// [`JobReason::ALL`], and the first that holds is returned.
pub fn explain_job(facts: &JobFacts) -> Explanation {
    let job = &facts.job;
    let explanation = match job.place {
        JobPlace::Ended { status, at } => ended(facts, status, at),
        JobPlace::Claimed { node, at } => claimed(facts, node, at),
        JobPlace::Later
        | JobPlace::Behind { .. }
        | JobPlace::Waits
        | JobPlace::Held
        | JobPlace::InTurn => pending(facts),
    };
    let explanation =
        explanation.fact("kind", job.kind.as_str()).fact("client", quoted(&job.client_id));
    let explanation =
        explanation.fact("attempts", job.attempts).fact("max_attempts", job.max_attempts);
    match job.lead_id {
        Some(lead) => explanation.link("lead", lead),
        None => explanation,
    }
}

fn ended(facts: &JobFacts, status: JobStatus, at: Timestamp) -> Explanation {
    let job = &facts.job;
    let id = job.id;
    let error = job.last_run.as_ref().and_then(|run| run.error.as_deref()).map(quoted);
    let how = match (status, &job.last_run) {
        (JobStatus::Succeeded, _) => format!("Job {id} has succeeded at {}", when(at, job.now)),
        (JobStatus::Cancelled, _) => {
            let why = error.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            format!("Job {id} was cancelled at {}{why}", when(at, job.now))
        }
        (_, Some(run)) => format!(
            "Job {id} has failed at {}: attempt {} of {} ended as {}",
            when(at, job.now),
            run.attempt,
            job.max_attempts,
            said(run)
        ),
        (_, None) => format!("Job {id} has failed at {}", when(at, job.now)),
    };
    let todo = match status {
        JobStatus::Succeeded => "Nothing.".to_owned(),
        JobStatus::Cancelled => {
            format!("If it is to run all the same: `postroom jobs retry {id}`.")
        }
        JobStatus::Failed | JobStatus::Pending | JobStatus::Running => {
            format!("Mend what the error names, then `postroom jobs retry {id}`.")
        }
    };
    Explanation::of(JobReason::Ended.as_str(), format!("{how}."), todo)
        .since(at)
        .fact("status", status.as_str())
        .maybe("error", error.filter(|_| status != JobStatus::Succeeded))
}

/// How a run ended, with the first words of its error.
fn said(run: &LastRun) -> String {
    match run.error.as_deref().map(quoted).filter(|text| !text.is_empty()) {
        Some(error) => format!("{}: {}", run.outcome, error.trim_end_matches('.')),
        None => run.outcome.clone(),
    }
}

/// The nodes that are up and work jobs.
pub(super) fn workers(facts: &JobFacts) -> Vec<&NodeFacts> {
    facts.nodes.iter().filter(|node| node.is_up && node.works).collect()
}

fn pending(facts: &JobFacts) -> Explanation {
    let workers = workers(facts);
    if workers.is_empty() {
        return no_worker(facts);
    }
    let able = knowing_kind(&workers);
    if able.is_empty() {
        return kind_unknown(facts, &workers);
    }
    let able: Vec<&NodeFacts> = able
        .into_iter()
        .filter(|it| facts.needs_no_client || it.knows_client != Some(false))
        .collect();
    if able.is_empty() {
        return client_unknown(facts);
    }
    let is_due = facts.job.due_at <= facts.job.now;
    if !is_due && let Some(explanation) = sends::waiting(facts) {
        return explanation;
    }
    match facts.job.place {
        JobPlace::Later if !is_due => return later(facts),
        JobPlace::Waits if !is_due => return waits(facts),
        JobPlace::Behind { head: Some(head), number, of } => {
            return behind(facts, head, number, of);
        }
        JobPlace::Behind { head: None, .. } => return headless(facts),
        JobPlace::Held => return held(facts),
        JobPlace::Waits if is_suspect(facts) && is_at_cap(facts) => return held(facts),
        JobPlace::Waits if is_suspect(facts) && facts.job.suspects.len() >= able.len() => {
            return suspect(facts);
        }
        JobPlace::Later
        | JobPlace::Waits
        | JobPlace::InTurn
        | JobPlace::Ended { .. }
        | JobPlace::Claimed { .. } => {}
    }
    let obstacle = nearest(&able).and_then(|nearest| obstacle::explain(facts, &nearest));
    obstacle.unwrap_or_else(|| next(facts))
}

pub(super) fn no_worker(facts: &JobFacts) -> Explanation {
    let (id, now) = (facts.job.id, facts.job.now);
    let up = facts.nodes.iter().filter(|node| node.is_up).count();
    let silent = facts.nodes.iter().filter(|node| node.works && !node.is_up);
    let last = silent.max_by_key(|node| node.seen_at);
    let seen = match last {
        Some(node) => format!(
            " Node {} was the last: it fell silent at {}.",
            node.id,
            when(node.seen_at, now)
        ),
        None => String::new(),
    };
    let others = match up {
        0 => String::new(),
        up => format!(" {} up, with the role ingest.", are(up, "node")),
    };
    let sentence = format!("Job {id} waits, because no node that works jobs is up.{others}{seen}");
    let todo = "Start one: `postroom serve`, or `postroom serve --role worker`.".to_owned();
    Explanation::of(JobReason::NoWorker.as_str(), sentence, todo)
        .since(last.map(|node| node.seen_at))
        .fact("nodes_up", up)
        .maybe("last_worker", last.map(|node| key_of(node.id)))
}

/// `1 node is`, `2 nodes are`.
fn are(count: usize, what: &str) -> String {
    format!("{} {}", many(count, what), if count == 1 { "is" } else { "are" })
}

/// Those that know the kind. A node that does not say so may know it, unless this node works jobs
/// and does not.
fn knowing_kind<'a>(workers: &[&'a NodeFacts]) -> Vec<&'a NodeFacts> {
    let is_missing_here = workers.iter().any(|it| it.is_here && it.pool == NodePool::Missing);
    let knows = |node: &NodeFacts| match node.pool {
        NodePool::Is(_) | NodePool::Open => true,
        NodePool::NotSaid => !is_missing_here,
        NodePool::Missing => false,
    };
    workers.iter().copied().filter(|node| knows(node)).collect()
}

fn kind_unknown(facts: &JobFacts, workers: &[&NodeFacts]) -> Explanation {
    let (id, kind) = (facts.job.id, &facts.job.kind);
    let sentence = format!(
        "Job {id} waits, because no node that is up knows the kind {kind}. A newer version, or one with other kinds, has stored it."
    );
    let todo = format!(
        "Start a node of the version that knows {kind}. If the job is not wanted: `postroom jobs cancel {id}`."
    );
    Explanation::of(JobReason::KindUnknown.as_str(), sentence, todo)
        .since(facts.job.created_at)
        .fact("workers", workers.len())
}

fn client_unknown(facts: &JobFacts) -> Explanation {
    let (id, client) = (facts.job.id, quoted(&facts.job.client_id));
    let sentence = format!(
        "Job {id} waits, because its client {client} is not in the configuration of any node that works jobs."
    );
    let todo = format!(
        "Add the client {client} to `[[clients]]` again and reload: its jobs go on by themselves. \
         If it is gone for good: `postroom jobs cancel --client {client}`."
    );
    Explanation::of(JobReason::ClientUnknown.as_str(), sentence, todo)
        .maybe("held_jobs", facts.job.cap.filter(|cap| cap.cap == 0).map(|cap| cap.held))
}

fn later(facts: &JobFacts) -> Explanation {
    let job = &facts.job;
    let (id, due) = (job.id, when(job.due_at, job.now));
    let last = job.last_run.as_ref().filter(|run| run.run == job.run);
    let (sentence, because) = match last {
        Some(run) if run.outcome == "snoozed" => (
            format!(
                "Job {id} was snoozed by its handler at {}, until {due}.",
                when(run.finished_at, job.now)
            ),
            "snoozed",
        ),
        Some(run) => (retry_sentence(facts, run), "retry"),
        None => (format!("Job {id} was stored for later: it is due at {due}."), "asked_for"),
    };
    let reason = if because == "retry" { JobReason::Retry } else { JobReason::Later };
    Explanation::of(reason.as_str(), sentence, "Nothing: it becomes due by itself.".to_owned())
        .since(last.map_or(job.created_at, |run| run.finished_at))
        .until(job.due_at)
        .fact("because", because)
}

fn retry_sentence(facts: &JobFacts, run: &LastRun) -> String {
    let job = &facts.job;
    format!(
        "Job {} waits for its retry: attempt {} of {} failed at {} ({}). The next attempt is due at {}.",
        job.id,
        run.attempt,
        job.max_attempts,
        when(run.finished_at, job.now),
        said(run),
        when(job.due_at, job.now)
    )
}

/// A head whose time lies ahead: it waits for its retry, or was postponed.
fn waits(facts: &JobFacts) -> Explanation {
    let job = &facts.job;
    let id = job.id;
    // A run that was postponed leaves no row.
    match job.last_run.as_ref().filter(|run| run.run == job.run) {
        Some(run) => {
            let todo = format!(
                "Nothing, if the error is not yours to mend. All attempts: `postroom jobs show {id}`."
            );
            Explanation::of(JobReason::Retry.as_str(), retry_sentence(facts, run), todo)
                .since(run.finished_at)
                .until(job.due_at)
                .fact("attempt", run.attempt)
                .fact("outcome", run.outcome.as_str())
                .maybe("error", run.error.as_deref().map(quoted))
        }
        None => {
            let sentence = format!(
                "Job {id} was postponed, because what it needs was away. It is due again at {}, and no attempt was used.",
                when(job.due_at, job.now)
            );
            let todo =
                "See in the log what its handler found away. It becomes due by itself.".to_owned();
            Explanation::of(JobReason::Later.as_str(), sentence, todo)
                .until(job.due_at)
                .fact("because", "postponed")
        }
    }
}

fn behind(facts: &JobFacts, head: Id, number: i64, of: i64) -> Explanation {
    let id = facts.job.id;
    let sentence = format!(
        "Job {id} waits behind job {head} of the same lead: it is number {} of {} in the lead's line, and they run one after the other.",
        bounded(number),
        bounded(of)
    );
    let todo = format!("See why job {head} has not ended: `postroom jobs explain {head}`.");
    Explanation::of(JobReason::Behind.as_str(), sentence, todo)
        .fact("head", key_of(head))
        .fact("number", count(number))
        .fact("jobs_in_line", count(of))
        .link("job", head)
}

fn headless(facts: &JobFacts) -> Explanation {
    let id = facts.job.id;
    let sentence = format!(
        "Job {id} waits in a line that has no head. This is a fault of Postroom, which the leader mends within a minute."
    );
    Explanation::of(JobReason::Fault.as_str(), sentence, what_to_send(id))
}

fn held(facts: &JobFacts) -> Explanation {
    let (id, client) = (facts.job.id, quoted(&facts.job.client_id));
    let cap = facts.job.cap.unwrap_or(super::ClientCap { cap: 0, admitted: 0, held: 0 });
    let key = facts.cap_key.as_ref().filter(|_| cap.cap > 0);
    let by = key.map_or_else(String::new, |key| format!(", by {}", key.spelled()));
    let sentence = match cap.cap {
        0 => format!(
            "Job {id} is held, because no node knew its client {client}. A node knows it again, and its jobs are let in within seconds."
        ),
        most => format!(
            "Job {id} is held, because its client {client} is at its cap: {} of {most} jobs are in turn or run{by}. {} held.",
            cap.admitted,
            are(usize::try_from(cap.held).unwrap_or_default(), "job")
        ),
    };
    let todo = match key {
        Some(key) => format!(
            "It goes on when a job of the client ends. To run more at once, raise {}.",
            key.spelled()
        ),
        None => "It goes on when a job of the client ends.".to_owned(),
    };
    let explanation = Explanation::of(JobReason::Held.as_str(), sentence, todo)
        .fact("cap", cap.cap)
        .fact("admitted", cap.admitted)
        .fact("held_jobs", cap.held);
    let explanation = match key {
        Some(key) => explanation.key(key),
        None => explanation,
    };
    match standing_still(facts).filter(|_| cap.cap > 0) {
        Some((admitted, why)) => explanation.held_by(admitted, why),
        None => explanation,
    }
}

/// The first admitted job of the client with the reason for which it does not run; `None` if one of
/// them runs, or nothing is in its way.
fn standing_still(facts: &JobFacts) -> Option<(Id, Explanation)> {
    let goes_on = [
        JobReason::Running,
        JobReason::WaitsForSlot,
        JobReason::WaitsForCommit,
        JobReason::InTurn,
        JobReason::Ended,
    ];
    let mut all = facts.admitted.iter().map(|it| (it.job.id, explain_job(it))).collect::<Vec<_>>();
    let is_moving =
        all.iter().any(|(_, why)| goes_on.iter().any(|reason| reason.as_str() == why.reason));
    if is_moving || all.is_empty() { None } else { Some(all.swap_remove(0)) }
}

fn is_suspect(facts: &JobFacts) -> bool {
    facts.job.last_run.as_ref().is_some_and(LastRun::is_rescued)
}

fn is_at_cap(facts: &JobFacts) -> bool {
    facts.job.cap.is_some_and(|cap| cap.admitted >= cap.cap)
}

fn suspect(facts: &JobFacts) -> Explanation {
    let job = &facts.job;
    let id = job.id;
    let runs: Vec<String> =
        job.suspects.iter().map(|(other, node)| format!("job {other} on node {node}")).collect();
    let sentence = format!(
        "Job {id} is a suspect: its node went down or lost it in attempt {}, and a node runs one suspect at a time. Now runs {}.",
        job.attempts,
        runs.join(" and ")
    );
    let todo = format!(
        "Wait for the other one. If node after node went down with this job, cancel it: `postroom jobs cancel {id}`."
    );
    let explanation = Explanation::of(JobReason::Suspect.as_str(), sentence, todo)
        .since(job.last_run.as_ref().map(|run| run.finished_at))
        .fact("attempt", job.attempts);
    job.suspects.iter().fold(explanation, |it, (other, _)| {
        it.fact("suspect_that_runs", key_of(*other)).link("job", other)
    })
}

/// Nothing is in its way.
fn next(facts: &JobFacts) -> Explanation {
    let (job, timing) = (&facts.job, facts.timing);
    let id = job.id;
    let latest = job.due_at.plus_millis(timing.tick_ms.saturating_mul(10).saturating_add(SLACK_MS));
    let is_out_of_turn = matches!(job.place, JobPlace::Later | JobPlace::Waits);
    if is_out_of_turn && !is_suspect(facts) && latest < job.now {
        let sentence = format!(
            "Job {id} was due at {}, and no node has put it in turn. No reason for that is known: this is a fault of Postroom.",
            when(job.due_at, job.now)
        );
        return Explanation::of(JobReason::Fault.as_str(), sentence, what_to_send(id))
            .since(job.due_at);
    }
    let sentence = match job.before {
        _ if is_suspect(facts) && job.place == JobPlace::Waits => format!(
            "Job {id} is a suspect, because its node went down or lost it. It runs as the only one of its node, and the next claim takes it."
        ),
        _ if is_out_of_turn => format!(
            "Job {id} is due since {}: the next tick of a node puts it in turn.",
            when(job.due_at, job.now)
        ),
        Some(before) if before > 0 => {
            format!("Job {id} is in turn, and slots are free. {} before it.", come(before))
        }
        Some(_) | None => {
            format!("Job {id} is in turn, and slots are free: the next claim takes it.")
        }
    };
    let todo = format!(
        "Wait a moment. If it is still so after {}, it is a fault: {}",
        span(timing.tick_ms.saturating_mul(10)),
        what_to_send(id)
    );
    let reason = match is_suspect(facts) && job.place == JobPlace::Waits {
        true => JobReason::Suspect,
        false => JobReason::InTurn,
    };
    Explanation::of(reason.as_str(), sentence, todo)
        .since(job.due_at)
        .maybe("jobs_before", job.before.map(count))
        .link("pool", &job.kind)
}
