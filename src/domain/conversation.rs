//! What a handler reads before it decides: one message, its lead, and the messages before it.

use super::{Id, LeadStatus, Medium, Sentiment, Timestamp, event::Direction};

/// A message with its lead and the newest messages of their thread.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversation {
    /// The message that the job is about.
    pub message: InboundMessage,
    /// The lead of the message.
    pub lead: LeadView,
    /// The newest messages of the lead on all channels, at most [`TRANSCRIPT_MAX`], oldest first.
    /// `message` is among them.
    pub transcript: Vec<Line>,
}

/// The most messages in a transcript. Older ones are left out.
pub const TRANSCRIPT_MAX: u64 = 60;

/// The most characters of a subject or a body in a transcript. The rest is cut off, since sixty
/// messages of megabytes are more than a handler may hold in memory.
pub const LINE_CHARS_MAX: u16 = 10_000;

/// An inbound message, as a handler sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct InboundMessage {
    /// The key of the message.
    pub id: Id,
    /// The channel on which it came, as stored.
    pub channel: String,
    /// Inbound or outbound. A job about an outbound message ends at once.
    pub direction: Direction,
    /// The subject line, which only mail has.
    pub subject: Option<String>,
    /// The cleaned new text.
    pub body: String,
    /// False if cleaning left nothing: then the verdict is `Neutral` (docs/RULES.md P14).
    pub has_new_text: bool,
    /// True if the provider says that a machine wrote it.
    pub automated: bool,
    /// The verdict that it has already: the provider's hint, or that of an earlier job.
    pub sentiment: Option<Sentiment>,
    /// When it was sent, by the provider's clock.
    pub sent_at: Timestamp,
    /// True if all ids are known that an answer through the provider needs.
    pub can_be_answered: bool,
    /// True if an answer would reach others than its writer, as in a group chat.
    pub reaches_others: bool,
}

/// A lead, as a handler sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct LeadView {
    /// The key of the lead.
    pub id: Id,
    /// The status of the lead.
    pub status: LeadStatus,
    /// Its newest verdict; `None` if it is not judged yet.
    pub sentiment: Option<Sentiment>,
    /// The given name.
    pub first_name: Option<String>,
    /// The family name.
    pub last_name: Option<String>,
    /// The name of the company.
    pub company_name: Option<String>,
    /// Title in the company.
    pub title: Option<String>,
    /// True if it wants no messages on any channel.
    pub opted_out: bool,
    /// True if mail to it comes back.
    pub bounced: bool,
    /// True if its do-not-disturb flag is on: it wants no text messages.
    pub sms_dnd: bool,
    /// True if it has written at least once.
    pub has_inbound: bool,
    /// Its newest inbound message: by the provider's time, then by the order of storing.
    pub newest_inbound_id: Option<Id>,
}

/// One message of a transcript.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// When it was sent.
    pub at: Timestamp,
    /// Its channel, as stored.
    pub channel: String,
    /// Whether the lead or we wrote it.
    pub direction: Direction,
    /// The subject line, up to `LINE_CHARS_MAX` characters.
    pub subject: Option<String>,
    /// The cleaned text, up to `LINE_CHARS_MAX` characters.
    pub body: String,
}

impl InboundMessage {
    /// What the lead wrote in it; empty if all of it is quoted.
    pub fn new_text(&self) -> &str {
        if self.has_new_text { &self.body } else { "" }
    }
}

impl LeadView {
    /// Why no answer over `medium` may be drafted for the lead (docs/RULES.md DRAFTS); `None` if a
    /// draft is allowed.
    pub const fn no_draft_on(&self, medium: Medium) -> Option<&'static str> {
        super::lead::Barriers {
            opted_out: self.opted_out,
            bounced: self.bounced,
            sms_dnd: self.sms_dnd,
        }
        .on(medium)
    }
}
