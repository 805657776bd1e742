//! `/drafts`: answers that are written and not sent.

use super::{
    ApiResult, ApiState, no_such,
    objects::{self, List, RowKey, StoredJson, at},
    only_id,
    query::Query,
};
use crate::{
    domain::{Id, Medium, Timestamp},
    http::{
        openapi::{
            ApiEndpoint, ApiParameter, CHANNEL, CLIENT, CURSOR, DraftStatusWord, GateDecisionWord,
            LEAD, LIMIT, STATUS_OF_DRAFTS, SentimentWord, get,
        },
        problem::Problem,
    },
    store::{DRAFT_STATUSES, DraftFilter, DraftRow, DraftView, Excerpt},
};
use actix_web::{
    HttpRequest,
    http::header::{ETAG, HeaderValue},
    web,
};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// The parameters of the list.
const PARAMETERS: [ApiParameter; 6] = [STATUS_OF_DRAFTS, CLIENT, LEAD, CHANNEL, LIMIT, CURSOR];

/// Drafts.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get("/drafts", list)
            .says("Drafts, newest first")
            .takes(&PARAMETERS)
            .answers::<List<DraftJson<'_>>>(),
        get("/drafts/{id}", show).says("A draft with all of its text").answers::<DraftJson<'_>>(),
    ]
}

/// `GET /drafts`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let query = Query::parse(&request, &PARAMETERS)?;
    let filter = DraftFilter {
        status: query.one_of("status", &DRAFT_STATUSES)?,
        client: query.values("client"),
        lead: query.ids("lead")?,
        channel: state.channels_in(&query)?,
    };
    let _permit = state.heavy_reads.permit().await?;
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
    let _permit = state.heavy_reads.permit().await?;
    let draft = state.desk.draft(id).await?.ok_or_else(|| no_such("draft", id))?;
    answer(&draft)
}

/// Answers with a whole draft. Its `ETag` is the version of its text, for `If-Match`.
pub(super) fn answer(draft: &DraftView) -> ApiResult {
    let mut answer = objects::object(DraftJson::whole(draft))?;
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", draft.version())) {
        answer.headers_mut().insert(ETAG, tag);
    }
    Ok(answer)
}

impl ApiState {
    /// The medium of a channel; `None` if this daemon does not have that.
    pub(in crate::http) fn medium_of(&self, channel: &str) -> Option<Medium> {
        self.desk.medium_of(channel)
    }

    /// A draft with its whole text, for a page.
    ///
    /// # Errors
    /// 404 if there is none.
    pub(in crate::http) async fn draft(&self, id: Id) -> Result<DraftView, Problem> {
        let _permit = self.heavy_reads.permit().await?;
        self.desk.draft(id).await?.ok_or_else(|| no_such("draft", id))
    }
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct DraftJson<'a> {
    pub(in crate::http) id: RowKey,
    pub(in crate::http) client_id: &'a str,
    pub(in crate::http) lead_id: RowKey,
    pub(in crate::http) message_id: RowKey,
    pub(in crate::http) channel: &'a str,
    #[schemars(with = "DraftStatusWord")]
    pub(in crate::http) status: &'a str,
    pub(in crate::http) subject: Option<&'a str>,
    pub(in crate::http) body: &'a str,
    /// True if the subject, the body or the parts are longer than is shown.
    pub(in crate::http) truncated: bool,
    #[schemars(with = "Vec<String>")]
    pub(in crate::http) parts: StoredJson<'a>,
    pub(in crate::http) created_at: Timestamp,
    pub(in crate::http) decided_at: Option<Timestamp>,
    pub(in crate::http) decided_by: Option<&'a str>,
    pub(in crate::http) edited: bool,
    pub(in crate::http) send_at: Option<Timestamp>,
    pub(in crate::http) blocked_by: Option<&'a str>,
    pub(in crate::http) delivery_id: Option<RowKey>,
    pub(in crate::http) gate: Option<GateJson<'a>>,
    /// The tag of the message when the draft was written.
    #[schemars(with = "Option<SentimentWord>")]
    pub(in crate::http) tag: Option<&'a str>,
    /// Why a person rejected it.
    pub(in crate::http) note: Option<&'a str>,
    /// Until when a person has put it off.
    pub(in crate::http) snoozed_until: Option<Timestamp>,
    /// Tells whether the text was changed; `null` if only its beginning is shown.
    pub(in crate::http) version: Option<String>,
}

/// How the gate judged a draft.
#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct GateJson<'a> {
    #[schemars(with = "GateDecisionWord")]
    pub(in crate::http) decision: &'a str,
    pub(in crate::http) confidence: Option<f64>,
    pub(in crate::http) threshold: Option<f64>,
    pub(in crate::http) reason: Option<&'a str>,
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
    pub(in crate::http) fn of(excerpt: &'a Excerpt<DraftView>) -> Self {
        let mut draft = Self::whole(&excerpt.row);
        draft.truncated = excerpt.is_cut;
        if excerpt.is_cut {
            draft.version = None;
        }
        draft
    }

    pub(in crate::http) fn whole(view: &'a DraftView) -> Self {
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
            snoozed_until: at!(draft.snoozed_until),
            version: Some(view.version()),
        }
    }
}
