//! Several hosts on one lattice, over a real nats-server: calls cross hosts, one manager leads, and what is lost is placed elsewhere.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use umbel_testkit::Platform;
use umbel_testkit::nats::NatsServer;
use umbel_testkit::wait::block_until;

/// A platform on the lattice of the server, with a label of its own.
pub(crate) fn join(server: &NatsServer, name: &str) -> Platform {
    let mut platform = Platform::new(&crate::umbel()).unwrap();
    start(&mut platform, server, name);
    platform
}

pub(crate) fn start(platform: &mut Platform, server: &NatsServer, name: &str) {
    start_with(platform, server, name, &[]);
}

pub(crate) fn start_with(platform: &mut Platform, server: &NatsServer, name: &str, more: &[&str]) {
    let (label, url) = (format!("side={name}"), server.url());
    platform.start_with(&[&["--nats", &url, "--name", name, "--label", &label], more].concat()).unwrap();
}

/// On the host with that label, or on any if it has none.
fn on(side: &str) -> String {
    if side.is_empty() {
        return String::new();
    }
    format!(
        "
        - type: spreadscaler
          properties: {{instances: 1, spread: [{{name: {side}, requirements: {{side: {side}}}}}]}}"
    )
}

/// The counter, its store and its HTTP server, each on a host.
pub(crate) fn counter(component: &str, store: &str, http: &str) -> String {
    counter_of(&umbel_testkit::example("counter"), component, store, http)
}

/// The same from a file of its own.
fn counter_of(image: &Path, component: &str, store: &str, http: &str) -> String {
    let (component_on, store_on, http_on) = (on(component), on(store), on(http));
    format!(
        "apiVersion: core.oam.dev/v1beta1
kind: Application
metadata: {{name: counter}}
spec:
  components:
    - name: counter
      type: component
      properties: {{image: {image}}}
      traits:
        - type: link
          properties: {{target: {{name: keyvalue}}, namespace: wasi, package: keyvalue, interfaces: [store, atomics]}}{component_on}
    - name: keyvalue
      type: capability
      properties: {{image: 'builtin:keyvalue'}}
      traits:
        - type: daemonscaler
          properties: {{instances: 0}}{store_on}
    - name: http
      type: capability
      properties: {{image: 'builtin:http-server'}}
      traits:
        - type: link
          properties: {{target: {{name: counter}}, namespace: wasi, package: http, interfaces: [incoming-handler]}}{http_on}
",
        image = image.display()
    )
    .replace("\n        - type: daemonscaler\n          properties: {instances: 0}", "")
}

/// The names of the hosts that `platform` sees.
pub(crate) fn hosts(platform: &Platform) -> Vec<String> {
    // While the managers change, nobody knows.
    let ps = platform.json(&["ps"]).unwrap_or_default();
    let hosts = ps["hosts"].as_array().cloned().unwrap_or_default();
    let mut names: Vec<String> =
        hosts.iter().filter_map(|host| host["name"].as_str().map(str::to_string)).collect();
    names.sort();
    names
}

pub(crate) fn count(platform: &Platform) -> u64 {
    let answer = platform.get("counter", "/").unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().trim().parse().unwrap()
}

/// Which host runs a part of the application.
pub(crate) fn host_of(platform: &Platform, part: &str) -> Option<String> {
    let ps: Value = platform.json(&["ps"]).ok()?;
    let runs = |host: &&Value| {
        ["components", "providers"].iter().any(|kind| {
            host[*kind].as_array().into_iter().flatten().any(|id| *id == format!("counter-{part}"))
        })
    };
    ps["hosts"].as_array()?.iter().find(runs)?["name"].as_str().map(str::to_string)
}

/// Each host keeps what it has told itself, and whoever asks any of them sees all of it once.
fn events_come_once_and_from_both(platform: &Platform) {
    let list = platform.json(&["events"]).unwrap();
    let events = list["items"].as_array().unwrap();
    let all = |field: &str| -> BTreeSet<&str> {
        events.iter().filter_map(|entry| entry["event"][field].as_str()).collect()
    };
    assert_eq!(all("id").len(), events.len(), "{list}");
    assert_eq!(all("source").len(), 2, "{list}");
}

#[test]
fn an_application_spread_over_two_hosts_answers_at_either() {
    let server = NatsServer::start("").unwrap();
    let (near, far) = (join(&server, "near"), join(&server, "far"));
    block_until("both hosts to see one another", || {
        hosts(&near) == ["far", "near"] && hosts(&far) == ["far", "near"]
    });
    // A manifest's file is read by the host whose id comes first: the component runs there, and the rest on the other.
    let ps = near.json(&["ps"]).unwrap();
    let ids = ps["hosts"].as_array().unwrap().iter().map(|host| (host["id"].to_string(), &host["name"]));
    let (here, there) =
        if ids.min_by(|a, b| a.0.cmp(&b.0)).unwrap().1 == "far" { (&near, &far) } else { (&far, &near) };
    let (this, that) = if std::ptr::eq(here, &near) { ("near", "far") } else { ("far", "near") };
    // HTTP comes in at one host, the component is on the other, and its store is on the first again.
    here.deploy(&counter(that, this, this)).unwrap();
    here.wait_for_answer("counter").unwrap();
    assert_eq!(host_of(here, "counter").as_deref(), Some(that));
    assert_eq!(host_of(there, "keyvalue").as_deref(), Some(this));
    let first = count(here);
    assert_eq!([count(here), count(here)], [first + 1, first + 2]);
    // The same application from the other host's command line.
    let explained = far.succeed(&["link", "explain", "counter-counter"]).unwrap();
    assert!(explained.contains("keyvalue"), "{explained}");
    events_come_once_and_from_both(&near);
    far.succeed(&["undeploy", "counter"]).unwrap();
    block_until("nothing to be left", || host_of(&near, "counter").is_none());
}

#[test]
fn what_a_lost_host_ran_goes_on_elsewhere_and_another_manager_leads() {
    let server = NatsServer::start("").unwrap();
    let (mut first, mut second) = (join(&server, "first"), join(&server, "second"));
    block_until("both hosts to see one another", || hosts(&second) == ["first", "second"]);
    // A file that is gone after the deploy: what is left of it is what hosts have kept.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("counter.wasm");
    std::fs::copy(umbel_testkit::example("counter"), &file).unwrap();
    second.deploy(&counter_of(&file, "", "", "")).unwrap();
    std::fs::remove_file(&file).unwrap();
    let home = host_of(&second, "http").unwrap();
    let (lost, left) = if home == "first" { (&mut first, &second) } else { (&mut second, &first) };
    lost.wait_for_answer("counter").unwrap();
    let other = if home == "first" { "second" } else { "first" };

    // It ends without a word, and all of the application with it.
    lost.signal("KILL").unwrap();
    lost.pid = 0;
    block_until("the application to run on the host that is left", || {
        hosts(left) == [other] && host_of(left, "http").as_deref() == Some(other)
    });
    left.wait_for_answer("counter").unwrap();
    assert!(count(left) > 0);
    // Whoever leads now takes a new version too.
    let v2 = counter("", "", "")
        .replace("metadata: {name: counter}", "metadata: {name: counter, annotations: {version: v2}}");
    left.deploy(&v2).unwrap();
    assert_eq!(host_of(left, "http").as_deref(), Some(other));

    // It comes back as the same host, and what runs elsewhere stays there.
    start(lost, &server, &home);
    block_until("the host to be back", || hosts(left) == ["first", "second"]);
    assert_eq!(host_of(left, "http").as_deref(), Some(other));
    assert!(count(left) > 0);
}

#[test]
fn a_host_without_the_file_takes_the_bytes_from_one_that_has_them() {
    let server = NatsServer::start("").unwrap();
    let near = join(&server, "near");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("counter.wasm");
    std::fs::copy(umbel_testkit::example("counter"), &file).unwrap();
    let manifest = folder.path().join("counter.yaml");
    std::fs::write(&manifest, counter_of(&file, "far", "near", "near")).unwrap();
    // There is no such host yet: the version knows the file, and nothing runs.
    let early = near.run(&["deploy", &manifest.display().to_string(), "--no-wait"]).unwrap();
    assert_eq!(early.code, 0, "{}", early.stderr);
    std::fs::write(&file, "other bytes by now").unwrap();
    let far = join(&server, "far");
    near.wait_for_answer("counter").unwrap();
    assert_eq!(host_of(&near, "counter").as_deref(), Some("far"));
    assert!(count(&near) > 0);

    // Where nobody has them any more, it is told what is the matter.
    for host in [&near, &far] {
        let blobs = host.state().join("artifacts/sha256");
        for blob in std::fs::read_dir(blobs).unwrap() {
            std::fs::remove_file(blob.unwrap().path()).unwrap();
        }
    }
    drop(far);
    let _late = join(&server, "far");
    block_until("it to be told", || near.run(&["ps"]).unwrap().stdout.contains("UM0310"));
}

#[test]
fn what_is_longer_than_a_message_of_the_server_is_read_in_pages() {
    // A few hundred components are then what several thousand are to a server that is set up as servers are.
    let server = NatsServer::start("max_payload: 65536").unwrap();
    let host = join(&server, "only");
    host.deploy(&umbel_testkit::platform::many("many", 300, &umbel_testkit::example("hello"))).unwrap();
    let ps = host.json(&["ps"]).unwrap();
    assert_eq!(ps["components"].as_array().unwrap().len(), 300);
    assert!(ps["components"].to_string().len() > 2 * 65_536, "it is longer");
    let status = host.ask_api("GET", "/v1/applications/many/status", None).unwrap();
    assert_eq!(
        (status.status, status.text().matches("\"running\"").count()),
        (200, 300),
        "{}",
        status.text()
    );
    // The manager reads pages as well: it sees what runs, and takes it away.
    host.succeed(&["undeploy", "many"]).unwrap();
    block_until("nothing to run", || {
        host.json(&["ps"]).unwrap()["components"].as_array().unwrap().is_empty()
    });
}

#[test]
fn local_links_serve_while_the_server_is_away_and_all_is_well_when_it_is_back() {
    let mut server = NatsServer::start("").unwrap();
    let host = join(&server, "only");
    host.deploy(&counter("", "", "")).unwrap();
    host.wait_for_answer("counter").unwrap();
    let before = count(&host);
    server.kill();
    for step in 1..=50 {
        assert_eq!(count(&host), before + step, "calls in one host do not need the server");
    }
    server.again().unwrap();
    block_until("the platform to answer again", || {
        host.run(&["ps"]).unwrap().code == 0 && hosts(&host) == ["only"]
    });
    host.succeed(&["undeploy", "counter"]).unwrap();
    block_until("the application to be gone", || host_of(&host, "http").is_none());
}
