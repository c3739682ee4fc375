//! Components that call one another over links.

use crate::up;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use umbel_testkit::guest;
use umbel_testkit::load::Load;

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

#[test]
fn an_outgoing_request_may_be_linked_to_a_component() {
    let platform = up();
    let manifest = format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: pair}}
spec:
  components:
    - name: caller
      type: component
      properties: {{image: '{}', limits: {{outbound_hosts: [hello.internal]}}}}
      traits:
        - type: link
          properties: {{target: {{name: hello}}, namespace: wasi, package: http, interfaces: [outgoing-handler]}}
    - {{name: hello, type: component, properties: {{image: '{}'}}}}
    - name: http
      type: capability
      properties: {{image: 'builtin:http-server'}}
      traits:
        - type: link
          properties: {{target: {{name: caller}}, namespace: wasi, package: http, interfaces: [incoming-handler]}}
",
        guest("outgoing").display(),
        umbel_testkit::example("hello").display(),
    );
    platform.deploy(&manifest).unwrap();
    let said = platform.get("pair", "/?url=http://hello.internal/").unwrap().text();
    assert_eq!(said, "status 200\n");
    let said = platform.get("pair", "/?url=http://elsewhere.internal/").unwrap().text();
    assert!(said.contains("HttpRequestDenied"), "{said}");
}

#[test]
fn no_request_is_lost_while_its_link_changes() {
    let platform = up();
    let second = format!(
        "    - name: second\n      type: component\n      properties: {{image: '{}'}}\n    - name: http\n",
        guest("library").display()
    );
    platform.deploy(&manifest("").replace("    - name: http\n", &second)).unwrap();
    let put = |target: &str| {
        platform.succeed(&["link", "put", "pair-caller", target, "acme:demo/greeter"]).unwrap();
    };
    put("pair-greeter");
    soon("the link leads to the greeter", || platform.get("pair", "/call").unwrap().status == 200);
    let load = Load {
        address: platform.address,
        host: "pair.localhost".to_owned(),
        path: "/call".to_owned(),
        rate: 200.0,
        connections: 8,
        duration: Duration::from_secs(5),
    };
    let over = AtomicBool::new(false);
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            for target in ["pair-second", "pair-greeter"].into_iter().cycle() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                put(target);
            }
        });
        let outcome = load.run(&AtomicBool::new(false));
        over.store(true, Ordering::Relaxed);
        outcome
    });
    assert_eq!(outcome.failed, 0, "{:?}", outcome.examples);
    assert!(outcome.succeeded > 500, "{}", outcome.succeeded);
}

#[test]
fn a_link_by_hand_in_the_place_of_the_manifest_s_is_warned_of_and_an_impossible_id_refused() {
    let platform = up();
    platform.deploy(&manifest(LINK)).unwrap();
    let put =
        |source: &str| platform.run(&["link", "put", source, "pair-greeter", "acme:demo/greeter"]).unwrap();
    let ran = put("pair-caller");
    assert!(ran.code == 0 && ran.stderr.contains("change the manifest"), "{ran:?}");
    let ran = put("../x");
    assert!(ran.code != 0 && ran.stderr.contains("UM0102"), "{ran:?}");
}

#[test]
fn a_watch_ends_with_its_reader() {
    let platform = up();
    let mut watch = platform.command(&["tree", "-w"]);
    let mut watch = watch.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut reader = std::io::BufReader::new(watch.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut reader, &mut String::new()).unwrap();
    drop(reader);
    let start = Instant::now();
    while watch.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(10), "it goes on without a reader");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A manifest of a component that answers HTTP, and of what it is linked to.
fn linked(target: &str, package: &str, interfaces: &str, further: &str) -> String {
    let (counter, hello) = (umbel_testkit::example("counter"), umbel_testkit::example("hello"));
    let (counter, hello) = (counter.display(), hello.display());
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: wrong}}
spec:
  components:
    - name: counter
      type: component
      properties: {{image: {counter}}}
      traits:
        - type: link
          properties: {{target: {{name: {target}}}, namespace: wasi, package: {package}, interfaces: [{interfaces}]}}
    - {{name: hello, type: component, properties: {{image: {hello}}}}}
    - {{name: keyvalue, type: capability, properties: {{image: 'builtin:keyvalue'}}}}
{further}"
    )
}

#[test]
fn a_manifest_with_a_link_that_cannot_serve_is_not_deployed_and_says_why() {
    let platform = up();
    let refused = |manifest: &str, code: &str| {
        std::fs::write(platform.folder().join("manifest.yaml"), manifest).unwrap();
        let ran = platform.run(&["deploy", "-f", "manifest.yaml", "--timeout", "20s"]).unwrap();
        assert_eq!(ran.code, 8, "{}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(code), "{code}: {}", ran.stderr);
        let ps = platform.succeed(&["ps"]).unwrap();
        assert!(ps.contains("failed") && !ps.contains("deployed"), "{ps}");
    };
    // The target exports nothing of it.
    refused(&linked("hello", "keyvalue", "store, atomics", ""), "UM0570");
    let explained = platform.json(&["link", "explain", "wrong-counter"]).unwrap();
    assert!(explained.to_string().contains("UM0570"), "{explained}");
    // Its provider does not take it.
    let jobs = "    - name: jobs
      type: capability
      properties: {image: 'builtin:cron'}
      traits:
        - type: link
          properties:
            target: {name: hello}
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            source: {config: [{name: when, properties: {schedule: 'not a line'}}]}
";
    refused(&linked("keyvalue", "keyvalue", "store, atomics", jobs), "UM1161");
    let explained = platform.succeed(&["link", "explain", "wrong-jobs"]).unwrap();
    assert!(explained.contains("UM1161") && !explained.contains("works"), "{explained}");
    // Mended, it is deployed.
    platform.deploy(&linked("keyvalue", "keyvalue", "store, atomics", "")).unwrap();
}
