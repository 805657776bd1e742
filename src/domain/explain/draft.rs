//! Where a message stands that has a draft: with a person, before its time, or on its way.

use super::{
    Explanation, JobReason,
    lead::{LeadReason, Stop, barred, barrier_on, decided, superseded},
    lead_facts::{DeliveryFacts, ExplainedDraft, LeadFacts, MessageFacts},
    sends,
    words::{quoted, when},
};
use crate::domain::sending::DeliveryStatus;

/// The step at which a message with a draft stands.
pub(super) fn stop(facts: &LeadFacts, message: &MessageFacts, draft: &ExplainedDraft) -> Stop {
    match draft.status.as_str() {
        "pending" => pending(facts, message, draft),
        "rejected" => rejected(facts, draft),
        "superseded" => superseded(message),
        "approved" => approved(facts, message, draft),
        "sending" => sending(facts, draft),
        _ => Stop {
            step: None,
            reason: LeadReason::Sent,
            sentence: decided(draft, facts.now),
            what_to_do: "Nothing.".to_owned(),
        },
    }
}

/// The job that is to send the draft, if it has not ended.
fn unfinished(message: &MessageFacts) -> Option<&Explanation> {
    message.send_job.as_ref().filter(|job| job.reason != JobReason::Ended.as_str())
}

fn pending(facts: &LeadFacts, message: &MessageFacts, draft: &ExplainedDraft) -> Stop {
    let (now, id) = (facts.now, draft.id);
    // 1. A rule sends it.
    if let Some(job) = unfinished(message) {
        if let Some(stop) = ahead(facts, draft, "gate") {
            return stop;
        }
        if let Some(stop) = switched_off(facts, draft, "gate") {
            return stop;
        }
        let sentence = format!("Draft {id} is to be sent by rule. {}", job.sentence);
        let todo = format!(
            "Nothing. To decide yourself: `postroom drafts approve {id}` or `postroom drafts reject {id}`."
        );
        return Stop::at("gate", LeadReason::Scheduled, sentence, todo);
    }
    // 2. A person does.
    let mode = match &facts.auto_reply {
        Some((word, key)) => format!(" {} is {word}.", key.spelled()),
        None => " The client is not in the configuration.".to_owned(),
    };
    let gate = draft.gate.as_ref().map_or_else(String::new, |(decision, reason)| {
        format!(" The gate decided {}: {}.", quoted(decision), quoted(reason).trim_end_matches('.'))
    });
    let job =
        message.send_job.as_ref().map_or_else(String::new, |job| format!(" {}", job.sentence));
    let sentence = format!(
        "Draft {id} waits for a person since {}.{mode}{gate}{job}",
        when(draft.created_at, now)
    );
    let todo = format!(
        "Read it: `postroom drafts show {id}`. Then `postroom drafts approve {id}`, or `postroom drafts reject {id}`."
    );
    Stop::at("gate", LeadReason::WaitsForPerson, sentence, todo)
}

fn rejected(facts: &LeadFacts, draft: &ExplainedDraft) -> Stop {
    let by_barrier = draft.decided_by.as_deref().and_then(|why| barred(facts, why, "gate"));
    by_barrier.unwrap_or_else(|| {
        let note = draft.note.as_deref().map_or_else(String::new, |note| {
            format!(" The reason: {}.", quoted(note).trim_end_matches('.'))
        });
        let sentence = format!("{}{note}", decided(draft, facts.now));
        let todo = "Answer the lead by hand, if it is to have an answer.";
        Stop::at("gate", LeadReason::Rejected, sentence, todo)
    })
}

fn approved(facts: &LeadFacts, message: &MessageFacts, draft: &ExplainedDraft) -> Stop {
    let (id, now) = (draft.id, facts.now);
    // 1. Nothing is sent any more: the mark refuses it.
    if let Some(stop) = barrier_on(facts, message).and_then(|why| barred(facts, why, "due")) {
        return stop;
    }
    if !message.is_newest {
        return superseded(message);
    }
    // 2. It could not be sent.
    let job = unfinished(message);
    let is_failed = draft.blocked_by.is_some()
        || draft.delivery.as_ref().is_some_and(|it| it.status == DeliveryStatus::Failed);
    if job.is_none() && is_failed {
        let why = match (&draft.delivery, &message.send_job) {
            (Some(DeliveryFacts { error: Some(error), .. }), _) => {
                format!("{}.", quoted(error).trim_end_matches('.'))
            }
            (_, Some(job)) => job.sentence.clone(),
            (_, None) => format!("{}.", quoted(draft.blocked_by.as_deref().unwrap_or("failed"))),
        };
        let sentence = format!("Draft {id} was approved, and was not sent: {why}");
        let todo = format!(
            "Mend what the error names, then `postroom drafts approve {id}` sends it again. If it is not to be sent: `postroom drafts reject {id}`."
        );
        return Stop::at("sent", LeadReason::DeliveryFailed, sentence, todo);
    }
    // 3. Not yet.
    if let Some(stop) = ahead(facts, draft, "due") {
        return stop;
    }
    if let Some(stop) = switched_off(facts, draft, "due") {
        return stop;
    }
    if let Some(pause) = draft.pause.as_ref().filter(|it| it.until > now) {
        let sentence =
            format!("Draft {id} is approved, and waits: {}", sends::is_paused(pause, now));
        return Stop::at("due", LeadReason::AccountPaused, sentence, sends::mend(pause));
    }
    let (sentence, todo) = match job {
        Some(job) => (format!("{} {}", decided(draft, now), job.sentence), job.what_to_do.clone()),
        None => (
            format!("{} No job that sends it is stored.", decided(draft, now)),
            format!("`postroom drafts approve {id}` has it sent."),
        ),
    };
    Stop::at("due", LeadReason::Approved, sentence, todo)
}

/// The time at which it is sent lies ahead.
fn ahead(facts: &LeadFacts, draft: &ExplainedDraft, step: &str) -> Option<Stop> {
    let (id, now) = (draft.id, facts.now);
    let at = draft.send_at.filter(|at| *at > now)?;
    let off = facts.switched_off.as_ref();
    let off = off.map_or_else(String::new, |key| format!(" Until then, {}.", sends::is_off(key)));
    let (sentence, todo) = match draft.status.as_str() {
        "approved" if !draft.is_by_rule() => (
            format!(
                "{} It is sent at {}, and can be taken back until then.{off}",
                decided(draft, now),
                when(at, now)
            ),
            format!("Nothing. To take it back: `postroom drafts undo {id}`."),
        ),
        _ => (
            format!(
                "Draft {id} is sent by rule at {}, unless something speaks against it by then.{off}",
                when(at, now)
            ),
            format!(
                "Nothing. To decide yourself: `postroom drafts approve {id}` or `postroom drafts reject {id}`."
            ),
        ),
    };
    Some(Stop::at(step, LeadReason::Scheduled, sentence, todo))
}

fn switched_off(facts: &LeadFacts, draft: &ExplainedDraft, step: &str) -> Option<Stop> {
    let key = facts.switched_off.as_ref()?;
    let sentence = format!("Draft {} waits, because {}.", draft.id, sends::is_off(key));
    Some(Stop::at(step, LeadReason::SwitchedOff, sentence, sends::switch_on(key)))
}

fn sending(facts: &LeadFacts, draft: &ExplainedDraft) -> Stop {
    let id = draft.id;
    let uncertain = draft.delivery.as_ref().filter(|it| it.status == DeliveryStatus::Uncertain);
    let Some(delivery) = uncertain else {
        let sentence = format!("Draft {id} is being sent.");
        return Stop::at("sent", LeadReason::Sending, sentence, "Wait a moment.");
    };
    let why = delivery.error.as_deref().map_or_else(String::new, |error| {
        format!(" The last that is known: {}.", quoted(error).trim_end_matches('.'))
    });
    let sentence = format!("Nobody knows whether draft {id} was sent.{why}");
    let key = delivery.id;
    let todo = format!(
        "See at the provider whether lead {} has got it. Then `postroom deliveries resolve {key} --sent`, or `postroom deliveries resolve {key} --not-sent`.",
        facts.id
    );
    Stop::at("sent", LeadReason::Uncertain, sentence, todo)
}
