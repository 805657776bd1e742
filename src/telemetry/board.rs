//! The board: where actors post what they are doing. The API, the metrics and the tests read it
//! and send no actor a message.
//!
//! Posting is a few atomic stores, so a slot can afford it for every job. An actor holds its
//! [`Presence`]. When the presence is dropped, which unwinding does too, the board marks the actor
//! as dead and tells the supervisor, or the guardian if the actor was the supervisor.

use super::{
    faults::Faults,
    pool_post::{PoolPost, PoolView},
    traces::Traces,
};
use crate::domain::{Id, JobKind, Timestamp};
use dashmap::DashMap;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, mpsc, watch};

/// The type of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActorType {
    /// Watches the supervisor and replaces it when it dies.
    Guardian,
    /// Claims jobs, gives them to slots, restarts actors.
    Supervisor,
    /// Commits a channel's webhooks.
    Ingest,
    /// One slot of a pool.
    Handler,
    /// Commits what handlers decided.
    Recorder,
    /// Rescues, prunes, runs the canary.
    Janitor,
    /// Listens for jobs that other nodes stored.
    Listener,
}

impl ActorType {
    /// All types.
    pub const ALL: [Self; 7] = [
        Self::Guardian,
        Self::Supervisor,
        Self::Ingest,
        Self::Handler,
        Self::Recorder,
        Self::Janitor,
        Self::Listener,
    ];

    /// As the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Guardian => "guardian",
            Self::Supervisor => "supervisor",
            Self::Ingest => "ingest",
            Self::Handler => "handler",
            Self::Recorder => "recorder",
            Self::Janitor => "janitor",
            Self::Listener => "listener",
        }
    }
}

/// What an actor does right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorState {
    /// It waits for something to do.
    Idle,
    /// It works on something.
    Busy,
    /// It will be started again after a pause.
    BackingOff,
    /// It has ended and posts no more.
    Dead,
}

impl ActorState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Idle, Self::Busy, Self::BackingOff, Self::Dead];

    /// As the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::BackingOff => "backing_off",
            Self::Dead => "dead",
        }
    }

    const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Idle,
            1 => Self::Busy,
            2 => Self::BackingOff,
            _ => Self::Dead,
        }
    }
}

/// The last failure of an actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorFailure {
    /// When it failed.
    pub at: Timestamp,
    /// The reason, for an operator to read.
    pub reason: String,
}

/// One actor's place on the board. It outlives the actor: a replacement posts in the same place.
#[derive(Debug)]
pub struct Post {
    name: String,
    kind: ActorType,
    /// The name of the actor that owns this one; empty for the guardian.
    parent: &'static str,
    /// An [`ActorState`] as its number.
    state: AtomicU8,
    /// When `state` was set, in Unix milliseconds.
    since_ms: AtomicI64,
    /// When the actor is started again, in Unix milliseconds, while it backs off.
    resumes_at_ms: AtomicI64,
    /// The job that the actor works on; 0 if none.
    job_id: AtomicI64,
    /// How many times the actor was started again.
    restarts: AtomicU64,
    mailbox_depth: AtomicUsize,
    mailbox_capacity: AtomicUsize,
    last_failure: Mutex<Option<ActorFailure>>,
}

impl Post {
    /// Posts that the actor has worked on `job_id` (0: on no job) since `now`.
    pub fn busy(&self, job_id: Id, now: Timestamp) {
        self.job_id.store(job_id, Ordering::Relaxed);
        self.set(ActorState::Busy, now);
    }

    /// Posts that the actor has waited since `now`.
    pub fn idle(&self, now: Timestamp) {
        self.job_id.store(0, Ordering::Relaxed);
        self.set(ActorState::Idle, now);
    }

    /// Posts what the actor has done since `now`.
    pub fn set(&self, state: ActorState, now: Timestamp) {
        self.since_ms.store(now.as_millis(), Ordering::Relaxed);
        self.state.store(state as u8, Ordering::Release);
    }

    /// Posts that the actor has gone down at `now` too often, and is started again after `pause`.
    pub fn backs_off(&self, pause: Duration, now: Timestamp) {
        self.resumes_at_ms.store(now.plus(pause).as_millis(), Ordering::Relaxed);
        self.set(ActorState::BackingOff, now);
    }

    /// Posts how many messages wait for the actor, and how many may.
    pub fn mailbox(&self, depth: usize, capacity: usize) {
        self.mailbox_depth.store(depth, Ordering::Relaxed);
        self.mailbox_capacity.store(capacity, Ordering::Relaxed);
    }

    /// Posts the actor's last failure.
    pub fn failed(&self, at: Timestamp, reason: impl Into<String>) {
        let mut last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(ActorFailure { at, reason: reason.into() });
    }

    /// Counts that the actor was started again.
    pub fn restarted(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// The actor's state now.
    pub fn state(&self) -> ActorState {
        ActorState::from_code(self.state.load(Ordering::Acquire))
    }

    /// A copy for readers.
    pub fn view(&self) -> ActorView {
        let job_id = self.job_id.load(Ordering::Relaxed);
        let state = self.state();
        let resumes_at = Timestamp::from_millis(self.resumes_at_ms.load(Ordering::Relaxed));
        ActorView {
            name: self.name.clone(),
            kind: self.kind,
            parent: self.parent,
            state,
            resumes_at: (state == ActorState::BackingOff).then_some(resumes_at),
            since: Timestamp::from_millis(self.since_ms.load(Ordering::Relaxed)),
            restarts: self.restarts.load(Ordering::Relaxed),
            last_failure: self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            mailbox_depth: self.mailbox_depth.load(Ordering::Relaxed),
            mailbox_capacity: self.mailbox_capacity.load(Ordering::Relaxed),
            job_id: (job_id != 0).then_some(job_id),
        }
    }
}

/// A copy of one actor's post, for readers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorView {
    /// Its name: `ingest/sms`, `SMS_INBOUND_POST_PROCESS/3`, `recorder`.
    pub name: String,
    /// Its type.
    pub kind: ActorType,
    /// The name of the actor that owns it; empty for the guardian.
    pub parent: &'static str,
    /// Its state.
    pub state: ActorState,
    /// Since when it has been in that state.
    pub since: Timestamp,
    /// When it is started again, while it backs off.
    pub resumes_at: Option<Timestamp>,
    /// How many times it was started again.
    pub restarts: u64,
    /// Its last failure, if it ever failed.
    pub last_failure: Option<ActorFailure>,
    /// How many messages wait for it.
    pub mailbox_depth: usize,
    /// How many messages may wait for it.
    pub mailbox_capacity: usize,
    /// The job that it works on, if any.
    pub job_id: Option<Id>,
}

/// An actor went down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Down {
    /// The name of the actor.
    pub name: String,
    /// Its type.
    pub kind: ActorType,
    /// True if it panicked.
    pub panicked: bool,
}

/// Where the board reports actors that went down. The channels have no bound of their own: an
/// actor sends at most one report in its life, so the number of actors bounds them.
#[derive(Debug)]
pub struct Downs {
    /// For the supervisor: all actors except supervisors.
    pub actors: mpsc::UnboundedReceiver<Down>,
    /// For the guardian: supervisors.
    pub supervisors: mpsc::UnboundedReceiver<Down>,
}

/// Why the process cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fatal {
    /// The supervisor went down too many times.
    Supervisor,
    /// Handlers that never yield hold too many threads.
    LostThreads,
    /// The node was silent until its row was removed: another node may give out the same ids.
    Forgotten,
    /// A thread of actors, or the supervisor, stands still.
    Stalled,
    /// The tuner has panicked.
    Tuner,
}

/// An actor's guard. If it is dropped without [`Presence::leave`], the board reports that the
/// actor went down.
#[derive(Debug)]
pub struct Presence {
    post: Arc<Post>,
    /// Where the death of the actor is reported.
    downs: mpsc::UnboundedSender<Down>,
    /// True if the actor stops on purpose, so that its end is not reported.
    has_left: bool,
    /// True if a replacement has taken this place; this guard then changes nothing.
    has_given_place: bool,
}

impl Presence {
    /// The actor's place on the board.
    pub const fn post(&self) -> &Arc<Post> {
        &self.post
    }

    /// Notes that the actor stops on purpose. Its end is posted but not reported.
    pub fn leave(&mut self) {
        self.has_left = true;
    }

    /// Notes that another actor has taken this place. The end of this actor is then neither posted
    /// nor reported.
    pub fn give_place(&mut self) {
        self.has_left = true;
        self.has_given_place = true;
    }
}

impl Drop for Presence {
    /// Must not panic: it runs while unwinding.
    fn drop(&mut self) {
        if !self.has_given_place {
            self.post.state.store(ActorState::Dead as u8, Ordering::Release);
        }
        if !self.has_left {
            let down = Down {
                name: self.post.name.clone(),
                kind: self.post.kind,
                panicked: std::thread::panicking(),
            };
            // The receiver is gone only while the process goes down.
            if self.downs.send(down).is_err() {
                tracing::debug!("an actor went down and nobody watches the board");
            }
        }
    }
}

/// The board. It is shared as an `Arc`.
#[derive(Debug)]
pub struct Board {
    /// The places of actors, by the name of the actor.
    posts: DashMap<String, Arc<Post>>,
    /// The places of pools, by the name of their kind.
    pools: DashMap<&'static str, Arc<PoolPost>>,
    /// Reports deaths of all actors except supervisors.
    downs: mpsc::UnboundedSender<Down>,
    /// Reports deaths of supervisors.
    supervisor_downs: mpsc::UnboundedSender<Down>,
    /// The first reason why the process cannot go on.
    fatal: watch::Sender<Option<Fatal>>,
    faults: Faults,
    traces: Traces,
    /// Wakes the callers of [`Board::wait_until`].
    changed: Notify,
    /// When the supervisor last ticked, in Unix milliseconds.
    ticked_at_ms: AtomicI64,
    /// How many times the guardian has found that all threads of actors move.
    rounds_moved: AtomicU64,
    /// When the canary job last ended, and how long it took.
    canary: Mutex<Option<(Timestamp, Duration)>>,
    /// When the janitor prunes next, in Unix milliseconds; 0 if it never has.
    prunes_at_ms: AtomicI64,
    is_draining: AtomicBool,
}

impl Board {
    /// An empty board, and where it reports actors that went down.
    pub fn new() -> (Arc<Self>, Downs) {
        let (downs, actors) = mpsc::unbounded_channel();
        let (supervisor_downs, supervisors) = mpsc::unbounded_channel();
        let board = Self {
            posts: DashMap::new(),
            pools: DashMap::new(),
            downs,
            supervisor_downs,
            fatal: watch::Sender::new(None),
            faults: Faults::from_env(),
            traces: Traces::default(),
            changed: Notify::new(),
            ticked_at_ms: AtomicI64::new(0),
            rounds_moved: AtomicU64::new(0),
            canary: Mutex::new(None),
            prunes_at_ms: AtomicI64::new(0),
            is_draining: AtomicBool::new(false),
        };
        (Arc::new(board), Downs { actors, supervisors })
    }

    /// The guard of an actor that starts. It posts in the place of an earlier actor of that name,
    /// if there was one.
    pub fn enter(
        &self,
        name: &str,
        kind: ActorType,
        parent: &'static str,
        now: Timestamp,
    ) -> Presence {
        let post = self.post(name, kind, parent, now);
        post.idle(now);
        self.changed();
        let downs = match kind {
            ActorType::Supervisor => &self.supervisor_downs,
            ActorType::Guardian
            | ActorType::Ingest
            | ActorType::Handler
            | ActorType::Recorder
            | ActorType::Janitor
            | ActorType::Listener => &self.downs,
        };
        Presence { post, downs: downs.clone(), has_left: false, has_given_place: false }
    }

    /// The place of an actor, whether the actor lives or not.
    pub fn post(
        &self,
        name: &str,
        kind: ActorType,
        parent: &'static str,
        now: Timestamp,
    ) -> Arc<Post> {
        let make = || {
            Arc::new(Post {
                name: name.to_owned(),
                kind,
                parent,
                state: AtomicU8::new(ActorState::Dead as u8),
                since_ms: AtomicI64::new(now.as_millis()),
                resumes_at_ms: AtomicI64::new(0),
                job_id: AtomicI64::new(0),
                restarts: AtomicU64::new(0),
                mailbox_depth: AtomicUsize::new(0),
                mailbox_capacity: AtomicUsize::new(0),
                last_failure: Mutex::new(None),
            })
        };
        self.posts.entry(name.to_owned()).or_insert_with(make).clone()
    }

    /// Counts that the actor of that name was started again.
    pub fn restarted(&self, name: &str) {
        if let Some(post) = self.posts.get(name) {
            post.restarted();
        }
    }

    /// Removes the place of an actor that was stopped for good.
    pub fn remove(&self, name: &str) {
        self.posts.remove(name);
    }

    /// All actors, sorted by name.
    pub fn actors(&self) -> Vec<ActorView> {
        let mut views: Vec<ActorView> = self.posts.iter().map(|it| it.view()).collect();
        views.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        views
    }

    /// How often actors were started again, by their type. It copies no names, since the history
    /// asks each second, and there may be thousands of slots.
    pub fn restarts(&self) -> HashMap<ActorType, u64> {
        let mut counts = HashMap::new();
        for post in self.posts.iter() {
            *counts.entry(post.kind).or_default() += post.restarts.load(Ordering::Relaxed);
        }
        counts
    }

    /// The place of a pool.
    pub fn pool(&self, kind: JobKind) -> Arc<PoolPost> {
        let make = || Arc::new(PoolPost::new(kind));
        self.pools.entry(kind.0).or_insert_with(make).clone()
    }

    /// All pools, sorted by kind.
    pub fn pools(&self) -> Vec<PoolView> {
        let mut pools: Vec<PoolView> = self.pools.iter().map(|it| it.view()).collect();
        pools.sort_unstable_by_key(|it| it.kind);
        pools
    }

    /// Where tests make actors panic.
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// What makes the spans of this daemon.
    pub const fn traces(&self) -> &Traces {
        &self.traces
    }

    /// The process cannot go on: [`Board::given_up`] returns. Only the first reason counts.
    pub fn give_up(&self, why: Fatal) {
        self.fatal.send_if_modified(|fatal| fatal.is_none() && fatal.replace(why).is_none());
        self.changed();
    }

    /// True if the supervisor is not started again.
    pub fn has_given_up(&self) -> bool {
        *self.fatal.borrow() == Some(Fatal::Supervisor)
    }

    /// Waits until the process cannot go on, and returns why.
    pub async fn given_up(&self) -> Fatal {
        let mut fatal = self.fatal.subscribe();
        loop {
            let why = *fatal.borrow_and_update();
            if let Some(why) = why {
                return why;
            }
            if fatal.changed().await.is_err() {
                // Cannot happen: the sender belongs to the board, which is borrowed here.
                std::future::pending::<()>().await;
            }
        }
    }

    /// How many threads the handlers of all pools hold without giving them back.
    pub fn lost_threads(&self) -> usize {
        self.pools.iter().map(|it| it.lost_threads()).sum()
    }

    /// Posts that the supervisor has ticked.
    pub fn ticked(&self, now: Timestamp) {
        self.ticked_at_ms.store(now.as_millis(), Ordering::Relaxed);
        self.changed();
    }

    /// When the supervisor last ticked; the epoch if it never has.
    pub fn ticked_at(&self) -> Timestamp {
        Timestamp::from_millis(self.ticked_at_ms.load(Ordering::Relaxed))
    }

    /// Posts that all threads of actors move, and that the supervisor ticks.
    pub fn all_move(&self) {
        self.rounds_moved.fetch_add(1, Ordering::Relaxed);
    }

    /// How many times the guardian has found that all threads of actors move. It rises once a
    /// second while they do.
    pub fn rounds_moved(&self) -> u64 {
        self.rounds_moved.load(Ordering::Relaxed)
    }

    /// Posts that the canary job has ended, and how long it took.
    pub fn canary_returned(&self, now: Timestamp, took: Duration) {
        *self.canary.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, took));
        self.changed();
    }

    /// When the canary job last ended, and how long it took.
    pub fn canary(&self) -> Option<(Timestamp, Duration)> {
        *self.canary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Posts when the janitor prunes next.
    pub fn prunes_at(&self, at: Timestamp) {
        self.prunes_at_ms.store(at.as_millis(), Ordering::Relaxed);
    }

    /// When the janitor prunes next; `None` if this node has never pruned: it does not lead.
    pub fn next_pruning(&self) -> Option<Timestamp> {
        let at_ms = self.prunes_at_ms.load(Ordering::Relaxed);
        (at_ms != 0).then(|| Timestamp::from_millis(at_ms))
    }

    /// Posts that the daemon takes no more work.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
        self.changed();
    }

    /// True if the daemon takes no more work.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    /// Wakes all callers of [`Board::wait_until`].
    pub fn changed(&self) {
        self.changed.notify_waiters();
    }

    /// Waits until `condition` holds. This is for tests and for the drain; the caller needs a
    /// time-out.
    pub async fn wait_until(&self, condition: impl Fn(&Self) -> bool) {
        /// Posts are atomics and wake nobody, so the condition is checked at least this often.
        const CHECK_EVERY: Duration = Duration::from_millis(5);
        while !condition(self) {
            // Woken or not, the condition is checked again.
            let _changed_or_not = tokio::time::timeout(CHECK_EVERY, self.changed.notified()).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_are_counted_by_type() {
        let (board, _downs) = Board::new();
        let now = Timestamp::default();
        for name in ["A/1", "A/2"] {
            board.post(name, ActorType::Handler, "supervisor", now).restarted();
        }
        board.post("recorder", ActorType::Recorder, "supervisor", now);
        let expected = HashMap::from([(ActorType::Handler, 2), (ActorType::Recorder, 0)]);
        assert_eq!(board.restarts(), expected);
    }
}
