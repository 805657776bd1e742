//! What the daemon tells systemd, heard by a socket in systemd's place.

use crate::support::{
    both::Place,
    daemon::{Daemon, Options, Until},
    eventually,
    leftovers::Leftover,
    postgres::Server,
    process::Scratch,
};
use std::{
    os::unix::net::UnixDatagram,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};
use tokio::time::Instant;

/// The watchdog's time: the daemon tells at half of it that it is alive.
const WATCHDOG: Duration = Duration::from_secs(2);

/// A message, as lines, and when it came.
type Heard = (Instant, Vec<String>);

/// A socket that hears what a daemon tells.
struct Manager {
    heard: Arc<Mutex<Vec<Heard>>>,
    scratch: Scratch,
}

impl Manager {
    fn new() -> Self {
        let scratch = Scratch::new("notify");
        let socket = UnixDatagram::bind(scratch.path().join("socket")).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&heard);
        // It ends with the test process: the socket stays open.
        thread::spawn(move || {
            let mut message = [0; 4_096];
            while let Ok(length) = socket.recv(&mut message) {
                let text = String::from_utf8_lossy(&message[..length]);
                let lines = text.lines().map(str::to_owned).collect();
                all.lock().unwrap().push((Instant::now(), lines));
            }
        });
        Self { heard, scratch }
    }

    /// The variables by which a daemon finds it.
    fn env(&self) -> Vec<(String, String)> {
        let socket = self.scratch.path().join("socket").display().to_string();
        let micros = WATCHDOG.as_micros().to_string();
        vec![("NOTIFY_SOCKET".to_owned(), socket), ("WATCHDOG_USEC".to_owned(), micros)]
    }

    /// The messages that have a line that starts so, each with the index at which it came.
    fn with(&self, start: &str) -> Vec<(usize, Heard)> {
        let heard = self.heard.lock().unwrap();
        let all = heard.iter().cloned().enumerate();
        all.filter(|(_, (_, lines))| lines.iter().any(|line| line.starts_with(start))).collect()
    }

    /// The first such message, once it has come.
    #[track_caller]
    fn hears(&self, start: &'static str) -> impl Future<Output = (usize, Heard)> {
        eventually(Duration::from_secs(30), async move || self.with(start).into_iter().next())
    }
}

/// The value of the line of this name.
fn value<'a>(lines: &'a [String], name: &str) -> &'a str {
    lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_tells_that_it_is_ready_alive_and_stopping() {
    let manager = Manager::new();
    let options = Options { env: manager.env(), ..Place::sqlite().options("") };
    let daemon = Daemon::start(options).await;
    let (ready, (_, lines)) = manager.hears("READY=1").await;
    assert!(value(&lines, "STATUS").starts_with("ready; "), "{lines:?}");
    // The pools start right after.
    manager.hears("STATUS=ready; 9 pools; config loaded ").await;
    let alive = async || (manager.with("WATCHDOG=1").len() >= 3).then_some(());
    eventually(Duration::from_secs(30), alive).await;
    let alive = manager.with("WATCHDOG=1");
    assert!(alive.iter().all(|(index, _)| *index > ready), "{alive:?}");
    for pair in alive.windows(2) {
        let [(_, (before, _)), (_, (after, _))] = pair else { panic!("{pair:?}") };
        assert!(
            *after - *before >= WATCHDOG / 2 - Duration::from_millis(50),
            "too often: {alive:?}"
        );
    }
    daemon.terminate();
    assert_eq!(daemon.wait(Duration::from_secs(40)).await.code(), Some(0));
    let (_, (_, lines)) = manager.hears("STOPPING=1").await;
    assert!(value(&lines, "STATUS").starts_with("stopping"), "{lines:?}");
    assert_eq!(manager.with("READY=1").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_pool_is_in_the_status_of_a_daemon() {
    let manager = Manager::new();
    let config = "[pools.SMS_INBOUND_POST_PROCESS]\npaused = true\n";
    let options = Options { env: manager.env(), ..Place::sqlite().options(config) };
    let _daemon = Daemon::start(options).await;
    manager.hears("STATUS=ready; 9 pools, 1 paused; config loaded ").await;
}

/// `Type=notify-reload` sends SIGHUP and waits for both; without `MONOTONIC_USEC` it would kill the
/// daemon.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_is_told_with_its_time_and_then_ready_also_if_it_is_refused() {
    let manager = Manager::new();
    let options = Options { env: manager.env(), ..Place::sqlite().options("") };
    let mut daemon = Daemon::start(options).await;
    manager.hears("READY=1").await;
    for (config, count, part) in [
        ("[pools.default]\nsize = 3\n", 1, "config loaded "),
        ("[pools.default]\nsize = \"many\"\n", 2, "config: refused "),
    ] {
        daemon.configure(config);
        daemon.signal("HUP");
        let told = async || {
            let reloading = manager.with("RELOADING=1");
            let ready = manager.with("READY=1");
            let is_told = reloading.len() >= count && ready.len() > count;
            is_told.then_some((reloading, ready))
        };
        let (reloading, ready) = eventually(Duration::from_secs(30), told).await;
        let (first, (_, lines)) = reloading.last().unwrap();
        let micros: u64 = value(lines, "MONOTONIC_USEC").parse().unwrap();
        assert!(micros > 0, "{lines:?}");
        let (second, (_, lines)) = ready.last().unwrap();
        assert!(second > first, "ready again after it: {reloading:?} {ready:?}");
        assert!(value(lines, "STATUS").contains(part), "{lines:?}");
    }
    daemon.configure("");
}

/// A thread that stands still keeps the daemon from saying that it is alive, whichever it is: that
/// of the ingest actors, or the main thread with the guardian, who alone would notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_with_a_thread_that_stands_still_is_not_alive() {
    for fault in ["janitor.handle=block", "guardian.check=block"] {
        let manager = Manager::new();
        let mut env = manager.env();
        env.push(("POSTROOM_FAULTS".to_owned(), fault.to_owned()));
        let options = Options { env, until: Until::Started, ..Place::sqlite().options("") };
        let daemon = Daemon::start(options).await;
        daemon.may_leave(Leftover::Anything, "it is killed while a thread stands still");
        let (_, (ready_at, _)) = manager.hears("READY=1").await;
        // Within that time a healthy daemon says it five times.
        let is_over = async || (ready_at.elapsed() > WATCHDOG * 3).then_some(());
        eventually(WATCHDOG * 4, is_over).await;
        let alive = manager.with("WATCHDOG=1");
        assert!(alive.len() <= 1, "{fault}: {alive:?}");
        daemon.kill_9();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_waits_for_the_database_says_so_and_is_extended() {
    let Some(server) = Server::own(&[]) else { return };
    let manager = Manager::new();
    let url = server.url(&server.create_database("awaited"));
    server.stop();
    let options = Options {
        env: manager.env(),
        until: Until::Alive,
        database_url: Some(url),
        ..Options::default()
    };
    let daemon = Daemon::start(options).await;
    let (_, (_, lines)) = manager.hears("STATUS=waiting for the database").await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    let (_, (_, lines)) = manager.hears("EXTEND_TIMEOUT_USEC=").await;
    assert_eq!(value(&lines, "EXTEND_TIMEOUT_USEC"), "60000000");
    assert!(manager.with("READY=1").is_empty());
    server.start();
    let (_, (_, lines)) = manager.hears("READY=1").await;
    assert!(value(&lines, "STATUS").starts_with("ready; "), "{lines:?}");
    daemon.terminate();
    assert_eq!(daemon.wait(Duration::from_secs(40)).await.code(), Some(0));
}
