//! By which words a lead opts out (docs/RULES.md OPT-OUT).

use regex::Regex;
use std::sync::LazyLock;

/// Whole messages that opt out on every channel.
const WHOLE: [&str; 9] = [
    "stop",
    "stop all",
    "stopall",
    "unsubscribe",
    "unsubscribe me",
    "optout",
    "opt out",
    "remove me",
    "remove",
];
/// Whole messages that opt out of text messages only.
const WHOLE_SMS: [&str; 4] = ["cancel", "end", "quit", "revoke"];
/// Subjects that opt out, beside those.
const SUBJECTS: [&str; 12] = [
    "take me off your list",
    "abmelden",
    "abmeldung",
    "austragen",
    "desabonner",
    "desinscrire",
    "desinscription",
    "darme de baja",
    "rimuovimi",
    "cancellami",
    "cancelar suscripcion",
    "cancelar inscricao",
];
/// Bytes beside a phrase that can turn its meaning.
const WINDOW: usize = 120;
/// Of one text so many phrases are looked at.
const CANDIDATES_MAX: usize = 1_000;

/// The words by which the lead opts out of everything; `None` if there are none.
///
/// They stand in `new_text`, or the `subject` is itself such a word. Only what is newly written may be
/// given as text: quoted words are nobody's wish.
pub fn opt_out_words(channel: &str, subject: Option<&str>, new_text: &str) -> Option<String> {
    let text = Folded::of(new_text);
    whole(channel, &text).or_else(|| phrase(&text)).or_else(|| {
        let subject = Folded::of(subject.filter(|it| it.len() <= WINDOW)?);
        let word = bare(&subject.folded);
        (WHOLE.contains(&word) || SUBJECTS.contains(&word)).then(|| word.to_owned())
    })
}

fn whole(channel: &str, text: &Folded) -> Option<String> {
    if text.folded.len() > WINDOW {
        return None;
    }
    let polite = bare(&text.folded);
    let exact = trimmed(&text.folded);
    let found = WHOLE.contains(&polite) || (channel == "sms" && WHOLE_SMS.contains(&exact));
    found.then(|| polite.to_owned())
}

fn trimmed(text: &str) -> &str {
    text.trim_matches(|it: char| !it.is_alphanumeric())
}

/// Without punctuation and politeness.
fn bare(text: &str) -> &str {
    const POLITE: [&str; 13] = [
        "please",
        "pls",
        "plz",
        "thanks",
        "thank you",
        "thx",
        "now",
        "immediately",
        "bitte",
        "kindly",
        "just",
        "it",
        "this",
    ];
    let mut text = trimmed(text);
    while let Some(shorter) = POLITE.iter().find_map(|word| {
        let before = text.strip_suffix(word).filter(|it| !it.ends_with(char::is_alphanumeric));
        let after = text.strip_prefix(word).filter(|it| !it.starts_with(char::is_alphanumeric));
        before.or(after).map(trimmed).filter(|it| !it.is_empty())
    }) {
        text = shorter;
    }
    text
}

fn phrase(text: &Folded) -> Option<String> {
    let rules = RULES.as_ref()?;
    for found in rules.strong.find_iter(&text.folded).take(CANDIDATES_MAX) {
        let (before, after) = text.beside(found.start(), found.end());
        if !rules.is_turned(before, found.as_str(), after) {
            return Some(text.original(found.start(), found.end()));
        }
    }
    // "Stop" alone says nothing of what should stop.
    let context = rules.context.is_match(&text.folded);
    let stops = rules.stop.captures_iter(&text.folded).take(CANDIDATES_MAX);
    let stop = stops.filter_map(|it| it.name("stop").or(it.name("stop2"))).find(|stop| {
        let (before, after) = text.beside(stop.start(), stop.end());
        !rules.is_turned(before, "stop", after) && !rules.stop_elsewhere.is_match(after)
    });
    stop.filter(|_| context).map(|it| text.original(it.start(), it.end()))
}

struct Rules {
    strong: Regex,
    stop: Regex,
    stop_elsewhere: Regex,
    context: Regex,
    negated: Regex,
    negated_behind: Regex,
    others: Regex,
    instructed: Regex,
    speaker: Regex,
    asked: Regex,
    limited: Regex,
    noun: Regex,
    mistaken: Regex,
}

static RULES: LazyLock<Option<Rules>> = LazyLock::new(|| Rules::new().ok());

/// Boundaries of words are ASCII's: accents are folded away before.
fn regex(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&pattern.replace(r"\b", r"(?-u:\b)"))
}

const STRONG: &str = concat!(
    r"\b(?:",
    // English
    r"unsubscribe|(?:be|get|i|i've|i have) (?:already )?unsubscribed",
    r"|opt(?:ing)?[ -]?(?:me |us )?out|remove (?:me|us)\b",
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

impl Rules {
    fn new() -> Result<Self, regex::Error> {
        Ok(Self {
            strong: regex(STRONG)?,
            stop: regex(concat!(
                r"(?:^|[.!?;:,\n] ?|\b(?:please|pls|plz|kindly|and|so|just|must|should|need to|you to",
                r"|to you) )",
                r"(?P<stop>stop)(?: |$|[.!?,;:])|\bplease (?P<stop2>stop)\b"
            ))?,
            stop_elsewhere: regex(concat!(
                r"^ ?(?:by|in|over|at|there|here|off|for|worrying|me if|wasting time|and (?:see",
                r"|visit|think))\b",
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
            instructed: regex(concat!(
                r#"(?:^|[.!?\n:"'(] ?|\bor |\bto |\bplease )(?:reply|text|respond|type|click|tap"#,
                r#"|press)(?: (?:with|here|the link|below|on|stop))?(?: to| the word)? ?["'(]?$"#,
            ))?,
            speaker: regex(concat!(
                r#"\b(?:(?:i|we|they|he|she|you)(?:'d|'ll|'ve)|i|we|they|he|she|it|people"#,
                r#"|customers|clients|why|you|said|says|told me|told us)(?: to| that)? ?["']?$"#,
            ))?,
            asked: regex(concat!(
                r"\b(?:ask|asked|request|prefer|insist|demand|rather|want|wish|appreciate",
                r"|please)\b",
            ))?,
            limited: regex(concat!(
                r"^(?: (?:it|that|and drive|a|an|anyone|anybody|people|anything|checks?|cheques?",
                r"|novels?|contracts?|code)\b|(?: (?:me|us|my \w+|this number))?(?: (?:again",
                r"|back))?,? ?(?:before|until|till|during|between|while|today|tonight|tomorrow",
                r"|yet|right now|just yet|this week|on (?:mon|tue|wed|thu|fri|sat|sun|weekend",
                r"|my)|after (?:[0-9]|lunch|work|hours|noon|six|five)|at (?:work|night|[0-9]",
                r"|home|the office)|unless|(?:[^.!?\n]{0,40} )?instead\b|,? (?:but )?(?:just ",
                r"|only |better )?(?:e-?mail|text|call|write|message) (?:me|us)\b))",
            ))?,
            noun: regex(concat!(
                r"^(?:s?[ -](?:rates?|polic(?:y|ies)|clauses?|compliance|mechanisms?)",
                r"| (?:the |of the )?(?:market|hook|hold|mute|guard|track|balance)",
                r"| of (?:our|the|my|a|that|this|any) (?:[a-z]+ ){0,2}",
                r"(?:contract|agreement|plan|lease|deal|policy|program|insurance|coverage)",
                r"| later| at any time| anytime| any time)\b",
            ))?,
            mistaken: regex(
                r"^[^.!?\n]{0,60}\b(?:by mistake|by accident|accidentally|in error)\b",
            )?,
        })
    }

    /// True where what stands beside a phrase says that it is not meant.
    fn is_turned(&self, before: &str, phrase: &str, after: &str) -> bool {
        let forbids = ["do not", "don't", "dont", "never"].iter().any(|it| phrase.starts_with(it));
        // "I don't want to be called" speaks of the speaker; "I don't call" does too, but forbids nothing.
        let wants = [" to be ", " want you "].iter().any(|it| phrase.contains(it));
        if forbids && !wants {
            let said_of_others = self.speaker.is_match(before)
                && !(before.trim_end().ends_with("you") && self.asked.is_match(before));
            return said_of_others || self.limited.is_match(after);
        }
        let negates_itself = ["ne ", "no", "nunca", "nao"].iter().any(|it| phrase.starts_with(it));
        (self.negated.is_match(before) && !negates_itself)
            || self.negated_behind.is_match(after)
            || self.others.is_match(before)
            || self.instructed.is_match(before)
            || self.noun.is_match(after)
            || self.mistaken.is_match(after)
            || (phrase.starts_with("keine") && got_none(before, after))
    }
}

/// "Ich habe keine Nachrichten erhalten".
fn got_none(before: &str, after: &str) -> bool {
    ["erhalten", "bekommen", "gesehen", "gefunden", "angekommen"]
        .iter()
        .any(|it| after.contains(it))
        && ["habe", "hatte", "haben", "sind"].iter().any(|it| before.contains(it))
}

/// A text as it is compared: small letters, no accents, one blank between words. Character by character
/// it stands for the original.
struct Folded {
    original: String,
    folded: String,
}

impl Folded {
    fn of(text: &str) -> Self {
        let mut it = Self {
            original: String::with_capacity(text.len()),
            folded: String::with_capacity(text.len()),
        };
        for char in text.trim().chars() {
            let folded = match fold(char) {
                // The end of a line ends a sentence.
                ' ' if char == '\n' => '\n',
                other => other,
            };
            let blank = folded == ' ' || folded == '\n';
            match it.folded.chars().next_back() {
                Some(' ') if folded == '\n' => {
                    it.original.pop();
                    it.folded.pop();
                }
                Some(' ' | '\n') | None if blank => continue,
                _ => {}
            }
            it.original.push(if blank { ' ' } else { char });
            it.folded.push(folded);
        }
        it
    }

    /// What stands in the same sentence before and behind.
    fn beside(&self, start: usize, end: usize) -> (&str, &str) {
        let (mut from, mut to) =
            (start.saturating_sub(WINDOW), (end + WINDOW).min(self.folded.len()));
        while !self.folded.is_char_boundary(from) {
            from += 1;
        }
        while !self.folded.is_char_boundary(to) {
            to -= 1;
        }
        let before = self.folded.get(from..start).unwrap_or_default();
        let after = self.folded.get(end..to).unwrap_or_default();
        let ends = ['.', '!', '?', '\n', ';'];
        (
            before.rsplit(ends).next().unwrap_or_default(),
            after.split(ends).next().unwrap_or_default(),
        )
    }

    /// The original of a part of the folded text.
    fn original(&self, start: usize, end: usize) -> String {
        let chars = |text: Option<&str>| text.unwrap_or_default().chars().count();
        let (before, length) =
            (chars(self.folded.get(..start)), chars(self.folded.get(start..end)));
        self.original.chars().skip(before).take(length).collect()
    }
}

fn fold(char: char) -> char {
    let lower = char.to_lowercase().next().unwrap_or(char);
    match lower {
        'á' | 'à' | 'â' | 'ã' | 'ä' | 'å' => 'a',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'í' | 'ì' | 'î' | 'ï' => 'i',
        'ó' | 'ò' | 'ô' | 'õ' | 'ö' => 'o',
        'ú' | 'ù' | 'û' | 'ü' => 'u',
        'ç' => 'c',
        'ñ' => 'n',
        '’' | '‘' | '`' | '´' => '\'',
        '“' | '”' | '„' | '«' | '»' => '"',
        '‐' | '‑' | '–' | '—' => '-',
        _ if lower.is_whitespace() || lower.is_control() => ' ',
        _ => lower,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn by_mail(text: &str) -> Option<String> {
        opt_out_words("email", None, text)
    }

    #[test]
    fn a_whole_message_of_one_word_opts_out_of_text_messages() {
        for text in [
            "STOP",
            "stop",
            " Stop. ",
            "“STOP”",
            "stopall",
            "STOP ALL",
            "Unsubscribe!",
            "cancel",
            "END",
            "quit",
            "Revoke",
            "optout",
            "opt out",
            "Opt-out",
            "STOP please",
            "pls stop!!",
            "Stop 🛑",
        ] {
            assert!(opt_out_words("sms", None, text).is_some(), "{text}");
        }
        for text in ["cancel", "end", "quit", "revoke", "cancel my meeting", "the end"] {
            assert_eq!(by_mail(text), None, "{text}");
        }
        for text in ["cancel please and rebook", "yes", "ok stop by", "", "...", "end of the month"]
        {
            assert_eq!(opt_out_words("sms", None, text), None, "{text}");
        }
    }

    const PHRASES: &[&str] = &[
        "Please unsubscribe me.",
        "UNSUBSCRIBE",
        "How do I unsubscribe?",
        "I can't unsubscribe from this",
        "I want to be unsubscribed",
        "I have already unsubscribed twice!",
        "I'd like to opt out",
        "opt me out",
        "Not interested please remove me",
        "Not interested, please remove me from your list",
        "I do not want this remove me",
        "If not please remove us",
        "Please take me off your list.",
        "take us off",
        "Stop emailing me",
        "stop texting",
        "Please stop sending these",
        "Do not contact me again",
        "don't call",
        "Please don’t email me any more",
        "dont text me",
        "I ask that you do not contact me",
        "I asked you not to call me",
        "Don't you ever email me again",
        "Do not call me after this",
        "take a hike",
        "I would like to be removed from your list",
        "Not for me. Please remove.",
        "Please remove",
        "remove this number",
        "do not send me any more emails",
        "No more emails please",
        "lose my number",
        "quit texting me",
        "I do not wish to be contacted",
        "I don't want to be called",
        "I don't want you to contact me",
        "Do not reach out again",
        "no unsubscribe me",
        "just stop",
        "stop it!",
        "Nunca me escriban",
        "Non contattatemi più",
        "Merci de ne plus me contacter",
        "nicht interessiert bitte abmelden",
        "Non sono interessato cancellami",
        "Stop. No more messages",
        "please stop the emails",
        "You need to stop. These texts are too many",
        "I said remove me\nfrom this",
        "Bitte abmelden",
        "Wie kann ich mich abmelden?",
        "Bitte austragen!",
        "Bitte keine Mails mehr",
        "Keine weiteren Nachrichten bitte",
        "keine E-Mails",
        "Veuillez me désabonner",
        "Je veux me désinscrire",
        "Ne me contactez plus",
        "Arrêtez de m'écrire",
        "Quiero darme de baja",
        "Por favor no me contacten más",
        "No me escriban",
        "cancelar suscripción",
        "Rimuovimi dalla lista",
        "cancellami",
        "Quero cancelar inscrição",
        "Não me contate mais",
        "stop by my office, but first remove me from the list",
        "My colleague asked you to remove me",
    ];

    #[test]
    fn strong_phrases_opt_out_on_every_channel() {
        for text in PHRASES {
            assert!(by_mail(text).is_some(), "{text}");
        }
    }

    const INNOCENT: &[&str] = &[
        "stop by my office",
        "Can you stop by? Call me before.",
        "Stop by my office and we can talk about the emails",
        "It's a one-stop shop, call me",
        "We never stop. Call me",
        "Don't stop",
        "please don't stop emailing me",
        "I never unsubscribed",
        "I have not unsubscribed",
        "I did not unsubscribe, send it again",
        "I don't want to unsubscribe",
        "I unsubscribed by mistake, add me again",
        "Please don't remove me from the list",
        "I didn't ask you to remove me",
        "no need to remove me",
        "Our customers unsubscribe all the time",
        "How many people opt out?",
        "What is your opt-out rate?",
        "the unsubscribe rate is high",
        "Reply STOP to opt out",
        "Text STOP to unsubscribe",
        "Don't hesitate to contact me",
        "Don't call me before 9",
        "Please don't call on Mondays",
        "Don't call, email me instead",
        "Why don't you call me tomorrow?",
        "If you don't call me by Friday I'll sign elsewhere",
        "I don't text much, call me",
        "We don't email contracts",
        "That would take me off guard",
        "Can you remove my old roof?",
        "Ich möchte mich nicht abmelden",
        "Ich habe keine Nachrichten von Ihnen erhalten",
        "Je ne veux pas me désabonner",
        "No quiero darme de baja",
        "Non rimuovermi",
        "Let's meet at the bus stop",
        "Can we opt out of the contract later?",
        "Did you unsubscribe me?",
        "Why was I unsubscribed?",
        "We will take us off the market",
        "My boss said don't call",
        "Don't call it a deal yet",
        "Please don't text and drive",
        "We write contracts; don't write novels",
        "You wrote 'reply STOP to opt out', what is that?",
        "I have no more messages from you",
        "He can't make the call, had to stop for gas",
        "Yes, Thursday works",
        "Please send the contract by text message",
    ];

    #[test]
    fn what_only_sounds_like_it_does_not() {
        for text in INNOCENT {
            assert_eq!(by_mail(text), None, "{text}");
            assert_eq!(opt_out_words("sms", None, text), None, "{text}");
        }
    }

    #[test]
    fn a_subject_counts_where_it_is_itself_such_a_word() {
        for subject in ["Unsubscribe", "STOP", "Abmelden", "remove me", "unsubscribe please"] {
            assert!(opt_out_words("email", Some(subject), "").is_some(), "{subject}");
            assert!(opt_out_words("email", Some(subject), "Thanks, Dana").is_some(), "{subject}");
        }
        for subject in ["Re: stop losing leads", "How to unsubscribe users", "cancel", "Re: Hi", ""]
        {
            assert_eq!(opt_out_words("email", Some(subject), "Yes please"), None, "{subject}");
        }
    }

    #[test]
    fn the_words_are_given_as_they_were_written() {
        assert_eq!(
            by_mail("Hallo,  Ne me Contactez plus").as_deref(),
            Some("Ne me Contactez plus")
        );
        assert_eq!(by_mail("é É Please Remove Me").as_deref(), Some("Remove Me"));
        assert_eq!(opt_out_words("sms", None, " STOP! ").as_deref(), Some("stop"));
    }

    #[test]
    fn hostile_texts_take_no_longer_than_others() {
        for text in [
            "don't stop ".repeat(200_000),
            "not ".repeat(500_000),
            "never unsubscribe ".repeat(100_000),
            "stop".repeat(500_000),
            "please ".repeat(300_000),
            "\u{301}é".repeat(500_000),
        ] {
            by_mail(&text);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(subject in ".{0,40}", text in "(?s).{0,200}") {
            opt_out_words("sms", Some(&subject), &text);
        }

        #[test]
        fn no_order_of_words_panics(
            words in proptest::collection::vec(
                prop::sample::select(vec![
                    "stop", "please", "not", "don't", "unsubscribe", "é", "İ", ".", "\n", "opt", "out",
                    "emails", "remove", "me", "\"", "’", "keine", "mails",
                ]),
                0..40,
            )
        ) {
            by_mail(&words.join(" "));
        }
    }
}
