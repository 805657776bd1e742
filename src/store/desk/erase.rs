//! Erases a person: everything that is stored about a lead (docs/OPERATIONS.md, decision 0033).
//!
//! It works in short transactions under the lead's lock, each of which deletes a batch. The lead
//! and its identities go last, in one transaction with the suppression, the row of the audit log
//! and the last batch. So what comes meanwhile is the lead's, and is erased, too; and an erasure
//! that was killed is continued by another one.

use super::{
    DecisionError, UNFINISHED,
    by_hand::{JobAction, change_group},
    jobs::{self, count},
    opt_outs::{LeadResult, lock_one, no_such},
    people::READ_MERGED,
    sought,
};
use crate::domain::{Id, OptOutSource};
use crate::store::{
    audit::{self, AuditEntry},
    engine::{
        Database, StoreError,
        ids::wall_clock,
        sql::sql,
        tx::{Tx, column, group},
    },
    tables::{
        identities::{StoredIdentity, of_leads},
        leads::Lead,
        opt_outs::{self, NewOptOut, OptedOut},
        quarantine_room::QuarantineRooms,
    },
};
use schemars::JsonSchema;
use sea_orm::QueryResult;
use serde::Serialize;
use std::collections::BTreeSet;

sql! {
    /// A delivery of a lead that may be on the wire. By `deliveries_of_lead`.
    static READ_ON_WIRE =
        "select id from deliveries where lead_id = $1 and status = 'sending' and marked_run is not null limit 1";

    /// Deletes messages of a lead. By `messages_of_lead`.
    static DELETE_MESSAGES =
        "delete from messages where id in (select id from messages where lead_id = $1 order by id limit $2) returning id";

    /// Deletes drafts of a lead. By `drafts_of_lead`.
    static DELETE_DRAFTS =
        "delete from drafts where id in (select id from drafts where lead_id = $1 order by id limit $2) returning id";

    /// Deletes deliveries of a lead. By `deliveries_of_lead`.
    static DELETE_DELIVERIES =
        "delete from deliveries where id in (select id from deliveries where lead_id = $1 order by id limit $2) returning id";

    /// Deletes labelled examples of a lead. By `labelled_examples_of_lead`.
    static DELETE_EXAMPLES =
        "delete from labelled_examples where id in (select id from labelled_examples where lead_id = $1 limit $2)";

    /// Deletes calls of models about a lead. By `model_calls_by_lead`.
    static DELETE_CALLS =
        "delete from model_calls where id in (select id from model_calls where lead_id = $1 limit $2)";

    /// The jobs about messages, drafts and deliveries. By the unique key of jobs.
    static READ_JOBS_ABOUT = "select id from jobs where subject_id @ids($1)";

    /// Deletes the errors of jobs, which may quote a text or an address. By primary key.
    static ERASE_ERRORS = "update job_attempts set error = null where job_id @ids($1) and error is not null";

    /// Deletes the values and notes of the audit log about these objects. By `audit_by_target`.
    static ERASE_AUDIT =
        "update audit set old_value = null, new_value = null, note = null \
         where id in (select a.id from @rows($1, value text) g join audit a on a.target = g.value)";

    /// Deletes the calls of models about leads that were merged. By `model_calls_by_lead`.
    static DELETE_CALLS_OF = "delete from model_calls where lead_id @ids($1)";

    /// Deletes the identities of leads. By `lead_identities_of_lead`.
    static DELETE_IDENTITIES = "delete from lead_identities where lead_id @ids($1)";

    /// Deletes leads. By primary key.
    static DELETE_LEADS = "delete from leads where id @ids($1)";

    /// The oldest opt-out of a lead that is not lifted. By `opt_outs_of_lead`.
    static READ_OLDEST_OPT_OUT =
        "select id from opt_outs where lead_id = $1 and lifted_at is null order by opted_out_at, id limit 1";

    /// Deletes the opt-outs of a lead, except one. By `opt_outs_of_lead`.
    static DELETE_OPT_OUTS = "delete from opt_outs where lead_id = $1 and id <> $2";

    /// Takes what names the lead out of an opt-out. By primary key.
    static UNLINK_OPT_OUT =
        "update opt_outs set lead_id = null, message_id = null, reason = '' where id = $1";

    /// Deletes quarantined items. By primary key.
    static ERASE_QUARANTINED =
        "delete from quarantine where id @ids($1) returning status, size";
}

/// The most rows of a table that one transaction deletes.
const BATCH: usize = 200;
/// How many jobs are cancelled at once.
const JOBS_AT_ONCE: usize = 100;
/// How many quarantined items one transaction deletes.
const ITEMS_AT_ONCE: usize = 20;

/// What one erasure has deleted. One that was killed before has deleted what is missing here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema, Serialize)]
pub struct Erased {
    /// Messages, with their bodies as received.
    pub messages: u64,
    /// Drafts.
    pub drafts: u64,
    /// Deliveries.
    pub deliveries: u64,
    /// Labelled examples: what people decided otherwise about it.
    pub examples: u64,
    /// Calls of models about it.
    pub calls: u64,
    /// Jobs that had not ended, and were cancelled.
    pub cancelled_jobs: u64,
    /// Identities.
    pub identities: u64,
    /// The lead, and those that were merged into it.
    pub leads: u64,
    /// Quarantined items whose body contains an identity.
    pub quarantined: u64,
    /// Rows of the audit log that lost their values and note.
    pub audit: u64,
    /// Identities that are suppressed from now on, as keyed hashes.
    pub suppressed: u64,
}

impl Erased {
    fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.drafts += other.drafts;
        self.deliveries += other.deliveries;
        self.examples += other.examples;
        self.calls += other.calls;
        self.cancelled_jobs += other.cancelled_jobs;
        self.identities += other.identities;
        self.leads += other.leads;
        self.quarantined += other.quarantined;
        self.audit += other.audit;
        self.suppressed += other.suppressed;
    }
}

/// How one transaction has ended.
enum ErasureStep {
    Refused(DecisionError),
    /// Nothing was deleted: these jobs must be cancelled before.
    JobsLeft(Vec<Id>),
    Part(Erased),
    Last(Erased),
}

/// Erases a lead. If it has opted out, or if `is_suppressed`, its identities stay suppressed.
/// `entry` is the row of the audit log.
pub(super) async fn erase(
    db: &Database,
    id: Id,
    is_suppressed: bool,
    entry: &AuditEntry,
) -> Result<LeadResult<Erased>, StoreError> {
    let mut erased = Erased::default();
    // 1. Check that it can be erased, and delete what is found of it in quarantine. That takes its
    // identities, so it comes first.
    let (client, identities) = match begin(db, id).await? {
        Ok(begun) => begun,
        Err(error) => return Ok(Err(error)),
    };
    erased.quarantined = erase_quarantined(db, &client, &identities).await?;
    // 2. Delete the rest batch by batch.
    loop {
        match Box::pin(step(db, id, is_suppressed, entry, erased)).await? {
            ErasureStep::Refused(error) => return Ok(Err(error)),
            ErasureStep::JobsLeft(jobs) => erased.cancelled_jobs += cancel(db, &jobs).await?,
            ErasureStep::Part(part) => erased.add(part),
            ErasureStep::Last(part) => {
                erased.add(part);
                return Ok(Ok(erased));
            }
        }
    }
}

/// The client and identities of a lead that can be erased.
async fn begin(
    db: &Database,
    id: Id,
) -> Result<LeadResult<(String, Vec<StoredIdentity>)>, StoreError> {
    db.write("erase", async |tx| {
        let begun = match lock_erasable(&tx, id).await? {
            Ok(lead) => Ok((lead.client_id, of_leads(&tx, &[id]).await?)),
            Err(error) => Err(error),
        };
        Ok(tx.roll_back(begun))
    })
    .await
}

/// Locks a lead that has nothing on the wire.
async fn lock_erasable(tx: &Tx, id: Id) -> Result<LeadResult<Lead>, StoreError> {
    let mut leads = match lock_one(tx, id).await? {
        Ok(leads) => leads,
        Err(error) => return Ok(Err(error)),
    };
    if let Some(row) = tx.all(&READ_ON_WIRE, [id.into()]).await?.first() {
        let delivery: Id = row.try_get("", "id")?;
        let why =
            format!("delivery {delivery} of lead {id} is being sent: try again when it has ended");
        return Ok(Err(DecisionError::Conflict(why)));
    }
    Ok(leads.take(id).ok_or_else(|| no_such(id)))
}

/// Deletes a batch, and if nothing is left, the lead.
async fn step(
    db: &Database,
    id: Id,
    is_suppressed: bool,
    entry: &AuditEntry,
    so_far: Erased,
) -> Result<ErasureStep, StoreError> {
    db.write("erase", async |tx| {
        // 1. Lock the lead, and delete the next batch.
        let lead = match lock_erasable(&tx, id).await? {
            Ok(lead) => lead,
            Err(error) => return Ok(tx.roll_back(ErasureStep::Refused(error))),
        };
        let batch = || [id.into(), count(BATCH)];
        let messages = all_ids(&tx.all(&DELETE_MESSAGES, batch()).await?)?;
        let drafts = all_ids(&tx.all(&DELETE_DRAFTS, batch()).await?)?;
        let deliveries = all_ids(&tx.all(&DELETE_DELIVERIES, batch()).await?)?;
        let mut erased = Erased {
            messages: messages.len() as u64,
            drafts: drafts.len() as u64,
            deliveries: deliveries.len() as u64,
            examples: tx.run(&DELETE_EXAMPLES, batch()).await?,
            calls: tx.run(&DELETE_CALLS, batch()).await?,
            ..Erased::default()
        };
        let Erased { examples, calls, .. } = erased;
        let deleted = [erased.messages, erased.drafts, erased.deliveries, examples, calls];
        let is_last = deleted.iter().all(|count| *count < BATCH as u64);
        let all: Vec<Id> = [messages, drafts, deliveries].concat();
        // 2. Its jobs must have ended, else nothing is deleted yet. Their rows stay until they are
        // pruned: they hold only ids.
        let about = all_ids(&tx.all(&READ_JOBS_ABOUT, [group(&all)?]).await?)?;
        let unfinished: Vec<Id> = jobs::rows(&tx, &about)
            .await?
            .into_iter()
            .filter(|job| UNFINISHED.contains(&job.view.status))
            .map(|job| job.view.id)
            .collect();
        if !unfinished.is_empty() {
            return Ok(tx.roll_back(ErasureStep::JobsLeft(unfinished)));
        }
        // 3. Erase what is written elsewhere about the batch.
        tx.run(&ERASE_ERRORS, [group(&about)?]).await?;
        erased.audit = erase_audit(&tx, &all).await?;
        if !is_last {
            return tx.commit(ErasureStep::Part(erased)).await;
        }
        // 4. Delete the lead, and note the erasure.
        erased.add(erase_lead(db, &tx, &lead, is_suppressed, entry).await?);
        let mut total = so_far;
        total.add(erased);
        let told = serde_json::to_string(&total);
        let told = told.map_err(|error| StoreError::Broken(error.to_string()))?;
        let entry = AuditEntry { new_value: Some(told), ..entry.clone() };
        audit::add(&tx, db, &[entry]).await?;
        tx.commit(ErasureStep::Last(erased)).await
    })
    .await
}

/// Deletes a lead, of which nothing else is left, and suppresses its identities.
async fn erase_lead(
    db: &Database,
    tx: &Tx,
    lead: &Lead,
    is_suppressed: bool,
    entry: &AuditEntry,
) -> Result<Erased, StoreError> {
    let mut erased = Erased::default();
    let identities = of_leads(tx, &[lead.id]).await?;
    let mut kept = 0;
    if is_suppressed || lead.opted_out.is_some() {
        kept = suppressing_opt_out(db, tx, lead, entry).await?;
        erased.suppressed = opt_outs::suppress(db, tx, &lead.client_id, &identities, kept).await?;
    }
    tx.run(&DELETE_OPT_OUTS, [lead.id.into(), kept.into()]).await?;
    tx.run(&UNLINK_OPT_OUT, [kept.into()]).await?;
    let rows = tx.all(&READ_MERGED, [lead.id.into()]).await?;
    let mut ids = all_ids(&rows)?;
    ids.push(lead.id);
    erased.calls = tx.run(&DELETE_CALLS_OF, [group(&ids)?]).await?;
    erased.identities = tx.run(&DELETE_IDENTITIES, [group(&ids)?]).await?;
    erased.audit = erase_audit(tx, &ids).await?;
    erased.leads = tx.run(&DELETE_LEADS, [group(&ids)?]).await?;
    Ok(erased)
}

/// The opt-out for which the identities of a lead stay suppressed: its oldest one that is not
/// lifted, else a new one of the person who erases it.
async fn suppressing_opt_out(
    db: &Database,
    tx: &Tx,
    lead: &Lead,
    entry: &AuditEntry,
) -> Result<Id, StoreError> {
    if let Some(row) = tx.all(&READ_OLDEST_OPT_OUT, [lead.id.into()]).await?.first() {
        return Ok(row.try_get("", "id")?);
    }
    let fact = lead.opted_out.clone().unwrap_or_else(|| OptedOut {
        at: wall_clock(),
        channel: None,
        message_id: None,
        reason: String::new(),
    });
    let fact = OptedOut { message_id: None, reason: String::new(), ..fact };
    let by = Some(entry.actor.clone());
    let new = NewOptOut { fact, source: OptOutSource::Person, by };
    opt_outs::put_of_nobody(db, tx, &lead.client_id, &new).await
}

fn all_ids(rows: &[QueryResult]) -> Result<Vec<Id>, StoreError> {
    rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
}

/// Deletes the values and notes of the audit log about these objects.
async fn erase_audit(tx: &Tx, ids: &[Id]) -> Result<u64, StoreError> {
    if ids.is_empty() {
        return Ok(0);
    }
    let targets = column("value", ids.iter().map(ToString::to_string))?;
    tx.run(&ERASE_AUDIT, [targets]).await
}

/// Cancels jobs that have not ended. Returns how many it has cancelled.
async fn cancel(db: &Database, jobs: &[Id]) -> Result<u64, StoreError> {
    let mut cancelled = 0;
    for ids in jobs.chunks(JOBS_AT_ONCE) {
        cancelled += db
            .write("erase", async |tx| {
                let changed =
                    Box::pin(change_group(db, &tx, JobAction::Cancel, ids, &UNFINISHED)).await?;
                let moved = changed.moved.len() as u64;
                changed.counts.write(&tx, db.node()).await?;
                tx.commit(moved).await
            })
            .await?;
    }
    Ok(cancelled)
}

/// Deletes the quarantined items of a client that name one of these identities.
async fn erase_quarantined(
    db: &Database,
    client: &str,
    identities: &[StoredIdentity],
) -> Result<u64, StoreError> {
    let sought = identities.iter().map(|it| (it.kind.as_str(), it.value.as_str()));
    let mut erased = 0;
    for ids in sought::find(db.api(), client, sought).await?.chunks(ITEMS_AT_ONCE) {
        erased += delete_items(db, client, ids).await?;
    }
    Ok(erased)
}

/// Deletes quarantined items of a client, and gives their room back.
async fn delete_items(db: &Database, client: &str, ids: &[Id]) -> Result<u64, StoreError> {
    db.write("erase", async |tx| {
        let mut rooms = QuarantineRooms::lock(&tx, &BTreeSet::from([client])).await?;
        let gone = tx.all(&ERASE_QUARANTINED, [group(ids)?]).await?;
        for row in &gone {
            if row.try_get::<String>("", "status")? == "held" {
                rooms.set(client, rooms.of(client).without(row.try_get("", "size")?));
            }
        }
        rooms.write(&tx).await?;
        tx.commit(gone.len() as u64).await
    })
    .await
}
