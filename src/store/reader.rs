//! For handlers: what was stored, read only.

use super::{Store, StoreError, sql::Sql, tx::read};
use crate::domain::{
    Conversation, Id, InboundMessage, LeadStatus, LeadView, Sentiment, Timestamp,
    conversation::{LINE_CHARS_MAX, Line, TRANSCRIPT_MAX},
    event::Direction,
};
use sea_orm::QueryResult;

/// A message with its lead. By primary keys.
pub(super) static READ_CONVERSATION: Sql = Sql::new(
    "select m.id, m.channel, m.direction, m.subject, m.body, case when m.has_new_text then 1 else 0 end as has_new_text, \
       case when m.automated then 1 else 0 end as automated, m.sentiment, @ms(m.sent_at) as sent_at, \
       case when m.reply_handle is null then 0 else 1 end as can_be_answered, \
       l.id as lead_id, l.status as lead_status, l.sentiment as lead_sentiment, l.first_name, l.last_name, l.company_name, l.title, \
       case when l.opted_out_at is null then 0 else 1 end as opted_out, case when l.bounced_at is null then 0 else 1 end as bounced, \
       case when l.sms_dnd then 1 else 0 end as sms_dnd, l.newest_inbound_id \
     from messages m join leads l on l.id = m.lead_id where m.id = $1",
);

/// The newest messages of a lead. By `messages_of_lead`.
pub(super) static READ_TRANSCRIPT: Sql = Sql::new(
    "select channel, direction, substr(subject, 1, $3) as subject, substr(body, 1, $3) as body, \
       @ms(sent_at) as sent_at from messages where lead_id = $1 and deleted_at is null order by id desc limit $2",
);

/// The handlers' handle: it cannot write.
#[derive(Clone, Debug)]
pub struct Reader(pub(super) Store);

impl Reader {
    /// A message with its lead and their thread; `None` where the message or the lead is gone.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn conversation(&self, message_id: Id) -> Result<Option<Conversation>, StoreError> {
        let store = self.0.clone();
        self.0
            .spawn(async move {
                let reader = &store.connections().reader;
                let rows = read(reader, &READ_CONVERSATION, [message_id.into()]).await?;
                let Some(row) = rows.first() else { return Ok(None) };
                let (message, lead) = (message(row)?, lead(row)?);
                let limit = i64::try_from(TRANSCRIPT_MAX).unwrap_or(i64::MAX);
                let values = [lead.id.into(), limit.into(), i32::from(LINE_CHARS_MAX).into()];
                let mut transcript: Vec<Line> = read(reader, &READ_TRANSCRIPT, values)
                    .await?
                    .iter()
                    .map(line)
                    .collect::<Result<_, _>>()?;
                transcript.sort_by_key(|it| it.at);
                Ok(Some(Conversation { message, lead, transcript }))
            })
            .await
    }
}

fn direction(text: &str) -> Direction {
    if text == "outbound" { Direction::Outbound } else { Direction::Inbound }
}

fn flag(row: &QueryResult, column: &str) -> Result<bool, StoreError> {
    Ok(row.try_get::<i32>("", column)? != 0)
}

fn message(row: &QueryResult) -> Result<InboundMessage, StoreError> {
    let sentiment: Option<String> = row.try_get("", "sentiment")?;
    Ok(InboundMessage {
        id: row.try_get("", "id")?,
        channel: row.try_get("", "channel")?,
        direction: direction(&row.try_get::<String>("", "direction")?),
        subject: row.try_get("", "subject")?,
        body: row.try_get("", "body")?,
        has_new_text: flag(row, "has_new_text")?,
        automated: flag(row, "automated")?,
        sentiment: sentiment.and_then(|it| Sentiment::parse(&it)),
        sent_at: Timestamp::from_millis(row.try_get("", "sent_at")?),
        can_be_answered: flag(row, "can_be_answered")?,
    })
}

fn lead(row: &QueryResult) -> Result<LeadView, StoreError> {
    let status: String = row.try_get("", "lead_status")?;
    let sentiment: Option<String> = row.try_get("", "lead_sentiment")?;
    let newest_inbound_id: Option<Id> = row.try_get("", "newest_inbound_id")?;
    Ok(LeadView {
        id: row.try_get("", "lead_id")?,
        status: LeadStatus::parse(&status).unwrap_or(LeadStatus::New),
        sentiment: sentiment.and_then(|it| Sentiment::parse(&it)),
        first_name: row.try_get("", "first_name")?,
        last_name: row.try_get("", "last_name")?,
        company_name: row.try_get("", "company_name")?,
        title: row.try_get("", "title")?,
        opted_out: flag(row, "opted_out")?,
        bounced: flag(row, "bounced")?,
        sms_dnd: flag(row, "sms_dnd")?,
        has_inbound: newest_inbound_id.is_some(),
        newest_inbound_id,
    })
}

fn line(row: &QueryResult) -> Result<Line, StoreError> {
    Ok(Line {
        at: Timestamp::from_millis(row.try_get("", "sent_at")?),
        channel: row.try_get("", "channel")?,
        direction: direction(&row.try_get::<String>("", "direction")?),
        subject: row.try_get("", "subject")?,
        body: row.try_get("", "body")?,
    })
}
