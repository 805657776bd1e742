//! `/drafts`: answers that are written and not sent.

use super::{
    ApiResult, ApiState, no_such,
    objects::{self, RowKey, StoredJson, at},
    only_id,
    query::Query,
};
use crate::{
    domain::Timestamp,
    store::{DRAFT_STATUSES, DraftFilter, DraftRow, DraftView, Excerpt},
};
use actix_web::{HttpRequest, web};
use serde::Serialize;
use serde_json::Value;

/// `GET /drafts`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let known = ["status", "client", "lead", "channel", "limit", "cursor"];
    let query = Query::parse(&request, &known)?;
    let filter = DraftFilter {
        status: query.one_of("status", &DRAFT_STATUSES)?,
        client: query.values("client"),
        lead: query.ids("lead")?,
        channel: state.channels_in(&query)?,
    };
    let _permit = state.heavy_reads.permit().await;
    let page = state.desk.drafts(filter, query.limit()?, query.cursor()?).await?;
    let items = page.items.iter().map(DraftJson::of).collect();
    objects::page(items, page.next)
}

/// `GET /drafts/{id}`: with all of its text.
pub(super) async fn show(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "draft")?;
    let _permit = state.heavy_reads.permit().await;
    let draft = state.desk.draft(id).await?.ok_or_else(|| no_such("draft", id))?;
    objects::object(DraftJson::whole(&draft))
}

#[derive(Debug, Serialize)]
pub(super) struct DraftJson<'a> {
    id: RowKey,
    client_id: &'a str,
    lead_id: RowKey,
    message_id: RowKey,
    channel: &'a str,
    status: &'a str,
    subject: Option<&'a str>,
    body: &'a str,
    /// True if the subject, the body or the parts are longer than is shown.
    truncated: bool,
    parts: StoredJson<'a>,
    created_at: Timestamp,
    decided_at: Option<Timestamp>,
    decided_by: Option<&'a str>,
    edited: bool,
    send_at: Option<Timestamp>,
    blocked_by: Option<&'a str>,
    delivery_id: Option<RowKey>,
    gate: Option<GateJson<'a>>,
    /// The tag of the message when the draft was written.
    tag: Option<&'a str>,
    /// Why a person rejected it.
    note: Option<&'a str>,
}

/// How the gate judged a draft.
#[derive(Debug, Serialize)]
struct GateJson<'a> {
    decision: &'a str,
    confidence: Option<f64>,
    threshold: Option<f64>,
    reason: Option<&'a str>,
}

impl<'a> GateJson<'a> {
    fn of(draft: &'a DraftRow) -> Option<Self> {
        Some(Self {
            decision: draft.gate_decision.as_deref()?,
            confidence: draft.gate_confidence,
            threshold: draft.gate_threshold,
            reason: draft.gate_reason.as_deref(),
        })
    }
}

impl<'a> DraftJson<'a> {
    pub(super) fn of(excerpt: &'a Excerpt<DraftView>) -> Self {
        Self { truncated: excerpt.is_cut, ..Self::whole(&excerpt.row) }
    }

    pub(super) fn whole(view: &'a DraftView) -> Self {
        let draft = &view.draft;
        Self {
            id: RowKey(draft.id),
            client_id: &draft.client_id,
            lead_id: RowKey(draft.lead_id),
            message_id: RowKey(draft.message_id),
            channel: &draft.channel,
            status: &draft.status,
            subject: draft.subject.as_deref(),
            body: &draft.body,
            truncated: false,
            parts: StoredJson::of(&draft.parts, Value::Array(Vec::new())),
            created_at: Timestamp::from_millis(draft.created_at.0),
            decided_at: at!(draft.decided_at),
            decided_by: draft.decided_by.as_deref(),
            edited: draft.edited,
            send_at: at!(draft.send_at),
            blocked_by: draft.blocked_by.as_deref(),
            delivery_id: view.delivery_id.map(RowKey),
            gate: GateJson::of(draft),
            tag: draft.tag.as_deref(),
            note: draft.note.as_deref(),
        }
    }
}
