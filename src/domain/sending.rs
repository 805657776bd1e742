//! Sending an answer: how the call at a provider ended, and what must hold before one is made
//! (docs/RULES.md SENDING).
//!
//! A send is marked in a transaction of its own before its call. From the mark until the handler's
//! own verdict nobody knows whether the provider has the answer, so any other end of the job makes
//! its delivery `uncertain` (G5).

use serde_json::Value;
use std::time::Duration;

/// How the call of a send ended. Only the handler that made the call may say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendEnd {
    /// The provider has taken the answer.
    Sent {
        /// The provider's id of the message, if its answer has one.
        provider_id: Option<String>,
    },
    /// It was certainly not sent, and may be tried again: no connection before a byte was written,
    /// 429, or 503 with `Retry-After`.
    NotSent {
        /// The cause, for an operator. It holds no secret and no text of a person.
        why: String,
        /// What is wrong with the account, if the account is at fault. Then no attempt is used.
        account: Option<AccountTrouble>,
    },
    /// No call was made, for no fault of the answer. It is tried again after this long, and no
    /// attempt is used.
    NotCalled {
        /// The pause until then.
        after: Duration,
    },
    /// It cannot be sent, whatever its provider would say. No call was made.
    Unsendable {
        /// The cause, for an operator.
        why: String,
    },
    /// The provider refused it for good, for this reason.
    Failed {
        /// The cause, for an operator.
        why: String,
    },
    /// Nobody knows: a time-out, a reset, another 5xx, or a success that cannot be read.
    Unknown {
        /// The cause, for an operator.
        why: String,
    },
}

/// Why a client's account at a provider sends nothing for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountTrouble {
    /// The kind of trouble.
    pub state: AccountState,
    /// How long nothing is sent through the account. Then the sends that wait try it again.
    pub pause: Duration,
}

/// The kind of trouble of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountState {
    /// It has sent too much (429, 503).
    RateLimited,
    /// The provider does not accept its credentials (401).
    Disconnected,
}

impl AccountState {
    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::Disconnected => "disconnected",
        }
    }

    /// The state with this name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::RateLimited, Self::Disconnected].into_iter().find(|state| state.as_str() == text)
    }
}

/// The status of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// Its call may be on the wire, or it waits for its retry.
    Sending,
    /// The provider has it.
    Sent,
    /// It was certainly not sent, and is not tried again by itself.
    Failed,
    /// Nobody knows whether it was sent: a person must look.
    Uncertain,
}

impl DeliveryStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sending, Self::Sent, Self::Failed, Self::Uncertain];

    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Uncertain => "uncertain",
        }
    }

    /// The status with this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// The status that is stored as `text`. One that this version does not know is uncertain.
    pub fn stored(text: &str) -> Self {
        Self::parse(text).unwrap_or(Self::Uncertain)
    }
}

/// What has become of a message that a draft answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnsweredMessage {
    /// True if it is the newest inbound message of its lead, by the provider's clock.
    pub is_newest: bool,
    /// True if an inbound message of the lead was stored after it, whatever its time.
    pub has_later: bool,
    /// True if somebody has written to the lead after it.
    pub is_answered: bool,
    /// True if it was deleted at its provider.
    pub is_deleted: bool,
    /// True if its text was changed after the draft was made.
    pub is_edited: bool,
    /// True if it has a tag that gets a draft.
    pub has_answerable_tag: bool,
    /// True if all ids are known that an answer needs.
    pub has_handle: bool,
    /// True if the answer would reach others than its writer ([`reaches_others`]).
    pub reaches_others: bool,
}

impl AnsweredMessage {
    /// Nothing about it keeps its answer from being sent.
    pub const ANSWERABLE: Self = Self {
        is_newest: true,
        has_later: false,
        is_answered: false,
        is_deleted: false,
        is_edited: false,
        has_answerable_tag: true,
        has_handle: true,
        reaches_others: false,
    };
}

/// What is known when it is decided whether an answer may be sent, read under the lead's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendCase {
    /// False if sending is switched off (`sending.enabled`).
    pub is_enabled: bool,
    /// True if the client has settings for sending on the channel.
    pub has_settings: bool,
    /// True if a person approved the draft; false if a rule did.
    pub is_by_person: bool,
    /// True if the client still lets drafts of this channel and campaign be sent by rule.
    pub is_automatic_allowed: bool,
    /// How long until the client's hours are open; zero if they are, `None` if no hour is open for
    /// too long. They count for what a rule sends.
    pub opens_in: Option<Duration>,
    /// True if the draft is approved and waits to be sent.
    pub is_approved: bool,
    /// The delivery of the draft, if there is one.
    pub delivery: Option<DeliveryStatus>,
    /// What has become of the message that the draft answers.
    pub message: AnsweredMessage,
    /// What keeps messages from the lead on the channel.
    pub barrier: Option<&'static str>,
    /// True while the lead is snoozed.
    pub is_snoozed: bool,
    /// How much longer the account is paused; zero if it is not.
    pub account_pause: Duration,
}

/// What follows from a [`SendCase`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaySend {
    /// Mark it, and make the call.
    Yes,
    /// Not now: come again after this long. Uses no attempt.
    Later(Duration),
    /// Never: the reason, and the status that the draft gets.
    Never {
        /// Why, in a word.
        reason: &'static str,
        /// The status that the draft gets; `None` if it keeps its own.
        draft: Option<&'static str>,
    },
}

/// Who has decided on a draft that a rule approved: `decided_by` as stored.
pub const BY_RULE: &str = "automatic_reply";
/// What rejects drafts beside people, in `decided_by` as stored. The first three end a draft that
/// waits; the others, and a changed tag, keep an approved one from being sent.
pub const REJECTED_BY_RULE: [&str; 7] = [
    "opt_out",
    "bounce",
    "tag_changed",
    "opted_out",
    "bounced",
    "do_not_disturb",
    "no_reply_handle",
];

/// How long a send waits while sending is switched off, until it is judged again.
pub const SWITCHED_OFF_PAUSE: Duration = Duration::from_secs(30);
/// How long a send waits while its client has no settings for sending, until it is judged again.
pub const NO_SETTINGS_PAUSE: Duration = Duration::from_secs(60);
/// How long a send by rule waits while its lead is snoozed, until it is judged again.
pub const SNOOZED_PAUSE: Duration = Duration::from_secs(3_600);

impl SendCase {
    /// A draft that a person approved, and nothing keeps it from being sent now.
    pub const BY_PERSON: Self = Self {
        is_enabled: true,
        has_settings: true,
        is_by_person: true,
        is_automatic_allowed: true,
        opens_in: Some(Duration::ZERO),
        is_approved: true,
        delivery: None,
        message: AnsweredMessage::ANSWERABLE,
        barrier: None,
        is_snoozed: false,
        account_pause: Duration::ZERO,
    };

    /// Whether the answer may be sent now. What is decided here is decided last: it is read under
    /// the lead's lock, in the transaction that marks the send.
    pub const fn may_send(&self) -> MaySend {
        const fn never(reason: &'static str, draft: Option<&'static str>) -> MaySend {
            MaySend::Never { reason, draft }
        }
        // 1. Never twice.
        match self.delivery {
            Some(DeliveryStatus::Sent) => return never("already_sent", None),
            Some(DeliveryStatus::Uncertain) => return never("delivery_uncertain", None),
            Some(DeliveryStatus::Sending | DeliveryStatus::Failed) | None => {}
        }
        // 2. Never what nobody wants any more.
        if !self.is_approved {
            return never("not_approved", None);
        }
        if let Some(barrier) = self.barrier {
            return never(barrier, Some("rejected"));
        }
        if !self.message.is_newest {
            return never("newer_message", Some("superseded"));
        }
        if self.message.is_deleted {
            return never("message_deleted", Some("superseded"));
        }
        if self.message.is_edited {
            return never("message_edited", Some("superseded"));
        }
        if !self.message.has_handle {
            return never("no_reply_handle", Some("rejected"));
        }
        if !self.is_by_person {
            if !self.message.has_answerable_tag {
                return never("tag_changed", Some("rejected"));
            }
            if self.message.is_answered {
                return never("answered_by_a_person", Some("superseded"));
            }
            if !self.is_automatic_allowed {
                return never("automatic_reply_off", Some("pending"));
            }
            if self.message.reaches_others {
                return never("reaches_others", Some("pending"));
            }
            // By its provider's clock it is not newer. Whether it asks for another answer, only a
            // person can say.
            if self.message.has_later {
                return never("newer_message", Some("pending"));
            }
            if self.opens_in.is_none() {
                return never("no_open_hour", Some("pending"));
            }
        }
        // 3. Not now.
        if !self.is_enabled {
            return MaySend::Later(SWITCHED_OFF_PAUSE);
        }
        if !self.has_settings {
            return MaySend::Later(NO_SETTINGS_PAUSE);
        }
        if !self.is_by_person && self.is_snoozed {
            return MaySend::Later(SNOOZED_PAUSE);
        }
        match self.opens_in {
            Some(pause) if !self.is_by_person && !pause.is_zero() => return MaySend::Later(pause),
            Some(_) | None => {}
        }
        if !self.account_pause.is_zero() {
            return MaySend::Later(self.account_pause);
        }
        MaySend::Yes
    }
}

/// True if an answer with these ids of a message, as JSON, reaches others than its writer: the
/// message is of a group chat. A person decides about such an answer.
pub fn reaches_others(reply_handle: Option<&str>) -> bool {
    let handle = reply_handle.and_then(|it| serde_json::from_str::<Value>(it).ok());
    handle.is_some_and(|handle| handle.get("is_group") == Some(&Value::Bool(true)))
}

/// The longest id of a provider that is stored, in bytes.
const PROVIDER_ID_MAX: usize = 500;

/// A provider's id as it is stored: without what a database refuses, and bounded. A success must
/// never be lost because its id cannot be stored.
pub fn storable_id(id: &str) -> Option<String> {
    let id: String = id.trim().chars().filter(|char| !char.is_control()).collect();
    (!id.is_empty() && id.len() <= PROVIDER_ID_MAX).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Medium, lead::Barriers};
    use proptest::prelude::*;

    const GOOD: SendCase = SendCase { is_by_person: false, ..SendCase::BY_PERSON };

    /// `case` with something else about the message.
    fn with(mut case: SendCase, change: fn(&mut AnsweredMessage)) -> SendCase {
        change(&mut case.message);
        case
    }

    #[test]
    fn each_fact_alone_stops_or_delays_a_send() {
        let never = |reason, draft| MaySend::Never { reason, draft };
        let pause = Duration::from_secs(9);
        for (case, expected) in [
            (GOOD, MaySend::Yes),
            (SendCase { delivery: Some(DeliveryStatus::Sending), ..GOOD }, MaySend::Yes),
            (SendCase { delivery: Some(DeliveryStatus::Failed), ..GOOD }, MaySend::Yes),
            (
                SendCase { delivery: Some(DeliveryStatus::Sent), ..GOOD },
                never("already_sent", None),
            ),
            (
                SendCase { delivery: Some(DeliveryStatus::Uncertain), ..GOOD },
                never("delivery_uncertain", None),
            ),
            (SendCase { is_approved: false, ..GOOD }, never("not_approved", None)),
            (SendCase { barrier: Some("opted_out"), ..GOOD }, never("opted_out", Some("rejected"))),
            (with(GOOD, |it| it.is_newest = false), never("newer_message", Some("superseded"))),
            (with(GOOD, |it| it.is_deleted = true), never("message_deleted", Some("superseded"))),
            (with(GOOD, |it| it.is_edited = true), never("message_edited", Some("superseded"))),
            (
                with(GOOD, |it| it.has_answerable_tag = false),
                never("tag_changed", Some("rejected")),
            ),
            (with(GOOD, |it| it.reaches_others = true), never("reaches_others", Some("pending"))),
            (with(GOOD, |it| it.has_later = true), never("newer_message", Some("pending"))),
            (SendCase { opens_in: None, ..GOOD }, never("no_open_hour", Some("pending"))),
            (with(GOOD, |it| it.has_handle = false), never("no_reply_handle", Some("rejected"))),
            (
                SendCase { is_automatic_allowed: false, ..GOOD },
                never("automatic_reply_off", Some("pending")),
            ),
            (
                with(GOOD, |it| it.is_answered = true),
                never("answered_by_a_person", Some("superseded")),
            ),
            (SendCase { is_enabled: false, ..GOOD }, MaySend::Later(SWITCHED_OFF_PAUSE)),
            (SendCase { has_settings: false, ..GOOD }, MaySend::Later(NO_SETTINGS_PAUSE)),
            (SendCase { is_snoozed: true, ..GOOD }, MaySend::Later(SNOOZED_PAUSE)),
            (SendCase { opens_in: Some(pause), ..GOOD }, MaySend::Later(pause)),
            (SendCase { account_pause: pause, ..GOOD }, MaySend::Later(pause)),
        ] {
            assert_eq!(case.may_send(), expected, "{case:?}");
        }
    }

    #[test]
    fn each_rule_that_rejects_is_known_as_one() {
        let barriers = |opted_out, bounced, sms_dnd| Barriers { opted_out, bounced, sms_dnd };
        let text = Medium::Text { parts: 1, chars: 160 };
        let blocked = [
            barriers(true, false, false).on(text),
            barriers(false, true, false).on(Medium::Mail),
            barriers(false, false, true).on(text),
        ];
        let blocked = blocked.map(|barrier| SendCase { barrier, ..GOOD });
        let others = [
            with(GOOD, |it| it.has_handle = false),
            with(GOOD, |it| it.has_answerable_tag = false),
        ];
        for case in blocked.into_iter().chain(others) {
            let MaySend::Never { reason, draft } = case.may_send() else { panic!("{case:?}") };
            assert_eq!(draft, Some("rejected"), "{case:?}");
            assert!(REJECTED_BY_RULE.contains(&reason), "{reason}");
        }
    }

    #[test]
    fn what_a_person_approved_needs_no_rule_but_keeps_to_barriers() {
        let by_person = SendCase::BY_PERSON;
        for case in [
            by_person,
            with(by_person, |it| it.has_answerable_tag = false),
            with(by_person, |it| it.has_later = true),
            with(by_person, |it| it.reaches_others = true),
            SendCase { opens_in: None, ..by_person },
            SendCase { opens_in: Some(Duration::from_secs(9)), ..by_person },
            SendCase { is_automatic_allowed: false, ..by_person },
            with(by_person, |it| it.is_answered = true),
            SendCase { is_snoozed: true, ..by_person },
        ] {
            assert_eq!(case.may_send(), MaySend::Yes, "{case:?}");
        }
        for case in [
            SendCase { barrier: Some("opted_out"), ..by_person },
            with(by_person, |it| it.is_deleted = true),
            with(by_person, |it| it.is_edited = true),
        ] {
            assert!(matches!(case.may_send(), MaySend::Never { .. }), "{case:?}");
        }
    }

    #[test]
    fn the_handle_of_a_group_says_so() {
        assert!(reaches_others(Some(r#"{"chat_id": "c", "is_group": true}"#)));
        for handle in [None, Some("no JSON"), Some("{}"), Some(r#"{"is_group": false}"#)] {
            assert!(!reaches_others(handle), "{handle:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_may_have_been_sent_is_sent_again(
            flags in proptest::array::uniform8(any::<bool>()), is_sent: bool,
        ) {
            let delivery = if is_sent { DeliveryStatus::Sent } else { DeliveryStatus::Uncertain };
            let [is_enabled, is_by_person, is_automatic_allowed, is_approved, is_newest,
                is_answered, is_deleted, has_handle] = flags;
            let message =
                AnsweredMessage { is_newest, is_answered, is_deleted, has_handle, ..GOOD.message };
            let case = SendCase {
                is_enabled, is_by_person, is_automatic_allowed, is_approved, message,
                delivery: Some(delivery), ..GOOD
            };
            let is_never = matches!(case.may_send(), MaySend::Never { draft: None, .. });
            prop_assert!(is_never);
        }

        #[test]
        fn an_id_is_always_storable(id in "\\PC{0,40}|[\u{0}-\u{20}]{0,5}.{0,600}") {
            if let Some(id) = storable_id(&id) {
                prop_assert!(!id.contains('\0') && id.len() <= PROVIDER_ID_MAX);
            }
        }
    }
}
