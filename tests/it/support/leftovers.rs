//! The check at the end of every test: it runs when a daemon or a store is dropped, and fails the
//! test if something is left.
//!
//! A job that nobody works, a line without a head or a panic that no test asserts on is found here,
//! in whichever test it happens. A test that leaves something on purpose says what and why, with
//! `may_leave`. The daemons of `support::shared` are never dropped, and so are not checked.

use super::both::Peek;
use std::{fmt::Write as _, future::Future, path::Path, sync::Mutex, thread, time::Duration};
use tokio::time::Instant;

/// How long a daemon gets to finish what the test has given it.
pub const PATIENCE_WITH_DAEMONS: Duration = Duration::from_secs(30);
/// How long a store gets for calls that its test has dropped: nobody works its jobs.
pub const PATIENCE_WITH_STORES: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How many of one sort are named.
const NAMED: usize = 5;

/// The sorts of things that a test may leave behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leftover {
    /// A job that is due and has not ended, though a daemon runs that works jobs.
    Unfinished,
    /// A job that is claimed by a node which is gone.
    Orphaned,
    /// A job in no place, in two places, or a place of no job.
    Misplaced,
    /// A line with blocked jobs and no head.
    Headless,
    /// Counts of the overview that differ from the tables.
    Miscounted,
    /// A handler that was cut off and kept its thread.
    Stuck,
    /// A panic in the log, or of a handler.
    Panic,
    /// Anything in the database: it is away or damaged, or its rows were made by hand.
    Anything,
}

use Leftover::{Anything, Headless, Miscounted, Misplaced, Orphaned, Panic, Stuck, Unfinished};

/// Forbidden for a daemon that runs and works jobs.
pub const OF_DAEMONS: &[Leftover] = &[Misplaced, Headless, Orphaned, Stuck, Panic, Unfinished];
/// Forbidden for a daemon that has ended or works no jobs.
pub const OF_ENDED: &[Leftover] = &[Misplaced, Headless, Orphaned, Stuck, Panic];
/// Forbidden for a store. Its tests claim and settle by hand, so jobs may be left unfinished.
pub const OF_STORES: &[Leftover] = &[Misplaced, Headless, Orphaned, Miscounted];

/// One thing that is left: its sort, and which it is.
pub type Left = (Leftover, String);

/// The leftovers that one test allows, each with the reason.
#[derive(Debug, Default)]
pub struct Allowed(Mutex<Vec<(Leftover, &'static str)>>);

impl Allowed {
    /// Notes that `what` may be left, and why that is right.
    pub fn add(&self, what: Leftover, why: &'static str) {
        self.0.lock().expect("no panic before").push((what, why));
    }

    /// Whether that was noted.
    pub fn has(&self, what: Leftover) -> bool {
        self.0.lock().expect("no panic before").iter().any(|it| it.0 == what)
    }

    /// Those of `all` that were not allowed.
    pub fn rest_of(&self, all: &[Leftover]) -> Vec<Leftover> {
        all.iter().copied().filter(|it| !self.has(*it)).collect()
    }
}

/// Those of `forbidden` that are in the database of this URL, and stay there for all of `patience`.
///
/// Costs a connection and one statement. Works in a `drop`, on any thread.
pub fn left_in(
    url: &str,
    allowed: &Allowed,
    forbidden: &[Leftover],
    patience: Duration,
) -> Vec<Left> {
    let file = url.strip_prefix("sqlite://").map(Path::new);
    // A daemon that was never ready may have made no file.
    if allowed.has(Anything) || file.is_some_and(|it| !it.exists()) {
        return Vec::new();
    }
    let forbidden = allowed.rest_of(forbidden);
    on_a_thread(async {
        let peek = Peek::open(url).await;
        let left = left_at_last(&peek, &forbidden, patience).await;
        peek.close().await;
        left
    })
}

/// Panics in a daemon's log.
pub fn left_in_log(log: &str, allowed: &Allowed) -> Vec<Left> {
    let panics = log.lines().filter(|line| !allowed.has(Panic) && line.contains("panicked at"));
    panics.map(|it| (Panic, it.to_owned())).collect()
}

/// Panics if something is left.
pub fn assert_nothing(found: &[Left]) {
    if found.is_empty() {
        return;
    }
    let mut text = String::new();
    let mut last = None;
    let mut count = 0;
    for (what, which) in found {
        count = if last == Some(*what) { count + 1 } else { 1 };
        last = Some(*what);
        if count <= NAMED {
            write!(text, "\n  {what:?}: {which}").expect("a text takes everything");
        }
    }
    panic!(
        "the test leaves {} things behind; say `may_leave` where that is right:{text}",
        found.len()
    );
}

/// Waits until nothing is left, or says what is.
async fn left_at_last(peek: &Peek, forbidden: &[Leftover], patience: Duration) -> Vec<Left> {
    let begun = Instant::now();
    loop {
        let left = found(peek, forbidden).await;
        if left.is_empty() || begun.elapsed() > patience {
            return left;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Those of `forbidden` that are in the database now: one statement for all of them.
pub async fn found(peek: &Peek, forbidden: &[Leftover]) -> Vec<Left> {
    if forbidden.is_empty() || !peek.has_table("job_attempts").await {
        return Vec::new();
    }
    let parts = forbidden.iter().enumerate().map(|(number, what)| {
        let select = select(*what);
        format!("select '{number}|' || which from ({select}) as s{number}")
    });
    let places = "select job_id from job_ready union all select job_id from job_blocked \
        union all select job_id from job_later \
        union all select job_id from job_attempts where ended";
    let parts: Vec<String> = parts.collect();
    let sql = format!("with places as ({places}) {}", parts.join(" union all "));
    let rows = peek.texts(&sql).await;
    let row = |row: &String| {
        let (number, which) = row.split_once('|').expect("a number before each");
        let number: usize = number.parse().expect("a number before each");
        (*forbidden.get(number).expect("one of those asked for"), which.to_owned())
    };
    rows.iter().map(row).collect()
}

/// A column `which` with a row for each thing of that sort; `places` is where jobs are.
fn select(what: Leftover) -> &'static str {
    match what {
        Unfinished => {
            "select 'job ' || job_id || ' of kind ' || kind || case when node is null \
               then ' waits' else ' runs' end as which from job_ready"
        }
        Orphaned => {
            "select 'job ' || job_id || ' is claimed by node ' || node as which from job_ready \
               where node is not null and node not in (select id from nodes)"
        }
        Misplaced => {
            "select 'job ' || job_id || ' is in ' || count(*) || ' places' as which from places \
               group by job_id having count(*) > 1 \
             union all select 'job ' || id || ' is in no place' from jobs \
               where id not in (select job_id from places) \
             union all select 'there is no job ' || job_id from places \
               where job_id not in (select id from jobs) \
             union all select 'run ' || r.run || ' of job ' || r.job_id || ' went back' \
               from job_ready r join job_attempts a on a.job_id = r.job_id and a.run > r.run"
        }
        Headless => {
            "select distinct 'line ' || line as which from job_blocked \
               where line not in (select line from job_ready)"
        }
        Miscounted => {
            "select counted || ' are counted, and there are ' || waiting as which from \
               (select (select coalesce(sum(case when state = 'enqueued' then count \
                   else -count end), 0) from job_counts) as counted, \
                 (select count(*) from job_ready) + (select count(*) from job_blocked) \
                 + (select count(*) from job_later) as waiting) as totals \
               where counted <> waiting"
        }
        Stuck => "select 'job ' || job_id as which from job_attempts where outcome = 'stuck'",
        Panic => {
            "select 'job ' || job_id || ': ' || coalesce(error, '') as which from job_attempts \
               where outcome = 'panic'"
        }
        Anything => unreachable!("nothing is looked for then"),
    }
}

/// Runs `work` to its end in the middle of a `drop`, whatever runtime that is in.
fn on_a_thread<T: Send>(work: impl Future<Output = T> + Send) -> T {
    thread::scope(|scope| {
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(work)
        };
        let thread = thread::Builder::new().name("leftovers".to_owned()).spawn_scoped(scope, run);
        match thread.expect("a thread").join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
