//! Who gets the next slot: turns, the claim's floor, and how a claim's room is dealt to the kinds.
//!
//! Fairness is start-time fair queueing per kind. A job that enters its line gets the turn
//! `max(V, last turn of its client and kind + 1)`, where V is the turn of that kind's job claimed last;
//! a claim takes the smallest turns. A client with a long backlog has turns far ahead of V, so another
//! client's single job is among the next.

use std::time::Duration;

/// A turn. Grows; many clients may hold the same one.
pub type Turn = i64;

/// The turns of `count` jobs of one client and kind that enter now: the last one, given V of the kind
/// and the last turn that the client had. They are `last - count + 1 ..= last`.
pub const fn last_turn_after(v: Turn, client_last: Turn, count: i64) -> Turn {
    let before = if client_last > v - 1 { client_last } else { v - 1 };
    before + count
}

/// How long a transaction may take at the most. The floor relies on it: a turn was read from V no
/// longer ago than this when its row appears.
pub const TRANSACTION_MAX: Duration = Duration::from_secs(10);

/// The least turn that the claim of one kind looks at.
///
/// Without it a claim reads over the index entries of rows that were claimed and that vacuum has not
/// reached yet. A row below the floor is invisible, so every entry takes a turn of V or above, and every
/// `TRANSACTION_MAX` one claim looks without a floor; only then may the floor rise, to the V that the
/// previous such claim read, and only if this one has seen everything below it.
#[derive(Clone, Debug, Default)]
pub struct Floor {
    floor: Turn,
    last_full: Option<Duration>,
    v_at_last_full: Option<Turn>,
}

impl Floor {
    /// The floor for a claim with free slots at `now` (any monotonic reading): 0 is none.
    pub fn for_claim(&self, now: Duration) -> Turn {
        if self.is_full_due(now) { 0 } else { self.floor }
    }

    /// Below it there is no job.
    pub const fn least(&self) -> Turn {
        self.floor
    }

    /// Takes note of a claim that asked `for_claim` at `now`: how many rows it wanted and got, the
    /// greatest turn among them, and V of the kind as it was read with the claim.
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

    /// Whether the claim at `now` is one that looks without a floor and has to know V. A kind that never had a
    /// job has no floor either, and still reads V no more often than others.
    pub fn is_full_due(&self, now: Duration) -> bool {
        self.last_full.is_none_or(|last| now.saturating_sub(last) >= TRANSACTION_MAX)
    }
}

/// Deals `room` to kinds that want `wanted` jobs each, evenly.
///
/// A kind that wants little gets it all, what is left goes to the others. The sum is at most `room`, and no kind gets more than it wants.
/// `first` names the kind that a remainder starts with, so that it can go round.
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

    /// Each claim that has to know V costs a read of its own before it.
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

    /// A whole queue in memory: rows of (turn, client), V, and each client's last turn.
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
            taken.into_iter().map(|it| it.1).collect()
        }
    }

    proptest! {
        /// G7: with C clients waiting, a client's next job starts within ceil(C / slots) + 1 claims.
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

        /// No row that a claim could see is ever below the floor, although rows appear up to a
        /// transaction's length after their turn was read from V.
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
                unseen.extend(made.into_iter().map(|it| (now + Duration::from_secs(delay), it)));
                let (visible, rest) = unseen.into_iter().partition(|it| it.0 <= now);
                unseen = rest;
                queue.rows.extend(visible.into_iter().map(|it: (Duration, _)| it.1));
                let (least, v) = (floor.for_claim(now), queue.v);
                prop_assert!(queue.rows.iter().all(|it| it.0 >= floor.floor));
                let taken: Vec<_> =
                    queue.rows.iter().filter(|it| it.0 >= least).take(slots).copied().collect();
                for row in &taken {
                    queue.rows.remove(row);
                    queue.v = queue.v.max(row.0);
                }
                let greatest = taken.iter().map(|it| it.0).max().unwrap_or(0);
                floor.claimed(now, slots, taken.len(), greatest, v);
            }
        }
    }
}
