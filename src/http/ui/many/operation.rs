//! An operation that a list follows: how far it is, why some were skipped, and its stop.

use super::{FormPairs, ManyWords};
use crate::{
    domain::Timestamp,
    http::{
        api::{Query, operations},
        operator::Operator,
        problem::Problem,
        ui::{
            PageResult, id_in, jobs,
            parts::{Sign, StateMark, Tone, ago, hidden_input, number, outside, post_form},
            quarantine,
            visit::Visit,
        },
    },
    store::{OperationAction, OperationRow},
};
use actix_web::{HttpRequest, web};
use maud::{Markup, html};
use std::collections::BTreeMap;

/// The operation that a list follows.
pub(in crate::http::ui) struct FollowedOperation(OperationRow);

impl FollowedOperation {
    /// The operation that the address names.
    ///
    /// # Errors
    /// 404 if there is none that the viewer may see.
    pub(in crate::http::ui) async fn of(
        visit: &Visit,
        query: &Query,
    ) -> Result<Option<Self>, Problem> {
        let ids = query.ids("operation")?;
        let Some(id) = ids.first() else { return Ok(None) };
        let operation = operations::operation(visit.api(), *id).await?;
        if !visit.viewer.sees_operation(&operation) {
            return Err(Problem::not_found(format!("there is no operation {id}")));
        }
        Ok(Some(Self(operation)))
    }

    /// True if it goes on.
    pub(in crate::http::ui) fn is_running(&self) -> bool {
        self.0.status == "running"
    }

    /// What is shown of it. `kept` is what the list was asked for.
    pub(in crate::http::ui) fn strip(
        &self,
        visit: &Visit,
        kept: &[(&'static str, String)],
    ) -> Markup {
        let row = &self.0;
        let may_stop = self.is_running() && !row.is_stopping && visit.viewer.may_operate();
        html! {
            div.bulk.box role="group" aria-label="Operation" data-part="operation" {
                (strip(row))
                span.sm.mut { "by " (outside(&row.changed_by)) ", " (ago(Timestamp::from_millis(row.created_at.0), visit.now)) }
                span.row.end {
                    @if may_stop {
                        (post_form(&format!("/operations/{}/stop", row.id), html! {
                            @for (name, value) in kept { (hidden_input(name, value)) }
                            button.btn.tight { "Stop" }
                        }))
                    }
                    @if !self.is_running() { a.btn.tight.quiet href=(visit.with("operation", None)) { "Close" } }
                }
            }
        }
    }
}

/// The mark of an operation's state.
fn mark(status: &str, is_stopping: bool) -> StateMark {
    match status {
        "running" if is_stopping => StateMark::new(Tone::Warn, Sign::Pause, "stopping"),
        "running" => StateMark::new(Tone::Busy, Sign::Run, "running"),
        "done" => StateMark::new(Tone::Good, Sign::Ok, "done"),
        "stopped" => StateMark::new(Tone::Wait, Sign::Cancelled, "stopped"),
        _ => StateMark::new(Tone::Bad, Sign::Fail, "failed"),
    }
}

fn strip(row: &OperationRow) -> Markup {
    let action = OperationAction::named(&row.action);
    let words = action.map(ManyWords::of);
    let noun = action.map_or("job", OperationAction::noun);
    let mark = mark(&row.status, row.is_stopping);
    let verb = match mark.word {
        "running" => words.map(|it| it.doing),
        "done" => words.map(|it| it.done),
        _ => None,
    };
    let reached = row.done.saturating_add(row.skipped);
    let total = row.total.max(reached);
    html! {
        (mark.badge())
        b {
            @if let Some(verb) = verb { (verb) " " }
            (number(row.total)) " " (noun) @if row.total != 1 { "s" }
        }
        (bar(reached, total, mark.tone))
        span {
            (number(row.done)) " done"
            @if row.skipped > 0 {
                ", " (number(row.skipped)) " skipped"
                span.mut { (reasons(row.reasons.as_deref())) }
            }
            @if let Some(error) = &row.error { ". " (outside(error)) }
        }
    }
}

/// How far it is, as a bar.
fn bar(reached: i64, total: i64, tone: Tone) -> Markup {
    let total = total.max(1);
    let label = format!("{reached} of {total}");
    html! {
        svg.prog.(tone.class()) role="img" aria-label=(label) viewBox={ "0 0 " (total) " 6" } preserveAspectRatio="none" {
            rect width=(total) height="6" {}
            rect.on width=(reached.clamp(0, total)) height="6" {}
        }
    }
}

/// Why some were skipped: ` (is running 3)`.
fn reasons(stored: Option<&str>) -> String {
    let reasons: BTreeMap<String, i64> =
        stored.and_then(|it| serde_json::from_str(it).ok()).unwrap_or_default();
    if reasons.is_empty() {
        return String::new();
    }
    let each: Vec<String> =
        reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    format!(" ({})", each.join(", "))
}

/// `POST /operations/{id}/stop`: what is done stays done. Leads back to the list that followed it.
pub(in crate::http::ui) async fn stop(
    visit: Visit,
    path: web::Path<String>,
    form: web::Form<FormPairs>,
    request: HttpRequest,
) -> PageResult {
    visit.must_operate()?;
    let (pairs, id) = (form.into_inner(), id_in(&path, "operation")?);
    let operation = operations::operation(visit.api(), id).await?;
    let is_of_quarantine =
        matches!(OperationAction::named(&operation.action), Some(OperationAction::Quarantine(_)));
    let known = if is_of_quarantine { &quarantine::KEPT[..] } else { &jobs::KEPT[..] };
    Query::of_pairs(pairs.clone(), known)?;
    let operation = operations::stop_one(visit.api(), id, Operator::of(&request)).await?;
    let id = operation.id.to_string();
    let back = if is_of_quarantine {
        quarantine::back_to(&pairs, &id)
    } else {
        jobs::back_to(&pairs, &id)
    };
    Ok(visit.see(&back))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::ui::parts::assert_told_apart;

    #[test]
    fn every_state_of_an_operation_has_a_mark_of_its_own() {
        let states = ["running", "done", "stopped", "failed"].map(|it| mark(it, false));
        assert_told_apart(&[&states[..], &[mark("running", true)]].concat(), &[]);
    }

    #[test]
    fn progress_is_a_bar_of_attributes() {
        let bar = bar(142, 214, Tone::Busy).into_string();
        for part in [
            "aria-label=\"142 of 214\"",
            "width=\"214\"",
            "class=\"on\" width=\"142\"",
            "prog busy",
        ] {
            assert!(bar.contains(part), "{part} is not in {bar}");
        }
        assert!(!bar.contains("style"));
        assert!(super::bar(0, 0, Tone::Good).into_string().contains("0 of 1"));
    }

    #[test]
    fn what_was_skipped_says_why() {
        assert_eq!(reasons(Some(r#"{"running":3,"succeeded":1}"#)), " (running 3, succeeded 1)");
        assert_eq!(reasons(Some("no JSON")), "");
        assert_eq!(reasons(None), "");
    }
}
