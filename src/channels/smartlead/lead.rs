//! The lead of a body, and the person who wrote in the lead's place.

use crate::{
    channels::{Received, fields, fields::FieldError, phones},
    domain::{Identity, IdentityKind, LeadProfile, mail_subject},
};
use serde_json::Value;

/// The paths of the lead's address. Every event has the last.
const ADDRESSES: [&str; 5] = [
    "leadCorrespondence.targetLeadEmail",
    "lead_correspondence.targetLeadEmail",
    "sl_lead_email",
    "lead_email",
    "to_email",
];

/// The lead of an event.
pub(super) struct Contact {
    pub(super) id: Option<String>,
    pub(super) email: String,
    pub(super) name: Option<String>,
    /// The address of our mailbox.
    pub(super) ours: Option<String>,
    /// The address of the person who really wrote, if the body names it.
    pub(super) writer: Option<String>,
    pub(super) profile: LeadProfile,
    /// True if the address is known only as the recipient of a mail of ours.
    is_told_as_recipient: bool,
}

impl Contact {
    pub(super) fn of(received: &Received<'_>) -> Result<Self, FieldError> {
        let body = received.body;
        let found = ADDRESSES.iter().find_map(|path| Some((path, fields::email(body, path)?)));
        let Some((path, email)) = found else { return Err(fields::no_address(body, "to_email")) };
        let is_told_as_recipient = *path == "to_email";
        let name = fields::first_word(body, &["to_name", "lead_name", "sl_lead_name"])
            .filter(|it| !it.contains('@'));
        let (first, last) = fields::split_name(name.as_deref().unwrap_or_default());
        let data = |name| fields::word(body, name);
        let phone = data("lead_data.phone_number")
            .and_then(|it| phones::read(&it, &[received.country]))
            .map(|it| it.shown);
        let profile = LeadProfile {
            first_name: data("lead_data.first_name").or(first),
            last_name: data("lead_data.last_name").or(last),
            company_name: data("lead_data.company_name"),
            title: None,
            email: Some(email.clone()),
            phone,
            timezone: None,
        };
        let writers =
            ["leadCorrespondence.replyReceivedFrom", "lead_correspondence.replyReceivedFrom"];
        Ok(Self {
            id: fields::word(body, "sl_email_lead_id"),
            email,
            name,
            ours: fields::email(body, "from_email"),
            writer: writers.iter().find_map(|path| fields::email(body, path)),
            profile,
            is_told_as_recipient,
        })
    }

    /// True if the lead's address is our own mailbox, which is no lead (docs/RULES.md P13).
    pub(super) fn is_nobody(&self) -> bool {
        self.is_told_as_recipient && self.ours.as_ref() == Some(&self.email)
    }

    /// True if a robot that returns mail wrote: the writer has a robot's name, and the mail shows
    /// that a machine wrote it. The campaign's own lead is a person, unless the subject is that of
    /// a report (docs/RULES.md P13).
    pub(super) fn is_by_robot(&self, body: &Value) -> bool {
        let writer = self.writer.as_ref().unwrap_or(&self.email);
        if !fields::has_robots_name(writer) {
            return false;
        }
        let subjects = ["subject", "reply_message.subject"];
        let is_report = subjects
            .iter()
            .filter_map(|path| fields::text(body, path))
            .any(|it| mail_subject::is_delivery_report(&it));
        let flags = ["is_auto_reply", "is_automated", "reply_message.is_auto_reply"];
        let headers = ["headers", "reply_message.headers"];
        is_report
            || !self.wrote_itself()
                && (flags.iter().any(|path| fields::flag(body, path))
                    || headers.iter().any(|path| fields::are_of_a_machine(body, path))
                    || super::message::reads_like_a_report(body))
    }

    /// True if our own mailbox wrote the reply.
    pub(super) fn is_ours(&self) -> bool {
        self.writer.is_some() && self.writer == self.ours && !self.wrote_itself()
    }

    fn wrote_itself(&self) -> bool {
        self.writer.as_ref().is_none_or(|it| *it == self.email)
    }

    /// The address of somebody else who wrote in the lead's place.
    pub(super) fn alternate(&self) -> Option<&String> {
        self.writer.as_ref().filter(|writer| {
            !self.wrote_itself() && !self.is_ours() && !fields::has_robots_name(writer)
        })
    }

    /// The identities of the lead. With `with_writer`, the address of somebody who wrote in its
    /// place is one of them.
    pub(super) fn identities(&self, with_writer: bool) -> Vec<Identity> {
        let mut identities = vec![Identity::new(IdentityKind::MAIL_ADDRESS, self.email.clone())];
        identities.extend(self.id.clone().map(|it| Identity::new(super::SMARTLEAD_LEAD, it)));
        let alternate = self.alternate().filter(|_| with_writer);
        identities
            .extend(alternate.map(|it| Identity::new(IdentityKind::MAIL_ADDRESS, it.clone())));
        identities
    }
}
