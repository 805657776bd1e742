//! What handlers read besides a conversation to decide about an automatic answer.

use super::Reader;
use crate::domain::{
    Id, Sentiment, Timestamp,
    auto_send::GateDecision,
    job::DELIVER_REPLY,
    lead::Barriers,
    sending::{AnsweredMessage, BY_RULE, reaches_others},
};
use crate::store::engine::{
    Database, StoreError,
    sql::sql,
    tx::{flag, read},
};
use sea_orm::QueryResult;

sql! {
    /// The facts of the lead and the campaign of a message. By primary keys.
    static READ_SENDING_FACTS =
        "select l.timezone, @ms(l.snoozed_until) as snoozed_until, c.provider_id as campaign, @ms(@now) as now \
         from messages m join leads l on l.id = m.lead_id left join campaigns c on c.id = m.campaign_id where m.id = $1";

    /// A draft that a rule wants to send, with its message, its lead and whether a job of the kind
    /// `$2` was to send it. By primary keys, `messages_of_lead` and the unique key of jobs.
    static READ_DRAFT_TO_SEND =
        "select d.status, d.decided_by, d.gate_decision, d.channel, d.message_id, l.timezone, @ms(l.snoozed_until) as snoozed_until, \
           c.provider_id as campaign, @ms(@now) as now, l.newest_inbound_id, @ms(l.last_outbound_at) as last_outbound_at, \
           @ms(m.sent_at) as sent_at, @ms(m.created_at) as stored_at, @ms(m.edited_at) as edited_at, m.sentiment, \
           @ms(d.created_at) as drafted_at, \
           case when exists (select 1 from messages n where n.lead_id = d.lead_id and n.id > d.message_id and n.direction = 'inbound') \
             then 1 else 0 end as has_later, \
           case when exists (select 1 from jobs j where j.subject_id = d.id and j.kind = $2) then 1 else 0 end as has_job, \
           case when m.deleted_at is null then 0 else 1 end as is_deleted, \
           m.reply_handle, \
           case when l.opted_out_at is null then 0 else 1 end as opted_out, case when l.bounced_at is null then 0 else 1 end as bounced, \
           case when l.sms_dnd then 1 else 0 end as sms_dnd \
         from drafts d join messages m on m.id = d.message_id join leads l on l.id = d.lead_id \
           left join campaigns c on c.id = m.campaign_id where d.id = $1";
}

/// What decides about an automatic answer, besides the conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendingContext {
    /// The provider's id of the campaign that the message belongs to.
    pub campaign: Option<String>,
    /// The lead's time zone, as its provider names it.
    pub lead_zone: Option<String>,
    /// Until when the lead is snoozed.
    pub snoozed_until: Option<Timestamp>,
    /// The time of the read, by the database's clock.
    pub now: Timestamp,
}

impl SendingContext {
    /// True while the lead is snoozed.
    pub fn is_snoozed(&self) -> bool {
        self.snoozed_until.is_some_and(|until| until > self.now)
    }

    fn from_row(row: &QueryResult) -> Result<Self, StoreError> {
        let snoozed_until: Option<i64> = row.try_get("", "snoozed_until")?;
        Ok(Self {
            campaign: row.try_get("", "campaign")?,
            lead_zone: row.try_get("", "timezone")?,
            snoozed_until: snoozed_until.map(Timestamp::from_millis),
            now: Timestamp::from_millis(row.try_get("", "now")?),
        })
    }
}

/// A draft that a rule wants to send, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DraftToSend {
    /// True if nobody has decided about it.
    pub is_pending: bool,
    /// True if a rule has approved it: an earlier run of the same job has.
    pub is_approved_by_rule: bool,
    /// True if the gate lets its text go. It judged no text that came later.
    pub has_passed_gate: bool,
    /// True if it is pending and a job was to send it before: a person took that back, or a rule
    /// did not hold any more.
    pub was_taken_back: bool,
    /// Its channel, as stored.
    pub channel: String,
    /// What has become of the message that it answers.
    pub message: AnsweredMessage,
    /// What keeps messages from the lead on the channel.
    pub barrier: Option<&'static str>,
    /// The campaign, the zone and the snooze.
    pub context: SendingContext,
}

impl DraftToSend {
    fn from_row(db: &Database, row: &QueryResult) -> Result<Self, StoreError> {
        let channel: String = row.try_get("", "channel")?;
        let barriers = Barriers {
            opted_out: flag(row, "opted_out")?,
            bounced: flag(row, "bounced")?,
            sms_dnd: flag(row, "sms_dnd")?,
        };
        let status: String = row.try_get("", "status")?;
        let decided_by: Option<String> = row.try_get("", "decided_by")?;
        let newest_id: Option<Id> = row.try_get("", "newest_inbound_id")?;
        let last_outbound_at: Option<i64> = row.try_get("", "last_outbound_at")?;
        // What is later answers it: when it was sent, but not later than it was stored.
        let sent_at: i64 = row.try_get("", "sent_at")?;
        let answered_from = sent_at.min(row.try_get("", "stored_at")?);
        let tag: Option<String> = row.try_get("", "sentiment")?;
        let edited_at: Option<i64> = row.try_get("", "edited_at")?;
        let drafted_at: i64 = row.try_get("", "drafted_at")?;
        let gate: Option<String> = row.try_get("", "gate_decision")?;
        let handle: Option<String> = row.try_get("", "reply_handle")?;
        let is_pending = status == "pending";
        Ok(Self {
            is_pending,
            has_passed_gate: GateDecision::lets_go(gate.as_deref()),
            was_taken_back: is_pending && flag(row, "has_job")?,
            is_approved_by_rule: status == "approved" && decided_by.as_deref() == Some(BY_RULE),
            message: AnsweredMessage {
                is_newest: newest_id == Some(row.try_get("", "message_id")?),
                has_later: flag(row, "has_later")?,
                is_answered: last_outbound_at.is_some_and(|at| at > answered_from),
                is_deleted: flag(row, "is_deleted")?,
                is_edited: edited_at.is_some_and(|at| at > drafted_at),
                has_answerable_tag: tag
                    .is_none_or(|it| Sentiment::parse(&it).is_some_and(Sentiment::gets_draft)),
                has_handle: handle.is_some(),
                reaches_others: reaches_others(handle.as_deref()),
            },
            barrier: db.channels().medium_of(&channel).and_then(|medium| barriers.on(medium)),
            context: SendingContext::from_row(row)?,
            channel,
        })
    }
}

impl Reader {
    /// What decides about an automatic answer to the message; `None` if it is gone.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn sending_context(
        &self,
        message_id: Id,
    ) -> Result<Option<SendingContext>, StoreError> {
        let row = move |db: Database| async move {
            let rows = read(db.reader(), &READ_SENDING_FACTS, [message_id.into()]).await?;
            rows.first().map(SendingContext::from_row).transpose()
        };
        self.db.call(row).await
    }

    /// A draft that a rule wants to send; `None` if it is gone.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn draft_to_send(&self, draft_id: Id) -> Result<Option<DraftToSend>, StoreError> {
        let row = move |db: Database| async move {
            let values = [draft_id.into(), DELIVER_REPLY.0.into()];
            let rows = read(db.reader(), &READ_DRAFT_TO_SEND, values).await?;
            rows.first().map(|row| DraftToSend::from_row(&db, row)).transpose()
        };
        self.db.call(row).await
    }
}
