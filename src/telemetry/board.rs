//! The board: where actors post what they are doing. The API, the metrics and the tests
//! read it without asking anyone.
//!
//! Posting is a few atomic stores, so that a slot can do it for every job. An actor holds its
//! [`Presence`]; when it is dropped, also by unwinding, the board says that the actor is dead and tells
//! whoever watches.

use super::faults::Faults;
use crate::domain::{Id, JobKind, Timestamp};
use dashmap::DashMap;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, mpsc, watch};

/// What an actor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActorType {
    /// Watches the supervisor.
    Guardian,
    /// Claims, gives out, restarts.
    Supervisor,
    /// Commits a channel's webhooks.
    Ingest,
    /// One slot of a pool.
    Handler,
    /// Commits what handlers decided.
    Recorder,
    /// Rescues, prunes, runs the canary.
    Janitor,
    /// Hears of work that other nodes stored.
    Listener,
}

impl ActorType {
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
    /// Waits for something to do.
    Idle,
    /// Does something.
    Busy,
    /// Will be started again after a pause.
    BackingOff,
    /// Gone.
    Dead,
}

impl ActorState {
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
    /// When.
    pub at: Timestamp,
    /// What an operator reads.
    pub reason: String,
}

/// One actor's place on the board. It outlives the actor: a replacement posts in the same place.
#[derive(Debug)]
pub struct Post {
    name: String,
    kind: ActorType,
    parent: &'static str,
    state: AtomicU8,
    since_ms: AtomicI64,
    job_id: AtomicI64,
    restarts: AtomicU64,
    mailbox_depth: AtomicUsize,
    mailbox_capacity: AtomicUsize,
    last_failure: Mutex<Option<ActorFailure>>,
}

impl Post {
    /// Says that the actor works on `job_id` (0 is none) since `now`.
    pub fn busy(&self, job_id: Id, now: Timestamp) {
        self.job_id.store(job_id, Ordering::Relaxed);
        self.set(ActorState::Busy, now);
    }

    /// Says that the actor waits since `now`.
    pub fn idle(&self, now: Timestamp) {
        self.job_id.store(0, Ordering::Relaxed);
        self.set(ActorState::Idle, now);
    }

    /// Says what the actor does since `now`.
    pub fn set(&self, state: ActorState, now: Timestamp) {
        self.since_ms.store(now.as_millis(), Ordering::Relaxed);
        self.state.store(state as u8, Ordering::Release);
    }

    /// Says how many messages wait for the actor, and how many may.
    pub fn mailbox(&self, depth: usize, capacity: usize) {
        self.mailbox_depth.store(depth, Ordering::Relaxed);
        self.mailbox_capacity.store(capacity, Ordering::Relaxed);
    }

    /// Notes a failure.
    pub fn failed(&self, at: Timestamp, reason: impl Into<String>) {
        let mut last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(ActorFailure { at, reason: reason.into() });
    }

    /// Counts a restart.
    pub fn restarted(&self) {
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// What it does.
    pub fn state(&self) -> ActorState {
        ActorState::from_code(self.state.load(Ordering::Acquire))
    }

    /// A copy for readers.
    pub fn view(&self) -> ActorView {
        let job_id = self.job_id.load(Ordering::Relaxed);
        ActorView {
            name: self.name.clone(),
            kind: self.kind,
            parent: self.parent,
            state: self.state(),
            since: Timestamp::from_millis(self.since_ms.load(Ordering::Relaxed)),
            restarts: self.restarts.load(Ordering::Relaxed),
            last_failure: self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            mailbox_depth: self.mailbox_depth.load(Ordering::Relaxed),
            mailbox_capacity: self.mailbox_capacity.load(Ordering::Relaxed),
            job_id: (job_id != 0).then_some(job_id),
        }
    }
}

/// An actor as readers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActorView {
    /// Its name: `ingest/sms`, `SMS_INBOUND_POST_PROCESS/3`, `recorder`.
    pub name: String,
    /// What it is.
    pub kind: ActorType,
    /// Who owns it.
    pub parent: &'static str,
    /// What it does.
    pub state: ActorState,
    /// Since when.
    pub since: Timestamp,
    /// How often it was started again.
    pub restarts: u64,
    /// Its last failure.
    pub last_failure: Option<ActorFailure>,
    /// Messages that wait for it.
    pub mailbox_depth: usize,
    /// Messages that may.
    pub mailbox_capacity: usize,
    /// The job it works on.
    pub job_id: Option<Id>,
}

/// Says that an actor went down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Down {
    /// Which.
    pub name: String,
    /// What it was.
    pub kind: ActorType,
    /// True where it was unwinding.
    pub panicked: bool,
}

/// Where the board tells of actors that went down. An actor sends at most one such message in its life, so
/// their number is bounded by that of the actors.
#[derive(Debug)]
pub struct Downs {
    /// For the supervisor: all actors that it owns.
    pub actors: mpsc::UnboundedReceiver<Down>,
    /// For the guardian: supervisors.
    pub supervisors: mpsc::UnboundedReceiver<Down>,
}

/// Why the process cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fatal {
    /// The supervisor goes down again and again.
    Supervisor,
    /// Too many threads are held by handlers that never yield.
    LostThreads,
    /// The node was silent for so long that its row is gone, and another may give out ids in its place.
    Forgotten,
    /// A thread of actors, or the supervisor, stands still.
    Stalled,
}

/// An actor's guard. Dropped without [`Presence::leave`], it says that the actor went down.
#[derive(Debug)]
pub struct Presence {
    post: Arc<Post>,
    downs: mpsc::UnboundedSender<Down>,
    has_left: bool,
    has_given_place: bool,
}

impl Presence {
    /// Where the actor posts.
    pub const fn post(&self) -> &Arc<Post> {
        &self.post
    }

    /// The actor stops because it was told to.
    pub fn leave(&mut self) {
        self.has_left = true;
    }

    /// Another actor has this one's place already: nothing is said of its end.
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
            // Nobody watches any more: the process is going down.
            if self.downs.send(down).is_err() {
                tracing::debug!("an actor went down and nobody watches the board");
            }
        }
    }
}

/// One pool's place on the board.
#[derive(Debug)]
pub struct PoolPost {
    /// Its kind.
    pub kind: JobKind,
    /// Slots now.
    pub size: AtomicUsize,
    /// Slots as configured.
    pub configured_size: AtomicUsize,
    /// Slots that run a job.
    pub busy: AtomicUsize,
    /// Slots that wait for their restart.
    pub backing_off: AtomicUsize,
    /// Claimed jobs that wait for a slot.
    pub queued: AtomicUsize,
    /// When the first of them is started again, in Unix milliseconds; 0 where none waits.
    pub resumes_at_ms: AtomicI64,
    /// Threads that its handlers hold and do not give back.
    pub lost_threads: AtomicUsize,
    /// True where an operator paused it.
    pub paused: AtomicBool,
    /// How often a slot was started again.
    pub restarts: AtomicU64,
    /// How many jobs have ended here.
    pub finished: AtomicU64,
    /// Attempts allowed.
    pub max_attempts: AtomicU64,
    /// Time-out of an attempt in milliseconds.
    pub timeout_ms: AtomicU64,
}

impl PoolPost {
    /// Whether all slots wait for their restart, so that nobody works the kind's jobs off.
    pub fn is_backing_off(&self) -> bool {
        let waiting = self.backing_off.load(Ordering::Relaxed);
        waiting > 0 && waiting >= self.size.load(Ordering::Relaxed)
    }

    /// When the first slot that waits is started again.
    pub fn resumes_at(&self) -> Timestamp {
        Timestamp::from_millis(self.resumes_at_ms.load(Ordering::Relaxed))
    }
}

/// The board. Cheap to share.
#[derive(Debug)]
pub struct Board {
    posts: DashMap<String, Arc<Post>>,
    pools: DashMap<&'static str, Arc<PoolPost>>,
    downs: mpsc::UnboundedSender<Down>,
    supervisor_downs: mpsc::UnboundedSender<Down>,
    fatal: watch::Sender<Option<Fatal>>,
    faults: Faults,
    changed: Notify,
    /// When the supervisor last ticked, in Unix milliseconds.
    ticked_at_ms: AtomicI64,
    /// When the canary last came back, and how long it took.
    canary: Mutex<Option<(Timestamp, Duration)>>,
    is_draining: AtomicBool,
}

impl Board {
    /// An empty board, and where it tells of actors that went down.
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
            changed: Notify::new(),
            ticked_at_ms: AtomicI64::new(0),
            canary: Mutex::new(None),
            is_draining: AtomicBool::new(false),
        };
        (Arc::new(board), Downs { actors, supervisors })
    }

    /// The guard of an actor that starts; in the place of an earlier one of that name, if there was one.
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

    /// The place of an actor, whether it lives or not.
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
                job_id: AtomicI64::new(0),
                restarts: AtomicU64::new(0),
                mailbox_depth: AtomicUsize::new(0),
                mailbox_capacity: AtomicUsize::new(0),
                last_failure: Mutex::new(None),
            })
        };
        self.posts.entry(name.to_owned()).or_insert_with(make).clone()
    }

    /// Counts a restart of the actor of that name.
    pub fn restarted(&self, name: &str) {
        if let Some(post) = self.posts.get(name) {
            post.restarted();
        }
    }

    /// Takes the place of an actor away that was stopped for good.
    pub fn remove(&self, name: &str) {
        self.posts.remove(name);
    }

    /// All actors, by name.
    pub fn actors(&self) -> Vec<ActorView> {
        let mut views: Vec<ActorView> = self.posts.iter().map(|it| it.view()).collect();
        views.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        views
    }

    /// The place of a pool.
    pub fn pool(&self, kind: JobKind) -> Arc<PoolPost> {
        let make = || {
            Arc::new(PoolPost {
                kind,
                size: AtomicUsize::new(0),
                configured_size: AtomicUsize::new(0),
                busy: AtomicUsize::new(0),
                backing_off: AtomicUsize::new(0),
                resumes_at_ms: AtomicI64::new(0),
                lost_threads: AtomicUsize::new(0),
                queued: AtomicUsize::new(0),
                paused: AtomicBool::new(false),
                restarts: AtomicU64::new(0),
                finished: AtomicU64::new(0),
                max_attempts: AtomicU64::new(0),
                timeout_ms: AtomicU64::new(0),
            })
        };
        self.pools.entry(kind.0).or_insert_with(make).clone()
    }

    /// All pools, by kind.
    pub fn pools(&self) -> Vec<Arc<PoolPost>> {
        let mut pools: Vec<Arc<PoolPost>> = self.pools.iter().map(|it| it.clone()).collect();
        pools.sort_unstable_by_key(|it| it.kind);
        pools
    }

    /// Where tests make actors die.
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The process cannot go on: whoever runs it is told to end it.
    pub fn give_up(&self, why: Fatal) {
        // The first reason is the one that counts.
        self.fatal.send_if_modified(|it| it.is_none() && it.replace(why).is_none());
        self.changed();
    }

    /// Whether the supervisor is given up.
    pub fn has_given_up(&self) -> bool {
        *self.fatal.borrow() == Some(Fatal::Supervisor)
    }

    /// Waits until the process cannot go on.
    pub async fn given_up(&self) -> Fatal {
        let mut fatal = self.fatal.subscribe();
        loop {
            let why = *fatal.borrow_and_update();
            if let Some(why) = why {
                return why;
            }
            if fatal.changed().await.is_err() {
                // The sender is the board itself, which is borrowed here.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Threads that handlers hold and do not give back, over all pools.
    pub fn lost_threads(&self) -> usize {
        self.pools.iter().map(|it| it.lost_threads.load(Ordering::Relaxed)).sum()
    }

    /// The supervisor has ticked.
    pub fn ticked(&self, now: Timestamp) {
        self.ticked_at_ms.store(now.as_millis(), Ordering::Relaxed);
        self.changed();
    }

    /// When the supervisor last ticked; the epoch if it never has.
    pub fn ticked_at(&self) -> Timestamp {
        Timestamp::from_millis(self.ticked_at_ms.load(Ordering::Relaxed))
    }

    /// The canary came back.
    pub fn canary_returned(&self, now: Timestamp, took: Duration) {
        *self.canary.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, took));
        self.changed();
    }

    /// When the canary last came back, and how long it took.
    pub fn canary(&self) -> Option<(Timestamp, Duration)> {
        *self.canary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The daemon takes no more work.
    pub fn drain(&self) {
        self.is_draining.store(true, Ordering::Release);
        self.changed();
    }

    /// Whether the daemon takes no more work.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    /// Wakes whoever waits for the board to change.
    pub fn changed(&self) {
        self.changed.notify_waiters();
    }

    /// Waits until `condition` holds. Meant for tests and for the drain; give it a time-out.
    pub async fn wait_until(&self, condition: impl Fn(&Self) -> bool) {
        /// Posts are atomics and wake nobody; the board is looked at this often all the same.
        const LOOK_EVERY: Duration = Duration::from_millis(5);
        while !condition(self) {
            // Either way the condition is looked at again.
            let _changed_or_not = tokio::time::timeout(LOOK_EVERY, self.changed.notified()).await;
        }
    }
}
