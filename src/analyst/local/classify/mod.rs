//! What a message says, by plain cues (docs/RULES.md SENTIMENT).
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

/// What is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard<'a> {
    /// How it came.
    pub(super) medium: Medium,
    /// Counts for absence notices, delivery reports and opt-out words only.
    pub(super) subject: Option<&'a str>,
    /// What the lead wrote, without quotes and signature.
    pub(super) new_text: &'a str,
    /// False where `new_text` is a quote after all.
    pub(super) has_new_text: bool,
    /// The provider says that a machine wrote it.
    pub(super) is_automated: bool,
    /// What we had written last: a bare "yes" is read as the answer to it.
    pub(super) answers: Option<&'a str>,
}

/// The strongest tag for which the message holds a cue.
pub(super) fn classify(it: &Heard<'_>) -> Sentiment {
    let new_text = if it.has_new_text { it.new_text } else { "" };
    if opt_out_words(it.medium, it.subject, new_text).is_some() {
        return Sentiment::Blacklist;
    }
    let text = Text::of(new_text);
    if it.is_automated {
        return of_machine(it, &text);
    }
    if !it.has_new_text {
        return Sentiment::Neutral;
    }
    of_person(it, &text)
}

/// The tag of a machine's message: one of three.
fn of_machine(it: &Heard<'_>, text: &Text) -> Sentiment {
    let is_bounce = it.medium.is_mail() && machine::is_delivery_report(it.subject);
    if is_bounce || is_dead_mailbox(it, text) || refusal::is_hostile(text) {
        Sentiment::Blacklist
    } else if is_absence_notice(it, text, true) || machine::tells_return(text) {
        Sentiment::OutOfOffice
    } else {
        Sentiment::AutomatedReply
    }
}

/// All other messages, the strongest tag first. Absence notices are found before acknowledgements,
/// because a notice often reads like one.
fn of_person(it: &Heard<'_>, text: &Text) -> Sentiment {
    // Only a message whose subject says that it is automatic may say that nobody reads the mailbox
    // any more.
    let is_automatic = it.medium.is_mail() && machine::is_automatic_by_subject(it.subject);
    let is_given_up = (is_automatic && is_dead_mailbox(it, text))
        || (it.medium.is_mail() && mailbox::is_given_up_by_subject(it.subject));
    if refusal::is_hostile(text) || is_given_up {
        return Sentiment::Blacklist;
    }
    let wish = wish(it, text);
    let says_nothing_else = matches!(wish, Sentiment::Neutral | Sentiment::FollowUp);
    if is_absence_notice(it, text, says_nothing_else) {
        return Sentiment::OutOfOffice;
    }
    let is_automatic = machine::is_surely_automatic(text)
        || (says_nothing_else && machine::is_probably_automatic(text));
    if is_automatic { Sentiment::AutomatedReply } else { wish }
}

/// A mailbox that is given up, or that nobody reads.
fn is_dead_mailbox(it: &Heard<'_>, text: &Text) -> bool {
    mailbox::is_given_up(text)
        || (it.medium.is_mail() && mailbox::is_given_up_by_subject(it.subject))
        || machine::is_unread_mailbox(text)
}

fn is_absence_notice(it: &Heard<'_>, text: &Text, says_nothing_else: bool) -> bool {
    machine::is_absent(text, says_nothing_else) || machine::is_absent_by_subject(it.subject, text)
}

/// What a person wants.
fn wish(it: &Heard<'_>, text: &Text) -> Sentiment {
    let is_yes_to_a_time = || {
        attitude::agrees(text)
            && it.answers.is_some_and(|ours| meeting::offers_a_time(&Text::of(ours)))
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
