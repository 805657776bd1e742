//! `/leads`: leads and their threads.

use super::{
    ApiResult, ApiState,
    deliveries::DeliveryJson,
    drafts::DraftJson,
    jobs::JobJson,
    messages::MessageJson,
    no_such,
    objects::{self, RowKey, at},
    only_id,
    opt_outs::OptOutJson,
    query::{Query, lead_cursor_text},
};
use crate::{
    domain::{LeadStatus, Timestamp},
    store::{
        DeliveryFilter, DeliveryRow, IdentityRow, LeadDetail, LeadEntry, LeadFilter, OptOutRow,
    },
};
use actix_web::{HttpRequest, web};
use serde::Serialize;

/// The most deliveries that come with a lead: the newest.
const DELIVERIES_MAX: usize = 200;

/// `GET /leads`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let known = ["client", "status", "q", "limit", "cursor"];
    let query = Query::parse(&request, &known)?;
    let statuses = || LeadStatus::ALL.map(LeadStatus::as_str).join(", ");
    let filter = LeadFilter {
        client: query.values("client"),
        status: query.parsed("status", LeadStatus::parse, statuses)?,
        text: query.text("q")?.map(str::to_owned),
    };
    let page = state.desk.leads(filter, query.limit()?, query.lead_cursor()?).await?;
    let items = page.items.iter().map(LeadJson::of).collect();
    objects::page(items, page.next.map(lead_cursor_text))
}

/// `GET /leads/{id}`.
pub(super) async fn show(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "lead")?;
    let _permit = state.heavy_reads.permit().await;
    let detail = state.desk.lead(id).await?.ok_or_else(|| no_such("lead", id))?;
    let filter = DeliveryFilter { lead: vec![id], ..DeliveryFilter::default() };
    let deliveries = state.desk.deliveries(filter, DELIVERIES_MAX, None).await?;
    let opt_outs = state.desk.opt_outs(id).await?;
    objects::object(LeadDetailJson::of(&detail, &opt_outs, &deliveries.items))
}

#[derive(Debug, Serialize)]
pub(super) struct LeadJson<'a> {
    id: RowKey,
    client_id: &'a str,
    status: &'a str,
    sentiment: Option<&'a str>,
    first_name: Option<&'a str>,
    last_name: Option<&'a str>,
    company_name: Option<&'a str>,
    title: Option<&'a str>,
    email: Option<&'a str>,
    phone: Option<&'a str>,
    timezone: Option<&'a str>,
    opted_out: Option<OptedOutJson<'a>>,
    bounced: Option<BouncedJson<'a>>,
    sms_dnd: bool,
    connected_at: Option<Timestamp>,
    snoozed_until: Option<Timestamp>,
    score: Option<ScoreJson<'a>>,
    identities: Vec<IdentityJson<'a>>,
    campaign: Option<CampaignJson<'a>>,
    last_message_at: Option<Timestamp>,
    last_inbound_at: Option<Timestamp>,
    last_outbound_at: Option<Timestamp>,
    created_at: Timestamp,
    merged_into: Option<RowKey>,
    category: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct OptedOutJson<'a> {
    at: Timestamp,
    channel: Option<&'a str>,
    message_id: Option<RowKey>,
    reason: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct BouncedJson<'a> {
    at: Timestamp,
    address: Option<&'a str>,
    reason: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct ScoreJson<'a> {
    fit: Option<i32>,
    intent: Option<i32>,
    overall: Option<i32>,
    reason: Option<&'a str>,
    scored_at: Timestamp,
}

#[derive(Debug, Serialize)]
struct IdentityJson<'a> {
    kind: &'a str,
    value: &'a str,
}

#[derive(Debug, Serialize)]
struct CampaignJson<'a> {
    id: RowKey,
    name: Option<&'a str>,
}

impl<'a> LeadJson<'a> {
    pub(super) fn of(entry: &'a LeadEntry) -> Self {
        let it = &entry.lead;
        let identity = |row: &'a IdentityRow| IdentityJson { kind: &row.kind, value: &row.value };
        Self {
            id: RowKey(it.id),
            client_id: &it.client_id,
            status: &it.status,
            sentiment: it.sentiment.as_deref(),
            first_name: it.first_name.as_deref(),
            last_name: it.last_name.as_deref(),
            company_name: it.company_name.as_deref(),
            title: it.title.as_deref(),
            email: it.email.as_deref(),
            phone: it.phone.as_deref(),
            timezone: it.timezone.as_deref(),
            opted_out: at!(it.opted_out_at).map(|at| OptedOutJson {
                at,
                channel: it.opted_out_channel.as_deref(),
                message_id: it.opted_out_message_id.map(RowKey),
                reason: it.opted_out_reason.as_deref(),
            }),
            bounced: at!(it.bounced_at).map(|at| BouncedJson {
                at,
                address: it.bounced_address.as_deref(),
                reason: it.bounced_reason.as_deref(),
            }),
            sms_dnd: it.sms_dnd,
            connected_at: at!(it.connected_at),
            snoozed_until: at!(it.snoozed_until),
            score: at!(it.scored_at).map(|scored_at| ScoreJson {
                fit: it.fit,
                intent: it.intent,
                overall: it.overall,
                reason: it.score_reason.as_deref(),
                scored_at,
            }),
            identities: entry.identities.iter().map(identity).collect(),
            campaign: entry
                .campaign
                .as_ref()
                .map(|(id, name)| CampaignJson { id: RowKey(*id), name: name.as_deref() }),
            last_message_at: at!(it.last_message_at),
            last_inbound_at: at!(it.last_inbound_at),
            last_outbound_at: at!(it.last_outbound_at),
            created_at: Timestamp::from_millis(it.created_at.0),
            merged_into: it.merged_into.map(RowKey),
            category: it.category.as_deref(),
        }
    }
}

#[derive(Debug, Serialize)]
struct LeadDetailJson<'a> {
    #[serde(flatten)]
    lead: LeadJson<'a>,
    /// All of them, also those that were lifted, oldest first.
    opt_outs: Vec<OptOutJson<'a>>,
    messages: Vec<MessageJson<'a>>,
    drafts: Vec<DraftJson<'a>>,
    deliveries: Vec<DeliveryJson<'a>>,
    jobs: Vec<JobJson<'a>>,
}

impl<'a> LeadDetailJson<'a> {
    fn of(
        detail: &'a LeadDetail,
        opt_outs: &'a [OptOutRow],
        deliveries: &'a [DeliveryRow],
    ) -> Self {
        Self {
            lead: LeadJson::of(&detail.entry),
            opt_outs: opt_outs.iter().map(OptOutJson::of).collect(),
            messages: detail.messages.iter().map(MessageJson::of).collect(),
            drafts: detail.drafts.iter().map(DraftJson::of).collect(),
            deliveries: deliveries.iter().map(DeliveryJson::of).collect(),
            jobs: detail.jobs.iter().map(JobJson::of).collect(),
        }
    }
}
