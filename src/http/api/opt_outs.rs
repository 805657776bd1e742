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
    domain::{Id, Timestamp},
    http::{
        openapi::{
            ApiEndpoint, ApiParameter, NOTE, NOTE_NEEDED, OptOutSourceWord, Takes, delete, post,
        },
        operator::Operator,
        problem::Problem,
    },
    store::{AuditEntry, Erased, Lifting, OptOutRow},
};
use actix_web::{Error, HttpRequest, web};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// What stays after an erasure, in words.
const REMAINS: [&str; 4] = [
    "the keys of its messages (the provider's ids, and hashes of texts), so that a webhook that is repeated late brings nothing back",
    "the ids of its jobs until they are pruned, and the row of this erasure in the audit log",
    "quarantined webhooks that spell its addresses otherwise than they are stored, or name it by nothing else",
    "what providers, backups and logs hold",
];
/// What stays besides if the lead is suppressed.
const SUPPRESSION: &str = "the keyed hashes of its identities, so that it stays opted out";

/// The fields of the bodies that are read here.
const OPTED_OUT: [ApiParameter; 1] = [NOTE];
const LIFTED: [ApiParameter; 3] =
    [NOTE_NEEDED, ApiParameter::new("all", Takes::Flag), ApiParameter::new("opt_outs", Takes::Ids)];
const ERASED: [ApiParameter; 2] = [NOTE_NEEDED, ApiParameter::new("suppress", Takes::Flag)];

/// What a person decides about a lead's wish to be left alone.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        delete("/leads/{id}", erase)
            .says("Erases a person; answers what was erased, and what remains")
            .reads(&ERASED)
            .may_conflict()
            .answers::<ErasedJson>(),
        post("/leads/{id}/opt-out", opt_out)
            .says("Opts a lead out by hand")
            .reads(&OPTED_OUT)
            .may_conflict()
            .answers::<LeadJson<'_>>(),
        delete("/leads/{id}/opt-out", lift)
            .says("Lifts the opt-outs of a lead")
            .reads(&LIFTED)
            .may_conflict()
            .answers::<LeadJson<'_>>(),
    ]
}

/// `POST /leads/{id}/opt-out`: opts the lead out by hand. Answers the lead.
pub(super) async fn opt_out(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    body: Result<web::Bytes, Error>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "lead")?;
    let Wish { note, .. } = wish_in(body, &OPTED_OUT)?;
    state.desk.opt_out(id, entry(&request, "lead.opt_out", id, note)).await?;
    tracing::info!(lead.id = id, "opted out by hand");
    answer(&state, id).await
}

/// `DELETE /leads/{id}/opt-out`: lifts the opt-outs of the lead. Answers the lead.
pub(super) async fn lift(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    body: Result<web::Bytes, Error>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "lead")?;
    let Wish { note, all, opt_outs, .. } = wish_in(body, &LIFTED)?;
    if all && !opt_outs.is_empty() {
        return Err(Problem::bad_request("all", "cannot be given together with `opt_outs`"));
    }
    let entry = entry(&request, "lead.opt_out_lift", id, Some(required(note)?));
    let lifting = if all { Lifting::All } else { Lifting::ShownAnd(opt_outs) };
    state.desk.lift_opt_out(id, lifting, entry).await?;
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
    let Wish { note, suppress, .. } = wish_in(body, &ERASED)?;
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

#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "ErasedLead")]
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
    all: bool,
    opt_outs: Vec<Id>,
}

/// The fields of a body, of which `known` are allowed. An empty body has none.
fn wish_in(body: Result<web::Bytes, Error>, known: &[ApiParameter]) -> Result<Wish, Problem> {
    let fields = fields_in(body, known)?;
    let flag = |name: &'static str| match fields.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(Problem::bad_request(name, "must be true or false")),
    };
    let (suppress, all) = (flag("suppress")?, flag("all")?);
    let id_of = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
    let opt_outs = match fields.get("opt_outs") {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(ids)) => ids.iter().map(id_of).collect(),
        Some(_) => None,
    };
    let opt_outs = opt_outs
        .ok_or_else(|| Problem::bad_request("opt_outs", "must be a list of ids, each a text"))?;
    Ok(Wish { note: note_in(&fields)?, suppress, all, opt_outs })
}

fn required(note: Option<String>) -> Result<String, Problem> {
    note.ok_or_else(|| Problem::bad_request("note", "is required: say why"))
}

/// The row of the audit log.
fn entry(request: &HttpRequest, action: &'static str, id: Id, note: Option<String>) -> AuditEntry {
    AuditEntry { note, ..Operator::of(request).did(action, id) }
}

async fn answer(state: &ApiState, id: Id) -> ApiResult {
    let _permit = state.heavy_reads.permit().await?;
    let detail = state.desk.lead(id).await?.ok_or_else(|| no_such("lead", id))?;
    objects::object(LeadJson::of(&detail.entry))
}

/// An opt-out of a lead: who noted or lifted it, and why.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct OptOutJson<'a> {
    pub(in crate::http) id: RowKey,
    pub(in crate::http) at: Timestamp,
    pub(in crate::http) channel: Option<&'a str>,
    pub(in crate::http) message_id: Option<RowKey>,
    pub(in crate::http) reason: &'a str,
    #[schemars(with = "OptOutSourceWord")]
    pub(in crate::http) source: &'a str,
    pub(in crate::http) noted_by: Option<&'a str>,
    pub(in crate::http) lifted_at: Option<Timestamp>,
    pub(in crate::http) lifted_by: Option<&'a str>,
    pub(in crate::http) lift_note: Option<&'a str>,
}

impl<'a> OptOutJson<'a> {
    pub(in crate::http) fn of(row: &'a OptOutRow) -> Self {
        Self {
            id: RowKey(row.id),
            at: row.at,
            channel: row.channel.as_deref(),
            message_id: row.message_id.map(RowKey),
            reason: &row.reason,
            source: &row.source,
            noted_by: row.noted_by.as_deref(),
            lifted_at: row.lifted_at,
            lifted_by: row.lifted_by.as_deref(),
            lift_note: row.lift_note.as_deref(),
        }
    }
}
