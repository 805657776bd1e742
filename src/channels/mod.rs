//! One folder for each channel: what its webhooks mean. Everything here is pure: no I/O and no
//! clock. [`Received`] brings what is needed from outside.
//!
//! The rules are in `docs/RULES.md`: `P1`–`P20` hold for all channels, and each channel has a table
//! of its own.

pub mod email;
pub mod fields;
pub mod instantly;
pub mod json;
pub mod linkedin;
pub mod masks;
pub mod page;
pub mod phones;
pub mod samples;
pub mod sending;
pub mod smartlead;
pub mod sms;
pub mod text;
pub mod times;

use self::{
    samples::MadeUpLead,
    sending::{Call, CallAnswer, Letter, Taken, Unsendable, end_of},
};
use crate::domain::{
    Account, ChannelFacts, ChannelName, IdentityKind, Interpreted, JobKind, Medium, NotUnderstood,
    SendFacts, Timestamp, sending::SendEnd, text::beginning,
};
use serde_json::Value;

/// An authenticated body that is JSON, and what else is known about it.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// The body, as JSON.
    pub body: &'a Value,
    /// When it came, by the database's clock.
    pub received_at: Timestamp,
    /// The client's country, for phone numbers without country code: two capital letters.
    pub country: Option<&'a str>,
    /// Where the client's own workflows put the text of a message: names joined by dots. Only some
    /// channels have such a setting.
    pub text_field: Option<&'a str>,
}

/// One event of a provider, and what happens with it. docs/CHANNELS.md is made of these rows. Tests
/// compare them with how the channel interprets its samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// The provider's name for the event.
    pub event: &'static str,
    /// The outcome, with its reason word, of an ordinary event whose lead is known.
    pub outcome: &'static str,
    /// What is done with the event, and when the outcome differs.
    pub note: &'static str,
}

/// A row of [`Channel::TABLE`].
pub const fn row(event: &'static str, outcome: &'static str, note: &'static str) -> EventRow {
    EventRow { event, outcome, note }
}

/// A provider's webhooks. A new provider is one folder that implements this, and one line of
/// registration: other parts ask this trait about a channel and never compare its name.
pub trait Channel: Send + Sync + 'static {
    /// Its word in the path `/webhooks/{channel}/{client}`.
    const NAME: ChannelName;
    /// How it carries messages. Barriers, opt-out words and drafts depend on this.
    const MEDIUM: Medium;
    /// The job kind that works through an inbound message of it.
    const POST_PROCESS: JobKind;
    /// The events that it understands, and what happens with each.
    const TABLE: &'static [EventRow];
    /// What happens with any other event.
    const OTHERS: &'static str;
    /// The provider's own header for the shared secret.
    const SECRET_HEADER: Option<&'static str>;
    /// The provider's own top-level payload field for the shared secret.
    const SECRET_FIELD: Option<&'static str> = None;
    /// Where a body names the provider account (docs/RULES.md P8): names joined by dots, of which
    /// the first that is there counts. Empty if bodies name none.
    const ACCOUNT: &'static [&'static str];
    /// The kinds of identities that the provider gives out, besides mail addresses and phone
    /// numbers.
    const IDENTITIES: &'static [IdentityKind] = &[];
    /// The settings of a client's channel that it has besides those of all channels: keys below
    /// `clients.*.channels.NAME`, such as `send.version`.
    const SETTINGS: &'static [&'static str] = &[];
    /// How it sends answers; `None` if it cannot send.
    const SEND: Option<SendFacts> = None;
    /// The event of an ordinary inbound message: its sample is posted when no event is asked for.
    const MESSAGE_EVENT: &'static str;

    /// A made-up body of an event of [`Channel::TABLE`], from or about `lead`. Two leads give
    /// bodies that differ in ids, lead and text; the same lead gives the same body.
    fn sample(&self, event: &str, lead: &MadeUpLead) -> Value;

    /// What a body means. It is an object: [`interpret`] has checked that.
    ///
    /// # Errors
    /// An event that is not known, or one that lacks a field it cannot do without: it is
    /// quarantined.
    fn interpret(&self, received: &Received<'_>) -> Result<Interpreted, NotUnderstood>;

    /// The call that sends an answer. A channel that sends has [`Channel::SEND`].
    ///
    /// # Errors
    /// The message was stored without what its provider needs, or the channel cannot send.
    fn reply_call(&self, _: &Letter<'_>) -> Result<Call, Unsendable> {
        Err(Unsendable(format!("the channel `{}` cannot send", Self::NAME)))
    }

    /// What the provider's answer to such a call says.
    fn reply_answer(&self, answer: &CallAnswer) -> SendEnd {
        end_of(answer, |_| Taken::Unclear)
    }
}

/// A [`Channel`] whose type is erased, which is how all other parts use it.
pub trait AnyChannel: Send + Sync {
    /// Those of [`facts_of`].
    fn facts(&self) -> ChannelFacts;
    /// [`Channel::TABLE`].
    fn table(&self) -> &'static [EventRow];
    /// [`Channel::OTHERS`].
    fn others(&self) -> &'static str;
    /// [`Channel::SECRET_HEADER`].
    fn secret_header(&self) -> Option<&'static str>;
    /// [`Channel::SECRET_FIELD`].
    fn secret_field(&self) -> Option<&'static str>;
    /// [`Channel::ACCOUNT`].
    fn account_paths(&self) -> &'static [&'static str];
    /// A made-up body of `event`, by default of [`Channel::MESSAGE_EVENT`], of the made-up lead
    /// number `unique`; `None` if [`Channel::TABLE`] has no such event.
    fn sample(&self, event: Option<&str>, unique: u64) -> Option<Value>;
    /// [`Channel::interpret`]; call [`interpret`] instead, which checks the shape first.
    ///
    /// # Errors
    /// As [`Channel::interpret`].
    fn interpret(&self, received: &Received<'_>) -> Result<Interpreted, NotUnderstood>;
    /// [`Channel::reply_call`].
    ///
    /// # Errors
    /// As [`Channel::reply_call`].
    fn reply_call(&self, letter: &Letter<'_>) -> Result<Call, Unsendable>;
    /// [`Channel::reply_answer`].
    fn reply_answer(&self, answer: &CallAnswer) -> SendEnd;

    /// [`Channel::NAME`].
    fn name(&self) -> ChannelName {
        self.facts().name
    }
    /// [`Channel::MEDIUM`].
    fn medium(&self) -> Medium {
        self.facts().medium
    }
    /// [`Channel::POST_PROCESS`].
    fn post_process(&self) -> JobKind {
        self.facts().post_process
    }
    /// The events that it understands.
    fn events(&self) -> Vec<&'static str> {
        self.table().iter().map(|row| row.event).collect()
    }
    /// The provider account that a body names (docs/RULES.md P8).
    fn account(&self, body: &Value) -> Account {
        fields::first_word(body, self.account_paths())
    }
}

/// The facts of a channel that parts need that know no channel by name.
pub const fn facts_of<C: Channel>() -> ChannelFacts {
    ChannelFacts {
        name: C::NAME,
        medium: C::MEDIUM,
        post_process: C::POST_PROCESS,
        identities: C::IDENTITIES,
        settings: C::SETTINGS,
        send: C::SEND,
    }
}

impl<C: Channel> AnyChannel for C {
    fn facts(&self) -> ChannelFacts {
        facts_of::<C>()
    }
    fn table(&self) -> &'static [EventRow] {
        C::TABLE
    }
    fn others(&self) -> &'static str {
        C::OTHERS
    }
    fn secret_header(&self) -> Option<&'static str> {
        C::SECRET_HEADER
    }
    fn secret_field(&self) -> Option<&'static str> {
        C::SECRET_FIELD
    }
    fn account_paths(&self) -> &'static [&'static str] {
        C::ACCOUNT
    }
    fn sample(&self, event: Option<&str>, unique: u64) -> Option<Value> {
        let event = event.unwrap_or(C::MESSAGE_EVENT);
        let is_known = C::TABLE.iter().any(|row| row.event == event);
        is_known.then(|| Channel::sample(self, event, &MadeUpLead::of(unique)))
    }
    fn interpret(&self, received: &Received<'_>) -> Result<Interpreted, NotUnderstood> {
        Channel::interpret(self, received)
    }
    fn reply_call(&self, letter: &Letter<'_>) -> Result<Call, Unsendable> {
        Channel::reply_call(self, letter)
    }
    fn reply_answer(&self, answer: &CallAnswer) -> SendEnd {
        Channel::reply_answer(self, answer)
    }
}

/// What a body means to `channel`. A body that is no object means nothing to any channel
/// (docs/RULES.md P4).
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

/// The most bytes of an event's name that are kept. A sender may write any name, and names are
/// logged and listed.
const EVENT_BYTES_MAX: usize = 200;

/// An event's name as it is kept, without U+0000, which PostgreSQL cannot store.
fn shown(event: &str) -> String {
    beginning(event, EVENT_BYTES_MAX).replace('\0', "")
}

fn ignored(event: &str, reason: &'static str) -> Interpreted {
    Interpreted::Ignored { event_type: Some(shown(event)), reason, warn: false }
}

/// A notice about an account, with a warning in the log if somebody must act (docs/RULES.md P19).
fn notice(event: &str, reason: &'static str, warn: bool) -> Interpreted {
    Interpreted::Ignored { event_type: Some(shown(event)), reason, warn }
}

fn unknown(event: Option<&str>, reason: &str) -> NotUnderstood {
    NotUnderstood { event_type: event.map(shown), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests;
