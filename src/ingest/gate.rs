//! The bound of ingest: so many webhooks and so many bytes are in the building, and no more.
//!
//! A mailbox is no bound, because its capacity grows with every clone of the address. So a permit is taken
//! before a webhook is sent to its actor and held until it is answered; where there is none, the answer is
//! 429 at once.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// The bound, over all channels.
#[derive(Clone, Debug)]
pub struct Gate {
    entries: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    entry_count: usize,
    closed: CancellationToken,
}

/// Room for one webhook; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    _entry: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Gate {
    /// Room for `entries` webhooks of `bytes` altogether.
    pub fn new(entries: usize, bytes: usize) -> Self {
        let most = Semaphore::MAX_PERMITS;
        Self {
            entries: Arc::new(Semaphore::new(entries.min(most))),
            bytes: Arc::new(Semaphore::new(bytes.min(most))),
            entry_count: entries,
            closed: CancellationToken::new(),
        }
    }

    /// Room for a webhook of `size` bytes, or `None` where there is none now.
    pub fn enter(&self, size: usize) -> Option<Permit> {
        let size = u32::try_from(size).ok()?;
        let entry = self.entries.clone().try_acquire_owned().ok()?;
        let bytes = self.bytes.clone().try_acquire_many_owned(size).ok()?;
        Some(Permit { _entry: entry, _bytes: bytes })
    }

    /// How many webhooks are inside.
    pub fn inside(&self) -> usize {
        self.entry_count.saturating_sub(self.entries.available_permits())
    }

    /// Lets nobody in any more, and sends off who still waits: they are to post again.
    pub fn close(&self) {
        self.entries.close();
        self.closed.cancel();
    }

    /// Waits until it is closed.
    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g09_entries_and_bytes_are_bounded_and_come_back() {
        let gate = Gate::new(2, 100);
        let first = gate.enter(60).unwrap();
        assert!(gate.enter(60).is_none(), "no bytes left");
        let second = gate.enter(40).unwrap();
        assert!(gate.enter(0).is_none(), "no entry left");
        assert_eq!(gate.inside(), 2);
        drop(first);
        assert!(gate.enter(60).is_some());
        drop(second);
        assert_eq!(gate.inside(), 0);
        gate.close();
        assert!(gate.enter(1).is_none());
    }
}
