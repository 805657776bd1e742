//! Enqueues jobs that do not come from a webhook: those of the canary, the benchmarks and the
//! tests.

use crate::domain::{Id, JobKind, job::NewJob};
use crate::store::{
    Claim, FreePlaces, LentSlots,
    engine::{
        Database, StoreError,
        sql::sql,
        tx::{Tx, column, read},
    },
    fleet::notices::Notices,
    hand_off::HandOff,
    tables::{
        born::put_born,
        leads::{Followed, Leads},
        lines::{self, Counts, Entering, Entry, Place},
    },
};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

sql! {
    /// How a job ended, if it has: its last run. By the primary key of attempts.
    static READ_END =
        "select a.outcome, @ms(a.finished_at) - @ms(j.created_at) as took_ms from job_attempts a join jobs j on j.id = a.job_id \
         where a.job_id = $1 and a.ended order by a.run desc limit 1";

    /// How many jobs of these kinds have succeeded, according to the counts. Reads the small table
    /// as a whole.
    static READ_SUCCEEDED =
        "select cast(coalesce(sum(count), 0) as bigint) as n from job_counts where state = 'succeeded' and kind in \
           (select g.kind from @rows($1, kind text) g)";
}

/// The handle for enqueueing jobs outside ingest.
#[derive(Clone, Debug)]
pub struct Enqueuer {
    pub(super) db: Database,
    pub(super) notices: Notices,
}

impl Enqueuer {
    /// A new id, for a job with a subject of its own.
    pub fn next_id(&self) -> Id {
        self.db.next_id()
    }

    /// Enqueues `jobs` in one transaction, in their order. Returns the id of each, or `None` if a
    /// job with its subject and kind exists already.
    ///
    /// # Errors
    /// If the database is unreachable or refuses; then no job is enqueued.
    pub async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<Vec<Option<Id>>, StoreError> {
        self.enqueue_and_start(jobs, None).await
    }

    /// As [`Enqueuer::enqueue`]. Jobs that get one of the places that are `lent` are born running,
    /// as those of ingest.
    ///
    /// # Errors
    /// As [`Enqueuer::enqueue`].
    pub async fn enqueue_and_start(
        &self,
        jobs: Vec<NewJob>,
        lent: Option<Arc<dyn LentSlots>>,
    ) -> Result<Vec<Option<Id>>, StoreError> {
        let enqueued = self.db.call(|db| async move {
            let followed = Followed::default();
            let hand_off = HandOff(lent.as_ref());
            let written = db.write("enqueue", async |tx| {
                let places = hand_off.places();
                let (enqueued, claims) = enqueue(&db, &tx, &jobs, &followed, &places).await?;
                hand_off.note(&claims);
                tx.commit((enqueued, claims)).await
            });
            let (enqueued, claims) = written.await?;
            let is_to_be_claimed = claims.len() < enqueued.len();
            hand_off.start(claims);
            Ok((enqueued, is_to_be_claimed))
        });
        let (enqueued, is_to_be_claimed) = enqueued.await?;
        if is_to_be_claimed {
            self.notices.announce();
        }
        Ok(enqueued)
    }

    /// How many jobs of these kinds have succeeded.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn succeeded(&self, kinds: &[JobKind]) -> Result<i64, StoreError> {
        let kinds = column("kind", kinds.iter().map(|kind| kind.0))?;
        self.db
            .call(|db| async move {
                let rows = read(db.reader(), &READ_SUCCEEDED, [kinds]).await?;
                match rows.first() {
                    Some(row) => Ok(row.try_get("", "n")?),
                    None => Ok(0),
                }
            })
            .await
    }

    /// The outcome of a job, and the time from its enqueueing to its end; `None` while it has not
    /// ended.
    ///
    /// # Errors
    /// If the database is unreachable.
    pub async fn outcome(&self, job_id: Id) -> Result<Option<(String, Duration)>, StoreError> {
        self.db
            .call(|db| async move {
                let rows = read(db.reader(), &READ_END, [job_id.into()]).await?;
                match rows.first() {
                    Some(row) => {
                        let took_ms: i64 = row.try_get("", "took_ms")?;
                        let took =
                            Duration::from_millis(u64::try_from(took_ms).unwrap_or_default());
                        Ok(Some((row.try_get("", "outcome")?, took)))
                    }
                    None => Ok(None),
                }
            })
            .await
    }
}

async fn enqueue(
    db: &Database,
    tx: &Tx,
    jobs: &[NewJob],
    followed: &Followed,
    places: &[FreePlaces],
) -> Result<(Vec<Option<Id>>, Vec<Claim>), StoreError> {
    // 1. Lock the leads whose lines jobs enter.
    let leads: BTreeSet<Id> =
        jobs.iter().filter(|it| it.in_lead_line).filter_map(|it| it.lead_id).collect();
    let leads = Leads::lock_following(tx, &leads, followed).await?;
    // 2. Store the facts of the jobs.
    let entries: Vec<Entry> =
        jobs.iter().map(|job| Entry { id: db.next_id(), job: job.clone() }).collect();
    let new = lines::put_jobs(tx, &entries).await?;
    // 3. Let the new ones enter their lines.
    let mut counts = Counts::default();
    let mut entering: Vec<Entering> = Vec::with_capacity(new.len());
    for entry in entries.iter().filter(|entry| new.contains(&entry.id)) {
        counts.add(entry.job.kind.0, "enqueued", 1);
        let Entering { place, delay_ms, is_by_hand } = entry.entering();
        let place = Place { line: leads.resolve(place.line), ..place };
        entering.push(Entering { place, delay_ms, is_by_hand });
    }
    let mut placed = lines::place(tx, entering, &HashSet::new()).await?;
    let mut caps = lines::lock_caps(tx, &placed, std::iter::empty()).await?;
    let born = put_born(tx, db.node(), places, &entries, &mut placed, &mut caps).await?;
    let turns = lines::take_turns(tx, &placed).await?;
    lines::write(tx, placed, turns, &mut caps).await?;
    caps.admit_and_write(tx).await?;
    counts.write(tx, db.node()).await?;
    let by_id: HashMap<Id, &NewJob> = entries.iter().map(|it| (it.id, &it.job)).collect();
    let claims = born.into_iter().filter_map(|born| {
        let job = by_id.get(&born.job_id)?;
        Some(Claim::of_born(born, job, None))
    });
    let claims = claims.collect();
    let ids = entries.iter().map(|entry| new.contains(&entry.id).then_some(entry.id)).collect();
    Ok((ids, claims))
}
