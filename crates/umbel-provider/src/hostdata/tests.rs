use super::{HostData, LINE_BYTES_MAX, OwnData};
use data_encoding::BASE64;
use proptest::prelude::*;
use serde_json::json;
use std::path::Path;
use umbel_core::settings::SecretValue;

/// As wasmCloud 1.9.2 gives it, with all values made up.
fn original() -> serde_json::Value {
    json!({
        "host_id": "NHOST", "lattice_rpc_prefix": "default", "link_name": "default",
        "lattice_rpc_user_jwt": "jwt-secret", "lattice_rpc_user_seed": "seed-secret",
        "lattice_rpc_url": "nats://127.0.0.1:4222", "provider_key": "httpserver", "env_values": {},
        "instance_id": "0b2c", "cluster_issuers": [], "config": {"k": "config-secret"},
        "link_definitions": [{
            "source_id": "httpserver", "target": "hello", "name": "default", "wit_namespace": "wasi",
            "wit_package": "http", "interfaces": ["incoming-handler"],
            "source_config": {"address": "127.0.0.1:18000"}, "target_config": {},
            "source_secrets": [1, 2], "target_secrets": null
        }],
        "secrets": {"a": {"kind": "String", "value": "text-secret"}, "b": {"kind": "Bytes", "value": [1, 2]}},
        "host_xkey_public_key": "X", "provider_xkey_private_key": "SX-secret", "default_rpc_timeout_ms": 2000,
        "structured_logging": false, "log_level": "info",
        "otel_config": {"enable_observability": false, "protocol": "Http"}
    })
}

fn line(json: &serde_json::Value) -> String {
    format!("{}\r\n", BASE64.encode(json.to_string().as_bytes()))
}

#[test]
fn the_original_is_read_and_written_as_it_is() {
    let data = HostData::read(&line(&original())).expect("host data");
    assert_eq!(serde_json::to_value(&data).expect("plain data"), original());
    assert_eq!(data.link_definitions[0].resolved().source_values["address"], "127.0.0.1:18000");
    assert!(data.secrets["a"] == SecretValue::String("text-secret".into()));
    let problem = data.socket().expect_err("it is NATS");
    assert!(problem.message.contains("nats"), "{problem}");
}

#[test]
fn what_is_new_is_ignored_and_what_is_missing_is_empty() {
    let least = json!({"provider_key": "kv", "lattice_rpc_url": "unix:///run/gate", "of-tomorrow": [1]});
    let data = HostData::read(&line(&least)).expect("host data");
    assert_eq!(data.socket().expect("a socket"), Path::new("/run/gate"));
    assert!(data.config.is_empty() && data.umbel.is_none());
}

#[test]
fn what_cannot_be_used_is_told_without_what_is_in_it() {
    for (bad, why) in [
        (String::new(), "empty"),
        ("not base64 ***".into(), "base64"),
        (BASE64.encode(b"{\"provider_key\": \"top-secret\", "), "no host data"),
        (line(&json!({"provider_key": 7, "config": {"k": "top-secret"}})), "no host data"),
        (line(&json!({"config": {"k": "top-secret"}})), "names no provider"),
        ("A".repeat(LINE_BYTES_MAX + 1), "longer"),
    ] {
        let error = HostData::read(&bad).expect_err(why).to_string();
        assert!(error.contains(why) && !error.contains("top-secret"), "{error}");
    }
}

#[test]
fn nothing_secret_is_shown() {
    let mut data = HostData::read(&line(&original())).expect("host data");
    data.umbel =
        Some(OwnData { token: "token-secret".into(), folder: "/f".into(), reconnect_ms: 0, socket: None });
    let shown = format!("{data:?} {:?} {:?}", data.umbel, data.secrets);
    assert!(!shown.contains("secret\"") && !shown.contains("-secret"), "{shown}");
}

proptest! {
    #[test]
    fn rubbish_is_refused_and_never_a_panic(text in ".{0,200}", bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = HostData::read(&text);
        let _ = HostData::read(&BASE64.encode(&bytes));
    }

    #[test]
    fn what_is_written_is_read(id in "[a-z]{1,20}", token in "[a-z]{0,20}", reconnect_ms: u64, value in ".{0,20}") {
        let own = OwnData { token, folder: "/folder".into(), reconnect_ms, socket: None };
        let mut data = HostData::unix("NHOST", "default", &id, Path::new("/run/gate"), own);
        data.config.insert("k".into(), value);
        prop_assert!(HostData::read(&data.line()).expect("what was written") == data);
    }
}
