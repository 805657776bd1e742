//! The text that a phone or a mail program writes if somebody reacts to a message: "Liked “…”"
//! (docs/RULES.md TEXT).
//!
//! It starts with a word or a sign for the reaction, and then quotes our own words.

use crate::domain::lazy_pattern::LazyPattern;
use std::sync::LazyLock;

/// The most bytes before the quotation.
const HEAD_MAX: usize = 80;
/// The most bytes with which some languages end the sentence behind the quotation.
const TAIL_MAX: usize = 60;
/// The most lines of a mail that only reacts.
const MAIL_LINES_MAX: usize = 6;

/// Words with which phones begin a reaction, in small letters. Not "like" or "love": people write
/// those.
const VERBS: &str = concat!(
    // English
    r"(?:re)?liked|loved|disliked|laughed at|emphasi[sz]ed|questioned|hearted|reacted (?:with )?.{0,30}to|reacted to",
    r"|removed .{1,30} from",
    // German
    r"|gefällt(?: mir)?|gefiel|gefällt mir nicht|mag|mochte|liebt|liebte|fragt(?:e)? (?:nach|sich)|lacht(?:e)? über|betont(?:e)?|hervorgehoben",
    r"|hinterfragt(?:e)?|bezweifelt(?:e)?|missfällt|missfiel|reagiert(?:e)? .{0,30}auf|hat .{0,40}(?:auf|zu|von|für)|hat|hob",
    r"|(?:entfernt(?:e)?|hat) .{1,40} (?:von|aus|für)|entfernt",
    // French
    r"|(?:a|n['’]a pas|n['’]a) (?:aimé|adoré|apprécié|ri|insisté|souligné|mis|mis en évidence|questionné|réagi|supprimé|retiré",
    r"|exprimé|accentué|interrogé|remis|demandé|posé|ajouté|disliké|liké|trouvé)(?: .{0,30})?|aime|adore|n['’]aime pas|j['’]aime",
    r"|rit (?:de|à)|réaction .{0,20}à|a pas aimé",
    // Spanish
    r"|(?:no )?(?:le|me|te) (?:gustó|gusta|encantó|encanta|dio risa|disgustó)(?: a)?|se (?:rió|ríe|ha reído) (?:de|con)|ha reaccionado .{0,20}a",
    r"|reaccion(?:ó|a) .{0,20}(?:a|con)|enfatizó|enfatiza|destacó|resaltó|exclamó|cuestionó|preguntó|duda(?:ó)? de|(?:eliminó|quitó|ha quitado|ha eliminado) .{1,40} de",
    r"|ha (?:destacado|enfatizado|cuestionado)|(?:puso|indicó) .{1,40} (?:a|en)",
    // Italian
    r"|(?:non )?(?:ha|hai) (?:messo|adorato|amato|riso|enfatizzato|evidenziato|sottolineato|reagito|apprezzato|contrassegnato|dubitato",
    r"|espresso|gradito|rimosso|aggiunto|trovato)(?: .{0,40})?|(?:non )?(?:gli|le|mi) (?:è piaciut[oa]|piace|piaciut[oa])|piace|piaciut[oa]|(?:ride|adora)(?: .{0,10})?",
    // Portuguese
    r"|(?:não )?(?:gostou|curtiu|adorou|amou)(?: d[eoa])?|descurtiu|riu(?: d[eoa]| com)?|deu risada .{0,20}|enfatizou|destacou|questionou|reagiu .{0,20}a|removeu .{1,40} d[eoa]|duvidou de",
    // Dutch
    r"|vond|vindt|(?:lachte|lacht|moest lachen) om|benadrukt(?:e)?|twijfelt? aan|twijfelde aan|trok|plaatste .{1,30} bij|heeft (?:gereageerd|.{1,20} verwijderd).{0,20}|reageerde .{0,20}op|verwijderde .{1,40} van",
    r"|hield van|houdt van|stelde .{1,30} bij|zette .{1,30} bij|benadrukte",
    // Swedish, Danish, Norwegian, Finnish
    r"|(?:gillade|gillar|ogillade|ogillar|älskade|älskar|betonade|ifrågasatte|markerade)(?: inte)?|skrattade åt|reagerade .{0,20}på|tog bort .{1,40} från",
    r"|(?:syntes|synes) (?:godt|ikke) .{0,20}om|elskede|elsker|likede|kunne (?:ikke )?lide|grinede ad|(?:lo|grinte) (?:ad|av|af)|fremhævede|understregede|satte spørgsmålstegn ved|reagerede .{0,20}på|fjernede .{1,40} fra",
    r"|likte|liker|mislikte|elsket|fremhevet|understreket|stilte spørsmål ved|reagerte .{0,20}på|fjernet .{1,40} fra",
    r"|tykkäsi|tykkää|piti|ei pitänyt|rakasti|rakastaa|nauroi|korosti|kyseenalaisti|reagoi .{0,20}|poisti .{1,40}",
    // Polish, Czech, Slovak, Hungarian, Romanian
    r"|(?:nie )?polubiono|(?:nie )?(?:polubił|lubi|uwielbia|pokochał|spodobał)[^ ]{0,6}(?: się)?|(?:roz|za)?śmia[^ ]{0,6}(?: się)?(?: z)?|podkreślił[^ ]{0,4}|zakwestionował[^ ]{0,4}|zareagował[^ ]{0,4} .{0,20}na|usun[^ ]{1,6} .{1,40} z",
    r"|(?:ne)?(?:líbí|líbilo) se(?: .{0,10})?|miluje|zbožňuje|(?:za)?smál[^ ]{0,3} se(?: .{0,10})?|zdůraznil[^ ]{0,3}|zpochybnil[^ ]{0,3}|(?:za)?reagoval[^ ]{0,3} .{0,20}na|odebral[^ ]{0,3} .{1,40} z",
    r"|páči sa(?: .{0,10})?|nepáči sa(?: .{0,10})?|kedvelte|kedveli|imádta|nem tetszett|tetszett|nevetett|kiemelte|hangsúlyozta|megkérdőjelezte|reagált|eltávolított",
    r"|(?:a|i-a|nu i-a|nu a) (?:apreciat|plăcut|adorat|iubit|râs|evidențiat|accentuat|pus|reacționat|eliminat|șters|marcat)(?: .{0,40})?",
    // Greek, Russian, Ukrainian
    r"|(?:δεν )?(?:του |της |μου )?άρεσε|λάτρεψε|γέλασε(?: .{0,10})?|έδωσε έμφαση(?: .{0,10})?|τόνισε|αμφισβήτησε|αντέδρασε .{0,20}|αφαίρεσε .{1,40}",
    r"|(?:не )?(?:нравится|понравилось|любит|обожает|оценил[аи]?)|(?:рас)?смеял[^ ]{0,4}(?: .{0,10})?|(?:смешно|рассмешило)|выделил[аи]?|подчеркнул[аи]?|(?:усомнил[^ ]{0,4}|сомневается)(?: .{0,10})?|реакция .{0,20}|отреагировал[аи]? .{0,20}на|(?:удалил|убрал)[аи]? .{1,40} (?:с|из|от)|поставил[аи]? .{1,40}",
    r"|(?:не )?(?:подобається|сподобалось|сподобалося|вподобано|вподобав|вподобала)|(?:роз)?сміявся|розсміялась|підкреслив|виділив|відреагував[^ ]{0,3} .{0,20}на|(?:видалив|прибрав|вилучив)[^ ]{0,3} .{1,40} (?:з|із)",
    // Turkish, Arabic, Hebrew, Chinese, Korean, Japanese
    r"|(?:أعجب|أحب|لم يعجب|ضحك|أكد|شكك|تفاعل|أزال)[^ ]{0,6}(?: .{0,30})?|(?:אהב|אהבה|לא אהב|לא אהבה|צחק|צחקה|הדגיש|הדגישה|הטיל|הגיב|הגיבה|הסיר|סימן|סימנה)(?:/[^ ]{1,2})?(?: .{0,30})?",
    r"|(?:赞了|贊了|喜欢了?|喜歡了?|爱了|大爱|不喜欢|不喜歡|踩了|笑了|大笑|强调了?|強調了?|质疑了?|質疑|对|對|移除了?|给|給)[^“「\x22]{0,12}",
);

/// Words that follow the quotation in languages in which it comes first.
const BEHIND: &str = concat!(
    r"(?:ifadesini |mesajını |mesajına |için |ifadesine )?(?:beğendi|beğenmedi|sevdi|bayıldı|güldü|vurguladı|sorguladı|tepki verdi|.{0,20}tepki(?:si)? .{0,20})",
    r"|(?:に|を|へ).{0,24}(?:しました|した|いいね|リアクション|ハート|笑|強調|疑問|削除|取り消し)[^。]{0,12}",
    r"|(?:을|를|에|이|가|\(을\)를|을\(를\)).{0,24}(?:좋아|싫어|사랑|웃|강조|물음|질문|반응|삭제|공감|표시)[^.]{0,12}",
    r"|.{0,6}(?:标记为|標記為|表示|做出|作出|的).{0,20}|leuk|niet leuk|geweldig|grappig|in twijfel|gelikt|mit .{1,30}|gefallen|nicht gefallen|entfernt|markiert|godt om|hervor|nem tetszett|tetszett|nevetett|reagált|tykkäsi|nauroi",
);

/// A reaction to a file names the file and quotes nothing.
const FILES: &str = concat!(
    r"(?:liked|loved|disliked|laughed at|emphasi[sz]ed|questioned|removed .{1,30} from|reacted .{0,30}to)",
    r" (?:an?|your|the) (?:image|photo|picture|movie|video|attachment|audio message|voice message|link|url|gif|sticker|location|contact|message|file|document|live photo)",
);

struct Patterns {
    head: LazyPattern,
    sign: LazyPattern,
    behind: LazyPattern,
    file: LazyPattern,
}

static PATTERNS: LazyLock<Patterns> = LazyLock::new(|| {
    let whole = |text: &str| LazyPattern::new(format!(r"(?i)^(?:{text})[ :\u{{a0}}\u{{202f}}]*$"));
    Patterns {
        head: whole(VERBS),
        // A sign, and at most one short word: 👍 to, 👍 zu.
        sign: LazyPattern::new(
            r"^[\p{So}\p{Sk}\u{203c}\u{2049}\u{2753}\u{2757}\u{fe0f}\u{200d}]+(?:\s+\p{L}{1,6})?\s*:?\s*$",
        ),
        behind: whole(BEHIND),
        file: whole(FILES),
    }
});

/// `text` without the reaction at its start; `None` if it starts with none. Empty if the reaction
/// is all of it.
pub(super) fn without_reaction(text: &str) -> Option<&str> {
    let patterns = &*PATTERNS;
    let text = text.trim_matches(is_unseen);
    let (first, below) = text.split_once('\n').unwrap_or((text, ""));
    if first.len() <= HEAD_MAX && patterns.file.is_match(plain(first).trim_end_matches('.')) {
        return Some(below.trim());
    }
    if let Some(rest) = by_mail(text) {
        return Some(rest);
    }
    let (at, mark) = text
        .char_indices()
        .take_while(|(at, _)| *at <= HEAD_MAX)
        .find(|(_, it)| OPENING.contains(*it))?;
    let (head, quotation) = text.split_at_checked(at)?;
    let inside = quotation.get(mark.len_utf8()..)?;
    let end = inside.rmatch_indices(|it| closes(mark, it)).next();
    let (quoted, behind) = match end {
        Some((at, found)) => (inside.get(..at)?, inside.get(at + found.len()..)?),
        // The phone cut the quotation short.
        None => (inside, ""),
    };
    // The reaction's own name may stand in marks, too: Ha messo “Mi piace” a «…».
    let behind = second_quotation(behind).unwrap_or(behind);
    if quoted.trim().is_empty() || head.contains('\n') {
        return None;
    }
    let head = plain(head);
    let (line, rest) = behind.split_once('\n').unwrap_or((behind, ""));
    let tail = line.trim_matches(|char| is_unseen(char) || ".!。".contains(char));
    let is_tail = tail.len() <= TAIL_MAX && patterns.behind.is_match(&plain(tail));
    let is_reaction = if head.is_empty() {
        is_tail
    } else {
        patterns.head.is_match(&head) || patterns.sign.is_match(&head)
    };
    is_reaction.then(|| if tail.is_empty() || is_tail { rest.trim() } else { behind.trim() })
}

/// The text behind a second quotation, which follows after at most one short word.
fn second_quotation(text: &str) -> Option<&str> {
    const WORD_BYTES_MAX: usize = 8;
    let (at, mark) = text
        .char_indices()
        .take_while(|(at, it)| *at <= WORD_BYTES_MAX && *it != '\n')
        .find(|(_, it)| OPENING.contains(*it))?;
    let inside = text.get(at + mark.len_utf8()..)?;
    let (end, closing) = inside.rmatch_indices(|it| closes(mark, it)).next()?;
    inside.get(end + closing.len()..)
}

const OPENING: &str = "“„«\"‟「『‹‘";

fn closes(opening: char, it: char) -> bool {
    match opening {
        '“' | '‟' => matches!(it, '”' | '"' | '“'),
        '„' => matches!(it, '“' | '”' | '"'),
        '«' => it == '»',
        '「' => it == '」',
        '『' => it == '』',
        '‹' => it == '›',
        '‘' => it == '’',
        _ => matches!(it, '"' | '”'),
    }
}

fn is_unseen(char: char) -> bool {
    char.is_whitespace()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// The text on one line, without invisible characters.
fn plain(text: &str) -> String {
    let seen: String =
        text.chars().filter(|char| char.is_whitespace() || !is_unseen(*char)).collect();
    seen.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A mail program's reaction: a sign, and below it "Dana reacted via Gmail", in any language.
fn by_mail(text: &str) -> Option<&str> {
    let mut lines = text.lines().map(str::trim).filter(|it| !it.is_empty());
    let (first, second) = (lines.next()?, lines.next());
    let is_sign = |line: &str| {
        line.len() <= 40 && !line.chars().any(|char| char.is_alphanumeric() || char.is_ascii())
    };
    let names_program = |line: &str| {
        let lower = line.to_lowercase();
        line.len() <= HEAD_MAX
            && (lower.contains("gmail") || lower.ends_with("reacted to your message:"))
    };
    let others = text.lines().filter(|it| !it.trim().is_empty()).count();
    let is_reaction = others <= MAIL_LINES_MAX
        && (names_program(first) && first.to_lowercase().contains("reacted")
            || is_sign(first) && second.is_some_and(names_program));
    is_reaction.then_some("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OURS: &str = "Hi Rita, want a demo? Reply STOP to opt out";

    #[test]
    fn all_patterns_are_valid() {
        let Patterns { head, sign, behind, file } = &*PATTERNS;
        LazyPattern::assert_valid([head, sign, behind, file]);
    }

    #[rustfmt::skip]
    const HEADS: &[&str] = &[
        "Liked", "Loved", "Disliked", "Laughed at", "Emphasized", "Emphasised", "Questioned",
        "Removed a like from", "Removed a heart from", "Removed a dislike from",
        "Removed a laugh from", "Removed an exclamation from", "Removed a question mark from",
        "Reacted 😂 to", "Reacted with a sticker to", "Removed a 👍 from", "👍 to", "❤️ to",
        "\u{200b}👍\u{200b} to", "👍 zu", "👍 à", "👍 a", "😂 für", "‼️ to", "Removed 👍 from",
        "Gefällt", "Gefällt mir:", "Liebte", "Lachte über", "Betonte", "Hinterfragte", "A aimé",
        "A adoré", "N’a pas aimé", "A ri de", "A mis en évidence", "Le gustó", "Le encantó",
        "No le gustó", "Se rió de", "Enfatizó", "Cuestionó", "Ha messo “Mi piace” a",
        "Ha adorato", "Ha riso di", "Gostou de", "Amou", "Não gostou de", "Riu de", "Gillade",
        "Älskade", "Skrattade åt", "Synes godt om", "Likte", "Tykkäsi", "Polubiono", "Líbí se",
        "Понравилось", "Не нравится", "Вподобано", "أعجبني", "אהב/ה את", "赞了", "喜欢",
    ];

    #[test]
    fn reactions_of_phones_hold_no_word_of_the_lead() {
        for head in HEADS {
            for (open, close) in [("“", "”"), ("„", "“"), ("« ", " »"), ("\"", "\"")] {
                let text = format!("{head} {open}{OURS}{close}");
                assert_eq!(without_reaction(&text), Some(""), "{text}");
                assert_eq!(
                    without_reaction(&format!("{text}\nYes, call me")),
                    Some("Yes, call me"),
                    "{text}"
                );
            }
        }
        for text in [
            "Liked “Hi Rita, want a demo? Reply STOP to o",
            "Liked “Reply \"STOP\" to opt out”",
            "Loved an image",
            "Laughed at an attachment",
            "“Hi Rita” ifadesini beğendi",
            "Vond “Hi Rita, want a demo?” leuk",
            "「Hi Rita」に「いいね」をしました",
            "Liked “One.\n\nTwo. STOP”",
            "👍\n\nDana Orlov reacted via Gmail",
            "❤️\nDana hat über Gmail reagiert",
            "Dana Orlov reacted to your message:",
        ] {
            assert_eq!(without_reaction(text), Some(""), "{text}");
        }
        assert_eq!(without_reaction("Liked “Can we talk?” yes, call me"), Some("yes, call me"));
    }

    #[test]
    fn what_people_quote_themselves_is_theirs() {
        for text in [
            "STOP",
            "“STOP”",
            "Call me “Bob”",
            "Yes to “Tuesday at 3pm”",
            "I saw “Reply STOP to opt out”, what is that?",
            "Please send “the brochure”",
            "I liked your offer",
            "Loved it! Call me",
            "Liked",
            "👍",
            "👍 yes, call me",
            "",
            "My company is called “Loved”",
            "I have read “Emphasized” and want to talk",
            "Love “your” offer, call me",
            "Questioned by my boss, I said \"yes\"",
            "Gmail is what I use\nCall me",
            "I use Gmail",
        ] {
            assert_eq!(without_reaction(text), None, "{text}");
        }
    }

    #[test]
    fn megabytes_take_linear_work() {
        for text in [
            "Liked “".repeat(300_000),
            "“".repeat(1_000_000),
            "👍 ".repeat(500_000),
            "\n".repeat(3_000_000),
            "Liked “a”\n".repeat(200_000),
        ] {
            without_reaction(&text);
        }
    }

    proptest! {
        #[test]
        fn what_is_left_stands_in_the_text(text in "(?s)(?:Liked|👍 to|Loved an image|x)?.{0,60}") {
            if let Some(left) = without_reaction(&text) {
                prop_assert!(text.contains(left) && left.len() < text.len());
            }
        }
    }
}
