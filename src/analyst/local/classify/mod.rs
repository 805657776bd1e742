//! Classifies a message (docs/RULES.md SENTIMENT): by rules what must be certain, and by learned
//! weights everything else.

mod certain;
mod cue;
mod machine;
mod mailbox;
mod refusal;
mod text;

use super::{
    features::{Input, features},
    model::{CLASSES, Class, LearnedModel},
    tokens::{self, TermSentence},
};
use crate::{
    analyst::{Classified, ruled_message::Ruling},
    domain::{Medium, Sentiment, opt_out::ReadText},
};
use text::Text;

/// How sure a rule is.
const BY_RULE: f32 = 0.97;
/// How sure a cue is that only stands against unsure weights.
const BY_CUE: f32 = 0.8;
/// Below this likelihood, weights give way to a cue.
const UNSURE_MAX: f32 = 0.6;
/// From this likelihood on, a message is an opt-out. In cross-validation on the training replies,
/// 98 of 100 such messages are one.
const OPTS_OUT_MIN: f32 = 0.95;
/// From this likelihood on, a machine's message is an absence notice.
const ABSENT_MIN: f32 = 0.5;
/// From this likelihood of an opt-out on, no answer to a message is drafted.
const DOUBT_MIN: f32 = 0.15;
/// From this likelihood of an opt-out on, a message gets no tag for which an answer is drafted.
/// Below it, most such tags are right, so people should see them.
const NEUTRAL_MIN: f32 = 0.3;

/// A message to judge, and what is known about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard<'a> {
    /// The medium over which it came.
    pub(super) medium: Medium,
    /// The subject. That of an answer is our own and says nothing.
    pub(super) subject: Option<&'a str>,
    /// What the lead wrote, without quotes and signature.
    pub(super) new_text: &'a str,
    /// False if `new_text` is only a quote.
    pub(super) has_new_text: bool,
    /// True if the provider says that a machine wrote it.
    pub(super) is_automated: bool,
    /// Our last message before it. A bare "yes" is read as the answer to that.
    pub(super) answers: Option<&'a str>,
}

/// What the message says, and the words by which the lead opts out in it.
pub(super) fn ruling(heard: &Heard<'_>) -> Ruling {
    let read = ReadText::of(if heard.has_new_text { heard.new_text } else { "" });
    let opt_out_words = read.opt_out_words(heard.medium, heard.subject);
    let classified = if opt_out_words.is_some() {
        let (opts_out, may_opt_out) = (true, true);
        Classified { opts_out, may_opt_out, ..by_rule(Sentiment::Blacklist) }
    } else {
        classify(heard, &read)
    };
    Ruling { opt_out_words, classified }
}

/// What a message says that holds no words of opting out. `read` is what the lead wrote.
fn classify(heard: &Heard<'_>, read: &ReadText<'_>) -> Classified {
    let text = Text::of(read.source());
    if heard.is_automated {
        return of_machine(heard, &text, read);
    }
    if is_given_up_mailbox(heard, &text) {
        return by_rule(Sentiment::Blacklist);
    }
    let sentences = tokens::sentences_of(read);
    let judged = by_weights(&likelihoods(heard, read, &sentences));
    // A cue knows the tag of a complaint or an insult, but not that it is an opt-out.
    if judged.opts_out {
        return judged;
    }
    // What may be an opt-out gets no draft, whatever a rule or a cue says.
    let tag = certain(heard, &text, &sentences);
    if let Some(tag) = tag.filter(|it| !judged.may_opt_out || !it.gets_draft()) {
        return by_rule(tag);
    }
    let is_open = [Sentiment::InformationRequested, Sentiment::Interested, Sentiment::Neutral]
        .contains(&judged.tag);
    let is_unsure_no = judged.tag == Sentiment::NotInterested && judged.confidence < UNSURE_MAX;
    let gives_way = is_open || is_unsure_no;
    if gives_way && !judged.may_opt_out && certain::asks_for_a_call(&text) {
        return Classified { tag: Sentiment::CallRequested, confidence: BY_CUE, ..judged };
    }
    if judged.tag.gets_draft()
        && judged.confidence < UNSURE_MAX
        && certain::is_of_unknown_words(&sentences)
    {
        return Classified { tag: Sentiment::Neutral, ..judged };
    }
    judged
}

const fn by_rule(tag: Sentiment) -> Classified {
    Classified { tag, confidence: BY_RULE, opts_out: false, may_opt_out: false }
}

/// True if a message that the provider does not call automated says that its mailbox is given up.
/// Only one whose subject says so, or that it is automatic, may say that.
fn is_given_up_mailbox(heard: &Heard<'_>, text: &Text) -> bool {
    if !heard.has_new_text || !heard.medium.is_mail() {
        return false;
    }
    (machine::is_automatic_by_subject(heard.subject) && is_dead_mailbox(heard, text))
        || mailbox::is_given_up_by_subject(heard.subject)
}

/// What is certain about a message that neither the provider calls automated nor says that its
/// mailbox is given up.
fn certain(heard: &Heard<'_>, text: &Text, sentences: &[TermSentence]) -> Option<Sentiment> {
    if heard.has_new_text && refusal::is_hostile(text) {
        return Some(Sentiment::Blacklist);
    }
    if heard.has_new_text && machine::is_absent_by_subject(heard.subject, text) {
        return Some(Sentiment::OutOfOffice);
    }
    if !heard.has_new_text || text.is_empty() {
        return Some(Sentiment::Neutral);
    }
    if certain::is_sent_to_own_link(text) {
        return Some(Sentiment::MeetingBooked);
    }
    let proposes = certain::is_only_a_time(sentences, heard.answers)
        || certain::is_yes_to_a_time(sentences, heard.answers);
    if proposes {
        return Some(Sentiment::MeetingRequested);
    }
    certain::is_only_a_number(text).then_some(Sentiment::CallRequested)
}

/// The tag of a machine's message: one of three.
fn of_machine(heard: &Heard<'_>, text: &Text, read: &ReadText<'_>) -> Classified {
    let is_bounce = heard.medium.is_mail() && machine::is_delivery_report(heard.subject);
    if is_bounce || is_dead_mailbox(heard, text) || refusal::is_hostile(text) {
        return by_rule(Sentiment::Blacklist);
    }
    let is_absence = machine::is_absent(text, true)
        || machine::is_absent_by_subject(heard.subject, text)
        || machine::tells_return(text);
    if is_absence {
        return by_rule(Sentiment::OutOfOffice);
    }
    if text.is_empty() || machine::is_surely_automatic(text) {
        return by_rule(Sentiment::AutomatedReply);
    }
    // What a machine cannot mean is left out.
    let likely = likelihoods(heard, read, &tokens::sentences_of(read));
    let of = |class: Class| likely.get(class as usize).copied().unwrap_or_default();
    let (absent, automatic) = (of(Class::OutOfOffice), of(Class::AutomatedReply));
    if absent > automatic && absent > ABSENT_MIN {
        Classified { confidence: absent, ..by_rule(Sentiment::OutOfOffice) }
    } else {
        Classified { confidence: 1.0 - absent, ..by_rule(Sentiment::AutomatedReply) }
    }
}

fn is_dead_mailbox(heard: &Heard<'_>, text: &Text) -> bool {
    mailbox::is_given_up(text)
        || (heard.medium.is_mail() && mailbox::is_given_up_by_subject(heard.subject))
        || machine::is_unread_mailbox(text)
}

/// How likely each class is, by what the lead wrote before its sign-off. `read` is all that it
/// wrote, and `sentences` are those of `read`.
fn likelihoods(
    heard: &Heard<'_>,
    read: &ReadText<'_>,
    sentences: &[TermSentence],
) -> [f32; CLASSES] {
    let subject = heard.subject.filter(|_| heard.medium.is_mail());
    let part = tokens::beginning(text::before_sign_off(read.source()));
    let found = if part.len() == read.source().len() {
        features(&Input { subject, text: read, sentences })
    } else {
        let text = ReadText::of(part);
        features(&Input { subject, text: &text, sentences: &tokens::sentences_of(&text) })
    };
    LearnedModel::compiled_in().likelihoods(&found)
}

/// The tag that is most likely.
fn by_weights(likely: &[f32; CLASSES]) -> Classified {
    let [opt_out, other, of_tags @ ..] = likely;
    let blacklist = [opt_out + other];
    let of_tags = blacklist.iter().chain(of_tags).copied();
    let best = Sentiment::ALL.into_iter().zip(of_tags).max_by(|a, b| a.1.total_cmp(&b.1));
    let (tag, confidence) = best.unwrap_or((Sentiment::Neutral, 0.0));
    let (opts_out, may_opt_out) = (*opt_out >= OPTS_OUT_MIN, *opt_out >= DOUBT_MIN);
    if *opt_out >= NEUTRAL_MIN && tag.gets_draft() {
        let neutral = likely.last().copied().unwrap_or_default();
        let tag = Sentiment::Neutral;
        return Classified { tag, confidence: neutral, opts_out: false, may_opt_out };
    }
    Classified { tag, confidence, opts_out, may_opt_out }
}

#[cfg(test)]
mod tests;
