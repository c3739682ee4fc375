use super::{Target, is_private};

#[test]
fn targets_are_absolute_http_uris() {
    let check = |uri: &str, expect: Option<(bool, &str, u16)>| {
        let got = Target::of(&uri.parse().expect("a URI"));
        assert_eq!(got.as_ref().ok().map(|t| (t.is_tls, t.host.as_str(), t.port)), expect, "{uri}: {got:?}");
    };
    check("http://Example.com/x", Some((false, "example.com", 80)));
    check("https://example.com", Some((true, "example.com", 443)));
    check("https://example.com:8443/", Some((true, "example.com", 8443)));
    check("http://[::1]:81/", Some((false, "::1", 81)));
    for bad in [
        "/path",
        "ftp://example.com/",
        "ws://example.com/",
        "http://user:secret@example.com/",
        "example.com:80",
        "http://a:0/",
    ] {
        check(bad, None);
    }
    let error =
        Target::of(&"http://user:secret@example.com/".parse().expect("a URI")).expect_err("credentials");
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[test]
fn private_addresses_are_known_in_every_disguise() {
    for private in [
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "fc00::1",
        "fd12::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ] {
        assert!(is_private(private.parse().expect("an address")), "{private}");
    }
    for public in [
        "1.1.1.1",
        "172.32.0.1",
        "100.128.0.1",
        "198.20.0.1",
        "2606:4700::1111",
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
        "2002:101:101::",
    ] {
        assert!(!is_private(public.parse().expect("an address")), "{public}");
    }
}
