//! The recorder: commits what handlers decided, many jobs in one transaction.
//!
//! Owned by the supervisor. Outcomes that are not committed yet are not in it but in the [`Uncommitted`], which
//! outlives it; each came with room that was taken before its job was claimed, so there is always a place
//! for it. An outcome is kept and tried again for as long as the database is away. One that makes its group fail
//! is found by halves, and recorded without its effects. When the recorder dies, its replacement goes on with
//! the same uncommitted, and repeats the group whose commit was under way.

mod uncommitted;

pub use self::uncommitted::Uncommitted;

use self::uncommitted::{Fate, Group};
use crate::{
    announcer::Announcer,
    domain::{Id, backoff::AWAY_PAUSE},
    store::{Ledger, Settlement, Transition, commit_isolating, wall_clock},
    telemetry::{
        board::{ActorType, Board, Presence},
        metrics::Metrics,
    },
};
use actix::{ActorFutureExt, AsyncContext, WrapFuture};
use dashmap::DashMap;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// An outcome that is to be committed.
#[derive(Debug)]
pub struct Record {
    /// What happens to the job, and under which fence.
    pub settlement: Settlement,
    /// What to fall back to where its effects cannot be stored.
    pub on_refused: Transition,
    /// The hold on the job; let go after the commit.
    pub hold: Option<InFlightGuard>,
}

/// The runs that this process has in memory: waiting for a slot, in a slot's hand, or on their way into
/// the database.
#[derive(Clone, Debug, Default)]
pub struct InFlight(Arc<DashMap<(Id, i64), ()>>);

impl InFlight {
    /// InFlight a claimed run, with the room that was taken for its outcome.
    pub fn hold(&self, job_id: Id, run: i64, room: Vec<OwnedSemaphorePermit>) -> InFlightGuard {
        self.0.insert((job_id, run), ());
        InFlightGuard { of: self.clone(), key: (job_id, run), _room: room }
    }

    /// Whether this process has that run in memory.
    pub fn has(&self, job_id: Id, run: i64) -> bool {
        self.0.contains_key(&(job_id, run))
    }
}

/// A run that this process has in memory. It travels with the job, from its claim until its outcome is
/// committed; a run that the database says is held here and that has none is lost.
#[derive(Debug)]
pub struct InFlightGuard {
    of: InFlight,
    key: (Id, i64),
    _room: Vec<OwnedSemaphorePermit>,
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
    /// How many.
    pub jobs: usize,
}

/// What the recorder is made of; kept by the supervisor, which makes replacements from it.
#[derive(Clone, Debug)]
pub struct RecorderSetup {
    /// What it commits.
    pub uncommitted: Uncommitted,
    /// Where it commits.
    pub ledger: Ledger,
    /// Who wants to know that there is room.
    pub announcer: Announcer<Recorded>,
    /// Where it posts.
    pub board: Arc<Board>,
    /// Where it counts what it has committed.
    pub metrics: Metrics,
    /// How many outcomes may wait.
    pub capacity: usize,
}

/// Commits outcomes in groups.
#[derive(Debug)]
pub struct Recorder {
    plan: RecorderSetup,
    presence: Presence,
}

/// Command: see whether there is something to commit.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
struct Commit;

impl Recorder {
    /// A recorder by this plan.
    pub fn new(plan: RecorderSetup) -> Self {
        let presence =
            plan.board.enter("recorder", ActorType::Recorder, "supervisor", wall_clock());
        Self { plan, presence }
    }

    /// After a commit: what it came to, and the next look.
    fn committed(&mut self, fates: Vec<Fate>, ctx: &mut actix::Context<Self>) {
        self.plan.board.faults().point("recorder.committed");
        let count = fates.len();
        let jobs = self.plan.uncommitted.settled(fates);
        if jobs > 0 {
            self.plan.announcer.announce(Recorded { jobs });
        }
        if jobs < count {
            ctx.notify_later(Commit, AWAY_PAUSE);
        } else {
            ctx.notify(Commit);
        }
    }
}

impl actix::Actor for Recorder {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.plan.board.faults().point("recorder.started");
        let repeated = self.plan.uncommitted.take_over();
        if repeated > 0 {
            tracing::warn!(count = repeated, "outcomes of a recorder that died are committed anew");
        }
        ctx.notify(Commit);
    }
}

impl actix::Handler<Commit> for Recorder {
    type Result = ();

    fn handle(&mut self, _: Commit, ctx: &mut Self::Context) {
        self.plan.board.faults().point("recorder.handle");
        let post = self.presence.post();
        let Some(group) = self.plan.uncommitted.next_group() else {
            post.mailbox(0, self.plan.capacity);
            post.idle(wall_clock());
            return;
        };
        post.mailbox(group.behind, self.plan.capacity);
        post.busy(0, wall_clock());
        let plan = self.plan.clone();
        let commit = async move {
            plan.board.faults().point("recorder.commit");
            commit_group(&plan, group).await
        };
        ctx.spawn(commit.into_actor(self).map(|fates, actor, ctx| actor.committed(fates, ctx)));
    }
}

/// Commits a group, and says what became of each outcome.
async fn commit_group(plan: &RecorderSetup, group: Group) -> Vec<Fate> {
    let ledger = &plan.ledger;
    let (settlements, on_refused): (Vec<Settlement>, Vec<Transition>) =
        group.items.into_iter().unzip();
    let settlements: Arc<[Settlement]> = settlements.into();
    let results = commit_isolating(settlements.clone(), |part| ledger.settle(part)).await;
    let mut fates = Vec::with_capacity(settlements.len());
    for ((result, settlement), on_refused) in results.into_iter().zip(&*settlements).zip(on_refused)
    {
        fates.push(match result {
            Ok(held) => {
                tell(settlement, held, group.is_repeated);
                if held {
                    plan.metrics.attempt_ended(&settlement.kind, settlement.transition.word());
                }
                Fate::Settled
            }
            Err(error) if error.is_data() => {
                refuse(plan, settlement.clone(), &on_refused, &error.to_string()).await
            }
            Err(error) => {
                tracing::warn!(%error, job.id = settlement.job_id, "an outcome waits for the database");
                Fate::again(settlement.clone(), &error)
            }
        });
    }
    fates
}

fn tell(it: &Settlement, held: bool, is_repeated: bool) {
    let outcome = it.transition.word();
    if held {
        tracing::debug!(
            job.id = it.job_id,
            job.kind = it.kind,
            job.run = it.run,
            outcome,
            "recorded"
        );
    } else if is_repeated {
        tracing::info!(
            job.id = it.job_id,
            job.run = it.run,
            outcome,
            "this run was recorded before"
        );
    } else {
        tracing::warn!(
            job.id = it.job_id,
            job.run = it.run,
            outcome,
            "the lease was lost: nothing of this run is recorded"
        );
    }
}

/// Effects that cannot be stored end the attempt as an error, without them.
async fn refuse(
    plan: &RecorderSetup,
    settlement: Settlement,
    on_refused: &Transition,
    error: &str,
) -> Fate {
    tracing::error!(job.id = settlement.job_id, client.id = %settlement.client_id, error, "effects are not storable");
    let text = format!("the effects cannot be stored: {error}");
    let transition = uncommitted::without_effects(on_refused, &text);
    let without = Settlement { transition, ..settlement };
    match plan.ledger.settle(Arc::from([without.clone()])).await {
        Ok(held) => {
            if held.contains(&true) {
                plan.metrics.attempt_ended(&without.kind, without.transition.word());
            }
            Fate::Settled
        }
        Err(error) => {
            tracing::warn!(%error, job.id = without.job_id, "an outcome waits for the database");
            Fate::again(without, &error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::job::FailureReason, telemetry::metrics::JOB_OUTCOMES};
    use std::time::Duration;

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
