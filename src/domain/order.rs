//! State that providers report in events: which report counts, in whatever order they arrive
//! (docs/RULES.md P17).

use super::Timestamp;

/// When a provider says that something became so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// The provider's time, else that of receipt.
    pub at: Timestamp,
    /// True where the provider told no time: such reports count in the order of their arrival.
    pub is_of_receipt: bool,
}

impl Told {
    /// True where something is known that is newer than this.
    pub fn is_stale(self, known: Option<Timestamp>) -> bool {
        known.is_some_and(|it| self.at < it)
    }
}

/// A restriction that a provider turns on and off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Restriction {
    /// Whether it stands.
    pub is_on: bool,
    /// The time of the report that says so; `None` where nothing was reported.
    pub as_of: Option<Timestamp>,
}

impl Restriction {
    /// After one more report.
    ///
    /// The newest report counts. Of two of the same time the one that restricts counts, unless neither
    /// tells a time of its own. What tells none and restricts always counts.
    #[must_use]
    pub fn told(self, is_on: bool, told: Told) -> Self {
        let newest = Some(self.as_of.map_or(told.at, |it| it.max(told.at)));
        match self.as_of.map(|known| told.at.cmp(&known)) {
            Some(std::cmp::Ordering::Less) if !(told.is_of_receipt && is_on) => self,
            Some(std::cmp::Ordering::Equal) if !told.is_of_receipt => {
                Self { is_on: self.is_on || is_on, as_of: newest }
            }
            _ => Self { is_on, as_of: newest },
        }
    }

    /// Of two leads that are found to be one: what stands for either stands for both.
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
            // On again: what was lifted between the two does not lift it late.
            (&[(true, timed(1)), (true, timed(3)), (false, timed(2))], true, 3),
            (&[(true, timed(2)), (false, timed(2))], true, 2),
            (&[(false, timed(2)), (true, timed(2))], true, 2),
            // Without a time of their own: in the order of arrival.
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
                .prop_flat_map(|it| (Just(it.clone()), Just(it).prop_shuffle())),
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
                is_on, as_of: at.map(|it| Timestamp::from_millis(it.into())),
            };
            let (one, other) = (of(one, times[0]), of(other, times[1]));
            prop_assert_eq!(one.merged(other), other.merged(one));
            prop_assert_eq!(one.merged(other).is_on, one.is_on || other.is_on);
        }
    }
}
