//! Full quarantines: said in the log, once a minute for each client.

use dashmap::DashMap;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// The least time between two warnings about one client.
const PAUSE: Duration = Duration::from_secs(60);

/// When it was last said of which client. Only configured clients get so far.
#[derive(Clone, Debug, Default)]
pub(super) struct FullQuarantines(Arc<DashMap<Arc<str>, Instant>>);

impl FullQuarantines {
    /// Whether it is to be said now that the quarantine of `client` is full.
    pub(super) fn is_due(&self, client: &Arc<str>, now: Instant) -> bool {
        let mut said = self.0.entry(client.clone()).or_insert(now);
        let is_first = *said.value() == now;
        let is_due = is_first || now.duration_since(*said.value()) >= PAUSE;
        if is_due {
            *said.value_mut() = now;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
