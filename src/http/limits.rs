//! Rate limits: by address, before anything else is checked, and by client, once it is known.

use super::{
    State,
    problem::{Cause, Problem, name_request},
    request_id,
};
use crate::config::{self, Rate};
use actix_web::{
    Error, HttpRequest,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{HeaderMap, HeaderName},
    },
    middleware::Next,
    web,
};
use arc_swap::ArcSwapOption;
use dashmap::DashMap;
use governor::{
    DefaultKeyedRateLimiter, Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::StateInformationMiddleware,
    state::{InMemoryState, NotKeyed},
};
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

type Limiter = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// How many addresses are remembered at once. Beyond it, addresses whose limit has fully recovered
/// are dropped. If there are none, further addresses are not limited: a sender that has this many
/// has no limit anyway.
const ADDRESSES_MAX: usize = 100_000;
/// The shortest time between two searches for such addresses.
const FORGET_EVERY: Duration = Duration::from_secs(1);
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The addresses that count as one. For IPv6 it is a block (/64), the least that a subscriber is
/// given; otherwise a subscriber could pass as 2^64 senders. An IPv4 address that is written as
/// IPv6 (`::ffff:10.0.0.1`) is that IPv4 address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Neighbours(IpAddr);

impl Neighbours {
    /// The addresses that count as one with `address`.
    pub(super) fn of(address: IpAddr) -> Self {
        const NETWORK: u128 = !0 << 64;
        Self(match address.to_canonical() {
            IpAddr::V4(it) => IpAddr::V4(it),
            IpAddr::V6(it) => IpAddr::V6(Ipv6Addr::from_bits(it.to_bits() & NETWORK)),
        })
    }
}

impl fmt::Display for Neighbours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(it) => it.fmt(f),
            IpAddr::V6(it) => write!(f, "{it}/64"),
        }
    }
}

/// The limits of this process. An address has the same limit twice, for webhooks and for other
/// requests, so that health checks take nothing from a provider's webhooks.
#[derive(Debug, Default)]
pub(super) struct Limits {
    webhooks: ByAddress,
    others: ByAddress,
    clients: DashMap<String, Arc<ClientLimit>>,
    clock: DefaultClock,
}

impl Limits {
    /// Seconds until `address` may post again, or `None` if it may now.
    pub(super) fn address(&self, address: IpAddr, rate: Option<Rate>) -> Option<u64> {
        self.webhooks.wait(address, rate?, &self.clock)
    }

    /// Seconds until `client` may post again, or `None` if it may now.
    pub(super) fn client(&self, client: &str, rate: Option<Rate>) -> Option<u64> {
        let limit = limit_of(&self.clients, client.to_owned(), rate?);
        match limit.limiter.check() {
            Ok(state) => {
                limit.note(state.remaining_burst_capacity());
                None
            }
            Err(refused) => {
                limit.note(0);
                Some(refused.wait_time_from(self.clock.now()).as_secs() + 1)
            }
        }
    }

    /// How much of its limit a client has used up, on this node. To ask uses up nothing.
    pub(super) fn used_by(&self, client: &str, rate: Rate) -> u32 {
        let limit = self.clients.get(client).filter(|limit| limit.rate == rate);
        limit.map_or(0, |limit| limit.used(Instant::now()))
    }
}

/// The limit of a client.
#[derive(Debug)]
struct ClientLimit {
    /// The rate that it was made for.
    rate: Rate,
    limiter: Limiter,
    /// How many more were allowed at the last request, and when that was.
    left: Mutex<(u32, Instant)>,
}

impl ClientLimit {
    fn new(rate: Rate) -> Self {
        Self {
            rate,
            limiter: RateLimiter::direct(quota(rate)).with_middleware(),
            left: Mutex::new((rate.count.get(), Instant::now())),
        }
    }

    fn note(&self, left: u32) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = (left, Instant::now());
    }

    /// What is used up: it recovers evenly within the interval of the rate.
    fn used(&self, now: Instant) -> u32 {
        let (left, at) = *self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let count = self.rate.count.get();
        let recovered =
            now.saturating_duration_since(at).as_secs_f64() / self.rate.per.as_secs_f64();
        let used = f64::from(count.saturating_sub(left)) - recovered * f64::from(count);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is between 0 and the count of the rate"
        )]
        let used = used.max(0.0).ceil() as u32;
        used
    }
}

/// The limits of all addresses.
#[derive(Debug, Default)]
struct ByAddress {
    /// Together with the rate that it was made for.
    limiter: ArcSwapOption<(Rate, DefaultKeyedRateLimiter<Neighbours>)>,
    /// When addresses were last forgotten.
    forgot_at: Mutex<Option<Instant>>,
}

impl ByAddress {
    /// Seconds until `address` may send again, or `None` if it may now.
    fn wait(&self, address: IpAddr, rate: Rate, clock: &DefaultClock) -> Option<u64> {
        let made = self.limiter_for(rate);
        let limiter = &made.1;
        if limiter.len() >= ADDRESSES_MAX {
            if self.is_time_to_forget(Instant::now()) {
                limiter.retain_recent();
            }
            if limiter.len() >= ADDRESSES_MAX {
                return None;
            }
        }
        let refused = limiter.check_key(&Neighbours::of(address)).err()?;
        Some(refused.wait_time_from(clock.now()).as_secs() + 1)
    }

    /// The limiter for `rate`. A new one replaces that of an earlier rate. If several requests make
    /// one at the same time, all use the first, so that each request is counted.
    fn limiter_for(&self, rate: Rate) -> Arc<(Rate, DefaultKeyedRateLimiter<Neighbours>)> {
        let is_for_rate = |it: &Arc<(Rate, _)>| it.0 == rate;
        if let Some(limiter) = self.limiter.load_full().filter(is_for_rate) {
            return limiter;
        }
        let made = Arc::new((rate, RateLimiter::keyed(quota(rate))));
        let replaced = self.limiter.rcu(|current| {
            let current = current.clone().filter(is_for_rate);
            Some(current.unwrap_or_else(|| made.clone()))
        });
        replaced.filter(is_for_rate).unwrap_or(made)
    }

    fn is_time_to_forget(&self, now: Instant) -> bool {
        let mut forgot_at = self.forgot_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = forgot_at.is_none_or(|at| now.saturating_duration_since(at) >= FORGET_EVERY);
        if is_time {
            *forgot_at = Some(now);
        }
        is_time
    }
}

/// The limit of a client; a new one if the rate was changed.
fn limit_of(
    limits: &DashMap<String, Arc<ClientLimit>>,
    client: String,
    rate: Rate,
) -> Arc<ClientLimit> {
    let made = || Arc::new(ClientLimit::new(rate));
    let mut entry = limits.entry(client).or_insert_with(made);
    if entry.rate != rate {
        *entry = made();
    }
    entry.clone()
}

fn quota(rate: Rate) -> Quota {
    Quota::with_period(rate.per / rate.count.get())
        .unwrap_or_else(|| Quota::per_second(rate.count))
        .allow_burst(rate.count)
}

/// The address that a request comes from: the peer's. If the peer is a trusted proxy, it is the
/// last address in `X-Forwarded-For` that is not a trusted proxy. If a later entry is not an
/// address, the header is ignored, and the peer's address counts.
pub(super) fn address_of(request: &HttpRequest, server: &config::ServerConfig) -> Option<IpAddr> {
    let peer = request.peer_addr()?.ip();
    Some(sender_of(peer, request.headers(), server))
}

/// True for a proxy whose `X-Forwarded-For` is believed.
pub(super) fn is_trusted(server: &config::ServerConfig, address: IpAddr) -> bool {
    server.trusted_proxies.iter().any(|net| net.contains(address))
}

fn sender_of(peer: IpAddr, headers: &HeaderMap, server: &config::ServerConfig) -> IpAddr {
    if !is_trusted(server, peer) {
        return peer;
    }
    let lines: Vec<_> = headers.get_all(FORWARDED_FOR).collect();
    let entries = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    for entry in entries {
        match address_in(entry) {
            None => return peer,
            Some(address) if !is_trusted(server, address) => return address,
            Some(_) => {}
        }
    }
    peer
}

/// The address in an entry of `X-Forwarded-For`. Some proxies add the port.
fn address_in(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().map(IpAddr::V6).ok();
    let with_port = || text.parse().map(|it: SocketAddr| it.ip()).ok();
    text.parse().ok().or_else(in_brackets).or_else(with_port)
}

/// Answers 429 to a request whose address has sent more than it may. Webhooks are limited by their
/// own handler, which counts their refusals, and the admin API by [`super::admin::guard`], which
/// never holds up a request that shows the token.
pub(super) async fn by_address(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let refused = match request.app_data::<web::Data<State>>() {
        Some(state) if !state.limits_itself(&request) => {
            state.over_limit_of_address(request.request())
        }
        _ => None,
    };
    match refused {
        None => next.call(request).await,
        Some(problem) => {
            let id = request_id::of(request.request());
            let response = request.into_response(problem.of_request(&id).response());
            Ok(name_request(response, &id))
        }
    }
}

impl State {
    /// True if the handler of `request` asks for the limit of its address itself.
    fn limits_itself(&self, request: &ServiceRequest) -> bool {
        let path = request.path();
        let is_webhook = || {
            let (channel, client) = path.strip_prefix("/webhooks/")?.split_once('/')?;
            let is_client = !client.trim_end_matches('/').contains('/');
            Some(
                is_client
                    && request.method() == Method::POST
                    && self.channels.contains_key(channel),
            )
        };
        path.starts_with("/api/v1/") || is_webhook().unwrap_or(false)
    }

    /// Counts a request that is no webhook for its address; the refusal if that has sent more than
    /// it may.
    pub(super) fn over_limit_of_address(&self, request: &HttpRequest) -> Option<Problem> {
        let cfg = self.config.get();
        let address = address_of(request, &cfg.server)?;
        let rate = cfg.server.address_rate_limit?;
        let seconds = self.limits.others.wait(address, rate, &self.limits.clock)?;
        let detail = "more requests than this address may send (server.address_rate_limit)";
        Some(Problem::new(Cause::RateLimited, detail).retry_after(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};
    use actix_web::http::header::HeaderValue;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    fn config(toml: &[(&str, &str)]) -> Config {
        let env = toml.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(&Sources { env: env.collect(), ..Sources::default() }).expect("valid")
    }

    #[test]
    fn the_first_entry_from_the_right_that_is_no_trusted_proxy_is_the_sender() {
        let config = config(&[
            ("POSTROOM__SERVER__TRUSTED_PROXIES", r#"["10.0.0.0/8", "fd00::/8"]"#),
            ("POSTROOM__CLIENTS", "[]"),
        ]);
        let (proxy, stranger) = ("10.0.0.1", "203.0.113.9");
        for (peer, lines, sender) in [
            (proxy, &["203.0.113.9"][..], stranger),
            (proxy, &["203.0.113.9:4711"], stranger),
            (proxy, &["198.51.100.1, 203.0.113.9:4711"], stranger),
            (proxy, &["198.51.100.1", "203.0.113.9, 10.2.3.4"], stranger),
            (proxy, &["[2001:db8::1]:443"], "2001:db8::1"),
            (proxy, &["[2001:db8::1]"], "2001:db8::1"),
            (proxy, &["2001:db8::1, fd00::7"], "2001:db8::1"),
            ("::ffff:10.0.0.1", &["203.0.113.9"], stranger),
            // Whatever stands before an entry that is no address may be made up by the sender.
            (proxy, &["198.51.100.1, unknown"], proxy),
            (proxy, &["198.51.100.1, _hidden, 10.2.3.4"], proxy),
            (proxy, &["198.51.100.1, 203.0.113.9:x"], proxy),
            (proxy, &["198.51.100.1,"], proxy),
            (proxy, &["198.51.100.1, \u{e9}"], proxy),
            (proxy, &["10.2.3.4"], proxy),
            (proxy, &[], proxy),
            // A stranger's own header says nothing.
            (stranger, &["198.51.100.1"], stranger),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                let value = HeaderValue::from_bytes(line.as_bytes()).expect(line);
                headers.append(FORWARDED_FOR, value);
            }
            assert_eq!(sender_of(ip(peer), &headers, &config.server), ip(sender), "{lines:?}");
        }
    }

    #[test]
    fn a_block_of_ipv6_is_one_address() {
        let one = Neighbours::of(ip("2001:db8:1:2::1"));
        assert_eq!(one, Neighbours::of(ip("2001:db8:1:2:ffff:ffff:ffff:ffff")));
        assert_ne!(one, Neighbours::of(ip("2001:db8:1:3::1")));
        assert_eq!(Neighbours::of(ip("::ffff:10.0.0.1")), Neighbours::of(ip("10.0.0.1")));
        assert_ne!(Neighbours::of(ip("10.0.0.1")), Neighbours::of(ip("10.0.0.2")));
    }

    #[test]
    fn addresses_are_limited_each_for_itself_and_forgotten_only_when_their_limit_is_whole() {
        let rate = config(&[("POSTROOM__SERVER__ADDRESS_RATE_LIMIT", "2/h")]);
        let rate = rate.server.address_rate_limit;
        assert!(rate.is_some());
        let limits = Limits::default();
        let passes = |address: &str| limits.address(ip(address), rate).is_none();
        assert!(passes("2001:db8::1") && passes("2001:db8::2") && !passes("2001:db8::3"));
        assert!(passes("10.0.0.1"));
        for number in 0..ADDRESSES_MAX {
            let number = u32::try_from(number).expect("fits");
            limits.address(IpAddr::V4((0x0b00_0000 + number).into()), rate);
        }
        // They are all in use: nobody is forgotten, whatever comes.
        assert!(passes("12.0.0.1") && passes("12.0.0.1") && passes("12.0.0.1"));
        let addresses = limits.webhooks.limiter.load_full().expect("made");
        assert!(addresses.1.len() <= ADDRESSES_MAX);
        // Its second is not lost, and its third is one too many.
        assert!(addresses.1.check_key(&Neighbours::of(ip("10.0.0.1"))).is_ok());
        assert!(addresses.1.check_key(&Neighbours::of(ip("10.0.0.1"))).is_err());
    }

    #[test]
    fn what_a_client_has_used_of_its_limit_is_known_and_recovers() {
        let rate = Rate::parse("4/h").expect("a rate");
        let limits = Limits::default();
        assert_eq!(limits.used_by("acme", rate), 0, "it has sent nothing");
        for used in 1..=4 {
            assert_eq!(limits.client("acme", Some(rate)), None);
            assert_eq!(limits.used_by("acme", rate), used);
        }
        assert!(limits.client("acme", Some(rate)).is_some());
        assert_eq!((limits.used_by("acme", rate), limits.used_by("other", rate)), (4, 0));
        // One of four an hour comes back in a quarter of an hour.
        let limit = limit_of(&limits.clients, "acme".to_owned(), rate);
        let used = |minutes: u64| limit.used(Instant::now() + Duration::from_secs(minutes * 60));
        assert_eq!((used(16), used(46), used(61)), (3, 1, 0));
        // Of another rate, nothing is used.
        assert_eq!(limits.used_by("acme", Rate::parse("5/h").expect("a rate")), 0);
    }

    #[test]
    fn requests_that_meet_at_a_new_rate_are_all_counted() {
        let rate = config(&[("POSTROOM__SERVER__ADDRESS_RATE_LIMIT", "3/h")]);
        let rate = rate.server.address_rate_limit;
        const THREADS: usize = 8;
        for _ in 0..500 {
            let (limits, start) = (Limits::default(), std::sync::Barrier::new(THREADS));
            let passes = || {
                start.wait();
                limits.address(ip("10.0.0.1"), rate).is_none()
            };
            let passed = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(passes)).collect();
                threads.into_iter().filter_map(|it| it.join().ok()).filter(|passed| *passed).count()
            });
            assert_eq!(passed, 3);
        }
    }
}
