//! Deliveries, each with what the outbound message of its answer needs.

use super::messages::{MessageInsert, SentMessage};
use crate::domain::{
    Id, SendNews, Timestamp,
    sending::{DeliveryStatus, storable_id},
};
use crate::store::engine::{
    StoreError,
    sql::sql,
    tx::{Tx, flag, group},
};
use sea_orm::QueryResult;
use std::borrow::Cow;

sql! {
    /// The deliveries of drafts. The leads are locked. By `deliveries_of_draft` and primary keys.
    static READ_SENDS =
        "select x.id, x.lead_id, x.draft_id, x.job_id, x.status, x.marked_run, x.message_id, x.provider_id, x.client_id, x.channel, \
           @ms(coalesce(x.marked_at, x.created_at)) as called_at, case when s.failed_at is null then 0 else 1 end as is_reported, \
           d.subject, d.body, m.campaign_id, m.sender, m.recipients \
         from deliveries x left join drafts d on d.id = x.draft_id left join messages m on m.id = d.message_id \
           left join messages s on s.id = x.message_id where x.draft_id @ids($1)";

    /// A delivery. By primary keys.
    static READ_DELIVERY =
        "select x.id, x.lead_id, x.draft_id, x.job_id, x.status, x.marked_run, x.message_id, x.provider_id, x.client_id, x.channel, \
           @ms(coalesce(x.marked_at, x.created_at)) as called_at, case when s.failed_at is null then 0 else 1 end as is_reported, \
           d.subject, d.body, m.campaign_id, m.sender, m.recipients \
         from deliveries x left join drafts d on d.id = x.draft_id left join messages m on m.id = d.message_id \
           left join messages s on s.id = x.message_id where x.id = $1";
}

/// A delivery, as it is under its lead's lock.
pub(in crate::store) struct StoredDelivery {
    pub(in crate::store) id: Id,
    pub(in crate::store) lead_id: Id,
    pub(in crate::store) draft_id: Option<Id>,
    pub(in crate::store) job_id: Option<Id>,
    pub(in crate::store) status: DeliveryStatus,
    /// The run of its job whose call was the last.
    pub(in crate::store) marked_run: Option<i64>,
    pub(in crate::store) channel: String,
    pub(in crate::store) client_id: String,
    /// When its last call was marked.
    pub(in crate::store) called_at: Timestamp,
    /// True if its provider took it, and reported later that it did not arrive.
    pub(in crate::store) is_reported: bool,
    provider_id: Option<String>,
    message_id: Option<Id>,
    subject: Option<String>,
    /// The text of its draft; `None` if that is gone.
    body: Option<String>,
    campaign_id: Option<Id>,
    /// The sender of the message that it answers, as JSON.
    lead_address: Option<String>,
    /// The recipients of that message, as JSON.
    our_addresses: Option<String>,
}

impl StoredDelivery {
    fn from_row(row: &QueryResult) -> Result<Self, StoreError> {
        let status: String = row.try_get("", "status")?;
        Ok(Self {
            id: row.try_get("", "id")?,
            lead_id: row.try_get("", "lead_id")?,
            draft_id: row.try_get("", "draft_id")?,
            job_id: row.try_get("", "job_id")?,
            status: DeliveryStatus::stored(&status),
            marked_run: row.try_get::<Option<i32>>("", "marked_run")?.map(i64::from),
            channel: row.try_get("", "channel")?,
            client_id: row.try_get("", "client_id")?,
            called_at: Timestamp::from_millis(row.try_get("", "called_at")?),
            is_reported: flag(row, "is_reported")?,
            provider_id: row.try_get("", "provider_id")?,
            message_id: row.try_get("", "message_id")?,
            subject: row.try_get("", "subject")?,
            body: row.try_get("", "body")?,
            campaign_id: row.try_get("", "campaign_id")?,
            lead_address: row.try_get("", "sender")?,
            our_addresses: row.try_get("", "recipients")?,
        })
    }

    /// The outbound message of it with this id, which was sent at `at` and to which its provider
    /// gave the id `told`. `None` if a message is stored, or the text is gone.
    pub(in crate::store) fn message(
        &self,
        id: Id,
        lead_id: Id,
        told: Option<&str>,
        at: Timestamp,
    ) -> Option<MessageInsert<'_>> {
        if self.message_id.is_some() {
            return None;
        }
        let told = told.and_then(storable_id);
        Some(MessageInsert::sent(SentMessage {
            id,
            lead_id,
            client_id: &self.client_id,
            channel: &self.channel,
            provider_id: told
                .map(Cow::Owned)
                .or_else(|| self.provider_id.as_deref().map(Cow::Borrowed)),
            campaign_id: self.campaign_id,
            subject: self.subject.as_deref(),
            body: self.body.as_deref()?,
            lead_address: self.lead_address.as_deref(),
            our_addresses: self.our_addresses.as_deref(),
            at,
        }))
    }

    /// What is told when it ends so.
    pub(in crate::store) fn ended(&self, status: DeliveryStatus, cause: Option<&str>) -> SendNews {
        SendNews::Ended {
            delivery_id: self.id,
            channel: self.channel.clone(),
            status,
            cause: cause.map(str::to_owned),
        }
    }
}

/// What is told of deliveries that a statement has ended. It returned their `id`, `channel` and
/// new `status`.
pub(in crate::store) fn ended_rows(
    rows: &[QueryResult],
    cause: Option<&str>,
) -> Result<Vec<SendNews>, StoreError> {
    let told = |row: &QueryResult| {
        let (delivery_id, channel) = (row.try_get("", "id")?, row.try_get("", "channel")?);
        let status: String = row.try_get("", "status")?;
        let status = DeliveryStatus::stored(&status);
        let cause = cause.map(str::to_owned);
        Ok(SendNews::Ended { delivery_id, channel, status, cause })
    };
    rows.iter().map(told).collect()
}

/// The deliveries of drafts. Their leads are locked.
pub(in crate::store) async fn of_drafts(
    tx: &Tx,
    drafts: &[Id],
) -> Result<Vec<StoredDelivery>, StoreError> {
    if drafts.is_empty() {
        return Ok(Vec::new());
    }
    let rows = tx.all(&READ_SENDS, [group(drafts)?]).await?;
    rows.iter().map(StoredDelivery::from_row).collect()
}

/// A delivery; `None` if there is none.
pub(in crate::store) async fn delivery(
    tx: &Tx,
    id: Id,
) -> Result<Option<StoredDelivery>, StoreError> {
    let rows = tx.all(&READ_DELIVERY, [id.into()]).await?;
    rows.first().map(StoredDelivery::from_row).transpose()
}
