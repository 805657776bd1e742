//! The stored facts from which it follows why a job does not run, or why a lead is not answered.
//! Each explanation reads in one snapshot.

use super::{
    job_views::{JobRow, Whereabouts},
    jobs::READ_JOBS,
};
use crate::domain::{
    ChannelDirectory, Id, Sentiment, Timestamp,
    explain::{
        AccountPause, BEFORE_MAX, ClientCap, DeliveryFacts, ExplainedDraft, JobPlace, LastRun,
        MessageFacts, StoredJob, StoredSend,
    },
    job::{AUTO_SEND_DELAYED, DELIVER_REPLY},
    lead::Barriers,
    sending::{BY_RULE, DeliveryStatus},
};
use crate::store::{
    engine::{
        StoreError,
        sessions::Sessions,
        snapshot::{Snapshot, in_snapshot},
        sql::sql,
        tx::{flag, group},
    },
    tables::suspects::is_suspect,
};
use sea_orm::QueryResult;
use std::collections::HashMap;

sql! {
    /// The time of the snapshot.
    static READ_NOW = "select @ms(@now) as now_ms";

    /// The head of a line. By primary key.
    static READ_HEAD =
        "select job_id, turn, held, @ms(run_at) as run_at, node, @ms(locked_at) as locked_at from job_ready where line = $1";

    /// The last run of a job. By primary key.
    static READ_LAST_RUN =
        "select run, spared, outcome, error, @ms(finished_at) as finished_at from job_attempts \
         where job_id = $1 order by run desc limit 1";

    /// How many jobs stand between the head and a job, and how many behind the head; of each at
    /// most `$2`. By the unique key and the primary key.
    static READ_PLACE_IN_LINE =
        "select (select count(*) from (select 1 as one from job_blocked x where x.line = b.line and x.pos < b.pos limit $2) y) as ahead, \
           (select count(*) from (select 1 as one from job_blocked x where x.line = b.line limit $2) y) as behind \
         from job_blocked b where b.job_id = $1";

    /// The cap of a client. By primary key.
    static READ_CAP = "select cap, admitted, held from job_caps where client_id = $1";

    /// For each kind of a client its first admitted head, among the first `$2` in turn; one that is
    /// claimed comes before those that wait. By the primary key of `job_clients` and
    /// `job_ready_turn`.
    static READ_ADMITTED =
        "select (select y.job_id from (select x.job_id, x.client_id, x.node, x.turn from job_ready x \
           where x.kind = c.kind and x.turn is not null order by x.turn, x.client_id limit $2) y where y.client_id = $1 \
           order by case when y.node is null then 1 else 0 end, y.turn limit 1) as job_id \
         from job_clients c where c.client_id = $1 order by c.kind";

    /// The suspects that run, at most 20: for each kind, the heads up to V that are claimed. By
    /// `job_ready_turn`.
    static READ_RUNNING_SUSPECTS = concat!(
        "select r.job_id, r.node from (select kind, max(turn) as turn from job_clock group by kind) v cross join job_ready r \
         where r.line @each(select x.line from job_ready x \
           where x.kind = v.kind and x.turn <= v.turn and x.turn is not null and x.node is not null) and ",
        is_suspect!(),
        " limit 20"
    );

    /// How many heads of a kind wait with smaller turns than one, at most `$4`. By
    /// `job_ready_turn`.
    static COUNT_TURNS_BEFORE =
        "select count(*) as smaller from (select 1 as one from job_ready r where r.kind = $1 and r.turn is not null \
           and (r.turn < $2 or (r.turn = $2 and r.client_id < $3)) and r.node is null limit $4) y";

    /// All nodes, with what they say of themselves. Reads the small table as a whole.
    static READ_NODES_EXPLAINED =
        "select id, role, @ms(seen_at) as seen_at, @ms(@now) - @ms(seen_at) as silent_ms, clients, status from nodes order by id";

    /// A lead, as far as it decides whether it is answered. By primary key.
    static READ_LEAD_STATE =
        "select id, client_id, merged_into, case when opted_out_at is null then 0 else 1 end as opted_out, \
           case when bounced_at is null then 0 else 1 end as bounced, case when sms_dnd then 1 else 0 end as sms_dnd, \
           newest_inbound_id, @ms(last_inbound_at) as last_inbound_at, @ms(last_outbound_at) as last_outbound_at \
         from leads where id = $1";

    /// The newest inbound messages of a lead after its newest outbound one, at most `$3`, among its
    /// newest `$2`. By `messages_of_lead`.
    static READ_UNANSWERED =
        "select m.id, m.channel, @ms(m.sent_at) as sent_at, @ms(m.created_at) as created_at, @ms(m.handled_at) as handled_at, \
           m.sentiment, case when m.automated then 1 else 0 end as automated, case when m.deleted_at is null then 0 else 1 end as deleted, \
           case when m.has_new_text and length(trim(substr(m.body, 1, 1000))) > 0 then 1 else 0 end as has_text \
         from messages m join leads l on l.id = m.lead_id \
         where m.id @each(select x.id from messages x where x.lead_id = $1 order by x.id desc limit $2) \
           and m.direction = 'inbound' and (l.last_outbound_at is null or m.sent_at > l.last_outbound_at) \
         order by m.sent_at desc, m.id desc limit $3";

    /// The newest drafts of a lead, without their texts, with their deliveries and accounts. By
    /// `drafts_of_lead`, `deliveries_of_draft` and the primary key.
    static READ_DRAFT_STATES =
        "select d.id, d.message_id, d.status, d.channel, @ms(d.created_at) as created_at, @ms(d.decided_at) as decided_at, d.decided_by, \
           d.gate_decision, d.gate_reason, @ms(d.send_at) as send_at, d.blocked_by, d.note, \
           x.id as delivery_id, x.status as delivery_status, x.error as delivery_error, \
           a.state as account_state, a.reason as account_reason, @ms(a.paused_until) as paused_until \
         from drafts d left join deliveries x on x.draft_id = d.id \
           left join send_accounts a on a.client_id = d.client_id and a.channel = d.channel \
         where d.lead_id = $1 order by d.id desc limit $2";

    /// What may keep a draft from being sent. By primary keys.
    static READ_SEND_OBSTACLES =
        "select d.channel, d.status, d.decided_by, @ms(l.snoozed_until) as snoozed_until, \
           a.state as account_state, a.reason as account_reason, @ms(a.paused_until) as paused_until \
         from drafts d join leads l on l.id = d.lead_id \
           left join send_accounts a on a.client_id = d.client_id and a.channel = d.channel where d.id = $1";

    /// The jobs about these messages and drafts. By the unique key.
    static READ_JOBS_OF_MESSAGES =
        "select j.id, j.subject_id, j.kind, case when j.in_lead_line then 1 else 0 end as in_lead_line from jobs j \
         where j.subject_id @ids($1) order by j.id";
}

/// The most unanswered messages of a lead that are explained.
const MESSAGES_MAX: usize = 10;
/// How many of a lead's newest messages and drafts are read for that.
const NEWEST: i64 = 500;

/// A job, the head of its line if it waits behind one, and the nodes.
#[derive(Clone, Debug)]
pub struct JobCase {
    /// The job.
    pub job: StoredJob,
    /// The head of its line, if that is another job.
    pub head: Option<StoredJob>,
    /// All nodes with a row.
    pub nodes: Vec<StoredNode>,
}

/// A node, with what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredNode {
    /// Its id.
    pub id: Id,
    /// True if its role lets it work jobs.
    pub works: bool,
    /// Its last heartbeat.
    pub seen_at: Timestamp,
    /// How far that is from the time of the snapshot, in milliseconds, in either direction.
    pub silent_ms: i64,
    /// The clients in its configuration; `None` if it does not say.
    pub clients: Option<Vec<String>>,
    /// What it says of itself, as a JSON object; `None` if it does not.
    pub status: Option<String>,
}

/// A lead with its unanswered messages, and the nodes.
#[derive(Clone, Debug)]
pub struct LeadCase {
    /// The time of the snapshot.
    pub now: Timestamp,
    /// The lead.
    pub id: Id,
    /// Its client.
    pub client_id: String,
    /// The lead that it was merged into, if it was.
    pub merged_into: Option<Id>,
    /// What keeps messages from it.
    pub barriers: Barriers,
    /// When its newest message came in.
    pub last_inbound_at: Option<Timestamp>,
    /// When its newest message went out.
    pub last_outbound_at: Option<Timestamp>,
    /// The inbound messages after that, oldest first.
    pub messages: Vec<MessageFacts<StoredJob>>,
    /// True if there are older ones.
    pub has_more: bool,
    /// All nodes with a row.
    pub nodes: Vec<StoredNode>,
}

/// Reads the facts of a job. `None` if there is no such job.
pub(super) async fn job(sessions: &Sessions, id: Id) -> Result<Option<JobCase>, StoreError> {
    in_snapshot(sessions, async |snapshot: Snapshot| {
        let now = now(&snapshot).await?;
        let Some(mut job) = stored_job(&snapshot, id, now).await? else { return Ok(None) };
        let head = if let JobPlace::Behind { head: Some(head), .. } = job.place {
            stored_job(&snapshot, head, now).await?
        } else {
            None
        };
        let nodes = nodes(&snapshot).await?;
        // Last, because a snapshot can read no more after a statement that took too long.
        job.before = before(&snapshot, &job).await;
        Ok(Some(JobCase { job, head, nodes }))
    })
    .await
}

/// Reads the facts of a lead. `None` if there is no such lead.
pub(super) async fn lead(
    sessions: &Sessions,
    channels: &ChannelDirectory,
    id: Id,
) -> Result<Option<LeadCase>, StoreError> {
    in_snapshot(sessions, async |snapshot: Snapshot| {
        let now = now(&snapshot).await?;
        let rows = snapshot.all(&READ_LEAD_STATE, [id.into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let newest_inbound_id: Option<Id> = row.try_get("", "newest_inbound_id")?;
        let (messages, has_more) =
            unanswered(&snapshot, channels, id, newest_inbound_id, now).await?;
        Ok(Some(LeadCase {
            now,
            id,
            client_id: row.try_get("", "client_id")?,
            merged_into: row.try_get("", "merged_into")?,
            barriers: Barriers {
                opted_out: flag(row, "opted_out")?,
                bounced: flag(row, "bounced")?,
                sms_dnd: flag(row, "sms_dnd")?,
            },
            last_inbound_at: instant(row, "last_inbound_at")?,
            last_outbound_at: instant(row, "last_outbound_at")?,
            messages,
            has_more,
            nodes: nodes(&snapshot).await?,
        }))
    })
    .await
}

fn instant(row: &QueryResult, column: &str) -> Result<Option<Timestamp>, StoreError> {
    Ok(row.try_get::<Option<i64>>("", column)?.map(Timestamp::from_millis))
}

async fn now(snapshot: &Snapshot) -> Result<Timestamp, StoreError> {
    let rows = snapshot.all(&READ_NOW, []).await?;
    let ms = rows.first().map(|row| row.try_get("", "now_ms")).transpose()?;
    Ok(Timestamp::from_millis(ms.unwrap_or_default()))
}

/// A job with its place, and the admitted jobs of its client if that is at its cap and this job is
/// kept out of turn. How many turns come before it is not read.
async fn stored_job(
    snapshot: &Snapshot,
    id: Id,
    now: Timestamp,
) -> Result<Option<StoredJob>, StoreError> {
    let Some(mut job) = job_alone(snapshot, id, now).await? else { return Ok(None) };
    let is_full = job.cap.is_some_and(|it| it.cap > 0 && it.admitted >= it.cap);
    if is_full && matches!(job.place, JobPlace::Held | JobPlace::Waits) {
        let values = [job.client_id.as_str().into(), BEFORE_MAX.into()];
        for row in snapshot.all(&READ_ADMITTED, values).await? {
            if let Some(id) = row.try_get::<Option<Id>>("", "job_id")? {
                job.admitted.extend(job_alone(snapshot, id, now).await?);
            }
        }
    }
    Ok(Some(job))
}

/// A job with its place.
async fn job_alone(
    snapshot: &Snapshot,
    id: Id,
    now: Timestamp,
) -> Result<Option<StoredJob>, StoreError> {
    // 1. The job, and the table that has its row.
    let rows = snapshot.all(&READ_JOBS, [group(&[id])?]).await?;
    let Some(row) = rows.first().map(JobRow::from_row).transpose()? else { return Ok(None) };
    let line = row.line.unwrap_or(-id);
    let (place, turn) = match row.at {
        Whereabouts::Ended => {
            let at = row.view.finished_at.unwrap_or(row.view.created_at);
            (JobPlace::Ended { status: row.view.status, at }, None)
        }
        Whereabouts::Later => (JobPlace::Later, None),
        Whereabouts::Blocked => (place_in_line(snapshot, id, line).await?, None),
        Whereabouts::Head => place_of_head(snapshot, line).await?,
    };
    // 2. How its last run ended.
    let runs = snapshot.all(&READ_LAST_RUN, [id.into()]).await?;
    let last_run = runs.first().map(last_run).transpose()?;
    // 3. The cap of its client, and the suspects that it waits for.
    let caps = snapshot.all(&READ_CAP, [row.view.client_id.as_str().into()]).await?;
    let cap = caps.first().map(client_cap).transpose()?;
    let is_suspect = last_run.as_ref().is_some_and(|run| run.outcome == "rescued");
    let suspects = if is_suspect && matches!(place, JobPlace::Waits) {
        running_suspects(snapshot).await?
    } else {
        Vec::new()
    };
    // 4. What keeps its draft from being sent.
    let send = match row.view.draft_id.filter(|_| !matches!(place, JobPlace::Ended { .. })) {
        Some(draft_id) => stored_send(snapshot, draft_id).await?,
        None => None,
    };
    let ended_at = last_run.as_ref().map(|run| run.finished_at);
    let due_at = if matches!(place, JobPlace::InTurn) {
        // A retry was due at some time after its last run.
        ended_at.unwrap_or_default().max(row.view.run_at)
    } else {
        row.view.run_at
    };
    Ok(Some(StoredJob {
        now,
        id,
        kind: row.view.kind,
        client_id: row.view.client_id,
        lead_id: row.merged_into.or(row.view.lead_id),
        run: row.run,
        attempts: row.view.attempts,
        max_attempts: row.view.max_attempts,
        created_at: row.view.created_at,
        due_at,
        place,
        turn,
        last_run,
        cap,
        admitted: Vec::new(),
        suspects,
        send,
        before: None,
    }))
}

async fn stored_send(snapshot: &Snapshot, draft_id: Id) -> Result<Option<StoredSend>, StoreError> {
    let rows = snapshot.all(&READ_SEND_OBSTACLES, [draft_id.into()]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let status: String = row.try_get("", "status")?;
    let decided_by: Option<String> = row.try_get("", "decided_by")?;
    Ok(Some(StoredSend {
        channel: row.try_get("", "channel")?,
        is_by_person: status != "pending" && decided_by.as_deref() != Some(BY_RULE),
        snoozed_until: instant(row, "snoozed_until")?,
        pause: account_pause(row)?,
    }))
}

/// The account of a draft, if something was wrong with it lately.
fn account_pause(row: &QueryResult) -> Result<Option<AccountPause>, StoreError> {
    let Some(until) = instant(row, "paused_until")? else { return Ok(None) };
    Ok(Some(AccountPause {
        channel: row.try_get("", "channel")?,
        state: row.try_get("", "account_state")?,
        reason: row.try_get("", "account_reason")?,
        until,
    }))
}

/// The place of a job that waits behind a head.
async fn place_in_line(snapshot: &Snapshot, id: Id, line: Id) -> Result<JobPlace, StoreError> {
    let most = (BEFORE_MAX + 1).into();
    let rows = snapshot.all(&READ_PLACE_IN_LINE, [id.into(), most]).await?;
    let (ahead, behind): (i64, i64) = match rows.first() {
        Some(row) => (row.try_get("", "ahead")?, row.try_get("", "behind")?),
        None => (0, 0),
    };
    let heads = snapshot.all(&READ_HEAD, [line.into()]).await?;
    let head = heads.first().map(|row| row.try_get("", "job_id")).transpose()?;
    Ok(JobPlace::Behind { head, number: ahead + 2, of: behind + 1 })
}

/// The place of a head, and its turn if it is in turn.
async fn place_of_head(
    snapshot: &Snapshot,
    line: Id,
) -> Result<(JobPlace, Option<i64>), StoreError> {
    let rows = snapshot.all(&READ_HEAD, [line.into()]).await?;
    let Some(row) = rows.first() else {
        return Err(StoreError::Broken("a head is missing from its own snapshot".to_owned()));
    };
    let turn: Option<i64> = row.try_get("", "turn")?;
    if let Some(node) = row.try_get::<Option<Id>>("", "node")? {
        let at = instant(row, "locked_at")?.unwrap_or_default();
        return Ok((JobPlace::Claimed { node, at }, None));
    }
    Ok(match (turn, row.try_get::<Option<i64>>("", "held")?) {
        (Some(_), _) => (JobPlace::InTurn, turn),
        (None, Some(_)) => (JobPlace::Held, None),
        (None, None) => (JobPlace::Waits, None),
    })
}

fn last_run(row: &QueryResult) -> Result<LastRun, StoreError> {
    let run = i64::from(row.try_get::<i32>("", "run")?);
    let spared = i64::from(row.try_get::<i32>("", "spared")?);
    Ok(LastRun {
        run,
        attempt: run - spared,
        outcome: row.try_get("", "outcome")?,
        error: row.try_get("", "error")?,
        finished_at: instant(row, "finished_at")?.unwrap_or_default(),
    })
}

fn client_cap(row: &QueryResult) -> Result<ClientCap, StoreError> {
    Ok(ClientCap {
        cap: row.try_get("", "cap")?,
        admitted: row.try_get("", "admitted")?,
        held: row.try_get("", "held")?,
    })
}

async fn running_suspects(snapshot: &Snapshot) -> Result<Vec<(Id, Id)>, StoreError> {
    let rows = snapshot.all(&READ_RUNNING_SUSPECTS, []).await?;
    rows.iter().map(|row| Ok((row.try_get("", "job_id")?, row.try_get("", "node")?))).collect()
}

/// How many heads have smaller turns. `None` if the job is not in turn, or if counting failed: the
/// rest of the explanation holds without it.
async fn before(snapshot: &Snapshot, job: &StoredJob) -> Option<i64> {
    let values = [
        job.kind.as_str().into(),
        job.turn?.into(),
        job.client_id.as_str().into(),
        (BEFORE_MAX + 1).into(),
    ];
    let rows = snapshot.all(&COUNT_TURNS_BEFORE, values).await;
    rows.ok()?.first()?.try_get("", "smaller").ok()
}

async fn nodes(snapshot: &Snapshot) -> Result<Vec<StoredNode>, StoreError> {
    let rows = snapshot.all(&READ_NODES_EXPLAINED, []).await?;
    rows.iter().map(stored_node).collect()
}

fn stored_node(row: &QueryResult) -> Result<StoredNode, StoreError> {
    let clients: Option<String> = row.try_get("", "clients")?;
    Ok(StoredNode {
        id: row.try_get("", "id")?,
        works: row.try_get::<String>("", "role")? != "ingest",
        seen_at: instant(row, "seen_at")?.unwrap_or_default(),
        silent_ms: row.try_get::<i64>("", "silent_ms")?.saturating_abs(),
        clients: clients.and_then(|list| serde_json::from_str(&list).ok()),
        status: row.try_get("", "status")?,
    })
}

/// The newest unanswered messages of a lead, oldest first. True if there are more.
async fn unanswered(
    snapshot: &Snapshot,
    channels: &ChannelDirectory,
    lead_id: Id,
    newest_inbound_id: Option<Id>,
    now: Timestamp,
) -> Result<(Vec<MessageFacts<StoredJob>>, bool), StoreError> {
    // 1. The messages.
    let most = i64::try_from(MESSAGES_MAX + 1).unwrap_or(i64::MAX);
    let values = [lead_id.into(), NEWEST.into(), most.into()];
    let mut rows = snapshot.all(&READ_UNANSWERED, values).await?;
    let has_more = rows.len() > MESSAGES_MAX;
    rows.truncate(MESSAGES_MAX);
    rows.reverse();
    let mut ids: Vec<Id> = Vec::with_capacity(rows.len());
    for row in &rows {
        ids.push(row.try_get("", "id")?);
    }
    if ids.is_empty() {
        return Ok((Vec::new(), false));
    }
    // 2. Their newest drafts, and the jobs about both.
    let mut drafts: HashMap<Id, ExplainedDraft> = HashMap::new();
    for row in snapshot.all(&READ_DRAFT_STATES, [lead_id.into(), NEWEST.into()]).await? {
        let message_id: Id = row.try_get("", "message_id")?;
        drafts.entry(message_id).or_insert(draft(&row)?);
    }
    let mut subjects = ids.clone();
    subjects.extend(ids.iter().filter_map(|id| Some(drafts.get(id)?.id)));
    let mut jobs: HashMap<Id, Id> = HashMap::new();
    for row in snapshot.all(&READ_JOBS_OF_MESSAGES, [group(&subjects)?]).await? {
        let kind: String = row.try_get("", "kind")?;
        let sends = kind == DELIVER_REPLY.0 || kind == AUTO_SEND_DELAYED.0;
        if sends || flag(&row, "in_lead_line")? || channels.is_post_process(&kind) {
            // The newest one counts.
            jobs.insert(row.try_get("", "subject_id")?, row.try_get("", "id")?);
        }
    }
    // 3. A job explains only a message that it is not done with.
    let mut messages = Vec::with_capacity(rows.len());
    for (row, id) in rows.iter().zip(ids) {
        let handled_at = instant(row, "handled_at")?;
        let job = match jobs.get(&id).filter(|_| handled_at.is_none()) {
            Some(job_id) => stored_job(snapshot, *job_id, now).await?,
            None => None,
        };
        let draft = drafts.remove(&id);
        let send_job = match draft.as_ref().and_then(|draft| jobs.get(&draft.id)) {
            Some(job_id) => stored_job(snapshot, *job_id, now).await?,
            None => None,
        };
        let tag: Option<String> = row.try_get("", "sentiment")?;
        messages.push(MessageFacts {
            id,
            medium: channels.medium_of(&row.try_get::<String>("", "channel")?),
            sent_at: instant(row, "sent_at")?.unwrap_or_default(),
            created_at: instant(row, "created_at")?.unwrap_or_default(),
            handled_at,
            tag: tag.as_deref().and_then(Sentiment::parse),
            is_automated: flag(row, "automated")?,
            has_text: flag(row, "has_text")?,
            is_deleted: flag(row, "deleted")?,
            is_newest: newest_inbound_id == Some(id),
            draft,
            job,
            send_job,
        });
    }
    Ok((messages, has_more))
}

fn draft(row: &QueryResult) -> Result<ExplainedDraft, StoreError> {
    let gate_decision: Option<String> = row.try_get("", "gate_decision")?;
    let gate_reason: Option<String> = row.try_get("", "gate_reason")?;
    let delivery = match row.try_get::<Option<Id>>("", "delivery_id")? {
        Some(id) => {
            let status: String = row.try_get("", "delivery_status")?;
            let status = DeliveryStatus::stored(&status);
            Some(DeliveryFacts { id, status, error: row.try_get("", "delivery_error")? })
        }
        None => None,
    };
    Ok(ExplainedDraft {
        id: row.try_get("", "id")?,
        status: row.try_get("", "status")?,
        created_at: instant(row, "created_at")?.unwrap_or_default(),
        decided_at: instant(row, "decided_at")?,
        decided_by: row.try_get("", "decided_by")?,
        gate: gate_decision.zip(gate_reason),
        send_at: instant(row, "send_at")?,
        blocked_by: row.try_get("", "blocked_by")?,
        note: row.try_get("", "note")?,
        delivery,
        pause: account_pause(row)?,
    })
}
