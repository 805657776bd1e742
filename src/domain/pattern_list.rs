//! Many patterns that are searched together, each compiled when a text may hold it.

use super::lazy_pattern::LazyPattern;
use aho_corasick::AhoCorasick;
use regex::Match;
use regex_syntax::hir::{
    Look,
    literal::{ExtractKind, Extractor},
};
use std::{collections::BTreeMap, ops::RangeTo, sync::OnceLock};

/// The longest beginning of a match that is looked for, in bytes. More would tell little more, and
/// make more beginnings.
const BEGINNING_MAX: usize = 8;
/// The most beginnings of one pattern. Those of a pattern that has more are not looked for.
const BEGINNINGS_MAX: usize = 2_000;

/// Patterns that are searched as if they were joined by `|`.
///
/// One automaton finds what their matches begin with, and only patterns that have a beginning in
/// the text are searched. Joined to one pattern of tens of kilobytes, they would take 30 times as
/// long: its states do not fit into the cache in which `regex` keeps them. No pattern may match
/// the empty text.
#[derive(Debug)]
pub(crate) struct PatternList {
    patterns: Vec<LazyPattern>,
    beginnings: OnceLock<Beginnings>,
}

/// What the matches of patterns begin with.
#[derive(Debug, Default)]
struct Beginnings {
    /// Finds the beginnings; `None` if there are none.
    automaton: Option<AhoCorasick>,
    /// By beginning: the patterns that have it.
    owners: Vec<Vec<Owner>>,
    /// The patterns whose beginnings are not known: each text may hold them.
    unknown: Vec<usize>,
}

/// A pattern that has a beginning.
#[derive(Clone, Copy, Debug)]
struct Owner {
    pattern: usize,
    /// True if it matches only from the boundary of a word on.
    is_of_word: bool,
}

impl PatternList {
    /// A list of `patterns`. Of two that match at the same place, the first one counts.
    pub(crate) fn new(patterns: impl IntoIterator<Item = LazyPattern>) -> Self {
        Self { patterns: patterns.into_iter().collect(), beginnings: OnceLock::new() }
    }

    /// The matches in `text`, from its beginning to its end, none of which overlap.
    pub(crate) fn find_iter<'t>(&self, text: &'t str) -> PatternMatches<'_, 't> {
        self.find_iter_of(..self.patterns.len(), text)
    }

    /// The same for the first patterns of the list only.
    pub(crate) fn find_iter_of<'t>(
        &self,
        patterns: RangeTo<usize>,
        text: &'t str,
    ) -> PatternMatches<'_, 't> {
        let beginnings = self.beginnings.get_or_init(|| Beginnings::of(&self.patterns));
        let places = beginnings.places(text).into_iter().filter(|it| patterns.contains(&it.0));
        let ahead = places.filter_map(|(at, from)| Some((self.find_at(at, text, from)?, at)));
        PatternMatches { list: self, text, ahead: ahead.collect() }
    }

    /// The first match of one pattern that begins at the byte `from` or behind it.
    fn find_at<'t>(&self, pattern: usize, text: &'t str, from: usize) -> Option<Match<'t>> {
        self.patterns.get(pattern)?.find_at(text, from)
    }

    /// The patterns.
    #[cfg(test)]
    pub(crate) fn patterns(&self) -> &[LazyPattern] {
        &self.patterns
    }
}

impl Beginnings {
    fn of(patterns: &[LazyPattern]) -> Self {
        let mut of_patterns: BTreeMap<Vec<u8>, Vec<Owner>> = BTreeMap::new();
        let mut unknown = Vec::new();
        for (at, pattern) in patterns.iter().enumerate() {
            let Some((literals, is_of_word)) = beginnings_of(pattern.text()) else {
                unknown.push(at);
                continue;
            };
            for literal in literals {
                of_patterns.entry(literal).or_default().push(Owner { pattern: at, is_of_word });
            }
        }
        let (literals, owners): (Vec<_>, Vec<_>) = of_patterns.into_iter().unzip();
        match AhoCorasick::new(&literals) {
            Ok(automaton) if !literals.is_empty() => {
                Self { automaton: Some(automaton), owners, unknown }
            }
            Ok(_) | Err(_) => Self { unknown: (0..patterns.len()).collect(), ..Self::default() },
        }
    }

    /// The patterns that `text` may hold, each with the first byte from which it may match.
    fn places(&self, text: &str) -> BTreeMap<usize, usize> {
        let mut places: BTreeMap<usize, usize> = self.unknown.iter().map(|it| (*it, 0)).collect();
        let found = self.automaton.iter().flat_map(|it| it.find_overlapping_iter(text));
        for found in found {
            let is_in_word = is_within_word(text.as_bytes(), found.start());
            let owners = self.owners.get(found.pattern().as_usize()).into_iter().flatten();
            for owner in owners.filter(|it| !(it.is_of_word && is_in_word)) {
                let place = places.entry(owner.pattern).or_insert(found.start());
                *place = found.start().min(*place);
            }
        }
        places
    }
}

/// What the matches of a pattern begin with, and whether they begin at the boundary of a word.
/// `None` if they begin with too much, or with anything.
fn beginnings_of(pattern: &str) -> Option<(Vec<Vec<u8>>, bool)> {
    let hir = regex_syntax::parse(pattern).ok()?;
    let looks = hir.properties().look_set_prefix();
    let is_of_word = looks.contains(Look::WordAscii);
    let mut literals =
        Extractor::new().kind(ExtractKind::Prefix).limit_total(BEGINNINGS_MAX).extract(&hir);
    literals.keep_first_bytes(BEGINNING_MAX);
    literals.dedup();
    let is_told = literals.min_literal_len().is_some_and(|it| it > 0);
    let literals = literals.literals().filter(|_| is_told)?;
    Some((literals.iter().map(|it| it.as_bytes().to_vec()).collect(), is_of_word))
}

/// True if no ASCII word begins or ends before the byte `at`, but one goes on.
fn is_within_word(text: &[u8], at: usize) -> bool {
    let is_of_word = |at: Option<usize>| {
        at.and_then(|it| text.get(it)).is_some_and(|it| it.is_ascii_alphanumeric() || *it == b'_')
    };
    is_of_word(at.checked_sub(1)) && is_of_word(Some(at))
}

/// The matches of a list of patterns in a text.
#[derive(Debug)]
pub(crate) struct PatternMatches<'l, 't> {
    list: &'l PatternList,
    text: &'t str,
    /// Of each pattern that is left: its next match, and its place in the list.
    ahead: Vec<(Match<'t>, usize)>,
}

impl<'t> Iterator for PatternMatches<'_, 't> {
    type Item = Match<'t>;

    fn next(&mut self) -> Option<Match<'t>> {
        let (found, _) = *self.ahead.iter().min_by_key(|(found, at)| (found.start(), *at))?;
        let (list, text) = (self.list, self.text);
        // What overlaps with this match is searched again behind it.
        self.ahead.retain_mut(|(next, at)| {
            if next.start() >= found.end() {
                return true;
            }
            let behind = list.find_at(*at, text, found.end());
            if let Some(behind) = behind {
                *next = behind;
            }
            behind.is_some()
        });
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use regex::Regex;

    /// Patterns with and without known beginnings, of words and of parts of words.
    const PATTERNS: [&str; 6] = [
        r"(?-u:\b)(?:do not|don't) (?:write|mail)[a-z]*",
        r"(?-u:\b)(?:not|n't)(?: more)?",
        r"write(?: me)?(?: not)?",
        r"[a-z]+ me(?-u:\b)",
        r"(?-u:\b)(?:mail|male|mai)l?",
        r"ß|me",
    ];

    fn list() -> PatternList {
        PatternList::new(PATTERNS.map(LazyPattern::of))
    }

    fn joined(patterns: &[&str]) -> Regex {
        Regex::new(&patterns.join("|")).unwrap()
    }

    fn places<'t>(found: impl Iterator<Item = Match<'t>>) -> Vec<(usize, usize)> {
        found.map(|it| (it.start(), it.end())).collect()
    }

    #[test]
    fn only_patterns_that_a_text_may_hold_are_compiled() {
        let list = list();
        assert_eq!(list.find_iter("I do not mail you").count(), 1);
        let is_compiled: Vec<bool> = list.patterns.iter().map(LazyPattern::is_compiled).collect();
        // The fourth begins with any letter, so that each text may hold it.
        assert_eq!(is_compiled, [true, true, false, true, true, false]);
    }

    #[test]
    fn the_first_of_two_patterns_counts_and_matches_do_not_overlap() {
        let list = PatternList::new(["ab", "abc", "c+"].map(LazyPattern::of));
        assert_eq!(places(list.find_iter("abcc abc")), [(0, 2), (2, 4), (5, 7), (7, 8)]);
        assert_eq!(places(list.find_iter_of(..1, "abcc abc")), [(0, 2), (5, 7)]);
        assert_eq!(PatternList::new([]).find_iter("abc").count(), 0);
    }

    proptest! {
        #[test]
        fn a_list_finds_what_its_patterns_find_when_they_are_joined(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "do", "not", "don't", "write", "writes", "mail", "mails", "me", "more", "ß", " ", " ", " ", "_", "-",
                ]),
                0..24,
            ),
        ) {
            let text = parts.concat();
            prop_assert_eq!(places(list().find_iter(&text)), places(joined(&PATTERNS).find_iter(&text)));
            prop_assert_eq!(
                places(list().find_iter_of(..3, &text)),
                places(joined(&PATTERNS[..3]).find_iter(&text))
            );
        }
    }
}
