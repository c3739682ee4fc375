use super::*;
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

fn endpoint(text: &str) -> Endpoint {
    text.parse().unwrap_or_else(|reason| panic!("`{text}`: {reason}"))
}

#[test]
fn endpoints_cover_what_they_name() {
    let check = |pattern: &str, address: &str, covered: Result<bool, &str>| {
        let address = address.parse().expect("an address");
        assert_eq!(endpoint(pattern).covers(address), covered, "{pattern} and {address}");
    };
    check("127.0.0.1:80", "127.0.0.1:80", Ok(true));
    check("127.0.0.1:80", "127.0.0.1:81", Ok(false));
    check("127.0.0.1:80", "127.0.0.2:80", Ok(false));
    check("127.0.0.1:*", "127.0.0.1:9", Ok(true));
    check("127.0.0.1:80", "[::ffff:127.0.0.1]:80", Ok(true));
    check("[::ffff:127.0.0.1]:80", "127.0.0.1:80", Ok(true));
    check("[::ffff:127.0.0.1]:80", "127.0.0.2:80", Ok(false));
    check("[::ffff:127.0.0.1]:80", "8.8.8.8:80", Ok(false));
    check("[::ffff:10.0.0.0/104]:80", "10.255.0.1:80", Ok(true));
    check("[::ffff:10.0.0.0/104]:80", "11.0.0.1:80", Ok(false));
    check("10.0.0.0/8:443", "10.255.0.1:443", Ok(true));
    check("10.0.0.0/8:443", "11.0.0.1:443", Ok(false));
    check("0.0.0.0/0:443", "11.0.0.1:443", Ok(true));
    check("0.0.0.0/0:443", "[2001:db8::1]:443", Ok(false));
    check("[::1]:53", "[::1]:53", Ok(true));
    check("[2001:db8::/32]:53", "[2001:db8:ffff::1]:53", Ok(true));
    check("[2001:db8::/32]:53", "[2001:db9::1]:53", Ok(false));
    check("*:53", "[2001:db9::1]:53", Ok(true));
    check("*:53", "1.1.1.1:54", Ok(false));
    check("Db.example:5432", "1.1.1.1:5432", Err("db.example"));
    check("db.example:5432", "1.1.1.1:5433", Ok(false));
}

#[test]
fn what_is_no_endpoint_is_refused_with_its_reason() {
    for (text, reason) in [
        ("db.example", "no port"),
        ("db.example:0", "port"),
        ("db.example:70000", "port"),
        (":80", "neither"),
        ("::1:80", "brackets"),
        ("10.0.0.0/33:80", "bits"),
        ("[::ffff:10.0.0.0/95]:80", "wider"),
        ("db.example/8:80", "neither"),
        ("http://db:80", "neither"),
        ("[db]:80", "neither"),
        ("d\0b:80", "neither"),
    ] {
        let said = text.parse::<Endpoint>().expect_err(text);
        assert!(said.contains(reason), "{text}: {said}");
    }
}

#[test]
fn json_names_endpoints_as_they_are_written() {
    let grants = Grants { connect: vec![endpoint("[::1]:80"), endpoint("*:*")], ..Grants::default() };
    let json = serde_json::to_value(&grants).expect("plain data");
    assert_eq!(json["connect"], serde_json::json!(["[::1]:80", "*:*"]));
    assert_eq!(serde_json::from_value::<Grants>(json).expect("it comes back"), grants);
    serde_json::from_str::<Grants>(r#"{"folder":[]}"#).expect_err("a typo is not ignored");
}

proptest! {
    #[test]
    fn an_endpoint_comes_back_as_it_was_written(
        bits in 0u8..=32, bits6 in 0u8..=128, v4: u32, v6: u128, port in proptest::option::of(1u16..), name in "[a-z][a-z0-9.-]{0,20}",
    ) {
        let hosts = [
            EndpointHost::Any,
            EndpointHost::Name(name),
            EndpointHost::Net(Ipv4Addr::from(v4).into(), bits),
            EndpointHost::Net(Ipv6Addr::from(v6).into(), bits6),
        ];
        for host in hosts {
            let written = Endpoint { host, port };
            prop_assert_eq!(written.to_string().parse::<Endpoint>(), Ok(written));
        }
    }

    #[test]
    fn a_mapped_range_is_the_range_that_it_maps(net: u32, address: u32, bits in 0u8..=32) {
        let mapped = Ipv4Addr::from(net).to_ipv6_mapped();
        let range: Endpoint = format!("[{mapped}/{}]:80", bits + 96).parse().expect("a range");
        let address = SocketAddr::from((Ipv4Addr::from(address), 80));
        let same = Endpoint { host: EndpointHost::Net(Ipv4Addr::from(net).into(), bits), port: None };
        prop_assert_eq!(range.covers(address), same.covers(address));
        // Made by hand, it has more bits than the address.
        let by_hand = Endpoint { host: EndpointHost::Net(mapped.into(), bits + 96), port: None };
        prop_assert_eq!(by_hand.covers(address), Ok(false));
    }

    #[test]
    fn a_range_covers_what_has_its_first_bits(net: u32, address: u32, bits in 0u8..=32) {
        let range = Endpoint { host: EndpointHost::Net(Ipv4Addr::from(net).into(), bits), port: None };
        let same = (0..u32::from(bits)).all(|bit| (net ^ address) & (1 << (31 - bit)) == 0);
        prop_assert_eq!(range.covers((Ipv4Addr::from(address), 1).into()), Ok(same));
    }
}
