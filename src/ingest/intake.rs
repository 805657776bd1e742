//! Takes an authenticated webhook and returns its answer.

use super::{Gate, Ingest, IngestActor, Permit, Refusal, meaning::Meaning, webhook::Webhook};
use crate::{
    config::Config,
    domain::ChannelName,
    store::{Answer, Content, Inbound},
    telemetry::traces::TraceSpan,
};
use actix::dev::SendError;
use dashmap::DashMap;
use std::{sync::Arc, time::Duration};
use tokio::sync::oneshot;

/// The addresses of today's ingest actors, by channel: a restart replaces one.
#[derive(Clone, Debug, Default)]
pub struct Directory(Arc<DashMap<ChannelName, actix::Addr<IngestActor>>>);

impl Directory {
    /// Notes the address of a channel's actor.
    pub fn set(&self, channel: ChannelName, address: actix::Addr<IngestActor>) {
        self.0.insert(channel, address);
    }

    /// True once the channel's first actor has started.
    pub fn has(&self, channel: ChannelName) -> bool {
        self.0.contains_key(&channel)
    }

    fn get(&self, channel: ChannelName) -> Option<actix::Addr<IngestActor>> {
        self.0.get(&channel).map(|it| it.value().clone())
    }
}

/// Takes webhooks in. A clone is the same intake.
#[derive(Clone, Debug, Default)]
pub struct Intake {
    /// The bound on what is inside at once, over all channels.
    pub gate: Gate,
    /// The actors that store.
    pub directory: Directory,
}

/// What became of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenWebhook {
    /// What its sender is told.
    pub answer: Answer,
    /// The provider's name of its event, if its channel found one.
    pub event_type: Option<String>,
}

impl Intake {
    /// Interprets an authenticated webhook through its channel, stores what it means, and waits for
    /// the commit: at most for `server.request_timeout`, and until the gate is closed.
    ///
    /// # Errors
    /// If it is not known to be stored: the sender is to post it again, except after
    /// [`Refusal::Untimely`].
    pub async fn take(&self, webhook: Webhook<'_>, cfg: &Config) -> Result<TakenWebhook, Refusal> {
        // Take room before any work is done on it: a refusal has to be cheap.
        let permit = self.enter(&webhook, cfg)?;
        // Interpret it.
        let masked = webhook.masked();
        let content = match masked.meaning() {
            Meaning::Ignored { reason, event_type } => {
                return Ok(TakenWebhook { answer: Answer::Ignored { reason }, event_type });
            }
            Meaning::Untimely => return Err(Refusal::Untimely),
            Meaning::Stored(content) => content,
        };
        let event_type = match &content {
            Content::Event { event, .. } => Some(event.event_type.clone()),
            Content::Quarantine { event_type, .. } => event_type.clone(),
        };
        // Store it.
        let span = masked.webhook.span.0.clone();
        let inbound = masked.into_inbound(content);
        let answer = self.submit(inbound, permit, span, cfg.server.request_timeout).await?;
        Ok(TakenWebhook { answer, event_type })
    }

    /// Takes room for this webhook, within the bounds of `cfg`.
    ///
    /// # Errors
    /// [`Refusal::Full`] if there is none for its client now.
    pub(super) fn enter(&self, webhook: &Webhook<'_>, cfg: &Config) -> Result<Permit, Refusal> {
        let permit = self.gate.enter(&webhook.client.id, webhook.body.len(), &cfg.ingest);
        permit.ok_or(Refusal::Full)
    }

    /// Gives it to its channel's actor and waits for the commit, at most for `limit` and until the
    /// gate is closed.
    ///
    /// # Errors
    /// If it is not known to be stored.
    pub(super) async fn submit(
        &self,
        inbound: Inbound,
        permit: Permit,
        span: TraceSpan,
        limit: Duration,
    ) -> Result<Answer, Refusal> {
        let address = self.directory.get(inbound.channel).ok_or(Refusal::Slow)?;
        let (reply, answer) = oneshot::channel();
        address.try_send(Ingest { inbound, permit, span, reply }).map_err(|error| match error {
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
