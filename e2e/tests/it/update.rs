//! Versions: update and roll back under load, and lose nothing.

use crate::bad_input::replace;
use crate::up;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use umbel_testkit::load::Load;
use umbel_testkit::platform::application;
use umbel_testkit::{example, guest};

#[test]
fn updates_and_rollbacks_lose_no_request() {
    let platform = up();
    let (one, two) = (example("hello"), guest("hello-v2"));
    platform.deploy(&application("hello", "v1", &one, &[])).unwrap();
    platform.wait_for_answer("hello").unwrap();
    let load = Load {
        address: platform.address,
        host: "hello.localhost".to_owned(),
        path: "/".to_owned(),
        rate: 500.0,
        connections: 8,
        duration: Duration::from_secs(60),
    };
    let enough = AtomicBool::new(false);
    let outcome = std::thread::scope(|scope| {
        let loading = scope.spawn(|| load.run(&enough));
        for version in ["v2", "v3", "v4"] {
            platform.deploy(&application("hello", version, &two, &[])).unwrap();
            assert_eq!(platform.get("hello", "/").unwrap().text(), "Hello again from Umbel!\n");
            platform.succeed(&["rollback", "hello", "v1"]).unwrap();
            assert_eq!(platform.get("hello", "/").unwrap().text(), "Hello from Umbel!\n");
        }
        enough.store(true, Ordering::Relaxed);
        loading.join().unwrap()
    });
    assert!(outcome.succeeded > 0);
    assert_eq!(outcome.failed, 0, "of {}: {:?}", outcome.succeeded, outcome.examples);
}

#[test]
fn a_part_is_replaced_by_one_of_another_name_and_no_request_is_lost() {
    let platform = up();
    let first = application("hello", "v1", &example("hello"), &[]);
    let second = |version: &str, image: &Path| {
        application("hello", version, image, &[])
            .replace("- name: hello", "- name: second")
            .replace("target: {name: hello}", "target: {name: second}")
    };
    platform.deploy(&first).unwrap();
    platform.wait_for_answer("hello").unwrap();
    let bad = platform.folder().join("bad.wasm");
    let hello = std::fs::read(example("hello")).unwrap();
    std::fs::write(&bad, replace(&hello, b"wasi:io/streams@0.2.12", b"wasi:io/streams@0.9.12")).unwrap();
    let load = Load {
        address: platform.address,
        host: "hello.localhost".to_owned(),
        path: "/".to_owned(),
        rate: 500.0,
        connections: 8,
        duration: Duration::from_secs(60),
    };
    let enough = AtomicBool::new(false);
    let outcome = std::thread::scope(|scope| {
        let loading = scope.spawn(|| load.run(&enough));
        // Its host takes the order, and finds out later that it cannot be followed.
        std::fs::write(platform.folder().join("manifest.yaml"), second("v2", &bad)).unwrap();
        let ran = platform.run(&["deploy", "-f", "manifest.yaml"]).unwrap();
        assert_ne!(ran.code, 0, "{}", ran.stdout);
        assert_eq!(platform.get("hello", "/").unwrap().text(), "Hello from Umbel!\n", "the old part goes on");
        platform.deploy(&second("v3", &guest("hello-v2"))).unwrap();
        assert_eq!(platform.get("hello", "/").unwrap().text(), "Hello again from Umbel!\n");
        platform.deploy(&first).unwrap();
        assert_eq!(platform.get("hello", "/").unwrap().text(), "Hello from Umbel!\n");
        enough.store(true, Ordering::Relaxed);
        loading.join().unwrap()
    });
    assert!(outcome.succeeded > 0);
    assert_eq!(outcome.failed, 0, "of {}: {:?}", outcome.succeeded, outcome.examples);
}

#[test]
fn undeploying_and_deploying_keeps_the_versions() {
    let platform = up();
    for (version, image) in [("v1", example("hello")), ("v2", guest("hello-v2"))] {
        platform.deploy(&application("hello", version, &image, &[])).unwrap();
    }
    platform.succeed(&["undeploy", "hello"]).unwrap();
    umbel_testkit::wait::block_until("nobody answers", || platform.get("hello", "/").unwrap().status == 404);
    platform.succeed(&["deploy", "hello", "--version", "v1"]).unwrap();
    assert_eq!(platform.wait_for_answer("hello").unwrap().text(), "Hello from Umbel!\n");
    platform.succeed(&["deploy", "hello"]).unwrap();
    assert_eq!(platform.wait_for_answer("hello").unwrap().text(), "Hello again from Umbel!\n");
    let shown = platform.succeed(&["inspect", "hello"]).unwrap();
    assert!(shown.contains("v1") && shown.contains("v2"), "{shown}");
}

#[test]
fn config_reaches_the_component_and_changes_without_a_restart() {
    let platform = up();
    let manifest = |version: &str, value: &str| {
        let config = format!("config: [{{name: values, properties: {{greeting: {value}}}}}]");
        application("config", version, &guest("config"), &[&config])
    };
    platform.deploy(&manifest("v1", "hi")).unwrap();
    assert_eq!(platform.get("config", "/").unwrap().text(), "greeting=hi\n");
    platform.deploy(&manifest("v2", "hello")).unwrap();
    assert_eq!(platform.get("config", "/").unwrap().text(), "greeting=hello\n");
}

#[test]
fn instances_are_fresh_unless_reuse_is_asked_for() {
    let platform = up();
    let counter = guest("counter");
    platform.deploy(&application("fresh", "v1", &counter, &[])).unwrap();
    platform.deploy(&application("reused", "v1", &counter, &["instance: reuse"])).unwrap();
    let count =
        |app: &str| -> Vec<String> { (0..5).map(|_| platform.get(app, "/").unwrap().text()).collect() };
    assert_eq!(count("fresh"), ["1\n"; 5]);
    assert!(count("reused").iter().any(|count| count != "1\n"), "an instance served more than one call");
}
