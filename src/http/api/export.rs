//! `GET /leads/{id}/export`: everything that is stored about a person, as one document.
//!
//! It is written while it is read, one object after the other, so that it takes little memory
//! however long the thread is. If it cannot be read to its end, the answer breaks off.

use super::{
    ApiResult, ApiState, audit::AuditJson, deliveries::DeliveryJson, drafts::DraftJson,
    examples::ExampleJson, jobs::JobDetailJson, leads::LeadJson, messages::MessageDetailJson,
    model_calls::ModelCallJson, no_such, only_id, opt_outs::OptOutJson,
    quarantine::QuarantineDetailJson,
};
use crate::{
    domain::Id,
    http::{
        openapi::{ApiEndpoint, get},
        operator::Operator,
        problem::Problem,
    },
    store::{
        AuditFilter, DeliveryFilter, Desk, DraftFilter, JobFilter, LeadEntry, MessageFilter,
        ModelCallFilter, Page, StoreError,
    },
};
use actix_web::{HttpRequest, HttpResponse, http::header::ContentType, rt, web};
use futures_util::stream::poll_fn;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::mpsc;

/// What is stored about a person.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get("/leads/{id}/export", lead)
            .says("Everything that is stored about a person")
            .may_conflict()
            .answers::<ExportedLead>(),
    ]
}

/// How many objects wait at most for a slow reader.
const WAITING_MAX: usize = 4;
/// How many objects are listed at once.
const PAGE: usize = 200;

/// Answers everything that is stored about a lead. Who asked is noted in the audit log.
pub(super) async fn lead(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "lead")?;
    let permit = state.heavy_reads.permit().await?;
    let detail = state.desk.lead(id).await?.ok_or_else(|| no_such("lead", id))?;
    if let Some(into) = detail.entry.lead.merged_into {
        let why = format!("lead {id} was merged into lead {into}: name that one");
        return Err(Problem::conflict(why));
    }
    let opt_outs = state.desk.opt_outs(id).await?;
    drop(permit);
    let opt_outs: Vec<OptOutJson<'_>> = opt_outs.iter().map(OptOutJson::of).collect();
    let head = |error: serde_json::Error| Problem::internal(error.to_string());
    let head = format!(
        "{{\"lead\":{},\"opt_outs\":{}",
        serde_json::to_string(&LeadJson::of(&detail.entry)).map_err(head)?,
        serde_json::to_string(&opt_outs).map_err(head)?
    );
    state.record(Operator::of(&request).did("lead.export", id)).await;
    let (to_reader, mut parts) = mpsc::channel(WAITING_MAX);
    rt::spawn(async move {
        let mut document = Document { state, to_reader, is_first: true };
        if let Err(Ended::Failed(error)) = document.write(&detail.entry, head).await {
            tracing::warn!(lead.id = id, %error, "an export breaks off");
            // The reader may be gone, too.
            document.to_reader.send(Err(error)).await.unwrap_or_default();
        }
    });
    let body = poll_fn(move |context| parts.poll_recv(context));
    Ok(HttpResponse::Ok().content_type(ContentType::json()).streaming(body))
}

/// The document, for the OpenAPI document only: it is written part by part.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is of use")]
struct ExportedLead {
    lead: LeadJson<'static>,
    opt_outs: Vec<OptOutJson<'static>>,
    merged: Vec<LeadJson<'static>>,
    messages: Vec<MessageDetailJson<'static>>,
    drafts: Vec<DraftJson<'static>>,
    deliveries: Vec<DeliveryJson<'static>>,
    examples: Vec<ExampleJson<'static>>,
    calls: Vec<ModelCallJson<'static>>,
    jobs: Vec<JobDetailJson<'static>>,
    quarantine: Vec<QuarantineDetailJson<'static>>,
    audit: Vec<AuditJson<'static>>,
}

/// Why a document ends early.
enum Ended {
    /// The reader has gone.
    Unread,
    Failed(StoreError),
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// A document on its way to its reader.
struct Document {
    state: web::Data<ApiState>,
    to_reader: mpsc::Sender<Result<web::Bytes, StoreError>>,
    /// True if the next object is the first of its list.
    is_first: bool,
}

impl Document {
    /// Writes all of it; `head` is its beginning.
    async fn write(&mut self, lead: &LeadEntry, head: String) -> Result<(), Ended> {
        let id = lead.lead.id;
        self.text(head).await?;
        // What is stored about a lead from before its merge names that lead.
        let mut leads = vec![id];
        self.list("merged").await?;
        for merged in self.state.desk.merged_leads(id).await? {
            leads.push(merged.lead.id);
            self.object(&LeadJson::of(&merged)).await?;
        }
        self.end_list().await?;
        // What rows of the audit log are about.
        let mut targets: Vec<String> = leads.iter().map(ToString::to_string).collect();
        self.messages(id, &mut targets).await?;
        self.drafts(id, &mut targets).await?;
        self.deliveries(id, &mut targets).await?;
        self.examples(id).await?;
        self.calls(&leads).await?;
        self.jobs(&leads).await?;
        self.quarantine(lead).await?;
        self.audit(&targets).await?;
        self.text("}".to_owned()).await
    }

    async fn messages(&mut self, id: Id, targets: &mut Vec<String>) -> Result<(), Ended> {
        let filter = || MessageFilter { lead: vec![id], ..MessageFilter::default() };
        let page = async |desk: &Desk, cursor| desk.messages(filter(), PAGE, cursor).await;
        self.pages("messages", page, async |to, listed| {
            targets.push(listed.row.id.to_string());
            match to.state.desk.message(listed.row.id).await? {
                Some(whole) => to.object(&MessageDetailJson::of(&whole)).await,
                None => Ok(()),
            }
        })
        .await
    }

    async fn drafts(&mut self, id: Id, targets: &mut Vec<String>) -> Result<(), Ended> {
        let filter = || DraftFilter { lead: vec![id], ..DraftFilter::default() };
        let page = async |desk: &Desk, cursor| desk.drafts(filter(), PAGE, cursor).await;
        self.pages("drafts", page, async |to, listed| {
            targets.push(listed.row.draft.id.to_string());
            match to.state.desk.draft(listed.row.draft.id).await? {
                Some(whole) => to.object(&DraftJson::whole(&whole)).await,
                None => Ok(()),
            }
        })
        .await
    }

    async fn deliveries(&mut self, id: Id, targets: &mut Vec<String>) -> Result<(), Ended> {
        let filter = || DeliveryFilter { lead: vec![id], ..DeliveryFilter::default() };
        let page = async |desk: &Desk, cursor| desk.deliveries(filter(), PAGE, cursor).await;
        self.pages("deliveries", page, async |to, delivery| {
            targets.push(delivery.id.to_string());
            to.object(&DeliveryJson::of(&delivery)).await
        })
        .await
    }

    async fn examples(&mut self, id: Id) -> Result<(), Ended> {
        let page = async |desk: &Desk, cursor| desk.examples_of_lead(id, PAGE, cursor).await;
        let each = async |to: &mut Self, example| to.object(&ExampleJson::of(&example)).await;
        self.pages("examples", page, each).await
    }

    async fn calls(&mut self, leads: &[Id]) -> Result<(), Ended> {
        let filter = || ModelCallFilter { lead: leads.to_vec(), ..ModelCallFilter::default() };
        let page = async |desk: &Desk, cursor| desk.model_calls(filter(), PAGE, cursor).await;
        let each = async |to: &mut Self, call| to.object(&ModelCallJson::of(&call)).await;
        self.pages("calls", page, each).await
    }

    async fn jobs(&mut self, leads: &[Id]) -> Result<(), Ended> {
        let filter = || JobFilter { lead: leads.to_vec(), ..JobFilter::default() };
        let page = async |desk: &Desk, cursor| desk.jobs(filter(), PAGE, cursor).await;
        self.pages("jobs", page, async |to, job| match to.state.desk.job(job.id).await? {
            Some(whole) => to.object(&JobDetailJson::of(&whole)).await,
            None => Ok(()),
        })
        .await
    }

    /// The quarantined items that an erasure of the lead deletes.
    async fn quarantine(&mut self, lead: &LeadEntry) -> Result<(), Ended> {
        let identities = lead.identities.iter().map(|it| (it.kind.clone(), it.value.clone()));
        let (client, identities) = (lead.lead.client_id.clone(), identities.collect());
        let found = self.state.desk.quarantined_about(client, identities).await?;
        self.list("quarantine").await?;
        for id in found {
            if let Some(item) = self.state.desk.quarantine_item(id).await? {
                let (item, payload) = item.split();
                self.object(&QuarantineDetailJson::of(&item, &payload)).await?;
            }
        }
        self.end_list().await
    }

    async fn audit(&mut self, targets: &[String]) -> Result<(), Ended> {
        self.list("audit").await?;
        for target in targets.chunks(PAGE) {
            let filter = || AuditFilter { target: target.to_vec(), ..AuditFilter::default() };
            let page = async |desk: &Desk, cursor| desk.audit(filter(), PAGE, cursor).await;
            let each = async |to: &mut Self, row| to.object(&AuditJson::of(&row)).await;
            self.each_of(page, each).await?;
        }
        self.end_list().await
    }

    /// Writes a list of what is read page by page.
    async fn pages<T>(
        &mut self,
        name: &str,
        page: impl AsyncFn(&Desk, Option<Id>) -> Result<Page<T>, StoreError>,
        each: impl AsyncFnMut(&mut Self, T) -> Result<(), Ended>,
    ) -> Result<(), Ended> {
        self.list(name).await?;
        self.each_of(page, each).await?;
        self.end_list().await
    }

    /// Does `each` with all that is read page by page.
    async fn each_of<T>(
        &mut self,
        page: impl AsyncFn(&Desk, Option<Id>) -> Result<Page<T>, StoreError>,
        mut each: impl AsyncFnMut(&mut Self, T) -> Result<(), Ended>,
    ) -> Result<(), Ended> {
        let state = self.state.clone();
        let mut cursor = None;
        loop {
            let Page { items, next } = page(&state.desk, cursor).await?;
            for item in items {
                each(self, item).await?;
            }
            cursor = next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    /// Begins a list.
    async fn list(&mut self, name: &str) -> Result<(), Ended> {
        self.is_first = true;
        self.text(format!(",\"{name}\":[")).await
    }

    async fn end_list(&mut self) -> Result<(), Ended> {
        self.text("]".to_owned()).await
    }

    /// Writes an object of a list.
    async fn object(&mut self, object: &impl Serialize) -> Result<(), Ended> {
        let mut text = if std::mem::take(&mut self.is_first) { "" } else { "," }.to_owned();
        let json = serde_json::to_string(object);
        text.push_str(&json.map_err(|error| StoreError::Broken(error.to_string()))?);
        self.text(text).await
    }

    async fn text(&mut self, text: String) -> Result<(), Ended> {
        self.to_reader.send(Ok(text.into())).await.map_err(|_| Ended::Unread)
    }
}
