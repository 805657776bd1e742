//! `/leads/{id}/opt-out` and `DELETE /leads/{id}`: what a person decides about a lead's wish to be
//! left alone.

use super::{
    ApiResult, ApiState,
    decisions::{fields_in, note_in},
    leads::LeadJson,
    no_such,
    objects::{self, RowKey},
    only_id,
};
use crate::{
    domain::Id,
    http::{operator::Operator, problem::Problem},
    store::{AuditEntry, Erased},
};
use actix_web::{Error, HttpRequest, web};
use serde::Serialize;
use serde_json::Value;

/// What stays after an erasure, in words.
const REMAINS: [&str; 3] = [
    "the keys of its messages (the provider's ids, and hashes of texts), so that a webhook that is repeated late brings nothing back",
    "the ids of its jobs until they are pruned, and the row of this erasure in the audit log",
    "what providers, backups and logs hold",
];
/// What stays besides if the lead is suppressed.
const SUPPRESSION: &str = "the keyed hashes of its identities, so that it stays opted out";

/// `POST /leads/{id}/opt-out`: opts the lead out by hand. Answers the lead.
pub(super) async fn opt_out(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    body: Result<web::Bytes, Error>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "lead")?;
    let Wish { note, .. } = wish_in(body, &["note"])?;
    state.desk.opt_out(id, entry(&request, "lead.opt_out", id, note)).await?;
    tracing::info!(lead.id = id, "opted out by hand");
    answer(&state, id).await
}

/// `DELETE /leads/{id}/opt-out`: lifts the opt-out of the lead. Answers the lead.
pub(super) async fn lift(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    body: Result<web::Bytes, Error>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "lead")?;
    let note = required(wish_in(body, &["note"])?.note)?;
    state.desk.lift_opt_out(id, entry(&request, "lead.opt_out_lift", id, Some(note))).await?;
    tracing::info!(lead.id = id, "opt-out lifted by hand");
    answer(&state, id).await
}

/// `DELETE /leads/{id}`: erases the person. Answers what was erased, and what remains.
pub(super) async fn erase(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    body: Result<web::Bytes, Error>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "lead")?;
    let Wish { note, suppress } = wish_in(body, &["note", "suppress"])?;
    let entry = entry(&request, "lead.erase", id, Some(required(note)?));
    let erased = state.desk.erase(id, suppress, entry).await?;
    tracing::info!(lead.id = id, "erased by hand");
    let suppression = (erased.suppressed > 0).then_some(SUPPRESSION);
    objects::object(ErasedJson {
        lead_id: RowKey(id),
        erased,
        remains: suppression.into_iter().chain(REMAINS).collect(),
    })
}

#[derive(Debug, Serialize)]
struct ErasedJson {
    lead_id: RowKey,
    erased: Erased,
    remains: Vec<&'static str>,
}

/// The fields of a body.
#[derive(Debug)]
struct Wish {
    note: Option<String>,
    suppress: bool,
}

/// The fields of a body, of which `known` are allowed. An empty body has none.
fn wish_in(body: Result<web::Bytes, Error>, known: &[&str]) -> Result<Wish, Problem> {
    let fields = fields_in(body, known)?;
    let suppress = match fields.get("suppress") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(suppress)) => *suppress,
        Some(_) => return Err(Problem::bad_request("suppress", "must be true or false")),
    };
    Ok(Wish { note: note_in(&fields)?, suppress })
}

fn required(note: Option<String>) -> Result<String, Problem> {
    note.ok_or_else(|| Problem::bad_request("note", "is required: say why"))
}

/// The row of the audit log.
fn entry(request: &HttpRequest, action: &'static str, id: Id, note: Option<String>) -> AuditEntry {
    AuditEntry { note, ..Operator::of(request).did(action, id) }
}

async fn answer(state: &ApiState, id: Id) -> ApiResult {
    let _permit = state.heavy_reads.permit().await;
    let detail = state.desk.lead(id).await?.ok_or_else(|| no_such("lead", id))?;
    objects::object(LeadJson::of(&detail.entry))
}
