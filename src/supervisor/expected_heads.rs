//! The kinds of which heads may wait in the database: only of these is a claim worth its cost.
//!
//! A claim that asks for a kind of which nothing waits is not only wasted: the places that it asks
//! for cannot be lent meanwhile to jobs that are about to be stored. So a kind is asked for after
//! something has happened that may have made heads, and again as long as a claim got all that it
//! asked for. Whatever this misses is found at the next tick that polls.

use std::collections::HashSet;

/// The kinds of which heads may wait, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct ExpectedHeads {
    may_wait: HashSet<&'static str>,
    /// Those of the claim that is under way.
    asked: Vec<&'static str>,
}

impl ExpectedHeads {
    /// Heads of any of these kinds may have been made.
    pub(super) fn expect(&mut self, kinds: impl IntoIterator<Item = &'static str>) {
        self.may_wait.extend(kinds);
    }

    /// Whether a claim of this kind may get something.
    pub(super) fn may_wait(&self, kind: &str) -> bool {
        self.may_wait.contains(kind)
    }

    /// A claim of these kinds is made. What is expected from now on, it may not see.
    pub(super) fn ask(&mut self, kinds: impl IntoIterator<Item = &'static str>) {
        self.asked = kinds.into_iter().collect();
        for kind in &self.asked {
            self.may_wait.remove(kind);
        }
    }

    /// The claim is over. It got less than it asked for of the kinds in `emptied`. Of the others
    /// more heads may wait, which are all if it failed.
    pub(super) fn answered(&mut self, emptied: &HashSet<&'static str>) {
        let left = std::mem::take(&mut self.asked);
        self.may_wait.extend(left.into_iter().filter(|kind| !emptied.contains(kind)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const KINDS: [&str; 3] = ["A", "B", "C"];

    /// What may happen, with the number of a kind.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// A head is stored, and told of.
        Stored(usize),
        /// A claim begins, with so many free slots of each kind.
        Claim([usize; 3]),
        /// It ends, or fails.
        Ends { has_failed: bool },
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0..3_usize).prop_map(Step::Stored),
            prop::array::uniform3(0..3_usize).prop_map(Step::Claim),
            prop::bool::weighted(0.2).prop_map(|has_failed| Step::Ends { has_failed }),
        ];
        prop::collection::vec(step, 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_head_that_waits_is_asked_for_as_soon_as_there_is_a_slot(steps in steps()) {
            let mut expected = ExpectedHeads::default();
            let mut waiting: HashMap<&'static str, usize> = HashMap::new();
            // Of the claim under way: what it asks for, and what it has seen.
            let mut claim: Option<Vec<(&'static str, usize, usize)>> = None;
            for step in steps {
                match step {
                    Step::Stored(kind) => {
                        *waiting.entry(KINDS[kind]).or_default() += 1;
                        expected.expect([KINDS[kind]]);
                    }
                    Step::Claim(slots) if claim.is_none() => {
                        let wants: Vec<_> = KINDS
                            .into_iter()
                            .zip(slots)
                            .filter(|(kind, slots)| *slots > 0 && expected.may_wait(kind))
                            .map(|(kind, slots)| (kind, slots, waiting.get(kind).copied().unwrap_or(0)))
                            .collect();
                        expected.ask(wants.iter().map(|want| want.0));
                        claim = Some(wants);
                    }
                    Step::Claim(_) => {}
                    Step::Ends { has_failed } => {
                        let Some(wants) = claim.take() else { continue };
                        let mut emptied = HashSet::new();
                        for (kind, slots, seen) in wants.into_iter().filter(|_| !has_failed) {
                            *waiting.entry(kind).or_default() -= slots.min(seen);
                            if seen < slots {
                                emptied.insert(kind);
                            }
                        }
                        expected.answered(&emptied);
                    }
                }
                if claim.is_none() {
                    for (kind, count) in &waiting {
                        prop_assert!(*count == 0 || expected.may_wait(kind), "{kind}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_a_claim_has_emptied_is_not_asked_for_again() {
        let mut expected = ExpectedHeads::default();
        expected.expect(KINDS);
        expected.ask(["A", "B"]);
        expected.answered(&HashSet::from(["A"]));
        assert_eq!(KINDS.map(|kind| expected.may_wait(kind)), [false, true, true]);
    }
}
