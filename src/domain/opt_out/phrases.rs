//! Phrases in a text by which somebody opts out.

use super::{composed, demands, instructions::Instructions};
use crate::domain::fold::Folded;
use regex::Regex;
use std::{cell::LazyCell, sync::LazyLock};

/// The bytes before and after a phrase in which other words can change its meaning.
const WINDOW: usize = 120;
/// The most demands of one text that are examined.
const SIGNS_MAX: usize = 20;
/// The most phrases of one text that are examined.
const CANDIDATES_MAX: usize = 1_000;

/// The first phrase in a text by which somebody opts out, as it is written.
pub(super) fn find(text: &Folded<'_>) -> Option<String> {
    let rules = RULES.as_ref()?;
    let around = LazyCell::new(|| composed::Surroundings::of(&text.text));
    for found in rules.strong.find_iter(&text.text).take(CANDIDATES_MAX) {
        let beside = Beside::of(&text.text, found.start(), found.end());
        if !rules.is_turned(&beside, found.as_str())
            && !rules.is_meant_otherwise(&beside, text)
            && !around.turn(found.start(), found.as_str())
        {
            return Some(text.original(found.start(), found.end()));
        }
    }
    for found in rules.certain.find_iter(&text.text).take(CANDIDATES_MAX) {
        let beside = Beside::of(&text.text, found.start(), found.end());
        let end = found.end() + beside.after.len();
        let is_asked = text.text.get(end..).is_some_and(|rest| rest.starts_with('?'));
        let Beside { wide, before, after } = beside;
        let is_turned = rules.unmeant.is_match(before)
            || rules.for_a_time.is_match(after)
            || rules.instructions.cover(wide, before, found.as_str(), after)
            || rules.of_things.is_match(found.as_str())
            || rules.is_meant_otherwise(&beside, text)
            || around.turn(found.start(), found.as_str());
        if !is_asked && !is_turned {
            return Some(text.original(found.start(), found.end()));
        }
    }
    // "Stop" alone does not say what should stop, so the text must name messages, calls or mails.
    let context = rules.context.is_match(&text.text);
    let stops = rules.stop.captures_iter(&text.text).take(CANDIDATES_MAX);
    let stop = stops.filter_map(|found| found.name("stop").or(found.name("stop2"))).find(|stop| {
        let beside = Beside::of(&text.text, stop.start(), stop.end());
        !rules.is_turned(&beside, "stop")
            && !rules.is_meant_otherwise(&beside, text)
            && !rules.stop_elsewhere.is_match(beside.after)
    });
    let stop = stop.filter(|_| context).or_else(|| {
        let told = rules.told_stop.captures_iter(&text.text).take(CANDIDATES_MAX);
        told.filter_map(|it| it.name("stop")).find(|stop| {
            let beside = Beside::of(&text.text, stop.start(), stop.end());
            !rules.stop_elsewhere.is_match(beside.after)
        })
    });
    stop.map(|found| text.original(found.start(), found.end()))
}

/// True if the words of a demand stand together in the text, and nothing beside them turns their
/// meaning.
pub(super) fn says(text: &Folded<'_>) -> bool {
    let Some(rules) = RULES.as_ref() else { return false };
    composed::demands(&text.text).into_iter().any(|demand| {
        let (start, end) = (demand.start, demand.end);
        let beside = Beside::of(&text.text, start, end);
        let told = text.text.get(start..end).unwrap_or_default();
        demand.is_certain
            && !demand.is_turned
            && !demand.is_asked
            && !rules.instructions.cover(beside.wide, beside.before, told, beside.after)
            && !rules.is_meant_otherwise(&beside, text)
    })
}

/// What in a text looks like an opt-out, and what beside it speaks against one. Whether it is one,
/// these signs alone do not say.
pub(super) fn signs(text: &Folded<'_>) -> Vec<&'static str> {
    let Some(rules) = RULES.as_ref() else { return Vec::new() };
    let mut signs = Vec::new();
    for found in rules.demand.find_iter(&text.text).take(SIGNS_MAX) {
        let Beside { before, after, .. } = Beside::of(&text.text, found.start(), found.end());
        let is_turned = rules.unmeant.is_match(before)
            || rules.denied_behind.is_match(after)
            || rules.of_things.is_match(after)
            || rules.of_things.is_match(found.as_str());
        signs.push(if is_turned { "turned" } else { "demand" });
    }
    signs.extend(composed::demands(&text.text).into_iter().map(|demand| demand.sign));
    if signs.is_empty() {
        return signs;
    }
    for (sign, rule) in [("call", &rules.other_way), ("machine", &rules.machine)] {
        if rule.is_match(&text.text) {
            signs.push(sign);
        }
    }
    signs.sort_unstable();
    signs.dedup();
    signs
}

/// The patterns. Those for the text before a phrase end with `$`, those for the text after it start
/// with `^`.
struct Rules {
    /// Phrases that opt out unless something beside them turns their meaning.
    strong: Regex,
    /// Demands in plain words, of ten languages.
    demand: Regex,
    /// Those of them that are opt-outs if nothing turns them.
    certain: Regex,
    /// Before a demand: it is denied, supposed, or somebody else's.
    unmeant: Regex,
    /// Somewhere in the text: another way to reach the lead is asked for.
    other_way: Regex,
    /// After a demand: what shall go is a thing, or it is for a time only.
    of_things: Regex,
    /// Before: a question about the offer, or a report.
    asks_about: Regex,
    /// After: it is about another sender.
    elsewhere: Regex,
    /// Somewhere in the text: a machine wrote it.
    machine: Regex,
    /// "Stop" as a request.
    stop: Regex,
    /// After "stop": it is about something else ("stop by", "stop worrying").
    stop_elsewhere: Regex,
    /// Words for messages and calls, anywhere in the text.
    context: Regex,
    /// Before: a negation ("I did not …").
    negated: Regex,
    /// After: a negation (French "pas").
    negated_behind: Regex,
    /// Before: it is about other people ("customers who …").
    others: Regex,
    instructions: Instructions,
    /// Before "stop": a promise ("I will …").
    promised: Regex,
    /// The lead says that it sent "stop" ("I already texted STOP").
    told_stop: Regex,
    /// Before: somebody is the subject of the sentence ("they …", "I …").
    speaker: Regex,
    /// Before: it is a request ("I ask that you …").
    asked: Regex,
    /// After: it holds for a time or a place only ("… before Monday", "… at work").
    limited: Regex,
    /// After: it holds until or from a time on.
    for_a_time: Regex,
    /// After a demand: it is denied ("… bitte nicht").
    denied_behind: Regex,
    /// After: the phrase is part of a noun ("unsubscribe rate") or of another expression.
    noun: Regex,
    /// After: it happened by mistake.
    mistaken: Regex,
}

static RULES: LazyLock<Option<Rules>> = LazyLock::new(|| Rules::new().ok());

/// Compiles a pattern. Its word boundaries are those of ASCII, which is faster; folding has removed
/// the accents.
pub(super) fn regex(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&pattern.replace(r"\b", r"(?-u:\b)"))
}

const STRONG: &str = concat!(
    r"\b(?:",
    // English
    r"unsubscribe\b|(?:be|get|i|i've|i have) (?:already )?unsubscribed",
    r"|opt(?:ing)?[ -]?(?:me |us )?out\b|remove (?:me|us)\b",
    r"|remove (?:my|our|this) (?:e-?mail|address|name|number|contact|details|info|data)",
    r"|(?:be|get) removed from (?:your|this|the|all|any)|please remove(?:$|[.!?,\n])",
    r"|take (?:me|us) off|take (?:my|our|this) (?:name|number|e-?mail|address) off",
    r"|(?:stop|quit) (?:e-?mailing|calling|contacting|messaging|texting|mailing|writing|spamming|sending",
    r"|bothering)",
    r"|(?:do not|don't|dont|never) (?:ever |please |you ever )?",
    r"(?:contact|e-?mail|call|text|message|mail|write|reach out)(?: to)?(?: me| us)?\b",
    r"|(?:do not|don't|dont|never) send (?:me |us )?(?:any |more |anymore )*",
    r"(?:e-?mails?|texts?|messages?|mails?)\b",
    r"|(?:not|don't|dont) (?:want|wish) to be (?:contacted|e-?mailed|called|texted|messaged)",
    r"|(?:not|don't|dont) want you to (?:contact|e-?mail|call|text|message)",
    r"|not to (?:contact|e-?mail|call|text|message) (?:me|us)",
    r"|(?:please |^|[.!?,\n] ?)no (?:more|further) (?:e-?mails?|mails?|texts?|messages?|calls|contact)\b",
    r"|lose my number|take a hike",
    // German
    r"|abmelden|austragen|meld(?:e|en sie) mich(?: bitte)? ab|trag(?:e|en sie) mich(?: bitte)? aus",
    r"|keine (?:weiteren |weitere )?(?:e-?mails?|mails?|nachrichten)\b",
    // French
    r"|desabonner|desabonnez|desabonne[ -]moi|desinscrire|desinscrivez",
    r"|ne (?:me|nous) contactez plus|ne plus (?:me|nous) contacter|arretez de (?:m'|me |nous )",
    r"|ne m'(?:ecrivez|appelez|envoyez) plus",
    // Spanish
    r"|(?:dar|de|den|da)me de baja",
    r"|n(?:o|unca) (?:me|nos) (?:contact(?:e|es|en)|escrib(?:a|as|an)|llam(?:e|es|en)|envi(?:e|es|en))\b",
    r"|cancelar (?:la |mi )?suscripcion",
    // Italian
    r"|rimuov(?:imi|etemi|ermi)|cancell(?:ami|atemi|armi)\b|disiscriv(?:imi|etemi)|non contattatemi",
    // Portuguese
    r"|cancelar (?:a |minha |a minha )?inscricao|nao (?:me|nos) contat(?:e|em)\b|nao me escreva",
    r")",
);

/// What may stand between "not" and what is not wanted.
const FILLERS: &str = concat!(
    r"(?: (?:ever|actually|really|even|yet|currently|already|want|wanted|wish|wished|need|needed|like",
    r"|mean|meant|intend|plan|planning|going|trying|try|ask|asked|asking|request|requested|say|saying",
    r"|said|tell|told|think|have|had|you|i|we|they|anyone|anybody|to|that|be|been|being|me to|us to",
    r"|him to|get|click|clicked|hit|press|pressed|choose)){0,6}",
);

/// What follows a demand that is for a time, a thing or a way only.
const LIMITED: &str = concat!(
    r"^(?: (?:it|that|and drive|a|an|anyone|anybody|people|anything|checks?|cheques?",
    r"|novels?|contracts?|code)\b|(?: (?:me|us|my \w+|this number))?(?: (?:again",
    r"|back))?,? ?(?:before|until|till|during|between|while|today|tonight|tomorrow",
    r"|yet|right now|just yet|this week|on (?:mon|tue|wed|thu|fri|sat|sun|weekend",
    r"|my)|after (?:[0-9]|lunch|work|hours|noon|six|five)|at (?:work|night|[0-9]",
    r"|home|the office)|unless|(?:[^.!?\n]{0,40} )?instead\b|,? (?:but )?(?:just ",
    r"|only |better )?(?:e-?mail|text|call|write|message) (?:me|us)\b))",
);

/// What follows a demand that holds until or from a time on.
const FOR_A_TIME: &str = concat!(
    r"^s?(?: (?:me|us|mehr|again|in peace|i fred|ifred|tranquilles?|en paz|in pace|em paz|in ruhe|met rust))* ",
    r"(?:until|till|til|tills|jusqu[a-z]*|hasta|fino a|ate (?:o|a|ao|as|[0-9]+)|bis|tot (?:na|het|de|[0-9]+)|before (?:the )?[0-9]+[a-z]*|nach [0-9]+",
    r"|after (?:[0-9]+[a-z]*|four|five|six|seven|eight|nine|ten|hours|work|lunch))\b",
);

/// What follows a word of opting out that is part of a name or of a contract.
const NOUN: &str = concat!(
    r"^(?:s?[ -](?:rates?|notices?|instructions?|footers?|texts?|wording|lines?|polic(?:y|ies)|clauses?|compliance|mechanisms?)",
    r"| (?:the |of the )?(?:market|hook|hold|mute|guard|track|balance)",
    r"| of (?:our|the|my|a|that|this|any) (?:[a-z]+ ){0,2}",
    r"(?:contract|agreement|plan|lease|deal|policy|program|insurance|coverage)",
    r"| later| at any time| anytime| any time)\b",
);

impl Rules {
    fn new() -> Result<Self, regex::Error> {
        Ok(Self {
            strong: regex(STRONG)?,
            demand: regex(&demands::all())?,
            certain: regex(&demands::certain())?,
            unmeant: regex(demands::UNMEANT)?,
            other_way: regex(&demands::other_way())?,
            of_things: regex(demands::OF_THINGS)?,
            asks_about: regex(demands::ASKS_ABOUT)?,
            elsewhere: regex(demands::ELSEWHERE)?,
            machine: regex(demands::MACHINE)?,
            stop: regex(concat!(
                r"(?:^|[.!?;:,\n] ?|\b(?:please|pls|plz|kindly|and|so|just|must|should|need to|you to",
                r"|to you) )",
                r"(?P<stop>stop)(?: |$|[.!?,;:])|\bplease (?P<stop2>stop)\b"
            ))?,
            stop_elsewhere: regex(concat!(
                r#"^["')]* ?(?:=|2 |(?:by|in|over|at|there|here|off|for|worrying|me if|wasting time|and (?:see"#,
                r"|visit|think)|to (?:opt|end|unsub|cancel|quit|stop|be|no longer|leave|avoid|get off)",
                r"|um|zum|pour|para|per)\b)",
            ))?,
            context: regex(r"\b(?:texts?|messages?|sms|contact|e-?mails?|mails?|calls?)\b")?,
            negated: regex(&format!(
                concat!(
                    r"\b(?:(?:do|did|does|have|has|had|will|would|should|am|is|are|was|were)(?: not",
                    r"|n't|nt)|never|won't|not|no need to|no reason to|without|instead of",
                    r"|rather than|nicht|nie|non|pas|nao|no quiero|no deseo)(?: mich| uns| me| nous",
                    r"| voglio| quero| pas| zu| gerade){{0,2}}{FILLERS} ?$",
                ),
                FILLERS = FILLERS
            ))?,
            negated_behind: regex(r"^(?: pas\b|-moi pas\b)")?,
            others: regex(concat!(
                r"\b(?:they|who|customers?|clients?|people|users?|leads?|subscribers?|prospects?",
                r"|contacts?|recipients?|patients?|members?|guests?|(?:did|have|has|was|were",
                r"|am) (?:you|i|we|they|someone|somebody)|(?:why|when|how) (?:was|were|am",
                r"|did))(?: (?:can|could|would|will|may|might|to|often|always|sometimes|usually",
                r"|who|want to|easily|do|just|already|really)){0,3} ?$",
            ))?,
            instructions: Instructions::new()?,
            promised: regex(concat!(
                r"\b(?:i|we)(?:'ll|'d| will| can| would| could| shall| promise to| am going to| are going to)",
                r"(?: (?:then|also|gladly|happily|immediately|just|never|not))* ?$",
            ))?,
            told_stop: regex(concat!(
                r"\b(?:i|we)(?:'ve|'m)?(?: (?:have|am|already|just|keep|kept|literally|clearly|also|had|still))*",
                r" (?:said|texted|replied|sent|typed|wrote|responded|told you(?: guys| people| all)? to|asked you(?: guys",
                r"| people| all)? to|replying|texting|sending|saying|typing|have to (?:reply|text|say|type|send))",
                r#"(?: (?:you|with|the word|back|already))* ["'(]*(?P<stop>stopp?)(?:$|[ .!?,;:"')])"#,
            ))?,
            speaker: regex(concat!(
                r#"\b(?:(?:i|we|they|he|she|you)(?:'d|'ll|'ve)|i|we|they|he|she|it|people"#,
                r#"|customers|clients|why|you|said|says|told me|told us)(?: to| that)? ?["']?$"#,
            ))?,
            asked: regex(concat!(
                r"\b(?:ask|asked|request|prefer|insist|demand|rather|want|wish|appreciate",
                r"|please)\b",
            ))?,
            limited: regex(LIMITED)?,
            for_a_time: regex(FOR_A_TIME)?,
            denied_behind: regex(r"^(?: bitte| alsjeblieft)? (?:nicht|niet|inte|ikke)\b")?,
            noun: regex(NOUN)?,
            mistaken: regex(
                r"^[^.!?\n]{0,60}\b(?:by mistake|by accident|accidentally|in error)\b",
            )?,
        })
    }

    /// True if the text asks for calls in place of mails, is a machine's, or asks how others opt
    /// out.
    fn is_meant_otherwise(&self, beside: &Beside<'_>, text: &Folded<'_>) -> bool {
        self.asks_about.is_match(beside.before)
            || self.elsewhere.is_match(beside.after)
            || self.of_things.is_match(beside.after)
            || self.other_way.is_match(&text.text)
            || self.machine.is_match(&text.text)
    }

    /// True if the words beside a phrase say that it is not meant.
    fn is_turned(&self, beside: &Beside<'_>, phrase: &str) -> bool {
        let Beside { wide, before, after } = *beside;
        if self.instructions.cover(wide, before, phrase, after) || self.for_a_time.is_match(after) {
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
            return said_of_others || self.limited.is_match(after);
        }
        let negates_itself =
            ["ne ", "no", "nunca", "nao"].iter().any(|start| phrase.starts_with(start));
        (self.negated.is_match(before) && !negates_itself)
            || self.negated_behind.is_match(after)
            || self.others.is_match(before)
            || (phrase.starts_with("stop") && self.promised.is_match(before))
            || self.noun.is_match(after)
            || self.mistaken.is_match(after)
            || (phrase.starts_with("keine") && got_none(before, after))
    }
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
