//! The life of an attempt, top to bottom: [`run`] takes a claimed job, runs its handler under the
//! kind's time-out, and gives the recorder what follows.
//!
//! Four types carry it. The handler answers with an [`Outcome`]. That answer, or the way in which
//! the handler was cut off, becomes a [`Transition`] of the job. A [`Settlement`] adds the run to
//! which it applies; the database is asked for nothing else. A [`Record`] adds what this process
//! keeps until the commit. The recorder commits it through `Ledger::settle`.
//!
//! A run can also end without its slot: [`fail_without_slot`], [`cut_off`], [`give_back`]. All
//! four ways meet in [`hand_to_recorder`], the only place where a run of this process ends.

use super::{
    pool::SlotSetup,
    pool_queue::ClaimedJob,
    slot::{SlotEnd, SlotWork},
    work,
};
use crate::{
    config::PoolConfig,
    domain::{
        Id, Outcome,
        job::{FailureReason, Job, SELF_CHECK, SYSTEM_CLIENT},
        sending::SendEnd,
        trace::Hop,
    },
    handlers::JobHandler,
    recorder::{Record, Uncommitted},
    store::{Claim, Settlement, Transition, wall_clock},
    telemetry::traces::TraceSpan,
};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinError, time::Instant};
use tracing::Instrument;

/// The pause before a job is checked again whose client is not in the configuration. It is used
/// once this node already skips the jobs of the most clients that it can remember.
const CLIENT_PAUSE: Duration = Duration::from_secs(60);
/// How long a handler that was cut off may hold its thread until it counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(5);
/// A slot counts as silent if it is at work for this much longer than its attempt may take.
const SILENCE_MARGIN: Duration = Duration::from_secs(2);
/// The longest text of an attempt's error, in characters.
const ERROR_MAX: usize = 2_000;

/// Runs a claimed job in this slot. `None`: the slot can take the next job.
pub(super) async fn run<H: JobHandler>(slot: &SlotWork<H>, claimed: ClaimedJob) -> Option<SlotEnd> {
    let setup = &slot.setup;
    let attempt = Attempt::of(setup, &claimed.claim);

    // Take the job: from here on the supervisor finds it if the slot dies or falls silent.
    slot.post.busy(claimed.claim.job.id, wall_clock());
    claimed.guard.runs(&slot.name, attempt.config.timeout);
    slot.current.put(claimed, attempt.config.timeout + STUCK_AFTER + SILENCE_MARGIN);
    setup.board.faults().point("slot.work");

    // Run its handler.
    let (busy, started) = (setup.post.slot_is_busy(), Instant::now());
    setup.metrics.started(attempt.waited());
    let span = setup.board.traces().attempt(attempt.job(), attempt.waited());
    let (transition, send) = match attempt.is_client_known() {
        true => attempt.run_handler(slot.handler.clone(), &span).await,
        false => (attempt.leave_job(), None),
    };
    let took = started.elapsed();
    setup.metrics.ran(took);
    drop(busy);
    if let Some(reason) = transition.failure() {
        span.failed(reason.as_str());
    }
    span.ended();

    // See what it says of the slot.
    if slot.current.is_abandoned() {
        // The supervisor has settled the job, and counted the thread of this slot as lost.
        setup.post.thread_is_back();
        return Some(SlotEnd::Abandoned);
    }
    if matches!(transition, Transition::Succeed(_)) {
        setup.successes.succeeded();
    }
    let broken_by = transition
        .failure()
        .filter(|reason| matches!(reason, FailureReason::Panic | FailureReason::Stuck));
    if let Some(reason) = broken_by {
        slot.post.failed(wall_clock(), reason.as_str());
    }

    // Settle the job, unless the supervisor has taken it away. The slot does not wait for the
    // commit.
    let on_refused = attempt.failed(FailureReason::Error, "");
    if let Some(claimed) = slot.current.take() {
        let by = Some((slot.name.clone(), took));
        let end = RunEnd { transition, send, on_refused, span };
        hand_to_recorder(&setup.uncommitted, setup.node, claimed, by, end);
    }
    broken_by.map(|_| SlotEnd::Broken)
}

/// The job was in a slot that died, or that is silent: a failed attempt.
pub(super) fn fail_without_slot(
    setup: &SlotSetup,
    claimed: ClaimedJob,
    slot_name: String,
    is_silent: bool,
) {
    let attempt = Attempt::of(setup, &claimed.claim);
    let transition = match is_silent {
        true => attempt.failed(FailureReason::Stuck, "the actor of the slot fell silent"),
        false => attempt.failed(FailureReason::Panic, "the actor of the slot panicked"),
    };
    let on_refused = attempt.failed(FailureReason::Error, "");
    let by = Some((slot_name, claimed.since.elapsed()));
    let span = TraceSpan::default();
    let end = RunEnd { transition, send: None, on_refused, span };
    hand_to_recorder(&setup.uncommitted, setup.node, claimed, by, end);
}

/// The job still runs at the deadline of the shutdown: a failed attempt, and its retry is due at
/// once.
pub(super) fn cut_off(setup: &SlotSetup, claimed: ClaimedJob, slot_name: String) {
    let job = &claimed.claim.job;
    tracing::warn!(job.id = job.id, job.kind = %job.kind, "cut off by the shutdown");
    let reason = FailureReason::Shutdown;
    let error = "still running at the shutdown's deadline".to_owned();
    let transition = match job.attempt >= job.max_attempts {
        true => Transition::Fail { reason, error },
        false => Transition::Retry { after: Duration::ZERO, reason, error },
    };
    let by = Some((slot_name, claimed.since.elapsed()));
    let (on_refused, span) = (transition.clone(), TraceSpan::default());
    let end = RunEnd { transition, send: None, on_refused, span };
    hand_to_recorder(&setup.uncommitted, setup.node, claimed, by, end);
}

/// No slot has started the job: another claim may take it. Uses no attempt.
pub(super) fn give_back(uncommitted: &Uncommitted, node: Id, claimed: ClaimedJob) {
    let (transition, on_refused) = (Transition::Release, Transition::Release);
    let span = TraceSpan::default();
    let end = RunEnd { transition, send: None, on_refused, span };
    hand_to_recorder(uncommitted, node, claimed, None, end);
}

/// The end of a run, for the recorder.
struct RunEnd {
    /// What happens to the job.
    transition: Transition,
    /// How the call of its send ended, if its handler says so.
    send: Option<SendEnd>,
    /// What happens to the job instead if `transition` cannot be stored.
    on_refused: Transition,
    /// Its span.
    span: TraceSpan,
}

/// Gives the recorder the end of a run. `by`: the slot that worked on it and for how long.
///
/// There is always room for it in the recorder: the room was taken before the claim.
fn hand_to_recorder(
    uncommitted: &Uncommitted,
    node: Id,
    claimed: ClaimedJob,
    by: Option<(String, Duration)>,
    end: RunEnd,
) {
    let RunEnd { transition, send, on_refused, span } = end;
    let ClaimedJob { claim, guard, is_suspect, .. } = claimed;
    // A released job keeps its turn. A suspect must have none: it would be claimed with others.
    let without_turn = |transition| match matches!(transition, Transition::Release) {
        true if is_suspect => Transition::Postpone { after: Duration::ZERO },
        true | false => transition,
    };
    let (actor, duration) = by.unzip();
    let settlement = Settlement {
        job_id: claim.job.id,
        line: claim.line,
        kind: claim.job.kind.0.to_owned(),
        client_id: claim.job.client_id,
        lead_id: claim.job.lead_id,
        message_id: claim.job.message_id,
        draft_id: claim.job.draft_id,
        channel: claim.job.channel,
        request_id: claim.job.request_id,
        run: claim.run,
        spared: claim.spared,
        node: Some(node),
        actor,
        duration,
        transition: without_turn(transition),
        send,
        trace: span.job_trace(Hop::None),
    };
    let on_refused = without_turn(on_refused);
    uncommitted.record(Record { settlement, on_refused, guard: Some(guard), span });
}

/// What the steps of one attempt need.
struct Attempt<'a> {
    setup: &'a SlotSetup,
    claim: Claim,
    /// Read once: a time-out that is changed meanwhile applies to the next attempt.
    config: PoolConfig,
}

impl<'a> Attempt<'a> {
    fn of(setup: &'a SlotSetup, claim: &Claim) -> Self {
        Self { setup, claim: claim.clone(), config: setup.pool_config() }
    }

    const fn job(&self) -> &Job {
        &self.claim.job
    }

    /// How long the job had been due when it was claimed.
    fn waited(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.claim.waited_ms).unwrap_or_default())
    }

    /// Whether the configuration of this node has the client of the job.
    fn is_client_known(&self) -> bool {
        let client_id = self.job().client_id.as_str();
        self.job().kind == SELF_CHECK
            || client_id == SYSTEM_CLIENT
            || self.setup.config.get().client(client_id).is_some()
    }

    /// The client is not in the configuration: the job is left to nodes that know it. If no node
    /// does, the job waits until one does again.
    fn leave_job(&self) -> Transition {
        let job = self.job();
        tracing::debug!(job.id = job.id, client.id = %job.client_id, "not run: its client is not in the configuration");
        match self.setup.queue.leave_to_others(&job.client_id) {
            true => Transition::Release,
            false => Transition::Postpone { after: CLIENT_PAUSE },
        }
    }

    /// Runs the handler's future on the threads of its kind: a panic comes back as an error, a
    /// time-out aborts the task, and a handler that never yields blocks no actor.
    async fn run_handler<H: JobHandler>(
        &self,
        handler: Arc<H>,
        trace: &TraceSpan,
    ) -> (Transition, Option<SendEnd>) {
        let (job, setup, limit) = (self.job(), self.setup, self.config.timeout);

        // Start it.
        let span = tracing::info_span!(
            "attempt",
            job.id = job.id,
            job.kind = %job.kind,
            client.id = %job.client_id,
            channel = job.channel,
            lead.id = job.lead_id,
            request.id = job.request_id,
            trace_id = trace.trace_id(),
        );
        let of_handler = job.clone();
        let work = async move { handler.handle(&of_handler).await }.instrument(span);
        let work = trace.clone().within(work);
        let Some((mut task, guard)) = setup.work.spawn(work, setup.post.clone()) else {
            // The daemon is going down.
            return (Transition::Postpone { after: Duration::ZERO }, None);
        };

        // Wait for its answer.
        match tokio::time::timeout(limit, &mut task).await {
            Ok(Ok(outcome)) => {
                return answered(outcome, job, self.config, rand::random());
            }
            Ok(Err(error)) => {
                return (self.failed(FailureReason::Panic, &panic_text(error)), None);
            }
            Err(_) => task.abort(),
        }

        // It was cut off. A task that is not over and holds no thread is dropped as soon as it
        // gets one.
        let is_over = tokio::time::timeout(STUCK_AFTER, &mut task).await.is_ok();
        if is_over || !guard.lose() {
            let text = format!("cut off after {limit:?}");
            return (self.failed(FailureReason::Timeout, &text), None);
        }

        // It keeps its thread.
        tracing::error!(
            job.id = job.id,
            job.kind = %job.kind,
            trace_id = trace.trace_id(),
            "a handler ignores that it was cut off: its thread is lost"
        );
        setup.work.renew();
        work::give_up_if_too_many_are_lost(&setup.board, &setup.config);
        let text = format!("cut off after {limit:?}, and still not over {STUCK_AFTER:?} later");
        (self.failed(FailureReason::Stuck, &text), None)
    }

    fn failed(&self, reason: FailureReason, error: &str) -> Transition {
        let (attempt, max_attempts) = (self.job().attempt, self.job().max_attempts);
        failed(reason, error, attempt, max_attempts, self.config, rand::random())
    }
}

fn panic_text(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(payload) => payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a text".to_owned()),
        Err(error) => error.to_string(),
    }
}

/// What follows from the handler's answer for the job, and how the call of its send ended.
fn answered(
    outcome: Outcome,
    job: &Job,
    config: PoolConfig,
    random: u64,
) -> (Transition, Option<SendEnd>) {
    let send = if let Outcome::Send(end) = &outcome { Some(end.clone()) } else { None };
    let transition = settled(outcome).unwrap_or_else(|error| {
        let (attempt, max_attempts) = (job.attempt, job.max_attempts);
        failed(FailureReason::Error, &error, attempt, max_attempts, config, random)
    });
    (transition, send)
}

/// What follows from an outcome that is the same whatever the attempt's number.
fn settled(outcome: Outcome) -> Result<Transition, String> {
    let reason = FailureReason::Error;
    Ok(match outcome {
        Outcome::Done(effects) => Transition::Succeed(effects),
        Outcome::Snooze(after) => Transition::Snooze { after },
        Outcome::Postpone(after) => Transition::Postpone { after },
        Outcome::Cancel(reason) => Transition::Cancel { reason: shortened(&reason) },
        Outcome::Fail(error) => Transition::Fail { reason, error: shortened(&error) },
        Outcome::Retry(error) => return Err(error),
        Outcome::Send(end) => return after_send(&end),
    })
}

/// What follows for the job from the end of its call. An account that is at fault costs its
/// deliveries no attempt.
///
/// # Errors
/// The error of an attempt that failed.
fn after_send(end: &SendEnd) -> Result<Transition, String> {
    let reason = FailureReason::Error;
    match end {
        SendEnd::Sent { .. } => Ok(Transition::Succeed(Vec::new())),
        SendEnd::NotSent { account: Some(trouble), .. } => {
            Ok(Transition::Postpone { after: trouble.pause })
        }
        SendEnd::NotSent { why, account: None } => Err(why.clone()),
        SendEnd::NotCalled { after } => Ok(Transition::Postpone { after: *after }),
        SendEnd::Unsendable { why } | SendEnd::Failed { why } | SendEnd::Unknown { why } => {
            Ok(Transition::Fail { reason, error: shortened(why) })
        }
    }
}

/// What follows from a failed attempt: a retry after the backoff while attempts are left, else
/// the job fails. `random` makes the jitter.
pub(super) fn failed(
    reason: FailureReason,
    error: &str,
    attempt: u32,
    max_attempts: u32,
    config: PoolConfig,
    random: u64,
) -> Transition {
    let error = shortened(error);
    if attempt >= max_attempts {
        Transition::Fail { reason, error }
    } else {
        Transition::Retry { after: config.backoff.pause(attempt, random), reason, error }
    }
}

/// Without the characters that a database refuses, and no longer than an operator reads.
fn shortened(text: &str) -> String {
    text.chars().filter(|char| *char != '\0').take(ERROR_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::backoff::Backoff;
    use proptest::prelude::*;

    const CONFIG: PoolConfig = PoolConfig {
        size: 1,
        timeout: Duration::from_secs(60),
        max_attempts: 5,
        backoff: Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(900) },
        prefetch: 1,
        paused: false,
    };

    fn job(attempt: u32, max_attempts: u32) -> Job {
        Job {
            id: 1,
            kind: SELF_CHECK,
            client_id: SYSTEM_CLIENT.to_owned(),
            lead_id: None,
            message_id: None,
            draft_id: None,
            run: i64::from(attempt),
            attempt,
            max_attempts,
            request_id: None,
            channel: None,
            trace: None,
        }
    }

    proptest! {
        #[test]
        fn a_failed_attempt_is_retried_until_the_last_and_never_after(
            attempt in 1..20_u32, max_attempts in 1..20_u32, random: u64, kind in 0..4_u8,
        ) {
            let failed = |reason| failed(reason, "oh", attempt, max_attempts, CONFIG, random);
            let transition = match kind {
                0 => {
                    let outcome = Outcome::Retry("no".to_owned());
                    answered(outcome, &job(attempt, max_attempts), CONFIG, random).0
                }
                1 => failed(FailureReason::Panic),
                2 => failed(FailureReason::Stuck),
                _ => failed(FailureReason::Timeout),
            };
            match transition {
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
