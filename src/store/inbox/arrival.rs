//! A webhook of a group on its way through the three phases. One record has its content, everything
//! that was found out about it, and its answer.

use super::inbound::{Answer, Content, Inbound};
use crate::domain::{
    Event, Id, JobKind, Medium, Sentiment, Timestamp,
    event::{MessageKey, NewMessage},
};
pub(super) use crate::store::tables::message_keys::Key;
use crate::store::tables::messages::StoredText;
use serde::Serialize;
use std::borrow::Cow;

/// One webhook of a group. *Read* fills in the facts about it, *decide* its answer or its hint, and
/// *write* the answers that depend on stored rows.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    pub(super) inbound: &'a Inbound,
    /// The facts that depend on its channel and on the kind of its job.
    pub(super) terms: Terms,
    /// The id of its message or of its item in quarantine, if it becomes one.
    pub(super) message_id: Id,
    /// True if its delivery's id came before with another body (docs/RULES.md P11). It is held
    /// for a person, and nothing else is found out about it.
    pub(super) has_other_body: bool,
    /// True if only its chat could identify its lead, and the chat is unknown. It is ignored, and
    /// its message leaves no key.
    pub(super) is_nobodys: bool,
    /// The keys by which a repetition of it is recognised.
    pub(super) keys: Keys<'a>,
    /// The message that it repeats; `None` if it is the first.
    pub(super) first: Option<First>,
    /// Its lead; `None` for a duplicate, and if the lead is unknown and none is made.
    pub(super) lead: Option<LeadOf>,
    /// The leads that its identities belong to, in the order of matching, if there are several:
    /// they are one person (docs/RULES.md P13). Otherwise empty.
    pub(super) meets: Vec<Id>,
    /// The campaign that it belongs to.
    pub(super) campaign_id: Option<Id>,
    /// For an event about a message: that message, if it is known.
    pub(super) about: Option<First>,
    /// Our own delivery, if it is an echo.
    pub(super) echo: Option<Echo>,
    /// Its text without the parts that repeat our messages, if there are such parts.
    pub(super) cut: Option<Cut>,
    /// A verdict that is applied after the group's messages are stored. The answer depends on it.
    pub(super) hint: Option<Hint>,
    /// The answer to its sender.
    pub(super) answer: Option<Answer>,
}

/// The facts about a webhook that depend on its channel and on the kind of its job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// How its channel carries messages.
    pub(super) medium: Medium,
    /// How many attempts the job gets.
    pub(super) max_attempts: u32,
}

/// The event of a webhook, with the kind of the job that it may become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Understood<'a> {
    pub(super) event: &'a Event,
    /// The kind of job that works an inbound message through.
    pub(super) kind: JobKind,
}

impl<'a> Arrival<'a> {
    /// A webhook about which nothing is known yet.
    pub(super) const fn new(inbound: &'a Inbound, message_id: Id, terms: Terms) -> Self {
        Self {
            inbound,
            terms,
            message_id,
            has_other_body: false,
            is_nobodys: false,
            keys: Keys::NONE,
            first: None,
            lead: None,
            meets: Vec::new(),
            campaign_id: None,
            about: None,
            echo: None,
            cut: None,
            hint: None,
            answer: None,
        }
    }

    /// Its event, with the kind of its job; `None` if it is held for a person.
    pub(super) fn understood(&self) -> Option<Understood<'a>> {
        match &self.inbound.content {
            Content::Event { event, kind } if !self.has_other_body => {
                Some(Understood { event, kind: *kind })
            }
            Content::Event { .. } | Content::Quarantine { .. } => None,
        }
    }

    /// Its event; `None` if it is held for a person.
    pub(super) fn event(&self) -> Option<&'a Event> {
        self.understood().map(|it| it.event)
    }

    /// Its message, if its event is one.
    pub(super) fn message(&self) -> Option<&'a NewMessage> {
        self.event()?.signal.message()
    }

    /// The text of its `message` as it is stored.
    pub(super) fn stored_text(&self, message: &'a NewMessage) -> StoredText<'a> {
        let body = Cow::Borrowed(message.body.as_str());
        match &self.cut {
            Some(Cut { body: Some(body), .. }) => {
                StoredText { body: Cow::Owned(body.clone()), has_new_text: message.has_new_text }
            }
            Some(Cut { body: None, .. }) => StoredText { body, has_new_text: false },
            None => StoredText { body, has_new_text: message.has_new_text },
        }
    }

    /// The words by which the lead opts out in its `message`, without the parts that repeat our
    /// messages.
    pub(super) fn opt_out_words<'s>(&'s self, message: &'s NewMessage) -> Option<&'s str> {
        let words = self.cut.as_ref().map_or(&message.opt_out, |cut| &cut.opt_out);
        words.as_deref()
    }

    /// The chat with this provider's id.
    pub(super) fn chat(&self, chat: &'a str) -> ChatKey<'a> {
        let Inbound { client_id, channel, .. } = self.inbound;
        ChatKey { client_id, channel: channel.0, chat }
    }

    /// The chat that its message is part of.
    pub(super) fn chat_of_message(&self) -> Option<ChatKey<'a>> {
        Some(self.chat(self.message()?.chat()?))
    }

    /// The chat that identifies its lead, if nothing else does.
    pub(super) fn only_chat(&self) -> Option<ChatKey<'a>> {
        let event = self.event().filter(|event| event.identities.is_empty())?;
        Some(self.chat(event.lead_of_chat.as_deref()?))
    }

    /// A key of this kind, of its client and channel.
    fn key(&self, kind: &'a str, key: &'a str) -> Key<'a> {
        let Inbound { client_id, channel, .. } = self.inbound;
        Key { client_id, channel: channel.0, kind, key }
    }

    /// The key of a message of its client and channel.
    pub(super) fn message_key(&self, key: &'a MessageKey) -> Key<'a> {
        self.key(key.kind.as_str(), &key.key)
    }

    /// The key of its signed delivery, if it is an event and its delivery has an id.
    pub(super) fn delivery_key(&self) -> Option<KeyClaim<'a>> {
        self.event()?;
        let delivery = self.inbound.delivery.as_ref()?;
        Some(KeyClaim {
            key: self.key(DELIVERY, &delivery.id),
            ttl: Some(delivery.kept_ms),
            body_hash: Some(&delivery.body_hash),
        })
    }

    /// All its keys. A message that is nobody's leaves only the key of its delivery.
    pub(super) fn all_keys(&self) -> Keys<'a> {
        let claim = |key: Key<'a>, told: &MessageKey| {
            let ttl = told.expires.then_some(CONTENT_KEY_TTL_MS);
            KeyClaim { key, ttl, body_hash: None }
        };
        let mut keys = Keys { own: self.delivery_key().into_iter().collect(), ..Keys::NONE };
        if let Some(message) = self.message().filter(|_| !self.is_nobodys) {
            let own = message.keys.iter().map(|key| claim(self.message_key(key), key));
            keys.own.extend(own);
            let path = |key: &'a MessageKey| self.key(PATH, &key.key);
            keys.for_other_path =
                message.stored_only.iter().map(|key| claim(path(key), key)).collect();
            keys.of_other_path = message.also_known_as.iter().map(path).collect();
        }
        keys.provider_id = self.message().and_then(|message| message.provider_id.as_deref());
        keys
    }
}

/// How long a content key counts if it does not contain the message's time: 10 minutes, by the
/// database's clock.
const CONTENT_KEY_TTL_MS: i64 = 600_000;
/// The kind of the keys of signed deliveries.
pub(super) const DELIVERY: &str = "delivery";
/// The kind of the keys by which a message is recognised when it comes over its other path.
const PATH: &str = "path";

/// A key that is to be stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyClaim<'a> {
    pub(super) key: Key<'a>,
    /// How long it counts, in milliseconds; `None` if it does not expire.
    pub(super) ttl: Option<i64>,
    /// For a delivery: the hash of its body.
    pub(super) body_hash: Option<&'a str>,
}

/// The keys of one webhook.
#[derive(Clone, Debug)]
pub(super) struct Keys<'a> {
    /// The key of its delivery, then those of its message. If one of them is known, the webhook is
    /// a duplicate (docs/RULES.md P9, P11).
    pub(super) own: Vec<KeyClaim<'a>>,
    /// Keys that are stored for the other path of its message. They do not make this webhook a
    /// duplicate.
    pub(super) for_other_path: Vec<KeyClaim<'a>>,
    /// Keys that the other path has stored if it came first. They are read, but not stored.
    pub(super) of_other_path: Vec<Key<'a>>,
    /// The provider's id of its message.
    pub(super) provider_id: Option<&'a str>,
}

impl Keys<'_> {
    /// The keys of a webhook that leaves none.
    pub(super) const NONE: Self = Self {
        own: Vec::new(),
        for_other_path: Vec::new(),
        of_other_path: Vec::new(),
        provider_id: None,
    };
}

/// The message that a webhook repeats, or is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum First {
    /// It was stored before.
    Stored(Id),
    /// It came earlier in the group, at this index.
    InGroup(usize),
}

/// The lead of an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeadOf {
    pub(super) lead_id: Id,
    /// True if this group makes it.
    pub(super) is_new: bool,
}

/// A chat of a client's channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub(super) struct ChatKey<'a> {
    pub(super) client_id: &'a str,
    pub(super) channel: &'a str,
    /// The provider's id of the chat.
    pub(super) chat: &'a str,
}

/// The delivery that an outbound message is the echo of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Echo {
    pub(super) delivery_id: Id,
    /// The message of the delivery, if that is stored already.
    pub(super) message_id: Option<Id>,
    /// True if the delivery has ended as sent or failed. Then the echo is no news of its end.
    pub(super) is_settled: bool,
}

/// A message's text without the parts that repeat our messages.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    /// The text that is left. `None` if nothing is left: then the whole body stays, and is not
    /// judged.
    pub(super) body: Option<String>,
    /// The words in the text that is left by which the lead opts out.
    pub(super) opt_out: Option<String>,
}

/// A provider's verdict that is applied after the group's messages are stored (docs/RULES.md P16).
#[derive(Clone, Debug)]
pub(super) struct Hint {
    pub(super) lead_id: Id,
    /// The message that it is about. `None` means the lead's newest one that is not later than
    /// `not_after`.
    pub(super) message_id: Option<Id>,
    /// The time of the event.
    pub(super) not_after: Timestamp,
    pub(super) sentiment: Sentiment,
    /// The reason word of the answer if the verdict fills something in.
    pub(super) word: &'static str,
    /// The answer if it does not.
    pub(super) otherwise: Answer,
}
