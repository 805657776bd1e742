//! One client's flood does not keep another's single job waiting: through the whole daemon, with its slots,
//! its prefetch and what goes back.

use crate::{
    on_both_daemons,
    support::{eventually, inside::Inside},
};
use postroom::{
    domain::{Job, JobKind, Outcome, job::NewJob},
    handlers::{Deps, JobHandler},
    registry::Registry,
    store::Feed,
};
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

const FLOOD: usize = 30_000;
const GROUP: usize = 2_000;
/// 2 × (slots + prefetch), as configured below.
const STARTS_MAX: usize = 2 * (8 + 8);
const CONFIG: &str = r#"
[pools.default]
size = 8
prefetch = 8
[[clients]]
id = "a"
channels.sms.secret = "x"
[[clients]]
id = "b"
channels.sms.secret = "x"
"#;

/// Whose jobs have started, in order; one a database.
static STARTED: [Mutex<Vec<String>>; 2] = [const { Mutex::new(Vec::new()) }; 2];

/// Notes whose job starts.
#[derive(Default)]
struct Notes<const N: usize>;

impl<const N: usize> JobHandler for Notes<N> {
    const KIND: JobKind = JobKind("NOTES");

    async fn handle(&self, job: &Job, _: &Deps) -> Outcome {
        STARTED[N].lock().unwrap_or_else(PoisonError::into_inner).push(job.client_id.clone());
        tokio::task::yield_now().await;
        Outcome::Done(Vec::new())
    }
}

fn job(feed: &Feed, client: &str) -> NewJob {
    NewJob {
        kind: JobKind("NOTES"),
        client_id: client.to_owned(),
        lead_id: None,
        subject_id: feed.next_id(),
        message_id: None,
        draft_id: None,
        max_attempts: 5,
        in_lead_line: false,
        delay_ms: 0,
    }
}

on_both_daemons! {
    async fn a_single_job_starts_among_the_next_whatever_another_client_has_waiting(place: Place) {
        let (started, registry) = if place.is_sqlite() {
            (&STARTED[0], Registry::default().kind::<Notes<0>>())
        } else {
            (&STARTED[1], Registry::default().kind::<Notes<1>>())
        };
        let count = || started.lock().unwrap().len();
        let daemon = Inside::start(&place, CONFIG, registry).await;
        let feed = daemon.store.feed();
        for _ in 0..FLOOD / GROUP {
            feed.enqueue((0..GROUP).map(|_| job(&feed, "a")).collect()).await.unwrap();
        }
        eventually(Duration::from_secs(30), async || (count() > 100).then_some(())).await;
        feed.enqueue(vec![job(&feed, "b")]).await.unwrap();
        let before = count();
        let at = eventually(Duration::from_secs(30), async || {
            started.lock().unwrap().iter().position(|it| it == "b")
        })
        .await;
        let between = at.saturating_sub(before);
        assert!(between <= STARTS_MAX, "{between} jobs of the flood started in between");
        assert!(before < FLOOD, "the flood was over before");
    }
}
