//! Finds the start of the older mail in a mail, by the words of mail programs and by shape. Each
//! check reads a few short lines only.

use super::shapes;
use crate::domain::lazy_pattern::LazyPattern;

/// The most bytes of a line by which a mail program introduces a quote.
const LINE_BYTES_MAX: usize = 400;
/// The most lines over which such a line may be broken.
const ATTRIBUTION_LINES: usize = 4;
const HEADER_LINES: usize = 12;

/// True if `lines` start with a rule or a block of headers that introduces an older mail.
pub(super) fn starts_older_mail(lines: &[&str]) -> bool {
    let Some(line) = lines.first().map(|line| line.trim()) else { return false };
    line.len() <= LINE_BYTES_MAX
        && (is_rule(line) || starts_header_block(lines, line) || shapes::starts_headers(lines))
}

fn is_rule(line: &str) -> bool {
    const BETWEEN: [&str; 38] = [
        "original",
        " wrote",
        "forward",
        "ursprüngliche",
        "weitergeleitet",
        "origine",
        "transf",
        "réexpéd",
        "reenviad",
        "inoltrat",
        "encaminhad",
        "oorspronkelijk",
        "doorgestuurd",
        "mensaje",
        "ursprung",
        "vidarebefordra",
        "oprindelig",
        "videresend",
        "opprinnelig",
        "alkuperäi",
        "välitetty",
        "oryginal",
        "przekazan",
        "původní",
        "přeposlan",
        "pôvodná",
        "eredeti",
        "továbbított",
        "redirecționat",
        "iletilen",
        "özgün",
        "orijinal",
        "αρχικό",
        "προωθ",
        "исходное",
        "пересыла",
        "пересл",
        "оригинал",
    ];
    const WHOLE: [&str; 9] = [
        "begin forwarded message:",
        "anfang der weitergeleiteten nachricht:",
        "début du message réexpédié :",
        "début du message transféré :",
        "inicio del mensaje transferido:",
        "inicio del mensaje reenviado:",
        "inizio messaggio inoltrato:",
        "início da mensagem encaminhada:",
        "begin doorgestuurd bericht:",
    ];
    let lower = shapes::shown(line).to_lowercase().replace(['\u{a0}', '\u{202f}'], " ");
    let framed = lower.starts_with("--") && lower.ends_with("--");
    // 原始邮件, 원본 메시지, הודעה מקורית: between rules nothing else is written in these scripts.
    let is_unlisted = framed
        && lower.chars().any(|char| char > '\u{590}' && char.is_alphabetic())
        && lower.chars().count() <= 60;
    is_unlisted
        || (framed && BETWEEN.iter().any(|word| lower.contains(word)))
        || WHOLE.contains(&lower.as_str())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Header {
    From,
    When,
    To,
    Subject,
    Other,
}

/// What mail programs call the headers of a mail, in small letters.
#[rustfmt::skip]
const LABELS: [(Header, &[&str]); 5] = [
    (Header::From, &[
        "from", "von", "de", "da", "van", "från", "fra", "lähettäjä", "od", "nadawca", "odesílatel",
        "feladó", "de la", "kimden", "gönderen", "από", "от", "от кого", "від", "差出人", "送信者", "发件人",
        "寄件者", "寄件人", "보낸 사람", "보낸사람", "من", "מאת",
    ]),
    (Header::When, &[
        "sent", "date", "gesendet", "datum", "envoyé", "enviado", "enviado el", "enviado em",
        "fecha", "inviato", "data", "verzonden", "enviada em", "envoyé le", "date sent", "skickat",
        "sendt", "dato", "lähetetty", "päivämäärä", "päiväys", "wysłano", "wysłane", "odesláno",
        "odoslané", "dátum", "elküldve", "küldve", "trimis", "gönderme tarihi", "gönderildi",
        "tarih", "στάλθηκε", "ημερομηνία", "отправлено", "дата", "надіслано", "送信日時", "日付", "日時",
        "发送时间", "发送日期", "日期", "傳送時間", "寄件日期", "보낸 날짜", "날짜", "تاريخ الإرسال", "التاريخ",
        "تم الإرسال", "נשלח", "תאריך",
    ]),
    (Header::To, &[
        "to", "an", "à", "a", "para", "aan", "per", "till", "til", "vastaanottaja", "do", "komu",
        "pre", "címzett", "către", "kime", "alıcı", "προς", "кому", "宛先", "收件人", "收件者", "받는 사람",
        "받는사람", "إلى", "אל",
    ]),
    (Header::Subject, &[
        "subject", "betreff", "objet", "asunto", "oggetto", "assunto", "onderwerp", "ämne", "emne",
        "aihe", "temat", "předmět", "predmet", "tárgy", "subiect", "konu", "θέμα", "тема", "件名",
        "主题", "主題", "主旨", "제목", "الموضوع", "נושא",
    ]),
    (Header::Other, &[
        "cc", "bcc", "reply-to", "importance", "priority", "attachments",
    ]),
];
/// The most bytes of a label.
const LABEL_BYTES_MAX: usize = 48;

/// Reads a header such as `From: …` in any of the listed languages: which it is, and the text
/// behind the colon.
fn header(line: &str) -> Option<(Header, &str)> {
    let line = shapes::shown(line).trim_start_matches(['*', ' ', '\t']);
    let (label, value) = line.split_once([':', '：'])?;
    if label.len() > LABEL_BYTES_MAX {
        return None;
    }
    let label =
        label.trim_end_matches(|char: char| char == '*' || char.is_whitespace()).to_lowercase();
    let (kind, _) = LABELS.iter().find(|(_, labels)| labels.contains(&label.as_str()))?;
    Some((*kind, value.trim_start_matches(['*', ' '])))
}

static YEAR: LazyPattern = LazyPattern::of(r"(?-u:\b)(?:19|20)[0-9]{2}(?-u:\b)");

fn has_year(text: &str) -> bool {
    YEAR.is_match(text)
}

/// True if `lines` start with several headers. One line such as "From: …" may be a sentence, so it
/// is not enough.
fn starts_header_block(lines: &[&str], first: &str) -> bool {
    if header(first).is_none() {
        return false;
    }
    let (mut sender, mut address, mut when, mut year, mut to, mut subject) =
        (false, false, false, false, false, false);
    let mut other_lines = 0;
    for line in lines.iter().take(HEADER_LINES).filter(|line| line.len() <= 4 * LINE_BYTES_MAX) {
        match header(line.trim()) {
            Some((Header::From, value)) => {
                sender = true;
                address |= value.contains('@');
                // All headers may be on one line if line breaks were lost.
                when |= value.contains(" Sent: ") || value.contains(" Date: ");
                subject |= value.contains(" Subject: ");
            }
            Some((Header::When, value)) => {
                when = true;
                year |= has_year(value);
            }
            Some((Header::To, _)) => to = true,
            Some((Header::Subject, _)) => subject = true,
            Some((Header::Other, _)) => {}
            None => other_lines += 1,
        }
        if other_lines > 3 {
            break;
        }
    }
    match (sender, when, to, subject) {
        (true, true, _, true) | (true, _, true, true) => true,
        (true, true, ..) => address || year,
        (true, _, true, _) => address,
        (false, true, true, true) => year,
        _ => false,
    }
}

static EVIDENCE: LazyPattern = LazyPattern::of(concat!(
    r"(?i)@|(?-u:\b)(?:19|20)[0-9]{2}(?-u:\b)|[0-9]{1,2}[:.h][0-9]{2}(?-u:\b)",
    r"|[0-9]{1,2}[./-][0-9]{1,2}[./-][0-9]{2}",
    r"|(?-u:\b)(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.? [0-9]{1,2}(?-u:\b)",
));

fn has_evidence(text: &str) -> bool {
    EVIDENCE.is_match(text)
}

const VERBS: [&str; 38] = [
    "wrote",
    "geschrieben",
    "geschreven",
    "schrieb",
    "a écrit",
    "a ecrit",
    "escribió",
    "escribio",
    "ha scritto",
    "escreveu",
    "schreef",
    "skrev",
    "kirjoitti",
    "napisał(a)",
    "napisała",
    "napisał",
    "pisze",
    "napsal(a)",
    "napsala",
    "napsal",
    "napísal(a)",
    "napísal",
    "ezt írta",
    "írta",
    "a scris",
    "şunu yazdı",
    "şunları yazdı",
    "yazdı",
    "έγραψε",
    "написал(а)",
    "написала",
    "написал",
    "пишет",
    "написав(-ла)",
    "написав",
    "написала",
    "je napisao/la",
    "je napisal/a",
];
const OPENINGS: [&str; 9] = ["on ", "am ", "le ", "el ", "il ", "em ", "op ", "den ", "on\u{a0}"];

/// How many lines an "On … wrote:" at the start of `lines` takes; it may be broken over several.
/// `None` if there is none.
pub(super) fn attribution(lines: &[&str]) -> Option<usize> {
    by_words(lines).or_else(|| shapes::introduction(lines))
}

/// The same for the languages that are listed.
fn by_words(lines: &[&str]) -> Option<usize> {
    let first = lines.first()?.trim();
    if first.is_empty() || first.len() > LINE_BYTES_MAX {
        return None;
    }
    let opens = {
        let lower = first.to_lowercase();
        OPENINGS.iter().any(|it| lower.starts_with(it)) || lower.starts_with('2')
    };
    let most = if opens { ATTRIBUTION_LINES } else { 1 };
    let mut said = String::new();
    for (index, line) in lines.iter().take(most).enumerate() {
        let line = line.trim();
        if line.is_empty() || said.len() + line.len() > 2 * LINE_BYTES_MAX {
            return None;
        }
        if !said.is_empty() {
            said.push(' ');
        }
        said.push_str(&line.to_lowercase());
        if introduces(&said, opens) {
            return Some(index + 1);
        }
    }
    None
}

/// True for a whole "on … wrote:" in small letters.
fn introduces(said: &str, opens: bool) -> bool {
    let Some(said) = said.trim_end_matches(['*', '_']).strip_suffix(':').map(str::trim_end) else {
        return false;
    };
    // `2026-01-17 9:02 GMT+01:00 Sam Reyes <sam@…>:`
    if said.starts_with("20") && said.contains('@') && said.ends_with('>') {
        return true;
    }
    let Some((before, verb, after)) = VERBS.iter().find_map(|verb| {
        let (before, after) = said.rsplit_once(*verb)?;
        Some((before, *verb, after))
    }) else {
        return false;
    };
    let is_word = before.ends_with([' ', '\u{a0}', '>', ')']);
    let in_the_middle_of_a_sentence = verb == "wrote" && !after.is_empty();
    let of_the_two_of_us =
        before.split_whitespace().next_back().is_some_and(|it| ["i", "you", "we"].contains(&it));
    is_word
        && !in_the_middle_of_a_sentence
        && !of_the_two_of_us
        && if opens { has_evidence(said) } else { said.contains('@') }
}

/// The text before an "On … wrote:" within a line, in which line breaks were lost.
pub(super) fn before_attribution(line: &str) -> Option<&str> {
    let (head, _) = line.split_once("wrote:")?;
    let (mut from, window) = (head.len().saturating_sub(LINE_BYTES_MAX), head);
    while !window.is_char_boundary(from) {
        from += 1;
    }
    let within = window.get(from..)?.rfind(" On ").map(|at| from + at);
    // The line may also start with it, and go on behind it.
    let at = within.or_else(|| (head.starts_with("On ") && head.contains('@')).then_some(0))?;
    let (before, said) = line.split_at_checked(at)?;
    let said = said.split_once("wrote:").map_or(said, |(said, _)| said);
    let dated = said
        .trim_start()
        .strip_prefix("On ")?
        .starts_with(|char: char| char.is_ascii_digit() || char.is_ascii_uppercase());
    (dated && (said.contains('@') || has_year(said))).then_some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_patterns_are_valid() {
        LazyPattern::assert_valid([&YEAR, &EVIDENCE]);
    }
}
