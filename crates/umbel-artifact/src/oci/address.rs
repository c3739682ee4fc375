//! Which addresses are asked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is one of a link or of a cloud's metadata: there nobody runs a registry, and whoever gets us to ask there
/// wants something else.
pub(super) fn is_metadata(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local() || v4 == Ipv4Addr::new(100, 100, 100, 200),
        IpAddr::V6(v6) => {
            let well_known = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);
            v6.is_unicast_link_local()
                || v6 == well_known
                || embedded(v6).is_some_and(|v4| is_metadata(v4.into()))
        }
    }
}

/// Whether an address is this machine.
pub(super) fn is_here(address: IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || address.is_unspecified()
}

/// The address that NAT64 makes of this one.
fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = v6.segments() else { return None };
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Some(Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_links_and_of_metadata_are_known_in_every_form() {
        let refused = [
            "169.254.169.254",
            "169.254.1.1",
            "100.100.100.200",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
        ];
        for address in refused {
            assert!(is_metadata(address.parse().unwrap()), "{address}");
        }
        for address in ["127.0.0.1", "10.0.0.7", "192.0.2.1", "2001:db8::1", "fd00::1", "64:ff9b::c000:201"] {
            assert!(!is_metadata(address.parse().unwrap()), "{address}");
        }
        for address in ["127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::ffff:127.0.0.1"] {
            assert!(is_here(address.parse().unwrap()), "{address}");
        }
        assert!(!is_here("10.0.0.1".parse().unwrap()));
    }
}
