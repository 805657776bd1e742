//! What an authenticated webhook means: whether it is ignored, kept for a person, or stored as an
//! event. Pure, except for what it logs.

use super::{
    quarantine::{self, TOO_MANY_VALUES},
    webhook::{MaskedWebhook, SignedTime},
};
use crate::{
    channels::{self, Received},
    config::{ClientChannel, Config},
    domain::{Event, Interpreted, NotUnderstood},
    store::Content,
};

/// What a webhook means.
#[derive(Debug)]
pub(super) enum Meaning {
    /// Nothing is stored of it, for this reason.
    Ignored(&'static str),
    /// It was signed too long ago, or in the future, to be believed.
    Untimely,
    /// It is stored: as an event, or in quarantine.
    Stored(Content),
}

impl MaskedWebhook<'_> {
    /// Judges it, with the settings that apply now.
    pub(super) fn meaning(&self, cfg: &Config) -> Meaning {
        let (channel, client) = (self.webhook.channel, self.webhook.client);
        let settings = client.channel(channel.name().0);

        // Of another account of the provider: not the client's.
        if self.is_of_another_account(settings) {
            tracing::warn!(
                client.id = client.id,
                request.id = self.webhook.request_id,
                "a webhook of another account"
            );
            return Meaning::Ignored("other_account");
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
                Meaning::Ignored(reason)
            }
            Ok(Interpreted::Event(event)) => self.event(event, cfg),
            Err(NotUnderstood { event_type, reason }) => {
                let is_listed = |event_type: &String| {
                    settings.is_some_and(|it| it.ignore_events.contains(event_type))
                };
                if reason == "unknown_event" && event_type.as_ref().is_some_and(is_listed) {
                    return Meaning::Ignored("ignored_event");
                }
                self.quarantined(event_type, reason)
            }
        }
    }

    /// An event that its channel understands. If only the provider's signature proves the sender,
    /// the time of that signature decides whether the event is believed.
    fn event(&self, event: Box<Event>, cfg: &Config) -> Meaning {
        match self.only_proof_time() {
            // A message that is known for good does no harm when it is replayed, and must not be
            // lost when it is late.
            Some(SignedTime::OutOfWindow) if !event.signal.is_known_for_good() => Meaning::Untimely,
            // It allows what may have been forbidden since: a person decides.
            Some(SignedTime::Untold { field }) if event.signal.lifts() => {
                self.quarantined(Some(event.event_type), format!("missing_field {field}"))
            }
            Some(_) | None => {
                let kind = self.webhook.channel.post_process();
                let max_attempts = cfg.pools.of(kind.0).max_attempts;
                Meaning::Stored(Content::Event { event, kind, max_attempts })
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
