//! The foundation of the tests: throw-away databases, real daemons, and one way to wait.
//!
//! Nothing here outlives the test process, even when that is killed with SIGKILL.

#![allow(dead_code, reason = "each test binary uses its own part of this")]
#![expect(unreachable_pub, reason = "a test binary has no outside; `pub` means: for tests to use")]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a helper that cannot do its work fails the test and says why"
)]

pub mod both;
pub mod daemon;
pub mod fixture;
pub mod inside;
pub mod leftovers;
pub mod model_server;
pub mod payloads;
pub mod pgbouncer;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod receiver;
pub mod shared;
pub mod skipped;
pub mod sqlite;
pub mod web;

use reqwest::redirect::Policy;
use std::{panic::Location, time::Duration};

/// How long a test waits for counts of the overview: they are kept for 20 seconds at most, and then
/// read again.
pub const COUNTS_WITHIN: Duration = Duration::from_secs(60);

/// How long a waiting test sleeps between two checks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until `look` returns something, and returns that. Panics when `within` has passed.
///
/// Tests wait for the effect that they want to see, never for a length of time; this is the only
/// place that may sleep. A check that hangs is given up, too.
///
/// ```ignore
/// let job = eventually(Duration::from_secs(5), async || daemon.job(id).await.ended()).await;
/// ```
#[track_caller]
pub fn eventually<T>(
    within: Duration,
    look: impl AsyncFnMut() -> Option<T>,
) -> impl Future<Output = T> {
    let caller = Location::caller();
    async move {
        match seen_within(within, look).await {
            Some(found) => found,
            None => panic!("{caller}: not seen within {within:?}"),
        }
    }
}

/// [`eventually`] for callers with an error message of their own.
async fn seen_within<T>(within: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(within, looking).await.ok()
}

/// [`eventually`] for code outside of a runtime: starting and stopping processes.
fn eventually_blocking<T>(within: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = tokio::time::Instant::now() + within;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if tokio::time::Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Makes an HTTP client for one test. Not shared: its connections belong to the runtime it first
/// ran on.
pub fn http() -> reqwest::Client {
    http_builder().timeout(Duration::from_secs(30)).build().expect("an HTTP client")
}

/// The same without a time-out, and it follows no redirect.
pub fn http_without_redirects() -> reqwest::Client {
    http_builder().redirect(Policy::none()).build().expect("an HTTP client")
}

/// The settings of clients that speak plain HTTP with this machine: no proxy, and no root
/// certificates, which take longer to read than most tests ask.
pub fn http_builder() -> reqwest::ClientBuilder {
    // Fails when another test of this process installed it before, which is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
    reqwest::Client::builder().no_proxy().tls_certs_only([])
}
