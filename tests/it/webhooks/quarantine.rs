//! An authentic webhook that is not understood is kept, and can be replayed after a fix.

use crate::{
    on_both_daemons,
    support::{
        eventually,
        inside::Inside,
        leftovers::Leftover,
        web::{Answer, ask, mail, sms},
    },
};
use postroom::{
    channels::{Channel, EventRow, Received, samples::MadeUpLead, sms::Sms},
    domain::{ChannelName, Interpreted, JobKind, Medium, NotUnderstood},
    registry::Registry,
};
use reqwest::Method;
use serde_json::Value;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// Whether the version with the fix runs; one a database, because their tests run side by side.
static FIXED: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];

/// The SMS channel of a version that did not know these webhooks yet.
struct Learning<const N: usize>(Sms);

impl<const N: usize> Channel for Learning<N> {
    const NAME: ChannelName = <Sms as Channel>::NAME;
    const MEDIUM: Medium = <Sms as Channel>::MEDIUM;
    const POST_PROCESS: JobKind = <Sms as Channel>::POST_PROCESS;
    const TABLE: &'static [EventRow] = <Sms as Channel>::TABLE;
    const OTHERS: &'static str = <Sms as Channel>::OTHERS;
    const SECRET_HEADER: Option<&'static str> = None;
    const ACCOUNT: &'static [&'static str] = <Sms as Channel>::ACCOUNT;
    const MESSAGE_EVENT: &'static str = <Sms as Channel>::MESSAGE_EVENT;

    fn sample(&self, event: &str, lead: &MadeUpLead) -> Value {
        Channel::sample(&self.0, event, lead)
    }

    fn interpret(&self, received: &Received<'_>) -> Result<Interpreted, NotUnderstood> {
        if FIXED[N].load(Ordering::SeqCst) {
            return Channel::interpret(&self.0, received);
        }
        Err(NotUnderstood { event_type: None, reason: "unknown_shape".to_owned() })
    }
}

async fn replay(daemon: &Inside, id: &str) -> Answer {
    ask(daemon.request(Method::POST, &format!("/quarantine/{id}/replay"))).await
}

on_both_daemons! {
    async fn a_held_webhook_is_replayed_after_a_fix_as_if_it_had_just_come(place: Place) {
        let (fixed, registry) = if place.is_sqlite() {
            (&FIXED[0], Registry::default().channel(Learning::<0>(Sms)))
        } else {
            (&FIXED[1], Registry::default().channel(Learning::<1>(Sms)))
        };
        let daemon = Inside::start(&place, "", registry).await;
        daemon.may_leave(Leftover::Unfinished, "its registry has no kind that scores leads");
        let held = ask(daemon.webhook("sms", "demo").json(&sms(1, "Hello"))).await;
        assert_eq!((held.outcome(), held.field("reason")), ("quarantined", "unknown_shape"));
        let id = held.field("quarantine_id").to_owned();
        let again = ask(daemon.webhook("sms", "demo").json(&sms(1, "Hello"))).await;
        assert_eq!(again.field("quarantine_id"), id, "the same bytes are the same item");
        let item = daemon.api(&format!("/quarantine/{id}")).await;
        assert_eq!((item.body["count"].as_i64(), item.field("status")), (Some(2), "held"));
        assert!(item.field("payload").contains("Hello"));

        let early = replay(&daemon, &id).await;
        assert_eq!((early.outcome(), early.field("quarantine_id")), ("quarantined", id.as_str()));
        let rows = async || daemon.api(&format!("/audit?target={id}")).await;
        assert_eq!(rows().await.items(), &[] as &[Value], "it is still held");
        fixed.store(true, Ordering::SeqCst);
        let answer = replay(&daemon, &id).await;
        assert_eq!(answer.outcome(), "accepted", "{answer:?}");
        let message = daemon.api(&format!("/messages/{}", answer.field("message_id"))).await;
        assert_eq!(message.field("sent_at"), item.field("received_at"), "the time of its receipt");
        replay(&daemon, &id).await.is_problem(409, "conflict");
        let rows = rows().await;
        let [row] = rows.items() else { panic!("{rows:?}") };
        let told = [&row["action"], &row["role"], &row["old"], &row["new"]];
        assert_eq!(told, ["quarantine.replay", "operator", "held", "replayed"], "{row}");
        let listed = daemon.api("/quarantine?status=replayed").await;
        assert_eq!(listed.items().len(), 1);
        let job = answer.job_ids().pop().expect("a job");
        eventually(Duration::from_secs(20), async || {
            let job = daemon.api(&format!("/jobs/{job}")).await;
            (job.field("status") == "succeeded").then_some(())
        })
        .await;
    }

    async fn a_discarded_one_is_kept_and_done_with(place: Place) {
        let daemon = Inside::start(&place, "", postroom::registry::postroom()).await;
        let mut body = mail(1);
        body["event_type"] = "something_new".into();
        let held = ask(daemon.webhook("instantly", "demo").json(&body)).await;
        assert_eq!(held.outcome(), "quarantined", "{held:?}");
        let path = format!("/quarantine/{}", held.field("quarantine_id"));
        let gone = ask(daemon.request(Method::DELETE, &path)).await;
        assert_eq!((gone.status, gone.field("status")), (200, "discarded"), "{gone:?}");
        ask(daemon.request(Method::DELETE, &path)).await.is_problem(409, "conflict");
        replay(&daemon, held.field("quarantine_id")).await.is_problem(409, "conflict");
        assert!(daemon.api("/quarantine?status=held").await.items().is_empty());
        ask(daemon.request(Method::GET, "/quarantine/12345")).await.is_problem(404, "not-found");
    }
}
