//! The search leads to the one thing that a text names, or lists what it names.

use super::page;
use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        daemon::Daemon,
        http_without_redirects,
        web::{ask, mail, sms},
    },
};
use reqwest::Method;
use serde_json::json;
use std::collections::BTreeSet;

/// Where a search leads; `None` if it answers with a page.
async fn found(daemon: &Daemon, q: &str) -> Option<String> {
    let client = http_without_redirects();
    let request = client.get(daemon.url("/search")).query(&[("q", q)]);
    let answer = request.bearer_auth(daemon.admin_token()).send().await.unwrap();
    let location = answer.headers().get("location").map(|it| it.to_str().unwrap().to_owned());
    assert_eq!(answer.status().as_u16(), if location.is_some() { 303 } else { 200 }, "{q}");
    location
}

on_both_daemons! {
    async fn a_text_leads_to_what_it_names(place: Place) {
        let daemon = place.start("").await;
        let posted = daemon.webhook("sms", "demo").header("x-request-id", "req-7d3f");
        let text = ask(posted.json(&sms(1, "Hello"))).await;
        let mail = ask(daemon.webhook("instantly", "demo").json(&mail(2))).await;
        assert_eq!((text.status, mail.status), (200, 200), "{text:?} {mail:?}");
        let strange = json!({"type": "Nope", "body": "Hello"});
        let held = ask(daemon.webhook("sms", "demo").json(&strange)).await;
        let held = held.field("quarantine_id");
        let db = Peek::of(&daemon).await;
        let of_text = db.texts("select cast(lead_id as text) from messages where request_id = 'req-7d3f'").await.remove(0);
        let of_mail = db.texts(&format!("select cast(id as text) from leads where id <> {of_text}")).await.remove(0);
        let phone = db.texts("select value from lead_identities where kind = 'phone'").await.remove(0);
        let address = db
            .texts(&format!("select value from lead_identities where kind = 'email' and lead_id = {of_mail}"))
            .await
            .remove(0);
        let job = text.job_ids().remove(0);
        // The provider's id, of which the key of its channel is only a part.
        let provider = db
            .texts(&format!("select provider_id from messages where lead_id = {of_mail}"))
            .await
            .remove(0);
        let key = db.texts("select key from message_keys where channel = 'instantly'").await.remove(0);
        assert!(key.starts_with(&format!("{provider}:")), "{key}");
        let received = ask(daemon.api(Method::GET, &format!("/received?q={provider}"))).await;
        assert_eq!(received.items().len(), 1, "{received:?}");
        let lead = |id: &str| Some(format!("/leads/{id}"));
        let spaced = format!("{} {}-{}", &phone[..5], &phone[5..8], &phone[8..]);
        for (q, to) in [
            (job.as_str(), Some(format!("/jobs/{job}"))),
            (of_text.as_str(), lead(&of_text)),
            (text.field("message_id"), lead(&of_text)),
            (held, Some(format!("/quarantine/{held}"))),
            (" req-7d3f ", lead(&of_text)),
            (provider.as_str(), lead(&of_mail)),
            (phone.as_str(), lead(&of_text)),
            (spaced.as_str(), lead(&of_text)),
            (address.as_str(), lead(&of_mail)),
            (address.to_uppercase().as_str(), lead(&of_mail)),
            ("demo", Some("/clients/demo".to_owned())),
            ("SELF_CHECK", Some("/jobs?kind=SELF_CHECK".to_owned())),
            ("nothing of that name", Some("/inbox?view=all&q=nothing+of+that+name".to_owned())),
            ("<script>", Some("/inbox?view=all&q=%3Cscript%3E".to_owned())),
            ("", Some("/".to_owned())),
        ] {
            assert_eq!(found(&daemon, q).await, to, "{q:?}");
        }
        assert_eq!(page(&daemon, "/search?query=x").await.status, 400);
        // One address in two clients is a list.
        db.execute(&format!(
            "insert into leads (id, client_id, status, created_at) select 77, 'other', status, created_at from leads where id = {of_mail}"
        ))
        .await;
        db.execute(&format!(
            "insert into lead_identities (client_id, kind, value, lead_id) values ('other', 'email', '{address}', 77)"
        ))
        .await;
        assert_eq!(found(&daemon, &address).await, None);
        let listed = page(&daemon, &format!("/search?q={}", address.replace('@', "%40"))).await;
        listed.has(&format!("href=\"/leads/{of_mail}\"")).has("href=\"/leads/77\"").has("other");
        let hits = ask(daemon.api(Method::GET, &format!("/search?q={}", address.replace('@', "%40")))).await;
        let ids: BTreeSet<&str> = hits.items().iter().map(|it| it["id"].as_str().unwrap()).collect();
        assert_eq!(ids, BTreeSet::from([of_mail.as_str(), "77"]));
        assert_eq!((&hits.items()[0]["type"], &hits.items()[0]["found_by"]), (&"lead".into(), &"email".into()));
    }
}
