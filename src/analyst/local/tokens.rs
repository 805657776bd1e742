//! Reads a message as sentences of tokens: words in one spelling, and classes for numbers, times,
//! days, months and addresses.
//!
//! What the weights were trained on depends on every line here: a change is a new
//! [`super::features::VERSION`].

use crate::domain::{folded, opt_out::ReadText, text};
use std::{collections::HashMap, sync::LazyLock};

/// How many bytes of a message are read. People who write more say what they want before that.
const READ_MAX: usize = 20_000;
/// The fewest digits of a phone number.
const PHONE_DIGITS_MIN: usize = 7;
/// The longest word that is read whole, in bytes.
const WORD_MAX: usize = 40;

pub(super) const DAY: &str = "<day>";
pub(super) const TIME: &str = "<time>";
pub(super) const DATE: &str = "<date>";
pub(super) const MONTH: &str = "<month>";
pub(super) const PHONE: &str = "<phone>";
pub(super) const AMOUNT: &str = "<amount>";
pub(super) const LINK: &str = "<link>";
pub(super) const MAIL: &str = "<mail>";
pub(super) const NUMBER: &str = "<number>";
const YEAR: &str = "<year>";

/// Names of days, folded.
const DAYS: &str = " monday tuesday wednesday thursday friday saturday sunday mon tue tues wed weds thu thurs fri \
    montag dienstag mitwoch donerstag freitag samstag sonabend sontag montags dienstags mitwochs donerstags freitags \
    lundi mardi mercredi jeudi vendredi samedi dimanche lunes martes miercoles jueves viernes sabado domingo \
    lunedi martedi mercoledi giovedi venerdi sabato domenica segunda terca quarta quinta sexta \
    mandag dinsdag woensdag donderdag vrijdag zaterdag zondag wonsdag mandag tisdag tirsdag onsdag torsdag fredag lordag \
    sondag mandagen tisdagen tirsdagen onsdagen torsdagen fredagen lordagen sondagen ";
/// Names of months, folded.
const MONTHS: &str = " january february march april june july august september october november december jan feb sept \
    oct nov dec januar februar marz juni juli oktober dezember janvier fevrier mars avril juin juilet aout septembre \
    octobre novembre decembre enero febrero marzo mayo junio julio agosto septiembre octubre noviembre diciembre genaio \
    febraio aprile magio giugno luglio setembre otobre dicembre janeiro fevereiro marco maio junho julho agosto setembro \
    outubro novembro dezembro januari februari mart augustus augusti maj ";
/// Words for a time of day that need no number.
const NOONS: &str =
    " non midday mitags mitag midi mediodia mezogiorno mezodi meiodia midag midagstid lunchtime ";
/// Words that make the number before them a time of day.
const AFTER_TIME: &str = " uhr h am pm oclock hrs heures heure horas hora hs ure ur ore klockan ";
/// Words that make the number behind them a time of day.
const BEFORE_TIME: &str = " at um kl klo klockan klokan klokken las ale as om rond gegen vers hacia verso ab a from til \
    before after around by nach vor pas apres avant depois antes ";
/// What is split from the word behind it: "l'offre", "dell'ufficio".
const ELIDED: &str = " c d j l m n s t qu del al un nel sul dal quest bel sant ";

/// The classes of words, by their spelling.
static CLASSES: LazyLock<HashMap<String, &str>> = LazyLock::new(|| {
    let lists = [(DAYS, DAY), (MONTHS, MONTH), (NOONS, TIME)];
    let of_list = |(names, class): (&'static str, &'static str)| {
        names.split_whitespace().map(move |name| (squashed(name), class))
    };
    lists.into_iter().flat_map(of_list).collect()
});

/// One token: a word, or the name of a class in angle brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Term {
    pub(super) text: String,
}

impl Term {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    /// True if the token stands for a class.
    pub(super) fn is_class(&self) -> bool {
        self.text.starts_with('<')
    }
}

/// One sentence, without the mark at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TermSentence {
    pub(super) tokens: Vec<Term>,
    /// The mark at its end: `?`, `!` or `.`.
    pub(super) end: char,
}

impl TermSentence {
    pub(super) const fn is_question(&self) -> bool {
        self.end == '?'
    }
}

/// The part of a message that is read.
pub(super) fn beginning(message: &str) -> &str {
    text::beginning(message, READ_MAX)
}

/// The sentences of a message.
pub(super) fn sentences(message: &str) -> Vec<TermSentence> {
    of_folded(&folded(beginning(message)))
}

/// The sentences of a message that is folded already.
pub(super) fn sentences_of(message: &ReadText<'_>) -> Vec<TermSentence> {
    let is_read_whole = beginning(message.source()).len() == message.source().len();
    if is_read_whole { of_folded(message.folded()) } else { sentences(message.source()) }
}

fn of_folded(text: &str) -> Vec<TermSentence> {
    let mut reader = TermReader::default();
    for line in text.split('\n') {
        for chunk in line.split(' ') {
            reader.chunk(chunk);
        }
        reader.stop('.');
    }
    reader.sentences
}

/// The words of a phrase of the lexicon, spelt like the words of messages.
pub(super) fn words(phrase: &str) -> Vec<String> {
    let mut reader = TermReader::default();
    for chunk in folded(phrase).split([' ', '\n']) {
        reader.chunk(chunk);
    }
    reader.stop('.');
    reader.sentences.into_iter().flat_map(|it| it.tokens).map(|it| it.text).collect()
}

#[derive(Default)]
struct TermReader {
    sentences: Vec<TermSentence>,
    open: Vec<Term>,
}

impl TermReader {
    /// Ends the sentence. A question mark behind an exclamation mark counts.
    fn stop(&mut self, mark: char) {
        if self.open.is_empty() {
            if let Some(last) = self.sentences.last_mut().filter(|_| mark == '?') {
                last.end = '?';
            }
            return;
        }
        let tokens = with_times(std::mem::take(&mut self.open));
        self.sentences.push(TermSentence { tokens, end: mark });
    }

    /// Reads what stands between two blanks.
    fn chunk(&mut self, chunk: &str) {
        let bare = chunk.trim_matches(|it: char| !it.is_alphanumeric());
        if is_link(bare) {
            self.open.push(Term::new(LINK));
            return;
        }
        if is_iso_date(bare) {
            self.open.push(Term::new(DATE));
            return;
        }
        if bare.split_once('@').is_some_and(|(_, host)| host.contains('.')) {
            self.open.push(Term::new(MAIL));
            return;
        }
        let mut word = String::new();
        let mut chars = chunk.chars().peekable();
        while let Some(char) = chars.next() {
            let next = chars.peek().copied().unwrap_or(' ');
            let is_in_number =
                word.ends_with(|it: char| it.is_ascii_digit()) && next.is_ascii_digit();
            match char {
                _ if char.is_alphanumeric() => word.push(char),
                '\'' if !word.is_empty() && next.is_alphanumeric() => word.push(char),
                '.' | ',' | ':' | '/' if is_in_number => word.push(char),
                '-' if word == "e" => {}
                '€' | '$' | '£' | '%' => {
                    self.word(&mut word);
                    self.open.push(Term::new(AMOUNT));
                }
                '.' | '!' | '?' | ';' | '…' => {
                    self.word(&mut word);
                    self.stop(if char == ';' || char == '…' { '.' } else { char });
                }
                _ if char.is_ascii() => self.word(&mut word),
                _ => {
                    self.word(&mut word);
                    self.open.push(Term::new(char));
                }
            }
        }
        self.word(&mut word);
    }

    /// Takes a word as one token, or two if its start is elided.
    fn word(&mut self, word: &mut String) {
        let taken = std::mem::take(word);
        if taken.is_empty() || taken.len() > WORD_MAX {
            return;
        }
        if taken.starts_with(|it: char| it.is_ascii_digit()) {
            self.open.push(Term::new(number_class(&taken)));
            return;
        }
        let mut rest = taken.as_str();
        if let Some((start, behind)) = taken.split_once('\'') {
            let start = squashed(start);
            if behind.len() > 1 && is_in(ELIDED, &start) {
                self.open.push(Term::new(start));
                rest = behind;
            }
        }
        let word = squashed(&rest.replace('\'', ""));
        let class = CLASSES.get(&word).copied();
        self.open.push(Term::new(class.map_or(word, str::to_owned)));
    }
}

/// True if the word stands in a list of words, each between blanks.
fn is_in(list: &str, word: &str) -> bool {
    list.match_indices(word).any(|(at, _)| {
        list.get(..at).is_some_and(|before| before.ends_with(' '))
            && list.get(at + word.len()..).is_some_and(|after| after.starts_with(' '))
    })
}

/// True for a date such as 2025-12-05.
fn is_iso_date(chunk: &str) -> bool {
    let parts: Vec<&str> = chunk.split('-').collect();
    matches!(parts.as_slice(), [year, month, day] if (year.len(), month.len(), day.len()) == (4, 2, 2))
        && parts.concat().chars().all(|it| it.is_ascii_digit())
}

fn is_link(chunk: &str) -> bool {
    const HOSTS: [&str; 9] = [
        "calendly",
        "savvycal",
        "tidycal",
        "zcal.co",
        "cal.com/",
        "meetings.hubspot",
        "calendar.app",
        "outlook.office",
        "doodle.com",
    ];
    chunk.contains("://")
        || chunk.starts_with("www.")
        || HOSTS.into_iter().any(|host| chunk.contains(host) && chunk.contains('.'))
        || chunk.split_once('/').is_some_and(|(host, _)| {
            host.split_once('.').is_some_and(|(name, top)| {
                !name.is_empty() && top.len() >= 2 && top.chars().all(|it| it.is_ascii_alphabetic())
            })
        })
}

/// One spelling for words that people write in several: `ae` and `ä`, `ss` and `ß`, doubled
/// letters.
fn squashed(word: &str) -> String {
    let mut squashed = String::with_capacity(word.len());
    let mut last = ' ';
    for char in word.chars() {
        let char = match char {
            'ß' => 's',
            'œ' => 'o',
            other => other,
        };
        let is_umlaut = char == 'e' && matches!(last, 'a' | 'o' | 'u');
        if char != last && !is_umlaut {
            squashed.push(char);
            last = char;
        }
    }
    squashed
}

/// The class of a token that starts with a digit.
fn number_class(token: &str) -> &'static str {
    let digits = token.chars().filter(char::is_ascii_digit).count();
    let letters: String = token.chars().filter(|it| it.is_alphabetic()).collect();
    let is_hour = token.chars().take_while(char::is_ascii_digit).count() <= 2;
    match letters.as_str() {
        "" if digits <= 8 && token.matches('.').count() == 2 => DATE,
        _ if digits >= PHONE_DIGITS_MIN && !token.contains(['/', ':']) => PHONE,
        "h" | "am" | "pm" | "uhr" | "hs" | "hrs" | "uur" | "oclock" if is_hour => TIME,
        "st" | "nd" | "rd" | "th" => DATE,
        "k" | "eur" | "kr" | "usd" | "m" | "x" => AMOUNT,
        "" if token.contains(':') => TIME,
        "" if token.contains('/') => DATE,
        "" if digits == 4 && (token.starts_with("19") || token.starts_with("20")) => YEAR,
        _ => NUMBER,
    }
}

/// Finds times of day and phone numbers of several tokens.
fn with_times(tokens: Vec<Term>) -> Vec<Term> {
    let mut read: Vec<Term> = Vec::with_capacity(tokens.len());
    let mut numbers = 0;
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let is_number = matches!(token.text.as_str(), NUMBER | YEAR);
        numbers = if is_number || token.text == PHONE { numbers + 1 } else { 0 };
        if numbers >= 3 {
            // Groups of digits: a phone number.
            read.truncate(read.len() - 1);
            if let Some(last) = read.last_mut() {
                last.text = PHONE.to_owned();
            }
            numbers = 2;
            read.push(Term::new(PHONE));
            continue;
        }
        if token.text == NUMBER {
            let is_hour = tokens.peek().is_some_and(|next| is_in(AFTER_TIME, &next.text))
                || read.last().is_some_and(|before| is_in(BEFORE_TIME, &before.text))
                    && tokens.peek().is_none_or(|next| !next.is_class());
            read.push(Term::new(if is_hour { TIME } else { NUMBER }));
            continue;
        }
        read.push(token);
    }
    read.dedup_by(|next, before| next.text == PHONE && before.text == PHONE);
    read
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(message: &str) -> String {
        let of = |it: TermSentence| {
            let words: Vec<String> = it.tokens.into_iter().map(|it| it.text).collect();
            format!("{}{}", words.join(" "), it.end)
        };
        sentences(message).into_iter().map(of).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn words_have_one_spelling() {
        assert_eq!(read("Über die Grüße, STRASSE"), read("ueber die Gruesse, straße"));
        assert_eq!(read("I don’t know. Really?!"), "i dont know. realy?");
        assert_eq!(read("J'ai l’offre"), "j ai l ofre.");
        assert_eq!(read("Rappelez-moi par e-mail"), "rapelez moi par email.");
    }

    #[test]
    fn numbers_days_and_addresses_are_classes() {
        assert_eq!(read("Tuesday at 10 or 3pm"), "<day> at <time> or <time>.");
        assert_eq!(read("Dienstag um 15 Uhr, mardi 14h30"), "<day> um <time> uhr <day> <time>.");
        assert_eq!(read("my number: 06 12 34 56 78"), "my number <phone>.");
        assert_eq!(read("2025-12-05 jueves 05.12.2025"), "<date> <day> <date>.");
        assert_eq!(read("+1 415 555 0100"), "<phone>.");
        assert_eq!(read("5 people, 20%"), "<number> people <number> <amount>.");
        assert_eq!(read("see https://x.example/a?b=c or a@b.example."), "se <link> or <mail>.");
    }

    #[test]
    fn only_the_beginning_of_a_message_is_read() {
        let whole = "é ".repeat(READ_MAX);
        for text in ["one. Two", &whole] {
            let read = sentences_of(&ReadText::of(text));
            assert!(read == sentences(text), "{} bytes", text.len());
            assert!(read.iter().map(|it| it.tokens.len()).sum::<usize>() * 3 <= READ_MAX + 3);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            prop_assert_eq!(sentences_of(&ReadText::of(&text)), sentences(&text));
            words(&text);
        }
    }
}
