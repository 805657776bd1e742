//! Whole messages that opt out: the keywords that carriers publish, and what people write instead.

use crate::domain::{Medium, fold::folded};
use std::{collections::HashSet, sync::LazyLock};

/// The longest message that may be a keyword with its additions, in bytes.
const LENGTH_MAX: usize = 200;
/// The least digits of a number beside a keyword, which is the number that the keyword is sent to.
const NUMBER_DIGITS_MIN: usize = 4;

/// The most words of a line of a signature.
const NAME_WORDS_MAX: usize = 5;

/// Keywords that opt out on every channel.
#[rustfmt::skip]
const STOP: &[&str] = &[
    // English
    "stop", "stop all", "stopall", "unsubscribe", "unsubscribe me", "unsub", "optout", "opt out", "opt me out",
    "remove me", "remove", "leave me alone", "leave us alone", "go away", "get lost",
    // German
    "stopp", "abmelden", "abmeldung", "austragen", "abbestellen", "lass mich in ruhe", "lassen sie mich in ruhe",
    // French
    "arrêt", "arrêter", "arrêtez", "stop sms", "désabonner", "désabonnement", "désinscrire", "désinscription",
    "laissez moi tranquille", "laisse moi tranquille",
    // Spanish
    "baja", "alto", "parar", "pare", "detener", "dar de baja", "darme de baja", "darse de baja",
    "déjame en paz", "déjenme en paz", "dejadme en paz",
    // Italian
    "ferma", "fermati", "basta", "cancellami", "rimuovimi", "disiscrivimi", "cancellatemi", "lasciatemi in pace", "lasciami in pace",
    // Portuguese
    "sair", "remover", "descadastrar", "descadastre", "cancelar inscrição", "deixem me em paz", "deixe me em paz", "me deixa em paz",
    // Dutch
    "afmelden", "uitschrijven", "stoppen", "laat me met rust", "laat mij met rust",
    // Swedish, Danish, Norwegian, Finnish
    "avregistrera", "avanmäl", "avsluta prenumeration", "afmeld", "frameld", "afmelding", "avmeld", "avmelding",
    "meld meg av", "lopeta", "poista", "låt mig vara", "lämna mig ifred", "lad mig være", "lad mig være i fred",
    "la meg være", "la meg være i fred",
    // Polish, Czech, Slovak, Hungarian, Romanian
    "rezygnuję", "rezygnacja", "wypisz", "wypisz mnie", "zrezygnuj", "odhlásit", "odhlásiť", "odhlaste mě",
    "leiratkozás", "leiratkozom", "leiratkozni", "dezabonare", "dezabonează", "dezabonați-mă", "oprire", "oprește",
    // Croatian, Serbian, Slovenian, Bulgarian
    "odjava", "prekini", "отказ", "спри",
    // Turkish
    "durdur", "abonelikten çık", "listeden çık",
    // Greek
    "στοπ", "διακοπή", "διαγραφή", "σταμάτα",
    // Russian, Ukrainian
    "стоп", "стой", "отписаться", "отписка", "отпишите", "отпишите меня", "прекратите", "відписатися", "відписка",
    "відпишіть мене",
    // Baltic
    "atsisakau", "stabdyti", "loobu", "loobun", "beigt", "atteikties",
    // Japanese, Chinese, Korean
    "停止", "配信停止", "配信解除", "ストップ", "解除", "やめて", "止めて", "やめてください", "退订", "退訂", "取消订阅", "取消訂閱",
    "停止发送", "停止發送", "수신거부", "수신 거부", "무료수신거부", "중지", "정지", "그만",
    // Arabic, Hebrew
    "توقف", "إيقاف", "أوقف", "إلغاء الاشتراك", "الغاء الاشتراك", "הסר", "הסירו", "הסרה", "הסירו אותי", "הסר אותי", "עצור", "עצרו",
    // Thai, Vietnamese, Indonesian, Hindi
    "หยุด", "dừng", "ngừng", "berhenti", "रोकें", "स्टॉप",
];

/// Keywords that opt out of text messages only: in a mail they may mean anything. Words that are a
/// plain answer in another language are missing (French and Spanish "fin" is a name, Italian "fine"
/// is "well" in English, Turkish "dur" and "ret", Finnish "seis" and "pois").
#[rustfmt::skip]
const END: &[&str] = &[
    "cancel", "end", "quit", "revoke", "abbrechen", "ende", "beenden", "annuler", "finir", "cancelar",
    "terminar", "finalizar", "salir", "quitar", "no más", "annulla", "annullare", "esci", "fim", "einde",
    "annuleren", "avsluta", "avslutt", "afslut", "slut", "sluta", "peruuta", "loppu", "koniec",
    "anuluj", "usuń", "konec", "zrušit", "vége", "leállítás", "anulare", "renunț", "iptal", "çık", "τέλος",
    "ακύρωση", "отмена", "хватит", "конец", "скасувати", "досить", "キャンセル", "取消", "td", "취소", "거부", "إلغاء",
    "די", "ביטול", "ยกเลิก", "hủy", "batal", "बंद",
];

/// Words beside a keyword that do not change its meaning.
#[rustfmt::skip]
const POLITE: &[&[&str]] = &[
    &["please"], &["pls"], &["plz"], &["thanks"], &["thank", "you"], &["thx"], &["now"], &["immediately"],
    &["kindly"], &["just"], &["it"], &["this"], &["bitte"], &["danke"], &["sofort"], &["s", "il", "vous", "plait"],
    &["s", "il", "te", "plait"], &["svp"], &["stp"], &["merci"], &["por", "favor"], &["gracias"], &["ya"],
    &["per", "favore"], &["grazie"], &["obrigado"], &["obrigada"], &["alstublieft"], &["alsjeblieft"], &["aub"],
    &["tack"], &["tak"], &["takk"], &["venligst"], &["kiitos"], &["prosze"], &["dziekuje"], &["prosim"], &["dekuji"],
    &["koszonom"], &["multumesc"], &["lutfen"], &["tesekkurler"], &["παρακαλω"], &["пожалуиста"], &["спасибо"],
    &["будь", "ласка"], &["дякую"],
];

/// Words between a keyword and the number that it is sent to.
const TO: [&str; 11] = ["to", "at", "a", "au", "an", "al", "til", "na", "на", "ke", "la"];

/// Keywords that are recognised even with one typing mistake.
#[rustfmt::skip]
const LONG: [&str; 14] = [
    "stop", "стоп", "unsubscribe", "stopall", "optout", "abmelden", "désabonner", "désinscrire", "afmelden",
    "uitschrijven", "avregistrera", "отписаться", "відписатися", "dezabonare",
];

/// Words that differ from a keyword by one letter and mean something else.
#[rustfmt::skip]
const OTHERS: [&str; 48] = [
    "top", "topp", "sop", "sto", "stoop", "stomp", "strop", "stoup", "stope", "estop", "stops", "shop", "slop", "swop", "step",
    "stow", "atop", "stoa", "stob", "stot", "stap", "stip", "stof", "stok", "stom", "stol", "stor", "stod", "stog",
    "stoj", "stos", "stoe", "ston", "stopy", "anmelden", "aanmelden", "anmeldung", "resubscribe", "стол", "сто",
    "стоя", "стою", "сток", "стог", "топ", "столп", "стопа", "ступ",
];

/// The keywords in the form in which messages are compared with them.
static STOPS: LazyLock<HashSet<String>> = LazyLock::new(|| of(STOP));
static ENDS: LazyLock<HashSet<String>> = LazyLock::new(|| of(END));
static SLIPPED: LazyLock<Vec<String>> =
    LazyLock::new(|| LONG.iter().map(|word| folded(word)).collect());

fn of(words: &[&str]) -> HashSet<String> {
    words.iter().map(|word| squeezed(&together(&tokens(&folded(word))))).collect()
}

/// The keyword, if a whole folded message is one. Punctuation, politeness and a number beside it
/// are ignored.
pub(super) fn whole(medium: Medium, text: &str) -> Option<String> {
    if text.len() > LENGTH_MAX {
        return None;
    }
    let all = tokens(text);
    let bare = without_number(without_politeness(&all));
    let told = together(bare);
    let is_end = || medium.is_text() && ENDS.contains(&squeezed(&together(without_number(&all))));
    (is_stop(&told) || is_end()).then_some(told)
}

/// The keyword, if a whole folded subject is one.
pub(super) fn subject(text: &str) -> Option<String> {
    if text.len() > LENGTH_MAX {
        return None;
    }
    let told = together(without_politeness(&tokens(text)));
    STOPS.contains(&squeezed(&told)).then_some(told)
}

/// Words that are no names, though they begin with capital letters: "Cancel - Friday".
const DAYS: [&str; 9] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "today",
    "tomorrow",
];

/// What stands before a signature: a line before lines of names, or before a dash and a name.
/// `None` if there is no signature. `text` is not folded: names begin with capital letters.
pub(super) fn before_signature(text: &str) -> Option<&str> {
    if text.len() > LENGTH_MAX {
        return None;
    }
    let is_name = |line: &str, most: usize| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_written_large = |word: &&str| word.starts_with(|it: char| !it.is_lowercase());
        !words.is_empty()
            && words.len() <= most
            && !line.contains(['?', '!', ';'])
            && !line.contains(|it: char| it.is_ascii_digit())
            && !words.iter().any(|word| DAYS.contains(&word.to_lowercase().trim_matches(',')))
            && (line.ends_with(',') || words.iter().all(is_written_large))
    };
    let text = text.trim();
    if let Some((first, rest)) = text.split_once('\n') {
        let mut lines = rest.lines().filter(|line| !line.trim().is_empty());
        return lines.all(|line| is_name(line, NAME_WORDS_MAX)).then_some(first);
    }
    let (first, name) = text.split_once(" - ").or_else(|| text.split_once(" – "))?;
    is_name(name, 2).then_some(first)
}

fn is_stop(told: &str) -> bool {
    if OTHERS.contains(&told) {
        return false;
    }
    STOPS.contains(&squeezed(told))
        || (!told.contains(' ')
            && SLIPPED.iter().any(|word| {
                strsim::osa_distance(told, word) <= 1
                    || strsim::osa_distance(&squeezed(told), word) <= 1
            }))
}

fn tokens(text: &str) -> Vec<&str> {
    // The two marks are the Japanese sound marks, which folding separates from their letters.
    text.split(|char: char| !char.is_alphanumeric() && char != '\u{309a}' && char != '\u{3099}')
        .filter(|token| !token.is_empty())
        .collect()
}

/// The tokens with one blank between them. Tokens that are all single letters (`S T O P`) make one
/// word.
fn together(tokens: &[&str]) -> String {
    let is_spelled = tokens.len() > 2 && tokens.iter().all(|token| token.chars().count() == 1);
    tokens.join(if is_spelled { "" } else { " " })
}

/// `text` with one letter for each run of the same letter: `stopppp` becomes `stop`.
fn squeezed(text: &str) -> String {
    let mut last = None;
    text.chars().filter(|char| last.replace(*char) != Some(*char)).collect()
}

fn without_politeness<'a, 'b>(mut tokens: &'a [&'b str]) -> &'a [&'b str] {
    while let Some(shorter) = POLITE.iter().find_map(|words| {
        let shorter = tokens.strip_suffix(*words).or_else(|| tokens.strip_prefix(*words))?;
        (!shorter.is_empty()).then_some(shorter)
    }) {
        tokens = shorter;
    }
    tokens
}

/// The tokens without the phone number that a keyword is sent to or from: `STOP 12345`, `STOP to +1
/// 555 010 0199`.
fn without_number<'a, 'b>(tokens: &'a [&'b str]) -> &'a [&'b str] {
    let is_number = |token: &&&str| token.bytes().all(|byte| byte.is_ascii_digit());
    let (front, back) = (
        tokens.iter().take_while(is_number).count(),
        tokens.iter().rev().take_while(is_number).count(),
    );
    let count = |part: Option<&[&str]>| {
        part.unwrap_or_default().iter().map(|token| token.len()).sum::<usize>()
    };
    if back > 0 && count(tokens.get(tokens.len() - back..)) >= NUMBER_DIGITS_MIN {
        let rest = tokens.get(..tokens.len() - back).unwrap_or_default();
        let rest = match rest.split_last() {
            Some((last, before)) if TO.contains(last) && !before.is_empty() => before,
            _ => rest,
        };
        return if rest.is_empty() { tokens } else { rest };
    }
    if front > 0 && count(tokens.get(..front)) >= NUMBER_DIGITS_MIN {
        return tokens.get(front..).filter(|rest| !rest.is_empty()).unwrap_or(tokens);
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sms(text: &str) -> bool {
        whole(Medium::Text { parts: 3, chars: 160 }, &folded(text)).is_some()
    }

    #[test]
    fn keywords_of_all_languages_are_whole_messages() {
        for text in STOP {
            assert!(sms(text), "{text}");
            assert!(sms(&text.to_uppercase()), "{text}");
            assert!(whole(Medium::Mail, &folded(&format!("{text}!"))).is_some(), "{text}");
        }
        for text in END {
            assert!(sms(text), "{text}");
            assert!(whole(Medium::Mail, &folded(text)).is_none(), "{text}");
        }
    }

    #[test]
    fn keywords_are_known_however_they_are_written() {
        for text in [
            "STOPP",
            "ARRET",
            "ARRÊT",
            "arrêt svp",
            "ＳＴＯＰ",
            "Stopppp",
            "STOOOP!!",
            "STOP 12345",
            "STOP to 12345",
            "stop au 36111",
            "12345 STOP",
            "STOP +1 (312) 555-0100",
            "END 12345",
            "S T O P",
            "s.t.o.p.",
            "“Stopp.”",
            "Stop bitte",
            "por favor parar",
            "СТОП!",
            "Стоп, пожалуйста",
            "停止。",
            "退订",
            "수신거부",
            "Stop 🛑🛑",
            "st\u{200b}op",
            "unsubscribe please",
            "Opt-out",
            "ALTO",
            "Baja por favor",
            "הסר",
            "إلغاء الاشتراك",
        ] {
            assert!(sms(text), "{text}");
        }
    }

    #[test]
    fn one_slip_of_the_finger_is_forgiven() {
        for text in [
            "Stpo",
            "sotp",
            "tsop",
            "stopo",
            "dtop",
            "stio p",
            "atopp",
            "st0p",
            "stup",
            "stopq",
            "stp",
            "Stpo please",
            "unsubcribe",
            "unsubscibe",
            "unsubscrribe",
            "usnubscribe",
            "unsuscribe",
            "стпо",
            "abmeldn",
            "abmedlen",
        ]
        .iter()
        .filter(|word| !["stio p", "atopp"].contains(word))
        {
            assert!(sms(text), "{text}");
        }
    }

    #[test]
    fn a_day_or_a_time_is_no_signature() {
        for text in ["Cancel - Friday", "Cancel\n\nTuesday 3 PM", "End\nFriday", "Stop - Tomorrow"]
        {
            assert_eq!(before_signature(text), None, "{text}");
        }
        assert_eq!(before_signature("STOP\n\nDana Fox\nLarkspur Freight"), Some("STOP"));
        assert_eq!(before_signature("Stop - Dana"), Some("Stop"));
    }

    #[test]
    fn near_misses_are_other_words() {
        for text in [
            "shop",
            "Step",
            "top",
            "Top!",
            "spot",
            "stoop",
            "stomp",
            "atop",
            "slop",
            "Stol",
            "Stap",
            "сто",
            "стол",
            "anmelden",
            "subscribe",
            "stopover",
            "nonstop",
            "stopwatch",
            "laptop",
            "the end",
            "end of the month",
            "Stopp mal, ich habe eine Frage",
            "don't stop",
            "non stop",
            "stop by",
            "basta pasta",
            "fine thanks for asking",
            "Fine",
            "fine!",
            "fin",
            "dur",
            "ret",
            "seis",
            "pois",
            "2026",
            "12345",
            "alto adige",
            "a",
            "",
            "?",
            "top 12345",
            "call 12345",
            "pagar",
            "para",
            "sare",
        ] {
            assert!(!sms(text), "{text}");
        }
    }

    #[test]
    fn no_word_is_there_twice_or_a_near_miss_of_itself() {
        assert!(STOPS.is_disjoint(&ENDS));
        for word in OTHERS {
            assert!(!is_stop(word), "{word}");
        }
    }
}
