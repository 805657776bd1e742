//! What a form about a draft asks for, and how it ends.

use crate::{
    domain::{Id, text::one_line},
    http::{
        api::{parse_id, reason_in, time_ahead},
        operator::Operator,
        problem::{Cause, Problem},
        ui::visit::Visit,
    },
    store::{DraftView, SeenDraft},
};
use actix_web::{HttpRequest, http::StatusCode, web};
use serde::Deserialize;

/// The most bytes of a form. A text of 1,900 characters may have nine bytes for each of them.
const FORM_BYTES_MAX: usize = 64 << 10;
/// The most characters of a note.
const NOTE_CHARS_MAX: usize = 500;

/// A form about a draft. A script sends it without `do`: then the text is saved.
#[derive(Clone, Debug, Default, Deserialize)]
pub(in crate::http::ui) struct ReviewForm {
    draft: String,
    /// `save`, `replace`, `approve`, `undo`, `regenerate`, `reject:` and a reason, or `snooze:` and
    /// a duration, which ends a snooze if it is empty.
    #[serde(rename = "do", default)]
    action: String,
    /// The version of the text that was shown.
    version: Option<String>,
    /// The version of the text that is to be replaced although somebody else wrote it.
    over: Option<String>,
    /// The newest inbound message that was shown.
    newest: Option<String>,
    /// The draft that is shown next.
    next: Option<String>,
    subject: Option<String>,
    body: Option<String>,
    note: Option<String>,
    hint: Option<String>,
}

/// How forms about drafts are read.
pub(in crate::http::ui) fn form_config() -> web::FormConfig {
    web::FormConfig::default().limit(FORM_BYTES_MAX).error_handler(|error, _| {
        Problem::new(Cause::BadRequest, format!("the form cannot be read: {error}")).into()
    })
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http::ui) enum Deed {
    Saved,
    Approved(Id),
    /// Somebody else had approved it before.
    ApprovedBefore(Id),
    Undone(Id),
    Rejected(Id),
    Regenerated(Id),
    Snoozed(Id),
    Woken(Id),
}

impl Deed {
    /// The value of `done=`; `None` if nothing is to be told.
    pub(in crate::http::ui) fn told(self) -> Option<String> {
        Some(match self {
            Self::Saved => return None,
            Self::Approved(id) => format!("approved.{id}"),
            Self::ApprovedBefore(id) => format!("before.{id}"),
            Self::Undone(id) => format!("undone.{id}"),
            Self::Rejected(id) => format!("rejected.{id}"),
            Self::Regenerated(id) => format!("regenerated.{id}"),
            Self::Snoozed(id) => format!("snoozed.{id}"),
            Self::Woken(id) => format!("woken.{id}"),
        })
    }

    /// The same, from the value of `done=`.
    pub(super) fn of(told: &str) -> Option<Self> {
        let (word, id) = told.split_once('.')?;
        let id = parse_id(id)?;
        Some(match word {
            "approved" => Self::Approved(id),
            "before" => Self::ApprovedBefore(id),
            "undone" => Self::Undone(id),
            "rejected" => Self::Rejected(id),
            "regenerated" => Self::Regenerated(id),
            "snoozed" => Self::Snoozed(id),
            "woken" => Self::Woken(id),
            _ => return None,
        })
    }

    /// True if the draft waits no longer, so that the next one is to be shown.
    pub(in crate::http::ui) const fn is_decided(self) -> bool {
        matches!(
            self,
            Self::Approved(_) | Self::ApprovedBefore(_) | Self::Rejected(_) | Self::Snoozed(_)
        )
    }
}

impl ReviewForm {
    /// The draft that is to be shown next.
    pub(in crate::http::ui) fn next(&self) -> Option<Id> {
        self.next.as_deref().and_then(parse_id)
    }

    /// The draft that the form is about.
    pub(in crate::http::ui) fn draft(&self) -> Option<Id> {
        parse_id(&self.draft)
    }

    /// The text as it was typed. Browsers send each line break as two characters.
    fn body(&self) -> Option<String> {
        self.body.as_ref().map(|body| body.replace("\r\n", "\n"))
    }

    fn newest_id(&self) -> Option<Id> {
        self.newest.as_deref().and_then(parse_id)
    }

    fn seen(&self, version: Option<String>) -> SeenDraft {
        SeenDraft { version, newest_inbound_id: self.newest_id() }
    }

    fn note(&self) -> Result<Option<String>, Problem> {
        let note = self.note.as_deref().map(one_line).filter(|it| !it.is_empty());
        if note.as_ref().is_some_and(|it| it.chars().count() > NOTE_CHARS_MAX) {
            let detail = format!("may have {NOTE_CHARS_MAX} characters at most");
            return Err(Problem::bad_request("note", detail));
        }
        Ok(note)
    }
}

/// A decision that was not carried out. What the person typed is kept.
#[derive(Clone, Debug)]
pub(in crate::http::ui) struct Stopped {
    problem: Problem,
    pub(super) draft_id: Id,
    pub(super) subject: Option<String>,
    pub(super) body: Option<String>,
    /// The version of the text on which the person's own text is based.
    pub(super) version: Option<String>,
    /// The newest inbound message that the person had seen.
    pub(super) newest_id: Option<Id>,
}

impl Stopped {
    pub(in crate::http::ui) fn status(&self) -> StatusCode {
        self.problem.status()
    }

    pub(super) fn why(&self) -> &str {
        self.problem.detail()
    }

    /// True if the analyst, the database or a value is at fault, and not what was decided
    /// meanwhile.
    pub(super) fn is_conflict(&self) -> bool {
        self.problem.cause() == Cause::Conflict
    }
}

/// Carries out what the form asks for.
///
/// # Errors
/// 403 for a viewer, 404 if there is no such draft, 400 for a form of nobody's. What the state of
/// the draft or its text does not allow is the inner error.
pub(in crate::http::ui) async fn carry_out(
    visit: &Visit,
    request: &HttpRequest,
    form: &ReviewForm,
) -> Result<Result<Deed, Stopped>, Problem> {
    visit.must_review()?;
    let none = || Problem::not_found(format!("there is no draft {}", form.draft));
    let id = form.draft().ok_or_else(none)?;
    let draft = visit.api().draft(id).await?;
    if !visit.viewer.sees(&draft.draft.client_id) {
        return Err(none());
    }
    match carried_out(visit, request, form, &draft).await {
        Ok(deed) => Ok(Ok(deed)),
        Err(problem) if is_about_draft(&problem) => Ok(Err(Stopped {
            problem,
            draft_id: id,
            subject: form.subject.clone(),
            body: form.body(),
            version: form.version.clone(),
            newest_id: form.newest_id(),
        })),
        Err(problem) => Err(problem),
    }
}

/// True if the page of the draft can say what the problem is.
fn is_about_draft(problem: &Problem) -> bool {
    matches!(problem.cause(), Cause::Conflict | Cause::AnalystAway)
        || problem.cause() == Cause::BadRequest
            && matches!(problem.field(), Some("body" | "subject" | "hint" | "note"))
}

async fn carried_out(
    visit: &Visit,
    request: &HttpRequest,
    form: &ReviewForm,
    draft: &DraftView,
) -> Result<Deed, Problem> {
    let (api, id) = (visit.api(), draft.draft.id);
    let by = || Operator::of(request);
    match form.action.as_str() {
        "" | "save" => {
            edited(visit, request, form, draft, form.version.clone()).await?;
            Ok(Deed::Saved)
        }
        "replace" => {
            edited(visit, request, form, draft, form.over.clone()).await?;
            Ok(Deed::Saved)
        }
        "approve" => {
            let version = edited(visit, request, form, draft, form.version.clone()).await?;
            let approved = api.approve_draft(id, form.seen(version), by()).await?;
            let is_own = approved.draft.decided_by.as_deref() == Some(by().name.as_str());
            Ok(if is_own { Deed::Approved(id) } else { Deed::ApprovedBefore(id) })
        }
        "undo" => api.undo_draft(id, by()).await.map(|_| Deed::Undone(id)),
        "regenerate" => {
            let written = api.regenerate_draft(id, form.hint.clone(), by()).await;
            written.map(|_| Deed::Regenerated(id))
        }
        "snooze:" => api.snooze_draft(id, None, by()).await.map(|_| Deed::Woken(id)),
        other => {
            if let Some(word) = other.strip_prefix("snooze:") {
                let until = Some(time_ahead(word)?);
                return api.snooze_draft(id, until, by()).await.map(|_| Deed::Snoozed(id));
            }
            let Some(word) = other.strip_prefix("reject:") else {
                return Err(Problem::bad_request("do", "there is no such decision"));
            };
            let (reason, note) = (reason_in(word)?, form.note()?);
            let rejected = api.reject_draft(id, Some(reason), note, by()).await;
            rejected.map(|_| Deed::Rejected(id))
        }
    }
}

/// Saves the text of the form if it is another one, and returns the version that the draft has
/// then. It is saved only over `version`.
async fn edited(
    visit: &Visit,
    request: &HttpRequest,
    form: &ReviewForm,
    draft: &DraftView,
    version: Option<String>,
) -> Result<Option<String>, Problem> {
    let row = &draft.draft;
    let is_same = |given: Option<&String>, stored: &str| {
        given.is_none_or(|given| *given == stored.replace("\r\n", "\n"))
    };
    let (subject, body) = (form.subject.clone(), form.body());
    let has_changed = !is_same(subject.as_ref(), row.subject.as_deref().unwrap_or_default())
        || !is_same(body.as_ref(), &row.body);
    // A text that nobody changed is not written again, but it must be the one that was shown.
    if !has_changed {
        return Ok(version);
    }
    let seen = SeenDraft { version, newest_inbound_id: None };
    let edited = visit.api().edit_draft(row.id, subject, body, seen, Operator::of(request)).await?;
    Ok(Some(edited.version()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_told_in_the_address() {
        for deed in [
            Deed::Approved(7),
            Deed::ApprovedBefore(7),
            Deed::Undone(7),
            Deed::Rejected(7),
            Deed::Regenerated(7),
            Deed::Snoozed(7),
            Deed::Woken(7),
        ] {
            assert_eq!(Deed::of(&deed.told().unwrap()), Some(deed));
        }
        for told in ["", "approved", "approved.", "approved.x", "approved.-1", "x.7"] {
            assert_eq!(Deed::of(told), None, "{told}");
        }
    }

    #[test]
    fn a_form_has_lines_as_they_were_typed() {
        let form: ReviewForm =
            serde_urlencoded(&[("draft", "7"), ("body", "a\r\nb\n"), ("do", "save")]);
        assert_eq!((form.draft(), form.body().as_deref()), (Some(7), Some("a\nb\n")));
        assert_eq!(form.action, "save");
        assert!(form.note().unwrap().is_none());
        let form = serde_urlencoded(&[("draft", "x"), ("note", &"x".repeat(501))]);
        assert!(form.draft().is_none() && form.note().is_err() && form.action.is_empty());
    }

    fn serde_urlencoded(pairs: &[(&str, &str)]) -> ReviewForm {
        let query =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        web::Query::<ReviewForm>::from_query(&query).unwrap().into_inner()
    }
}
