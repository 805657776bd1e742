//! Counts for the overview. Pending and running jobs are counted in their tables; ended jobs were
//! counted when they ended.

use super::{
    backlog::{Backlog, count_jobs},
    ledger_check::LedgerBalance,
};
use crate::domain::{Timestamp, sending::AccountState};
use crate::store::{
    engine::{Database, StoreError, sessions::Sessions, sql::sql, tx::read},
    fleet::nodes::Node,
};
use sea_orm::QueryResult;

sql! {
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

/// Reads all counts. `nodes` are passed through.
pub(super) async fn totals(
    db: &Database,
    reader: &Sessions,
    nodes: Vec<Node>,
) -> Result<Totals, StoreError> {
    let counted = count_jobs(reader).await?;
    let mut totals = Totals {
        accepted: counted.in_state("enqueued"),
        succeeded: counted.in_state("succeeded"),
        failed: counted.in_state("failed"),
        cancelled: counted.in_state("cancelled"),
        backlog: counted.unfinished(),
        quarantined: 0,
        drafts_pending: 0,
        oldest_draft_at: None,
        deliveries_uncertain: 0,
        accounts: Vec::new(),
        nodes,
    };
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
