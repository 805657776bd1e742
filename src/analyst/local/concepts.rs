//! Finds concepts in a message: what phrases of ten languages mean alike, such as "call me" and
//! "ruf mich an". What is learned of a concept in one language holds in all.

use super::{
    hash::Hash,
    tokens::{Term, words},
};
use std::{collections::HashMap, sync::LazyLock};

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
/// The fewest letters of a word before `*`.
const STEM_MIN: usize = 2;

/// A phrase that was found in a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FoundPhrase {
    /// The place of its first token.
    pub(super) start: usize,
    /// How many tokens it has.
    pub(super) len: usize,
    /// Its concept: the place in [`Lexicon::names`].
    pub(super) concept: u16,
    /// The languages whose phrase it is: a bit each, in the order of [`LEXICON`].
    pub(super) langs: u16,
}

impl FoundPhrase {
    const fn end(&self) -> usize {
        self.start + self.len
    }
}

/// All phrases, as a tree of their words.
#[derive(Debug, Default)]
pub(super) struct Lexicon {
    names: Vec<String>,
    /// The node behind a word, by the hash of the node before it and the word.
    exact: HashMap<u64, u32>,
    /// The node behind any word that starts so, by the hash of the node before it and the start.
    stems: HashMap<u64, u32>,
    nodes: Vec<PhraseNode>,
}

#[derive(Debug, Default)]
struct PhraseNode {
    /// The node behind any word.
    any: Option<u32>,
    /// True if words that go on may be stems.
    has_stems: bool,
    /// The concepts of the phrases that end here, and their languages.
    ends: Vec<(u16, u16)>,
}

static COMPILED_IN: LazyLock<Lexicon> = LazyLock::new(|| Lexicon::of(&LEXICON));

impl Lexicon {
    /// The lexicon that is compiled in.
    pub(super) fn compiled_in() -> &'static Self {
        &COMPILED_IN
    }

    fn of(languages: &[(&str, &str)]) -> Self {
        let mut lexicon = Self { nodes: vec![PhraseNode::default()], ..Self::default() };
        for (at, (_, lines)) in languages.iter().enumerate() {
            for line in lines.lines() {
                let Some((name, phrases)) = line.split_once('\t') else { continue };
                let concept = lexicon.concept(name.trim_end_matches('!').trim());
                for phrase in phrases.split('|') {
                    lexicon.add(phrase, concept, 1 << at);
                }
            }
        }
        lexicon
    }

    /// The name of a concept.
    pub(super) fn name(&self, concept: u16) -> &str {
        self.names.get(usize::from(concept)).map_or("", String::as_str)
    }

    fn concept(&mut self, name: &str) -> u16 {
        let at = self.names.iter().position(|it| it == name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    fn add(&mut self, phrase: &str, concept: u16, lang: u16) {
        let mut at = 0;
        let mut is_empty = true;
        for piece in phrase.split_whitespace() {
            if piece == "*" {
                at = self.behind_any(at);
                continue;
            }
            let is_stem = piece.ends_with('*');
            let mut pieces = words(piece.trim_end_matches('*')).into_iter().peekable();
            while let Some(word) = pieces.next() {
                let is_stem = is_stem && pieces.peek().is_none() && word.len() >= STEM_MIN;
                at = self.behind(at, &word, is_stem);
                is_empty = false;
            }
        }
        let Some(node) = self.nodes.get_mut(at as usize).filter(|_| !is_empty) else { return };
        match node.ends.iter_mut().find(|(known, _)| *known == concept) {
            Some((_, langs)) => *langs |= lang,
            None => node.ends.push((concept, lang)),
        }
    }

    fn behind_any(&mut self, at: u32) -> u32 {
        let next = self.nodes.len() as u32;
        match self.nodes.get_mut(at as usize).map(|node| *node.any.get_or_insert(next)) {
            Some(known) if known != next => known,
            _ => self.new_node(),
        }
    }

    fn behind(&mut self, at: u32, word: &str, is_stem: bool) -> u32 {
        if let Some(node) = self.nodes.get_mut(at as usize).filter(|_| is_stem) {
            node.has_stems = true;
        }
        let key = Hash::of(at).text(word).value();
        let known = if is_stem { self.stems.get(&key) } else { self.exact.get(&key) };
        if let Some(known) = known {
            return *known;
        }
        let next = self.new_node();
        if is_stem {
            self.stems.insert(key, next)
        } else {
            self.exact.insert(key, next)
        };
        next
    }

    fn new_node(&mut self) -> u32 {
        self.nodes.push(PhraseNode::default());
        (self.nodes.len() - 1) as u32
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
        let Some(here) = self.nodes.get(node as usize) else { return };
        for (concept, langs) in &here.ends {
            all.push(FoundPhrase { start, len: at - start, concept: *concept, langs: *langs });
        }
        let Some(token) = tokens.get(at) else { return };
        let mut go = |next: Option<&u32>| {
            if let Some(next) = next {
                self.follow(*next, tokens, start, at + 1, all);
            }
        };
        go(here.any.as_ref());
        go(self.exact.get(&Hash::of(node).text(&token.text).value()));
        if here.has_stems {
            let mut stem = Hash::of(node);
            for (count, char) in token.text.chars().enumerate() {
                stem = stem.text(char.encode_utf8(&mut [0; 4]));
                if count + 1 >= STEM_MIN {
                    go(self.stems.get(&stem.value()));
                }
            }
        }
    }
}
