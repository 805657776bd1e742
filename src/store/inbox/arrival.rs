//! A webhook of a group on its way through the three phases: what it is, what was found out about
//! it, and its answer.

use super::inbound::{Answer, Content, Inbound};
use crate::domain::{
    Event, Id, JobKind, Medium, Sentiment, Timestamp,
    event::{MessageKey, NewMessage},
};
use serde::Serialize;
use std::borrow::Cow;

/// One webhook of a group. *Read* fills in what is known of it, *decide* its answer or its hint,
/// and *write* the answers that depend on what is stored.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    pub(super) inbound: &'a Inbound,
    /// What the store knows of its channel and of its job.
    pub(super) terms: Terms,
    /// The id of its message, or of its item in quarantine, where it becomes one.
    pub(super) message_id: Id,
    /// True where its delivery's id came before with another body (docs/RULES.md P11). It is held
    /// for a person, and nothing else is found out about it.
    pub(super) has_other_body: bool,
    /// True where only its chat could tell whose it is, and does not: it is ignored, and its
    /// message leaves no key.
    pub(super) is_nobodys: bool,
    /// By what it is known again.
    pub(super) keys: Keys<'a>,
    /// The message that it repeats; `None` where it is the first.
    pub(super) first: Option<First>,
    /// Whose it is; `None` for a duplicate, and where the lead is not known and none is made.
    pub(super) lead: Option<LeadOf>,
    /// The leads that its identities belong to, in the order of matching, where there are several:
    /// they are one person (docs/RULES.md P13).
    pub(super) meets: Vec<Id>,
    /// The campaign that it belongs to.
    pub(super) campaign_id: Option<Id>,
    /// Of an event about a message: that message, where it is known.
    pub(super) about: Option<First>,
    /// Our own send that it tells back.
    pub(super) echo: Option<Echo>,
    /// What is left of its text without what repeats ours.
    pub(super) cut: Option<Cut>,
    /// A verdict that is applied once the group's messages are stored; it brings the answer.
    pub(super) hint: Option<Hint>,
    /// The answer to its sender.
    pub(super) answer: Option<Answer>,
}

/// The terms under which a webhook is taken: of its channel, and of the job that its message becomes.
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

    /// Its event, with the kind of its job; `None` where it is held for a person.
    pub(super) fn understood(&self) -> Option<Understood<'a>> {
        match &self.inbound.content {
            Content::Event { event, kind } if !self.has_other_body => {
                Some(Understood { event, kind: *kind })
            }
            Content::Event { .. } | Content::Quarantine { .. } => None,
        }
    }

    /// Its event; `None` where it is held for a person.
    pub(super) fn event(&self) -> Option<&'a Event> {
        self.understood().map(|it| it.event)
    }

    /// Its message, where its event is one.
    pub(super) fn message(&self) -> Option<&'a NewMessage> {
        self.event()?.signal.message()
    }

    /// Its message as it is stored: without what repeats ours.
    pub(super) fn cut_message(&self, message: &'a NewMessage) -> Cow<'a, NewMessage> {
        self.cut.as_ref().map_or(Cow::Borrowed(message), |cut| cut.applied(message))
    }

    /// The chat with this id of the provider's.
    pub(super) fn chat(&self, chat: &'a str) -> ChatKey<'a> {
        let Inbound { client_id, channel, .. } = self.inbound;
        ChatKey { client_id, channel: channel.0, chat }
    }

    /// The chat that its message is part of.
    pub(super) fn chat_of_message(&self) -> Option<ChatKey<'a>> {
        Some(self.chat(self.message()?.chat()?))
    }

    /// The chat that tells whose it is, where nothing else does.
    pub(super) fn only_chat(&self) -> Option<ChatKey<'a>> {
        let event = self.event().filter(|event| event.identities.is_empty())?;
        Some(self.chat(event.lead_of_chat.as_deref()?))
    }

    /// A key of the kind `kind`.
    fn key(&self, kind: &'a str, key: &'a str) -> Key<'a> {
        let Inbound { client_id, channel, .. } = self.inbound;
        Key { client_id, channel: channel.0, kind, key }
    }

    /// The key of a message of its client and channel.
    pub(super) fn message_key(&self, key: &'a MessageKey) -> Key<'a> {
        self.key(key.kind.as_str(), &key.key)
    }

    /// The key of its delivery, where it is an event and was signed with an id.
    pub(super) fn delivery_key(&self) -> Option<KeyClaim<'a>> {
        self.event()?;
        let delivery = self.inbound.delivery.as_ref()?;
        Some(KeyClaim {
            key: self.key(DELIVERY, &delivery.id),
            ttl: Some(delivery.kept_ms),
            body_hash: Some(&delivery.body_hash),
        })
    }

    /// All its keys. What is nobody's message leaves none but its delivery's.
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

/// How long a content key without a time of the message counts: 10 minutes, by the database's
/// clock.
const CONTENT_KEY_TTL_MS: i64 = 600_000;
/// The kind of keys by which a signed delivery is known again.
pub(super) const DELIVERY: &str = "delivery";
/// The kind of keys by which a message is known over its other path.
const PATH: &str = "path";

/// A key of `message_keys`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub(super) struct Key<'a> {
    pub(super) client_id: &'a str,
    pub(super) channel: &'a str,
    pub(super) kind: &'a str,
    pub(super) key: &'a str,
}

/// A key that is to be stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyClaim<'a> {
    pub(super) key: Key<'a>,
    /// For how many milliseconds it counts; `None` is for good.
    pub(super) ttl: Option<i64>,
    /// Of a delivery, the hash of its body.
    pub(super) body_hash: Option<&'a str>,
}

/// The keys of one webhook.
#[derive(Clone, Debug)]
pub(super) struct Keys<'a> {
    /// By which it is known again: its delivery's, then its message's. A match on any makes it a
    /// duplicate (docs/RULES.md P9, P11).
    pub(super) own: Vec<KeyClaim<'a>>,
    /// Stored for the other path of its message; no match on them when this one is stored.
    pub(super) for_other_path: Vec<KeyClaim<'a>>,
    /// Those that the other path has stored, if it came first: looked up, not stored.
    pub(super) of_other_path: Vec<Key<'a>>,
    /// The provider's id of its message.
    pub(super) provider_id: Option<&'a str>,
}

impl Keys<'_> {
    /// Of a webhook that leaves no key.
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
    /// It came earlier in the group, at this place.
    InGroup(usize),
}

/// The lead of an event.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeadOf {
    pub(super) lead_id: Id,
    /// True where this group makes it.
    pub(super) is_new: bool,
}

/// A chat of a client's channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub(super) struct ChatKey<'a> {
    pub(super) client_id: &'a str,
    pub(super) channel: &'a str,
    /// The provider's id of it.
    pub(super) chat: &'a str,
}

/// The delivery that an outbound message is the echo of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Echo {
    pub(super) delivery_id: Id,
    /// The message that the delivery has become, if that is stored already.
    pub(super) message_id: Option<Id>,
}

/// What is left of a message without what repeats ours.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    /// `None` where nothing is left: the body stays, and is not judged.
    pub(super) body: Option<String>,
    /// The words in it by which the lead opts out.
    pub(super) opt_out: Option<String>,
}

impl Cut {
    /// The message as it is stored.
    fn applied<'a>(&self, message: &NewMessage) -> Cow<'a, NewMessage> {
        let mut message = message.clone();
        message.opt_out.clone_from(&self.opt_out);
        match &self.body {
            Some(body) => message.body.clone_from(body),
            None => message.has_new_text = false,
        }
        Cow::Owned(message)
    }
}

/// A provider's verdict that is applied once the group's messages are stored (docs/RULES.md P16).
#[derive(Clone, Debug)]
pub(super) struct Hint {
    pub(super) lead_id: Id,
    /// The message it is about; `None` is the lead's newest that is not later than `not_after`.
    pub(super) message_id: Option<Id>,
    /// The time of the event.
    pub(super) not_after: Timestamp,
    pub(super) sentiment: Sentiment,
    /// The reason word of the answer where it fills something in.
    pub(super) word: &'static str,
    /// The answer where it does not.
    pub(super) otherwise: Answer,
}
