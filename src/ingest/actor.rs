//! The ingest actor: group commit without waiting.
//!
//! While no commit is in flight, an arrival is committed at once, so a lone webhook pays no delay.
//! While one is, arrivals gather, and the next commit takes them all, up to the limits of a group.
//! So latency stays that of one commit, and throughput grows with load.

use super::{
    Ingest, Refusal, Stored,
    quarantine::{FullQuarantines, keep_unstorable},
};
use crate::{
    announcer::Announcer,
    config::{self, IngestConfig},
    domain::{ChannelName, JobKind, event::Direction},
    store::{
        Answer, Content, Inbound, Inbox, LentSlots, Notices, SlotLender, StoreError, WriterToken,
        commit_isolating, wall_clock,
    },
    telemetry::{
        board::{ActorType, Board, Presence},
        metrics::WebhookMetrics,
        traces::names,
    },
};
use actix::{ActorFutureExt, AsyncContext, WrapFuture};
use std::{
    collections::{BTreeMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

/// The parts from which an ingest actor is made. The supervisor keeps them to make replacements.
#[derive(Clone, Debug)]
pub struct IngestSetup {
    /// Whose webhooks it stores.
    pub channel: ChannelName,
    /// The part of the store that stores webhooks.
    pub inbox: Inbox,
    /// The limits of a group, read for each group.
    pub config: config::Live,
    /// Lends slots of this process to the jobs of a group.
    pub lender: Arc<dyn SlotLender>,
    /// Tells the supervisor of new jobs.
    pub announcer: Announcer<Stored>,
    /// Tells other nodes of them.
    pub notices: Notices,
    /// Where it posts what it does.
    pub board: Arc<Board>,
    /// The metrics in which it counts.
    pub metrics: WebhookMetrics,
}

/// Stores one channel's webhooks.
#[derive(Debug)]
pub struct IngestActor {
    setup: IngestSetup,
    /// The lanes, indexed by [`IngestActor::lane_of`]. Never empty.
    lanes: Vec<Lane>,
    presence: Presence,
    full: FullQuarantines,
}

/// Webhooks that are committed one group after the other. Lanes commit at the same time.
#[derive(Debug, Default)]
struct Lane {
    /// The webhooks of the next groups, in the order of arrival.
    waiting: VecDeque<Ingest>,
    /// True from the moment when a commit is asked for until the lane is empty.
    is_committing: bool,
}

/// A message of the actor to itself: commit the next group of this lane, if there is one.
#[derive(actix::Message)]
#[rtype(result = "()")]
struct Commit(usize);

impl IngestActor {
    /// An actor that has nothing to store yet.
    pub fn new(setup: IngestSetup) -> Self {
        let cfg = setup.config.get();
        let name = format!("ingest/{}", setup.channel);
        let presence = setup.board.enter(&name, ActorType::Ingest, "supervisor", wall_clock());
        let lanes = (0..cfg.commit_lanes()).map(|_| Lane::default()).collect();
        Self { setup, lanes, presence, full: FullQuarantines::default() }
    }

    /// The index of a webhook's lane. Events of one lead always take the same lane, so their order
    /// is kept.
    fn lane_of(&self, inbound: &Inbound) -> usize {
        let mut hasher = DefaultHasher::new();
        match &inbound.content {
            // An event without an identity names a chat, or the message that it is about.
            Content::Event { event, .. } => {
                inbound.client_id.hash(&mut hasher);
                match event.identities.first() {
                    Some(identity) => identity.hash(&mut hasher),
                    None => (&event.lead_of_chat, event.signal.about()).hash(&mut hasher),
                }
            }
            Content::Quarantine { body_hash, .. } => body_hash.hash(&mut hasher),
        }
        usize::try_from(hasher.finish()).unwrap_or_default() % self.lanes.len()
    }

    /// Takes the next group out of a lane, within the limits. The group is empty only if the lane
    /// is.
    fn next_group(&mut self, lane: usize) -> Vec<Ingest> {
        let cfg = self.setup.config.get();
        let (items_max, bytes_max) = (cfg.ingest.batch_max, cfg.ingest.batch_bytes);
        let Some(lane) = self.lanes.get_mut(lane) else { return Vec::new() };
        let mut group = Vec::with_capacity(lane.waiting.len().min(items_max));
        let mut bytes = 0_u64;
        while let Some(next) = lane.waiting.front() {
            bytes = bytes.saturating_add(next.permit.size() as u64);
            let is_full = group.len() >= items_max || bytes > bytes_max;
            // A webhook larger than a group may be is a group of its own.
            if is_full && !group.is_empty() {
                break;
            }
            group.extend(lane.waiting.pop_front());
        }
        lane.is_committing = !group.is_empty();
        group
    }

    fn post_depth(&self) {
        let depth: usize = self.lanes.iter().map(|lane| lane.waiting.len()).sum();
        let waiting_max = self.setup.config.get().ingest.queue;
        self.presence.post().mailbox(depth, waiting_max);
        self.setup.metrics.queue_depth.set(i64::try_from(depth).unwrap_or(i64::MAX));
    }

    /// Commits the next group of a lane, if there is one.
    fn commit_next(&mut self, lane: usize, token: WriterToken, ctx: &mut actix::Context<Self>) {
        let group = self.next_group(lane);
        self.post_depth();
        if group.is_empty() {
            self.presence.post().idle(wall_clock());
            return;
        }
        self.presence.post().busy(0, wall_clock());
        self.setup.metrics.batch_size.observe(group.len() as f64);
        let commit = self.commit(group, token).into_actor(self);
        ctx.spawn(commit.map(move |jobs, actor, ctx| {
            actor.announce(jobs);
            ctx.notify(Commit(lane));
        }));
    }

    /// Commits `group`. Returns the number of jobs that were made and wait for a claim.
    fn commit(
        &self,
        group: Vec<Ingest>,
        token: WriterToken,
    ) -> impl Future<Output = usize> + use<> {
        let inbox = self.setup.inbox.bounded(self.setup.config.get().ingest.quarantine);
        let (board, full) = (self.setup.board.clone(), self.full.clone());
        let lender = self.setup.lender.clone();
        let refused = self.setup.metrics.quarantine_refused.clone();
        async move {
            board.faults().point("ingest.commit");
            let lent = lender.lend(&jobs_wanted(&group), "ingest.handing_off");
            let jobs = commit_group(&inbox, group, &board, lent, |client| {
                refused.inc();
                if full.is_due(client, tokio::time::Instant::now()) {
                    tracing::warn!(
                        client.id = %client,
                        "the quarantine of this client is full: what is not understood is answered 429; settle what \
                         is held, or raise `ingest.quarantine_items` and `ingest.quarantine_bytes`"
                    );
                }
            })
            .await;
            drop(token);
            jobs
        }
    }

    /// Tells the supervisor of this node, and other nodes, that `jobs` were committed which nobody
    /// has claimed.
    fn announce(&self, jobs: usize) {
        if jobs > 0 {
            self.setup.announcer.announce(Stored { jobs });
            self.setup.notices.announce_to_others();
        }
    }
}

impl actix::Actor for IngestActor {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.setup.board.faults().point("ingest.started");
        // The gate is the bound, which may change. The mailbox only has to be large enough never to
        // be one.
        ctx.set_mailbox_capacity(IngestConfig::QUEUE_MAX);
    }
}

impl actix::Handler<Ingest> for IngestActor {
    type Result = ();

    fn handle(&mut self, ingest: Ingest, ctx: &mut Self::Context) {
        self.setup.board.faults().point("ingest.handle");
        let number = self.lane_of(&ingest.inbound);
        if let Some(lane) = self.lanes.get_mut(number) {
            lane.waiting.push_back(ingest);
            // One commit is asked for a group. It runs after all that is in the mailbox by now.
            if !lane.is_committing {
                lane.is_committing = true;
                ctx.notify(Commit(number));
            }
        }
    }
}

impl actix::Handler<Commit> for IngestActor {
    type Result = ();

    fn handle(&mut self, Commit(lane): Commit, ctx: &mut Self::Context) {
        // On SQLite the wait for the token may be long, and what waits must be seen meanwhile.
        self.post_depth();
        let token = self.setup.inbox.token().into_actor(self);
        ctx.spawn(token.map(move |token, actor, ctx| actor.commit_next(lane, token, ctx)));
    }
}

/// How many jobs of each kind a group makes at most: one for each inbound message.
fn jobs_wanted(group: &[Ingest]) -> BTreeMap<JobKind, usize> {
    let mut wanted = BTreeMap::new();
    for ingest in group {
        if let Content::Event { event, kind } = &ingest.inbound.content
            && event.signal.message().is_some_and(|it| it.direction == Direction::Inbound)
        {
            *wanted.entry(*kind).or_default() += 1;
        }
    }
    wanted
}

/// Commits a group and answers each of its webhooks. Its jobs may use the slots that are `lent`.
/// Returns the number of jobs that were made and wait for a claim. Calls `refused` with the client
/// of each webhook that is refused because the client's quarantine is full.
async fn commit_group(
    inbox: &Inbox,
    group: Vec<Ingest>,
    board: &Board,
    lent: Option<Arc<dyn LentSlots>>,
    refused: impl Fn(&Arc<str>),
) -> usize {
    // Commit it, and find the webhooks that make it fail.
    let (mut items, mut senders) =
        (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()));
    let traces = board.traces();
    let commit = traces.commit("ingest commit", group.len(), group.iter().map(|it| &it.span));
    for Ingest { inbound, permit, span, reply } in group {
        items.push(inbound);
        senders.push((reply, permit, span));
    }
    let items: Arc<[Inbound]> = items.into();
    let put = |part| inbox.put_and_start(part, lent.clone());
    let results = commit_isolating(items.clone(), put).await;
    // The slots that are left go back before the supervisor hears of the other jobs.
    let started = lent.map_or(0, |lent| lent.started());
    board.faults().point("ingest.committed");
    commit.ended();

    // Answer each. There is a result for each item, in their order. If one were missing, its sender
    // would be told so instead of waiting.
    let missing = || Err(StoreError::Broken("the group has no answer to it".to_owned()));
    let results = results.into_iter().chain(std::iter::repeat_with(missing));
    let mut jobs = 0_usize;
    for ((item, (reply, permit, span)), result) in items.iter().zip(senders).zip(results) {
        let answer = match result {
            Err(error) if error.is_data() => keep_unstorable(inbox, item, &error).await,
            other => other,
        };
        if matches!(answer, Ok(Answer::Accepted { .. } | Answer::Duplicate { job_id: Some(_), .. }))
        {
            jobs += 1;
        }
        if let Err(error) = &answer {
            tracing::warn!(
                %error,
                client.id = %item.client_id,
                request.id = %item.request_id,
                trace_id = span.trace_id(),
                "a webhook was not stored and is answered 429"
            );
        }
        let answer = match answer {
            Ok(Answer::QuarantineFull) => {
                refused(&item.client_id);
                Err(Refusal::QuarantineFull)
            }
            other => other.map_err(Refusal::Away),
        };
        if answer.is_ok() {
            span.event(names::COMMITTED);
        }
        drop(span);
        if reply.send(answer).is_err() {
            tracing::debug!("the sender did not wait for the answer");
        }
        drop(permit);
    }
    jobs.saturating_sub(started)
}
