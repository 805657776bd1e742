//! The tags that a message and a lead may carry (docs/RULES.md SENTIMENT); `New` and `Snoozed` are none: not judged yet is null.

use super::LeadStatus;
use serde::{Serialize, Serializer};

/// What a message says. The order of the variants is the order of precedence when several apply
/// (docs/RULES.md SENTIMENT), the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sentiment {
    /// Opt-out, hostile or spam complaint, bounce.
    Blacklist,
    /// A machine's acknowledgement that is no absence notice.
    AutomatedReply,
    /// Absence notice.
    OutOfOffice,
    /// A date and time accepted, or an instruction to book through the lead's link.
    MeetingBooked,
    /// Wants to meet, no time confirmed.
    MeetingRequested,
    /// Wants a phone call.
    CallRequested,
    /// Asks for price, details, process.
    InformationRequested,
    /// Defers.
    FollowUp,
    /// Declines.
    NotInterested,
    /// Positive without a clear next step.
    Interested,
    /// Judged, and unclear.
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

    /// The tag of that exact name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == text)
    }

    /// The positive set of docs/RULES.md SENTIMENT.
    pub const fn is_positive(self) -> bool {
        matches!(
            self,
            Self::MeetingRequested
                | Self::CallRequested
                | Self::InformationRequested
                | Self::Interested
        )
    }

    /// True for the tags that get a draft (docs/RULES.md SENTIMENT).
    pub const fn gets_draft(self) -> bool {
        self.is_positive() || matches!(self, Self::FollowUp)
    }

    /// True for the tags that an automated message may have (docs/RULES.md P15).
    pub const fn may_be_a_machines(self) -> bool {
        matches!(self, Self::AutomatedReply | Self::OutOfOffice | Self::Blacklist)
    }

    /// True for the tags that never lower a lead (docs/RULES.md STATUS).
    pub const fn never_lowers(self) -> bool {
        matches!(self, Self::OutOfOffice | Self::AutomatedReply | Self::Neutral)
    }

    /// The lead status that goes with the tag (docs/RULES.md STATUS).
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
