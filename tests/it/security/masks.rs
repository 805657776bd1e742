//! The secret of a client reaches no table, however a body spells it.

use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        daemon::Daemon,
        payloads::{FOLDERS, files, read},
        web::ask,
    },
};
use serde_json::Value;
use std::fmt::Write;

const SECRET: &str = "5ecret+of/acme=&\"0001";
const CONFIG: &str = "[[clients]]\nid = \"acme\"\n\
    [clients.channels]\n\
    sms.secret = '5ecret+of/acme=&\"0001'\nemail.secret = '5ecret+of/acme=&\"0001'\n\
    linkedin.secret = '5ecret+of/acme=&\"0001'\nsmartlead.secret = '5ecret+of/acme=&\"0001'\n\
    instantly.secret = '5ecret+of/acme=&\"0001'\n";

fn percent(text: &str, is_upper: bool) -> String {
    text.bytes().fold(String::new(), |mut all, it| {
        if is_upper { write!(all, "%{it:02X}") } else { write!(all, "%{it:02x}") }.unwrap();
        all
    })
}

fn in_json(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn spellings() -> Vec<String> {
    let form: String = url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
    let escaped: String = SECRET.encode_utf16().map(|it| format!("\\u{it:04x}")).collect();
    let entities: String = SECRET.chars().map(|it| format!("&#{};", u32::from(it))).collect();
    vec![
        SECRET.to_owned(),
        form.clone(),
        form.to_ascii_lowercase(),
        percent(SECRET, true),
        percent(SECRET, false),
        percent(&form, true),
        in_json(SECRET),
        format!("{{\\\"url\\\": \\\"{}\\\"}}", in_json(&in_json(SECRET))),
        escaped,
        entities,
        SECRET.replace('&', "&amp;").replace('"', "&quot;"),
        format!("https://x.test/webhooks/a?secret={form}&a=1"),
    ]
}

/// The body with `with` put into its text number `at`, or beside its name of that number; false
/// where it has fewer.
fn plant(value: &mut Value, at: &mut usize, with: &str) -> bool {
    match value {
        Value::Object(map) => {
            for name in map.keys().cloned().collect::<Vec<_>>() {
                if *at == 0 {
                    map.insert(format!("{name} {with}"), Value::from(1));
                    return true;
                }
                *at -= 1;
                if map.get_mut(&name).is_some_and(|it| plant(it, at, with)) {
                    return true;
                }
            }
            false
        }
        Value::Array(items) => items.iter_mut().any(|it| plant(it, at, with)),
        Value::String(text) => {
            if *at == 0 {
                text.push_str(with);
                return true;
            }
            *at -= 1;
            false
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// All rows of all tables, as text.
async fn tables(peek: &Peek) -> String {
    let names = if peek.is_sqlite() {
        "select name from sqlite_master where type = 'table' and name not like 'sqlite%'"
    } else {
        "select tablename::text from pg_tables where schemaname = 'public'"
    };
    let mut text = String::new();
    for table in peek.texts(names).await {
        let rows = if peek.is_sqlite() {
            let columns = format!("select name from pragma_table_info('{table}')");
            let columns = peek.texts(&columns).await;
            let all: Vec<String> =
                columns.iter().map(|it| format!("coalesce(cast(\"{it}\" as text), '')")).collect();
            format!("select {} from \"{table}\"", all.join(" || char(10) || "))
        } else {
            // Quotes and backslashes of a row are doubled, and of a text not.
            let columns = format!(
                "select column_name::text from information_schema.columns \
                 where table_schema = 'public' and table_name = '{table}'"
            );
            let columns = peek.texts(&columns).await;
            let all: Vec<String> =
                columns.iter().map(|it| format!("coalesce(\"{it}\"::text, '')")).collect();
            format!("select {} from \"{table}\"", all.join(" || chr(10) || "))
        };
        text += &peek.texts(&rows).await.join("\n");
        text.push('\n');
    }
    text
}

async fn post(daemon: &Daemon, channel: &str, body: &Value) -> String {
    let answer = ask(daemon.webhook(channel, "acme").bearer_auth(SECRET).json(body)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!answer.text.contains("5ecret"), "{answer:?}");
    answer.outcome().to_owned()
}

on_both_daemons! {
    #[ignore = "long: `just long`"]
    async fn a_secret_in_a_body_is_in_no_table_however_it_is_spelled(place: Place) {
        let daemon = place.start(CONFIG).await;
        let spellings = spellings();
        let (mut number, mut posted) = (0, 0);
        for (channel, _) in FOLDERS {
            for file in files(channel) {
                let Ok(body) = serde_json::from_slice::<Value>(&read(&file)) else { continue };
                for place in 0..200 {
                    let mut planted = body.clone();
                    let spelled = &spellings[number % spellings.len()];
                    number += 1;
                    // A part of the places of each file, other ones with other spellings.
                    let mut at = place * 3 + number % 3;
                    if !plant(&mut planted, &mut at, spelled) {
                        break;
                    }
                    post(&daemon, channel, &planted).await;
                    posted += 1;
                }
            }
        }
        assert!(posted > 300, "{posted}");
        // As an event's name and in SmartLead's own field, which is no secret of ours.
        for spelled in &spellings {
            let body = serde_json::json!({"event_type": spelled, "secret_key": "another-one-9999", "n": 1});
            post(&daemon, "smartlead", &body).await;
        }
        let text = tables(&Peek::of(&daemon).await).await;
        assert!(text.contains("***"), "this is not the database");
        for spelled in spellings.iter().map(String::as_str).chain(["5ecret", "another-one-9999"]) {
            let line = text.lines().find(|it| it.contains(spelled));
            assert_eq!(line, None, "`{spelled}` is in a table");
        }
    }
}
