//! Hundreds of changes of pools under load, while actors die.

use super::resizing::key;
use super::{KINDS, PATIENCE, Probe, config, enqueue, first_slots, looks, slots, start};
use crate::{
    harness::{Dice, parameter, seed},
    on_both_daemons,
    support::{both::Peek, eventually, inside::Inside, leftovers::Leftover},
};
use postroom::domain::PoolOverride;
use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// The most slots of a pool.
const SIZE_MAX: u64 = 16;
/// Changes between two moments at which everything has followed.
const SETTLE_EVERY: u64 = 10;
/// The most jobs that wait or run at once.
const BACKLOG: usize = 400;
/// Where actors die, and how often a hundred steps make one die there.
const POINTS: [(&str, u64); 10] = [
    ("slot.work", 8),
    ("slot.handle", 3),
    ("slot.started", 2),
    ("recorder.handle", 2),
    ("recorder.commit", 2),
    ("recorder.committed", 2),
    ("supervisor.tick", 2),
    ("supervisor.fit", 2),
    ("supervisor.due", 1),
    ("supervisor.down", 1),
];

/// What the pools should be now.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    /// By the number of the kind.
    sizes: [usize; 2],
    paused: [bool; 2],
    /// The other keys of the file: time-out and pauses in milliseconds, jobs claimed ahead.
    timeout: u64,
    backoff: u64,
    prefetch: u64,
}

impl Wanted {
    /// What the daemon starts with. A job that blocks is to be cut off soon from the start on.
    const fn first() -> Self {
        Self { sizes: [4; 2], paused: [false; 2], timeout: 300, backoff: 5, prefetch: 4 }
    }

    /// The file that says it, without the second kind's section.
    fn file(&self) -> String {
        let Self { timeout, backoff, prefetch, .. } = *self;
        let mut text = "[restart]\nmax_restarts = 10000\n".to_owned();
        text.push_str(&config("100ms", &self.section(0)));
        write!(text, "\n[pools.SECOND]\n{}", self.section(1)).unwrap();
        text.replace(
            "timeout = \"30s\"",
            &format!("timeout = \"{timeout}ms\"\nprefetch = {prefetch}"),
        )
        .replace("base = \"5ms\"", &format!("base = \"{backoff}ms\""))
    }

    fn section(&self, kind: usize) -> String {
        format!("size = {}\npaused = {}", self.sizes[kind], self.paused[kind])
    }

    /// Makes the file say it. Overrides end by this.
    fn reload(&self, daemon: &Inside) {
        daemon.set_config(&self.file());
    }

    /// Sets it beside the file.
    fn set(&self, daemon: &Inside) {
        let of = |kind: usize| PoolOverride {
            kind: KINDS[kind].0.to_owned(),
            size: Some(key(self.sizes[kind])),
            paused: Some(key(self.paused[kind])),
        };
        let mut config = daemon.config.get().as_ref().clone();
        config.pools.set_overrides([of(0), of(1)]);
        daemon.config.set(config);
    }
}

/// Enqueues jobs of all sorts until it is told to stop, and counts them.
async fn load(daemon: &Inside, probes: &[Arc<Probe>; 2], sent: &AtomicUsize, stop: &AtomicBool) {
    let mut dice = Dice::new(7);
    let sorts = ["fine", "slow", "slow", "slow", "panics", "hangs", "fails"];
    while !stop.load(Ordering::SeqCst) {
        let done = probes.iter().map(|it| it.done()).sum::<usize>();
        if sent.load(Ordering::SeqCst) - done > BACKLOG {
            let is_room = |_: &_| {
                let done = probes.iter().map(|it| it.done()).sum::<usize>();
                stop.load(Ordering::SeqCst) || sent.load(Ordering::SeqCst) - done <= BACKLOG
            };
            daemon.board.wait_until(is_room).await;
            continue;
        }
        let pick = dice.below(100);
        // Most work well.
        let client = match pick {
            0..70 => sorts[dice.below(4) as usize],
            _ => sorts[4 + dice.below(3) as usize],
        };
        let (kind, count) = (KINDS[dice.below(2) as usize], 1 + dice.below(12) as usize);
        let count = if client == "hangs" { 1 } else { count };
        sent.fetch_add(count, Ordering::SeqCst);
        enqueue(daemon, kind, client, count).await;
    }
}

/// Everything has followed: from here on no more jobs run than there are slots.
async fn settle(daemon: &Inside, wanted: &Wanted) {
    let has_followed = |_: &_| {
        (0..2).all(|kind| {
            let view = daemon.board.pool(KINDS[kind]).view();
            let is_sized = view.size == wanted.sizes[kind] && view.leaving == 0;
            is_sized && view.paused == wanted.paused[kind]
        })
    };
    let followed = daemon.board.wait_until(has_followed);
    let views = || daemon.board.pools();
    assert!(tokio::time::timeout(PATIENCE, followed).await.is_ok(), "{wanted:?} {:#?}", views());
}

/// Makes one change, and lets some actors die soon.
fn change(daemon: &Inside, wanted: &mut Wanted, dice: &mut Dice) {
    let kind = dice.below(2) as usize;
    match dice.below(100) {
        0..60 => wanted.sizes[kind] = 1 + dice.below(SIZE_MAX) as usize,
        60..75 => wanted.paused[kind] = !wanted.paused[kind],
        _ => {
            wanted.timeout = 200 + dice.below(200);
            wanted.backoff = 1 + dice.below(10);
            wanted.prefetch = dice.below(20);
        }
    }
    match dice.percent(70) {
        // As a person does it.
        true => wanted.set(daemon),
        false => wanted.reload(daemon),
    }
    for (point, of_hundred) in POINTS {
        if dice.percent(of_hundred) {
            daemon.board.faults().arm(point, 1);
        }
    }
}

/// Makes the changes, and checks at each step that no more jobs run than may.
async fn storm(daemon: &Inside, probes: &[Arc<Probe>; 2], dice: &mut Dice) -> Wanted {
    let mut wanted = Wanted::first();
    settle(daemon, &wanted).await;
    // The greatest size since everything had followed.
    let mut most = wanted.sizes;
    for step in 0..parameter("POOL_STEPS", 300) {
        change(daemon, &mut wanted, dice);
        for (most, size) in most.iter_mut().zip(wanted.sizes) {
            *most = size.max(*most);
        }
        let pause = Duration::from_millis(dice.below(8));
        // Nothing is waited for: so changes come upon each other in any state.
        tokio::time::sleep(pause).await;
        if step % SETTLE_EVERY == SETTLE_EVERY - 1 {
            settle(daemon, &wanted).await;
            for kind in 0..2 {
                let seen = probes[kind].most.swap(0, Ordering::SeqCst);
                assert!(seen <= most[kind], "step {step}: {seen} ran of {}", most[kind]);
                let now = probes[kind].running();
                assert!(now <= wanted.sizes[kind], "step {step}: {now} run, {wanted:?}");
            }
            most = wanted.sizes;
        }
    }
    wanted
}

/// Checks that each job was done exactly once, and why attempts failed.
async fn each_job_once(db: &Peek, probes: &[Arc<Probe>; 2], sent: usize) {
    assert_eq!(db.number("select count(*) from jobs").await, sent as i64);
    let succeeded = "select count(*) from job_attempts where ended and outcome = 'succeeded'";
    assert_eq!(db.number(succeeded).await, sent as i64);
    let twice = "select job_id from job_attempts where ended group by job_id having count(*) > 1";
    assert_eq!(db.number(&format!("select count(*) from ({twice}) as twice")).await, 0);
    let reasons = db.texts("select distinct outcome from job_attempts order by outcome").await;
    let known = ["error", "panic", "rescued", "released", "stuck", "succeeded", "timeout"];
    assert!(reasons.iter().all(|it| known.contains(&it.as_str())), "{reasons:?}");
    let mut done = 0;
    for probe in probes {
        let jobs = probe.done.lock().unwrap().clone();
        // A recorder that dies twice over an outcome makes it a failed attempt.
        for (id, times) in jobs.iter().filter(|(_, times)| **times > 1) {
            let of_job = format!("from job_attempts where job_id = {id}");
            let again = format!("select count(*) {of_job} and error = 'the recorder died over it'");
            let attempts =
                format!("select run || ' ' || outcome || ': ' || coalesce(error, '') {of_job}");
            let (again, attempts) = (db.number(&again).await, db.texts(&attempts).await);
            assert_eq!(i64::from(*times), 1 + again, "job {id} was done too often: {attempts:?}");
        }
        done += jobs.len();
    }
    assert_eq!(done, sent - KINDS.len(), "each was done by its handler, except those that block");
}

on_both_daemons! {
    /// Resizes, pauses and reloads come upon each other, and slots, recorders and supervisors die.
    /// At last the daemon is told to stop in the middle of its work.
    #[ignore = "long: `just long`"]
    async fn hundreds_of_changes_under_load_while_actors_die_lose_and_double_nothing(place: Place) {
        let mut dice = Dice::new(seed());
        let begun = Instant::now();
        let (daemon, probes) = start(&place, &Wanted::first().file()).await;
        daemon.may_leave(Leftover::Panic, "the test makes actors and handlers go down");
        daemon.may_leave(Leftover::Stuck, "the test makes a handler keep its thread");
        let db = Peek::open(&daemon.database_url).await;
        let (sent, stop) = (AtomicUsize::new(0), AtomicBool::new(false));

        // One handler of each kind keeps its thread: its slot is replaced, or goes.
        for kind in KINDS {
            enqueue(&daemon, kind, "blocks", 1).await;
            sent.fetch_add(1, Ordering::SeqCst);
        }
        let changing = async {
            let last = storm(&daemon, &probes, &mut dice).await;
            stop.store(true, Ordering::SeqCst);
            last
        };
        let (mut wanted, ()) = tokio::join!(changing, load(&daemon, &probes, &sent, &stop));
        let took = begun.elapsed();

        // Nothing dies any more, and all jobs end.
        POINTS.iter().for_each(|(point, _)| daemon.board.faults().arm(point, 0));
        (wanted.sizes, wanted.paused) = ([3, 5], [false; 2]);
        wanted.reload(&daemon);
        probes.iter().for_each(|it| it.is_mended.store(true, Ordering::SeqCst));
        let sent = sent.into_inner();
        let all_done = async || (db.unfinished().await == 0).then_some(());
        eventually(PATIENCE * 2, all_done).await;
        each_job_once(&db, &probes, sent).await;
        settle(&daemon, &wanted).await;
        for (kind, size) in KINDS.into_iter().zip(wanted.sizes) {
            eventually(PATIENCE, async || (slots(&daemon, kind) == first_slots(kind, size)).then_some(())).await;
        }
        let restarts: u64 = daemon.board.actors().iter().map(|it| it.restarts).sum();
        eprintln!("{sent} jobs and {restarts} restarts in {took:?}, all over after {:?}", begun.elapsed());

        // It is told to stop while jobs run and wait: none of them stays claimed.
        daemon.may_leave(Leftover::Unfinished, "it is told to stop in the middle of its work");
        for kind in KINDS {
            enqueue(&daemon, kind, "slow", 200).await;
        }
        looks(&daemon, |it| it.busy > 0).await;
        drop(daemon);
    }
}
