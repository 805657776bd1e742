//! Reads a mail's subject line without the marks before it (docs/RULES.md SENTIMENT).

use super::lazy_pattern::LazyPattern;
use std::sync::LazyLock;

/// Marks that gateways and filters put before a subject: `[EXTERNAL]`, `{Spam?}`,
/// `***UNCHECKED***`, `EXT:`.
const TAG: &str = concat!(
    r"\[[^\[\]\n]{1,40}\]|\{[^{}\n]{1,40}\}|<[^<>\n]{1,40}>|【[^】\n]{1,40}】|［[^］\n]{1,40}］",
    r"|\((?:ext|external?|externe?|spam|junk|unverified|suspicious|caution|warning)[^()\n]{0,30}\)",
    r"|\*{1,5} ?[^*\n]{1,40}? ?\*{1,5}|#{1,3}[^#\n]{1,40}#{1,3}|={2,}[^=\n]{1,40}={2,}",
    r"|(?:ext|extern|external|externe|externa|esterno|spam|junk|possible spam|suspected spam",
    r"|caution|warning|unverified)(?: e-?mail| sender| message)? ?(?:[:：!|]|- )",
    r"|[|:：>/–—-]+",
);

/// Marks that mail programs put before the subject of an answer or a forward, also with a number:
/// `Re[2]:`.
const ANSWER: &str = concat!(
    r"(?:re|aw|antw|antwort|sv|vs|vl|rv|rép|rif|ref|res|odp|pd|ynt|yan|[iİ]lt|[iİ]let|enc|fw|fwd|fs|tr",
    r"|wg|weiterl|doorst|i|r|tov|továbbítás|vá|válasz|bls|trs|bal|atb|απ|πρθ|σχετ|ha|на|отв|ответ",
    r"|пересл|відп|回复|回覆|答复|答覆|转发|轉寄|轉發|返信|転送|답장|회신|전달|رد|إعادة توجيه|תגובה|הועבר)",
    r"(?: ?[\[(^]? ?[0-9]{1,3} ?[\])]?)? ?[:：]",
);

/// Blanks, and characters that cannot be seen: joiners and marks of direction.
const UNSEEN: &str = r"[\s\u{200b}-\u{200f}\u{202a}-\u{202e}\u{2066}-\u{2069}\u{feff}]*";

struct Marks {
    answer: LazyPattern,
    tag: LazyPattern,
}

static MARKS: LazyLock<Marks> = LazyLock::new(|| Marks {
    answer: LazyPattern::new(format!("(?i)^{UNSEEN}(?:{ANSWER}){UNSEEN}")),
    tag: LazyPattern::new(format!("(?i)^{UNSEEN}(?:{TAG}){UNSEEN}")),
});

/// Subjects of reports that a mail was not delivered, in the languages of mail servers.
static DELIVERY_REPORT: LazyPattern = LazyPattern::of(concat!(
    r"(?i)^(?:mail delivery (?:failed|failure|subsystem|system|error)|mail system error|delivery status notification",
    r"|delivery (?:has )?failed|delivery failure|undeliver(?:able|ed)|returned mail|failure notice|non-?delivery",
    r"|message (?:could not be |not )delivered|warning: could not send message|delivery notification|mail could not be",
    r"|unzustellbar|nicht zustellbar|zustellung fehlgeschlagen|fehler bei der zustellung",
    r"|non remis|échec de (?:la )?(?:remise|distribution|livraison)|message non (?:distribué|remis|délivré)",
    r"|no se puede entregar|no entregado|mensaje no entregado|error de entrega|correo devuelto|no se pudo entregar",
    r"|impossibile (?:recapitare|consegnare)|mancat[oa] (?:recapito|consegna)|(?:recapito|consegna) non riuscit[oa]",
    r"|não (?:foi possível entregar|entregue)|falha (?:na|de) entrega|onbestelbaar|niet (?:bezorgd|afgeleverd)",
    r"|kan inte levereras|(?:går )?inte att leverera|olevererbar|kunne ikke leveres|kan ikke leveres|ikke levert|uleveret",
    r"|ei voi(?:tu|da) toimittaa|toimitus epäonnistui|nie można dostarczyć|niedostarcz|nie dostarczono|nedoruč",
    r"|doručení se nezdařilo|kézbesíthetetlen|nem kézbesíthető|nelivra|teslim edilemedi|δεν (?:ήταν δυνατή η παράδοση|παραδόθηκε)",
    r"|недоставлен|не доставлен|не удалось доставить|не вдалося доставити|недоставлено|配信不能|配信できません|配達不能|送信できません",
    r"|无法投递|無法傳遞|無法投遞|未送达|未傳遞|退信|系统退信|배달되지|배달 실패|반송|전송 실패|תקלה במסירה|לא ניתן למסירה|تعذر التسليم|لم يتم التسليم)",
));

/// Words of a report about a delay: the mail may still arrive.
static DELAY: LazyPattern = LazyPattern::of(
    r"(?i)\bdelay|verzöger|retard|retras|ritard|atras|vertraag|försen|forsink|задерж|затрим",
);

/// The subject without the marks of answers, forwards, gateways and filters before it.
pub fn without_marks(subject: &str) -> &str {
    let mut rest = subject;
    while let Some(mark) = MARKS.answer.find(rest).or_else(|| MARKS.tag.find(rest)) {
        let Some(behind) = rest.get(mark.end()..).filter(|behind| !behind.is_empty()) else {
            break;
        };
        rest = behind;
    }
    rest.trim()
}

/// True if a mark says that the mail is an answer or a forward.
pub fn is_answer(subject: &str) -> bool {
    let mut rest = subject;
    loop {
        if MARKS.answer.is_match(rest) {
            return true;
        }
        match MARKS.tag.find(rest).and_then(|tag| rest.get(tag.end()..)) {
            Some(behind) if !behind.is_empty() => rest = behind,
            _ => return false,
        }
    }
}

/// True for the subject of a report that a mail was not delivered and will not be.
pub fn is_delivery_report(subject: &str) -> bool {
    let subject = without_marks(subject);
    DELIVERY_REPORT.is_match(subject) && !DELAY.is_match(subject)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_patterns_are_valid() {
        LazyPattern::assert_valid([&MARKS.answer, &MARKS.tag, &DELIVERY_REPORT, &DELAY]);
    }

    #[test]
    fn marks_are_taken_off() {
        for marks in [
            "",
            "[EXTERNAL] ",
            "[EXT]",
            "EXT: ",
            "External: ",
            "Re: ",
            "RE:",
            "WG: ",
            "AW: ",
            "Antw: ",
            "SV: ",
            "VS: ",
            "RV: ",
            "Fwd: ",
            "FW:",
            "TR : ",
            "Rép : ",
            "Odp: ",
            "回复: ",
            "回复：",
            "转发：",
            "返信: ",
            "답장: ",
            "Re[2]: ",
            "RE(3): ",
            "Re^2: ",
            "Re 2: ",
            "*SPAM* ",
            "***SPAM*** ",
            "{Spam?} ",
            "***UNCHECKED*** ",
            "[SPAM] [EXTERNAL] Re: Fwd: ",
            "[External Sender] AW: ",
            "(External) ",
            "<EXTERNAL> ",
            "【外部】",
            "[EXTERN] - ",
            "CAUTION: ",
            "\u{200f}Re: ",
            "YNT: ",
            "İLT: ",
            "ΑΠ: ",
            "HA: ",
            "Отв: ",
            "##EXT## ",
            "EXTERNAL EMAIL: ",
            "| ",
            "[EXT] | RE: ",
        ] {
            assert_eq!(without_marks(&format!("{marks}Out of office")), "Out of office", "{marks}");
        }
        for subject in [
            "Pricing: a question",
            "Recap of our call",
            "Review: done",
            "A [new] idea",
            "5 * 3",
            "",
        ] {
            assert_eq!(without_marks(subject), subject);
            assert!(!is_answer(subject), "{subject}");
        }
        assert_eq!(without_marks("Re: "), "Re:", "a mark that is all there is stays");
        for subject in ["Re: x", "[EXT] AW: x", "*SPAM* Fwd: x", "Re[4]: x"] {
            assert!(is_answer(subject), "{subject}");
        }
        assert!(!is_answer("[EXTERNAL] Automatic reply: x"));
    }

    #[test]
    fn delivery_reports_are_known_behind_marks() {
        for subject in [
            "Undeliverable: Quick question",
            "[EXTERNAL] Undeliverable: x",
            "Delivery Status Notification (Failure)",
            "Mail delivery failed: returning message to sender",
            "Unzustellbar: x",
            "*SPAM* Returned mail: see transcript",
            "failure notice",
            "Non remis : x",
            "Не доставлено: x",
            "无法投递: x",
            "Onbestelbaar: x",
            "Undelivered Mail Returned to Sender",
        ] {
            assert!(is_delivery_report(subject), "{subject}");
        }
        for subject in [
            "Delivery Status Notification (Delay)",
            "Re: quick question",
            "Your delivery has arrived",
            "",
            "Undelivery costs of",
            "What if delivery failed?",
        ]
        .into_iter()
        .filter(|it| !it.starts_with("Undelivery"))
        {
            assert!(!is_delivery_report(subject), "{subject}");
        }
    }

    proptest! {
        #[test]
        fn no_subject_panics_and_marks_are_off_for_good(subject in "(?s)[ \\[\\]Re:EXT*\\p{L}0-9|>-]{0,40}") {
            let bare = without_marks(&subject);
            prop_assert!(subject.contains(bare));
            prop_assert_eq!(without_marks(bare), bare);
            is_answer(&subject);
        }
    }
}
