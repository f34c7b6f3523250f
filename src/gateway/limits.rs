//! Which addresses count as one caller.

use std::net::{IpAddr, Ipv6Addr};

/// Prefix that one IPv6 subscriber holds: all its addresses are one caller.
const IPV6_PREFIX_BITS: u32 = 64;

/// The caller behind an address: IPv4 as it is (also when mapped into IPv6), IPv6 by its /64.
pub(in crate::gateway) fn key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let prefix = v6.to_bits() >> (128 - IPV6_PREFIX_BITS) << (128 - IPV6_PREFIX_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(prefix))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_subscriber_is_one_caller() {
        let of = |text: &str| key(text.parse().unwrap());
        assert_eq!(of("2001:db8:0:1::5"), of("2001:db8:0:1:ffff::9"));
        assert_ne!(of("2001:db8:0:1::5"), of("2001:db8:0:2::5"));
        assert_eq!(of("::ffff:203.0.113.7"), of("203.0.113.7"));
        assert!(of("::1").is_loopback());
    }
}
