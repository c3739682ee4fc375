use super::*;
use std::collections::BTreeSet;

/// Messages of wasmCloud 1.9.2 as recorded, one of each shape.
const RECORDED: &str = include_str!("vectors/recorded.jsonl");

fn recorded() -> impl Iterator<Item = (&'static str, Event)> {
    RECORDED.lines().map(|line| (line, serde_json::from_str(line).expect(line)))
}

/// The milliseconds in the first 48 bits of an event's id.
fn milliseconds(id: &str) -> u64 {
    u64::from_str_radix(&id[..13].replace('-', ""), 16).expect("a UUID")
}

#[test]
fn recorded_events_are_understood_and_written_again_byte_by_byte() {
    let mut names = BTreeSet::new();
    for (line, event) in recorded() {
        let fact = event.fact().unwrap_or_else(|| panic!("not understood: {line}"));
        assert_eq!(fact.name(), event.name());
        names.insert(event.name().to_string());

        let source = HostId::new(&event.source).expect("a host");
        let time = Duration::from_millis(milliseconds(&event.id));
        let ours =
            Event { id: event.id.clone(), time: event.time.clone(), ..Event::new(&source, time, &fact) };
        let json = serde_json::to_string(&ours).expect("serialises");
        // A heartbeat's data is the caller's inventory; everything else is ours to order.
        assert_eq!(json, line);
    }
    assert_eq!(names.len(), 13, "{names:?}");
}

#[test]
fn id_and_time_of_recorded_events_are_of_our_forms() {
    for (_, event) in recorded() {
        let time = Duration::from_millis(milliseconds(&event.id));
        let source = HostId::new(&event.source).expect("a host");
        let ours = Event::umbel("test", &source, time, Value::Null);
        assert_eq!(ours.time[..20], event.time[..20], "the id of {} is of another second", event.id);
        assert_eq!(ours.time.len(), event.time.len());
        assert_eq!(ours.id[..13], event.id[..13]);
        assert_eq!((ours.name(), ours.fact()), ("test", None));
    }
}

#[test]
fn facts_that_were_not_recorded_have_the_documented_fields() {
    let link = LinkdefSet {
        interfaces: vec!["store".into()],
        name: "default".into(),
        source_config: vec![],
        source_id: "a".into(),
        target: "b".into(),
        target_config: vec![],
        wit_namespace: "wasi".into(),
        wit_package: "keyvalue".into(),
    };
    let key = LinkKey {
        source_id: "a".into(),
        name: "default".into(),
        wit_namespace: "wasi".into(),
        wit_package: "http".into(),
    };
    let cases = [
        (
            Fact::ProviderStartFailed(ProviderStartFailed {
                error: "no".into(),
                host_id: "N".into(),
                link_name: "default".into(),
                provider_id: "p".into(),
                provider_ref: "r".into(),
            }),
            r#"{"error":"no","host_id":"N","link_name":"default","provider_id":"p","provider_ref":"r"}"#,
        ),
        (
            Fact::ComponentScaleFailed(ComponentScaleFailed {
                annotations: Values::new(),
                claims: None,
                component_id: "c".into(),
                error: "no".into(),
                host_id: "N".into(),
                image_ref: "r".into(),
                max_instances: 1,
                public_key: None,
            }),
            r#"{"annotations":{},"component_id":"c","error":"no","host_id":"N","image_ref":"r","max_instances":1}"#,
        ),
        (
            Fact::LinkdefSetFailed(LinkdefSetFailed { error: "no".into(), link }),
            r#"{"error":"no","interfaces":["store"],"name":"default","source_config":[],"source_id":"a","target":"b","target_config":[],"wit_namespace":"wasi","wit_package":"keyvalue"}"#,
        ),
        (
            Fact::LinkdefDeleted(LinkdefDeleted::new(&key, None)),
            r#"{"name":"default","source_id":"a","wit_namespace":"wasi","wit_package":"http"}"#,
        ),
    ];
    for (fact, json) in cases {
        assert_eq!(fact.data().to_string(), json);
        let source = HostId::new("N").expect("an id");
        assert_eq!(Event::new(&source, Duration::ZERO, &fact).fact(), Some(fact));
    }
}

#[test]
fn unknown_events_and_data_are_no_facts() {
    let source = HostId::new("N").expect("an id");
    let mut event =
        Event::new(&source, Duration::ZERO, &Fact::ConfigSet(ConfigName { config_name: "a".into() }));
    event.data = serde_json::json!({"config": 1});
    assert_eq!(event.fact(), None);
    event.kind = format!("{TYPE_PREFIX}something_newer");
    assert_eq!((event.fact(), event.name()), (None, "something_newer"));
    assert_eq!(Fact::NAMES.len(), 17);
}

#[test]
fn what_is_done_by_hand_is_no_fact_of_wasmcloud() {
    let source = HostId::new("N").expect("an id");
    let deed = Deed::ProviderSwapped(ProviderDeed {
        application: Some("shop".into()),
        host_id: "N".into(),
        image_ref: "builtin:keyvalue".into(),
        instead_of: Some("./kv.wasm".into()),
        kind: "builtin".into(),
        provider_id: "shop-kv".into(),
    });
    let event = Event::by_hand(&source, Duration::ZERO, &deed);
    assert_eq!(event.kind, "umbel.lattice.provider_swapped");
    assert_eq!((event.name(), event.fact(), event.deed()), ("provider_swapped", None, Some(deed)));
    assert!(Deed::NAMES.iter().all(|name| !Fact::NAMES.contains(name)), "each name is of one of them");
    let fact = Fact::ConfigSet(ConfigName { config_name: "a".into() });
    assert_eq!(Event::new(&source, Duration::ZERO, &fact).deed(), None);
}
