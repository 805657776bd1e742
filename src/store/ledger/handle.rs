//! The handle through which jobs are settled.

use super::{Settlement, settle};
use crate::{
    domain::job::FailureReason,
    store::{
        LentSlots,
        engine::{Database, StoreError, writer_token::WriterToken},
        hand_off::HandOff,
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
        self.settle_and_start(settlements, None).await
    }

    /// As [`Ledger::settle`]. Jobs that the effects enqueue and that get one of the places that
    /// are `lent` are stored as running jobs of this node, and start right after the commit.
    ///
    /// # Errors
    /// As [`Ledger::settle`]. If the answer of the commit is lost, such jobs show up as claimed
    /// runs of this node, and have not started.
    pub async fn settle_and_start(
        &self,
        settlements: Arc<[Settlement]>,
        lent: Option<Arc<dyn LentSlots>>,
    ) -> Result<Vec<bool>, StoreError> {
        self.db
            .call(|db| async move {
                let (followed, purpose) = (Followed::default(), purpose_of(&settlements));
                let hand_off = HandOff(lent.as_ref());
                let settled = db.write(purpose, async |tx| {
                    let places = hand_off.places();
                    let (applied, claims) =
                        settle(&db, &tx, &settlements, &followed, &places).await?;
                    hand_off.note(&claims);
                    tx.commit((applied, claims)).await
                });
                let (applied, claims) = settled.await?;
                hand_off.start(claims);
                Ok(applied)
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
