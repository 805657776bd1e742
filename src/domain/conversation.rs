//! What a handler reads before it decides: one message, its lead, and what was said before.

use super::{ChannelName, Id, LeadStatus, Sentiment, Timestamp, event::Direction};

/// A message with its lead and the newest lines of their thread.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversation {
    /// The message that the job is about.
    pub message: InboundMessage,
    /// Its lead.
    pub lead: LeadView,
    /// The newest messages of all channels up to `TRANSCRIPT_MAX`, oldest first, the message included.
    pub transcript: Vec<Line>,
}

/// How many messages a transcript holds at the most, the newest ones.
pub const TRANSCRIPT_MAX: u64 = 60;

/// How many characters of a subject or a body a transcript holds, the first ones: sixty messages of megabytes
/// are more than a handler may have in memory.
pub const LINE_CHARS_MAX: u16 = 10_000;

/// An inbound message, as a handler sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct InboundMessage {
    /// Its key.
    pub id: Id,
    /// The channel it came over, as stored.
    pub channel: String,
    /// True for `inbound`; a job about an outbound message has nothing to do.
    pub direction: Direction,
    /// Subject line.
    pub subject: Option<String>,
    /// The cleaned new text.
    pub body: String,
    /// False where cleaning left nothing: then nothing is judged but `Neutral` (docs/RULES.md P14).
    pub has_new_text: bool,
    /// The provider says that a machine wrote it.
    pub automated: bool,
    /// The verdict it carries already: the provider's hint, or an earlier judgement.
    pub sentiment: Option<Sentiment>,
    /// The provider's time.
    pub sent_at: Timestamp,
    /// True where an answer through the provider has all the ids that it needs.
    pub can_be_answered: bool,
}

/// A lead, as a handler sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct LeadView {
    /// Its key.
    pub id: Id,
    /// Where it stands.
    pub status: LeadStatus,
    /// Its newest verdict; null is not yet judged.
    pub sentiment: Option<Sentiment>,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// Company.
    pub company_name: Option<String>,
    /// Title in the company.
    pub title: Option<String>,
    /// It wants no more messages at all.
    pub opted_out: bool,
    /// Mail to it comes back.
    pub bounced: bool,
    /// No SMS.
    pub sms_dnd: bool,
    /// It has written at least once.
    pub has_inbound: bool,
    /// Its newest inbound message, by provider time, then by storing.
    pub newest_inbound_id: Option<Id>,
}

/// One message of a transcript.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// When.
    pub at: Timestamp,
    /// Channel, as stored.
    pub channel: String,
    /// Who wrote.
    pub direction: Direction,
    /// Subject line, up to `LINE_CHARS_MAX`.
    pub subject: Option<String>,
    /// Cleaned text, up to `LINE_CHARS_MAX`.
    pub body: String,
}

impl LeadView {
    /// Why nothing may be drafted for it on `channel` (docs/RULES.md DRAFTS), or `None`.
    pub fn no_draft_on(&self, channel: ChannelName) -> Option<&'static str> {
        super::lead::Barriers {
            opted_out: self.opted_out,
            bounced: self.bounced,
            sms_dnd: self.sms_dnd,
        }
        .on(channel.0)
    }
}
