//! What a tool of wasmCloud has ordered, over a real nats-server: a host that was killed takes it up again, and one that was
//! stopped does not.

use crate::lattice::start_with;
use serde_json::{Value, json};
use umbel_testkit::Platform;
use umbel_testkit::nats::NatsServer;
use umbel_testkit::wait::block_until;

fn host(server: &NatsServer) -> String {
    let answer = server.request("wasmbus.ctl.v1.default.host.ping", "").unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer["response"]["id"].as_str().unwrap().to_string()
}

fn inventory(server: &NatsServer, host: &str) -> Value {
    let answer = server.request(&format!("wasmbus.ctl.v1.default.host.get.{host}"), "").unwrap_or_default();
    serde_json::from_str::<Value>(&answer).unwrap_or_default()["response"].clone()
}

fn order(server: &NatsServer, what: &str, host: &str, order: &Value) {
    let subject = format!("wasmbus.ctl.v1.default.{what}.{host}");
    let answer = server.request(&subject, &order.to_string()).unwrap();
    assert!(answer.contains("\"success\":true"), "{answer}");
}

/// Whether both parts run, with what was written to them.
fn runs(server: &NatsServer, host: &str) -> bool {
    let inventory = inventory(server, host);
    let (component, provider) = (&inventory["components"][0], &inventory["providers"][0]);
    component["id"] == "hello"
        && component["max_instances"] == 7
        && component["annotations"]["who"] == "a tool"
        && provider["id"] == "store"
}

#[test]
fn a_killed_host_takes_up_what_was_ordered_and_a_stopped_one_does_not() {
    let server = NatsServer::start("").unwrap();
    let mut platform = Platform::new(&crate::umbel()).unwrap();
    start_with(&mut platform, &server, "only", &["--allow-file-load"]);
    let id = host(&server);
    let image = format!("file://{}", umbel_testkit::example("hello").display());
    let scale = json!({
        "component_ref": image, "component_id": "hello", "count": 7, "host_id": id, "config": [],
        "allow_update": false, "annotations": {"who": "a tool"},
    });
    order(&server, "component.scale", &id, &scale);
    let provider = json!({
        "provider_ref": "builtin:keyvalue", "provider_id": "store", "host_id": id, "config": [], "annotations": {},
    });
    order(&server, "provider.start", &id, &provider);
    block_until("both to run", || runs(&server, &id));
    let file = platform.state().join("orders.json");
    block_until("both to be written down", || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        text.contains("hello") && text.contains("store")
    });

    platform.signal("KILL").unwrap();
    platform.pid = 0;
    start_with(&mut platform, &server, "only", &["--allow-file-load"]);
    assert_eq!(host(&server), id, "it is the same host");
    block_until("both to run again", || runs(&server, &id));

    // What is taken back stays so after the next kill.
    let stop = json!({
        "component_ref": image, "component_id": "hello", "count": 0, "host_id": id, "config": [], "allow_update": false,
    });
    order(&server, "component.scale", &id, &stop);
    block_until("it to be written down", || !std::fs::read_to_string(&file).unwrap().contains("hello"));
    platform.signal("KILL").unwrap();
    platform.pid = 0;
    start_with(&mut platform, &server, "only", &["--allow-file-load"]);
    block_until("the provider alone to run", || {
        let inventory = inventory(&server, &id);
        inventory["providers"][0]["id"] == "store" && inventory["components"] == json!([])
    });

    // A stop in order ends what was ordered.
    platform.down().unwrap();
    assert!(!file.exists(), "nothing is to be taken up");
    start_with(&mut platform, &server, "only", &["--allow-file-load"]);
    assert_eq!(inventory(&server, &id)["providers"], json!([]));
}
