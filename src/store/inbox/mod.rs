//! The handle of ingest: it stores a group of webhooks of any sort in one transaction.
//!
//! Each webhook is one record ([`arrival::Arrival`]). It goes through three phases, each a folder:
//! `read` finds out the facts about it, `decide` decides what changes, and `write` stores that. The
//! number of statements does not grow with the group: each statement is for all webhooks. Between
//! the statements, everything is decided in memory, in the order of arrival. The order of locks is
//! that of every transaction: keys and identities sorted, leads by id, messages, quarantine rooms,
//! turns, heads.

mod arrival;
mod decide;
mod inbound;
mod read;
mod write;

use self::arrival::{Arrival, Terms};
pub use self::inbound::{Answer, Content, Delivery, Inbound, SAME_ID_OTHER_BODY};
use super::{
    Claim, FreePlaces, LentSlots,
    engine::{Database, StoreError, tx::Tx, writer_token::WriterToken},
    hand_off::HandOff,
};
use crate::config::QuarantineBound;
use std::sync::Arc;

/// The ingest actors' handle.
#[derive(Clone, Debug)]
pub struct Inbox {
    pub(super) db: Database,
    /// How much room each client may use in quarantine.
    pub(super) bound: QuarantineBound,
}

impl Inbox {
    /// The same handle with another bound on each client's quarantine.
    #[must_use]
    pub fn bounded(&self, bound: QuarantineBound) -> Self {
        Self { db: self.db.clone(), bound }
    }

    /// Waits until a group may be formed. Keep the token until the group is stored.
    pub fn token(&self) -> impl Future<Output = WriterToken> + Send + use<> {
        self.db.connections().tokens.take()
    }

    /// Stores a group in one transaction. The answers are in its order. When this returns,
    /// everything is committed.
    ///
    /// # Errors
    /// For the whole group, of which nothing is stored: [`StoreError::Data`] if something in it
    /// cannot be stored, otherwise the database is unreachable.
    pub async fn put(&self, inbound: Arc<[Inbound]>) -> Result<Vec<Answer>, StoreError> {
        self.put_and_start(inbound, None).await
    }

    /// As [`Inbox::put`]. Jobs that get one of the places that are `lent` are stored as running
    /// jobs of this node, and start right after the commit.
    ///
    /// # Errors
    /// As [`Inbox::put`]. If the answer of the commit is lost, such jobs show up as claimed runs
    /// of this node, and have not started.
    pub async fn put_and_start(
        &self,
        inbound: Arc<[Inbound]>,
        lent: Option<Arc<dyn LentSlots>>,
    ) -> Result<Vec<Answer>, StoreError> {
        let bound = self.bound;
        self.db
            .call(|db| async move {
                let hand_off = HandOff(lent.as_ref());
                let put = db.write("ingest", async |tx| {
                    let places = hand_off.places();
                    let (answers, claims) = put(&db, &tx, &inbound, bound, &places).await?;
                    hand_off.note(&claims);
                    tx.commit((answers, claims)).await
                });
                let (answers, claims) = put.await?;
                hand_off.start(claims);
                Ok(answers)
            })
            .await
    }
}

/// The facts that depend on a webhook's channel and on the kind of its job.
///
/// # Errors
/// If this daemon has no such channel.
fn terms_of(db: &Database, inbound: &Inbound) -> Result<Terms, StoreError> {
    let max_attempts = match &inbound.content {
        Content::Event { kind, .. } => db.max_attempts(*kind),
        Content::Quarantine { .. } => 0,
    };
    Ok(Terms { medium: db.medium(inbound.channel)?, max_attempts })
}

async fn put(
    db: &Database,
    tx: &Tx,
    inbound: &[Inbound],
    bound: QuarantineBound,
    places: &[FreePlaces],
) -> Result<(Vec<Answer>, Vec<Claim>), StoreError> {
    let arrivals = inbound
        .iter()
        .map(|inbound| Ok(Arrival::new(inbound, db.next_id(), terms_of(db, inbound)?)));
    let mut arrivals = arrivals.collect::<Result<Vec<_>, StoreError>>()?;
    // 1. Claim keys and identities: they tell which message each webhook is, and which lead it has.
    let mut known = read::claim(db, tx, &mut arrivals).await?;
    // 2. Lock the leads, and read the facts that need their locks.
    read::lock(db, tx, &mut arrivals, &mut known).await?;
    // 3. Decide, in memory and in the order of arrival.
    let writes = decide::decide(&mut arrivals, &mut known, &|| db.next_id());
    // 4. Write.
    let claims = write::write(db, tx, &mut arrivals, known, writes, bound, places).await?;
    let answers = all_answered(arrivals.into_iter().map(|arrival| arrival.answer).collect())?;
    Ok((answers, claims))
}

/// The answers to all webhooks of a group.
///
/// # Errors
/// [`StoreError::Data`] if a webhook has no answer. It must not be left out: it would get the
/// answer of the next one. With this error, the group is split until only that webhook is held for
/// a person.
fn all_answered(answers: Vec<Option<Answer>>) -> Result<Vec<Answer>, StoreError> {
    let missing = answers.iter().position(Option::is_none);
    if let Some(at) = missing {
        let of = answers.len();
        return Err(StoreError::Data(format!(
            "webhook {at} of a group of {of} was given no answer"
        )));
    }
    Ok(answers.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_without_an_answer_is_an_error_and_takes_no_neighbours() {
        let answer = |reason| Some(Answer::Ignored { reason });
        let all = all_answered(vec![answer("one"), answer("two")]).unwrap();
        assert_eq!(all, [Answer::Ignored { reason: "one" }, Answer::Ignored { reason: "two" }]);
        assert_eq!(all_answered(Vec::new()).unwrap(), []);
        for answers in
            [vec![None], vec![answer("one"), None, answer("two")], vec![answer("one"), None]]
        {
            assert!(all_answered(answers).is_err_and(|it| it.is_data()));
        }
    }
}
