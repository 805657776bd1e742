//! Answers at the five providers: what goes over the wire, and what each way to fail is taken for.

mod ends;
mod requests;
mod transport;

use postroom::{
    channels::{
        AnyChannel,
        sending::{Call, Letter, Unsendable},
    },
    config::{Secret, SendSettings},
    domain::{event::Address, sending::SendEnd},
    fake_provider::FakeProvider,
    registry,
    wire::{CallEnd, Wire},
};
use serde_json::{Value, json};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

/// Long enough for any answer of this machine.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Each channel, and what it stored with the message that is answered.
fn handles() -> [(&'static str, Value); 5] {
    [
        ("email", json!({"reply_id": "4711", "sender_email_id": "12"})),
        ("sms", json!({"contact_id": "c-1", "location_id": "loc", "conversation_id": "v-1"})),
        ("linkedin", json!({"chat_id": "chat 1/2", "account_id": "acc-1"})),
        (
            "smartlead",
            json!({"campaign_id": "45120", "email_stats_id": "st_9f31",
                "reply_message_id": "<CAK-77@mail.smileworks.test>",
                "reply_email_time": "2026-01-18T14:03:07.000Z"}),
        ),
        ("instantly", json!({"reply_to_uuid": "01-uuid-55", "eaccount": "joel@outfield.test"})),
    ]
}

fn channel(name: &str) -> Arc<dyn AnyChannel> {
    let channels = registry::postroom().channels;
    channels.into_iter().find(|it| it.name().0 == name).expect(name)
}

fn settings(base_url: &str) -> SendSettings {
    SendSettings {
        api_key: Secret::new("key|of+the account"),
        base_url: Some(base_url.to_owned()),
        timeout: TIMEOUT,
        allow_private: true,
        automatic: false,
        sender_email_id: None,
        from_number: None,
        version: None,
    }
}

/// The call of an answer to a message that was stored with `handle`.
fn call(name: &str, handle: &Value, settings: &SendSettings) -> Result<Call, Unsendable> {
    let to = Address { address: Some("mary@x.test".to_owned()), name: Some("Mary".to_owned()) };
    channel(name).reply_call(&Letter {
        reply_handle: handle,
        settings,
        to: &to,
        subject: Some("Re: Hygienists"),
        body: "Hi Mary,\n\n\"Tuesday\" <10:00> & über?",
        quoted: "When?",
        delivery_id: "730155",
    })
}

/// How the call ended, as the handler of sends takes it.
fn send_end(name: &str, end: CallEnd) -> SendEnd {
    match end {
        CallEnd::Answered(answer) => channel(name).reply_answer(&answer),
        CallEnd::NotConnected(why) => SendEnd::NotSent { why, account: None },
        CallEnd::Lost(why) => SendEnd::Unknown { why },
    }
}

/// A fake provider and its URL, while `test` runs.
async fn with_fake<F: Future<Output = ()>>(test: impl FnOnce(FakeProvider, String, Wire) -> F) {
    let fake = FakeProvider::default();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (address, serving) = fake.clone().listen(any).await.unwrap();
    tokio::select! {
        served = serving => panic!("{served:?}"),
        () = test(fake, format!("http://{address}"), Wire::default()) => {}
    }
}
