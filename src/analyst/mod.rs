//! Analysts judge what a message means and how good its lead is, and draft an answer.
//!
//! An analyst is given a [`Conversation`] and returns a plain value. It reads nothing else and
//! writes nothing; its caller decides what to do with the value.

mod analysts;
mod call_log;
mod evaluation;
pub mod local;
mod metered;
mod openai;
pub mod replies;
mod ruled_message;
#[cfg(test)]
pub(crate) mod testing;
pub mod understanding;

use crate::{
    config::Client,
    domain::{Conversation, JudgedBy, LeadView, Sentiment, draft_text, outcome::SCORE_REASON_MAX},
};
use futures_util::future::BoxFuture;
use std::{collections::BTreeMap, time::Duration};
use thiserror::Error;

pub use self::{
    analysts::{Analysts, Asker},
    call_log::ModelCallLog,
    evaluation::{ClientFacts, EVALUATION_REASON_MAX, Evaluation, EvaluationRequest},
    local::Local,
    metered::Metered,
    ruled_message::RuledMessage,
};

/// The future of an analyst's answer.
pub type AnalystAnswer<'a, T> = BoxFuture<'a, Result<T, AnalystError>>;

/// Classifies, scores, drafts, and evaluates drafts.
pub trait Analyst: Send + Sync {
    /// What the message says (docs/RULES.md SENTIMENT), and by what that is known.
    fn classify<'a>(&'a self, message: &'a RuledMessage<'a>) -> AnalystAnswer<'a, AnalystVerdict>;

    /// How good the lead is, or `None` if it never wrote (docs/RULES.md SCORE). `ideal_customer`
    /// is the client's description of the leads it looks for.
    fn score<'a>(
        &'a self,
        conversation: &'a Conversation,
        ideal_customer: Option<&'a str>,
    ) -> AnalystAnswer<'a, Option<Score>>;

    /// True if [`Analyst::score`] looks at the transcript. If not, nobody needs to read it.
    fn scores_by_thread(&self) -> bool {
        true
    }

    /// An answer to the conversation's message, or `None` if its tag gets none (docs/RULES.md
    /// DRAFTS).
    fn draft<'a>(&'a self, request: DraftRequest<'a>) -> AnalystAnswer<'a, Option<DraftText>>;

    /// Whether a draft may be sent without a person (docs/RULES.md EVALUATION). It decides nothing
    /// else: whether the client allows it is asked elsewhere. Without an answer nothing may be
    /// sent.
    fn evaluate<'a>(&'a self, request: EvaluationRequest<'a>) -> AnalystAnswer<'a, Evaluation>;
}

/// Why an analyst has no answer. The texts name the model and what to do about it. They hold
/// neither what people wrote nor secrets.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AnalystError {
    /// It could not be reached, refused, or took too long.
    #[error("the analyst is away ({0})")]
    Away(String),
    /// It answered, but the answer cannot be used.
    #[error("the analyst's answer is of no use ({0})")]
    Unusable(String),
    /// It is known to be away and was not asked, or it has asked to be left alone. It should be
    /// asked again after this time.
    #[error("the analyst is away (model `{model}` {why}, and is asked again in {pause:?})")]
    Paused {
        /// The name of the model.
        model: String,
        /// Why, as the rest of a sentence about the model.
        why: &'static str,
        /// The time until it is asked again.
        pause: Duration,
    },
}

/// An analyst's verdict on a message.
#[derive(Clone, Debug, PartialEq)]
pub struct AnalystVerdict {
    /// What the message says.
    pub classified: Classified,
    /// The rules or the model by which that is known. Rules may answer in the place of a model.
    pub by: JudgedBy,
}

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Classified {
    /// Its tag.
    pub tag: Sentiment,
    /// How likely the tag is right, from 0 to 1. Of the verdicts with about that confidence, so
    /// many are right.
    pub confidence: f32,
    /// True if the lead demands that nobody writes to it any more, in whatever words.
    pub opts_out: bool,
    /// True if the message may be such a demand: then nothing is drafted. True whenever `opts_out`
    /// is.
    pub may_opt_out: bool,
}

/// How good a lead is: 1 to 4 each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Score {
    /// How well the lead matches the client's ideal customer.
    pub fit: i16,
    /// How ready the lead is to meet or buy.
    pub intent: i16,
    /// The mean of the two, rounded down.
    pub overall: i16,
    /// Why, at most [`SCORE_REASON_MAX`] characters.
    pub reason: String,
}

impl Score {
    /// A score of `fit` and `intent`, each clamped to 1 to 4. `reason` is cut at
    /// [`SCORE_REASON_MAX`] characters.
    pub fn new(fit: i16, intent: i16, reason: &str) -> Self {
        let (fit, intent) = (fit.clamp(1, 4), intent.clamp(1, 4));
        let reason = reason.chars().take(SCORE_REASON_MAX).collect();
        Self { fit, intent, overall: (fit + intent) / 2, reason }
    }

    /// The score of a lead that nobody may write to; `None` for any other lead, which an analyst
    /// must score.
    pub fn of_disqualified(lead: &LeadView) -> Option<Self> {
        let why = if lead.opted_out {
            "opted out"
        } else if lead.bounced {
            "mail to it comes back"
        } else if lead.sentiment == Some(Sentiment::Blacklist) {
            Sentiment::Blacklist.as_str()
        } else {
            return None;
        };
        Some(Self::new(1, 1, &format!("Disqualified: {why}")))
    }
}

/// What is needed to draft an answer.
#[derive(Clone, Copy, Debug)]
pub struct DraftRequest<'a> {
    /// The message to answer. The answer is sent over its medium, which limits the length of the
    /// text.
    pub message: &'a RuledMessage<'a>,
    /// What the message says.
    pub tag: Sentiment,
    /// The client's own templates, by the name of the tag.
    pub templates: &'a BTreeMap<String, String>,
    /// The name with which the answer is signed.
    pub sender: Option<&'a str>,
    /// The style in which a model writes, in words. Templates and the `local` analyst ignore it.
    pub style: Option<&'a str>,
    /// What a person asks of this text. Templates cannot follow it.
    pub hint: Option<&'a str>,
}

impl<'a> DraftRequest<'a> {
    /// What is needed to draft an answer of `client`; `None` if the configuration does not have it.
    pub fn new(message: &'a RuledMessage<'a>, tag: Sentiment, client: Option<&'a Client>) -> Self {
        static NO_TEMPLATES: BTreeMap<String, String> = BTreeMap::new();
        Self {
            message,
            tag,
            templates: client.map_or(&NO_TEMPLATES, |client| &client.templates),
            sender: client.and_then(|client| client.sender.as_deref()),
            style: client.and_then(|client| client.reply_style.as_deref()),
            hint: None,
        }
    }

    /// True if `body` is the client's own template for the tag, filled in for the lead and not cut.
    pub fn is_own_template(&self, body: &str) -> bool {
        let own = self.templates.get(self.tag.as_str()).map_or("", String::as_str);
        let (lead, medium) = (&self.message.conversation().lead, self.message.medium());
        draft_text::is_of_template(body, own, lead, self.sender, medium)
    }
}

/// The text of a drafted answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftText {
    /// The subject line, which only mail has.
    pub subject: Option<String>,
    /// The whole text of the answer.
    pub body: String,
    /// The parts of a text message; empty on other media.
    pub parts: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_kept_in_its_bounds() {
        let score = Score::new(9, -3, &"ü".repeat(600));
        assert_eq!((score.fit, score.intent, score.overall), (4, 1, 2));
        assert_eq!(score.reason.chars().count(), SCORE_REASON_MAX);
    }
}
