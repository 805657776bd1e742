//! A person gives a message another tag.

use super::{Decided, DecisionError, facts::read_locked};
use crate::domain::{Id, OptOutSource, Sentiment};
use crate::store::{
    audit::{self, AuditEntry},
    desk::examples::{ExampleKind, LabelPut},
    engine::{
        Database, StoreError,
        ids::wall_clock,
        sql::sql,
        tx::{Finished, Tx},
    },
    tables::{
        drafts::{DraftsOver, EndDrafts, end_drafts},
        leads::Followed,
        opt_outs::OptedOut,
    },
};

sql! {
    /// A message whose tag may be changed. By primary key.
    static READ_TAGGED = "select lead_id, direction, sentiment from messages where id = $1";

    /// Stores the tag that a person gave a message. Its lead is locked. By primary key.
    static TAG_MESSAGE = "update messages set sentiment = $2, judged_by = 'person' where id = $1";
}

/// Gives a message the tag `tag`. Its lead follows if the message is its newest, and a pending
/// draft ends if the tag gets none. With `opts_out`, the lead has opted out in the message. `entry`
/// says who decides; its values are filled in here.
pub(in crate::store::desk) async fn retag(
    db: &Database,
    id: Id,
    tag: Sentiment,
    opts_out: bool,
    entry: &AuditEntry,
) -> Result<Decided, StoreError> {
    let followed = Followed::default();
    db.write("decide", async |tx| retag_in(db, tx, id, (tag, opts_out), entry, &followed).await)
        .await
}

async fn retag_in(
    db: &Database,
    tx: Tx,
    id: Id,
    (tag, opts_out): (Sentiment, bool),
    entry: &AuditEntry,
    followed: &Followed,
) -> Result<Finished<Decided>, StoreError> {
    // 1. Lock its lead, and read it under the lock.
    let found = read_locked(&tx, followed, || read(&tx, id), |found| found.0).await?;
    let Some(((lead_id, direction, was), mut leads)) = found else {
        return Ok(tx.roll_back(Err(DecisionError::NotFound { what: "message", id })));
    };
    if direction != "inbound" {
        let why = format!("message {id} is {direction}: only what a lead wrote has a tag");
        return Ok(tx.roll_back(Err(DecisionError::Conflict(why))));
    }
    let Some(lead) = leads.get_mut(lead_id) else {
        return Err(StoreError::Conflict("a message moved to another lead".to_owned()));
    };
    let is_known = lead.opted_out.as_ref().is_some_and(|it| it.message_id == Some(id));
    let opts_out = opts_out && !is_known;
    if was.as_deref() == Some(tag.as_str()) && !opts_out {
        return Ok(tx.roll_back(Ok(())));
    }
    // 2. Keep what was decided otherwise, and store the tag.
    let is_its_opt_out = lead.opted_out.as_ref().is_some_and(|it| it.message_id == Some(id));
    let label = LabelPut {
        kind: ExampleKind::Tag,
        message_id: id,
        draft_id: None,
        was: was.as_deref(),
        became: Some(tag.as_str()),
        tag: Some(tag),
        is_opt_out: (opts_out || is_its_opt_out) && tag == Sentiment::Blacklist,
        reason: entry.note.as_deref(),
        by: &entry.actor,
    };
    label.put(db, &tx).await?;
    tx.run(&TAG_MESSAGE, [id.into(), tag.as_str().into()]).await?;
    // 3. The lead follows its newest message, as it does after a verdict.
    if lead.is_newest(id) {
        let lead = lead.change();
        let before = was.as_deref().and_then(Sentiment::parse);
        lead.standing = lead.standing.corrected(before, tag);
        let ends = EndDrafts {
            lead_id: lead.id,
            over: DraftsOver::AllChannels,
            status: "rejected",
            decided_by: "tag_changed",
            except_message_id: None,
        };
        if !tag.gets_draft() {
            end_drafts(db.channels(), &tx, &[ends]).await?;
        }
    }
    // 4. The wish of the lead is a fact of its own, whatever the message's tag becomes later.
    if let Some(lead) = leads.get_mut(lead_id).filter(|_| opts_out) {
        let reason = entry.note.clone().unwrap_or_else(|| "noted by hand".to_owned());
        let fact = OptedOut { at: wall_clock(), channel: None, message_id: Some(id), reason };
        lead.opt_out(fact, OptOutSource::Person, Some(&entry.actor));
        end_drafts(db.channels(), &tx, &[EndDrafts::opted_out(lead.id)]).await?;
    }
    leads.write(db, &tx).await?;
    // 5. Write who did it.
    let (old_value, new_value) = (was, Some(tag.as_str().to_owned()));
    audit::add(&tx, db, &[AuditEntry { old_value, new_value, ..entry.clone() }]).await?;
    tx.commit(Ok(())).await
}

/// The lead, the direction and the tag of a message.
async fn read(tx: &Tx, id: Id) -> Result<Option<(Id, String, Option<String>)>, StoreError> {
    let rows = tx.all(&READ_TAGGED, [id.into()]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some((
        row.try_get("", "lead_id")?,
        row.try_get("", "direction")?,
        row.try_get("", "sentiment")?,
    )))
}
