use super::*;
use crate::analyst::testing::TEXT;
use Sentiment::{
    AutomatedReply, Blacklist, CallRequested, FollowUp, InformationRequested, Interested,
    MeetingBooked, MeetingRequested, Neutral, NotInterested, OutOfOffice,
};
use proptest::prelude::*;
use std::time::Duration;

fn heard(new_text: &str) -> Heard<'_> {
    Heard {
        medium: Medium::Mail,
        subject: Some("Re: Quick question"),
        new_text,
        has_new_text: true,
        is_automated: false,
        answers: None,
    }
}

fn classify(heard: &Heard<'_>) -> Sentiment {
    ruling(heard).classified.tag
}

fn check(tag: Sentiment, messages: &[&str]) {
    let wrong: Vec<_> = messages
        .iter()
        .map(|it| (classify(&heard(it)), *it))
        .filter(|(found, _)| *found != tag)
        .collect();
    assert!(wrong.is_empty(), "not {tag:?}:\n{wrong:#?}");
}

#[test]
fn every_pattern_compiles() {
    let all = [certain::ALL, machine::ALL, mailbox::ALL, refusal::ALL, text::ALL];
    for pattern in all.into_iter().flatten() {
        assert!(!pattern.is_match("\u{0}"));
    }
}

#[test]
fn blacklist() {
    check(
        Blacklist,
        &[
            "Please unsubscribe me",
            "STOP",
            "Not interested, remove me from your list",
            "This is spam.",
            "You are a spammer, how about Tuesday at 10?",
            "I've reported you for spam",
            "I am marking this as spam",
            "Stop harassing me!",
            "Fuck off",
            "f*ck off and die",
            "Lose my number.",
            "Leave us alone",
            "Never contact me again",
            "Please delete my data",
            "I'll block your domain",
            "Your messages are spam. I'm out of office anyway.",
        ],
    );
}

#[test]
fn no_blacklist_for_plain_talk_about_such_things() {
    check(
        Neutral,
        &[
            "Your mail landed in my spam folder, I only saw it now.",
            "Is this spam?",
            "I accidentally marked it as spam",
            "We rejected the last 550 offers because the mailbox does not exist",
            "Mails to that address were blocked and could not be delivered",
            "I get lost in your presentation",
            "We build a spam filter",
            "This looks like spam",
        ],
    );
    check(Interested, &["Fuck yeah, I'm interested"]);
    check(MeetingRequested, &["You can stop by my office, let's meet on Friday"]);
}

#[test]
fn automated_reply() {
    check(
        AutomatedReply,
        &[
            "This is an automated message. Your ticket number is 48213.",
            "Your request has been received. Ticket #48213",
            "Message received.",
            "Thank you for contacting Larkspur Freight. We have received your enquiry.",
            "Thank you for contacting us!",
            "Thank you for your email. We will get back to you within 24 hours.",
            "Thanks for your message, our team will respond shortly.",
            "Please do not reply to this email, this mailbox is not monitored.",
            "Thank you for your message. For urgent matters please call us on 555 010 0199.",
            "A support case has been created for you.",
            "This message was automatically generated.",
            "This inbox is not monitored",
            "Thanks for reaching out to the Larkspur team. If urgent, call us at 555 010 0100.",
        ],
    );
}

#[test]
fn no_automated_reply_for_a_person_with_manners() {
    check(NotInterested, &["Thank you for contacting us, but we're not interested."]);
    check(NotInterested, &["Thanks for contacting me. No thanks."]);
    check(Neutral, &["Thanks for your message", "In case 2000 people come we need a bigger room"]);
    check(InformationRequested, &["Thank you for reaching out to us. What does it cost?"]);
    check(FollowUp, &["Thanks for your message. I'll get back to you next week."]);
    check(MeetingRequested, &["Thank you for contacting us, can we talk on Tuesday?"]);
}

#[test]
fn out_of_office() {
    check(
        OutOfOffice,
        &[
            "I am out of the office until Monday 9 December. For anything urgent ask Jo.",
            "I'm currently out of office and will be back on Monday.",
            "Out of office until the 3rd.",
            "I am on annual leave until 14 August, please call me after that",
            "Hi, I'm on vacation this week, can we meet on Tuesday?",
            "Our office is closed for the holidays",
            "I will be travelling this week.",
            "I'm away from my desk until Thursday",
            "I am unavailable until Monday.",
            "I have limited access to email. In my absence please contact Jo.",
            "I will return on Monday. For urgent matters, please contact my colleague.",
            "This is an automated reply: I am on parental leave.",
            "Dana is on maternity leave.",
        ],
    );
}

#[test]
fn no_out_of_office_for_dates_and_the_past() {
    check(
        MeetingRequested,
        &[
            "I was out of the office last week. Does Tuesday work?",
            "I'm travelling this week, can we talk next Tuesday?",
            "I'm unavailable on Tuesday, how about Wednesday?",
            "I'm back from vacation, let's talk tomorrow",
        ],
    );
    check(Neutral, &["Are you out of office?", "We work out of office space in Leeds"]);
    check(Neutral, &["I am not on leave"]);
    check(NotInterested, &["I'm travelling, but not interested anyway."]);
}

#[test]
fn meeting_booked() {
    check(
        MeetingBooked,
        &[
            "Tuesday at 10 works",
            "Thursday 3pm works for me, thanks!",
            "Yes, tomorrow at 14:30 is fine",
            "Perfect, see you on Friday at 9am",
            "Confirmed for March 5 at 2pm.",
            "I just booked a slot on your calendar",
            "I've accepted the invite",
            "Invite accepted, talk then!",
            "Sounds good. See you then.",
            "Please book a time via my calendar link",
            "Feel free to grab a slot here: https://calendly.com/dana",
            "Book some time with me:\nhttps://calendly.com/dana/30",
            "Here's my calendly, schedule whatever suits you",
            "I can't do Monday, but Tuesday at 10 works for me",
            "Looking forward to our call on Tuesday at 10",
            "Please use my scheduling link",
        ],
    );
}

#[test]
fn no_meeting_booked_without_a_settled_time() {
    check(
        MeetingRequested,
        &[
            "Sure, Thursday works\n",
            "Tuesday at 10 or Wednesday at 2 works",
            "Would Tuesday at 10 work?",
            "Let's do Tuesday at 10",
            "Tuesday at 10 would work if you can make it",
            "Tuesday at 10 doesn't work, how about Thursday?",
            "Happy to talk!\n\nDana Reyes\nBook a meeting: https://calendly.com/dana",
            "Send me your calendar link and I'll book a time",
            "Can I book a time on your calendar?",
            "I can do Friday at 10am",
            "Please send an invite for Tuesday at 10",
        ],
    );
    check(Neutral, &["Ok, I will send it on Tuesday at 10", "We are fully booked"]);
    check(Neutral, &["Our product works with calendars and is booked by hotels"]);
}

#[test]
fn meeting_requested() {
    check(
        MeetingRequested,
        &[
            "Sure, send me a couple of times next week.",
            "Let's meet on Thursday",
            "Can we schedule a call for tomorrow afternoon?",
            "I'd love to set up a demo",
            "Happy to chat next week",
            "When are you free?",
            "What times work for you?",
            "Could we do Friday at 11?",
            "How about 4/12?",
            "I'm free Tuesday or Wednesday",
            "Yes, tomorrow please",
            "We'd be open to a short meeting",
            "Why don't we hop on a quick call?",
            "Let me know when you're available",
            "Not sure about the price, but let's talk on Monday",
            "Please put something in my calendar",
            "Book me in for a demo",
            "Yes, let's catch up this week",
            "No problem, can we talk today?",
            "Tuesday?",
            "Wed 4pm",
            "Can we move our call to Thursday at 3?",
            "Stop by my office on Tuesday at 10",
            "I'd prefer to meet in person",
            "No. Tuesday at 10 works better",
            "interested, book me a demo",
        ],
    );
}

#[test]
fn no_meeting_requested_for_other_talk() {
    check(
        Neutral,
        &[
            "Let's call it a day",
            "I can't talk to you about price",
            "I have a meeting tomorrow",
            "I'm in meetings all day today",
            "My calendar is full this week",
            "This does not meet our needs",
            "We do not need to meet on Tuesday",
            "I read your book on Friday",
            "Yes, I got your email on Tuesday",
            "Thanks for the call yesterday",
            "hi, thanks for connecting",
            "I'll talk to my boss about it",
            "Some message",
            "Hello World !",
            "It rained on Monday at 10",
            "We can meet your requirements",
            "You called me on Tuesday",
            "It was good to see you on Tuesday",
            "We are open tomorrow until 5pm",
            "Our team is free to move on Monday",
            "Yes on Monday I called you",
            "I want to speak to your manager",
            "We can discuss internally on Monday",
            "We talked on Tuesday",
            "I'd rather not meet on Tuesday",
            "I need to cancel our meeting on Tuesday",
            "I'm off work today",
        ],
    );
    check(
        FollowUp,
        &[
            "Let's talk next quarter",
            "Let's meet in 6 months",
            "I'll discuss it with my team on Monday, let me check",
        ],
    );
    check(NotInterested, &["Not interested in meeting tomorrow"]);
}

#[test]
fn call_requested() {
    check(
        CallRequested,
        &[
            "Can you call me tomorrow after 3?",
            "Call me",
            "Please give me a ring this afternoon",
            "You can reach me on my cell at 555-010-0134",
            "555-010-0134",
            "Sure: +1 415 555 0100",
            "My number is 020 7946 0958",
            "What's the best number? Can I call you?",
            "phone us back asap",
            "Could you call on Monday?",
            "Don't hesitate to call me",
            "A phone call would be best",
            "In a meeting, call me later",
            "No, call me",
            "Could you give me a call on Friday at 10am?",
        ],
    );
}

#[test]
fn no_call_requested_for_other_talk() {
    check(
        Neutral,
        &[
            "Everyone calls me Bob",
            "Call me old-fashioned",
            "You can call me Bob",
            "If it is urgent call me on 555-010-0134",
            "People call us the best",
            "2025-12-05",
            "Order 12345678 is late",
            "We have 1000000 users",
            "My number has changed",
            "05.12.2025",
            "They call me in the morning",
            "I prefer email over a phone call",
            "call me a taxi",
            "No phone calls please",
        ],
    );
    check(NotInterested, &["Wrong number 555-010-0134"]);
    check(FollowUp, &["Call me in 6 months", "Call me next quarter"]);
}

#[test]
fn information_requested() {
    check(
        InformationRequested,
        &[
            "Hey, yes I'm interested. What does it cost?",
            "Yes 👍 what’s the price?",
            "Could you send me more info about how this works?",
            "Interested! Send details. 🚀",
            "Yes I'm interested! This sounds great. How do I get started?",
            "pricing?",
            "How much",
            "Tell me more",
            "Please share a case study",
            "What do you offer?",
            "I'd like to know more",
            "We need a quote",
            "Not interested in a demo, but what are your rates?",
            "Do you offer a trial?",
            "Can you send over a deck?",
            "how does it work",
            "What are the next steps?",
            "Email me the details please",
            "not interested in calls, email me the details",
            "Is it free?",
            "Please explain how it works",
            "Can you send me a proposal?",
        ],
    );
}

#[test]
fn no_information_requested_for_other_talk() {
    check(
        Neutral,
        &[
            "How did you get my information?",
            "Why are you sending me offers?",
            "Who gave you my details?",
            "Who is this?",
            "Do you need our services?",
            "I like your prices",
            "We have the information already",
            "I will send you the details",
            "The price is on the website",
        ],
    );
    check(NotInterested, &["We don't need any more info, no thanks"]);
}

#[test]
fn follow_up() {
    check(
        FollowUp,
        &[
            "Not now",
            "Maybe later",
            "I'm busy at the moment",
            "Reach out in 6 months",
            "Next quarter",
            "Check back with me in January",
            "Let's circle back after the summer",
            "Another time perhaps",
            "It's not a good time",
            "Try me next week",
            "Please follow up next month",
            "Not interested right now, contact me in March",
            "Not at this time",
            "I'll get back to you",
            "Keep me in mind",
            "Not yet, maybe in Q3",
            "We won't have the budget until next year",
            "Remind me in two weeks",
            "Let's reconnect after Christmas",
            "Can't talk right now",
            "Our contract ends in December, let's speak then",
            "Interested but not right now",
            "In a meeting",
        ],
    );
}

#[test]
fn not_interested() {
    check(
        NotInterested,
        &[
            "Not interested",
            "No thanks",
            "no, thank you.",
            "No.",
            "Wrong number",
            "We already have a provider",
            "I'm not really interested at this time",
            "Not a good fit for us",
            "We're all set, thanks",
            "all good",
            "No need",
            "I'll pass",
            "Please don't follow up",
            "We are no longer interested",
            "Not interested, I am busy",
            "We don't need this",
            "We're not looking for anything like it",
            "already working with someone else",
            "We are currently happy with our provider.",
            "Thanks, but no.",
            "I don't think this is for us",
            "Sounds good, but no thanks",
            "He is not interested",
        ],
    );
}

#[test]
fn no_decline_for_other_talk() {
    check(MeetingRequested, &["All set for Tuesday, does 10am work?"]);
    check(
        Neutral,
        &[
            "All good?",
            "Sorry if you're not interested",
            "I'd never say that we pass things around",
        ],
    );
    check(Neutral, &["I have no idea", "No idea who you are"]);
    check(FollowUp, &["It's not that I'm not interested, but try me in spring"]);
}

#[test]
fn interested() {
    check(
        Interested,
        &[
            "I'm interested",
            "Sounds good",
            "Yes please",
            "yes",
            "Sure, go ahead",
            "Looks very promising",
            "Count me in",
            "I'd love to",
            "Sign us up",
            "We might be interested",
            "Yes, sounds great!",
            "I'm very keen to try it",
            "No, I'm interested!",
            "Why not",
        ],
    );
}

#[test]
fn neutral() {
    check(
        Neutral,
        &[
            "",
            "ok",
            "Thanks",
            "Got it",
            "👍",
            "Dana forwarded me your note. I own this now.",
            "This is a test message",
            "If I were interested I would have said so",
            "Are you interested in buying links?",
            "We'll let you know if we need anything",
            "Hi",
            "???",
            "Yes, this is Dana",
            "I would love to but I can't",
            "I am interested in selling you our services",
            "I'm not uninterested",
            "We launch in May and need this now",
            "Hi, please contact Anna at anna@x.example",
        ],
    );
}

#[test]
fn a_bare_yes_answers_what_we_had_offered() {
    let offer = Some("Would Tuesday at 10am suit you?");
    let rows = [
        ("Yes", offer, MeetingRequested),
        ("ok 👍", offer, MeetingRequested),
        ("Sure, works for me!", offer, MeetingRequested),
        ("No", offer, NotInterested),
        ("Thanks for asking Dana", offer, Neutral),
        ("Yes", Some("Worth a quick look?"), Interested),
        ("ok", Some("We have worked with 20 people on Tuesday"), Neutral),
        ("Yes", None, Interested),
    ];
    for (text, answers, tag) in rows {
        assert_eq!(classify(&Heard { answers, ..heard(text) }), tag, "{text:?} {answers:?}");
    }
}

#[test]
fn the_subject_counts_for_absence_delivery_reports_and_opt_out_words_alone() {
    let rows = [
        ("Automatic reply: Quick question", "Thank you for your email.", false, OutOfOffice),
        ("Out of Office Re: Quick question", "", false, OutOfOffice),
        ("Re: Out of office help for your team", "Hello", false, Neutral),
        ("Automatic reply: Quick question", "Your ticket number is 482", false, AutomatedReply),
        ("Out of office", "This is an automated reply", false, OutOfOffice),
        ("unsubscribe", "", false, Blacklist),
        ("Meeting on Tuesday at 10?", "Hello", false, Neutral),
        ("Not interested", "Hello", false, Neutral),
        ("Pricing?", "Hello", false, Neutral),
        ("Undeliverable: Quick question", "Hello", false, Neutral),
        ("Undeliverable: Quick question", "The address was not found", true, Blacklist),
        ("Delivery Status Notification (Delay)", "Still trying", true, AutomatedReply),
    ];
    for (subject, text, is_automated, tag) in rows {
        let it = Heard { subject: Some(subject), is_automated, ..heard(text) };
        assert_eq!(classify(&it), tag, "{subject:?} {text:?}");
    }
}

#[test]
fn an_automated_message_is_one_of_three_things() {
    let rows = [
        ("Tuesday at 10 works", AutomatedReply),
        ("Interested! Send details.", AutomatedReply),
        ("Not interested", AutomatedReply),
        ("", AutomatedReply),
        ("I'm away until Monday", OutOfOffice),
        ("I'll be back on Monday", OutOfOffice),
        ("I'm travelling, call me on Tuesday", OutOfOffice),
        ("This mailbox is no longer in use.", Blacklist),
        ("My e-mail address has been deactivated", Blacklist),
        ("This inbox is not monitored", Blacklist),
        ("Ticket #4821 created. Do not reply, this inbox is not monitored.", AutomatedReply),
        ("unsubscribe", Blacklist),
    ];
    for (text, tag) in rows {
        assert_eq!(classify(&Heard { is_automated: true, ..heard(text) }), tag, "{text:?}");
    }
    let sms =
        Heard { medium: TEXT, subject: Some("Undeliverable"), is_automated: true, ..heard("x") };
    assert_eq!(classify(&sms), AutomatedReply);
}

#[test]
fn marks_before_a_subject_are_taken_off() {
    let travels = "Thank you for your email. I am travelling, you can reach me at +1 312 555 0142.";
    for subject in [
        "[EXTERNAL] Automatic reply: quick question",
        "[EXT] Automatic reply: quick question",
        "EXT: Automatic reply: quick question",
        "Re: Automatic reply: quick question",
        "WG: [EXTERN] Automatische Antwort: quick question",
        "*SPAM* Réponse automatique : quick question",
        "{Spam?} Respuesta automática: quick question",
        "***UNCHECKED*** Risposta automatica: quick question",
        "[SPAM] [EXTERNAL] Re: Autosvar: quick question",
        "Automatisk svar: quick question",
        "Automaattinen vastaus: quick question",
        "Odpowiedź automatyczna: quick question",
        "Automatická odpověď: quick question",
        "Automatikus válasz: quick question",
        "Răspuns automat: quick question",
        "Otomatik yanıt: quick question",
        "Αυτόματη απάντηση: quick question",
        "Автоматический ответ: quick question",
        "Автоматична відповідь: quick question",
        "自動応答: quick question",
        "回复: 自动答复: quick question",
        "자동 회신: quick question",
        "رد تلقائي: quick question",
        "תשובה אוטומטית: quick question",
        "[EXT] Out of office",
        "Re: Out of Office until Monday",
        "AW: Abwesenheit",
        "Fwd: Fuori ufficio: quick question",
    ] {
        let it = Heard { subject: Some(subject), ..heard(travels) };
        assert_eq!(classify(&it), OutOfOffice, "{subject}");
    }
    for subject in
        ["Re: Out of office help for your team", "[EXT] Re: quick question", "RE: Holiday homes"]
    {
        let it = Heard { subject: Some(subject), ..heard("Please call me on +1 312 555 0142") };
        assert_eq!(classify(&it), CallRequested, "{subject}");
    }
    let report = Heard {
        subject: Some("[EXTERNAL] Undeliverable: hi"),
        is_automated: true,
        ..heard("The address was not found")
    };
    assert_eq!(classify(&report), Blacklist);
    assert_eq!(
        classify(&Heard { subject: Some("[EXTERNAL] Unsubscribe"), ..heard("Thanks") }),
        Blacklist
    );
}

#[test]
fn a_mailbox_that_is_given_up_is_blacklisted_in_any_language() {
    let texts = [
        "I have retired and am no longer using this address.",
        "This mailbox is no longer in use.",
        "This email address is no longer monitored. Please write to sales@x.example.",
        "Please note that this account has been closed.",
        "Dana is no longer with the company. Please contact Jo at +1 312 555 0142.",
        "Dana Orlov has left Larkspur Freight.",
        "I no longer work here.",
        "My last day at Larkspur was 3 May.",
        "My email address has changed. Please update your records.",
        "I do not check this inbox any more.",
        "Diese E-Mail-Adresse wird nicht mehr verwendet.",
        "Ich bin nicht mehr im Unternehmen.",
        "Das Postfach ist nicht mehr aktiv.",
        "Cette adresse n’est plus utilisée.",
        "Je ne travaille plus chez Larkspur.",
        "Ya no trabajo en esta empresa.",
        "Esta cuenta de correo ya no está activa.",
        "Questo indirizzo non è più attivo.",
        "Non lavoro più per questa azienda.",
        "Este endereço de e-mail não está mais ativo.",
        "Já não trabalho nesta empresa.",
        "Dit e-mailadres is niet meer in gebruik.",
        "Ik ben niet meer werkzaam bij Larkspur.",
        "Den här adressen används inte längre.",
        "Denne mailadresse bruges ikke længere.",
        "Denne e-postadressen er ikke lenger i bruk.",
        "Tämä sähköpostiosoite ei ole enää käytössä.",
        "Ten adres nie jest już używany.",
        "Już nie pracuję w tej firmie.",
        "Tato adresa se již nepoužívá. Schránka není aktivní.",
        "Ez a cím már nem használatos.",
        "Această adresă nu mai este folosită.",
        "Bu e-posta adresi artık kullanılmıyor.",
        "Αυτή η διεύθυνση δεν χρησιμοποιείται πλέον.",
        "Этот адрес больше не используется.",
        "Я больше не работаю в компании.",
        "Ця адреса більше не використовується.",
        "このメールアドレスは現在使用しておりません。",
        "田中は退職いたしました。",
        "此邮箱已停用。",
        "더 이상 이 메일을 사용하지 않습니다. 이 주소는 사용되지 않습니다.",
        "هذا البريد لم يعد مستخدما",
        "כתובת זו אינה בשימוש",
    ];
    for text in texts {
        assert_eq!(classify(&Heard { is_automated: true, ..heard(text) }), Blacklist, "{text}");
        let told = Heard { subject: Some("[EXT] Automatic reply: hi"), ..heard(text) };
        assert_eq!(classify(&told), Blacklist, "{text}");
    }
    let by_subject = Heard { subject: Some("This mailbox is no longer in use"), ..heard("Hello") };
    assert_eq!(classify(&by_subject), Blacklist);
    for text in [
        "I am on leave until 5 May.",
        "I am out of the office and this mailbox is not monitored until I am back on Monday.",
        "I have limited access to e-mail until Monday. Dana is back on 3 May.",
        "Ich bin bis Montag nicht im Büro.",
        "Our office is closed, we are back on Monday.",
    ] {
        assert_eq!(classify(&Heard { is_automated: true, ..heard(text) }), OutOfOffice, "{text}");
    }
    // A person who says so is heard like any other.
    let person = "I no longer use this address, call me on +1 312 555 0142";
    assert_eq!(classify(&heard(person)), CallRequested);
    assert_eq!(classify(&heard("We no longer work with agencies")), NotInterested);
}

#[test]
fn without_new_text_nothing_is_judged() {
    let quote = "Please unsubscribe me, or let's meet on Tuesday. This is spam.";
    assert_eq!(classify(&Heard { has_new_text: false, ..heard(quote) }), Neutral);
    let by_machine = Heard { has_new_text: false, is_automated: true, ..heard(quote) };
    assert_eq!(classify(&by_machine), AutomatedReply);
}

#[test]
fn a_cue_counts_where_another_stands_before_it_in_the_order() {
    let rows = [
        ("This is spam. Call me, I am interested in pricing.", Blacklist),
        ("I'm on leave. Tuesday at 10 works.", OutOfOffice),
        ("Tuesday at 10 works. Can you call me before?", MeetingBooked),
        ("Let's meet on Friday. What is the price?", MeetingRequested),
        ("Call me tomorrow. What is the price?", CallRequested),
        ("What is the price? Not now, maybe later.", InformationRequested),
        ("We already have one, but check back in spring", FollowUp),
        ("Not interested. Sounds good though.", NotInterested),
    ];
    for (text, tag) in rows {
        assert_eq!(classify(&heard(text)), tag, "{text:?}");
    }
}

/// What is said of a message that is an opt-out and `Interested` by these likelihoods.
fn between(opt_out: f32, interested: f32) -> (Sentiment, bool, bool) {
    let mut likely = [0.0; CLASSES];
    for (class, value) in [(Class::OptOut, opt_out), (Class::Interested, interested)] {
        likely[class as usize] = value;
    }
    let it = by_weights(&likely);
    (it.tag, it.opts_out, it.may_opt_out)
}

#[test]
fn the_likelier_an_opt_out_the_less_a_message_may_get() {
    let rows = [
        ((0.14, 0.8), (Interested, false, false)),
        ((0.15, 0.8), (Interested, false, true)),
        ((0.29, 0.7), (Interested, false, true)),
        ((0.31, 0.6), (Neutral, false, true)),
        ((0.49, 0.5), (Neutral, false, true)),
        ((0.6, 0.4), (Blacklist, false, true)),
        ((0.96, 0.04), (Blacklist, true, true)),
    ];
    for ((opt_out, interested), expected) in rows {
        assert_eq!(between(opt_out, interested), expected, "{opt_out}");
    }
}

#[test]
fn complaints_and_insults_opt_out_and_a_mailbox_that_is_given_up_does_not() {
    let opts_out = |it: &Heard<'_>| ruling(it).classified.opts_out;
    for text in ["This is spam.", "Fuck off", "I've reported you for spam", "wtf leave me alone"] {
        assert!(opts_out(&heard(text)), "{text}");
    }
    let text = "This mailbox is no longer in use. Nobody reads what is sent to it.";
    let subject = Some("Automatic reply: Quick question");
    let given_up = Heard { subject, ..heard(text) };
    assert_eq!((classify(&given_up), opts_out(&given_up)), (Blacklist, false));
}

#[test]
fn a_signature_is_not_judged() {
    let text = "Thanks\n\nKind regards,\nDana\nCall me: 555-010-0134\n\
        Book a meeting: https://calendly.com/dana";
    assert_eq!(classify(&heard(text)), Neutral);
}

/// Before a sign-off, a text is read by itself; without one, together with the opt-out words.
#[test]
fn a_text_is_weighed_alike_with_a_sign_off_and_without() {
    let likely = |text: &str| {
        let read = ReadText::of(text);
        likelihoods(&heard(text), &read, &tokens::sentences_of(&read))
    };
    for text in [
        "Not for us, thanks",
        "What does it cost? Call me on Tuesday",
        "Please don't call on Mondays. No more mails after six, please",
        "Bitte keine Mails mehr nach 18 Uhr",
        "I said stop sending PDFs, a link is enough",
    ] {
        assert_eq!(likely(text), likely(&format!("{text}\n\nKind regards,\nDana")), "{text}");
    }
}

#[test]
fn the_time_to_judge_a_text_grows_no_faster_than_the_text() {
    /// The fastest of some runs, which other load on the machine disturbs least.
    fn fastest(text: &str) -> Duration {
        let runs = (0..3).map(|_| {
            let started = tokio::time::Instant::now();
            classify(&heard(text));
            started.elapsed()
        });
        runs.min().unwrap()
    }
    for part in ["a ", "call me not ", "?"] {
        let text = |bytes: usize| part.repeat(bytes / part.len());
        let (small, large) = (fastest(&text(150_000)), fastest(&text(1_500_000)));
        // Ten times the text; quadratic work would be a hundred times as much.
        assert!(large < small * 40, "{part:?}: {small:?}, then {large:?}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(
        new_text: String,
        subject: Option<String>,
        is_automated: bool,
        has_new_text: bool,
    ) {
        let it = Heard {
            subject: subject.as_deref(),
            answers: Some(&new_text),
            is_automated,
            has_new_text,
            ..heard(&new_text)
        };
        let tag = classify(&it);
        if is_automated {
            prop_assert!(matches!(tag, Blacklist | AutomatedReply | OutOfOffice));
        }
    }

    #[test]
    fn no_talk_panics(
        words in prop::collection::vec(
            "call|me|on|tuesday|at|10|\\.|\\?|not|,|book|ünder|my|link|\n|in|6|months",
            0..40,
        ),
    ) {
        classify(&heard(&words.join(" ")));
    }
}
