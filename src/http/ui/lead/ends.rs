//! How decisions about drafts ended: what was done, or what came between.

use super::{
    LeadShown,
    decide::{Deed, Stopped},
    draft::undo_form,
    thread::draft_mark,
    words::linked,
};
use crate::http::{
    api::DraftJson,
    problem::Problem,
    ui::{
        parts::{TEXT_CHARS_MAX, Tone, ago, clock, command, duration, link_button, note, outside},
        visit::Visit,
    },
};
use maud::{Markup, html};

/// True if somebody else changed the text on which the person's own text is based.
pub(super) fn clashes(draft: &DraftJson<'_>, own: Option<&Stopped>) -> bool {
    own.is_some_and(|own| {
        own.is_conflict()
            && draft.status == "pending"
            && own.version.is_some()
            && own.version != draft.version
            && own.body.as_deref().is_some_and(|body| body != draft.body)
    })
}

/// Why a decision was not carried out: what has come between, and the text that the person typed.
pub(super) fn clash(shown: &LeadShown<'_>, stopped: &Stopped) -> Markup {
    let now = shown.visit.now;
    let later: Vec<_> = shown
        .lead
        .messages
        .iter()
        .filter(|it| it.direction == "inbound" && stopped.newest_id.is_some_and(|id| it.id.0 > id))
        .collect();
    let about = shown.lead.drafts.iter().find(|it| it.id.0 == stopped.draft_id);
    let is_shown = shown
        .draft
        .is_some_and(|it| it.draft.id == stopped.draft_id && it.draft.status == "pending");
    let draft = shown.draft.map(DraftJson::whole).filter(|it| it.id.0 == stopped.draft_id);
    let is_clash = draft.as_ref().is_some_and(|it| clashes(it, Some(stopped)));
    html! {
        div #clash role="alert" data-why {
            @if !stopped.is_conflict() {
                (note(Tone::Bad, "Nothing was changed.", outside(stopped.why()), None))
            } @else if let Some(newest) = later.last() {
                (note(
                    Tone::Bad,
                    html! { (outside(&shown.name)) " wrote again " (ago(newest.created_at, now)) ". Nothing was sent." },
                    html! {
                        @for message in &later { div.sm.ut { (linked(message.body, TEXT_CHARS_MAX)) } }
                        p.sm { "Your text is kept. Read what is new, then decide again." }
                    },
                    None,
                ))
            } @else if is_clash {
                @let text = draft.as_ref().map_or("", |it| it.body);
                (note(
                    Tone::Bad,
                    "Somebody else changed the text meanwhile. Yours is not saved.",
                    html! {
                        p.sm.ut { "It says now:" }
                        div.sm { (linked(text, TEXT_CHARS_MAX)) }
                        p.row.ut {
                            input type="hidden" name="over" form="edit" value=[draft.as_ref().and_then(|it| it.version.as_deref())];
                            button.btn.tight name="do" value="replace" form="edit" { "Replace it with mine" }
                            (link_button(&shown.address, "Take this one"))
                        }
                    },
                    None,
                ))
            } @else if let Some(about) = about.filter(|it| it.status != "pending") {
                (note(
                    Tone::Bad,
                    html! {
                        "The draft was " (draft_mark(about.status).word)
                        @if let Some(by) = about.decided_by { " by " (outside(by)) }
                        @if let Some(at) = about.decided_at { " " (ago(at, now)) }
                        ". You changed nothing."
                    },
                    outside(stopped.why()),
                    None,
                ))
            } @else {
                (note(Tone::Bad, "Nothing was changed.", outside(stopped.why()), None))
            }
            @if let Some(body) = stopped.body.as_deref().filter(|_| !is_shown) {
                p.sm.ut { "Your text:" }
                (command(body))
            }
        }
    }
}

/// What the form did that led here, with the way back while there is one.
///
/// # Errors
/// If the database is away.
pub(in crate::http::ui) async fn done_note(visit: &Visit) -> Result<Markup, Problem> {
    let Some(deed) = visit.done().and_then(Deed::of) else { return Ok(html! {}) };
    let (Deed::Approved(id)
    | Deed::ApprovedBefore(id)
    | Deed::Undone(id)
    | Deed::Rejected(id)
    | Deed::Regenerated(id)
    | Deed::Snoozed(id)
    | Deed::Woken(id)) = deed
    else {
        return Ok(html! {});
    };
    let view = match visit.api().draft(id).await {
        Ok(view) if visit.viewer.sees(&view.draft.client_id) => view,
        // It may have been erased since.
        Ok(_) | Err(_) => return Ok(html! {}),
    };
    let draft = DraftJson::whole(&view);
    Ok(told(visit, deed, &draft))
}

fn told(visit: &Visit, deed: Deed, draft: &DraftJson<'_>) -> Markup {
    let lead = visit.to(&format!("/leads/{}", draft.lead_id.0));
    let waits = draft.send_at.filter(|at| draft.status == "approved" && *at > visit.now);
    let mark = match deed {
        Deed::Rejected(_)
        | Deed::Regenerated(_)
        | Deed::Undone(_)
        | Deed::Saved
        | Deed::Snoozed(_)
        | Deed::Woken(_) => draft_mark(draft.status).sign,
        Deed::Approved(_) | Deed::ApprovedBefore(_) => draft_mark("sent").sign,
    };
    html! {
        div.undo role="status" data-until[waits.is_some()] {
            (mark)
            span {
                @if let Deed::ApprovedBefore(_) = deed {
                    @if let Some(by) = draft.decided_by { (outside(by)) } @else { "Somebody" }
                    " had approved it already. "
                }
                @match (deed, waits) {
                    (Deed::Approved(_) | Deed::ApprovedBefore(_), Some(at)) => {
                        a href=(lead) { "The reply" } " leaves in "
                        time datetime=(at.to_string()) data-left { (duration(at.millis_since(visit.now))) }
                    },
                    (Deed::Undone(_), _) => { "Taken back: " a href=(lead) { "the draft" } " is " (draft_mark(draft.status).word) "." },
                    (Deed::Rejected(_), _) => {
                        a href=(lead) { "The draft" } " is rejected"
                        @if let Some(note) = draft.note { ": " (outside(note)) }
                        "."
                    },
                    (Deed::Snoozed(_), _) => {
                        a href=(lead) { "The draft" } " is put off"
                        @if let Some(until) = draft.snoozed_until { " until " (clock(until, visit.now)) }
                        "."
                    },
                    (Deed::Woken(_), _) => { a href=(lead) { "The draft" } " waits for a decision." },
                    (Deed::Regenerated(_), _) => { a href=(lead) { "The draft" } " was written anew." },
                    _ => { a href=(lead) { "The reply" } " is " (draft_mark(draft.status).word) "." },
                }
            }
            @if waits.is_some() && visit.viewer.may_review() { div.end { (undo_form(&visit.here(), draft.id.0)) } }
        }
    }
}
