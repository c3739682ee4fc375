use super::{Limits, Settings, Wanted};
use std::time::Duration;
use umbel_core::Coded;
use umbel_core::code::messaging as code;
use umbel_core::link::Values;

fn values(items: &[(&str, &str)]) -> Values {
    items.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect()
}

#[test]
fn the_links_values_override_the_providers() {
    let provider = values(&[("concurrency", "1"), ("message_bytes_max", "10"), ("subscriptions", "x")]);
    let link = values(&[("concurrency", "2"), ("subscriptions", "a.*, b.>|workers,,a.*"), ("space", "chat")]);
    let wanted =
        |pattern: &str, group: Option<&str>| Wanted { pattern: pattern.into(), group: group.map(Into::into) };
    let expected = Settings {
        subscriptions: vec![wanted("a.*", None), wanted("b.>", Some("workers"))],
        space: Some("chat".into()),
        message_bytes_max: 10,
        limits: Limits { concurrency: 2, ..Limits::default() },
        ..Settings::default()
    };
    assert_eq!(Settings::read(&provider, &link).expect("valid"), expected);
    assert_eq!(Settings::read(&Values::new(), &Values::new()).expect("valid"), Settings::default());
}

#[test]
fn what_a_manifest_of_wasmcloud_says_of_its_server_is_passed_over_unless_it_needs_that_server() {
    let manifest = values(&[("subscriptions", "wasmcloud.echo"), ("cluster_uris", "nats://127.0.0.1:4222")]);
    assert_eq!(Settings::read(&Values::new(), &manifest).expect("valid").subscriptions.len(), 1);
    let secret = values(&[("client_jwt", "eyJ")]);
    let error = Settings::read(&Values::new(), &secret).expect_err("a server is meant");
    assert!(!error.to_string().contains("eyJ"), "{error}");
}

#[test]
fn slips_are_refused() {
    for (key, value, expected) in [
        ("subscription", "a", code::MESSAGING_CONFIG),
        ("subscriptions", "a..b", code::MESSAGING_SUBJECT),
        ("subscriptions", "a|", code::MESSAGING_SUBJECT),
        ("subscriptions", "a|b c", code::MESSAGING_SUBJECT),
        ("concurrency", "0", code::MESSAGING_CONFIG),
        ("concurrency", "-1", code::MESSAGING_CONFIG),
        ("message_bytes_max", "1MB", code::MESSAGING_CONFIG),
        ("request_timeout_ms", "0", code::MESSAGING_CONFIG),
        ("space", "a b", code::MESSAGING_CONFIG),
    ] {
        let error = Settings::read(&Values::new(), &values(&[(key, value)])).expect_err(key);
        assert_eq!(error.code(), expected, "{key}={value}");
    }
    let many: Vec<String> = (0..65).map(|n| format!("s.{n}")).collect();
    assert!(Settings::read(&Values::new(), &values(&[("subscriptions", &many.join(","))])).is_err());
    let timeout = values(&[("request_timeout_ms", "250")]);
    assert_eq!(
        Settings::read(&timeout, &Values::new()).expect("valid").request_timeout,
        Duration::from_millis(250)
    );
}
