//! Answers from templates (docs/RULES.md DRAFTS).

use crate::{
    analyst::{DraftRequest, DraftText},
    domain::{
        Medium, Sentiment,
        draft_text::{FittedText, fitted},
        template, text,
    },
};
use regex::Regex;
use std::sync::LazyLock;

/// The answer to the request's message, or `None` if its tag gets none.
pub(super) fn draft(request: &DraftRequest<'_>) -> Option<DraftText> {
    let (conversation, medium) = (request.message.conversation(), request.message.medium());
    let built_in = built_in(request.tag, medium)?;
    let own = request.templates.get(request.tag.as_str()).map(String::as_str);
    let template = own.filter(|own| !own.trim().is_empty()).unwrap_or(built_in);
    let text = template::filled(template, &conversation.lead, request.sender);
    if text.is_empty() {
        return None;
    }
    let subject = conversation.message.subject.as_deref();
    let subject = subject.filter(|_| medium.is_mail()).and_then(answering);
    let FittedText { body, parts } = fitted(&text, medium);
    Some(DraftText { subject, body, parts })
}

/// The template for a client that has none of its own: a short one for text messages, and otherwise
/// one of the 220 to 1,200 characters that a mail should have.
const fn built_in(tag: Sentiment, medium: Medium) -> Option<&'static str> {
    let (long, short) = match tag {
        Sentiment::MeetingRequested => (
            "Hi {first_name},\n\nThank you for getting back to me. I would be glad to meet. \
             Which day and time would suit you best, this week or next? Please name two or three \
             options and your time zone, and I will confirm one of them and send the \
             invitation.\n\nBest regards,\n{sender}",
            "Hi {first_name}, glad to meet. Which day and time suit you best, this week or next? \
             {sender}",
        ),
        Sentiment::CallRequested => (
            "Hi {first_name},\n\nThank you for getting back to me. I am happy to call. When \
             would be a good moment, and which number should I use? If you name a window that \
             suits you together with your time zone, I will ring you then.\n\nBest \
             regards,\n{sender}",
            "Hi {first_name}, happy to call. When is a good moment, and is this the best number? \
             {sender}",
        ),
        Sentiment::InformationRequested => (
            "Hi {first_name},\n\nThank you for your interest. I will put together what you asked \
             for. To make it useful for {company_name}, could you tell me in a line or two what \
             matters most to you? If it is easier to talk it through, name a time that suits you \
             and I will make it work.\n\nBest regards,\n{sender}",
            "Hi {first_name}, thanks for asking. I will send you the details. Anything that \
             matters most to you? {sender}",
        ),
        Sentiment::Interested => (
            "Hi {first_name},\n\nThat is good to hear, thank you. The easiest next step is a \
             short conversation, so that I can show you what would be useful for you and answer \
             what is open. Would a day this week or next suit you?\n\nBest regards,\n{sender}",
            "Hi {first_name}, good to hear, thank you! Shall we have a short call this week or \
             next? {sender}",
        ),
        Sentiment::FollowUp => (
            "Hi {first_name},\n\nThank you for letting me know. There is no hurry on my side: I \
             will get back to you at a better moment. If there is a time when it makes sense for \
             me to write again, tell me and I will keep to it. Until then I wish you all the \
             best.\n\nBest regards,\n{sender}",
            "Hi {first_name}, thanks for letting me know, no hurry. I will get back to you at a \
             better moment. {sender}",
        ),
        Sentiment::Blacklist
        | Sentiment::AutomatedReply
        | Sentiment::OutOfOffice
        | Sentiment::MeetingBooked
        | Sentiment::NotInterested
        | Sentiment::Neutral => return None,
    };
    Some(if medium.is_text() { short } else { long })
}

/// `Re: ` and the subject without the marks of an answer that it already has.
fn answering(subject: &str) -> Option<String> {
    #[expect(clippy::expect_used, reason = "a constant, which the tests use")]
    static MARKS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?i)^(?:\s*(?:re|aw|antw|sv|vs)\s*(?:\[\d{1,3}\])?\s*:)+\s*")
            .expect("a valid pattern")
    });
    let subject = text::one_line(subject);
    let subject = MARKS.replace(&subject, "");
    (!subject.is_empty()).then(|| format!("Re: {subject}"))
}

#[cfg(test)]
#[path = "draft_tests.rs"]
mod tests;
