//! Whether the settings let other machines reach the daemon.

use super::sections::ServerConfig;
use std::net::IpAddr;

/// True if only this machine can reach a daemon with these settings.
pub(super) fn is_local_only(server: &ServerConfig) -> bool {
    opening(server).is_none()
}

/// The setting that lets other machines reach the daemon, as a sentence; `None` if there is none.
///
/// A loopback address alone does not keep other machines out: a proxy or a tunnel on this machine
/// may forward requests to it. `public_url` and `trusted_proxies` each say that there is one.
pub(super) fn opening(server: &ServerConfig) -> Option<&'static str> {
    if !is_loopback(server.bind.ip()) {
        Some("`server.bind` is not a loopback address")
    } else if server.public_url.is_some() {
        Some("`server.public_url` says that others than this machine reach the daemon")
    } else if !server.trusted_proxies.is_empty() {
        Some("`server.trusted_proxies` says that a proxy lets others reach the daemon")
    } else {
        None
    }
}

/// True for an address at which the kernel delivers only packets of this machine: 127.0.0.0/8,
/// `::1`, and 127.0.0.0/8 written as IPv6 (`::ffff:127.0.0.1`), for which the kernel opens an IPv4
/// socket.
pub(super) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_address_is_what_the_kernel_takes_for_one() {
        for (address, is) in [
            ("127.0.0.1", true),
            ("127.255.255.254", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("::ffff:7f00:2", true),
            ("0.0.0.0", false),
            ("::", false),
            ("::ffff:0.0.0.0", false),
            ("::ffff:10.0.0.1", false),
            ("::127.0.0.1", false),
            ("64:ff9b::127.0.0.1", false),
            ("10.0.0.1", false),
            ("128.0.0.1", false),
            ("fe80::1", false),
            ("::2", false),
        ] {
            assert_eq!(is_loopback(address.parse().expect(address)), is, "{address}");
        }
    }
}
