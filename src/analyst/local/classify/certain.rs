//! What a few rules know for certain: the lead's own booking link, a message that is only a phone
//! number, and a bare yes to an offered time.

use super::{
    cue::cues,
    text::{Sentence, Text},
};
use crate::analyst::local::{
    concepts::Lexicon,
    tokens::{DAY as DAY_TERM, TIME as TIME_TERM, TermSentence},
};
use std::ops::RangeInclusive;

/// The most characters beside a phone number in a message that is only that number.
const BESIDE_NUMBER_MAX: usize = 24;
const NUMBER_DIGITS: RangeInclusive<usize> = 7..=15;
/// The fewest digits of a phone number that has no mark in it.
const PLAIN_NUMBER_MIN: usize = 9;
/// The most words of a bare yes.
const BARE_MAX: usize = 5;
/// The concepts of a bare yes, and those that turn it.
const AGREES: [&str; 5] = ["yes", "ok", "suits", "confirm", "like"];
const TURNS: [&str; 8] =
    ["no", "negation", "decline", "later", "busy", "propose", "unclear", "absent"];

cues! {
    DAY = [r"\b<DAY>\b"];
    CLOCK = [r"\b(?:<CLOCK>|(?:at|@|around|by) ?\d{1,2}(?:[:.]\d{2})?)(?:$|\b)"];
    /// A count, not a time: "after 3 months", "around 20 people".
    COUNTED = [
        r"\b(?:at|after|before|around|by) (?:about )?\d{1,3} ?(?:%|percent|k\b|minutes?|mins?|
          hours?|days?|weeks?|months?|years?|people|employees|users|seats|licen[cs]es|dollars|usd|
          eur)",
    ];
    /// The lead's own link or calendar.
    OWN_LINK = [
        r"\b(?:my|our) (?:\w+ )?(?:calendly|link|booking (?:link|page|calendar)|scheduler|
          scheduling (?:link|page)|bookings? page|cal link)\b",
        r"\b(?:on|via|through|using|from|in) (?:my|our) calendar\b",
    ];
    LINK = [
        r"\bhttps?://",
        r"\b(?:calendly|savvycal|tidycal|zcal|koalendar|youcanbook|acuityscheduling|chilipiper|
          cal)\.\w{2,}/",
        r"\bmeetings\.hubspot",
        r"\bcalendar\.app\.google",
    ];
    BOOK = [
        r"\b(?:(?:book|schedule|reserve)(?: (?:a|an|any|some|the|your))?(?: \w+){0,3}? (?:time|
          slot|spot|date|day|call|meeting|appointment|demo|session|chat|directly|here|via|through|
          online|using|it|me|on|with|at|whatever|whenever)|(?:grab|pick|find|choose|select) (?:a|
          an|any|some|the|whatever|one|your) (?:\w+ ){0,3}(?:time|slot|spot|date|day|call|meeting)
          )\b",
        r"\buse (?:my|our|this)\b",
        r"\bhere(?:'s| is) (?:my|our|the)\b",
    ];
    TELLS_TO = [
        r"\b(?:please|feel free|you can|you may|you could|just|go ahead|kindly|happy for you|
          can you|could you|use my|use our|here's my|here's our|here is my|here is our)\b",
    ];
    ASKS_FOR_LINK = [
        r"\byour (?:\w+ )?(?:calendar|calendly|link|availability)\b",
        r"\b(?:can|could|may|should|do) (?:i|we)\b",
        r"\bdo you have\b",
        r"\bsend\b",
    ];
    PHONE = [r"\+?\(?\d[\d ().-]{5,}\d"];
    /// Digits that are a date.
    DATE = [
        r"^\d{4}-\d{2}-\d{2}",
        r"^\d{1,2}[.-]\d{1,2}[.-]\d{2,4}$",
    ];
    /// A phone call is asked for, in ten languages.
    CALL_ME = [
        r"(?:^|\b(?:please|pls|just|so|and|then|can you|could you) |[,:] ?)(?:call|phone|ring) (?:me|us)
          (?:$|,| (?:please|pls|when|whenever|on|at|back|asap|now|today|tomorrow|any ?time|instead|
          first|maybe|if|to discuss|about)\b)",
        r"(?:^|\b(?:please|pls|just|so|and|then|can you|could you) |[,:] ?)give (?:me|us) a (?:quick )?
          (?:call|ring|bell|buzz)\b",
        r"\bruf(?:e|en sie|t)? (?:mich|uns)\b[^,]{0,30}\ban\b",
        r"\bbitte um (?:einen |kurzen )*(?:an|rück|rueck)ruf\b",
        r"\br?appel(?:ez|le)[- ](?:moi|nous)\b",
        r"\b(?:merci|prière) de m'r?appeler\b",
        r"\bll[aá]m(?:ame|eme|enme|adme|anos|enos)\b",
        r"\bm[aá]rc(?:ame|eme|enme)\b",
        r"\b(?:chiam|telefon)(?:ami|atemi)\b",
        r"\bmi (?:chiami|telefoni)\b",
        r"\bme ligue?\b",
        r"\b(?:ligu|telefon)em?-me\b",
        r"\bbel (?:me|mij|ons)\b",
        r"\bring (?:till? |upp )?(?:mig|mej|meg|oss)\b",
    ];
    /// The call is not wanted, or is none.
    NO_CALL = [
        r"\b(?:nicht|nie|ne|pas|no|non|nn|n[aã]o|nunca|niet|nooit|inte|ikke|aldri|aldrig|never|
          not|stop|video|teams|zoom|meet|urgent|if)\b",
        r"n't\b",
    ];
    NOT_A_PHONE = [
        r"[@#$€£%/|]",
        r"www",
        r"\b(?:tel|mobile|phone|cell|fax) ?:",
        r"\b(?:not|wrong|no|remove|stop|order|invoice|ticket|case|account|reference|fax|who|users|
          people|employees|units|code)\b",
    ];
}

/// True if the lead asks us to book through its own link. A link that is merely below a message
/// does not count.
pub(super) fn is_sent_to_own_link(text: &Text) -> bool {
    let mut sentences = text.sentences.iter().enumerate().peekable();
    while let Some((at, sentence)) = sentences.next() {
        let is_followed_by_link =
            sentences.peek().is_some_and(|(_, next)| next.has(&LINK) && next.count() <= 2);
        let names_link = sentence.has(&OWN_LINK) || sentence.has(&LINK) || is_followed_by_link;
        let is_told = at == 0 || sentence.has(&TELLS_TO);
        if names_link && is_told && sentence.says(&BOOK) && !sentence.has(&ASKS_FOR_LINK) {
            return true;
        }
    }
    false
}

/// True if the message is a phone number and hardly more.
pub(super) fn is_only_a_number(text: &Text) -> bool {
    let whole = text.whole();
    let Some(number) = PHONE.find(&whole) else { return false };
    let beside = whole.chars().count().saturating_sub(number.as_str().chars().count());
    let digits = number.as_str().chars().filter(char::is_ascii_digit).count();
    let is_marked = digits < number.len();
    beside <= BESIDE_NUMBER_MAX
        && NUMBER_DIGITS.contains(&digits)
        && (is_marked || digits >= PLAIN_NUMBER_MIN)
        && !DATE.is_match(number.as_str())
        && !NOT_A_PHONE.is_match(&whole)
}

/// True if the lead asks to be called by phone.
pub(super) fn asks_for_a_call(text: &Text) -> bool {
    text.sentences.iter().any(|it| {
        CALL_ME.find(&it.words).is_some_and(|found| {
            let before = it.words.get(..found.start()).unwrap_or_default();
            let clause = before.rsplit([',', ':']).next().unwrap_or_default();
            let behind = it.words.get(found.end()..).unwrap_or_default();
            !NO_CALL.is_match(clause) && !NO_CALL.is_match(behind)
        })
    })
}

/// True if the message is short and none of its words says anything in any known language.
pub(super) fn is_of_unknown_words(sentences: &[TermSentence]) -> bool {
    let lexicon = Lexicon::compiled_in();
    sentences.iter().map(|it| it.tokens.len()).sum::<usize>() <= BARE_MAX
        && sentences.iter().all(|it| {
            lexicon.find(&it.tokens).is_empty() && !it.tokens.iter().any(|word| word.is_class())
        })
}

/// True if the message is a day, with or without a time, and nothing else, and we offered no time:
/// it is a proposal to which nobody has agreed.
pub(super) fn is_only_a_time(sentences: &[TermSentence], answers: Option<&str>) -> bool {
    let mut terms = sentences.iter().flat_map(|it| &it.tokens).map(|it| it.text.as_str());
    let has_day = terms.clone().any(|term| term == DAY_TERM);
    has_day
        && terms.all(|term| [DAY_TERM, TIME_TERM].contains(&term))
        && !answers.is_some_and(|ours| offers_a_time(&Text::of(ours)))
}

/// True if the message is hardly more than a yes, and our last message offers a day and a time.
pub(super) fn is_yes_to_a_time(sentences: &[TermSentence], answers: Option<&str>) -> bool {
    let words: usize = sentences.iter().map(|it| it.tokens.len()).sum();
    if words > BARE_MAX || !answers.is_some_and(|ours| offers_a_time(&Text::of(ours))) {
        return false;
    }
    let lexicon = Lexicon::compiled_in();
    let found: Vec<&str> = sentences
        .iter()
        .flat_map(|it| lexicon.find(&it.tokens))
        .map(|it| lexicon.name(it.concept))
        .collect();
    !sentences.iter().any(TermSentence::is_question)
        && found.iter().any(|it| AGREES.contains(it))
        && !found.iter().any(|it| TURNS.contains(it))
}

/// A text of ours that offers a day and a time of day.
fn offers_a_time(text: &Text) -> bool {
    text.sentences.iter().any(|sentence: &Sentence| {
        sentence.has(&DAY) && sentence.has(&CLOCK) && !sentence.has(&COUNTED)
    })
}
