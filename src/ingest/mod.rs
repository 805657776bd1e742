//! Ingest: stores what webhooks mean, in groups, and answers after the commit.
//!
//! An actor a channel, owned by the supervisor. It holds what waits for the next commit and whom to
//! answer; the bound is the [`Gate`], not its mailbox. When it dies, those who wait are answered 429, and
//! post again; the board tells the supervisor at once.

mod actor;
mod full;
mod gate;

pub use self::{
    actor::{IngestActor, IngestSetup},
    gate::{Gate, Permit},
};

use crate::{
    domain::ChannelName,
    store::{Answer, Inbound, StoreError},
};
use actix::dev::SendError;
use dashmap::DashMap;
use std::{sync::Arc, time::Duration};
use tokio::sync::oneshot;

/// Command: store this, and answer once it is committed.
#[derive(actix::Message, Debug)]
#[rtype(result = "()")]
pub struct Ingest {
    /// The webhook.
    pub inbound: Inbound,
    /// Its size in bytes.
    pub size: usize,
    /// Its room; given back with the answer.
    pub permit: Permit,
    /// Whom to answer.
    pub reply: oneshot::Sender<Result<Answer, Refusal>>,
}

/// Event: jobs were committed.
#[derive(actix::Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Stored {
    /// How many.
    pub jobs: usize,
}

/// Why a webhook was not stored. All of them are answered 429: not acknowledged, and safe to post again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// As many are waiting as may.
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
    /// It took too long, or the actor died: a later commit makes the next try a duplicate.
    #[error("the commit took too long")]
    Slow,
}

/// Live addresses of the ingest actors, so that a request finds today's actor after a restart.
#[derive(Clone, Debug, Default)]
pub struct Directory(Arc<DashMap<ChannelName, actix::Addr<IngestActor>>>);

impl Directory {
    /// Notes the address of a channel's actor.
    pub fn set(&self, channel: ChannelName, address: actix::Addr<IngestActor>) {
        self.0.insert(channel, address);
    }

    fn get(&self, channel: ChannelName) -> Option<actix::Addr<IngestActor>> {
        self.0.get(&channel).map(|it| it.value().clone())
    }
}

/// The way in: what HTTP is given of ingest.
#[derive(Clone, Debug)]
pub struct Entrance {
    /// The bound.
    pub gate: Gate,
    /// The actors.
    pub directory: Directory,
}

impl Entrance {
    /// Room for a webhook of `client` of `size` bytes.
    ///
    /// # Errors
    /// When there is none for it now.
    pub fn enter(&self, client: &str, size: usize) -> Result<Permit, Refusal> {
        self.gate.enter(client, size).ok_or(Refusal::Full)
    }

    /// Stores a webhook of `size` bytes; waits for the commit, but at most for `limit`, and until the gate is closed.
    ///
    /// # Errors
    /// When it is not known to be stored: post again.
    pub async fn submit(
        &self,
        inbound: Inbound,
        size: usize,
        permit: Permit,
        limit: Duration,
    ) -> Result<Answer, Refusal> {
        let address = self.directory.get(inbound.channel).ok_or(Refusal::Slow)?;
        let (reply, answer) = oneshot::channel();
        address.try_send(Ingest { inbound, size, permit, reply }).map_err(|error| match error {
            SendError::Full(_) => Refusal::Full,
            // It has just died, and its replacement is on the way.
            SendError::Closed(_) => Refusal::Slow,
        })?;
        tokio::select! {
            biased;
            answer = answer => answer.unwrap_or(Err(Refusal::Slow)),
            () = self.gate.closed() => Err(Refusal::Draining),
            () = tokio::time::sleep(limit) => Err(Refusal::Slow),
        }
    }
}
