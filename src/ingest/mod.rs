//! Ingest: decides what a webhook becomes, stores it in groups, and answers after the commit.
//!
//! [`Intake`] interprets a webhook through its channel and hands it to the [`IngestActor`] of that
//! channel. There is one such actor a channel, owned by the supervisor. It holds what waits for the
//! next commit, and the senders that wait for an answer. The bound is the [`Gate`], not the mailbox
//! of the actor. If the actor dies, the waiting senders are answered 429 and post again, and the
//! board tells the supervisor at once.

mod actor;
mod gate;
mod intake;
mod meaning;
mod quarantine;
mod webhook;

pub use self::{
    actor::{IngestActor, IngestSetup},
    gate::{Gate, Permit},
    intake::{Directory, Intake, TakenWebhook},
    quarantine::{Replay, ReplayError, TriedReplay},
    webhook::{SignedBody, SignedTime, Webhook},
};
pub use crate::store::Answer;

use crate::{
    store::{Inbound, StoreError},
    telemetry::traces::TraceSpan,
};
use tokio::sync::oneshot;

/// Command: store this, and answer once it is committed.
#[derive(actix::Message, Debug)]
#[rtype(result = "()")]
pub struct Ingest {
    /// The webhook to store.
    pub inbound: Inbound,
    /// The room that it takes, given back with the answer.
    pub permit: Permit,
    /// The span of its request.
    pub span: TraceSpan,
    /// The channel for its answer.
    pub reply: oneshot::Sender<Result<Answer, Refusal>>,
}

/// Event: jobs were committed.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Stored {
    /// How many jobs were committed.
    pub jobs: usize,
}

/// Why a webhook was not taken. All but [`Refusal::Untimely`] (401) are answered 429, which
/// acknowledges nothing, so the sender may post again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no room for it.
    #[error("as many webhooks are waiting as may")]
    Full,
    /// Its client holds as much in quarantine as it may.
    #[error(
        "it is not understood, and this client's quarantine is full (`ingest.quarantine_items`, \
         `ingest.quarantine_bytes`): settle what is held there"
    )]
    QuarantineFull,
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Draining,
    /// The database is away.
    #[error("the database is away")]
    Away(StoreError),
    /// It took too long, or the actor died. If the commit still succeeds, the next post is a
    /// duplicate.
    #[error("the commit took too long")]
    Slow,
    /// The time of its signature is outside the window, and nothing else proves its sender. It is
    /// answered like any other request that is not authenticated.
    #[error("its signature is from outside of the window")]
    Untimely,
}
