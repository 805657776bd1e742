//! One folder a channel: what its webhooks mean. Pure: no I/O, no clock; what is needed of the outside
//! comes in with [`Received`].
//!
//! The rules are in `docs/RULES.md`: `P1`–`P20` hold for all channels, each channel has its table.

pub mod email;
pub mod fields;
pub mod instantly;
pub mod json;
pub mod linkedin;
pub mod masks;
pub mod phones;
pub mod samples;
pub mod smartlead;
pub mod sms;
pub mod text;
pub mod times;

use crate::domain::{Account, ChannelName, Interpreted, JobKind, NotUnderstood, Timestamp};
use serde_json::Value;

/// An authenticated body that is JSON, and what is known beside it.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The body.
    pub body: &'a Value,
    /// When it came, by the database's clock.
    pub received_at: Timestamp,
    /// The client's country, for phone numbers without country code: two capital letters.
    pub country: Option<&'a str>,
    /// Where the client's own workflows put the text of a message: names joined by dots (SMS).
    pub text_field: Option<&'a str>,
}

/// An event of a provider, and what happens with it: docs/CHANNELS.md is made of these, and they are tested
/// against the built-in samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// The provider's name of it.
    pub event: &'static str,
    /// The outcome, with its reason word, of an ordinary one whose lead is known.
    pub outcome: &'static str,
    /// What is done, and where it is otherwise.
    pub note: &'static str,
}

const fn row(event: &'static str, outcome: &'static str, note: &'static str) -> EventRow {
    EventRow { event, outcome, note }
}

/// The names in a table, for [`Channel::EVENTS`].
const fn names<const N: usize>(table: &[EventRow; N]) -> [&'static str; N] {
    let mut names = [""; N];
    let (mut rest, mut left) = (table.as_slice(), names.as_mut_slice());
    while let (Some((row, rows)), Some((name, others))) =
        (rest.split_first(), left.split_first_mut())
    {
        *name = row.event;
        (rest, left) = (rows, others);
    }
    names
}

/// A provider's webhooks. A new provider is one folder with this implemented, and one line of registration.
pub trait Channel: Default + Send + Sync + 'static {
    /// Its path word.
    const NAME: ChannelName;
    /// The job kind that works through an inbound message of it.
    const POST_PROCESS: JobKind;
    /// The events that it understands, and what happens with each.
    const TABLE: &'static [EventRow];
    /// Their names, as `GET` lists them.
    const EVENTS: &'static [&'static str];
    /// What happens with any other.
    const OTHERS: &'static str;
    /// The provider's own header for the shared secret.
    const SECRET_HEADER: Option<&'static str>;
    /// The provider's own top-level payload field for the shared secret.
    const SECRET_FIELD: Option<&'static str> = None;

    /// The provider account that a body names (docs/RULES.md P8).
    fn account(&self, body: &Value) -> Account;

    /// What a body means. It is an object: [`interpret`] has seen to that.
    ///
    /// # Errors
    /// An event that is not known, or one that lacks a field it cannot do without: it is quarantined.
    fn interpret(&self, received: &Received<'_>) -> Result<Interpreted, NotUnderstood>;
}

/// A [`Channel`] with its type forgotten, as the HTTP side sees it.
pub trait AnyChannel: Send + Sync {
    /// [`Channel::NAME`].
    fn name(&self) -> ChannelName;
    /// [`Channel::POST_PROCESS`].
    fn post_process(&self) -> JobKind;
    /// [`Channel::TABLE`].
    fn table(&self) -> &'static [EventRow];
    /// [`Channel::OTHERS`].
    fn others(&self) -> &'static str;
    /// [`Channel::EVENTS`].
    fn events(&self) -> &'static [&'static str];
    /// [`Channel::SECRET_HEADER`].
    fn secret_header(&self) -> Option<&'static str>;
    /// [`Channel::SECRET_FIELD`].
    fn secret_field(&self) -> Option<&'static str>;
    /// [`Channel::account`].
    fn account(&self, body: &Value) -> Account;
    /// [`Channel::interpret`]; call [`interpret`] instead, which looks at the shape first.
    ///
    /// # Errors
    /// As [`Channel::interpret`].
    fn interpret(&self, received: &Received<'_>) -> Result<Interpreted, NotUnderstood>;
}

impl<C: Channel> AnyChannel for C {
    fn name(&self) -> ChannelName {
        C::NAME
    }
    fn post_process(&self) -> JobKind {
        C::POST_PROCESS
    }
    fn table(&self) -> &'static [EventRow] {
        C::TABLE
    }
    fn others(&self) -> &'static str {
        C::OTHERS
    }
    fn events(&self) -> &'static [&'static str] {
        C::EVENTS
    }
    fn secret_header(&self) -> Option<&'static str> {
        C::SECRET_HEADER
    }
    fn secret_field(&self) -> Option<&'static str> {
        C::SECRET_FIELD
    }
    fn account(&self, body: &Value) -> Account {
        Channel::account(self, body)
    }
    fn interpret(&self, received: &Received<'_>) -> Result<Interpreted, NotUnderstood> {
        Channel::interpret(self, received)
    }
}

/// What a body means to `channel`; what is no object means nothing to any (docs/RULES.md P4).
///
/// # Errors
/// As [`Channel::interpret`], and `not_an_object`.
pub fn interpret(
    channel: &dyn AnyChannel,
    received: &Received<'_>,
) -> Result<Interpreted, NotUnderstood> {
    if received.body.is_object() {
        channel.interpret(received)
    } else {
        Err(NotUnderstood { event_type: None, reason: "not_an_object".to_owned() })
    }
}

/// Longer than any event's name. Some are whatever the sender wrote there, and they are logged and listed.
const EVENT_BYTES_MAX: usize = 200;

/// An event's name as it is kept: PostgreSQL stores no U+0000.
fn shown(event: &str) -> String {
    fields::beginning(event, EVENT_BYTES_MAX).replace('\0', "")
}

fn ignored(event: &str, reason: &'static str) -> Interpreted {
    Interpreted::Ignored { event_type: Some(shown(event)), reason, warn: false }
}

/// A notice about an account, with a warning in the log where somebody must act (docs/RULES.md P19).
fn notice(event: &str, reason: &'static str, warn: bool) -> Interpreted {
    Interpreted::Ignored { event_type: Some(shown(event)), reason, warn }
}

fn unknown(event: Option<&str>, reason: &str) -> NotUnderstood {
    NotUnderstood { event_type: event.map(shown), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests;
