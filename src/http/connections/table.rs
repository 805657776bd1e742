//! Who is inside, by address, and who has to leave where there is no more room.

use super::{
    OpenConnection,
    deadlines::{Deadlines, Overdue},
};
use crate::http::limits::Neighbours;
use std::{collections::HashMap, sync::Arc};

/// HttpConnections of one address at once.
pub(super) const OF_ADDRESS_MAX: usize = 256;
/// An address that has as many as it may loses one that has been idle for this long, rather than be refused.
const IDLE_MIN_MS: u64 = 5_000;

/// Why a connection was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Its address has as many as it may.
    Address,
    /// There are as many as may be, and all of them are being answered.
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

/// The guests of one address, by number.
type Guests = HashMap<u64, Arc<OpenConnection>>;

/// All connections that have not been told to end, by the address they are counted for; `None` are those of trusted
/// proxies, which stand for many.
#[derive(Debug, Default)]
pub(super) struct ConnectionTable {
    guests: HashMap<Option<Neighbours>, Guests>,
    count: usize,
}

impl ConnectionTable {
    /// How many are inside.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<OpenConnection>> {
        self.guests.values().flat_map(HashMap::values)
    }

    /// Lets `guest` in where there are fewer than `most`, or where another has to leave for it. That one is ended.
    ///
    /// # Errors
    /// Where there is no room.
    pub(super) fn enter(
        &mut self,
        guest: &Arc<OpenConnection>,
        most: usize,
        now_ms: u64,
    ) -> Result<(), Full> {
        let of_address = self.guests.get(&guest.address).map_or(0, HashMap::len);
        if guest.address.is_some() && of_address >= OF_ADDRESS_MAX {
            let leaves = self.guests.get(&guest.address).and_then(|it| longest_idle(it.values()));
            let leaves = leaves.filter(|(since_ms, _)| since_ms + IDLE_MIN_MS <= now_ms);
            let (_, leaves) = leaves.ok_or(Full::Address)?;
            self.end(&leaves);
        } else if self.count >= most {
            let leaves = longest_idle(self.all()).map(|(_, it)| it);
            let leaves = leaves.or_else(|| self.of_the_largest(of_address)).ok_or(Full::All)?;
            self.end(&leaves);
        }
        self.guests.entry(guest.address).or_default().insert(guest.number, guest.clone());
        self.count += 1;
        Ok(())
    }

    /// The one of the address with the most connections that has been answered for longest, where that address has
    /// more than `others` and one more.
    fn of_the_largest(&self, others: usize) -> Option<Arc<OpenConnection>> {
        let (_, largest) = self.guests.iter().max_by_key(|(_, it)| it.len())?;
        let oldest = largest.values().min_by_key(|it| it.stay().since())?;
        (largest.len() > others + 1).then(|| oldest.clone())
    }

    fn end(&mut self, guest: &Arc<OpenConnection>) {
        guest.end(Ending::ForAnother);
        self.leave(guest);
    }

    /// It is gone, or as good as.
    pub(super) fn leave(&mut self, guest: &OpenConnection) {
        let Some(of_address) = self.guests.get_mut(&guest.address) else { return };
        if of_address.remove(&guest.number).is_some() {
            self.count -= 1;
        }
        if of_address.is_empty() {
            self.guests.remove(&guest.address);
        }
    }

    /// Ends all that are overdue, and says why.
    pub(super) fn end_overdue(&mut self, now_ms: u64, deadlines: &Deadlines) -> Vec<Overdue> {
        let overdue =
            |it: &Arc<OpenConnection>| Some((it.clone(), it.stay().overdue(now_ms, deadlines)?));
        let overdue: Vec<_> = self.all().filter_map(overdue).collect();
        for (guest, why) in &overdue {
            let is_unread = *why == Overdue::Answer;
            guest.end(if is_unread { Ending::Unread } else { Ending::Overdue });
            self.leave(guest);
        }
        overdue.into_iter().map(|(_, why)| why).collect()
    }
}

/// The one over which nothing has been asked for longest, with the time since when.
fn longest_idle<'a>(
    guests: impl Iterator<Item = &'a Arc<OpenConnection>>,
) -> Option<(u64, Arc<OpenConnection>)> {
    let idle = guests.filter_map(|it| Some((it.stay().idle_since()?, it)));
    idle.min_by_key(|(since_ms, _)| *since_ms).map(|(since_ms, it)| (since_ms, it.clone()))
}

/// How a connection was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It has missed a deadline.
    Overdue,
    /// Its peer does not read: what is still to be sent is dropped.
    Unread,
    /// Another needs its room.
    ForAnother,
}

impl Ending {
    pub(super) const fn drops_what_is_unsent(self) -> bool {
        matches!(self, Self::Unread)
    }
}

impl OpenConnection {
    fn end(&self, ending: Ending) {
        // Where it was told before, that holds.
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
#[expect(clippy::indexing_slicing, reason = "a test that meets what it does not expect fails")]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    /// A guest of the address of that number, opened at `at_ms`.
    fn guest(number: u64, address: u32, at_ms: u64) -> Arc<OpenConnection> {
        let address = Neighbours::of(IpAddr::V4(Ipv4Addr::from(address)));
        Arc::new(OpenConnection::opened(number, Some(address), false, at_ms))
    }

    fn asking(number: u64, address: u32, at_ms: u64) -> Arc<OpenConnection> {
        let guest = guest(number, address, at_ms);
        guest.stay().asks(at_ms);
        guest
    }

    #[test]
    fn the_one_that_is_idle_longest_leaves_and_never_one_that_is_being_answered() {
        let mut room = ConnectionTable::default();
        let guests = [asking(0, 1, 10), guest(1, 1, 30), guest(2, 2, 20), guest(3, 3, 40)];
        for it in &guests {
            assert_eq!(room.enter(it, 4, 50), Ok(()));
        }
        for (number, leaves) in [(4, 2), (5, 1), (6, 3)] {
            assert_eq!(room.enter(&asking(number as u64, 9, 50), 4, 50), Ok(()));
            let left = guests.iter().filter(|it| it.ended().is_some()).count();
            assert_eq!((left, room.count()), (number - 3, 4));
            assert_eq!(guests[leaves].ended(), Some(Ending::ForAnother));
        }
        assert_eq!(guests[0].ended(), None);
    }

    #[test]
    fn where_all_are_being_answered_the_address_with_the_most_makes_room_for_others() {
        let mut room = ConnectionTable::default();
        let many: Vec<_> = (0..8).map(|it| asking(it, 1, 10 + it)).collect();
        for it in many.iter().chain([&asking(8, 2, 0), &asking(9, 2, 0)]) {
            assert_eq!(room.enter(it, 10, 50), Ok(()));
        }
        assert_eq!(room.enter(&guest(10, 3, 50), 10, 50), Ok(()));
        assert_eq!(many[0].ended(), Some(Ending::ForAnother));
        assert!(many[1..].iter().all(|it| it.ended().is_none()));
        // The one that has the most gets no more by that.
        let mut room = ConnectionTable::default();
        for it in &many {
            assert_eq!(room.enter(it, 8, 50), Ok(()));
        }
        assert_eq!(room.enter(&guest(11, 1, 50), 8, 50), Err(Full::All));
    }

    #[test]
    fn an_address_has_its_share_and_a_proxy_as_many_as_there_are() {
        let mut room = ConnectionTable::default();
        let all: Vec<_> = (0..256).map(|it| guest(it, 1, it)).collect();
        for it in &all {
            assert_eq!(room.enter(it, 10_000, 300), Ok(()));
        }
        assert_eq!(room.enter(&guest(256, 1, 300), 10_000, 300), Err(Full::Address));
        assert_eq!(room.enter(&guest(257, 2, 300), 10_000, 300), Ok(()));
        for number in 1_000..2_000 {
            let of_proxy = Arc::new(OpenConnection::opened(number, None, false, 300));
            assert_eq!(room.enter(&of_proxy, 10_000, 300), Ok(()));
        }
        // One that has been idle for five seconds leaves for another of its own.
        assert_eq!(room.enter(&guest(258, 1, 5_000), 10_000, 5_000), Ok(()));
        assert_eq!(all[0].ended(), Some(Ending::ForAnother));
        room.leave(&all[7]);
        room.leave(&all[7]);
        assert_eq!(room.count(), 1_256);
        assert_eq!(room.enter(&guest(259, 1, 300), 10_000, 300), Ok(()));
    }

    #[test]
    fn those_who_miss_a_deadline_are_ended_once() {
        let (mut room, usual) = (ConnectionTable::default(), Deadlines::USUAL);
        let (silent, asks) = (guest(0, 1, 0), asking(1, 1, 0));
        for it in [&silent, &asks] {
            assert_eq!(room.enter(it, 10, 0), Ok(()));
        }
        assert_eq!(room.end_overdue(12_000, &usual), []);
        assert_eq!(room.end_overdue(12_001, &usual), [Overdue::Head]);
        assert_eq!(room.end_overdue(99_000, &usual), []);
        assert_eq!((silent.ended(), asks.ended()), (Some(Ending::Overdue), None));
        assert_eq!(room.count(), 1);
    }
}
