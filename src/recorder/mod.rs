//! The recorder: commits what handlers decided, many jobs in one transaction.
//!
//! Owned by the supervisor. It holds outcomes that are not committed yet; each came with a permit that
//! was taken before its job was claimed, so there is always room for it. An outcome is kept and tried
//! again for as long as the database is away. When the recorder dies, its outcomes are lost with it, and
//! their jobs are found as held by a node that has lost track of them.

use crate::{
    domain::job::FailureReason,
    store::{Ledger, Settlement, StoreError, Transition, commit_isolating, wall_clock},
    telemetry::board::{ActorType, Board, Presence},
};
use actix::{ActorFutureExt, AsyncContext, WrapFuture};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// The most outcomes in one transaction.
const GROUP_MAX: usize = 1_000;
/// The pause before outcomes are tried again while the database is away.
const AWAY_PAUSE: Duration = Duration::from_millis(250);

/// Command: commit this.
#[derive(actix::Message, Debug)]
#[rtype(result = "()")]
pub struct Record {
    /// What happens to the job, and under which fence.
    pub settlement: Settlement,
    /// What to fall back to where its effects cannot be stored.
    pub on_refused: Transition,
    /// Room in the recorder; given back after the commit.
    pub permit: Option<OwnedSemaphorePermit>,
}

/// Event: outcomes were committed; there is room again.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Recorded {
    /// How many.
    pub jobs: usize,
}

/// Command: answer once everything that came before is committed.
#[derive(actix::Message, Debug)]
#[rtype(result = "()")]
pub struct Flush(pub oneshot::Sender<()>);

/// What the recorder is made of; kept by the supervisor, which makes replacements from it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it commits.
    pub ledger: Ledger,
    /// Who wants to know that there is room.
    pub announce: Option<actix::Recipient<Recorded>>,
    /// Where it posts.
    pub board: Arc<Board>,
    /// How many outcomes may wait.
    pub capacity: usize,
}

/// Where outcomes go: today's recorder, also after a restart.
#[derive(Clone, Debug, Default)]
pub struct Address(Arc<arc_swap::ArcSwapOption<actix::Addr<Recorder>>>);

impl Address {
    /// Notes the recorder that lives now.
    pub fn set(&self, address: actix::Addr<Recorder>) {
        self.0.store(Some(Arc::new(address)));
    }

    /// Gives it an outcome. Where the recorder has just died, the outcome is lost, and the job will be
    /// found as held by a node that has lost track of it.
    pub fn record(&self, record: Record) {
        let job_id = record.settlement.job_id;
        let is_taken = self.0.load().as_ref().is_some_and(|it| it.try_send(record).is_ok());
        if !is_taken {
            tracing::error!(job.id = job_id, "no recorder took an outcome");
        }
    }

    /// Waits until all that was given before is committed, or the recorder is gone.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        let is_taken = self.0.load().as_ref().is_some_and(|it| it.try_send(Flush(done)).is_ok());
        if is_taken && flushed.await.is_err() {
            tracing::error!("the recorder died before everything was committed");
        }
    }
}

/// Commits outcomes in groups.
#[derive(Debug)]
pub struct Recorder {
    plan: Plan,
    presence: Presence,
    waiting: VecDeque<Record>,
    flushes: Vec<oneshot::Sender<()>>,
    is_committing: bool,
}

/// A message to oneself: see whether there is something to commit.
#[derive(actix::Message)]
#[rtype(result = "()")]
struct Commit;

impl Recorder {
    /// A recorder by this plan.
    pub fn new(plan: Plan) -> Self {
        let presence =
            plan.board.enter("recorder", ActorType::Recorder, "supervisor", wall_clock());
        Self { plan, presence, waiting: VecDeque::new(), flushes: Vec::new(), is_committing: false }
    }

    fn wake(&mut self, ctx: &mut actix::Context<Self>) {
        if !self.is_committing {
            self.is_committing = true;
            ctx.notify(Commit);
        }
    }

    /// After a commit: those that could not be committed come first again.
    fn committed(&mut self, left: Vec<Record>, jobs: usize, ctx: &mut actix::Context<Self>) {
        let is_away = !left.is_empty();
        for it in left.into_iter().rev() {
            self.waiting.push_front(it);
        }
        if jobs > 0
            && let Some(announce) = &self.plan.announce
            && announce.try_send(Recorded { jobs }).is_err()
        {
            tracing::trace!("the supervisor is busy: its tick will see the room");
        }
        if is_away {
            ctx.notify_later(Commit, AWAY_PAUSE);
        } else {
            ctx.notify(Commit);
        }
    }
}

impl actix::Actor for Recorder {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // The bound is the permits that were taken before the claims.
        ctx.set_mailbox_capacity(self.plan.capacity.max(16) * 2);
    }
}

impl actix::Handler<Record> for Recorder {
    type Result = ();

    fn handle(&mut self, record: Record, ctx: &mut Self::Context) {
        self.waiting.push_back(record);
        self.wake(ctx);
    }
}

impl actix::Handler<Flush> for Recorder {
    type Result = ();

    fn handle(&mut self, Flush(done): Flush, ctx: &mut Self::Context) {
        self.flushes.push(done);
        self.wake(ctx);
    }
}

impl actix::Handler<Commit> for Recorder {
    type Result = ();

    fn handle(&mut self, _: Commit, ctx: &mut Self::Context) {
        let count = self.waiting.len().min(GROUP_MAX);
        let group: Vec<Record> = self.waiting.drain(..count).collect();
        self.presence.post().mailbox(self.waiting.len(), self.plan.capacity);
        if group.is_empty() {
            self.is_committing = false;
            self.presence.post().idle(wall_clock());
            for done in self.flushes.drain(..) {
                if done.send(()).is_err() {
                    tracing::debug!("nobody waits for the flush any more");
                }
            }
            return;
        }
        self.presence.post().busy(0, wall_clock());
        let ledger = self.plan.ledger.clone();
        let commit = async move { commit_group(&ledger, group).await };
        ctx.spawn(commit.into_actor(self).map(|(left, jobs), actor, ctx| {
            actor.committed(left, jobs, ctx);
        }));
    }
}

/// Commits a group. Returns what is to be tried again, and how many were committed.
async fn commit_group(ledger: &Ledger, group: Vec<Record>) -> (Vec<Record>, usize) {
    let settlements: Vec<Settlement> = group.iter().map(|it| it.settlement.clone()).collect();
    let results = commit_isolating(settlements, |part| ledger.settle(part)).await;
    let (mut left, mut jobs) = (Vec::new(), 0);
    for (result, record) in results.into_iter().zip(group) {
        match result {
            Ok(held) => {
                jobs += 1;
                tell(&record, held);
            }
            Err(StoreError::Data(error)) => {
                jobs += 1;
                refuse(ledger, record, &error, &mut left).await;
            }
            Err(error) => {
                tracing::warn!(%error, job.id = record.settlement.job_id, "an outcome waits for the database");
                left.push(record);
            }
        }
    }
    (left, jobs)
}

fn tell(record: &Record, held: bool) {
    let it = &record.settlement;
    let outcome = it.transition.word();
    if held {
        tracing::debug!(
            job.id = it.job_id,
            job.kind = it.kind,
            job.run = it.run,
            outcome,
            "recorded"
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
async fn refuse(ledger: &Ledger, record: Record, error: &str, left: &mut Vec<Record>) {
    let Record { settlement, on_refused, permit } = record;
    tracing::error!(job.id = settlement.job_id, client.id = %settlement.client_id, error, "effects are not storable");
    let text = format!("the effects cannot be stored: {error}");
    let transition = match on_refused.clone() {
        Transition::Retry { after, .. } => {
            Transition::Retry { after, reason: FailureReason::Error, error: text }
        }
        Transition::Succeed(_)
        | Transition::Fail { .. }
        | Transition::Snooze { .. }
        | Transition::Postpone { .. }
        | Transition::Release
        | Transition::Cancel { .. } => {
            Transition::Fail { reason: FailureReason::Error, error: text }
        }
    };
    let without = Settlement { transition, ..settlement };
    if let Err(error) = ledger.settle(Arc::from([without.clone()])).await {
        tracing::warn!(%error, job.id = without.job_id, "an outcome waits for the database");
        left.push(Record { settlement: without, on_refused, permit });
    }
}
