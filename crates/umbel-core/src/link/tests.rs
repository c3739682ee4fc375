use super::{Contract, Distance, Link};

fn link() -> Link {
    Link {
        source_id: "httpserver".into(),
        target: "hello".into(),
        name: "default".into(),
        contract: Contract::new("wasi", "http", &["incoming-handler"]),
        source_config: vec!["http".into()],
        target_config: Vec::new(),
        distance: Distance::Any,
    }
}

#[test]
fn the_json_is_that_of_wasmcloud_1() {
    let json = serde_json::json!({
        "source_id": "httpserver", "target": "hello", "name": "default",
        "wit_namespace": "wasi", "wit_package": "http", "interfaces": ["incoming-handler"],
        "source_config": ["http"], "target_config": [],
    });
    assert_eq!(serde_json::to_value(link()).expect("serialises"), json);
    assert_eq!(serde_json::from_value::<Link>(json).expect("parses"), link());
}

#[test]
fn what_may_be_left_out_has_a_default() {
    let json =
        r#"{"source_id":"a","target":"b","wit_namespace":"wasi","wit_package":"http","interfaces":[]}"#;
    let parsed: Link = serde_json::from_str(json).expect("parses");
    assert_eq!((parsed.name.as_str(), parsed.distance), ("default", Distance::Any));
    assert!(parsed.source_config.is_empty() && parsed.target_config.is_empty());
}

#[test]
fn a_distance_that_matters_travels() {
    let near = Link { distance: Distance::Local, ..link() };
    let json = serde_json::to_value(&near).expect("serialises");
    assert_eq!(json["distance"], "local");
    assert_eq!(serde_json::from_value::<Link>(json).expect("parses"), near);
}

#[test]
fn the_key_leaves_out_target_and_interfaces() {
    let other = Link { target: "other".into(), contract: Contract::new("wasi", "http", &[]), ..link() };
    assert_eq!(other.key(), link().key());
    assert_ne!(Link { name: "second".into(), ..link() }.key(), link().key());
}

#[test]
fn a_contract_covers_imports_of_any_version() {
    let contract = Contract::new("wasi", "http", &["incoming-handler", "types"]);
    let cases = [
        ("wasi:http/incoming-handler@0.2.6", true),
        ("wasi:http/incoming-handler", true),
        ("wasi:http/types@0.3.0", true),
        ("wasi:http/outgoing-handler@0.2.6", false),
        ("wasi:https/types@0.2.6", false),
        ("acme:http/types", false),
        ("wasi:http", false),
        ("", false),
        ("@", false),
    ];
    for (import, expect) in cases {
        assert_eq!(contract.covers(import), expect, "{import}");
    }
    assert_eq!(contract.to_string(), "wasi:http/incoming-handler,types");
}
