//! Obstacles: they keep nodes from claiming a job that is due.

use super::{
    Explanation, JobReason,
    job_facts::{JobFacts, NodeFacts, NodePool, PoolFacts, PoolPause},
    key_of,
    words::{count, many, quoted, span, what_to_send, when},
};
use crate::domain::Timestamp;

/// What keeps one node from claiming, from what takes the longest to what ends the soonest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Obstacle {
    /// The node is stopping.
    Stopping,
    /// Its supervisor does not tick.
    Stalled,
    /// An operator or the configuration paused the pool.
    Paused,
    /// All slots wait for their restart.
    BackingOff,
    /// The recorder has no room for the outcome.
    RecorderFull,
    /// The database takes no writes.
    DatabaseAway,
    /// Not known: the node does not say how busy its pool is.
    NotSaid,
    /// All slots run a job.
    Full,
    /// Nothing keeps it.
    None,
}

impl Obstacle {
    /// What keeps this node from claiming, checked in the order of the reasons.
    fn of(node: &NodeFacts, pool: &PoolFacts) -> Self {
        if node.is_stopping {
            Self::Stopping
        } else if pool.pause.is_some() {
            Self::Paused
        } else if pool.backing_off > 0 && pool.backing_off >= pool.size {
            Self::BackingOff
        } else if pool.is_recorder_full {
            Self::RecorderFull
        } else if pool.write_error.is_some() {
            Self::DatabaseAway
        } else if pool.busy + pool.backing_off >= pool.size {
            Self::Full
        } else if pool.stalled_since.is_some() {
            Self::Stalled
        } else {
            Self::None
        }
    }
}

/// What keeps the nearest of some nodes from a claim.
pub(super) struct Nearest<'a> {
    node: &'a NodeFacts,
    /// `None` if the node does not say how busy its pool is.
    pool: Option<&'a PoolFacts>,
    obstacle: Obstacle,
}

/// The node that is the nearest to a claim. Any node may claim the job, so what keeps this one is
/// the reason. `None` if no node says what its pools do.
pub(super) fn nearest<'a>(nodes: &[&'a NodeFacts]) -> Option<Nearest<'a>> {
    let of = |node: &'a NodeFacts| match &node.pool {
        NodePool::Is(pool) => {
            Some(Nearest { node, pool: Some(pool), obstacle: Obstacle::of(node, pool) })
        }
        NodePool::Open if node.is_stopping => {
            Some(Nearest { node, pool: None, obstacle: Obstacle::Stopping })
        }
        NodePool::Open => Some(Nearest { node, pool: None, obstacle: Obstacle::NotSaid }),
        NodePool::NotSaid | NodePool::Missing => None,
    };
    let all = nodes.iter().filter_map(|node| of(node));
    all.max_by_key(|nearest| (nearest.obstacle, nearest.node.is_here))
}

/// Why the nearest node claims no job of the kind; `None` if nothing keeps it.
pub(super) fn explain(facts: &JobFacts, nearest: &Nearest<'_>) -> Option<Explanation> {
    let Nearest { node, pool, obstacle } = nearest;
    let explanation = match (obstacle, pool) {
        (Obstacle::None, _) => return None,
        (Obstacle::Stopping, _) => stopping(facts, node),
        (Obstacle::Stalled, Some(pool)) => stalled(facts, node, pool),
        (Obstacle::Paused, Some(pool)) => paused(facts, node, pool.pause.as_ref()?),
        (Obstacle::BackingOff, Some(pool)) => backing_off(facts, node, pool),
        (Obstacle::RecorderFull, _) => recorder_full(facts, node),
        (Obstacle::DatabaseAway, Some(pool)) => database_away(facts, node, pool),
        (Obstacle::Full, Some(pool)) => full(facts, pool),
        (Obstacle::NotSaid, _) | (_, None) => not_said(facts, node),
    };
    let others = facts.nodes.iter().filter(|it| it.is_up && it.works && it.id != node.id).count();
    let explanation = explanation.link("pool", &facts.job.kind).link("node", node.id);
    Some(if others > 0 { explanation.fact("other_nodes", others) } else { explanation })
}

/// Another node can run it, and does not say how busy it is.
fn not_said(facts: &JobFacts, node: &NodeFacts) -> Explanation {
    let (id, kind) = (facts.job.id, &facts.job.kind);
    let before = match facts.job.before {
        Some(before) if before > 0 => format!(" {} before it.", come(before)),
        Some(_) | None => String::new(),
    };
    let sentence = format!(
        "Job {id} is in turn. Node {} can run it, and does not say here how busy its pool {kind} is.{before}",
        node.id
    );
    let todo = format!("Ask node {} itself: `postroom jobs explain {id} --url URL`.", node.id);
    Explanation::of(JobReason::InTurn.as_str(), sentence, todo)
        .maybe("jobs_before", facts.job.before.map(count))
}

fn stopping(facts: &JobFacts, node: &NodeFacts) -> Explanation {
    let id = facts.job.id;
    let sentence =
        format!("Job {id} waits, because node {} is stopping and claims nothing.", node.id);
    let todo = "Wait until the node has started again, or start another one.".to_owned();
    Explanation::of(JobReason::Stopping.as_str(), sentence, todo)
}

fn stalled(facts: &JobFacts, node: &NodeFacts, pool: &PoolFacts) -> Explanation {
    let (id, now) = (facts.job.id, facts.job.now);
    let ticked = pool.stalled_since.unwrap_or_default();
    let sentence = format!(
        "Job {id} waits, because the supervisor of node {} has not ticked since {}. This is a fault of Postroom.",
        node.id,
        when(ticked, now)
    );
    Explanation::of(JobReason::Fault.as_str(), sentence, what_to_send(id))
        .since(ticked)
        .fact("tick_ms", facts.timing.tick_ms)
}

fn paused(facts: &JobFacts, node: &NodeFacts, pause: &PoolPause) -> Explanation {
    let (id, kind, now) = (facts.job.id, &facts.job.kind, facts.job.now);
    let reason = JobReason::Paused.as_str();
    match pause {
        PoolPause::ByOperator { by, note, at, until } => {
            let by = quoted(by);
            let note = note.as_deref().map(quoted).filter(|note| !note.is_empty());
            let why = note.as_ref().map_or_else(String::new, |note| format!(": \"{note}\""));
            let ends = match until {
                Some(until) => format!(" The pause ends at {}.", when(*until, now)),
                None => String::new(),
            };
            let sentence = format!(
                "Job {id} waits, because {by} paused the pool {kind} at {}{why}.{ends}",
                when(*at, now)
            );
            let todo = format!("If the cause is mended: `postroom pools resume {kind}`.");
            let explanation = Explanation::of(reason, sentence, todo).since(*at).until(*until);
            explanation.fact("paused_by", by).maybe("note", note)
        }
        PoolPause::ByFile(key) => {
            let sentence = format!(
                "Job {id} waits, because the configuration pauses the pool {kind}: {} is true.",
                key.spelled()
            );
            let todo = format!("If it is to run: set {} to false.", key.spelled());
            Explanation::of(reason, sentence, todo).key(key)
        }
        PoolPause::NotSaid => {
            let sentence =
                format!("Job {id} waits, because the pool {kind} is paused on node {}.", node.id);
            let todo = format!(
                "See who paused it with `postroom pools list`. Then `postroom pools resume {kind}`."
            );
            Explanation::of(reason, sentence, todo)
        }
    }
}

fn backing_off(facts: &JobFacts, node: &NodeFacts, pool: &PoolFacts) -> Explanation {
    let (id, kind, now) = (facts.job.id, &facts.job.kind, facts.job.now);
    let next = match pool.resumes_at {
        Some(at) => format!(" The first starts at {}.", when(at, now)),
        None => String::new(),
    };
    let why = match &pool.last_failure {
        Some((at, reason)) => {
            format!(" The last one went down at {}: {}.", when(*at, now), quoted(reason))
        }
        None => String::new(),
    };
    let slots = match pool.size {
        1 => "the only slot".to_owned(),
        size => format!("all {size} slots"),
    };
    let sentence = format!(
        "Job {id} waits, because {slots} of the pool {kind} went down again and again, and wait for their restart.{next}{why}"
    );
    let todo = format!(
        "See the errors of the jobs that ran last: `postroom jobs list --kind {kind} --status failed`, and the log of node {}.",
        node.id
    );
    Explanation::of(JobReason::BackingOff.as_str(), sentence, todo)
        .until(pool.resumes_at)
        .fact("slots", pool.size)
        .fact("slots_that_wait", pool.backing_off)
        .maybe("restarts", pool.restarts)
        .maybe("last_failure", pool.last_failure.as_ref().map(|(_, reason)| quoted(reason)))
}

fn recorder_full(facts: &JobFacts, node: &NodeFacts) -> Explanation {
    let id = facts.job.id;
    let sentence = format!(
        "Job {id} waits, because the recorder of node {} has no room for another outcome: too many wait for their commit.",
        node.id
    );
    let todo = "See the check `database` in `/readyz`, and the errors of the recorder in the log. \
                Claims go on by themselves once outcomes are committed."
        .to_owned();
    Explanation::of(JobReason::RecorderFull.as_str(), sentence, todo)
}

fn database_away(facts: &JobFacts, node: &NodeFacts, pool: &PoolFacts) -> Explanation {
    let id = facts.job.id;
    let error = pool.write_error.as_deref().map(quoted).unwrap_or_default();
    let sentence = format!(
        "Job {id} waits, because the last write of node {} to the database failed: {error}.",
        node.id
    );
    let todo = "See the check `database` in `/readyz`, then the database: its disk, its locks, whether it is read-only. \
                Claims go on by themselves."
        .to_owned();
    Explanation::of(JobReason::DatabaseAway.as_str(), sentence, todo).fact("error", error)
}

fn full(facts: &JobFacts, pool: &PoolFacts) -> Explanation {
    let (id, kind, now) = (facts.job.id, &facts.job.kind, facts.job.now);
    let longest = match pool.longest {
        Some((job, since)) => {
            format!(", the longest by job {job} since {}", when(since, now))
        }
        None => String::new(),
    };
    let wait = expected_wait_ms(facts.job.before, pool.per_minute);
    let before = match (facts.job.before, wait) {
        (Some(before), Some(ms)) if before > 0 => {
            let rate = per_second(pool.per_minute.unwrap_or_default());
            format!(
                " {} before it; at {rate} a second that takes about {}.",
                come(before),
                span(ms)
            )
        }
        (Some(before), _) if before > 0 => format!(" {} before it.", come(before)),
        (Some(_), _) => " It is the next.".to_owned(),
        (None, _) => String::new(),
    };
    let sentence = format!(
        "Job {id} waits for a slot: {} of {} of the pool {kind} are busy{longest}.{before}",
        pool.busy,
        many(pool.size, "slot")
    );
    let todo = format!(
        "Wait, or run more at once: `postroom pools resize {kind} {}`.",
        pool.size.saturating_mul(2).max(1)
    );
    let down = Some(pool.backing_off).filter(|count| *count > 0);
    let explanation = Explanation::of(JobReason::PoolFull.as_str(), sentence, todo)
        .fact("busy", pool.busy)
        .fact("slots", pool.size)
        .maybe("slots_that_wait", down)
        .maybe("longest_job", pool.longest.map(|(job, _)| key_of(job)))
        .maybe("longest_started_at", pool.longest.map(|(_, since)| since))
        .maybe("jobs_before", facts.job.before.map(count))
        .maybe("ended_per_minute", pool.per_minute);
    match pool.longest {
        Some((job, _)) => explanation.link("job", job),
        None => explanation,
    }
}

/// `1 job comes`, `140 jobs come`.
pub(super) fn come(before: i64) -> String {
    match before {
        1 => "1 job comes".to_owned(),
        _ if before > super::BEFORE_MAX => "More than 1,000 jobs come".to_owned(),
        _ => format!("{before} jobs come"),
    }
}

/// How long the jobs before this one take, at the rate of the last minute. `None` if the rate is 0
/// or not known, or if there are more than were counted.
fn expected_wait_ms(before: Option<i64>, per_minute: Option<u64>) -> Option<i64> {
    let rate = i64::try_from(per_minute?).ok().filter(|rate| *rate > 0)?;
    let before = before.filter(|count| *count <= super::BEFORE_MAX)?;
    Some((before * 60_000 / rate).max(1_000) / 1_000 * 1_000)
}

/// A rate per second, with one digit below ten.
fn per_second(per_minute: u64) -> String {
    match per_minute {
        600.. => (per_minute / 60).to_string(),
        _ => format!("{}.{}", per_minute / 60, per_minute % 60 / 6),
    }
}

/// When a supervisor that last ticked at `ticked_at` counts as stalled: after five ticks and a
/// second.
pub fn is_stalled(ticked_at: Timestamp, now: Timestamp, tick_ms: i64) -> bool {
    now.millis_since(ticked_at) > tick_ms.saturating_mul(5).saturating_add(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_estimated_only_from_what_is_known() {
        for (before, per_minute, ms) in [
            (Some(140), Some(720), Some(11_000)),
            (Some(0), Some(720), Some(1_000)),
            (Some(1_001), Some(720), None),
            (Some(140), Some(0), None),
            (Some(140), None, None),
            (None, Some(720), None),
        ] {
            assert_eq!(expected_wait_ms(before, per_minute), ms, "{before:?} {per_minute:?}");
        }
        assert_eq!([6, 61, 599, 600, 7_260].map(per_second), ["0.1", "1.0", "9.9", "10", "121"]);
    }

    #[test]
    fn a_supervisor_that_misses_five_ticks_is_stalled() {
        let now = Timestamp::from_millis(100_000);
        assert!(!is_stalled(now.plus_millis(-6_000), now, 1_000));
        assert!(is_stalled(now.plus_millis(-6_001), now, 1_000));
    }
}
