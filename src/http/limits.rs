//! Rate limits: by address, before anything is looked at, and by client, once it is known.

use crate::config::{self, Rate};
use actix_web::HttpRequest;
use dashmap::DashMap;
use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    state::{InMemoryState, NotKeyed},
};
use std::{net::IpAddr, sync::Arc};

type Limiter = RateLimiter<NotKeyed, InMemoryState, DefaultClock>;

/// How many addresses are remembered at once; beyond it, those that have been quiet are forgotten.
const ADDRESSES_MAX: usize = 100_000;

/// The limits of this process.
#[derive(Debug, Default)]
pub(super) struct Limits {
    addresses: DashMap<IpAddr, (Rate, Arc<Limiter>)>,
    clients: DashMap<String, (Rate, Arc<Limiter>)>,
    clock: DefaultClock,
}

impl Limits {
    /// Seconds until `address` may come again, or `None` where it may now.
    pub(super) fn address(&self, address: IpAddr, rate: Option<Rate>) -> Option<u64> {
        let rate = rate?;
        if self.addresses.len() > ADDRESSES_MAX {
            // A limiter that nobody else holds and that is full again says nothing: it may go.
            self.addresses.retain(|_, (_, limiter)| limiter.check().is_err());
        }
        let limiter = limiter_of(&self.addresses, address, rate);
        self.check(&limiter)
    }

    /// Seconds until `client` may come again, or `None` where it may now.
    pub(super) fn client(&self, client: &str, rate: Option<Rate>) -> Option<u64> {
        let limiter = limiter_of(&self.clients, client.to_owned(), rate?);
        self.check(&limiter)
    }

    fn check(&self, limiter: &Limiter) -> Option<u64> {
        let refused = limiter.check().err()?;
        Some(refused.wait_time_from(self.clock.now()).as_secs() + 1)
    }
}

/// The limiter of `key`; a new one where the rate was changed.
fn limiter_of<K: std::hash::Hash + Eq>(
    limiters: &DashMap<K, (Rate, Arc<Limiter>)>,
    key: K,
    rate: Rate,
) -> Arc<Limiter> {
    let mut entry = limiters.entry(key).or_insert_with(|| (rate, made(rate)));
    if entry.0 != rate {
        *entry = (rate, made(rate));
    }
    entry.1.clone()
}

fn made(rate: Rate) -> Arc<Limiter> {
    let quota = Quota::with_period(rate.per / rate.count.get())
        .unwrap_or_else(|| Quota::per_second(rate.count))
        .allow_burst(rate.count);
    Arc::new(RateLimiter::direct(quota))
}

/// The address that a request comes from: the peer's, or where that is a trusted proxy, the last address
/// in `X-Forwarded-For` that is none.
pub(super) fn address_of(request: &HttpRequest, server: &config::Server) -> Option<IpAddr> {
    let is_trusted = |it: IpAddr| server.trusted_proxies.iter().any(|net| net.contains(it));
    let peer = request.peer_addr()?.ip();
    if !is_trusted(peer) {
        return Some(peer);
    }
    let forwarded = request.headers().get_all("x-forwarded-for").filter_map(|it| it.to_str().ok());
    let addresses: Vec<IpAddr> =
        forwarded.flat_map(|it| it.split(',')).filter_map(|it| it.trim().parse().ok()).collect();
    addresses.into_iter().rev().find(|it| !is_trusted(*it)).or(Some(peer))
}
