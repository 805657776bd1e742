//! Counts wrong tokens by address, and refuses further ones for a while.

use super::limits::Neighbours;
use crate::telemetry::sparse::Sparse;
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// This many wrong tokens of an address within [`WINDOW`] are answered at once by the API.
pub(super) const WRONG_MAX: u32 = 10;
/// The same at the sign-in, where people type. Those of the API count, too.
pub(super) const WRONG_AT_SIGN_IN_MAX: u32 = 5;
/// The time in which wrong tokens are counted, and for which further ones are refused.
const WINDOW: Duration = Duration::from_secs(60);
/// How many addresses are remembered. Beyond it, new addresses share one count.
const ADDRESSES_MAX: usize = 10_000;

/// The wrong tokens of all addresses.
#[derive(Debug, Default)]
pub(super) struct Tries {
    by_address: HashMap<Neighbours, Tried>,
    /// The shared count of addresses for which there was no room.
    others: Tried,
    /// When addresses were last forgotten.
    forgot_at: Option<Instant>,
}

/// The wrong tokens of an address.
#[derive(Clone, Copy, Debug, Default)]
struct Tried {
    /// The start of the window in which they are counted or refused.
    first_at: Option<Instant>,
    /// When it was last refused.
    last_at: Option<Instant>,
    /// How many were answered at once in that window.
    count: u32,
    /// When it was last logged.
    told: Sparse,
}

impl Tries {
    /// Counts a wrong token of `address`, of which `most` are answered at once. Returns the seconds
    /// until the next try is answered, if this one is refused.
    pub(super) fn wrong(&mut self, address: Neighbours, most: u32, now: Instant) -> Option<u64> {
        self.of(address, now).wrong(most, now)
    }

    /// Counts a refusal of `address`. Returns the number to log if a line is due.
    pub(super) fn told(&mut self, address: Neighbours, now: Instant) -> Option<u64> {
        let tried = self.of(address, now);
        tried.last_at = Some(now);
        tried.told.count(now)
    }

    fn of(&mut self, address: Neighbours, now: Instant) -> &mut Tried {
        let is_full = self.by_address.len() >= ADDRESSES_MAX;
        if is_full && !self.by_address.contains_key(&address) {
            let has_just_forgotten =
                self.forgot_at.is_some_and(|at| now < at + Duration::from_secs(1));
            if !has_just_forgotten {
                self.forgot_at = Some(now);
                self.by_address.retain(|_, it| it.last_at.is_some_and(|at| now < at + WINDOW));
            }
            if self.by_address.len() >= ADDRESSES_MAX {
                return &mut self.others;
            }
        }
        self.by_address.entry(address).or_default()
    }
}

impl Tried {
    fn wrong(&mut self, most: u32, now: Instant) -> Option<u64> {
        let first_at = self.first_at.filter(|at| now < *at + WINDOW);
        let first_at = match first_at {
            Some(at) => at,
            None => {
                self.count = 0;
                now
            }
        };
        if self.count < most {
            self.count += 1;
            // The last try that is answered at once starts the window in which others are refused.
            self.first_at = Some(if self.count == most { now } else { first_at });
            return None;
        }
        let left = (first_at + WINDOW).saturating_duration_since(now);
        Some(left.as_secs().max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn address(number: u32) -> Neighbours {
        Neighbours::of(IpAddr::V4(Ipv4Addr::from(number)))
    }

    #[test]
    fn ten_are_answered_and_then_none_for_a_minute() {
        let (mut tries, start) = (Tries::default(), Instant::now());
        let mut wrong =
            |second: u64| tries.wrong(address(1), WRONG_MAX, start + Duration::from_secs(second));
        assert!((0..10).all(|second| wrong(second).is_none()));
        assert_eq!(wrong(9), Some(60));
        assert_eq!(wrong(39), Some(30));
        assert_eq!(wrong(68), Some(1));
        assert_eq!(wrong(69), None);
        assert_eq!(tries.wrong(address(2), WRONG_MAX, start), None);
    }

    #[test]
    fn fewer_are_answered_at_the_sign_in() {
        let (mut tries, start) = (Tries::default(), Instant::now());
        let mut wrong = |most: u32| tries.wrong(address(1), most, start);
        assert!((0..5).all(|_| wrong(WRONG_AT_SIGN_IN_MAX).is_none()));
        assert_eq!(wrong(WRONG_AT_SIGN_IN_MAX), Some(60));
        assert!((0..5).all(|_| wrong(WRONG_MAX).is_none()), "up to ten");
        assert_eq!((wrong(WRONG_MAX), wrong(WRONG_AT_SIGN_IN_MAX)), (Some(60), Some(60)));
    }

    #[test]
    fn a_few_now_and_then_are_never_refused() {
        let (mut tries, start) = (Tries::default(), Instant::now());
        for second in (0..3_600).step_by(7) {
            assert_eq!(
                tries.wrong(address(1), WRONG_MAX, start + Duration::from_secs(second)),
                None
            );
        }
    }

    #[test]
    fn memory_is_bounded_and_addresses_beyond_it_share_one_count() {
        let (mut tries, start) = (Tries::default(), Instant::now());
        let many = u32::try_from(ADDRESSES_MAX).unwrap();
        for number in 0..many + 10 {
            tries.told(address(number), start);
            assert_eq!(tries.wrong(address(number), WRONG_MAX, start), None, "{number}");
        }
        assert_eq!(tries.by_address.len(), ADDRESSES_MAX);
        assert_eq!(tries.wrong(address(many + 11), WRONG_MAX, start), Some(60));
        // Those that have been quiet for a minute make room.
        let later = start + Duration::from_secs(61);
        tries.told(address(many + 12), later);
        assert_eq!(tries.wrong(address(many + 12), WRONG_MAX, later), None);
        assert_eq!(tries.by_address.len(), 1);
    }
}
