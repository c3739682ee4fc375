//! Manifests as wadm's users have them, and ours.

use super::{BASE, rendered};
use crate::{Application, Config, PartKind, Scale, Source, parse};
use umbel_core::id::AppName;
use umbel_core::limits::{Containment, InstanceMode, RestartMode, Sandbox};
use umbel_core::link::Distance;

#[track_caller]
fn read(text: &str) -> Application {
    parse("app.yaml", text.as_bytes()).unwrap_or_else(|problems| panic!("{}", rendered(&problems)))
}

#[test]
fn the_base_is_read_whole() {
    let app = read(BASE);
    assert_eq!((app.name.as_str(), app.version()), ("hello", Some("v1")));
    let hello = app.part("hello").unwrap();
    assert_eq!(hello.kind, PartKind::Component);
    assert_eq!(hello.source, Source::Image("./hello.wasm".into()));
    assert_eq!(hello.id, "hello-hello");
    assert_eq!(app.config_name(&hello.config[0]), "hello-greeting-e7b995ef");
    assert_eq!(app.secret_name(&hello.secrets[0]), "SECRET_hello-token-2f33820e");
    assert_eq!(app.secret_values(&hello.secrets[0])["backend"], "vault");
    let limits = hello.limits.as_ref().unwrap();
    assert_eq!((limits.memory_bytes_max, limits.call_ms_max), (64 << 20, 5_000));
    assert!(matches!(&hello.scale, Scale::Spread { instances: 5, spread } if spread[0].weight == 100));
    let http = app.part("http").unwrap();
    assert_eq!(http.links[0].target, "hello");
    assert_eq!(http.links[0].contract.to_string(), "wasi:http/incoming-handler");
}

#[test]
fn a_config_is_named_by_what_it_says() {
    let config = |values: &[(&str, &str)]| Config {
        name: "greeting".into(),
        properties: Some(values.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
    };
    let app = read(BASE);
    let name = |values: &[(&str, &str)]| app.config_name(&config(values));
    assert_eq!(name(&[("a", "1"), ("b", "2")]), name(&[("b", "2"), ("a", "1")]));
    let others = [name(&[]), name(&[("a", "1")]), name(&[("a", "2")]), name(&[("a", "1\"\n\"b\"=\"2")])];
    for (index, other) in others.iter().enumerate() {
        assert!(other.starts_with("hello-greeting-"), "{other}");
        assert_ne!(*other, name(&[("a", "1"), ("b", "2")]));
        assert!(!others[..index].contains(other), "{other}");
    }
    let named = |text: &str| {
        let app = read(&BASE.replace("key: ", text));
        app.secret_name(&app.part("hello").unwrap().secrets[0])
    };
    assert_ne!(named("key: "), named("key: other-"), "the reference to another secret has another name");
}

const OLDER: &str = r#"---
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: blob-demo
  annotations:
    version: v0.0.1
    description: 'a demo'
    example.dev/categories: |
      http,storage
  labels: {team: storage}
spec:
  components:
    - name: blobby
      type: actor
      properties:
        image: registry.example/blobby:0.2.0
        id: little-blobby
        config:
          - name: defaults
      traits:
        - type: daemonscaler
          properties:
            replicas: 3
            spread:
              - name: east
                requirements: {region: east}
                weight: 40
              - name: anywhere
        - type: link
          properties:
            target: blobstore
            namespace: wasi
            package: blobstore
            interfaces: [blobstore, container]
            target_config:
              - name: root-directory
                properties: {root: '/data'}
    - name: httpserver
      type: capability
      properties:
        image: registry.example/http-server:0.23.2
      traits:
        - type: link
          properties:
            target: blobby
            name: second
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            distance: local
            source_config:
              - name: default-http
                properties: {address: '0.0.0.0:8000'}
    - name: blobstore
      type: capability
      properties:
        application: {name: shared-storage, component: blob-fs}
"#;

#[test]
fn older_forms_are_read() {
    let app = read(OLDER);
    let blobby = app.part("blobby").unwrap();
    assert_eq!((blobby.id.as_str(), blobby.id_is_explicit), ("little-blobby", true));
    assert_eq!(
        app.config_name(&blobby.config[0]),
        "defaults",
        "a config without properties exists elsewhere"
    );
    assert!(matches!(&blobby.scale, Scale::Daemon { instances: 3, spread } if spread.len() == 2));
    assert_eq!(blobby.links[0].target_config[0].properties.as_ref().unwrap()["root"], "/data");
    let server = app.part("httpserver").unwrap();
    assert_eq!(server.links[0].source_config[0].name, "default-http");
    assert_eq!((server.links[0].name.as_str(), server.links[0].distance), ("second", Distance::Local));
    let shared = app.part("blobstore").unwrap();
    assert_eq!(shared.id, "shared_storage-blob_fs");
}

#[test]
fn what_is_written_reads_back_alike() {
    for text in [BASE, OLDER] {
        let app = read(text);
        let yaml = app.to_yaml();
        assert_eq!(read(&yaml), app, "{yaml}");
        assert_eq!(read(&app.to_json().to_string()), app);
        assert_eq!(read(&serde_json::to_string_pretty(&app.to_json()).unwrap()), app);
        assert_eq!(read(&yaml).to_yaml(), yaml, "the form is canonical");
    }
}

#[test]
fn json_with_tabs_and_surrogates_is_read() {
    let json = "{\n\t\"apiVersion\": \"core.oam.dev/v1beta1\",\n\t\"kind\": \"Application\",\n\t\"metadata\": {\n\t\t\
        \"name\": \"a\", \"annotations\": {\"description\": \"tab\\tslash\\/ \\ud83d\\ude00 quote\\\" \\u00e9\"}},\n\t\
        \"spec\": {\"components\":[{\"name\":\"a\",\"type\":\"component\",\"properties\":{\"image\":\"a.wasm\"}}]}\n}";
    let app = read(json);
    assert_eq!(app.description(), Some("tab\tslash/ \u{1F600} quote\" é"));
}

#[test]
fn small_allowances() {
    for (name, text) in [
        ("a byte order mark", format!("\u{FEFF}{BASE}")),
        ("windows line ends", BASE.replace('\n', "\r\n")),
        (
            "null as left out",
            BASE.replacen(
                "config:\n          - name: greeting\n            properties: {text: hi}",
                "config: ~",
                1,
            ),
        ),
        (
            "an alias",
            BASE.replacen("{text: hi}", "&v {text: hi}", 1).replacen(
                "requirements: {region: east}",
                "requirements: *v",
                1,
            ),
        ),
        (
            "configs alike",
            BASE.replacen(
                "image: builtin:http-server",
                "image: builtin:http-server\n        config: [{name: greeting, properties: {text: hi}}]",
                1,
            ),
        ),
        ("a text tag", BASE.replacen("text: hi", "text: !!str 404", 1)),
        ("an end mark", format!("---\n{BASE}...\n")),
        ("zero instances", BASE.replacen("instances: 5", "instances: 0", 1)),
    ] {
        assert!(
            parse("f", text.as_bytes()).is_ok(),
            "{name}: {}",
            rendered(&parse("f", text.as_bytes()).unwrap_err())
        );
    }
}

#[test]
fn limits_have_units() {
    let with = |limits: &str| {
        let text = BASE.replacen(
            "limits: {memory: 64MiB, call_time: 5s}",
            &format!("instance: reuse\n        limits: {{{limits}}}"),
            1,
        );
        let part = read(&text).part("hello").unwrap().clone();
        assert_eq!(part.instance, Some(InstanceMode::Reuse));
        part.limits.unwrap()
    };
    let all = with(
        "memory: 1GiB, cpu: 150%, call_time: 500ms, instances: 7, waiting: 0, log_rate: 1MiB/s, \
         outbound_hosts: [example.com, '*.example.com:8443', '*', '[::1]:80', 127.0.0.1]",
    );
    assert_eq!((all.memory_bytes_max, all.cpu_percent_max, all.call_ms_max), (1 << 30, 150, 500));
    assert_eq!((all.instances_max, all.waiting_max, all.log_bytes_per_s_max), (7, 0, 1 << 20));
    assert_eq!(all.outbound_hosts.len(), 5);
    let off = with("cpu: none, call_time: none, memory: 1048576");
    assert_eq!((off.cpu_percent_max, off.call_ms_max, off.memory_bytes_max), (0, 0, 1 << 20));
}

#[test]
fn grants_and_restarts_come_back_as_they_were_written() {
    let written = "restart: always
        grants:
          args: [--level, '3']
          env: {COLOR: red}
          folders: [{path: ./data}, {path: /srv/out, at: /out, access: read-write}]
          connect: ['db.example:5432', '10.0.0.0/8:*']
          listen: ['127.0.0.1:9000']";
    let text = BASE.replacen("limits: {memory: 64MiB, call_time: 5s}", written, 1);
    let application = read(&text);
    let part = application.part("hello").unwrap().clone();
    assert_eq!(part.restart, Some(RestartMode::Always));
    let grants = part.grants.clone().unwrap();
    assert_eq!(grants.args, ["--level", "3"]);
    assert_eq!((grants.folders[0].at.as_str(), grants.folders[0].writable), ("./data", false));
    assert_eq!((grants.folders[1].at.as_str(), grants.folders[1].writable), ("/out", true));
    assert_eq!(grants.connect[1].to_string(), "10.0.0.0/8:*");
    let again = read(&application.to_yaml());
    assert_eq!(again.part("hello"), Some(&part));
}

#[test]
fn a_provider_that_is_a_file_has_a_budget_and_grants() {
    let written = "image: ./store.wasm
        limits: {memory: 8MiB}
        grants: {connect: ['db.example:5432']}";
    let application = read(&BASE.replacen("image: builtin:http-server", written, 1));
    let part = application.parts.iter().find(|part| part.kind == PartKind::Provider).unwrap().clone();
    assert_eq!(part.limits.as_ref().unwrap().memory_bytes_max, 8 << 20);
    assert_eq!(part.grants.as_ref().unwrap().connect.len(), 1);
    assert_eq!(read(&application.to_yaml()).part(&part.name), Some(&part));
}

#[test]
fn a_provider_process_is_held_by_what_was_said_and_nothing_else() {
    let with = |properties: &str| {
        let image = format!("image: ./kv.par.gz\n        {properties}");
        let application = read(&BASE.replacen("image: builtin:http-server", &image, 1));
        assert_eq!(read(&application.to_yaml()), application, "{properties}");
        application.part("http").unwrap().containment
    };
    assert_eq!(with("config: []"), None);
    assert_eq!(with("limits: {call_time: 5s}"), None);
    let held = Containment {
        memory_bytes_max: Some(256 << 20),
        cpu_percent_max: Some(150),
        pids_max: Some(64),
        sandbox: Sandbox::Strict,
    };
    // The default of components is said all the same.
    let said = with("limits: {memory: 256MiB, cpu: 150%, pids: 64}\n        sandbox: strict");
    assert_eq!(said, Some(held));
    let alone = with("sandbox: strict");
    assert_eq!(alone, Some(Containment { sandbox: Sandbox::Strict, ..Containment::default() }));
    assert_eq!(with("sandbox: none\n        limits: {cpu: none}"), None);
}

#[test]
fn a_launched_component_has_a_manifest_like_any_other() {
    let name = AppName::new("hello").unwrap();
    let text = Application::for_component(&name, "./my files/hello.wasm", true);
    let app = read(&text);
    assert_eq!(app.parts.len(), 2);
    assert_eq!(app.part("http-server").unwrap().links[0].target, "hello");
    assert_eq!(app.part("hello").unwrap().source, Source::Image("./my files/hello.wasm".into()));
    assert_eq!(app.to_yaml(), text);
    let quiet = read(&Application::for_component(&name, "C: \"odd\" # name", false));
    assert_eq!(quiet.parts.len(), 1);
    assert_eq!(quiet.parts[0].source, Source::Image("C: \"odd\" # name".into()));
    let same = AppName::new("http-server").unwrap();
    assert_eq!(read(&Application::for_component(&same, "a.wasm", true)).parts.len(), 2);
}

#[test]
fn launch_writes_exactly_this() {
    let name = AppName::new("hello").unwrap();
    let expected = "\
apiVersion: core.oam.dev/v1beta1
kind: Application
metadata:
  name: hello
  annotations:
    description: \"hello, launched by umbel\"
spec:
  components:
    - name: hello
      type: component
      properties:
        image: ./hello.wasm
    - name: http-server
      type: capability
      properties:
        image: builtin:http-server
      traits:
        - type: link
          properties:
            namespace: wasi
            package: http
            interfaces: [incoming-handler]
            target:
              name: hello
";
    assert_eq!(Application::for_component(&name, "./hello.wasm", true), expected);
}
