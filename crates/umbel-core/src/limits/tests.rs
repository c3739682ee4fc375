use super::{InstanceMode, Limits};
use proptest::prelude::*;
use std::time::Duration;

fn limits(hosts: &[&str]) -> Limits {
    Limits { outbound_hosts: hosts.iter().map(ToString::to_string).collect(), ..Limits::default() }
}

#[test]
fn outgoing_calls_reach_the_listed_hosts_only() {
    let cases = [
        (&[][..], "example.com", 443, false),
        (&["*"], "example.com", 443, true),
        (&["*:443"], "example.com", 443, true),
        (&["*:443"], "example.com", 80, false),
        (&["example.com"], "example.com", 80, true),
        (&["example.com"], "EXAMPLE.com", 80, true),
        (&["example.com"], "www.example.com", 80, false),
        (&["example.com"], "example.com.evil.test", 80, false),
        (&["example.com:8443"], "example.com", 8443, true),
        (&["example.com:8443"], "example.com", 443, false),
        (&["*.example.com"], "www.example.com", 443, true),
        (&["*.example.com"], "a.b.example.com", 443, true),
        (&["*.example.com"], "example.com", 443, false),
        (&["*.example.com"], ".example.com", 443, false),
        (&["*.example.com"], "badexample.com", 443, false),
        (&["*.example.com:1"], "www.example.com", 1, true),
        (&["[::1]:8080"], "[::1]", 8080, true),
        (&["[::1]"], "[::1]", 9, true),
        (&["a.test", "b.test"], "b.test", 1, true),
    ];
    for (hosts, host, port, expect) in cases {
        assert_eq!(limits(hosts).allows_host(host, port), expect, "{hosts:?} {host}:{port}");
    }
}

#[test]
fn zero_means_no_limit_of_time() {
    assert_eq!(Limits::default().call_max(), Some(Duration::from_secs(30)));
    assert_eq!(Limits { call_ms_max: 0, ..Limits::default() }.call_max(), None);
}

#[test]
fn json_has_defaults_and_refuses_unknown_fields() {
    let parsed: Limits = serde_json::from_str(r#"{"instances_max":3}"#).expect("the rest is default");
    assert_eq!(parsed, Limits { instances_max: 3, ..Limits::default() });
    serde_json::from_str::<Limits>(r#"{"instance_max":3}"#).expect_err("a typo is not ignored");
    assert_eq!(serde_json::to_string(&InstanceMode::Reuse).expect("serialises"), "\"reuse\"");
}

proptest! {
    #[test]
    fn no_pattern_and_no_host_panics(pattern in ".{0,20}", host in ".{0,20}", port: u16) {
        let _ = limits(&[&pattern, "*.é", &format!("*.{pattern}")]).allows_host(&host, port);
    }
}
