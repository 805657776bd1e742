//! The open connections by address, and which one ends when there is no room for another.

use super::{
    OpenConnection,
    deadlines::{Deadlines, Overdue},
};
use crate::http::limits::Neighbours;
use std::{collections::HashMap, sync::Arc};

/// How many connections one address may have at once.
pub(super) const OF_ADDRESS_MAX: usize = 256;
/// If an address has as many as it may, a connection of it that has been idle for this long is
/// ended for the new one. If there is none, the new one is refused.
const IDLE_MIN_MS: u64 = 5_000;

/// Why a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Its address has as many as it may.
    Address,
    /// As many are open as may be, and all of them are being answered.
    All,
}

impl Full {
    /// The word in metrics.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::All => "all",
        }
    }
}

/// The connections of one address, by number.
type ByNumber = HashMap<u64, Arc<OpenConnection>>;

/// All connections that have not been told to end.
#[derive(Debug, Default)]
pub(super) struct ConnectionTable {
    /// By the address that they are counted for. Those of trusted proxies, which stand for many
    /// senders, are under `None`.
    by_address: HashMap<Option<Neighbours>, ByNumber>,
    /// Their number, over all addresses.
    count: usize,
}

impl ConnectionTable {
    /// The number of connections.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// All connections that are open.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<OpenConnection>> {
        self.by_address.values().flat_map(HashMap::values)
    }

    /// Registers `connection` if fewer than `most` are open, or if another one can be ended for it.
    ///
    /// # Errors
    /// If it is refused: see [`Full`].
    pub(super) fn enter(
        &mut self,
        connection: &Arc<OpenConnection>,
        most: usize,
        now_ms: u64,
    ) -> Result<(), Full> {
        let of_address = self.by_address.get(&connection.address).map_or(0, HashMap::len);
        if connection.address.is_some() && of_address >= OF_ADDRESS_MAX {
            let leaves = self
                .by_address
                .get(&connection.address)
                .and_then(|of_address| longest_idle(of_address.values()));
            let leaves = leaves.filter(|(since_ms, _)| since_ms + IDLE_MIN_MS <= now_ms);
            let (_, leaves) = leaves.ok_or(Full::Address)?;
            self.end(&leaves);
        } else if self.count >= most {
            let leaves = longest_idle(self.all()).map(|(_, it)| it);
            let leaves = leaves.or_else(|| self.of_the_largest(of_address)).ok_or(Full::All)?;
            self.end(&leaves);
        }
        self.by_address
            .entry(connection.address)
            .or_default()
            .insert(connection.number, connection.clone());
        self.count += 1;
        Ok(())
    }

    /// The connection whose current request has taken longest, among those of the address that has
    /// the most; `None` unless that address has more than `others + 1`.
    fn of_the_largest(&self, others: usize) -> Option<Arc<OpenConnection>> {
        let (_, largest) = self.by_address.iter().max_by_key(|(_, it)| it.len())?;
        let oldest = largest.values().min_by_key(|it| it.clock().since())?;
        (largest.len() > others + 1).then(|| oldest.clone())
    }

    fn end(&mut self, connection: &Arc<OpenConnection>) {
        connection.end(Ending::ForAnother);
        self.leave(connection);
    }

    /// Takes out a connection that has ended, or was told to. It may be out already.
    pub(super) fn leave(&mut self, connection: &OpenConnection) {
        let Some(of_address) = self.by_address.get_mut(&connection.address) else { return };
        if of_address.remove(&connection.number).is_some() {
            self.count -= 1;
        }
        if of_address.is_empty() {
            self.by_address.remove(&connection.address);
        }
    }

    /// Ends all connections that have missed a deadline. Returns the reasons.
    pub(super) fn end_overdue(&mut self, now_ms: u64, deadlines: &Deadlines) -> Vec<Overdue> {
        let overdue = |connection: &Arc<OpenConnection>| {
            Some((connection.clone(), connection.clock().overdue(now_ms, deadlines)?))
        };
        let overdue: Vec<_> = self.all().filter_map(overdue).collect();
        for (connection, why) in &overdue {
            let is_unread = *why == Overdue::Answer;
            connection.end(if is_unread { Ending::Unread } else { Ending::Overdue });
            self.leave(connection);
        }
        overdue.into_iter().map(|(_, why)| why).collect()
    }
}

/// The connection that has been without a request for longest, and the time since when.
fn longest_idle<'a>(
    connections: impl Iterator<Item = &'a Arc<OpenConnection>>,
) -> Option<(u64, Arc<OpenConnection>)> {
    let idle =
        connections.filter_map(|connection| Some((connection.clock().idle_since()?, connection)));
    idle.min_by_key(|(since_ms, _)| *since_ms).map(|(since_ms, it)| (since_ms, it.clone()))
}

/// How a connection was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It has missed a deadline.
    Overdue,
    /// Its peer does not read. The rest of its answer is dropped.
    Unread,
    /// It made room for a new connection.
    ForAnother,
}

impl Ending {
    pub(super) const fn drops_what_is_unsent(self) -> bool {
        matches!(self, Self::Unread)
    }
}

impl OpenConnection {
    fn end(&self, ending: Ending) {
        // The first ending wins.
        if self.ending.set(ending).is_ok() {
            self.waker.wake();
        }
    }

    /// How it was told to end; `None` while it may stay.
    pub(super) fn ended(&self) -> Option<Ending> {
        self.ending.get().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    /// A connection of the address of that number, opened at `at_ms`.
    fn opened(number: u64, address: u32, at_ms: u64) -> Arc<OpenConnection> {
        let address = Neighbours::of(IpAddr::V4(Ipv4Addr::from(address)));
        Arc::new(OpenConnection::opened(number, Some(address), false, at_ms))
    }

    fn asking(number: u64, address: u32, at_ms: u64) -> Arc<OpenConnection> {
        let connection = opened(number, address, at_ms);
        connection.clock().asks(at_ms);
        connection
    }

    #[test]
    fn the_one_that_is_idle_longest_leaves_and_never_one_that_is_being_answered() {
        let mut table = ConnectionTable::default();
        let connections = [asking(0, 1, 10), opened(1, 1, 30), opened(2, 2, 20), opened(3, 3, 40)];
        for it in &connections {
            assert_eq!(table.enter(it, 4, 50), Ok(()));
        }
        for (number, leaves) in [(4, 2), (5, 1), (6, 3)] {
            assert_eq!(table.enter(&asking(number as u64, 9, 50), 4, 50), Ok(()));
            let left = connections.iter().filter(|it| it.ended().is_some()).count();
            assert_eq!((left, table.count()), (number - 3, 4));
            assert_eq!(connections[leaves].ended(), Some(Ending::ForAnother));
        }
        assert_eq!(connections[0].ended(), None);
    }

    #[test]
    fn where_all_are_being_answered_the_address_with_the_most_makes_room_for_others() {
        let mut table = ConnectionTable::default();
        let many: Vec<_> = (0..8).map(|number| asking(number, 1, 10 + number)).collect();
        for it in many.iter().chain([&asking(8, 2, 0), &asking(9, 2, 0)]) {
            assert_eq!(table.enter(it, 10, 50), Ok(()));
        }
        assert_eq!(table.enter(&opened(10, 3, 50), 10, 50), Ok(()));
        assert_eq!(many[0].ended(), Some(Ending::ForAnother));
        assert!(many[1..].iter().all(|it| it.ended().is_none()));
        // The one that has the most gets no more by that.
        let mut table = ConnectionTable::default();
        for it in &many {
            assert_eq!(table.enter(it, 8, 50), Ok(()));
        }
        assert_eq!(table.enter(&opened(11, 1, 50), 8, 50), Err(Full::All));
    }

    #[test]
    fn an_address_has_its_share_and_a_proxy_as_many_as_there_are() {
        let mut table = ConnectionTable::default();
        let all: Vec<_> = (0..256).map(|number| opened(number, 1, number)).collect();
        for it in &all {
            assert_eq!(table.enter(it, 10_000, 300), Ok(()));
        }
        assert_eq!(table.enter(&opened(256, 1, 300), 10_000, 300), Err(Full::Address));
        assert_eq!(table.enter(&opened(257, 2, 300), 10_000, 300), Ok(()));
        for number in 1_000..2_000 {
            let of_proxy = Arc::new(OpenConnection::opened(number, None, false, 300));
            assert_eq!(table.enter(&of_proxy, 10_000, 300), Ok(()));
        }
        // One that has been idle for five seconds leaves for another of its own.
        assert_eq!(table.enter(&opened(258, 1, 5_000), 10_000, 5_000), Ok(()));
        assert_eq!(all[0].ended(), Some(Ending::ForAnother));
        table.leave(&all[7]);
        table.leave(&all[7]);
        assert_eq!(table.count(), 1_256);
        assert_eq!(table.enter(&opened(259, 1, 300), 10_000, 300), Ok(()));
    }

    #[test]
    fn those_who_miss_a_deadline_are_ended_once() {
        let (mut table, usual) = (ConnectionTable::default(), Deadlines::USUAL);
        let (silent, asks) = (opened(0, 1, 0), asking(1, 1, 0));
        for it in [&silent, &asks] {
            assert_eq!(table.enter(it, 10, 0), Ok(()));
        }
        assert_eq!(table.end_overdue(12_000, &usual), []);
        assert_eq!(table.end_overdue(12_001, &usual), [Overdue::Head]);
        assert_eq!(table.end_overdue(99_000, &usual), []);
        assert_eq!((silent.ended(), asks.ended()), (Some(Ending::Overdue), None));
        assert_eq!(table.count(), 1);
    }
}
