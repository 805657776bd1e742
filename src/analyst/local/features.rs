//! What a message is known by: its words, pairs of words, groups of letters, the concepts in it,
//! and what its words may be in an opt-out. Each of these has a key, which is a hash.

use super::{
    concepts::{FoundPhrase, Lexicon},
    hash::Hash,
    tokens::{self, Term, TermSentence},
};
use crate::domain::{mail_subject, opt_out::ReadText};
use std::collections::BTreeSet;

/// To be raised with each change of features, tokens or concepts that changes what weights mean.
pub(super) const VERSION: u32 = 4;
/// The bits of a feature's key.
pub(super) const KEY_BITS: u32 = 24;

/// How many words of a subject are read.
const SUBJECT_WORDS_MAX: usize = 12;
// The values of features beside that of a word, which is 1. Found by trying.
const LETTERS: f32 = 0.25;
const CONCEPT: f32 = 1.3;
const TOGETHER: f32 = 0.5;
const NEXT: f32 = 0.5;
const ASKED: f32 = 0.5;
const SIGN: f32 = 1.5;
const PART: f32 = 0.7;
const PARTS: f32 = 0.4;
/// A language counts if as much of the message is found in it: a share of what is found in the one
/// that has most.
const MOST_OF: f32 = 0.8;

/// How many tokens before a concept a negation reaches, and how many behind it.
const NEGATED_BEFORE: usize = 3;
const NEGATED_BEHIND: usize = 2;

/// What a message is read from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a> {
    /// The subject of a mail.
    pub(super) subject: Option<&'a str>,
    /// What the lead wrote, as far as it is read: [`tokens::beginning`].
    pub(super) text: &'a ReadText<'a>,
    /// The sentences of `text`.
    pub(super) sentences: &'a [TermSentence],
}

/// `(key, value)`, by key.
pub(super) type Features = Vec<(u32, f32)>;

/// The kinds of features: each has hashes of its own.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Kind {
    Word = 1,
    Start,
    Pair,
    Letters,
    Concept,
    LongConcept,
    NegatedConcept,
    Together,
    InFirst,
    InLast,
    InMessage,
    Only,
    None,
    Next,
    Asked,
    Length,
    Question,
    Last,
    Subject,
    Sign,
    Signs,
    SubjectConcept,
    Part,
    Parts,
    NextPart,
}

/// The key and the value of each feature, as they were found.
struct Collected(Vec<(u32, f32)>);

impl Collected {
    fn add(&mut self, kind: Kind, parts: &[&str], value: f32) {
        let hash = parts.iter().fold(Hash::of(kind as u32), |hash, part| hash.part(part));
        let key = (hash.value() % (1 << KEY_BITS)) as u32;
        self.0.push((key, value));
    }

    /// The features, each once, with the sum of its values.
    fn summed(mut self) -> Features {
        // The order of equal keys stays, so that sums are always the same.
        self.0.sort_by_key(|(key, _)| *key);
        self.0.dedup_by(|next, before| {
            if next.0 != before.0 {
                return false;
            }
            before.1 += next.1;
            true
        });
        self.0
    }
}

/// The features of a message, of length 1 (as a vector).
pub(super) fn features(input: &Input<'_>) -> Features {
    let sentences = input.sentences;
    let mut all = Collected(Vec::new());
    of_words(sentences, &mut all);
    of_concepts(sentences, &mut all);
    of_subject(input, &mut all);
    let count: usize = sentences.iter().map(|it| it.tokens.len()).sum();
    let length = match count {
        0..=1 => "0",
        2..=3 => "2",
        4..=6 => "4",
        7..=12 => "7",
        13..=25 => "13",
        26..=50 => "26",
        _ => "51",
    };
    all.add(Kind::Length, &[length], 1.0);
    if sentences.iter().any(TermSentence::is_question) {
        all.add(Kind::Question, &[], 1.0);
    }
    of_signs(input, &mut all);
    of_parts(input, &mut all);
    let mut all = all.summed();
    let square: f32 = all.iter().map(|(_, it)| it * it).sum();
    let norm = square.sqrt().max(1.0);
    all.iter_mut().for_each(|(_, value)| *value /= norm);
    all
}

fn of_words(sentences: &[TermSentence], all: &mut Collected) {
    let tokens: Vec<&Term> = sentences.iter().flat_map(|it| &it.tokens).collect();
    for (at, token) in tokens.iter().enumerate() {
        all.add(Kind::Word, &[&token.text], 1.0);
        if at < 2 {
            all.add(Kind::Start, &[&token.text, if at == 0 { "0" } else { "1" }], 0.7);
        }
    }
    for sentence in sentences {
        let mut before = "^";
        for token in &sentence.tokens {
            all.add(Kind::Pair, &[before, &token.text], 1.0);
            before = &token.text;
            if !token.is_class() {
                of_letters(&token.text, all);
            }
        }
        let end = if sentence.is_question() { "?" } else { "." };
        all.add(Kind::Pair, &[before, end], 1.0);
    }
    if let Some(last) = tokens.last() {
        all.add(Kind::Last, &[&last.text], 0.5);
    }
}

/// Groups of 3 to 5 letters of a word, with marks at its ends.
fn of_letters(word: &str, all: &mut Collected) {
    if word.chars().nth(2).is_none() {
        return;
    }
    let marked = format!("_{word}_");
    let starts: Vec<usize> =
        marked.char_indices().map(|(at, _)| at).chain([marked.len()]).collect();
    for len in 3..=5 {
        for ends in starts.windows(len + 1) {
            if let [start, .., end] = *ends
                && let Some(letters) = marked.get(start..end)
            {
                all.add(Kind::Letters, &[letters], LETTERS);
            }
        }
    }
}

/// The concepts of a sentence: those of the lexicon, and the classes of tokens.
fn concepts_of<'a>(
    sentence: &'a TermSentence,
    found: &[FoundPhrase],
    langs: u16,
    lexicon: &'a Lexicon,
) -> Vec<(&'a str, usize, usize)> {
    let classes = sentence.tokens.iter().enumerate();
    let classes = classes.filter(|(_, token)| token.is_class());
    let mut all: Vec<(&str, usize, usize)> = found
        .iter()
        .filter(|it| it.langs & langs != 0)
        .map(|it| (lexicon.name(it.concept), it.start, it.len))
        .chain(classes.map(|(at, token)| (token.text.as_str(), at, 1)))
        .collect();
    all.sort_by_key(|(name, start, len)| (*start, *len, *name));
    all
}

/// The languages in which most of the message was found. `found` has the languages of each thing
/// that was found, and how many words it has.
fn languages(found: impl Iterator<Item = (u16, usize)>) -> u16 {
    let mut counts = [0.0_f32; 16];
    for (langs, words) in found {
        let share = words as f32 / langs.count_ones().max(1) as f32;
        for (at, count) in counts.iter_mut().enumerate() {
            if langs & (1 << at) != 0 {
                *count += share;
            }
        }
    }
    let most = counts.iter().copied().fold(0.0, f32::max);
    let limit = most * MOST_OF;
    let of_most = counts.iter().enumerate().filter(|(_, count)| **count >= limit);
    of_most.fold(0, |langs, (at, _)| langs | (1 << at))
}

fn of_concepts(sentences: &[TermSentence], all: &mut Collected) {
    let lexicon = Lexicon::compiled_in();
    let found: Vec<Vec<FoundPhrase>> =
        sentences.iter().map(|it| lexicon.find(&it.tokens)).collect();
    let langs = languages(found.iter().flatten().map(|it| (it.langs, it.len)));
    let mut in_message: BTreeSet<&str> = BTreeSet::new();
    let mut before = "^";
    for (at, (sentence, found)) in sentences.iter().zip(&found).enumerate() {
        let concepts = concepts_of(sentence, found, langs, lexicon);
        let mut here: BTreeSet<&str> = concepts.iter().map(|(name, ..)| *name).collect();
        for (name, start, len) in &concepts {
            all.add(Kind::Concept, &[name], CONCEPT);
            if *len >= 3 {
                all.add(Kind::LongConcept, &[name], CONCEPT * 0.7);
            }
            if is_negated(&concepts, name, *start, *len) {
                all.add(Kind::NegatedConcept, &[name], CONCEPT);
            }
            if before != *name {
                all.add(Kind::Next, &[before, name], NEXT);
            }
            before = name;
        }
        if sentence.is_question() {
            for name in &here {
                all.add(Kind::Asked, &[name], ASKED);
            }
            here.insert("?");
        }
        for (first, name) in here.iter().enumerate() {
            for other in here.iter().skip(first + 1) {
                all.add(Kind::Together, &[name, other], TOGETHER);
            }
            if at == 0 {
                all.add(Kind::InFirst, &[name], CONCEPT * 0.5);
            }
            if at + 1 == sentences.len() {
                all.add(Kind::InLast, &[name], CONCEPT * 0.4);
            }
        }
        in_message.extend(here);
    }
    for (first, name) in in_message.iter().enumerate() {
        for other in in_message.iter().skip(first + 1) {
            all.add(Kind::InMessage, &[name, other], TOGETHER * 0.5);
        }
    }
    match in_message.len() {
        0 => all.add(Kind::None, &[], CONCEPT),
        1 => in_message.iter().for_each(|only| all.add(Kind::Only, &[only], CONCEPT)),
        _ => {}
    }
}

fn is_negated(concepts: &[(&str, usize, usize)], name: &str, start: usize, len: usize) -> bool {
    name != "negation"
        && concepts.iter().any(|(other, at, _)| {
            *other == "negation"
                && (*at < start && start - at <= NEGATED_BEFORE
                    || *at >= start + len && at - (start + len) < NEGATED_BEHIND)
        })
}

/// Signs that say how others are to be read.
const KINDS_OF_SIGNS: [&str; 4] = ["demand", "negated", "call", "machine"];

/// What looks like an opt-out.
fn of_signs(input: &Input<'_>, all: &mut Collected) {
    let Input { text, sentences, .. } = *input;
    let signs = text.signs();
    let is_asked = sentences.iter().any(TermSentence::is_question);
    for sign in &signs {
        all.add(Kind::Sign, &[sign], SIGN);
    }
    let few: Vec<&str> = signs.iter().copied().filter(|it| KINDS_OF_SIGNS.contains(it)).collect();
    if !few.is_empty() {
        all.add(Kind::Signs, &[&few.join(" "), if is_asked { "?" } else { "." }], SIGN);
    }
    let negated = signs.iter().filter(|it| it.ends_with('?')).count();
    let meant = signs.len() - few.len() - negated;
    let count = |count: usize| ["0", "1", "2", "3"].get(count).copied().unwrap_or("4");
    if negated + meant > 0 {
        all.add(Kind::Signs, &[count(meant), count(negated)], SIGN);
    }
    if text.says_so() {
        all.add(Kind::Signs, &["says"], SIGN);
    }
    if text.has_phrase() {
        all.add(Kind::Signs, &["phrase"], SIGN);
    }
}

/// What words may be in an opt-out, such as a verb of removing or a list: alone, two in a sentence,
/// and one behind the other. What is learned of them in one language holds in all.
fn of_parts(input: &Input<'_>, all: &mut Collected) {
    let read = input.text.parts();
    let parts = read.iter().flat_map(|it| &it.words).flatten();
    let langs = languages(parts.map(|(_, langs)| (*langs, 1)));
    for sentence in &read {
        let mut here: BTreeSet<&str> = BTreeSet::new();
        let mut before: Vec<&str> = Vec::new();
        for word in &sentence.words {
            let of_langs = word.iter().filter(|(_, it)| it & langs != 0);
            let names: Vec<&str> = of_langs.map(|(name, _)| *name).collect();
            if names.is_empty() {
                continue;
            }
            for last in &before {
                for name in names.iter().filter(|it| *it != last) {
                    all.add(Kind::NextPart, &[last, name], PARTS);
                }
            }
            here.extend(&names);
            before = names;
        }
        for name in &here {
            all.add(Kind::Part, &[name], PART);
        }
        if sentence.is_question {
            here.insert("?");
        }
        for (first, name) in here.iter().enumerate() {
            for other in here.iter().skip(first + 1) {
                all.add(Kind::Parts, &[name, other], PARTS);
            }
        }
    }
}

/// The subject of a mail, unless it is that of an answer, which is our own.
fn of_subject(input: &Input<'_>, all: &mut Collected) {
    let Some(subject) = input.subject else { return };
    if mail_subject::is_answer(subject) {
        return;
    }
    let sentences = tokens::sentences(mail_subject::without_marks(subject));
    let words = sentences.iter().flat_map(|it| &it.tokens).take(SUBJECT_WORDS_MAX);
    let words: Vec<Term> = words.cloned().collect();
    let lexicon = Lexicon::compiled_in();
    for word in &words {
        all.add(Kind::Subject, &[&word.text], 1.0);
    }
    let found: BTreeSet<u16> = lexicon.find(&words).into_iter().map(|it| it.concept).collect();
    for concept in found {
        all.add(Kind::SubjectConcept, &[lexicon.name(concept)], 1.0);
    }
}
