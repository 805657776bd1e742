//! Which addresses an outgoing call may go to. A client's configuration names the target, and a
//! name can resolve to anything, so the address decides.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressClass {
    /// A server on the internet.
    Public,
    /// This machine or a network of the operator's: loopback, private, shared by a carrier,
    /// unique-local.
    Private,
    /// Nothing that a call should reach: link-local (where clouds keep their credentials),
    /// multicast, broadcast, reserved, documentation, benchmarks, tunnels.
    Never,
}

/// The class of an address. An IPv6 address that stands for an IPv4 one (mapped, NAT64, 6to4) has
/// the class of that, since a gateway may translate it.
pub fn class_of(address: IpAddr) -> AddressClass {
    match address {
        IpAddr::V4(address) => class_of_v4(address),
        IpAddr::V6(address) => class_of_v6(address),
    }
}

/// The class of a URL's host, if it is an address or a name of this machine.
pub fn class_of_host(host: &str) -> Option<AddressClass> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let is_local = name == "localhost" || name.ends_with(".localhost");
    let literal = bare.parse().ok().map(class_of);
    literal.or_else(|| is_local.then_some(AddressClass::Private))
}

/// `(block, length of its prefix)`, by RFC 6890 and IANA's registry of special addresses.
const PRIVATE_V4: &[([u8; 4], u32)] = &[
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10), // shared by a carrier's customers
    ([127, 0, 0, 0], 8),
    ([172, 16, 0, 0], 12),
    ([192, 168, 0, 0], 16),
];
const NEVER_V4: &[([u8; 4], u32)] = &[
    ([0, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16), // link-local; 169.254.169.254 gives out a cloud's credentials
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24), // documentation
    ([192, 31, 196, 0], 24),
    ([192, 52, 193, 0], 24),
    ([192, 88, 99, 0], 24), // relays of 6to4
    ([192, 175, 48, 0], 24),
    ([198, 18, 0, 0], 15),   // benchmarks
    ([198, 51, 100, 0], 24), // documentation
    ([203, 0, 113, 0], 24),  // documentation
    ([224, 0, 0, 0], 4),     // multicast
    ([240, 0, 0, 0], 4),     // reserved, and broadcast
];

fn class_of_v4(address: Ipv4Addr) -> AddressClass {
    let is_in = |blocks: &[([u8; 4], u32)]| {
        blocks.iter().any(|(block, prefix)| {
            let shift = 32_u32.saturating_sub(*prefix);
            Ipv4Addr::from(*block).to_bits().checked_shr(shift)
                == address.to_bits().checked_shr(shift)
        })
    };
    if is_in(PRIVATE_V4) {
        AddressClass::Private
    } else if is_in(NEVER_V4) {
        AddressClass::Never
    } else {
        AddressClass::Public
    }
}

fn class_of_v6(address: Ipv6Addr) -> AddressClass {
    let [first, second, third, .., seventh, eighth] = address.segments();
    let v4 = |high: u16, low: u16| {
        class_of_v4(Ipv4Addr::from_bits((u32::from(high) << 16) | u32::from(low)))
    };
    let bits = address.to_bits();
    match (first, second) {
        _ if address.is_loopback() => AddressClass::Private,
        // ::ffff:a.b.c.d, and the form ::a.b.c.d of old, which holds `::` as well.
        _ if bits >> 32 == 0xffff => v4(seventh, eighth),
        _ if bits >> 32 == 0 => AddressClass::Never,
        // NAT64 at its well-known prefix. At its local one (64:ff9b:1::/48) a gateway of the
        // network may put the IPv4 address in several places.
        (0x64, 0xff9b) if bits >> 32 == 0x0064_ff9b << 64 => v4(seventh, eighth),
        (0x64, 0xff9b) => AddressClass::Never,
        // 6to4 holds the IPv4 address of its gateway.
        (0x2002, _) => v4(second, third),
        // Teredo, ORCHID, benchmarks and the rest of 2001::/23, and documentation.
        (0x2001, 0..=0x1ff | 0xdb8) | (0x3fff, 0..=0xfff) => AddressClass::Never,
        // Unique-local.
        (0xfc00..=0xfdff, _) => AddressClass::Private,
        // Only 2000::/3 is given out: all else is link-local, site-local, multicast or reserved.
        (0x2000..=0x3fff, _) => AddressClass::Public,
        _ => AddressClass::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::AddressClass::{Never, Private, Public};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_is_public_private_or_never_called() {
        for (address, class) in [
            ("1.1.1.1", Public),
            ("9.255.255.255", Public),
            ("10.0.0.0", Private),
            ("10.255.255.255", Private),
            ("11.0.0.0", Public),
            ("100.63.255.255", Public),
            ("100.64.0.1", Private),
            ("100.127.255.255", Private),
            ("100.128.0.0", Public),
            ("127.0.0.1", Private),
            ("127.255.255.254", Private),
            ("172.15.255.255", Public),
            ("172.16.0.0", Private),
            ("172.31.255.255", Private),
            ("172.32.0.0", Public),
            ("192.168.1.1", Private),
            ("0.0.0.0", Never),
            ("0.1.2.3", Never),
            ("169.254.169.254", Never),
            ("192.0.0.8", Never),
            ("192.0.2.1", Never),
            ("198.18.0.1", Never),
            ("198.19.255.255", Never),
            ("198.20.0.0", Public),
            ("198.51.100.7", Never),
            ("203.0.113.9", Never),
            ("224.0.0.1", Never),
            ("240.0.0.1", Never),
            ("255.255.255.255", Never),
            ("::1", Private),
            ("::", Never),
            ("::2", Never),
            ("::127.0.0.1", Never),
            ("::8.8.8.8", Never),
            ("::ffff:8.8.8.8", Public),
            ("::ffff:127.0.0.1", Private),
            ("::ffff:10.0.0.1", Private),
            ("::ffff:169.254.169.254", Never),
            ("::ffff:0:127.0.0.1", Never),
            ("64:ff9b::8.8.8.8", Public),
            ("64:ff9b::127.0.0.1", Private),
            ("64:ff9b::169.254.169.254", Never),
            ("64:ff9b:1::8.8.8.8", Never),
            ("2002:0808:0808::1", Public),
            ("2002:7f00:1::1", Private),
            ("2002:a9fe:a9fe::1", Never),
            ("2001::1", Never),
            ("2001:1ff::1", Never),
            ("2001:200::1", Public),
            ("2001:db8::1", Never),
            ("2001:4860:4860::8888", Public),
            ("2606:4700:4700::1111", Public),
            ("3fff::1", Never),
            ("3fff:1000::1", Public),
            ("fc00::1", Private),
            ("fd12:3456::1", Private),
            ("fe80::1", Never),
            ("fec0::1", Never),
            ("ff02::1", Never),
            ("100::1", Never),
            ("5f00::1", Never),
        ] {
            assert_eq!(class_of(address.parse().expect(address)), class, "{address}");
        }
    }

    #[test]
    fn a_host_has_a_class_if_it_is_an_address_or_this_machine() {
        for (host, class) in [
            ("127.0.0.1", Some(Private)),
            ("[::1]", Some(Private)),
            ("[2606:4700:4700::1111]", Some(Public)),
            ("localhost", Some(Private)),
            ("LOCALHOST.", Some(Private)),
            ("api.localhost", Some(Private)),
            ("api.example.com", None),
            ("localhost.example.com", None),
        ] {
            assert_eq!(class_of_host(host), class, "{host}");
        }
    }

    proptest! {
        #[test]
        fn an_ipv4_address_written_as_ipv6_has_the_same_class(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            let class = class_of(v4.into());
            let (high, low) = ((bits >> 16) as u16, bits as u16);
            for v6 in [
                v4.to_ipv6_mapped(),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
            ] {
                prop_assert_eq!(class_of(v6.into()), class);
            }
        }
    }
}
