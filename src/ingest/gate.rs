//! The bound of ingest: how many webhooks and bytes may be inside at once, and each client's share.
//!
//! A mailbox is no bound, because its capacity grows with every clone of the address. So a webhook
//! takes a permit before it is interpreted, and keeps it until it is answered. If there is none,
//! the answer is 429 at once.
//!
//! A client may use up to four times what remains free (a dynamic threshold). Alone, that is four
//! fifths of the gate; the share shrinks as others enter. So one client never shuts out another,
//! however much it posts, and a burst of one client alone can use most of the gate.

use crate::config::IngestConfig;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio_util::sync::CancellationToken;

/// A client may have this many webhooks inside if there is room for them, even if that exceeds its
/// share.
const ALWAYS: usize = 2;
/// A client may use up to this many times what remains free.
const TIMES_FREE: usize = 4;

/// The bound, over all channels. A clone is the same gate. How much may be inside is read from the
/// configuration for each webhook: a gate that has become smaller lets nothing in until enough has
/// left.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    room: Arc<Mutex<Room>>,
    /// Cancelled when the gate is closed.
    closed: CancellationToken,
}

/// Room for one webhook. It is given back when this is dropped.
#[derive(Debug)]
pub struct Permit {
    room: Arc<Mutex<Room>>,
    client: Arc<str>,
    /// The bytes of the webhook.
    size: usize,
}

/// What is inside, and what each client uses of it.
#[derive(Debug, Default)]
struct Room {
    inside: Share,
    /// By client; a client without a webhook inside has no entry.
    used: HashMap<Arc<str>, Share>,
    is_closed: bool,
}

/// A part of the room: webhooks, and their bytes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Share {
    entries: usize,
    bytes: usize,
}

impl Share {
    /// What is left of this without `used`.
    fn without(self, used: Self) -> Self {
        Self {
            entries: self.entries.saturating_sub(used.entries),
            bytes: self.bytes.saturating_sub(used.bytes),
        }
    }
}

impl Room {
    fn used_by(&self, client: &str) -> Share {
        self.used.get(client).copied().unwrap_or_default()
    }

    /// True if a webhook of `size` bytes fits within `most`, and leaves enough to other clients.
    fn has_room(&self, client: &str, size: usize, most: Share) -> bool {
        let (used, free) = (self.used_by(client), most.without(self.inside));
        let bytes = self.inside.bytes.saturating_add(size);
        let fits = free.entries > 0 && bytes <= most.bytes;
        if !fits || self.is_closed {
            return false;
        }
        let entries_max = (TIMES_FREE * (free.entries - 1)).max(ALWAYS);
        let bytes_max = (free.bytes - size).saturating_mul(TIMES_FREE);
        let is_fair = used.entries < entries_max && used.bytes + size <= bytes_max;
        used.entries == 0 || is_fair
    }

    /// Takes room. Gives the client's name as it is kept here, or `None` if there is no room.
    fn enter(&mut self, client: &str, size: usize, most: Share) -> Option<Arc<str>> {
        if !self.has_room(client, size, most) {
            return None;
        }
        let name = self.used.get_key_value(client).map(|(name, _)| name.clone());
        let name = name.unwrap_or_else(|| client.into());
        let used = self.used.entry(name.clone()).or_default();
        used.entries += 1;
        used.bytes += size;
        self.inside.entries += 1;
        self.inside.bytes += size;
        Some(name)
    }

    /// Gives back the room of a webhook of `client`.
    fn leave(&mut self, client: &str, size: usize) {
        let Some(used) = self.used.get_mut(client) else { return };
        used.entries -= 1;
        used.bytes -= size;
        if used.entries == 0 {
            self.used.remove(client);
        }
        self.inside.entries -= 1;
        self.inside.bytes -= size;
    }
}

impl Gate {
    /// Takes room for a webhook of `client` that has `size` bytes, within the bounds of `cfg`;
    /// `None` if there is none for it now.
    pub fn enter(&self, client: &str, size: usize, cfg: &IngestConfig) -> Option<Permit> {
        let bytes = usize::try_from(cfg.queue_bytes).unwrap_or(usize::MAX);
        self.enter_within(client, size, Share { entries: cfg.queue, bytes })
    }

    fn enter_within(&self, client: &str, size: usize, most: Share) -> Option<Permit> {
        let client = lock(&self.room).enter(client, size, most)?;
        Some(Permit { room: self.room.clone(), client, size })
    }

    /// The number of webhooks inside.
    pub fn inside(&self) -> usize {
        lock(&self.room).inside.entries
    }

    /// How many bytes the webhooks inside have together.
    pub fn bytes_inside(&self) -> usize {
        lock(&self.room).inside.bytes
    }

    /// Lets nothing in any more, and ends the waiting of the senders inside: they are to post
    /// again.
    pub fn close(&self) {
        lock(&self.room).is_closed = true;
        self.closed.cancel();
    }

    /// Waits until the gate is closed.
    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }
}

/// Nothing panics while it holds this lock.
fn lock(room: &Mutex<Room>) -> MutexGuard<'_, Room> {
    room.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Permit {
    /// The size of its webhook in bytes.
    pub(super) const fn size(&self) -> usize {
        self.size
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        lock(&self.room).leave(&self.client, self.size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn g09_entries_and_bytes_are_bounded_and_come_back() {
        let (gate, most) = (Gate::default(), Share { entries: 2, bytes: 100 });
        let enter = |client: &str, size| gate.enter_within(client, size, most);
        let first = enter("one", 60).unwrap();
        assert!(enter("two", 60).is_none(), "no bytes left");
        let second = enter("two", 40).unwrap();
        assert!(enter("three", 0).is_none(), "no entry left");
        assert_eq!(gate.inside(), 2);
        drop(first);
        assert!(enter("three", 60).is_some());
        drop(second);
        assert_eq!(gate.inside(), 0);
        gate.close();
        assert!(enter("one", 1).is_none());
    }

    #[test]
    fn the_bounds_are_those_of_the_configuration() {
        let env = [("QUEUE", "1"), ("QUEUE_BYTES", "2MiB"), ("BATCH_BYTES", "2MiB")];
        let env = env.map(|(key, value)| (format!("POSTROOM__INGEST__{key}"), value.to_owned()));
        let sources = crate::config::Sources { env: env.to_vec(), ..Default::default() };
        let mut cfg = crate::config::Config::load(&sources).unwrap().ingest;
        let gate = Gate::default();
        assert!(gate.enter("one", (2 << 20) + 1, &cfg).is_none(), "too many bytes");
        let _inside = gate.enter("one", 2 << 20, &cfg).unwrap();
        (cfg.queue, cfg.queue_bytes) = (2, 3 << 20);
        assert!(gate.enter("two", 1 << 20, &cfg).is_some(), "it has grown");
        cfg.queue = 1;
        assert!(gate.enter("two", 1, &cfg).is_none(), "it has shrunk");
    }

    /// Lets in webhooks of that size until there is no room; their number.
    fn taken(
        gate: &Gate,
        most: Share,
        (client, size): (&str, usize),
        inside: &mut Vec<Permit>,
    ) -> usize {
        let before = inside.len();
        inside.extend(std::iter::from_fn(|| gate.enter_within(client, size, most)));
        inside.len() - before
    }

    #[test]
    fn a_client_gets_four_fifths_of_what_is_free() {
        for (entries, shares) in [
            (8, [6, 2, 0, 0]),
            (64, [51, 10, 2, 1]),
            (4_096, [3_276, 656, 131, 26]),
            (1, [1, 0, 0, 0]),
            (2, [2, 0, 0, 0]),
            (3, [2, 1, 0, 0]),
        ] {
            let (gate, mut inside) = (Gate::default(), Vec::new());
            let most = Share { entries, bytes: 1 << 20 };
            let got =
                ["a", "b", "c", "d"].map(|client| taken(&gate, most, (client, 0), &mut inside));
            assert_eq!(got, shares, "{entries} entries");
        }
        for (bytes, shares) in [(1_000, [8, 1, 1, 0]), (100, [1, 0, 0, 0])] {
            let (gate, mut inside) = (Gate::default(), Vec::new());
            let most = Share { entries: 1_000, bytes };
            let got =
                ["a", "b", "c", "d"].map(|client| taken(&gate, most, (client, 100), &mut inside));
            assert_eq!(got, shares, "{bytes} bytes");
        }
    }

    proptest! {
        /// Whatever comes and goes: the bounds hold, what is taken is what is used, and all of it
        /// comes back. A client that uses nothing is let in if its webhook fits, unless several
        /// others have filled the room together; one alone never can.
        #[test]
        fn one_client_never_shuts_another_out(
            entries in 4_usize..40,
            steps in proptest::collection::vec((0_usize..5, 0_usize..60, any::<bool>()), 0..300),
        ) {
            let (gate, most) = (Gate::default(), Share { entries, bytes: 1_000 });
            let mut inside: Vec<(usize, usize, Permit)> = Vec::new();
            for (client, size, leaves) in steps {
                if leaves && !inside.is_empty() {
                    inside.swap_remove(size % inside.len());
                    continue;
                }
                let name = client.to_string();
                let permit = gate.enter_within(&name, size, most);
                let used: usize = inside.iter().map(|it| it.1).sum();
                let fits = inside.len() < entries && used + size <= most.bytes;
                prop_assert!(permit.is_none() || fits);
                let others = inside.iter().filter(|other| other.0 != client);
                let other_clients: std::collections::HashSet<usize> = others.map(|it| it.0).collect();
                let uses_nothing = inside.iter().all(|other| other.0 != client);
                if uses_nothing && other_clients.len() <= 1 {
                    prop_assert!(permit.is_some(), "shut out by {:?}", other_clients);
                }
                inside.extend(permit.map(|permit| (client, size, permit)));
                prop_assert_eq!(gate.inside(), inside.len());
            }
            inside.clear();
            prop_assert_eq!(lock(&gate.room).inside, Share::default());
            prop_assert!(lock(&gate.room).used.is_empty());
        }

        /// While the bounds change at random: nothing enters beyond those of its moment, what is
        /// inside stays, and a client that is alone is let in as soon as its webhook fits.
        #[test]
        fn a_gate_grows_and_shrinks_while_webhooks_are_inside(
            steps in proptest::collection::vec(
                (0_usize..3, 0_usize..60, any::<bool>(), 1_usize..20, 1_usize..400),
                0..300,
            ),
        ) {
            let gate = Gate::default();
            let mut inside: Vec<(usize, Permit)> = Vec::new();
            for (client, size, leaves, entries, bytes) in steps {
                if leaves && !inside.is_empty() {
                    inside.swap_remove(size % inside.len());
                    continue;
                }
                let used: usize = inside.iter().map(|it| it.0).sum();
                let fits = inside.len() < entries && used + size <= bytes;
                let permit = gate.enter_within(&client.to_string(), size, Share { entries, bytes });
                prop_assert!(permit.is_none() || fits);
                prop_assert!(permit.is_some() || !fits || !inside.is_empty());
                inside.extend(permit.map(|permit| (size, permit)));
                prop_assert_eq!(gate.inside(), inside.len());
            }
            inside.clear();
            prop_assert_eq!(lock(&gate.room).inside, Share::default());
        }
    }
}
