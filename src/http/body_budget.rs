//! Bounds how many bytes of bodies that are being read are in memory at once, and by whose request.
//!
//! A sender that has shown a right secret borrows from one budget. Every other sender borrows from
//! a smaller one, so that strangers take nothing from customers: a signature, or a secret in the
//! body, is seen only after the body is read. In the smaller budget an address never gets all that
//! is left: other addresses get a share as well, and a part is kept for small bodies, which most
//! webhooks are.

use super::{
    limits::Neighbours,
    problem::{Cause, Problem},
};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The budget of senders that have shown a right secret, in bytes. See [`BODIES_AT_LEAST`].
const SHOWN_BYTES: usize = 64 * 1_024 * 1_024;
/// The budget of all other senders, in bytes. See [`BODIES_AT_LEAST`].
const STRANGERS_BYTES: usize = 16 * 1_024 * 1_024;
/// A budget is larger if bodies may be so large that it would not hold this many of them. An
/// address's share, half of it, then holds four.
const BODIES_AT_LEAST: usize = 8;
/// A body of up to this many bytes is small. Nearly all webhooks are.
const SMALL_BYTES: usize = 64 * 1_024;

/// The sender whose request borrows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Borrower {
    /// A sender that has shown a right secret, or needs none because only this machine can post.
    Known,
    /// Any other, by the address that the request comes from; see [`Borrower::stranger`].
    Stranger(Neighbours),
}

impl Borrower {
    /// A stranger. The addresses of one IPv6 /64 are one stranger, and so are all unknown
    /// addresses.
    pub(super) fn stranger(address: Option<IpAddr>) -> Self {
        let unknown = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        Self::Stranger(Neighbours::of(address.unwrap_or(unknown)))
    }
}

/// How many bytes are borrowed.
#[derive(Debug, Default)]
struct BorrowedBytes {
    /// Bytes lent to known senders.
    known: usize,
    /// Bytes lent to strangers.
    strangers: usize,
    /// By each stranger; only those that have borrowed something.
    by_address: HashMap<Neighbours, usize>,
}

impl BorrowedBytes {
    /// Lends `more` bytes for a body that has borrowed `so_far`; false if there is no room for
    /// them. Bodies have at most `body_limit` bytes.
    fn lend(&mut self, to: Borrower, so_far: usize, more: usize, body_limit: usize) -> bool {
        let budget = |least: usize| least.max(body_limit.saturating_mul(BODIES_AT_LEAST));
        match to {
            Borrower::Known => {
                let is_room = self.known.saturating_add(more) <= budget(SHOWN_BYTES);
                if is_room {
                    self.known += more;
                }
                is_room
            }
            Borrower::Stranger(address) => {
                let own = self.by_address.get(&address).copied().unwrap_or_default();
                let others = self.strangers - own;
                let left = budget(STRANGERS_BYTES).saturating_sub(others);
                let is_small = so_far.saturating_add(more) <= SMALL_BYTES;
                let share = if is_small { left / 4 * 3 } else { left / 2 };
                let is_room = own.saturating_add(more) <= share;
                if is_room {
                    self.strangers += more;
                    *self.by_address.entry(address).or_default() += more;
                }
                is_room
            }
        }
    }

    fn take_back(&mut self, from: Borrower, bytes: usize) {
        match from {
            Borrower::Known => self.known -= bytes,
            Borrower::Stranger(address) => {
                self.strangers -= bytes;
                if let Some(own) = self.by_address.get_mut(&address) {
                    *own -= bytes;
                    if *own == 0 {
                        self.by_address.remove(&address);
                    }
                }
            }
        }
    }
}

/// The budgets of a process. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(super) struct BodyBudget(Arc<Mutex<BorrowedBytes>>);

impl BodyBudget {
    /// A loan for a body of at most `body_limit` bytes. Nothing is borrowed yet.
    pub(super) fn open(&self, borrower: Borrower, body_limit: usize) -> BodyLoan {
        BodyLoan { budget: self.clone(), borrower, body_limit, bytes: 0 }
    }

    fn borrowed(&self) -> MutexGuard<'_, BorrowedBytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes that a body has borrowed. They are given back when this is dropped.
#[derive(Debug)]
pub(super) struct BodyLoan {
    budget: BodyBudget,
    borrower: Borrower,
    body_limit: usize,
    bytes: usize,
}

impl BodyLoan {
    /// Borrows `bytes` more.
    ///
    /// # Errors
    /// 429 if there is no room for them.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Problem> {
        if !self.budget.borrowed().lend(self.borrower, self.bytes, bytes, self.body_limit) {
            let detail = "as much is being read as may be: post again";
            return Err(Problem::new(Cause::QueueFull, detail));
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Gives back `bytes` of those that were borrowed.
    pub(super) fn give_back(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.budget.borrowed().take_back(self.borrower, bytes);
        self.bytes -= bytes;
    }
}

impl Drop for BodyLoan {
    fn drop(&mut self) {
        self.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: usize = 1_024 * 1_024;
    const LIMIT: usize = 2 * MIB;

    fn stranger(address: &str) -> Borrower {
        Borrower::stranger(Some(address.parse().unwrap()))
    }

    /// How many bodies of `size` bytes, read in pieces, are lent to this borrower.
    fn bodies(borrowed: &mut BorrowedBytes, borrower: Borrower, size: usize) -> usize {
        let mut count = 0;
        'bodies: while count < 10_000 {
            let mut so_far = 0;
            while so_far < size {
                let piece = (size - so_far).min(32 * 1_024);
                if !borrowed.lend(borrower, so_far, piece, LIMIT) {
                    borrowed.take_back(borrower, so_far);
                    break 'bodies;
                }
                so_far += piece;
            }
            count += 1;
        }
        count
    }

    #[test]
    fn strangers_of_one_address_hold_four_large_bodies_and_leave_the_known_theirs() {
        let mut borrowed = BorrowedBytes::default();
        assert_eq!(bodies(&mut borrowed, stranger("203.0.113.9"), LIMIT), 4);
        assert!(
            bodies(&mut borrowed, stranger("203.0.113.9"), 4_096) > 500,
            "small ones beside them"
        );
        assert_eq!(bodies(&mut borrowed, Borrower::Known, LIMIT), 32);
        // Others have a share of what is left.
        assert!(bodies(&mut borrowed, stranger("203.0.113.10"), 4_096) > 500);
    }

    #[test]
    fn larger_bodies_have_more_room() {
        let mut borrowed = BorrowedBytes::default();
        let limit = 100 * MIB;
        for _ in 0..4 {
            assert!(borrowed.lend(stranger("203.0.113.9"), 0, limit, limit));
        }
        assert!(!borrowed.lend(stranger("203.0.113.9"), 0, limit, limit));
        assert!(borrowed.lend(Borrower::Known, 0, limit, limit));
    }

    #[test]
    fn one_subscriber_is_one_borrower() {
        for (one, other, same) in [
            ("203.0.113.9", "203.0.113.9", true),
            ("203.0.113.9", "203.0.113.10", false),
            ("203.0.113.9", "::ffff:203.0.113.9", true),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
        ] {
            assert_eq!(stranger(one) == stranger(other), same, "{one} {other}");
        }
    }

    #[test]
    fn what_is_dropped_is_there_again() {
        let budget = BodyBudget::default();
        let borrower = stranger("203.0.113.9");
        let mut room = budget.open(borrower, LIMIT);
        room.take(8 * MIB).unwrap();
        assert!(room.take(1).is_err());
        room.give_back(MIB);
        room.take(MIB).unwrap();
        drop(room);
        let borrowed = budget.borrowed();
        assert!(borrowed.strangers == 0 && borrowed.by_address.is_empty(), "{borrowed:?}");
    }

    proptest! {
        #[test]
        fn whatever_some_do_the_sums_are_right_and_others_get_small_bodies_in(
            steps in proptest::collection::vec((0_u8..12, 1_usize..3_000_000, any::<bool>()), 1..300)
        ) {
            let mut borrowed = BorrowedBytes::default();
            let mut lent: Vec<(Borrower, usize)> = Vec::new();
            for (address, bytes, gives_back) in steps {
                if gives_back && let Some((borrower, bytes)) = lent.pop() {
                    borrowed.take_back(borrower, bytes);
                }
                let borrower = stranger(&format!("203.0.113.{address}"));
                if borrowed.lend(borrower, 0, bytes, LIMIT) {
                    lent.push((borrower, bytes));
                }
                let sum: usize = lent.iter().map(|it| it.1).sum();
                prop_assert_eq!(borrowed.strangers, sum);
                prop_assert_eq!(borrowed.by_address.values().sum::<usize>(), sum);
                prop_assert!(sum < STRANGERS_BYTES);
                // Each of the twelve addresses leaves at least a quarter of what it finds to the
                // next.
                let small = (STRANGERS_BYTES - sum) / 2;
                let newcomer = stranger("198.51.100.1");
                prop_assert!(borrowed.lend(newcomer, 0, small.min(4_096), LIMIT) || small == 0);
                borrowed.take_back(newcomer, small.min(4_096));
                prop_assert!(borrowed.lend(Borrower::Known, 0, LIMIT, LIMIT));
                borrowed.take_back(Borrower::Known, LIMIT);
            }
        }
    }
}
