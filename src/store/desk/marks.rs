//! Where jobs and leads stand, without any text, for those who watch them.

use crate::domain::Id;
use crate::store::engine::{
    StoreError,
    sessions::Sessions,
    sql::sql,
    tx::{group, read},
};

sql! {
    /// The state of leads with their newest messages and their newest draft. By primary keys,
    /// `messages_of_lead` and `drafts_of_lead`.
    static READ_LEAD_MARKS =
        "select l.id, l.client_id, l.status, l.sentiment, l.merged_into, l.newest_inbound_id, \
           (select max(m.id) from messages m where m.lead_id = l.id) as newest_id, d.id as draft_id, d.status as draft_status \
         from leads l left join drafts d on d.id = (select max(x.id) from drafts x where x.lead_id = l.id) \
         where l.id @ids($1)";
}

/// Where a lead stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeadMark {
    /// The lead.
    pub id: Id,
    /// Its client.
    pub client_id: String,
    /// Its status, as stored.
    pub status: String,
    /// Its tag, as stored.
    pub tag: Option<String>,
    /// The lead into which it was merged.
    pub merged_into: Option<Id>,
    /// Its newest message of either direction.
    pub newest_message_id: Option<Id>,
    /// The newest message that it wrote.
    pub newest_inbound_id: Option<Id>,
    /// Its newest draft.
    pub draft_id: Option<Id>,
    /// The status of that draft.
    pub draft_status: Option<String>,
}

/// Where these leads stand, in any order.
pub(super) async fn leads(reader: &Sessions, ids: &[Id]) -> Result<Vec<LeadMark>, StoreError> {
    let rows = read(reader, &READ_LEAD_MARKS, [group(ids)?]).await?;
    let mark = |row: &sea_orm::QueryResult| {
        Ok(LeadMark {
            id: row.try_get("", "id")?,
            client_id: row.try_get("", "client_id")?,
            status: row.try_get("", "status")?,
            tag: row.try_get("", "sentiment")?,
            merged_into: row.try_get("", "merged_into")?,
            newest_message_id: row.try_get("", "newest_id")?,
            newest_inbound_id: row.try_get("", "newest_inbound_id")?,
            draft_id: row.try_get("", "draft_id")?,
            draft_status: row.try_get("", "draft_status")?,
        })
    };
    rows.iter().map(mark).collect()
}
