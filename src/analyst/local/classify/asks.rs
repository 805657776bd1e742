//! Finds requests of the lead: for a phone call, or for information.

use super::{
    cue::cues,
    text::{Sentence, Text},
};
use std::ops::RangeInclusive;

/// The most characters beside a phone number in a message that is only that number.
const BESIDE_NUMBER_MAX: usize = 24;
const NUMBER_DIGITS: RangeInclusive<usize> = 7..=15;
/// The fewest digits of a phone number that has no mark in it.
const PLAIN_NUMBER_MIN: usize = 9;

cues! {
    CALL_ME = [
        r"\b(?:call|ring|phone|dial) (?:me|us)(?: (?:back|up|directly|direct|anytime|any time|
          again))?(?:$|[,!?:()-]| (?:at|on|tomorrow|today|tonight|in|when|whenever|after|before|
          around|asap|now|this|next|any|later|please|if|for|and|to|or|between|with|about|here|
          instead|first|thanks|regarding|then|some|sometime|early|late|right|so|by|during|from|i|
          we|because|as|via|until|till|mid|morning|afternoon|mornings|afternoons|<WEEKDAY>|\+|\d))",
        r"\b(?:give|drop) (?:me|us) a (?:\w+ )?(?:call|ring|buzz|bell|shout)\b",
        r"\b(?:reach|get|catch|contact|text|try|find) (?:me|us) (?:\w+ ){0,3}?(?:at|on)
          \b.{0,30}?\d[\d ().-]{5,}\d",
        r"\bphone call\b",
        r"\b(?:speak|talk|chat) (?:on|over|by) (?:the )?phone\b",
        r"\b(?:can|could|may|should|shall) i (?:call|ring|phone) you\b",
        r"\bwhat (?:\w+ )?number (?:can|should|could|shall) i (?:call|ring)\b",
        r"\b(?:can|could|will|would) (?:you|someone|somebody) (?:please |just )?(?:call|ring|
          phone)(?:$|[,?!]| (?:<NEAR>|later|back|at|on|after|around|asap|please|now)\b)",
        r"\b(?:please|pls) (?:call|ring|phone)$",
        r"\bmy (?:\w+ )?(?:number|cell|mobile|phone|direct line)(?: number)? is\b.{0,20}\d{3}",
    ];
    /// Calls that others make, or that the lead likes less than something else.
    NOT_TO_CALL = [
        r"\b(?:they|people|everyone|everybody|friends|he|she|who|always) (?:call|phone|
          ring) (?:me|us)\b",
        r"\bover an? (?:phone )?call\b",
    ];
    /// Calls for an emergency only.
    IF_URGENT = [
        r"\b(?:if|for|in case of)\b.{0,40}\b(?:urgent|urgently|emergency|emergencies|immediate)\b",
        r"\burgent (?:matters|enquiries|inquiries|issues|requests)\b",
    ];
    LATER = [r"\b<LATER>\b"];
    NEAR = [r"\b<NEAR>\b"];
    PHONE = [r"\+?\(?\d[\d ().-]{5,}\d"];
    DATE = [
        r"^\d{4}-\d{2}-\d{2}",
        r"^\d{1,2}[.-]\d{1,2}[.-]\d{2,4}$",
    ];
    NOT_A_PHONE = [
        r"[@#$€£%/|]",
        r"www",
        r"\b(?:tel|mobile|phone|cell|fax) ?:",
        r"\b(?:not|wrong|no|remove|stop|order|invoice|ticket|case|account|reference|fax|who|users|
          people|employees|units|code)\b",
    ];
    ASK_MARK = [
        r"(?:^|[,:!-] |\b(?:and|but|so|yes|sure|ok|okay|hi|hey|hello|also|interested|first) )
          (?:what|how|where|who|why|which)
          (?:'s| is| are| does| do| would| can| could| did| much| long| kind| sort)\b",
    ];
    OFFER = [r"\b<OFFER>\b"];
    HOW_IT_WORKS = [
        r"\bhow (?:does|do|would|will|did|can)\b.{0,40}\bworks?\b",
        r"\bhow (?:this|it|that|your \w+) works\b",
        r"\bwhat (?:exactly )?do you (?:do|offer|sell|provide|charge)\b",
        r"\bwhat (?:exactly )?(?:is|are) (?:this|it|that|you)(?: \w+)? (?:about|for|regarding|
          offering|selling|proposing)\b",
        r"\bwhat's (?:this|it|that)(?: all)? (?:about|for|regarding)\b",
        r"\bwhat do i (?:have|need) to do\b",
        r"\bhow much\b",
        r"\bnext steps?\b",
        r"\bwhat's (?:next|the catch|included|involved)\b",
        r"\bmakes you (?:\w+ )?(?:different|better|unique)\b",
        r"\b(?:who|what) are your (?:\w+ )?(?:clients|customers)\b",
        r"\bis (?:it|this) (?:really )?free\b",
        r"\bcompares?\b",
        r"\bwhere are you (?:guys )?(?:based|located)\b",
        r"\bhow long (?:does|would|will|do)\b",
        r"\bhow (?:do|can) (?:i|we) (?:start|begin|sign up|join)\b",
    ];
    /// Words about the lead's own offer, or about how we got its address. They ask nothing about
    /// our offer.
    NOT_OUR_OFFER = [
        r"\bour (?:\w+ )?(?:services?|products?|solution|platform|website|offer|offerings?)\b",
        r"\bhow (?:did|do) you (?:get|find|have|obtain|know)\b",
        r"\bwhere (?:did|do) you (?:get|find|have)\b",
        r"\bwho gave\b",
        r"\b(?:my|our) (?:info|information|details|number|data|e-?mail|contact)\b",
        r"\bwhy (?:are|do|did|would) you\b",
        r"\b(?:do|did) you (?:want|need)\b",
        r"\b(?:can|could|may|shall|should) (?:i|we) (?:send|offer|share|email)\b",
    ];
    NO_NEED = [
        r"\b(?:don't|do not|doesn't|not|no longer|no) (?:\w+ )?(?:need|want|care)\b",
        r"\bno (?:more|further)\b",
    ];
    SEND = [
        r"(?:^|[,:!-] |\b(?:please|kindly|can you|could you|would you|will you|you can|you could|
          feel free to|and|just|then|yes|sure|ok|okay|interested|like you to|need you to|
          want you to|go ahead and|you mind|so|thanks|great|perfect|cool|good|do|me|if you) )
          (?:send|email|e-mail|share|forward|shoot|provide|give|text|message|dm|drop|pass|sending|
          sharing|show)\b(?: \S+){0,6}? <OFFER>\b",
    ];
    SEND_MORE = [
        r"\bsend (?:me |us |it |that |them |some |a bit |a little )*(?:over|more|across|through)\b",
        r"\b(?:send|share|show) (?:me |us )?(?:a (?:bit|little) )?more\b",
        r"\bmake (?:me|us) an offer\b",
        r"\b(?:please|can you|could you) (?:\w+ )?(?:explain|elaborate|clarify)\b",
        r"\bquestions? (?:about|on|regarding) (?:\w+ ){0,3}<OFFER>\b",
        r"\btell (?:me|us) (?:a (?:bit|little) )?more\b",
        r"\b(?:to|and|would) (?:know|learn|hear|find out|understand|see|read) (?:a (?:bit|
          little) )?more\b",
        r"\bmore (?:info|information|details)\b",
        r"\b(?:know|learn|hear) more\b",
    ];
    WANT = [
        r"\b(?:(?:i|we)(?:'d| would) (?:like|love|appreciate|need|want)|(?:i|we) (?:need|want|
          require)|interested in|looking for|(?:like|love) to (?:see|get|have|know|understand|
          receive))(?: \S+){0,4}? (?:pricing|price|prices|quote|details|information|info|brochure|
          deck|case stud\w+|costs?)\b",
    ];
    ONE_WORD = [
        r"^(?:(?:and|so|ok|okay|yes|sure|the|your|hi|hey|hello) )*(?:price|prices|pricing|cost|
          costs|how much|rates|fees|details|info|more info|more information|price list)
          (?: please| pls)?$",
    ];
}

/// True if the sentence asks for a phone call. Such a sentence is no meeting, even if it names a
/// time.
pub(super) fn is_call_me(sentence: &Sentence) -> bool {
    sentence.says(&CALL_ME) && !sentence.has(&IF_URGENT) && !sentence.has(&NOT_TO_CALL)
}

/// True if the lead wants a phone call now or soon.
pub(super) fn is_call(text: &Text) -> bool {
    let is_soon = |sentence: &Sentence| !sentence.has(&LATER) || sentence.has(&NEAR);
    text.sentences.iter().any(|sentence| is_call_me(sentence) && is_soon(sentence))
        || is_only_a_number(text)
}

/// True if the message is a phone number and hardly more.
fn is_only_a_number(text: &Text) -> bool {
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

/// True if the lead wants information: price, details, process.
pub(super) fn is_information(text: &Text) -> bool {
    text.sentences.iter().any(asks_about_offer)
}

fn asks_about_offer(sentence: &Sentence) -> bool {
    if sentence.has(&NOT_OUR_OFFER) {
        return false;
    }
    let is_asked = (sentence.is_question || sentence.has(&ASK_MARK)) && !sentence.has(&NO_NEED);
    is_asked && (sentence.has(&OFFER) || sentence.has(&HOW_IT_WORKS))
        || sentence.has(&ONE_WORD)
        || [&SEND, &SEND_MORE, &WANT].into_iter().any(|cue| sentence.says(cue))
}
