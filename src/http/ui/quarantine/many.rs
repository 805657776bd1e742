//! What is done to many held webhooks: asked first, with the count and examples, then done by an
//! operation.

use super::{KEPT, back_to, kept, list_with, mark};
use crate::{
    http::{
        api::{Query, held_filter, matching_items, start_on_items},
        operator::Operator,
        problem::Problem,
        ui::{
            PageResult,
            many::{CountTold, FormPairs, ManyQuestion, count_told},
            parts::{id, one_line},
            received,
            visit::Visit,
        },
    },
    store::{ListedQuarantine, OperationAction, QuarantineAction, QuarantineFilter},
};
use actix_web::{HttpRequest, web};
use maud::{Markup, html};

/// The most characters of an event or a reason in an example.
const TEXT_CHARS_MAX: usize = 90;

/// The question that the address asks (`?ask=`) about what the list shows, as an open dialog.
pub(super) async fn asked(
    visit: &Visit,
    query: &Query,
    filter: &QuarantineFilter,
) -> Result<Option<Markup>, Problem> {
    let Some(word) = query.text("ask")? else { return Ok(None) };
    let action = QuarantineAction::ALL.into_iter().find(|it| it.as_str() == word);
    let action = action.ok_or_else(|| Problem::bad_request("ask", "must be replay or discard"))?;
    visit.must_operate()?;
    if filter.status != ["held"] {
        let detail = "only webhooks that are held can be replayed or discarded";
        return Err(Problem::bad_request("status", detail));
    }
    let matching = matching_items(visit.api(), filter.clone()).await?;
    let mut kept = kept(query)?;
    // All that are held: a form says so.
    kept.retain(|it| it.0 != "status");
    kept.push(("status", "held".to_owned()));
    let question = ManyQuestion {
        action: OperationAction::Quarantine(action),
        count: matching.count,
        is_exact: matching.is_exact,
        examples: matching.examples.iter().map(example).collect(),
        kept,
    };
    Ok(Some(question.dialog(visit, &visit.with("ask", None))))
}

fn example(item: &ListedQuarantine) -> Markup {
    html! {
        (mark(&item.status).quiet()) " "
        @if let Some(event) = &item.event_type { (one_line(event, TEXT_CHARS_MAX)) } @else { "no name" }
        " of " (item.client_id) ", " (item.channel) ", " (id(item.id)) ": " (one_line(&item.reason, TEXT_CHARS_MAX))
    }
}

/// `POST /quarantine/replay`.
pub(in crate::http::ui) async fn replay(
    visit: Visit,
    form: web::Form<FormPairs>,
    request: HttpRequest,
) -> PageResult {
    change(&visit, QuarantineAction::Replay, form.into_inner(), Operator::of(&request)).await
}

/// `POST /quarantine/discard`.
pub(in crate::http::ui) async fn discard(
    visit: Visit,
    form: web::Form<FormPairs>,
    request: HttpRequest,
) -> PageResult {
    change(&visit, QuarantineAction::Discard, form.into_inner(), Operator::of(&request)).await
}

/// `GET` of the same addresses, which a page that asks again has: leads to the list. The filters
/// of that page are in its form only.
pub(in crate::http::ui) async fn leave(visit: Visit) -> PageResult {
    Ok(visit.see(&visit.to_with("/received", &[("tab", "quarantine")])))
}

async fn change(
    visit: &Visit,
    action: QuarantineAction,
    pairs: FormPairs,
    operator: Operator,
) -> PageResult {
    visit.must_operate()?;
    // 1. Read what is asked for.
    let known: Vec<&str> = KEPT.into_iter().chain(["count", "typed"]).collect();
    let query = Query::of_pairs(pairs.clone(), &known)?.limited(&visit.viewer);
    let filter = held_filter(visit.api(), &query)?;
    // 2. Count again: what matches may have grown meanwhile.
    let matching = matching_items(visit.api(), filter.clone()).await?;
    let counted = (matching.count, matching.is_exact);
    let kept = || pairs.iter().filter(|it| KEPT.contains(&it.0.as_str()));
    match count_told(&query, OperationAction::Quarantine(action), counted)? {
        CountTold::Right => {}
        CountTold::Grown => {
            let kept = kept().map(|it| (it.0.as_str(), it.1.as_str()));
            return Ok(visit.see(&list_with(kept.chain([("ask", action.as_str())]))));
        }
        CountTold::Mistyped(refused) => {
            let tab = [("tab", "quarantine"), ("ask", action.as_str())];
            let tab = tab.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let asking = kept().cloned().chain(tab).collect();
            let page = received::show(visit.again("/received", asking, refused)).await;
            return Visit::refuse(page);
        }
    }
    // 3. Start.
    let (api, webhooks) = (visit.api_data(), visit.state());
    let started = start_on_items(api, webhooks, action, &matching, &filter, operator).await?;
    Ok(visit.see(&back_to(&pairs, &started.to_string())))
}
