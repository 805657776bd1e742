//! Finds the words by which a lead opts out (docs/RULES.md OPT-OUT).

mod composed;
mod demands;
mod instructions;
mod parts;
mod patterns;
mod phrases;
mod words;

use self::{
    composed::{FoundDemand, Surroundings},
    parts::SentenceParts,
};
use super::{
    Medium,
    fold::{Folded, folded},
    mail_subject::without_marks,
};
use std::cell::OnceCell;

/// The longest subject that may be an opt-out word, in bytes.
const SUBJECT_MAX: usize = 200;

/// Folded subjects that opt out, besides the keywords.
const SUBJECTS: [&str; 3] = ["take me off your list", "cancelar suscripcion", "rimuovimi"];

/// The words by which the lead opts out of all messages, in a message that came over `medium`;
/// `None` if there are none.
///
/// They are in `new_text`, or the `subject` itself is such a word. `new_text` must contain only
/// what the lead wrote: quoted words are not the lead's wish.
pub fn opt_out_words(medium: Medium, subject: Option<&str>, new_text: &str) -> Option<String> {
    ReadText::of(new_text).opt_out_words(medium, subject)
}

/// The texts of all patterns and words on which [`ReadText::signs`], [`ReadText::says_so`],
/// [`ReadText::has_phrase`] and `ReadText::parts` depend: weights that were learned with others
/// do not fit.
pub fn texts_of_signs() -> String {
    phrases::texts()
}

/// A text, and what the rules find in it.
///
/// The text is folded once. Each answer is found once, when it is first asked for: one answer is
/// found from others, and a verdict on a message needs several.
#[derive(Debug)]
pub struct ReadText<'a> {
    folded: Folded<'a>,
    surroundings: OnceCell<Surroundings>,
    demands: OnceCell<Vec<FoundDemand>>,
    phrase: OnceCell<Option<String>>,
    says_so: OnceCell<bool>,
    is_a_machines: OnceCell<bool>,
}

impl<'a> ReadText<'a> {
    /// Reads `text`, which must contain only what the lead wrote.
    pub fn of(text: &'a str) -> Self {
        Self {
            folded: Folded::of(text),
            surroundings: OnceCell::new(),
            demands: OnceCell::new(),
            phrase: OnceCell::new(),
            says_so: OnceCell::new(),
            is_a_machines: OnceCell::new(),
        }
    }

    /// The text as it was written.
    pub const fn source(&self) -> &'a str {
        self.folded.source
    }

    /// The folded text.
    pub(crate) fn folded(&self) -> &str {
        &self.folded.text
    }

    /// The words by which the lead opts out: see [`opt_out_words`].
    pub fn opt_out_words(&self, medium: Medium, subject: Option<&str>) -> Option<String> {
        let whole = words::whole(medium, self.folded()).or_else(|| {
            let unsigned = words::before_signature(self.source())?;
            words::whole(medium, &folded(unsigned))
        });
        whole.or_else(|| self.phrase().map(str::to_owned)).or_else(|| self.subject_words(subject?))
    }

    /// The opt-out word that the subject is, if it counts.
    fn subject_words(&self, subject: &str) -> Option<String> {
        if subject.len() > SUBJECT_MAX {
            return None;
        }
        let subject = folded(without_marks(subject));
        let told = subject.trim_matches(|char: char| !char.is_alphanumeric());
        let found =
            words::subject(&subject).or_else(|| SUBJECTS.contains(&told).then(|| told.to_owned()));
        // A machine repeats the subject of what it was sent.
        found.filter(|_| !self.is_a_machines())
    }

    /// True if the text says in plain words that nobody shall write again. This alone is not
    /// certain: somebody has to weigh what else is said.
    pub fn says_so(&self) -> bool {
        *self.says_so.get_or_init(|| phrases::says(self))
    }

    /// True if the text holds a phrase that opts out, in any place.
    pub fn has_phrase(&self) -> bool {
        self.phrase().is_some()
    }

    /// What in the text looks like a demand not to be written to again, and what speaks against
    /// that: a few fixed words. They say less than [`opt_out_words`]: that somebody has to weigh
    /// them.
    pub fn signs(&self) -> Vec<&'static str> {
        phrases::signs(self)
    }

    /// What the words of the text may be in a demand, by sentences.
    pub(crate) fn parts(&self) -> Vec<SentenceParts> {
        self.surroundings().parts()
    }

    /// The first phrase that opts out, as it is written.
    fn phrase(&self) -> Option<&str> {
        self.phrase.get_or_init(|| phrases::find(self)).as_deref()
    }

    /// True if a machine wrote the text: whatever it says of opting out is about its own list.
    fn is_a_machines(&self) -> bool {
        *self.is_a_machines.get_or_init(|| phrases::is_a_machines(self.folded()))
    }

    /// What stands around the phrases of the text.
    fn surroundings(&self) -> &Surroundings {
        self.surroundings.get_or_init(|| Surroundings::of(self.folded()))
    }

    /// The demands in the text, and what looks like one.
    fn demands(&self) -> &[FoundDemand] {
        self.demands.get_or_init(|| self.surroundings().demands())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: Medium = Medium::Text { parts: 3, chars: 160 };

    fn by_mail(text: &str) -> Option<String> {
        opt_out_words(Medium::Mail, None, text)
    }

    #[test]
    fn a_whole_message_of_one_word_opts_out_of_text_messages() {
        for text in [
            "STOP",
            "stop",
            " Stop. ",
            "“STOP”",
            "stopall",
            "STOP ALL",
            "Unsubscribe!",
            "cancel",
            "END",
            "quit",
            "Revoke",
            "optout",
            "opt out",
            "Opt-out",
            "STOP please",
            "pls stop!!",
            "Stop 🛑",
            "Stop - Dana",
            "Quit\n\nDana",
        ] {
            assert!(opt_out_words(TEXT, None, text).is_some(), "{text}");
        }
        for text in ["cancel", "end", "quit", "revoke", "cancel my meeting", "the end"] {
            assert_eq!(by_mail(text), None, "{text}");
        }
        for text in ["cancel please and rebook", "yes", "ok stop by", "", "...", "end of the month"]
        {
            assert_eq!(opt_out_words(TEXT, None, text), None, "{text}");
        }
    }

    const PHRASES: &[&str] = &[
        "Ich möchte mich von Ihrem Newsletter abmelden.",
        "Bitte aus dem Verteiler austragen.",
        "I'm opting out.",
        "I am opting out of your emails.",
        "Could you unsubscribe this email address?",
        "I want to unsubscribe from the mailing list.",
        "I'd like to opt out of the emails.",
        "I wish to opt out from your daily sales emails",
        "I want my name to be removed from your database.",
        "I have asked a dozen times to be removed from your list.",
        "I would like to be unsubscribed from receiving further emails.",
        "I want to be unsubscribed right away.",
        "Please remove me from everything.",
        "Unsubscribe from everything",
        "Schicken Sie mir keine E-Mails mehr.",
        "Bitte senden Sie mir keine weiteren Nachrichten.",
        "Wir wünschen keine weiteren Mails.",
        "Keine E-Mails von Ihrer Firma bitte.",
        "¿Cómo puedo darme de baja?",
        "¿Podría darme de baja de su lista?",
        "Quería darme de baja de la lista",
        "Favor de darme de baja del listado",
        "Quisiera darme de baja del boletín",
        "Deseo darme de baja de vuestros correos",
        "Unsubscribe me before 5pm today.",
        "Bitte mich abmelden bis morgen.",
        "Please unsubscribe me.",
        "UNSUBSCRIBE",
        "How do I unsubscribe?",
        "I can't unsubscribe from this",
        "I want to be unsubscribed",
        "I have already unsubscribed twice!",
        "I'd like to opt out",
        "opt me out",
        "Not interested please remove me",
        "Not interested, please remove me from your list",
        "I do not want this remove me",
        "If not please remove us",
        "Please take me off your list.",
        "take us off",
        "Stop emailing me",
        "stop texting",
        "Please stop sending these",
        "Do not contact me again",
        "don't call",
        "Please don’t email me any more",
        "dont text me",
        "I ask that you do not contact me",
        "I asked you not to call me",
        "Don't you ever email me again",
        "Do not call me after this",
        "take a hike",
        "I would like to be removed from your list",
        "Not for me. Please remove.",
        "Please remove",
        "remove this number",
        "do not send me any more emails",
        "No more emails please",
        "lose my number",
        "quit texting me",
        "I do not wish to be contacted",
        "I don't want to be called",
        "I don't want you to contact me",
        "Do not reach out again",
        "no unsubscribe me",
        "just stop",
        "stop it!",
        "Nunca me escriban",
        "Non contattatemi più",
        "Merci de ne plus me contacter",
        "nicht interessiert bitte abmelden",
        "Non sono interessato cancellami",
        "Stop. No more messages",
        "please stop the emails",
        "You need to stop. These texts are too many",
        "I said remove me\nfrom this",
        "Bitte abmelden",
        "Wie kann ich mich abmelden?",
        "Bitte austragen!",
        "Bitte keine Mails mehr",
        "Keine weiteren Nachrichten bitte",
        "keine E-Mails",
        "Veuillez me désabonner",
        "Je veux me désinscrire",
        "Ne me contactez plus",
        "Arrêtez de m'écrire",
        "Quiero darme de baja",
        "Por favor no me contacten más",
        "No me escriban",
        "cancelar suscripción",
        "Rimuovimi dalla lista",
        "cancellami",
        "Quero cancelar inscrição",
        "Não me contate mais",
        "stop by my office, but first remove me from the list",
        "My colleague asked you to remove me",
        "I texted STOP three times already",
        "I told you to stop",
        "I said stop",
        "I've replied STOP and you keep going",
        "How often do I have to reply STOP?",
        "Please reply and remove me from the list",
        "Please send me the link to unsubscribe",
        "The unsubscribe link does not work, unsubscribe me",
        "You can take me off your list",
        "Can you unsubscribe me, please?",
        "Stop, remove me",
        "I want to opt out, please reply to confirm",
        "You said you'd remove me",
        "ＰＬＥＡＳＥ ＵＮＳＵＢＳＣＲＩＢＥ ＭＥ",
        "Unsubscribe me and send me a confirmation",
        "Please don't text or call me again",
        "Do not email or call me again.",
        "Dont text or call this number again",
        "unsubscribe info@larkspur.example",
        "Please unsubscribe me, my agenda is full.",
        "Remove me from your list, we use a competitor",
        "Tell your system to stop emailing me",
        "The link does not work when I click here. Unsubscribe me.",
        "Bitte nehmen Sie mich aus dem Verteiler, rufen Sie mich auch nicht an.",
        "Bonjour, je vous prie de me désabonner.",
        "I do not use your software, unsubscribe me",
        "We have a tool already, please remove me from your list",
        "Unsubscribe me. Request number 4711",
        "Stop emailing me and calling my landline",
        "Bitte abmelden. Auch telefonisch kein Kontakt mehr.",
        "Merci de me désinscrire. Et surtout ne m'appelez-pas par téléphone",
        "How can I be taken off your mailing list?",
        "How do I get off this list?",
        "How do I stop these texts?",
        "Hoe kan ik me afmelden?",
        "¿Cómo me doy de baja?",
        "Stop\n\nDana Fox",
        "STOP\n\nDana Fox\nLarkspur Freight",
        "Unsubscribe\n\nBest regards,\nDana",
        "Leave me alone",
        "Go away",
    ];

    #[test]
    fn strong_phrases_opt_out_on_every_channel() {
        for text in PHRASES {
            assert!(by_mail(text).is_some(), "{text}");
        }
    }

    const INNOCENT: &[&str] = &[
        "stop by my office",
        "Can you stop by? Call me before.",
        "Stop by my office and we can talk about the emails",
        "It's a one-stop shop, call me",
        "We never stop. Call me",
        "Don't stop",
        "please don't stop emailing me",
        "I never unsubscribed",
        "I have not unsubscribed",
        "I did not unsubscribe, send it again",
        "I don't want to unsubscribe",
        "I unsubscribed by mistake, add me again",
        "Please don't remove me from the list",
        "I didn't ask you to remove me",
        "no need to remove me",
        "Our customers unsubscribe all the time",
        "How many people opt out?",
        "What is your opt-out rate?",
        "the unsubscribe rate is high",
        "Reply STOP to opt out",
        "Text STOP to unsubscribe",
        "Don't hesitate to contact me",
        "Don't call me before 9",
        "Please don't call on Mondays",
        "Don't call, email me instead",
        "Why don't you call me tomorrow?",
        "If you don't call me by Friday I'll sign elsewhere",
        "I don't text much, call me",
        "We don't email contracts",
        "That would take me off guard",
        "Can you remove my old roof?",
        "Ich möchte mich nicht abmelden",
        "Ich habe keine Nachrichten von Ihnen erhalten",
        "Je ne veux pas me désabonner",
        "No quiero darme de baja",
        "Non rimuovermi",
        "Let's meet at the bus stop",
        "Can we opt out of the contract later?",
        "Did you unsubscribe me?",
        "Why was I unsubscribed?",
        "We will take us off the market",
        "My boss said don't call",
        "Don't call it a deal yet",
        "Please don't text and drive",
        "We write contracts; don't write novels",
        "You wrote 'reply STOP to opt out', what is that?",
        "I have no more messages from you",
        "He can't make the call, had to stop for gas",
        "Yes, Thursday works",
        "Please send the contract by text message",
        "Hi Rita. Reply STOP to opt out",
        "Hi Rita, want a demo? Reply STOP to opt out.",
        "Hi Rita! Txt STOP 2 opt out",
        "STOP to opt out",
        "Hi, STOP=opt out, HELP=help",
        "Msg&data rates may apply. Text STOP to 12345 to unsubscribe.",
        "Reply with STOP to be removed from this list",
        "Reply \"STOP\" to end messages",
        "Click here to unsubscribe",
        "Your text said reply STOP to opt out but I'd like a demo",
        "It says text STOP to unsubscribe. I don't want that, I want a demo",
        "You wrote that I can opt out at any time, but I'm interested",
        "If this is not for you, just reply unsubscribe and I will stop emailing you.",
        "To opt out, reply STOP",
        "If you want to unsubscribe, reply STOP to this message",
        "You can unsubscribe at any time",
        "Your message said \"reply unsubscribe\" at the bottom, anyway call me",
        "Reply remove me to be taken off",
        "Zum Abmelden STOP antworten",
        "Antworten Sie mit STOP, um sich abzumelden. Ich möchte aber eine Demo",
        "Wenn Sie keine Mails mehr möchten, antworten Sie mit STOP",
        "Pour vous désabonner, répondez STOP",
        "Répondez STOP pour vous désabonner",
        "Responda BAJA para darse de baja",
        "Rispondi STOP per disiscriverti",
        "Responda SAIR para cancelar inscrição",
        "I saw the opt-out notice, what is your price?",
        "Do not contact me before the 15th, I am at sea",
        "No more emails after six please, but let's meet",
        "Bitte keine Mails mehr nach 18 Uhr",
        "Lad os være i fred til høsten er i hus",
        "Låt oss vara ifred tills skörden är inne",
        "Laissez-nous tranquilles jusqu'aux vendanges",
        "Keep me on your list, I enjoy these",
        "leave the staff list with me",
        "You have been unsubscribed from the Gazette",
        "We finally unsubscribed from MailHarbor last month",
        "We do opt-outs by hand",
        "Me saco el sombrero",
        "Ne me retirez pas de la liste",
        "Löschen Sie mich bitte nicht",
        "Please don't call, email works better",
        "Don't call, texting is better",
        "Don't email Peter, he left; write to me",
        "Please don't contact Anna, I am the right person",
        "Do not send emails to my old address, use this one",
        "stop sending reminders, I'll sign on Friday",
        "ta mig inte bort",
        "Bitte löschen Sie mich nicht",
        "Fine",
        "fine!",
        "Stop sending PDFs, a link is enough",
        "Please stop calling me Mr Dale",
        "Stop writing and start dialling! 555-0142.",
        "I unsubscribed from your competitor",
        "We unsubscribed from your main competitor last year",
        "Remove me from the cc line, please, and send the price to Jo",
        "I've asked the parking firm to stop writing to me, not you.",
        "I unsubscribe from almost everything, but not from you.",
        "Stop\nby the office on Friday",
        "stop texting n call me",
        "Stop sending slides and come and show us",
        "hör auf zu schreiben und ruf durch",
        "Arrêtez de m'envoyer des présentations et venez me montrer ça",
        "Ne m'envoyez plus de mails, je les lis mal ; composez le 555-0142",
        "No me llames, agendemos una videollamada",
    ];

    #[test]
    fn what_only_sounds_like_it_does_not() {
        for text in INNOCENT {
            assert_eq!(by_mail(text), None, "{text}");
            assert_eq!(opt_out_words(TEXT, None, text), None, "{text}");
        }
    }

    #[test]
    fn a_subject_counts_where_it_is_itself_such_a_word() {
        for subject in ["Unsubscribe", "STOP", "Abmelden", "remove me", "unsubscribe please"] {
            assert!(opt_out_words(Medium::Mail, Some(subject), "").is_some(), "{subject}");
            assert!(
                opt_out_words(Medium::Mail, Some(subject), "Thanks, Dana").is_some(),
                "{subject}"
            );
        }
        let acknowledgement = "We have received your message. Your ticket number is 4711.";
        assert_eq!(opt_out_words(Medium::Mail, Some("Unsubscribe"), acknowledgement), None);
        for subject in ["Re: stop losing leads", "How to unsubscribe users", "cancel", "Re: Hi", ""]
        {
            assert_eq!(opt_out_words(Medium::Mail, Some(subject), "Yes please"), None, "{subject}");
        }
    }

    #[test]
    fn the_words_are_given_as_they_were_written() {
        assert_eq!(
            by_mail("Hallo,  Ne me Contactez plus").as_deref(),
            Some("Ne me Contactez plus")
        );
        assert_eq!(by_mail("é É Please Remove Me").as_deref(), Some("Remove Me"));
        assert_eq!(opt_out_words(TEXT, None, " STOP! ").as_deref(), Some("stop"));
    }

    #[test]
    fn hostile_texts_take_no_longer_than_others() {
        for text in [
            "don't stop ".repeat(200_000),
            "not ".repeat(500_000),
            "never unsubscribe ".repeat(100_000),
            "stop".repeat(500_000),
            "please ".repeat(300_000),
            "\u{301}é".repeat(500_000),
        ] {
            by_mail(&text);
        }
    }

    /// The answer to one question about a text.
    fn answer(question: usize, text: &ReadText<'_>) -> String {
        match question {
            0 => format!("{:?}", text.opt_out_words(Medium::Mail, None)),
            1 => format!("{:?}", text.opt_out_words(TEXT, Some("Unsubscribe"))),
            2 => text.has_phrase().to_string(),
            3 => text.says_so().to_string(),
            _ => text.signs().join(","),
        }
    }

    /// Asks about a text in this order, and about a text that was asked nothing before.
    fn answers_in(order: &[usize], text: &str) -> (Vec<String>, Vec<String>) {
        let read = ReadText::of(text);
        let ask =
            |question: &usize| (answer(*question, &read), answer(*question, &ReadText::of(text)));
        order.iter().map(ask).unzip()
    }

    #[test]
    fn an_answer_does_not_depend_on_what_was_asked_before() {
        let is_a_machines = "This is an automated message. Click here to unsubscribe.";
        for text in PHRASES.iter().chain(INNOCENT).chain([&is_a_machines]) {
            for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [3, 0, 4, 2, 1]] {
                let (found, expected) = answers_in(&order, text);
                assert_eq!(found, expected, "{text}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_answer_depends_on_the_order_of_questions(
            order in Just([0, 1, 2, 3, 4]).prop_shuffle(),
            words in proptest::collection::vec(
                prop::sample::select(vec![
                    "stop", "please", "don't", "email", "remove", "me", "from", "your", "list", ".",
                    "?", "\n", "\"", "call", "keine", "mails", "automated message", "no more",
                ]),
                0..30,
            )
        ) {
            let (found, expected) = answers_in(&order, &words.join(" "));
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn no_text_panics(subject in ".{0,40}", text in "(?s).{0,200}") {
            opt_out_words(TEXT, Some(&subject), &text);
        }

        #[test]
        fn no_order_of_words_panics(
            words in proptest::collection::vec(
                prop::sample::select(vec![
                    "stop", "please", "not", "don't", "unsubscribe", "é", "İ", ".", "\n", "opt", "out",
                    "emails", "remove", "me", "\"", "’", "keine", "mails",
                ]),
                0..40,
            )
        ) {
            by_mail(&words.join(" "));
        }
    }
}
