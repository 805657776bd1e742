//! `/jobs`: jobs with their true states, one by one or by error, and what can be done to them.

mod bulk;
mod errors;
mod list;
mod one;

pub(super) use self::{
    bulk::{cancel as cancel_many, leave as leave_many, retry as retry_many},
    list::show as list,
    one::{cancel as cancel_one, link_of, retry as retry_one, show as one},
};

use super::{
    parts::{StateMark, with_query},
    visit::Visit,
};
use crate::{
    domain::{JobState, JobStatus},
    http::api::{Query, jobs::waits_for_slot},
    store::JobView,
};

/// The mark of a job's state. Only this node knows which of its claims still wait for a slot.
fn mark_of(visit: &Visit, job: &JobView) -> StateMark {
    if job.status == JobStatus::Running && waits_for_slot(visit.api(), job) {
        return StateMark::CLAIMED;
    }
    mark(job.state)
}

/// The mark of a state.
const fn mark(state: JobState) -> StateMark {
    match state {
        JobState::Due => StateMark::DUE,
        JobState::Retrying => StateMark::RETRYING,
        JobState::Later => StateMark::LATER,
        JobState::Behind => StateMark::BEHIND,
        JobState::Held => StateMark::HELD,
        JobState::Running | JobState::Failed | JobState::Cancelled | JobState::Succeeded => {
            StateMark::of_job(state.status())
        }
    }
}

/// The parameters of a list that forms send on and come back to.
pub(super) const KEPT: [&str; 7] = ["status", "kind", "client", "lead", "id", "error", "group"];

/// What a list was asked for, as a form sends it on.
fn kept(query: &Query) -> Vec<(&'static str, String)> {
    let value = |name: &'static str| match name {
        // Commas do not part an error.
        "error" => query.text(name).ok().flatten().unwrap_or_default().to_owned(),
        _ => query.values(name).join(","),
    };
    let pairs = KEPT.into_iter().map(|name| (name, value(name)));
    pairs.filter(|(_, value)| !value.is_empty()).collect()
}

/// The list that a form came from, with the operation that it has started. What was chosen for the
/// operation alone is left out.
pub(super) fn back_to(pairs: &[(String, String)], operation: &str) -> String {
    let is_by_error = pairs.iter().any(|it| it.0 == "group" && !it.1.is_empty());
    let is_kept = |name: &str| match name {
        "id" => false,
        "error" => !is_by_error,
        name => KEPT.contains(&name),
    };
    let kept = pairs.iter().filter(|it| is_kept(&it.0)).map(|it| (it.0.as_str(), it.1.as_str()));
    with_query("/jobs", kept.chain([("operation", operation)]))
}

/// The first line of an error.
fn first_line(error: &str) -> &str {
    error.lines().map(str::trim).find(|it| !it.is_empty()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::ui::parts::assert_told_apart;

    #[test]
    fn a_form_leads_back_to_its_list_without_what_it_chose() {
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|it| (it.0.to_owned(), it.1.to_owned())).collect()
        };
        let list =
            pairs(&[("status", "failed"), ("id", "1,2"), ("error", "no phone"), ("count", "2")]);
        assert_eq!(back_to(&list, "7"), "/jobs?status=failed&error=no+phone&operation=7");
        let grouped = pairs(&[
            ("status", "failed"),
            ("group", "error"),
            ("error", "no phone"),
            ("next", "//evil"),
        ]);
        assert_eq!(back_to(&grouped, "7"), "/jobs?status=failed&group=error&operation=7");
    }

    #[test]
    fn every_state_has_a_mark_of_its_own() {
        let marks: Vec<StateMark> =
            JobState::ALL.map(mark).into_iter().chain([StateMark::CLAIMED]).collect();
        assert_told_apart(&marks, &[]);
        let words: Vec<&str> = JobState::ALL.map(|it| mark(it).word).into();
        assert_eq!(words, JobState::ALL.map(JobState::as_str));
    }
}
