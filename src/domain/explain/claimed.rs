//! What becomes of a job that a node has claimed.

use super::{
    Explanation,
    job::{JobReason, no_worker, workers},
    job_facts::{JobFacts, RunStage},
    key_of,
    words::{span, what_to_send, when},
};
use crate::domain::{Id, Timestamp};

/// What no slot has started this long after its claim goes back at the next tick, in milliseconds.
const PREFETCH_MS: i64 = 1_000;
/// A handler that is cut off may hold its slot for this much longer, in milliseconds.
const CUT_OFF_MS: i64 = 7_000;

/// A head that a node has claimed.
pub(super) fn claimed(facts: &JobFacts, node_id: Id, at: Timestamp) -> Explanation {
    let node = facts.nodes.iter().find(|node| node.id == node_id);
    let explanation = match node {
        Some(node) if node.is_here => claimed_here(facts, node_id, at),
        Some(node) if node.is_up => claimed_elsewhere(facts, node_id, at),
        Some(_) | None if workers(facts).is_empty() => no_worker(facts),
        Some(node) => {
            let (id, now) = (facts.job.id, facts.job.now);
            let until = node.seen_at.plus_millis(facts.timing.lease_ms.saturating_mul(2));
            let sentence = format!(
                "Job {id} was claimed by node {node_id}, which is silent since {}. Another node takes it over by {}, and the attempt counts.",
                when(node.seen_at, now),
                when(until, now)
            );
            let todo = format!("See what became of node {node_id}. The job goes on by itself.");
            Explanation::of(JobReason::NodeSilent.as_str(), sentence, todo)
                .since(node.seen_at)
                .until(until)
        }
        None => {
            let (id, now) = (facts.job.id, facts.job.now);
            let sentence = format!(
                "Job {id} was claimed at {} by node {node_id}, which is gone. Another node takes it over within {}, and the attempt counts.",
                when(at, now),
                span(facts.timing.lease_ms.saturating_mul(2))
            );
            let todo = "Nothing: the job goes on by itself.".to_owned();
            Explanation::of(JobReason::NodeSilent.as_str(), sentence, todo)
        }
    };
    explanation.fact("node", key_of(node_id)).fact("claimed_at", at).link("node", node_id)
}

fn claimed_here(facts: &JobFacts, node: Id, at: Timestamp) -> Explanation {
    let (job, timing) = (&facts.job, facts.timing);
    let (id, now) = (job.id, job.now);
    match &facts.stage {
        Some(RunStage::Running { since, actor, cut_off_at }) => {
            running(facts, node, *since, *cut_off_at).fact("actor", actor.as_str())
        }
        Some(RunStage::Uncommitted { since }) => waits_for_commit(facts, node).since(*since),
        Some(RunStage::Waiting { since }) => waits_for_slot(facts, node).since(*since),
        // The answer of the claim may be on its way.
        None if now.millis_since(at) <= PREFETCH_MS => waits_for_slot(facts, node).since(at),
        None => {
            let until = at.plus_millis(timing.lease_ms.saturating_mul(3)).max(now);
            let sentence = format!(
                "Job {id} was claimed by node {node} at {}, and the node has no trace of it. The attempt counts as failed by about {}, and the job goes on.",
                when(at, now),
                when(until, now)
            );
            let explanation =
                Explanation::of(JobReason::LostRun.as_str(), sentence, what_to_send(id));
            explanation.since(at).until(until)
        }
    }
}

/// Another node has claimed it. Whether it runs there follows from the time since: what no slot has
/// started goes back soon.
fn claimed_elsewhere(facts: &JobFacts, node: Id, at: Timestamp) -> Explanation {
    let timing = facts.timing;
    let ms = facts.job.now.millis_since(at);
    let back_by = PREFETCH_MS.saturating_add(timing.tick_ms.saturating_mul(2));
    if ms <= back_by {
        waits_for_slot(facts, node).since(at)
    } else if ms <= back_by.saturating_add(timing.timeout_ms).saturating_add(CUT_OFF_MS) {
        running(facts, node, at, at.plus_millis(timing.timeout_ms))
    } else {
        waits_for_commit(facts, node)
    }
}

fn waits_for_slot(facts: &JobFacts, node: Id) -> Explanation {
    let (id, kind) = (facts.job.id, &facts.job.kind);
    let sentence = format!(
        "Job {id} was claimed ahead by node {node}, and waits there for a free slot of the pool {kind}. If none is free within {}, it goes back into turn, and no attempt is used.",
        span(PREFETCH_MS.saturating_add(facts.timing.tick_ms))
    );
    let todo = format!(
        "Wait. If it stays so, run more at once: `postroom pools list`, then `postroom pools resize {kind} SIZE`."
    );
    Explanation::of(JobReason::WaitsForSlot.as_str(), sentence, todo).link("pool", kind)
}

fn running(facts: &JobFacts, node: Id, since: Timestamp, cut_off_at: Timestamp) -> Explanation {
    let (job, id) = (&facts.job, facts.job.id);
    let sentence = format!(
        "Job {id} runs on node {node} since {}. Attempt {} of {} is cut off at {}.",
        when(since, job.now),
        job.attempts,
        job.max_attempts,
        when(cut_off_at, job.now)
    );
    let todo = format!(
        "Wait for it. A result that is no longer wanted is refused after `postroom jobs cancel {id}`."
    );
    Explanation::of(JobReason::Running.as_str(), sentence, todo)
        .since(since)
        .until(cut_off_at)
        .fact("timeout_ms", facts.timing.timeout_ms)
}

fn waits_for_commit(facts: &JobFacts, node: Id) -> Explanation {
    let id = facts.job.id;
    let sentence =
        format!("Job {id} has run on node {node}, and its outcome waits for its commit.");
    let todo = "Wait a moment. If it stays so, the database does not take writes: see the check `database` in `/readyz`.".to_owned();
    Explanation::of(JobReason::WaitsForCommit.as_str(), sentence, todo)
}
