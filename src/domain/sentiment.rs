//! The tags that a message and a lead may have (docs/RULES.md SENTIMENT). A message that is not
//! judged yet has none.

use super::LeadStatus;
use serde::{Serialize, Serializer};

/// What a message says. If several tags apply, the first in the order of the variants wins
/// (docs/RULES.md SENTIMENT).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sentiment {
    /// An opt-out, a hostile answer, a complaint about spam, or a bounce.
    Blacklist,
    /// A machine's acknowledgement that is not an absence notice.
    AutomatedReply,
    /// An absence notice.
    OutOfOffice,
    /// A date and time accepted, or an instruction to book through the lead's link.
    MeetingBooked,
    /// The lead wants to meet, and no time is confirmed.
    MeetingRequested,
    /// The lead wants a phone call.
    CallRequested,
    /// The lead asks for the price, details or the process.
    InformationRequested,
    /// The lead puts it off.
    FollowUp,
    /// The lead declines.
    NotInterested,
    /// The lead is positive, without a clear next step.
    Interested,
    /// The message was judged and is unclear.
    Neutral,
}

impl Sentiment {
    /// All tags, in the order of precedence.
    pub const ALL: [Self; 11] = [
        Self::Blacklist,
        Self::AutomatedReply,
        Self::OutOfOffice,
        Self::MeetingBooked,
        Self::MeetingRequested,
        Self::CallRequested,
        Self::InformationRequested,
        Self::FollowUp,
        Self::NotInterested,
        Self::Interested,
        Self::Neutral,
    ];

    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blacklist => "Blacklist",
            Self::AutomatedReply => "Automated Reply",
            Self::OutOfOffice => "Out of Office",
            Self::MeetingBooked => "Meeting Booked",
            Self::MeetingRequested => "Meeting Requested",
            Self::CallRequested => "Call Requested",
            Self::InformationRequested => "Information Requested",
            Self::FollowUp => "Follow Up",
            Self::NotInterested => "Not Interested",
            Self::Interested => "Interested",
            Self::Neutral => "Neutral",
        }
    }

    /// The tag with exactly this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tag| tag.as_str() == text)
    }

    /// True for the tags of the positive set (docs/RULES.md STATUS).
    pub const fn is_positive(self) -> bool {
        matches!(
            self,
            Self::MeetingRequested
                | Self::CallRequested
                | Self::InformationRequested
                | Self::Interested
        )
    }

    /// True for the tags for which a draft is made (docs/RULES.md DRAFTS).
    pub const fn gets_draft(self) -> bool {
        self.is_positive() || matches!(self, Self::FollowUp)
    }

    /// True for the tags that an automated message may have (docs/RULES.md P15).
    pub const fn may_be_a_machines(self) -> bool {
        matches!(self, Self::AutomatedReply | Self::OutOfOffice | Self::Blacklist)
    }

    /// True for the tags that never lower a lead's status (docs/RULES.md STATUS).
    pub const fn never_lowers(self) -> bool {
        matches!(self, Self::OutOfOffice | Self::AutomatedReply | Self::Neutral)
    }

    /// The status of a lead whose newest message has the tag (docs/RULES.md STATUS).
    pub const fn status(self) -> LeadStatus {
        match self {
            Self::MeetingBooked => LeadStatus::MeetingBooked,
            Self::MeetingRequested => LeadStatus::MeetingRequested,
            Self::CallRequested | Self::InformationRequested | Self::Interested => {
                LeadStatus::Qualified
            }
            Self::NotInterested => LeadStatus::NotInterested,
            Self::Blacklist => LeadStatus::Blacklisted,
            Self::FollowUp | Self::OutOfOffice | Self::AutomatedReply | Self::Neutral => {
                LeadStatus::New
            }
        }
    }
}

impl Serialize for Sentiment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
