//! Whether a draft is sent without a person, and when (docs/RULES.md AUTOMATIC).

use super::{Id, Sentiment, Timestamp, outcome::GateVerdict, schedule::OpeningHours};
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Below this confidence a tag is a guess, and a person must see the draft that follows from it.
pub const TAG_CONFIDENCE_MIN: f64 = 0.5;
/// How long after now a draft is sent whose delay is over.
const OVERDUE_PAUSE_MILLIS: i64 = 30_000;

/// Which drafts are sent automatically.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoReply {
    /// None: a person sends each draft.
    #[default]
    Off,
    /// Those that pass the confidence gate.
    Gate,
    /// Those that pass the hard blocks.
    Auto,
}

impl AutoReply {
    /// As a configuration spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Gate => "gate",
            Self::Auto => "auto",
        }
    }
}

/// What was decided about a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateDecision {
    /// It is sent at once.
    SendNow,
    /// It is sent at its time.
    SendLater,
    /// A person must look at it.
    NeedsReview,
    /// The gate does not concern it: nothing is sent automatically here.
    Skip,
}

impl GateDecision {
    /// As stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendNow => "send_now",
            Self::SendLater => "send_later",
            Self::NeedsReview => "needs_review",
            Self::Skip => "skip",
        }
    }

    /// True if `stored` is a decision by which a draft is sent without a person.
    pub fn lets_go(stored: Option<&str>) -> bool {
        [Self::SendNow, Self::SendLater].iter().any(|it| Some(it.as_str()) == stored)
    }
}

/// What an evaluator says about a draft.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Opinion<'a> {
    /// True if the draft may be sent without a person.
    pub is_safe: bool,
    /// How sure that is, 0 to 1.
    pub confidence: f64,
    /// Why.
    pub reason: &'a str,
}

/// Whether and through what a draft could be sent at all. Each is a fact of the client or the lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendingFacts {
    /// False if sending is switched off (`sending.enabled`).
    pub is_enabled: bool,
    /// True if the channel has settings for sending.
    pub has_settings: bool,
    /// False if the channel sends only what a person approves. `LinkedIn` does, unless the
    /// client's settings say otherwise.
    pub is_channel_automatic: bool,
    /// True if all ids are known that an answer needs.
    pub has_handle: bool,
    /// What keeps messages from the lead on the channel.
    pub barrier: Option<&'static str>,
    /// True while the lead is snoozed.
    pub is_snoozed: bool,
    /// True if the message is the newest inbound one of its lead.
    pub is_newest: bool,
}

/// What forbids to send a draft without a person, whatever an evaluator says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DraftSafety {
    /// True if the draft has no text.
    pub is_empty: bool,
    /// True if the lead opts out in the message.
    pub opts_out: bool,
    /// The message's tag.
    pub tag: Sentiment,
    /// True if a machine wrote the message.
    pub is_automated: bool,
    /// What keeps messages from the lead on the channel.
    pub barrier: Option<&'static str>,
    /// True if the message says no more than that something was read
    /// ([`is_acknowledgement`](super::acknowledgement::is_acknowledgement)).
    pub is_acknowledgement: bool,
}

impl DraftSafety {
    /// The hard block, if there is one (docs/RULES.md EVALUATION). No confidence counts against it.
    pub const fn hard_block(&self) -> Option<&'static str> {
        if self.is_empty {
            Some("the draft is empty")
        } else if self.opts_out {
            Some("the lead opts out in the message")
        } else if matches!(self.tag, Sentiment::Blacklist | Sentiment::AutomatedReply) {
            Some("the message gets no answer")
        } else if self.is_automated && !matches!(self.tag, Sentiment::OutOfOffice) {
            Some("a machine wrote the message")
        } else if self.barrier.is_some() {
            self.barrier
        } else if self.is_acknowledgement {
            Some("the message only acknowledges")
        } else {
            None
        }
    }
}

/// A draft and what is known when the gate decides about it.
#[derive(Clone, Debug, PartialEq)]
pub struct GateCase<'a> {
    /// The client's mode for the lead's campaign.
    pub mode: AutoReply,
    /// The least confidence that passes the gate, 0 to 1.
    pub threshold: f64,
    /// Whether it could be sent at all.
    pub sending: SendingFacts,
    /// What forbids to send it without a person.
    pub safety: DraftSafety,
    /// How sure the classifier is of the tag, 0 to 1; `None` if a rule or the provider gave it.
    pub tag_confidence: Option<f64>,
    /// True if the answer would reach others than the writer of the message
    /// ([`reaches_others`](super::sending::reaches_others)).
    pub reaches_others: bool,
    /// What the evaluator says; `None` if it failed or took too long.
    pub opinion: Option<Opinion<'a>>,
    /// When it is sent if it passes.
    pub timing: SendTiming<'a>,
}

/// What decides when a draft is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct SendTiming<'a> {
    /// The message that the draft answers.
    pub message_id: Id,
    /// When that message was sent, by the provider's clock.
    pub inbound_at: Timestamp,
    /// The least delay after it.
    pub delay_min: Duration,
    /// The greatest delay after it. If it is zero, there is no delay.
    pub delay_max: Duration,
    /// The hours in which drafts are sent; `None` for any hour.
    pub hours: Option<&'a OpeningHours>,
    /// The zone of hours that have none of their own.
    pub zone: &'a TimeZone,
    /// Now.
    pub now: Timestamp,
}

/// The verdict on drafts of a client that lets none be sent automatically.
pub fn off() -> GateVerdict {
    let reason = "automatic replies are off".to_owned();
    let (confidence, threshold, send_at) = (None, None, None);
    GateVerdict { decision: GateDecision::Skip, confidence, threshold, reason, send_at }
}

/// When an answer is due: the message's time and a delay that its id fixes, so that a second
/// attempt finds the same time. If that is past, it is soon.
pub fn due(timing: &SendTiming<'_>) -> Timestamp {
    if timing.delay_max.is_zero() {
        return timing.now;
    }
    let delay = delay(timing.message_id, timing.delay_min, timing.delay_max);
    let at = timing.inbound_at.plus(delay);
    if at < timing.now { timing.now.plus_millis(OVERDUE_PAUSE_MILLIS) } else { at }
}

/// The delay of the answer to a message: `min` and whole seconds up to `max`, by a hash of the
/// message's id.
fn delay(message_id: Id, min: Duration, max: Duration) -> Duration {
    let digest = Sha256::digest(message_id.to_string());
    let hash = digest.iter().take(8).fold(0_u64, |hash, byte| hash << 8 | u64::from(*byte));
    let choices = max.saturating_sub(min).as_secs().saturating_add(1);
    min + Duration::from_secs(hash.checked_rem(choices).unwrap_or(0))
}

/// The first moment at which an answer may be sent that is due at `due`; `None` if no hour is open
/// for too long.
pub fn next_open(due: Timestamp, timing: &SendTiming<'_>) -> Option<Timestamp> {
    timing.hours.map_or(Some(due), |hours| hours.next_open(due, timing.zone))
}

/// Decides about a draft.
pub fn decide(case: &GateCase<'_>) -> GateVerdict {
    // 1. What is decided whatever the evaluator says.
    if let Some(verdict) = without_evaluator(case) {
        return verdict;
    }
    let Some(Opinion { is_safe, confidence, reason }) = case.opinion else {
        return case.review(0.0, "the evaluator gave no answer");
    };
    // 2. The confidence. A number that is none passes nothing.
    let threshold = case.needed();
    let passes = threshold.is_none_or(|threshold| is_safe && confidence >= threshold);
    if !passes {
        return case.review(confidence, reason);
    }
    // 3. The time.
    let Some(send_at) = next_open(due(&case.timing), &case.timing) else {
        return case.review(confidence, "no hour is open in the next 90 days");
    };
    let is_now = send_at <= case.timing.now;
    let decision = if is_now { GateDecision::SendNow } else { GateDecision::SendLater };
    GateVerdict {
        decision,
        confidence: Some(confidence),
        threshold,
        reason: reason.to_owned(),
        send_at: Some(send_at),
    }
}

/// The decision, if it is the same whatever the evaluator says. Then there is no need to ask it.
pub fn without_evaluator(case: &GateCase<'_>) -> Option<GateVerdict> {
    if let Some(reason) = skipped(case) {
        let (decision, reason) = (GateDecision::Skip, reason.to_owned());
        let (confidence, threshold, send_at) = (None, None, None);
        return Some(GateVerdict { decision, confidence, threshold, reason, send_at });
    }
    blocked(case).map(|reason| case.review(0.0, &reason))
}

impl GateCase<'_> {
    /// The least confidence that passes; `None` if none is needed.
    fn needed(&self) -> Option<f64> {
        (self.mode == AutoReply::Gate).then_some(self.threshold)
    }

    fn review(&self, confidence: f64, reason: &str) -> GateVerdict {
        GateVerdict {
            decision: GateDecision::NeedsReview,
            confidence: Some(confidence),
            threshold: self.needed(),
            reason: reason.to_owned(),
            send_at: None,
        }
    }
}

/// Why nothing is sent automatically, whatever the draft says.
const fn skipped(case: &GateCase<'_>) -> Option<&'static str> {
    let sending = &case.sending;
    if matches!(case.mode, AutoReply::Off) {
        Some("automatic replies are off")
    } else if !sending.is_enabled {
        Some("sending is switched off")
    } else if !sending.has_settings {
        Some("the channel has no settings for sending")
    } else if !sending.is_channel_automatic {
        Some("the channel sends only what a person approves")
    } else if !sending.has_handle {
        Some("the message cannot be answered through its provider")
    } else if sending.barrier.is_some() {
        sending.barrier
    } else if !sending.is_newest {
        Some("a newer message came")
    } else if sending.is_snoozed {
        Some("the lead is snoozed")
    } else {
        None
    }
}

/// Why a person must look at the draft before an evaluator is asked: a hard block, or a tag that is
/// a guess.
fn blocked(case: &GateCase<'_>) -> Option<String> {
    if let Some(reason) = case.safety.hard_block() {
        return Some(reason.to_owned());
    }
    if case.reaches_others {
        return Some("the answer would reach others, too".to_owned());
    }
    let confidence = case.tag_confidence?;
    let is_sure = confidence >= TAG_CONFIDENCE_MIN;
    (!is_sure).then(|| format!("the tag is a guess ({confidence:.2})"))
}

#[cfg(test)]
#[path = "auto_send_tests.rs"]
mod tests;
