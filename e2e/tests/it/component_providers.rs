//! Providers that are components: declared as others are, with a budget and a folder, and replaced while they serve.

use crate::processes::{count, counter};
use crate::up;
use serde_json::Value;
use std::path::Path;
use umbel_testkit::Platform;
use umbel_testkit::wait::block_until;

/// The provider as it is listed.
fn keyvalue(platform: &Platform) -> Value {
    let list = platform.json(&["provider", "list"]).unwrap();
    let is_it = |item: &&Value| item["id"] == "counter-keyvalue";
    list["items"].as_array().unwrap().iter().find(is_it).unwrap_or_else(|| panic!("{list}")).clone()
}

#[test]
fn a_component_serves_the_counter_as_a_builtin_and_a_process_do() {
    let mut platform = up();
    let image = umbel_testkit::guest("keyvalue-component").display().to_string();
    platform.deploy(&counter("v1", &image, "")).unwrap();
    platform.wait_for_answer("counter").unwrap();
    let first = count(&platform);
    assert_eq!(count(&platform), first + 1);
    let shown = keyvalue(&platform);
    assert_eq!((&shown["kind"], &shown["state"]), (&"component".into(), &"running".into()), "{shown}");
    let explained = platform.json(&["link", "explain", "counter-counter"]).unwrap();
    assert!(explained.to_string().contains("resident-instance"), "{explained}");
    assert!(platform.succeed(&["tree"]).unwrap().contains("counter-keyvalue"));

    // A newer version has another budget: nothing is lost on the way.
    platform.deploy(&counter("v2", &image, ", limits: {memory: 64MiB, call_time: 5s}")).unwrap();
    block_until("the new order is followed", || keyvalue(&platform)["state"] == "running");
    assert_eq!(count(&platform), first + 2);

    platform.down().unwrap();
    platform.start().unwrap();
    platform.wait_for_answer("counter").unwrap();
    assert!(count(&platform) > first + 2, "what was counted is kept");

    // The same component, unchanged, with the others that serve the contract.
    for (version, properties) in [("v3", ""), ("v4", ", isolation: process")] {
        platform.succeed(&["undeploy", "counter", "--yes"]).unwrap();
        platform.deploy(&counter(version, "builtin:keyvalue", properties)).unwrap();
        platform.wait_for_answer("counter").unwrap();
        count(&platform);
    }
}

#[test]
fn what_cannot_be_a_provider_is_told_with_a_code() {
    let platform = up();
    let refused = |image: &str, properties: &str, code: &str| {
        // Each has a version of its own, since some get as far as to be one.
        std::fs::write(
            platform.folder().join("manifest.yaml"),
            counter(&code.to_lowercase(), image, properties),
        )
        .unwrap();
        let ran = platform.run(&["deploy", "-f", "manifest.yaml", "--timeout", "8s"]).unwrap();
        assert_ne!(ran.code, 0, "{}", ran.stdout);
        assert!(ran.stderr.contains(code), "{code}: {}", ran.stderr);
    };
    refused("builtin:keyvalue", ", limits: {memory: 64MiB}", "UM0823");
    let hello = umbel_testkit::example("hello");
    refused(&hello.display().to_string(), "", "UM0822");
    let text = platform.folder().join("store.txt");
    std::fs::write(&text, "neither").unwrap();
    refused(&text.display().to_string(), "", "UM0814");
    refused(&Path::new("/nowhere/at/all.wasm").display().to_string(), "", "UM03");
}
