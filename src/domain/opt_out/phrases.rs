//! Phrases in a text by which somebody opts out.

use super::{
    ReadText, composed,
    demands::{self, CERTAIN_COUNT},
    instructions::Instructions,
    patterns::{
        ASKED_OTHERS, BARE, BARE_AFTER, BARE_BEFORE, FILLERS, FOR_A_TIME, INSTEAD, LIMITED,
        NO_NAMES, NOT_OWN, NOUN, OF_MESSAGES, OF_OTHERS, STRONG,
    },
};
use crate::domain::{fold::Folded, lazy_pattern::LazyPattern, pattern_list::PatternList};
use std::sync::LazyLock;

/// The bytes before and after a phrase in which other words can change its meaning.
const WINDOW: usize = 120;
/// The most demands of one text that are examined.
const SIGNS_MAX: usize = 20;
/// The most phrases of one text that are examined.
const CANDIDATES_MAX: usize = 1_000;

/// The first phrase in a text by which somebody opts out, as it is written.
pub(super) fn find(read: &ReadText<'_>) -> Option<String> {
    let rules = &*RULES;
    let text = &read.folded;
    for found in rules.strong.find_iter(&text.text).take(CANDIDATES_MAX) {
        let beside = Beside::of(&text.text, found.start(), found.end());
        if !rules.is_negated(&beside, found.as_str())
            && !rules.is_unsaid(&beside, found.as_str(), &text.text, found.end())
            && !rules.names_others(&beside, found.as_str(), text, found.end())
            && !rules.is_meant_otherwise(&beside, found.as_str(), read)
            && !read.surroundings().negates(found.start(), found.as_str())
        {
            return Some(text.original(found.start(), found.end()));
        }
    }
    let certain = rules.demands.find_iter_of(..CERTAIN_COUNT, &text.text);
    for found in certain.take(CANDIDATES_MAX) {
        let beside = Beside::of(&text.text, found.start(), found.end());
        let end = found.end() + beside.after.len();
        let is_asked = text.text.get(end..).is_some_and(|rest| rest.starts_with('?'));
        let Beside { wide, before, after } = beside;
        let is_negated = rules.unmeant.is_match(before)
            || rules.denied_behind.is_match(after)
            || rules.is_for_a_time(found.as_str(), after)
            || rules.instructions.cover(wide, before, found.as_str(), after)
            || rules.things.is_match(found.as_str())
            || rules.sends_other(after, found.as_str())
            || rules.is_meant_otherwise(&beside, found.as_str(), read)
            || read.surroundings().negates(found.start(), found.as_str());
        // The two ways to find a demand must agree: each alone is right in fewer texts.
        if !is_asked && !is_negated && read.says_so() {
            return Some(text.original(found.start(), found.end()));
        }
    }
    let stops = rules.stop.captures_iter(&text.text).take(CANDIDATES_MAX);
    let stop = stops.filter_map(|found| found.name("stop").or(found.name("stop2"))).find(|stop| {
        let beside = Beside::of(&text.text, stop.start(), stop.end());
        !rules.is_negated(&beside, "stop")
            && !rules.is_meant_otherwise(&beside, "stop", read)
            && rules.stop_this.is_match(beside.after)
            && !rules.stop_elsewhere.is_match(beside.after)
            && !read.surroundings().negates(stop.start(), "stop")
    });
    // "Stop" alone does not say what should stop, so the text must name messages, calls or mails.
    let stop = stop.filter(|_| rules.context.is_match(&text.text)).or_else(|| {
        let told = rules.told_stop.captures_iter(&text.text).take(CANDIDATES_MAX);
        told.filter_map(|it| it.name("stop")).find(|stop| {
            let beside = Beside::of(&text.text, stop.start(), stop.end());
            !rules.stop_elsewhere.is_match(beside.after)
        })
    });
    stop.map(|found| text.original(found.start(), found.end()))
}

/// True if a machine wrote the folded text.
pub(super) fn is_a_machines(text: &str) -> bool {
    RULES.acknowledgement.is_match(text)
}

/// True if the words of a demand stand together in the text, and nothing beside them negates
/// them.
pub(super) fn says(read: &ReadText<'_>) -> bool {
    let rules = &*RULES;
    let text = read.folded();
    read.demands().iter().any(|demand| {
        let (start, end) = (demand.start, demand.end);
        let beside = Beside::of(text, start, end);
        let told = text.get(start..end).unwrap_or_default();
        demand.is_certain
            && !demand.is_negated
            && !demand.is_asked
            && !rules.instructions.cover(beside.wide, beside.before, told, beside.after)
            && !rules.is_meant_otherwise(&beside, told, read)
    })
}

/// What in a text looks like an opt-out, and what beside it speaks against one. Whether it is one,
/// these signs alone do not say.
pub(super) fn signs(read: &ReadText<'_>) -> Vec<&'static str> {
    let rules = &*RULES;
    let text = read.folded();
    let mut signs = Vec::new();
    for found in rules.demands.find_iter(text).take(SIGNS_MAX) {
        let Beside { before, after, .. } = Beside::of(text, found.start(), found.end());
        let is_negated = rules.unmeant.is_match(before)
            || rules.denied_behind.is_match(after)
            || rules.of_things.is_match(after)
            || rules.things.is_match(found.as_str());
        signs.push(if is_negated { "negated" } else { "demand" });
    }
    signs.extend(read.demands().iter().map(|demand| demand.sign));
    if signs.is_empty() {
        return signs;
    }
    for (sign, rule) in [("call", &rules.other_way), ("machine", &rules.machine)] {
        if rule.is_match(text) {
            signs.push(sign);
        }
    }
    signs.sort_unstable();
    signs.dedup();
    signs
}

/// The texts of all patterns and words on which [`signs`], [`says`] and [`find`] depend.
pub(super) fn texts() -> String {
    let words = [&BARE[..], &NO_NAMES, &STARTS, &LEAD].map(|list| list.join("|"));
    [Rules::texts().as_str(), composed::texts(), &words.concat()].concat()
}

/// The patterns. Those for the text before a phrase end with `$`, those for the text after it start
/// with `^`.
struct Rules {
    /// Phrases that opt out unless something beside them negates them.
    strong: LazyPattern,
    /// Demands in plain words, of ten languages. The first [`CERTAIN_COUNT`] are opt-outs if
    /// nothing negates them.
    demands: PatternList,
    /// Before a demand: it is denied, supposed, or somebody else's.
    unmeant: LazyPattern,
    /// Somewhere in the text: another way to reach the lead is asked for.
    other_way: LazyPattern,
    /// After a demand: what shall go is a thing, or it is for a time only.
    of_things: LazyPattern,
    /// In a demand: a thing shall go.
    things: LazyPattern,
    /// After: it is about another sender.
    elsewhere: LazyPattern,
    /// In the sentence: a machine tells how to leave its own list.
    machine: LazyPattern,
    /// Somewhere in the text: a machine wrote it.
    acknowledgement: LazyPattern,
    /// After "don't call" and the like: another way to reach the lead is asked for.
    instead: LazyPattern,
    /// After "stop sending" and the like: messages, or nothing more.
    of_messages: LazyPattern,
    /// After a phrase that forbids: an address or a person that is not the lead's own.
    not_own: LazyPattern,
    /// Before: somebody else was asked.
    asked_others: LazyPattern,
    /// After: it is about another person.
    of_others: LazyPattern,
    /// Before and after a word of opting out that is a wish.
    bare_before: LazyPattern,
    bare_after: LazyPattern,
    /// Before and after "keine Mails" that is a wish.
    none_before: LazyPattern,
    none_after: LazyPattern,
    /// Before "I unsubscribed": it is told of another list.
    since: LazyPattern,
    /// After "unsubscribed": it is said again.
    done_after: LazyPattern,
    /// Before "darme de baja": it is told.
    baja_before: LazyPattern,
    /// After "darme de baja": from our list.
    baja_after: LazyPattern,
    /// After "ne m'envoyez plus": messages.
    envois_after: LazyPattern,
    /// After "stop": messages, or nothing more.
    stop_this: LazyPattern,
    /// "Stop" as a request.
    stop: LazyPattern,
    /// After "stop": it is about something else ("stop by", "stop worrying").
    stop_elsewhere: LazyPattern,
    /// Words for messages and calls, anywhere in the text.
    context: LazyPattern,
    /// Before: a negation ("I did not …").
    negated: LazyPattern,
    /// After: a negation (French "pas").
    negated_behind: LazyPattern,
    /// Before: it is about other people ("customers who …").
    others: LazyPattern,
    instructions: Instructions,
    /// Before "stop": a promise ("I will …").
    promised: LazyPattern,
    /// The lead says that it sent "stop" ("I already texted STOP").
    told_stop: LazyPattern,
    /// Before: somebody is the subject of the sentence ("they …", "I …").
    speaker: LazyPattern,
    /// Before: it is a request ("I ask that you …").
    asked: LazyPattern,
    /// After: it holds for a time or a place only ("… before Monday", "… at work").
    limited: LazyPattern,
    /// After: it holds until or from a time on.
    for_a_time: LazyPattern,
    /// After a demand: it is denied ("… bitte nicht").
    denied_behind: LazyPattern,
    /// After: the phrase is part of a noun ("unsubscribe rate") or of another expression.
    noun: LazyPattern,
    /// After: it happened by mistake.
    mistaken: LazyPattern,
}

static RULES: LazyLock<Rules> = LazyLock::new(Rules::new);

/// A pattern whose word boundaries are those of ASCII, which is faster; folding has removed the
/// accents.
pub(super) fn pattern(text: &str) -> LazyPattern {
    LazyPattern::new(text.replace(r"\b", r"(?-u:\b)"))
}

impl Rules {
    /// All patterns.
    fn new() -> Self {
        Self::by(&mut pattern)
    }

    /// The texts of all patterns.
    fn texts() -> String {
        let mut texts = String::new();
        Self::by(&mut |text: &str| {
            texts.push_str(text);
            texts.push('\n');
            pattern(text)
        });
        texts
    }

    /// All patterns, each made by `pattern`.
    #[expect(clippy::too_many_lines, reason = "one list of patterns, each of a line or two")]
    fn by(pattern: &mut dyn FnMut(&str) -> LazyPattern) -> Self {
        Self {
            strong: pattern(STRONG),
            demands: PatternList::new(demands::all().map(|it| pattern(&it))),
            unmeant: pattern(demands::UNMEANT),
            other_way: pattern(&demands::other_way()),
            of_things: pattern(&demands::of_things()),
            things: pattern(demands::THINGS),
            elsewhere: pattern(demands::ELSEWHERE),
            machine: pattern(demands::MACHINE),
            acknowledgement: pattern(demands::ACKNOWLEDGEMENT),
            instead: pattern(INSTEAD),
            of_messages: pattern(OF_MESSAGES),
            not_own: pattern(NOT_OWN),
            asked_others: pattern(ASKED_OTHERS),
            of_others: pattern(OF_OTHERS),
            bare_before: pattern(BARE_BEFORE),
            bare_after: pattern(BARE_AFTER),
            none_before: pattern(
                r"(?:^|[.!?,;:\n(] ?|\b(?:bitte|mochte|mochten|will|wunsche|wollen|ich|wir|und|von ihnen|mir|uns|wunschen|zukunftig|kunftig) ?)$",
            ),
            none_after: pattern(
                r"^(?:$|[.!?;:\n)]|, (?:bitte|danke|sonst)| (?:mehr|bitte|von (?:ihnen|ihrer|ihrem|eurer|eurem)|von euch|an (?:mich|uns|diese)|schicken|senden|erhalten|bekommen|danke|sonst|in zukunft)\b)",
            ),
            since: pattern(r"\b(?:since|because|when|once|after|before|as) ?$"),
            done_after: pattern(
                r"^(?:$|[.!?,;:\n)]| (?:already|twice|again|several|many|three|two|[0-9]+|yesterday|last|from (?:this|these|your|the|all|any|receiving|further|future|everything)|right away|today|with immediate|please|and|but|immediately|now|asap|at once)\b)",
            ),
            baja_before: pattern(
                r"\b(?:acabo de|quise|pude|intente|logre|antes de(?: firmar)?)[ ¿:,]*$",
            ),
            baja_after: pattern(
                r"^(?:$|[.!?,;:\n)]| (?:por favor|porfa|ya|ahora|inmediatamente|gracias|y|cuanto antes|de (?:inmediato|su|sus|esta|este|estos|estas|tu|tus|la lista|vuestras?|vuestros?|todas?|todos?)|en (?:su|esta)|del (?:boletin|listado|newsletter|correo|envio))\b)",
            ),
            envois_after: pattern(
                r"^(?:$|[.!?,;:\n)]| (?:(?:de |d'|des |aucune? |vos |ces )(?:e-?mails?|mails?|messages?|courriels?|sms|textos?|pubs?|publicites?|offres|newsletters?|spams?|sollicitations?)|rien|ca|svp|merci|s'il)\b)",
            ),
            stop_this: pattern(
                r"^(?:$|[.!?,;:)\n]| (?:this|it|that|these|those|please|pls|plz|now|already|immediately|at once|the|with (?:the|these|this|your|ur|all)|all|your|ur|everything|any|i)\b)",
            ),
            stop: pattern(concat!(
                r"(?:^|[.!?;:,\n] ?|\b(?:please|pls|plz|kindly|and|so|just|must|should|need to|you to",
                r"|to you) )",
                r"(?P<stop>stop)(?: |$|[.!?,;:])|\bplease (?P<stop2>stop)\b"
            )),
            stop_elsewhere: pattern(concat!(
                r#"^["')]* ?(?:=|2 |(?:by|in|over|at|there|here|off|for|worrying|me if|wasting time|and (?:see"#,
                r"|visit|think)|to (?:opt|end|unsub|cancel|quit|stop|be|no longer|leave|avoid|get off)",
                r"|um|zum|pour|para|per)\b)",
            )),
            context: pattern(r"\b(?:texts?|messages?|sms|contact|e-?mails?|mails?|calls?)\b"),
            negated: pattern(&format!(
                concat!(
                    r"\b(?:(?:do|did|does|have|has|had|will|would|should|am|is|are|was|were)(?: not",
                    r"|n't|nt)|never|won't|not|no need to|no reason to|without|instead of",
                    r"|rather than|nicht|nie|non|pas|nao|no quiero|no deseo)(?: mich| uns| me| nous",
                    r"| voglio| quero| pas| zu| gerade){{0,2}}{FILLERS} ?$",
                ),
                FILLERS = FILLERS
            )),
            negated_behind: pattern(r"^(?: pas\b|-moi pas\b)"),
            others: pattern(concat!(
                r"\b(?:they|who|customers?|clients?|people|users?|leads?|subscribers?|prospects?",
                r"|contacts?|recipients?|patients?|members?|guests?|(?:did|have|has|was|were",
                r"|am) (?:you|i|we|they|someone|somebody)|(?:why|when|how) (?:was|were|am",
                r"|did))(?: (?:can|could|would|will|may|might|to|often|always|sometimes|usually",
                r"|who|want to|mean to|easily|do|just|already|really)){0,3} ?$",
            )),
            instructions: Instructions::by(pattern),
            promised: pattern(concat!(
                r"\b(?:i|we)(?:'ll|'d| will| can| would| could| shall| promise to| am going to| are going to)",
                r"(?: (?:then|also|gladly|happily|immediately|just|never|not))* ?$",
            )),
            told_stop: pattern(concat!(
                r"\b(?:i|we)(?:'ve|'m)?(?: (?:have|am|already|just|keep|kept|literally|clearly|also|had|still))*",
                r" (?:said|texted|replied|sent|typed|wrote|responded|told you(?: guys| people| all)? to|asked you(?: guys",
                r"| people| all)? to|replying|texting|sending|saying|typing|have to (?:reply|text|say|type|send))",
                r#"(?: (?:you|with|the word|back|already))* ["'(]*(?P<stop>stopp?)(?:$|[ .!?,;:"')])"#,
            )),
            speaker: pattern(concat!(
                r#"\b(?:(?:i|we|they|he|she|you)(?:'d|'ll|'ve)|i|we|they|he|she|it|people"#,
                r#"|customers|clients|why|you|said|says|told me|told us)(?: to| that)? ?["']?$"#,
            )),
            asked: pattern(concat!(
                r"\b(?:ask|asked|request|prefer|insist|demand|rather|want|wish|appreciate",
                r"|please)\b",
            )),
            limited: pattern(LIMITED),
            for_a_time: pattern(FOR_A_TIME),
            denied_behind: pattern(r"^(?: bitte| alsjeblieft)? (?:nicht|niet|inte|ikke)\b"),
            noun: pattern(NOUN),
            mistaken: pattern(
                r"^[^.!?\n]{0,60}\b(?:by mistake|by accident|accidentally|in error)\b",
            ),
        }
    }

    /// True if the sentence of a phrase is about another sender, a thing, or another way to reach
    /// the lead, or tells how to leave a machine's list.
    fn is_meant_otherwise(&self, beside: &Beside<'_>, phrase: &str, read: &ReadText<'_>) -> bool {
        let Beside { before, after, .. } = *beside;
        let is_of_a_list = !is_of_the_lead(before, phrase, after);
        self.elsewhere.is_match(after)
            || self.of_things.is_match(after)
            || (!phrase.starts_with("be ") && self.asked_others.is_match(before))
            || (forbids_a_way(phrase) && self.instead.is_match(after))
            || self.of_others.is_match(after)
            || (before.ends_with(['\'', '"']) && after.contains(['\'', '"']))
            || (is_of_a_list
                && (self.machine.is_match(before)
                    || self.machine.is_match(&[phrase, after].concat())
                    || read.is_a_machines()))
    }

    /// True for a word such as "unsubscribe" that is not said as a wish: neither alone in its
    /// clause nor beside the lead, a list or messages.
    fn is_unsaid(&self, beside: &Beside<'_>, phrase: &str, text: &str, end: usize) -> bool {
        let (before, after) = (beside.before.trim_start(), beside.after);
        if phrase.starts_with("keine") {
            return !self.none_before.is_match(before) || !self.none_after.is_match(after);
        }
        if phrase.ends_with("unsubscribed") {
            return self.since.is_match(before) || !self.done_after.is_match(after);
        }
        if phrase.ends_with("de baja") {
            return self.baja_before.is_match(before) || !self.baja_after.is_match(after);
        }
        if self.sends_other(after, phrase) {
            return true;
        }
        let is_own = [" me out", " us out"].iter().any(|it| phrase.ends_with(it))
            || [" me", " us"].iter().any(|it| after.starts_with(it));
        if is_own || !BARE.iter().any(|start| phrase.starts_with(start)) {
            return false;
        }
        let is_question = text.get(end + after.len()..).is_some_and(|rest| rest.starts_with('?'));
        let is_alone = before.trim().is_empty() && after.trim().is_empty();
        !self.bare_before.is_match(before)
            || !self.bare_after.is_match(after)
            || (is_alone && is_question)
    }

    /// True for "n'envoyez plus …" of something that is no message.
    fn sends_other(&self, after: &str, phrase: &str) -> bool {
        phrase.contains("envoy")
            && phrase.ends_with("plus")
            && (phrase.contains("n'en ") || !self.envois_after.is_match(after))
    }

    /// True if the phrase forbids to write to somebody else, to an address that is not used, or to
    /// send something that is no message.
    fn names_others(
        &self,
        beside: &Beside<'_>,
        phrase: &str,
        text: &Folded<'_>,
        end: usize,
    ) -> bool {
        let after = beside.after;
        if !forbids_a_way(phrase) {
            return false;
        }
        if phrase.ends_with(" sending") {
            return !self.of_messages.is_match(after);
        }
        // A word that begins with a capital letter within a sentence is a name.
        let next =
            after.strip_prefix(' ').map_or("", |rest| rest.split(' ').next().unwrap_or(rest));
        let is_me =
            phrase.ends_with(" me") || phrase.ends_with(" us") || ["me", "us"].contains(&next);
        let written = text.original(end, end + 1 + next.len());
        let is_name = !is_me && is_name(&written) && !NO_NAMES.contains(&next);
        is_name || self.not_own.is_match(after)
    }

    /// True if the demand holds only until or from a time on. A removal "before Friday" has a
    /// deadline, and holds for good.
    fn is_for_a_time(&self, phrase: &str, after: &str) -> bool {
        let has_deadline =
            !forbids_a_way(phrase) && [" before ", " bis "].iter().any(|it| after.contains(it));
        !has_deadline && self.for_a_time.is_match(after)
    }

    /// True if the words beside a phrase say that it is not meant.
    fn is_negated(&self, beside: &Beside<'_>, phrase: &str) -> bool {
        let Beside { wide, before, after } = *beside;
        if self.instructions.cover(wide, before, phrase, after) || self.is_for_a_time(phrase, after)
        {
            return true;
        }
        let forbids =
            ["do not", "don't", "dont", "never"].iter().any(|start| phrase.starts_with(start));
        // Both "I don't want to be called" and "I don't call" have a speaker, but only the first
        // one is a wish.
        let wants = [" to be ", " want you "].iter().any(|wish| phrase.contains(wish));
        if forbids && !wants {
            let said_of_others = self.speaker.is_match(before)
                && !(before.trim_end().ends_with("you") && self.asked.is_match(before));
            let is_noun = before.ends_with("the ");
            return said_of_others || is_noun || self.limited.is_match(after);
        }
        let negates_itself =
            ["ne ", "no", "nunca", "nao"].iter().any(|start| phrase.starts_with(start));
        (self.negated.is_match(before) && !negates_itself)
            || self.negated_behind.is_match(after)
            || self.denied_behind.is_match(after)
            || self.others.is_match(before)
            || (phrase.starts_with("stop") && self.promised.is_match(before))
            || self.noun.is_match(after)
            || self.mistaken.is_match(after)
            || (phrase.starts_with("keine") && got_none(before, after))
    }
}

/// What phrases begin with that forbid a way to reach the lead.
const STARTS: [&str; 19] = [
    "do not",
    "don't",
    "dont",
    "never",
    "stop",
    "quit",
    "no more",
    "no further",
    "please no",
    "not to",
    "not want",
    "keine",
    "ne ",
    "arret",
    "no ",
    "nunca",
    "non ",
    "nao ",
    "cess",
];
/// Words by which a lead speaks of itself.
const LEAD: [&str; 16] = [
    "me", "us", "my", "our", "mich", "uns", "nous", "mi", "ci", "mij", "ons", "mig", "meg", "oss",
    "os", "nos",
];

/// True for a phrase that forbids one way to reach the lead, and not all.
pub(super) fn forbids_a_way(phrase: &str) -> bool {
    let phrase = phrase.trim_start_matches(|it: char| !it.is_alphanumeric());
    STARTS.iter().any(|start| phrase.starts_with(start))
}

/// True if the phrase speaks of the lead itself, as no instruction of a machine does.
fn is_of_the_lead(before: &str, phrase: &str, after: &str) -> bool {
    let words = |text: &str, is_near: fn(usize) -> bool| {
        let all: Vec<&str> = text.split([' ', ',']).filter(|it| !it.is_empty()).collect();
        let count = all.len();
        all.iter().enumerate().any(|(at, word)| is_near(count - 1 - at) && LEAD.contains(word))
    };
    words(phrase, |_| true)
        || words(before, |far| far < 2)
        || words(after.get(..after.floor_char_boundary(8)).unwrap_or_default(), |_| true)
}

/// True for a word that is written as a name: "Peter", and neither "peter" nor "PETER".
fn is_name(word: &str) -> bool {
    let mut letters = word.trim().chars();
    letters.next().is_some_and(char::is_uppercase) && letters.next().is_some_and(char::is_lowercase)
}

/// True for a report and not a request: "Ich habe keine Nachrichten erhalten".
fn got_none(before: &str, after: &str) -> bool {
    ["erhalten", "bekommen", "gesehen", "gefunden", "angekommen"]
        .iter()
        .any(|verb| after.contains(verb))
        && ["habe", "hatte", "haben", "sind"].iter().any(|verb| before.contains(verb))
}

/// The text around a phrase in its sentence, at most [`WINDOW`] bytes on each side.
struct Beside<'a> {
    /// Before it, with the lines above.
    wide: &'a str,
    /// Before it on its line.
    before: &'a str,
    /// After it on its line.
    after: &'a str,
}

impl<'a> Beside<'a> {
    fn of(text: &'a str, start: usize, end: usize) -> Self {
        let from = text.ceil_char_boundary(start.saturating_sub(WINDOW));
        let to = text.floor_char_boundary((end + WINDOW).min(text.len()));
        let before = text.get(from..start).unwrap_or_default();
        let after = text.get(end..to).unwrap_or_default();
        let wide = before.rsplit(['.', '!', '?', ';']).next().unwrap_or_default();
        Self {
            wide,
            before: wide.rsplit('\n').next().unwrap_or_default(),
            after: after.split(['.', '!', '?', '\n', ';']).next().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::folded;

    #[test]
    fn the_texts_of_patterns_hold_all_on_which_signs_depend() {
        let texts = texts();
        for part in [
            STRONG,
            LIMITED,
            INSTEAD,
            NOT_OWN,
            OF_OTHERS,
            demands::UNMEANT,
            demands::ELSEWHERE,
            demands::MACHINE,
            demands::ACKNOWLEDGEMENT,
            demands::THINGS,
            &demands::all().collect::<Vec<_>>().join("\n"),
            &demands::other_way(),
            composed::texts(),
            "(?:nicht|niet|inte|ikke)",
            "reply|respond|answer",
        ] {
            assert!(texts.contains(part), "{part}");
        }
    }

    #[test]
    fn all_patterns_are_valid() {
        let rules = Rules::by(&mut |text| {
            let pattern = pattern(text);
            LazyPattern::assert_valid([&pattern]);
            pattern
        });
        assert!(rules.demands.patterns().iter().all(|it| !it.is_match("")));
    }

    #[test]
    fn patterns_and_words_are_folded_as_the_texts_are() {
        for char in texts().chars().filter(|it| !it.is_ascii()) {
            assert_eq!(folded(&char.to_string()), char.to_string());
        }
        for line in composed::texts().lines() {
            for phrase in line.split('\t').skip(2).flat_map(|words| words.split('|')) {
                assert_eq!(folded(phrase), phrase);
            }
        }
    }
}
