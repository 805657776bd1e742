//! Recognises messages of machines that say that a mailbox is given up: the address is out of use,
//! or its owner is gone.

use super::{
    cue::cues,
    text::{Text, normalised},
};
use crate::domain::mail_subject;

cues! {
    /// The address or its mailbox is out of use.
    GIVEN_UP = [
        r"\b(?:mailbox|mail box|inbox|e-?mail|e-?mail (?:address|account)|address|account|alias) (?:\S+ ){0,3}?(?:is|was|has been|will be|are)
          (?: now| currently| being| also)* (?:no longer|not (?:being )?(?:in use|used|active|valid)|no more|deactivated|closed|disabled|
          discontinued|retired|decommissioned|shut down|deleted|abandoned|inactive|defunct|obsolete|dormant|out of (?:use|service)|
          suspended|terminated|expired|dead)\b",
        r"\b(?:no longer|not|don't|do not|never|stopped|ceased) (?:\w+ly |currently |be )?(?:us(?:e|es|ing)|check(?:s|ing)?|monitor(?:s|ing)?|
          read(?:s|ing)?|access(?:ing)?|receiv(?:e|es|ing)|have access to|has access to|maintain(?:s|ing)?)
          (?: \S+){0,3}? (?:this|that|the) (?:e-?mail|mail|mailbox|inbox|address|account)\b",
        r"\b(?:this|that|my|the|his|her) (?:\w+ ){0,2}(?:e-?mail|mail|mailbox|inbox|address|account) (?:\w+ ){0,2}(?:no longer|does not|
          doesn't) (?:exists?|works?|in use|active|valid|accepts?|receives?)\b",
        r"\b(?:my|our|his|her|the) (?:new )?(?:e-?mail )?address (?:has changed|is now|was changed)\b",
        r"\b(?:please )?(?:update your (?:records|contacts|address book)|use my new (?:e-?mail|address)|remove this address from)\b",
        // German, French, Spanish, Italian, Portuguese, Dutch
        r"(?:postfach|mailadresse|e-?mail-?adresse|adresse|mailbox|konto|account).{0,50}(?:nicht (?:mehr|länger)|außer betrieb|stillgelegt|
          deaktiviert|geschlossen|abgeschaltet|gelöscht|aufgegeben)",
        r"(?:nutze|verwende|benutze|lese) (?:ich )?(?:diese|dieses|die|das).{0,40}nicht (?:mehr|länger)",
        r"(?:boîte|adresse|messagerie|compte|courriel|e-?mail).{0,50}(?:n['’](?:est|existe) plus|ne (?:sera|fonctionne) plus|désactivée?|
          fermée?|supprimée?|plus (?:utilisée?|active|valide|consultée?|en service|relevée?|surveillée?))",
        r"n['’](?:utilise|consulte) plus (?:cette|ce)",
        r"(?:buzón|dirección|cuenta|correo|casilla|e-?mail).{0,50}(?:ya no|no (?:está|es|se encuentra) (?:activ|en uso|operativ|atendid|monitor|disponible)|
          desactivad|dad[oa] de baja|cerrad|deshabilitad|eliminad|fuera de (?:uso|servicio))",
        r"ya no (?:uso|utilizo|reviso|leo) (?:est[ea]|la|el)",
        r"(?:casella|indirizzo|account|posta|e-?mail).{0,50}(?:non (?:è|e'|sarà|viene) più|dismess|disattivat|chius|disabilitat|non presidiat)",
        r"non (?:utilizzo|uso|leggo|controllo) più (?:quest|la|l['’])",
        r"(?:caixa|endereço|conta|correio|e-?mail).{0,50}(?:(?:já )?não (?:está|é|se encontra|será) (?:mais|ativ|em uso|utilizad|monitor)|desativad|
          encerrad|descontinuad|inativ|fora de (?:uso|serviço)|deixou de)",
        r"(?:não (?:uso|utilizo|leio|acesso) mais|já não (?:uso|utilizo|leio)) (?:est[ea]|a|o)",
        r"(?:mailbox|postvak|adres|e-?mailadres|account).{0,50}(?:niet (?:meer|langer)|opgeheven|gesloten|buiten gebruik|gedeactiveerd|afgesloten)",
        r"(?:gebruik|lees|controleer) (?:ik )?(?:dit|deze).{0,40}niet (?:meer|langer)",
        // Swedish, Danish, Norwegian, Finnish
        r"(?:adress|brevlåda|inkorg|konto|postkasse|indbakke|innboks|e-?post|e-?mail|mail).{0,50}(?:inte längre|ikke længere|ikke lenger|
          bevakas (?:ej|inte)|stängts?|avslutats?|lukket|nedlagt|nedlagd|avvecklats?|deaktiveret|deaktivert|inaktiver|upphört|ophørt|opphørt|ur bruk)",
        r"(?:använder|läser|bruger|læser|bruker|leser) (?:jag |jeg )?(?:inte|ikke) (?:längre|længere|lenger)",
        r"(?:osoite|postilaatikko|sähköposti|tili).{0,50}(?:ei ole enää|ei enää|poistettu käytöstä|suljettu|ei seurata|ei lueta)",
        r"en (?:käytä|lue) enää",
        // Polish, Czech, Slovak, Hungarian, Romanian, Turkish
        r"(?:skrzynka|adres|konto|poczta|e-?mail).{0,50}(?:nie jest (?:już|więcej|monitorowan|obsługiwan|używan|aktywn|sprawdzan|czytan)|już nie|
          nieaktywn|został[aoy]? (?:wyłączon|zamknięt|usunięt|dezaktywowan|zlikwidowan)|wyłączon[aye])",
        r"nie (?:używam|korzystam|sprawdzam) już|już nie (?:używam|korzystam|sprawdzam)",
        r"(?:schránka|schránku|adresa|adresu|účet|e-?mail).{0,50}(?:(?:již|už) (?:není|nie je|ne|se ne|sa ne)|není (?:již|už|aktivní|sledován|čten|používán)|zrušen|deaktivován|
          neaktivní|neaktívn|zrušen[aáý]|nie je (?:už|viac|aktívn|sledovan))",
        r"(?:již|už) (?:nepoužívám|nečtu|nesleduji|nepoužívam)",
        r"(?:postafiók|fiók|cím|e-?mail).{0,50}(?:már nem|megszűnt|megszüntetve|nem használ|inaktív|nem aktív|törölve)",
        r"már nem (?:használom|olvasom|figyelem)",
        r"(?:căsuț|adres|cont|e-?mail).{0,50}(?:nu mai (?:este|e|funcționează|există)|dezactivat|închis|desființat|inactiv)",
        r"nu mai (?:folosesc|utilizez|verific|citesc)",
        r"(?:posta kutusu|adres|hesap|e-?posta|mail).{0,50}(?:artık|kapatıl|kullanım dışı|devre dışı|kullanılmamaktadır|kullanılmıyor|aktif değil)",
        r"artık (?:bu|kullanmıyorum|kullanılm)",
        // Greek, Russian, Ukrainian
        r"(?:διεύθυνση|γραμματοκιβώτιο|λογαριασμός|email|e-mail).{0,60}(?:δεν .{0,30}(?:πλέον|πια)|πλέον δεν|έχει (?:κλείσει|καταργηθεί|απενεργοποιηθεί)|ανενεργ)",
        r"δεν χρησιμοποιώ (?:πλέον|πια)",
        r"(?:ящик|адрес|почт|аккаунт|e-?mail).{0,60}(?:больше не|более не|не (?:используется|обслуживается|проверяется|активен|действует)|
          закрыт|отключ[её]н|удал[её]н|деактивирован|заблокирован|недействител)",
        r"(?:больше|более) не (?:использую|пользуюсь|проверяю|читаю)",
        r"(?:скриньк|адрес|пошт|акаунт|e-?mail).{0,60}(?:більше не|вже не|не (?:використовується|перевіряється|активн)|закрит|вимкнен|видален|деактивован)",
        r"(?:більше|вже) не (?:використовую|користуюся|перевіряю|читаю)",
        // Japanese, Chinese, Korean, Arabic, Hebrew
        r"(?:アドレス|メールボックス|アカウント|受信箱).{0,20}(?:使用して(?:い|お)りません|使用していません|使われて(?:い|お)りません|使われていません|利用(?:して|されて)(?:い|お)|利用できません|廃止|
          停止|無効|閉鎖|使用を終了|確認して(?:い|お)りません)",
        r"(?:邮箱|郵箱|信箱|邮件地址|電子郵件|地址|账户|帳戶).{0,12}(?:不再|已停用|停用|已关闭|已關閉|已废弃|已廢棄|已注销|已失效|无人|無人|弃用)",
        r"(?:메일|주소|계정|사서함|메일함).{0,20}(?:더 이상|사용하지 않|사용되지 않|폐쇄|중지|비활성|사용 중지|확인하지 않)",
        r"(?:البريد|العنوان|الصندوق|الحساب).{0,40}(?:لم يعد|غير (?:نشط|مستخدم|فعال|مفعل)|تم (?:إغلاق|إلغاء|تعطيل))|لم يعد .{0,20}(?:البريد|العنوان|الحساب)|لم أعد أستخدم",
        r"(?:תיבת|התיבה|תיבה|הכתובת|כתובת|חשבון).{0,40}(?:(?:אינה|אינו|לא|כבר לא|אינן) .{0,12}(?:בשימוש|פעיל|נבדק|מנוטר|בתוקף|קיים)|נסגר|הושבת|בוטל)",
    ];
    /// The reader of the mailbox is gone for good.
    GONE = [
        r"\b(?:is|am|are|was|i'm|he's|she's) no longer (?:with|at|working|employed|part of|a part of|an employee|associated|affiliated|
          here|in the|in this|a member|responsible|the owner|available at)\b",
        r"\bno longer (?:works?|working|employed)\b",
        r"\b(?:does not|doesn't|don't|do not) work (?:here|there|at \S+|for \S+|with us) any ?more\b",
        r"\b(?:has|have|had|i've|he's|she's) (?:\w+ly |now |recently |since |also )*(?:left|departed|retired|resigned|passed away|moved on|quit|
          changed (?:jobs|companies|employer|roles)|parted ways|joined another)\b",
        r"\b(?:my|his|her) last (?:working )?day (?:was|at|with|has)\b",
        r"\b(?:i|he|she) (?:left|departed|retired|resigned)(?:$| (?:from|the|my|in|on|at|this|\S+ (?:in|on)))",
        r"\b(?:former|ex-?) ?employee\b",
        r"nicht mehr (?:im unternehmen|in (?:der|unserer|unserem|dieser)|bei |für |beschäftigt|tätig|mitarbeiter|hier|im haus|zu erreichen|angestellt)",
        r"(?:das|unser|unsere firma|die firma) .{0,20}verlassen|ausgeschieden|im ruhestand|in (?:rente|pension)",
        r"ne (?:travaille|fait|fais|suis|sera) plus|n['’]est plus (?:en poste|employée?|parmi|dans|chez|salariée?|collaborat)|a quitté|ai quitté|(?:parti|partie) (?:à la|en) retraite|retraitée?",
        r"ya no (?:trabaja|trabajo|forma|formo|está|estoy|labora|laboro|pertenece|colabora)|ha dejado (?:la|de|nuestra)|he dejado (?:la|de)|dejó (?:la empresa|de trabajar)|jubilad[oa]",
        r"non (?:lavora|lavoro|fa|faccio|collabora|collaboro) più|non (?:è|sono) più (?:in|un|una|parte|dipendente|presso|alle)|ha lasciato|ho lasciato|in pensione",
        r"(?:não (?:trabalha|trabalho|faz|faço|está|integra) mais|já não (?:trabalha|trabalho|faz|faço|está|estou|colabora))|deixou (?:a|de|nossa)|deixei (?:a|de)|aposentad[oa]|desligad[oa]",
        r"niet (?:meer|langer) (?:werkzaam|in dienst|bij|actief|voor)|werkt? (?:niet|hier niet) (?:meer|langer)|uit dienst|met pensioen|verlaten",
        r"(?:arbetar|jobbar|arbejder|jobber) (?:jag |jeg |han |hun |hon )?(?:inte|ikke) (?:längre|længere|lenger)|(?:inte|ikke) (?:längre|længere|lenger) (?:anställd|kvar|ansat|ansatt|hos|i )|
          har (?:slutat|sluttet|avslutat|fratrådt|forladt|forlatt|lämnat)|fratrådt|gått i pension|gået på pension|pensionerad|pensioneret|pensjonert|er stoppet",
        r"ei (?:ole|työskentele) enää|en (?:ole|työskentele) enää|jäänyt eläkkeelle|lähtenyt yrityksestä",
        r"(?:już nie|nie) (?:pracuje|pracuję) (?:już|więcej|w|u|dla)|nie jest (?:już|więcej) (?:pracownik|zatrudnion)|odszed[lł]|odeszła|(?:przeszedł|przeszła) na emeryturę|zakończył[ao]? (?:prac|współprac)",
        r"(?:již|už) (?:nepracuj|není zaměstnan|nie je zamestnan|nepôsob|nepůsob)|odešel|odešla|odišiel|odišla|ukončil[a]? (?:pracovní|pracovný)|v důchodu",
        r"már nem (?:dolgoz|munkatárs|nálunk|a cégnél)|kilépett|nyugdíj|távozott",
        r"nu mai (?:lucrează|lucrez|face parte|fac parte|este angajat|sunt angajat)|a părăsit|am părăsit|pension",
        r"artık .{0,30}(?:çalışm|görev yapm|bünyesinde değil)|(?:işten|şirketten|görevinden) ayrıl|emekli",
        r"(?:δεν εργάζ|δεν είμαι|δεν είναι).{0,30}(?:πλέον|πια)|πλέον δεν (?:εργάζ|είναι|είμαι)|έχει αποχωρήσει|έχω αποχωρήσει|συνταξιοδοτήθηκ",
        r"(?:больше|более|уже) не (?:работа|являюсь|является|сотрудни)|уволил|уволен|на пенсии|вышел на пенсию|вышла на пенсию|покинул",
        r"(?:більше|вже) не (?:працю|є )|звільни|на пенсії|вийшов на пенсію|вийшла на пенсію|залишив компані",
        r"退職|退社いたし|転職|離職|离职|已离开|已離開|不再.{0,6}(?:任职|任職|工作|就职)|退休|퇴사|퇴직|은퇴|더 이상 .{0,12}근무|لم (?:يعد|أعد) .{0,12}(?:يعمل|أعمل)|غادر الشركة|تقاعد|
          (?:כבר לא|אינו|אינה|לא) (?:עובד|עובדת) .{0,20}|עזב|פרש",
    ];
}

/// True if the text says that its mailbox is given up.
pub(super) fn is_given_up(text: &Text) -> bool {
    text.has(&GIVEN_UP) || text.has(&GONE)
}

/// True if the subject says so. The subject of an answer is our own and does not count.
pub(super) fn is_given_up_by_subject(subject: Option<&str>) -> bool {
    let subject = subject.unwrap_or_default();
    if mail_subject::is_answer(subject) {
        return false;
    }
    let bare = normalised(mail_subject::without_marks(subject));
    GIVEN_UP.is_match(&bare) || GONE.is_match(&bare)
}
