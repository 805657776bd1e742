//! Finds the parts of an answer that repeat a message of ours (docs/RULES.md TEXT). The work is
//! linear in both texts.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    ops::Range,
};

/// How many consecutive words identify a place in our text.
const SHINGLE: usize = 4;
/// The least words of a run that counts as a quote. People repeat shorter ones in their own words.
const RUN_WORDS: usize = 8;
/// The least bytes of a run that counts as a quote.
const RUN_BYTES: usize = 30;
/// The least words of a run between quotation marks that counts as a quote.
const MARKED_WORDS: usize = 3;
/// The least words of a whole line of ours that counts as a quote.
const LINE_WORDS: usize = 4;
/// The most places of our text that are compared for each run.
const PLACES_MAX: usize = 4;
/// The longest introduction of a quote, in bytes.
const INTRODUCTION_BYTES: usize = 400;
/// The most lines of an introduction.
const INTRODUCTION_LINES: usize = 4;

/// `text` without the parts that repeat one of `ours`, and without the lines that introduce them.
///
/// `None` if nothing in it repeats ours. Empty if all of it does.
pub fn cut_what_repeats<'a>(text: &str, ours: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let ours = Ours::of(ours);
    if ours.words.is_empty() {
        return None;
    }
    let quoted = ours.runs_in(text);
    let mut lines: Vec<AnswerLine<'_>> = lines_of(text, &quoted);
    ours.mark_whole_lines(&mut lines);
    if lines.iter().all(|line| line.cut.is_empty() && !line.is_quoted) {
        return None;
    }
    mark_what_stands_between(&mut lines);
    mark_introductions(&mut lines);
    Some(joined(&lines))
}

/// True if `text` may hold a quote: it has several lines, quotation marks, or more than 160 bytes.
pub fn may_repeat(text: &str) -> bool {
    text.trim().contains(['\n', '“', '”', '„', '«', '»', '"', '「', '『', '>']) || text.len() > 160
}

/// A word of a text.
struct Word {
    /// Of its letters, in small letters.
    hash: u64,
    /// Its bytes in the text.
    at: Range<usize>,
}

/// The words of a text. In a script without blanks, each sign is a word.
fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut open: Option<(usize, DefaultHasher)> = None;
    let close = |open: &mut Option<(usize, DefaultHasher)>, end: usize, words: &mut Vec<Word>| {
        if let Some((start, hasher)) = open.take() {
            words.push(Word { hash: hasher.finish(), at: start..end });
        }
    };
    for (at, char) in text.char_indices() {
        let is_sign = matches!(char, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}');
        if is_sign || !char.is_alphanumeric() {
            close(&mut open, at, &mut words);
        }
        if char.is_alphanumeric() {
            let (_, hasher) = open.get_or_insert_with(|| (at, DefaultHasher::new()));
            char.to_lowercase().for_each(|letter| letter.hash(hasher));
        }
        if is_sign {
            close(&mut open, at + char.len_utf8(), &mut words);
        }
    }
    close(&mut open, text.len(), &mut words);
    words
}

fn hash_of(words: &[Word]) -> u64 {
    let mut hasher = DefaultHasher::new();
    words.iter().for_each(|word| word.hash.hash(&mut hasher));
    hasher.finish()
}

/// Our own texts, indexed for comparing.
struct Ours {
    /// The hashes of all words, text after text.
    words: Vec<u64>,
    /// Indices in `words` at which a run of `SHINGLE` words starts, by the run's hash; at most
    /// `PLACES_MAX` each.
    places: HashMap<u64, Vec<usize>>,
    /// The hashes of all runs of `MARKED_WORDS` words.
    triples: HashSet<u64>,
    /// The hashes of all lines that have a word.
    lines: HashSet<u64>,
}

impl Ours {
    fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut index = Self {
            words: Vec::new(),
            places: HashMap::new(),
            triples: HashSet::new(),
            lines: HashSet::new(),
        };
        for text in texts {
            let start = index.words.len();
            let all = words(text);
            index.words.extend(all.iter().map(|word| word.hash));
            for (at, shingle) in all.windows(SHINGLE).enumerate() {
                let places = index.places.entry(hash_of(shingle)).or_default();
                if places.len() < PLACES_MAX {
                    places.push(start + at);
                }
            }
            index.triples.extend(all.windows(MARKED_WORDS).map(hash_of));
            for line in text.lines() {
                let line = words(line);
                if !line.is_empty() {
                    index.lines.insert(hash_of(&line));
                }
            }
        }
        index
    }

    /// The parts of `text`, in bytes, that are runs of our words and long enough to be a quote.
    fn runs_in(&self, text: &str) -> Vec<Range<usize>> {
        let all = words(text);
        let mut runs: Vec<Range<usize>> = Vec::new();
        let mut at = 0;
        while let Some(shingle) = all.get(at..at + SHINGLE) {
            let places = self.places.get(&hash_of(shingle)).map(Vec::as_slice).unwrap_or_default();
            let run = places.iter().map(|place| self.length(&all, at, *place)).max().unwrap_or(0);
            let part = all.get(at..at + run).unwrap_or_default();
            if let (Some(first), Some(last)) = (part.first(), part.last()) {
                let range = first.at.start..last.at.end;
                if (run >= RUN_WORDS && range.len() >= RUN_BYTES) || is_marked(text, &range) {
                    runs.push(range);
                }
            }
            at += run.max(1);
        }
        if runs.is_empty() {
            runs.extend(self.short_marked(text, &all));
        }
        runs
    }

    /// The first part between quotation marks that is a run of `MARKED_WORDS` words of ours, which
    /// is shorter than a shingle.
    fn short_marked(&self, text: &str, all: &[Word]) -> Option<Range<usize>> {
        let part = all.windows(MARKED_WORDS).find(|part| {
            let (Some(first), Some(last)) = (part.first(), part.last()) else { return false };
            self.triples.contains(&hash_of(part)) && is_marked(text, &(first.at.start..last.at.end))
        })?;
        Some(part.first()?.at.start..part.last()?.at.end)
    }

    /// How many words the run has that starts at word `at` of the answer and at word `place` of
    /// ours.
    fn length(&self, all: &[Word], at: usize, place: usize) -> usize {
        let theirs = all.get(at..).unwrap_or_default().iter().map(|word| word.hash);
        let ours = self.words.get(place..).unwrap_or_default().iter().copied();
        theirs.zip(ours).take_while(|(theirs, ours)| theirs == ours).count()
    }

    /// Marks the lines that are whole lines of ours.
    fn mark_whole_lines(&self, lines: &mut [AnswerLine<'_>]) {
        for line in lines {
            let all = words(line.text);
            let is_long = all.len() >= LINE_WORDS;
            line.is_ours = !all.is_empty() && self.lines.contains(&hash_of(&all));
            line.is_quoted |= is_long && line.is_ours;
        }
    }
}

const OPENING: &str = "“„«»\"‟「『‹‘‚";
const CLOSING: &str = "”“«»\"「」』›’…";

/// True if a part stands between quotation marks. Blanks and marks like dots and commas between are
/// ignored.
fn is_marked(text: &str, part: &Range<usize>) -> bool {
    let before = text.get(..part.start).unwrap_or_default();
    let after = text.get(part.end..).unwrap_or_default();
    let is_other = |char: char, ignored: &str| !char.is_whitespace() && !ignored.contains(char);
    let before = before.chars().rev().find(|char| is_other(*char, ".,…"));
    let after = after.chars().find(|char| is_other(*char, ".,!?…)"));
    before.is_some_and(|mark| OPENING.contains(mark))
        && after.is_none_or(|mark| CLOSING.contains(mark))
}

/// A line of an answer.
struct AnswerLine<'a> {
    /// The text of the line without its end.
    text: &'a str,
    /// The parts of it, in bytes, that are ours and are cut out.
    cut: Vec<Range<usize>>,
    /// True if the whole line is dropped: it is ours, or introduces a quote.
    is_quoted: bool,
    /// True if it is a line of ours of any length.
    is_ours: bool,
}

/// The lines of a text, each with the runs in it. A line that consists of runs for four fifths is
/// quoted as a whole.
fn lines_of<'a>(text: &'a str, runs: &[Range<usize>]) -> Vec<AnswerLine<'a>> {
    let (mut start, mut runs) = (0, runs.iter().peekable());
    let mut lines = Vec::new();
    for piece in text.split_inclusive('\n') {
        let (end, shown) = (start + piece.len(), piece.trim_end_matches(['\n', '\r']));
        let mut cut = Vec::new();
        while let Some(run) = runs.peek().filter(|run| run.start < end) {
            let part = run.start.max(start) - start..(run.end.min(end) - start).min(shown.len());
            cut.push(part);
            if run.end > end {
                break;
            }
            runs.next();
        }
        let covered: usize = cut.iter().map(|part| part.len()).sum();
        let is_quoted = covered > 0 && covered * 5 >= shown.trim().len() * 4;
        lines.push(AnswerLine { text: shown, cut, is_quoted, is_ours: false });
        start = end;
    }
    lines
}

/// Marks the short lines of ours (a greeting, a name) next to a quote. Blank lines may stand
/// between.
fn mark_what_stands_between(lines: &mut [AnswerLine<'_>]) {
    let belongs =
        |line: &AnswerLine<'_>| line.is_ours || line.text.trim_matches(['>', ' ', '\t']).is_empty();
    for forward in [true, false] {
        let mut is_beside = false;
        for number in 0..lines.len() {
            let place = if forward { number } else { lines.len() - 1 - number };
            let Some(line) = lines.get_mut(place) else { continue };
            if line.is_quoted {
                is_beside = true;
            } else if is_beside && (line.is_ours || line.text.trim() == ">") {
                line.is_quoted = true;
            } else if !belongs(line) {
                is_beside = false;
            }
        }
    }
}

/// Marks the lines above each quote that introduce it: `… wrote:`, or a block of headers.
fn mark_introductions(lines: &mut [AnswerLine<'_>]) {
    let mut at = 0;
    while at < lines.len() {
        let starts = lines.get(at).is_some_and(|line| line.is_quoted)
            && (at == 0 || !lines.get(at - 1).is_some_and(|line| line.is_quoted));
        if starts {
            mark_introduction(lines, at);
        }
        at += 1;
    }
}

fn mark_introduction(lines: &mut [AnswerLine<'_>], quote: usize) {
    let is_blank = |line: &AnswerLine<'_>| line.text.trim_matches(['>', ' ', '\t']).is_empty();
    let above: Vec<usize> = (0..quote)
        .rev()
        .skip_while(|at| lines.get(*at).is_some_and(is_blank))
        .take_while(|at| lines.get(*at).is_some_and(|line| !is_blank(line) && !line.is_quoted))
        .take(2 * INTRODUCTION_LINES)
        .collect();
    let texts: Vec<&str> =
        above.iter().filter_map(|at| lines.get(*at)).map(|line| line.text.trim()).collect();
    let headers = texts.iter().take_while(|line| is_label(line)).count();
    let count = if headers >= 2 { headers } else { introduction(&texts) };
    for at in above.into_iter().take(count) {
        if let Some(line) = lines.get_mut(at) {
            line.is_quoted = true;
        }
    }
}

/// True for a line like a mail's header: a label of at most three words, then a colon.
fn is_label(line: &str) -> bool {
    line.split_once([':', '：']).is_some_and(|(label, _)| {
        label.len() <= 48
            && label.split_whitespace().count() <= 3
            && !label.contains(['.', ',', '?'])
    })
}

/// How many of `lines`, the lowest first, are a sentence that ends with a colon and names a person
/// or a date.
fn introduction(lines: &[&str]) -> usize {
    let is_end = lines.first().is_some_and(|line| {
        line.trim_end_matches(['*', '_', '\u{200e}', '\u{200f}', '\u{202c}']).ends_with([':', '：'])
    });
    if !is_end {
        return 0;
    }
    let names =
        |line: &str| line.contains('@') || line.bytes().filter(u8::is_ascii_digit).count() >= 3;
    let told = lines.iter().take(INTRODUCTION_LINES).position(|line| names(line));
    let length: usize =
        lines.iter().take(told.map_or(1, |last| last + 1)).map(|line| line.len()).sum();
    // A short line without an address or a date ("Sam schrieb:") introduces a quote, too.
    match told {
        Some(last) if length <= INTRODUCTION_BYTES => {
            // The address may start on the line above, which then ends with `… Sam Reyes <`.
            let goes_on = lines.get(last + 1).is_some_and(|line| line.ends_with('<'));
            last + 1 + usize::from(goes_on)
        }
        _ if lines.first().is_some_and(|line| line.split_whitespace().count() <= 6) => 1,
        _ => 0,
    }
}

/// The lines that are not quoted, without the parts that are cut out, and at most one blank line in
/// a row.
fn joined(lines: &[AnswerLine<'_>]) -> String {
    let mut text = String::new();
    let mut blanks = 0;
    for line in lines.iter().filter(|line| !line.is_quoted) {
        let mut kept = String::with_capacity(line.text.len());
        let mut from = 0;
        for part in &line.cut {
            kept.push_str(line.text.get(from..part.start).unwrap_or_default());
            from = part.end;
        }
        kept.push_str(line.text.get(from..).unwrap_or_default());
        if !line.cut.is_empty() {
            kept = without_empty_quotation(&kept);
        }
        blanks = if kept.trim().is_empty() { blanks + 1 } else { 0 };
        if blanks < 2 {
            text.push_str(kept.trim_end());
            text.push('\n');
        }
    }
    text.trim().to_owned()
}

/// `line` without quotation marks whose content was cut out.
fn without_empty_quotation(line: &str) -> String {
    let is_mark =
        |char: char| OPENING.contains(char) || CLOSING.contains(char) || ".,!?".contains(char);
    let kept = line.split_whitespace().filter(|word| !word.chars().all(is_mark));
    let line = kept.collect::<Vec<_>>().join(" ");
    if line.chars().any(char::is_alphanumeric) {
        line
    } else {
        line.trim_matches(is_mark).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OURS: &str = "Hi Mette,\n\nWe help owners of kilns sell their pots faster, with less work.\n\
        If this is not for you, just reply unsubscribe and I will stop emailing you.\n\nBest,\nSam";

    fn cut(text: &str) -> Option<String> {
        cut_what_repeats(text, [OURS])
    }

    #[test]
    fn what_repeats_our_mail_is_a_quote_whatever_introduces_it() {
        for introduction in [
            "",
            "W dniu 17.01.2026 o 09:02, Sam Reyes pisze:\n",
            "Sam yazdı:\n\n",
            "Fra: Sam Reyes\nSendt: lørdag\nTil: Mette\nEmne: hej\n\n",
            "a 17 de xaneiro de 2026, Sam Reyes <\nsam@x.example> escribiu:\n\n",
        ] {
            for quote in [OURS.to_owned(), OURS.replace('\n', "\n> "), OURS.replace("\n\n", "\n")] {
                let text = format!("Ja tak, send mig prisen.\n\n{introduction}{quote}");
                let left = cut(&text).unwrap_or_else(|| panic!("{text}"));
                assert_eq!(
                    left.trim_end_matches(['>', '\n', ' ']),
                    "Ja tak, send mig prisen.",
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn an_answer_below_and_between_is_kept() {
        let text = format!("{OURS}\n\nYes, call me.");
        assert_eq!(cut(&text).as_deref(), Some("Yes, call me."));
        let text = "> We help owners of kilns sell their pots faster, with less work.\nHow?\n> If this is not for you, \
            just reply unsubscribe and I will stop emailing you.\nNo, it is for me.";
        assert_eq!(cut(text).as_deref(), Some("How?\nNo, it is for me."));
        assert_eq!(cut(OURS).as_deref(), Some(""));
    }

    #[test]
    fn words_in_quotation_marks_are_cut_out_of_a_line() {
        let ours = "Hi Rita, want a demo? Reply STOP to opt out";
        for (text, left) in [
            ("Gefällt „Hi Rita, want a demo? Reply STOP to opt out“", "Gefällt"),
            ("Tykkäsi: “Hi Rita, want a demo? Reply STOP to opt out”", "Tykkäsi:"),
            ("Yes! But what is \"Reply STOP to opt out\"?", "Yes! But what is"),
            ("赞了“Hi Rita, want a demo? Reply…”", "赞了"),
        ] {
            let cut = cut_what_repeats(text, [ours]).unwrap_or_else(|| panic!("{text}"));
            assert!(
                cut.starts_with(left) && !cut.contains("STOP") && !cut.contains("demo"),
                "{cut}"
            );
        }
    }

    #[test]
    fn what_people_take_up_themselves_is_theirs() {
        let ours = "Are you interested in a quick call on Tuesday at 3pm? Reply STOP to opt out";
        for text in [
            "I am interested in a quick call on Tuesday",
            "STOP",
            "“STOP”",
            "Tuesday at 3pm works.\nThanks\nRita",
            "Yes",
            "",
            "Please stop.\n\nReply",
        ] {
            assert_eq!(cut_what_repeats(text, [ours]), None, "{text}");
        }
        assert_eq!(cut_what_repeats("anything at all that is long enough to be", []), None);
    }

    #[test]
    fn megabytes_are_compared_in_linear_work() {
        let ours = "a b c d ".repeat(1_200);
        for text in [
            "a b c d ".repeat(380_000),
            "a b c x ".repeat(380_000),
            "\n".repeat(3_000_000),
            "> a b c d\n".repeat(300_000),
        ] {
            cut_what_repeats(&text, [ours.as_str()]);
        }
    }

    proptest! {
        #[test]
        fn what_holds_nothing_of_ours_stays(text in "[a-f \n“”>:.]{0,120}") {
            prop_assert_eq!(cut_what_repeats(&text, ["Lorem ipsum dolor sit amet consectetur"]), None);
        }

        #[test]
        fn nothing_is_added(text in "(?s).{0,200}", ours in "(?s).{0,100}") {
            if let Some(left) = cut_what_repeats(&text, [ours.as_str(), text.as_str()]) {
                prop_assert!(left.len() <= text.len());
            }
        }
    }
}
