//! The people that a body names: the campaign's lead, the writer of a reply, our own mailbox.

use super::bounce;
use crate::{
    channels::{Received, fields, phones},
    domain::{Identity, IdentityKind, LeadProfile, event::Address, mail_subject},
};
use serde_json::Value;

/// True for the mailbox that the campaign writes from, which is never a lead (docs/RULES.md P13).
pub(super) fn is_ours(body: &Value, address: &str) -> bool {
    fields::email(body, "data.sender_email.email").as_deref() == Some(address)
}

/// The mailbox that the campaign writes from.
pub(super) fn ours(body: &Value) -> Address {
    Address {
        address: fields::email(body, "data.sender_email.email"),
        name: fields::word(body, "data.sender_email.name"),
    }
}

/// True for a robot that returns mail (docs/RULES.md P13). Its address has a robot's name, and the
/// reply shows that a machine wrote it: by the provider's flag, an empty envelope sender, the
/// subject, or as a report that names an address.
pub(super) fn is_robot(body: &Value, address: &str) -> bool {
    if !fields::has_robots_name(address) {
        return false;
    }
    let says = |path, word: &str| {
        fields::word(body, path).is_some_and(|it: String| it.eq_ignore_ascii_case(word))
    };
    let subject = fields::text(body, "data.reply.email_subject").unwrap_or_default();
    let is_report = says("data.reply.type", "Bounced")
        || says("data.reply.folder", "Bounced")
        || mail_subject::is_delivery_report(&subject);
    // The campaign's own lead is a person, even if its address has a robot's name.
    let is_lead = fields::email(body, "data.lead.email").as_deref() == Some(address);
    is_report
        || !is_lead
            && (fields::flag(body, "data.reply.automated_reply")
                || fields::are_of_a_machine(body, "data.reply.headers")
                || bounce::names_an_address(body))
}

/// The lead that a body names, if any.
pub(super) struct People {
    id: Option<String>,
    pub(super) email: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    /// True if the body names the lead by an id or an address. Only then are its company, title and
    /// variables the lead's.
    is_named: bool,
    /// The name beside the address of a reply's writer.
    writer: Option<String>,
}

impl People {
    /// Reads the lead. If its address is a robot's or our own, there is no lead.
    pub(super) fn of(body: &Value) -> Self {
        let email = fields::email(body, "data.lead.email");
        let is_nobody = email
            .as_deref()
            .is_some_and(|address| is_robot(body, address) || is_ours(body, address));
        if is_nobody {
            return Self::none(body);
        }
        let id = fields::word(body, "data.lead.id");
        Self {
            is_named: id.is_some() || email.is_some(),
            id,
            email,
            first_name: fields::word(body, "data.lead.first_name"),
            last_name: fields::word(body, "data.lead.last_name"),
            ..Self::none(body)
        }
    }

    /// No lead: only the name of the reply's writer is known.
    pub(super) fn none(body: &Value) -> Self {
        Self {
            id: None,
            email: None,
            first_name: None,
            last_name: None,
            is_named: false,
            writer: fields::word(body, "data.reply.from_name"),
        }
    }

    /// The lead's own identities, and then `other`: the address of somebody who writes or receives
    /// mail in the lead's place.
    pub(super) fn identities(&self, other: Option<String>) -> Vec<Identity> {
        let mut identities: Vec<Identity> = Vec::new();
        identities.extend(self.id.clone().map(|it| Identity::new(super::EMAILBISON_LEAD, it)));
        // Many people share an address with a robot's name. It identifies a lead only if nothing
        // else is known.
        let has_own = self.id.is_some() || self.email.is_some();
        let other = other.filter(|it| !has_own || !fields::has_robots_name(it));
        for address in [self.email.clone(), other].into_iter().flatten() {
            let it = Identity::new(IdentityKind::MAIL_ADDRESS, address);
            if !identities.contains(&it) {
                identities.push(it);
            }
        }
        identities
    }

    /// True if `address` is the lead's, or if the body names no address of the lead.
    fn is_the_lead(&self, address: &str) -> bool {
        self.email.as_deref().is_none_or(|it| it == address)
    }

    /// The name beside the lead's address.
    pub(super) fn name(&self) -> Option<String> {
        let names = [self.first_name.as_deref(), self.last_name.as_deref()];
        let name = names.into_iter().flatten().collect::<Vec<_>>().join(" ");
        (!name.is_empty()).then_some(name)
    }

    /// The name of a reply's writer: the name beside the writer's address, or the lead's name if
    /// the lead wrote.
    pub(super) fn name_of_writer(&self, address: &str) -> Option<String> {
        let lead = self.name().filter(|_| self.is_the_lead(address));
        self.writer.clone().or(lead)
    }

    /// The recipient of a mail of ours, if the body says who that is.
    pub(super) fn addressee(&self, body: &Value) -> Option<Address> {
        if let Some(email) = &self.email {
            return Some(Address { address: Some(email.clone()), name: self.name() });
        }
        let primary = fields::email(body, "data.reply.primary_to_email_address")
            .map(|it| Address { address: Some(it), name: None });
        let told = fields::addresses(body, "data.reply.to");
        let is_a_persons =
            |address: &str| !fields::has_robots_name(address) && !is_ours(body, address);
        let others = primary
            .into_iter()
            .chain(told)
            .find(|to| to.address.as_deref().is_some_and(is_a_persons));
        others.or_else(|| self.id.is_some().then(Address::default))
    }

    /// What the body says about the lead. The name beside `writer` is the lead's only if the lead
    /// wrote.
    pub(super) fn profile(&self, received: &Received<'_>, writer: Option<&str>) -> LeadProfile {
        let body = received.body;
        let is_lead = writer.is_some_and(|it| self.is_the_lead(it));
        let (first, last) = match self.writer.as_deref() {
            Some(name) if is_lead && !name.contains('@') => fields::split_name(name),
            _ => (None, None),
        };
        let (first_name, last_name) = match (&self.first_name, &self.last_name) {
            (None, None) => (first, last),
            (first, last) => (first.clone(), last.clone()),
        };
        let about = |path| fields::word(body, path).filter(|_| self.is_named);
        LeadProfile {
            first_name,
            last_name,
            company_name: about("data.lead.company"),
            title: about("data.lead.title"),
            email: self.email.clone().or_else(|| writer.map(str::to_owned)),
            phone: if self.is_named { phone(received) } else { None },
            timezone: None,
        }
    }
}

/// A phone number among the lead's variables, whose names people choose.
fn phone(received: &Received<'_>) -> Option<String> {
    let Some(Value::Array(variables)) = fields::raw(received.body, "data.lead.custom_variables")
    else {
        return None;
    };
    variables.iter().find_map(|variable| {
        let name = fields::word(variable, "name")?.to_lowercase();
        let is_phone = ["phone", "mobile", "cell"].iter().any(|word| name.contains(word));
        let number = fields::word(variable, "value").filter(|_| is_phone)?;
        Some(phones::read(&number, &[received.country])?.shown)
    })
}
