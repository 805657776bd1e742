//! Unipile: messages on LinkedIn (docs/RULES.md LINKEDIN). Bodies are flat; the sender and the
//! attendees of a chat are objects in them.

mod message;
mod profile;
mod sample;
mod send;
#[cfg(test)]
mod tests;

use self::profile::Member;
use super::{
    Channel, EventRow, Received, fields, ignored, notice, row,
    samples::MadeUpLead,
    sending::{Call, CallAnswer, Letter, Unsendable, end_of, in_json},
    unknown,
};
use crate::domain::{
    ChannelName, Event, IdentityKind, Interpreted, JobKind, LeadProfile, Medium, NotUnderstood,
    ProviderServer, SendFacts, Signal, sending::SendEnd,
};
use serde_json::Value;

/// The channel of LinkedIn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linkedin;

/// The id of a member; case-sensitive.
pub const MEMBER: IdentityKind = IdentityKind::given_out("linkedin_member");
/// The normalised address of a profile.
pub const PROFILE_URL: IdentityKind = IdentityKind::found("linkedin_url");

const RECEIVED: &str = "message_received";
const EDITED: &str = "message_edited";
const DELETED: &str = "message_deleted";
const FAILED: &str = "message_failed";
const RELATION: &str = "new_relation";
const STATUS: &str = "AccountStatus";

const UNKNOWN: &str = "an unknown message is ignored (`unknown_message`)";

const TABLE: [EventRow; 9] = [
    row(
        RECEIVED,
        "accepted",
        "outbound where our account wrote it, in a group only if the chat is a lead's; ignored \
         `other_channel`, `system_event`, `empty_message`, `group_chat`",
    ),
    row(EDITED, "recorded edited", UNKNOWN),
    row(DELETED, "recorded deleted", UNKNOWN),
    row(FAILED, "recorded failed", UNKNOWN),
    row("message_reaction", "ignored reaction", ""),
    row("message_read", "ignored read", ""),
    row("message_delivered", "ignored delivered", ""),
    row(RELATION, "recorded connected", "at receipt; an unknown lead is ignored"),
    row(STATUS, "ignored account_notice", "warning for CREDENTIALS, ERROR, STOPPED, DELETED"),
];

impl Channel for Linkedin {
    const NAME: ChannelName = ChannelName("linkedin");
    const MEDIUM: Medium = Medium::Chat { chars: 1_900 };
    const POST_PROCESS: JobKind = JobKind("LINKEDIN_INBOUND_POST_PROCESS");
    const TABLE: &'static [EventRow] = &TABLE;
    const OTHERS: &'static str = "quarantined `unknown_event`; a body inside another quarantined `unknown_shape`. \
        `message.received` and `connection.accepted` are old names; `message.sent`, `connection.received` and \
        `profile.viewed` are ignored";
    const SECRET_HEADER: Option<&'static str> = Some("Unipile-Auth");
    const ACCOUNT: &'static [&'static str] = &["account_id", "AccountStatus.account_id"];
    const IDENTITIES: &'static [IdentityKind] = &[MEMBER, PROFILE_URL];
    const SETTINGS: &'static [&'static str] = &["send.automatic"];
    const SEND: Option<SendFacts> = Some(SendFacts {
        server: ProviderServer::OfCustomer("https://api1.unipile.com:13111"),
        by_rule: false,
    });
    const MESSAGE_EVENT: &'static str = RECEIVED;

    fn sample(&self, event: &str, lead: &MadeUpLead) -> Value {
        sample::sample(event, lead)
    }

    fn reply_call(&self, letter: &Letter<'_>) -> Result<Call, Unsendable> {
        send::call(letter)
    }

    fn reply_answer(&self, answer: &CallAnswer) -> SendEnd {
        end_of(answer, |body| in_json(body, send::taken))
    }

    fn interpret(&self, received: &Received<'_>) -> Result<Interpreted, NotUnderstood> {
        let body = received.body;
        let Some(event) = fields::get(body, "event") else { return without_event(body) };
        let Some(event) = event.as_str().map(str::trim) else {
            let told = fields::word(body, "event.type");
            return Err(unknown(told.as_deref(), "unknown_event"));
        };
        let name = match event {
            "message.received" => RECEIVED,
            "connection.accepted" => RELATION,
            other => other,
        };
        if is_of_a_message(name) && message::is_of_another_network(body) {
            return Ok(ignored(event, "other_channel"));
        }
        match name {
            RECEIVED => message::received(event, received),
            EDITED | DELETED | FAILED => message::changed(event, received),
            RELATION => relation(event, received),
            "message_reaction" => Ok(ignored(event, "reaction")),
            "message_read" => Ok(ignored(event, "read")),
            "message_delivered" => Ok(ignored(event, "delivered")),
            // Older names.
            "message.sent" => Ok(ignored(event, "sent")),
            "connection.received" => Ok(ignored(event, "invitation")),
            "profile.viewed" => Ok(ignored(event, "profile_view")),
            _ => Err(unknown(Some(event), "unknown_event")),
        }
    }
}

fn is_of_a_message(event: &str) -> bool {
    matches!(
        event,
        RECEIVED
            | EDITED
            | DELETED
            | FAILED
            | "message_reaction"
            | "message_read"
            | "message_delivered"
    )
}

/// A notice about an account. It has two shapes, and neither has the name of an event.
fn without_event(body: &Value) -> Result<Interpreted, NotUnderstood> {
    let hosted = fields::get(body, "status").is_some() && fields::get(body, "account_id").is_some();
    if fields::raw(body, STATUS).is_some_and(Value::is_object) || hosted {
        let told = fields::first_word(body, &["AccountStatus.message", "status"]);
        let told = told.unwrap_or_default().to_ascii_uppercase();
        let warn = ["CREDENTIALS", "ERROR", "STOPPED", "DELETED"].contains(&told.as_str());
        return Ok(notice(STATUS, "account_notice", warn));
    }
    let wrapped = fields::raw(body, "data.event").is_some();
    Err(unknown(None, if wrapped { "unknown_shape" } else { "unknown_event" }))
}

/// An invitation that was accepted.
fn relation(event: &str, received: &Received<'_>) -> Result<Interpreted, NotUnderstood> {
    let body = received.body;
    let id = match fields::first_word(body, &["connection.linkedin_member_id", "connection.id"]) {
        Some(old) if fields::get(body, "user_provider_id").is_none() => old,
        _ => fields::required(body, "user_provider_id").map_err(|it| it.of(event))?,
    };
    let urls = ["user_public_identifier", "user_profile_url", "connection.linkedin_url"];
    let member = Member {
        id: Some(id),
        name: fields::first_word(body, &["user_full_name", "connection.name"]),
        pages: urls.iter().filter_map(|path| fields::word(body, path)).collect(),
    };
    let told = member.profile();
    Ok(Interpreted::Event(Box::new(Event {
        event_type: event.to_owned(),
        identities: member.identities(),
        lead_of_chat: None,
        profile: LeadProfile {
            first_name: fields::word(body, "connection.first_name").or(told.first_name),
            last_name: fields::word(body, "connection.last_name").or(told.last_name),
            ..LeadProfile::default()
        },
        campaign: None,
        // Unipile asks LinkedIn every few hours, and does not say when the invitation was accepted.
        at: received.received_at,
        signal: Signal::Connected,
    })))
}
