//! Why an answer is not sent for a while: sending is switched off, settings, its
//! account, or a snooze.

use super::{
    AccountPause, Explanation, JobReason,
    job_facts::{ConfigKey, JobFacts, JobPlace},
    words::{quoted, when},
};
use crate::domain::{Timestamp, job::AUTO_SEND_DELAYED};

/// What keeps a job that sends an answer from it, if it has run and waits to be judged again.
pub(super) fn waiting(facts: &JobFacts) -> Option<Explanation> {
    let job = &facts.job;
    let send = job.send.as_ref()?;
    if job.run == 0 || !matches!(job.place, JobPlace::Later | JobPlace::Waits) {
        return None;
    }
    let (id, now) = (job.id, job.now);
    let again = format!("It is judged again at {}.", when(job.due_at, now));
    if let Some(key) = &facts.switched_off {
        let sentence = format!("Job {id} sends nothing, because {}. {again}", is_off(key));
        let explanation =
            Explanation::of(JobReason::SwitchedOff.as_str(), sentence, switch_on(key));
        return Some(explanation.until(job.due_at).key(key));
    }
    if let Some(key) = &facts.no_settings {
        let client = quoted(&job.client_id);
        let sentence = format!(
            "Job {id} sends nothing, because the client {client} has no settings for sending: `{key}` is not set. {again}"
        );
        let todo = format!("Set `{key}` of the client, and reload.");
        let explanation = Explanation::of(JobReason::NoSettings.as_str(), sentence, todo);
        return Some(explanation.until(job.due_at));
    }
    let pause = send.pause.as_ref().filter(|it| it.until > now && job.kind != AUTO_SEND_DELAYED.0);
    if let Some(pause) = pause {
        let sentence = format!("Job {id} sends nothing, because {} {again}", is_paused(pause, now));
        let explanation = Explanation::of(JobReason::AccountPaused.as_str(), sentence, mend(pause));
        let explanation = explanation.until(pause.until).fact("account", quoted(&pause.channel));
        return Some(explanation.fact("account_state", quoted(&pause.state)));
    }
    let until = send.snoozed_until.filter(|until| !send.is_by_person && *until > now)?;
    let sentence = format!(
        "Job {id} sends nothing, because its lead is snoozed until {}. {again}",
        when(until, now)
    );
    let todo =
        "Nothing: it goes on when the snooze is over. A person may approve the draft before.";
    let explanation = Explanation::of(JobReason::LeadSnoozed.as_str(), sentence, todo.to_owned());
    Some(explanation.until(until))
}

/// That sending is switched off, as a part of a sentence.
pub(super) fn is_off(key: &ConfigKey) -> String {
    format!("sending is switched off: {} is false", key.spelled())
}

/// What to do about that.
pub(super) fn switch_on(key: &ConfigKey) -> String {
    format!("To send again, set {} to true and reload.", key.spelled())
}

/// The account is paused, as a part of a sentence, with its full stop.
pub(super) fn is_paused(pause: &AccountPause, now: Timestamp) -> String {
    let (channel, reason) = (quoted(&pause.channel), quoted(&pause.reason));
    let how = match pause.state.as_str() {
        "disconnected" => "is not accepted by its provider".to_owned(),
        "rate_limited" => "has sent too much".to_owned(),
        other => format!("is {}", quoted(other)),
    };
    let reason = reason.trim_end_matches('.');
    format!(
        "the account of {channel} {how} ({reason}): nothing is sent through it until {}.",
        when(pause.until, now)
    )
}

/// What to do about that.
pub(super) fn mend(pause: &AccountPause) -> String {
    match pause.state.as_str() {
        "disconnected" => format!(
            "Renew the credentials under `channels.{}.send` of the client, and reload. The sends that wait try them at that time.",
            quoted(&pause.channel)
        ),
        _ => "Nothing: the provider has asked for the pause. The sends that wait go on afterwards."
            .to_owned(),
    }
}
