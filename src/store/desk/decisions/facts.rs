//! A draft with all that a decision about it depends on, and the jobs about it.

use crate::domain::{
    Id, JobStatus, Medium, Sentiment, draft_text,
    event::Address,
    job::{AUTO_SEND_DELAYED, DELIVER_REPLY, NewJob},
    lead::Barriers,
    sending::{AnsweredMessage, DeliveryStatus, SendCase},
    text,
    trace::JobTrace,
};
use crate::store::{
    desk::{
        UNFINISHED, UNSUCCESSFUL,
        by_hand::{Reopening, cancel_group, retry_group},
        job_traces,
        job_views::JobRow,
        jobs,
    },
    engine::{
        Database, StoreError,
        sql::sql,
        tx::{Tx, flag},
    },
    tables::{
        identities::barriers_of_others,
        leads::{Followed, Lead, Leads},
        lines::{self, Counts, Entry},
    },
};
use sea_orm::QueryResult;
use std::collections::{BTreeSet, HashSet};

sql! {
    /// A draft with the message that it answers and its delivery. By primary keys and
    /// `deliveries_of_draft`.
    static READ_DECIDED =
        "select d.id, d.client_id, d.lead_id, d.message_id, d.channel, d.status, d.subject, d.body, \
           case when m.reply_handle is null then 0 else 1 end as has_handle, \
           case when m.deleted_at is null then 0 else 1 end as is_deleted, m.sentiment, m.sender, @ms(m.edited_at) as edited_at, \
           case when m.edited_at is null then null else m.body end as edited_body, @ms(d.created_at) as drafted_at, x.status as delivery_status, \
           case when x.marked_run is null then 0 else 1 end as is_marked \
         from drafts d left join messages m on m.id = d.message_id left join deliveries x on x.draft_id = d.id where d.id = $1";

    /// The jobs about a draft. By the unique key.
    static READ_JOBS_OF_DRAFT =
        "select id, kind from jobs where subject_id = $1 and (kind = $2 or kind = $3)";

    /// The newest inbound message of a lead that was stored after message `$2`. By
    /// `messages_of_lead`.
    static READ_LATER_INBOUND =
        "select n.id from messages n where n.lead_id = $1 and n.id > $2 and n.direction = 'inbound' order by n.id desc limit 1";
}

/// True if an inbound message of the lead was stored after this one, whatever its time.
pub(super) async fn has_later_inbound(
    tx: &Tx,
    lead_id: Id,
    message_id: Id,
) -> Result<bool, StoreError> {
    let values = [lead_id.into(), message_id.into()];
    Ok(!tx.all(&READ_LATER_INBOUND, values).await?.is_empty())
}

/// A draft, as it is under the lock of its lead.
pub(super) struct DraftFound {
    pub(super) id: Id,
    pub(super) client_id: String,
    pub(super) lead_id: Id,
    pub(super) message_id: Id,
    pub(super) channel: String,
    /// The medium of its channel; `None` if this daemon does not have that.
    pub(super) medium: Option<Medium>,
    pub(super) status: String,
    pub(super) subject: Option<String>,
    pub(super) body: String,
    /// True if its message can be answered through its provider.
    pub(super) has_handle: bool,
    /// True if its message was deleted at its provider.
    pub(super) is_deleted: bool,
    /// True if the text of its message was changed after it was made.
    pub(super) is_edited: bool,
    /// The fingerprint of the text of its message as it is now, if that was changed.
    pub(super) edited_text: Option<u64>,
    /// The tag of its message.
    pub(super) message_tag: Option<Sentiment>,
    /// The address from which its message came.
    to: Option<String>,
    pub(super) delivery: Option<DeliveryStatus>,
    /// True if its call may be on the wire.
    pub(super) is_marked: bool,
}

impl DraftFound {
    /// Reads a draft; `None` if there is none.
    pub(super) async fn read(db: &Database, tx: &Tx, id: Id) -> Result<Option<Self>, StoreError> {
        let rows = tx.all(&READ_DECIDED, [id.into()]).await?;
        rows.first().map(|row| Self::from_row(db, row)).transpose()
    }

    fn from_row(db: &Database, row: &QueryResult) -> Result<Self, StoreError> {
        let channel: String = row.try_get("", "channel")?;
        let delivery: Option<String> = row.try_get("", "delivery_status")?;
        let delivery = delivery.as_deref().map(DeliveryStatus::stored);
        let edited_at: Option<i64> = row.try_get("", "edited_at")?;
        let drafted_at: i64 = row.try_get("", "drafted_at")?;
        let edited: Option<String> = row.try_get("", "edited_body")?;
        let tag: Option<String> = row.try_get("", "sentiment")?;
        let sender: Option<String> = row.try_get("", "sender")?;
        let sender: Option<Address> = sender.and_then(|it| serde_json::from_str(&it).ok());
        let has_run = flag(row, "is_marked")?;
        Ok(Self {
            id: row.try_get("", "id")?,
            client_id: row.try_get("", "client_id")?,
            lead_id: row.try_get("", "lead_id")?,
            message_id: row.try_get("", "message_id")?,
            medium: db.channels().medium_of(&channel),
            channel,
            status: row.try_get("", "status")?,
            subject: row.try_get("", "subject")?,
            body: row.try_get("", "body")?,
            has_handle: flag(row, "has_handle")?,
            is_deleted: flag(row, "is_deleted")?,
            is_edited: edited_at.is_some_and(|at| at > drafted_at),
            edited_text: edited.as_deref().map(text::fingerprint),
            message_tag: tag.and_then(|word| Sentiment::parse(&word)),
            to: sender.and_then(|it| it.address),
            delivery,
            is_marked: delivery == Some(DeliveryStatus::Sending) && has_run,
        })
    }

    /// The version of its text.
    pub(super) fn version(&self) -> String {
        draft_text::version(self.subject.as_deref(), &self.body)
    }

    /// The case of its send by a person who approves it. `others` are the barriers of other leads
    /// with the address that it goes to ([`Self::barriers_of_others`]).
    pub(super) fn case(&self, lead: &Lead, others: Barriers) -> SendCase {
        let barriers = lead.standing.barriers.and(others);
        SendCase {
            message: AnsweredMessage {
                is_newest: lead.is_newest(self.message_id),
                is_deleted: self.is_deleted,
                is_edited: self.is_edited,
                has_handle: self.has_handle,
                ..AnsweredMessage::ANSWERABLE
            },
            barrier: self.medium.and_then(|medium| barriers.on(medium)),
            ..SendCase::BY_PERSON
        }
    }

    /// What keeps an answer from the address that it goes to, because of leads other than `lead`.
    pub(super) async fn barriers_of_others(
        &self,
        db: &Database,
        tx: &Tx,
        lead: &Lead,
    ) -> Result<Barriers, StoreError> {
        let person = (self.client_id.as_str(), lead.id);
        barriers_of_others(db.channels(), tx, person, &self.channel, self.to.as_deref()).await
    }
}

/// Reads what is decided about, locks its lead (`lead_of`), or the one that it was merged into, and
/// reads it again: what it is under the lock counts. `None` if it does not exist.
///
/// # Errors
/// A conflict if its lead was merged meanwhile: the transaction is repeated.
pub(super) async fn read_locked<T, F>(
    tx: &Tx,
    followed: &Followed,
    read: impl Fn() -> F,
    lead_of: impl Fn(&T) -> Id,
) -> Result<Option<(T, Leads)>, StoreError>
where
    F: Future<Output = Result<Option<T>, StoreError>>,
{
    let Some(before) = read().await? else { return Ok(None) };
    let ids = BTreeSet::from([lead_of(&before)]);
    let leads = Leads::lock_following(tx, &ids, followed).await?;
    Ok(read().await?.map(|found| (found, leads)))
}

/// The jobs about a draft.
#[derive(Default)]
pub(super) struct DraftJobs {
    /// The job that decides when a rule sends it.
    rule: Option<JobRow>,
    /// The job that sends it.
    delivery: Option<JobRow>,
}

impl DraftJobs {
    /// Reads them. The lead of the draft is locked.
    pub(super) async fn read(tx: &Tx, draft_id: Id) -> Result<Self, StoreError> {
        let values = [draft_id.into(), AUTO_SEND_DELAYED.0.into(), DELIVER_REPLY.0.into()];
        let mut ids: Vec<Id> = Vec::new();
        for row in tx.all(&READ_JOBS_OF_DRAFT, values).await? {
            ids.push(row.try_get("", "id")?);
        }
        let mut found = Self::default();
        if ids.is_empty() {
            return Ok(found);
        }
        for row in jobs::rows(tx, &ids).await? {
            let is_delivery = row.view.kind == DELIVER_REPLY.0;
            let place = if is_delivery { &mut found.delivery } else { &mut found.rule };
            *place = Some(row);
        }
        Ok(found)
    }

    /// True if the job that sends it has not ended.
    pub(super) fn is_on_its_way(&self) -> bool {
        self.delivery.as_ref().is_some_and(|job| UNFINISHED.contains(&job.view.status))
    }

    /// Cancels those of them that have not ended: a person has decided, and no rule does any more.
    ///
    /// # Errors
    /// A conflict if one of them moved meanwhile: the transaction is repeated.
    pub(super) async fn cancel(&self, db: &Database, tx: &Tx) -> Result<Vec<Counts>, StoreError> {
        let both = [&self.rule, &self.delivery];
        let unfinished =
            both.into_iter().flatten().filter(|it| UNFINISHED.contains(&it.view.status));
        let ids: Vec<Id> = unfinished.map(|it| it.view.id).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let group = cancel_group(db, tx, &ids, &UNFINISHED).await?;
        Ok(vec![group.counts])
    }

    /// Has the draft sent by its job after `delay_ms`, made in the span `trace`, if that is
    /// recorded. If the job exists already, it starts afresh. It must have ended: see
    /// [`Self::cancel`].
    ///
    /// # Errors
    /// A conflict if it moved meanwhile.
    pub(super) async fn send(
        &self,
        db: &Database,
        tx: &Tx,
        draft: &DraftFound,
        max_attempts: u32,
        delay_ms: i64,
        trace: Option<JobTrace>,
    ) -> Result<Counts, StoreError> {
        if let Some(job) = &self.delivery {
            let ids = [job.view.id];
            let afresh = Reopening::Afresh { delay_ms };
            // One that succeeded is opened again if the provider reported a failure afterwards.
            let [failed, cancelled] = UNSUCCESSFUL;
            let ended = [failed, cancelled, JobStatus::Succeeded];
            let group = retry_group(db, tx, &ids, &ended, afresh).await?;
            if !group.moved.contains_key(&job.view.id) {
                return Err(StoreError::Conflict("a job that sends moved meanwhile".to_owned()));
            }
            if let Some(trace) = trace {
                job_traces::replace(tx, job.view.id, trace).await?;
            }
            return Ok(group.counts);
        }
        let job = NewJob {
            kind: DELIVER_REPLY,
            client_id: draft.client_id.clone(),
            lead_id: Some(draft.lead_id),
            subject_id: draft.id,
            message_id: Some(draft.message_id),
            draft_id: Some(draft.id),
            max_attempts,
            in_lead_line: false,
            channel: Some(draft.channel.clone()),
            delay_ms,
            trace,
        };
        let entry = Entry { id: db.next_id(), job };
        if lines::put_jobs(tx, std::slice::from_ref(&entry)).await?.is_empty() {
            return Err(StoreError::Conflict("a job that sends was made meanwhile".to_owned()));
        }
        lines::enter(tx, vec![entry.entering()], &HashSet::new()).await?;
        let mut counts = Counts::default();
        counts.add(DELIVER_REPLY.0, "enqueued", 1);
        Ok(counts)
    }

    /// True if the job that sends it has ended with success.
    pub(super) fn has_succeeded(&self) -> bool {
        self.delivery.as_ref().is_some_and(|job| job.view.status == JobStatus::Succeeded)
    }
}

/// Writes counts. They are last in every transaction.
pub(super) async fn write_counts(
    db: &Database,
    tx: &Tx,
    all: impl IntoIterator<Item = Counts>,
) -> Result<(), StoreError> {
    for counts in all {
        counts.write(tx, db.node()).await?;
    }
    Ok(())
}
