//! What the service manager (systemd) is told about the daemon: ready, reloading, stopping, a line
//! for `systemctl status`, and that the daemon is alive.
//!
//! A thread of its own tells it, so that no thread of the daemon waits for the service manager, and
//! none that hangs is mistaken for one that lives. If the process was not started by a service
//! manager that wants to be told (`NOTIFY_SOCKET` is not set), there is no thread and nothing is
//! sent.

use crate::{
    domain::Timestamp,
    http::{Readiness, State},
    store::wall_clock,
    telemetry::{board::Board, pool_post::PoolView},
};
use jiff::tz::TimeZone;
use sd_notify::NotifyState;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    sync::{oneshot, watch},
    time::Instant,
};

/// The variable by which a service manager says where it wants to be told.
const SOCKET: &str = "NOTIFY_SOCKET";
/// How often the thread checks what there is to tell.
const CHECK_EVERY: Duration = Duration::from_millis(250);
/// How often it asks whether the daemon is ready, once the service manager knows that it was. Each
/// answer costs the database a call.
const READINESS_EVERY: Duration = Duration::from_secs(5);
/// How much longer a start may take while it waits for the database, each time that this is sent.
const START_EXTENDED_BY: Duration = Duration::from_secs(60);
/// How often a start that waits for the database is extended.
const EXTENDED_EVERY: Duration = Duration::from_secs(20);
/// How long a stop waits until the last message is sent.
const LAST_MESSAGE_LIMIT: Duration = Duration::from_secs(1);

/// How far the daemon is.
#[derive(Clone, Debug, Default)]
#[expect(clippy::large_enum_variant, reason = "there is only one")]
enum StartStage {
    /// The daemon starts.
    #[default]
    Starts,
    /// It starts, and waits for its database.
    AwaitsDatabase,
    /// The daemon has started and runs.
    Runs(RunningDaemon),
    /// It finishes what has begun.
    Stops,
}

/// What a running daemon tells about itself.
#[derive(Clone)]
struct RunningDaemon {
    state: State,
    board: Arc<Board>,
}

impl std::fmt::Debug for RunningDaemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningDaemon").finish_non_exhaustive()
    }
}

/// Everything that the daemon has said so far.
#[derive(Clone, Debug)]
struct DaemonSays {
    stage: StartStage,
    /// How many reloads have begun.
    reloads_begun: u64,
    /// How many reloads have ended.
    reloads_ended: u64,
    /// When the configuration that runs was loaded.
    loaded_at: Timestamp,
}

/// The daemon's side: what it says is told to the service manager. Clones are the same.
#[derive(Clone, Debug)]
pub struct ServiceManager(Arc<watch::Sender<DaemonSays>>);

/// The thread that tells the service manager; see [`Teller::end`].
#[derive(Debug)]
pub(super) struct Teller(Option<oneshot::Receiver<()>>);

impl ServiceManager {
    /// Starts the thread, if there is a service manager to be told.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start() -> io::Result<(Self, Teller)> {
        let said = DaemonSays {
            stage: StartStage::default(),
            reloads_begun: 0,
            reloads_ended: 0,
            loaded_at: wall_clock(),
        };
        let (said, heard) = watch::channel(said);
        let manager = Self(Arc::new(said));
        if std::env::var_os(SOCKET).is_none() {
            return Ok((manager, Teller(None)));
        }
        let (over, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        std::thread::Builder::new().name("service-manager".to_owned()).spawn(move || {
            runtime.block_on(tell(heard));
            if over.send(()).is_err() {
                tracing::debug!("the daemon did not wait for the last message");
            }
        })?;
        Ok((manager, Teller(Some(ended))))
    }

    /// Says that the start waits for the database.
    pub(super) fn awaits_database(&self) {
        self.0.send_modify(|said| said.stage = StartStage::AwaitsDatabase);
    }

    /// Says that the daemon runs. It counts as ready once `/readyz` answers 200.
    pub(super) fn runs(&self, state: State, board: Arc<Board>) {
        self.0.send_modify(|said| said.stage = StartStage::Runs(RunningDaemon { state, board }));
    }

    /// Says that a reload of the configuration begins.
    pub fn reload_begins(&self) {
        self.0.send_modify(|said| said.reloads_begun += 1);
    }

    /// Says that the reload has ended: applied at that time, or unchanged or refused (`None`).
    pub fn reload_ends(&self, applied_at: Option<Timestamp>) {
        self.0.send_modify(|said| {
            said.reloads_ended = said.reloads_begun;
            said.loaded_at = applied_at.unwrap_or(said.loaded_at);
        });
    }

    /// Says that the daemon stops.
    pub(super) fn stops(&self) {
        self.0.send_modify(|said| said.stage = StartStage::Stops);
    }
}

impl Teller {
    /// Waits until the thread has sent its last message, but not for long: the service manager may
    /// read no more. To be called after [`ServiceManager::stops`].
    pub(super) async fn end(self) {
        if let Some(ended) = self.0
            && tokio::time::timeout(LAST_MESSAGE_LIMIT, ended).await.is_err()
        {
            tracing::warn!("the service manager does not read what it is told");
        }
    }
}

/// Tells the service manager what the daemon says, until it stops.
async fn tell(mut heard: watch::Receiver<DaemonSays>) {
    let half_of_watchdog = sd_notify::watchdog_enabled().map(|limit| limit / 2);
    let every = half_of_watchdog.map_or(CHECK_EVERY, |half| CHECK_EVERY.min(half / 4));
    let (mut told, mut last) = (KnownToManager::default(), None);
    let started = Instant::now();
    loop {
        let said = heard.borrow_and_update().clone();
        let now = seen(said, &told, &mut last, started).await;
        for message in told.due(now, half_of_watchdog) {
            if let Err(error) = send(&message) {
                tracing::debug!(%error, ?message, "the service manager was not told");
            }
        }
        if told.is_stopping {
            return;
        }
        match tokio::time::timeout(every, heard.changed()).await {
            // Something is said, or the time for the next check has come.
            Ok(Ok(())) | Err(_) => {}
            // The daemon has ended without a stop: it could not start.
            Ok(Err(_)) => return,
        }
    }
}

/// The last answer to whether the daemon is ready, and when it was given.
type LastReadiness = Option<(Instant, Readiness)>;

/// The daemon as it is now. It is asked for its readiness if the last answer is too old.
async fn seen(
    said: DaemonSays,
    told: &KnownToManager,
    last: &mut LastReadiness,
    started: Instant,
) -> DaemonNow {
    let (is_ready, awaits_database, moves, status) = match &said.stage {
        StartStage::Starts => (false, false, 0, "starting".to_owned()),
        StartStage::AwaitsDatabase => (false, true, 0, "waiting for the database".to_owned()),
        StartStage::Stops => (false, false, 0, "stopping: what has begun is finished".to_owned()),
        StartStage::Runs(RunningDaemon { state, board }) => {
            // After a reload, `/readyz` says how it ended.
            let is_asked = !told.is_ready || told.reloads_ended != said.reloads_ended;
            let is_old = |at: &Instant| is_asked || at.elapsed() >= READINESS_EVERY;
            let readiness = match last.take().filter(|(at, _)| !is_old(at)) {
                Some(known) => known,
                None => (Instant::now(), state.readiness().await),
            };
            let (_, found) = last.insert(readiness);
            let awaits_database = found.troubles.iter().any(|trouble| trouble.check == "database");
            let mut status = verdict(found, &board.pools(), &clock(said.loaded_at));
            if let Some(wrong) = state.what_is_wrong() {
                status = format!("{status}; {wrong}");
            }
            (found.is_ready, awaits_database, board.rounds_moved(), status)
        }
    };
    DaemonNow {
        is_ready,
        awaits_database,
        is_stopping: matches!(said.stage, StartStage::Stops),
        status,
        reloads_begun: said.reloads_begun,
        reloads_ended: said.reloads_ended,
        moves,
        at: started.elapsed(),
    }
}

/// Hour and minute in the zone of this machine.
fn clock(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis()).map_or_else(
        |_| at.to_string(),
        |at| at.to_zoned_datetime(TimeZone::system()).strftime("%H:%M").to_string(),
    )
}

/// The line for `systemctl status`: whether the daemon is ready, what is wrong, its pools, and the
/// time at which its configuration was loaded.
fn verdict(readiness: &Readiness, pools: &[PoolView], loaded_at: &str) -> String {
    let mut parts = vec![if readiness.is_ready { "ready" } else { "not ready" }.to_owned()];
    let (mut pools_part, count) = (Vec::new(), pools.len());
    pools_part.push(match count {
        0 => "no pools".to_owned(),
        1 => "1 pool".to_owned(),
        _ => format!("{count} pools"),
    });
    let paused = pools.iter().filter(|pool| pool.paused).count();
    let backing_off = pools.iter().filter(|pool| pool.is_backing_off()).count();
    for (count, word) in [(paused, "paused"), (backing_off, "backing off")] {
        if count > 0 {
            pools_part.push(format!("{count} {word}"));
        }
    }
    // Pools are counted below.
    let troubles = readiness.troubles.iter().filter(|trouble| trouble.check != "pools");
    parts.extend(troubles.map(|trouble| format!("{}: {}", trouble.check, trouble.detail)));
    parts.push(pools_part.join(", "));
    if !readiness.troubles.iter().any(|trouble| trouble.check == "config") {
        parts.push(format!("config loaded {loaded_at}"));
    }
    // A message is made of lines.
    parts.join("; ").replace(['\n', '\r'], " ")
}

/// A message to the service manager.
#[derive(Clone, Debug, PartialEq, Eq)]
enum ServiceMessage {
    /// The start is over, or a reload is.
    Ready(String),
    /// A reload has begun.
    Reloading,
    /// The stop has begun.
    Stopping(String),
    /// Only the line has changed.
    Status(String),
    /// The start may take this much longer.
    StartExtended(Duration),
    /// All threads of the daemon move.
    Alive,
}

fn send(message: &ServiceMessage) -> io::Result<()> {
    match message {
        ServiceMessage::Ready(status) => {
            sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(status)])
        }
        // In one message: systemd refuses a reload whose time comes apart from it.
        ServiceMessage::Reloading => {
            sd_notify::notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?])
        }
        ServiceMessage::Stopping(status) => {
            sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status(status)])
        }
        ServiceMessage::Status(status) => sd_notify::notify(&[NotifyState::Status(status)]),
        ServiceMessage::StartExtended(by) => {
            let micros = u32::try_from(by.as_micros()).unwrap_or(u32::MAX);
            sd_notify::notify(&[NotifyState::ExtendTimeoutUsec(micros)])
        }
        ServiceMessage::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
    }
}

/// The daemon as it is at one time.
#[derive(Clone, Debug, Default)]
struct DaemonNow {
    is_ready: bool,
    awaits_database: bool,
    is_stopping: bool,
    status: String,
    reloads_begun: u64,
    reloads_ended: u64,
    /// How many times the guardian has found that all threads move.
    moves: u64,
    /// The time since the start.
    at: Duration,
}

/// What the service manager knows.
#[derive(Debug, Default)]
struct KnownToManager {
    is_ready: bool,
    is_stopping: bool,
    status: String,
    reloads_begun: u64,
    reloads_ended: u64,
    moves: u64,
    /// When it was told last that the daemon is alive, since the start.
    alive_at: Duration,
    /// When the start was extended last.
    extended_at: Option<Duration>,
}

impl KnownToManager {
    /// The messages that are due, in their order. They count as sent.
    ///
    /// Without `half_of_watchdog` the service manager does not want to be told that the daemon is
    /// alive.
    fn due(&mut self, now: DaemonNow, half_of_watchdog: Option<Duration>) -> Vec<ServiceMessage> {
        let mut messages = Vec::new();
        let has_new_status = self.status != now.status;
        self.status.clone_from(&now.status);
        if now.is_stopping {
            if !std::mem::replace(&mut self.is_stopping, true) {
                messages.push(ServiceMessage::Stopping(now.status));
            }
            return messages;
        }
        if !self.is_ready && now.is_ready {
            // Reloads before it are over for a service manager that has waited for the start.
            (self.reloads_begun, self.reloads_ended) = (now.reloads_begun, now.reloads_ended);
            (self.is_ready, self.alive_at) = (true, now.at);
            messages.push(ServiceMessage::Ready(now.status));
            return messages;
        }
        if !self.is_ready {
            if has_new_status {
                messages.push(ServiceMessage::Status(now.status));
            }
            let is_extended = self.extended_at.is_some_and(|at| now.at < at + EXTENDED_EVERY);
            if now.awaits_database && !is_extended {
                self.extended_at = Some(now.at);
                messages.push(ServiceMessage::StartExtended(START_EXTENDED_BY));
            }
            return messages;
        }
        if self.reloads_begun != now.reloads_begun {
            self.reloads_begun = now.reloads_begun;
            messages.push(ServiceMessage::Reloading);
        }
        let is_over = now.reloads_ended == now.reloads_begun;
        if is_over && self.reloads_ended != now.reloads_ended {
            self.reloads_ended = now.reloads_ended;
            messages.push(ServiceMessage::Ready(now.status));
        } else if has_new_status {
            messages.push(ServiceMessage::Status(now.status));
        }
        let is_due = half_of_watchdog.is_some_and(|half| now.at >= self.alive_at + half);
        if is_due && self.moves != now.moves {
            (self.alive_at, self.moves) = (now.at, now.moves);
            messages.push(ServiceMessage::Alive);
        }
        messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::JobKind, http::Trouble};

    const HALF: Option<Duration> = Some(Duration::from_secs(15));

    fn at(seconds: u64) -> DaemonNow {
        DaemonNow {
            at: Duration::from_secs(seconds),
            status: "s".to_owned(),
            ..DaemonNow::default()
        }
    }

    fn ready(seconds: u64) -> DaemonNow {
        DaemonNow { is_ready: true, ..at(seconds) }
    }

    fn status() -> String {
        "s".to_owned()
    }

    #[test]
    fn a_start_is_extended_only_while_it_waits_for_the_database() {
        let mut told = KnownToManager::default();
        assert_eq!(told.due(at(0), HALF), [ServiceMessage::Status(status())]);
        assert_eq!(told.due(at(100), HALF), []);
        let waits = |seconds| DaemonNow { awaits_database: true, ..at(seconds) };
        let extended = || ServiceMessage::StartExtended(START_EXTENDED_BY);
        assert_eq!(told.due(waits(101), HALF), [extended()]);
        assert_eq!(told.due(waits(102), HALF), []);
        assert_eq!(told.due(waits(101 + EXTENDED_EVERY.as_secs()), HALF), [extended()]);
        assert_eq!(told.due(ready(200), HALF), [ServiceMessage::Ready(status())]);
        assert_eq!(told.due(DaemonNow { awaits_database: true, ..at(300) }, HALF), [], "it runs");
    }

    #[test]
    fn a_reload_is_told_with_its_end_also_if_it_is_over_before_it_is_seen() {
        let mut told = KnownToManager::default();
        let reloads =
            |begun, ended| DaemonNow { reloads_begun: begun, reloads_ended: ended, ..ready(1) };
        let ready = || ServiceMessage::Ready(status());
        assert_eq!(told.due(reloads(1, 0), None), [ready()], "the start is told first");
        assert_eq!(told.due(reloads(1, 1), None), [ready()]);
        assert_eq!(told.due(reloads(2, 1), None), [ServiceMessage::Reloading]);
        assert_eq!(told.due(reloads(2, 1), None), []);
        assert_eq!(told.due(reloads(2, 2), None), [ready()]);
        assert_eq!(told.due(reloads(3, 3), None), [ServiceMessage::Reloading, ready()]);
        assert_eq!(told.due(reloads(5, 3), None), [ServiceMessage::Reloading]);
        assert_eq!(told.due(reloads(5, 5), None), [ready()]);
    }

    #[test]
    fn the_daemon_counts_as_alive_only_if_its_threads_have_moved_since() {
        let mut told = KnownToManager::default();
        told.due(ready(10), HALF);
        let moves = |seconds, moves| DaemonNow { moves, ..ready(seconds) };
        for (seconds, count, is_alive) in [
            (11, 1, false),
            (24, 14, false),
            (25, 15, true),
            (39, 29, false),
            (40, 30, true),
            // Nothing moves.
            (55, 30, false),
            (90, 30, false),
            (91, 31, true),
            (92, 32, false),
        ] {
            let expected: &[_] = if is_alive { &[ServiceMessage::Alive] } else { &[] };
            assert_eq!(told.due(moves(seconds, count), HALF), expected, "at {seconds} s");
        }
        assert_eq!(told.due(moves(900, 900), None), [], "nobody wants to know");
    }

    #[test]
    fn a_stop_is_told_once_and_ends_all_else() {
        let mut told = KnownToManager::default();
        told.due(ready(1), HALF);
        let stops = || DaemonNow { is_stopping: true, moves: 9, reloads_begun: 3, ..at(60) };
        assert_eq!(told.due(stops(), HALF), [ServiceMessage::Stopping(status())]);
        assert_eq!(told.due(stops(), HALF), []);
    }

    #[test]
    fn the_line_says_what_is_wrong_and_what_runs() {
        let pool = |is_paused| {
            let (board, _downs) = Board::new();
            PoolView { paused: is_paused, ..board.pool(JobKind("SELF_CHECK")).view() }
        };
        let trouble = |check, detail: &str| Trouble { check, detail: detail.to_owned() };
        let of = |is_ready, troubles: &[Trouble], pools: &[PoolView]| {
            verdict(&Readiness { is_ready, troubles: troubles.to_vec() }, pools, "14:02")
        };
        assert_eq!(
            of(true, &[], &[pool(false), pool(true), pool(false)]),
            "ready; 3 pools, 1 paused; config loaded 14:02"
        );
        assert_eq!(of(true, &[], &[]), "ready; no pools; config loaded 14:02");
        assert_eq!(
            of(false, &[trouble("database", "it does\nnot answer")], &[pool(false)]),
            "not ready; database: it does not answer; 1 pool; config loaded 14:02"
        );
        let refused = trouble("config", "refused at 14:03");
        assert_eq!(
            of(true, &[refused, trouble("pools", "paused: SELF_CHECK")], &[pool(true)]),
            "ready; config: refused at 14:03; 1 pool, 1 paused"
        );
    }
}
