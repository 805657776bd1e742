//! Classifies a message by plain cues (docs/RULES.md SENTIMENT).
//!
//! Only plain cues are used. A message that no rule understands is `Neutral` and costs a person a
//! moment; a message that is misread costs a lead.

mod asks;
mod attitude;
mod cue;
mod machine;
mod mailbox;
mod meeting;
mod refusal;
mod text;

use crate::domain::{Medium, Sentiment, opt_out::opt_out_words};
use text::Text;

/// A message to judge, and what is known about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard<'a> {
    /// The medium over which it came.
    pub(super) medium: Medium,
    /// The subject. It is read only for absence notices, delivery reports and opt-out words.
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

/// The strongest tag for which the message holds a cue.
pub(super) fn classify(heard: &Heard<'_>) -> Sentiment {
    let new_text = if heard.has_new_text { heard.new_text } else { "" };
    if opt_out_words(heard.medium, heard.subject, new_text).is_some() {
        return Sentiment::Blacklist;
    }
    let text = Text::of(new_text);
    if heard.is_automated {
        return of_machine(heard, &text);
    }
    if !heard.has_new_text {
        return Sentiment::Neutral;
    }
    of_person(heard, &text)
}

/// The tag of a machine's message: one of three.
fn of_machine(heard: &Heard<'_>, text: &Text) -> Sentiment {
    let is_bounce = heard.medium.is_mail() && machine::is_delivery_report(heard.subject);
    if is_bounce || is_dead_mailbox(heard, text) || refusal::is_hostile(text) {
        Sentiment::Blacklist
    } else if is_absence_notice(heard, text, true) || machine::tells_return(text) {
        Sentiment::OutOfOffice
    } else {
        Sentiment::AutomatedReply
    }
}

/// All other messages, the strongest tag first. Absence notices are found before acknowledgements,
/// because a notice often reads like one.
fn of_person(heard: &Heard<'_>, text: &Text) -> Sentiment {
    // Only a message whose subject says that it is automatic may say that nobody reads the mailbox
    // any more.
    let is_automatic = heard.medium.is_mail() && machine::is_automatic_by_subject(heard.subject);
    let is_given_up = (is_automatic && is_dead_mailbox(heard, text))
        || (heard.medium.is_mail() && mailbox::is_given_up_by_subject(heard.subject));
    if refusal::is_hostile(text) || is_given_up {
        return Sentiment::Blacklist;
    }
    let wish = wish(heard, text);
    let says_nothing_else = matches!(wish, Sentiment::Neutral | Sentiment::FollowUp);
    if is_absence_notice(heard, text, says_nothing_else) {
        return Sentiment::OutOfOffice;
    }
    let is_automatic = machine::is_surely_automatic(text)
        || (says_nothing_else && machine::is_probably_automatic(text));
    if is_automatic { Sentiment::AutomatedReply } else { wish }
}

/// True for a mailbox that is given up, or that nobody reads.
fn is_dead_mailbox(heard: &Heard<'_>, text: &Text) -> bool {
    mailbox::is_given_up(text)
        || (heard.medium.is_mail() && mailbox::is_given_up_by_subject(heard.subject))
        || machine::is_unread_mailbox(text)
}

fn is_absence_notice(heard: &Heard<'_>, text: &Text, says_nothing_else: bool) -> bool {
    machine::is_absent(text, says_nothing_else)
        || machine::is_absent_by_subject(heard.subject, text)
}

/// The tag for what a person wants.
fn wish(heard: &Heard<'_>, text: &Text) -> Sentiment {
    let is_yes_to_a_time = || {
        attitude::agrees(text)
            && heard.answers.is_some_and(|ours| meeting::offers_a_time(&Text::of(ours)))
    };
    if meeting::is_booked(text) {
        Sentiment::MeetingBooked
    } else if meeting::is_requested(text) || is_yes_to_a_time() {
        Sentiment::MeetingRequested
    } else if asks::is_call(text) {
        Sentiment::CallRequested
    } else if asks::is_information(text) {
        Sentiment::InformationRequested
    } else if refusal::is_explicit(text) && !refusal::names_later_time(text) {
        Sentiment::NotInterested
    } else if attitude::is_deferral(text) {
        Sentiment::FollowUp
    } else if refusal::is_decline(text) {
        Sentiment::NotInterested
    } else if attitude::is_interest(text) {
        Sentiment::Interested
    } else {
        Sentiment::Neutral
    }
}

#[cfg(test)]
mod tests;
