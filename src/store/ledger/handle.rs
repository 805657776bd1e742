//! The handle through which jobs are settled, and which tells of the deliveries that end with them.

use super::{Settled, Settlement, settle};
use crate::{
    domain::{job::FailureReason, sending::DeliveryStatus},
    store::{
        engine::{Database, StoreError},
        tables::leads::Followed,
    },
};
use std::{fmt, sync::Arc};

/// Called with the channel and the new status of each delivery that has ended, after the commit.
pub type OnDelivery = Arc<dyn Fn(&str, DeliveryStatus) + Send + Sync>;

/// The recorder's handle.
#[derive(Clone)]
pub struct Ledger {
    pub(in crate::store) db: Database,
    pub(in crate::store) on_delivery: Option<OnDelivery>,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("db", &self.db).finish_non_exhaustive()
    }
}

impl Ledger {
    /// The same handle, which tells of deliveries that end.
    #[must_use]
    pub fn telling(self, on_delivery: OnDelivery) -> Self {
        Self { on_delivery: Some(on_delivery), ..self }
    }

    /// Applies `settlements` in one transaction. Returns for each whether it was applied. If its
    /// fence fails, nothing of it is applied.
    ///
    /// # Errors
    /// For the whole group, of which nothing was applied: [`StoreError::Data`] if an effect cannot
    /// be stored, otherwise the database is unreachable.
    pub async fn settle(&self, settlements: Arc<[Settlement]>) -> Result<Vec<bool>, StoreError> {
        let settled = self.db.call(|db| async move {
            let followed = Followed::default();
            db.write(purpose_of(&settlements), async |tx| {
                let settled = settle(&db, &tx, &settlements, &followed).await?;
                tx.commit(settled).await
            })
            .await
        });
        let Settled { applied, deliveries } = settled.await?;
        if let Some(tell) = &self.on_delivery {
            deliveries.iter().for_each(|(channel, status)| tell(channel, *status));
        }
        Ok(applied)
    }
}

/// The name of the transaction, by which metrics and fault points know it: `rescue` if it settles
/// jobs of a node that is gone, else `settle`.
fn purpose_of(all: &[Settlement]) -> &'static str {
    let is_rescue =
        |settlement: &Settlement| settlement.transition.failure() == Some(FailureReason::Rescued);
    if all.iter().any(is_rescue) { "rescue" } else { "settle" }
}
