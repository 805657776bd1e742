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
    assert_eq!(clean(Some("> old"), Some("<p>html</p>")).body, "html");
    assert_eq!(clean(Some("<p>Hi<br>you</p>"), None).body, "Hi\nyou");
    assert_eq!(clean(Some("Owen <o@x.example> said hi"), None).body, "Owen <o@x.example> said hi");
    assert_eq!(readable(None, Some("<p>a</p><blockquote>b</blockquote>")), "a\n\nb");
}

#[test]
fn p14_where_nothing_is_new_the_raw_text_is_kept_and_not_judged() {
    let cleaned = clean(Some("> unsubscribe"), Some("<blockquote>unsubscribe</blockquote>"));
    assert_eq!(cleaned.body, "> unsubscribe");
    assert!(!cleaned.has_new_text);
    assert_eq!(cleaned.new_text(), "");
    let empty = clean(None, Some(" "));
    assert!(empty.has_new_text && empty.body.is_empty());
}

#[test]
fn hostile_texts_take_no_longer_than_others() {
    let started = std::thread::spawn(|| {
        for text in [
            "> quoted\n".repeat(10_000),
            "On 2026 ".repeat(400_000),
            "On 2026\n".repeat(400_000),
            "From: a@b\n".repeat(300_000),
            "<a \"".repeat(700_000),
            "<a \">\" ".repeat(400_000),
            "<".repeat(3_000_000),
            "<div>".repeat(600_000),
            "<blockquote>".repeat(250_000),
            "&".repeat(3_000_000),
            "<!--".repeat(700_000),
            "<script>".repeat(300_000),
            "On x wrote:".repeat(300_000),
            "a\n\n".repeat(1_000_000),
            "+1 614 555 0142\n".repeat(150_000),
            "-".repeat(3_000_000),
        ] {
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
