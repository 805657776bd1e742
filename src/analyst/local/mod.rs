//! The analyst that works by rules and by weights that were learned from labelled replies. It asks
//! no service, and the same conversation always gets the same answer.
//!
//! The way of a text: `tokens` reads its words, `concepts` finds phrases that mean alike in all
//! languages (`phrase_tree` holds them), `features` makes numbers of both, and `model` weighs them.
//! `training` finds the weights.

mod classify;
mod concepts;
mod draft;
mod evaluate;
mod features;
mod hash;
mod known_keys;
mod model;
mod phrase_tree;
mod score;
mod tokens;
mod training;

pub use self::training::weights_of;

use self::model::LearnedModel;

use super::{
    Analyst, AnalystAnswer, AnalystError, AnalystVerdict, DraftRequest, DraftText, Evaluation,
    EvaluationRequest, RuledMessage, Score, ruled_message::Ruling,
};
use crate::domain::{Conversation, JudgedBy, Medium, conversation::Line, event::Direction};
use futures_util::FutureExt;
use std::{future::ready, sync::LazyLock};

static JUDGED_BY: LazyLock<JudgedBy> = LazyLock::new(|| {
    let [a, b, c, d, ..] = LearnedModel::compiled_in().learned_from;
    JudgedBy::rules(&format!("{:08x}", u32::from_be_bytes([a, b, c, d])))
});

/// The analyst that works by rules, learned weights and templates.
#[derive(Clone, Copy, Debug, Default)]
pub struct Local;

impl Local {
    /// By what it judges. The version is the beginning of the hash of all that the weights depend
    /// on: the labelled replies, the lexicon, the signs of opt-outs, and which features are read.
    pub fn judged_by() -> JudgedBy {
        JUDGED_BY.clone()
    }

    /// Its verdict on a message.
    pub(super) fn verdict(message: &RuledMessage<'_>) -> AnalystVerdict {
        AnalystVerdict { classified: message.classified(), by: Self::judged_by() }
    }
}

impl Analyst for Local {
    fn classify<'a>(&'a self, message: &'a RuledMessage<'a>) -> AnalystAnswer<'a, AnalystVerdict> {
        ready(Ok(Self::verdict(message))).boxed()
    }

    fn score<'a>(
        &'a self,
        conversation: &'a Conversation,
        ideal_customer: Option<&'a str>,
    ) -> AnalystAnswer<'a, Option<Score>> {
        ready(Ok(score::score(&conversation.lead, ideal_customer))).boxed()
    }

    fn scores_by_thread(&self) -> bool {
        false
    }

    fn draft<'a>(&'a self, request: DraftRequest<'a>) -> AnalystAnswer<'a, Option<DraftText>> {
        if request.hint.is_some() {
            let why = "the answer is filled in from a template, which follows no hint";
            return ready(Err(AnalystError::Unusable(why.to_owned()))).boxed();
        }
        ready(Ok(draft::draft(&request))).boxed()
    }

    fn evaluate<'a>(&'a self, request: EvaluationRequest<'a>) -> AnalystAnswer<'a, Evaluation> {
        ready(Ok(evaluate::evaluate(&request))).boxed()
    }
}

/// What rules and learned weights say of the conversation's message, which came over `medium`.
pub(super) fn ruling(conversation: &Conversation, medium: Medium) -> Ruling {
    classify::ruling(&heard(conversation, medium))
}

/// The parts of a conversation that are judged: the message, and our last message before it on the
/// same channel.
fn heard(conversation: &Conversation, medium: Medium) -> classify::Heard<'_> {
    let message = &conversation.message;
    let is_ours_before = |line: &&Line| {
        line.direction == Direction::Outbound
            && line.channel == message.channel
            && line.at <= message.sent_at
    };
    let last_of_ours = conversation.transcript.iter().rev().find(is_ours_before);
    classify::Heard {
        medium,
        subject: message.subject.as_deref(),
        new_text: &message.body,
        has_new_text: message.has_new_text,
        is_automated: message.automated,
        answers: last_of_ours.map(|line| line.body.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        analyst::testing::{TEXT, conversation, line},
        domain::Sentiment,
    };

    fn tag(it: &Conversation) -> Sentiment {
        let verdict = Local.classify(&RuledMessage::new(it, TEXT)).now_or_never().unwrap().unwrap();
        verdict.classified.tag
    }

    #[test]
    fn rules_are_known_by_the_hash_of_what_their_weights_depend_on() {
        let by = Local::judged_by();
        let version = by.as_str().strip_prefix("local ").expect("the word for rules");
        assert!(version.len() == 8 && version.bytes().all(|it| it.is_ascii_hexdigit()), "{by}");
        let hash = LearnedModel::compiled_in().learned_from;
        assert!(version.starts_with(&format!("{:02x}", hash[0])), "{by}");
        assert_ne!(version, "00000000", "weights are compiled in");
    }

    #[test]
    fn a_bare_yes_is_read_with_our_last_message_on_that_channel() {
        let offer = "Does Tuesday at 10am suit you?";
        let rows = [
            (line("sms", Direction::Outbound, offer, 1_000), Sentiment::MeetingRequested),
            (line("sms", Direction::Outbound, offer, 3_000), Sentiment::Interested),
            (line("email", Direction::Outbound, offer, 1_000), Sentiment::Interested),
            (line("sms", Direction::Inbound, offer, 1_000), Sentiment::Interested),
        ];
        for (before, expected) in rows {
            let mut it = conversation("sms", "Yes");
            it.transcript.insert(0, line("sms", Direction::Outbound, "Hello", 500));
            it.transcript.insert(1, before.clone());
            assert_eq!(tag(&it), expected, "{before:?}");
        }
    }
}
