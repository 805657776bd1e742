//! One client's flood does not keep another's single job waiting, through the whole daemon with its
//! slots, its prefetch and the claims that it gives back.

use crate::{
    on_both_daemons,
    support::{both::Place, eventually, inside::Inside, leftovers::Leftover},
};
use postroom::{
    domain::{Job, JobKind, Outcome, job::NewJob},
    handlers::JobHandler,
    registry::Registry,
    store::Enqueuer,
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
channels.sms.secret = "a-secret-for-tests"
[[clients]]
id = "b"
channels.sms.secret = "a-secret-for-tests"
"#;

/// The clients of the jobs that have started, in order: one list a database, and one for the three
/// nodes.
static STARTED: [Mutex<Vec<String>>; 3] = [const { Mutex::new(Vec::new()) }; 3];

/// Notes whose job starts.
struct Notes<const N: usize>;

impl<const N: usize> JobHandler for Notes<N> {
    const KIND: JobKind = JobKind("NOTES");

    async fn handle(&self, job: &Job) -> Outcome {
        STARTED[N].lock().unwrap_or_else(PoisonError::into_inner).push(job.client_id.clone());
        tokio::task::yield_now().await;
        Outcome::Done(Vec::new())
    }
}

fn job(enqueuer: &Enqueuer, client: &str) -> NewJob {
    NewJob {
        kind: JobKind("NOTES"),
        client_id: client.to_owned(),
        lead_id: None,
        subject_id: enqueuer.next_id(),
        message_id: None,
        draft_id: None,
        max_attempts: 5,
        in_lead_line: false,
        channel: None,
        delay_ms: 0,
        trace: None,
    }
}

on_both_daemons! {
    #[ignore = "long: `just long`"]
    async fn a_single_job_starts_among_the_next_whatever_another_client_has_waiting(place: Place) {
        let (started, registry) = if place.is_sqlite() {
            (&STARTED[0], Registry::default().kind(|_| Notes::<0>))
        } else {
            (&STARTED[1], Registry::default().kind(|_| Notes::<1>))
        };
        let count = || started.lock().unwrap().len();
        let daemon = Inside::start(&place, CONFIG, registry).await;
        daemon.may_leave(Leftover::Unfinished, "the flood is not worked off");
        let enqueuer = daemon.store.enqueuer();
        for _ in 0..FLOOD / GROUP {
            enqueuer.enqueue((0..GROUP).map(|_| job(&enqueuer, "a")).collect()).await.unwrap();
        }
        eventually(Duration::from_secs(30), async || (count() > 100).then_some(())).await;
        enqueuer.enqueue(vec![job(&enqueuer, "b")]).await.unwrap();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `just long`"]
async fn single_jobs_start_among_the_next_of_three_nodes() {
    const NODES: usize = 3;
    const FLOOD: usize = 20_000;
    const SINGLES: usize = 8;
    let Some(place) = Place::postgres() else { return };
    let mut nodes = Vec::new();
    for _ in 0..NODES {
        nodes.push(Inside::start(&place, CONFIG, Registry::default().kind(|_| Notes::<2>)).await);
    }
    let enqueuer = nodes[0].store.enqueuer();
    for _ in 0..FLOOD / GROUP {
        enqueuer.enqueue((0..GROUP).map(|_| job(&enqueuer, "a")).collect()).await.unwrap();
    }
    let started = || STARTED[2].lock().unwrap();
    eventually(Duration::from_secs(30), async || (started().len() > 100).then_some(())).await;
    let mut between = Vec::new();
    for single in 0..SINGLES {
        enqueuer.enqueue(vec![job(&enqueuer, "b")]).await.unwrap();
        let before = started().len();
        let at = eventually(Duration::from_secs(30), async || {
            started().iter().enumerate().filter(|it| it.1 == "b").nth(single).map(|it| it.0)
        })
        .await;
        between.push(at.saturating_sub(before));
    }
    let all = started().len();
    assert!(all < FLOOD, "the flood was over before");
    let most = NODES * STARTS_MAX;
    eprintln!(
        "started of the flood before each single job: {between:?}, at the most {most}; {all} in all"
    );
    // A node that gets no processor for a while holds up the jobs that it has claimed. The others
    // go on.
    assert!(between.iter().all(|it| *it <= 2 * most), "{between:?}");
    between.sort_unstable();
    assert!(between[SINGLES / 2] <= most, "{between:?}");
}
