//! Posts webhooks at a given rate over a given number of connections.

use super::target::{Target, listed};
use crate::{
    channels::{AnyChannel, samples::of_account},
    cli::{
        failure::Failure,
        http::{ANSWER_TIMEOUT, no_answer},
    },
    config::Rate,
    store,
};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;
use std::{
    fs,
    io::{self, Read},
    ops::ControlFlow,
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// The bodies to post.
pub(super) enum Bodies {
    /// The same bytes for each request.
    File(Bytes),
    /// Samples that all differ: number `n` is made from the unique number `first + n`.
    Samples { channel: Arc<dyn AnyChannel>, event: Option<String>, first: u64 },
}

/// How many requests to post, and how fast.
pub(super) struct Pace {
    pub(super) count: u64,
    /// The highest rate; `None` means as fast as possible.
    pub(super) rate: Option<Rate>,
    /// The most requests at the same time.
    pub(super) connections: u16,
}

/// The result of one request.
pub(super) enum Posted {
    /// It was answered. `body` is null if it is not JSON.
    Answered { status: u16, body: Value },
    /// It was not answered, and may have arrived.
    Lost(String),
    /// No daemon could be reached.
    Away(String),
}

impl Bodies {
    /// The content of a file, or of stdin for `-`. It need not be JSON: the user may want to see it
    /// refused.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn file(path: &Path) -> Result<Self, Failure> {
        let read = if path == Path::new("-") {
            let mut bytes = Vec::new();
            io::stdin().read_to_end(&mut bytes).map(|_| bytes)
        } else {
            fs::read(path)
        };
        match read {
            Ok(bytes) => Ok(Self::File(bytes.into())),
            Err(error) => {
                let path = path.display();
                Err(Failure::Wrong(format!("--file {path} cannot be read: {error}")))
            }
        }
    }

    /// Samples of a channel's event; without one, of its inbound message.
    ///
    /// # Errors
    /// If the channel has no sample of the event.
    pub(super) fn samples(
        channel: Arc<dyn AnyChannel>,
        event: Option<String>,
    ) -> Result<Self, Failure> {
        let first = first_unique();
        if channel.sample(event.as_deref(), first).is_some() {
            return Ok(Self::Samples { channel, event, first });
        }
        let name = channel.name();
        let known = listed(channel.events().into_iter());
        let event =
            event.map_or_else(|| "an inbound message".to_owned(), |name| format!("`{name}`"));
        Err(Failure::Wrong(format!(
            "there is no sample of {event} for channel `{name}`: known are {known}; or post your own with --file"
        )))
    }

    /// The body of request `number`. A sample names the provider's account `account`.
    fn body(&self, number: u64, account: Option<&str>) -> Bytes {
        match self {
            Self::File(bytes) => bytes.clone(),
            Self::Samples { channel, event, first } => {
                let sample = channel.sample(event.as_deref(), first.wrapping_add(number));
                let sample = sample.unwrap_or_default();
                let sample = match account {
                    Some(account) => of_account(channel.as_ref(), sample, account),
                    None => sample,
                };
                sample.to_string().into()
            }
        }
    }
}

/// The unique number of this command's first sample: the wall clock in nanoseconds. The numbers of
/// the next command are greater, since nobody posts a billion times a second. The process id keeps
/// commands of the same millisecond apart.
fn first_unique() -> u64 {
    const NANOSECONDS: u64 = 1_000_000;
    let millis = u64::try_from(store::wall_clock().as_millis()).unwrap_or_default();
    millis * NANOSECONDS + u64::from(std::process::id()) * 1_000 % NANOSECONDS
}

/// Posts all requests, and calls `each` with each result as it comes. If `each` breaks, the open
/// requests are given up and the value of the break is returned.
pub(super) async fn all<B>(
    target: &Target,
    bodies: &Bodies,
    pace: &Pace,
    mut each: impl FnMut(Posted) -> ControlFlow<B>,
) -> Option<B> {
    let start = Instant::now();
    let mut outcomes = stream::iter(0..pace.count)
        .map(|number| async move {
            if let Some(due) = pace.rate.and_then(|rate| start.checked_add(due_after(rate, number)))
            {
                sleep_until(due).await;
            }
            one(target, bodies.body(number, target.account.as_deref())).await
        })
        .buffer_unordered(pace.connections.into());
    while let Some(posted) = outcomes.next().await {
        if let ControlFlow::Break(value) = each(posted) {
            return Some(value);
        }
    }
    None
}

/// How long after the start request `number` is due. Requests are evenly spaced; late ones catch
/// up.
fn due_after(rate: Rate, number: u64) -> Duration {
    let nanos = rate.per.as_nanos() * u128::from(number) / u128::from(rate.count.get());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

async fn one(target: &Target, body: Bytes) -> Posted {
    let mut request = target.http.post(target.url.clone());
    request = request.header(CONTENT_TYPE, "application/json").body(body);
    if let Some(secret) = &target.secret {
        request = request.header("X-Webhook-Secret", secret.clone());
    }
    let lost = |error: reqwest::Error| {
        let is_away = error.is_connect();
        let message = no_answer(&target.base, error, ANSWER_TIMEOUT);
        if is_away { Posted::Away(message) } else { Posted::Lost(message) }
    };
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => return lost(error),
    };
    let status = answer.status().as_u16();
    match answer.bytes().await {
        Ok(body) => {
            Posted::Answered { status, body: serde_json::from_slice(&body).unwrap_or_default() }
        }
        Err(error) => lost(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::sms::Sms;
    use std::num::NonZeroU32;

    #[test]
    fn requests_are_spaced_evenly_at_any_rate() {
        let rate = |count, seconds| Rate {
            count: NonZeroU32::new(count).expect("more than zero"),
            per: Duration::from_secs(seconds),
        };
        assert_eq!(due_after(rate(50, 1), 0), Duration::ZERO);
        assert_eq!(due_after(rate(50, 1), 50), Duration::from_secs(1));
        assert_eq!(due_after(rate(600, 60), 1), Duration::from_millis(100));
        assert_eq!(due_after(rate(10_000, 1), 10_000 * 3_600), Duration::from_secs(3_600));
        assert!(due_after(rate(1, 3_600), u64::MAX) > Duration::from_secs(1));
    }

    #[test]
    fn samples_differ_within_a_call_and_between_calls() {
        let bodies = Bodies::samples(Arc::new(Sms), None).ok().expect("samples");
        assert_ne!(bodies.body(0, None), bodies.body(1, None));
        assert_eq!(bodies.body(1, None), bodies.body(1, None));
        std::thread::sleep(Duration::from_millis(2));
        let later = Bodies::samples(Arc::new(Sms), None).ok().expect("samples");
        assert_ne!(bodies.body(0, None), later.body(0, None));
    }

    #[test]
    fn an_unknown_event_is_told_with_those_that_are_known() {
        let Err(Failure::Wrong(message)) =
            Bodies::samples(Arc::new(Sms), Some("nonsense".to_owned()))
        else {
            panic!("taken")
        };
        assert!(message.contains("`nonsense` for channel `sms`: known are"), "{message}");
        assert!(message.contains("`InboundMessage`"), "{message}");
    }
}
