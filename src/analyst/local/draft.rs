//! Answers from templates (docs/RULES.md DRAFTS).

use crate::{
    analyst::{DraftRequest, DraftText},
    domain::{LeadView, Medium, Sentiment},
};
use regex::{Captures, Regex};
use std::{ops::Range, sync::LazyLock};

/// The most characters of a placeholder's value. A longer text is no name.
const VALUE_MAX: usize = 80;

/// The answer to the request's message, or `None` if its tag gets none.
pub(super) fn draft(request: &DraftRequest<'_>) -> Option<DraftText> {
    let built_in = built_in(request.tag, request.medium)?;
    let own = request.templates.get(request.tag.as_str()).map(String::as_str);
    let template = own.filter(|text| !text.trim().is_empty()).unwrap_or(built_in);
    let text = filled(template, &request.conversation.lead, request.sender);
    if text.is_empty() {
        return None;
    }
    Some(match request.medium {
        Medium::Mail => {
            let subject = request.conversation.message.subject.as_deref().and_then(answering);
            DraftText { subject, body: text, parts: Vec::new() }
        }
        Medium::Text { parts, chars } => {
            let (body, parts) = in_parts(&text, parts, chars);
            DraftText { subject: None, body, parts }
        }
        Medium::Chat { chars } => {
            let body = shortened(&text, chars).to_owned();
            DraftText { subject: None, body, parts: Vec::new() }
        }
    })
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

#[expect(clippy::expect_used, reason = "constants, each of them used by the tests")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}

/// A placeholder, together with the little word before it, which is dropped if there is no value.
static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?P<before>(?:\b(?:at|for|from|with|of|by) )?)\{(?P<name>[a-z_]{1,40})\}")
});
static BLANKS: LazyLock<Regex> = LazyLock::new(|| pattern(r"[ \t]{2,}"));
static BLANK_BEFORE_MARK: LazyLock<Regex> = LazyLock::new(|| pattern(r"[ \t]+([,.!?;:])"));
static BLANK_LINES: LazyLock<Regex> = LazyLock::new(|| pattern(r"\n{3,}"));

/// `template` with its placeholders filled in. A placeholder without a value is removed with the
/// blank around it, and so is a line of which nothing is left. Placeholders in values are not
/// filled in.
fn filled(template: &str, lead: &LeadView, sender: Option<&str>) -> String {
    let lines = template.lines().filter_map(|line| filled_line(line.trim_end(), lead, sender));
    let text = lines.collect::<Vec<_>>().join("\n");
    let text = BLANK_LINES.replace_all(text.trim(), "\n\n");
    // A comma at the very end stood before the name of a sender that is not known.
    text.trim_end_matches(',').to_owned()
}

fn filled_line(line: &str, lead: &LeadView, sender: Option<&str>) -> Option<String> {
    let mut is_one_gone = false;
    let text = PLACEHOLDER.replace_all(line, |found: &Captures<'_>| {
        let part = |name| found.name(name).map_or("", |it| it.as_str());
        if let Some(value) = value(part("name"), lead, sender) {
            return format!("{}{value}", part("before"));
        }
        is_one_gone = true;
        String::new()
    });
    if !is_one_gone {
        return Some(text.into_owned());
    }
    let text = BLANKS.replace_all(text.trim(), " ");
    let text = BLANK_BEFORE_MARK.replace_all(&text, "$1");
    text.contains(char::is_alphanumeric).then(|| text.into_owned())
}

fn value(name: &str, lead: &LeadView, sender: Option<&str>) -> Option<String> {
    let given = match name {
        "first_name" => lead.first_name.as_deref(),
        "last_name" => lead.last_name.as_deref(),
        "company_name" => lead.company_name.as_deref(),
        "sender" => sender,
        _ => None,
    };
    let value = given.map(one_line).filter(|it| !it.is_empty());
    let fallback = (name == "first_name").then(|| "there".to_owned());
    value.map(|value| value.chars().take(VALUE_MAX).collect()).or(fallback)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `Re: ` and the subject without the marks of an answer that it already has.
fn answering(subject: &str) -> Option<String> {
    static MARKS: LazyLock<Regex> =
        LazyLock::new(|| pattern(r"(?i)^(?:\s*(?:re|aw|antw|sv|vs)\s*(?:\[\d{1,3}\])?\s*:)+\s*"));
    let subject = one_line(subject);
    let subject = MARKS.replace(&subject, "");
    (!subject.is_empty()).then(|| format!("Re: {subject}"))
}

/// The text and its parts, at most `parts_max` of at most `chars` characters, split at blanks. A
/// longer text is cut behind the last sentence that fits, or else behind the last word.
fn in_parts(text: &str, parts_max: usize, chars: usize) -> (String, Vec<String>) {
    let text = one_line(text);
    let mut held = text.as_str();
    if let Some(last) = split(held, chars).get(parts_max.saturating_sub(1)) {
        held = held.get(..last.end).unwrap_or(held);
    }
    if held.len() < text.len() {
        held = whole_sentences(held).unwrap_or(held);
    }
    let parts =
        split(held, chars).into_iter().filter_map(|it| held.get(it)).map(str::to_owned).collect();
    (held.to_owned(), parts)
}

/// The ranges of the parts of a text without line breaks, each of at most `chars` characters.
fn split(text: &str, chars: usize) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut start = 0;
    while let Some(rest) = text.get(start..).filter(|it| !it.is_empty()) {
        let end = start + shortened(rest, chars).len();
        parts.push(start..end);
        let blanks = text.get(end..).map_or(0, |rest| rest.len() - rest.trim_start().len());
        start = end + blanks;
    }
    parts
}

/// The longest beginning of `text` of at most `max` characters that ends before a blank; a longer
/// word is cut.
fn shortened(text: &str, max: usize) -> &str {
    let Some((end, next)) = text.char_indices().nth(max) else { return text };
    let head = text.get(..end).unwrap_or(text);
    if next.is_whitespace() {
        return head.trim_end();
    }
    match head.trim_end().rfind(char::is_whitespace) {
        Some(blank) => head.get(..blank).unwrap_or(head).trim_end(),
        None => head,
    }
}

/// `text` up to its last full sentence, if that is at least half of it.
fn whole_sentences(text: &str) -> Option<&str> {
    let end = text.rmatch_indices(['.', '!', '?']).map(|(at, _)| at + 1).find(|end| {
        text.get(*end..).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    })?;
    if end * 2 < text.len() { None } else { text.get(..end) }
}

#[cfg(test)]
#[path = "draft_tests.rs"]
mod tests;
