//! State that providers report in events: which report counts does not depend on the order in which
//! they arrive (docs/RULES.md P17).

use super::Timestamp;

/// The time of a provider's report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The provider's time, or the time of receipt if the provider tells none.
    pub at: Timestamp,
    /// True if `at` is the time of receipt. Such reports count in the order of their arrival.
    pub is_of_receipt: bool,
}

impl Told {
    /// True if a newer report than this one is known.
    pub fn is_stale(self, known: Option<Timestamp>) -> bool {
        known.is_some_and(|newest| self.at < newest)
    }
}

/// A restriction that a provider turns on and off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Restriction {
    /// True while the restriction is on.
    pub is_on: bool,
    /// The time of the report that counts; `None` if there was none.
    pub as_of: Option<Timestamp>,
}

impl Restriction {
    /// The restriction after one more report.
    ///
    /// The newest report counts. If two reports have the same time, the one that restricts counts;
    /// if the provider told no time, the one that arrived later. A report that restricts without
    /// telling a time always counts.
    #[must_use]
    pub fn told(self, is_on: bool, told: Told) -> Self {
        let newest = Some(self.as_of.map_or(told.at, |known| known.max(told.at)));
        match self.as_of.map(|known| told.at.cmp(&known)) {
            Some(std::cmp::Ordering::Less) if !(told.is_of_receipt && is_on) => self,
            Some(std::cmp::Ordering::Equal) if !told.is_of_receipt => {
                Self { is_on: self.is_on || is_on, as_of: newest }
            }
            _ => Self { is_on, as_of: newest },
        }
    }

    /// The restriction of two leads that turn out to be one person: on if it is on for either.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        match (self.is_on, other.is_on) {
            (true, false) => self,
            (false, true) => other,
            (true, true) | (false, false) => {
                Self { is_on: self.is_on, as_of: self.as_of.max(other.as_of) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    const fn timed(millis: i64) -> Told {
        Told { at: at(millis), is_of_receipt: false }
    }

    const fn received(millis: i64) -> Told {
        Told { at: at(millis), is_of_receipt: true }
    }

    fn after(reports: &[(bool, Told)]) -> Restriction {
        let start = Restriction::default();
        reports.iter().fold(start, |known, (is_on, told)| known.told(*is_on, *told))
    }

    #[test]
    fn p17_the_newest_report_counts() {
        for (reports, is_on, as_of) in [
            (&[(true, timed(5))][..], true, 5),
            (&[(false, timed(1)), (true, timed(2)), (false, timed(1))], true, 2),
            (&[(true, timed(2)), (false, timed(1))], true, 2),
            (&[(false, timed(2)), (true, timed(1))], false, 2),
            (&[(true, timed(2)), (false, timed(3))], false, 3),
            // It was turned on again: a late report of the lifting in between does not lift it.
            (&[(true, timed(1)), (true, timed(3)), (false, timed(2))], true, 3),
            (&[(true, timed(2)), (false, timed(2))], true, 2),
            (&[(false, timed(2)), (true, timed(2))], true, 2),
            // Reports without a time count in the order of arrival.
            (&[(true, received(2)), (false, received(2))], false, 2),
            (&[(true, received(2)), (false, received(3)), (true, received(3))], true, 3),
            (&[(true, timed(9)), (false, received(8))], true, 9),
            (&[(false, timed(9)), (true, received(8))], true, 9),
        ] {
            let expected = Restriction { is_on, as_of: Some(at(as_of)) };
            assert_eq!(after(reports), expected, "{reports:?}");
        }
    }

    #[test]
    fn what_is_older_than_what_is_known_is_stale() {
        assert!(!timed(1).is_stale(None) && !timed(2).is_stale(Some(at(2))));
        assert!(timed(1).is_stale(Some(at(2))));
    }

    proptest! {
        #[test]
        fn p17_the_order_of_arrival_counts_for_nothing(
            (reports, shuffled) in prop::collection::vec((any::<bool>(), 0_i64..6), 0..12)
                .prop_flat_map(|reports| (Just(reports.clone()), Just(reports).prop_shuffle())),
        ) {
            let all = |them: &[(bool, i64)]| {
                after(&them.iter().map(|(is_on, at)| (*is_on, timed(*at))).collect::<Vec<_>>())
            };
            let known = all(&reports);
            prop_assert_eq!(known, all(&shuffled));
            let newest = reports.iter().map(|it| it.1).max();
            let stands = reports.iter().any(|(is_on, at)| *is_on && Some(*at) == newest);
            prop_assert_eq!(known, Restriction { is_on: stands, as_of: newest.map(at) });
            for (is_on, then) in &reports {
                prop_assert_eq!(known.told(*is_on, timed(*then)), known, "a repetition changes nothing");
            }
        }

        #[test]
        fn p17_no_report_lifts_what_is_newer(
            on in 0_i64..10, is_of_receipt in any::<bool>(), off in 0_i64..10,
        ) {
            let known = after(&[(true, timed(on))]);
            let told = Told { at: at(off), is_of_receipt };
            prop_assert!(off > on || is_of_receipt && off == on || known.told(false, told).is_on);
        }

        #[test]
        fn p17_merging_is_the_same_from_both_sides(
            one in any::<bool>(), other in any::<bool>(), times in any::<[Option<u8>; 2]>(),
        ) {
            let of = |is_on, at: Option<u8>| Restriction {
                is_on, as_of: at.map(|millis| Timestamp::from_millis(millis.into())),
            };
            let (one, other) = (of(one, times[0]), of(other, times[1]));
            prop_assert_eq!(one.merged(other), other.merged(one));
            prop_assert_eq!(one.merged(other).is_on, one.is_on || other.is_on);
        }
    }
}
