//! What a webhook means, whichever provider sent it.

use super::{Identity, LeadProfile, Sentiment, Timestamp};
use serde::Serialize;

/// What a channel makes of an authenticated body that is JSON.
#[derive(Clone, Debug, PartialEq)]
pub enum Interpreted {
    /// A known event that needs nothing stored.
    Ignored {
        /// The provider's name of the event; `None` where it has none.
        event_type: Option<String>,
        /// The reason word of docs/RULES.md.
        reason: &'static str,
        /// True where an operator must act (an account notice): logged as a warning.
        warn: bool,
    },
    /// Something to store or to apply.
    Event(Box<Event>),
}

/// An authenticated, valid body that is not understood: it is quarantined, never refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotUnderstood {
    /// The provider's name of the event, where one could be read.
    pub event_type: Option<String>,
    /// `unknown_event`, `unknown_shape`, `not_an_object`, or `missing_field PATH` / `bad_field PATH`.
    pub reason: String,
}

/// The provider account that a body names (docs/RULES.md P8); `None` where it names none.
pub type Account = Option<String>;

/// An event to store or to apply.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The provider's name of it.
    pub event_type: String,
    /// Who the lead is, most telling first (docs/RULES.md P13). Empty only where the event names its message
    /// ([`Signal::about`]) or its chat instead.
    pub identities: Vec<Identity>,
    /// The chat whose lead it is where no identity tells (docs/RULES.md LINKEDIN): the lead of the newest
    /// message of this client and channel with that `chat_id` in its reply handle.
    pub lead_of_chat: Option<String>,
    /// What the body tells about the lead; fills in only what is not known yet.
    pub profile: LeadProfile,
    /// The campaign it belongs to.
    pub campaign: Option<CampaignRef>,
    /// The provider's time (docs/RULES.md P18), not later than 24 h after receipt; receipt where there is none.
    pub at: Timestamp,
    /// What happened.
    pub signal: Signal,
}

impl Event {
    /// True where an unknown lead is created for it (docs/RULES.md P13): it says who that is, and is worth it.
    pub const fn creates_lead(&self) -> bool {
        !self.identities.is_empty() && self.signal.creates_lead()
    }

    /// The reason word where what it is about is not known, and the event ignored.
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

/// A campaign as its provider names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CampaignRef {
    /// The provider's id, a trimmed string.
    pub provider_id: String,
    /// Its name, refreshed by each event that carries one.
    pub name: Option<String>,
}

/// What an event says happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Signal {
    /// The lead wrote, or somebody wrote to the lead.
    Message(Box<NewMessage>),
    /// The lead opted out by an event of the provider (docs/RULES.md P17).
    OptOut {
        /// What is kept as the reason, for example `lead_unsubscribed`.
        reason: String,
    },
    /// Mail to the lead came back (docs/RULES.md P17).
    Bounce {
        /// The address that bounced.
        address: String,
        /// The provider's text, if any.
        reason: Option<String>,
        /// True where the address was found in the text of a report that names no lead: it may be wrong, so
        /// no lead is made for it.
        found_in_text: bool,
    },
    /// The lead's do-not-disturb flag for SMS (docs/RULES.md P17).
    DoNotDisturb {
        /// True: on.
        active: bool,
    },
    /// The provider's verdict on the lead's newest reply (docs/RULES.md P16).
    Hint {
        /// The verdict.
        sentiment: Sentiment,
        /// The answer's reason word.
        word: &'static str,
    },
    /// The category that a person or the provider gave the lead (docs/RULES.md SMARTLEAD); kept on the lead.
    Category {
        /// Its name as the provider spells it; `None` where it was taken away.
        name: Option<String>,
        /// What it says about the lead's newest reply (docs/RULES.md P16).
        hint: Option<Sentiment>,
        /// True where it is an opt-out (docs/RULES.md P17).
        opt_out: bool,
    },
    /// The lead accepted an invitation (docs/RULES.md LINKEDIN).
    Connected,
    /// A stored message was changed at the provider: its body is replaced, the raw text stays
    /// (docs/RULES.md LINKEDIN).
    Edited {
        /// By which the message is known: a match on any is it.
        keys: Vec<MessageKey>,
        /// The new text.
        body: String,
        /// The words in it by which the lead opts out, if the message is an inbound one.
        opt_out: Option<String>,
    },
    /// A stored message was deleted at the provider: it is marked and kept (docs/RULES.md LINKEDIN).
    Deleted {
        /// By which the message is known.
        keys: Vec<MessageKey>,
    },
    /// A message that we sent did not arrive: its delivery failed (docs/RULES.md LINKEDIN).
    Failed {
        /// By which the message is known.
        keys: Vec<MessageKey>,
    },
}

impl Signal {
    /// True where it is worth making a lead for (docs/RULES.md P13).
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

    /// True where it allows what was forbidden: replayed later it would do harm.
    pub const fn lifts(&self) -> bool {
        matches!(self, Self::DoNotDisturb { active: false })
    }

    /// True for a message with a key that never expires: a replay of it is a duplicate at any time.
    pub fn is_known_for_good(&self) -> bool {
        matches!(self, Self::Message(message) if message.keys.iter().any(|it| !it.expires))
    }

    /// The keys of the stored message that it is about, where it brings none itself.
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

/// Who wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The lead, or somebody on its behalf.
    Inbound,
    /// Us: the provider's campaign, a person, or Postroom.
    Outbound,
}

impl Direction {
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
    /// Of an inbound message, and of all that a provider numbers together with those.
    Reply,
    /// Of an outbound message.
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

/// A key by which a provider's event is known again, unique per client, channel and kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageKey {
    /// Of which kind of message.
    pub kind: KeyKind,
    /// The provider's id as it comes, or `content:` and a hash (only content keys are hashes).
    pub key: String,
    /// True for a content key that holds no time of the message itself: it counts for 10 minutes from
    /// the first receipt, by the database's clock (docs/RULES.md P10).
    pub expires: bool,
}

/// An address with the name beside it.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, serde::Deserialize)]
pub struct Address {
    /// E-mail address, phone number or profile id.
    pub address: Option<String>,
    /// The name beside it.
    pub name: Option<String>,
}

/// A file that came with a message. Only named here; Postroom does not download it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct Attachment {
    /// File name.
    pub name: Option<String>,
    /// Media type, as the provider tells it.
    pub r#type: Option<String>,
    /// Where the provider keeps it.
    pub url: Option<String>,
}

/// A message as a webhook tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMessage {
    /// Who wrote.
    pub direction: Direction,
    /// All keys by which it is known again; a match on any is a duplicate. Never empty.
    pub keys: Vec<MessageKey>,
    /// Keys of the other path (one SMS over two paths): a match is a duplicate, but they are not stored for
    /// this message.
    pub also_known_as: Vec<MessageKey>,
    /// Keys by which the other path knows this message: stored, taken over where they exist, and no match
    /// on them when this message is stored.
    pub stored_only: Vec<MessageKey>,
    /// The provider's id of the message, as the API shows it.
    pub provider_id: Option<String>,
    /// What an answer through the provider needs (a JSON object), kept beside the message.
    pub reply_handle: Option<serde_json::Value>,
    /// Subject line.
    pub subject: Option<String>,
    /// The cleaned new text; the raw text where cleaning leaves nothing.
    pub body: String,
    /// False where cleaning left nothing of a text that was there: nothing in it is judged (docs/RULES.md P14).
    pub has_new_text: bool,
    /// The text as it came.
    pub raw_text: Option<String>,
    /// The HTML as it came.
    pub raw_html: Option<String>,
    /// Who wrote it.
    pub from: Address,
    /// To whom.
    pub to: Vec<Address>,
    /// Who else got it.
    pub cc: Vec<Address>,
    /// Files.
    pub attachments: Vec<Attachment>,
    /// The provider says that a machine wrote it (docs/RULES.md P15).
    pub automated: bool,
    /// The provider's verdict that came with it (docs/RULES.md P16).
    pub hint: Option<Sentiment>,
    /// The words by which the lead opted out in it (docs/RULES.md OPT-OUT), found in the new text or the subject.
    pub opt_out: Option<String>,
}

impl NewMessage {
    /// The provider's verdict, as far as it counts: of what a machine wrote nothing counts that only a person
    /// can mean (docs/RULES.md P15).
    pub fn verdict(&self) -> Option<Sentiment> {
        self.hint.filter(|it| !self.automated || it.may_be_a_machines())
    }

    /// The chat that it is part of, where its channel has those: an answer is sent to it, and it tells whose
    /// later messages in that chat are ([`Event::lead_of_chat`]).
    pub fn chat(&self) -> Option<&str> {
        self.reply_handle.as_ref()?.get("chat_id")?.as_str()
    }
}
