//! A person says what became of a send of which nobody knows the end.

use super::{Decided, DecisionError, facts::read_locked};
use crate::domain::{Id, sending::DeliveryStatus};
use crate::store::{
    audit::{self, AuditEntry},
    engine::{
        Database, StoreError,
        sql::sql,
        tx::{Finished, Tx},
    },
    tables::{answers, leads::Followed, messages},
};

sql! {
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
    let found = read_locked(&tx, followed, || answers::delivery(&tx, id), |it| it.lead_id).await?;
    let Some((delivery, mut leads)) = found else {
        return Ok(tx.roll_back(Err(DecisionError::NotFound { what: "delivery", id })));
    };
    let (lead_id, called_at) = (delivery.lead_id, delivery.called_at);
    let status = delivery.status.as_str();
    if delivery.status != DeliveryStatus::Uncertain {
        let why = format!("delivery {id} is {status}: only an uncertain one is resolved");
        return Ok(tx.roll_back(Err(DecisionError::Conflict(why))));
    }
    // 2. Settle it, its draft and its lead. What was sent is a message of the thread, unless the
    // provider has told it back already.
    let end = if is_sent { DeliveryStatus::Sent } else { DeliveryStatus::Failed };
    let word = end.as_str();
    let message = delivery.message(db.next_id(), lead_id, None, called_at).filter(|_| is_sent);
    let message_id = message.as_ref().map(|it| it.id);
    messages::put(&tx, message.as_slice()).await?;
    tx.run(&RESOLVE_DELIVERY, [id.into(), word.into(), message_id.into()]).await?;
    if let Some(draft_id) = delivery.draft_id {
        let (status, blocked_by) =
            if is_sent { ("sent", None) } else { ("approved", Some("delivery_failed")) };
        tx.run(&RESOLVE_DRAFT, [draft_id.into(), status.into(), blocked_by.into()]).await?;
    }
    if is_sent && let Some(lead) = leads.get_mut(lead_id) {
        let lead = lead.change();
        lead.last_outbound_at = lead.last_outbound_at.max(Some(called_at));
        lead.last_message_at = lead.last_message_at.max(Some(called_at));
    }
    leads.write(db, &tx).await?;
    // 3. Write who did it.
    tx.note([delivery.ended(end, (!is_sent).then_some("a person says that it was not sent"))]);
    let (old_value, new_value) = (Some(status.to_owned()), Some(word.to_owned()));
    audit::add(&tx, db, &[AuditEntry { old_value, new_value, ..entry.clone() }]).await?;
    tx.commit(Ok(())).await
}
