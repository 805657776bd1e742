//! Sending an answer: how the call at a provider ended, and what must hold before one is made
//! (docs/RULES.md SENDING).
//!
//! A send is marked in a transaction of its own before its call. From the mark until the handler's
//! own verdict nobody knows whether the provider has the answer, so any other end of the job makes
//! its delivery `uncertain` (G5).

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
    /// How long nothing is sent through the account. Then one send tries it again.
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
}

/// What is known when a send is about to be marked, read under the lead's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendCase {
    /// False if the kill switch is off.
    pub is_enabled: bool,
    /// True if a person approved the draft; false if a rule did.
    pub is_by_person: bool,
    /// True if the client still lets drafts of this channel and campaign be sent by rule.
    pub is_automatic_allowed: bool,
    /// True if the draft is approved and waits to be sent.
    pub is_approved: bool,
    /// The delivery of the draft, if there is one.
    pub delivery: Option<DeliveryStatus>,
    /// True if the message that the draft answers is the newest inbound one of its lead.
    pub is_newest: bool,
    /// True if somebody has written to the lead after that message.
    pub is_answered: bool,
    /// True if the message was deleted at its provider.
    pub is_deleted: bool,
    /// True if all ids are known that an answer needs.
    pub has_handle: bool,
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

/// How long a send waits while the kill switch is off, until it is judged again.
pub const SWITCHED_OFF_PAUSE: Duration = Duration::from_secs(30);
/// How long a send by rule waits while its lead is snoozed, until it is judged again.
pub const SNOOZED_PAUSE: Duration = Duration::from_secs(3_600);

impl SendCase {
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
        if !self.is_newest {
            return never("newer_message", Some("superseded"));
        }
        if self.is_deleted {
            return never("message_deleted", Some("rejected"));
        }
        if !self.has_handle {
            return never("no_reply_handle", Some("rejected"));
        }
        if !self.is_by_person {
            if !self.is_automatic_allowed {
                return never("automatic_reply_off", Some("pending"));
            }
            if self.is_answered {
                return never("answered_by_a_person", Some("superseded"));
            }
        }
        // 3. Not now.
        if !self.is_enabled {
            return MaySend::Later(SWITCHED_OFF_PAUSE);
        }
        if !self.is_by_person && self.is_snoozed {
            return MaySend::Later(SNOOZED_PAUSE);
        }
        if !self.account_pause.is_zero() {
            return MaySend::Later(self.account_pause);
        }
        MaySend::Yes
    }
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
    use proptest::prelude::*;

    const GOOD: SendCase = SendCase {
        is_enabled: true,
        is_by_person: false,
        is_automatic_allowed: true,
        is_approved: true,
        delivery: None,
        is_newest: true,
        is_answered: false,
        is_deleted: false,
        has_handle: true,
        barrier: None,
        is_snoozed: false,
        account_pause: Duration::ZERO,
    };

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
            (SendCase { is_newest: false, ..GOOD }, never("newer_message", Some("superseded"))),
            (SendCase { is_deleted: true, ..GOOD }, never("message_deleted", Some("rejected"))),
            (SendCase { has_handle: false, ..GOOD }, never("no_reply_handle", Some("rejected"))),
            (
                SendCase { is_automatic_allowed: false, ..GOOD },
                never("automatic_reply_off", Some("pending")),
            ),
            (
                SendCase { is_answered: true, ..GOOD },
                never("answered_by_a_person", Some("superseded")),
            ),
            (SendCase { is_enabled: false, ..GOOD }, MaySend::Later(SWITCHED_OFF_PAUSE)),
            (SendCase { is_snoozed: true, ..GOOD }, MaySend::Later(SNOOZED_PAUSE)),
            (SendCase { account_pause: pause, ..GOOD }, MaySend::Later(pause)),
        ] {
            assert_eq!(case.may_send(), expected, "{case:?}");
        }
    }

    #[test]
    fn what_a_person_approved_needs_no_rule_but_keeps_to_barriers() {
        let by_person = SendCase { is_by_person: true, ..GOOD };
        for case in [
            SendCase { is_automatic_allowed: false, ..by_person },
            SendCase { is_answered: true, ..by_person },
            SendCase { is_snoozed: true, ..by_person },
        ] {
            assert_eq!(case.may_send(), MaySend::Yes, "{case:?}");
        }
        let barred = SendCase { barrier: Some("opted_out"), ..by_person };
        assert!(matches!(barred.may_send(), MaySend::Never { .. }));
    }

    proptest! {
        #[test]
        fn nothing_that_may_have_been_sent_is_sent_again(
            flags in proptest::array::uniform8(any::<bool>()), is_sent: bool,
        ) {
            let delivery = if is_sent { DeliveryStatus::Sent } else { DeliveryStatus::Uncertain };
            let [is_enabled, is_by_person, is_automatic_allowed, is_approved, is_newest,
                is_answered, is_deleted, has_handle] = flags;
            let case = SendCase {
                is_enabled, is_by_person, is_automatic_allowed, is_approved, is_newest,
                is_answered, is_deleted, has_handle, delivery: Some(delivery), ..GOOD
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
