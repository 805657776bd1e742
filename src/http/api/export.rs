//! `GET /leads/{id}/export`: everything that is stored about a person, as one document.
//!
//! It is written while it is read, one object after the other, so that it takes little memory
//! however long the thread is. If it cannot be read to its end, the answer breaks off.

use super::{
    ApiResult, ApiState, audit::AuditJson, deliveries::DeliveryJson, drafts::DraftJson,
    examples::ExampleJson, jobs::JobDetailJson, leads::LeadJson, messages::MessageDetailJson,
    model_calls::ModelCallJson, no_such, objects::RowKey, only_id,
};
use crate::{
    domain::{Id, Timestamp},
    http::{operator::Operator, problem::Problem},
    store::{
        AuditFilter, DeliveryFilter, DraftFilter, JobFilter, MessageFilter, ModelCallFilter,
        OptOutRow, StoreError,
    },
};
use actix_web::{HttpRequest, HttpResponse, http::header::ContentType, rt, web};
use futures_util::stream::poll_fn;
use serde::Serialize;
use tokio::sync::mpsc;

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
    let permit = state.heavy_reads.permit().await;
    let detail = state.desk.lead(id).await?.ok_or_else(|| no_such("lead", id))?;
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
        if let Err(Ended::Failed(error)) = document.write(id, head).await {
            tracing::warn!(lead.id = id, %error, "an export breaks off");
            // The reader may be gone, too.
            document.to_reader.send(Err(error)).await.unwrap_or_default();
        }
    });
    let body = poll_fn(move |context| parts.poll_recv(context));
    Ok(HttpResponse::Ok().content_type(ContentType::json()).streaming(body))
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
    async fn write(&mut self, id: Id, head: String) -> Result<(), Ended> {
        self.text(head).await?;
        // What rows of the audit log are about.
        let mut targets = vec![id.to_string()];
        self.messages(id, &mut targets).await?;
        self.drafts(id, &mut targets).await?;
        self.deliveries(id, &mut targets).await?;
        self.examples(id).await?;
        self.calls(id).await?;
        self.jobs(id).await?;
        self.audit(&targets).await?;
        self.text("]}".to_owned()).await
    }

    async fn messages(&mut self, id: Id, targets: &mut Vec<String>) -> Result<(), Ended> {
        self.list(",\"messages\":[").await?;
        let mut cursor = None;
        loop {
            let filter = MessageFilter { lead: vec![id], ..MessageFilter::default() };
            let page = self.state.desk.messages(filter, PAGE, cursor).await?;
            for listed in &page.items {
                targets.push(listed.row.id.to_string());
                let whole = self.state.desk.message(listed.row.id).await?;
                if let Some(whole) = whole {
                    self.object(&MessageDetailJson::of(&whole)).await?;
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    async fn drafts(&mut self, id: Id, targets: &mut Vec<String>) -> Result<(), Ended> {
        self.list("],\"drafts\":[").await?;
        let mut cursor = None;
        loop {
            let filter = DraftFilter { lead: vec![id], ..DraftFilter::default() };
            let page = self.state.desk.drafts(filter, PAGE, cursor).await?;
            for listed in &page.items {
                targets.push(listed.row.draft.id.to_string());
                if let Some(whole) = self.state.desk.draft(listed.row.draft.id).await? {
                    self.object(&DraftJson::whole(&whole)).await?;
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    async fn deliveries(&mut self, id: Id, targets: &mut Vec<String>) -> Result<(), Ended> {
        self.list("],\"deliveries\":[").await?;
        let mut cursor = None;
        loop {
            let filter = DeliveryFilter { lead: vec![id], ..DeliveryFilter::default() };
            let page = self.state.desk.deliveries(filter, PAGE, cursor).await?;
            for delivery in &page.items {
                targets.push(delivery.id.to_string());
                self.object(&DeliveryJson::of(delivery)).await?;
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    async fn examples(&mut self, id: Id) -> Result<(), Ended> {
        self.list("],\"examples\":[").await?;
        let mut cursor = None;
        loop {
            let page = self.state.desk.examples_of_lead(id, PAGE, cursor).await?;
            for example in &page.items {
                self.object(&ExampleJson::of(example)).await?;
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    async fn calls(&mut self, id: Id) -> Result<(), Ended> {
        self.list("],\"calls\":[").await?;
        let mut cursor = None;
        loop {
            let filter = ModelCallFilter { lead: vec![id], ..ModelCallFilter::default() };
            let page = self.state.desk.model_calls(filter, PAGE, cursor).await?;
            for call in &page.items {
                self.object(&ModelCallJson::of(call)).await?;
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    async fn jobs(&mut self, id: Id) -> Result<(), Ended> {
        self.list("],\"jobs\":[").await?;
        let mut cursor = None;
        loop {
            let filter = JobFilter { lead: vec![id], ..JobFilter::default() };
            let page = self.state.desk.jobs(filter, PAGE, cursor).await?;
            for job in &page.items {
                if let Some(detail) = self.state.desk.job(job.id).await? {
                    self.object(&JobDetailJson::of(&detail)).await?;
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    async fn audit(&mut self, targets: &[String]) -> Result<(), Ended> {
        self.list("],\"audit\":[").await?;
        for target in targets.chunks(PAGE) {
            let mut cursor = None;
            loop {
                let filter = AuditFilter { target: target.to_vec(), ..AuditFilter::default() };
                let page = self.state.desk.audit(filter, PAGE, cursor).await?;
                for row in &page.items {
                    self.object(&AuditJson::of(row)).await?;
                }
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Begins a list.
    async fn list(&mut self, begin: &str) -> Result<(), Ended> {
        self.is_first = true;
        self.text(begin.to_owned()).await
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

#[derive(Debug, Serialize)]
struct OptOutJson<'a> {
    id: RowKey,
    at: Timestamp,
    channel: Option<&'a str>,
    message_id: Option<RowKey>,
    reason: &'a str,
    source: &'a str,
    noted_by: Option<&'a str>,
    lifted_at: Option<Timestamp>,
    lifted_by: Option<&'a str>,
    lift_note: Option<&'a str>,
}

impl<'a> OptOutJson<'a> {
    fn of(row: &'a OptOutRow) -> Self {
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
