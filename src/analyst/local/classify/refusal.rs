//! Recognises complaints and insults.

use super::{
    cue::cues,
    text::{Sentence, Text},
};

/// The most words of a question that is no complaint, such as "This is spam?".
const SHORT_QUESTION_MAX: usize = 5;

cues! {
    /// A complaint about spam, or an insult.
    HOSTILE = [
        r"\b(?:this|it|that|you)(?:'s|'re| is| are)
          (?: just| pure| clearly| nothing but| an?)* (?:spam|spammers?|spamming|harassment|
          harassing|scam|scammers?|phishing)\b",
        r"\byour (?:e-?mails?|messages?|texts?) (?:is|are) (?:just |pure )?(?:spam|harassment)\b",
        r"\b(?:i|we)(?:'m|'re|'ve|'ll| am| are| have| will)?(?: \w+){0,2} (?:report|reported|
          reporting|mark|marked|marking|flag|flagged|flagging)\b (?:you|this|it|your \w+)
          (?: \w+){0,2} (?:as|for|to) (?:spam|junk|abuse|phishing|harassment|the (?:ico|ftc|
          authorities|police))\b",
        r"^(?:report|mark|flag)(?:ed|ing)? (?:you |this |it )?(?:as|for|to) (?:spam|junk|abuse)",
        r"\b(?:i|we)(?:'m|'ve|'ll| am| have| will)?(?: \w+){0,2} (?:block|blocked|
          blocking) (?:you|your)\b",
        r"\b(?:stop|quit) (?:spamming|harassing|bothering|pestering|annoying)\b",
        r"\bfu?c?k(?: right)? off\b",
        r"\bfu?c?k (?:you|yourself)\b",
        r"\b(?:piss|bugger|sod|buzz|f) off\b",
        r"\bscrew you\b",
        r"\bgo to hell\b",
        r"\bdrop dead\b",
        r"\bleave (?:me|us) alone\b",
        r"\blose (?:my|this|our) (?:number|e-?mail|address|contact)\b",
        r"^(?:get lost|go away)$",
        r"\b(?:this is|consider this|as) a (?:formal )?cease and desist\b",
        r"(?:^|[,:;-] |\b(?:please|and|so|just) )(?:never|do not ever|don't ever|
          don't you dare) (?:contact|email|e-mail|call|text|message|write)\b",
        r"\b(?:i|we)(?:'ll| will|'m going to| am going to) (?:sue you|take legal action|
          report you)\b",
        r"\bhow dare you\b",
        r"(?:^|\bplease |\bkindly |\bmust |\bneed to |\band |\byou to |\bcan you |\bcould you )
          (?:delete|erase|remove) (?:all )?(?:of )?(?:my|our|this) (?:personal )?(?:data|details|
          information|info|number|e-?mail|name|contact|address)\b",
    ];
    NOT_HOSTILE = [
        r"\baccident",
        r"\bby mistake\b",
        r"\bfilter\b",
        r"\bunmark",
        r"\b(?:is|isn't|is this|if) (?:it|this) (?:spam|a scam)\b",
        r"\bnot (?:a |an )?(?:spam|scam|harassment)",
    ];
}

/// True for a spam complaint, an insult, or a demand to delete the lead's data.
pub(super) fn is_hostile(text: &Text) -> bool {
    let hits = |sentence: &&Sentence| sentence.has(&HOSTILE) && !sentence.has(&NOT_HOSTILE);
    text.sentences
        .iter()
        .filter(hits)
        .any(|sentence| !sentence.is_question || sentence.count() > SHORT_QUESTION_MAX)
}
