//! Deferrals and approval.

use super::{
    cue::cues,
    text::{Sentence, Text},
};

/// A sentence of at most this many words that names a later time is a deferral.
const SHORT_DEFERRAL_MAX: usize = 6;

cues! {
    /// A deferral that is a negation itself.
    NOT_NOW = [
        r"\b(?:can't|cannot|can not) (?:talk|speak|chat|discuss)\b.{0,20}\b(?:now|today|moment)\b",
        r"\bnot (?:right )?now\b",
        r"\b(?:not|no) (?:at|for) (?:this|the) (?:time|moment|present)\b",
        r"\bnot at (?:this|present)\b",
        r"\bnot (?:today|this (?:week|month|quarter|year))\b",
        r"(?:^|[,;-] |\bbut |\bmaybe |\bprobably )not (?:just |quite )?yet\b",
        r"\bnot (?:a|the|really a) (?:good|great|right|best|ideal) (?:time|moment)\b",
        r"\b(?:isn't|not) (?:the |a )?(?:good|right|best|great) time\b",
        r"(?:\bnot|n't) (?:\w+ ){0,3}until (?:<NEAR>|<LATER>)",
        r"(?:\bnot|n't) (?:have|got) (?:the |any )?time (?:right now|now|at the moment|today|this|
          currently)\b",
    ];
    DEFERS = [
        r"^(?:maybe |perhaps |possibly |probably )?later(?:$|[,-]| (?:please|thanks|on|this|maybe|
          perhaps))",
        r"\b(?:maybe|perhaps|possibly|probably|please|try|talk|chat|speak|call|text|ask|reply|
          respond|check|look|discuss|reconnect|catch up|get back|interested|do (?:it|this|that))
          \b(?: \S+){0,5}? later\b",
        r"\bat a later (?:date|time|stage|point)\b",
        r"\b(?:circle|check|loop|swing|ping me|come) back\b",
        r"\breach (?:back )?out (?:to (?:me|us) )?(?:again|later|in|next|after|then|when|around|
          early|mid|late)\b",
        r"\b(?:follow|following)[ -]?(?:back )?up (?:with (?:me|us) )?(?:in|next|later|after|
          again|then|when|around|on|with)\b",
        r"\bplease follow[ -]?up\b",
        r"\btouch base (?:again|later|in|next|after|then)\b",
        r"\b(?:another|some other|a better|a different) time\b",
        r"\bbad (?:time|timing|moment)\b",
        r"\b(?:i'm|i am|im|we're|we are|been) (?:\w+ )?(?:busy|swamped|slammed|tied up|
          snowed under|flat out|underwater)\b",
        r"^(?:sorry |very |too |super |really |bit |a bit )*busy\b",
        r"\bbusy (?:right now|at the moment|now|today|this week|these days|period|time of)\b",
        r"^(?:sorry,? )?(?:i'm |i am )?in a meeting\b",
        r"\bremind me\b",
        r"\brevisit\b",
        r"\bdown the (?:road|line|track)\b",
        r"\bkeep (?:me|us|you|this|it|your \w+) (?:in mind|on file|on the list)\b",
        r"\bwhen (?:i'm|i am|we're|we are) (?:ready|back)\b",
        r"\blet me (?:think|check|discuss|get back|talk (?:to|with)|speak (?:to|with)|run (?:it|
          this)|look into|have a think)\b",
        r"\bneed (?:some |more |a bit more |a little )?time\b",
        r"\bgive me (?:a few|a couple|some|until|till|a day|a week)\b",
        r"\btry (?:me|us|again)\b.{0,20}\bnext week\b",
        r"^(?:maybe|perhaps|possibly|probably|try|ask me|ask|contact me|how about)? ?next week
          (?: please| instead| maybe| perhaps)?$",
        r"\b(?:get|come) back to (?:me|us) (?:next|in|after|on|later|around)\b",
        r"\b(?:contact|email|e-mail|message|text|write|write to|ping|ask) (?:me|us)
          (?: again)? (?:next|in|after|around) (?:week|a|an|the|<MONTH>|<LATER>|\d)",
    ];
    I_WILL = [
        r"\b(?:i|we)(?:'ll| will) (?:be in touch|reach (?:back )?out|let you know|get back|
          come back to you|think about it|think it over|contact you|consider|follow up|
          have a think|\w+ (?:a look|it over|this over|it|this) and get back|discuss|talk it over|
          circle back)\b",
    ];
    I_WILL_IF = [
        r"\b(?:be in touch|reach (?:back )?out|let you know|contact you|get back|back to you)
          \b(?: \w+){0,2} (?:if|should|in case)\b",
    ];
    LATER = [r"\b<LATER>\b"];
    /// Things that can be put off.
    TALKING = [
        r"\b(?:reach|contact|call|email|e-mail|text|message|write|talk|speak|chat|connect|
          reconnect|try|ping|ask|check|follow|touch|get|come|look|looking|discuss|meet|maybe|
          perhaps|wait|until|circle|reply|hit|consider|again|review|revisit|start|budget|happy|
          interested|then|busy|hold|pick|back|decide|ready|schedule|set up|catch)\b",
    ];
    /// Words that name a later time but put nothing off.
    NOT_PUT_OFF = [
        r"\b(?:need|needs|want|looking)\b.{0,40}\b(?:now|asap|immediately)\b",
        r"\b(?:already|worked|was|were|did|been|reviewed|last)\b",
    ];
    /// Whole messages that agree, for example to an offered time.
    AGREES = [
        r"^(?:(?:hi|hey|hello|yes|yeah|yep|yup|ya|sure|ok|okay|absolutely|definitely|certainly|
          of course|please|please do|go ahead|sounds good|sounds great|perfect|great|awesome|cool|
          works|that works|works for me|that works for me|that time works|let's do it|
          let's do that|fine|that's fine|deal|agreed|good|thanks|thank you|thing|for me|with me|
          by me|i can do that|that suits me|suits me|can do|will do|
          👍|👌|✅|🙂|😊|[.,!-])(?: |$))+$",
    ];
    /// Those of them that say yes even if nothing was offered.
    SAYS_YES = [
        r"\b(?:yes|yeah|yep|yup|sure|absolutely|definitely|certainly|of course|please|go ahead|
          sounds (?:good|great)|let's do (?:it|that)|works for me|that works|deal|agreed)\b",
    ];
    LIKES = [
        r"\binterested\b",
        r"\b(?:sounds|looks|seems) (?:\w+ )?(?:good|great|interesting|promising|amazing|perfect|
          awesome|fantastic|cool|intriguing|excellent|useful|like a (?:good|great|plan))\b",
        r"^(?:very |really |super )?interesting$",
        r"\bcount (?:me|us) in\b",
        r"\b(?:i'm|i am|we're|we are) (?:all |so |definitely )?in(?:$|,)",
        r"\blet's (?:do (?:it|this|that)|proceed|move forward|go ahead|get started|go)(?:$|,| )",
        r"\bsign (?:me|us) up\b",
        r"\bkeen (?:on|to)\b",
        r"\b(?:i'd|we'd|would) love (?:to|that|this|it)\b",
        r"\blove (?:it|this|the idea|the sound)\b",
        r"\b(?:i'm|i am|we're|we are) curious\b",
        r"\byes please\b",
        r"\bplease (?:proceed|go ahead)\b",
        r"\b(?:happy|ready|willing) to (?:proceed|move forward|go ahead|try|give it)\b",
        r"\blike the (?:idea|sound)\b",
        r"\b(?:good|great|perfect) timing\b",
        r"\bwould like to (?:try|see|explore|proceed|move|participate|join|order|buy|purchase|
          start|sign)\b",
        r"\bsounds like something\b",
    ];
    /// Interest that is asked for, supposed or somebody else's.
    NOT_OWN = [
        r"\b(?:if|when|once|unless|whether|in case|should)(?: \S+){0,3}? interested\b",
        r"\b(?:are|would|might|were) (?:you|they)(?: \S+){0,2}? (?:be )?interested\b",
        r"\b(?:anyone|people|others|those|somebody|someone) (?:who is |who's |
          who are )?interested\b",
        r"\buninterested\b",
        r"\binterested part(?:y|ies)\b",
        r"\b(?:was|were) interested\b",
        r"\binterested in (?:selling|offering|pitching)\b",
        r"\bbut (?:i |we |it's |that's )?(?:can't|cannot|not|don't|too|won't|no)\b",
    ];
}

/// True if the lead defers.
pub(super) fn is_deferral(text: &Text) -> bool {
    text.sentences.iter().any(|sentence| {
        sentence.has(&NOT_NOW)
            || sentence.says(&DEFERS)
            || (sentence.says(&I_WILL) && !sentence.has(&I_WILL_IF))
            || names_a_later_time(sentence)
    })
}

fn names_a_later_time(sentence: &Sentence) -> bool {
    sentence.has(&LATER)
        && !sentence.has(&NOT_PUT_OFF)
        && (sentence.count() <= SHORT_DEFERRAL_MAX || sentence.has(&TALKING))
}

/// True if the lead approves without a clear next step.
pub(super) fn is_interest(text: &Text) -> bool {
    let likes = |sentence: &Sentence| {
        !sentence.is_question && sentence.says(&LIKES) && !sentence.has(&NOT_OWN)
    };
    text.sentences.iter().any(likes) || (agrees(text) && text.has(&SAYS_YES))
}

/// True if the whole message is a short agreement.
pub(super) fn agrees(text: &Text) -> bool {
    let agrees = |sentence: &Sentence| {
        !sentence.is_question && AGREES.is_match(&sentence.words.replace(',', " ,"))
    };
    !text.is_empty() && text.sentences.iter().all(agrees)
}
