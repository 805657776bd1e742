//! Reads a folded text as sentences of words, each with the parts of a demand that it may be.

use std::collections::HashMap;

/// The words of all parts, by language.
pub(super) const VOCABULARY: &str = include_str!("vocabulary.tsv");
/// The languages, each a bit in the order of this list.
const LANGS: [&str; 10] = ["en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "nb"];
/// A word of all languages.
const ALL_LANGS: u16 = (1 << LANGS.len()) - 1;
/// A line at least this long was broken by a mail program, not by its writer.
const WRAPPED_LINE_MIN: usize = 50;
/// The most words that are read as one sentence.
const WORDS_MAX: usize = 60;
/// What is split from the word behind it: "m'écrire", "dell'elenco".
const ELIDED: &str = " c d j l m n s t qu dell nell all dall un quell quest ";

macro_rules! parts {
    ($($name:ident = $text:literal,)*) => {
        /// What a word may be in a demand.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub(super) enum DemandPart { $($name,)* }
        const NAMES: &[(&str, DemandPart)] = &[$(($text, DemandPart::$name),)*];
    };
}

parts! {
    Not = "not", None = "none", More = "more", Me = "me", My = "my", Remove = "remove",
    Take = "take", Off = "off", Unsub = "unsub", Stop = "stop", Contact = "contact", Msg = "msg",
    List = "list", Data = "data", Wish = "wish", Hear = "hear", You = "you", Last = "last",
    Leave = "leave", Alone = "alone", SelfDone = "selfdone", Quiet = "quiet", Forget = "forget",
    Law = "law", Spam = "spam", Report = "report", Insult = "insult", Consent = "consent",
    Thing = "thing", About = "about", Speaker = "self", Limit = "limit", Calm = "calm",
    Say = "say", Need = "need", Call = "call", Instead = "instead", Halt = "halt",
}
const PARTS: usize = 38;

/// A word of a sentence.
#[derive(Debug)]
pub(super) struct DemandWord {
    /// Its bytes in the folded text.
    pub(super) start: usize,
    pub(super) end: usize,
    /// True if a comma or a broken line is before it.
    pub(super) is_after_mark: bool,
    /// True if it stands in quotes: it is somebody else's word.
    pub(super) is_quoted: bool,
    text: String,
    langs: [u16; PARTS],
}

impl DemandWord {
    /// The parts that it may be, each with its languages.
    fn parts(&self) -> impl Iterator<Item = (&'static str, u16)> {
        let all = NAMES.iter().zip(&self.langs).map(|((name, _), langs)| (*name, *langs));
        all.filter(|(_, langs)| *langs != 0)
    }

    /// The languages in which it is that part: a bit each.
    pub(super) fn langs(&self, part: DemandPart) -> u16 {
        self.langs.get(part as usize).copied().unwrap_or_default()
    }
}

/// A sentence.
#[derive(Debug, Default)]
pub(super) struct DemandSentence {
    pub(super) words: Vec<DemandWord>,
    pub(super) is_question: bool,
}

/// What the words of a sentence may be in a demand.
#[derive(Debug)]
pub(crate) struct SentenceParts {
    /// True if the sentence is a question.
    pub(crate) is_question: bool,
    /// Of each word, in order, the names of the parts that it may be, each with its languages: a
    /// bit each. Words that are no part are left out.
    pub(crate) words: Vec<Vec<(&'static str, u16)>>,
}

impl DemandSentence {
    /// What its words may be.
    pub(super) fn parts(&self) -> SentenceParts {
        let words = self.words.iter().map(|word| word.parts().collect::<Vec<_>>());
        let words = words.filter(|it| !it.is_empty()).collect();
        SentenceParts { is_question: self.is_question, words }
    }

    /// The words around the word `at` that no mark separates from it.
    pub(super) fn clause_of(&self, at: usize) -> &[DemandWord] {
        let is_start = |place: &usize| self.words.get(*place).is_some_and(|it| it.is_after_mark);
        let start = (0..=at).rev().find(is_start).unwrap_or(0);
        let end = (at + 1..self.words.len()).find(is_start).unwrap_or(self.words.len());
        self.words.get(start..end).unwrap_or_default()
    }
}

#[derive(Debug)]
enum PhrasePiece {
    Word(String),
    Start(String),
    End(String),
    Any,
}

impl PhrasePiece {
    fn of(text: &str) -> Self {
        match (text.strip_prefix('*'), text.strip_suffix('*')) {
            (Some(""), _) => Self::Any,
            (Some(end), _) => Self::End(squashed(end.trim_end_matches('*'))),
            (_, Some(start)) => Self::Start(squashed(start)),
            _ => Self::Word(squashed(text)),
        }
    }

    fn is(&self, word: &str) -> bool {
        match self {
            Self::Word(it) => it == word,
            Self::Start(it) => word.starts_with(it.as_str()),
            Self::End(it) => word.len() > it.len() && word.ends_with(it.as_str()),
            Self::Any => true,
        }
    }
}

#[derive(Debug)]
struct VocabularyEntry {
    pieces: Vec<PhrasePiece>,
    part: DemandPart,
    langs: u16,
}

/// Reads texts by the vocabulary.
#[derive(Debug, Default)]
pub(super) struct DemandReader {
    /// Entries, by the first two letters of their first word.
    by_start: HashMap<[char; 2], Vec<VocabularyEntry>>,
    /// Entries whose first word is known by its end.
    by_end: Vec<VocabularyEntry>,
}

impl DemandReader {
    pub(super) fn compiled_in() -> Self {
        let mut reader = Self::default();
        for line in VOCABULARY.lines() {
            let mut columns = line.split('\t');
            let (Some(name), Some(lang), Some(words)) =
                (columns.next(), columns.next(), columns.next())
            else {
                continue;
            };
            let Some((_, part)) = NAMES.iter().find(|(it, _)| *it == name) else { continue };
            let langs = LANGS.iter().position(|it| *it == lang).map_or(ALL_LANGS, |at| 1 << at);
            for phrase in words.split('|') {
                reader.add(phrase, *part, langs);
            }
        }
        reader
    }

    fn add(&mut self, phrase: &str, part: DemandPart, langs: u16) {
        let texts: Vec<String> = split(phrase, true).map(|(_, text)| text.to_owned()).collect();
        let pieces: Vec<PhrasePiece> = texts.iter().map(|it| PhrasePiece::of(it)).collect();
        let entry = |pieces| VocabularyEntry { pieces, part, langs };
        match pieces.first() {
            Some(PhrasePiece::Word(it) | PhrasePiece::Start(it)) => {
                self.by_start.entry(start_of(it)).or_default().push(entry(pieces));
            }
            Some(_) => self.by_end.push(entry(pieces)),
            None => {}
        }
    }

    /// The sentences of a folded text.
    pub(super) fn read(&self, text: &str) -> Vec<DemandSentence> {
        let mut all = vec![DemandSentence::default()];
        let mut line_start = 0;
        let mut is_after_mark = false;
        let mut is_quoted = false;
        for (at, piece) in split(text, false) {
            let is_word = piece.starts_with(char::is_alphanumeric) || piece == "+";
            let open = all.last().map_or(0, |it| it.words.len());
            if is_word && open < WORDS_MAX {
                if let Some(sentence) = all.last_mut() {
                    let (start, end) = (at, at + piece.len());
                    let text = squashed(piece);
                    let langs = [0; PARTS];
                    sentence.words.push(DemandWord {
                        start,
                        end,
                        is_after_mark,
                        is_quoted,
                        text,
                        langs,
                    });
                }
                is_after_mark = false;
                continue;
            }
            if piece == "\"" {
                is_quoted = !is_quoted;
                continue;
            }
            let is_long = at - line_start >= WRAPPED_LINE_MIN;
            if piece == "\n" {
                is_quoted = false;
                line_start = at;
            }
            let is_end = is_word
                || matches!(piece, "." | "!" | "?" | ";" | "…")
                || (piece == "\n" && !is_long);
            is_after_mark = true;
            if let Some(sentence) = all.last_mut().filter(|_| is_end) {
                sentence.is_question |= piece == "?";
                if !sentence.words.is_empty() {
                    all.push(DemandSentence::default());
                }
            }
        }
        all.iter_mut().for_each(|sentence| self.mark(sentence));
        all
    }

    /// Says of each word what parts it may be.
    fn mark(&self, sentence: &mut DemandSentence) {
        for at in 0..sentence.words.len() {
            let Some(rest) = sentence.words.get(at..) else { continue };
            let Some(first) = rest.first() else { continue };
            let of_start = self.by_start.get(&start_of(&first.text)).into_iter().flatten();
            let is_there = |entry: &&VocabularyEntry| {
                entry.pieces.len() <= rest.len()
                    && entry.pieces.iter().zip(rest).all(|(piece, word)| piece.is(&word.text))
            };
            let all = of_start.chain(&self.by_end);
            let found: Vec<(DemandPart, u16)> =
                all.filter(is_there).map(|entry| (entry.part, entry.langs)).collect();
            let Some(word) = sentence.words.get_mut(at) else { continue };
            for (part, langs) in found {
                if let Some(known) = word.langs.get_mut(part as usize) {
                    *known |= langs;
                }
            }
        }
    }
}

fn start_of(word: &str) -> [char; 2] {
    let mut chars = word.chars();
    [chars.next().unwrap_or(' '), chars.next().unwrap_or(' ')]
}

/// The words and the marks of a folded text, with their places. Words of the vocabulary may hold
/// `*`.
fn split(text: &str, is_vocabulary: bool) -> impl Iterator<Item = (usize, &str)> {
    let is_in = move |it: char| it.is_alphanumeric() || it == '\'' || (is_vocabulary && it == '*');
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = text.get(at..)?;
            let first = rest.chars().next()?;
            let start = at;
            if !is_in(first) || first == '\'' {
                at += first.len_utf8();
                if matches!(first, ' ' | '-' | '\'' | '(' | ')') {
                    continue;
                }
                return Some((start, rest.get(..first.len_utf8())?));
            }
            let len = rest.find(|it: char| !is_in(it)).unwrap_or(rest.len());
            let mut word = rest.get(..len)?;
            // "e-mail" is one word.
            if word == "e" && rest.get(1..5) == Some("-mai") {
                let end =
                    rest.get(2..)?.find(|it: char| !is_in(it)).map_or(rest.len(), |it| it + 2);
                at += end;
                return Some((start + 2, rest.get(2..end)?));
            }
            if let Some((elided, _)) = word.split_once('\'')
                && ELIDED.contains(&format!(" {elided} "))
            {
                word = elided;
                at += word.len() + 1;
            } else {
                at += len;
            }
            return Some((start, word.trim_end_matches('\'')));
        }
    })
}

/// A word in one spelling: umlauts written as two letters, and double letters, are one.
fn squashed(word: &str) -> String {
    let mut all = String::with_capacity(word.len());
    let is_long = word.len() > 3;
    for char in word.chars() {
        let char = if char == 'ß' { 's' } else { char };
        let last = all.chars().next_back();
        let is_umlaut = char == 'e' && matches!(last, Some('a' | 'o' | 'u'));
        if is_long && (is_umlaut || last == Some(char)) {
            continue;
        }
        all.push(char);
    }
    all
}
