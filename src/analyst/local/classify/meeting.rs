//! Recognises meetings that are agreed or wanted.

use super::{
    asks::is_call_me,
    cue::cues,
    text::{Sentence, Text},
};

/// The most words of a sentence that is only an answer.
const SHORT_ANSWER_MAX: usize = 6;

cues! {
    DAY = [r"\b<DAY>\b"];
    CLOCK = [r"\b(?:<CLOCK>|(?:at|@|around|by) ?\d{1,2}(?:[:.]\d{2})?)(?:$|\b)"];
    NEAR = [r"\b<NEAR>\b"];
    LATER = [r"\b<LATER>\b"];
    /// A count, not a time: "after 3 months", "around 20 people".
    COUNTED = [
        r"\b(?:at|after|before|around|by) (?:about )?\d{1,3} ?(?:%|percent|k\b|minutes?|mins?|
          hours?|days?|weeks?|months?|years?|people|employees|users|seats|licen[cs]es|dollars|usd|
          eur)",
    ];
    /// The lead says that it booked, or accepted an invitation.
    BOOKED = [
        r"\b(?:i|we)(?:'ve| have)? (?:just |already |now )*(?:booked|scheduled|accepted|confirmed|
          picked|grabbed|chosen|selected) (?:\w+ ){0,3}(?:time|slot|meeting|call|demo|invite|
          invitation|appointment|session)\b",
        r"\bjust (?:booked|scheduled) (?:a|the|some|in|our|it)\b",
        r"\b(?:invite|invitation) (?:is |was |has been )?(?:accepted|confirmed)\b",
        r"\b(?:accepted|confirmed) (?:the|your) (?:calendar |meeting )?(?:invite|invitation)\b",
        r"\b(?:see|talk to|speak to|speak with|catch|meet) you then\b",
        r"\b(?:talk|speak) then\b",
    ];
    BOOKED_ELSEWHERE = [
        r"\b(?:with|at) (?:another|a different|your competitor|someone else|somebody else)\b",
    ];
    CONFIRMED = [
        r"^(?:booked|confirmed|accepted)(?:$|[,:-]| (?:for|it|the|your|thanks|thank|see)\b)",
    ];
    /// Words that accept a time that is named beside them.
    ACCEPTS = [
        r"\bworks\b",
        r"\bwork for (?:me|us)\b",
        r"\b(?:sounds|looks) (?:good|great|perfect|fine)\b",
        r"\b(?:is|'s|am) (?:good|great|perfect|fine|ok|okay|confirmed|set)\b",
        r"\b(?:good|fine|perfect|great|ok|okay) (?:for|with|by) (?:me|us)\b",
        r"\bsuits\b",
        r"\bconfirm(?:ed|ing)?\b",
        r"\bsee you\b",
        r"\b(?:talk|speak) to you\b",
        r"\bspeak with you\b",
        r"\bi(?:'ll| will) be there\b",
        r"\blooking forward\b",
        r"\bit's a date\b",
        r"\block(?:ed)? (?:it |that )?in\b",
        r"^(?:yes|yeah|yep|sure|ok|okay|perfect|great|deal)\b",
    ];
    /// Words that make a time a proposal, or the time of something else.
    PROPOSES = [
        r"\bor\b",
        r"\bif\b",
        r"\b(?:would|could|should|might) (?:be|work|suit|do)\b",
        r"\b(?:how|what) about\b",
        r"\b(?:can|could|would|shall|should) (?:you|we|i)\b",
        r"\blet me (?:check|know|see|think|get)\b",
        r"\b(?:i|we)(?:'ll| will) (?:\w+ )?(?:send|look|review|check|read|get back|let you|reply|
          respond|email|think|decide|be (?:away|out|back|travel\w*|in meetings|in a meeting|busy|
          on))\b",
        r"\b(?:send|email|forward (?:it|this|that|you))\b",
        r"\b(?:anytime|any time|either|except|unless)\b",
        r"\b(?:better|instead)\b",
        r"\b(?:i|we) (?:\w+ed|saw|got|read|had|was|were|paid|sent|sold|spoke|met)\b",
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
    /// An invitation to talk, from its opening to what is to be done.
    WANTS = [
        r"\b(?:let's|lets|let us|(?:can|could|shall|should|may|might) we|(?:can|could|may|should|
          shall) i|when (?:can|could|should|shall) (?:we|you|i)|(?:i|we)(?:'d| would) (?:like|
          love|be (?:happy|glad|open|keen|interested))|would (?:like|love) to|love to|(?:happy|
          glad|keen|open|willing|delighted|eager|pleased|interested) (?:to|for|in)|up for|
          down (?:for|to)|(?:want|wants|like|prefer) to|(?:free|available|around) (?:to|for)|
          able to|(?:we|i|you) (?:can|could)|how about|what about|(?:have|got) time|time (?:for|
          to)|looking forward to|please|why do (?:we|you|i)|can you|could you|sure|yes|ok|okay|
          worth)(?: [^ ,]+){0,5}? (?:meet(?:ing)?(?: up)?|chat|talk|speak|catch up|discuss|
          sit down|(?:schedule|book|arrange|organi[sz]e|set up|plan|do|have|get|grab|hop on|
          jump on|get on|take|join|hold|fix|put)(?: \S+){0,4}? (?:call|meeting|chat|demo|
          conversation|zoom|appointment|coffee|lunch|walkthrough|walk-through|intro)|(?:schedule|
          book|arrange|find|fix|set|grab|set up)(?: \S+){0,3}? (?:time|slot|date)|(?:schedule|
          book|set|arrange|set up) (?:it|something|me|us|one)(?: in| up)?|(?:an?|another|quick|
          short|brief) (?:\w+ ){0,2}(?:call|meeting|zoom|demo|conversation|chat)|connect|zoom)\b",
    ];
    /// How the text goes on if the meeting is with others, or if "meet" means something else.
    WITH_OTHERS = [
        r"^(?: (?:it|this|that|things))?(?: \w+)? ?(?:internally|(?:to|with|through with|
          over with) (?:my|our|the|him|her|them|some|other|his|their|another|colleagues|
          management|legal|finance|your manager|your boss|a (?:real )?(?:human|person))\b)",
        r"^ (?:on|over|by) (?:the )?phone\b",
        r"^ (?:our|my|the|your|this|that|these|all|any|every) (?:\w+ )?(?:needs?|requirements?|
          expectations|criteria|budget|deadline|goals|targets?|standards)\b",
        r"^ center",
        r"^ cent(?:er|re)",
        r"^ed\b",
    ];
    /// The lead asks for a time, an invitation or a link.
    ASKS_TIMES = [
        r"\b(?:send|shoot|share|suggest|propose|offer|give) (?:\w+ )?(?:\w+ ){0,5}(?:times|
          time slots?|slots|dates|availability|availabilities|invite|invitation|calendar|calendly|
          (?:booking|meeting|zoom|scheduling) link)\b",
        r"\b(?:what|which) (?:time|times|day|days|date|dates)(?: and times?| or days?)? (?:works?|
          suits?|would|are|do|is|can)\b",
        r"\bwhen (?:are|would) you (?:be )?(?:free|available|around|able)\b",
        r"\bwhen (?:works|suits|is good|is best|would work|would suit|do you have time|
          are you free)\b",
        r"\bwhat(?:'s| is| are| does) (?:your|you) (?:availability|calendar|schedule)\b",
        r"\b(?:are|would) you (?:be )?(?:free|available|around)\b",
        r"\blet me know (?:when|what|which|a|some|your)\b.{0,30}\b(?:free|available|availability|
          works?|times?|suits?|meet|talk|chat)\b",
        r"\bbook me in\b",
        r"\bpencil (?:me|us|it) in\b",
        r"\b(?:put|get|add|stick) (?:something|some time|it|a time|time|a meeting|me|us|one)
          (?: \w+){0,2} (?:in|on|to|onto) (?:my|our|the|your) (?:calendar|diary|schedule|books)\b",
        r"\bset up (?:a|some) (?:time|call|meeting|demo)\b",
        r"\b(?:i'd|i would|we'd|we would) like a (?:demo|meeting)\b",
        r"(?:^|[,:!-] |\b(?:please|and|just|yes|sure) )(?:book|schedule|arrange|set up) (?:a|the|
          us|me|some) (?:\w+ ){0,3}?(?:demo|meeting|call|time|chat|appointment)\b",
        r"^let's (?:meet|talk|chat|speak|zoom)\b",
        r"\b(?:can|could|may|to|let's|must|shall) (?:we |i |you )?reschedule\b",
        r"\b(?:come|drop|swing) by\b.{0,40}\b<NEAR>",
    ];
    /// The lead proposes or accepts a time.
    TIME_TALK = [
        r"\b<NEAR>(?: or <NEAR>)?(?: \w+){0,2}? (?:works?|suits?|is (?:good|fine|perfect|ok|okay|
          great|best)|would (?:work|be|suit)|good|fine|perfect|ok|okay)\b",
        r"\b(?:works|work for (?:me|us)|free|available|good|suits|i'm around)(?: (?:for|me|us|on|
          at|this|next|any|anytime|time|all|day|either|most|in|the|from|between|after|before|
          around|of|well|also))* <NEAR>\b",
        r"\b(?:how|what) about(?: \w+){0,2} <NEAR>\b",
        r"\b(?:can|could|shall|should) (?:you|we|i) (?:do|make|say|try|manage)
          (?: \w+){0,2} <NEAR>\b",
        r"\b(?:i|we) (?:can|could) (?:do|make)(?: \w+){0,2} <NEAR>\b",
        r"\blet's (?:do|say|go (?:for|with)|make it|try|aim for)(?: \w+){0,2} <NEAR>\b",
        r"\b(?:does|is|would|will) <NEAR>(?: \w+){0,4} (?:work|suit|good|ok|okay|fine|possible|
          convenient|better)\b",
    ];
    /// Sentences that are only a time.
    ONLY_A_TIME = [
        r"^(?:(?:how's|how is|how about|maybe|perhaps|yes|or|and|on|at|then|say|around|after|
          before|it is|is|the|anytime|any time|any day|in the|please|next week)[ ,]*|
          <NEAR>[ ,-]*)+$",
    ];
    TELLING_TIME = [
        r"\b(?:<WEEKDAY>|today|tonight|tomorrow|tmrw|anytime|any time|any day|\d{1,2}:\d{2}|
          \d{1,2} ?[ap]m|noon)\b",
    ];
    MOVES = [r"\b(?:reschedule|move|push|shift|switch)\b.{0,40}\b<NEAR>\b"];
    CONFIRMS = [
        r"\b(?:yes|yeah|yep|sure|ok|okay|perfect|great|please|definitely|absolutely|maybe)\b",
    ];
    /// The day belongs to something else.
    NOT_FREE = [
        r"\b(?:i|we|i'm|we're) (?:\w+ed|saw|got|read|had|was|were|paid|sent|sold|spoke|met|will|
          have|busy|in a|in meetings)\b",
        r"\b(?:i|we)(?:'ll| will)\b",
        r"\b(?:free|open|available|good) (?:trial|plan|version|account|until|from)\b",
        r"\bfor free\b",
    ];
    /// Conditions that are not met yet.
    CONDITIONAL = [
        r"\b(?:if|when|once|unless) (?:we|i) (?:ever |do |should )?(?:need|decide|change|want|
          require|find|are ready|am ready|have)\b",
        r"\bif (?:anything|things|that changes|this changes|it changes|interested)\b",
    ];
}

/// True if a time is agreed, an invitation is accepted, or the lead sends its own link for booking.
pub(super) fn is_booked(text: &Text) -> bool {
    let times = text.has(&DAY) || text.has(&CLOCK);
    let is_stated = text.sentences.iter().any(|sentence| {
        !sentence.is_question
            && (sentence.says(&BOOKED) && !sentence.has(&BOOKED_ELSEWHERE) && !sentence.has(&LATER)
                || times && sentence.has(&CONFIRMED)
                || takes_up_a_time(sentence))
    });
    is_stated || is_sent_to_own_link(text)
}

/// True if the sentence holds a day and a time of day, and a word that accepts them.
fn takes_up_a_time(sentence: &Sentence) -> bool {
    let is_time = sentence.has(&DAY) && sentence.has(&CLOCK) && !sentence.has(&COUNTED);
    is_time && sentence.says(&ACCEPTS) && !sentence.has(&PROPOSES) && !is_call_me(sentence)
}

/// True if the lead asks us to book through its own link. A link that is merely below a message
/// does not count.
fn is_sent_to_own_link(text: &Text) -> bool {
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

/// True if the lead wants to meet or talk, and no time is settled.
pub(super) fn is_requested(text: &Text) -> bool {
    text.sentences.iter().any(|sentence| {
        let is_put_off = sentence.has(&LATER) && !sentence.has(&DAY) && !sentence.has(&CLOCK);
        !is_put_off
            && !sentence.has(&CONDITIONAL)
            && (wants_to_talk(sentence)
                || sentence.says(&ASKS_TIMES)
                || puts_forward_a_time(sentence))
    })
}

fn wants_to_talk(sentence: &Sentence) -> bool {
    if is_call_me(sentence) || !sentence.says(&WANTS) {
        return false;
    }
    WANTS.find_iter(&sentence.words).any(|found| {
        sentence.words.get(found.end()..).is_some_and(|rest| !WITH_OTHERS.is_match(rest))
    })
}

fn puts_forward_a_time(sentence: &Sentence) -> bool {
    if is_call_me(sentence) || sentence.has(&NOT_FREE) || sentence.has(&COUNTED) {
        return false;
    }
    let is_short_yes =
        sentence.count() <= SHORT_ANSWER_MAX && sentence.has(&NEAR) && sentence.says(&CONFIRMS);
    let is_only_a_time = sentence.has(&ONLY_A_TIME) && sentence.has(&TELLING_TIME);
    is_short_yes
        || is_only_a_time
        || sentence.says(&TIME_TALK)
        || (sentence.is_question && sentence.says(&MOVES))
}

/// A text of ours that offers a day and a time of day.
pub(super) fn offers_a_time(text: &Text) -> bool {
    text.sentences
        .iter()
        .any(|sentence| sentence.has(&DAY) && sentence.has(&CLOCK) && !sentence.has(&COUNTED))
}
