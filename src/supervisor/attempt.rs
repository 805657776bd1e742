//! The life of one attempt, top to bottom: started, run under its time-out on its kind's threads, judged,
//! made into a settlement.

use super::{
    pool::{ClaimedJob, SlotPlan},
    work,
};
use crate::{
    config,
    domain::{
        Id, Outcome,
        job::{FailureReason, SELF_CHECK, SYSTEM_CLIENT},
    },
    handlers::JobHandler,
    recorder::Record,
    store::{Claim, Settlement, Transition},
};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinError, time::Instant};
use tracing::Instrument;

/// When the job of a client is looked at again that is not in the configuration, and is one of too
/// many such.
const CLIENT_PAUSE: Duration = Duration::from_secs(60);
/// How long a handler that was cut off may hold its thread until it counts as stuck.
pub(super) const STUCK_AFTER: Duration = Duration::from_secs(5);
/// The longest text of an attempt's error, in characters.
const ERROR_MAX: usize = 2_000;

/// What an attempt came to.
#[derive(Debug)]
pub(super) struct Ended {
    transition: Transition,
    /// What to fall back to where the effects cannot be stored.
    on_refused: Transition,
    /// The slot is to be replaced, and why.
    broken: Option<FailureReason>,
    took: Duration,
    actor: String,
}

/// How an attempt ended.
#[derive(Debug, PartialEq)]
pub(super) enum How {
    /// The handler answered.
    Answered(Outcome),
    /// It panicked.
    Panicked(String),
    /// Its time-out cut it off.
    TimedOut(Duration),
    /// It holds its thread and ignores that it was cut off.
    Stuck(String),
    /// It was not run: it is to be looked at again.
    Postponed(Duration),
    /// It was not run: its client is not in the configuration of this node.
    Unknown,
}

/// Runs a claimed job to its end.
pub(super) async fn run<H: JobHandler>(
    handler: Arc<H>,
    plan: &SlotPlan,
    pool: config::PoolConfig,
    claim: &Claim,
    actor: &str,
) -> Ended {
    let waited = Duration::from_millis(u64::try_from(claim.waited_ms).unwrap_or_default());
    plan.metrics.started(waited);
    let started = Instant::now();
    let how = if is_client_known(plan, claim) {
        run_under_timeout(handler, plan, claim, pool.timeout).await
    } else {
        tracing::debug!(job.id = claim.job.id, client.id = %claim.job.client_id, "not run: its client is not in the configuration");
        match plan.queue.leave_to_others(&claim.job.client_id) {
            true => How::Unknown,
            false => How::Postponed(CLIENT_PAUSE),
        }
    };
    let ended = Ended::new(how, claim, pool, started.elapsed(), actor.to_owned());
    plan.metrics.ran(ended.took);
    ended
}

/// The jobs of a client that was taken out of the configuration stay, and wait for it to come back;
/// a node whose configuration lacks a client leaves its jobs to those that know it.
fn is_client_known(plan: &SlotPlan, claim: &Claim) -> bool {
    let client_id = claim.job.client_id.as_str();
    claim.job.kind == SELF_CHECK
        || client_id == SYSTEM_CLIENT
        || plan.config.get().client(client_id).is_some()
}

/// The handler's future runs on threads of its kind: a panic comes back as an error, a time-out is an abort,
/// and one that never yields blocks no actor.
async fn run_under_timeout<H: JobHandler>(
    handler: Arc<H>,
    plan: &SlotPlan,
    claim: &Claim,
    limit: Duration,
) -> How {
    let span = tracing::info_span!(
        "attempt",
        job.id = claim.job.id,
        job.kind = %claim.job.kind,
        client.id = %claim.job.client_id,
        lead.id = claim.job.lead_id,
        request.id = claim.job.request_id,
    );
    let (job, deps) = (claim.job.clone(), plan.deps.clone());
    let work = async move { handler.handle(&job, &deps).await }.instrument(span);
    let Some((mut task, grip)) = plan.work.spawn(work, plan.shared.post.clone()) else {
        return How::Postponed(Duration::ZERO);
    };
    match tokio::time::timeout(limit, &mut task).await {
        Ok(Ok(outcome)) => return How::Answered(outcome),
        Ok(Err(error)) => return How::Panicked(panic_text(error)),
        Err(_) => task.abort(),
    }
    let is_over = tokio::time::timeout(STUCK_AFTER, &mut task).await.is_ok();
    // One that is not over and holds no thread is dropped as soon as it gets one.
    if is_over || !grip.lose() {
        return How::TimedOut(limit);
    }
    tracing::error!(job.id = claim.job.id, job.kind = %plan.kind, "a handler ignores that it was cut off: its thread is lost");
    plan.work.renew();
    work::give_up_if_too_many_are_lost(&plan.board, &plan.config);
    How::Stuck(format!("cut off after {limit:?}, and still not over {STUCK_AFTER:?} later"))
}

fn panic_text(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(payload) => payload
            .downcast_ref::<&str>()
            .map(|it| (*it).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a text".to_owned()),
        Err(error) => error.to_string(),
    }
}

impl Ended {
    fn new(
        how: How,
        claim: &Claim,
        pool: config::PoolConfig,
        took: Duration,
        actor: String,
    ) -> Self {
        let (attempt, most) = (claim.job.attempt, claim.job.max_attempts);
        let refused = How::Answered(Outcome::Retry(String::new()));
        let broken = match &how {
            How::Panicked(_) => Some(FailureReason::Panic),
            How::Stuck(_) => Some(FailureReason::Stuck),
            How::Answered(_) | How::TimedOut(_) | How::Postponed(_) | How::Unknown => None,
        };
        let on_refused = transition(refused, attempt, most, pool, rand::random());
        let transition = transition(how, attempt, most, pool, rand::random());
        Self { transition, on_refused, broken, took, actor }
    }

    /// An attempt whose slot died under it, or fell silent.
    pub(super) fn without_actor(
        claim: &Claim,
        pool: config::PoolConfig,
        took: Duration,
        actor: String,
        is_silent: bool,
    ) -> Self {
        let how = match is_silent {
            true => How::Stuck("the actor of the slot fell silent".to_owned()),
            false => How::Panicked("the actor of the slot panicked".to_owned()),
        };
        Self::new(how, claim, pool, took, actor)
    }

    pub(super) const fn is_success(&self) -> bool {
        matches!(self.transition, Transition::Succeed(_))
    }

    pub(super) const fn broken(&self) -> Option<FailureReason> {
        self.broken
    }

    /// What the recorder is given.
    pub(super) fn into_record(self, held: ClaimedJob, node: Id) -> Record {
        let (actor, took) = (Some(self.actor), Some(self.took));
        // A suspect must not get a turn: it would be claimed together with others.
        let must_wait = held.is_suspect && matches!(self.transition, Transition::Release);
        let transition = match must_wait {
            true => Transition::Postpone { after: Duration::ZERO },
            false => self.transition,
        };
        Record {
            settlement: settlement(&held.claim, node, actor, took, transition),
            on_refused: self.on_refused,
            hold: Some(held.hold),
        }
    }
}

/// A settlement of a claim of this node.
pub(super) fn settlement(
    claim: &Claim,
    node: Id,
    actor: Option<String>,
    duration: Option<Duration>,
    transition: Transition,
) -> Settlement {
    Settlement {
        job_id: claim.job.id,
        line: claim.line,
        kind: claim.job.kind.0.to_owned(),
        client_id: claim.job.client_id.clone(),
        lead_id: claim.job.lead_id,
        message_id: claim.job.message_id,
        run: claim.run,
        spared: claim.spared,
        node: Some(node),
        actor,
        duration,
        transition,
    }
}

/// What follows from how attempt number `attempt` of `max_attempts` ended.
pub(super) fn transition(
    how: How,
    attempt: u32,
    max_attempts: u32,
    pool: config::PoolConfig,
    random: u64,
) -> Transition {
    match how {
        How::Answered(Outcome::Done(effects)) => Transition::Succeed(effects),
        How::Answered(Outcome::Snooze(after)) => Transition::Snooze { after },
        How::Answered(Outcome::Postpone(after)) | How::Postponed(after) => {
            Transition::Postpone { after }
        }
        How::Unknown => Transition::Release,
        How::Answered(Outcome::Cancel(reason)) => Transition::Cancel { reason: shortened(&reason) },
        How::Answered(Outcome::Fail(error)) => {
            Transition::Fail { reason: FailureReason::Error, error: shortened(&error) }
        }
        How::Answered(Outcome::Retry(error)) => {
            failed(FailureReason::Error, &error, attempt, max_attempts, pool, random)
        }
        How::Panicked(text) => {
            failed(FailureReason::Panic, &text, attempt, max_attempts, pool, random)
        }
        How::Stuck(text) => {
            failed(FailureReason::Stuck, &text, attempt, max_attempts, pool, random)
        }
        How::TimedOut(limit) => {
            let text = format!("cut off after {limit:?}");
            failed(FailureReason::Timeout, &text, attempt, max_attempts, pool, random)
        }
    }
}

/// A failed attempt: tried again after its backoff while attempts are left.
pub(super) fn failed(
    reason: FailureReason,
    error: &str,
    attempt: u32,
    max_attempts: u32,
    pool: config::PoolConfig,
    random: u64,
) -> Transition {
    let error = shortened(error);
    if attempt >= max_attempts {
        Transition::Fail { reason, error }
    } else {
        Transition::Retry { after: pool.backoff.pause(attempt, random), reason, error }
    }
}

/// Without what a database refuses, and not longer than an operator reads.
fn shortened(text: &str) -> String {
    text.chars().filter(|it| *it != '\0').take(ERROR_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::backoff::Backoff;
    use proptest::prelude::*;

    const POOL: config::PoolConfig = config::PoolConfig {
        size: 1,
        timeout: Duration::from_secs(60),
        max_attempts: 5,
        backoff: Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(900) },
        prefetch: 1,
        paused: false,
    };

    proptest! {
        #[test]
        fn a_failed_attempt_is_retried_until_the_last_and_never_after(
            attempt in 1..20_u32, max_attempts in 1..20_u32, random: u64, kind in 0..4_u8,
        ) {
            let how = match kind {
                0 => How::Answered(Outcome::Retry("no".to_owned())),
                1 => How::Panicked("oh".to_owned()),
                2 => How::Stuck("still".to_owned()),
                _ => How::TimedOut(Duration::from_secs(60)),
            };
            match transition(how, attempt, max_attempts, POOL, random) {
                Transition::Retry { after, .. } => {
                    prop_assert!(attempt < max_attempts);
                    prop_assert!(after >= Duration::from_secs(2));
                }
                Transition::Fail { .. } => prop_assert!(attempt >= max_attempts),
                Transition::Succeed(_)
                | Transition::Snooze { .. }
                | Transition::Postpone { .. }
                | Transition::Release
                | Transition::Cancel { .. } => prop_assert!(false),
            }
        }
    }

    #[test]
    fn an_error_text_is_short_and_storable() {
        let long = format!("a\0b{}", "x".repeat(10_000));
        let text = shortened(&long);
        assert!(text.starts_with("ab"));
        assert_eq!(text.chars().count(), ERROR_MAX);
    }
}
