//! What is done to many jobs: asked first, with the count and examples, then done by an operation.

use super::{
    KEPT, back_to, first_line, kept,
    list::{ListedJobs, named, show},
    mark_of,
};
use crate::{
    http::{
        api::{Query, jobs, operations},
        operator::Operator,
        problem::Problem,
        ui::{
            PageResult,
            parts::{
                ButtonLook, button, dialog, field, hidden_input, id, number_of, one_line,
                post_form, with_query,
            },
            visit::{RefusedForm, Visit},
        },
    },
    store::{JobAction, JobView, MatchingJobs},
};
use actix_web::{HttpRequest, web};
use maud::{Markup, html};

/// Of more jobs than this, a person types the count.
const TYPED_ABOVE: u64 = 100;
/// The most characters of an error in an example.
const ERROR_CHARS_MAX: usize = 90;

/// The pairs of a form.
type FormPairs = Vec<(String, String)>;

/// The question that the address asks (`?ask=`), as an open dialog.
pub(super) async fn asked(listed: &ListedJobs<'_>) -> Result<Option<Markup>, Problem> {
    let visit = listed.visit;
    let action = match listed.query.text("ask")? {
        None => return Ok(None),
        Some("retry") => JobAction::Retry,
        Some("cancel") => JobAction::Cancel,
        Some("retry-selected") => {
            named(&listed.filter.id)?;
            JobAction::Retry
        }
        Some("cancel-selected") => {
            named(&listed.filter.id)?;
            JobAction::Cancel
        }
        Some(_) => return Err(Problem::bad_request("ask", "must be retry or cancel")),
    };
    visit.must_operate()?;
    operations::must_select(&listed.filter)?;
    let matching = operations::matching(visit.api(), action, listed.filter.clone()).await?;
    Ok(Some(question(listed, &matching)))
}

fn question(listed: &ListedJobs<'_>, matching: &MatchingJobs) -> Markup {
    let visit = listed.visit;
    let (action, count) = (matching.action, matching.count);
    let (verb, path, look) = words(action);
    let least = if matching.is_exact { "" } else { "at least " };
    let jobs = if count == 1 { "job" } else { "jobs" };
    let heading = format!("{verb} {least}{count} {jobs}?");
    let leave = visit.with("id", None);
    if count == 0 && matching.is_exact {
        let why = match action {
            JobAction::Retry => "Only jobs that have failed or were cancelled can be retried.",
            JobAction::Cancel => "Only jobs that have not ended can be cancelled.",
        };
        let heading = format!("No job to {}", action.as_str());
        return dialog(
            &heading,
            &leave,
            "Back to the list",
            html! { p { "None that matches. " (why) } },
        );
    }
    let label = format!("{verb} {count} {jobs}");
    let is_typed = count > TYPED_ABOVE;
    let form = html! {
        @for (name, value) in kept(&listed.query) { (hidden_input(name, &value)) }
        (hidden_input("count", &count.to_string()))
        @if is_typed {
            (field(
                &format!("Type {count} to go on"), "typed", visit.typed("typed").unwrap_or_default(), "",
                visit.wrong("typed")
            ))
        }
        p.mt { (button(look, &label)) }
    };
    let content = html! {
        p { (says(action)) }
        ul.sm.mt {
            @for job in &matching.examples { li { (example(visit, job)) } }
            @if count > 3 { li.mut { "and " (number_of(count - 3)) " more" } }
        }
        (post_form(path, form))
    };
    dialog(&heading, &leave, "Leave them", content)
}

const fn words(action: JobAction) -> (&'static str, &'static str, ButtonLook) {
    match action {
        JobAction::Retry => ("Retry", "/jobs/retry", ButtonLook::Primary),
        JobAction::Cancel => ("Cancel", "/jobs/cancel", ButtonLook::Danger),
    }
}

/// A sentence about the effect of an action.
const fn says(action: JobAction) -> &'static str {
    match action {
        JobAction::Retry => "Each gets one more attempt, in its turn. You can stop half-way.",
        JobAction::Cancel => {
            "They end, and what runs is not recorded. What is done stays done if you stop half-way."
        }
    }
}

fn example(visit: &Visit, job: &JobView) -> Markup {
    html! {
        (mark_of(visit, job).quiet()) " " span.mono { (job.kind) } " of " (job.client_id) ", " (id(job.id))
        @if let Some(error) = &job.last_error { ": " (one_line(first_line(error), ERROR_CHARS_MAX)) }
    }
}

/// `POST /jobs/retry`.
pub(in crate::http::ui) async fn retry(
    visit: Visit,
    form: web::Form<FormPairs>,
    request: HttpRequest,
) -> PageResult {
    change(&visit, JobAction::Retry, form.into_inner(), Operator::of(&request)).await
}

/// `POST /jobs/cancel`.
pub(in crate::http::ui) async fn cancel(
    visit: Visit,
    form: web::Form<FormPairs>,
    request: HttpRequest,
) -> PageResult {
    change(&visit, JobAction::Cancel, form.into_inner(), Operator::of(&request)).await
}

/// `GET` of the same addresses, which a page that asks again has: leads to the list. The filters
/// of that page are in its form only.
pub(in crate::http::ui) async fn leave(visit: Visit) -> PageResult {
    Ok(visit.see(&visit.to("/jobs")))
}

async fn change(
    visit: &Visit,
    action: JobAction,
    pairs: FormPairs,
    operator: Operator,
) -> PageResult {
    visit.must_operate()?;
    // 1. Read what is asked for.
    let known: Vec<&str> = KEPT.into_iter().chain(["count", "typed"]).collect();
    let query = Query::of_pairs(pairs.clone(), &known)?.limited(&visit.viewer);
    let filter = jobs::filter(visit.api(), &query).await?;
    operations::must_select(&filter)?;
    let shown = query.text("count")?.and_then(|it| it.parse::<u64>().ok());
    let shown =
        shown.ok_or_else(|| Problem::bad_request("count", "must be the count that was shown"))?;
    // 2. Count again: what matches may have grown meanwhile.
    let matching = operations::matching(visit.api(), action, filter.clone()).await?;
    if matching.count == 0 && matching.is_exact {
        return Err(Problem::conflict(format!("no job that matches can be {}", done(action))));
    }
    if matching.count > TYPED_ABOVE && shown <= TYPED_ABOVE {
        let kept = pairs.iter().filter(|it| KEPT.contains(&it.0.as_str()));
        let kept = kept.map(|it| (it.0.as_str(), it.1.as_str()));
        return Ok(visit.see(&with_query("/jobs", kept.chain([("ask", action.as_str())]))));
    }
    if shown > TYPED_ABOVE && !is_typed(query.text("typed")?, shown) {
        let detail = format!(
            "more than {TYPED_ABOVE} jobs are {} only if their count is typed: {shown}",
            done(action)
        );
        let typed = query.text("typed")?.unwrap_or_default().to_owned();
        let refused =
            RefusedForm::of(Problem::bad_request("typed", detail), vec![("typed", typed)])?;
        let kept = pairs.into_iter().filter(|it| KEPT.contains(&it.0.as_str()));
        let asking = kept.chain([("ask".to_owned(), action.as_str().to_owned())]).collect();
        return Visit::refuse(show(visit.again("/jobs", asking, refused)).await);
    }
    // 3. Start.
    let started = operations::start(visit.api(), &matching, &filter, operator).await?;
    Ok(visit.see(&back_to(&pairs, &started.to_string())))
}

const fn done(action: JobAction) -> &'static str {
    match action {
        JobAction::Retry => "retried",
        JobAction::Cancel => "cancelled",
    }
}

/// True if the count was typed, with or without commas.
fn is_typed(typed: Option<&str>, count: u64) -> bool {
    let digits: Option<String> =
        typed.map(|it| it.chars().filter(|c| !matches!(c, ',' | ' ')).collect());
    digits.is_some_and(|it| it == count.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_typed_as_it_is_shown() {
        for (typed, is_right) in [
            (Some("1204"), true),
            (Some(" 1,204 "), true),
            (Some("1205"), false),
            (Some("yes"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(is_typed(typed, 1_204), is_right, "{typed:?}");
        }
    }

    #[test]
    fn each_action_says_what_follows() {
        for action in JobAction::ALL {
            let (verb, path, look) = words(action);
            assert_eq!(verb.to_lowercase(), action.as_str());
            assert!(path.ends_with(action.as_str()));
            assert!(says(action).contains("half-way"));
            let shown = button(look, verb).into_string();
            assert!(shown.contains(verb));
        }
    }
}
