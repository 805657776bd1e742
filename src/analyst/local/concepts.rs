//! Finds concepts in a message: what phrases of ten languages mean alike, such as "call me" and
//! "ruf mich an". What is learned of a concept in one language holds in all.

use super::{
    hash::Hash,
    phrase_tree::{PhraseTree, STEM_MIN},
    tokens::Term,
};
use std::sync::LazyLock;

/// The phrases of each language: one line a concept, its name, a tab, and phrases with `|` between
/// them. `*` at the end of a word matches any ending; `*` alone is exactly one word.
pub(super) const LEXICON: [(&str, &str); LANGS] = [
    ("en", include_str!("lexicon/en.tsv")),
    ("de", include_str!("lexicon/de.tsv")),
    ("fr", include_str!("lexicon/fr.tsv")),
    ("es", include_str!("lexicon/es.tsv")),
    ("it", include_str!("lexicon/it.tsv")),
    ("pt", include_str!("lexicon/pt.tsv")),
    ("nl", include_str!("lexicon/nl.tsv")),
    ("sv", include_str!("lexicon/sv.tsv")),
    ("da", include_str!("lexicon/da.tsv")),
    ("nb", include_str!("lexicon/nb.tsv")),
];
const LANGS: usize = 10;

/// A phrase that was found in a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FoundPhrase {
    /// The place of its first token.
    pub(super) start: usize,
    /// How many tokens it has.
    pub(super) len: usize,
    /// Its concept: see [`Lexicon::name`].
    pub(super) concept: u16,
    /// The languages whose phrase it is: a bit each, in the order of [`LEXICON`].
    pub(super) langs: u16,
}

impl FoundPhrase {
    const fn end(&self) -> usize {
        self.start + self.len
    }
}

/// All phrases.
#[derive(Debug)]
pub(super) struct Lexicon(PhraseTree);

static COMPILED_IN: LazyLock<Lexicon> = LazyLock::new(|| Lexicon(PhraseTree::compiled_in()));

impl Lexicon {
    /// The lexicon that is compiled in.
    pub(super) fn compiled_in() -> &'static Self {
        &COMPILED_IN
    }

    /// The name of a concept.
    pub(super) fn name(&self, concept: u16) -> &str {
        self.0.name(concept)
    }

    /// All phrases in a sentence. Within a longer phrase of the same concept, a shorter one does
    /// not count.
    pub(super) fn find(&self, tokens: &[Term]) -> Vec<FoundPhrase> {
        let mut all = Vec::new();
        for start in 0..tokens.len() {
            self.follow(0, tokens, start, start, &mut all);
        }
        all.sort_unstable_by_key(|it: &FoundPhrase| (it.concept, it.start, usize::MAX - it.len));
        let mut found: Vec<FoundPhrase> = Vec::with_capacity(all.len());
        for it in all {
            match found.last_mut() {
                Some(last) if last.concept == it.concept && last.end() >= it.end() => {
                    if (last.start, last.len) == (it.start, it.len) {
                        last.langs |= it.langs;
                    }
                }
                _ => found.push(it),
            }
        }
        found.sort_unstable();
        found
    }

    fn follow(
        &self,
        node: u32,
        tokens: &[Term],
        start: usize,
        at: usize,
        all: &mut Vec<FoundPhrase>,
    ) {
        let Some(here) = self.0.node(node) else { return };
        for (concept, langs) in self.0.ends(&here) {
            all.push(FoundPhrase { start, len: at - start, concept, langs });
        }
        let Some(token) = tokens.get(at) else { return };
        let mut go = |next: Option<u32>| {
            if let Some(next) = next {
                self.follow(next, tokens, start, at + 1, all);
            }
        };
        go(here.any);
        go(self.0.behind(Hash::of(node).text(&token.text)));
        if here.has_stems {
            let mut stem = Hash::of(node);
            for (count, char) in token.text.chars().enumerate() {
                stem = stem.text(char.encode_utf8(&mut [0; 4]));
                if count + 1 >= STEM_MIN {
                    go(self.0.behind_stem(stem));
                }
            }
        }
    }
}
