//! Opt-outs that a person notes or lifts, under the lead's lock.

use super::jobs::count;
use crate::domain::{Id, OptOutSource, Sentiment, Timestamp};
use crate::store::{
    audit::{self, AuditEntry},
    engine::{
        Database, StoreError,
        ids::wall_clock,
        sessions::Sessions,
        sql::sql,
        tx::{Finished, Tx, group, read},
    },
    tables::{
        drafts::{EndDrafts, end_drafts},
        identities::of_leads,
        leads::{Lead, Leads},
        opt_outs::{OptedOut, Suspected, suppressions},
    },
};
use std::collections::BTreeSet;
use thiserror::Error;

sql! {
    /// The newest `$2` verdicts on inbound messages of a lead. By `messages_of_lead`.
    static READ_VERDICTS =
        "select id, sentiment, @ms(sent_at) as sent_at from messages \
         where lead_id = $1 and direction = 'inbound' and sentiment is not null order by id desc limit $2";

    /// Lifts the standing opt-outs of a lead, which is locked. By `opt_outs_of_lead`.
    static LIFT_OPT_OUTS =
        "update opt_outs set lifted_at = @now, lifted_by = $2, lift_note = $3 where lead_id = $1 and lifted_at is null";

    /// Lifts opt-outs from before an erasure. By primary key.
    static LIFT_SUPPRESSING =
        "update opt_outs set lifted_at = @now, lifted_by = $2, lift_note = $3 where id @ids($1) and lifted_at is null";

    /// Ends suppressions. By `suppressed_of_opt_out`.
    static DELETE_SUPPRESSED = "delete from suppressed where opt_out_id @ids($1)";

    /// The opt-outs of a lead, oldest first. By `opt_outs_of_lead`.
    static READ_OPT_OUTS =
        "select id, @ms(opted_out_at) as opted_out_at, channel, message_id, reason, source, noted_by, \
           @ms(lifted_at) as lifted_at, lifted_by, lift_note from opt_outs where lead_id = $1 order by id";
}

/// The most verdicts from which the status of a lead is made when its opt-out is lifted.
const VERDICTS_MAX: usize = 200;

/// Why nothing was done with a lead.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum LeadActionError {
    /// There is no such lead.
    #[error("there is no lead {0}")]
    NotFound(Id),
    /// Its state does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An opt-out of a lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptOutRow {
    /// Its id.
    pub id: Id,
    /// When the lead opted out.
    pub at: Timestamp,
    /// The channel, if it was on one.
    pub channel: Option<String>,
    /// The message in which it did.
    pub message_id: Option<Id>,
    /// The words, or why.
    pub reason: String,
    /// `words`, `provider`, `person`, `model` or `suppression`.
    pub source: String,
    /// The person who noted it.
    pub noted_by: Option<String>,
    /// When it was lifted.
    pub lifted_at: Option<Timestamp>,
    /// The person who lifted it.
    pub lifted_by: Option<String>,
    /// Why it was lifted.
    pub lift_note: Option<String>,
}

/// The opt-outs of a lead, oldest first.
pub(super) async fn of_lead(reader: &Sessions, id: Id) -> Result<Vec<OptOutRow>, StoreError> {
    let rows = read(reader, &READ_OPT_OUTS, [id.into()]).await?;
    let opt_out = |row: &sea_orm::QueryResult| {
        let lifted_at: Option<i64> = row.try_get("", "lifted_at")?;
        Ok(OptOutRow {
            id: row.try_get("", "id")?,
            at: Timestamp::from_millis(row.try_get("", "opted_out_at")?),
            channel: row.try_get("", "channel")?,
            message_id: row.try_get("", "message_id")?,
            reason: row.try_get("", "reason")?,
            source: row.try_get("", "source")?,
            noted_by: row.try_get("", "noted_by")?,
            lifted_at: lifted_at.map(Timestamp::from_millis),
            lifted_by: row.try_get("", "lifted_by")?,
            lift_note: row.try_get("", "lift_note")?,
        })
    };
    rows.iter().map(opt_out).collect()
}

/// The result of a change of a lead by hand.
pub(super) type LeadResult<T = ()> = Result<T, LeadActionError>;

/// Locks one lead.
///
/// # Errors
/// The inner one if there is no such lead, or if it was merged.
pub(super) async fn lock_one(tx: &Tx, id: Id) -> Result<LeadResult<Leads>, StoreError> {
    let mut leads = Leads::lock(tx, &BTreeSet::from([id])).await?;
    if !leads.has(id) {
        return Ok(Err(LeadActionError::NotFound(id)));
    }
    let merged_into = leads.take(id).map(|lead| (lead.merged_into, lead));
    Ok(match merged_into {
        Some((Some(into), _)) => Err(LeadActionError::Conflict(format!(
            "lead {id} was merged into lead {into}: name that one"
        ))),
        Some((None, lead)) => {
            leads.add(lead);
            Ok(leads)
        }
        None => Err(LeadActionError::NotFound(id)),
    })
}

/// Opts a lead out. `entry` is the row of the audit log, with who did it and why.
pub(super) async fn opt_out(
    db: &Database,
    id: Id,
    entry: &AuditEntry,
) -> Result<LeadResult, StoreError> {
    let change = async |tx: Tx, mut leads: Leads| {
        let Some(lead) = leads.get_mut(id) else { return Ok(tx.roll_back(not_found(id))) };
        let fact = OptedOut {
            at: wall_clock(),
            channel: None,
            message_id: None,
            reason: entry.note.clone().unwrap_or_else(|| "noted by hand".to_owned()),
        };
        if !lead.opt_out(fact, OptOutSource::Person, Some(&entry.actor)) {
            return Ok(tx.roll_back(conflict(format!("lead {id} has opted out already"))));
        }
        end_drafts(db.channels(), &tx, &[EndDrafts::opted_out(id)]).await?;
        finish(db, tx, leads, entry).await
    };
    db.write("by_hand", async |tx| match lock_one(&tx, id).await? {
        Ok(leads) => change(tx, leads).await,
        Err(error) => Ok(tx.roll_back(Err(error))),
    })
    .await
}

/// Lifts the opt-out of a lead, and the suppressions of its identities. Its status becomes that of
/// the verdicts on its messages.
pub(super) async fn lift(
    db: &Database,
    id: Id,
    entry: &AuditEntry,
) -> Result<LeadResult, StoreError> {
    let change = async |tx: Tx, mut leads: Leads| {
        // 1. Change the lead.
        let verdicts = verdicts(&tx, id).await?;
        let Some(lead) = leads.get_mut(id) else { return Ok(tx.roll_back(not_found(id))) };
        if !lead.standing.barriers.opted_out {
            return Ok(tx.roll_back(conflict(format!("lead {id} has not opted out"))));
        }
        lead.lift_opt_out(verdicts);
        // 2. Lift the facts, and those from before an erasure.
        let by = || [entry.actor.clone().into(), entry.note.clone().into()];
        let [actor, note] = by();
        tx.run(&LIFT_OPT_OUTS, [id.into(), actor, note]).await?;
        let suppressing = suppressing(db, &tx, lead).await?;
        if !suppressing.is_empty() {
            let [actor, note] = by();
            tx.run(&LIFT_SUPPRESSING, [group(&suppressing)?, actor, note]).await?;
            tx.run(&DELETE_SUPPRESSED, [group(&suppressing)?]).await?;
        }
        finish(db, tx, leads, entry).await
    };
    db.write("by_hand", async |tx| match lock_one(&tx, id).await? {
        Ok(leads) => change(tx, leads).await,
        Err(error) => Ok(tx.roll_back(Err(error))),
    })
    .await
}

const fn not_found(id: Id) -> LeadResult {
    Err(LeadActionError::NotFound(id))
}

const fn conflict(why: String) -> LeadResult {
    Err(LeadActionError::Conflict(why))
}

/// Writes the lead and the row of the audit log, and commits.
async fn finish(
    db: &Database,
    tx: Tx,
    leads: Leads,
    entry: &AuditEntry,
) -> Result<Finished<LeadResult>, StoreError> {
    leads.write(db, &tx).await?;
    audit::add(&tx, db, std::slice::from_ref(entry)).await?;
    tx.commit(Ok(())).await
}

/// The opt-outs from before an erasure that suppress an identity of this lead.
async fn suppressing(db: &Database, tx: &Tx, lead: &Lead) -> Result<Vec<Id>, StoreError> {
    let identities = of_leads(tx, &[lead.id]).await?;
    let suspected: Vec<Suspected<'_>> = identities
        .iter()
        .map(|it| Suspected {
            client_id: &lead.client_id,
            kind: &it.kind,
            value: &it.value,
            lead_id: lead.id,
        })
        .collect();
    let found = suppressions(db, tx, &suspected).await?;
    let ids: BTreeSet<Id> = found.into_iter().map(|(_, it)| it.opt_out_id).collect();
    Ok(ids.into_iter().collect())
}

/// The newest verdicts on a lead's inbound messages, from the oldest message to the newest.
async fn verdicts(tx: &Tx, id: Id) -> Result<Vec<Sentiment>, StoreError> {
    let mut verdicts: Vec<(i64, Id, Sentiment)> = Vec::new();
    for row in tx.all(&READ_VERDICTS, [id.into(), count(VERDICTS_MAX)]).await? {
        let word: String = row.try_get("", "sentiment")?;
        if let Some(tag) = Sentiment::parse(&word) {
            verdicts.push((row.try_get("", "sent_at")?, row.try_get("", "id")?, tag));
        }
    }
    verdicts.sort_unstable_by_key(|(at, id, _)| (*at, *id));
    Ok(verdicts.into_iter().map(|(_, _, tag)| tag).collect())
}
