//! What is set for a pool beside the files: asked first, with a note and an end, then done.

use super::{KindPath, show, size_in};
use crate::{
    domain::OverrideChange,
    http::{
        api::{
            Query,
            pools::{self as api, PoolJson},
        },
        operator::Operator,
        problem::Problem,
        ui::{
            PageResult,
            parts::{ButtonLook, button, choice, dialog, field, hidden_input, post_form},
            visit::{RefusedForm, Visit},
        },
    },
};
use actix_web::{HttpRequest, web};
use maud::{Markup, html};
use serde_json::Value;

/// How long something may be set for: value and words. Without a value it has no end.
const ENDS: [(&str, &str); 5] = [
    ("1h", "in 1 hour"),
    ("4h", "in 4 hours"),
    ("1d", "in 1 day"),
    ("7d", "in 7 days"),
    ("", "when I reset it"),
];

/// The question that the address asks (`?ask=size&kind=…`), as an open dialog, and whether a field
/// of it is wrong.
pub(super) fn asked(
    visit: &Visit,
    query: &Query,
    pools: &[PoolJson],
) -> Result<Option<(Markup, bool)>, Problem> {
    let Some(ask) = query.text("ask")? else { return Ok(None) };
    visit.must_operate()?;
    let kind = query.text("kind")?.unwrap_or_default();
    let pool = pools.iter().find(|it| it.kind == kind);
    let pool = pool
        .ok_or_else(|| Problem::bad_request("kind", format!("there is no pool `{kind}` here")))?;
    match ask {
        "size" => match size_in(query) {
            Ok(size) => Ok(Some((sizing(visit, pool, size.unwrap_or(pool.size)), false))),
            Err(problem) => {
                let size = query.text("size")?.unwrap_or_default().to_owned();
                let refused = RefusedForm::of(problem, vec![("size", size)])?;
                let visit = visit.again("/pools", asking("size", pool.kind), refused);
                Ok(Some((sizing(&visit, pool, pool.size), true)))
            }
        },
        "pause" => Ok(Some((pausing(visit, pool), false))),
        _ => Err(Problem::bad_request("ask", "must be size or pause")),
    }
}

/// The query of the question about a pool.
fn asking(ask: &str, kind: &str) -> Vec<(String, String)> {
    [("ask", ask), ("kind", kind)].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn sizing(visit: &Visit, pool: &PoolJson, size: usize) -> Markup {
    let wrong = visit.wrong("size");
    let size = visit.typed("size").and_then(|it| it.trim().parse().ok()).unwrap_or(size);
    let heading = match wrong {
        Some(_) => format!("Slots of {}", pool.kind),
        None => format!("{} → {size} slots", pool.size),
    };
    let typed = visit.typed("size").map_or_else(|| size.to_string(), str::to_owned);
    let below = match size.cmp(&pool.size) {
        std::cmp::Ordering::Less => "Jobs that run end first.",
        std::cmp::Ordering::Equal => "It has that size already.",
        std::cmp::Ordering::Greater => "More jobs of the kind run at once.",
    };
    let form = html! {
        p { span.mono { (pool.kind) } ". " (below) " On all nodes, and over restarts." }
        div.filter {
            label.f {
                "Slots"
                input #slots name="size" type=(if wrong.is_some() { "text" } else { "number" }) min="1" max="10000" value=(typed)
                    autocomplete="off" aria-invalid=[wrong.map(|_| "true")]
                    aria-describedby=[wrong.map(|_| "e-size")] autofocus[wrong.is_some()];
                @if let Some(wrong) = wrong { span.err id="e-size" { (wrong) } }
            }
            label.f {
                span.vh { "Slots, as a range" }
                input type="range" min="1" max="64" value=(size.min(64)) data-with="slots" aria-label="slots, 1 to 64";
            }
        }
        (ends_and_note(visit, "4h", "Monday’s campaign"))
        p.mt { (button(ButtonLook::Primary, "Apply")) }
    };
    question(visit, pool, &heading, "size", form)
}

fn pausing(visit: &Visit, pool: &PoolJson) -> Markup {
    let form = html! {
        p {
            "What runs ends, nothing new starts. On all nodes, and over restarts. Waiting jobs stay."
        }
        (ends_and_note(visit, "1h", "shown to all"))
        p.mt { (button(ButtonLook::Primary, "Pause")) }
    };
    let heading = format!("Pause {}?", pool.kind);
    question(visit, pool, &heading, "pause", form)
}

fn ends_and_note(visit: &Visit, end: &str, placeholder: &str) -> Markup {
    let end = visit.typed("expires_in").unwrap_or(end);
    let is_known = ENDS.iter().any(|it| it.0 == end);
    html! {
        div.filter {
            @if is_known { (choice("It ends", "expires_in", end, ENDS)) }
            @else { (field("It ends in", "expires_in", end, "4h", visit.wrong("expires_in"))) }
            (field("Note", "note", visit.typed("note").unwrap_or_default(), placeholder, visit.wrong("note")))
            (hidden_input("asked", "1"))
        }
    }
}

/// A dialog that posts `form` to the pool's `deed`, or is left for the page without it.
fn question(visit: &Visit, pool: &PoolJson, heading: &str, deed: &str, form: Markup) -> Markup {
    let action = format!("/pools/{}/{deed}", pool.kind);
    dialog(heading, &visit.to("/pools"), "Leave it", post_form(&action, form))
}

/// The form of a change.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http::ui) struct ChangeForm {
    #[serde(default)]
    size: String,
    #[serde(default)]
    note: String,
    #[serde(default)]
    expires_in: String,
    /// Tells that somebody was asked.
    #[serde(default, rename = "asked")]
    _asked: String,
}

impl ChangeForm {
    /// The size, the note and the end.
    fn sized(&self) -> Result<OverrideChange, Problem> {
        let size = self.size.trim().parse::<u64>().map_or(Value::Null, Value::from);
        Ok(OverrideChange { size: Some(api::size_in(&size)?), ..self.change()? })
    }

    /// The note and the end.
    fn change(&self) -> Result<OverrideChange, Problem> {
        let expires_in = self.expires_in.trim();
        let expires_in_ms = match expires_in {
            "" => None,
            given => Some(api::expires_in(&Value::from(given))?),
        };
        Ok(OverrideChange {
            note: api::note_in(&self.note)?,
            expires_in_ms,
            ..OverrideChange::default()
        })
    }
}

/// `POST /pools/{kind}/size`.
pub(in crate::http::ui) async fn size(
    visit: Visit,
    path: KindPath,
    form: web::Form<ChangeForm>,
    request: HttpRequest,
) -> PageResult {
    visit.must_operate()?;
    match form.sized() {
        Ok(change) => set(&visit, &path, change, "sized", &request).await,
        Err(problem) => asked_again(&visit, "size", &path, form.into_inner(), problem).await,
    }
}

/// `GET` of the same address, which a page that shows the form again has: asks again.
pub(in crate::http::ui) async fn ask_size(visit: Visit, path: KindPath) -> PageResult {
    Ok(visit.see(&visit.to_with("/pools", &[("ask", "size"), ("kind", &path)])))
}

/// Shows the question again, with what was typed and what is wrong with it.
async fn asked_again(
    visit: &Visit,
    ask: &str,
    kind: &str,
    form: ChangeForm,
    problem: Problem,
) -> PageResult {
    let ChangeForm { size, note, expires_in, .. } = form;
    let typed = vec![("size", size), ("note", note), ("expires_in", expires_in)];
    let refused = RefusedForm::of(problem, typed)?;
    Visit::refuse(show(visit.again("/pools", asking(ask, kind), refused)).await)
}

/// `POST /pools/{kind}/pause`.
pub(in crate::http::ui) async fn pause(
    visit: Visit,
    path: KindPath,
    form: web::Form<ChangeForm>,
    request: HttpRequest,
) -> PageResult {
    visit.must_operate()?;
    match form.change() {
        Ok(change) => {
            let change = OverrideChange { paused: Some(true), ..change };
            set(&visit, &path, change, "paused", &request).await
        }
        Err(problem) => asked_again(&visit, "pause", &path, form.into_inner(), problem).await,
    }
}

/// `GET` of the same address: see [`ask_size`].
pub(in crate::http::ui) async fn ask_pause(visit: Visit, path: KindPath) -> PageResult {
    Ok(visit.see(&visit.to_with("/pools", &[("ask", "pause"), ("kind", &path)])))
}

/// `POST /pools/{kind}/resume`.
pub(in crate::http::ui) async fn resume(
    visit: Visit,
    path: KindPath,
    request: HttpRequest,
) -> PageResult {
    visit.must_operate()?;
    let change = OverrideChange { paused: Some(false), ..OverrideChange::default() };
    set(&visit, &path, change, "resumed", &request).await
}

/// `POST /pools/{kind}/reset`.
pub(in crate::http::ui) async fn reset(
    visit: Visit,
    path: KindPath,
    request: HttpRequest,
) -> PageResult {
    visit.must_operate()?;
    let pool = api::unset(visit.api(), &path, false, Operator::of(&request)).await?;
    Ok(visit.see(&visit.to_with("/pools", &[("done", &format!("{} reset", pool.kind))])))
}

async fn set(
    visit: &Visit,
    kind: &str,
    change: OverrideChange,
    done: &str,
    request: &HttpRequest,
) -> PageResult {
    let pool = api::set(visit.api(), kind, change, false, Operator::of(request)).await?;
    Ok(visit.see(&visit.to_with("/pools", &[("done", &format!("{} {done}", pool.kind))])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_has_a_note_and_an_end() {
        let form = |note: &str, expires_in: &str| ChangeForm {
            size: String::new(),
            note: note.to_owned(),
            expires_in: expires_in.to_owned(),
            _asked: String::new(),
        };
        let change = form(" a\u{202e}b ", "4h").change().unwrap();
        assert_eq!(change.note.as_deref(), Some("a\\u202eb"));
        assert_eq!(change.expires_in_ms, Some(14_400_000));
        assert_eq!(form("", "").change().unwrap(), OverrideChange::default());
        for (end, _) in ENDS {
            assert!(form("", end).change().is_ok(), "{end}");
        }
        assert!(form("", "soon").change().is_err());
        assert!(form(&"x".repeat(501), "").change().is_err());
    }
}
