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
            many::{CountTold, FormPairs, ManyQuestion, count_told},
            parts::{id, one_line, with_query},
            visit::Visit,
        },
    },
    store::{JobAction, JobView, OperationAction},
};
use actix_web::{HttpRequest, web};
use maud::{Markup, html};

/// The most characters of an error in an example.
const ERROR_CHARS_MAX: usize = 90;

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
    let question = ManyQuestion {
        action: OperationAction::Jobs(action),
        count: matching.count,
        is_exact: matching.is_exact,
        examples: matching.examples.iter().map(|job| example(visit, job)).collect(),
        kept: kept(&listed.query),
    };
    Ok(Some(question.dialog(visit, &visit.with("id", None))))
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
    // 2. Count again: what matches may have grown meanwhile.
    let matching = operations::matching(visit.api(), action, filter.clone()).await?;
    let counted = (matching.count, matching.is_exact);
    let kept = || pairs.iter().filter(|it| KEPT.contains(&it.0.as_str()));
    match count_told(&query, OperationAction::Jobs(action), counted)? {
        CountTold::Right => {}
        CountTold::Grown => {
            let kept = kept().map(|it| (it.0.as_str(), it.1.as_str()));
            return Ok(visit.see(&with_query("/jobs", kept.chain([("ask", action.as_str())]))));
        }
        CountTold::Mistyped(refused) => {
            let asking = kept().cloned().chain([("ask".to_owned(), action.as_str().to_owned())]);
            return Visit::refuse(show(visit.again("/jobs", asking.collect(), refused)).await);
        }
    }
    // 3. Start.
    let started = operations::start(visit.api(), &matching, &filter, operator).await?;
    Ok(visit.see(&back_to(&pairs, &started.to_string())))
}
