//! The calls of models. Rows are only added, and pruned after a month.

use crate::domain::{Id, ModelCall};
use crate::store::engine::{
    Database, StoreError,
    sql::sql,
    tx::{group, write_alone},
};
use serde::Serialize;

sql! {
    /// Adds rows.
    static PUT_MODEL_CALLS =
        "insert into model_calls (id, kind, feature, prompt, model, status, error, tokens_in, tokens_out, latency_ms, \
           retry, client_id, lead_id, job_id, node, created_at) \
         select g.id, g.kind, g.feature, g.prompt, g.model, g.status, g.error, g.tokens_in, g.tokens_out, g.latency_ms, \
           g.retry, g.client_id, g.lead_id, g.job_id, g.node, @now \
         from @rows($1, id bigint, kind text, feature text, prompt text, model text, status text, error text, \
           tokens_in bigint, tokens_out bigint, latency_ms bigint, retry bigint, client_id text, lead_id bigint, \
           job_id bigint, node bigint) g";
}

/// The handle for the calls of models.
#[derive(Clone, Debug)]
pub struct ModelCalls {
    pub(super) db: Database,
}

#[derive(Serialize)]
struct ModelCallPut<'a> {
    id: Id,
    node: Id,
    #[serde(flatten)]
    call: &'a ModelCall,
}

impl ModelCalls {
    /// Adds a row for each call, in their order.
    ///
    /// # Errors
    /// If the database is unreachable; then no row is added.
    pub async fn record(&self, calls: &[ModelCall]) -> Result<(), StoreError> {
        if calls.is_empty() {
            return Ok(());
        }
        let calls = calls.to_vec();
        self.db
            .call(|db| async move {
                let put = |call| ModelCallPut { id: db.next_id(), node: db.node(), call };
                let rows = group(&calls.iter().map(put).collect::<Vec<_>>())?;
                write_alone(&db.connections().writer, &PUT_MODEL_CALLS, [rows]).await?;
                Ok(())
            })
            .await
    }
}
