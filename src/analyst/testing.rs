//! A conversation and an analyst to test with.

use super::{
    Analyst, AnalystAnswer, AnalystError, AnalystVerdict, Classified, DraftRequest, DraftText,
    Evaluation, EvaluationRequest, Local, RuledMessage, Score,
};
use crate::domain::{
    Conversation, InboundMessage, JudgedBy, LeadStatus, LeadView, Medium, Timestamp,
    conversation::Line, event::Direction,
};
use futures_util::FutureExt;
use std::future::ready;

/// The medium of text messages.
pub(crate) const TEXT: Medium = Medium::Text { parts: 3, chars: 160 };
/// The medium of chat messages.
pub(crate) const CHAT: Medium = Medium::Chat { chars: 1_900 };

/// A conversation of an ordinary lead, whose only and newest message is `body`.
pub(crate) fn conversation(channel: &str, body: &str) -> Conversation {
    Conversation {
        message: InboundMessage {
            id: 7,
            channel: channel.to_owned(),
            direction: Direction::Inbound,
            subject: None,
            body: body.to_owned(),
            has_new_text: true,
            automated: false,
            sentiment: None,
            sent_at: Timestamp::from_millis(2_000),
            can_be_answered: true,
            reaches_others: false,
        },
        lead: LeadView {
            id: 3,
            status: LeadStatus::New,
            sentiment: None,
            first_name: None,
            last_name: None,
            company_name: None,
            title: None,
            opted_out: false,
            bounced: false,
            sms_dnd: false,
            has_inbound: true,
            newest_inbound_id: Some(7),
        },
        transcript: vec![line(channel, Direction::Inbound, body, 2_000)],
    }
}

/// One message of a transcript.
pub(crate) fn line(channel: &str, direction: Direction, body: &str, at: i64) -> Line {
    Line {
        at: Timestamp::from_millis(at),
        channel: channel.to_owned(),
        direction,
        subject: None,
        body: body.to_owned(),
    }
}

/// An analyst that says this of each message, and otherwise works by rules.
pub(crate) struct FixedVerdict(pub(crate) Classified);

impl FixedVerdict {
    /// By what it judges.
    pub(crate) fn judged_by() -> JudgedBy {
        JudgedBy::model("openai", "m-1", "classify.v1")
    }
}

impl Analyst for FixedVerdict {
    fn classify<'a>(&'a self, _: &'a RuledMessage<'a>) -> AnalystAnswer<'a, AnalystVerdict> {
        ready(Ok(AnalystVerdict { classified: self.0, by: Self::judged_by() })).boxed()
    }

    fn score<'a>(
        &'a self,
        conversation: &'a Conversation,
        ideal_customer: Option<&'a str>,
    ) -> AnalystAnswer<'a, Option<Score>> {
        Local.score(conversation, ideal_customer)
    }

    fn draft<'a>(&'a self, request: DraftRequest<'a>) -> AnalystAnswer<'a, Option<DraftText>> {
        Local.draft(request)
    }

    fn evaluate<'a>(&'a self, request: EvaluationRequest<'a>) -> AnalystAnswer<'a, Evaluation> {
        Local.evaluate(request)
    }
}

/// An analyst that never answers.
pub(crate) struct Away;

impl Analyst for Away {
    fn classify<'a>(&'a self, _: &'a RuledMessage<'a>) -> AnalystAnswer<'a, AnalystVerdict> {
        away()
    }

    fn score<'a>(
        &'a self,
        _it: &'a Conversation,
        _ideal_customer: Option<&'a str>,
    ) -> AnalystAnswer<'a, Option<Score>> {
        away()
    }

    fn draft<'a>(&'a self, _request: DraftRequest<'a>) -> AnalystAnswer<'a, Option<DraftText>> {
        away()
    }

    fn evaluate<'a>(&'a self, _request: EvaluationRequest<'a>) -> AnalystAnswer<'a, Evaluation> {
        away()
    }
}

fn away<'a, T: Send + 'a>() -> AnalystAnswer<'a, T> {
    ready(Err(AnalystError::Away("status 503".to_owned()))).boxed()
}
