use super::{Http2, Settings};
use std::time::Duration;
use umbel_core::link::Values;

fn values(items: &[(&str, &str)]) -> Values {
    items.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect()
}

#[test]
fn the_links_values_override_the_providers() {
    let provider = values(&[("connect_timeout_ms", "100"), ("http2", "off"), ("deny_private", "true")]);
    let link = values(&[("connect_timeout_ms", "200"), ("deny_private", "false"), ("ca_file", "/a.pem")]);
    let expect = Settings {
        connect_timeout: Duration::from_millis(200),
        http2: Http2::Off,
        ca_file: Some("/a.pem".into()),
        ..Settings::default()
    };
    assert_eq!(Settings::read(&provider, &link).expect("valid"), expect);
    assert_eq!(Settings::read(&Values::new(), &Values::new()).expect("valid"), Settings::default());
}

#[test]
fn slips_are_refused() {
    for item in [
        ("proxy", "x"),
        ("deny_private", "yes"),
        ("http2", "on"),
        ("connect_timeout_ms", "0"),
        ("connect_timeout_ms", "-1"),
        ("first_byte_timeout_ms", "1s"),
        ("between_bytes_timeout_ms", "99999999999999999999"),
        ("idle_per_host_max", "many"),
        ("idle_timeout_ms", "0"),
        ("connections_max", "0"),
    ] {
        let error = Settings::read(&values(&[item]), &Values::new()).expect_err(item.0);
        assert_eq!(umbel_core::Coded::code(&error).to_string(), "UM0529");
        assert!(error.to_string().contains(item.0), "{error}");
    }
}
