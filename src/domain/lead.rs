//! Leads: by what they are known, their status, and what a verdict changes about them.

use super::{Medium, Sentiment};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// A kind of things by which a lead is known. A channel adds the kinds that its provider assigns.
/// Each channel chooses the order in which an event's identities are tried (docs/RULES.md P13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdentityKind {
    name: &'static str,
    is_provider_id: bool,
}

impl IdentityKind {
    /// E-mail address, trimmed and lower-cased.
    pub const MAIL_ADDRESS: Self = Self::found("email");
    /// Phone number in E.164.
    pub const PHONE: Self = Self::found("phone");
    /// The kinds that belong to no channel.
    pub const SHARED: [Self; 2] = [Self::MAIL_ADDRESS, Self::PHONE];

    /// An id that a provider gives out, stored as `name`: two different ones of this kind are two
    /// people to that provider.
    pub const fn given_out(name: &'static str) -> Self {
        Self { name, is_provider_id: true }
    }

    /// Something of which one person may have several, stored as `name`.
    pub const fn found(name: &'static str) -> Self {
        Self { name, is_provider_id: false }
    }

    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        self.name
    }

    /// False if no value of this kind is spelled like `text`: only phone numbers are digits after a
    /// `+`, and each mail address has an `@`. Then nobody needs to look for it.
    pub fn may_be(self, text: &str) -> bool {
        let is_phone = text
            .strip_prefix('+')
            .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        match self {
            Self::PHONE => is_phone,
            Self::MAIL_ADDRESS => text.contains('@'),
            _ => !is_phone,
        }
    }

    /// True for ids that a provider assigns: different ids of such a kind mean different people.
    pub const fn is_provider_id(self) -> bool {
        self.is_provider_id
    }
}

/// True if leads with these identities may be one person (docs/RULES.md P13): together they have no
/// two different ids of one provider.
pub fn may_be_one<'a>(identities: impl IntoIterator<Item = &'a Identity>) -> bool {
    let mut ids: BTreeMap<IdentityKind, &str> = BTreeMap::new();
    let mut assigned = identities.into_iter().filter(|identity| identity.kind.is_provider_id());
    assigned.all(|identity| *ids.entry(identity.kind).or_insert(&identity.value) == identity.value)
}

/// One thing by which a lead is known. Kind and value together are unique per client.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The kind of the value.
    pub kind: IdentityKind,
    /// The normalised value, which is matched exactly.
    pub value: String,
}

impl Identity {
    /// An identity; `value` is normalised already.
    pub fn new(kind: IdentityKind, value: impl Into<String>) -> Self {
        Self { kind, value: value.into() }
    }
}

/// What a webhook tells about a lead. `None` means "not told" and never overwrites a stored value.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct LeadProfile {
    /// The given name.
    pub first_name: Option<String>,
    /// The family name.
    pub last_name: Option<String>,
    /// The name of the company.
    pub company_name: Option<String>,
    /// Title in the company.
    pub title: Option<String>,
    /// E-mail address, lower-cased.
    pub email: Option<String>,
    /// Phone number: E.164, else its digits.
    pub phone: Option<String>,
    /// The time zone, by its IANA name.
    pub timezone: Option<String>,
}

/// By what a lead opted out (docs/RULES.md OPT-OUT).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OptOutSource {
    /// Words of the lead that a rule recognises.
    Words,
    /// A message of the provider: an unsubscription, or a category.
    Provider,
    /// A person, by hand.
    Person,
    /// The analyst, in the job of a message.
    Model,
    /// An opt-out of the same person from before its data was erased.
    Suppression,
}

impl OptOutSource {
    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Words => "words",
            Self::Provider => "provider",
            Self::Person => "person",
            Self::Model => "model",
            Self::Suppression => "suppression",
        }
    }
}

/// The status of a lead (docs/RULES.md STATUS).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeadStatus {
    /// The lead has not answered yet, or its answer decides nothing.
    New,
    /// The lead answered positively.
    Qualified,
    /// The lead wants to meet.
    MeetingRequested,
    /// The lead has a date for a meeting.
    MeetingBooked,
    /// The lead declined.
    NotInterested,
    /// The lead opted out, or mail to it bounced.
    Blacklisted,
}

impl LeadStatus {
    /// All statuses, in the order of their declaration.
    pub const ALL: [Self; 6] = [
        Self::New,
        Self::Qualified,
        Self::MeetingRequested,
        Self::MeetingBooked,
        Self::NotInterested,
        Self::Blacklisted,
    ];

    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Qualified => "qualified",
            Self::MeetingRequested => "meeting-requested",
            Self::MeetingBooked => "meeting-booked",
            Self::NotInterested => "not-interested",
            Self::Blacklisted => "blacklisted",
        }
    }

    /// The status with this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

impl Serialize for LeadStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What keeps messages from a lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Barriers {
    /// The lead opted out, which stops all channels.
    pub opted_out: bool,
    /// Mail to the lead bounced, which stops mail.
    pub bounced: bool,
    /// The do-not-disturb flag, which stops text messages.
    pub sms_dnd: bool,
}

impl Barriers {
    /// What is in either.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            opted_out: self.opted_out || other.opted_out,
            bounced: self.bounced || other.bounced,
            sms_dnd: self.sms_dnd || other.sms_dnd,
        }
    }

    /// The reason word for what stops messages over `medium`; `None` if nothing does (docs/RULES.md
    /// DRAFTS).
    pub const fn on(self, medium: Medium) -> Option<&'static str> {
        if self.opted_out {
            Some("opted_out")
        } else if self.bounced && medium.is_mail() {
            Some("bounced")
        } else if self.sms_dnd && medium.is_text() {
            Some("do_not_disturb")
        } else {
            None
        }
    }
}

/// The state of a lead that a verdict may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The lead's status.
    pub status: LeadStatus,
    /// The verdict on its newest inbound message; `None` if it is not judged yet.
    pub sentiment: Option<Sentiment>,
    /// What keeps messages from it.
    pub barriers: Barriers,
}

impl Standing {
    /// The state of a new lead.
    pub const NEW: Self = Self {
        status: LeadStatus::New,
        sentiment: None,
        barriers: Barriers { opted_out: false, bounced: false, sms_dnd: false },
    };

    /// The state after the verdict `tag` on the lead's newest message (docs/RULES.md STATUS).
    pub fn judged(self, tag: Sentiment) -> Self {
        if self.barriers.opted_out {
            return self.blacklisted();
        }
        if tag.never_lowers() {
            let keeps = self.sentiment.is_some_and(Sentiment::is_positive);
            return Self { sentiment: if keeps { self.sentiment } else { Some(tag) }, ..self };
        }
        Self { status: tag.status(), sentiment: Some(tag), ..self }
    }

    /// The state after a provider's hint about the lead's newest message, which is not judged or
    /// `Neutral` (docs/RULES.md P16). An opt-out or a bounce wins over the hint.
    pub fn hinted(self, tag: Sentiment) -> Self {
        if self.barriers.bounced { self } else { self.judged(tag) }
    }

    /// The state after a person gave the lead's newest message the tag `tag` instead of `was`. A
    /// status that did not come from `was` stays, and so does that of a lead out of reach.
    pub fn corrected(self, was: Option<Sentiment>, tag: Sentiment) -> Self {
        if self.barriers.opted_out {
            return self.blacklisted();
        }
        let came_from_was = was.is_some_and(|was| was.status() == self.status);
        let follows = !self.barriers.bounced && (came_from_was || !tag.never_lowers());
        let status = if follows { tag.status() } else { self.status };
        Self { status, sentiment: Some(tag), ..self }
    }

    /// The state after an opt-out (docs/RULES.md P17). It holds on all channels, until a person
    /// lifts it.
    pub fn opted_out(self) -> Self {
        let barriers = Barriers { opted_out: true, ..self.barriers };
        Self { barriers, ..self }.blacklisted()
    }

    /// The state after a bounce (docs/RULES.md P17).
    pub fn bounced(self) -> Self {
        let barriers = Barriers { bounced: true, ..self.barriers };
        Self { barriers, status: LeadStatus::Blacklisted, ..self }
    }

    /// The state after an inbound mail from the address that had bounced (docs/RULES.md P17).
    pub fn bounce_lifted(self) -> Self {
        let barriers = Barriers { bounced: false, ..self.barriers };
        let lifted = if barriers.opted_out { self } else { self.without_barriers() };
        Self { barriers, ..lifted }
    }

    /// The state after a person has lifted the opt-out: that of the verdicts on its inbound
    /// messages, from the oldest to the newest. What opted out does not count, and a bounce stays.
    pub fn opt_out_lifted(self, verdicts: impl IntoIterator<Item = Sentiment>) -> Self {
        let said = verdicts.into_iter().filter(|tag| *tag != Sentiment::Blacklist);
        let barriers = Barriers { opted_out: false, ..self.barriers };
        let spoken = Self { barriers, ..said.fold(Self::NEW, Self::judged) };
        if barriers.bounced { spoken.bounced() } else { spoken }
    }

    /// The state of two leads that turn out to be one person (docs/RULES.md P13). The barriers of
    /// both hold, and the verdict of the lead with the newer inbound message is applied last.
    #[must_use]
    pub fn merged(self, other: Self, other_is_newer: bool) -> Self {
        let (earlier, later) = if other_is_newer { (self, other) } else { (other, self) };
        let barriers = self.barriers.and(other.barriers);
        let spoken = match later.sentiment {
            Some(tag) => earlier.without_barriers().judged(tag),
            None => earlier.without_barriers(),
        };
        match barriers {
            Barriers { opted_out: true, .. } => Self { barriers, ..spoken }.blacklisted(),
            Barriers { bounced: true, .. } => Self { barriers, ..spoken }.bounced(),
            Barriers { .. } => Self { barriers, ..spoken },
        }
    }

    /// The state as it would be if only verdicts counted.
    fn without_barriers(self) -> Self {
        let status = match self.status {
            LeadStatus::Blacklisted => self.sentiment.map_or(LeadStatus::New, Sentiment::status),
            LeadStatus::New
            | LeadStatus::Qualified
            | LeadStatus::MeetingRequested
            | LeadStatus::MeetingBooked
            | LeadStatus::NotInterested => self.status,
        };
        Self { status, barriers: Barriers::default(), ..self }
    }

    const fn blacklisted(self) -> Self {
        Self { status: LeadStatus::Blacklisted, sentiment: Some(Sentiment::Blacklist), ..self }
    }
}

/// True if an inbound message is newer than another of the same lead: by the provider's time, then
/// by the order of storing (G8).
pub fn is_newer(
    (at, id): (super::Timestamp, super::Id),
    than: Option<(super::Timestamp, super::Id)>,
) -> bool {
    than.is_none_or(|other| (at, id) > other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_looked_for_only_where_it_can_be() {
        let id = IdentityKind::given_out("contact");
        let may_be = |text: &str| {
            [IdentityKind::PHONE, IdentityKind::MAIL_ADDRESS, id].map(|kind| kind.may_be(text))
        };
        assert_eq!(may_be("+13125550187"), [true, false, false]);
        assert_eq!(may_be("dana@x.example"), [false, true, true]);
        assert_eq!(may_be("13125550187"), [false, false, true]);
        assert_eq!(may_be("+1 312"), [false, false, true]);
    }

    #[test]
    fn decision_3_an_opt_out_outlasts_every_later_verdict() {
        let lead = Standing::NEW.judged(Sentiment::Interested).opted_out();
        for tag in Sentiment::ALL {
            let after = lead.judged(tag);
            assert_eq!(after.status, LeadStatus::Blacklisted);
            assert_eq!(after.sentiment, Some(Sentiment::Blacklist));
        }
    }

    #[test]
    fn decision_5_automatic_and_unclear_answers_never_lower_a_lead() {
        let lead = Standing::NEW.judged(Sentiment::MeetingRequested);
        for tag in [Sentiment::OutOfOffice, Sentiment::AutomatedReply, Sentiment::Neutral] {
            assert_eq!(lead.judged(tag), lead);
        }
        let declined = Standing::NEW.judged(Sentiment::NotInterested);
        let after = declined.judged(Sentiment::OutOfOffice);
        assert_eq!(after.status, LeadStatus::NotInterested);
        assert_eq!(after.sentiment, Some(Sentiment::OutOfOffice));
    }

    #[test]
    fn decision_4_a_bounce_stops_mail_only_and_is_lifted_by_mail_from_that_address() {
        let lead = Standing::NEW.judged(Sentiment::Interested).bounced();
        assert_eq!(lead.status, LeadStatus::Blacklisted);
        assert_eq!(lead.barriers.on(Medium::Mail), Some("bounced"));
        assert_eq!(lead.barriers.on(Medium::Text { parts: 3, chars: 160 }), None);
        assert_eq!(lead.bounce_lifted().status, LeadStatus::Qualified);
        assert_eq!(lead.opted_out().bounce_lifted().status, LeadStatus::Blacklisted);
    }

    #[test]
    fn decision_13_two_ids_of_one_provider_are_two_people() {
        let id = Identity::new;
        let (contact, member) =
            (IdentityKind::given_out("contact"), IdentityKind::given_out("member"));
        let page = IdentityKind::found("page");
        let both = [
            id(contact, "c1"),
            id(member, "c2"),
            id(IdentityKind::MAIL_ADDRESS, "a@x.test"),
            id(IdentityKind::MAIL_ADDRESS, "b@x.test"),
            id(page, "x.test/in/a"),
            id(page, "x.test/in/b"),
            id(contact, "c1"),
        ];
        assert!(may_be_one(&both));
        for kind in [contact, member] {
            let (one, other) = (id(kind, "1"), id(kind, "2"));
            assert!(may_be_one([&one, &one]), "{kind:?}");
            assert!(!may_be_one(both.iter().chain([&one, &other])), "{kind:?}");
        }
    }

    #[test]
    fn decision_13_of_two_leads_that_are_one_the_newer_message_speaks_last() {
        let older = Standing::NEW.judged(Sentiment::MeetingRequested);
        let younger = Standing::NEW.judged(Sentiment::NotInterested);
        assert_eq!(older.merged(younger, true), younger);
        assert_eq!(older.merged(younger, false), older);
        assert_eq!(older.merged(Standing::NEW, true), older, "nothing said is nothing taken back");
        let away = Standing::NEW.judged(Sentiment::OutOfOffice);
        assert_eq!(older.merged(away, true), older, "an absence never lowers a lead");
    }

    #[test]
    fn decision_13_what_keeps_messages_from_either_lead_keeps_them_from_both() {
        let willing = Standing::NEW.judged(Sentiment::Interested);
        for other_is_newer in [false, true] {
            let out = willing.merged(Standing::NEW.opted_out(), other_is_newer);
            assert_eq!(out, willing.opted_out());
            let bounced = Standing::NEW.bounced().merged(willing, other_is_newer);
            assert_eq!(bounced, willing.bounced());
        }
        let dnd = Barriers { sms_dnd: true, ..Barriers::default() };
        let silent = Standing { barriers: dnd, ..Standing::NEW };
        assert_eq!(willing.merged(silent, true), Standing { barriers: dnd, ..willing });
    }

    #[test]
    fn a_lifted_opt_out_leaves_what_the_lead_said_besides() {
        use Sentiment::{Blacklist, Interested, OutOfOffice};
        let out = Standing::NEW.opted_out();
        for (verdicts, status, tag) in [
            (&[][..], LeadStatus::New, None),
            (&[Blacklist], LeadStatus::New, None),
            (&[Interested, Blacklist], LeadStatus::Qualified, Some(Interested)),
            (&[Interested, Blacklist, OutOfOffice], LeadStatus::Qualified, Some(Interested)),
        ] {
            let lifted = out.opt_out_lifted(verdicts.iter().copied());
            assert_eq!((lifted.status, lifted.sentiment), (status, tag), "{verdicts:?}");
            assert!(!lifted.barriers.opted_out);
        }
        let bounced = Standing::NEW.bounced().opted_out().opt_out_lifted([Interested]);
        assert_eq!(bounced.status, LeadStatus::Blacklisted);
        assert_eq!(bounced.barriers, Barriers { bounced: true, ..Barriers::default() });
    }

    #[test]
    fn a_hint_never_lifts_a_bounce() {
        let lead = Standing::NEW.bounced();
        assert_eq!(lead.hinted(Sentiment::Interested), lead);
    }
}
