//! Full quarantines: said in the log, once a minute for each client.

use crate::telemetry::sparse::Sparse;
use dashmap::DashMap;
use std::sync::Arc;
use tokio::time::Instant;

/// What was said of each client. Only configured clients get so far.
#[derive(Clone, Debug, Default)]
pub(super) struct FullQuarantines(Arc<DashMap<Arc<str>, Sparse>>);

impl FullQuarantines {
    /// Whether it is to be said now that the quarantine of `client` is full.
    pub(super) fn is_due(&self, client: &Arc<str>, now: Instant) -> bool {
        self.0.entry(client.clone()).or_default().count(now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn it_is_said_once_a_minute_for_each_client() {
        let (full, start) = (FullQuarantines::default(), Instant::now());
        let said = |client: &str, seconds| {
            full.is_due(&Arc::from(client), start + Duration::from_secs(seconds))
        };
        assert!(said("a", 0));
        assert!(!said("a", 1) && !said("a", 59));
        assert!(said("b", 59));
        assert!(said("a", 60) && !said("a", 61));
    }
}
