//! Erases a person: everything that is stored about a lead (docs/OPERATIONS.md, decision 0033).
//!
//! It works in short transactions under the lead's lock, each of which deletes a batch. The lead
//! and its identities go last, in one transaction with the suppression, the row of the audit log
//! and the last batch. So what comes meanwhile is the lead's, and is erased, too; and an erasure
//! that was killed is continued by another one.

use super::{
    UNFINISHED,
    by_hand::{JobAction, change_group},
    jobs::{self, count},
    opt_outs::{LeadActionError, LeadResult, lock_one},
    quarantine::{self, QuarantineFilter},
};
use crate::domain::{Id, OptOutSource};
use crate::store::{
    audit::{self, AuditEntry},
    engine::{
        Database, Sql, StoreError,
        ids::wall_clock,
        sql::sql,
        tx::{Tx, column, group, read},
    },
    tables::{
        identities::{StoredIdentity, of_leads},
        leads::Lead,
        opt_outs::{self, NewOptOut, OptedOut},
        quarantine_room::QuarantineRooms,
    },
};
use sea_orm::QueryResult;
use serde::Serialize;
use std::collections::BTreeSet;

sql! {
    /// A delivery of a lead that may be on the wire. By `deliveries_of_lead`.
    static READ_ON_WIRE =
        "select id from deliveries where lead_id = $1 and status = 'sending' and marked_run is not null limit 1";

    /// Messages of a lead. By `messages_of_lead`.
    static READ_MESSAGES_OF = "select id from messages where lead_id = $1 order by id limit $2";

    /// Drafts of a lead. By `drafts_of_lead`.
    static READ_DRAFTS_OF = "select id from drafts where lead_id = $1 order by id limit $2";

    /// Deliveries of a lead. By `deliveries_of_lead`.
    static READ_DELIVERIES_OF = "select id from deliveries where lead_id = $1 order by id limit $2";

    /// Labelled examples of a lead. By `labelled_examples_of_lead`.
    static READ_EXAMPLES_OF = "select id from labelled_examples where lead_id = $1 limit $2";

    /// Calls of models about a lead. By `model_calls_by_lead`.
    static READ_CALLS_OF = "select id from model_calls where lead_id = $1 limit $2";

    /// The jobs about messages, drafts and deliveries. By the unique key of jobs.
    static READ_JOBS_ABOUT = "select id from jobs where subject_id @ids($1)";

    /// Deletes the errors of jobs, which may quote a text or an address. By primary key.
    static ERASE_ERRORS = "update job_attempts set error = null where job_id @ids($1) and error is not null";

    /// Deletes the values and notes of the audit log about these objects. By `audit_by_target`.
    static ERASE_AUDIT =
        "update audit set old_value = null, new_value = null, note = null \
         where id in (select a.id from @rows($1, value text) g join audit a on a.target = g.value)";

    /// Deletes messages. By primary key.
    static DELETE_MESSAGES = "delete from messages where id @ids($1)";

    /// Deletes drafts. By primary key.
    static DELETE_DRAFTS = "delete from drafts where id @ids($1)";

    /// Deletes deliveries. By primary key.
    static DELETE_DELIVERIES = "delete from deliveries where id @ids($1)";

    /// Deletes labelled examples. By primary key.
    static DELETE_EXAMPLES = "delete from labelled_examples where id @ids($1)";

    /// Deletes calls of models. By primary key.
    static DELETE_CALLS = "delete from model_calls where id @ids($1)";

    /// Deletes the calls of models about leads that were merged. By `model_calls_by_lead`.
    static DELETE_CALLS_OF = "delete from model_calls where lead_id @ids($1)";

    /// The leads that were merged into a lead. By `leads_merged`.
    static READ_MERGED = "select id from leads where merged_into = $1";

    /// Deletes the identities of leads. By `lead_identities_of_lead`.
    static DELETE_IDENTITIES = "delete from lead_identities where lead_id @ids($1)";

    /// Deletes leads. By primary key.
    static DELETE_LEADS = "delete from leads where id @ids($1)";

    /// The oldest standing opt-out of a lead. By `opt_outs_of_lead`.
    static READ_STANDING =
        "select min(id) as id from opt_outs where lead_id = $1 and lifted_at is null";

    /// Deletes the opt-outs of a lead that were lifted. By `opt_outs_of_lead`.
    static DELETE_LIFTED = "delete from opt_outs where lead_id = $1 and lifted_at is not null";

    /// Takes what names the lead out of its standing opt-outs. By `opt_outs_of_lead`.
    static UNLINK_OPT_OUTS =
        "update opt_outs set lead_id = null, message_id = null, reason = '' where lead_id = $1";

    /// Those of these quarantined items whose body contains one of these patterns. By primary key.
    static MATCH_QUARANTINED =
        "select q.id from quarantine q where q.id @ids($1) \
           and exists (select 1 from @rows($2, value text) g where lower(q.payload) like g.value escape '\\')";

    /// Deletes quarantined items. By primary key.
    static ERASE_QUARANTINED =
        "delete from quarantine where id @ids($1) returning status, size";
}

/// The most rows of a table that one transaction deletes.
const BATCH: usize = 200;
/// How many jobs are cancelled at once.
const JOBS_AT_ONCE: usize = 100;
/// How many bodies in quarantine one statement searches.
const BODIES_AT_ONCE: usize = 20;
/// The fewest characters of an identity that is sought in quarantine. A shorter one would be found
/// in the bodies of others.
const SOUGHT_CHARS_MIN: usize = 6;

/// What one erasure has deleted. One that was killed before has deleted what is missing here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
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
    Refused(LeadActionError),
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
        return Ok(Err(LeadActionError::Conflict(why)));
    }
    Ok(leads.take(id).ok_or(LeadActionError::NotFound(id)))
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
        // 1. Lock the lead, and read the next batch.
        let lead = match lock_erasable(&tx, id).await? {
            Ok(lead) => lead,
            Err(error) => return Ok(tx.roll_back(ErasureStep::Refused(error))),
        };
        let messages = ids_of(&tx, &READ_MESSAGES_OF, id).await?;
        let drafts = ids_of(&tx, &READ_DRAFTS_OF, id).await?;
        let deliveries = ids_of(&tx, &READ_DELIVERIES_OF, id).await?;
        let examples = ids_of(&tx, &READ_EXAMPLES_OF, id).await?;
        let calls = ids_of(&tx, &READ_CALLS_OF, id).await?;
        let read = [&messages, &drafts, &deliveries, &examples, &calls];
        let is_last = read.iter().all(|it| it.len() < BATCH);
        let all: Vec<Id> = [messages.as_slice(), &drafts, &deliveries].concat();
        // 2. Its jobs must have ended. Their rows stay until they are pruned: they hold only ids.
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
        // 3. Delete the batch.
        tx.run(&ERASE_ERRORS, [group(&about)?]).await?;
        let mut erased = Erased {
            audit: erase_audit(&tx, &all).await?,
            messages: tx.run(&DELETE_MESSAGES, [group(&messages)?]).await?,
            drafts: tx.run(&DELETE_DRAFTS, [group(&drafts)?]).await?,
            deliveries: tx.run(&DELETE_DELIVERIES, [group(&deliveries)?]).await?,
            examples: tx.run(&DELETE_EXAMPLES, [group(&examples)?]).await?,
            calls: tx.run(&DELETE_CALLS, [group(&calls)?]).await?,
            ..Erased::default()
        };
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
    if is_suppressed || lead.opted_out.is_some() {
        let opt_out = standing(db, tx, lead, entry).await?;
        erased.suppressed =
            opt_outs::suppress(db, tx, &lead.client_id, &identities, opt_out).await?;
    }
    tx.run(&DELETE_LIFTED, [lead.id.into()]).await?;
    tx.run(&UNLINK_OPT_OUTS, [lead.id.into()]).await?;
    let mut ids = all_ids(&tx.all(&READ_MERGED, [lead.id.into()]).await?)?;
    ids.push(lead.id);
    erased.calls = tx.run(&DELETE_CALLS_OF, [group(&ids)?]).await?;
    erased.identities = tx.run(&DELETE_IDENTITIES, [group(&ids)?]).await?;
    erased.audit = erase_audit(tx, &ids).await?;
    erased.leads = tx.run(&DELETE_LEADS, [group(&ids)?]).await?;
    Ok(erased)
}

/// The opt-out for which the identities of a lead stay suppressed: its oldest standing one, else a
/// new one of the person who erases it.
async fn standing(
    db: &Database,
    tx: &Tx,
    lead: &Lead,
    entry: &AuditEntry,
) -> Result<Id, StoreError> {
    let rows = tx.all(&READ_STANDING, [lead.id.into()]).await?;
    let standing: Option<Id> = match rows.first() {
        Some(row) => row.try_get("", "id")?,
        None => None,
    };
    if let Some(id) = standing {
        return Ok(id);
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

async fn ids_of(tx: &Tx, sql: &Sql, lead: Id) -> Result<Vec<Id>, StoreError> {
    all_ids(&tx.all(sql, [lead.into(), count(BATCH)]).await?)
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

/// Deletes the quarantined items of a client whose body contains one of these identities as it is
/// stored. An item that spells it otherwise is not found.
async fn erase_quarantined(
    db: &Database,
    client: &str,
    identities: &[StoredIdentity],
) -> Result<u64, StoreError> {
    let sought = identities.iter().filter(|it| it.value.chars().count() >= SOUGHT_CHARS_MIN);
    let patterns: Vec<String> =
        sought.map(|it| super::people::containing(&it.value.to_lowercase())).collect();
    if patterns.is_empty() {
        return Ok(0);
    }
    let patterns = column("value", patterns)?;
    let (mut cursor, mut erased) = (None, 0);
    loop {
        let filter =
            QuarantineFilter { client: vec![client.to_owned()], ..QuarantineFilter::default() };
        let page = quarantine::list(db.api(), filter, BATCH, cursor).await?;
        let ids: Vec<Id> = page.items.iter().map(|it| it.id).collect();
        for ids in ids.chunks(BODIES_AT_ONCE) {
            let values = [group(ids)?, patterns.clone()];
            let found = all_ids(&read(db.api(), &MATCH_QUARANTINED, values).await?)?;
            if !found.is_empty() {
                erased += delete_items(db, client, &found).await?;
            }
        }
        cursor = page.next;
        if cursor.is_none() {
            return Ok(erased);
        }
    }
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
