//! Counts for the overview. Pending and running jobs are counted in their tables; ended jobs were
//! counted when they ended.

use super::ledger_check::LedgerBalance;
use crate::domain::{Id, Timestamp, sending::AccountState};
use crate::store::{
    engine::{Database, StoreError, ids::given_out_at, sessions::Sessions, sql::sql, tx::read},
    fleet::nodes::Node,
};
use sea_orm::QueryResult;

sql! {
    /// Pending and running jobs by kind and client, and since when the one is due that has been due
    /// longest; and without a kind, by state, the jobs that were accepted and that have ended, over
    /// all nodes. Jobs that wait behind another, for their time, their retry or their client's cap
    /// are not due. One statement, so all are of one moment. Reads the small tables as a whole.
    static READ_BACKLOG =
        "select kind, client_id, count(*) as jobs, cast(sum(running) as bigint) as running, @ms(min(due_at)) as due_ms, \
           min(undated_id) as undated_id from ( \
           select kind, client_id, case when node is null then 0 else 1 end as running, \
             case when node is not null then null when turn is not null then due_at when run_at <= @now then run_at end as due_at, \
             case when node is null and turn is not null and due_at is null then job_id end as undated_id from job_ready \
           union all select kind, client_id, 0, null, null from job_blocked \
           union all select kind, client_id, 0, case when run_at <= @now then run_at end, null from job_later) as unfinished \
         group by kind, client_id \
         union all select cast(null as text), state, cast(sum(count) as bigint), 0, cast(null as bigint), cast(null as bigint) \
           from job_counts group by state order by kind, client_id";

    /// What waits for a person: webhooks in quarantine, drafts and since when the first of them,
    /// and sends with an unknown end. By `quarantine_held`, `drafts_pending` and
    /// `deliveries_uncertain`.
    static READ_UNDECIDED =
        "select (select count(*) from quarantine where status = 'held') as quarantined, \
           (select count(*) from drafts where status = 'pending') as drafts_pending, \
           (select @ms(min(created_at)) from drafts where status = 'pending') as draft_since_ms, \
           (select count(*) from deliveries where status = 'uncertain') as deliveries_uncertain";

    /// The accounts that are in trouble. Reads the small table as a whole.
    static READ_ACCOUNTS =
        "select client_id, channel, state, @ms(paused_until) as paused_until, @ms(since) as since, reason \
         from send_accounts order by client_id, channel";
}

/// An account through which answers are sent, and which is in trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TroubledAccount {
    /// The client.
    pub client_id: String,
    /// The channel, as stored.
    pub channel: String,
    /// `disconnected` or `rate_limited`.
    pub state: String,
    /// Nothing is sent through it until then. If that has passed, no send has tried it since.
    pub paused_until: Timestamp,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// What its provider said.
    pub reason: String,
}

impl TroubledAccount {
    fn from_row(row: &QueryResult) -> Result<Self, StoreError> {
        Ok(Self {
            client_id: row.try_get("", "client_id")?,
            channel: row.try_get("", "channel")?,
            state: row.try_get("", "state")?,
            paused_until: Timestamp::from_millis(row.try_get("", "paused_until")?),
            since: Timestamp::from_millis(row.try_get("", "since")?),
            reason: row.try_get("", "reason")?,
        })
    }

    /// True if its provider does not accept its credentials.
    pub fn is_disconnected(&self) -> bool {
        AccountState::parse(&self.state) == Some(AccountState::Disconnected)
    }
}

/// The jobs of a client and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// The kind.
    pub kind: String,
    /// The client.
    pub client_id: String,
    /// Jobs that wait.
    pub pending: i64,
    /// Jobs that run.
    pub running: i64,
    /// Since when the job is due that has been due longest, of those that no node has claimed.
    pub oldest_at: Option<Timestamp>,
}

/// The counts of the overview.
#[derive(Clone, Debug)]
pub struct Totals {
    /// Pending and running jobs, by kind and client.
    pub backlog: Vec<Backlog>,
    /// Jobs that were ever stored. Pruned jobs count, also below.
    pub accepted: i64,
    /// Jobs that succeeded.
    pub succeeded: i64,
    /// Jobs that failed.
    pub failed: i64,
    /// Jobs that were cancelled.
    pub cancelled: i64,
    /// Webhooks that are held in quarantine.
    pub quarantined: i64,
    /// Pending drafts.
    pub drafts_pending: i64,
    /// When the first of them was made.
    pub oldest_draft_at: Option<Timestamp>,
    /// Deliveries of which nobody knows the end.
    pub deliveries_uncertain: i64,
    /// The accounts of the configuration that are in trouble, by client and channel.
    pub accounts: Vec<TroubledAccount>,
    /// All nodes with a row.
    pub nodes: Vec<Node>,
}

impl Totals {
    /// What became of all accepted jobs.
    pub fn balance(&self) -> LedgerBalance {
        let sum = |count: fn(&Backlog) -> i64| self.backlog.iter().map(count).sum();
        LedgerBalance {
            accepted: self.accepted,
            succeeded: self.succeeded,
            failed: self.failed,
            cancelled: self.cancelled,
            pending: sum(|it| it.pending),
            running: sum(|it| it.running),
        }
    }
}

/// Since when the job of a row is due that has been due longest. An earlier version has not stored
/// it: such a job counts from when it was stored.
fn due_since(row: &QueryResult) -> Result<Option<Timestamp>, StoreError> {
    let since_ms: Option<i64> = row.try_get("", "due_ms")?;
    let undated: Option<Id> = row.try_get("", "undated_id")?;
    let since = [since_ms.map(Timestamp::from_millis), undated.map(given_out_at)];
    Ok(since.into_iter().flatten().min())
}

/// Reads all counts. `nodes` are passed through.
pub(super) async fn totals(
    db: &Database,
    reader: &Sessions,
    nodes: Vec<Node>,
) -> Result<Totals, StoreError> {
    let mut totals = Totals {
        backlog: Vec::new(),
        accepted: 0,
        succeeded: 0,
        failed: 0,
        cancelled: 0,
        quarantined: 0,
        drafts_pending: 0,
        oldest_draft_at: None,
        deliveries_uncertain: 0,
        accounts: Vec::new(),
        nodes,
    };
    for row in read(reader, &READ_BACKLOG, []).await? {
        let (jobs, running): (i64, i64) = (row.try_get("", "jobs")?, row.try_get("", "running")?);
        let name: String = row.try_get("", "client_id")?;
        let Some(kind) = row.try_get("", "kind")? else {
            match name.as_str() {
                "enqueued" => totals.accepted = jobs,
                "succeeded" => totals.succeeded = jobs,
                "failed" => totals.failed = jobs,
                "cancelled" => totals.cancelled = jobs,
                _ => {}
            }
            continue;
        };
        totals.backlog.push(Backlog {
            kind,
            client_id: name,
            pending: jobs - running,
            running,
            oldest_at: due_since(&row)?,
        });
    }
    for row in read(reader, &READ_UNDECIDED, []).await? {
        totals.quarantined = row.try_get("", "quarantined")?;
        totals.drafts_pending = row.try_get("", "drafts_pending")?;
        let since_ms: Option<i64> = row.try_get("", "draft_since_ms")?;
        totals.oldest_draft_at = since_ms.map(Timestamp::from_millis);
        totals.deliveries_uncertain = row.try_get("", "deliveries_uncertain")?;
    }
    for row in read(reader, &READ_ACCOUNTS, []).await? {
        let account = TroubledAccount::from_row(&row)?;
        // Nobody mends an account that was taken out of the configuration.
        if db.has_account(&account.client_id, &account.channel) {
            totals.accounts.push(account);
        }
    }
    Ok(totals)
}
