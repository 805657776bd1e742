//! The phrases of the lexicon as a tree of their words, in a file that is compiled in.
//!
//! To read the phrases themselves at each start takes longer than all else that a start does; the
//! file is read where it stands. Numbers in it are little-endian.

use super::{concepts::LEXICON, hash::Hash, tokens::words};
use std::{collections::BTreeMap, ops::Range};

/// The fewest letters of a word before `*`.
pub(super) const STEM_MIN: usize = 2;
/// The file: five counts (bytes of names, words, stems, nodes, ends), then those.
const FILE: &[u8] = include_bytes!("phrases.bin");
/// In place of the node behind any word, if there is none.
const NONE: u32 = u32::MAX;

/// What leads from a node to the next: the hash of the node and a word, and the next node.
type StepBytes = [u8; 12];
/// The node behind any word or [`NONE`], and twice the place of its first end, plus 1 if words that
/// go on may be stems.
type NodeBytes = [u8; 8];
/// The concept of a phrase that ends here, and its languages.
type EndBytes = [u8; 4];

/// A node of the tree.
#[derive(Clone, Debug)]
pub(super) struct PhraseNode {
    /// The node behind any word.
    pub(super) any: Option<u32>,
    /// True if words that go on may be stems.
    pub(super) has_stems: bool,
    ends: Range<usize>,
}

/// The tree, as it is compiled in.
#[derive(Debug, Default)]
pub(super) struct PhraseTree {
    names: Vec<&'static str>,
    words: &'static [StepBytes],
    stems: &'static [StepBytes],
    nodes: &'static [NodeBytes],
    ends: &'static [EndBytes],
}

impl PhraseTree {
    /// The tree of the file; an empty one if the file is none.
    pub(super) fn compiled_in() -> Self {
        Self::read(FILE).unwrap_or_default()
    }

    fn read(file: &'static [u8]) -> Option<Self> {
        let (counts, rest) = file.split_at_checked(20)?;
        let mut counts = counts.as_chunks().0.iter().map(|it| u32::from_le_bytes(*it) as usize);
        let mut rest = rest;
        let mut part = |bytes_each: usize| {
            let (part, behind) = rest.split_at_checked(counts.next()? * bytes_each)?;
            rest = behind;
            Some(part)
        };
        let names = str::from_utf8(part(1)?).ok()?.lines().collect();
        let (words, stems) = (part(12)?.as_chunks().0, part(12)?.as_chunks().0);
        let (nodes, ends) = (part(8)?.as_chunks().0, part(4)?.as_chunks().0);
        rest.is_empty().then_some(Self { names, words, stems, nodes, ends })
    }

    /// The name of a concept.
    pub(super) fn name(&self, concept: u16) -> &str {
        self.names.get(usize::from(concept)).copied().unwrap_or_default()
    }

    /// The node at a place; the first one is where phrases begin.
    pub(super) fn node(&self, at: u32) -> Option<PhraseNode> {
        let first_end = |node: &NodeBytes| number(node.last_chunk()) as usize;
        let node = self.nodes.get(at as usize)?;
        let next = self.nodes.get(at as usize + 1);
        let until = next.map_or(self.ends.len(), |next| first_end(next) / 2);
        let any = Some(number(node.first_chunk())).filter(|any| *any != NONE);
        let has_stems = first_end(node) % 2 == 1;
        Some(PhraseNode { any, has_stems, ends: first_end(node) / 2..until })
    }

    /// The concepts of the phrases that end at a node, and their languages.
    pub(super) fn ends(&self, node: &PhraseNode) -> impl Iterator<Item = (u16, u16)> {
        let ends = self.ends.get(node.ends.clone()).unwrap_or_default();
        ends.iter().map(|[a, b, c, d]| (u16::from_le_bytes([*a, *b]), u16::from_le_bytes([*c, *d])))
    }

    /// The node behind a word: `hash` is that of the node before it and the word.
    pub(super) fn behind(&self, hash: Hash) -> Option<u32> {
        next_of(self.words, hash)
    }

    /// The node behind all words that start with a stem.
    pub(super) fn behind_stem(&self, hash: Hash) -> Option<u32> {
        next_of(self.stems, hash)
    }
}

fn number(bytes: Option<&[u8; 4]>) -> u32 {
    bytes.map_or(0, |it| u32::from_le_bytes(*it))
}

fn next_of(steps: &[StepBytes], hash: Hash) -> Option<u32> {
    let key = |step: &StepBytes| step.first_chunk().map_or(0, |it| u64::from_le_bytes(*it));
    let at = steps.binary_search_by_key(&hash.value(), key).ok()?;
    steps.get(at).map(|step| number(step.last_chunk()))
}

/// True if the file that is compiled in was made of the lexicon that is.
pub(super) fn is_of_this_lexicon() -> bool {
    file_of_lexicon() == FILE
}

/// The file of the lexicon.
fn file_of_lexicon() -> Vec<u8> {
    let mut tree = Grown { nodes: vec![GrownNode::default()], ..Grown::default() };
    for (at, (_, lines)) in LEXICON.iter().enumerate() {
        for line in lines.lines() {
            let Some((name, phrases)) = line.split_once('\t') else { continue };
            let concept = tree.concept(name.trim_end_matches('!').trim());
            for phrase in phrases.split('|') {
                tree.add(phrase, concept, 1 << at);
            }
        }
    }
    tree.file()
}

/// A tree to which phrases are added.
#[derive(Default)]
struct Grown {
    names: Vec<String>,
    words: BTreeMap<u64, u32>,
    stems: BTreeMap<u64, u32>,
    nodes: Vec<GrownNode>,
}

#[derive(Default)]
struct GrownNode {
    any: Option<u32>,
    has_stems: bool,
    ends: Vec<(u16, u16)>,
}

impl Grown {
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
        let known = if is_stem { self.stems.get(&key) } else { self.words.get(&key) };
        if let Some(known) = known {
            return *known;
        }
        let next = self.new_node();
        if is_stem {
            self.stems.insert(key, next)
        } else {
            self.words.insert(key, next)
        };
        next
    }

    fn new_node(&mut self) -> u32 {
        self.nodes.push(GrownNode::default());
        (self.nodes.len() - 1) as u32
    }

    fn file(&self) -> Vec<u8> {
        let names: String = self.names.iter().map(|it| format!("{it}\n")).collect();
        let ends: usize = self.nodes.iter().map(|it| it.ends.len()).sum();
        let counts = [names.len(), self.words.len(), self.stems.len(), self.nodes.len(), ends];
        let mut file: Vec<u8> =
            counts.into_iter().flat_map(|it| (it as u32).to_le_bytes()).collect();
        file.extend(names.bytes());
        for (hash, next) in self.words.iter().chain(&self.stems) {
            file.extend(hash.to_le_bytes());
            file.extend(next.to_le_bytes());
        }
        let mut first_end = 0;
        for node in &self.nodes {
            file.extend(node.any.unwrap_or(NONE).to_le_bytes());
            file.extend((first_end * 2 + u32::from(node.has_stems)).to_le_bytes());
            first_end += node.ends.len() as u32;
        }
        for (concept, langs) in self.nodes.iter().flat_map(|it| &it.ends) {
            file.extend(concept.to_le_bytes());
            file.extend(langs.to_le_bytes());
        }
        file
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{env, fs};

    #[test]
    fn the_phrases_that_are_compiled_in_are_those_of_the_lexicon() {
        if env::var_os("POSTROOM_WRITE_PAGES").is_some() {
            let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/analyst/local/phrases.bin");
            fs::write(file, file_of_lexicon()).expect("written");
            return;
        }
        assert!(
            is_of_this_lexicon(),
            "run `POSTROOM_WRITE_PAGES=1 cargo test --lib phrase_tree`, then `analyst train`"
        );
    }

    #[test]
    fn a_file_that_is_cut_off_is_refused() {
        assert!(PhraseTree::read(FILE).is_some_and(|it| it.nodes.len() > 1000));
        assert!(PhraseTree::read(&FILE[..FILE.len() - 1]).is_none());
        assert!(PhraseTree::read(&FILE[..19]).is_none());
    }
}
