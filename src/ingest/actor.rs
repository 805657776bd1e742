//! The ingest actor: group commit without waiting.
//!
//! A commit is in flight or it is not. If none is, what has arrived goes at once, so a lone webhook pays
//! no delay; while one is, arrivals gather, and the next commit takes them all, up to the limits. Latency
//! stays that of one commit, and throughput grows with load.

use super::{Ingest, Refusal, Stored, full::FullQuarantines};
use crate::{
    announcer::Announcer,
    config,
    domain::ChannelName,
    store::{Answer, Content, Inbound, Inbox, Notices, StoreError, commit_isolating},
    telemetry::{
        board::{ActorType, Board, Presence},
        metrics::WebhookMetrics,
    },
};
use actix::{ActorFutureExt, AsyncContext, WrapFuture};
use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

/// What an ingest actor is made of; kept by the supervisor, which makes replacements from it.
#[derive(Clone, Debug)]
pub struct IngestSetup {
    /// Which channel.
    pub channel: ChannelName,
    /// Where it stores.
    pub inbox: Inbox,
    /// Limits of a group, read for each.
    pub config: config::Live,
    /// Tells the supervisor of new jobs.
    pub announcer: Announcer<Stored>,
    /// How other nodes are told of them.
    pub notices: Notices,
    /// Where it posts.
    pub board: Arc<Board>,
    /// What it counts.
    pub metrics: WebhookMetrics,
}

/// One channel's webhooks on their way into the database.
#[derive(Debug)]
pub struct IngestActor {
    plan: IngestSetup,
    lanes: Vec<Lane>,
    presence: Presence,
    waiting_max: usize,
    full: FullQuarantines,
}

/// Events of one lead always take the same lane, so that their order is kept.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Ingest>,
    is_committing: bool,
}

/// A message to oneself: see whether a lane has something to commit.
#[derive(actix::Message)]
#[rtype(result = "()")]
struct Commit(usize);

impl IngestActor {
    /// An actor by this plan.
    pub fn new(plan: IngestSetup) -> Self {
        let cfg = plan.config.get();
        let name = format!("ingest/{}", plan.channel);
        let presence =
            plan.board.enter(&name, ActorType::Ingest, "supervisor", crate::store::wall_clock());
        let lanes = (0..cfg.commit_lanes()).map(|_| Lane::default()).collect();
        let (waiting_max, full) = (cfg.ingest.queue, FullQuarantines::default());
        Self { plan, lanes, presence, waiting_max, full }
    }

    fn lane_of(&self, inbound: &Inbound) -> usize {
        let mut hasher = DefaultHasher::new();
        match &inbound.content {
            // What names no lead names a chat, or the message that it is about.
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

    /// Takes the next group out of a lane, within the limits; at least one.
    fn next_group(&mut self, lane: usize) -> Vec<Ingest> {
        let cfg = self.plan.config.get();
        let (most, most_bytes) = (cfg.ingest.batch_max, cfg.ingest.batch_bytes);
        let Some(lane) = self.lanes.get_mut(lane) else { return Vec::new() };
        let mut group = Vec::with_capacity(lane.waiting.len().min(most));
        let mut bytes = 0_u64;
        while let Some(next) = lane.waiting.front() {
            bytes = bytes.saturating_add(next.size as u64);
            let is_full = group.len() >= most || bytes > most_bytes;
            if is_full && !group.is_empty() {
                break;
            }
            group.extend(lane.waiting.pop_front());
        }
        lane.is_committing = !group.is_empty();
        group
    }

    fn post_depth(&self) {
        let depth: usize = self.lanes.iter().map(|it| it.waiting.len()).sum();
        self.presence.post().mailbox(depth, self.waiting_max);
        self.plan.metrics.queue_depth.set(i64::try_from(depth).unwrap_or(i64::MAX));
    }
}

impl actix::Actor for IngestActor {
    type Context = actix::Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.plan.board.faults().point("ingest.started");
        // The bound is the gate; the mailbox only has to be large enough never to be one.
        ctx.set_mailbox_capacity(self.waiting_max.max(16));
    }
}

impl actix::Handler<Ingest> for IngestActor {
    type Result = ();

    fn handle(&mut self, ingest: Ingest, ctx: &mut Self::Context) {
        self.plan.board.faults().point("ingest.handle");
        let number = self.lane_of(&ingest.inbound);
        if let Some(lane) = self.lanes.get_mut(number) {
            lane.waiting.push_back(ingest);
            // Said once a group: what is in the mailbox already comes before it.
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
        let group = self.next_group(lane);
        self.post_depth();
        if group.is_empty() {
            self.presence.post().idle(crate::store::wall_clock());
            return;
        }
        self.presence.post().busy(0, crate::store::wall_clock());
        self.plan.metrics.batch_size.observe(group.len() as f64);
        let inbox = self.plan.inbox.bounded(self.plan.config.get().ingest.quarantine);
        let (board, full) = (self.plan.board.clone(), self.full.clone());
        let refused = self.plan.metrics.quarantine_refused.clone();
        let commit = async move {
            board.faults().point("ingest.commit");
            commit_group(&inbox, group, &board, |client| {
                refused.inc();
                if full.is_due(client, tokio::time::Instant::now()) {
                    tracing::warn!(
                        client.id = %client,
                        "the quarantine of this client is full: what is not understood is answered 429; settle what \
                         is held, or raise `ingest.quarantine_items` and `ingest.quarantine_bytes`"
                    );
                }
            })
            .await
        };
        ctx.spawn(commit.into_actor(self).map(move |jobs, actor, ctx| {
            if jobs > 0 {
                actor.plan.announcer.announce(Stored { jobs });
                actor.plan.notices.announce_to_others();
            }
            ctx.notify(Commit(lane));
        }));
    }
}

/// Commits a group, finds culprits, answers everyone; returns how many jobs were made.
async fn commit_group(
    inbox: &Inbox,
    group: Vec<Ingest>,
    board: &Board,
    refused: impl Fn(&Arc<str>),
) -> usize {
    let (mut items, mut waiting) =
        (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()));
    for it in group {
        items.push(it.inbound);
        waiting.push((it.reply, it.permit));
    }
    let items: Arc<[Inbound]> = items.into();
    let results = commit_isolating(items.clone(), |part| inbox.put(part)).await;
    board.faults().point("ingest.committed");
    let mut jobs = 0;
    let missing = || Err(StoreError::Broken("the group has no answer to it".to_owned()));
    // Nobody goes without an answer, whatever came back.
    let results = results.into_iter().chain(std::iter::repeat_with(missing));
    for ((item, (reply, permit)), result) in items.iter().zip(waiting).zip(results) {
        let answer = match result {
            Err(error) if error.is_data() => quarantine(inbox, item, &error.to_string()).await,
            other => other,
        };
        if matches!(answer, Ok(Answer::Accepted { .. } | Answer::Duplicate { job_id: Some(_), .. }))
        {
            jobs += 1;
        }
        if let Err(error) = &answer {
            tracing::warn!(%error, "a webhook was not stored and is answered 429");
        }
        let answer = match answer {
            Ok(Answer::QuarantineFull) => {
                refused(&item.client_id);
                Err(Refusal::QuarantineFull)
            }
            other => other.map_err(Refusal::Away),
        };
        if reply.send(answer).is_err() {
            tracing::debug!("the sender did not wait for the answer");
        }
        drop(permit);
    }
    jobs
}

/// Keeps a webhook that the database refused, as what it is: not storable.
async fn quarantine(inbox: &Inbox, item: &Inbound, error: &str) -> Result<Answer, StoreError> {
    tracing::error!(client.id = %item.client_id, request.id = %item.request_id, error, "a webhook is not storable");
    let event_type = match &item.content {
        Content::Event { event, .. } => Some(event.event_type.clone()),
        Content::Quarantine { event_type, .. } => event_type.clone(),
    };
    let body_hash = crate::store::body_hash(item.payload.as_bytes());
    let keep = |event_type: Option<String>| {
        let reason = "not_storable".to_owned();
        let content = Content::Quarantine { event_type, reason, body_hash: body_hash.clone() };
        inbox.put(Arc::from([Inbound { content, ..item.clone() }]))
    };
    let mut kept = keep(event_type).await;
    if kept.as_ref().is_err_and(StoreError::is_data) {
        // The name of the event may be what is not storable.
        kept = keep(None).await;
    }
    kept?.into_iter().next().ok_or_else(|| StoreError::Broken("no answer".to_owned()))
}
