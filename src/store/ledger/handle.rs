//! The handle through which jobs are settled.

use super::{Settlement, settle};
use crate::{
    domain::job::FailureReason,
    store::{
        engine::{Database, StoreError, writer_token::WriterToken},
        tables::leads::Followed,
    },
};
use std::sync::Arc;

/// The recorder's handle.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub(in crate::store) db: Database,
}

impl Ledger {
    /// Waits until a group may be formed. Keep the token until the group is settled.
    pub fn token(&self) -> impl Future<Output = WriterToken> + Send + use<> {
        self.db.connections().tokens.take()
    }

    /// Applies `settlements` in one transaction. Returns for each whether it was applied. If its
    /// fence fails, nothing of it is applied.
    ///
    /// # Errors
    /// For the whole group, of which nothing was applied: [`StoreError::Data`] if an effect cannot
    /// be stored, otherwise the database is unreachable.
    pub async fn settle(&self, settlements: Arc<[Settlement]>) -> Result<Vec<bool>, StoreError> {
        self.db
            .call(|db| async move {
                let followed = Followed::default();
                db.write(purpose_of(&settlements), async |tx| {
                    let applied = settle(&db, &tx, &settlements, &followed).await?;
                    tx.commit(applied).await
                })
                .await
            })
            .await
    }
}

/// The name of the transaction, by which metrics and fault points know it: `rescue` if it settles
/// jobs of a node that is gone, else `settle`.
fn purpose_of(all: &[Settlement]) -> &'static str {
    let is_rescue =
        |settlement: &Settlement| settlement.transition.failure() == Some(FailureReason::Rescued);
    if all.iter().any(is_rescue) { "rescue" } else { "settle" }
}
