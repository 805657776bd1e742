//! Whether a draft may be sent without a person, and what forbids it whatever an analyst says.

use super::{DraftRequest, RuledMessage};
use crate::domain::{Sentiment, acknowledgement::is_acknowledgement, auto_send::DraftSafety};
use std::collections::BTreeMap;

/// The most characters of the reason of an [`Evaluation`].
pub const EVALUATION_REASON_MAX: usize = 320;
/// Below this confidence nothing is safe.
const CONFIDENCE_LEAST: f32 = 0.01;

/// A draft to evaluate, and all that it is judged by.
#[derive(Clone, Copy, Debug)]
pub struct EvaluationRequest<'a> {
    /// The message that is answered. The draft is sent over its medium.
    pub message: &'a RuledMessage<'a>,
    /// What the message says.
    pub tag: Sentiment,
    /// The whole text of the draft as it would be sent, edits included.
    pub draft: &'a str,
    /// True if the draft is the client's own template for the tag, filled in and not edited.
    pub is_own_template: bool,
    /// What is known of the client.
    pub client: ClientFacts<'a>,
}

/// The words of a client that a draft may repeat.
#[derive(Clone, Copy, Debug)]
pub struct ClientFacts<'a> {
    /// The name that signs.
    pub sender: Option<&'a str>,
    /// Its own templates, by the name of the tag: what they say is true.
    pub templates: &'a BTreeMap<String, String>,
}

impl<'a> EvaluationRequest<'a> {
    /// For a draft that was drafted for this request and whose text is now `draft`. It counts as
    /// the client's own template if filling in that template gives the same text now. So it does
    /// not if it was edited or cut, or if the template has changed since.
    pub fn of(drafted_for: DraftRequest<'a>, draft: &'a str) -> Self {
        let DraftRequest { message, tag, templates, sender, .. } = drafted_for;
        let is_own_template = drafted_for.is_own_template(draft);
        let client = ClientFacts { sender, templates };
        Self { message, tag, draft, is_own_template, client }
    }

    /// What may forbid to send the draft without a person.
    pub fn safety(&self) -> DraftSafety {
        let Self { message, tag, draft, .. } = *self;
        let conversation = message.conversation();
        DraftSafety {
            is_empty: draft.trim().is_empty(),
            opts_out: message.classified().opts_out,
            tag,
            is_automated: conversation.message.automated,
            barrier: conversation.lead.no_draft_on(message.medium()),
            is_acknowledgement: is_acknowledgement(conversation.message.new_text()),
        }
    }
}

/// Whether a draft may be sent without a person.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// True if it may; false if a person must see it first.
    pub is_safe: bool,
    /// From 0, a guess, to 1, certain. A hard block has 0.
    pub confidence: f32,
    /// Why, at most [`EVALUATION_REASON_MAX`] characters.
    pub reason: String,
}

impl Evaluation {
    /// The draft may be sent, unless the confidence is next to nothing.
    pub fn safe(confidence: f32, reason: &str) -> Self {
        Self { is_safe: confidence >= CONFIDENCE_LEAST, ..Self::needs_human(confidence, reason) }
    }

    /// A person must see the draft.
    pub fn needs_human(confidence: f32, reason: &str) -> Self {
        let reason = reason.chars().take(EVALUATION_REASON_MAX).collect();
        Self { is_safe: false, confidence: confidence.clamp(0.0, 1.0), reason }
    }

    /// A rule forbids to send the draft, and no analyst is asked.
    fn blocked(reason: &str) -> Self {
        Self::needs_human(0.0, reason)
    }
}

/// What forbids to send the draft, if something does (docs/RULES.md EVALUATION).
pub(super) fn hard_block(request: &EvaluationRequest<'_>) -> Option<Evaluation> {
    request.safety().hard_block().map(Evaluation::blocked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        analyst::testing::{TEXT, conversation},
        domain::{Conversation, Medium},
    };

    /// Why the draft is blocked.
    fn block(it: &Conversation, tag: Sentiment, medium: Medium, body: &str) -> Option<String> {
        let message = RuledMessage::new(it, medium);
        let drafting = DraftRequest::new(&message, tag, None);
        let blocked = hard_block(&EvaluationRequest::of(drafting, body))?;
        assert!(!blocked.is_safe && blocked.confidence == 0.0, "{blocked:?}");
        Some(blocked.reason)
    }

    #[test]
    fn rules_forbid_whatever_an_analyst_would_say() {
        type Change = fn(&mut Conversation);
        let interested = Sentiment::Interested;
        let rows: [(&str, Sentiment, Change, Option<&str>); 11] = [
            ("Hello", interested, |_| {}, None),
            ("", interested, |_| {}, Some("the draft is empty")),
            ("Hello", Sentiment::Blacklist, |_| {}, Some("the message gets no answer")),
            ("Hello", Sentiment::AutomatedReply, |_| {}, Some("the message gets no answer")),
            (
                "Hello",
                interested,
                |it| it.message.automated = true,
                Some("a machine wrote the message"),
            ),
            ("Hello", Sentiment::OutOfOffice, |it| it.message.automated = true, None),
            (
                "Hello",
                interested,
                |it| it.message.body = "Unsubscribe me, please".to_owned(),
                Some("the lead opts out in the message"),
            ),
            (
                "Hello",
                interested,
                |it| it.message.body = "Takk men jeg vil ikke ha flere meldinger".to_owned(),
                Some("the lead opts out in the message"),
            ),
            (
                "Hello",
                interested,
                |it| it.message.body = "Great, thanks! 👍".to_owned(),
                Some("the message only acknowledges"),
            ),
            ("Hello", interested, |it| it.message.body = "ok?".to_owned(), None),
            ("Hello", interested, |it| it.message.body = "ok call me".to_owned(), None),
        ];
        for (number, (body, tag, change, expected)) in rows.into_iter().enumerate() {
            let mut it = conversation("any", "Tell me what it costs");
            change(&mut it);
            assert_eq!(block(&it, tag, TEXT, body).as_deref(), expected, "row {number}");
        }
        let mut it = conversation("any", "Tell me what it costs");
        it.lead.opted_out = true;
        assert!(block(&it, interested, TEXT, "Hello").is_some(), "the lead opted out earlier");
    }

    #[test]
    fn an_evaluation_is_kept_in_its_bounds() {
        let it = Evaluation::safe(7.0, &"ü".repeat(600));
        assert_eq!((it.is_safe, it.confidence, it.reason.chars().count()), (true, 1.0, 320));
        assert!(!Evaluation::safe(0.005, "a guess").is_safe);
        assert!(!Evaluation::safe(f32::NAN, "nothing").is_safe);
        assert!(!Evaluation::needs_human(0.99, "a complaint").is_safe);
    }
}
