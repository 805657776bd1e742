//! Types for values with a unit or a meaning of their own: secrets, rates, networks.

use std::{fmt, net::IpAddr, num::NonZeroU32, time::Duration};
use subtle::ConstantTimeEq;

/// The text that is shown in place of a secret.
pub(super) const MASK: &str = "***";

/// Text that is never shown: `Debug` and `Display` print `***`, and it cannot be serialized.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Makes a secret of `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for comparing it or sending it. It must not be shown.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// True if `given` is the secret in UTF-8. Compares in constant time.
    pub fn is(&self, given: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(given).into()
    }
}

impl PartialEq for Secret {
    /// Compares in constant time, so that the duration of a `==` tells nothing.
    fn eq(&self, other: &Self) -> bool {
        self.is(other.0.as_bytes())
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// A number per second, minute or hour: `"50/s"`, `"600/m"`, `"1000/h"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The number of things per interval.
    pub count: NonZeroU32,
    /// The time in which it is counted: a second, a minute or an hour.
    pub per: Duration,
}

impl Rate {
    /// Parses a number and a unit. `None` if the text is not a rate, or the number is 0.
    pub fn parse(text: &str) -> Option<Self> {
        let (count, unit) = text.split_once('/')?;
        let seconds = match unit.trim() {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            _ => return None,
        };
        Some(Self { count: count.trim().parse().ok()?, per: Duration::from_secs(seconds) })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.per.as_secs() {
            1 => "s",
            60 => "m",
            _ => "h",
        };
        write!(f, "{}/{unit}", self.count)
    }
}

/// An address or a block of addresses: `10.0.0.1`, `10.0.0.0/8`, `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// Leading bits that the addresses of the block share; at most 32 for IPv4, 128 for IPv6.
    prefix: u32,
}

impl Network {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.unwrap_or(bits);
        (prefix <= bits).then_some(Self { address, prefix })
    }

    /// True if `address` is in the block. An IPv4 address written as IPv6 (`::ffff:10.0.0.1`)
    /// counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(block), IpAddr::V4(single)) => {
                let shift = 32_u32.saturating_sub(self.prefix);
                let head = |address: std::net::Ipv4Addr| address.to_bits().checked_shr(shift);
                head(block) == head(single)
            }
            (IpAddr::V6(block), IpAddr::V6(single)) => {
                let shift = 128_u32.saturating_sub(self.prefix);
                let head = |address: std::net::Ipv6Addr| address.to_bits().checked_shr(shift);
                head(block) == head(single)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_stars() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(secret.expose(), "hunter2");
        assert!(secret == Secret::new("hunter2") && secret != Secret::new("hunter3"));
    }

    #[test]
    fn rates_have_a_count_and_a_unit() {
        for text in ["50/s", "600/m", "1000/h"] {
            assert_eq!(Rate::parse(text).map(|it| it.to_string()).as_deref(), Some(text));
        }
        for text in ["", "50", "0/s", "-1/s", "50/d", "s/50", "1.5/s"] {
            assert!(Rate::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_network_holds_its_addresses() {
        for (network, address, is_in) in [
            ("10.0.0.0/8", "10.200.3.4", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "fe80::1", false),
            ("::/0", "fe80::1", true),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("::/0", "10.0.0.1", false),
        ] {
            let block = Network::parse(network).expect(network);
            assert_eq!(
                block.contains(address.parse().expect(address)),
                is_in,
                "{network} {address}"
            );
        }
        for text in ["10.0.0.0/33", "10.0.0/8", "host", "10.0.0.0/x", "::1/129"] {
            assert!(Network::parse(text).is_none(), "{text}");
        }
    }
}
