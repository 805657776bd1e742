//! The balance of the job ledger: each accepted job has ended, waits or runs.

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
