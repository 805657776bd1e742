//! A webhook as HTTP hands it over, and the same without secrets.

use crate::{
    channels::{AnyChannel, json, masks::Masks},
    config,
    domain::{Timestamp, trace::Hop},
    store::{Content, Delivery, Inbound, body_hash},
    telemetry::traces::TraceSpan,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::Value;
use std::{borrow::Cow, sync::Arc, time::Duration};

/// The longest id of a delivery that is remembered, in bytes.
const DELIVERY_ID_MAX: usize = 512;
/// The field of a signed body that holds the id of its delivery.
const DELIVERY_ID_FIELD: &str = "webhookId";

/// An authenticated webhook, before it is interpreted.
pub struct Webhook<'a> {
    /// The channel that interprets it.
    pub channel: &'a dyn AnyChannel,
    /// The client whose webhook it is.
    pub client: &'a config::Client,
    /// The id of the request that brought it.
    pub request_id: &'a str,
    /// When it was received.
    pub received_at: Timestamp,
    /// The body as received, but unpacked.
    pub body: Bytes,
    /// The body as JSON. `None` if it holds more values than are read ([`json::VALUES_MAX`]).
    pub json: Option<Value>,
    /// Its signature, if it has a right one.
    pub signed: Option<SignedBody>,
    /// The span of the request, and what stands between it and the job that it makes.
    pub span: (TraceSpan, Hop),
}

/// A right signature of a body.
#[derive(Clone, Debug)]
pub struct SignedBody {
    /// The id of the delivery, if the signature covers one outside of the body.
    pub delivery_id: Option<String>,
    /// How long before and after now a signature is valid.
    pub window: Duration,
    /// When it was signed.
    pub time: SignedTime,
    /// True if nothing else proves the sender, and the provider signs with one key for all of its
    /// customers. The body must then name the account, and its time decides whether it is believed.
    pub is_only_proof: bool,
}

/// When a body was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedTime {
    /// The body was signed within the window.
    InWindow,
    /// The body was signed before or after the window.
    OutOfWindow,
    /// The body lacks the field of its time, so a copy of it never becomes too old.
    Untold {
        /// The field that is missing.
        field: &'static str,
    },
}

impl SignedBody {
    /// How the delivery is remembered: by the id outside of the body; otherwise by the body's own
    /// id; otherwise, if the body carries a time, by its hash. It is kept for twice the window,
    /// because a signature is valid on either side of now.
    fn delivery(&self, json: Option<&Value>, body: &[u8]) -> Option<Delivery> {
        let in_body = || json?.get(DELIVERY_ID_FIELD).and_then(Value::as_str).map(str::to_owned);
        let named = self.delivery_id.clone().or_else(in_body);
        let body_hash = body_hash(body);
        let is_timed = !matches!(self.time, SignedTime::Untold { .. });
        let by_body = || is_timed.then(|| format!("body:{body_hash}"));
        let id = named.filter(|id| id.len() <= DELIVERY_ID_MAX).or_else(by_body)?;
        let window_ms = i64::try_from(self.window.as_millis()).unwrap_or(i64::MAX / 4);
        Some(Delivery { id, body_hash, kept_ms: window_ms.saturating_mul(2) })
    }
}

/// A webhook whose secrets are masked: all that is stored or logged of it is made from this.
pub(super) struct MaskedWebhook<'a> {
    pub(super) webhook: Webhook<'a>,
    delivery: Option<Delivery>,
    body: MaskedBody,
}

/// A body without secrets.
enum MaskedBody {
    /// The body held no secrets.
    AsReceived,
    /// The body with its secrets masked.
    Json(Value),
    /// The text of a body that holds too many values to be read, with its secrets masked.
    Text(String),
}

impl<'a> Webhook<'a> {
    /// Masks the secrets of its client, wherever the body or the id of the delivery repeats them.
    pub(super) fn masked(self) -> MaskedWebhook<'a> {
        let field = self.channel.secret_field();
        let secrets = secrets_of(self.client);
        let masks = Masks::new(field, secrets.iter().map(|it| it.as_ref()));
        let body = match &self.json {
            Some(json) => {
                masks.body(&self.body, json).map_or(MaskedBody::AsReceived, MaskedBody::Json)
            }
            None => MaskedBody::Text(json::masked_text(&text_of(&self.body), field, &masks)),
        };
        let signed = self.signed.as_ref();
        let delivery = signed.and_then(|it| it.delivery(self.json.as_ref(), &self.body));
        let delivery = delivery.map(|delivery| Delivery {
            id: masks.text(&delivery.id).unwrap_or(delivery.id),
            ..delivery
        });
        MaskedWebhook { webhook: self, delivery, body }
    }
}

impl MaskedWebhook<'_> {
    /// The body as JSON; `None` if it holds too many values.
    pub(super) fn json(&self) -> Option<&Value> {
        match &self.body {
            MaskedBody::AsReceived => self.webhook.json.as_ref(),
            MaskedBody::Json(masked) => Some(masked),
            MaskedBody::Text(_) => None,
        }
    }

    /// Gives it to the store as `content`. The body as received is dropped.
    pub(super) fn into_inbound(self, content: Content) -> Inbound {
        let Webhook { channel, client, request_id, received_at, body, span: (span, hop), .. } =
            self.webhook;
        let payload = match self.body {
            MaskedBody::AsReceived => text_of(&body).into_owned(),
            MaskedBody::Json(masked) => masked.to_string(),
            MaskedBody::Text(text) => text,
        };
        Inbound {
            client_id: Arc::from(client.id.as_str()),
            channel: channel.name(),
            request_id: request_id.to_owned(),
            received_at,
            payload,
            delivery: self.delivery,
            content,
            trace: span.job_trace(hop),
        }
    }
}

/// The text of a body that was read as JSON, so it is UTF-8. A byte order mark is no part of it.
fn text_of(body: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(json::without_byte_order_mark(body))
}

/// All secrets by which the client's providers prove who they are, as a body may repeat them: the
/// shared ones, and each key of a signature, as text and in base64.
fn secrets_of(client: &config::Client) -> Vec<Cow<'_, str>> {
    let channels = || client.channels.values();
    let shared = channels().flat_map(|it| &it.secrets).map(|secret| Cow::Borrowed(secret.expose()));
    let signing = channels().filter_map(|it| it.signature.as_ref()).flat_map(|it| &it.secrets);
    let signing = signing.flat_map(|it| it.keys()).flat_map(|key| {
        let as_text = std::str::from_utf8(key).ok().map(Cow::Borrowed);
        [as_text, Some(Cow::Owned(STANDARD.encode(key)))].into_iter().flatten()
    });
    shared.chain(signing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_delivery_is_known_by_its_signed_id_else_by_the_bodys_else_by_the_bytes_if_they_are_timed()
    {
        let (in_window, untold) = (SignedTime::InWindow, SignedTime::Untold { field: "timestamp" });
        let long = "x".repeat(DELIVERY_ID_MAX + 1);
        let hash = body_hash(b"body");
        let by_hash = format!("body:{hash}");
        for (header, json, time, expected) in [
            (Some("h"), Some(json!({"webhookId": "b"})), in_window, Some("h")),
            (None, Some(json!({"webhookId": "b"})), untold, Some("b")),
            (None, Some(json!({"webhookId": 7})), in_window, Some(by_hash.as_str())),
            (None, Some(json!({"webhookId": 7})), untold, None),
            (None, None, untold, None),
            (Some("h"), None, untold, Some("h")),
            (Some(long.as_str()), Some(json!({})), SignedTime::OutOfWindow, Some(&by_hash)),
            (None, Some(json!({"webhookId": long})), untold, None),
        ] {
            let signed = SignedBody {
                delivery_id: header.map(str::to_owned),
                window: Duration::from_secs(300),
                time,
                is_only_proof: false,
            };
            let delivery = signed.delivery(json.as_ref(), b"body");
            assert_eq!(delivery.as_ref().map(|it| it.id.as_str()), expected, "{header:?} {json:?}");
            let remembered = delivery.map(|delivery| (delivery.body_hash, delivery.kept_ms));
            assert_eq!(remembered, expected.map(|_| (hash.clone(), 600_000)));
        }
    }
}
