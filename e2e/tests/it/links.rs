//! Components that call one another over links.

use crate::up;
use std::time::{Duration, Instant};
use umbel_testkit::guest;

/// A component that calls `acme:demo/greeter`, one that serves it, and the way in; what is linked is up to the test.
fn manifest(traits: &str) -> String {
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: pair
spec:
  components:
    - name: caller
      type: component
      properties: {{image: '{}'}}
{traits}    - name: greeter
      type: component
      properties: {{image: '{}'}}
    - name: http
      type: capability
      properties: {{image: 'builtin:http-server'}}
      traits:
        - type: link
          properties: {{target: {{name: caller}}, namespace: wasi, package: http, interfaces: [incoming-handler]}}
",
        guest("custom-import").display(),
        guest("library").display(),
    )
}

const LINK: &str = "      traits:
        - type: link
          properties: {target: {name: greeter}, namespace: acme, package: demo, interfaces: [greeter]}
";

#[test]
fn a_component_calls_another_over_the_link_of_its_manifest() {
    let platform = up();
    platform.deploy(&manifest(LINK)).unwrap();
    let answer = platform.get("pair", "/call").unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "Hello, Umbel!\n"));
}

#[test]
fn a_link_comes_and_goes_while_its_components_run() {
    let platform = up();
    platform.deploy(&manifest("")).unwrap();
    let call = || platform.get("pair", "/call").unwrap();
    assert!(call().text().contains("UM0550"), "nothing is linked yet");
    for _ in 0..3 {
        platform.succeed(&["link", "put", "pair-caller", "pair-greeter", "acme:demo/greeter"]).unwrap();
        soon("the link leads to the greeter", || call().text() == "Hello, Umbel!\n");
        platform.succeed(&["link", "del", "pair-caller", "acme:demo/greeter"]).unwrap();
        soon("the link is gone", || call().text().contains("UM0550"));
    }
}

/// A change of links takes effect within 100 ms; a busy machine gets more.
#[track_caller]
fn soon(what: &str, is: impl Fn() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < Duration::from_secs(5), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
