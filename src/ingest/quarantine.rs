//! Quarantine: which webhooks are kept for a person, under which reason, and how they come back.
//!
//! The item itself, and the bound on what a client may hold, are the store's. The store also holds
//! a delivery that has the id of an earlier one and another body, because only its transaction can
//! tell ([`crate::store::SAME_ID_OTHER_BODY`]).

use super::{Intake, Refusal, meaning::Meaning, webhook::Webhook};
use crate::{
    channels::{AnyChannel, json},
    config::{Client, Config},
    domain::{Event, Timestamp, trace::Hop},
    store::{Answer, Content, Desk, Inbound, Inbox, QuarantineRow, StoreError, body_hash},
    telemetry::{sparse::Sparse, traces::TraceSpan},
};
use dashmap::DashMap;
use std::sync::Arc;
use tokio::time::Instant;

/// The reason of a body that holds more values than are read.
pub(super) const TOO_MANY_VALUES: &str = "too_many_values";
/// The reason of a webhook that the database refuses.
const NOT_STORABLE: &str = "not_storable";

/// What is stored of a webhook that is kept for a person: the same `body` of one client and channel
/// is one item, counted.
pub(super) fn content(event_type: Option<String>, reason: String, body: &[u8]) -> Content {
    Content::Quarantine { event_type, reason, body_hash: body_hash(body) }
}

/// Keeps a webhook that the database refused with `error`.
///
/// # Errors
/// If the database is away, or refuses the item, too.
pub(super) async fn keep_unstorable(
    inbox: &Inbox,
    item: &Inbound,
    error: &StoreError,
) -> Result<Answer, StoreError> {
    tracing::error!(
        client.id = %item.client_id,
        request.id = %item.request_id,
        trace_id = item.trace.map(|it| it.made_in.trace_id()),
        error = error.to_string(),
        "a webhook is not storable"
    );
    let event_type = match &item.content {
        Content::Event { event, .. } => Some(event.event_type.clone()),
        Content::Quarantine { event_type, .. } => event_type.clone(),
    };
    let keep = |event_type: Option<String>| {
        let content = content(event_type, NOT_STORABLE.to_owned(), item.payload.as_bytes());
        inbox.put(Arc::from([Inbound { content, ..item.clone() }]))
    };
    let mut kept = keep(event_type).await;
    if kept.as_ref().is_err_and(StoreError::is_data) {
        // The name of the event may be what is not storable.
        kept = keep(None).await;
    }
    kept?.into_iter().next().ok_or_else(|| StoreError::Broken("no answer".to_owned()))
}

/// A person's wish to interpret the kept bytes of a quarantined webhook again.
pub struct Replay<'a> {
    /// What was kept; its status is `held`.
    pub item: QuarantineRow,
    /// The channel that it came over.
    pub channel: &'a dyn AnyChannel,
    /// The client to which the webhook was posted.
    pub client: &'a Client,
    /// The id of the request that asks for it.
    pub request_id: &'a str,
    /// The span in which it is taken again.
    pub span: TraceSpan,
}

/// What an item would come to if it was replayed now.
#[derive(Clone, Debug, PartialEq)]
pub enum TriedReplay {
    /// It would be ignored.
    Ignored {
        /// Why.
        reason: String,
        /// The provider's name of the event.
        event_type: Option<String>,
    },
    /// It would not be understood.
    Quarantined {
        /// Why.
        reason: String,
        /// The provider's name of the event.
        event_type: Option<String>,
    },
    /// It would be stored as this event, unless it is a duplicate.
    Understood(Box<Event>),
}

impl TriedReplay {
    /// In a word.
    pub const fn outcome(&self) -> &'static str {
        match self {
            Self::Ignored { .. } => "ignored",
            Self::Quarantined { .. } => "quarantined",
            Self::Understood(_) => "understood",
        }
    }

    /// The provider's name of the event.
    pub fn event_type(&self) -> Option<&str> {
        match self {
            Self::Ignored { event_type, .. } | Self::Quarantined { event_type, .. } => {
                event_type.as_deref()
            }
            Self::Understood(event) => Some(&event.event_type),
        }
    }

    /// What the event says has happened, in a word; empty without one.
    pub fn signal(&self) -> &'static str {
        match self {
            Self::Ignored { .. } | Self::Quarantined { .. } => "",
            Self::Understood(event) if event.signal.message().is_some() => "message",
            Self::Understood(event) => event.signal.reason(),
        }
    }
}

impl<'a> Replay<'a> {
    /// The webhook as it came. A person vouches for it now: no signature is judged again.
    fn webhook(self) -> Result<Webhook<'a>, json::Unreadable> {
        let Self { item, channel, client, request_id, span } = self;
        let received_at = Timestamp::from_millis(item.received_at.0);
        let body = item.payload.into_bytes();
        let json = match json::parse(&body) {
            Ok(json) => Some(json),
            Err(json::Unreadable::TooManyValues) => None,
            Err(error @ json::Unreadable::NotJson(_)) => return Err(error),
        };
        let (body, signed, span) = (body.into(), None, (span, Hop::Replayed));
        Ok(Webhook { channel, client, request_id, received_at, body, json, signed, span })
    }

    /// What it would come to now. Nothing is stored.
    ///
    /// # Errors
    /// If the kept bytes cannot be read as JSON.
    pub fn tried(self) -> Result<TriedReplay, json::Unreadable> {
        Ok(match self.webhook()?.masked().meaning() {
            Meaning::Ignored { reason, event_type } => {
                TriedReplay::Ignored { reason: reason.to_owned(), event_type }
            }
            Meaning::Untimely => {
                TriedReplay::Ignored { reason: "untimely".to_owned(), event_type: None }
            }
            Meaning::Stored(Content::Quarantine { reason, event_type, .. }) => {
                TriedReplay::Quarantined { reason, event_type }
            }
            Meaning::Stored(Content::Event { event, .. }) => TriedReplay::Understood(event),
        })
    }
}

/// Why a replay failed. The item is still `held`.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReplayError {
    /// The kept bytes cannot be read as JSON, although they could when they were kept.
    #[error("{0}")]
    Unreadable(json::Unreadable),
    /// It was not stored.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// Stored, but the item is still marked `held`: replaying it again gives `duplicate`.
    #[error("{0}")]
    NotSettled(StoreError),
}

impl Intake {
    /// Interprets a quarantined webhook again, as if it had just come at the time of its receipt.
    /// If it is understood now, the item is settled as replayed.
    ///
    /// # Errors
    /// See [`ReplayError`].
    pub async fn replay(
        &self,
        replay: Replay<'_>,
        desk: &Desk,
        cfg: &Config,
    ) -> Result<Answer, ReplayError> {
        let quarantine_id = replay.item.id;

        // Read it.
        let webhook = replay.webhook().map_err(ReplayError::Unreadable)?;

        // Interpret it, and store what is understood. Only an event needs room.
        let masked = webhook.masked();
        let answer = match masked.meaning() {
            Meaning::Ignored { reason, event_type: _ } => Answer::Ignored { reason },
            Meaning::Untimely => return Err(Refusal::Untimely.into()),
            Meaning::Stored(Content::Quarantine { reason, .. }) => {
                return Ok(Answer::Quarantined { quarantine_id, reason });
            }
            Meaning::Stored(content @ Content::Event { .. }) => {
                let permit = self.enter(&masked.webhook, cfg)?;
                let limit = cfg.server.request_timeout;
                let span = masked.webhook.span.0.clone();
                self.submit(masked.into_inbound(content), permit, span, limit).await?
            }
        };
        if matches!(answer, Answer::Quarantined { .. }) {
            return Ok(answer);
        }

        // Settle the item. A crash before this leaves it `held`; the next replay is a duplicate.
        let settled = desk.settle_quarantine(quarantine_id, "replayed").await;
        let is_first = settled.map_err(ReplayError::NotSettled)?;
        tracing::info!(quarantine.id = quarantine_id, is_first, "replayed by hand");
        Ok(answer)
    }
}

/// When the log last said that the quarantine of a client is full, by client. Only configured
/// clients get here, so it is bounded.
#[derive(Clone, Debug, Default)]
pub(super) struct FullQuarantines(Arc<DashMap<Arc<str>, Sparse>>);

impl FullQuarantines {
    /// True once a minute for each client: then it is logged that the quarantine of `client` is
    /// full.
    pub(super) fn is_due(&self, client: &Arc<str>, now: Instant) -> bool {
        self.0.entry(client.clone()).or_default().count(now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn it_is_said_once_a_minute_for_each_client() {
        let (full, start) = (FullQuarantines::default(), Instant::now());
        let said = |client: &str, seconds| {
            full.is_due(&Arc::from(client), start + Duration::from_secs(seconds))
        };
        assert!(said("a", 0));
        assert!(!said("a", 1) && !said("a", 59));
        assert!(said("b", 59));
        assert!(said("a", 60) && !said("a", 61));
    }
}
