//! `/leads`: leads and their threads.

use super::{
    ApiResult, ApiState,
    deliveries::DeliveryJson,
    drafts::DraftJson,
    jobs::JobJson,
    messages::MessageJson,
    no_such,
    objects::{self, List, RowKey, at},
    only_id,
    opt_outs::OptOutJson,
    query::{Query, lead_cursor_text},
};
use crate::{
    domain::{Id, LeadStatus, Timestamp},
    http::{
        openapi::{
            ApiEndpoint, ApiParameter, CLIENT, CURSOR, LIMIT, LeadStatusWord, Q, SentimentWord,
            Takes, get,
        },
        problem::Problem,
    },
    store::{
        DeliveryFilter, DeliveryRow, IdentityRow, LeadDetail, LeadEntry, LeadFilter, OptOutRow,
    },
};
use actix_web::{HttpRequest, web};
use schemars::JsonSchema;
use serde::Serialize;

/// The parameters of the list.
const PARAMETERS: [ApiParameter; 5] = [
    CLIENT,
    ApiParameter::new("status", Takes::Words(|| LeadStatus::ALL.map(LeadStatus::as_str).to_vec())),
    Q,
    LIMIT,
    CURSOR,
];

/// Leads.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get("/leads", list)
            .says("Leads, those with the newest message first")
            .takes(&PARAMETERS)
            .answers::<List<LeadJson<'_>>>(),
        get("/leads/{id}", show).says("A lead with its thread").answers::<LeadDetailJson<'_>>(),
    ]
}

/// The most deliveries that come with a lead: the newest.
const DELIVERIES_MAX: usize = 200;

/// `GET /leads`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let query = Query::parse(&request, &PARAMETERS)?;
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
    let _permit = state.heavy_reads.permit().await?;
    let read = state.lead_read(id).await?;
    objects::object(read.json())
}

/// A lead with all that is shown of it.
#[derive(Clone, Debug)]
pub(in crate::http) struct LeadRead {
    pub(in crate::http) detail: LeadDetail,
    pub(in crate::http) opt_outs: Vec<OptOutRow>,
    pub(in crate::http) deliveries: Vec<DeliveryRow>,
}

impl LeadRead {
    /// As the API shows it.
    pub(in crate::http) fn json(&self) -> LeadDetailJson<'_> {
        LeadDetailJson::of(&self.detail, &self.opt_outs, &self.deliveries)
    }
}

impl ApiState {
    /// Reads a lead. The caller holds a permit for heavy reads.
    async fn lead_read(&self, id: Id) -> Result<LeadRead, Problem> {
        let detail = self.desk.lead(id).await?.ok_or_else(|| no_such("lead", id))?;
        let filter = DeliveryFilter { lead: vec![id], ..DeliveryFilter::default() };
        let deliveries = self.desk.deliveries(filter, DELIVERIES_MAX, None).await?.items;
        let opt_outs = self.desk.opt_outs(id).await?;
        Ok(LeadRead { detail, opt_outs, deliveries })
    }

    /// A lead for a page.
    ///
    /// # Errors
    /// 404 if there is none.
    pub(in crate::http) async fn lead(&self, id: Id) -> Result<LeadRead, Problem> {
        let _permit = self.heavy_reads.permit().await?;
        self.lead_read(id).await
    }
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct LeadJson<'a> {
    pub(in crate::http) id: RowKey,
    pub(in crate::http) client_id: &'a str,
    #[schemars(with = "LeadStatusWord")]
    pub(in crate::http) status: &'a str,
    #[schemars(with = "Option<SentimentWord>")]
    pub(in crate::http) sentiment: Option<&'a str>,
    pub(in crate::http) first_name: Option<&'a str>,
    pub(in crate::http) last_name: Option<&'a str>,
    pub(in crate::http) company_name: Option<&'a str>,
    pub(in crate::http) title: Option<&'a str>,
    pub(in crate::http) email: Option<&'a str>,
    pub(in crate::http) phone: Option<&'a str>,
    pub(in crate::http) timezone: Option<&'a str>,
    pub(in crate::http) opted_out: Option<OptedOutJson<'a>>,
    pub(in crate::http) bounced: Option<BouncedJson<'a>>,
    pub(in crate::http) sms_dnd: bool,
    pub(in crate::http) connected_at: Option<Timestamp>,
    pub(in crate::http) snoozed_until: Option<Timestamp>,
    pub(in crate::http) score: Option<ScoreJson<'a>>,
    pub(in crate::http) identities: Vec<IdentityJson<'a>>,
    pub(in crate::http) campaign: Option<CampaignJson<'a>>,
    pub(in crate::http) last_message_at: Option<Timestamp>,
    pub(in crate::http) last_inbound_at: Option<Timestamp>,
    pub(in crate::http) last_outbound_at: Option<Timestamp>,
    pub(in crate::http) created_at: Timestamp,
    pub(in crate::http) merged_into: Option<RowKey>,
    pub(in crate::http) category: Option<&'a str>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct OptedOutJson<'a> {
    pub(in crate::http) at: Timestamp,
    pub(in crate::http) channel: Option<&'a str>,
    pub(in crate::http) message_id: Option<RowKey>,
    pub(in crate::http) reason: Option<&'a str>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct BouncedJson<'a> {
    pub(in crate::http) at: Timestamp,
    pub(in crate::http) address: Option<&'a str>,
    pub(in crate::http) reason: Option<&'a str>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct ScoreJson<'a> {
    pub(in crate::http) fit: Option<i32>,
    pub(in crate::http) intent: Option<i32>,
    pub(in crate::http) overall: Option<i32>,
    pub(in crate::http) reason: Option<&'a str>,
    pub(in crate::http) scored_at: Timestamp,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct IdentityJson<'a> {
    pub(in crate::http) kind: &'a str,
    pub(in crate::http) value: &'a str,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct CampaignJson<'a> {
    pub(in crate::http) id: RowKey,
    pub(in crate::http) name: Option<&'a str>,
}

impl<'a> LeadJson<'a> {
    pub(in crate::http) fn of(entry: &'a LeadEntry) -> Self {
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

#[derive(Debug, JsonSchema, Serialize)]
pub(in crate::http) struct LeadDetailJson<'a> {
    #[serde(flatten)]
    pub(in crate::http) lead: LeadJson<'a>,
    /// All of them, also those that were lifted, oldest first.
    pub(in crate::http) opt_outs: Vec<OptOutJson<'a>>,
    pub(in crate::http) messages: Vec<MessageJson<'a>>,
    pub(in crate::http) drafts: Vec<DraftJson<'a>>,
    pub(in crate::http) deliveries: Vec<DeliveryJson<'a>>,
    jobs: Vec<JobJson<'a>>,
}

impl<'a> LeadDetailJson<'a> {
    pub(in crate::http) fn of(
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
