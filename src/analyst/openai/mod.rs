//! The analyst that asks a model behind the protocol of OpenAI, which many servers speak
//! (docs/decisions/0030-a-model.md).
//!
//! Rules go before and after the model and win. Before: if they find an opt-out, a bounce or a
//! mailbox that is given up, the model is not asked. After: a machine's message has a machine's
//! tag, a message that opts out is Blacklist, a draft has only our own links and numbers, and the
//! recorder checks under the lead's lock that no opt-out has come meanwhile. A question that has no
//! answer is an error, never a tag.

mod answers;
mod asking;
mod contacts;
mod exchange;
mod model_breaker;
mod prompts;
mod request_limit;
mod transcript;

pub(super) use self::asking::ModelServer;

use super::{
    Analyst, AnalystAnswer, AnalystError, AnalystVerdict, Asker, DraftRequest, DraftText,
    Evaluation, EvaluationRequest, Local, RuledMessage, Score, evaluation::hard_block,
};
use crate::{
    config::AnalystConfig,
    domain::{Conversation, JudgedBy, Sentiment},
};
use std::{collections::BTreeMap, sync::Arc};

/// The word for a model behind the protocol of OpenAI, in metrics and beside its verdicts.
pub(super) const NAME: &str = "openai";

/// The analyst of one job that asks a model.
#[derive(Debug)]
pub(super) struct Openai {
    server: Arc<ModelServer>,
    settings: AnalystConfig,
    asker: Asker,
}

impl Openai {
    /// The analyst for the job of `asker`, under the settings of this moment.
    pub(super) const fn new(
        server: Arc<ModelServer>,
        settings: AnalystConfig,
        asker: Asker,
    ) -> Self {
        Self { server, settings, asker }
    }
}

/// The verdict of this process, if no model is to be asked: on an opt-out, on a machine's message
/// that says that mail comes back or that nobody reads it, and on a person's message that says
/// nothing.
fn ruled(ruled: &RuledMessage<'_>) -> Option<AnalystVerdict> {
    let message = &ruled.conversation().message;
    let verdict = Local::verdict(ruled);
    let found = &verdict.classified;
    let is_certain = if message.automated {
        found.opts_out || found.tag == Sentiment::Blacklist
    } else {
        found.opts_out || !message.has_new_text
    };
    is_certain.then_some(verdict)
}

impl Analyst for Openai {
    fn classify<'a>(&'a self, message: &'a RuledMessage<'a>) -> AnalystAnswer<'a, AnalystVerdict> {
        Box::pin(async move {
            if let Some(found) = ruled(message) {
                return Ok(found);
            }
            let conversation = message.conversation();
            let question = prompts::classify(conversation);
            let read = |text: &str| answers::verdict(text, &conversation.message);
            let classified = self.server.ask(&self.settings, &self.asker, &question, read).await?;
            let by = JudgedBy::model(NAME, &self.settings.model, question.prompt.version);
            Ok(AnalystVerdict { classified, by })
        })
    }

    fn score<'a>(
        &'a self,
        conversation: &'a Conversation,
        ideal_customer: Option<&'a str>,
    ) -> AnalystAnswer<'a, Option<Score>> {
        Box::pin(async move {
            if let Some(score) = Score::of_disqualified(&conversation.lead) {
                return Ok(Some(score));
            }
            if !conversation.lead.has_inbound {
                return Ok(None);
            }
            let question = prompts::score(conversation, ideal_customer);
            let answer =
                self.server.ask(&self.settings, &self.asker, &question, answers::score).await?;
            Ok(Some(answer))
        })
    }

    /// A client's own template for the tag wins over the model.
    fn draft<'a>(&'a self, request: DraftRequest<'a>) -> AnalystAnswer<'a, Option<DraftText>> {
        Box::pin(async move {
            let DraftRequest { message, tag, templates, .. } = request;
            let own = templates.get(tag.as_str());
            if !tag.gets_draft() || own.is_some_and(|text| !text.trim().is_empty()) {
                return Local.draft(request).await;
            }
            if ruled(message).is_some() {
                return Ok(None);
            }
            let question = prompts::draft(&request);
            let (conversation, medium) = (message.conversation(), message.medium());
            let read = |text: &str| answers::draft(text, conversation, medium);
            let body = self.server.ask(&self.settings, &self.asker, &question, read).await?;
            shaped(&request, body).await
        })
    }

    fn evaluate<'a>(&'a self, request: EvaluationRequest<'a>) -> AnalystAnswer<'a, Evaluation> {
        Box::pin(async move {
            if let Some(blocked) = hard_block(&request) {
                return Ok(blocked);
            }
            let question = prompts::evaluate(&request);
            self.server.ask(&self.settings, &self.asker, &question, answers::evaluation).await
        })
    }
}

/// The model's text as an answer of this medium: with its subject, and in parts. It takes the way
/// of a client's template, so a placeholder that the model has left in it never goes out.
async fn shaped(
    request: &DraftRequest<'_>,
    body: String,
) -> Result<Option<DraftText>, AnalystError> {
    let templates = BTreeMap::from([(request.tag.as_str().to_owned(), body)]);
    Local.draft(DraftRequest { templates: &templates, hint: None, ..*request }).await
}
