//! Finds demands by what they are made of: somebody who is to end, remove or leave alone, and what:
//! messages, a list, an address, the lead.
//!
//! The words are those of `vocabulary.tsv`: a part of speech, a language, and words with `|`
//! between them. A demand's words must be of one language.

use super::parts::{DemandPart, DemandReader, DemandSentence, DemandWord, SentenceParts};
use super::phrases::forbids_a_way;
use std::sync::LazyLock;

/// A found demand: the bytes of its words in the folded text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FoundDemand {
    pub(super) start: usize,
    pub(super) end: usize,
    /// The name of its rule, for the learned weights.
    pub(super) sign: &'static str,
    /// True if something beside it negates it.
    pub(super) is_negated: bool,
    /// True if it is an opt-out unless it is negated.
    pub(super) is_certain: bool,
    /// True if its sentence is a question.
    pub(super) is_asked: bool,
}

/// What stands around the phrases of a text.
#[derive(Debug)]
pub(super) struct Surroundings {
    sentences: Vec<DemandSentence>,
    calls: bool,
}

impl Surroundings {
    pub(super) fn of(text: &str) -> Self {
        let sentences = READER.read(text);
        let calls = sentences.iter().any(asks_for_call);
        Self { sentences, calls }
    }

    /// True if the phrase at the byte `start` is quoted, is about other people's opting out, or
    /// refuses messages because a call is asked for.
    pub(super) fn negates(&self, start: usize, phrase: &str) -> bool {
        let around = self.sentences.iter().find(|it| {
            it.words.first().is_some_and(|word| word.start <= start)
                && it.words.last().is_some_and(|word| start < word.end)
        });
        let Some(sentence) = around else { return false };
        let Some(at) = sentence.words.iter().position(|word| word.end > start) else {
            return false;
        };
        let is_own = phrase.split(' ').any(|word| ["me", "us", "my", "our"].contains(&word));
        let is_about = || sentence.words.iter().any(|it| it.langs(DemandPart::About) != 0);
        sentence.words.get(at).is_some_and(|it| it.is_quoted && sentence.words.len() > SHORT_MAX)
            || (self.calls && forbids_a_way(phrase))
            || (!is_own && sentence.is_question && is_about())
            || is_not_said(sentence, at, !0)
    }

    /// What the words of the sentences may be in a demand.
    pub(super) fn parts(&self) -> Vec<SentenceParts> {
        self.sentences.iter().map(DemandSentence::parts).collect()
    }

    /// The demands in the text, and what looks like one.
    pub(super) fn demands(&self) -> Vec<FoundDemand> {
        let mut demands = Vec::new();
        for sentence in &self.sentences {
            for rule in RULES {
                let places = 0..sentence.words.len();
                let found = places.filter_map(|at| rule.at(sentence, at, self.calls));
                // One is enough, and one that is not negated says more.
                let mut best: Option<FoundDemand> = None;
                for demand in found {
                    if best.is_none_or(|it| it.is_negated) {
                        best = Some(demand);
                    }
                }
                demands.extend(best);
            }
        }
        demands
    }
}

/// What negates a demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Negation {
    /// Something is ended or removed: denied, reported, or a thing.
    Deed,
    /// Messages are refused: for a time only.
    Refusal,
    /// Nothing.
    Nothing,
}

/// Parts that make a demand together.
struct DemandRule {
    /// Its name, and its name if it is negated.
    names: (&'static str, &'static str),
    /// The first is the verb.
    parts: &'static [DemandPart],
    /// How far from the first the others may be, in words.
    reach: usize,
    /// True if the others follow the first.
    is_ordered: bool,
    negation: Negation,
    is_certain: bool,
    /// True if it holds for a sentence of few words only.
    is_short: bool,
}

/// The most words of a short sentence.
const SHORT_MAX: usize = 4;

const fn rule(
    names: (&'static str, &'static str),
    parts: &'static [DemandPart],
    reach: usize,
    negation: Negation,
) -> DemandRule {
    DemandRule {
        names,
        parts,
        reach,
        is_ordered: false,
        negation,
        is_certain: true,
        is_short: false,
    }
}

const fn ordered(rule: DemandRule) -> DemandRule {
    DemandRule { is_ordered: true, ..rule }
}

const fn short(rule: DemandRule) -> DemandRule {
    DemandRule { is_short: true, ..rule }
}

const fn uncertain(rule: DemandRule) -> DemandRule {
    DemandRule { is_certain: false, ..rule }
}

use DemandPart::{
    Alone, Consent, Contact, Data, Forget, Halt, Hear, Insult, Last, Law, Leave, List, Me, More,
    Msg, My, None as No, Not, Off, Quiet, Remove, Report, SelfDone, Spam, Stop, Take, Unsub, Wish,
    You,
};
use Negation::{Deed, Nothing, Refusal};

const RULES: &[DemandRule] = &[
    rule(("unsub", "unsub?"), &[Unsub], 0, Deed),
    rule(("remove me", "remove me?"), &[Remove, Me], 3, Deed),
    rule(("take me off", "take me off?"), &[Take, Off, Me, List], 7, Deed),
    rule(("take my data off", "take my data off?"), &[Take, Off, My, Data], 6, Deed),
    uncertain(rule(("take me", "take me?"), &[Take, Off, Me], 4, Deed)),
    short(rule(("remove it", "remove it?"), &[Remove], 0, Deed)),
    short(rule(("halt", "halt?"), &[Halt], 0, Deed)),
    uncertain(rule(("take off list", "take off list?"), &[Take, Off, List], 7, Deed)),
    rule(("remove list", "remove list?"), &[Remove, My, List], 7, Deed),
    rule(("remove from list", "remove from list?"), &[Remove, Off, List], 7, Deed),
    rule(("remove data", "remove data?"), &[Remove, My, Data], 5, Deed),
    uncertain(rule(("remove any data", "remove any data?"), &[Remove, Data], 3, Deed)),
    rule(("self", "self?"), &[SelfDone], 0, Deed),
    rule(("quiet", "quiet?"), &[Quiet], 0, Refusal),
    rule(("not contact more", "not contact more?"), &[Contact, Not, More], 5, Refusal),
    rule(("not contact me", "not contact me?"), &[Contact, Not, Me], 4, Refusal),
    rule(("not hear more", "not hear more?"), &[Hear, Not, Wish, More], 8, Refusal),
    rule(("not hear you", "not hear you?"), &[Hear, Not, Wish, You], 8, Refusal),
    rule(("not wish msg more", "not wish msg more?"), &[Msg, Not, Wish, More], 7, Refusal),
    rule(("not wish msg", "not wish msg?"), &[Msg, Not, Wish, You], 7, Refusal),
    rule(("not hear msg", "not hear msg?"), &[Msg, Not, Wish, Hear], 7, Refusal),
    rule(("no more msg", "no more msg?"), &[Msg, No, More], 3, Refusal),
    uncertain(rule(("no msg", "no msg?"), &[Msg, No], 3, Refusal)),
    ordered(rule(("stop contact", "stop contact?"), &[Stop, Contact], 4, Deed)),
    ordered(rule(("stop msg", "stop msg?"), &[Stop, Msg], 4, Deed)),
    rule(("last contact", "last contact?"), &[Last, Contact], 8, Nothing),
    rule(("last hear", "last hear?"), &[Last, Hear], 8, Nothing),
    rule(("alone", "alone?"), &[Leave, Alone, Me], 4, Deed),
    rule(("forget", "forget?"), &[Forget, My, Data], 3, Deed),
    rule(("law remove", "law remove?"), &[Law, Remove, Data], 14, Nothing),
    rule(("law contact", "law contact?"), &[Law, Contact, Not], 10, Nothing),
    uncertain(rule(("law", "law?"), &[Law], 0, Nothing)),
    rule(("spam report", "spam report?"), &[Spam, Report], 6, Deed),
    uncertain(rule(("spam", "spam?"), &[Spam], 0, Deed)),
    uncertain(rule(("report", "report?"), &[Report, You], 3, Deed)),
    rule(("insult", "insult?"), &[Insult], 0, Nothing),
    uncertain(rule(("consent", "consent?"), &[Consent, Not], 5, Nothing)),
    uncertain(rule(("stop", "stop?"), &[Stop], 0, Deed)),
    uncertain(rule(("never", "never?"), &[Not, More], 3, Refusal)),
];

static READER: LazyLock<DemandReader> = LazyLock::new(DemandReader::compiled_in);

impl DemandRule {
    /// The demand whose first part is the word `at`.
    fn at(&self, sentence: &DemandSentence, at: usize, calls: bool) -> Option<FoundDemand> {
        let (first, others) = self.parts.split_first()?;
        let mut langs = sentence.words.get(at)?.langs(*first);
        if langs == 0 || (self.is_short && sentence.words.len() > SHORT_MAX) {
            return None;
        }
        let mut taken = [at; 4];
        for (count, part) in others.iter().enumerate() {
            let place = self.nearest(sentence, at, *part, langs, taken.get(..=count)?)?;
            langs &= sentence.words.get(place)?.langs(*part);
            *taken.get_mut(count + 1)? = place;
        }
        let taken = taken.get(..self.parts.len())?;
        let (low, high) = (*taken.iter().min()?, *taken.iter().max()?);
        let (start, end) = (sentence.words.get(low)?.start, sentence.words.get(high)?.end);
        let is_negated = match self.negation {
            Deed => is_no_deed(sentence, at, langs, taken),
            Refusal => is_limited(sentence, low, high, langs),
            Nothing => sentence.is_question,
        };
        let is_of_messages = self.negation == Refusal || self.parts.contains(&Stop);
        let is_negated = is_negated
            || (calls && is_of_messages)
            || sentence.words.get(at).is_some_and(|it| it.is_quoted)
            || is_not_said(sentence, low, langs);
        let is_asked = sentence.is_question
            && !(self.negation == Deed && [Me, My].iter().any(|it| self.parts.contains(it)));
        Some(FoundDemand {
            start,
            end,
            sign: if is_negated { self.names.1 } else { self.names.0 },
            is_negated,
            is_certain: self.is_certain,
            is_asked,
        })
    }

    fn nearest(
        &self,
        sentence: &DemandSentence,
        at: usize,
        part: DemandPart,
        langs: u16,
        taken: &[usize],
    ) -> Option<usize> {
        let is_it = |place: &usize| {
            !taken.contains(place)
                && sentence.words.get(*place).is_some_and(|word| word.langs(part) & langs != 0)
        };
        (1..=self.reach)
            .flat_map(|far| {
                let before = at.checked_sub(far).filter(|_| !self.is_ordered);
                [Some(at + far), before].into_iter().flatten()
            })
            .find(is_it)
    }
}

/// True if what the verb `at` says is denied, told of oneself or of others, or done to a thing.
fn is_no_deed(sentence: &DemandSentence, at: usize, langs: u16, taken: &[usize]) -> bool {
    let is = |word: Option<&DemandWord>, part| word.is_some_and(|it| it.langs(part) & langs != 0);
    let mut is_near = true;
    for far in 1..=3 {
        let Some(place) = at.checked_sub(far) else { break };
        let word = sentence.words.get(place);
        let next = sentence.words.get(place + 1);
        if next.is_some_and(|it| it.is_after_mark) || is(word, DemandPart::Calm) {
            break;
        }
        if is(word, Not) && !taken.contains(&place) {
            return true;
        }
        if is(word, Wish) {
            is_near = false;
        }
        if far <= 2 && is_near && is(word, DemandPart::Speaker) {
            return true;
        }
    }
    if is_denied_behind(sentence, at, langs, taken) || is_told_to_leave(sentence, at, langs) {
        return true;
    }
    let behind = sentence.words.iter().enumerate().skip(at + 1);
    let clause = behind.take_while(|(_, word)| !word.is_after_mark);
    let of_thing = clause
        .take(4)
        .any(|(place, word)| is(Some(word), DemandPart::Thing) && !taken.contains(&place));
    let is_about =
        |words: &[DemandWord]| words.iter().any(|word| is(Some(word), DemandPart::About));
    of_thing
        || (sentence.is_question && is_about(&sentence.words))
        || (taken.len() < 3 && is_about(sentence.clause_of(at)))
}

/// Languages that deny a verb behind it: German, Dutch, Swedish, Danish, Norwegian.
const DENY_BEHIND: u16 = 0b11_1100_0010;
/// Languages that say "let be" for "do not": Swedish, Danish, Norwegian.
const LET_BE: u16 = 0b11_1000_0000;

/// True if the verb is denied behind it: "löschen Sie mich bitte nicht".
fn is_denied_behind(sentence: &DemandSentence, at: usize, langs: u16, taken: &[usize]) -> bool {
    let behind = sentence.words.iter().enumerate().skip(at + 1).take(5);
    let clause = behind.take_while(|(_, word)| {
        // "Bitte" is a wish, and a word of politeness that ends no clause.
        let is_other = [Contact, Hear, Wish].iter().any(|it| word.langs(*it) & langs != 0)
            && word.langs(DemandPart::Calm) & langs == 0;
        !word.is_after_mark && !is_other
    });
    let mut denials = clause.filter(|(place, _)| !taken.contains(place));
    denials.any(|(_, word)| word.langs(Not) & langs & DENY_BEHIND != 0)
}

/// True if the deed is to be left: "lad være med at tage mig af listen".
fn is_told_to_leave(sentence: &DemandSentence, at: usize, langs: u16) -> bool {
    let is_verb = |word: &DemandWord| [Remove, Take, Unsub].iter().any(|it| word.langs(*it) != 0);
    let before = sentence.words.get(at.saturating_sub(5)..at).unwrap_or_default();
    sentence.words.get(at).is_some_and(is_verb)
        && before.iter().any(|word| word.langs(Stop) & langs & LET_BE != 0)
}

/// True if a refusal holds for a time or a way only, or says that something is not needed.
fn is_limited(sentence: &DemandSentence, first: usize, last: usize, langs: u16) -> bool {
    let of = |part| move |word: &DemandWord| word.langs(part) & langs != 0;
    let behind = sentence.words.get(last + 1..).unwrap_or_default();
    let before = sentence.words.get(first.saturating_sub(3)..=last).unwrap_or_default();
    behind.iter().take(5).any(of(DemandPart::Limit)) || before.iter().any(of(DemandPart::Need))
}

/// True if the sentence denies that the demand is said: "I am not saying that …".
fn is_not_said(sentence: &DemandSentence, first: usize, langs: u16) -> bool {
    let before = sentence.words.get(first.saturating_sub(9)..first).unwrap_or_default();
    let is = |word: &DemandWord, part| word.langs(part) & langs != 0;
    before.iter().enumerate().any(|(at, word)| {
        let near = before.get(at.saturating_sub(3)..(at + 4).min(before.len()));
        is(word, DemandPart::Say) && near.unwrap_or_default().iter().any(|it| is(it, Not))
    })
}

/// True if a call or a visit is asked for: other ways are refused only for its sake.
fn asks_for_call(sentence: &DemandSentence) -> bool {
    sentence.words.iter().enumerate().any(|(at, word)| {
        let langs = word.langs(DemandPart::Call);
        let is = |it: &DemandWord, parts: &[DemandPart]| {
            parts.iter().any(|part| it.langs(*part) & langs != 0)
        };
        let before = sentence.words.get(at.saturating_sub(6)..at).unwrap_or_default();
        let behind = sentence.words.get(at + 1..).unwrap_or_default();
        let cut = before.iter().rposition(|it| it.is_after_mark).unwrap_or(0);
        let is_cut = word.is_after_mark;
        // "Stop writing and call": what is to end stands before, and what is wanted behind.
        let is_instead = word.langs(DemandPart::Instead) != 0;
        let is_wanted = || {
            is_cut
                || !before.iter().skip(cut).any(|it| is(it, &[Not, No, Stop, DemandPart::Speaker]))
        };
        is_instead
            || (langs != 0 && is_wanted() && !behind.iter().take(4).any(|it| is(it, &[Not, More])))
    })
}

/// All words of demands.
pub(super) const fn texts() -> &'static str {
    super::parts::VOCABULARY
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::folded;

    fn says(text: &str) -> bool {
        let all = Surroundings::of(&folded(text)).demands();
        all.iter().any(|it| it.is_certain && !it.is_negated && !it.is_asked)
    }

    #[test]
    fn demands_are_found_by_their_parts_in_ten_languages() {
        for text in [
            "Kindly delete every trace of my address from your records.",
            "Could you take me off this mailing list?",
            "This is the last time I want to hear from you.",
            "Ich möchte von Ihnen keine weiteren Nachrichten erhalten.",
            "Bitte loeschen Sie meine Adresse.",
            "Veuillez retirer notre adresse de vos fichiers.",
            "Je ne souhaite plus recevoir vos messages.",
            "No quiero recibir más correos de ustedes.",
            "Quítenme de su lista.",
            "Non desidero ricevere altre comunicazioni da voi.",
            "Não quero receber mais mensagens de vocês.",
            "Verwijder mijn gegevens uit jullie bestand.",
            "Ta bort mig från listan.",
            "Jeg ønsker ikke at modtage flere mails fra jer.",
            "Slett nummeret mitt.",
        ] {
            assert!(says(text), "{text}");
        }
    }

    #[test]
    fn what_stands_beside_a_demand_negates_it() {
        for text in [
            "Please remove the attachment and send it again.",
            "I am not saying that you shall not contact me again.",
            "My note \"never contact me again\" was for the other firm.",
            "Löschen Sie mich nicht!",
            "Lad være med at tage mig af listen.",
            "Nehmen Sie Punkt 3 aus der Liste.",
            "No mail please, call me on 555 0142.",
            "Sluta inte skriva.",
            "Ne me retirez pas.",
            "Ne me supprimez pas de votre liste.",
            "No me quiten de la lista.",
            "Non rimuovermi dalla lista.",
            "Löschen Sie mich bitte nicht.",
        ] {
            assert!(!says(text), "{text}");
        }
    }
}
