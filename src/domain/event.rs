//! What a webhook means, whichever provider sent it.

use super::{Identity, LeadProfile, Sentiment, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

/// What a channel understands of an authenticated JSON body.
#[derive(Clone, Debug, PartialEq)]
pub enum Interpreted {
    /// A known event that needs nothing stored.
    Ignored {
        /// The provider's name of the event; `None` if it has none.
        event_type: Option<String>,
        /// The reason word of docs/RULES.md.
        reason: &'static str,
        /// True if an operator must act (an account notice): it is logged as a warning.
        warn: bool,
    },
    /// Something to store or to apply.
    Event(Box<Event>),
}

/// An authenticated JSON body that is not understood. It is quarantined, never refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotUnderstood {
    /// The provider's name of the event, if it could be read.
    pub event_type: Option<String>,
    /// `unknown_event`, `unknown_shape`, `not_an_object`, or `missing_field PATH` / `bad_field
    /// PATH`.
    pub reason: String,
}

/// The provider account that a body names (docs/RULES.md P8); `None` if it names none.
pub type Account = Option<String>;

/// An event to store or to apply.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The provider's name of the event.
    pub event_type: String,
    /// The identities of the lead, the most certain first (docs/RULES.md P13). Empty only if the
    /// event names a message ([`Signal::about`]) or a chat instead.
    pub identities: Vec<Identity>,
    /// A chat id that identifies the lead when there is no identity (docs/RULES.md LINKEDIN): the
    /// lead of the newest message of this client and channel with this `chat_id` in its reply
    /// handle.
    pub lead_of_chat: Option<String>,
    /// What the body tells about the lead. It only fills in what is not known yet.
    pub profile: LeadProfile,
    /// The campaign that the event belongs to.
    pub campaign: Option<CampaignRef>,
    /// The provider's time (docs/RULES.md P18), at most 24 h after receipt; the time of receipt if
    /// it tells none.
    pub at: Timestamp,
    /// What happened to the lead or its message.
    pub signal: Signal,
}

impl Event {
    /// True if an unknown lead is created for the event (docs/RULES.md P13): it has an identity,
    /// and its signal is important enough.
    pub const fn creates_lead(&self) -> bool {
        !self.identities.is_empty() && self.signal.creates_lead()
    }

    /// The reason word of an event that is ignored because its message, chat or lead is not known.
    pub const fn not_found(&self) -> &'static str {
        if self.signal.about().is_some() {
            "unknown_message"
        } else if self.lead_of_chat.is_some() {
            "group_chat"
        } else {
            "unknown_lead"
        }
    }
}

/// A campaign, by its provider's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CampaignRef {
    /// The provider's id, trimmed.
    pub provider_id: String,
    /// The campaign's name. Each event that has one updates the stored name.
    pub name: Option<String>,
}

/// What an event says has happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Signal {
    /// The lead wrote, or somebody wrote to the lead.
    Message(Box<NewMessage>),
    /// The provider reports that the lead opted out (docs/RULES.md P17).
    OptOut {
        /// The reason that is stored, for example `lead_unsubscribed`.
        reason: String,
    },
    /// Mail to the lead came back (docs/RULES.md P17).
    Bounce {
        /// The address that bounced.
        address: String,
        /// The provider's text, if any.
        reason: Option<String>,
        /// True if the address was found in the text of a report that names no lead. It may be
        /// wrong, so no lead is created for it.
        found_in_text: bool,
    },
    /// The lead's do-not-disturb flag for SMS was set or cleared (docs/RULES.md P17).
    DoNotDisturb {
        /// True if it was set.
        active: bool,
    },
    /// The provider's verdict on the lead's newest reply (docs/RULES.md P16).
    Hint {
        /// The provider's verdict.
        sentiment: Sentiment,
        /// The reason word of the webhook's answer.
        word: &'static str,
    },
    /// A person or the provider gave the lead a category (docs/RULES.md SMARTLEAD), which is stored
    /// with the lead.
    Category {
        /// The category's name as the provider spells it; `None` if it was removed.
        name: Option<String>,
        /// What it says about the lead's newest reply (docs/RULES.md P16).
        hint: Option<Sentiment>,
        /// True if the category is an opt-out (docs/RULES.md P17).
        opt_out: bool,
    },
    /// The lead accepted an invitation (docs/RULES.md LINKEDIN).
    Connected,
    /// A stored message was changed at the provider: its body is replaced, the raw text stays
    /// (docs/RULES.md LINKEDIN).
    Edited {
        /// Keys of the message. It matches if any of them does.
        keys: Vec<MessageKey>,
        /// The new text of the message.
        body: String,
        /// The words in the text by which the lead opts out. They count if the message is inbound.
        opt_out: Option<String>,
    },
    /// A stored message was deleted at the provider: it is marked and kept (docs/RULES.md
    /// LINKEDIN).
    Deleted {
        /// Keys of the message. It matches if any of them does.
        keys: Vec<MessageKey>,
    },
    /// A message that we sent did not arrive: its delivery failed (docs/RULES.md LINKEDIN).
    Failed {
        /// Keys of the message. It matches if any of them does.
        keys: Vec<MessageKey>,
    },
}

impl Signal {
    /// True if an unknown lead is created for the signal (docs/RULES.md P13).
    pub const fn creates_lead(&self) -> bool {
        match self {
            Self::Message(_) | Self::OptOut { .. } => true,
            Self::Bounce { found_in_text, .. } => !*found_in_text,
            Self::Category { opt_out, .. } => *opt_out,
            Self::DoNotDisturb { .. }
            | Self::Hint { .. }
            | Self::Connected
            | Self::Edited { .. }
            | Self::Deleted { .. }
            | Self::Failed { .. } => false,
        }
    }

    /// True if the signal lifts a restriction: replayed later, it would do harm.
    pub const fn lifts(&self) -> bool {
        matches!(self, Self::DoNotDisturb { active: false })
    }

    /// True for a message with a key that never expires: a replay is a duplicate at any time.
    pub fn is_known_for_good(&self) -> bool {
        matches!(self, Self::Message(message) if message.keys.iter().any(|key| !key.expires))
    }

    /// The keys of the stored message that the signal is about; `None` if it is not about one.
    pub const fn about(&self) -> Option<&Vec<MessageKey>> {
        match self {
            Self::Edited { keys, .. } | Self::Deleted { keys } | Self::Failed { keys } => {
                Some(keys)
            }
            Self::Message(_)
            | Self::OptOut { .. }
            | Self::Bounce { .. }
            | Self::DoNotDisturb { .. }
            | Self::Hint { .. }
            | Self::Category { .. }
            | Self::Connected => None,
        }
    }

    /// The message, if the signal is one.
    pub const fn message(&self) -> Option<&NewMessage> {
        match self {
            Self::Message(message) => Some(message),
            Self::OptOut { .. }
            | Self::Bounce { .. }
            | Self::DoNotDisturb { .. }
            | Self::Hint { .. }
            | Self::Category { .. }
            | Self::Connected
            | Self::Edited { .. }
            | Self::Deleted { .. }
            | Self::Failed { .. } => None,
        }
    }

    /// The `reason` of a `recorded` answer.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Message(_) => "outbound",
            Self::OptOut { .. } => "unsubscribe",
            Self::Bounce { .. } => "bounce",
            Self::DoNotDisturb { .. } => "do_not_disturb",
            Self::Hint { word, .. } => word,
            Self::Category { .. } => "category",
            Self::Connected => "connected",
            Self::Edited { .. } => "edited",
            Self::Deleted { .. } => "deleted",
            Self::Failed { .. } => "failed",
        }
    }
}

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The lead, or somebody on its behalf.
    Inbound,
    /// Our side: the provider's campaign, a person, or Postroom.
    Outbound,
}

impl Direction {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Inbound, Self::Outbound];

    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

/// The two kinds of dedupe keys (docs/RULES.md P9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyKind {
    /// The key of an inbound message, or of anything that its provider numbers together with those.
    Reply,
    /// The key of an outbound message.
    Sent,
}

impl KeyKind {
    /// As stored in `message_keys.kind`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reply => "reply",
            Self::Sent => "sent",
        }
    }
}

/// A key that makes a repeated event a duplicate. Unique per client, channel and kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageKey {
    /// The kind of the key.
    pub kind: KeyKind,
    /// The provider's id unchanged, or `content:` and a hash.
    pub key: String,
    /// True for a content key that contains no time of the message: it is valid for 10 minutes from
    /// the first receipt, by the database's clock (docs/RULES.md P10).
    pub expires: bool,
}

/// An address and the name that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Default, JsonSchema, Serialize, serde::Deserialize)]
pub struct Address {
    /// E-mail address, phone number or profile id.
    pub address: Option<String>,
    /// The name that belongs to the address.
    pub name: Option<String>,
}

/// A file that came with a message. Postroom stores this description and does not download the
/// file.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, serde::Deserialize)]
pub struct Attachment {
    /// The name of the file.
    pub name: Option<String>,
    /// Media type, as the provider tells it.
    pub r#type: Option<String>,
    /// The provider's URL of the file.
    pub url: Option<String>,
}

/// A message in a webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMessage {
    /// Whether the lead or we wrote it.
    pub direction: Direction,
    /// The keys of the message; if any of them is known, it is a duplicate. Never empty.
    pub keys: Vec<MessageKey>,
    /// Keys under which another path may have stored the message (an SMS may come on two paths). If
    /// any of them is known, it is a duplicate. They are not stored with this message.
    pub also_known_as: Vec<MessageKey>,
    /// Keys under which the other path will look for this message. They are stored, and taken over
    /// if they exist, but do not make this message a duplicate.
    pub stored_only: Vec<MessageKey>,
    /// The provider's id of the message, as the API shows it.
    pub provider_id: Option<String>,
    /// The ids that an answer through the provider needs, as a JSON object.
    pub reply_handle: Option<serde_json::Value>,
    /// The subject line, which only some messages have.
    pub subject: Option<String>,
    /// The cleaned new text; the raw text if cleaning leaves nothing.
    pub body: String,
    /// False if cleaning left nothing of the text: then nothing in it is judged (docs/RULES.md
    /// P14).
    pub has_new_text: bool,
    /// The text as received.
    pub raw_text: Option<String>,
    /// The HTML as received.
    pub raw_html: Option<String>,
    /// The sender, as far as the body names it.
    pub from: Address,
    /// The recipients, as far as the body names them.
    pub to: Vec<Address>,
    /// The recipients of a copy.
    pub cc: Vec<Address>,
    /// The files that came with it.
    pub attachments: Vec<Attachment>,
    /// True if the provider says that a machine wrote it (docs/RULES.md P15).
    pub automated: bool,
    /// The provider's verdict that came with it (docs/RULES.md P16).
    pub hint: Option<Sentiment>,
    /// The words in the new text or the subject by which the lead opts out (docs/RULES.md OPT-OUT).
    pub opt_out: Option<String>,
}

impl NewMessage {
    /// The provider's verdict, as far as it counts (docs/RULES.md P15).
    pub fn verdict(&self) -> Option<Sentiment> {
        super::verdict::counted(self.hint, self.automated)
    }

    /// The chat that the message is part of, if its channel has chats. An answer goes to the chat,
    /// and the lead of its messages is the lead of later ones ([`Event::lead_of_chat`]).
    pub fn chat(&self) -> Option<&str> {
        self.reply_handle.as_ref()?.get("chat_id")?.as_str()
    }
}
