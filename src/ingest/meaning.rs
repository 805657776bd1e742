//! What an authenticated webhook means: whether it is ignored, kept for a person, or stored as an
//! event. Pure, except for what it logs.

use super::{
    quarantine::{self, TOO_MANY_VALUES},
    webhook::{MaskedWebhook, SignedTime},
};
use crate::{
    channels::{self, Received},
    config::ClientChannel,
    domain::{Event, Interpreted, NotUnderstood},
    store::Content,
};

/// What a webhook means.
#[derive(Debug)]
pub(super) enum Meaning {
    /// Nothing is stored of it.
    Ignored {
        /// Why.
        reason: &'static str,
        /// The provider's name of the event.
        event_type: Option<String>,
    },
    /// The time of its signature is outside the window: answered 401.
    Untimely,
    /// It is stored: as an event, or in quarantine.
    Stored(Content),
}

impl MaskedWebhook<'_> {
    /// What the webhook means.
    pub(super) fn meaning(&self) -> Meaning {
        let (channel, client) = (self.webhook.channel, self.webhook.client);
        let settings = client.channel(channel.name().0);

        // Of another account of the provider: not the client's.
        if self.is_of_another_account(settings) {
            tracing::warn!(
                client.id = client.id,
                request.id = self.webhook.request_id,
                "a webhook of another account"
            );
            return Meaning::Ignored { reason: "other_account", event_type: None };
        }

        // Too large to be read.
        let Some(json) = self.json() else {
            return self.quarantined(None, TOO_MANY_VALUES.to_owned());
        };

        // What its channel makes of it.
        let received = Received {
            body: json,
            received_at: self.webhook.received_at,
            country: client.country.as_deref(),
            text_field: settings.and_then(|it| it.text_field.as_deref()),
        };
        match channels::interpret(channel, &received) {
            Ok(Interpreted::Ignored { event_type, reason, warn }) => {
                if warn {
                    tracing::warn!(
                        client.id = client.id,
                        event_type,
                        reason,
                        "a provider's notice"
                    );
                }
                Meaning::Ignored { reason, event_type }
            }
            Ok(Interpreted::Event(event)) => self.event(event),
            Err(NotUnderstood { event_type, reason }) => {
                let is_listed = |event_type: &String| {
                    settings.is_some_and(|it| it.ignore_events.contains(event_type))
                };
                if reason == "unknown_event" && event_type.as_ref().is_some_and(is_listed) {
                    return Meaning::Ignored { reason: "ignored_event", event_type };
                }
                self.quarantined(event_type, reason)
            }
        }
    }

    /// An event that its channel understands. If only the provider's signature proves the sender,
    /// the time of that signature decides whether the event is believed.
    fn event(&self, event: Box<Event>) -> Meaning {
        match self.only_proof_time() {
            // A late message is kept, because a replay of it is only a duplicate.
            Some(SignedTime::OutOfWindow) if !event.signal.is_known_for_good() => Meaning::Untimely,
            // It would lift a restriction that may have been set since, so a person decides.
            Some(SignedTime::Untold { field }) if event.signal.lifts() => {
                self.quarantined(Some(event.event_type), format!("missing_field {field}"))
            }
            Some(_) | None => {
                let kind = self.webhook.channel.post_process();
                Meaning::Stored(Content::Event { event, kind })
            }
        }
    }

    /// True if the client's account is configured and the body names another one, or names none
    /// although it must (docs/RULES.md P8).
    fn is_of_another_account(&self, settings: Option<&ClientChannel>) -> bool {
        let Some(own) = settings.and_then(|it| it.account.as_deref()) else { return false };
        let named = self.json().and_then(|json| self.webhook.channel.account(json));
        let must_name_one = self.only_proof_time().is_some();
        named.as_deref().map_or(must_name_one, |named| named != own)
    }

    /// When it was signed, if nothing but the provider's signature proves its sender.
    fn only_proof_time(&self) -> Option<SignedTime> {
        self.webhook.signed.as_ref().filter(|it| it.is_only_proof).map(|it| it.time)
    }

    /// Keeps it for a person.
    fn quarantined(&self, event_type: Option<String>, reason: String) -> Meaning {
        tracing::warn!(
            client.id = self.webhook.client.id,
            request.id = self.webhook.request_id,
            reason,
            "quarantined"
        );
        Meaning::Stored(quarantine::content(event_type, reason, &self.webhook.body))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::webhook::{SignedBody, Webhook},
        *,
    };
    use crate::{
        channels::sms::Sms,
        config::{Config, Sources},
        domain::{Timestamp, trace::Hop},
        telemetry::traces::TraceSpan,
    };
    use serde_json::{Value, json};
    use std::time::Duration;

    const OURS: &str = "lQ7m2XvB4tYh9RkZpWs1";

    fn config() -> Config {
        let clients = format!(
            r#"[{{id = "acme", channels = {{sms = {{secret = "a-secret-of-acme-0123", account = "{OURS}", ignore_events = ["Brand"]}}}}}}]"#
        );
        let env = vec![("POSTROOM__CLIENTS".to_owned(), clients)];
        Config::load(&Sources { env, ..Sources::default() }).unwrap()
    }

    /// What a body means, in a word; `None` is one with too many values.
    fn meaning(cfg: &Config, signed: Option<SignedBody>, json: Option<Value>) -> String {
        let webhook = Webhook {
            channel: &Sms,
            client: cfg.client("acme").unwrap(),
            request_id: "r1",
            received_at: Timestamp::from_millis(1_785_855_600_000),
            body: json.as_ref().map(Value::to_string).unwrap_or_default().into(),
            json,
            signed,
            span: (TraceSpan::default(), Hop::None),
        };
        match webhook.masked().meaning() {
            Meaning::Ignored { reason, event_type: _ } => format!("ignored {reason}"),
            Meaning::Untimely => "untimely".to_owned(),
            Meaning::Stored(Content::Event { .. }) => "event".to_owned(),
            Meaning::Stored(Content::Quarantine { reason, .. }) => format!("quarantined {reason}"),
        }
    }

    fn with(text: &str, name: &str, value: Value) -> Value {
        let mut body: Value = serde_json::from_str(text).unwrap();
        body.as_object_mut().unwrap().insert(name.to_owned(), value);
        body
    }

    #[test]
    fn who_signed_and_when_decides_what_an_event_is_worth() {
        let cfg = config();
        let said = include_str!("../../tests/payloads/ghl/inbound_message-1.json");
        let dnd = include_str!("../../tests/payloads/ghl/contact_dnd_update-1.json");
        let message = |account: Value| with(said, "locationId", account);
        let dnd = |is_active: bool| {
            let status = if is_active { "active" } else { "inactive" };
            with(dnd, "dndSettings", json!({"SMS": {"status": status}}))
        };
        let signed = |time, is_only_proof| {
            let window = Duration::from_secs(300);
            Some(SignedBody { delivery_id: None, window, time, is_only_proof })
        };
        let untold = SignedTime::Untold { field: "timestamp" };
        let (in_window, late) = (SignedTime::InWindow, SignedTime::OutOfWindow);
        for (signature, body, expected) in [
            (None, message(json!(OURS)), "event"),
            (None, message(json!("theirs")), "ignored other_account"),
            // A body without an account is read, unless the provider's signature is the only proof.
            (None, message(Value::Null), "quarantined missing_field locationId"),
            (
                signed(in_window, false),
                message(Value::Null),
                "quarantined missing_field locationId",
            ),
            (signed(in_window, true), message(Value::Null), "ignored other_account"),
            (signed(in_window, true), message(json!(OURS)), "event"),
            // A message is kept, though it is late.
            (signed(late, true), message(json!(OURS)), "event"),
            (signed(untold, true), message(json!(OURS)), "event"),
            (signed(late, true), dnd(true), "untimely"),
            (signed(late, false), dnd(true), "event"),
            (signed(untold, true), dnd(true), "event"),
            // Only an event that lifts a restriction is kept for a person.
            (signed(untold, true), dnd(false), "quarantined missing_field timestamp"),
            (signed(untold, false), dnd(false), "event"),
            (signed(in_window, true), dnd(false), "event"),
        ] {
            let shown = format!("{signature:?} {body}");
            assert_eq!(meaning(&cfg, signature, Some(body)), expected, "{shown}");
        }
    }

    #[test]
    fn what_is_not_understood_is_kept_unless_its_event_is_listed() {
        let cfg = config();
        for (body, expected) in [
            (None, "quarantined too_many_values"),
            (Some(json!([1])), "quarantined not_an_object"),
            (Some(json!({"type": "Other", "body": "text"})), "quarantined unknown_event"),
            (Some(json!({"type": "Brand", "body": "text"})), "ignored ignored_event"),
        ] {
            assert_eq!(meaning(&cfg, None, body.clone()), expected, "{body:?}");
        }
    }
}
