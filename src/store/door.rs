//! The way to PostgreSQL, and who looks whether it is open again.
//!
//! A pool that finds its server gone lets each of its callers try again, at first every few milliseconds. Here the
//! first call that finds a connection broken closes the door; whoever comes after that waits at it, and one knocks
//! for all, at a pace and not in step with other nodes. Connections from before are not used again: their
//! other side may be gone without a word. Nor are their pools: before it takes a connection back, a pool asks whether it is
//! sound, and waits for the answer for ever, with the room of that connection.

use super::{StoreError, error::from_sqlx, sessions::Sessions};
use sqlx::{
    ConnectOptions, Connection, PgConnection,
    postgres::{PgConnectOptions, PgPool},
};
use std::{
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Handle, sync::watch, time::Instant};

/// The least pause between two knocks; up to as much again is added by chance.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a call that has begun may go on when the door closes: one whose connection is sound ends well within
/// that, and another's may be silent for ever.
const GRACE: Duration = Duration::from_secs(1);
/// How long one knock may take: a server that is half gone takes the connection and says nothing.
const KNOCK_LIMIT: Duration = Duration::from_secs(2);

tokio::task_local! {
    /// The door that the running call has come through, and how often it had closed before.
    static CALL: (Arc<Door>, u32);
}

/// Sessions behind a door, and how another pool is made for them.
pub(super) struct Room {
    pub(super) sessions: Sessions,
    pub(super) another: Box<dyn Fn() -> PgPool + Send + Sync>,
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}

/// Open while the server answers.
#[derive(Debug)]
pub(super) struct Door {
    options: PgConnectOptions,
    /// Where whoever knocks runs.
    runtime: Handle,
    limit: Duration,
    pause: Duration,
    is_open: watch::Sender<bool>,
    rooms: OnceLock<Vec<Room>>,
    /// Connections that were opened before are not used again.
    broke_at: RwLock<Option<Instant>>,
    /// How often it has closed.
    closings: AtomicU32,
    knocks: AtomicU32,
    is_doubting: AtomicBool,
}

impl Door {
    /// An open door. Callers wait at a closed one for up to `limit`; `most` is how many attempts to connect there
    /// may be in a second.
    pub(super) fn new(options: PgConnectOptions, limit: Duration, most: u32) -> Arc<Self> {
        Arc::new(Self {
            options,
            runtime: Handle::current(),
            limit,
            pause: PAUSE.max(Duration::from_secs(1) / most.max(1)),
            is_open: watch::Sender::new(true),
            rooms: OnceLock::new(),
            broke_at: RwLock::default(),
            closings: AtomicU32::new(0),
            knocks: AtomicU32::new(0),
            is_doubting: AtomicBool::new(false),
        })
    }

    /// What is behind it. Set once.
    pub(super) fn leads_to(&self, rooms: Vec<Room>) {
        if self.rooms.set(rooms).is_err() {
            tracing::debug!("the door leads somewhere already");
        }
    }

    /// True while nobody has found a connection broken since the last that was not.
    pub(super) fn is_open(&self) -> bool {
        *self.is_open.borrow()
    }

    /// Whether a connection of that age may be used again.
    pub(super) fn trusts(&self, age: Duration) -> bool {
        let broke_at = *self.broke_at.read().unwrap_or_else(PoisonError::into_inner);
        broke_at.is_none_or(|it| it.elapsed() > age)
    }

    /// Lets a call through, waits with it while the door is closed, and closes it where the call finds its
    /// connection broken.
    pub(super) async fn pass<T>(
        self: Arc<Self>,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut is_open = self.is_open.subscribe();
        if tokio::time::timeout(self.limit, is_open.wait_for(|it| *it)).await.is_err() {
            return Err(StoreError::Unreachable("it has not come back yet".to_owned()));
        }
        let given_up = async {
            // It goes away with the door itself only.
            drop(is_open.wait_for(|it| !*it).await);
            tokio::time::sleep(GRACE).await;
        };
        let closings = self.closings.load(Ordering::SeqCst);
        let result = tokio::select! {
            biased;
            it = CALL.scope((self.clone(), closings), call) => it,
            () = given_up => Err(StoreError::Unreachable("no answer while others broke".to_owned())),
        };
        if let Err(
            StoreError::Unreachable(why)
            | StoreError::Disconnected(why)
            | StoreError::ReadOnly(why),
        ) = &result
        {
            self.broke_for(closings, why);
        }
        result
    }

    /// A call that has come through after so many closings finds its connection broken. Has the door closed since,
    /// that is no news.
    fn broke_for(self: &Arc<Self>, closings: u32, why: &str) {
        if self.closings.load(Ordering::SeqCst) == closings {
            self.broke(why);
        }
    }

    async fn closed(&self) {
        drop(self.is_open.subscribe().wait_for(|it| !*it).await);
    }

    /// A connection is broken: closes the door, and has somebody knock.
    pub(super) fn broke(self: &Arc<Self>, why: &str) {
        *self.broke_at.write().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        let has_closed = self.is_open.send_if_modified(|it| std::mem::replace(it, false));
        let door = self.clone();
        if has_closed {
            self.closings.fetch_add(1, Ordering::SeqCst);
            tracing::warn!(why, "a connection to the database broke");
            drop(self.runtime.spawn(async move { door.knock().await }));
        }
    }

    /// Something took too long: knocks once, and closes the door where nobody answers. A server that is only slow
    /// loses no connection by that.
    pub(super) fn doubt(self: &Arc<Self>) {
        if !self.is_open() || self.is_doubting.swap(true, Ordering::Relaxed) {
            return;
        }
        let door = self.clone();
        drop(self.runtime.spawn(async move {
            let answer = knock(&door.options).await;
            door.is_doubting.store(false, Ordering::Relaxed);
            if let Err(error) = answer {
                door.broke(&error.to_string());
            }
        }));
    }

    /// Knocks until somebody answers.
    async fn knock(&self) {
        let closed_at = Instant::now();
        self.abandon();
        while let Err(error) = knock(&self.options).await {
            match self.knocks.fetch_add(1, Ordering::Relaxed) {
                0 => tracing::warn!(%error, "the database is away: looking until it is back"),
                _ => tracing::debug!(%error, "the database is still away"),
            }
            tokio::time::sleep(self.pause + self.pause.mul_f64(rand::random())).await;
        }
        self.abandon();
        if self.knocks.swap(0, Ordering::Relaxed) > 0 {
            tracing::info!(after = ?closed_at.elapsed(), "the database is back");
        }
        self.is_open.send_replace(true);
    }

    /// Leaves the pools for others. Connections that are in use are dropped when they come back.
    fn abandon(&self) {
        for room in self.rooms.get().into_iter().flatten() {
            room.sessions.renew((room.another)());
        }
    }
}

/// What has not changed anything yet, and so is given up where the door closes meanwhile: a pool would go on trying
/// to connect for each of those who wait in it.
pub(super) async fn while_open<T>(
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let Ok(door) = CALL.try_with(|it| it.0.clone()) else { return work.await };
    tokio::select! {
        biased;
        it = work => it,
        () = door.closed() => Err(StoreError::Unreachable("its connections broke".to_owned())),
    }
}

/// Says of the running call that its connection is broken, before whoever says so lets go of it.
pub(super) fn broke_in_call(why: &str) {
    // Outside of a call (a migration, a test) nobody has to know.
    CALL.try_with(|(door, closings)| door.broke_for(*closings, why)).ok();
}

/// One attempt to connect.
pub(super) async fn knock(options: &PgConnectOptions) -> Result<(), StoreError> {
    let knock = async {
        let connection: PgConnection = options.connect().await.map_err(|it| from_sqlx(&it))?;
        drop(connection.close().await);
        Ok(())
    };
    tokio::time::timeout(KNOCK_LIMIT, knock)
        .await
        .unwrap_or_else(|_| Err(StoreError::Unreachable("it does not answer".to_owned())))
}
