//! Instructions how to opt out ("Reply STOP to opt out"). A message that repeats one does not opt
//! out.

use crate::domain::lazy_pattern::LazyPattern;
use regex::Regex;

/// What an instruction tells people to do. Forms that people use of themselves are missing: "I
/// texted STOP" is a wish.
const DO: &str = concat!(
    r"(?:reply|respond|answer|text|txt|send|write|type|enter|msg|message|click|tap|press|hit|use|visit|follow",
    // German, French, Spanish, Italian, Portuguese
    r"|antworten?|antworte|sende[nt]?|schreiben?|schreibt|klicken?|tippen?|schicken?|repond(?:s|ez|re)|envoye[rz]|envoie",
    r"|tape[rz]|ecri(?:vez|s|re)|clique[rz]?|respond(?:a|e|er|an)|contest[ae]|envi(?:e|a|ar|en)|escrib(?:a|e|ir)|mand[ae]",
    r"|escrev(?:a|er)|digit[ae]|rispond(?:i|ere|ete)|invi(?:a|are|ate)|scriv(?:i|ere|ete)|clicc(?:a|are|ate)|haz clic",
    // Dutch, the Nordic languages, Polish, Czech, Romanian
    r"|antwoord(?:en)?|stuur|klik(?:k)?|skriv|svara?|skicka|vastaa|laheta|odpisz|odpowiedz|wyslij|napisz|odpovezte|poslete",
    r"|napiste|raspund(?:e|eti)|trimite(?:ti)?|scrie(?:ti)?)",
);
/// Instructions that tell people what to send or to click.
const KEYWORD: &str = concat!(
    r"(?:stopp?(?: all|all| sms)?|end|quit|cancel|unsub(?:scribe)?|opt[ -]?out|remove(?: me)?|no|out|arrete?r?|baja|alto",
    r"|parar|sair|salir|cancelar|abmelden|afmelden|here|(?:the |this )?(?:link|button)(?: below)?|below|hier|ici|aqui|qui",
    r"|[0-9]{4,6})",
);
/// Words that introduce the purpose.
const SO_THAT: &str = r"(?:to|2|4|for|if|and|so|in order to|um|zum|zur|fur|pour|para|per|om|ter|for at|for att|for a|aby|zeby|pentru(?: a)?|=|:|-)";
/// A keyword with its purpose, without a "reply" before it: `STOP to …`, `STOP=…`.
const BARE_KEYWORD: &str = concat!(
    r"(?:stopp?(?: all|all| sms)?|end|quit|cancel|unsub(?:scribe)?|arrete?r?|baja|alto|parar|sair|salir)",
    r#"["')*>\]]* ?(?:to|2|for|um|zum|zur|fur|pour|para|per|om|ter|aby|zeby|pentru|=)"#,
);
/// Words that may stand between the purpose and its verb.
const BETWEEN: &str = concat!(
    r"(?:be|get|stop|no longer|not|receiving|receive|getting|end|you|your|yourself|the|from|our|any|all|future|further|and",
    r"|we|we'll|i'll|i|will|immediately|instantly|easily|can|may|want|wish|would|like|prefer|to|sich|vous|te|se|ti|si|u|je",
    r"|dig|deg|dich|automatically)",
);

/// The patterns of instructions. Those for the text before a phrase end with `$`, those for the
/// text after it start with `^`.
pub(super) struct Instructions {
    /// Before: "reply STOP to …".
    told_to: LazyPattern,
    /// Before: "reply with the word …".
    told_word: LazyPattern,
    /// Before: "STOP to …", "STOP=…".
    keyword_for: LazyPattern,
    /// Before: "to …", "if you want to …", at the start of a clause.
    purpose: LazyPattern,
    /// After: how to do it ("… reply STOP", a link).
    means: LazyPattern,
    /// After: ": reply …", "= STOP", " here".
    follows: LazyPattern,
    /// Before: "you can … at any time".
    may: LazyPattern,
    /// Before: "your text said …".
    reported: LazyPattern,
    /// Before an instruction's verb: "I have …", which makes it a report of the lead's own deed.
    own_deed: LazyPattern,
}

impl Instructions {
    /// All patterns, each made by `pattern`.
    pub(super) fn by(pattern: &mut dyn FnMut(&str) -> LazyPattern) -> Self {
        Self {
            // reply STOP (to 12345) to (be) …
            told_to: pattern(&format!(
                r#"\b{DO}\b(?: [^ .!?;]+){{0,6}}? ?["'(*<\[:]*\b{KEYWORD}\b["')*>\]]*(?: (?:to|at|an|au|al|a) \+?[0-9-]+)?,? ?{SO_THAT}(?: {BETWEEN}){{0,6}} ?["'(*<\[]*$"#
            )),
            // reply (with the word) "…
            told_word: pattern(&format!(
                r#"(?:^|[^a-z']){DO}(?: (?:us|back|with|by|in|a|an|the|one|word|words|saying|mit|dem|wort|par|avec|con|la|palabra|le|mot|com|met))*:? ?["'(*<\[]*$"#
            )),
            // STOP to …, STOP=…
            keyword_for: pattern(&format!(
                r#"(?:^|[^a-z']){BARE_KEYWORD}(?: {BETWEEN}){{0,6}} ?["'(*<\[]*$"#
            )),
            // To …, if you want to …, at the start of a clause.
            purpose: pattern(concat!(
                r#"(?:^|[.,;:!?"'(\n-] ?|\bor |\band |\boder |\bou |\bo |\be )(?:in order )?(?:to|um|zum|zur|pour|para|per|om|for at|for att)"#,
                r#"(?: (?:vous|te|se|sich|dich|be|get|completely|immediately))* ?$|\b(?:if )?you(?:'d| would)? (?:also |really |ever )?(?:like|want|wish|prefer|choose|decide|need) (?:me |us )?to (?:be |get )?$|\b(?:wenn|falls) (?:sie|du) ?$"#,
            )),
            means: pattern(&format!(
                r#"^[^.!?\n]{{0,60}}(?:\b{DO}\b|https?:|www\.|\b(?:mit|per|via|avec|con|com|met|with|by) ["'(*<]*{KEYWORD}\b)"#
            )),
            follows: pattern(&format!(
                r#"^ ?[:=] ?["'(*<]*{DO}\b|^ ?= ?["'(*<]*{KEYWORD}\b|^ (?:here|hier|ici|aqui|qui)\b"#
            )),
            // You can … at any time.
            may: pattern(concat!(
                r"\b(?:you|sie|vous|du|recipients?) (?:can|may|could|might|are (?:free|able) to|have the (?:right|option) to",
                r"|konnen|kannst|pouvez|puede|puedes|pode)(?: (?:always|also|easily|simply|just|now|still|then|at any time",
                r"|anytime|any time|sich|jederzeit|dich|vous|se|te|,))* ?$",
            )),
            // Your text said … "
            reported: pattern(concat!(
                r"\b(?:you|it|this|that|texts?|messages?|e-?mails?|sms|footer|note|link|line|bottom|part)",
                r#" (?:said|says|say|reads?|mentions?|mentioned|wrote|writes|states?|stated|tells|told|asks|asked)"#,
                r#"(?: (?:me|us|that|to|i|we|can|could|may|you|if|about|how|the|something))*:? ?["'(*<]*$"#,
            )),
            own_deed: pattern(concat!(
                r"\b(?:i|we|ich|j'ai|je)(?:'ve|'ll|'m)?(?: (?:have|had|will|did|must|need|keep|kept|tried|try|want|already|just|to",
                r"|always|again|now|even))* ?$",
            )),
        }
    }

    /// True if `phrase` is part of an instruction. `wide` is the text before it in its sentence,
    /// with the lines above; `before` is the text before it on its line, `after` that behind it on
    /// its line.
    pub(super) fn cover(&self, wide: &str, before: &str, phrase: &str, after: &str) -> bool {
        let asks_for_itself = phrase.split(' ').any(|word| word == "me" || word == "us");
        let is_told = |told: &Regex, text: &str| {
            told.find(text).is_some_and(|found| {
                let order = found.as_str().trim_start_matches(|char: char| !char.is_alphanumeric());
                let head = text.get(..found.end() - order.len()).unwrap_or_default();
                let asks_for_a_way = order.contains(" me ")
                    && ["link", "button"].iter().any(|way| order.contains(way));
                !asks_for_a_way && !self.own_deed.is_match(head)
            })
        };
        let is_of_others =
            !asks_for_itself && !after.starts_with(" me") && !after.starts_with(" us");
        is_told(&self.told_to, wide)
            || is_told(&self.told_word, before)
            || is_told(&self.keyword_for, before)
            || self.reported.is_match(before)
            || (self.purpose.is_match(before) && self.means.is_match(after))
            || (is_of_others && (self.may.is_match(before) || self.follows.is_match(after)))
    }
}
