//! The parts below a mail's text: signatures, contact lines, disclaimers.

use crate::domain::lazy_pattern::LazyPattern;

/// The most bytes of a line of a visiting card that holds an address or a number.
const CONTACT_LINE_BYTES: usize = 120;
const PLAIN_LINE_BYTES: usize = 60;
const FOOTER_LINES: usize = 12;
/// This many words may stand beside an address or a number: a name, a title.
const WORDS_BESIDE: usize = 4;

static CONTACT: LazyPattern = LazyPattern::of(concat!(
    r"(?i)[^\s<>|]+@[^\s<>|]+\.[a-z]{2,}|https?://\S+|www\.\S+",
    r"|(?-u:\b)[a-z0-9-]+\.(?:com|net|org|io|co|biz|info|de|fr|es|it|nl|uk|eu|test|example)(?-u:\b)\S*",
    r"|\+?\(?[0-9][0-9\s().\-/]{6,}[0-9]",
    r"|(?-u:\b)(?:tel|telephone|telefon|phone|mobile|mobil|mob|cell|fax|office|direct|linkedin|e-?mail",
    r"|web|website|skype|whatsapp|twitter|facebook|instagram)(?-u:\b)\.?:?|^[tmepwfo]:",
));

/// Words that occur in sentences and not on a visiting card.
static SPOKEN: LazyPattern = LazyPattern::of(concat!(
    r"(?i)(?-u:\b)(?:i|i'm|i’m|i'll|i’ll|me|my|mine|you|your|we|us|is|are|will|can|please|call|text",
    r"|reach|ich|mich|mir|moi|mi|bitte|or|if|not|stop|unsubscribe|remove)(?-u:\b)"
));

static DISCLAIMER: LazyPattern = LazyPattern::of(concat!(
    r"(?i)^\W*(?:confidentiality notice|disclaimer|legal notice",
    r"|th(?:is|e information contained in this|e contents of this) (?:e-?mail|message|communication)",
    r" (?:and|is|may|contains|message)",
    r"|(?:caution|warning|external)(?: e-?mail)?: ?(?:this|e-?mail|external)|this e-?mail originated (?:from )?outside",
    r"|virus-free|please consider the environment before|think before you print",
    r"|quest[oa] (?:messaggio|e-?mail)[^.]{0,60}(?:riservat|confidenzial)",
    r"|est[ae] (?:mensagem|e-?mail)[^.]{0,60}confidencia|(?:dit|deze) (?:bericht|e-?mail)[^.]{0,60}vertrouwelijk",
    r"|diese (?:e-?mail|nachricht) (?:enthält|ist)|ce (?:message|courriel) (?:et|est)",
    r"|este (?:mensaje|correo)[^.]{0,40}confidencial)"
));

static DEVICE: LazyPattern = LazyPattern::of(concat!(
    r"(?i)^(?:sent (?:from|via|with) (?:my|the|outlook|mail for|proton|yahoo|samsung|gmail|aol|spark)",
    r"|get outlook for |sent with |von meinem .{1,30} gesendet|gesendet (?:von|mit) (?:mein|outlook|yahoo|der|mail|gmx|web)",
    r"|envoyé (?:de(?:puis)? mon |(?:de(?:puis)?|à partir d[e'’]) ?(?:outlook|yahoo|mail))|télécharger outlook",
    r"|enviado (?:desde (?:mi |outlook|yahoo|mail)|do (?:meu |outlook|yahoo|mail))|(?:obtener|obter|baixe o) outlook",
    r"|inviato da(?:l mio)? |(?:scarica|ottieni) outlook|(?:verstuurd|verzonden) (?:vanaf|met|via|vanuit) (?:mijn|outlook|mail|yahoo)",
    r"|outlook (?:voor|für) (?:ios|android))",
));

/// Names of devices and mail programs. A short line that holds one and matches [`SENT`] says in
/// some language that the mail was sent with it.
static SENT_WITH: LazyPattern = LazyPattern::of(concat!(
    r"(?i)(?:iphon|ipad|ipod|galaxy|samsung|android|huawei|xiaomi|redmi|pixel|oneplus|motorola|nokia|blackberry|outlook",
    r"|gmail|yahoo|proton ?mail|gmx|web\.de|mail\.ru|yandex|windows|smartphone|handy|téléphone|telefon|móvil|celular|cellulare|mobil)",
));
static SENT: LazyPattern = LazyPattern::of(concat!(
    r"(?i)^(?:sent (?:from|via|with)|gesendet (?:von|mit)|von mein(?:em|er) .* gesendet|envoyé (?:de|depuis|à partir|avec)",
    r"|enviado (?:desde|do|de|a partir|con|com|pelo|mediante)|inviato (?:da|dal|con|tramite)|verstuurd|verzonden",
    r"|skickat (?:från|med)|sendt (?:fra|med)|lähetetty|wysłan[eoya]* (?:z|za)|odesláno z|odoslané z|az .* küldve|küldve|trimis (?:de|din|cu)",
    r"|στάλθηκε από|отправлено (?:с|из|через)|надіслано (?:з|із|через)|изпратено от|poslano (?:s|iz|sa)|poslané z|saadetud|išsiųsta|nosūtīts",
    r"|从我?的?.*发送|发自|發自|從我?的?.*傳送|傳送自|أُ?رسلت? من|נשלח מ|dikirim dari|được gửi từ|ส่งจาก)",
    r"|(?:gönderildi|から送信|から送信されました|에서 보냄|에서 전송됨|lähetetty|发送|傳送|-om?ról küldve)[.。!]?$",
));

/// True for the line that a mail program adds by itself ("Sent from my …").
pub(super) fn is_device_line(line: &str) -> bool {
    // A line with a colon introduces something that somebody writes.
    line.len() <= 120
        && (!line.contains(':') || line.contains("://"))
        && !line.contains('?')
        && ((line.len() <= 80 && DEVICE.is_match(line))
            || (SENT.is_match(line) && SENT_WITH.is_match(line)))
}

/// Drops the footer, if there is text above it.
pub(super) fn drop_footer(lines: &mut Vec<&str>) {
    for _ in 0..3 {
        while lines.last().is_some_and(|line| is_blank_or_rule(line)) {
            lines.pop();
        }
        let Some(blank) = lines.iter().rposition(|line| line.trim().is_empty()) else { return };
        let (above, below) = lines.split_at(blank);
        let is_footer =
            below.get(1..).is_some_and(|footer| is_disclaimer(footer) || is_visiting_card(footer));
        if !is_footer || above.iter().all(|line| is_blank_or_rule(line)) {
            return;
        }
        lines.truncate(blank);
    }
}

fn is_blank_or_rule(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || (line.len() > 4 && line.chars().all(|it| "_-*=—".contains(it)))
}

fn is_disclaimer(lines: &[&str]) -> bool {
    lines.first().is_some_and(|line| DISCLAIMER.is_match(line.get(..200).unwrap_or(line)))
}

fn is_visiting_card(lines: &[&str]) -> bool {
    if lines.len() > FOOTER_LINES {
        return false;
    }
    let mut contacts = 0;
    for line in lines.iter().map(|line| line.trim()) {
        let too_long = line.len() > CONTACT_LINE_BYTES;
        if too_long || line.ends_with('?') || SPOKEN.is_match(line) {
            return false;
        }
        if is_contact(line) {
            contacts += 1;
        } else if line.len() > PLAIN_LINE_BYTES || is_sentence(line) {
            return false;
        }
    }
    contacts >= 2
}

fn is_contact(line: &str) -> bool {
    let beside = CONTACT.replace_all(line, " ");
    let words = beside.split(|it: char| !it.is_alphanumeric()).filter(|it| it.len() > 1).count();
    CONTACT.is_match(line) && words <= WORDS_BESIDE
}

fn is_sentence(line: &str) -> bool {
    line.ends_with(['.', '!']) && line.split_whitespace().count() > 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_patterns_are_valid() {
        LazyPattern::assert_valid([&CONTACT, &SPOKEN, &DISCLAIMER, &DEVICE, &SENT_WITH, &SENT]);
    }
}
