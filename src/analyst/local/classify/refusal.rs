//! Recognises declines, complaints and insults.

use super::{cue::cues, text::Text};

/// The most bytes of a message in which a phrase such as "all set" is a decline by itself.
const SHORT_DECLINE_MAX: usize = 160;

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
    /// An explicit decline.
    EXPLICIT = [
        r"\b(?:not|isn't|aren't|no longer|never|un)[ -]?(?:\w+ly |really |all that |at all |
          currently |that |very |too )*interested\b",
        r"\buninterested\b",
        r"\bno,? (?:thanks|thank you|thankyou|thx|ty)\b",
        r"\bnope,? thanks\b",
        r"\bnot for (?:me|us)\b",
        r"\b(?:thanks|thank you),? but no\b",
        r"\bwrong (?:number|person|phone)\b",
        r"\b(?:no|zero|have no|don't have any) interest\b",
        r"\bnot of interest\b",
        r"\bno me interesa\b",
        r"\bkein interesse\b",
        r"\bpas intéressée?s?\b",
    ];
    /// "Not interested" that is said about nobody, or taken back.
    NOT_EXPLICIT = [
        r"\bnot un",
        r"\bnot that (?:i'm|i am|we're|we are) (?:not|un)",
        r"\b(?:you're|you are|you were) (?:not|no longer|un)",
        r"\bif (?:i'm|i am|we're|we are|they're|it's) not",
        r"\bno (?:thanks|thank you) (?:needed|necessary|required)\b",
        r"\b(?:don't think|doesn't mean|never said|didn't say) (?:that )?(?:i'm|i am|we're|
          we are) (?:not|un)",
    ];
    DECLINE = [
        r"\balready (?:have|got|'ve got) (?:(?:one|someone|somebody|something|it covered|
          this covered|that covered|this handled|it handled)\b|an? (?:\w+ ){0,3}(?:solution|
          provider|vendor|supplier|partner|system|tool|agency|team|person|company|service|
          contractor?|guy|firm|software|platform|consultant|broker)\b)",
        r"\b(?:happy|satisfied|covered|fine|good) with (?:our (?:current|existing|present|
          provider|vendor|supplier|solution|agency|partner)|what we have|who we have|the one)\b",
        r"\balready (?:using|use|work with|working with|covered|sorted|taken care of|
          under contract|signed with|went with|chose)\b",
        r"\bnot (?:\w+ )?(?:an? )?(?:good |right |great |the right |the best )?(?:fit|match)\b",
        r"\b(?:don't|do not|please don't|no need to) (?:follow[ -]?up|bother)\b",
        r"\b(?:i'll|i will|we'll|we will|going to|have to|gonna|i'm going to|
          we're going to) (?:have to )?pass\b",
        r"^pass(?: on this| for now| thanks)?$",
        r"\b(?:don't|do not|no longer) (?:need|require|want) (?:this|it|that|any|your|one|these|
          those|the service|help|anything)\b",
        r"\bnot (?:currently |actively |really )?(?:looking|in the market|hiring|buying|needed|
          necessary|required)\b",
        r"\b(?:have to|must|will|i'd like to|politely|respectfully) decline\b",
        r"^(?:no|nope|nah|hard pass|pass|decline)$",
        r"\b(?:don't|do not) (?:think|believe|feel) (?:this|it|that)
          (?:'s| is| would be)? (?:for (?:me|us)|a (?:good |right |great )?(?:fit|match))\b",
        r"\b(?:i'd|we'd|would) rather not(?:$|,)",
        r"\bnot (?:selling|for sale)\b",
        r"\bnot something (?:i|we|that)(?:'re|'m| are| am|'d| would)? (?:need|want|looking|
          interested|consider)",
    ];
    ALL_SET = [
        r"\ball (?:set|good|sorted)(?:$|[,:)-]| (?:here|thanks|thank|now|over here|on our end|
          on my end|at the moment|for now|already))",
        r"\bno need(?:$|[,-]| (?:for|at|right|thanks|thank|of|here))",
        r"\b(?:we're|we are|i'm) set(?:$|[,-]| (?:thanks|thank|for now))",
        r"\bwe're good(?:$|[,-]| (?:thanks|thank|for now|here))",
        r"\bi'm good(?:$|[,-]| (?:thanks|thank|for now))",
    ];
    TIME = [r"\b(?:<NEAR>|<LATER>)\b"];
    LATER_TIME = [
        r"\b<LATER>\b",
        r"\bnext week\b",
        r"\b(?:another|some other) time\b",
        r"\b(?:again|maybe|perhaps|but|reach out|contact|try|call|ask|check) (?:\w+ ){0,4}later\b",
        r"\bat a later\b",
    ];
}

/// True for a spam complaint, an insult, or a demand to delete the lead's data.
pub(super) fn is_hostile(text: &Text) -> bool {
    let hits =
        |sentence: &&super::text::Sentence| sentence.has(&HOSTILE) && !sentence.has(&NOT_HOSTILE);
    text.sentences
        .iter()
        .filter(hits)
        .any(|sentence| !sentence.is_question || sentence.count() > SHORT_QUESTION_MAX)
}

/// True for an explicit decline. It wins over a deferral, unless the text names a later time.
pub(super) fn is_explicit(text: &Text) -> bool {
    let declines = |sentence: &super::text::Sentence| {
        !sentence.is_question && sentence.has(&EXPLICIT) && !sentence.has(&NOT_EXPLICIT)
    };
    text.sentences.iter().any(declines)
}

/// True if the text names a later time.
pub(super) fn names_later_time(text: &Text) -> bool {
    text.has(&LATER_TIME)
}

/// True for a decline of any kind.
pub(super) fn is_decline(text: &Text) -> bool {
    let states = |sentence: &super::text::Sentence| !sentence.is_question && sentence.has(&DECLINE);
    is_explicit(text) || text.sentences.iter().any(states) || is_all_set(text)
}

/// True for a phrase such as "all set" in a short message that neither asks anything nor names a
/// time.
fn is_all_set(text: &Text) -> bool {
    let asks = text.sentences.iter().any(|sentence| sentence.is_question);
    let is_short = text.len() <= SHORT_DECLINE_MAX || text.whole().contains("thank");
    text.has(&ALL_SET) && is_short && !asks && !text.has(&TIME)
}
