//! `/examples`: what people decided otherwise than Postroom.

use super::{
    ApiResult, ApiState,
    objects::{self, List, RowKey},
    query::Query,
};
use crate::{
    domain::{Id, Timestamp},
    http::openapi::{ApiEndpoint, ApiParameter, CLIENT, CURSOR, LIMIT, SentimentWord, get},
    store::{ExampleRow, StoreError},
};
use actix_web::{HttpRequest, web};
use schemars::JsonSchema;
use serde::Serialize;

/// The parameters of the list.
const PARAMETERS: [ApiParameter; 3] = [CLIENT, LIMIT, CURSOR];

/// Labelled examples.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        get("/examples", list)
            .says("What people decided otherwise, newest first")
            .takes(&PARAMETERS)
            .answers::<List<ExampleJson<'_>>>(),
    ]
}

/// How many examples of a lead are read to find the first text of a draft.
const FIRST_TEXT_WITHIN: usize = 50;

impl ApiState {
    /// The text that a draft had before a person first changed it, if one did.
    ///
    /// # Errors
    /// If the database is away.
    pub(in crate::http) async fn first_text(
        &self,
        lead: Id,
        draft: Id,
    ) -> Result<Option<String>, StoreError> {
        let examples = self.desk.examples_of_lead(lead, FIRST_TEXT_WITHIN, None).await?.items;
        let edits = examples.into_iter().filter(|it| it.kind == "edited");
        let mut of_draft = edits.filter(|it| it.draft_id == Some(draft));
        Ok(of_draft.next_back().and_then(|oldest| oldest.was))
    }
}

/// `GET /examples`.
pub(super) async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let query = Query::parse(&request, &PARAMETERS)?;
    let _permit = state.heavy_reads.permit().await?;
    let page = state.desk.examples(query.values("client"), query.limit()?, query.cursor()?).await?;
    let items = page.items.iter().map(ExampleJson::of).collect();
    objects::page(items, page.next)
}

/// A labelled example. `text`, `subject`, `channel`, `tag`, `opt_out` and `machine` are what an
/// analyst is judged by, if `kind` is `tag`: a person has read the message and given the tag. Of
/// the other kinds, the tag is the one that the message had.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct ExampleJson<'a> {
    id: RowKey,
    client_id: &'a str,
    lead_id: RowKey,
    message_id: RowKey,
    draft_id: Option<RowKey>,
    kind: &'a str,
    channel: &'a str,
    subject: Option<&'a str>,
    text: &'a str,
    #[schemars(with = "Option<SentimentWord>")]
    tag: Option<&'a str>,
    opt_out: bool,
    machine: bool,
    was: Option<&'a str>,
    became: Option<&'a str>,
    reason: Option<&'a str>,
    by: &'a str,
    created_at: Timestamp,
}

impl<'a> ExampleJson<'a> {
    pub(super) fn of(row: &'a ExampleRow) -> Self {
        Self {
            id: RowKey(row.id),
            client_id: &row.client_id,
            lead_id: RowKey(row.lead_id),
            message_id: RowKey(row.message_id),
            draft_id: row.draft_id.map(RowKey),
            kind: &row.kind,
            channel: &row.channel,
            subject: row.subject.as_deref(),
            text: &row.body,
            tag: row.tag.as_deref(),
            opt_out: row.opt_out,
            machine: row.automated,
            was: row.was.as_deref(),
            became: row.became.as_deref(),
            reason: row.reason.as_deref(),
            by: &row.decided_by,
            created_at: Timestamp::from_millis(row.created_at.0),
        }
    }
}
