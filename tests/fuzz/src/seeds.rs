//! The inputs that fuzzing starts from: samples, payloads, and every text in them.

use crate::bases;
use serde_json::Value;
use std::collections::BTreeSet;

/// The seeds of a target.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    let bases = bases::all();
    if let Some(channel) = target.strip_suffix("_bodies") {
        let own = bases.iter().filter(|it| it.channel.name().0 == channel);
        return own.map(|it| it.body.to_string().into_bytes()).collect();
    }
    let mut texts = BTreeSet::new();
    for base in &bases {
        walk(&base.body, &mut texts);
    }
    let told = |it: &&String| match target {
        "texts" | "opt_outs" | "quotes_of_ours" => it.contains(' '),
        "times" => {
            it.starts_with(|it: char| it.is_ascii_digit()) || it.contains("M") && it.len() < 40
        }
        "phones" => it.len() < 40 && it.bytes().filter(u8::is_ascii_digit).count() > 6,
        "profile_addresses" => it.contains("linkedin") || it.starts_with("ACoAA"),
        "mail_addresses" => it.contains('@') && it.len() < 400,
        _ => false,
    };
    let mut seeds: Vec<Vec<u8>> =
        texts.iter().filter(told).map(|it| it.clone().into_bytes()).collect();
    let more: &[&str] = match target {
        "texts" => &[
            "<p>Yes &amp; no<br><blockquote>old</blockquote></p><!-- x --><style>p{}</style>",
            "Sure.\n\nOn Sat, Jan 17, 2026 at 9:02 AM Sam <s@x.test> wrote:\n> Hi\n\n-- \nDana",
            "Ok\n-----Original Message-----\nFrom: Sam\nSent: 2026\nTo: Dana\nSubject: x\n\nHi",
            "Yes\n\nSent from my iPhone\n\nThis e-mail is confidential.\n\nDana\ntel: +1 614 555 0142\nwww.x.test",
        ],
        "times" => &[
            "Jan 18th, 2026|7:33 PM",
            "01/18/2026|19:33",
            "Tue, 14 Jul 2026 09:12:44 +0000",
            "1768746187.5",
        ],
        "phones" => &[
            "+1 (614) 555-0142 ext. 7|US",
            "030 901820|DE",
            "tel:+4930901820|",
            "0049 30 901820|FR",
        ],
        "profile_addresses" => &[
            "linkedin://profile/dana",
            "https://de.linkedin.com/in/jos%C3%A9/de?x=1#y",
            "m.linkedin.com/mwlite/in/x",
        ],
        "mail_addresses" => &["Dana <dana@x.test>, \"W, D\" <d@x.test>; e@x.test", "İ@x.test"],
        "opt_outs" => &[
            "sms|STOP",
            "email|please stop emailing me",
            "sms|don't stop texting",
            "email|keine weiteren Mails, bitte",
        ],
        "subjects" => &[
            "[EXTERNAL] Re: Fwd: Automatic reply: x",
            "{Spam?} ***UNCHECKED*** RE[2]: Undeliverable: x",
            "回复：退信",
        ],
        "quotes_of_ours" => &[
            "Yes\n\nSam wrote:\n> Hi Dana, want a demo of it all?\u{1}Hi Dana, want a demo of it all?",
            "Liked “Hi Dana, want a demo? Reply STOP to opt out”\u{1}Hi Dana, want a demo? Reply STOP to opt out",
        ],
        "signatures" => &[
            "msg_1\n1764000000\nv1,AAAA v2,xyz v1,c2VjcmV0\n{}",
            "N/A\nAAAA\n\n{\"webhookId\":1}",
            "MCowBQYDK2VwAyEAi2HR1srL4o18O8BRa7gVJY7G7bupbN3H9AwJrHCDiOg=\n\n\n{}",
        ],
        _ => &[],
    };
    seeds.extend(more.iter().map(|it| it.as_bytes().to_vec()));
    seeds
}

fn walk(value: &Value, texts: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => drop(texts.insert(text.clone())),
        Value::Array(items) => items.iter().for_each(|it| walk(it, texts)),
        Value::Object(map) => map.values().for_each(|it| walk(it, texts)),
        _ => {}
    }
}
