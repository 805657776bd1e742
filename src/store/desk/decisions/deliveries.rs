//! A person says what became of a send of which nobody knows the end.

use super::{Decided, DecisionError, facts::read_locked};
use crate::domain::{Id, Timestamp};
use crate::store::{
    audit::{self, AuditEntry},
    engine::{
        Database, StoreError,
        sql::sql,
        tx::{Finished, Tx},
    },
    tables::{
        leads::Followed,
        messages::{self, MessageInsert, SentMessage},
    },
};
use sea_orm::QueryResult;

sql! {
    /// A delivery that may be settled by hand, with what an outbound message needs. By primary
    /// keys.
    static READ_RESOLVED =
        "select x.lead_id, x.draft_id, x.status, @ms(x.created_at) as created_at, x.client_id, x.channel, x.provider_id, x.message_id, \
           d.subject, d.body, m.campaign_id, m.sender, m.recipients \
         from deliveries x left join drafts d on d.id = x.draft_id left join messages m on m.id = d.message_id where x.id = $1";

    /// Settles a delivery by hand. Its lead is locked. By primary key.
    static RESOLVE_DELIVERY =
        "update deliveries set status = $2, settled_at = @now, error = case when $2 = 'sent' then null else error end, \
           message_id = coalesce($3, message_id) where id = $1";

    /// Writes what became of a draft whose delivery was settled by hand. Its lead is locked. By
    /// primary key.
    static RESOLVE_DRAFT =
        "update drafts set status = $2, blocked_by = $3 where id = $1 and status in ('approved', 'sending')";
}

/// Settles a delivery that is `uncertain`: the answer was sent, or it was not. `entry` says who
/// decides; its values are filled in here.
pub(in crate::store::desk) async fn resolve(
    db: &Database,
    id: Id,
    is_sent: bool,
    entry: &AuditEntry,
) -> Result<Decided, StoreError> {
    let followed = Followed::default();
    db.write("decide", async |tx| resolve_in(db, tx, id, is_sent, entry, &followed).await).await
}

async fn resolve_in(
    db: &Database,
    tx: Tx,
    id: Id,
    is_sent: bool,
    entry: &AuditEntry,
    followed: &Followed,
) -> Result<Finished<Decided>, StoreError> {
    // 1. Lock its lead, and read it under the lock.
    let found = read_locked(&tx, followed, || read(&tx, id), |it| it.lead_id).await?;
    let Some((delivery, mut leads)) = found else {
        return Ok(tx.roll_back(Err(DecisionError::NotFound { what: "delivery", id })));
    };
    let Resolved { lead_id, draft_id, created_at, .. } = delivery;
    let status = delivery.status.clone();
    if status != "uncertain" {
        let why = format!("delivery {id} is {status}: only an uncertain one is resolved");
        return Ok(tx.roll_back(Err(DecisionError::Conflict(why))));
    }
    // 2. Settle it, its draft and its lead. What was sent is a message of the thread, unless the
    // provider has told it back already.
    let word = if is_sent { "sent" } else { "failed" };
    let message = delivery.message(db.next_id()).filter(|_| is_sent);
    let message_id = message.as_ref().map(|it| it.id);
    messages::put(&tx, message.as_slice()).await?;
    tx.run(&RESOLVE_DELIVERY, [id.into(), word.into(), message_id.into()]).await?;
    if let Some(draft_id) = draft_id {
        let (status, blocked_by) =
            if is_sent { ("sent", None) } else { ("approved", Some("delivery_failed")) };
        tx.run(&RESOLVE_DRAFT, [draft_id.into(), status.into(), blocked_by.into()]).await?;
    }
    if is_sent && let Some(lead) = leads.get_mut(lead_id) {
        let lead = lead.change();
        lead.last_outbound_at = lead.last_outbound_at.max(Some(created_at));
        lead.last_message_at = lead.last_message_at.max(Some(created_at));
    }
    leads.write(db, &tx).await?;
    // 3. Write who did it.
    let (old_value, new_value) = (Some(status), Some(word.to_owned()));
    audit::add(&tx, db, &[AuditEntry { old_value, new_value, ..entry.clone() }]).await?;
    tx.commit(Ok(())).await
}

/// A delivery that may be settled by hand.
struct Resolved {
    lead_id: Id,
    draft_id: Option<Id>,
    status: String,
    created_at: Timestamp,
    client_id: String,
    channel: String,
    provider_id: Option<String>,
    message_id: Option<Id>,
    subject: Option<String>,
    /// The text of its draft; `None` if that is gone.
    body: Option<String>,
    campaign_id: Option<Id>,
    lead_address: Option<String>,
    our_addresses: Option<String>,
}

impl Resolved {
    fn from_row(row: &QueryResult) -> Result<Self, StoreError> {
        Ok(Self {
            lead_id: row.try_get("", "lead_id")?,
            draft_id: row.try_get("", "draft_id")?,
            status: row.try_get("", "status")?,
            created_at: Timestamp::from_millis(row.try_get("", "created_at")?),
            client_id: row.try_get("", "client_id")?,
            channel: row.try_get("", "channel")?,
            provider_id: row.try_get("", "provider_id")?,
            message_id: row.try_get("", "message_id")?,
            subject: row.try_get("", "subject")?,
            body: row.try_get("", "body")?,
            campaign_id: row.try_get("", "campaign_id")?,
            lead_address: row.try_get("", "sender")?,
            our_addresses: row.try_get("", "recipients")?,
        })
    }

    /// The outbound message of it with this id; `None` if one is stored, or its text is gone.
    fn message(&self, id: Id) -> Option<MessageInsert> {
        if self.message_id.is_some() {
            return None;
        }
        Some(MessageInsert::sent(SentMessage {
            id,
            lead_id: self.lead_id,
            client_id: &self.client_id,
            channel: &self.channel,
            provider_id: self.provider_id.as_deref(),
            campaign_id: self.campaign_id,
            subject: self.subject.as_deref(),
            body: self.body.as_deref()?,
            lead_address: self.lead_address.as_deref(),
            our_addresses: self.our_addresses.as_deref(),
            at: self.created_at,
        }))
    }
}

/// Reads a delivery; `None` if there is none.
async fn read(tx: &Tx, id: Id) -> Result<Option<Resolved>, StoreError> {
    tx.all(&READ_RESOLVED, [id.into()]).await?.first().map(Resolved::from_row).transpose()
}
