use super::{clean, html, readable};
use proptest::prelude::*;

fn new_text(text: &str) -> String {
    let cleaned = clean(Some(text), None);
    cleaned.new_text().to_owned()
}

#[test]
fn what_introduces_a_quote_cuts() {
    for older in [
        "On Sat, Jan 17, 2026 at 9:02 AM Sam Reyes <sam@x.test> wrote:\n> Hi",
        "On Sat, Jan 17, 2026 at 9:02\u{202f}AM Sam Reyes\nwrote:\n\n> Hi",
        "On Sat, Jan 17, 2026 at 9:02 AM Sam Reyes <\nsam@x.test>\nwrote:\nHi Dana",
        "On October 15, 2025 at 2:48 PM, Owen Hartley (\no@x.example) wrote:\n\nHi",
        "On 17/01/2026 09:02, Sam Reyes wrote:\nHi",
        "Am Sa., 17. Jan. 2026 um 09:02 Uhr schrieb Sam Reyes <\nsam@x.test>:\nHallo",
        "Sam Reyes <sam@x.test> schrieb am Sa., 17. Jan. 2026, 09:02:\nHallo",
        "Le sam. 17 janv. 2026 à 09:02, Sam Reyes <sam@x.test> a écrit :\nBonjour",
        "El sáb, 17 ene 2026 a las 9:02, Sam Reyes (<sam@x.test>) escribió:\nHola",
        "Il giorno sab 17 gen 2026 alle ore 09:02 Sam Reyes <sam@x.test> ha scritto:\nCiao",
        "Em sáb., 17 de jan. de 2026 às 09:02, Sam Reyes <sam@x.test> escreveu:\nOi",
        "Op za 17 jan 2026 om 09:02 schreef Sam Reyes <sam@x.test>:\nHoi",
        "2026-01-17 9:02 GMT+01:00 Sam Reyes <sam@x.test>:\nHi",
        "-----Original Message-----\nFrom: Sam",
        "-----Ursprüngliche Nachricht-----\nVon: Sam",
        "---------- Forwarded message ---------\nFrom: Sam",
        "Begin forwarded message:\n\nFrom: Sam",
        "________________________________\nFrom: Sam Reyes <sam@x.test>\nSent: Saturday\nTo: Dana",
        "From: Sam Reyes\nSent: Saturday, January 17, 2026 9:02 AM\nTo: Dana\nSubject: hi\n\nHi",
        "*From:* Sam Reyes <sam@x.test>\n*Sent:* Saturday\n*To:* Dana\n*Subject:* hi",
        "Von: Sam Reyes <sam@x.test>\nGesendet: Samstag, 17. Januar 2026\nAn: Dana\nBetreff: Hi",
        "De : Sam Reyes <sam@x.test>\nEnvoyé : samedi 17 janvier 2026\nÀ : Dana\nObjet : Hi",
        "From: Sam <sam@x.test> Sent: Saturday, January 17, 2026 To: Dana Subject: hi",
        "> Hi Dana\n> unsubscribe",
        "> On Jan 1, 2026, Sam wrote:\n>> unsubscribe",
        "-- \nDana Orlov\nunsubscribe",
        "--\nDana",
        "Sent from my iPhone",
        "Dana Orlov\nOwner, Bright Kiln\n+1 614 555 0142\nwww.brightkiln.test",
        "Best,\nDana\ndana@brightkiln.test | 614-555-0142\nLinkedIn: Dana Orlov",
        "This email and any attachments are confidential. Unsubscribe here.",
    ] {
        let text = format!("Sure, could you send pricing?\n\n{older}");
        assert_eq!(new_text(&text), "Sure, could you send pricing?", "{older}");
    }
}

/// How each mail program introduces what it answers, in its languages.
const PROGRAMS: &[(&str, &str)] = &[
    // Outlook: blocks of headers, with and without a rule above, with addresses or without.
    (
        "Outlook en",
        "From: Sam Reyes <sam@x.test>\nSent: Saturday, January 17, 2026 9:02 AM\nTo: Dana Orlov <dana@x.test>\nCc: Ops\nSubject: RE: hi\n\nunsubscribe",
    ),
    (
        "Outlook en, no address",
        "From: Sam Reyes\nSent: 17 January 2026 09:02\nTo: Dana Orlov\nSubject: hi\n\nunsubscribe",
    ),
    (
        "Outlook en, importance",
        "From: Sam Reyes\nSent: 17 January 2026 09:02\nTo: Dana\nSubject: hi\nImportance: High\n\nHi",
    ),
    (
        "Outlook on a phone",
        "________________________________\nFrom: Sam Reyes <sam@x.test>\nSent: Saturday, January 17, 2026 9:02:11 AM\nTo: Dana\nSubject: hi",
    ),
    (
        "Outlook en, broken address list",
        "From: Sam Reyes <sam@x.test>\nSent: Saturday, January 17, 2026 9:02 AM\nTo: Dana Orlov <dana@x.test>;\n Ops <ops@x.test>;\n Tara <tara@x.test>\nSubject: hi",
    ),
    (
        "Outlook en, blank lines between",
        "From: Sam Reyes <sam@x.test>\n\nSent: Saturday, January 17, 2026 9:02 AM\n\nTo: Dana\n\nSubject: hi\n\nHi",
    ),
    (
        "Outlook en, label and value apart",
        "From:\nSam Reyes <sam@x.test>\nSent:\nSaturday, January 17, 2026 9:02 AM\nTo:\nDana\nSubject:\nhi",
    ),
    (
        "Outlook bold",
        "**From:** Sam Reyes <sam@x.test>\n**Sent:** Saturday, January 17, 2026\n**To:** Dana\n**Subject:** hi",
    ),
    (
        "Outlook de",
        "Von: Sam Reyes\nGesendet: Samstag, 17. Januar 2026 09:02\nAn: Dana Orlov\nCc: Ops\nBetreff: AW: hi\n\nHallo",
    ),
    (
        "Outlook de, bold",
        "*Von:* Sam Reyes <sam@x.test>\n*Gesendet:* Samstag, 17. Januar 2026 09:02\n*An:* Dana\n*Betreff:* hi",
    ),
    (
        "Outlook fr",
        "De : Sam Reyes\nEnvoyé : samedi 17 janvier 2026 09:02\nÀ : Dana Orlov\nCc : Ops\nObjet : RE: bonjour\n\nBonjour",
    ),
    (
        "Outlook fr, no-break",
        "De\u{a0}: Sam Reyes <sam@x.test>\nEnvoyé\u{a0}: samedi 17 janvier 2026\nÀ\u{a0}: Dana\nObjet\u{a0}: salut",
    ),
    (
        "Outlook fr, narrow no-break",
        "De\u{202f}: Sam <sam@x.test>\nEnvoyé le\u{202f}: samedi 17 janvier 2026\nÀ\u{202f}: Dana\nObjet\u{202f}: salut",
    ),
    (
        "Outlook es",
        "De: Sam Reyes\nEnviado: sábado, 17 de enero de 2026 9:02\nPara: Dana Orlov\nCC: Ops\nAsunto: RE: hola\n\nHola",
    ),
    (
        "Outlook es, el",
        "De: Sam Reyes [mailto:sam@x.test]\nEnviado el: sábado, 17 de enero de 2026 9:02\nPara: Dana\nAsunto: hola",
    ),
    (
        "Outlook it",
        "Da: Sam Reyes\nInviato: sabato 17 gennaio 2026 09:02\nA: Dana Orlov\nCc: Ops\nOggetto: R: ciao\n\nCiao",
    ),
    (
        "Outlook pt",
        "De: Sam Reyes\nEnviado: sábado, 17 de janeiro de 2026 09:02\nPara: Dana Orlov\nAssunto: RES: oi\n\nOi",
    ),
    (
        "Outlook pt, em",
        "De: Sam Reyes <sam@x.test>\nEnviada em: sábado, 17 de janeiro de 2026 09:02\nPara: Dana\nAssunto: oi",
    ),
    (
        "Outlook nl",
        "Van: Sam Reyes\nVerzonden: zaterdag 17 januari 2026 09:02\nAan: Dana Orlov\nCC: Ops\nOnderwerp: RE: hoi\n\nHoi",
    ),
    (
        "Outlook nl, date",
        "Van: Sam Reyes <sam@x.test>\nDatum: zaterdag 17 januari 2026 om 09:02\nAan: Dana <dana@x.test>\nOnderwerp: hoi",
    ),
    (
        "Outlook for Mac",
        "From: Sam Reyes <sam@x.test>\nDate: Saturday, January 17, 2026 at 9:02 AM\nTo: Dana <dana@x.test>\nSubject: hi",
    ),
    (
        "Outlook 2003",
        "-----Original Message-----\nFrom: Sam Reyes [mailto:sam@x.test]\nSent: Saturday, January 17, 2026",
    ),
    ("Outlook, rules", "-----Ursprüngliche Nachricht-----\nVon: Sam"),
    ("Outlook fr, rule", "-----Message d'origine-----\nDe : Sam"),
    ("Outlook es, rule", "-----Mensaje original-----\nDe: Sam"),
    ("Outlook it, rule", "-----Messaggio originale-----\nDa: Sam"),
    ("Outlook pt, rule", "-----Mensagem original-----\nDe: Sam"),
    ("Outlook nl, rule", "-----Oorspronkelijk bericht-----\nVan: Sam"),
    ("Original Appointment", "-----Original Appointment-----\nFrom: Sam"),
    // Gmail.
    ("Gmail en", "On Sat, Jan 17, 2026 at 9:02 AM Sam Reyes <sam@x.test> wrote:\n\n> Hi"),
    (
        "Gmail en, narrow blank",
        "On Sat, Jan 17, 2026 at 9:02\u{202f}AM Sam Reyes <sam@x.test> wrote:\n\nHi",
    ),
    (
        "Gmail en, broken",
        "On Sat, Jan 17, 2026 at 9:02\u{202f}AM Sam Reyes <\nsam.reyes@northpeak-outreach.test>\nwrote:\n\n> Hi",
    ),
    ("Gmail en-GB", "On Sat, 17 Jan 2026 at 09:02, Sam Reyes <sam@x.test> wrote:\n\n> Hi"),
    (
        "Gmail via",
        "On Sat, Jan 17, 2026 at 9:02 AM 'Sam Reyes' via Sales <\nsales@x.test> wrote:\n\n> Hi",
    ),
    ("Gmail de", "Am Sa., 17. Jan. 2026 um 09:02 Uhr schrieb Sam Reyes <sam@x.test>:\n\n> Hallo"),
    (
        "Gmail de, broken",
        "Am Sa., 17. Jan. 2026 um 09:02\u{a0}Uhr schrieb Sam Reyes <\nsam@x.test>:\n\nHallo",
    ),
    ("Gmail fr", "Le sam. 17 janv. 2026 à 09:02, Sam Reyes <sam@x.test> a écrit :\n\n> Bonjour"),
    (
        "Gmail fr, broken",
        "Le sam. 17 janv. 2026 à 09:02, Sam Reyes <sam@x.test> a\nécrit :\n\nBonjour",
    ),
    (
        "Gmail es",
        "El sáb, 17 ene 2026 a la(s) 9:02 a.m., Sam Reyes (sam@x.test) escribió:\n\n> Hola",
    ),
    (
        "Gmail es, broken",
        "El sáb, 17 ene 2026 a las 9:02, Sam Reyes (<sam@x.test>)\nescribió:\n\nHola",
    ),
    (
        "Gmail it",
        "Il giorno sab 17 gen 2026 alle ore 09:02 Sam Reyes <sam@x.test> ha\nscritto:\n\n> Ciao",
    ),
    ("Gmail pt", "Em sáb., 17 de jan. de 2026 às 09:02, Sam Reyes <sam@x.test>\nescreveu:\n\n> Oi"),
    ("Gmail nl", "Op za 17 jan 2026 om 09:02 schreef Sam Reyes <sam@x.test>:\n\n> Hoi"),
    ("Gmail of old", "2026-01-17 9:02 GMT+01:00 Sam Reyes <sam@x.test>:\n\n> Hi"),
    (
        "Gmail forward",
        "---------- Forwarded message ---------\nFrom: Sam Reyes <sam@x.test>\nDate: Sat, Jan 17, 2026",
    ),
    (
        "Gmail forward de",
        "---------- Forwarded message ---------\nVon: Sam Reyes <sam@x.test>\nDate: Sa., 17. Jan. 2026",
    ),
    ("Gmail forward es", "---------- Mensaje reenviado ---------\nDe: Sam"),
    ("Gmail forward fr", "---------- Message transféré ---------\nDe: Sam"),
    // Apple Mail.
    ("Apple en", "On Jan 17, 2026, at 9:02 AM, Sam Reyes <sam@x.test> wrote:\n\nHi"),
    (
        "Apple en, narrow blank",
        "On Jan 17, 2026, at 9:02\u{202f}AM, Sam Reyes <sam@x.test> wrote:\n\n> Hi",
    ),
    ("Apple en-GB", "On 17 Jan 2026, at 09:02, Sam Reyes <sam@x.test> wrote:\n\nHi"),
    (
        "Apple, quoted lines above",
        "\u{feff}On Jan 17, 2026, at 9:02 AM, Sam Reyes <sam@x.test> wrote:\n\nHi",
    ),
    ("Apple de", "Am 17.01.2026 um 09:02 schrieb Sam Reyes <sam@x.test>:\n\nHallo"),
    (
        "Apple de, full",
        "Am 17. Januar 2026 um 09:02:11 MEZ schrieb Sam Reyes <sam@x.test>:\n\nHallo",
    ),
    ("Apple fr", "Le 17 janv. 2026 à 09:02, Sam Reyes <sam@x.test> a écrit :\n\nBonjour"),
    ("Apple es", "El 17 ene 2026, a las 9:02, Sam Reyes <sam@x.test> escribió:\n\nHola"),
    (
        "Apple it",
        "Il giorno 17 gen 2026, alle ore 09:02, Sam Reyes <sam@x.test> ha scritto:\n\nCiao",
    ),
    ("Apple it, short", "Il 17/01/2026 09:02, Sam Reyes ha scritto:\nCiao"),
    ("Apple pt", "Em 17 de jan. de 2026, à(s) 09:02, Sam Reyes <sam@x.test> escreveu:\n\nOi"),
    ("Apple pt-PT", "No dia 17/01/2026, às 09:02, Sam Reyes <sam@x.test> escreveu:\n\nOi"),
    (
        "Apple nl",
        "Op 17 jan. 2026, om 09:02 heeft Sam Reyes <sam@x.test> het volgende geschreven:\n\nHoi",
    ),
    (
        "Apple forward",
        "Begin forwarded message:\n\nFrom: Sam Reyes <sam@x.test>\nSubject: hi\nDate: 17 January 2026",
    ),
    ("Apple forward de", "Anfang der weitergeleiteten Nachricht:\n\nVon: Sam"),
    ("Apple forward fr", "Début du message réexpédié\u{a0}:\n\nDe: Sam"),
    ("Apple forward fr, newer", "Début du message transféré :\n\nDe: Sam"),
    ("Apple forward it", "Inizio messaggio inoltrato:\n\nDa: Sam"),
    ("Apple forward nl", "Begin doorgestuurd bericht:\n\nVan: Sam"),
    // Yahoo.
    (
        "Yahoo en",
        "On Saturday, January 17, 2026 at 09:02:11 AM EST, Sam Reyes <sam@x.test> wrote:\n\nHi",
    ),
    (
        "Yahoo en, of old",
        "On Saturday, January 17, 2026 9:02 AM, Sam Reyes <sam@x.test> wrote:\n\nHi",
    ),
    (
        "Yahoo en, broken twice",
        "On Saturday, January 17, 2026 at 09:02:11 AM EST,\nSam Reyes <sam@x.test>\nwrote:\n\nHi",
    ),
    (
        "Yahoo en, phone",
        "On Sat, Jan 17, 2026 at 9:02 AM, Sam Reyes<sam@x.test> wrote:   Hi Dana unsubscribe",
    ),
    (
        "Yahoo de",
        "Am Samstag, 17. Januar 2026 um 09:02:11 MEZ hat Sam Reyes <sam@x.test> Folgendes geschrieben:\n\nHallo",
    ),
    (
        "Yahoo fr",
        "Le samedi 17 janvier 2026 à 09:02:11 UTC+1, Sam Reyes <sam@x.test> a écrit :\n\nBonjour",
    ),
    (
        "Yahoo es",
        "El sábado, 17 de enero de 2026, 09:02:11 CET, Sam Reyes <sam@x.test> escribió:\n\nHola",
    ),
    (
        "Yahoo it",
        "Il sabato 17 gennaio 2026 alle ore 09:02:11 CET, Sam Reyes <sam@x.test> ha scritto:\n\nCiao",
    ),
    (
        "Yahoo pt",
        "Em sábado, 17 de janeiro de 2026 às 09:02:11 BRT, Sam Reyes <sam@x.test> escreveu:\n\nOi",
    ),
    (
        "Yahoo nl",
        "Op zaterdag 17 januari 2026 om 09:02:11 CET schreef Sam Reyes <sam@x.test>:\n\nHoi",
    ),
    // Others.
    ("Thunderbird", "On 1/17/26 9:02 AM, Sam Reyes wrote:\n> Hi"),
    ("Thunderbird de", "Am 17.01.26 um 09:02 schrieb Sam Reyes:\n> Hallo"),
    ("Thunderbird, reply above", "-------- Original Message --------\nSubject: hi\nFrom: Sam"),
    ("Thunderbird forward", "-------- Forwarded Message --------\nSubject: hi"),
    ("Thunderbird forward de", "-------- Weitergeleitete Nachricht --------\nBetreff: hi"),
    (
        "Proton",
        "-------- Original Message --------\nOn Saturday, 01/17/26 at 09:02 Sam Reyes <sam@x.test> wrote:\n\nHi",
    ),
    (
        "Proton, web",
        "On Saturday, January 17th, 2026 at 9:02 AM, Sam Reyes <sam@x.test> wrote:\n\n> Hi",
    ),
    ("Zoho", "---- On Sat, 17 Jan 2026 09:02:11 -0500 Sam Reyes <sam@x.test> wrote ---\n\nHi"),
    ("Spark", "On 17 Jan 2026 at 09:02 -0500, Sam Reyes <sam@x.test>, wrote:\n> Hi"),
    (
        "GMX",
        "Gesendet: Samstag, 17. Januar 2026 um 09:02 Uhr\nVon: \"Sam Reyes\" <sam@x.test>\nAn: dana@x.test\nBetreff: hi",
    ),
    (
        "BlackBerry",
        "From: Sam Reyes <sam@x.test>\nDate: Sat, 17 Jan 2026 09:02:11\nTo: <dana@x.test>\nSubject: hi",
    ),
];

#[test]
fn every_program_introduces_quotes_in_its_own_way() {
    for (program, older) in PROGRAMS {
        let text = format!("Sure, could you send pricing?\n\n{older}");
        assert_eq!(new_text(&text), "Sure, could you send pricing?", "{program}");
        let carriage = text.replace('\n', "\r\n");
        assert_eq!(new_text(&carriage), "Sure, could you send pricing?", "{program}, CRLF");
    }
}

/// Languages that no list names are known by the shape of what introduces a quote.
#[test]
fn quotes_are_seen_by_their_shape_in_any_language() {
    for older in [
        "Sam Reyes <sam@x.test> wrote on Thu, 15 Jan 2026 at 14:49:\n\nHi",
        "W dniu 17 stycznia 2026 09:02 użytkownik Sam Reyes <sam@x.test> napisał:\n\nHi",
        "W dniu sob., 17 sty 2026 o 09:02 Sam Reyes <\nsam@x.test> napisał(a):\n\nHi",
        "Den lör 17 jan. 2026 kl 09:02 skrev Sam Reyes <sam@x.test>:\nHi",
        "lør. 17. jan. 2026 kl. 09.02 skrev Sam Reyes <sam@x.test>:\nHi",
        "la 17. tammik. 2026 klo 9.02 Sam Reyes (sam@x.test) kirjoitti:\nHi",
        "so 17. 1. 2026 v 9:02 odesílatel Sam Reyes <sam@x.test> napsal:\nHi",
        "Sam Reyes <sam@x.test> ezt írta (időpont: 2026. jan. 17., Szo, 9:02):\nHi",
        "În sâm., 17 ian. 2026 la 09:02, Sam Reyes <sam@x.test> a scris:\nHi",
        "Sam Reyes <sam@x.test>, 17 Oca 2026 Cmt, 09:02 tarihinde şunu yazdı:\nHi",
        "Στις Σάβ 17 Ιαν 2026 στις 9:02 π.μ., ο χρήστης Sam Reyes <sam@x.test> έγραψε:\nHi",
        "сб, 17 янв. 2026 г. в 09:02, Sam Reyes <sam@x.test>:\nHi",
        "сб, 17 січ. 2026 р. о 09:02 Sam Reyes <sam@x.test> пише:\nHi",
        "2026年1月17日(土) 9:02 Sam Reyes <sam@x.test>:\nHi",
        "Sam Reyes <sam@x.test> 于2026年1月17日周六 09:02写道：\nHi",
        "2026년 1월 17일 (토) 오전 9:02, Sam Reyes <sam@x.test>님이 작성:\nHi",
        "\u{202b}בתאריך שבת, 17 בינו׳ 2026 ב-9:02 מאת \u{202a}Sam Reyes\u{202c}\u{200f} <\u{202a}sam@x.test\u{202c}\u{200f}>:\u{202c}\nHi",
        "a 17 de xaneiro de 2026, Sam Reyes <sam@x.test> escribiu:\nHi",
        "Fra: Sam Reyes <sam@x.test>\nSendt: 17. januar 2026 09:02\nTil: Mette\nEmne: hi\n\nHi",
        "Od: Sam Reyes <sam@x.test>\nWysłano: sobota, 17 stycznia 2026 09:02\nDo: Ewa\nTemat: hi\n\nHi",
        "Från: Sam Reyes\nSkickat: den 17 januari 2026 09:02\nTill: Dana\nÄmne: hi\n\nHi",
        "Lähettäjä: Sam Reyes\nLähetetty: lauantai 17. tammikuuta 2026 9.02\nVastaanottaja: Dana\nAihe: hi\n\nHi",
        "Feladó: Sam <sam@x.test>\nElküldve: 2026. január 17., szombat 9:02\nCímzett: Dana\nTárgy: hi\n\nHi",
        "От: Sam Reyes <sam@x.test>\nОтправлено: 17 января 2026 г. 9:02\nКому: Dana\nТема: hi\n\nHi",
        "差出人: Sam Reyes <sam@x.test>\n送信日時: 2026年1月17日 9:02\n宛先: Dana\n件名: hi\n\nHi",
        "发件人： Sam Reyes <sam@x.test>\n发送时间： 2026年1月17日 9:02\n收件人： Dana\n主题： hi\n\nHi",
        "מאת: Sam Reyes <sam@x.test>\nנשלח: יום שבת 17 ינואר 2026 09:02\nאל: Dana\nנושא: hi\n\nHi",
        "Mittente: Sam <sam@x.test>\nQuando: 17 gennaio\nDestinatario: Dana\n\nHi",
        "Nuntius ab: Sam Reyes <sam@x.test>\nMissus: heri\nRes: hi\n\nHi",
        "Saatja: Sam Reyes\nSaadetud: 17. jaanuar 2026 09:02\nAdressaat: Dana\nTeema: hi\n\nHi",
        "---------- Oryginalna wiadomość ----------\nHi",
        "------------------ 原始邮件 ------------------\nHi",
    ] {
        let text =
            format!("Sure, could you send pricing?\n\n{older}\n\nReply unsubscribe to opt out.");
        assert_eq!(new_text(&text), "Sure, could you send pricing?", "{older}");
        let carriage = text.replace('\n', "\r\n");
        assert_eq!(new_text(&carriage), "Sure, could you send pricing?", "{older}, CRLF");
    }
}

#[test]
fn lines_of_people_that_look_like_headers_stay() {
    for text in [
        "Yes. My details:\n\nName: Dana Orlov\nCompany: Bright Kiln\nEmail: dana@x.test\nBudget: 2026",
        "Works for me.\n\nDate: 17 January 2026\nTime: 10:00\nPlace: our office\n\nSee you",
        "Two options:\nMonday: 10:00\nTuesday: 11:00\nWednesday: noon\n\nCall me.",
        "Please invite these:\nSales: Tom\nBilling: Ann\nSupport: Joe\n\nThanks!",
        "Send the offer to dana@x.test by 17 January 2026:\nthe small one, please.",
        "On 17 January 2026 my question was:\nwhat does it cost?",
        "Here is what we need:\n100 seats\n20 rooms",
    ] {
        assert_eq!(new_text(text), text);
    }
}

#[test]
fn a_line_that_starts_with_a_greater_than_sign_is_the_leads_own_where_nothing_else_is_quoted() {
    for text in [
        ">100 seats, what would that cost per month?",
        "> 100 seats, what would that cost?",
        "We have\n>100 seats\n>20 rooms\nand want a quote.",
        ">> call me",
        "Yes.\n> really",
        ">=5 users\n>=2 admins",
    ] {
        assert_eq!(new_text(text), text);
    }
    for text in [
        "Yes.\n> Hi Dana\n> unsubscribe",
        "> Hi Dana,\n>\n> unsubscribe\n\nYes.",
        "On Sat, Jan 17, 2026 Sam <sam@x.test> wrote:\n>100 seats\n\nYes.",
        "> How many?\nYes.\n> When?",
        "Yes.\n>",
    ] {
        assert_eq!(new_text(text), "Yes.", "{text}");
    }
}

#[test]
fn html_that_marks_the_older_mail_is_cut_there_in_any_language() {
    for older in [
        "<div id=\"appendonsend\"></div><hr style=\"display:inline-block;width:98%\" tabindex=\"-1\"><div id=\"divRplyFwdMsg\" dir=\"ltr\"><b>Fra:</b> Sam</div><div>unsubscribe</div>",
        "<div id=\"x_divRplyFwdMsg\"><b>Fra:</b> Sam</div><div>unsubscribe</div>",
        "<span id=\"OLK_SRC_BODY_SECTION\"><div><span>Fra: </span>Sam</div><div>unsubscribe</div></span>",
        "<div><div style='border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm'><p><b>Lähettäjä:</b> Sam</p></div></div><p>unsubscribe</p>",
        "<div class=\"gmail_quote gmail_quote_container\"><div class=\"gmail_attr\">Sam ha scritto</div><blockquote>unsubscribe</blockquote></div>",
        "<div id=\"yahoo_quoted_1\" class=\"yahoo_quoted\"><div>Sam kirjoitti <div>unsubscribe</div></div></div>",
        "<div class=\"moz-cite-prefix\">Sam pisze</div><blockquote type=\"cite\">unsubscribe</blockquote>",
        "<div class=\"protonmail_quote\">Sam<br><blockquote>unsubscribe</blockquote></div>",
        "<div class=\"zmail_extra\"><div>Sam</div>unsubscribe</div>",
        "<div>Sam</div><blockquote class=\"tutanota_quote\">unsubscribe</blockquote>"
            .get(14..)
            .unwrap(),
        "<hr id=\"stopSpelling\">Fra: Sam<br>unsubscribe",
        "<hr id=\"zwchr\" data-marker=\"__DIVIDER__\"><div data-marker=\"__HEADERS__\"><b>Fra: </b>Sam</div><div>unsubscribe</div>",
        "<div name=\"quote\"><b>Gesendet:</b> heute<div>unsubscribe</div></div>",
        "<div name=\"messageReplySection\">Sam<div>unsubscribe</div></div>",
        "<div id=\"isReplyContent\">Sam unsubscribe</div>",
    ] {
        let html = format!("<div>Ja tak, ring til mig.</div><br>{older}");
        assert_eq!(clean(None, Some(&html)).body, "Ja tak, ring til mig.", "{older}");
        let whole = clean(None, Some(older));
        assert!(!whole.has_new_text, "{older}: {whole:?}");
    }
    // What stands below a marked element is an answer.
    let below =
        "<div class=\"gmail_quote\"><blockquote>old</blockquote></div><div>Yes please</div>";
    assert_eq!(clean(None, Some(below)).body, "Yes please");
    assert_eq!(html::to_text(below, html::Quotes::Keep), "old\nYes please");
    // The text is cut where the HTML says that the older mail begins.
    let text = "Ja tak.\n\nSam kirjutas\n\nunsubscribe";
    let html = "<div>Ja tak.</div><div class=\"gmail_quote\">Sam kirjutas<blockquote>unsubscribe</blockquote></div>";
    assert_eq!(clean(Some(text), Some(html)).body, "Ja tak.");
}

#[test]
fn reactions_hold_no_new_text_and_footers_of_phones_are_none() {
    use super::spoken;
    let reaction = "Liked “Hi Rita, want a demo? Reply STOP to opt out”";
    let heard = spoken(reaction);
    assert_eq!((heard.body.as_str(), heard.has_new_text, heard.new_text()), (reaction, false, ""));
    assert_eq!(spoken(" Yes \n").new_text(), "Yes");
    assert_eq!(spoken(&format!("{reaction}\nYes")).new_text(), "Yes");
    assert!(
        !clean(
            Some(
                "👍\n\nDana reacted via Gmail\n\nOn Sat, Jan 17, 2026 Sam <s@x.test> wrote:\n> Hi"
            ),
            None
        )
        .has_new_text
    );
    for footer in [
        "Sent from my iPhone",
        "Von meinem iPhone gesendet",
        "Skickat från min iPhone",
        "Sendt fra min iPhone",
        "Lähetetty iPhonesta",
        "Wysłane z iPhone’a",
        "Odesláno z iPhonu",
        "Trimis de pe iPhone-ul meu",
        "iPhone’umdan gönderildi",
        "Στάλθηκε από το iPhone μου",
        "Отправлено с iPhone",
        "Надіслано з iPhone",
        "iPhoneから送信",
        "从我的iPhone发送",
        "發自我的 iPhone",
        "나의 iPhone에서 보냄",
        "נשלח מה-iPhone שלי",
        "Sent from my Galaxy",
        "Enviado desde mi iPhone",
        "Envoyé de mon iPhone",
        "Inviato da iPhone",
        "Enviado do meu iPhone",
        "Verstuurd vanaf mijn iPhone",
        "Az iPhone-omról küldve",
    ] {
        assert_eq!(spoken(&format!("STOP\n\n{footer}")).body, "STOP", "{footer}");
        assert_eq!(new_text(&format!("STOP\n\n{footer}")), "STOP", "{footer}");
    }
}

#[test]
fn signatures_and_footers_are_none_of_the_text() {
    for below in [
        "-- \nDana Orlov\nOwner",
        "--\nunsubscribe",
        "--\u{a0}\nDana",
        "—\nDana Orlov\nunsubscribe",
        "__\nDana Orlov",
        "Sent from my iPhone",
        "Sent from my iPad\n",
        "Sent from my Samsung Galaxy smartphone.",
        "Sent from my Verizon, Samsung Galaxy smartphone",
        "Sent from my T-Mobile 5G Device",
        "Sent from Outlook for iOS",
        "Sent from Yahoo Mail for iPhone",
        "Sent from Yahoo Mail on Android",
        "Sent from Mail for Windows",
        "Sent from AOL on Android",
        "Sent via the Samsung Galaxy S22, an AT&T 5G smartphone",
        "Sent from Proton Mail for iOS",
        "Sent with Proton Mail secure email.",
        "Get Outlook for iOS",
        "Get Outlook for Android<https://aka.ms/AAb9ysg>",
        "Von meinem iPhone gesendet",
        "Von meinem Samsung Gerät gesendet.",
        "Gesendet von Outlook für iOS",
        "Gesendet von Yahoo Mail auf Android",
        "Envoyé de mon iPhone",
        "Envoyé depuis mon téléphone Orange",
        "Envoyé à partir de Outlook pour iOS",
        "Enviado desde mi iPhone",
        "Enviado desde Outlook para iOS",
        "Obtener Outlook para iOS",
        "Inviato da iPhone",
        "Inviato dal mio iPad",
        "Enviado do meu iPhone",
        "Enviado do Outlook para iOS",
        "Verstuurd vanaf mijn iPhone",
        "Verzonden vanaf mijn iPhone",
        "Verzonden met Outlook voor iOS",
        "Dana Orlov | www.brightkiln.test\n+1 (614) 555-0142 | dana@brightkiln.test",
        "Dana Orlov\nOwner\nT: +1 614 555 0142\nM: +1 614 555 0143\nE: dana@brightkiln.test",
        "Dana Orlov\nTel. 030 901820\nwww.brightkiln.de",
        "CONFIDENTIALITY NOTICE: This e-mail is for its addressee. To unsubscribe write to us.",
        "This message and any attachments may contain privileged information. Do not contact us.",
        "The information contained in this e-mail is confidential. Please unsubscribe.",
        "Diese E-Mail enthält vertrauliche Informationen. Abmelden: hier.",
        "Ce message et ses pièces jointes sont confidentiels. Se désabonner.",
        "Este mensaje es confidencial. Darme de baja.",
        "Questo messaggio è riservato. Cancellami.",
        "Esta mensagem é confidencial. Cancelar inscrição.",
        "Dit bericht is vertrouwelijk. Unsubscribe.",
        "CAUTION: This email originated from outside of the organization. Do not click links. Unsubscribe.",
        "Virus-free.www.avast.com",
        "Please consider the environment before printing this email. Unsubscribe",
    ] {
        let text = format!("Sure, could you send pricing?\n\n{below}");
        assert_eq!(new_text(&text), "Sure, could you send pricing?", "{below}");
    }
}

#[test]
fn what_only_looks_like_a_quote_or_a_footer_stays() {
    for text in [
        "Sent from my old office: the 2019 brochure.\nPlease send a new one.",
        "On 3 May he wrote: nothing new.",
        "Op maandag heeft Jan het druk.",
        "Am Montag, 17.01.2026 habe ich Zeit.",
        "From: $5\nTo: $10",
        "Von: mir aus gern.",
        "To: whom it may concern\nSubject: none",
        "Original price was 100, forward it to Tom.",
        "- one\n- two\n-- three",
        "Date: 17 January 2026 works. From: 9 on.",
        "Please consider the environment we work in.\nWe need a quote.",
        "This message is for Sam: yes.\nCall me.",
    ] {
        assert_eq!(new_text(text), text);
    }
}

#[test]
fn an_answer_below_a_block_of_headers_is_lost_with_it_and_the_text_kept_raw() {
    let forwarded = "---------- Forwarded message ---------\nFrom: Sam <sam@x.test>\nunsubscribe";
    let cleaned = clean(Some(forwarded), None);
    assert!(!cleaned.has_new_text);
    assert_eq!(cleaned.body, forwarded);
}

#[test]
fn what_a_person_writes_stays() {
    for text in [
        "To: be honest, we have a vendor.\nBut call me.",
        "From: our side it is fine.\nTo: me it looks good.",
        "From: what I know\n\nSubject: to change, of course.",
        "Date: Tuesday\nFrom: 2 pm\nTo: 3 pm",
        "On page 3 you wrote:\nprices start at $5. Is that so?",
        "On 12 Jan 2026 you wrote:\nprices start at $5. Is that so?",
        "On Monday I can talk.",
        "On Tuesday, 10:30 works. My boss wrote: go ahead.",
        "Sounds good.\n\nBest time is mornings, my cell is 614-555-0142\nor dana@brightkiln.test",
        "Sounds good.\n\nThanks so much,\nDana 614 555 0142",
        "Sounds good.\n\nMy cell is 614 555 0142\nMy office is 614 555 0143",
        "Dana Orlov\n+1 614 555 0142\nwww.brightkiln.test",
        "Hi\n\nremove me\nwww.brightkiln.test\n614-555-0142",
        "a --\nb -- c",
        "Le prix est de 10:30 euros, il a écrit quoi ?",
    ] {
        assert_eq!(new_text(text), text);
    }
}

#[test]
fn an_answer_below_the_quote_is_the_new_text() {
    let text = "On Sat, Jan 17, 2026 at 9:02 AM Sam <sam@x.test> wrote:\n> Hi Dana\n> STOP?\n\nYes please.";
    assert_eq!(new_text(text), "Yes please.");
    let above = "Yes.\n\nOn Sat, Jan 17, 2026 Sam <sam@x.test> wrote:\n> Hi\nReply STOP";
    assert_eq!(new_text(above), "Yes.");
}

#[test]
fn lost_line_breaks_do_not_hide_a_quote() {
    let text =
        "Yes please On Wed, Jun 11, 2025, 11:34 AM Owen Hartley < o@x.example> wrote: > STOP";
    assert_eq!(new_text(text), "Yes please");
}

#[test]
fn html_is_read_as_people_see_it() {
    for (source, expected) in [
        ("<div>Sure</div><blockquote>Hi <b>Dana</b></blockquote>", "Sure"),
        ("<p>One</p><p>Two&nbsp;&amp; three</p>", "One\n\nTwo & three"),
        ("a<br>b<BR/>c", "a\nb\nc"),
        ("<div>Yes I&#39;m in&#x21;</div><div><br></div><div>Al</div>", "Yes I'm in!\n\nAl"),
        ("<head><title>x</title><style>p{a:b}</style></head><body>Hi</body>", "Hi"),
        ("<script>if (a < b) alert('</p>')</script>Hi", "Hi"),
        ("<!-- <p>no</p> -->Hi", "Hi"),
        ("<a href=\"x>y\">Hi</a>", "Hi"),
        ("1 < 2 &unknown; &", "1 < 2 &unknown; &"),
        ("<blockquote>a<blockquote>b</blockquote>c</blockquote>d", "d"),
        ("caf&eacute; &euro;5 &#128512; &#99999999;", "café €5 😀 &#99999999;"),
        ("<p>Hi", "Hi"),
        ("<p", "<p"),
        ("", ""),
    ] {
        assert_eq!(html::to_text(source, html::Quotes::Drop), expected, "{source}");
    }
}

#[test]
fn text_is_preferred_and_html_helps_where_it_says_more() {
    assert_eq!(clean(Some("text"), Some("<p>html</p>")).body, "text");
    assert_eq!(clean(Some(" \n"), Some("<p>html</p>")).body, "html");
    assert_eq!(clean(Some("> old\n> older"), Some("<p>html</p>")).body, "html");
    assert_eq!(clean(Some("<p>Hi<br>you</p>"), None).body, "Hi\nyou");
    assert_eq!(clean(Some("Owen <o@x.example> said hi"), None).body, "Owen <o@x.example> said hi");
    assert_eq!(readable(None, Some("<p>a</p><blockquote>b</blockquote>")), "a\n\nb");
}

#[test]
fn p14_where_nothing_is_new_the_raw_text_is_kept_and_not_judged() {
    let quoted = "> Hi\n> unsubscribe";
    let cleaned = clean(Some(quoted), Some("<blockquote>Hi<br>unsubscribe</blockquote>"));
    assert_eq!(cleaned.body, quoted);
    assert!(!cleaned.has_new_text);
    assert_eq!(cleaned.new_text(), "");
    let empty = clean(None, Some(" "));
    assert!(empty.has_new_text && empty.body.is_empty());
}

/// Hundreds of kilobytes each: work that grows with the square of a text would take many minutes.
#[test]
fn hostile_texts_take_no_longer_than_others() {
    let started = std::thread::spawn(|| {
        for text in [
            "> quoted\n".repeat(1_000),
            "On 2026 ".repeat(40_000),
            "On 2026\n".repeat(40_000),
            "From: a@b\n".repeat(30_000),
            "<a \"".repeat(70_000),
            "<a \">\" ".repeat(40_000),
            "<".repeat(300_000),
            "<div>".repeat(60_000),
            "<blockquote>".repeat(25_000),
            "&".repeat(300_000),
            "<!--".repeat(70_000),
            "<script>".repeat(30_000),
            "On x wrote:".repeat(30_000),
            "a\n\n".repeat(100_000),
            "> On Mon, a@b.example wrote:\n\n".repeat(10_000),
            "+1 614 555 0142\n".repeat(15_000),
            "-".repeat(300_000),
            "a: 2026 b@c.example\n".repeat(15_000),
            "2026 <a@b.example\n".repeat(15_000),
            "x@y.example 2026".repeat(18_000),
            "<div class=\"gmail_quote\">".repeat(12_000),
            "<div id=a class=b name=c>".repeat(12_000),
            "Liked “".repeat(30_000),
            ">\n".repeat(100_000),
        ] {
            super::spoken(&text);
            new_text(&text);
            html::to_text(&text, html::Quotes::Drop);
        }
    });
    started.join().unwrap();
}

proptest! {
    #[test]
    fn no_text_panics(text in "(?s).{0,300}") {
        clean(Some(&text), Some(&text));
        readable(Some(&text), None);
    }

    #[test]
    fn what_holds_no_sign_of_a_quote_stays_as_it_is(
        words in proptest::collection::vec("[a-zäé]{1,9}[,.!?]?", 1..40)
    ) {
        let text = words.join(" ");
        prop_assert_eq!(new_text(&text), text);
    }

    #[test]
    fn no_markup_panics(
        parts in proptest::collection::vec(
            prop::sample::select(vec![
                "<", ">", "\"", "&", ";", "&amp;", "<br>", "<p>", "</p>", "<blockquote>", "</blockquote>",
                "On ", "wrote:", "\n", "é", "20", "2026", "@", "From:", "Subject:", "--", "> ",
            ]),
            0..60,
        )
    ) {
        let text = parts.concat();
        clean(Some(&text), Some(&text));
        html::to_text(&text, html::Quotes::Keep);
    }
}
