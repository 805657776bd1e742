//! Opt-outs that a person notes or lifts, under the lead's lock.

use super::{DecisionError, jobs::count};
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
        leads::Leads,
        opt_outs::{OptedOut, suppressing},
    },
};
use sea_orm::QueryResult;
use std::{collections::BTreeSet, fmt::Write};

sql! {
    /// The newest `$2` verdicts on inbound messages of a lead. By `messages_of_lead`.
    static READ_VERDICTS =
        "select id, sentiment, @ms(sent_at) as sent_at from messages \
         where lead_id = $1 and direction = 'inbound' and sentiment is not null order by id desc limit $2";

    /// Lifts the opt-outs of a lead, which is locked. By `opt_outs_of_lead`.
    static LIFT_OPT_OUTS =
        "update opt_outs set lifted_at = @now, lifted_by = $2, lift_note = $3 where lead_id = $1 and lifted_at is null";

    /// Lifts opt-outs from before an erasure. They belong to no lead, so no later erasure finds
    /// them, and no note is kept there. By primary key.
    static LIFT_SUPPRESSING =
        "update opt_outs set lifted_at = @now, lifted_by = $2 where id @ids($1) and lifted_at is null";

    /// Ends suppressions. By `suppressed_of_opt_out`.
    static DELETE_SUPPRESSED = "delete from suppressed where opt_out_id @ids($1)";

    /// The opt-outs of a lead, oldest first. By `opt_outs_of_lead`.
    static READ_OPT_OUTS =
        "select id, @ms(opted_out_at) as opted_out_at, channel, message_id, reason, source, noted_by, \
           @ms(lifted_at) as lifted_at, lifted_by, lift_note from opt_outs where lead_id = $1 order by id";
}

/// The most verdicts from which the status of a lead is made when its opt-out is lifted.
const VERDICTS_MAX: usize = 200;

/// The most opt-outs that a refusal names.
const NAMED_MAX: usize = 20;

/// Which opt-outs of a lead a person lifts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lifting {
    /// All of them.
    All,
    /// The one that the lead shows, and those with these ids. If there is another one, none is
    /// lifted.
    ShownAnd(Vec<Id>),
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

impl OptOutRow {
    fn from_row(row: &QueryResult) -> Result<Self, StoreError> {
        let lifted_at: Option<i64> = row.try_get("", "lifted_at")?;
        Ok(Self {
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
    }

    /// On one line, for a person, without a text of the lead.
    fn told(&self) -> String {
        let Self { id, at, channel, message_id, source, .. } = self;
        let mut told = format!("{id} ({source}, {at}");
        // A text takes all that is written to it.
        if let Some(channel) = channel {
            write!(told, ", {channel}").unwrap_or_default();
        }
        if let Some(message_id) = message_id {
            write!(told, ", message {message_id}").unwrap_or_default();
        }
        told.push(')');
        told
    }
}

/// The opt-outs of a lead, oldest first.
pub(super) async fn of_lead(reader: &Sessions, id: Id) -> Result<Vec<OptOutRow>, StoreError> {
    read(reader, &READ_OPT_OUTS, [id.into()]).await?.iter().map(OptOutRow::from_row).collect()
}

/// The result of a change of a lead by hand.
pub(super) type LeadResult<T = ()> = Result<T, DecisionError>;

/// Locks one lead.
///
/// # Errors
/// The inner one if there is no such lead, or if it was merged.
pub(super) async fn lock_one(tx: &Tx, id: Id) -> Result<LeadResult<Leads>, StoreError> {
    let mut leads = Leads::lock(tx, &BTreeSet::from([id])).await?;
    if !leads.has(id) {
        return Ok(Err(no_such(id)));
    }
    let merged_into = leads.take(id).map(|lead| (lead.merged_into, lead));
    Ok(match merged_into {
        Some((Some(into), _)) => Err(DecisionError::Conflict(format!(
            "lead {id} was merged into lead {into}: name that one"
        ))),
        Some((None, lead)) => {
            leads.add(lead);
            Ok(leads)
        }
        None => Err(no_such(id)),
    })
}

/// Opts a lead out. `entry` is the row of the audit log, with who did it and why.
pub(super) async fn opt_out(
    db: &Database,
    id: Id,
    entry: &AuditEntry,
) -> Result<LeadResult, StoreError> {
    let change = async |tx: Tx, mut leads: Leads| {
        let Some(lead) = leads.get_mut(id) else { return Ok(tx.roll_back(Err(no_such(id)))) };
        let fact = OptedOut {
            at: wall_clock(),
            channel: None,
            message_id: None,
            reason: entry.note.clone().unwrap_or_else(|| "noted by hand".to_owned()),
        };
        let is_noted = |known: &OptOutRow| {
            known.source == OptOutSource::Person.as_str()
                && known.message_id.is_none()
                && known.reason == fact.reason
        };
        if not_lifted(&tx, id).await?.iter().any(is_noted) {
            return Ok(tx.roll_back(conflict(format!("lead {id} has opted out already"))));
        }
        lead.opt_out(fact, OptOutSource::Person, Some(&entry.actor));
        end_drafts(db.channels(), &tx, &[EndDrafts::opted_out(id)]).await?;
        finish(db, tx, leads, entry).await
    };
    db.write("by_hand", async |tx| match lock_one(&tx, id).await? {
        Ok(leads) => change(tx, leads).await,
        Err(error) => Ok(tx.roll_back(Err(error))),
    })
    .await
}

/// Lifts the opt-outs of a lead, and the suppressions of its identities. Its status becomes that of
/// the verdicts on its messages.
pub(super) async fn lift(
    db: &Database,
    id: Id,
    lifting: &Lifting,
    entry: &AuditEntry,
) -> Result<LeadResult, StoreError> {
    let change = async |tx: Tx, mut leads: Leads| {
        // 1. Change the lead.
        let verdicts = verdicts(&tx, id).await?;
        let Some(lead) = leads.get_mut(id) else { return Ok(tx.roll_back(Err(no_such(id)))) };
        if !lead.standing.barriers.opted_out {
            return Ok(tx.roll_back(conflict(format!("lead {id} has not opted out"))));
        }
        if let Some(why) = refusal(id, lifting, not_lifted(&tx, id).await?) {
            return Ok(tx.roll_back(conflict(why)));
        }
        lead.lift_opt_out(verdicts);
        // 2. Lift the facts, and those from before an erasure.
        let actor = || entry.actor.clone().into();
        tx.run(&LIFT_OPT_OUTS, [id.into(), actor(), entry.note.clone().into()]).await?;
        let identities = of_leads(&tx, &[id]).await?;
        let suppressing = suppressing(db, &tx, &lead.client_id, &identities).await?;
        if !suppressing.is_empty() {
            tx.run(&LIFT_SUPPRESSING, [group(&suppressing)?, actor()]).await?;
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

/// Why these opt-outs of a lead are not lifted: there are others than the person knows of. `None`
/// if nothing speaks against it.
fn refusal(id: Id, lifting: &Lifting, mut not_lifted: Vec<OptOutRow>) -> Option<String> {
    let Lifting::ShownAnd(named) = lifting else { return None };
    not_lifted.sort_unstable_by_key(|it| (it.at, it.id));
    let unnamed = not_lifted.iter().skip(1).filter(|it| !named.contains(&it.id));
    let unnamed: Vec<String> = unnamed.map(OptOutRow::told).collect();
    if unnamed.is_empty() {
        return None;
    }
    let listed = unnamed.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join("; ");
    let more = match unnamed.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "lead {id} has opted out more than once: {listed}{more}. Name these in `opt_outs`, or lift `all`"
    ))
}

/// The opt-outs of a lead that are not lifted. The lead is locked.
async fn not_lifted(tx: &Tx, id: Id) -> Result<Vec<OptOutRow>, StoreError> {
    let rows = tx.all(&READ_OPT_OUTS, [id.into()]).await?;
    let mut rows: Vec<OptOutRow> =
        rows.iter().map(OptOutRow::from_row).collect::<Result<_, _>>()?;
    rows.retain(|it| it.lifted_at.is_none());
    Ok(rows)
}

/// The answer if there is no such lead.
pub(super) const fn no_such(id: Id) -> DecisionError {
    DecisionError::NotFound { what: "lead", id }
}

const fn conflict(why: String) -> LeadResult {
    Err(DecisionError::Conflict(why))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lift_names_each_opt_out_but_the_one_that_is_shown() {
        let row = |id: Id, at: i64| OptOutRow {
            id,
            at: Timestamp::from_millis(at),
            channel: Some("sms".to_owned()),
            message_id: Some(70 + id),
            reason: "stop".to_owned(),
            source: "words".to_owned(),
            noted_by: None,
            lifted_at: None,
            lifted_by: None,
            lift_note: None,
        };
        let refused = |named: &[Id]| {
            refusal(5, &Lifting::ShownAnd(named.to_vec()), vec![row(1, 90), row(2, 80), row(3, 99)])
        };
        let why = refused(&[3]).unwrap();
        assert!(why.contains("1 (words, ") && why.contains("sms, message 71)"), "{why}");
        assert!(!why.contains("message 72") && !why.contains("message 73"), "{why}");
        assert_eq!(refused(&[3, 1]), None);
        assert_eq!(refusal(5, &Lifting::All, vec![row(1, 90), row(2, 80)]), None);
        assert_eq!(refusal(5, &Lifting::ShownAnd(Vec::new()), vec![row(1, 90)]), None);
        let many = refusal(5, &Lifting::ShownAnd(Vec::new()), (0..30).map(|n| row(n, n)).collect());
        assert!(many.unwrap().contains(" and 9 more"));
    }
}
