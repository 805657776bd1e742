//! What a person decides: about drafts, about deliveries of which nobody knows the end, and about
//! the tags of messages.

use super::{
    ApiResult, ApiState,
    deliveries::DeliveryJson,
    drafts::{self, DraftJson},
    id_in,
    json::object_in,
    messages::MessageDetailJson,
    no_such, objects, only_id,
    pools::{self, BODY_MAX_BYTES},
    query::{Query, parse_id},
};
use crate::{
    analyst::{AnalystError, Asker, DraftRequest, RuledMessage},
    config::nearest,
    domain::{
        Id, RejectReason, Sentiment, Timestamp,
        job::DELIVER_REPLY,
        text::{fingerprint, one_line},
        trace::Hop,
    },
    http::{
        admin::body_problem,
        openapi::{ApiEndpoint, ApiParameter, NOTE, Takes, VALUE_CHARS_MAX, patch, post},
        operator::Operator,
        problem::{Cause, Problem},
    },
    store::{
        AuditEntry, DeliveryRow, DraftDecision, DraftRow, DraftView, Rewriting, SeenDraft,
        wall_clock,
    },
    telemetry::traces::{SpanKind, SpanStart, TraceSpan, names},
};
use actix_web::{Error, HttpRequest, http::header::IF_MATCH, web};
use serde_json::{Map, Value};
use std::time::Duration;
use tracing::Instrument as _;

/// How long the analyst may take for a new text. Commands wait a little longer for the answer.
const REDRAFTED_WITHIN: Duration = Duration::from_secs(8);
/// The most days for which a draft is put off.
const SNOOZE_DAYS_MAX: i64 = 366;
/// The most characters of what a person asks of a new text.
const HINT_CHARS_MAX: usize = 200;

/// The fields of the bodies that are read here.
const EDITED: [ApiParameter; 2] = [
    ApiParameter::new("subject", Takes::Text(BODY_MAX_BYTES)),
    ApiParameter::new("body", Takes::Text(BODY_MAX_BYTES)),
];
const APPROVED: [ApiParameter; 1] = [ApiParameter::new("newest_inbound_id", Takes::Id)];
const REJECTED: [ApiParameter; 2] = [
    ApiParameter::new(
        "reason",
        Takes::Word(|| RejectReason::ALL.map(RejectReason::as_str).to_vec()),
    ),
    NOTE,
];
const REGENERATED: [ApiParameter; 1] = [ApiParameter::new("hint", Takes::Text(HINT_CHARS_MAX))];
const SNOOZED: [ApiParameter; 1] = [ApiParameter::new("until", Takes::Text(VALUE_CHARS_MAX))];
const RESOLVED: [ApiParameter; 2] = [ApiParameter::new("sent", Takes::Flag).needed(), NOTE];
const RETAGGED: [ApiParameter; 3] = [
    ApiParameter::new("sentiment", Takes::Word(|| Sentiment::ALL.map(Sentiment::as_str).to_vec()))
        .needed(),
    ApiParameter::new("opt_out", Takes::Flag),
    NOTE,
];

/// What a person decides.
pub(super) fn endpoints() -> Vec<ApiEndpoint> {
    vec![
        patch("/messages/{id}", retag)
            .says("Gives a message another tag")
            .reads(&RETAGGED)
            .may_conflict()
            .answers::<MessageDetailJson<'_>>(),
        patch("/drafts/{id}", edit)
            .says("Changes the text of a pending draft")
            .takes_version()
            .reads(&EDITED)
            .may_conflict()
            .answers::<DraftJson<'_>>(),
        post("/drafts/{id}/approve", approve)
            .says("Has a draft sent, after a while in which that can be taken back")
            .takes_version()
            .reads(&APPROVED)
            .may_conflict()
            .answers::<DraftJson<'_>>(),
        post("/drafts/{id}/undo", undo)
            .says("Takes an approval back")
            .may_conflict()
            .answers::<DraftJson<'_>>(),
        post("/drafts/{id}/reject", reject)
            .says("Has a draft not sent")
            .reads(&REJECTED)
            .may_conflict()
            .answers::<DraftJson<'_>>(),
        post("/drafts/{id}/regenerate", regenerate)
            .says("Has the analyst write another text")
            .reads(&REGENERATED)
            .may_conflict()
            .answers::<DraftJson<'_>>(),
        post("/drafts/{id}/snooze", snooze)
            .says("Puts a draft off, or takes that back")
            .reads(&SNOOZED)
            .may_conflict()
            .answers::<DraftJson<'_>>(),
        post("/deliveries/{id}/resolve", resolve)
            .says("Says what became of an uncertain send")
            .reads(&RESOLVED)
            .may_conflict()
            .answers::<DeliveryJson<'_>>(),
    ]
}

/// `PATCH /drafts/{id}`: changes the text of a pending draft. With `If-Match`, only if it still has
/// that version.
pub(super) async fn edit(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    body: Result<web::Bytes, Error>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "draft")?;
    let fields = fields_in(body, &EDITED)?;
    let subject = match fields.get("subject") {
        // None is what an empty one is.
        Some(Value::Null) => Some(String::new()),
        _ => text_in(&fields, "subject")?,
    };
    let body = text_in(&fields, "body")?;
    if subject.is_none() && body.is_none() {
        let detail = "nothing is to be changed: name `subject` or `body`";
        return Err(Problem::new(Cause::BadRequest, detail));
    }
    let seen = SeenDraft { version: version_in(&request)?, newest_inbound_id: None };
    drafts::answer(&state.edit_draft(id, subject, body, seen, Operator::of(&request)).await?)
}

/// `POST /drafts/{id}/approve`: has it sent, after a while in which it can be taken back. With
/// `If-Match`, only if it still has that version; with `newest_inbound_id`, only if no later
/// message of the lead is stored.
pub(super) async fn approve(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    body: Result<web::Bytes, Error>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "draft")?;
    let newest = text_in(&fields_in(body, &APPROVED)?, "newest_inbound_id")?;
    let no_id = || Problem::bad_request("newest_inbound_id", "must be the id of a message");
    let newest = newest.map(|text| parse_id(&text).ok_or_else(no_id)).transpose()?;
    let seen = SeenDraft { version: version_in(&request)?, newest_inbound_id: newest };
    drafts::answer(&state.approve_draft(id, seen, Operator::of(&request)).await?)
}

/// `POST /drafts/{id}/undo`: takes an approval back.
pub(super) async fn undo(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "draft")?;
    drafts::answer(&state.undo_draft(id, Operator::of(&request)).await?)
}

/// `POST /drafts/{id}/reject`: with a reason or a note, which makes it a labelled example.
pub(super) async fn reject(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    body: Result<web::Bytes, Error>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "draft")?;
    let fields = fields_in(body, &REJECTED)?;
    let reason = text_in(&fields, "reason")?.map(|word| reason_in(&word)).transpose()?;
    let note = note_in(&fields)?;
    drafts::answer(&state.reject_draft(id, reason, note, Operator::of(&request)).await?)
}

/// `POST /drafts/{id}/regenerate`: has the analyst write another text in its place, with a `hint`
/// as a person asks for it.
pub(super) async fn regenerate(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    body: Result<web::Bytes, Error>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "draft")?;
    let hint = text_in(&fields_in(body, &REGENERATED)?, "hint")?;
    drafts::answer(&state.regenerate_draft(id, hint, Operator::of(&request)).await?)
}

/// `POST /drafts/{id}/snooze`: puts it off until `until`, a time or a duration from now.
///
/// Without it, the draft waits for a decision again.
pub(super) async fn snooze(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    body: Result<web::Bytes, Error>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "draft")?;
    let until = text_in(&fields_in(body, &SNOOZED)?, "until")?;
    let until = until.map(|text| time_ahead(&text)).transpose()?;
    drafts::answer(&state.snooze_draft(id, until, Operator::of(&request)).await?)
}

/// A time in the future, at most [`SNOOZE_DAYS_MAX`] ahead: an RFC 3339 time, or a duration from
/// now.
pub(in crate::http) fn time_ahead(text: &str) -> Result<Timestamp, Problem> {
    let now = wall_clock();
    let of_duration = || {
        let ahead = humantime::parse_duration(text).ok()?;
        Some(now.plus_millis(i64::try_from(ahead.as_millis()).ok()?))
    };
    let at = text.parse::<jiff::Timestamp>().ok().map(Timestamp::from).or_else(of_duration);
    let is_ahead =
        |at: &Timestamp| (1..=SNOOZE_DAYS_MAX * 86_400_000).contains(&at.millis_since(now));
    at.filter(is_ahead).ok_or_else(|| {
        let detail = format!(
            "must be a time such as 2026-01-18T14:03:11Z, or a duration from now such as 4h, at most \
             {SNOOZE_DAYS_MAX} days ahead"
        );
        Problem::bad_request("until", detail)
    })
}

impl ApiState {
    /// Puts a draft off; `None` ends that.
    ///
    /// # Errors
    /// 409 if it is not pending, or its lead has written again.
    pub(in crate::http) async fn snooze_draft(
        &self,
        id: Id,
        until: Option<Timestamp>,
        by: Operator,
    ) -> Result<DraftView, Problem> {
        let (decision, seen) = (DraftDecision::Snooze { until }, SeenDraft::default());
        self.decide(id, decision, seen, by.did("draft.snooze", id)).await
    }

    /// Changes the text of a pending draft. What is `None` stays as it is.
    ///
    /// # Errors
    /// 409 if it is not as `seen`, or not pending; 400 for a text that cannot be sent.
    pub(in crate::http) async fn edit_draft(
        &self,
        id: Id,
        subject: Option<String>,
        body: Option<String>,
        seen: SeenDraft,
        by: Operator,
    ) -> Result<DraftView, Problem> {
        let decision = DraftDecision::Edit { subject, body };
        self.decide(id, decision, seen, by.did("draft.edit", id)).await
    }

    /// Has a draft sent.
    ///
    /// # Errors
    /// 409 if it is not as `seen`, or may not be sent.
    pub(in crate::http) async fn approve_draft(
        &self,
        id: Id,
        seen: SeenDraft,
        by: Operator,
    ) -> Result<DraftView, Problem> {
        let config = self.config.get();
        let draft = self.desk.draft(id).await?.ok_or_else(|| no_such("draft", id))?.draft;
        let client = config.client(&draft.client_id);
        let channel = client.and_then(|client| client.channel(&draft.channel));
        let is_open = draft.status == "pending" || draft.blocked_by.is_some();
        if is_open && channel.is_none_or(|channel| channel.send.is_none()) {
            let detail = format!(
                "the client `{}` has no settings for sending: set `channels.{}.send`",
                draft.client_id, draft.channel
            );
            return Err(Problem::conflict(detail));
        }
        let max_attempts = config.pools.of(DELIVER_REPLY.0).max_attempts;
        let span = self.decision_span("approve draft", &draft).await;
        let (undo, trace) = (config.sending.undo, span.job_trace(Hop::Approved));
        let decision = DraftDecision::Approve { undo, max_attempts, trace };
        let decided = self.decide(id, decision, seen, by.did("draft.approve", id));
        traced_decision(&span, decided).await
    }

    /// The span of a decision that has more done than it stores, linked to the webhook that is
    /// answered. It is recorded whatever the share: a person asked.
    async fn decision_span(&self, name: &'static str, draft: &DraftRow) -> TraceSpan {
        let start = || SpanStart::new(name, SpanKind::Internal);
        let span = self.board.traces().always(start);
        if span.at().is_none() {
            return span;
        }
        span.set(names::CLIENT, draft.client_id.clone());
        span.set(names::CHANNEL, draft.channel.clone());
        span.set(names::CONVERSATION, draft.lead_id.to_string());
        // Without the link there is less to see, which holds no decision up.
        match self.desk.trace_of_message(draft.message_id).await {
            Ok(trace) => trace.into_iter().for_each(|trace| span.link(trace.made_in)),
            Err(error) => tracing::debug!(%error, "a decision is traced without a link"),
        }
        span
    }

    /// Takes an approval back.
    ///
    /// # Errors
    /// 409 if it may be on its way.
    pub(in crate::http) async fn undo_draft(
        &self,
        id: Id,
        by: Operator,
    ) -> Result<DraftView, Problem> {
        let seen = SeenDraft::default();
        self.decide(id, DraftDecision::Undo, seen, by.did("draft.undo", id)).await
    }

    /// Has a draft not sent.
    ///
    /// # Errors
    /// 409 if it may be on its way, or is decided.
    pub(in crate::http) async fn reject_draft(
        &self,
        id: Id,
        reason: Option<RejectReason>,
        note: Option<String>,
        by: Operator,
    ) -> Result<DraftView, Problem> {
        let note = match reason {
            Some(reason) => Some(reason.with_note(note.as_deref())),
            None => note,
        };
        let entry = AuditEntry { note: note.clone(), ..by.did("draft.reject", id) };
        self.decide(id, DraftDecision::Reject { note }, SeenDraft::default(), entry).await
    }

    /// Has the analyst write another text for a draft, as `hint` asks for.
    ///
    /// # Errors
    /// 400 for a hint that is too long; 409 if the message is not answered; 503 if the analyst has
    /// no answer.
    pub(in crate::http) async fn regenerate_draft(
        &self,
        id: Id,
        hint: Option<String>,
        by: Operator,
    ) -> Result<DraftView, Problem> {
        let hint = hint.as_deref().map(one_line).filter(|hint| !hint.is_empty());
        if hint.as_ref().is_some_and(|hint| hint.chars().count() > HINT_CHARS_MAX) {
            let detail = format!("may have {HINT_CHARS_MAX} characters at most");
            return Err(Problem::bad_request("hint", detail));
        }
        let draft = self.desk.draft(id).await?.ok_or_else(|| no_such("draft", id))?;
        let span = self.decision_span("regenerate draft", &draft.draft).await;
        let regenerated = async {
            let rewriting = rewritten(self, &draft, hint.as_deref()).await?;
            let decision = DraftDecision::Rewrite(Box::new(rewriting));
            let entry = AuditEntry { note: hint, ..by.did("draft.regenerate", id) };
            self.decide(id, decision, SeenDraft::default(), entry).await
        };
        traced_decision(&span, regenerated).await
    }

    /// Carries a decision out.
    async fn decide(
        &self,
        id: Id,
        decision: DraftDecision,
        seen: SeenDraft,
        entry: AuditEntry,
    ) -> Result<DraftView, Problem> {
        let action = entry.action;
        let draft = self.desk.decide(id, decision, seen, entry).await?;
        let status = draft.draft.status.as_str();
        tracing::info!(draft.id = id, action, status, "a person decided on a draft");
        Ok(draft)
    }
}

/// Carries a decision out as its span. What it asks the model, and its log lines, are of its trace.
async fn traced_decision(
    span: &TraceSpan,
    decision: impl Future<Output = Result<DraftView, Problem>>,
) -> Result<DraftView, Problem> {
    let decided = span.clone().within(decision.instrument(span.log_span())).await;
    if decided.is_err() {
        span.failed("refused");
    }
    decided
}

/// The version that `If-Match` names; `None` if any will do.
fn version_in(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let Some(given) = request.headers().get(IF_MATCH) else { return Ok(None) };
    let given = given.to_str().unwrap_or_default().trim();
    if given == "*" {
        return Ok(None);
    }
    let version = given.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    let version = version.filter(|it| it.chars().all(|c| c.is_ascii_alphanumeric()));
    let wrong = || Problem::bad_request("if-match", "must be the `ETag` of the draft, or `*`");
    version.map(|it| Some(it.to_owned())).ok_or_else(wrong)
}

/// A reason of a rejection, by its word.
pub(in crate::http) fn reason_in(word: &str) -> Result<RejectReason, Problem> {
    RejectReason::parse(word).ok_or_else(|| {
        let known = RejectReason::ALL.map(RejectReason::as_str).join(", ");
        let detail = format!("there is no reason `{word}`; known are {known}");
        Problem::bad_request("reason", detail)
    })
}

/// `POST /deliveries/{id}/resolve`: says what became of an uncertain send.
pub(super) async fn resolve(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    body: Result<web::Bytes, Error>,
    request: HttpRequest,
) -> ApiResult {
    let id = only_id(&request, &path, "delivery")?;
    let fields = fields_in(body, &RESOLVED)?;
    let Some(Value::Bool(is_sent)) = fields.get("sent") else {
        return Err(Problem::bad_request("sent", "must be true or false"));
    };
    let delivery = state.settle(id, *is_sent, note_in(&fields)?, &request).await?;
    objects::object(DeliveryJson::of(&delivery))
}

impl ApiState {
    /// Settles an uncertain delivery as the one who sent `request` says.
    ///
    /// # Errors
    /// 404 if there is none with this id, 409 if it is not uncertain; if the database is away.
    pub(in crate::http) async fn settle(
        &self,
        id: Id,
        is_sent: bool,
        note: Option<String>,
        request: &HttpRequest,
    ) -> Result<DeliveryRow, Problem> {
        let entry = AuditEntry { note, ..Operator::of(request).did("delivery.resolve", id) };
        let delivery = self.desk.resolve(id, is_sent, entry).await?;
        tracing::info!(
            delivery.id = id,
            sent = is_sent,
            "an uncertain delivery was resolved by hand"
        );
        Ok(delivery)
    }
}

/// `PATCH /messages/{id}`: gives it another tag.
pub(super) async fn retag(
    state: web::Data<ApiState>,
    path: web::Path<String>,
    body: Result<web::Bytes, Error>,
    request: HttpRequest,
) -> ApiResult {
    Query::none(&request)?;
    let id = id_in(&path, "message")?;
    let fields = fields_in(body, &RETAGGED)?;
    let tag = tag_in(text_in(&fields, "sentiment")?.as_deref())?;
    let opts_out = opt_out_in(&fields, tag)?;
    let note = note_in(&fields)?;
    let entry = AuditEntry { note, ..Operator::of(&request).did("message.retag", id) };
    let message = state.desk.retag(id, tag, opts_out, entry).await?;
    tracing::info!(message.id = id, tag = tag.as_str(), "a message got another tag by hand");
    objects::object(MessageDetailJson::of(&message))
}

/// Another text for a draft, as the analyst writes it now. Nothing is locked meanwhile: the draft's
/// text goes along, and nothing is stored if it is another one by then.
async fn rewritten(
    state: &ApiState,
    draft: &DraftView,
    hint: Option<&str>,
) -> Result<Rewriting, Problem> {
    let row = &draft.draft;
    // 1. What is answered.
    let conversation = state.reader.conversation(row.message_id).await?;
    let conversation = conversation
        .ok_or_else(|| Problem::conflict("the message that it answers is not stored any more"))?;
    let channel = &row.channel;
    let medium = state
        .desk
        .medium_of(channel)
        .ok_or_else(|| Problem::conflict(format!("this version has no channel `{channel}`")))?;
    let tag = conversation.message.sentiment;
    let tag = tag.ok_or_else(|| Problem::conflict("the message is not judged yet"))?;
    // 2. The answer.
    let config = state.config.get();
    let client = config.client(&row.client_id);
    let analyst =
        state.analysts.of(Asker::by_hand(row.id, &row.client_id, row.lead_id, REDRAFTED_WITHIN));
    let message = RuledMessage::new(&conversation, medium);
    let asked = analyst.draft(DraftRequest { hint, ..DraftRequest::new(&message, tag, client) });
    let away = |detail: String| Problem::new(Cause::AnalystAway, detail);
    let answer = tokio::time::timeout(REDRAFTED_WITHIN, asked)
        .await
        .map_err(|_| away("the analyst has not answered in time".to_owned()))?
        .map_err(|error| match &error {
            AnalystError::Paused { pause, .. } => {
                away(error.to_string()).retry_after(pause.as_secs().saturating_add(1))
            }
            AnalystError::Away(_) | AnalystError::Unusable(_) => away(error.to_string()),
        })?;
    let text = answer.ok_or_else(|| {
        Problem::conflict(format!("the message is {}, and this tag gets no draft", tag.as_str()))
    })?;
    Ok(Rewriting {
        was: (row.subject.clone(), row.body.clone()),
        answers: fingerprint(&conversation.message.body),
        subject: text.subject,
        body: text.body,
        parts: text.parts,
        tag,
    })
}

/// The fields of a body, which may be empty.
///
/// # Errors
/// 400 for a field that is not `known`.
pub(super) fn fields_in(
    body: Result<web::Bytes, Error>,
    known: &[ApiParameter],
) -> Result<Map<String, Value>, Problem> {
    let body = body.map_err(|error| body_problem(&error, BODY_MAX_BYTES))?;
    if body.len() > BODY_MAX_BYTES {
        return Err(Problem::too_large(BODY_MAX_BYTES));
    }
    let fields = if body.is_empty() { Map::new() } else { object_in(&body)? };
    match fields.keys().find(|name| !known.iter().any(|it| it.name == name.as_str())) {
        None => Ok(fields),
        Some(unknown) => {
            let known: Vec<&str> = known.iter().map(|it| it.name).collect();
            let detail = format!("unknown field `{unknown}`; known here: {}", known.join(", "));
            Err(Problem::bad_request(unknown, detail))
        }
    }
}

/// A text; `None` if it is not given, or `null`.
fn text_in(fields: &Map<String, Value>, name: &'static str) -> Result<Option<String>, Problem> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if !text.contains('\0') => Ok(Some(text.clone())),
        Some(_) => Err(Problem::bad_request(name, "must be a text")),
    }
}

/// Whether the lead has opted out in a message with this tag. Who gives the tag of opt-outs must
/// say so: it may be no more than what an analyst takes for one.
fn opt_out_in(fields: &Map<String, Value>, tag: Sentiment) -> Result<bool, Problem> {
    let is_tag_of_opt_outs = tag == Sentiment::Blacklist;
    match fields.get("opt_out") {
        Some(Value::Bool(opts_out)) if is_tag_of_opt_outs || !opts_out => Ok(*opts_out),
        Some(Value::Bool(_)) => {
            let detail = format!("goes with the tag `{}` only", Sentiment::Blacklist.as_str());
            Err(Problem::bad_request("opt_out", detail))
        }
        None if !is_tag_of_opt_outs => Ok(false),
        _ => {
            let detail = "must be true or false: true opts the lead out until a person lifts it";
            Err(Problem::bad_request("opt_out", detail))
        }
    }
}

/// A note on one line; `None` if there is none.
pub(super) fn note_in(fields: &Map<String, Value>) -> Result<Option<String>, Problem> {
    pools::note_in(&text_in(fields, "note")?.unwrap_or_default())
}

fn tag_in(text: Option<&str>) -> Result<Sentiment, Problem> {
    let known = Sentiment::ALL.map(Sentiment::as_str);
    let Some(text) = text else {
        let detail = format!("name the tag; known are {}", known.join(", "));
        return Err(Problem::bad_request("sentiment", detail));
    };
    Sentiment::parse(text).ok_or_else(|| {
        let hint = match nearest(text, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are {}", known.join(", ")),
        };
        Problem::bad_request("sentiment", format!("there is no tag `{text}`: {hint}"))
    })
}
