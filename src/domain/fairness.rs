//! Which client gets the next slot: turns, the floor of a claim, and how a claim's room is shared
//! among the kinds.
//!
//! Each kind uses start-time fair queueing. A job that becomes the head of its line gets the turn
//! `max(V, last turn of its client and kind + 1)`. V is the virtual time of the kind: the
//! greatest turn that any node has claimed. A claim takes the smallest turns. A client with a long
//! backlog has turns far above V, so the single job of another client is among the next.

use std::time::Duration;

/// A job's place in the order of claims of its kind. Turns grow; jobs of several clients may have
/// the same turn.
pub type Turn = i64;

/// The last of the turns of `count` jobs of one client and kind that enter now: their turns are
/// `last - count + 1 ..= last`. `v` is V of the kind, `client_last` the last turn of the client and
/// kind.
pub const fn last_turn_after(v: Turn, client_last: Turn, count: i64) -> Turn {
    let before = if client_last > v - 1 { client_last } else { v - 1 };
    before + count
}

/// The longest time that a transaction may take. The floor relies on it: when a row becomes
/// visible, its turn was computed from a V that was read at most this long ago.
pub const TRANSACTION_MAX: Duration = Duration::from_secs(10);

/// The least turn that a claim of one kind reads.
///
/// Without a floor, a claim would read the index entries of all rows that were claimed but not
/// vacuumed yet. A claim with a floor does not see rows below it. Therefore every new row gets a
/// turn of at least V, and once in `TRANSACTION_MAX` a claim reads without a floor (a full claim).
/// Only a full claim may raise the floor: to the V that the full claim before it read, and only if
/// it has seen all rows below that.
#[derive(Clone, Debug, Default)]
pub struct Floor {
    /// No claimable job has a lower turn.
    floor: Turn,
    /// When the last full claim was made, by the caller's monotonic clock; `None` before the first.
    last_full: Option<Duration>,
    /// V as the last full claim read it.
    v_at_last_full: Option<Turn>,
}

impl Floor {
    /// The floor for a claim at `now`, which is a reading of any monotonic clock. 0 means no floor.
    pub fn for_claim(&self, now: Duration) -> Turn {
        if self.is_full_due(now) { 0 } else { self.floor }
    }

    /// No claimable job has a lower turn.
    pub const fn least(&self) -> Turn {
        self.floor
    }

    /// Notes the result of a claim that used the floor of `for_claim(now)`: how many rows it wanted
    /// and got, the greatest turn among them, and V of the kind as it was read with the claim.
    pub fn claimed(&mut self, now: Duration, wanted: usize, got: usize, greatest: Turn, v: Turn) {
        if !self.is_full_due(now) {
            return;
        }
        if let Some(v_before) = self.v_at_last_full {
            let has_seen_all_below = got < wanted || greatest >= v_before;
            if has_seen_all_below {
                self.floor = self.floor.max(v_before);
            }
        }
        self.last_full = Some(now);
        self.v_at_last_full = Some(v);
    }

    /// True if the claim at `now` is a full one: it reads without a floor, and has to know V. This
    /// is independent of the floor, so that a kind that never had a job reads V no more often than
    /// others.
    pub fn is_full_due(&self, now: Duration) -> bool {
        self.last_full.is_none_or(|last| now.saturating_sub(last) >= TRANSACTION_MAX)
    }
}

/// Shares `room` evenly among kinds; kind `n` wants `wanted[n]` jobs.
///
/// A kind that wants less than its share gets all it wants, and the rest goes to the others. The
/// sum is at most `room`, and no kind gets more than it wants. A remainder is given out from kind
/// `first` on, so that the caller can rotate it.
pub fn deal(room: usize, wanted: &[usize], first: usize) -> Vec<usize> {
    let mut dealt = vec![0; wanted.len()];
    let mut left = room;
    loop {
        let hungry: Vec<usize> = (0..wanted.len())
            .map(|n| (n + first) % wanted.len())
            .filter(|&n| dealt.get(n) < wanted.get(n))
            .collect();
        if left == 0 || hungry.is_empty() {
            return dealt;
        }
        let share = (left / hungry.len()).max(1);
        for n in hungry {
            if let (Some(has), Some(&wants)) = (dealt.get_mut(n), wanted.get(n)) {
                let more = share.min(wants - *has).min(left);
                *has += more;
                left -= more;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// Each claim that has to know V costs one more read.
    #[test]
    fn v_is_read_every_ten_seconds_also_for_a_kind_that_never_had_a_job() {
        for v in [0, 700] {
            let mut floor = Floor::default();
            let mut reads = Vec::new();
            for second in 0..35 {
                let now = Duration::from_secs(second);
                if floor.is_full_due(now) {
                    reads.push(second);
                }
                floor.claimed(now, 4, 0, 0, v);
            }
            assert_eq!(reads, [0, 10, 20, 30], "V = {v}");
        }
    }

    proptest! {
        #[test]
        fn a_deal_never_passes_room_or_wish_and_wastes_nothing(
            room in 0..500_usize, wanted in prop::collection::vec(0..100_usize, 1..12), first in 0..12_usize,
        ) {
            let dealt = deal(room, &wanted, first % wanted.len());
            prop_assert!(dealt.iter().zip(&wanted).all(|(has, wants)| has <= wants));
            prop_assert_eq!(dealt.iter().sum::<usize>(), room.min(wanted.iter().sum()));
        }
    }

    /// A whole queue in memory: rows of (turn, client, number), V, and each client's last turn.
    #[derive(Default)]
    struct Model {
        rows: BTreeSet<(Turn, u32, u32)>,
        last: BTreeMap<u32, Turn>,
        v: Turn,
        made: u32,
    }
    impl Model {
        fn enqueue(&mut self, client: u32, count: i64) {
            let last = last_turn_after(self.v, *self.last.get(&client).unwrap_or(&0), count);
            self.last.insert(client, last);
            for turn in last - count + 1..=last {
                self.made += 1;
                self.rows.insert((turn, client, self.made));
            }
        }
        fn claim(&mut self, slots: usize) -> Vec<u32> {
            let taken: Vec<_> = self.rows.iter().take(slots).copied().collect();
            for row in &taken {
                self.rows.remove(row);
                self.v = self.v.max(row.0);
            }
            taken.into_iter().map(|(_, client, _)| client).collect()
        }
    }

    proptest! {
        /// G7: with C clients waiting, a client's next job starts within ceil(C / slots) + 1
        /// claims.
        #[test]
        fn g07_a_single_job_waits_for_one_round_of_the_clients(
            slots in 1..40_usize, clients in 1..60_u32, backlog in 1..200_i64, warm_up in 0..50_usize,
        ) {
            let mut queue = Model::default();
            for client in 0..clients { queue.enqueue(client, backlog); }
            for _ in 0..warm_up { queue.claim(slots); }
            queue.enqueue(clients, 1);
            let rounds = (clients as usize + 1).div_ceil(slots) + 1;
            let started = (0..rounds).any(|_| queue.claim(slots).contains(&clients));
            prop_assert!(started);
        }

        /// No visible row is ever below the floor, although a row may appear as much as a
        /// transaction's length after its turn was computed from V.
        #[test]
        fn the_floor_hides_no_row(
            steps in prop::collection::vec((0..4_u64, 1..6_usize, 0..4_u32, 0..4_i64, 0..9_u64), 1..300),
        ) {
            let (mut floor, mut queue) = (Floor::default(), Model::default());
            let mut unseen: Vec<(Duration, (Turn, u32, u32))> = Vec::new();
            let mut now = Duration::ZERO;
            for (seconds, slots, client, count, delay) in steps {
                now += Duration::from_secs(seconds);
                let before = std::mem::take(&mut queue.rows);
                queue.enqueue(client, count);
                let made = std::mem::replace(&mut queue.rows, before);
                unseen.extend(made.into_iter().map(|row| (now + Duration::from_secs(delay), row)));
                let (visible, rest) = unseen.into_iter().partition(|(at, _)| *at <= now);
                unseen = rest;
                queue.rows.extend(visible.into_iter().map(|(_, row): (Duration, _)| row));
                let (least, v) = (floor.for_claim(now), queue.v);
                prop_assert!(queue.rows.iter().all(|row| row.0 >= floor.floor));
                let taken: Vec<_> =
                    queue.rows.iter().filter(|row| row.0 >= least).take(slots).copied().collect();
                for row in &taken {
                    queue.rows.remove(row);
                    queue.v = queue.v.max(row.0);
                }
                let greatest = taken.iter().map(|row| row.0).max().unwrap_or(0);
                floor.claimed(now, slots, taken.len(), greatest, v);
            }
        }
    }
}
