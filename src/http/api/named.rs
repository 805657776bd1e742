//! What an id stands for. Ids are unique over all tables, so that one can be looked up without
//! saying of what it is.

use super::ApiState;
use crate::{domain::Id, store::StoreError};

/// The object with an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum NamedObject {
    Job(Id),
    Lead(Id),
    Delivery(Id),
    /// A draft or a message of a lead.
    OfLead {
        lead: Id,
    },
}

impl ApiState {
    /// The job, lead, delivery, draft or message with this id. Each look is one by primary key.
    ///
    /// # Errors
    /// If the database is away.
    pub(in crate::http) async fn named(&self, id: Id) -> Result<Option<NamedObject>, StoreError> {
        if !self.desk.jobs_with(vec![id]).await?.is_empty() {
            return Ok(Some(NamedObject::Job(id)));
        }
        if !self.desk.lead_marks(vec![id]).await?.is_empty() {
            return Ok(Some(NamedObject::Lead(id)));
        }
        if self.desk.delivery(id).await?.is_some() {
            return Ok(Some(NamedObject::Delivery(id)));
        }
        if let Some(draft) = self.desk.draft(id).await? {
            return Ok(Some(NamedObject::OfLead { lead: draft.draft.lead_id }));
        }
        let _permit = self.heavy_reads.permit().await;
        let message = self.desk.message(id).await?;
        Ok(message.map(|it| NamedObject::OfLead { lead: it.lead_id }))
    }
}
