//! The handle of the one handler that sends: it marks a send before its call (G5, docs/RULES.md
//! SENDING).
//!
//! The mark is a transaction of its own. Under the lead's lock and the job's fence it judges once
//! more whether the answer may be sent, and notes that a call may be on the wire from now on. All
//! other handlers only read.

use crate::domain::{
    Id, Job, Sentiment, Timestamp,
    event::Address,
    lead::Barriers,
    sending::{AnsweredMessage, BY_RULE, DeliveryStatus, MaySend, SendCase, reaches_others},
    text,
};
use crate::store::{
    engine::{
        Database, StoreError,
        sql::sql,
        tx::{Finished, Tx, flag, group},
    },
    tables::{
        answers::ended_rows,
        heads::{Head, LOCK_HEADS},
        identities::barriers_of_others,
        leads::{Followed, Lead, Leads},
    },
};
use sea_orm::QueryResult;
use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

sql! {
    /// A draft with the message that it answers, its delivery and its account. Its lead is locked.
    /// By primary keys, `deliveries_of_draft` and `messages_of_lead`.
    static READ_SEND =
        "select d.status, d.decided_by, d.channel, d.subject, d.body, m.id as message_id, m.reply_handle, m.sender, \
           substr(m.body, 1, 20000) as answered, \
           case when m.deleted_at is null then 0 else 1 end as is_deleted, @ms(m.sent_at) as sent_at, \
           @ms(m.created_at) as stored_at, @ms(m.edited_at) as edited_at, m.sentiment, @ms(d.created_at) as drafted_at, \
           case when exists (select 1 from messages n where n.lead_id = d.lead_id and n.id > d.message_id and n.direction = 'inbound') \
             then 1 else 0 end as has_later, @ms(@now) as now, c.provider_id as campaign, \
           x.id as delivery_id, x.status as delivery_status, x.marked_run, x.job_id, \
           @ms(a.paused_until) - @ms(@now) as pause_ms \
         from drafts d join messages m on m.id = d.message_id left join campaigns c on c.id = m.campaign_id \
           left join deliveries x on x.draft_id = d.id \
           left join send_accounts a on a.client_id = d.client_id and a.channel = d.channel where d.id = $1";

    /// Marks a send. What is known of an earlier call of it is not about this one. The lead is
    /// locked. By `deliveries_of_draft`.
    static MARK_SEND =
        "insert into deliveries (id, client_id, lead_id, draft_id, channel, status, text_key, attempts, created_at, marked_at, job_id, \
           marked_run) \
         select $1, d.client_id, d.lead_id, d.id, d.channel, 'sending', $2, 1, @now, @now, $3, $4 from drafts d where d.id = $5 \
         on conflict (draft_id) where draft_id is not null do update set status = 'sending', text_key = excluded.text_key, \
           attempts = deliveries.attempts + 1, error = null, settled_at = null, job_id = excluded.job_id, \
           marked_run = excluded.marked_run, marked_at = excluded.marked_at, provider_id = null, message_id = null \
         returning id";

    /// Sets the status of a draft whose send is marked, or that is not sent any more. Its lead is
    /// locked. By primary key.
    static SET_DRAFT_STATUS =
        "update drafts set status = $2, decided_by = case when $2 = 'pending' then null else coalesce($3, decided_by) end, \
           decided_at = case when $2 = 'pending' then null else decided_at end, blocked_by = null where id = $1";

    /// Ends a delivery that waited for its retry, or that the run `$4` of the job `$3` has marked
    /// and not called, and is not sent any more. What another run has marked may be on the wire, so
    /// nobody knows. Its lead is locked. By `deliveries_of_draft`.
    static END_UNSENT =
        "update deliveries set status = case when marked_run is null or (job_id = $3 and marked_run = $4) then 'failed' else 'uncertain' end, \
           error = $2, settled_at = @now where draft_id = $1 and status = 'sending' returning id, channel, status";
}

/// What the configuration says of a send, asked in the transaction that marks it.
pub trait SendRules: Send + Sync + 'static {
    /// False if sending is switched off (`sending.enabled`).
    fn is_enabled(&self) -> bool;
    /// True if the client has settings for sending on the channel.
    fn has_settings(&self, channel: &str) -> bool;
    /// True if drafts of this channel and campaign may be sent by rule now.
    fn is_automatic_allowed(&self, channel: &str, campaign: Option<&str>) -> bool;
    /// How long after `now` the hours are open in which a rule sends to a lead of this time zone;
    /// zero if they are, `None` if no hour is open for too long.
    fn opens_in(&self, lead_zone: Option<&str>, now: Timestamp) -> Option<Duration>;
}

/// The sender's handle.
#[derive(Clone, Debug)]
pub struct SendMarker {
    pub(super) db: Database,
}

/// What came of an attempt to mark a send.
#[derive(Clone, Debug)]
pub enum Marking {
    /// It is marked: the call may be made, by this run alone.
    Marked(Box<MarkedSend>),
    /// It may not be sent now. Nothing is marked.
    Later(Duration),
    /// It is never sent, for this reason. Nothing is marked.
    Never(&'static str),
    /// The job is not this run's any more, or its draft is gone. Nothing is marked.
    Lost,
}

/// A marked send: all that its call needs.
#[derive(Clone)]
pub struct MarkedSend {
    /// The delivery, which is also the idempotency key: it is the same for each attempt.
    pub delivery_id: Id,
    /// The channel, as stored.
    pub channel: String,
    /// The ids by which the provider knows what is answered, as JSON.
    pub reply_handle: String,
    /// The subject line, which only mail has.
    pub subject: Option<String>,
    /// The whole text.
    pub body: String,
    /// Who is answered: the writer of the message.
    pub to: Address,
    /// The text of the message, for providers that do not quote it themselves.
    pub quoted: String,
}

impl fmt::Debug for MarkedSend {
    /// Without what people wrote.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MarkedSend")
            .field("delivery_id", &self.delivery_id)
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

impl SendMarker {
    /// Judges the send of the job's draft once more, and marks it if it may be sent.
    ///
    /// If the end of the commit is not known, calling it again with the same run is safe: a mark of
    /// this run is found, and counts.
    ///
    /// # Errors
    /// If the database is unreachable or refuses.
    pub async fn mark(&self, job: &Job, rules: Arc<dyn SendRules>) -> Result<Marking, StoreError> {
        let (Some(draft_id), Some(lead_id)) = (job.draft_id, job.lead_id) else {
            return Ok(Marking::Lost);
        };
        let (job_id, run) = (job.id, job.run);
        self.db
            .call(move |db| async move {
                let followed = Followed::default();
                let run = RunOfJob { job_id, run, draft_id, lead_id };
                db.write("mark_send", async |tx| mark(&db, tx, run, &*rules, &followed).await).await
            })
            .await
    }
}

/// The run that wants to send.
#[derive(Clone, Copy)]
struct RunOfJob {
    job_id: Id,
    run: i64,
    draft_id: Id,
    lead_id: Id,
}

async fn mark(
    db: &Database,
    tx: Tx,
    run: RunOfJob,
    rules: &dyn SendRules,
    followed: &Followed,
) -> Result<Finished<Marking>, StoreError> {
    // 1. Lock the lead, and check the fence of the run. A job that sends has a line of its own.
    let mut leads = Leads::lock_following(&tx, &BTreeSet::from([run.lead_id]), followed).await?;
    let heads = tx.all(&LOCK_HEADS, [group(&[-run.job_id])?]).await?;
    let head = heads.first().map(Head::from_row).transpose()?;
    let holds =
        |head: &Head| (head.job_id, head.run, head.node) == (run.job_id, run.run, Some(db.node()));
    let is_own = head.as_ref().is_some_and(holds);
    let lead = leads.get_mut(run.lead_id).filter(|_| is_own);
    let rows = tx.all(&READ_SEND, [run.draft_id.into()]).await?;
    let (Some(lead), Some(row)) = (lead, rows.first()) else {
        return Ok(tx.roll_back(Marking::Lost));
    };
    // 2. Judge it.
    let found = FoundSend::from_row(row)?;
    let address = found.from.address.as_deref();
    let person = (lead.client_id.as_str(), lead.id);
    let others = barriers_of_others(db.channels(), &tx, person, &found.channel, address).await?;
    match found.case(db, lead, others, rules, run).may_send() {
        MaySend::Later(after) => Ok(tx.roll_back(Marking::Later(after))),
        MaySend::Never { reason, draft } => {
            let values = [run.draft_id.into(), reason.into(), run.job_id.into(), run.run.into()];
            let ended = tx.all(&END_UNSENT, values).await?;
            tx.note(ended_rows(&ended, Some(reason))?);
            if let Some(status) = draft {
                let by = Some(reason);
                tx.run(&SET_DRAFT_STATUS, [run.draft_id.into(), status.into(), by.into()]).await?;
            }
            tx.commit(Marking::Never(reason)).await
        }
        MaySend::Yes => {
            // 3. Mark it, unless an earlier try of this very run has.
            let delivery_id = match found.delivery_id.filter(|_| found.is_marked_by(run)) {
                Some(id) => id,
                None => mark_row(db, &tx, &found, run).await?,
            };
            let by = None::<&str>;
            tx.run(&SET_DRAFT_STATUS, [run.draft_id.into(), "sending".into(), by.into()]).await?;
            let Some(reply_handle) = found.reply_handle else {
                return Ok(tx.roll_back(Marking::Lost));
            };
            let send = MarkedSend {
                delivery_id,
                channel: found.channel,
                reply_handle,
                subject: found.subject,
                body: found.body,
                to: found.from,
                quoted: found.answered,
            };
            tx.commit(Marking::Marked(Box::new(send))).await
        }
    }
}

async fn mark_row(
    db: &Database,
    tx: &Tx,
    found: &FoundSend,
    run: RunOfJob,
) -> Result<Id, StoreError> {
    let values = [
        db.next_id().into(),
        text::key(&found.body).into(),
        run.job_id.into(),
        run.run.into(),
        run.draft_id.into(),
    ];
    let rows = tx.all(&MARK_SEND, values).await?;
    let row = rows.first().ok_or_else(|| StoreError::Conflict("a draft went away".to_owned()))?;
    Ok(row.try_get("", "id")?)
}

/// A draft that is to be sent, as it is under the lead's lock.
struct FoundSend {
    status: String,
    decided_by: Option<String>,
    channel: String,
    subject: Option<String>,
    body: String,
    message_id: Id,
    reply_handle: Option<String>,
    from: Address,
    answered: String,
    is_deleted: bool,
    /// True if its text was changed after the draft was made.
    is_edited: bool,
    has_answerable_tag: bool,
    /// True if an inbound message of the lead was stored after it.
    has_later: bool,
    /// What is later answers it: when it was sent, but not later than it was stored.
    answered_from: Timestamp,
    now: Timestamp,
    campaign: Option<String>,
    delivery_id: Option<Id>,
    delivery: Option<DeliveryStatus>,
    marked_run: Option<i64>,
    job_id: Option<Id>,
    account_pause: Duration,
}

impl FoundSend {
    fn from_row(row: &QueryResult) -> Result<Self, StoreError> {
        let delivery: Option<String> = row.try_get("", "delivery_status")?;
        let tag: Option<String> = row.try_get("", "sentiment")?;
        let edited_at: Option<i64> = row.try_get("", "edited_at")?;
        let drafted_at: i64 = row.try_get("", "drafted_at")?;
        let (sent_at, stored_at): (i64, i64) =
            (row.try_get("", "sent_at")?, row.try_get("", "stored_at")?);
        let sender: Option<String> = row.try_get("", "sender")?;
        let pause_ms: Option<i64> = row.try_get("", "pause_ms")?;
        let pause_ms = u64::try_from(pause_ms.unwrap_or_default()).unwrap_or_default();
        Ok(Self {
            status: row.try_get("", "status")?,
            decided_by: row.try_get("", "decided_by")?,
            channel: row.try_get("", "channel")?,
            subject: row.try_get("", "subject")?,
            body: row.try_get("", "body")?,
            message_id: row.try_get("", "message_id")?,
            reply_handle: row.try_get("", "reply_handle")?,
            from: sender.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
            answered: row.try_get("", "answered")?,
            is_deleted: flag(row, "is_deleted")?,
            is_edited: edited_at.is_some_and(|at| at > drafted_at),
            has_answerable_tag: tag
                .is_none_or(|it| Sentiment::parse(&it).is_some_and(Sentiment::gets_draft)),
            has_later: flag(row, "has_later")?,
            answered_from: Timestamp::from_millis(sent_at.min(stored_at)),
            now: Timestamp::from_millis(row.try_get("", "now")?),
            campaign: row.try_get("", "campaign")?,
            delivery_id: row.try_get("", "delivery_id")?,
            delivery: delivery.as_deref().map(DeliveryStatus::stored),
            marked_run: row.try_get::<Option<i32>>("", "marked_run")?.map(i64::from),
            job_id: row.try_get("", "job_id")?,
            account_pause: Duration::from_millis(pause_ms),
        })
    }

    /// True if an earlier try of this very run has marked it.
    fn is_marked_by(&self, run: RunOfJob) -> bool {
        self.delivery == Some(DeliveryStatus::Sending)
            && (self.job_id, self.marked_run) == (Some(run.job_id), Some(run.run))
    }

    /// `others` are the barriers of other leads with the writer's address.
    fn case(
        &self,
        db: &Database,
        lead: &Lead,
        others: Barriers,
        rules: &dyn SendRules,
        run: RunOfJob,
    ) -> SendCase {
        let is_marked = self.delivery == Some(DeliveryStatus::Sending) && self.marked_run.is_some();
        // A mark of another run is settled before this run can be claimed. If there is one all the
        // same, nobody knows what became of its call.
        let delivery = match is_marked && !self.is_marked_by(run) {
            true => Some(DeliveryStatus::Uncertain),
            false => self.delivery,
        };
        let medium = db.channels().medium_of(&self.channel);
        let barriers = lead.standing.barriers.and(others);
        SendCase {
            is_enabled: rules.is_enabled(),
            has_settings: rules.has_settings(&self.channel),
            is_by_person: self.decided_by.as_deref() != Some(BY_RULE),
            is_automatic_allowed: rules
                .is_automatic_allowed(&self.channel, self.campaign.as_deref()),
            opens_in: rules.opens_in(lead.profile.timezone.as_deref(), self.now),
            is_approved: self.status == "approved" || self.is_marked_by(run),
            delivery,
            message: AnsweredMessage {
                is_newest: lead.is_newest(self.message_id),
                has_later: self.has_later,
                is_answered: lead.last_outbound_at.is_some_and(|at| at > self.answered_from),
                is_deleted: self.is_deleted,
                is_edited: self.is_edited,
                has_answerable_tag: self.has_answerable_tag,
                has_handle: self.reply_handle.is_some(),
                reaches_others: reaches_others(self.reply_handle.as_deref()),
            },
            barrier: medium.and_then(|medium| barriers.on(medium)),
            is_snoozed: lead.snoozed_until.is_some_and(|until| until > self.now),
            account_pause: self.account_pause,
        }
    }
}
