//! The recorder: commits what handlers decided, many jobs in one transaction.
//!
//! The supervisor owns it. Outcomes that are not committed yet are kept in [`Uncommitted`],
//! which outlives the recorder. Room for each outcome was taken before its job was claimed, so
//! there is always a place for it. While the database is away, outcomes are kept and tried again.
//! If one outcome makes its group fail, halving the group finds it, and it is recorded without
//! its effects. A recorder that replaces a dead one goes on with the same outcomes and repeats
//! the group whose commit was under way.

mod bound;
mod uncommitted;

pub use self::{
    bound::{LentRoom, ResizableBound},
    uncommitted::Uncommitted,
};

use self::uncommitted::CommitGroup;
use crate::{
    announcer::Announcer,
    domain::{Id, JobKind, backoff::AWAY_PAUSE, explain::RunStage},
    store::{
        Ledger, Settlement, SlotLender, StoreError, Transition, WriterToken, commit_isolating,
        wall_clock,
    },
    telemetry::{
        board::{ActorType, Board, Presence},
        metrics::Metrics,
        traces::TraceSpan,
    },
};
use actix::{ActorFutureExt, AsyncContext, WrapFuture};
use dashmap::DashMap;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// The end of a run, on its way into the database.
#[derive(Debug)]
pub struct Record {
    /// What happens to the job, and the fence under which it may.
    pub settlement: Settlement,
    /// What happens to the job instead if its effects cannot be stored.
    pub on_refused: Transition,
    /// Keeps the run listed as in memory; dropped after the commit.
    pub guard: Option<InFlightGuard>,
    /// Its span, which is sent once it is committed.
    pub span: TraceSpan,
}

/// The runs that this process has in memory, by (job id, run): waiting for a slot, in a slot, or
/// on their way into the database.
#[derive(Clone, Debug, Default)]
pub struct InFlight(Arc<DashMap<(Id, i64), RunStage>>);

impl InFlight {
    /// Lists a claimed run. The guard also keeps `room`, which was taken for the outcome.
    pub fn enter(&self, job_id: Id, run: i64, room: Vec<LentRoom>) -> InFlightGuard {
        self.0.insert((job_id, run), RunStage::Waiting { since: wall_clock() });
        InFlightGuard { of: self.clone(), key: (job_id, run), _room: room }
    }

    /// Whether this process has that run in memory.
    pub fn has(&self, job_id: Id, run: i64) -> bool {
        self.0.contains_key(&(job_id, run))
    }

    /// What this process does with that run; `None` if it does not have it in memory.
    pub fn stage(&self, job_id: Id, run: i64) -> Option<RunStage> {
        self.0.get(&(job_id, run)).map(|stage| stage.clone())
    }
}

/// Lists a run as in memory until it is dropped.
///
/// It travels with the job, from the claim until the outcome is committed. If the database says
/// that this node has a run, and the run has no guard, then the run is lost.
#[derive(Debug)]
pub struct InFlightGuard {
    of: InFlight,
    /// Job id and run.
    key: (Id, i64),
    _room: Vec<LentRoom>,
}

impl InFlightGuard {
    /// From now on the slot of this name runs it, for at most `limit`.
    pub fn runs(&self, actor: &str, limit: Duration) {
        let (since, actor) = (wall_clock(), actor.to_owned());
        self.set(RunStage::Running { since, actor, cut_off_at: since.plus(limit) });
    }

    /// From now on its outcome waits for its commit.
    fn has_ended(&self) {
        self.set(RunStage::Uncommitted { since: wall_clock() });
    }

    fn set(&self, stage: RunStage) {
        if let Some(mut entry) = self.of.0.get_mut(&self.key) {
            *entry = stage;
        }
    }
}

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        self.of.0.remove(&self.key);
    }
}

/// Event: outcomes were committed; there is room again.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Recorded {
    /// How many jobs got an outcome.
    pub jobs: usize,
}

/// The parts from which the recorder is made. The supervisor keeps them to make replacements.
#[derive(Clone, Debug)]
pub struct RecorderSetup {
    /// The outcomes that it must commit.
    pub uncommitted: Uncommitted,
    /// The part of the store that commits outcomes.
    pub ledger: Ledger,
    /// Lends slots of this process to the jobs that outcomes enqueue.
    pub lender: Arc<dyn SlotLender>,
    /// Tells the supervisor that there is room.
    pub announcer: Announcer<Recorded>,
    /// The board on which it posts its state.
    pub board: Arc<Board>,
    /// The metrics in which it counts what it has committed.
    pub metrics: Metrics,
    /// Bounds how many outcomes may wait, because room is taken before each claim. The recorder
    /// only posts its capacity.
    pub room: ResizableBound,
}

/// Commits outcomes in groups.
#[derive(Debug)]
pub struct Recorder {
    setup: RecorderSetup,
    presence: Presence,
}

/// Command: commit the next group, if there is one.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
struct CommitNext;

impl Recorder {
    /// A recorder by this setup.
    pub fn new(setup: RecorderSetup) -> Self {
        let presence =
            setup.board.enter("recorder", ActorType::Recorder, "supervisor", wall_clock());
        Self { setup, presence }
    }

    /// Commits the next group, if there is one.
    fn commit_next(token: WriterToken, actor: &mut Self, ctx: &mut actix::Context<Self>) {
        let post = actor.presence.post();
        let Some(group) = actor.setup.uncommitted.next_group() else {
            post.mailbox(0, actor.setup.room.capacity());
            post.idle(wall_clock());
            return;
        };
        post.mailbox(group.behind, actor.setup.room.capacity());
        post.busy(0, wall_clock());
        let setup = actor.setup.clone();
        let commit = async move {
            setup.board.faults().point("recorder.commit");
            let (traces, count) = (setup.board.traces(), group.settlements.len());
            let span = traces.commit("record commit", count, group.spans.iter());
            let results = commit_group(&setup, group).await;
            drop(span);
            drop(token);
            results
        };
        let commit = commit.into_actor(actor);
        ctx.spawn(commit.map(|results, actor, ctx| actor.committed(&results, ctx)));
    }

    /// After a commit: `results` are those of the group, in its order.
    fn committed(&mut self, results: &[Result<(), StoreError>], ctx: &mut actix::Context<Self>) {
        self.setup.board.faults().point("recorder.committed");
        let jobs = self.setup.uncommitted.committed(results);
        if jobs > 0 {
            self.setup.announcer.announce(Recorded { jobs });
        }
        if jobs < results.len() {
            ctx.notify_later(CommitNext, AWAY_PAUSE);
        } else {
            ctx.notify(CommitNext);
        }
    }
}

impl actix::Actor for Recorder {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.setup.board.faults().point("recorder.started");
        let repeated = self.setup.uncommitted.take_over();
        if repeated > 0 {
            tracing::warn!(
                count = repeated,
                "outcomes of a recorder that died are committed again"
            );
        }
        ctx.notify(CommitNext);
    }
}

impl actix::Handler<CommitNext> for Recorder {
    type Result = ();

    fn handle(&mut self, _: CommitNext, ctx: &mut Self::Context) {
        self.setup.board.faults().point("recorder.handle");
        let token = self.setup.ledger.token().into_actor(self);
        ctx.spawn(token.map(Self::commit_next));
    }
}

/// How many jobs of each kind a group enqueues that are due at once.
fn jobs_wanted(settlements: &[Settlement]) -> BTreeMap<JobKind, usize> {
    let mut wanted = BTreeMap::new();
    for kind in settlements.iter().flat_map(|it| it.transition.enqueues()) {
        *wanted.entry(kind).or_default() += 1;
    }
    wanted
}

/// Commits a group. The result of each outcome is `Ok` if it is over: committed, or refused by
/// its fence. `Err` if it is to be committed again.
async fn commit_group(setup: &RecorderSetup, group: CommitGroup) -> Vec<Result<(), StoreError>> {
    let (settlements, ledger) = (group.settlements, &setup.ledger);
    let lent = setup.lender.lend(&jobs_wanted(&settlements), "recorder.handing_off");
    let settle = |part| ledger.settle_and_start(part, lent.clone());
    let answers = commit_isolating(settlements.clone(), settle).await;
    // The slots that are left go back before the supervisor hears of the commit.
    drop(lent);
    let mut results = Vec::with_capacity(settlements.len());
    for (number, (answer, settlement)) in answers.into_iter().zip(&*settlements).enumerate() {
        results.push(match answer {
            Ok(is_applied) => {
                count_and_log(setup, settlement, is_applied, group.is_repeated);
                Ok(())
            }
            Err(error) if error.is_data() => {
                commit_without_effects(setup, settlement, number, &error).await
            }
            Err(error) => {
                log_wait(settlement, &error);
                Err(error)
            }
        });
    }
    results
}

/// The effects of outcome `number` of the group cannot be stored: its attempt ends as an error,
/// without them.
async fn commit_without_effects(
    setup: &RecorderSetup,
    settlement: &Settlement,
    number: usize,
    refused: &StoreError,
) -> Result<(), StoreError> {
    tracing::error!(
        job.id = settlement.job_id,
        client.id = %settlement.client_id,
        trace_id = settlement.trace_id(),
        error = %refused,
        "effects are not storable"
    );
    let text = format!("the effects cannot be stored: {refused}");
    let Some(without) = setup.uncommitted.drop_effects(number, &text) else { return Ok(()) };
    match setup.ledger.settle(Arc::from([without.clone()])).await {
        Ok(applied) => {
            if applied.contains(&true) {
                setup.metrics.attempt_ended(&without.kind, without.transition.word());
            }
            Ok(())
        }
        Err(error) => {
            log_wait(&without, &error);
            Err(error)
        }
    }
}

fn log_wait(settlement: &Settlement, error: &StoreError) {
    let (job_id, trace_id) = (settlement.job_id, settlement.trace_id());
    tracing::warn!(%error, job.id = job_id, trace_id, "an outcome waits for the database");
}

/// Counts and logs a settlement. It is not applied if its fence fails.
fn count_and_log(
    setup: &RecorderSetup,
    settlement: &Settlement,
    is_applied: bool,
    is_repeated: bool,
) {
    let outcome = settlement.transition.word();
    // A level is a constant of its call site, so a function cannot take it.
    macro_rules! log {
        ($level:ident, $what:literal) => {
            tracing::$level!(
                job.id = settlement.job_id,
                job.kind = settlement.kind,
                job.run = settlement.run,
                trace_id = settlement.trace_id(),
                outcome,
                $what
            )
        };
    }
    if is_applied {
        setup.metrics.attempt_ended(&settlement.kind, outcome);
        log!(debug, "recorded");
    } else if is_repeated {
        log!(info, "this run was recorded before");
    } else if settlement.send.is_some() {
        log!(warn, "the lease was lost: of this run only what became of its send is recorded");
    } else {
        log!(warn, "the lease was lost: nothing of this run is recorded");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::job::FailureReason, telemetry::metrics::JOB_OUTCOMES};

    #[test]
    fn every_outcome_that_an_attempt_can_have_is_counted_and_no_other() {
        let (after, error) = (Duration::ZERO, String::new());
        let mut words: Vec<&str> = [
            Transition::Succeed(Vec::new()),
            Transition::Snooze { after },
            Transition::Postpone { after },
            Transition::Release,
            Transition::Cancel { reason: String::new() },
        ]
        .iter()
        .map(Transition::word)
        .collect();
        for reason in [
            FailureReason::Error,
            FailureReason::Panic,
            FailureReason::Timeout,
            FailureReason::Stuck,
            FailureReason::Rescued,
            FailureReason::Shutdown,
        ] {
            let failed = Transition::Fail { reason, error: error.clone() };
            let retried = Transition::Retry { after, reason, error: error.clone() };
            assert_eq!(failed.word(), retried.word());
            words.push(failed.word());
        }
        words.sort_unstable();
        let mut counted = JOB_OUTCOMES;
        counted.sort_unstable();
        assert_eq!(words, counted);
    }
}
