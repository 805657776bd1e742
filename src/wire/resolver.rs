//! Resolves a name to the addresses that a call may go to. The connection goes to one of them: the
//! name is not resolved a second time.

use crate::domain::reach::{AddressClass, class_of};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::SocketAddr;

/// Where calls may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// To the internet.
    Public,
    /// To the internet and to private networks.
    Anywhere,
    /// To private networks.
    Private,
}

impl Reach {
    /// True if a call may go to an address of this class.
    pub(super) const fn includes(self, class: AddressClass) -> bool {
        match (self, class) {
            (Self::Public | Self::Anywhere, AddressClass::Public)
            | (Self::Anywhere | Self::Private, AddressClass::Private) => true,
            (Self::Public, AddressClass::Private)
            | (Self::Private, AddressClass::Public)
            | (_, AddressClass::Never) => false,
        }
    }

    /// Why a call to `host` is not made.
    pub(super) fn refusal(self, host: &str) -> String {
        let why = match self {
            Self::Public => "not on the internet, and `send.allow_private` is not set",
            Self::Anywhere => "neither on the internet nor in a private network",
            Self::Private => "not in a private network, and without TLS no other is asked",
        };
        format!("`{host}` is {why}")
    }
}

/// Resolves by the system, and keeps the addresses that a call may go to.
#[derive(Clone, Copy, Debug)]
pub(super) struct CheckedResolver(pub(super) Reach);

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            // The port does not count: the URL's takes its place.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> =
                found.filter(|address| reach.includes(class_of(address.ip()))).collect();
            if allowed.is_empty() {
                return Err(reach.refusal(name.as_str()).into());
            }
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}
