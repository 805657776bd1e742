//! The request of each provider, byte for byte.

use super::{TIMEOUT, call, handles, send_end, settings, with_fake};
use postroom::{config::SendSettings, domain::sending::SendEnd};
use serde_json::{Value, json};

/// Sends, and returns the request as it arrived: its first line, its headers by name, its body.
/// The port of the server is written as PORT.
async fn arrived(name: &str, handle: Value, change: impl FnOnce(&mut SendSettings)) -> String {
    let mut arrived = String::new();
    with_fake(async |fake, url, wire| {
        let mut settings = settings(&url);
        change(&mut settings);
        let call = call(name, &handle, &settings).unwrap();
        let end = send_end(name, wire.call(&call, TIMEOUT).await);
        let id = match name {
            "email" => Some("1".to_owned()),
            "smartlead" => None,
            _ => Some("fake-1".to_owned()),
        };
        assert_eq!(end, SendEnd::Sent { provider_id: id }, "{name}");
        let request = fake.sent().pop().unwrap().request;
        let (head, body) = request.split_once("\n\n").unwrap();
        let mut lines: Vec<&str> = head.lines().collect();
        lines[1..].sort_unstable();
        let port = url.rsplit(':').next().unwrap();
        arrived = format!("{}\n\n{body}", lines.join("\n")).replace(port, "PORT");
    })
    .await;
    arrived
}

fn handle(name: &str) -> Value {
    handles().into_iter().find(|(it, _)| *it == name).unwrap().1
}

#[tokio::test]
async fn emailbison() {
    let body = r#"{"content_type":"text","message":"Hi Mary,\n\n\"Tuesday\" <10:00> & über?","reply_all":false,"sender_email_id":12,"to_emails":[{"email_address":"mary@x.test","name":"Mary"}]}"#;
    let expected = format!(
        "POST /api/replies/4711/reply\naccept: application/json\nauthorization: Bearer key|of+the account\n\
         content-length: {}\ncontent-type: application/json\nhost: 127.0.0.1:PORT\nidempotency-key: 730155\n\
         user-agent: postroom/{}\n\n{body}",
        body.len(),
        env!("CARGO_PKG_VERSION"),
    );
    assert_eq!(arrived("email", handle("email"), |_| ()).await, expected);
    // The mailbox is not known: nobody else may get the answer. The setting says which.
    let reply = json!({"reply_id": "4711"});
    let refused = call("email", &reply, &settings("https://x.test")).unwrap_err().to_string();
    assert!(refused.contains("`send.sender_email_id`"), "{refused}");
    let request = arrived("email", reply, |it| it.sender_email_id = Some("9".to_owned())).await;
    assert!(request.contains(r#""sender_email_id":9,"to_emails""#), "{request}");
}

#[tokio::test]
async fn gohighlevel() {
    let body =
        r#"{"contactId":"c-1","message":"Hi Mary,\n\n\"Tuesday\" <10:00> & über?","type":"SMS"}"#;
    let expected = format!(
        "POST /conversations/messages\naccept: application/json\nauthorization: Bearer key|of+the account\n\
         content-length: {}\ncontent-type: application/json\nhost: 127.0.0.1:PORT\nidempotency-key: 730155\n\
         user-agent: postroom/{}\nversion: 2021-04-15\n\n{body}",
        body.len(),
        env!("CARGO_PKG_VERSION"),
    );
    assert_eq!(arrived("sms", handle("sms"), |_| ()).await, expected);
    let request = arrived("sms", handle("sms"), |it| {
        it.version = Some("v3".to_owned());
        it.from_number = Some("+15550100".to_owned());
    })
    .await;
    assert!(request.contains("\nversion: v3\n"), "{request}");
    assert!(request.contains(r#""fromNumber":"+15550100""#), "{request}");
}

#[tokio::test]
async fn unipile() {
    let body = "--postroom-730155\r\nContent-Disposition: form-data; name=\"account_id\"\r\n\r\nacc-1\r\n\
                --postroom-730155\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\n\
                Hi Mary,\n\n\"Tuesday\" <10:00> & über?\r\n--postroom-730155--\r\n";
    let expected = format!(
        "POST /api/v1/chats/chat%201%2F2/messages\naccept: application/json\ncontent-length: {}\n\
         content-type: multipart/form-data; boundary=postroom-730155\nhost: 127.0.0.1:PORT\n\
         idempotency-key: 730155\nuser-agent: postroom/{}\nx-api-key: key|of+the account\n\n{body}",
        body.len(),
        env!("CARGO_PKG_VERSION"),
    );
    assert_eq!(arrived("linkedin", handle("linkedin"), |_| ()).await, expected);
}

#[tokio::test]
async fn smartlead() {
    let body = r#"{"email_body":"Hi Mary,<br><br>&quot;Tuesday&quot; &lt;10:00&gt; &amp; über?","email_stats_id":"st_9f31","reply_email_body":"When?","reply_email_time":"2026-01-18T14:03:07.000Z","reply_message_id":"<CAK-77@mail.smileworks.test>"}"#;
    let expected = format!(
        "POST /api/v1/campaigns/45120/reply-email-thread?api_key=key%7Cof%2Bthe%20account\n\
         accept: application/json\ncontent-length: {}\ncontent-type: application/json\n\
         host: 127.0.0.1:PORT\nidempotency-key: 730155\nuser-agent: postroom/{}\n\n{body}",
        body.len(),
        env!("CARGO_PKG_VERSION"),
    );
    assert_eq!(arrived("smartlead", handle("smartlead"), |_| ()).await, expected);
}

#[tokio::test]
async fn instantly() {
    let body = r#"{"body":{"text":"Hi Mary,\n\n\"Tuesday\" <10:00> & über?"},"eaccount":"joel@outfield.test","reply_to_uuid":"01-uuid-55","subject":"Re: Hygienists"}"#;
    let expected = format!(
        "POST /api/v2/emails/reply\naccept: application/json\nauthorization: Bearer key|of+the account\n\
         content-length: {}\ncontent-type: application/json\nhost: 127.0.0.1:PORT\nidempotency-key: 730155\n\
         user-agent: postroom/{}\n\n{body}",
        body.len(),
        env!("CARGO_PKG_VERSION"),
    );
    assert_eq!(arrived("instantly", handle("instantly"), |_| ()).await, expected);
}

#[test]
fn a_provider_without_servers_of_customers_has_a_usual_one() {
    let mut settings = settings("");
    settings.base_url = None;
    for (name, handle) in handles() {
        let usual = match name {
            "sms" => Some("https://services.leadconnectorhq.com/"),
            "smartlead" => Some("https://server.smartlead.ai/"),
            "instantly" => Some("https://api.instantly.ai/"),
            _ => None,
        };
        let made = call(name, &handle, &settings);
        assert_eq!(made.is_ok(), usual.is_some(), "{name}");
        assert!(made.is_err() || made.unwrap().url.starts_with(usual.unwrap()), "{name}");
    }
}

#[test]
fn a_message_without_its_ids_cannot_be_answered() {
    let settings = settings("https://x.test");
    for (name, handle) in handles() {
        let (needed, in_path): (&[&str], Option<&str>) = match name {
            "email" => (&["reply_id"], Some("reply_id")),
            "sms" => (&["contact_id"], None),
            "linkedin" => (&["chat_id"], Some("chat_id")),
            "smartlead" => (&["campaign_id", "email_stats_id"], Some("campaign_id")),
            _ => (&["reply_to_uuid", "eaccount"], None),
        };
        for id in needed {
            let mut without = handle.clone();
            without.as_object_mut().unwrap().remove(*id);
            let refused = call(name, &without, &settings).unwrap_err().to_string();
            assert_eq!(refused, format!("the message was stored without `{id}`"));
        }
        // An id is what a webhook said. It must not step out of its place in the path.
        for (value, told) in
            [(".", None), ("..", None), ("../../x?y#z", Some("..%2F..%2Fx%3Fy%23z"))]
        {
            let Some(id) = in_path else { continue };
            let mut odd = handle.clone();
            odd[id] = json!(value);
            match (call(name, &odd, &settings), told) {
                (Ok(call), Some(told)) => assert!(call.url.contains(told), "{}", call.url),
                (Err(_), None) => {}
                other => panic!("{name} {value}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_boundary_is_in_no_text() {
    let settings = settings("https://x.test");
    let (name, mut handle) = ("linkedin", handle("linkedin"));
    handle["account_id"] = json!("--postroom-730155");
    let call = call(name, &handle, &settings).unwrap();
    let body = String::from_utf8(call.body).unwrap();
    assert_eq!(body.matches("--postroom-730155x").count(), 3, "{body}");
}
