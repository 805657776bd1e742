//! The balance of the job ledger: each accepted job has ended, waits or runs.

use crate::store::engine::{StoreError, sessions::Sessions, sql::sql, tx::read};

sql! {
    /// The counts of accepted and ended jobs, and the number of jobs that have not ended. One
    /// statement, so all are of one moment. Reads the small tables as a whole.
    static READ_BALANCE =
        "select c.accepted, c.succeeded, c.failed, c.cancelled, \
           (select count(*) from job_ready where node is not null) as running, \
           (select count(*) from job_ready where node is null) + (select count(*) from job_blocked) \
             + (select count(*) from job_later) as pending \
         from (select cast(coalesce(sum(case when state = 'enqueued' then count else 0 end), 0) as bigint) as accepted, \
             cast(coalesce(sum(case when state = 'succeeded' then count else 0 end), 0) as bigint) as succeeded, \
             cast(coalesce(sum(case when state = 'failed' then count else 0 end), 0) as bigint) as failed, \
             cast(coalesce(sum(case when state = 'cancelled' then count else 0 end), 0) as bigint) as cancelled \
           from job_counts) c";
}

/// All jobs since the first start, by what became of them. Pruned jobs count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerBalance {
    /// Jobs that were ever stored.
    pub accepted: i64,
    /// Jobs that succeeded.
    pub succeeded: i64,
    /// Jobs that failed.
    pub failed: i64,
    /// Jobs that were cancelled.
    pub cancelled: i64,
    /// Jobs that wait.
    pub pending: i64,
    /// Jobs that run.
    pub running: i64,
}

impl LedgerBalance {
    /// How many accepted jobs are missing; negative if there are jobs that were never accepted. 0
    /// unless the database was changed by hand, or Postroom has a fault.
    pub const fn imbalance(&self) -> i64 {
        let ended = self.succeeded + self.failed + self.cancelled;
        self.accepted - ended - self.pending - self.running
    }
}

/// Reads the balance.
pub(super) async fn balance(reader: &Sessions) -> Result<LedgerBalance, StoreError> {
    let rows = read(reader, &READ_BALANCE, []).await?;
    let Some(row) = rows.first() else { return Ok(LedgerBalance::default()) };
    Ok(LedgerBalance {
        accepted: row.try_get("", "accepted")?,
        succeeded: row.try_get("", "succeeded")?,
        failed: row.try_get("", "failed")?,
        cancelled: row.try_get("", "cancelled")?,
        pending: row.try_get("", "pending")?,
        running: row.try_get("", "running")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_accepted_job_has_ended_or_is_there() {
        let balanced = LedgerBalance {
            accepted: 21,
            succeeded: 6,
            failed: 5,
            cancelled: 4,
            pending: 3,
            running: 3,
        };
        assert_eq!(balanced.imbalance(), 0);
        assert_eq!(LedgerBalance { running: 1, ..balanced }.imbalance(), 2);
        assert_eq!(LedgerBalance { cancelled: 5, ..balanced }.imbalance(), -1);
    }
}
