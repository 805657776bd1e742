//! A person says what became of a send of which nobody knows the end.

use super::{Decided, DecisionError, facts::lock};
use crate::domain::{Id, Timestamp};
use crate::store::{
    audit::{self, AuditEntry},
    engine::{
        Database, StoreError,
        sql::sql,
        tx::{Finished, Tx},
    },
    tables::leads::Followed,
};

sql! {
    /// A delivery that may be settled by hand. By primary key.
    static READ_RESOLVED =
        "select lead_id, draft_id, status, @ms(created_at) as created_at from deliveries where id = $1";

    /// Settles a delivery by hand. Its lead is locked. By primary key.
    static RESOLVE_DELIVERY =
        "update deliveries set status = $2, settled_at = @now, error = case when $2 = 'sent' then null else error end where id = $1";

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
    // 1. Lock its lead, and read it again under the lock.
    let Some((lead_id, ..)) = read(&tx, id).await? else {
        return Ok(tx.roll_back(Err(DecisionError::NotFound { what: "delivery", id })));
    };
    let mut leads = lock(&tx, lead_id, followed).await?;
    let Some((lead_id, draft_id, status, created_at)) = read(&tx, id).await? else {
        return Ok(tx.roll_back(Err(DecisionError::NotFound { what: "delivery", id })));
    };
    if status != "uncertain" {
        let why = format!("delivery {id} is {status}: only an uncertain one is resolved");
        return Ok(tx.roll_back(Err(DecisionError::Conflict(why))));
    }
    // 2. Settle it, its draft and its lead.
    let word = if is_sent { "sent" } else { "failed" };
    tx.run(&RESOLVE_DELIVERY, [id.into(), word.into()]).await?;
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

/// The lead, the draft, the status and the begin of a delivery.
async fn read(tx: &Tx, id: Id) -> Result<Option<(Id, Option<Id>, String, Timestamp)>, StoreError> {
    let rows = tx.all(&READ_RESOLVED, [id.into()]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some((
        row.try_get("", "lead_id")?,
        row.try_get("", "draft_id")?,
        row.try_get("", "status")?,
        Timestamp::from_millis(row.try_get("", "created_at")?),
    )))
}
