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
    fn a_host_is_allowed_by_its_own_name_and_port_and_by_those_above_it(
        label in "[a-z0-9é]{1,6}", parent in "[a-z0-9é]{1,6}(\\.[a-z0-9é]{1,6}){0,3}", port: u16, other: u16,
    ) {
        let host = format!("{label}.{parent}");
        let allows = |pattern: &str, host: &str, port: u16| limits(&[pattern]).allows_host(host, port);
        prop_assert!(allows(&host, &host, port));
        prop_assert!(allows(&host.to_ascii_uppercase(), &host, port));
        let below = format!("*.{parent}");
        prop_assert!(allows(&below, &host, port));
        prop_assert_eq!(allows(&format!("{host}:{port}"), &host, other), port == other);
        prop_assert_eq!(allows(&format!("*.{parent}:{port}"), &host, other), port == other);
        for denied in [&parent, &format!(".{parent}"), &format!("{label}{parent}"), &format!("{host}.t-t")] {
            prop_assert!(!allows(&below, denied, port), "{}", denied);
            prop_assert_eq!(allows(&host, denied, port), *denied == host, "{}", denied);
        }
    }

    #[test]
    fn any_pattern_but_one_for_all_allows_only_what_ends_like_it(
        pattern in ".{0,20}", host in ".{0,20}", port: u16,
    ) {
        let (allowed, lower) = (limits(&[&pattern]).allows_host(&host, port), host.to_ascii_lowercase());
        let name = pattern.strip_suffix(&format!(":{port}")).unwrap_or(&pattern).to_ascii_lowercase();
        if name == "*" {
            prop_assert!(allowed);
        } else if allowed {
            prop_assert!(lower == name || name.strip_prefix('*').is_some_and(|end| lower.ends_with(end)));
        }
    }
}
