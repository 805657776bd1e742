//! Accounts that send nothing are found: in the overview, at their client, in the checks and in the
//! metrics.

use crate::{
    on_both_daemons,
    support::{COUNTS_WITHIN, both::Peek, eventually, web::ask},
};
use reqwest::Method;
use serde_json::{Value, json};

const CONFIG: &str = "[[clients]]\nid = \"acme\"\n[clients.channels.sms]\nallow_unauthenticated = true\n\
    send = { api_key = \"k-1\" }\n";

on_both_daemons! {
    async fn an_account_in_trouble_is_named_wherever_an_operator_looks(place: Place) {
        let daemon = place.start(CONFIG).await;
        let peek = Peek::of(&daemon).await;
        let overview = async || ask(daemon.api(Method::GET, "/overview")).await.body;
        assert_eq!(overview().await["accounts"], json!([]));
        let (now, later) = match peek.is_sqlite() {
            true => ("cast(unixepoch('subsec') * 1000 as integer)", "cast(unixepoch('subsec') * 1000 as integer) + 300000"),
            false => ("now()", "now() + interval '5 minutes'"),
        };
        for client in ["acme", "gone"] {
            peek.execute(&format!(
                "insert into send_accounts (client_id, channel, state, paused_until, reason, since) \
                 values ('{client}', 'sms', 'disconnected', {later}, '401: not accepted', {now})"
            ))
            .await;
        }
        let accounts = eventually(COUNTS_WITHIN, async || {
            let accounts = overview().await["accounts"].clone();
            (accounts != json!([])).then_some(accounts)
        })
        .await;
        let [account] = accounts.as_array().unwrap().as_slice() else { panic!("{accounts}") };
        let text = |name: &str| account[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(["client_id", "channel", "state", "error"].map(text), ["acme", "sms", "disconnected", "401: not accepted"]);
        assert!(text("until") > text("since"), "{account}");
        let client = ask(daemon.api(Method::GET, "/clients/acme")).await;
        assert_eq!(client.body["channels"][0]["trouble"], json!("disconnected"), "{client:?}");
        // It does not make the daemon unready, and whose account it is is not for everybody.
        let ready = ask(daemon.get("/readyz")).await;
        assert_eq!((ready.status, &ready.body["checks"]["accounts"]), (200, &json!({"ok": false, "detail": "1 disconnected"})));
        let metrics = daemon.get("/metrics").send().await.unwrap().text().await.unwrap();
        assert!(metrics.contains("\npostroom_accounts_disconnected 1\n"), "{metrics}");
        peek.execute("delete from send_accounts").await;
        eventually(COUNTS_WITHIN, async || (overview().await["accounts"] == Value::Array(Vec::new())).then_some(())).await;
    }
}
