//! Posting: so many, so fast, so many at once.

use super::target::{Target, listed};
use crate::{
    channels::{
        AnyChannel,
        samples::{of_account, sample},
    },
    cli::{failure::Failure, http::no_answer},
    config::Rate,
    domain::ChannelName,
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
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// What is posted.
pub(super) enum Bodies {
    /// The same bytes again and again.
    File(Bytes),
    /// Made-up events that all differ.
    Samples { channel: ChannelName, event: Option<String>, first: u64 },
}

/// How much of it, and how fast.
pub(super) struct Pace {
    pub(super) count: u64,
    /// `None` is as fast as it goes.
    pub(super) rate: Option<Rate>,
    pub(super) connections: u16,
}

/// What became of one request.
pub(super) enum Posted {
    /// It was answered; a body that is no JSON is null.
    Answered { status: u16, body: Value },
    /// It was not, and may have arrived or not.
    Lost(String),
    /// Nobody is there to take it.
    Away(String),
}

impl Bodies {
    /// What the file says, `-` for stdin. It need not be JSON: who asks may want to see it refused.
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

    /// Samples of a channel; of its inbound message where no event is named.
    pub(super) fn samples(
        channel: &dyn AnyChannel,
        event: Option<String>,
    ) -> Result<Self, Failure> {
        let name = channel.name();
        let first = first_unique();
        if sample(name, event.as_deref(), first).is_some() {
            return Ok(Self::Samples { channel: name, event, first });
        }
        let has_sample = |event: &&str| sample(name, Some(event), first).is_some();
        let known = listed(channel.events().iter().copied().filter(has_sample));
        let event = event.map_or_else(|| "an inbound message".to_owned(), |it| format!("`{it}`"));
        Err(Failure::Wrong(format!(
            "there is no sample of {event} for channel `{name}`: known are {known}; or post your own with --file"
        )))
    }

    /// The body of that number, a sample as one of that account.
    fn body(&self, number: u64, account: Option<&str>) -> Bytes {
        match self {
            Self::File(bytes) => bytes.clone(),
            Self::Samples { channel, event, first } => {
                let sample = sample(*channel, event.as_deref(), first.wrapping_add(number));
                let sample = sample.unwrap_or_default();
                let sample = match account {
                    Some(account) => of_account(sample, account),
                    None => sample,
                };
                sample.to_string().into()
            }
        }
    }
}

/// Where the samples of this call start. By the wall clock in nanoseconds, so that those of the next call
/// go on above: no daemon is posted to a billion times a second. The process's number keeps calls of the
/// same millisecond apart.
fn first_unique() -> u64 {
    const NANOSECONDS: u64 = 1_000_000;
    let millis = u64::try_from(store::wall_clock().as_millis()).unwrap_or_default();
    millis * NANOSECONDS + u64::from(std::process::id()) * 1_000 % NANOSECONDS
}

/// Posts all, and gives each outcome to `each` as it comes, until that breaks: the break's value is then
/// the result, and what is under way is given up.
pub(super) async fn all<B>(
    target: &Target,
    bodies: &Bodies,
    pace: &Pace,
    mut each: impl FnMut(Posted) -> ControlFlow<B>,
) -> Option<B> {
    let start = Instant::now();
    let mut outcomes = stream::iter(0..pace.count)
        .map(|number| async move {
            if let Some(due) = pace.rate.and_then(|it| start.checked_add(due_after(it, number))) {
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

/// How long after the start a request is due: evenly spaced, and late ones catch up.
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
        let message = no_answer(&target.base, error);
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
        let bodies = Bodies::samples(&Sms, None).ok().expect("samples");
        assert_ne!(bodies.body(0, None), bodies.body(1, None));
        assert_eq!(bodies.body(1, None), bodies.body(1, None));
        std::thread::sleep(Duration::from_millis(2));
        let later = Bodies::samples(&Sms, None).ok().expect("samples");
        assert_ne!(bodies.body(0, None), later.body(0, None));
    }

    #[test]
    fn an_unknown_event_is_told_with_those_that_are_known() {
        let Err(Failure::Wrong(message)) = Bodies::samples(&Sms, Some("nonsense".to_owned()))
        else {
            panic!("taken")
        };
        assert!(message.contains("`nonsense` for channel `sms`: known are"), "{message}");
        assert!(message.contains("`InboundMessage`"), "{message}");
    }
}
