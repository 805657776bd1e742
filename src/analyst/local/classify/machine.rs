//! Recognises messages of machines, and absence notices of persons and machines.

use super::{
    cue::cues,
    text::{Text, normalised},
};
use crate::domain::mail_subject;

cues! {
    /// A subject that is an absence notice.
    ABSENT_SUBJECT = [
        r"^(?:out[ -]of[ -](?:the )?office|ooo\b|out of office|away from (?:the |my )?office|
          on (?:annual |parental |maternity |paternity )?leave|on vacation|on holiday|abwesen|
          nicht im büro|urlaub|afwezig|absence du bureau|absent[e]? du bureau|en congés?|absence :|
          fuera de (?:la )?oficina|ausente|de vacaciones|ausencia|fuori (?:ufficio|sede)|in ferie|
          fora do escritório|ausência|de férias|frånvar|inte på kontoret|semester|fravær|
          ikke på kontoret|ikke til stede|ferie|poissa|lomalla|poza biurem|nieobecn|urlop|
          mimo kancelář|nepřítomn|dovolená|házon kívül|szabadság|în afara biroului|concediu|
          ofis dışı|izinde|εκτός γραφείου|απουσία|нет на месте|отсутств|в отпуске|немає на місці|
          відсутн|у відпустці|不在|休暇|外出|休假|부재|휴가|خارج المكتب|إجازة|מחוץ למשרד|לא במשרד|
          בחופשה)",
    ];
    /// Behind the mark of an answer, only a subject that goes on like a notice is one: "Re: Out of
    /// office help" is our own subject.
    ABSENT_ANSWER = [
        r"^(?:out[ -]of[ -](?:the )?office|ooo|abwesend|abwesenheit|absence du bureau|
          fuera de (?:la )?oficina|fuori (?:ufficio|sede)|fora do escritório|afwezig)
          (?:$| ?[:,.!(-]| (?:until|till|from|notice|reply|message|re:|bis|vom|am|jusqu|du|hasta|
          del|fino|dal|até|tot|van|\d))",
    ];
    /// The words that most mail programs use for absence notices. Some acknowledgements have them,
    /// too.
    AUTOMATIC_SUBJECT = [
        r"^(?:auto(?:matic|mated|mated)?[ -]?(?:reply|response|answer|antwort|replied)|
          automatische antwort|automatisch antwoord|automatisch bericht|réponse automatique|
          respuesta automática|risposta automatica|resposta automática|autosvar|automatiskt svar|
          automatisk svar|automaattinen vastaus|automaattivastaus|automatyczna odpowiedź|
          odpowiedź automatyczna|autoodpowiedź|automatická odpov|automatikus válasz|
          răspuns automat|otomatik (?:yanıt|cevap)|αυτόματη απάντηση|автоматический ответ|
          автоответ|автоматична відповідь|автовідповідь|automatski odgovor|samodejni odgovor|
          автоматичен отговор|automaatvastus|automatinis atsakymas|automātiskā atbilde|
          自動応答|自動返信|自动答复|自动回复|自動回覆|自動答覆|자동 ?(?:회신|응답|답장)|رد تلقائي|
          الرد التلقائي|תשובה אוטומטית|מענה אוטומטי|trả lời tự động|balasan otomatis|
          ตอบกลับอัตโนมัติ)",
    ];
    /// Somebody is absent now or soon.
    ABSENT = [
        r"(?:^|\b(?:i'm|i am|im|i will be|i'll be|i shall be|we are|we're|we will be|is|he's|
          she's|and|currently|will be|am) (?:\w+ly |now |still |also |away and |afraid |sorry |
          back |going to be )*)(?:out of (?:the |my |our )?office|ooo\b|on (?:\w+ )?(?:leave|
          holidays?|vacation|pto|sabbatical)|out on (?:\w+ )?leave|traveling for|travelling for)",
        r"\boffices? (?:is|are|will be) closed\b",
        r"\bnicht im büro\b",
        r"\bbin (?:im|in) urlaub\b",
        r"\ben congés?\b",
        r"\bde vacaciones\b",
        r"\bin ferie\b",
        r"\bde férias\b",
    ];
    /// The same, in words that also occur in a person's talk about dates.
    ABSENT_SOFTLY = [
        r"\b(?:i'm|i am|im|i will be|i'll be|i shall be|we are|we're|currently) (?:\w+ly |now |
          still |also )*(?:away(?:$|,| (?:from|until|till|for|this|at|and|on|with|through|next))|
          unavailable(?:$|,| (?:until|till|from|for|this|at the moment|at present|through|
          right now|during|due))|travell?ing\b|off (?:until|till|from|for)\b|out (?:until|till|
          today|tomorrow|this week|next week|from|of town|of the country|all (?:day|week)))",
    ];
    LIMITED_ACCESS = [
        r"\blimited (?:access|e-?mail|internet|connectivity|availability)\b",
        r"\b(?:not|no) (?:have |have any |be )?(?:access|checking|reading|monitoring) (?:to )?
          (?:my )?(?:e-?mails?|inbox)\b",
    ];
    BACK_ON = [
        r"\b(?:back|return|returning|returns)\b.{0,30}\b(?:on|in|from|by|at)\b",
        r"\buntil (?:my return|<NEAR>|<LATER>)",
    ];
    URGENT_ROUTING = [
        r"\b(?:if|for|in)\b.{0,40}\b(?:urgent|urgently|emergency|emergencies|
          immediate (?:assistance|attention|help))\b",
        r"\burgent (?:matters|enquiries|inquiries|issues|requests|questions|cases)\b",
        r"\bin my absence\b",
        r"\bwhile i(?:'m| am) away\b",
    ];
    /// One of these is enough.
    STRONG = [
        r"\bthis is an? (?:automat(?:ed|ic)|auto)[ -](?:message|reply|response|e-?mail|
          acknowledge?ment|notification|generated)",
        r"\b(?:message|e-?mail|reply|response) (?:is|was|has been) (?:automatically|auto)[ -]?
          (?:generated|sent)",
        r"\bautomatically generated (?:message|e-?mail|reply|response)",
        r"^(?:automat(?:ed|ic)|auto)[ -]?(?:message|reply|response|generated)\b",
        r"\bdo not (?:reply|respond) (?:directly )?to this (?:e-?mail|message|mail|address)",
        r"^(?:please )?do not (?:reply|respond)$",
        r"\byour (?:message|e-?mail|enquiry|inquiry|request|query|submission) (?:has been|
          was) (?:successfully )?received\b",
        r"^message received$",
        r"\b(?:ticket|case|reference) (?:number|no|id)\b ?(?:is|:|#|\d)",
        r"\b(?:support )?ticket (?:is )?#? ?[a-z]{0,6}-?\d{3,}",
        r"\b(?:case|ticket|request) #[a-z]{0,6}-?\d{2,}",
        r"\b(?:ticket|case) (?:has been|was|is) (?:created|opened|logged|received|registered)\b",
    ];
    /// A mailbox that nobody reads.
    UNREAD_MAILBOX = [
        r"\b(?:mailbox|inbox|e-?mail|address|account) (?:is|was) (?:(?:not|never) (?:being |
          actively |currently )*(?:monitored|read|checked)|unmonitored)\b",
        r"\bunmonitored (?:mailbox|inbox|address)\b",
    ];
}

/// True if a mail with this subject reports that another could not be delivered.
pub(super) fn is_delivery_report(subject: Option<&str>) -> bool {
    mail_subject::is_delivery_report(subject.unwrap_or_default())
}

/// True if nobody reads the mailbox. An acknowledgement says that only about the address it comes
/// from, and an absence notice only for some time.
pub(super) fn is_unread_mailbox(text: &Text) -> bool {
    text.has(&UNREAD_MAILBOX) && !text.has(&STRONG) && !text.says(&ABSENT) && !text.has(&BACK_ON)
}

/// True if mail programs give such a subject to mail that they send by themselves.
pub(super) fn is_automatic_by_subject(subject: Option<&str>) -> bool {
    let told = subject.unwrap_or_default();
    let bare = normalised(mail_subject::without_marks(told));
    let is_answer = mail_subject::is_answer(told);
    AUTOMATIC_SUBJECT.is_match(&bare)
        || if is_answer { ABSENT_ANSWER.is_match(&bare) } else { ABSENT_SUBJECT.is_match(&bare) }
}

/// True if the subject is that of an absence notice. "Automatic reply" is one, unless the text says
/// that it is something else.
pub(super) fn is_absent_by_subject(subject: Option<&str>, text: &Text) -> bool {
    let bare = || normalised(mail_subject::without_marks(subject.unwrap_or_default()));
    is_automatic_by_subject(subject)
        && !(is_surely_automatic(text) && AUTOMATIC_SUBJECT.is_match(&bare()))
}

/// True if the text is an absence notice. Softer words count if the text says nothing else or a
/// machine wrote it.
pub(super) fn is_absent(text: &Text, says_nothing_else: bool) -> bool {
    let is_routed = text.has(&URGENT_ROUTING);
    text.says(&ABSENT)
        || (text.says(&ABSENT_SOFTLY) && (says_nothing_else || is_routed))
        || (is_routed && (text.has(&LIMITED_ACCESS) || text.has(&BACK_ON)))
}

/// True if a machine's text says when somebody is back.
pub(super) fn tells_return(text: &Text) -> bool {
    text.has(&LIMITED_ACCESS) || text.has(&BACK_ON)
}

/// True if the text itself says that a machine wrote it.
pub(super) fn is_surely_automatic(text: &Text) -> bool {
    text.has(&STRONG) || text.has(&UNREAD_MAILBOX)
}
