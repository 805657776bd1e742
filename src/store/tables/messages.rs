//! Messages as ingest stores them, and the stored messages that webhooks repeat or judge.

use crate::domain::{
    ChannelName, Event, Id, JobKind, Sentiment, Timestamp,
    event::{Direction, NewMessage},
    verdict,
};
use crate::store::engine::{
    StoreError,
    sql::sql,
    tx::{Tx, flag, group},
};
use sea_orm::Value;
use serde::Serialize;
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

sql! {
    /// Appends messages. A verdict that they come with is their provider's. Their ids are new, so
    /// it waits for no lock.
    static PUT_MESSAGES =
        "insert into messages (id, client_id, lead_id, channel, direction, source, provider_id, reply_handle, event_type, campaign_id, \
           subject, body, has_new_text, raw_text, raw_html, payload, sender, recipients, cc, attachments, sentiment, judged_by, \
           automated, request_id, sent_at, created_at) \
         select g.id, g.client_id, g.lead_id, g.channel, g.direction, g.source, g.provider_id, g.reply_handle, g.event_type, \
           g.campaign_id, g.subject, g.body, g.has_new_text, g.raw_text, g.raw_html, g.payload, g.sender, g.recipients, g.cc, \
           g.attachments, g.sentiment, case when g.sentiment is null then null else 'provider' end, g.automated, g.request_id, \
           g.sent_at, @now \
         from @rows($1, id bigint, client_id text, lead_id bigint, channel text, direction text, source text, provider_id text, reply_handle text, \
           event_type text, campaign_id bigint, subject text, body text, has_new_text boolean, raw_text text, raw_html text, \
           payload text, sender text, recipients text, cc text, attachments text, sentiment text, automated boolean, \
           request_id text, sent_at instant) g where true order by g.id";

    /// Stores one message. Its texts are parameters of their own. In a JSON parameter, there would
    /// be several copies of megabytes in memory (docs/PERFORMANCE.md).
    static PUT_LARGE_MESSAGE =
        "insert into messages (id, client_id, lead_id, channel, direction, source, provider_id, reply_handle, event_type, campaign_id, \
           subject, body, has_new_text, raw_text, raw_html, payload, sender, recipients, cc, attachments, sentiment, judged_by, \
           automated, request_id, sent_at, created_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, \
           case when $21 is null then null else 'provider' end, $22, $23, @at($24), @now)";
}

/// A message whose texts have at least this many bytes is stored by a statement of its own. A group
/// (`ingest.batch_bytes`) has few of them.
const LARGE_BYTES: usize = 256 << 10;

sql! {
    /// The stored messages that webhooks repeat, with their inbound jobs. By primary and unique
    /// keys.
    static READ_FIRSTS =
        "select m.id, m.lead_id, m.direction, case when m.handled_at is null then 0 else 1 end as handled, \
           case when m.provider_id is null then 0 else 1 end as is_named, case when m.body = '' then 1 else 0 end as is_empty, \
           (select j.id from jobs j where j.subject_id = m.id and j.kind = g.kind) as job_id \
         from @rows($1, id bigint, kind text) g join messages m on m.id = g.id";

    /// Stores providers' ids of messages that came without. By primary key. The condition that
    /// there is no id yet uses a column of the group (`substr(…)` is always empty). Otherwise the
    /// planner would look for all messages without an id first.
    static NAME_MESSAGES =
        "update messages set provider_id = g.provider_id from @rows($1, id bigint, provider_id text) g \
         where messages.id = g.id and coalesce(messages.provider_id, '') = substr(g.provider_id, 1, 0)";

    /// Stores texts of messages that came without. This is a change of the text like an edit: a job
    /// that has read the empty text runs again. By primary key; the condition that the text is
    /// empty is written as in the statement above.
    static FILL_MESSAGES =
        "update messages set subject = coalesce(messages.subject, g.subject), body = g.body, has_new_text = g.has_new_text, \
           raw_text = g.raw_text, raw_html = g.raw_html, edited_at = @now \
         from @rows($1, id bigint, subject text, body text, has_new_text boolean, raw_text text, raw_html text) g \
         where messages.id = g.id and messages.body = substr(g.body, 1, 0)";

    /// The message that a hint about a lead is about: the lead's newest inbound message that is not
    /// later than the event. By `messages_of_lead`.
    static READ_HINTED =
        "select g.n, m.id, m.sentiment, case when m.automated then 1 else 0 end as automated from @rows($1, n bigint, lead_id bigint, not_after instant) g \
         join messages m on m.id = (select i.id from messages i where i.lead_id = g.lead_id and i.direction = 'inbound' \
           and i.sent_at <= g.not_after order by i.sent_at desc, i.id desc limit 1)";

    /// Verdicts of messages. By primary key.
    static READ_SENTIMENTS =
        "select id, sentiment, case when automated then 1 else 0 end as automated from messages where id @ids($1)";

    /// Sets the verdicts of providers on messages. Their leads are locked. By primary key.
    static SET_SENTIMENT =
        "update messages set sentiment = g.sentiment, judged_by = 'provider' from @rows($1, id bigint, sentiment text) g where messages.id = g.id";
}

/// The webhook with which a message came.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct WebhookOrigin<'a> {
    pub(in crate::store) client_id: &'a str,
    pub(in crate::store) channel: ChannelName,
    pub(in crate::store) request_id: &'a str,
    /// Its body as received, with secrets masked.
    pub(in crate::store) payload: &'a str,
}

/// A message to store: the columns of its row.
#[serde_with::skip_serializing_none]
#[derive(Debug, Serialize)]
pub(in crate::store) struct MessageInsert<'a> {
    pub(in crate::store) id: Id,
    client_id: &'a str,
    pub(in crate::store) lead_id: Id,
    channel: &'a str,
    pub(in crate::store) direction: &'static str,
    source: &'static str,
    pub(in crate::store) provider_id: Option<Cow<'a, str>>,
    reply_handle: Option<String>,
    event_type: &'a str,
    campaign_id: Option<Id>,
    subject: Option<&'a str>,
    pub(in crate::store) body: Cow<'a, str>,
    has_new_text: bool,
    raw_text: Option<&'a str>,
    raw_html: Option<&'a str>,
    payload: &'a str,
    sender: String,
    recipients: String,
    cc: String,
    attachments: String,
    sentiment: Option<&'static str>,
    automated: bool,
    request_id: &'a str,
    sent_at: i64,
}

/// The text of a message as it is stored: without the parts that repeat our messages.
#[derive(Debug)]
pub(in crate::store) struct StoredText<'a> {
    pub(in crate::store) body: Cow<'a, str>,
    pub(in crate::store) has_new_text: bool,
}

impl<'a> MessageInsert<'a> {
    /// The row of a message that came with a webhook, and whose text is stored as `text`.
    pub(in crate::store) fn new(
        id: Id,
        lead_id: Id,
        campaign_id: Option<Id>,
        origin: WebhookOrigin<'a>,
        event: &'a Event,
        (message, text): (&'a NewMessage, StoredText<'a>),
    ) -> Self {
        Self {
            id,
            client_id: origin.client_id,
            lead_id,
            channel: origin.channel.0,
            direction: message.direction.as_str(),
            source: "provider",
            provider_id: message.provider_id.as_deref().map(Cow::Borrowed),
            reply_handle: message.reply_handle.as_ref().map(ToString::to_string),
            event_type: &event.event_type,
            campaign_id,
            subject: message.subject.as_deref(),
            body: text.body,
            has_new_text: text.has_new_text,
            raw_text: message.raw_text.as_deref(),
            raw_html: message.raw_html.as_deref(),
            payload: origin.payload,
            sender: json_text(&message.from),
            recipients: json_text(&message.to),
            cc: json_text(&message.cc),
            attachments: json_text(&message.attachments),
            sentiment: message.verdict().map(Sentiment::as_str),
            automated: message.automated,
            request_id: origin.request_id,
            sent_at: event.at.as_millis(),
        }
    }

    /// The row of an answer that Postroom has sent.
    pub(in crate::store) fn sent(message: SentMessage<'a>) -> Self {
        let from = message.our_addresses.and_then(first_of).unwrap_or_else(no_address);
        let to = message.lead_address.and_then(|text| serde_json::from_str(text).ok());
        let to: Vec<serde_json::Value> = to.into_iter().collect();
        Self {
            id: message.id,
            client_id: message.client_id,
            lead_id: message.lead_id,
            channel: message.channel,
            direction: Direction::Outbound.as_str(),
            source: "postroom",
            provider_id: message.provider_id,
            reply_handle: None,
            event_type: "sent",
            campaign_id: message.campaign_id,
            subject: message.subject,
            body: Cow::Borrowed(message.body),
            has_new_text: true,
            raw_text: None,
            raw_html: None,
            payload: "",
            sender: from.to_string(),
            recipients: json_text(&to),
            cc: "[]".to_owned(),
            attachments: "[]".to_owned(),
            sentiment: None,
            automated: false,
            request_id: "",
            sent_at: message.at.as_millis(),
        }
    }

    /// Takes over the text of another webhook about the message, if this one came without a text.
    /// Returns true if it took one over.
    pub(in crate::store) fn fill(&mut self, message: &'a NewMessage) -> bool {
        let fills = self.body.is_empty() && !message.body.is_empty();
        if fills {
            self.subject = self.subject.or(message.subject.as_deref());
            self.body = Cow::Borrowed(&message.body);
            self.has_new_text = message.has_new_text;
            self.raw_text = message.raw_text.as_deref();
            self.raw_html = message.raw_html.as_deref();
        }
        fills
    }

    /// The size of its long texts, in bytes.
    fn size(&self) -> usize {
        let texts = [self.subject, self.raw_text, self.raw_html];
        let texts: usize = texts.into_iter().flatten().map(str::len).sum();
        texts + self.body.len() + self.payload.len()
    }

    /// The parameters of [`PUT_LARGE_MESSAGE`].
    fn values(&self) -> [Value; 24] {
        [
            self.id.into(),
            self.client_id.into(),
            self.lead_id.into(),
            self.channel.into(),
            self.direction.into(),
            self.source.into(),
            self.provider_id.as_deref().into(),
            self.reply_handle.as_deref().into(),
            self.event_type.into(),
            self.campaign_id.into(),
            self.subject.into(),
            self.body.as_ref().into(),
            self.has_new_text.into(),
            self.raw_text.into(),
            self.raw_html.into(),
            self.payload.into(),
            self.sender.as_str().into(),
            self.recipients.as_str().into(),
            self.cc.as_str().into(),
            self.attachments.as_str().into(),
            self.sentiment.into(),
            self.automated.into(),
            self.request_id.into(),
            self.sent_at.into(),
        ]
    }

    /// Marks it as a message that Postroom itself has sent, and that a provider told back.
    pub(in crate::store) fn sent_by_us(self) -> Self {
        Self { source: "postroom", ..self }
    }
}

/// An answer that Postroom has sent.
#[derive(Clone, Debug)]
pub(in crate::store) struct SentMessage<'a> {
    pub(in crate::store) id: Id,
    pub(in crate::store) lead_id: Id,
    pub(in crate::store) client_id: &'a str,
    pub(in crate::store) channel: &'a str,
    pub(in crate::store) provider_id: Option<Cow<'a, str>>,
    pub(in crate::store) campaign_id: Option<Id>,
    pub(in crate::store) subject: Option<&'a str>,
    pub(in crate::store) body: &'a str,
    /// The sender of the message that it answers, as JSON.
    pub(in crate::store) lead_address: Option<&'a str>,
    /// The recipients of that message, as a JSON list: the first one is ours.
    pub(in crate::store) our_addresses: Option<&'a str>,
    pub(in crate::store) at: Timestamp,
}

/// The first of a JSON list.
fn first_of(list: &str) -> Option<serde_json::Value> {
    serde_json::from_str::<Vec<serde_json::Value>>(list).ok()?.into_iter().next()
}

/// An address of which nothing is known, as JSON.
fn no_address() -> serde_json::Value {
    serde_json::json!({"address": null, "name": null})
}

/// Writes strings, or lists and structs of strings, as JSON. That cannot fail.
fn json_text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

/// Stores messages: large ones each by a statement of their own.
pub(in crate::store) async fn put(tx: &Tx, rows: &[MessageInsert<'_>]) -> Result<(), StoreError> {
    let (large, others): (Vec<&MessageInsert<'_>>, Vec<&MessageInsert<'_>>) =
        rows.iter().partition(|row| row.size() >= LARGE_BYTES);
    if !others.is_empty() {
        tx.run(&PUT_MESSAGES, [group(&others)?]).await?;
    }
    for row in large {
        tx.run(&PUT_LARGE_MESSAGE, row.values()).await?;
    }
    Ok(())
}

/// The text for a stored message that came without one.
#[derive(Debug, Serialize)]
pub(in crate::store) struct Filling<'a> {
    id: Id,
    subject: Option<&'a str>,
    body: Cow<'a, str>,
    has_new_text: bool,
    raw_text: Option<&'a str>,
    raw_html: Option<&'a str>,
}

impl<'a> Filling<'a> {
    pub(in crate::store) fn new(id: Id, message: &'a NewMessage, text: StoredText<'a>) -> Self {
        Self {
            id,
            subject: message.subject.as_deref(),
            body: text.body,
            has_new_text: text.has_new_text,
            raw_text: message.raw_text.as_deref(),
            raw_html: message.raw_html.as_deref(),
        }
    }
}

/// Stores the texts of messages that came without. `fillings` are keyed by message id.
pub(in crate::store) async fn fill(
    tx: &Tx,
    fillings: &BTreeMap<Id, Filling<'_>>,
) -> Result<(), StoreError> {
    let rows: Vec<&Filling<'_>> = fillings.values().collect();
    if !rows.is_empty() {
        tx.run(&FILL_MESSAGES, [group(&rows)?]).await?;
    }
    Ok(())
}

/// Stores the providers' ids of messages that came without. `names` are keyed by message id.
pub(in crate::store) async fn name(
    tx: &Tx,
    names: &BTreeMap<Id, String>,
) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Row<'a> {
        id: Id,
        provider_id: &'a str,
    }
    let rows: Vec<Row<'_>> =
        names.iter().map(|(id, provider_id)| Row { id: *id, provider_id }).collect();
    if !rows.is_empty() {
        tx.run(&NAME_MESSAGES, [group(&rows)?]).await?;
    }
    Ok(())
}

/// A stored message that a webhook repeats.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct RepeatedMessage {
    pub(in crate::store) lead_id: Id,
    pub(in crate::store) is_inbound: bool,
    /// True if its inbound job has ended.
    pub(in crate::store) is_handled: bool,
    /// Its inbound job, if that is stored.
    pub(in crate::store) job_id: Option<Id>,
    /// True if the provider's id of it is stored.
    pub(in crate::store) is_named: bool,
    /// True if it came without a text.
    pub(in crate::store) is_empty: bool,
}

/// Reads the messages in `asked`, each with its job of the kind given there. Returns them by id;
/// messages that are gone are missing.
pub(in crate::store) async fn read_firsts(
    tx: &Tx,
    asked: &BTreeMap<Id, JobKind>,
) -> Result<HashMap<Id, RepeatedMessage>, StoreError> {
    #[derive(Serialize)]
    struct Row {
        id: Id,
        kind: &'static str,
    }
    let mut found = HashMap::new();
    if asked.is_empty() {
        return Ok(found);
    }
    let rows: Vec<Row> = asked.iter().map(|(id, kind)| Row { id: *id, kind: kind.0 }).collect();
    for row in tx.all(&READ_FIRSTS, [group(&rows)?]).await? {
        let direction: String = row.try_get("", "direction")?;
        let message = RepeatedMessage {
            lead_id: row.try_get("", "lead_id")?,
            is_inbound: direction == Direction::Inbound.as_str(),
            is_handled: row.try_get::<i32>("", "handled")? != 0,
            job_id: row.try_get("", "job_id")?,
            is_named: flag(&row, "is_named")?,
            is_empty: flag(&row, "is_empty")?,
        };
        found.insert(row.try_get("", "id")?, message);
    }
    Ok(found)
}

/// The verdict on a message, so far.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::store) struct Judged {
    pub(in crate::store) sentiment: Option<Sentiment>,
    /// True if a machine wrote it.
    pub(in crate::store) automated: bool,
}

impl Judged {
    fn from_row(row: &sea_orm::QueryResult) -> Result<Self, StoreError> {
        let sentiment: Option<String> = row.try_get("", "sentiment")?;
        Ok(Self {
            sentiment: sentiment.and_then(|word| Sentiment::parse(&word)),
            automated: row.try_get::<i32>("", "automated")? != 0,
        })
    }

    /// Takes over a provider's verdict if docs/RULES.md P16 allows that. Returns true if it does.
    pub(in crate::store) fn fill_in(&mut self, hint: Sentiment) -> bool {
        let is_new = verdict::fills_in(hint, self.sentiment, self.automated);
        if is_new {
            self.sentiment = Some(hint);
        }
        is_new
    }
}

/// Finds the message that each hint about a lead is about. A hint is its number, its lead, and the
/// time of its event. Returns, by the number of the hint, the message and its verdict so far.
pub(in crate::store) async fn read_hinted(
    tx: &Tx,
    hints: &[(usize, Id, Timestamp)],
) -> Result<HashMap<usize, (Id, Judged)>, StoreError> {
    #[derive(Serialize)]
    struct Row {
        n: usize,
        lead_id: Id,
        not_after: i64,
    }
    let mut hinted = HashMap::new();
    if hints.is_empty() {
        return Ok(hinted);
    }
    let rows: Vec<Row> = hints
        .iter()
        .map(|(n, lead_id, at)| Row { n: *n, lead_id: *lead_id, not_after: at.as_millis() })
        .collect();
    for row in tx.all(&READ_HINTED, [group(&rows)?]).await? {
        let n: i64 = row.try_get("", "n")?;
        let judged = Judged::from_row(&row)?;
        hinted.insert(usize::try_from(n).unwrap_or_default(), (row.try_get("", "id")?, judged));
    }
    Ok(hinted)
}

/// The verdicts on these messages, by id.
pub(in crate::store) async fn read_judged(
    tx: &Tx,
    ids: &[Id],
) -> Result<HashMap<Id, Judged>, StoreError> {
    let mut verdicts = HashMap::new();
    if ids.is_empty() {
        return Ok(verdicts);
    }
    for row in tx.all(&READ_SENTIMENTS, [group(ids)?]).await? {
        verdicts.insert(row.try_get("", "id")?, Judged::from_row(&row)?);
    }
    Ok(verdicts)
}

/// Sets verdicts, by message id.
pub(in crate::store) async fn set_sentiments(
    tx: &Tx,
    verdicts: &HashMap<Id, Sentiment>,
) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Row {
        id: Id,
        sentiment: &'static str,
    }
    let rows: Vec<Row> =
        verdicts.iter().map(|(id, verdict)| Row { id: *id, sentiment: verdict.as_str() }).collect();
    if !rows.is_empty() {
        tx.run(&SET_SENTIMENT, [group(&rows)?]).await?;
    }
    Ok(())
}
