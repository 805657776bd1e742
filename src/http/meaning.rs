//! What an authenticated webhook means, and what is stored of it: never a secret.

use super::signatures;
use crate::{
    channels::{self, AnyChannel, Received, json, masks::Masks},
    config::{self, Config},
    domain::{Interpreted, NotUnderstood, Timestamp},
    store::{Answer, Content, Delivery, Inbound, body_hash},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use std::{borrow::Cow, sync::Arc};

/// Why a body of more values than are read is kept and not understood.
const TOO_MANY_VALUES: &str = "too_many_values";

/// All that the client's providers show as proof, as a body may tell it back.
pub(super) fn secrets_of(client: &config::Client) -> Vec<Cow<'_, str>> {
    let channels = || client.channels.values();
    let shared = channels().flat_map(|it| &it.secrets).map(|it| Cow::Borrowed(it.expose()));
    let signing = channels().filter_map(|it| it.signature.as_ref()).flat_map(|it| &it.secrets);
    let signing = signing.flat_map(|it| it.keys()).flat_map(|key| {
        let as_text = std::str::from_utf8(key).ok().map(Cow::Borrowed);
        [as_text, Some(Cow::Owned(STANDARD.encode(key)))].into_iter().flatten()
    });
    shared.chain(signing).collect()
}

/// A body without secrets: what is stored is made of this.
pub(super) enum Shown {
    /// It holds none.
    AsItCame,
    Masked(Value),
    /// Of a body with too many values, which is kept and not read.
    Text(String),
}

impl Shown {
    pub(super) fn of(
        masks: &Masks<'_>,
        field: Option<&str>,
        json: Option<&Value>,
        body: &[u8],
    ) -> Self {
        match json {
            Some(json) => masks.body(body, json).map_or(Self::AsItCame, Self::Masked),
            None => {
                let text = String::from_utf8_lossy(json::without_byte_order_mark(body));
                Self::Text(json::masked_text(&text, field, masks))
            }
        }
    }
}

/// An authenticated webhook.
pub(super) struct Webhook<'a> {
    pub(super) channel: &'a dyn AnyChannel,
    pub(super) client: &'a config::Client,
    pub(super) request_id: &'a str,
    pub(super) received_at: Timestamp,
    pub(super) delivery: Option<Delivery>,
    /// A body that names no account is another's.
    pub(super) must_name_account: bool,
    /// The time that its signed body tells lies outside of the window.
    pub(super) is_late: bool,
    /// Whether somebody who has seen it can post it again at any time later.
    pub(super) may_be_replayed: bool,
    pub(super) shown: Shown,
}

/// What is to be done with a webhook.
pub(super) enum Step {
    /// Nothing is stored.
    Answered(Answer),
    /// It comes too late to be believed.
    Refused,
    /// This is to be stored.
    Store(Box<Inbound>),
}

impl Webhook<'_> {
    /// `json` is `None` where the body holds too many values.
    pub(super) fn interpret(&self, json: Option<&Value>, body: &[u8], cfg: &Config) -> Step {
        let json = match &self.shown {
            Shown::Masked(masked) => Some(masked),
            Shown::AsItCame | Shown::Text(_) => json,
        };
        let settings = self.client.channel(self.channel.name().0);
        if let Some(own) = settings.and_then(|it| it.account.as_deref()) {
            let named = json.and_then(|it| self.channel.account(it));
            let is_other = named.as_deref().map_or(self.must_name_account, |it| it != own);
            if is_other {
                tracing::warn!(
                    client.id = self.client.id,
                    request.id = self.request_id,
                    "a webhook of another account"
                );
                return Step::Answered(Answer::Ignored { reason: "other_account" });
            }
        }
        let Some(json) = json else { return self.hold(body, None, TOO_MANY_VALUES.into()) };
        let received = Received {
            body: json,
            received_at: self.received_at,
            country: self.client.country.as_deref(),
            text_field: settings.and_then(|it| it.text_field.as_deref()),
        };
        match channels::interpret(self.channel, &received) {
            Ok(Interpreted::Ignored { event_type, reason, warn }) => {
                if warn {
                    tracing::warn!(
                        client.id = self.client.id,
                        event_type,
                        reason,
                        "a provider's notice"
                    );
                }
                Step::Answered(Answer::Ignored { reason })
            }
            // A message that is known for good does no harm when it is replayed, and is not lost when it is late.
            Ok(Interpreted::Event(event)) if self.is_late && !event.signal.is_known_for_good() => {
                Step::Refused
            }
            // Nothing says that what it allows was not forbidden since: a person decides.
            Ok(Interpreted::Event(event)) if self.may_be_replayed && event.signal.lifts() => {
                let reason = format!("missing_field {}", signatures::GHL_TIME);
                self.hold(body, Some(event.event_type), reason)
            }
            Ok(Interpreted::Event(event)) => {
                let kind = self.channel.post_process();
                let max_attempts = cfg.pools.of(kind.0).max_attempts;
                self.store(body, Content::Event { event, kind, max_attempts })
            }
            Err(NotUnderstood { event_type, reason }) => {
                let is_listed =
                    |it: &String| settings.is_some_and(|cfg| cfg.ignore_events.contains(it));
                if reason == "unknown_event" && event_type.as_ref().is_some_and(is_listed) {
                    return Step::Answered(Answer::Ignored { reason: "ignored_event" });
                }
                self.hold(body, event_type, reason)
            }
        }
    }

    /// Keeps a body that is not understood.
    fn hold(&self, body: &[u8], event_type: Option<String>, reason: String) -> Step {
        tracing::warn!(
            client.id = self.client.id,
            request.id = self.request_id,
            reason,
            "quarantined"
        );
        let body_hash = body_hash(body);
        self.store(body, Content::Quarantine { event_type, reason, body_hash })
    }

    fn store(&self, body: &[u8], content: Content) -> Step {
        // It was parsed as JSON, so it is UTF-8. A byte order mark is no part of the text.
        let payload = match &self.shown {
            Shown::Masked(masked) => masked.to_string(),
            Shown::Text(text) => text.clone(),
            Shown::AsItCame => {
                String::from_utf8_lossy(json::without_byte_order_mark(body)).into_owned()
            }
        };
        Step::Store(Box::new(Inbound {
            client_id: Arc::from(self.client.id.as_str()),
            channel: self.channel.name(),
            request_id: self.request_id.to_owned(),
            received_at: self.received_at,
            payload,
            delivery: self.delivery.clone(),
            content,
        }))
    }
}
